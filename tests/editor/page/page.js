// An editor in a page: Monaco, which VS Code is built of, with the YAML language server and a schema of amadare's.

import * as monaco from "monaco-editor/esm/vs/editor/editor.api.js";
import "monaco-editor/esm/vs/basic-languages/yaml/yaml.contribution.js";
import "monaco-editor/esm/vs/editor/contrib/hover/browser/hoverContribution.js";
import "monaco-editor/esm/vs/editor/contrib/snippet/browser/snippetController2.js";
import "monaco-editor/esm/vs/editor/contrib/suggest/browser/suggestController.js";
import { configureMonacoYaml } from "monaco-yaml";

window.MonacoEnvironment = {
  getWorker: (_, label) => new Worker(label === "yaml" ? "yaml.worker.js" : "editor.worker.js"),
};

window.open = (name, text, schema) => {
  document.querySelector("#name").textContent = name;
  configureMonacoYaml(monaco, {
    schemas: [{ uri: "file:///amadare.schema.json", fileMatch: ["*"], schema }],
    hover: true,
    completion: true,
    validate: true,
  });
  window.editor = monaco.editor.create(document.querySelector("#editor"), {
    model: monaco.editor.createModel(text, "yaml", monaco.Uri.parse(`file:///${name}`)),
    theme: "vs",
    fontFamily: "'DejaVu Sans Mono', 'Noto Sans Mono CJK JP', monospace",
    fontSize: 14,
    lineHeight: 21,
    lineNumbersMinChars: 3,
    tabSize: 2,
    minimap: { enabled: false },
    scrollBeyondLastLine: false,
    overviewRulerLanes: 0,
    scrollbar: { vertical: "hidden", horizontal: "hidden" },
    renderLineHighlight: "none",
    cursorBlinking: "solid",
    quickSuggestions: false,
    unicodeHighlight: { ambiguousCharacters: false },
    hover: { above: false },
    fixedOverflowWidgets: true,
    suggest: { showStatusBar: false, preview: false, insertMode: "insert" },
  });
};

/** The messages of the language server on the file. */
window.markers = () => monaco.editor.getModelMarkers({}).map(({ message }) => message);
