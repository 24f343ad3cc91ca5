//! Resolves time zone names. A machine has no zoneinfo: it gets the current rule in POSIX form from
//! the end of the host's file (RFC 8536, 3.3).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// The folder of the host's zone files.
const ZONEINFO: &str = "/usr/share/zoneinfo";

/// Returns the value of `TZ` for a machine: replaces a name that the host knows with its rule.
pub fn value(value: &OsStr) -> OsString {
    rule(value, Path::new(ZONEINFO)).unwrap_or_else(|| value.to_owned())
}

fn rule(value: &OsStr, folder: &Path) -> Option<OsString> {
    let bytes = value.as_bytes();
    let name = OsStr::from_bytes(bytes.strip_prefix(b":").unwrap_or(bytes));
    let is_plain = |part: std::path::Component| matches!(part, std::path::Component::Normal(_));
    if name.is_empty() || !Path::new(name).components().all(is_plain) {
        return None;
    }
    let file = std::fs::read(folder.join(name)).ok()?;
    // Version 1 files have no rule.
    if !file.starts_with(b"TZif") || file.get(4).is_none_or(|version| *version < b'2') {
        return None;
    }
    let text = file.strip_suffix(b"\n")?;
    let start = text.iter().rposition(|byte| *byte == b'\n')? + 1;
    let rule = text.get(start..).filter(|rule| !rule.is_empty())?;
    Some(OsString::from_vec(rule.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::rule;
    use std::ffi::{OsStr, OsString};

    #[test]
    fn a_name_becomes_the_rule_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("Europe")).unwrap();
        let put = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        };
        put(
            "Europe/Berlin",
            b"TZif2...\nTZif2...\nCET-1CEST,M3.5.0,M10.5.0/3\n",
        );
        put("old", b"TZif\0...\nUTC0\n");
        put("none", b"TZif2...\n\n");
        put("text", b"some\ntext\n");
        let of = |name: &str| rule(OsStr::new(name), folder.path());
        let berlin = Some(OsString::from("CET-1CEST,M3.5.0,M10.5.0/3"));
        assert_eq!(
            [of("Europe/Berlin"), of(":Europe/Berlin")],
            [berlin.clone(), berlin]
        );
        for other in [
            "",
            "Europe",
            "Atlantis",
            "old",
            "none",
            "text",
            "../x",
            "/etc/localtime",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
