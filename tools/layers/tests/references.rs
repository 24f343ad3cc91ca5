//! What the scanners take for a reference, on small libraries.

use layers::circles::find;
use layers::modules::{Program, References};
use std::fs;
use std::path::{Path, PathBuf};

/// Writes the files into a folder of their own. Each is "NAME: TEXT".
fn library(name: &str, files: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    for file in files {
        let (path, text) = file.split_once(": ").unwrap();
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// The references as "FROM -> TO: NAMES", without the library's folder.
fn lines(references: &References, folder: &Path) -> Vec<String> {
    let name = |path: &Path| path.strip_prefix(folder).unwrap().display().to_string();
    let lines = references.iter().map(|((from, to), names)| {
        let names: Vec<&str> = names.iter().map(|name| &name[..]).collect();
        format!("{} -> {}: {}", name(from), name(to), names.join(", "))
    });
    lines.collect()
}

fn rust(name: &str, files: &[&str]) -> Vec<String> {
    let folder = library(name, files);
    let mut found = References::new();
    Program::read(&folder.join("lib.rs")).references(&mut found);
    lines(&found, &folder)
}

#[test]
fn imports_paths_and_macros_are_references() {
    let found = rust(
        "imports",
        &[
            "lib.rs: mod a; mod b; mod c; mod d; use a::{X, inner::{self, Y as Z}}; \
             fn f() { b::g::<c::T>(self::d::D { x: inner::h() }); crate::m!(super); }",
            "a.rs: pub mod inner; pub struct X;",
            "a/inner.rs: pub struct Y; pub fn h() {}",
            "b.rs: pub fn g<T>() { if x == '\"' || c == '\\'' { } crate::c::T; }\
             impl<'a> super::c::T { }",
            "c.rs: pub struct T; #[macro_export] macro_rules! m { () => { $crate::d::D } }",
            "d.rs: pub struct D;",
        ],
    );
    assert_eq!(
        found,
        [
            "b.rs -> c.rs: T",
            "c.rs -> d.rs: D",
            "lib.rs -> a/inner.rs: Y, h",
            "lib.rs -> a.rs: X",
            "lib.rs -> b.rs: g",
            "lib.rs -> c.rs: T, m",
            "lib.rs -> d.rs: D",
        ]
    );
}

#[test]
fn a_name_that_is_imported_for_others_leads_to_its_file() {
    let found = rust(
        "exports",
        &[
            "lib.rs: mod a; mod b; mod user; pub use a::A; pub use b::*;",
            "a.rs: pub struct A;",
            "b.rs: pub const B: u8 = { 1 }; pub static mut C: [u8; 2] = [0; 2]; pub(crate) type D = u8;",
            "user.rs: use crate::{A, B}; use super::C as _; fn f(_: crate::D) {}",
        ],
    );
    assert_eq!(found, ["user.rs -> a.rs: A", "user.rs -> b.rs: B, C, D"]);
}

#[test]
fn comments_strings_tests_and_other_crates_are_no_references() {
    let found = rust(
        "none",
        &[
            "lib.rs: mod a; mod b;",
            "a.rs: pub struct A;",
            "b.rs: // use crate::a::A;\n/* crate::a::A /* */ */ const S: &str = \"crate::a::A\";\n\
             const R: &str = r#\"crate::a::\"A\"#; use ::a::A; pub(in crate::a) fn f() {}\n\
             #[cfg(test)] mod tests { use crate::a::A; }\n#[cfg(test)] use crate::a::A as B;\n\
             fn g() { #[cfg(test)] crate::a::A::new(); h(x.crate_, 'c'); }",
        ],
    );
    assert_eq!(found, [""; 0]);
}

#[test]
fn ocaml_modules_refer_to_those_of_their_library() {
    let folder = library(
        "ocaml",
        &[
            "src/dune: (include_subdirs unqualified) (library (name one))",
            "src/a.ml: (* Inner.x \"*)\" *) let x = Inner.y '\"' and z = Some \"B.x\"",
            "src/b.mli: open A\nval x : 'a -> Two.t",
            "src/internal/inner.ml: module A = A\nmodule B = struct end let y = B.x (C 1)",
            "src/c.ml: let x = 1",
            "two/dune: ; one\n(library (name two) (libraries one unix)) (rule (deps one))",
            "two/two.ml: let x = A.x",
        ],
    );
    let mut references = References::new();
    layers::ocaml::references(std::slice::from_ref(&folder), &mut references);
    assert_eq!(
        lines(&references, &folder),
        [
            "src/a.ml -> src/internal/inner.ml: Inner",
            "src/b.ml -> src/a.ml: A",
            "src/internal/inner.ml -> src/a.ml: A",
            "two/dune -> src/dune: one",
        ]
    );
    let circles = find(&references);
    let parts: Vec<_> = circles.iter().map(|circle| &circle.parts).collect();
    assert_eq!(circles.len(), 1, "{circles:?}");
    assert!(parts[0].iter().eq(["a", "internal"]), "{parts:?}");
}

#[test]
fn a_module_and_its_folder_are_one_part() {
    let tie = |from: &str, to: &str| ((from.into(), to.into()), [String::from("X")].into());
    let within = [tie("s/a.rs", "s/a/x.rs"), tie("s/a/x.rs", "s/a.rs")];
    assert!(find(&References::from(within)).is_empty());
    let two = [
        tie("s/a/x.rs", "s/b.rs"),
        tie("s/b/y.rs", "s/a.rs"),
        tie("s/c.rs", "s/a.rs"),
    ];
    let found = find(&References::from(two));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].folder == Path::new("s") && found[0].parts.iter().eq(["a", "b"]));
    let below = [
        tie("s/a/x.rs", "s/a/y.rs"),
        tie("s/a/y.rs", "s/a/z.rs"),
        tie("s/a/z.rs", "s/a/x.rs"),
    ];
    let found = find(&References::from(below));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].folder == Path::new("s/a") && found[0].ties.len() == 3,
        "{found:?}"
    );
}
