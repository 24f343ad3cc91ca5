//! Circles: parts of a folder that refer to each other in a loop.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::modules::References;

/// The parts of a folder that refer to each other in a loop, and what ties them.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Circle {
    /// The folder, from the repository's root.
    pub folder: PathBuf,
    /// Files and folders without extension; a module's file and folder are one part.
    pub parts: BTreeSet<String>,
    /// Lines "FILE -> FILE: names".
    pub ties: Vec<String>,
}

/// Finds the circles in all folders of the files with these references. A module's file and the
/// folder with its modules are one part: they may use each other.
pub fn find(references: &References) -> Vec<Circle> {
    let mut folders: BTreeMap<PathBuf, BTreeMap<(String, String), Vec<String>>> = BTreeMap::new();
    for ((from, to), names) in references {
        let names: Vec<&str> = names.iter().map(|name| &name[..]).collect();
        let line = format!(
            "{} -> {}: {}",
            from.display(),
            to.display(),
            names.join(", ")
        );
        for folder in from.ancestors().skip(1) {
            if let (Some(one), Some(other)) = (part(folder, from), part(folder, to))
                && one != other
            {
                let ties = folders.entry(folder.to_owned()).or_default();
                ties.entry((one, other)).or_default().push(line.clone());
            }
        }
    }
    let mut found = Vec::new();
    for (folder, ties) in folders {
        let mut rest: BTreeSet<&str> = ties.keys().map(|(from, _)| &from[..]).collect();
        while let Some(start) = rest.pop_first() {
            let after = reachable(start, &ties);
            let mut parts: BTreeSet<&str> = after.iter().copied().collect();
            parts.retain(|part| reachable(part, &ties).contains(start));
            if parts.len() < 2 {
                continue;
            }
            rest.retain(|part| !parts.contains(part));
            let inside = |(from, to): &(String, String)| {
                parts.contains(&from[..]) && parts.contains(&to[..])
            };
            let lines = ties
                .iter()
                .filter(|(tie, _)| inside(tie))
                .flat_map(|(_, lines)| lines);
            found.push(Circle {
                folder: folder.clone(),
                parts: parts.iter().map(|part| (*part).to_owned()).collect(),
                ties: lines.cloned().collect(),
            });
        }
    }
    found
}

/// The part of `folder` that has `file`, unless that is a program's root.
fn part(folder: &Path, file: &Path) -> Option<String> {
    let part = file.strip_prefix(folder).ok()?.components().next()?;
    let name = Path::new(part.as_os_str()).with_extension("");
    let name = name.to_string_lossy();
    (!matches!(&name[..], "lib" | "main")).then(|| name.into())
}

/// The parts that `start` refers to, directly or indirectly.
fn reachable<'a>(
    start: &'a str,
    ties: &'a BTreeMap<(String, String), Vec<String>>,
) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut next = vec![start];
    while let Some(from) = next.pop() {
        for (_, to) in ties.keys().filter(|(one, _)| one == from) {
            if found.insert(&to[..]) {
                next.push(to);
            }
        }
    }
    found
}
