//! The tutorial, `docs/tutorial.md` and `docs/tutorial.ja.md`: a stranger follows it to the end, word for word.
//!
//! How the pages are written:
//!
//! - A `sh` block is run as it stands; what it changes of the folder it runs in holds for those behind it. The first one
//!   installs the program and is not run. `amadare sandbox` and `amadare serve` run on, each in its terminal.
//! - A block with `title=NAME` is a file; a `diff` is an edit of one.
//! - A `text` block is what the `sh` block before it prints, `text sandbox` what the stand-in for LINE prints. A line stands
//!   for one that has it in it, in order; `…` stands for anything, also for lines.
//!
//! Only addresses are others, and the minute of a clock that has begun at ten.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::process::{free_address, until};

const PAGES: [&str; 2] = ["docs/tutorial.md", "docs/tutorial.ja.md"];

#[derive(Debug, PartialEq, Eq)]
struct Block {
    /// What stands behind the fence.
    info: String,
    line: usize,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_inside = false;
    for (line, written) in (1..).zip(text.lines()) {
        match written.strip_prefix("```") {
            Some(info) if !is_inside => {
                is_inside = true;
                blocks.push(Block { info: info.to_owned(), line, text: String::new() });
            }
            Some(_) => is_inside = false,
            None if is_inside => {
                let block = blocks.last_mut().unwrap();
                block.text.push_str(written);
                block.text.push('\n');
            }
            None => {}
        }
    }
    assert!(!is_inside, "a block of {page} has no end");
    blocks
}

/// A process that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// What of the lines shown is not in what was printed, if anything is not.
fn missing<'s>(shown: &'s str, printed: &str) -> Option<&'s str> {
    let mut lines = printed.lines().map(at_ten);
    shown.lines().filter(|line| *line != "…").find(|line| {
        let parts: Vec<String> = line.split('…').map(at_ten).collect();
        !lines.any(|printed| has_in_order(&printed, &parts))
    })
}

fn has_in_order(line: &str, parts: &[String]) -> bool {
    let mut rest = line;
    parts.iter().all(|part| match rest.find(part.as_str()) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

/// The minutes that the reader, or a slow machine, has taken since ten.
fn at_ten(line: &str) -> String {
    (1..10).fold(line.to_owned(), |line, minute| line.replace(&format!(" 10:0{minute}"), " 10:00"))
}

/// A stranger at the terminals.
struct Stranger {
    page: &'static str,
    root: tempfile::TempDir,
    /// Where the terminal is.
    folder: PathBuf,
    line: String,
    api: String,
    running: Vec<Ends>,
}

impl Stranger {
    fn new(page: &'static str) -> Stranger {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().to_owned();
        let (line, api) = (free_address().to_string(), free_address().to_string());
        Stranger { page, root, folder, line, api, running: Vec::new() }
    }

    fn here(&self, text: &str) -> String {
        text.replace("127.0.0.1:9000", &self.line).replace("127.0.0.1:8787", &self.api)
    }

    fn shell(&self, script: &str) -> Command {
        let programs = Path::new(env!("CARGO_BIN_EXE_amadare")).parent().unwrap();
        let script = format!("PATH='{}':\"$PATH\"\n{script}", programs.display());
        // what is said is said in the language of the page
        let locale = if self.page.ends_with(".ja.md") { "ja_JP.UTF-8" } else { "C.UTF-8" };
        let mut shell = Command::new("sh");
        shell.arg("-ec").arg(script).current_dir(&self.folder).env("TZ", "Asia/Tokyo").env("LC_ALL", locale);
        shell
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut text = self.here(text);
        if name == "amadare.yaml" {
            text += &format!("listen: {}\n", self.api);
        }
        std::fs::write(path, text).unwrap();
    }

    /// Lines with `-` become those with `+` that follow them.
    fn edit(&self, name: &str, diff: &str) {
        let path = self.folder.join(name);
        let lines = |sign: char| -> String {
            diff.lines().filter_map(|line| line.strip_prefix(sign)).map(|line| format!("{line}\n")).collect()
        };
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(&lines('-')).count(), 1, "{}: {diff}", self.page);
        std::fs::write(path, text.replace(&lines('-'), &lines('+'))).unwrap();
    }

    async fn start(&mut self, command: &str) {
        let (name, options, answers) = match command.contains("amadare sandbox") {
            true => {
                let webhook = format!("http://{}/line/webhook", self.api);
                (
                    "sandbox",
                    format!("--at {} --webhook {webhook}", self.line),
                    format!("http://{}/", self.line),
                )
            }
            false => ("serve", String::new(), format!("http://{}/healthz", self.api)),
        };
        // `exec`, so that it is the program that is ended and not its shell
        let command = command.trim_end().replace("amadare ", "exec amadare ");
        let printed = File::create(self.root.path().join(name)).unwrap();
        let mut shell = self.shell(&format!("{command} {options}"));
        self.running.push(Ends(shell.stdout(printed).stderr(Stdio::null()).spawn().unwrap()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        until(name, async || client.get(&answers).send().await.ok().map(drop)).await;
    }

    /// Runs a script to its end, and goes where it has gone.
    fn run(&mut self, script: &str, succeeds: bool) -> String {
        let left = self.root.path().join("left");
        let script = format!("{}\npwd > '{}'", self.here(script), left.display());
        let output = self.shell(&script).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.success(), succeeds, "{}: {script}: {text}", self.page);
        if succeeds {
            self.folder = std::fs::read_to_string(left).unwrap().trim_end().into();
        }
        text
    }
}

async fn follow(page: &'static str) {
    let mut stranger = Stranger::new(page);
    let all = blocks(page);
    let (install, rest) = all.split_first().unwrap();
    assert_eq!((install.info.as_str(), install.text.as_str()), ("sh", "cargo install --locked --path .\n"));
    for (index, block) in rest.iter().enumerate() {
        let shown = rest.get(index + 1).filter(|next| next.info == "text").map(|next| next.text.as_str());
        match block.info.split_once(' ').unwrap_or((&block.info, "")) {
            ("sh", "")
                if ["amadare sandbox", "amadare serve"].iter().any(|name| block.text.contains(name)) =>
            {
                stranger.start(&block.text).await;
            }
            ("sh", "") => {
                let Some(shown) = shown else {
                    stranger.run(&block.text, true);
                    continue;
                };
                let succeeds = !shown.contains("error[");
                let only_asks = block.text.starts_with("amadare explain");
                let mut printed = stranger.run(&block.text, succeeds);
                if only_asks {
                    // what was told a moment ago is done in the next
                    until(&format!("{page}:{}: {shown}", block.line), async || {
                        printed = stranger.run(&block.text, true);
                        missing(shown, &printed).is_none().then_some(())
                    })
                    .await;
                }
                let missing = missing(shown, &printed);
                assert_eq!(missing, None, "{page}:{}: it is not in\n{printed}", block.line);
            }
            ("text", "sandbox") => {
                let path = stranger.root.path().join("sandbox");
                until(&block.text, async || {
                    missing(&block.text, &std::fs::read_to_string(&path).unwrap()).is_none().then_some(())
                })
                .await;
            }
            ("text", "") => {}
            ("diff", title) => stranger.edit(title.strip_prefix("title=").unwrap(), &block.text),
            (_, title) => stranger.write(title.strip_prefix("title=").unwrap(), &block.text),
        }
    }
    assert_eq!(stranger.running.len(), 2, "{page}");
    // the schema is there for the editor, and takes the file that was written
    let read = |name: &str| std::fs::read_to_string(stranger.folder.join(name)).unwrap();
    let schema = serde_json::from_str(&read("amadare.schema.json")).unwrap();
    let scenario = serde_yaml::from_str(&read("scenarios/trial.yaml")).unwrap();
    assert!(jsonschema::draft202012::is_valid(&schema, &scenario));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_to_the_end_of_the_tutorial() {
    if Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("the tutorial was not followed: it needs curl, and there is none here");
        return;
    }
    for page in PAGES {
        follow(page).await;
    }
}

/// But for words: the same commands, and as many files, edits and outputs.
#[test]
fn both_tutorials_are_the_same() {
    let [english, japanese] = PAGES.map(blocks);
    assert_eq!(english.len(), japanese.len());
    for (one, other) in english.iter().zip(&japanese) {
        assert_eq!(one.info, other.info, "lines {} and {}", one.line, other.line);
        if one.info == "sh" || one.info == "diff" {
            let words = |text: &str| text.replace(" --lang ja", "").replace("さくら", "Sakura");
            assert_eq!(words(&one.text), words(&other.text), "lines {} and {}", one.line, other.line);
        }
        assert_eq!(
            one.text.lines().count(),
            other.text.lines().count(),
            "lines {} and {}",
            one.line,
            other.line
        );
    }
}

#[test]
fn a_shown_line_is_missed_when_it_is_not_there() {
    let printed = "2026-04-06 Mon 10:03  entered trial by hand\n    │ Hello\n";
    assert_eq!(missing("2026-04-06 Mon 10:00  entered trial…\n…\n", printed), None);
    assert_eq!(missing("…entered…hand\n    │ Hello\n", printed), None);
    assert_eq!(missing("    │ Hello\nentered trial\n", printed), Some("entered trial"));
    assert_eq!(missing("entered…trail\n", printed), Some("entered…trail"));
    assert_eq!(missing("2026-04-06 Mon 11:00", printed), Some("2026-04-06 Mon 11:00"));
}
