//! The bytes of a scenario set, gathered before anything is made of them.
//!
//! Loading is pure because of it: the same sources give the same set, and a set that is kept in the
//! store can be loaded again without its folder.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::scenario::message::FILE_KEY;
use crate::scenario::yaml::{self, Data, Node};

/// The largest scenario file, in bytes: a scenario of a hundred rich steps stays well below.
pub const MAX_SCENARIO_BYTES: usize = 256 * 1024;
/// The largest included file, in bytes; LINE takes 50 KB of a flex message.
pub const MAX_INCLUDE_BYTES: usize = 256 * 1024;
/// The most files of a set, included ones among them.
pub const MAX_FILES: usize = 2_000;
/// All files of a set together, in bytes: a set is kept in the store as one value's worth of memory.
pub const MAX_TOTAL_BYTES: usize = 16 * 1024 * 1024;

/// A path that was given and cannot be read at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
pub struct SourcesError {
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

/// The files of a scenario set by name.
///
/// A name ends in `.yaml` or `.yml` if it is a scenario, and anything else is a file that a scenario
/// includes. Names are those that findings are printed with, with `/` between their parts.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: BTreeMap<Arc<str>, Content>,
    total_bytes: usize,
}

/// What a file holds, or why it was not taken in.
#[derive(Clone, Debug)]
pub enum Content {
    Bytes(Arc<[u8]>),
    Refused(Refusal),
}

/// Why a file was not taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One of the codes of findings.
    pub code: &'static str,
    pub message: String,
}

impl Refusal {
    fn new(code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }
}

impl Sources {
    /// Reads scenario files and folders of them, and what they include.
    ///
    /// A folder stands for its own `*.yaml` and `*.yml` files, not those of folders in it. Included
    /// files must lie in the folder of the scenario that names them. A file that is over a bound or
    /// cannot be read is kept as refused, and no more than its bound is read of it.
    ///
    /// # Errors
    /// A given path does not exist, or a folder cannot be listed.
    pub fn read(paths: &[PathBuf]) -> Result<Sources, SourcesError> {
        let mut sources = Sources::default();
        for path in paths {
            let failed = |source| SourcesError { path: path.clone(), source };
            let metadata = std::fs::metadata(path).map_err(failed)?;
            if !metadata.is_dir() {
                sources.read_scenario(path);
                continue;
            }
            let mut inside = Vec::new();
            for entry in std::fs::read_dir(path).map_err(failed)? {
                let file = entry.map_err(failed)?.path();
                if is_scenario(&name_of(&file)) && !is_hidden(&file) {
                    inside.push(file);
                }
            }
            inside.sort();
            for file in &inside {
                sources.read_scenario(file);
            }
        }
        Ok(sources)
    }

    /// Sources from memory: names and contents as [`Sources::iter`] gives them.
    pub fn from_files(
        files: impl IntoIterator<Item = (impl Into<Arc<str>>, impl Into<Arc<[u8]>>)>,
    ) -> Sources {
        let mut sources = Sources::default();
        for (name, bytes) in files {
            sources.take_in(name.into(), bytes.into());
        }
        sources
    }

    /// The files that were taken in, scenarios and included ones, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().filter_map(|(name, content)| match content {
            Content::Bytes(bytes) => Some((&**name, &**bytes)),
            Content::Refused(_) => None,
        })
    }

    /// The scenario files, by name.
    pub fn scenarios(&self) -> impl Iterator<Item = (&Arc<str>, &Content)> {
        self.files.iter().filter(|(name, content)| {
            // what was refused under another name was named as a scenario by the caller
            is_scenario(name) || matches!(content, Content::Refused(r) if r.code == "file-name")
        })
    }

    pub fn get(&self, name: &str) -> Option<&Content> {
        self.files.get(name)
    }

    /// A line of a file, from 1 as findings count them; none of a file that was not taken in.
    pub fn line(&self, name: &str, line: usize) -> Option<Cow<'_, str>> {
        let Some(Content::Bytes(bytes)) = self.get(name) else { return None };
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let starts = yaml::line_starts(bytes);
        let start = *starts.get(line.checked_sub(1)?)?;
        let end = starts.get(line).copied().unwrap_or(bytes.len());
        let text = String::from_utf8_lossy(&bytes[start..end]);
        Some(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim_end_matches(['\r', '\n'])),
            Cow::Owned(text) => Cow::Owned(text.trim_end_matches(['\r', '\n']).to_owned()),
        })
    }

    /// SHA-256 over names and contents: equal for equal sets, wherever their folder lies.
    pub fn digest(&self) -> [u8; 32] {
        let shared = self.shared_folder();
        let mut digest = Sha256::new();
        for (name, bytes) in self.iter() {
            for part in [&name.as_bytes()[shared..], bytes] {
                digest.update((part.len() as u64).to_be_bytes());
                digest.update(part);
            }
        }
        digest.finalize().into()
    }

    /// How many bytes of every name are the folder that all scenarios are in.
    fn shared_folder(&self) -> usize {
        let mut folders = self.scenarios().map(|(name, _)| folder_of(name));
        let first = folders.next().unwrap_or_default();
        let all_alike = folders.all(|folder| folder == first);
        if all_alike && self.iter().all(|(name, _)| name.starts_with(first)) { first.len() } else { 0 }
    }

    fn read_scenario(&mut self, path: &Path) {
        let name: Arc<str> = name_of(path).into();
        if self.files.contains_key(&name) {
            return;
        }
        if !is_scenario(&name) {
            let refusal = Refusal::new("file-name", "a scenario file's name ends in .yaml or .yml");
            self.files.insert(name, Content::Refused(refusal));
            return;
        }
        match read_bounded(path, MAX_SCENARIO_BYTES, "a scenario file") {
            Err(refusal) => {
                self.files.insert(name, Content::Refused(refusal));
            }
            Ok(bytes) => {
                self.take_in(Arc::clone(&name), bytes.clone().into());
                let tree = yaml::parse(&name, &bytes, &mut Vec::new());
                let mut included = Vec::new();
                tree.iter().for_each(|tree| collect_includes(tree, &mut included));
                for wanted in included {
                    self.read_include(path, &name, &wanted);
                }
            }
        }
    }

    fn read_include(&mut self, scenario: &Path, scenario_name: &str, wanted: &str) {
        // a path that leaves the folder is told where it is written
        let Ok(name) = include_name(scenario_name, wanted) else { return };
        if self.files.contains_key(name.as_str()) {
            return;
        }
        let folder = scenario.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let path = folder.join(wanted);
        let read =
            inside(folder, &path).and_then(|()| read_bounded(&path, MAX_INCLUDE_BYTES, "an included file"));
        match read {
            Ok(bytes) => self.take_in(name.into(), bytes.into()),
            Err(refusal) => {
                self.files.insert(name.into(), Content::Refused(refusal));
            }
        }
    }

    fn take_in(&mut self, name: Arc<str>, bytes: Arc<[u8]>) {
        let bound = if is_scenario(&name) { MAX_SCENARIO_BYTES } else { MAX_INCLUDE_BYTES };
        let refusal = if self.files.len() >= MAX_FILES {
            // the one file that tells of the bound; those after it add nothing
            if self.files.values().any(|c| matches!(c, Content::Refused(r) if r.code == "too-many-files")) {
                return;
            }
            Some(Refusal::new("too-many-files", format!("more than {MAX_FILES} files")))
        } else if bytes.len() > bound {
            Some(Refusal::new("too-large", format!("the file is larger than {} KiB", bound / 1024)))
        } else if self.total_bytes + bytes.len() > MAX_TOTAL_BYTES {
            let message = format!("all files together are larger than {} MiB", MAX_TOTAL_BYTES / 1024 / 1024);
            Some(Refusal::new("too-large", message))
        } else {
            self.total_bytes += bytes.len();
            None
        };
        self.files.insert(name, refusal.map_or(Content::Bytes(bytes), Content::Refused));
    }
}

/// True for the name of a scenario file.
pub fn is_scenario(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yml")
}

/// The name of a file that a scenario includes.
///
/// # Errors
/// The path leaves the scenario's folder, or would be taken for a scenario; the text says so.
pub fn include_name(scenario: &str, wanted: &str) -> Result<String, String> {
    let path = Path::new(wanted);
    if wanted.is_empty() || wanted.contains('\\') {
        return Err(format!("`{wanted}` is not a path; parts are separated by `/`"));
    }
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.push(part.to_string_lossy()),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(format!("`{wanted}` leaves the folder of the scenario"));
            }
        }
    }
    if !wanted.ends_with(".json") {
        return Err(format!("`{wanted}` is not a .json file"));
    }
    Ok(format!("{}{}", folder_of(scenario), parts.join("/")))
}

/// The folder part of a name, with its `/`.
fn folder_of(name: &str) -> &str {
    &name[..name.rfind('/').map_or(0, |slash| slash + 1)]
}

fn name_of(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// Follows links, so that none leads out of the folder.
fn inside(folder: &Path, path: &Path) -> Result<(), Refusal> {
    let unreadable = |error: io::Error| Refusal::new("unreadable", reason(&error));
    let folder = folder.canonicalize().map_err(unreadable)?;
    let target = path.canonicalize().map_err(unreadable)?;
    if target.starts_with(&folder) {
        Ok(())
    } else {
        Err(Refusal::new("include", "a link leads out of the folder of the scenario"))
    }
}

/// Reads a plain file of at most `bound` bytes; of a larger one, no more than that.
fn read_bounded(path: &Path, bound: usize, what: &str) -> Result<Vec<u8>, Refusal> {
    let unreadable = |error: io::Error| Refusal::new("unreadable", reason(&error));
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    // a pipe would wait for ever
    if !metadata.is_file() {
        return Err(Refusal::new("unreadable", "not a plain file"));
    }
    let too_large = || {
        let mib = metadata.len() as f64 / (1024.0 * 1024.0);
        Refusal::new("too-large", format!("{what} is at most {} KiB, not {mib:.1} MiB", bound / 1024))
    };
    if metadata.len() > bound as u64 {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(bound as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > bound { Err(too_large()) } else { Ok(bytes) }
}

/// The system's reason without its number, which says nothing to an author.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".into(),
        io::ErrorKind::PermissionDenied => "no permission to read it".into(),
        _ => error.to_string().to_lowercase(),
    }
}

fn collect_includes(node: &Node, found: &mut Vec<String>) {
    match &node.data {
        Data::List(items) => items.iter().for_each(|item| collect_includes(item, found)),
        Data::Map(entries) => {
            for entry in entries {
                match entry.value.as_text() {
                    Some(path) if entry.key == FILE_KEY => found.push(path.to_owned()),
                    _ => collect_includes(&entry.value, found),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
