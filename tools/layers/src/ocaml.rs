//! The references between OCaml's files: inside a library to its modules, and between libraries
//! those in dune's files.

use crate::modules::References;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Words after which a module's name isn't followed by a full stop.
const OPENERS: [&str; 4] = ["open", "!", "include", "="];

/// Adds the references between the libraries below the folders, without their tests. A library's
/// modules are those in its folder, and in folders below that have none of their own.
///
/// # Panics
/// If a file can't be read.
pub fn references(folders: &[PathBuf], into: &mut References) {
    let mut libraries = BTreeMap::new();
    let mut stanzas = Vec::new();
    let mut modules: BTreeMap<PathBuf, BTreeMap<String, PathBuf>> = BTreeMap::new();
    let mut files = Vec::new();
    for folder in folders {
        read_folder(folder, folder, &mut files);
    }
    for (owner, file) in &files {
        if file.ends_with("dune") {
            let text = fs::read_to_string(file).expect("a file of dune");
            let names: Vec<String> = words(&text, ";").collect();
            let is_name = |word: &str| matches!(word, "name" | "public_name");
            for pair in names.windows(2).filter(|pair| is_name(&pair[0])) {
                libraries.insert(pair[1].clone(), file.clone());
            }
            stanzas.push((file, names));
        } else {
            let own = modules.entry(owner.clone()).or_default();
            own.insert(module_of(file), file.with_extension("ml"));
        }
    }
    for (dune, names) in stanzas {
        let used = names.iter().skip_while(|word| *word != "libraries");
        for name in used.take_while(|word| *word != ")") {
            if let Some(other) = libraries.get(name).filter(|other| *other != dune) {
                let names = into.entry((dune.clone(), other.clone())).or_default();
                names.insert(name.clone());
            }
        }
    }
    for (owner, file) in &files {
        let Some(own) = modules.get(owner).filter(|_| !file.ends_with("dune")) else {
            continue;
        };
        let text = fs::read_to_string(file).expect("a source file");
        let from = file.with_extension("ml");
        for name in names(&text) {
            if let Some(to) = own.get(&name).filter(|to| **to != from) {
                into.entry((from.clone(), to.clone()))
                    .or_default()
                    .insert(name);
            }
        }
    }
}

/// Finds the files of dune and OCaml, each with the folder of its library.
fn read_folder(folder: &Path, owner: &Path, files: &mut Vec<(PathBuf, PathBuf)>) {
    let has_stanzas = |dune: &Path| {
        fs::read_to_string(dune)
            .is_ok_and(|text| text.contains("(library") || text.contains("(name"))
    };
    let owner = if has_stanzas(&folder.join("dune")) {
        folder
    } else {
        owner
    };
    for entry in fs::read_dir(folder).expect("a folder of OCaml's libraries") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir()
            && !matches!(&name[..], "test" | "examples")
            && !name.starts_with(['.', '_'])
        {
            read_folder(&path, owner, files);
        } else if name == "dune" || name.ends_with(".ml") || name.ends_with(".mli") {
            files.push((owner.to_owned(), path));
        }
    }
}

/// The name of the module in a file.
fn module_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let (first, rest) = stem.split_at(1);
    first.to_uppercase() + rest
}

/// The modules that a source refers to and doesn't define.
fn names(text: &str) -> BTreeSet<String> {
    let words: Vec<String> = words(text, "").collect();
    let at = |index: usize| words.get(index).map_or("", |word| &word[..]);
    let mut found = BTreeSet::new();
    let mut own = BTreeSet::new();
    for (index, word) in words.iter().enumerate() {
        let before = if index > 0 { at(index - 1) } else { "" };
        if !word.starts_with(char::is_uppercase) || before == "." {
            continue;
        }
        // `module X = X` names another one.
        if before == "module" && !(at(index + 1) == "=" && at(index + 2) == word) {
            own.insert(word.clone());
        } else if at(index + 1) == "." || OPENERS.contains(&before) {
            found.insert(word.clone());
        }
    }
    found.retain(|name| !own.contains(name));
    found
}

/// The words of OCaml's code, or of dune's with its `comment`: names and single characters,
/// without comments and strings.
fn words<'a>(text: &'a str, comment: &'a str) -> impl Iterator<Item = String> + 'a {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start();
            let first = rest.chars().next()?;
            if !comment.is_empty() && rest.starts_with(comment) {
                rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            } else if comment.is_empty() && rest.starts_with("(*") {
                rest = &rest[end_of_comment(rest)..];
            } else if first == '"' {
                rest = &rest[end_of_string(rest)..];
            } else if first == '\'' {
                // A character, or a type's variable.
                let end = rest.char_indices().skip(2).find(|(_, c)| *c == '\'');
                let is_character =
                    end.is_some_and(|(at, _)| at <= 5 && !rest[1..at].contains(' ') || at == 2);
                let skipped = end.filter(|_| is_character).map_or(1, |(at, _)| at + 1);
                rest = &rest[skipped..];
            } else {
                let is_name = |c: char| {
                    c.is_alphanumeric()
                        || matches!(c, '_' | '\'')
                        || !comment.is_empty() && matches!(c, '.' | '-')
                };
                let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
                let (word, after) = rest.split_at(length.max(first.len_utf8()));
                rest = after;
                return Some(word.to_owned());
            }
        }
    })
}

/// The length of a comment: others and strings may be inside.
fn end_of_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        at += match c {
            '(' if rest.starts_with("(*") => {
                depth += 1;
                2
            }
            '*' if rest.starts_with("*)") => {
                depth -= 1;
                2
            }
            '"' => end_of_string(rest),
            '\'' if rest.starts_with("'\"'") => 3,
            c => c.len_utf8(),
        };
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a string.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}
