//! `amadare check` on many files: how long each part takes.
//!
//! `cargo bench --bench check` prints the figures; `-- files=2000` changes how many there are. A git hook has
//! a second for a thousand.

use std::path::PathBuf;
use std::time::Duration;

use amadare::clock::Monotonic;
use amadare::scenario::Defaults;
use amadare::scenario::file::ScenarioFile;
use amadare::scenario::load::load;
use amadare::scenario::source::Sources;
use amadare::scenario::{schema, yaml};

/// A scenario as a marketer writes it: two triggers, seven steps, a sample, an included flex message.
const SCENARIO: &str = r#"scenario: NAME
title: トライアル購入後のフォロー
zone: Asia/Tokyo
enter:
  on: NAME.bought
  where: event.sku in ["TRIAL-7", "TRIAL-14"]
exit:
  - on: purchase
    where: event.category == "regular"
  - segment: member.regular
goal: { on: purchase, where: event.category == "regular", within: 30d, value: event.amount }
hours: 09:00-21:00
samples:
  - member: { name: さくら, points: 120 }
    event: { sku: TRIAL-7, amount: 980 }
steps:
  - step: welcome
    push: |
      {{ member.name | default("お客") }}さま、トライアルセットのご注文ありがとうございます。
      お届けまで2、3日ほどお待ちください。
  - step: howto
    day: 3
    at: "19:00"
    push: |
      そろそろお手元に届くころでしょうか。
      朝と夜の2回、洗顔のあとに500円玉くらいの量をなじませるのが基本の使い方です。
  - step: choice
    day: 4
    branch:
      - when: member.points >= 100
        steps:
          - step: rich
            push: "{{ member.name | default('お客') }}さま、{{ member.points }}ポイントお持ちです。"
      - else:
          - step: poor
            push: ポイントのため方のご案内です。
  - step: coupon
    day: 5
    at: "10:00"
    when: not member.regular
    push:
      - type: flex
        altText: 本商品に使える500円クーポンをお送りします
        contents: { $file: flex/coupon.json }
  - step: mark
    set: { tags: [trial-done], attributes: { amount: "{{ event.amount }}" } }
"#;

/// Measurements, of which the best counts: the others met somebody else on the machine.
const ROUNDS: usize = 5;

fn main() {
    let files = amount("files", 1_000);
    let folder = tempfile::tempdir().expect("there is room for files");
    write(folder.path(), files);
    let paths = [folder.path().to_owned()];
    let sources = Sources::read(&paths).expect("they were written above");
    let loaded = load(&sources, &Defaults::default());
    assert!(loaded.findings.is_empty(), "{}", loaded.findings[0]);
    println!("{files} files, {} KiB", sources.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() / 1024);

    report("read and find what is included", || Sources::read(&paths).expect("as above").iter().count());
    report("load: all that `check` does after that", || {
        load(&sources, &Defaults::default()).set.map_or(0, |set| set.iter().count())
    });
    let schema = schema::annotated::<ScenarioFile>();
    report("  of that, trees with places", || trees(&sources).len());
    let trees = trees(&sources);
    report("  of that, the check by the schema", || {
        let right = trees.iter().map(|tree| schema::check(tree, &schema, &mut Vec::new()));
        right.filter(serde_json::Value::is_object).count()
    });
    report("  of that, serde_yaml", || {
        let texts = sources.iter().filter(|(name, _)| name.ends_with(".yaml"));
        texts.filter(|(_, bytes)| serde_yaml::from_slice::<ScenarioFile>(bytes).is_ok()).count()
    });
    report("the whole program", || {
        let program = std::process::Command::new(env!("CARGO_BIN_EXE_amadare"))
            .arg("check")
            .arg(folder.path())
            .output()
            .expect("it was built with this");
        assert!(program.status.success(), "{}", String::from_utf8_lossy(&program.stdout));
        files
    });
}

fn trees(sources: &Sources) -> Vec<yaml::Node> {
    let texts = sources.iter().filter(|(name, _)| name.ends_with(".yaml"));
    texts.filter_map(|(name, bytes)| yaml::parse(&name.into(), bytes, &mut Vec::new())).collect()
}

fn report(what: &str, mut work: impl FnMut() -> usize) {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let began = Monotonic::now();
        std::hint::black_box(work());
        best = best.min(began.elapsed());
    }
    println!("{:8.1} ms  {what}", best.as_secs_f64() * 1e3);
}

fn write(folder: &std::path::Path, files: usize) {
    let coupon = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios/flex/coupon.json");
    std::fs::create_dir(folder.join("flex")).expect("the folder is new");
    std::fs::copy(coupon, folder.join("flex/coupon.json")).expect("it is shipped");
    for number in 0..files {
        let name = format!("trial-{number}");
        std::fs::write(folder.join(format!("{name}.yaml")), SCENARIO.replace("NAME", &name))
            .expect("there is room");
    }
}

fn amount(name: &str, default: usize) -> usize {
    let prefix = format!("{name}=");
    let given = std::env::args().find_map(|argument| argument.strip_prefix(&prefix).map(str::to_owned));
    given.map_or(default, |text| text.parse().expect("a whole number"))
}
