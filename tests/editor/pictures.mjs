// Makes the pictures of docs/editor.md: Monaco in headless Chromium, with the language server and our schema.
//
//   npm ci && npm run pictures
//
// AMADARE: the program, if it is not target/debug/amadare. CHROMIUM: the browser, if it is not /usr/bin/chromium.

import { execFileSync } from "node:child_process";
import { readFileSync, mkdirSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const amadare = process.env.AMADARE ?? here("../../target/debug/amadare");
const images = here("../../docs/images");
const built = here("built");

/** Larger than this no picture may be, in bytes. */
const MAX_PICTURE = 150_000;

const WIDTH = 1000;
/** By scene, as much as there is to see. */
const HEIGHT = { completion: 520, hover: 370, mistake: 350 };

const scenes = {
  en: {
    completion: `scenario: trial-followup
enter:
  on: purchase
hours: 09:00-21:00
steps:
  - step: welcome
    push: Thank you for your order.
  - step: howto
    day: 3
    ▮`,
    hover: `scenario: trial-followup
title: After a trial purchase
enter:
  on: purchase
  where: event.sku == "TRIAL-7"
  ▮again: never
hours: 09:00-21:00
priority: high

steps:
  - step: welcome
    push: Thank you for your order.`,
    mistake: `scenario: trial-followup
enter:
  on: purchase
hours: ▮9-21

steps:
  - step: welcome
    push: Thank you for your order.
  - step: howto
    aftr: 3d
    push: How do you like it?`,
  },
  ja: {
    completion: `scenario: trial-followup
enter:
  on: purchase
hours: 09:00-21:00
steps:
  - step: welcome
    push: ご注文ありがとうございます。
  - step: howto
    day: 3
    ▮`,
    hover: `scenario: trial-followup
title: トライアル購入後のフォロー
enter:
  on: purchase
  where: event.sku == "TRIAL-7"
  ▮again: never
hours: 09:00-21:00
priority: high

steps:
  - step: welcome
    push: ご注文ありがとうございます。`,
    mistake: `scenario: trial-followup
enter:
  on: purchase
hours: ▮9-21

steps:
  - step: welcome
    push: ご注文ありがとうございます。
  - step: howto
    aftr: 3d
    push: お使いになってみて、いかがですか。`,
  },
};

async function serve() {
  await build({
    entryPoints: {
      page: here("page/page.js"),
      "yaml.worker": here("node_modules/monaco-yaml/yaml.worker.js"),
      "editor.worker": here("node_modules/monaco-editor/esm/vs/editor/editor.worker.js"),
    },
    bundle: true,
    format: "iife",
    loader: { ".ttf": "dataurl" },
    logLevel: "error",
    outdir: built,
  });
  const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };
  const server = createServer((request, response) => {
    const name = request.url === "/" ? "index.html" : request.url.slice(1);
    const path = name === "index.html" ? here("page/index.html") : join(built, name);
    response.setHeader("content-type", types[extname(name)] ?? "application/octet-stream");
    try {
      response.end(readFileSync(path));
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return server;
}

/** What has to be on the screen before the picture is taken. */
const acts = {
  completion: async (page) => {
    await page.evaluate(() => editor.trigger("picture", "editor.action.triggerSuggest"));
    await page.locator(".suggest-widget .monaco-list-row").first().waitFor();
    await page.evaluate(() => editor.trigger("picture", "toggleSuggestionDetails"));
    await page.locator(".suggest-details .docs").first().waitFor();
    // there and back to `at`: the details take the height of what they show when another is chosen
    for (const key of ["ArrowDown", "ArrowDown", "ArrowUp"]) await page.keyboard.press(key);
    await page.locator(".suggest-widget .focused", { hasText: "at" }).waitFor();
  },
  hover: async (page) => {
    await page.evaluate(() => editor.trigger("picture", "editor.action.showHover", {}));
    await page.locator(".monaco-hover .hover-contents, .monaco-hover .rendered-markdown").first().waitFor();
  },
  mistake: async (page) => {
    await page.waitForFunction(() => window.markers().length >= 2);
    await page.locator(".squiggly-warning, .squiggly-error").first().waitFor();
    await acts.hover(page);
  },
};

async function picture(browser, url, language, scene) {
  const schema = JSON.parse(execFileSync(amadare, ["schema", "--lang", language], { encoding: "utf8" }));
  const text = scenes[language][scene];
  const at = text.indexOf("▮");
  const before = text.slice(0, at).split("\n");
  const page = await browser.newPage({ viewport: { width: WIDTH, height: HEIGHT[scene] }, deviceScaleFactor: 1.5, locale: language });
  page.on("pageerror", (error) => console.error(error));
  await page.goto(url);
  await page.evaluate(
    ([text, schema, line, column]) => {
      open("scenarios/trial-followup.yaml", text, schema);
      editor.setPosition({ lineNumber: line, column });
      editor.focus();
    },
    [text.replace("▮", ""), schema, before.length, before.at(-1).length + 1],
  );
  await page.waitForFunction(() => document.querySelector(".view-line .mtk1, .view-line [class*=mtk]"));
  await acts[scene](page);
  const words = await page.locator(".suggest-details, .monaco-hover").allInnerTexts();
  const path = join(images, `editor-${scene}.${language}.png`);
  await page.screenshot({ path, clip: { x: 0, y: 0, width: WIDTH, height: HEIGHT[scene] } });
  await page.close();
  const { size } = statSync(path);
  console.log(`${path}: ${size} bytes: ${words.join(" / ").replace(/\s+/g, " ").slice(0, 200)}`);
  if (size > MAX_PICTURE) throw new Error(`${path} has ${size} bytes, more than ${MAX_PICTURE}`);
}

mkdirSync(images, { recursive: true });
const server = await serve();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--force-color-profile=srgb", "--font-render-hinting=none"],
});
try {
  const url = `http://127.0.0.1:${server.address().port}/`;
  for (const language of ["en", "ja"]) {
    for (const scene of ["completion", "hover", "mistake"]) await picture(browser, url, language, scene);
  }
} finally {
  await browser.close();
  server.close();
}
