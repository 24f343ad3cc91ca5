//! `/etc/localtime`: the rule of the variable `TZ`, as a time zone file. Source: RFC 8536;
//! POSIX.1-2017, 8.3, for the rule.

use alloc::vec::Vec;

/// The file for a rule such as `CET-1CEST,M3.5.0,M10.5.0/3`; UTC for anything else.
pub fn file(rule: &str) -> Vec<u8> {
    let (rule, name, east) = match standard(rule) {
        Some((name, east)) => (rule, name, east),
        None => ("UTC0", "UTC", 0),
    };
    let mut file = Vec::new();
    // For readers of version 1, and for others.
    add_block(&mut file, name, east, &[]);
    // Before all times: readers use the rule only after the last change.
    add_block(&mut file, name, east, &[-1 << 59]);
    file.push(b'\n');
    file.extend_from_slice(rule.as_bytes());
    file.push(b'\n');
    file
}

/// Adds a header and its data: `changes` to the only local time, this many seconds `east` of
/// Greenwich.
fn add_block(file: &mut Vec<u8>, name: &str, east: i32, changes: &[i64]) {
    file.extend_from_slice(b"TZif2");
    file.extend_from_slice(&[0; 15]);
    let names = name.len() as u32 + 1;
    // Counts of UT indicators, standard time indicators, leap seconds, changes, local times, bytes
    // of names.
    for count in [0, 0, 0, changes.len() as u32, 1, names] {
        file.extend_from_slice(&count.to_be_bytes());
    }
    for change in changes {
        file.extend_from_slice(&change.to_be_bytes());
    }
    file.extend(changes.iter().map(|_| 0));
    file.extend_from_slice(&east.to_be_bytes());
    // No daylight saving time; the name's index.
    file.extend_from_slice(&[0, 0]);
    file.extend_from_slice(name.as_bytes());
    file.push(0);
}

/// The name of a rule's standard time, and its offset in seconds east of Greenwich.
fn standard(rule: &str) -> Option<(&str, i32)> {
    let (name, rest) = match rule.strip_prefix('<') {
        Some(rest) => rest.split_once('>')?,
        None => rule.split_at(rule.find(|c: char| !c.is_ascii_alphabetic())?),
    };
    if name.len() < 3 || name.len() > 100 {
        return None;
    }
    let (sign, rest) = match rest.split_at_checked(1)? {
        ("-", rest) => (1, rest),
        ("+", rest) => (-1, rest),
        _ => (-1, rest),
    };
    let is_time = |c: char| c.is_ascii_digit() || c == ':';
    let time = rest.split(|c| !is_time(c)).next()?;
    let mut seconds = 0;
    for (part, unit) in time.split(':').zip([3600, 60, 1]) {
        let part: i32 = part.parse().ok()?;
        seconds += part.min(999) * unit;
    }
    Some((name, sign * seconds))
}

#[cfg(test)]
mod tests {
    use super::{file, standard};
    use std::fs;
    use std::process::Command;
    use std::string::String;

    #[test]
    fn a_rule_has_its_standard_time() {
        for (rule, wanted) in [
            ("CET-1CEST,M3.5.0,M10.5.0/3", Some(("CET", 3600))),
            ("EST5EDT", Some(("EST", -18_000))),
            ("<+0545>-5:45", Some(("+0545", 20_700))),
            ("UTC0", Some(("UTC", 0))),
            ("LMT+0:01:15", Some(("LMT", -75))),
            ("Europe/Berlin", None),
            ("CET", None),
            ("A1", None),
            ("", None),
            ("<+05", None),
            ("<x>1", None),
            ("CET-", None),
            ("CET-x", None),
        ] {
            assert_eq!(standard(rule), wanted, "{rule}");
        }
    }

    #[test]
    fn the_host_reads_the_file() {
        let path = std::env::temp_dir().join(std::format!("zone-{}", std::process::id()));
        let hours = |rule: &str| {
            fs::write(&path, file(rule)).expect("a file");
            // The hours of an instant in winter and of one in summer.
            let at = |time: &str| {
                let date = Command::new("date")
                    .args(["-d", time, "+%H:%M %Z"])
                    .env("TZ", std::format!(":{}", path.display()))
                    .output();
                String::from_utf8_lossy(&date.expect("date").stdout).into_owned()
            };
            [at("@1735732800"), at("@1751371200")]
        };
        let berlin = hours("CET-1CEST,M3.5.0,M10.5.0/3");
        assert_eq!(berlin, ["13:00 CET\n", "14:00 CEST\n"]);
        assert_eq!(hours("<+0545>-5:45"), ["17:45 +0545\n", "17:45 +0545\n"]);
        assert_eq!(hours("Europe/Berlin"), ["12:00 UTC\n", "12:00 UTC\n"]);
        let _ = fs::remove_file(&path);
    }
}
