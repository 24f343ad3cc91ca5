//! Known holes of OCaml's runtime and its bundled libraries, which programs link. SECURITY.md has
//! the same table with the conditions of each; a test compares them.

/// A version of OCaml: `5.4.1`.
type Version = (u32, u32, u32);

/// Each hole: the advisory of the OCaml security team, or its CVE; the faulty function or part; and
/// the first version without it. From the change lists of OCaml 5.4.1 and 5.5.2, without those that
/// affect only Windows or bytecode.
const HOLES: [(&str, &str, Version); 8] = [
    ("CVE-2026-28364", "Marshal.from_*, input_value", (5, 4, 1)),
    ("CVE-2026-34353", "Bigarray.reshape", (5, 5, 0)),
    (
        "OSEC-2026-18",
        "Marshal.from_string, Marshal.from_bytes",
        (5, 5, 1),
    ),
    ("OSEC-2026-21", "Str.string_partial_match", (5, 5, 2)),
    ("OSEC-2026-22", "Unix.map_file", (5, 5, 2)),
    ("OSEC-2026-23", "Marshal.from_*, input_value", (5, 5, 2)),
    ("OSEC-2026-25", "Runtime_events", (5, 5, 2)),
    ("OSEC-2026-26", "Runtime_events", (5, 5, 2)),
];

/// Returns one line for each hole of this OCaml version; none if the text isn't a version.
pub fn known(version: &str) -> Vec<String> {
    let Some(found) = numbers(version) else {
        return Vec::new();
    };
    let of_this = HOLES.iter().filter(|(.., mended)| found < *mended);
    let line = |(advisory, place, (major, minor, patch)): &(&str, &str, Version)| {
        format!("{advisory}: {place}, mended in OCaml {major}.{minor}.{patch}")
    };
    of_this.map(line).collect()
}

/// Parses the version at the start of `ocamlopt -version`'s output: `5.3.0`, `5.5.0~beta1`.
fn numbers(version: &str) -> Option<Version> {
    let digits = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit());
        text.get(..end.unwrap_or(text.len()))?.parse().ok()
    };
    let mut parts = version.trim().splitn(3, '.');
    let mut next = || digits(parts.next()?);
    Some((next()?, next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::{HOLES, known, numbers};

    #[test]
    fn a_version_has_the_holes_that_later_ones_mend() {
        let advisories = |version| {
            let lines = known(version).into_iter();
            let first = lines.filter_map(|line| Some(line.split_once(':')?.0.to_owned()));
            first.collect::<Vec<_>>()
        };
        assert_eq!(advisories("5.3.0").len(), HOLES.len());
        assert_eq!(
            known("5.4.0").first().map(String::as_str),
            Some("CVE-2026-28364: Marshal.from_*, input_value, mended in OCaml 5.4.1")
        );
        assert_eq!(
            advisories("5.4.1").first().map(String::as_str),
            Some("CVE-2026-34353")
        );
        assert_eq!(
            advisories("5.5.0").first().map(String::as_str),
            Some("OSEC-2026-18")
        );
        assert_eq!(advisories("5.5.1").len(), 5);
        assert!(known("5.5.2").is_empty() && known("5.10.0").is_empty());
    }

    #[test]
    fn versions_of_three_numbers_are_read() {
        assert_eq!(numbers("5.3.0\n"), Some((5, 3, 0)));
        assert_eq!(numbers("5.5.0~beta1"), Some((5, 5, 0)));
        assert_eq!(numbers("5.4.1+flambda"), Some((5, 4, 1)));
        for text in [
            "",
            "5.4",
            "/usr/bin/ocamlopt",
            "5..1",
            "a.b.c",
            "5.3.99999999999",
        ] {
            assert_eq!(numbers(text), None, "{text}");
        }
    }

    #[test]
    fn the_page_on_security_has_each_hole() {
        let page = include_str!("../../../SECURITY.md");
        let rows: Vec<&str> = page
            .lines()
            .filter(|line| line.starts_with("| CVE-") || line.starts_with("| OSEC-"))
            .collect();
        assert_eq!(rows.len(), HOLES.len());
        for (advisory, _, (major, minor, patch)) in &HOLES {
            let mended = format!("| {major}.{minor}.{patch} |");
            let row = rows.iter().find(|row| row.contains(advisory));
            assert!(
                row.is_some_and(|row| row.ends_with(&mended)),
                "{advisory}: {row:?}"
            );
        }
    }
}
