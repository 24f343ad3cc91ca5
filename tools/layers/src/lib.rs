//! Checks the layers of a crate's modules: each module may import only from lower layers. The
//! crates' `tests/layers.rs` call it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules from the bottom layer up. Modules of one layer must not import each other.
pub type Layers<'a> = &'a [&'a [&'a str]];

/// Checks the modules directly in `folder` (`src`, or a module's folder such as `src/net`) of the
/// crate at `root`. Returns the number of imports between them.
///
/// A module consists of its file and its folder. Comments, unit tests and modules named `tests`
/// don't count.
///
/// # Panics
/// If an import isn't from a lower layer, a module is in no layer, or a layer lists a module that
/// doesn't exist.
pub fn check(root: &str, folder: &str, layers: Layers<'_>) -> usize {
    let source = Path::new(root).join("src");
    let inside = Path::new(root).join(folder);
    let inside = inside.strip_prefix(&source).expect("a folder of src");
    let parent = names(inside);
    let layer = |module: &str| layers.iter().position(|layer| layer.contains(&module));
    let (mut wrong, mut modules, mut checked) = (BTreeSet::new(), BTreeSet::new(), 0);
    for file in sources(&source.join(inside)) {
        let path = names(file.strip_prefix(&source).expect("below src"));
        let Some(module) = path.get(parent.len()) else {
            continue;
        };
        if path.iter().any(|name| name == "tests") || (parent.is_empty() && module == "lib") {
            continue;
        }
        modules.insert(module.clone());
        let Some(own) = layer(module) else {
            wrong.insert(format!("{module} is in no layer"));
            continue;
        };
        let text = fs::read_to_string(&file).expect("a source file");
        for import in imports(&text, &path) {
            let Some(other) = import
                .strip_prefix(&parent[..])
                .and_then(|rest| rest.first())
                .filter(|other| *other != module)
            else {
                continue;
            };
            // A name in no layer is an item of the parent module.
            if let Some(layer) = layer(other) {
                checked += 1;
                if layer >= own {
                    wrong.insert(format!("{module} imports {other} ({})", path.join("::")));
                }
            }
        }
    }
    for module in layers.concat() {
        if !modules.contains(module) {
            wrong.insert(format!("the layers have {module}, which doesn't exist"));
        }
    }
    assert!(wrong.is_empty(), "{folder}: {wrong:#?}");
    checked
}

/// Checks that only the modules `places` contain `name`, of those in `folder` of the crate at
/// `root`.
///
/// # Panics
/// If another one does, or none of `places`.
pub fn check_place(root: &str, folder: &str, places: &[&str], name: &str) {
    let inside = Path::new(root).join(folder);
    let contains = |file: &PathBuf| {
        let text = fs::read_to_string(file).expect("a source file");
        text.contains(name)
    };
    let is_there = |file: &PathBuf| {
        let path = names(file.strip_prefix(&inside).expect("below the folder"));
        path.first()
            .is_some_and(|module| places.contains(&module.as_str()))
    };
    let found = sources(&inside).into_iter().filter(contains);
    let (right, wrong): (Vec<_>, Vec<_>) = found.partition(is_there);
    assert!(wrong.is_empty(), "{name} belongs to {places:?}: {wrong:#?}");
    assert!(!right.is_empty(), "nothing in {places:?} contains {name}");
}

/// Returns the components of a path, without the extension.
fn names(path: &Path) -> Vec<String> {
    let path = path.with_extension("");
    let names = path.components().map(|name| name.as_os_str());
    names.map(|name| name.to_string_lossy().into()).collect()
}

/// Returns the source files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of the crate") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.append(&mut sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Returns the absolute paths, from the crate's root, that code in the module `own` refers to by
/// `crate::` and `super::`.
fn imports(text: &str, own: &[String]) -> Vec<Vec<String>> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("");
    let lines = code.lines().map(|line| line.trim_start());
    let code: Vec<&str> = lines.filter(|line| !line.starts_with("//")).collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    let mut rest = &code[..];
    while let Some(at) = rest
        .find("crate::")
        .into_iter()
        .chain(rest.find("super::"))
        .min()
    {
        // Excludes a macro's `$crate::` and `pub(super)`.
        let is_word = rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        let mut base: &[String] = &own[..0];
        let mut tail = &rest[at..];
        if tail.starts_with("super::") {
            base = own;
            while let Some(after) = tail.strip_prefix("super::") {
                base = &base[..base.len().saturating_sub(1)];
                tail = after;
            }
        } else {
            tail = &tail["crate::".len()..];
        }
        if !is_word {
            for path in expand(tail) {
                found.push(base.iter().cloned().chain(path).collect());
            }
        }
        rest = tail;
    }
    found
}

/// Parses the paths at the start of `text`: one path, or a group in braces.
fn expand(text: &str) -> Vec<Vec<String>> {
    if let Some(group) = text.strip_prefix('{') {
        let mut paths = Vec::new();
        let (mut depth, mut start) = (0, 0);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                ',' | '}' if depth == 0 => {
                    paths.append(&mut expand(group[start..at].trim()));
                    start = at + 1;
                    if c == '}' {
                        break;
                    }
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
        return paths;
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    if name.is_empty() {
        return Vec::new();
    }
    let prefix = |path: Vec<String>| [vec![name.to_owned()], path].concat();
    match rest.strip_prefix("::").map(expand) {
        Some(paths) if !paths.is_empty() => paths.into_iter().map(prefix).collect(),
        _ => vec![vec![name.to_owned()]],
    }
}

#[cfg(test)]
mod tests {
    use super::imports;

    #[test]
    fn finds_groups_and_parents_and_leaves_out_comments_and_tests() {
        let own = ["a", "b", "c"].map(String::from);
        let text = "use crate::{one, two::{three, Four}, five};\n\
            use super::six;\nuse super::super::seven::Eight;\n\
            // crate::nine\nfn f() { crate::ten::eleven(); }\npub(super) fn g() {}\n\
            macro_rules! m { () => { $crate::twelve() } }\n\
            #[cfg(test)]\nmod tests {\n    use crate::thirteen;\n}\n";
        let found: Vec<String> = imports(text, &own).iter().map(|it| it.join("::")).collect();
        assert_eq!(
            found,
            [
                "one",
                "two::three",
                "two::Four",
                "five",
                "a::b::six",
                "a::seven::Eight",
                "ten::eleven"
            ]
        );
    }
}
