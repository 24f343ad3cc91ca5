//! `docs/configuration.md` against the names of variables in the code.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Rust files below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path
            .extension()
            .is_some_and(|end| end == "rs" || end == "ml")
        {
            found.push(path);
        }
    }
}

/// The string literals of a file that are a variable's name and nothing else.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').filter(|word| {
        word.strip_prefix("SOIL_").is_some_and(|rest| {
            let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            !rest.is_empty() && rest.chars().all(fits)
        })
    })
}

/// The readers of each variable, by the files that name it.
fn read_by() -> BTreeMap<String, &'static str> {
    let areas = [
        ("resources/src", "both"),
        ("platform/src", "both"),
        ("platform/host/src", "process"),
        ("platform/image/src", "image"),
        ("kernel/src", "image"),
        ("firmware/src", "image"),
        ("soil-ocaml/src", "both"),
        ("tools/src", "tool"),
        ("fs", "tests"),
        ("net", "tests"),
    ];
    let mut found: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
    for (area, form) in areas {
        let mut files = Vec::new();
        sources(&Path::new(ROOT).join(area), &mut files);
        assert!(!files.is_empty(), "{area}");
        for file in &files {
            let text = fs::read_to_string(file).expect("readable");
            for name in names(&text) {
                let name = match name {
                    "SOIL_DISK_" => "SOIL_DISK_NAME",
                    name => name,
                };
                found.entry(name.to_owned()).or_default().push(form);
            }
        }
    }
    let strongest = |forms: Vec<&'static str>| {
        // Variables that the tool hands on, and that tests set, are read by the program.
        let order = ["both", "process", "image", "tool", "tests"];
        let both = ["process", "image"].iter().all(|form| forms.contains(form));
        let first = order.into_iter().find(|form| forms.contains(form));
        if both {
            "both"
        } else {
            first.unwrap_or("tests")
        }
    };
    // An image asks what it is before it would look.
    found.insert("SOIL_NET".to_owned(), vec!["process"]);
    // Models beside the kernel's sources ask for it.
    found.insert("SOIL_TEST_LONG".to_owned(), vec!["tests"]);
    found
        .into_iter()
        .map(|(name, forms)| (name, strongest(forms)))
        .collect()
}

/// The document's names with their forms.
fn table() -> BTreeMap<String, String> {
    let document = fs::read_to_string(Path::new(ROOT).join("docs/configuration.md")).expect("docs");
    let mut table = BTreeMap::new();
    for line in document.lines().filter(|line| line.starts_with("| `SOIL_")) {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let name = cells.next().expect("a name").trim_matches('`').to_owned();
        let form = cells.next().expect("a form").to_owned();
        assert_eq!(table.insert(name, form), None, "twice: {line}");
        assert_eq!(line.matches('|').count(), 6, "columns of {line}");
    }
    table
}

#[test]
fn a_misspelt_name_is_noticed_by_these_lists() {
    let of = |lists: &[&str], forms: &[&str]| {
        let table = table();
        let ours = table
            .iter()
            .filter(|(_, form)| forms.contains(&form.as_str()));
        let ours = ours.filter_map(|(name, _)| name.strip_prefix(configuration::PREFIX));
        let mut ours: Vec<&str> = ours.filter(|name| *name != "DISK_NAME").collect();
        ours.sort_unstable();
        let mut lists = lists.to_vec();
        lists.sort_unstable();
        assert_eq!(
            ours, lists,
            "left: docs/configuration.md, right: platform/configuration/src/lib.rs"
        );
    };
    of(configuration::OF_PROGRAMS, &["both", "process", "image"]);
    of(configuration::OF_COMMANDS, &["tool"]);
    for name in table().keys() {
        assert_eq!(configuration::unknown(name), None, "{name}");
    }
}

#[test]
fn the_table_has_every_variable_with_its_form() {
    let read: BTreeMap<String, String> = read_by()
        .into_iter()
        .map(|(name, form)| (name, form.to_owned()))
        .collect();
    assert_eq!(
        table(),
        read,
        "left: docs/configuration.md, right: the code"
    );
}
