// Asks yaml-language-server, which VS Code and others run, what it makes of `amadare schema`:
// in both languages every key is offered in every mapping and explained, every value is offered, every shape that is
// offered can be put in and passes `amadare check`, and what is wrong is told in our words.
//
//   npm ci && npm run ask        AMADARE=path/to/amadare, if it is not target/debug/amadare

import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { isMap, isScalar, isSeq, parseDocument } from "yaml";
import { Server } from "./server.mjs";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const amadare = process.env.AMADARE ?? here("../../target/debug/amadare");
const everyKey = readFileSync(here("every-key.yaml"), "utf8");
const isJapanese = (text) => /[\u3041-\u30ff\u4e00-\u9fff]/.test(text);

let asked = 0;
const wrong = [];
const expect = (truth, what) => {
  asked += 1;
  if (!truth) wrong.push(what);
};

/** A text with a `▮` in it: the text without it, and where it stood. */
function cursor(text) {
  const at = text.indexOf("▮");
  const before = text.slice(0, at).split("\n");
  const position = { line: before.length - 1, character: before.at(-1).length };
  return { text: text.slice(0, at) + text.slice(at + 1), position, at };
}

class Schema {
  constructor(root) {
    this.root = root;
  }

  /** The mappings that a value of this schema may be, each called by its place. */
  mappings(schema, name) {
    if (schema.$ref) {
      const definition = schema.$ref.replace("#/$defs/", "");
      return this.mappings(this.root.$defs[definition], definition);
    }
    const branches = (schema.anyOf ?? []).flatMap((branch) => this.mappings(branch, name));
    return schema.properties ? [{ name, properties: schema.properties }, ...branches] : branches;
  }

  /** What the items of a list of this schema are, and how that is called. */
  items(schema, name) {
    if (schema.$ref) {
      const definition = schema.$ref.replace("#/$defs/", "");
      return this.items(this.root.$defs[definition], definition);
    }
    if (schema.items) return { items: schema.items, called: name };
    return (schema.anyOf ?? []).map((branch) => this.items(branch, name)).find(Boolean);
  }

  /** The names of all keys: mapping and key. */
  keys(schema = this.root, name = "file", found = new Set()) {
    for (const mapping of this.mappings(schema, name)) {
      for (const [key, property] of Object.entries(mapping.properties)) {
        const called = `${mapping.name}.${key}`;
        if (found.has(called)) continue;
        found.add(called);
        this.keys(property, called, found);
      }
    }
    const list = this.items(schema, name);
    if (list) this.keys(list.items, list.called, found);
    return found;
  }
}

/** Every mapping of the file that has keys of ours, with the path to it. */
function* mappingsOf(node, path, schema, name, own) {
  if (isSeq(node)) {
    const list = own.items(schema, name);
    if (!list) return;
    for (const [index, item] of node.items.entries()) {
      yield* mappingsOf(item, [...path, index], list.items, list.called, own);
    }
  } else if (isMap(node)) {
    const [mapping] = own.mappings(schema, name);
    if (!mapping) return;
    yield { node, path, ...mapping };
    for (const pair of node.items) {
      const property = mapping.properties[pair.key.value];
      if (property) yield* mappingsOf(pair.value, [...path, pair.key.value], property, `${mapping.name}.${pair.key.value}`, own);
    }
  }
}

/** The file with an empty place where the mapping at this path was. */
function emptied(path) {
  if (path.length === 0) return "▮";
  const document = parseDocument(everyKey);
  document.setIn(path, "CURSOR");
  const text = document.toString();
  const line = text.split("\n").find((line) => line.includes("CURSOR"));
  const indent = " ".repeat(line.search(/\S/) + (/^\s*- \S+:/.test(line) ? 4 : 2));
  return /- CURSOR/.test(line) ? text.replace("CURSOR", "▮") : text.replace(/ CURSOR/, `\n${indent}▮`);
}

const documentation = (item) => item.documentation?.value ?? item.documentation ?? "";

/** The text with what the editor puts in when an item is chosen, its places filled in. */
function chosen({ text, at }, item) {
  const edit = item.textEdit;
  const offset = ({ line, character }) => text.split("\n").slice(0, line).join("\n").length + (line > 0 ? 1 : 0) + character;
  const [start, end] = edit ? [offset(edit.range.start), offset(edit.range.end)] : [at, at];
  const indent = /^\s*/.exec(text.slice(0, start).split("\n").at(-1))[0];
  // an editor indents what follows as the line that it is put in
  const put = (edit?.newText ?? item.insertText).replaceAll("\n", `\n${indent}`);
  const filled = put.replace(/\$\{\d+:((?:\\.|[^}])*)\}/g, "$1").replace(/\$\d+/g, "").replace(/\\([$}\\])/g, "$1");
  return text.slice(0, start) + filled + text.slice(end);
}

/** What `amadare check` says of a file. */
function check(folder, text) {
  const id = /^scenario: (\S+)/m.exec(text)?.[1] ?? "no-id";
  const files = mkdtempSync(join(folder, "check-"));
  cpSync(here("../../scenarios/flex"), join(files, "flex"), { recursive: true });
  writeFileSync(join(files, `${id}.yaml`), text);
  writeFileSync(
    join(files, "win-back.yaml"),
    "scenario: win-back\nhours: 09:00-21:00\nenter: { manual: true }\nsteps: [{ step: a, push: a }]\n",
  );
  const config = join(files, "amadare.yaml.txt");
  writeFileSync(config, "calls: { hosts: [shop.example] }\n");
  const { status, stdout, stderr } = spawnSync(amadare, ["check", "--config", config, files], { encoding: "utf8" });
  return status === 0 ? "" : stdout + stderr;
}

/** Waits until the server has the schema of this file: then it misses keys. */
const ready = (server, name, text) =>
  server.with(name, text, ({ diagnostics }) => diagnostics((found) => found.length > 0));

/** The blocks of a page of docs that begin with this line, without it. */
function blocks(page, start) {
  const text = readFileSync(here(`../../docs/${page}`), "utf8");
  return text.split("```").filter((block) => block.startsWith(start)).map((block) => block.slice(start.length));
}

/** What the pages tell an author to set up works: the settings of a folder, and the first line of a file. */
async function setUp(folder) {
  const schema = execFileSync(amadare, ["schema"], { encoding: "utf8" });
  writeFileSync(join(folder, "amadare.schema.json"), schema);
  const wanted = JSON.parse(schema).properties.hours.description;
  const told = ["tutorial.md", "tutorial.ja.md", "editor.md", "editor.ja.md"].flatMap((page) =>
    blocks(page, "json title=.vscode/settings.json\n"),
  );
  expect(told.length === 4, `the pages have ${told.length} settings`);
  for (const settings of told) {
    const server = await Server.start(JSON.parse(settings), folder);
    await ready(server, "scenarios/first.yaml", "none: 1\n");
    const found = await server.with("scenarios/trial.yaml", "hours: 09:00-21:00\n", (open) => open.hover({ line: 0, character: 1 }));
    expect(found.includes(wanted), `${settings}: ${found}`);
    const elsewhere = await server.with("amadare.yaml", "hours: 09:00-21:00\n", (open) => open.hover({ line: 0, character: 1 }));
    expect(!elsewhere.includes(wanted), `${settings}: amadare.yaml has the schema of scenarios`);
    server.stop();
  }
  for (const page of ["editor.md", "editor.ja.md"]) {
    const [line] = blocks(page, "yaml title=scenarios/trial.yaml\n");
    const server = await Server.start({}, folder);
    await ready(server, "scenarios/first.yaml", `${line}none: 1\n`);
    const found = await server.with("scenarios/trial.yaml", `${line}hours: 09:00-21:00\n`, (open) =>
      open.hover({ line: line.split("\n").length - 1, character: 1 }),
    );
    expect(found.includes(wanted), `${page}: ${line}: ${found}`);
    server.stop();
  }
  return told.length;
}

async function run(language, folder) {
  const text = execFileSync(amadare, ["schema", "--lang", language], { encoding: "utf8" });
  const path = join(folder, `schema.${language}.json`);
  writeFileSync(path, text);
  const own = new Schema(JSON.parse(text));
  const server = await Server.of(pathToFileURL(path).href);
  await ready(server, "#/first.yaml", "none: 1\n");
  const counts = { keys: 0, offered: 0, hovers: 0, values: 0, shapes: 0, mistakes: 0 };
  const explains = (found, property, what) => {
    // as the server gives Markdown, or escapes what is not
    const plain = (text) => text.replace(/\\(.)/g, "$1").replaceAll("&nbsp;", " ").replace(/\s+/g, " ");
    const said = property.description;
    expect(plain(found).includes(plain(said)), `${language}: ${what}: ${JSON.stringify(found)} does not say ${JSON.stringify(said)}`);
    expect(isJapanese(found) === (language === "ja"), `${language}: ${what} is not in the language: ${found}`);
  };

  // every key: explained where it stands, and offered in an empty mapping
  const all = own.keys();
  const seen = new Set();
  const document = parseDocument(everyKey);
  const mappings = [...mappingsOf(document.contents, [], own.root, "file", own)];
  await server.with("#/every-key.yaml", everyKey, async (open) => {
    expect((await open.diagnostics()).length === 0, `${language}: every-key.yaml has diagnostics`);
    for (const { node, name, properties } of mappings) {
      for (const { key } of node.items) {
        const called = `${name}.${key.value}`;
        const property = properties[key.value];
        const before = everyKey.slice(0, key.range[0] + 1).split("\n");
        const found = await open.hover({ line: before.length - 1, character: before.at(-1).length });
        explains(found, property, `hover of ${called}`);
        seen.add(called);
        counts.hovers += 1;
      }
    }
  });
  counts.keys = all.size;
  for (const called of all) expect(seen.has(called), `${language}: every-key.yaml lacks ${called}`);
  const offeredIn = new Set();
  for (const { path, name, properties } of mappings) {
    if (offeredIn.has(`${name} ${path.length}`)) continue;
    offeredIn.add(`${name} ${path.length}`);
    const place = cursor(emptied(path));
    const items = await server.with("#/empty.yaml", place.text, (open) => open.completion(place.position));
    for (const [key, property] of Object.entries(properties)) {
      const item = items.find((item) => item.label === key);
      expect(item, `${language}: \`${key}\` is not offered in ${name} at ${path.join("/")}`);
      if (item) explains(documentation(item), property, `completion of ${name}.${key}`);
      counts.offered += 1;
    }
  }

  // every value of those that may be few
  const values = [
    ["priority: ▮", own.root.properties.priority],
    ["caps: ▮", own.root.properties.caps],
    ["steps:\n  - step: a\n    menu: ▮", own.root.$defs.StepItem.properties.menu.anyOf[0]],
    ["steps:\n  - step: a\n    push:\n      - type: ▮", own.root.$defs.Push.anyOf[1].properties.type],
  ];
  for (const [text, { enum: allowed, enumDescriptions }] of values) {
    const place = cursor(text);
    const items = await server.with("#/value.yaml", place.text, (open) => open.completion(place.position));
    for (const [index, value] of allowed.entries()) {
      const item = items.find((item) => item.label === value);
      expect(item && documentation(item) === enumDescriptions[index], `${language}: ${text}: ${value} is not offered or not explained`);
      counts.values += 1;
    }
  }

  // every shape, put in
  const head = "scenario: shapes\nhours: 09:00-21:00\n";
  const entered = `${head}enter: { on: booked }\nanchor: event.starts_at\n`;
  const steps = "\nsteps:\n  - step: a\n    push: a\n";
  const { properties, $defs } = own.root;
  const places = [
    ["▮", own.root.defaultSnippets],
    [`${head}enter: ▮${steps}`, $defs.EnterItem.defaultSnippets],
    [`${head}enter:\n  ▮${steps}`, $defs.EnterItem.defaultSnippets],
    [`${head}enter:\n  - ▮${steps}`, $defs.EnterItem.defaultSnippets],
    [`${head}enter:\n  on: booked\n  again: ▮${steps}`, $defs.EnterItem.properties.again.defaultSnippets],
    ...["update", "exit", "goal", "samples"].map((key) => [`${entered}${key}: ▮${steps}`, properties[key].defaultSnippets]),
    [`${entered}steps:\n  ▮`, properties.steps.defaultSnippets],
    [`${entered}steps:\n  - ▮`, $defs.StepItem.defaultSnippets],
    [`${entered}steps:\n  - step: first\n    ▮`, $defs.StepItem.defaultSnippets],
    [`${entered}steps:\n  - step: first\n    push: a\n  ▮`, properties.steps.defaultSnippets],
    [`${entered}steps:\n  - step: first\n    push: a\n  - ▮`, $defs.StepItem.defaultSnippets],
    ...["set", "call", "enter", "branch", "split", "wait_for"].map((key) => [
      `${entered}steps:\n  - step: first\n    ${key}: ▮`,
      $defs.StepItem.properties[key].defaultSnippets,
    ]),
    [`${entered}steps:\n  - step: first\n    push: ▮`, $defs.Push.defaultSnippets],
  ];
  for (const [text, shapes] of places) {
    const place = cursor(text);
    const items = await server.with("#/shapes.yaml", place.text, (open) => open.completion(place.position));
    for (const { label } of shapes) {
      counts.shapes += 1;
      const item = items.find((item) => item.label === label);
      expect(item, `${language}: ${JSON.stringify(text)}: \`${label}\` is not offered`);
      if (!item) continue;
      const file = chosen(place, item);
      const said = check(folder, file);
      expect(said === "", `${language}: ${JSON.stringify(text)}: \`${label}\` gives\n${file}\n${said}`);
    }
  }

  // what is wrong is told in our words
  const mistakes = [
    ["hours: 9-21", properties.hours.errorMessage],
    ["hours: 9", properties.hours.errorMessage],
    ["scenario: Trial Followup", properties.scenario.errorMessage],
    ["holdout: ten", properties.holdout.errorMessage],
    ["late: 3mo", properties.late.errorMessage],
    ["steps: [{ step: a, after: three days }]", $defs.StepItem.properties.after.errorMessage],
    ["steps: [{ step: a, day: 1, at: 7pm }]", $defs.StepItem.properties.at.errorMessage],
    ["enter: { on: a, again: sometimes }", $defs.EnterItem.properties.again.errorMessage],
    ["on_days: weekend", properties.on_days.anyOf[0].errorMessage],
    ["steps: [{ stp: a }]", "stp"],
  ];
  for (const [text, message] of mistakes) {
    const found = await server.with("#/mistake.yaml", text, (open) => open.diagnostics());
    const said = found.map(({ message }) => message);
    expect(said.some((each) => each.includes(message)), `${language}: ${text}: ${said.join(" / ")} and not ${message}`);
    counts.mistakes += 1;
  }
  server.stop();
  return counts;
}

const folder = mkdtempSync(join(tmpdir(), "amadare-editor-"));
try {
  for (const language of ["en", "ja"]) {
    const counts = await run(language, folder);
    console.log(
      `${language}: ${counts.keys} keys, explained at ${counts.hovers} places and offered at ${counts.offered}; ` +
        `${counts.values} values; ${counts.shapes} shapes put in and checked; ${counts.mistakes} mistakes told`,
    );
  }
  console.log(`${await setUp(folder)} settings and 2 first lines of the pages give a file its schema`);
} finally {
  rmSync(folder, { recursive: true });
}
for (const what of wrong) console.error(what);
console.log(`${asked} expectations, ${wrong.length} not met`);
process.exit(wrong.length === 0 ? 0 : 1);
