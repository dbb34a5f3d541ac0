//! Pages in a real browser: what is visible, what is read out, what goes over the network.
//!
//! A page is opened in a frame as wide as a phone, by a page of the test that looks at it from outside: the page
//! itself lets no script run.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::process::{amadare, until};

/// Names under which Chromium is installed.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A member's name that would break out of a page, if it could.
const HOSTILE: &str = "<script>document.title='broken'</script> \" ' & \u{202e}evil\u{202c}";

/// Every type of message, with a name that is hostile, long words and many days.
const SCENARIO: &str = include_str!("../pages/everything.yaml");

/// Looks at the page in the frame and leaves what it found in the document.
const LOOK: &str = include_str!("../pages/look.js");

/// The browser, or how to get one.
fn browser() -> &'static str {
    let runs = |name: &&str| {
        let version =
            Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    };
    BROWSERS.into_iter().find(|name| runs(name)).unwrap_or_else(|| {
        panic!("no browser was found to open pages in: apt-get install chromium fonts-noto-cjk")
    })
}

/// Takes every request that the browser makes of another machine, and answers none.
struct Network {
    asked: Arc<Mutex<Vec<String>>>,
    proxy: String,
}

impl Network {
    fn new() -> Network {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut head = [0; 512];
                let read = stream.read(&mut head).unwrap_or(0);
                let line =
                    String::from_utf8_lossy(&head[..read]).lines().next().unwrap_or_default().to_owned();
                heard.lock().unwrap().push(line);
                drop(stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"));
            }
        });
        Network { asked, proxy }
    }

    /// Requests for anything that stands in a page; what the browser itself asks for is its own affair.
    fn asked_for_examples(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().filter(|line| line.contains(".example")).cloned().collect()
    }
}

/// A browser that ends with the test.
struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What was seen of a page in a frame of this width.
pub(crate) async fn look(html: &Path, width: u32, arguments: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let network = Network::new();
    let page = html.to_str().unwrap();
    let frame = folder.path().join("look.html");
    let text = format!(
        "<!doctype html><meta charset=utf-8><pre id=found></pre>\
         <iframe id=page src=\"file://{page}\" style=\"width:{width}px;height:900px;border:0\"></iframe>\
         <script>window.onload = () => {{\n{LOOK}\n}};</script>"
    );
    std::fs::write(&frame, text).unwrap();
    let mut command = Command::new(browser());
    command.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
    ]);
    // lets the page of the test look into the frame
    command.args(["--disable-web-security", "--allow-file-access-from-files", "--enable-logging=stderr"]);
    command.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
    command.arg(format!("--proxy-server={}", network.proxy));
    command.args(["--virtual-time-budget=10000", "--dump-dom"]).args(arguments);
    let (dom, log) = (folder.path().join("dom"), folder.path().join("log"));
    command.arg(format!("file://{}", frame.display()));
    command.stdout(File::create(&dom).unwrap()).stderr(File::create(&log).unwrap());
    let mut running = Browser(command.spawn().unwrap());
    until("the browser", async || running.0.try_wait().unwrap()).await;
    let read = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let (dom, log) = (read(&dom), read(&log));
    let found = dom.split("<pre id=\"found\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let found = found.unwrap_or_else(|| panic!("nothing was found in {dom}\n{log}"));
    let found = STANDARD.decode(found).unwrap_or_else(|error| panic!("{error}: {dom}\n{log}"));
    let mut found: Value = serde_json::from_slice(&found).unwrap_or_else(|error| panic!("{error}: {log}"));
    let complaints: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    found["complaints"] = json!(complaints);
    found["asked"] = json!(network.asked_for_examples());
    found
}

/// Simulates the scenario into a page.
fn simulated(folder: &Path, arguments: &[&str]) -> std::path::PathBuf {
    let scenario = folder.join("everything.yaml");
    let hostile = serde_json::to_string(HOSTILE).unwrap();
    std::fs::write(&scenario, SCENARIO.replace("HOSTILE", &hostile)).unwrap();
    let html = folder.join("page.html");
    let (scenario, page) = (scenario.to_str().unwrap(), html.to_str().unwrap());
    let call = ["simulate", scenario, "--at", "2026-04-06T20:30", "--html", page];
    let output = amadare(&[&call, arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    html
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

const NONE: [&str; 0] = [];

/// What holds of every page, at any width and in any colours.
pub(crate) fn is_sound(found: &Value) {
    assert_eq!(texts(&found["complaints"]), NONE, "the console complains");
    assert_eq!(texts(&found["requested"]), NONE, "the page loads something");
    assert_eq!(texts(&found["asked"]), NONE, "the network was asked");
    assert_eq!(found["over"], 0, "the page itself scrolls sideways");
    assert_eq!(found["scripts"], 0);
    assert_eq!(texts(&found["hidden"]), NONE, "something cannot be seen");
    assert_eq!(texts(&found["wider"]), NONE, "something is wider than the page");
    assert_eq!(texts(&found["nameless"]), NONE, "something has no name for those who do not see");
    assert_eq!(texts(&found["faint"]), NONE, "something can hardly be read");
    let headings: Vec<i64> =
        found["headings"].as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect();
    assert_eq!(headings[0], 1);
    assert!(headings.windows(2).all(|pair| pair[1] <= pair[0] + 1), "a heading is left out: {headings:?}");
    assert!(headings[1..].iter().all(|level| *level > 1), "{headings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_shows_every_message_and_asks_nobody_for_anything() {
    let folder = tempfile::tempdir().unwrap();
    let found = look(&simulated(folder.path(), &["--lang", "en", "--explain"]), 390, &[]).await;
    is_sound(&found);
    assert_eq!(found["title"], "Everything that can be sent");
    assert_eq!(found["width"], 390);
    let bubbles = texts(&found["bubbles"]);
    // two members get all of it, one of them the last as well
    let count = |kind: &str| bubbles.iter().filter(|bubble| **bubble == kind).count();
    assert_eq!(count("text"), 2 * 3 + 1, "{bubbles:?}");
    for media in ["image", "sticker", "video", "audio", "location"] {
        assert_eq!(count(&format!("media {media}")), 2, "{bubbles:?}");
    }
    assert_eq!(count("card"), 2 * (1 + 1 + 3 + 2 + 1), "{bubbles:?}");
    assert_eq!(count("flex"), 2 * (1 + 3), "{bubbles:?}");
    let hostile = format!("{HOSTILE}, hello");
    assert!(texts(&found["texts"]).contains(&hostile.as_str()), "{:?}", found["texts"]);
    assert!(texts(&found["links"]).contains(&"https://shop.example/coupon"));
    // entered, messages and what was left out of three members, and two that wait for the morning
    assert!(found["marks"].as_u64().unwrap() >= 3 * 5, "{found}");
    assert!(found["waits"].as_u64().unwrap() >= 2, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wide_screen_in_the_dark_shows_the_same_in_japanese() {
    let folder = tempfile::tempdir().unwrap();
    let html = simulated(folder.path(), &["--lang", "ja"]);
    for (scheme, is_dark) in [("0", true), ("1", false)] {
        let found = look(&html, 1_280, &[&format!("--blink-settings=preferredColorScheme={scheme}")]).await;
        is_sound(&found);
        assert_eq!(found["dark"], is_dark);
        assert_eq!(found["width"], 1_280);
    }
}

/// What the other tests find nothing of can be found.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_not_sound_is_seen_through() {
    let folder = tempfile::tempdir().unwrap();
    let html = folder.path().join("bad.html");
    let text = r#"<!doctype html><title>bad</title><h1>One</h1><h3>Three</h3><p style="color:#ccc">faint</p>
        <div class="bubble text" style="display:none">hidden</div><div style="width:2000px">wide</div>
        <div role="img"></div><img src="http://probe.example/a.png"><script>console.error("loud")</script>"#;
    std::fs::write(&html, text).unwrap();
    let found = look(&html, 390, &[]).await;
    assert!(found["over"].as_u64().unwrap() >= 1_600, "{found}");
    for seen in ["complaints", "requested", "hidden", "wider", "nameless", "faint"] {
        assert!(!found[seen].as_array().unwrap().is_empty(), "{seen}: {found}");
    }
    assert!(texts(&found["asked"])[0].contains("probe.example"), "{found}");
    assert_eq!(found["headings"], json!([1, 3]));
    assert_eq!(found["scripts"], 2);
}
