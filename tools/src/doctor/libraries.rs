//! The optional libraries of Soil: dune leaves one out where the OCaml library that it is for
//! wasn't installed when Soil was built, and a project that names it only hears that it isn't
//! found.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

/// Each with the OCaml library that it is for.
const OPTIONAL: &[(&str, &str)] = &[
    ("soil-cmdliner", "cmdliner"),
    ("soil-cohttp", "cohttp"),
    ("soil-cstruct", "cstruct"),
    ("soil-fmt", "fmt"),
    ("soil-grpc", "cohttp"),
    ("soil-http", "cohttp"),
    ("soil-http.gzip", "camlzip"),
    ("soil-http.logs", "logs"),
    ("soil-http.yojson", "yojson"),
    ("soil-ipaddr", "ipaddr"),
    ("soil-mirage.clock", "mirage-clock"),
    ("soil-mirage.crypto-rng", "mirage-crypto-rng"),
    ("soil-mirage.kv", "mirage-kv"),
    ("soil-mtime", "mtime"),
    ("soil-ptime", "ptime"),
    ("soil-sight.logs", "logs"),
    ("soil-sight.otel", "cohttp"),
    ("soil-sight.otel.grpc", "cohttp"),
    ("soil-sight.otel.http", "cohttp"),
    ("soil-sight.otel.logs", "logs"),
    ("soil-sight.otel.metrics", "cohttp"),
    ("soil-web.acme", "x509"),
    ("soil-web.jwt", "mirage-crypto-pk"),
    ("soil-web.oidc", "digestif"),
    ("soil-web.s3", "cohttp"),
    ("soil.lwt", "lwt"),
    ("soil.lwt.unix", "lwt"),
];

/// The libraries that findlib has, or those that it lacks.
pub fn check() -> Result<String, String> {
    let output = Command::new("ocamlfind")
        .arg("list")
        .stderr(Stdio::null())
        .output();
    let output = output.map_err(|_| "findlib finds none".to_owned())?;
    missing(&String::from_utf8_lossy(&output.stdout))
}

/// The same of a list by findlib, one library in each line.
fn missing(list: &str) -> Result<String, String> {
    let found = list.lines().filter_map(|line| line.split(' ').next());
    let found: BTreeSet<&str> = found.collect();
    let lacks = |name: &str| !found.contains(name);
    let missing: Vec<String> = OPTIONAL
        .iter()
        .filter(|(name, _)| lacks(name))
        .map(|(name, of)| format!("{name} (for {of})"))
        .collect();
    match missing.is_empty() {
        true => Ok(format!("all {} optional ones", OPTIONAL.len())),
        false => Err(format!("no {}", missing.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::{OPTIONAL, missing};
    use std::path::Path;

    #[test]
    fn a_library_that_was_left_out_is_named_with_what_it_is_for() {
        let all = |except: &str| -> String {
            let names = OPTIONAL.iter().map(|(name, _)| *name);
            let names = names.filter(|name| *name != except);
            names
                .map(|name| format!("{name}    (version: 0.1.0)\n"))
                .collect()
        };
        assert_eq!(missing(&all("")), Ok("all 27 optional ones".to_owned()));
        assert_eq!(
            missing(&all("soil-http.gzip")),
            Err("no soil-http.gzip (for camlzip)".to_owned())
        );
        let none = missing("ocamlfind: nothing\n").unwrap_err();
        assert!(none.contains("soil-http (for cohttp), soil-http.gzip (for camlzip)"));
    }

    /// Public names of the optional libraries below a folder, by their `dune` files.
    fn optional_below(folder: &Path, names: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                optional_below(&path, names);
            } else if path.file_name().is_some_and(|name| name == "dune") {
                let text = std::fs::read_to_string(&path).expect("a file");
                // A stanza begins at the start of a line.
                for stanza in text.split("\n(").filter(|text| text.contains("(optional)")) {
                    let name = stanza.split_once("(public_name ");
                    let name = name.and_then(|(_, rest)| rest.split_once(')'));
                    names.extend(name.map(|(name, _)| name.to_owned()));
                }
            }
        }
    }

    #[test]
    fn all_optional_libraries_are_known() {
        let mut names = Vec::new();
        for folder in ["../soil-ocaml", "../packages"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            optional_below(&folder, &mut names);
        }
        names.sort();
        let known: Vec<&str> = OPTIONAL.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, known);
    }
}
