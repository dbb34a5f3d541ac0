use std::fs;

use super::*;

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn scenario(include: &str) -> String {
    format!("steps:\n  - push: {{ $file: {include} }}\n")
}

fn names(sources: &Sources, folder: &Path) -> Vec<String> {
    let folder = format!("{}/", folder.display());
    sources.iter().map(|(name, _)| name.strip_prefix(&folder).unwrap().to_owned()).collect()
}

#[test]
fn a_folder_is_its_scenarios_and_what_they_include() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "a.yaml", &scenario("flex/a.json"));
    write(folder, "b.yml", &scenario("./flex/a.json"));
    write(folder, ".hidden.yaml", "");
    write(folder, "notes.txt", "");
    write(folder, "inner/c.yaml", "");
    write(folder, "flex/a.json", "{}");
    write(folder, "flex/unused.json", "{}");
    let sources = Sources::read(&[folder.to_owned()]).unwrap();
    assert_eq!(names(&sources, folder), ["a.yaml", "b.yml", "flex/a.json"]);
    assert_eq!(sources.scenarios().count(), 2);
    let single = Sources::read(&[folder.join("a.yaml")]).unwrap();
    assert_eq!(names(&single, folder), ["a.yaml", "flex/a.json"]);
    assert_ne!(single.digest(), sources.digest());
    assert!(Sources::read(&[folder.join("nowhere")]).is_err());
}

#[test]
fn no_path_leaves_the_folder() {
    for path in ["../a.json", "flex/../../a.json", "/etc/a.json", "", "..\\a.json", "flex/..\\..\\a.json"] {
        assert!(include_name("scenarios/a.yaml", path).is_err(), "{path}");
    }
    assert_eq!(include_name("scenarios/a.yaml", "./flex/a.json").unwrap(), "scenarios/flex/a.json");
    assert_eq!(include_name("a.yaml", "a.json").unwrap(), "a.json");
}

#[cfg(unix)]
#[test]
fn no_link_leads_out_of_the_folder() {
    let whole = tempfile::tempdir().unwrap();
    let folder = whole.path().join("scenarios");
    write(whole.path(), "secret.json", "{}");
    write(&folder, "real.json", "{}");
    write(
        &folder,
        "a.yaml",
        &format!("{}{}", scenario("out.json"), scenario("in.json").replace("steps", "more")),
    );
    std::os::unix::fs::symlink(whole.path().join("secret.json"), folder.join("out.json")).unwrap();
    std::os::unix::fs::symlink("real.json", folder.join("in.json")).unwrap();
    let sources = Sources::read(std::slice::from_ref(&folder)).unwrap();
    assert_eq!(names(&sources, &folder), ["a.yaml", "in.json"]);
    let refused = sources.get(&format!("{}/out.json", folder.display()));
    assert!(matches!(refused, Some(Content::Refused(r)) if r.code == "include"), "{refused:?}");
}

#[test]
fn bounds_of_a_set() {
    let many = (0..MAX_FILES + 5).map(|index| (format!("s{index:05}.yaml"), Vec::new()));
    let sources = Sources::from_files(many);
    assert_eq!(sources.iter().count(), MAX_FILES);
    assert_eq!(sources.scenarios().count(), MAX_FILES + 1);
    let large = (0..65).map(|index| (format!("s{index:05}.yaml"), vec![b'#'; MAX_SCENARIO_BYTES]));
    let sources = Sources::from_files(large);
    assert_eq!(sources.iter().count(), MAX_TOTAL_BYTES / MAX_SCENARIO_BYTES);
}

#[test]
fn what_is_no_plain_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("a.yaml")).unwrap();
    let sources = Sources::read(&[folder.path().to_owned()]).unwrap();
    let (_, content) = sources.scenarios().next().unwrap();
    assert!(matches!(content, Content::Refused(r) if r.message == "not a plain file"), "{content:?}");
}
