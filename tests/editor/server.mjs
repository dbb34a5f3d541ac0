// yaml-language-server as a process, spoken to as an editor does.

import { spawn } from "node:child_process";
import { fileURLToPath, pathToFileURL } from "node:url";

const PROGRAM = fileURLToPath(new URL("node_modules/yaml-language-server/bin/yaml-language-server", import.meta.url));

/** How long an answer may take, in milliseconds. */
const PATIENCE = 20_000;

export class Server {
  #process;
  #buffer = Buffer.alloc(0);
  #next = 1;
  #waiting = new Map();
  #diagnostics = new Map();
  #settings;
  #folder;

  /** Every file has the schema at this URL. */
  static of(schema) {
    return Server.start({ "yaml.schemas": { [schema]: "*.yaml" } }, "/scenarios");
  }

  /** With settings as they stand in `.vscode/settings.json` of the folder. */
  static async start(settings, folder) {
    const server = new Server();
    const yaml = { schemaStore: { enable: false }, hover: true, completion: true, validate: true };
    for (const [key, value] of Object.entries(settings)) yaml[key.replace("yaml.", "")] = value;
    server.#settings = { yaml };
    server.#folder = pathToFileURL(folder).href;
    server.#process = spawn(process.execPath, [PROGRAM, "--stdio"], { stdio: ["pipe", "pipe", "inherit"] });
    server.#process.stdout.on("data", (bytes) => server.#take(bytes));
    const documentation = ["markdown", "plaintext"];
    await server.ask("initialize", {
      processId: process.pid,
      rootUri: server.#folder,
      workspaceFolders: [{ uri: server.#folder, name: "folder" }],
      capabilities: {
        workspace: { configuration: true, workspaceFolders: true, didChangeConfiguration: { dynamicRegistration: true } },
        textDocument: {
          completion: { completionItem: { snippetSupport: true, documentationFormat: documentation } },
          hover: { contentFormat: documentation },
          publishDiagnostics: {},
        },
      },
    });
    server.#tell("initialized", {});
    server.#tell("workspace/didChangeConfiguration", { settings: server.#settings });
    return server;
  }

  stop() {
    this.#process.kill();
  }

  /** Opens a file of this name, asks, and closes it. */
  async with(name, text, use) {
    // a name of its own each time, by its `#`: the server keeps what it has read of a name
    const uri = `${this.#folder}/${name.replace("#", this.#next++)}`;
    this.#tell("textDocument/didOpen", { textDocument: { uri, languageId: "yaml", version: 1, text } });
    const document = {
      completion: async (position) =>
        (await this.ask("textDocument/completion", { textDocument: { uri }, position }))?.items ?? [],
      hover: async (position) => (await this.ask("textDocument/hover", { textDocument: { uri }, position }))?.contents?.value ?? "",
      diagnostics: (meant = () => true) =>
        this.#wait(`diagnostics of ${uri}`, (done) => this.#diagnostics.set(uri, (found) => meant(found) && done(found))),
    };
    try {
      return await use(document);
    } finally {
      this.#tell("textDocument/didClose", { textDocument: { uri } });
      this.#diagnostics.delete(uri);
    }
  }

  ask(method, params) {
    const id = this.#next++;
    return this.#wait(method, (answer) => {
      this.#waiting.set(id, answer);
      this.#send({ id, method, params });
    });
  }

  #wait(what, start) {
    return new Promise((done, failed) => {
      const timer = setTimeout(() => failed(new Error(`no answer: ${what}`)), PATIENCE);
      start((answer) => {
        clearTimeout(timer);
        done(answer);
      });
    });
  }

  #tell(method, params) {
    this.#send({ method, params });
  }

  #send(message) {
    const body = JSON.stringify({ jsonrpc: "2.0", ...message });
    this.#process.stdin.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  }

  #take(bytes) {
    this.#buffer = Buffer.concat([this.#buffer, bytes]);
    for (;;) {
      const end = this.#buffer.indexOf("\r\n\r\n");
      if (end < 0) return;
      const length = Number(/Content-Length: (\d+)/.exec(this.#buffer.subarray(0, end).toString())[1]);
      if (this.#buffer.length < end + 4 + length) return;
      const body = this.#buffer.subarray(end + 4, end + 4 + length).toString();
      this.#buffer = this.#buffer.subarray(end + 4 + length);
      this.#hear(JSON.parse(body));
    }
  }

  #hear(message) {
    if (message.method === undefined) {
      const answer = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (message.error) throw new Error(JSON.stringify(message.error));
      answer?.(message.result);
    } else if (message.method === "workspace/configuration") {
      const result = message.params.items.map(({ section }) => this.#settings[section] ?? {});
      this.#send({ id: message.id, result });
    } else if (message.method === "textDocument/publishDiagnostics") {
      this.#diagnostics.get(message.params.uri)?.(message.params.diagnostics);
    } else if (message.id !== undefined) {
      this.#send({ id: message.id, result: null });
    }
  }
}
