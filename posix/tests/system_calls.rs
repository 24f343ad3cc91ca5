//! The table of system calls: each call that the kernel numbers has one row.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn source(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text between `start` and the next `end`.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text
        .split_once(start)
        .unwrap_or_else(|| panic!("no {start}"));
    rest.split_once(end).unwrap_or_else(|| panic!("no {end}")).0
}

fn is_name(word: &str) -> bool {
    let mut letters = word.chars();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_uppercase())
        && letters.all(|letter| matches!(letter, 'A'..='Z' | '0'..='9' | '_'))
}

/// The names of the table's rows, with the number of rows of each.
fn rows() -> BTreeMap<String, usize> {
    let table = source("src/system_calls.rs");
    let (_, table) = table.split_once("\ntable! {\n").expect("the table");
    let mut found = BTreeMap::new();
    // Names of a row that doesn't fit in a line.
    let mut begun = String::new();
    for line in table.lines().map(str::trim) {
        let (names, is_whole) = match line.split_once("=>") {
            Some((names, _)) => (names, true),
            None => (line, false),
        };
        let names = format!("{begun} {names}");
        let are_names = names
            .split(['|', ' '])
            .filter(|word| !word.is_empty())
            .all(is_name);
        begun = if are_names && !is_whole {
            names.clone()
        } else {
            String::new()
        };
        if are_names && is_whole {
            for name in names.split(['|', ' ']).filter(|word| !word.is_empty()) {
                *found.entry(name.to_owned()).or_default() += 1;
            }
        }
    }
    found
}

#[test]
fn each_system_call_has_one_row() {
    let numbers = source("../kernel/src/arch/numbers.rs");
    let list = between(&numbers, "\nnumbers! {", "}");
    let mut named: Vec<&str> = list
        .split([',', '\n', ' '])
        .filter(|word| is_name(word))
        .collect();
    named.push("FCHMODAT2");
    assert!(named.len() > 180, "{named:?}");
    let mut rows = rows();
    // Soil's own, with numbers that Linux doesn't have.
    for own in ["RESOLVE_NAME", "EXCHANGE_DNS"] {
        assert_eq!(rows.remove(own), Some(1), "{own}");
    }
    for name in &named {
        assert_eq!(rows.remove(*name), Some(1), "rows of {name}");
    }
    assert_eq!(rows, BTreeMap::new(), "rows without a number");
}

#[test]
fn each_row_is_a_call_of_linux() {
    let numbers = source("../kernel/src/arch/numbers.rs");
    let common = between(&numbers, "const COMMON: &str = \"", "\";");
    let mut lists = common.to_owned();
    for processor in ["x86_64", "aarch64"] {
        let names = source(&format!("../kernel/src/arch/numbers/{processor}.rs"));
        lists.push_str(between(&names, "const NAMES: &str = \"", "\";"));
        lists.push(' ');
    }
    let known: Vec<&str> = lists.split_whitespace().collect();
    for name in rows().keys() {
        let is_own = ["RESOLVE_NAME", "EXCHANGE_DNS", "FCHMODAT2"].contains(&&**name);
        assert!(is_own || known.contains(&&*name.to_lowercase()), "{name}");
    }
}
