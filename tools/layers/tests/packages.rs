//! The packages for opam depend on each other as `packages/README.md` says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

type Packages = BTreeMap<String, BTreeSet<String>>;

/// The package of a file of OCaml.
fn package(path: &Path) -> Option<String> {
    let mut parts = path.iter().filter_map(|part| part.to_str());
    match parts.next()? {
        "soil-ocaml" => Some("soil".to_owned()),
        _ => parts.next().map(str::to_owned),
    }
}

/// The rows of the page: a package, and those that it needs.
fn documented(page: &str) -> Vec<(String, BTreeSet<String>)> {
    let rows = page.lines().filter(|line| line.starts_with("| [`"));
    let cells = rows.map(|row| row.split('|').skip(1).take(2).collect::<Vec<_>>());
    let names = |cell: &str| -> Vec<String> {
        let quoted = cell.split('`').skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    };
    cells
        .map(|row| (names(row[0]).remove(0), names(row[1]).into_iter().collect()))
        .collect()
}

#[test]
fn packages_need_those_that_the_page_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("packages/README.md")).expect("the page");
    let rows = documented(&page);
    let mut found = Packages::new();
    for ((from, to), _) in layers::ocaml_references() {
        if let (Some(from), Some(to)) = (package(&from), package(&to)) {
            let needs = found.entry(from.clone()).or_default();
            needs.extend((from != to).then_some(to));
        }
    }
    let wanted: Packages = rows.iter().cloned().collect();
    assert_eq!(found, wanted);
    // Each needs packages above its own row only.
    for (at, (name, needs)) in rows.iter().enumerate() {
        let above: BTreeSet<_> = rows[..at].iter().map(|(name, _)| name.clone()).collect();
        assert!(needs.is_subset(&above), "{name}: {needs:?}");
    }
}

#[test]
fn each_package_has_its_page_changes_and_opam_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folders = std::fs::read_dir(root.join("packages")).expect("the folder");
    let folders = folders.map(|entry| entry.expect("an entry").path());
    let mut count = 0;
    for folder in folders.filter(|path| path.is_dir()) {
        let name = folder.file_name().expect("a name").to_string_lossy();
        let opam = root.join(std::format!("opam/{name}.opam"));
        for file in [folder.join("README.md"), folder.join("CHANGES.md"), opam] {
            assert!(file.is_file(), "{} is missing", file.display());
        }
        count += 1;
    }
    assert!(count >= 16, "{count} packages");
}
