//! The names of Soil's variables, so that a misspelt one is noticed. `docs/configuration.md` says
//! what each means, and `cargo test -p soil-tools --test configuration` compares the two.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

/// The beginning of all names; the lists below leave it out.
pub const PREFIX: &str = "SOIL_";

/// The variables that programs read. Names of disks follow `DISK_`.
pub const OF_PROGRAMS: &[&str] = &[
    "ARGV0",
    "CONSOLE",
    "DISKS",
    "DISK_TIMEOUT",
    "DISPLAY",
    "DNS",
    "DNS_MIXED_CASE",
    "DNS_NDOTS",
    "DNS_SEARCH",
    "FILTER",
    "FORWARD",
    "FRAMEBUFFER",
    "FW_CFG",
    "GATEWAY",
    "IP",
    "LOG",
    "MAC",
    "MDNS",
    "METADATA",
    "MOUNT",
    "NEEDS",
    "NET",
    "NTP",
    "OFFLOAD",
    "ON_FAILURE",
    "PCAP",
    "PCAP_SNAP",
    "TCP_CONGESTION",
];

/// The variables that commands read.
pub const OF_COMMANDS: &[&str] = &[
    "CC",
    "IMAGE_ARCHIVE",
    "LOADERS",
    "MUSL",
    "QEMU",
    "UNLINKABLE",
];

/// How the other names begin: disks, `soil simulate`, and Soil's own
/// build and tests.
const BEGINNINGS: &[&str] = &[
    "DISK_",
    "BARE",
    "BENCH_",
    "BOOK",
    "CARGO_",
    "FS_",
    "FUZZ_",
    "KUBEVIRT_",
    "PICTURES",
    "SIM",
    "TEST",
    "UPDATE_",
];

/// A name that begins as Soil's do, and is none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The name, without [`PREFIX`], that was probably meant.
    pub meant: Option<&'static str>,
}

impl core::fmt::Display for Unknown {
    /// What follows the name in a message.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.meant {
            Some(meant) => write!(f, ": did you mean {PREFIX}{meant}?"),
            None => f.write_str(": 'man soil-environment' lists those that exist"),
        }
    }
}

/// Judges the name of a variable of the environment; `None` for a known one and for other
/// programs'.
pub fn unknown(name: &str) -> Option<Unknown> {
    let name = name.strip_prefix(PREFIX)?;
    let mut all = OF_PROGRAMS.iter().chain(OF_COMMANDS);
    let is_known = all.clone().any(|known| *known == name)
        || BEGINNINGS.iter().any(|known| name.starts_with(known))
        || name == "ROOT_DIRECTORY";
    if is_known {
        return None;
    }
    let meant = all.find(|known| is_slip(name, known)).copied();
    Some(Unknown { meant })
}

/// Whether one slip of the keyboard makes one word of the other: a letter too many, too few,
/// another one, or two that have changed places. Case doesn't count.
pub fn is_slip(typed: &str, meant: &str) -> bool {
    let (mut typed, mut meant) = (typed.as_bytes(), meant.as_bytes());
    while let ([a, left @ ..], [b, right @ ..]) = (typed, meant)
        && a.eq_ignore_ascii_case(b)
    {
        (typed, meant) = (left, right);
    }
    while let ([left @ .., a], [right @ .., b]) = (typed, meant)
        && a.eq_ignore_ascii_case(b)
    {
        (typed, meant) = (left, right);
    }
    match (typed, meant) {
        ([a, b], [c, d]) => a.eq_ignore_ascii_case(d) && b.eq_ignore_ascii_case(c),
        (typed, meant) => typed.len() <= 1 && meant.len() <= 1,
    }
}

#[cfg(test)]
mod tests {
    use super::{OF_COMMANDS, OF_PROGRAMS, PREFIX, Unknown, is_slip, unknown};
    use std::format;

    #[test]
    fn each_slip_leads_back_to_the_name() {
        assert_eq!(
            format!("SOIL_MUONT{}", unknown("SOIL_MUONT").expect("unknown")),
            "SOIL_MUONT: did you mean SOIL_MOUNT?"
        );
        for name in OF_PROGRAMS.iter().chain(OF_COMMANDS) {
            assert_eq!(unknown(&format!("{PREFIX}{name}")), None);
            for at in 0..name.len() {
                let (front, back) = name.split_at(at);
                let mut slips = std::vec![
                    format!("{front}{}", &back[1..]),
                    format!("{front}X{back}"),
                    format!("{front}X{}", &back[1..]),
                ];
                if let Some(next) = back.get(1..2) {
                    slips.push(format!("{front}{next}{}{}", &back[..1], &back[2..]));
                }
                for slip in slips {
                    assert!(
                        is_slip(&slip, name) && is_slip(name, &slip),
                        "{slip} {name}"
                    );
                }
            }
        }
    }

    #[test]
    fn names_of_others_are_known_and_unknown_ones_have_a_suggestion() {
        let meant = |name| unknown(name).map(|Unknown { meant }| meant);
        for known in [
            "PATH",
            "SOILED",
            "SOIL_DISK_data",
            "SOIL_TEST_LONG",
            "SOIL_FS_SEED",
            "SOIL_SIM_SEED",
            "SOIL_IP",
        ] {
            assert_eq!(meant(known), None, "{known}");
        }
        for (name, expected) in [
            ("SOIL_MUONT", Some("MOUNT")),
            ("SOIL_METADTA", Some("METADATA")),
            ("SOIL_DISKTIMEOUT", Some("DISK_TIMEOUT")),
            ("SOIL_GATEWAYS", Some("GATEWAY")),
            ("SOIL_log", Some("LOG")),
            ("SOIL_QEMUU", Some("QEMU")),
            ("SOIL_SOMETHING", None),
            ("SOIL_", None),
        ] {
            assert_eq!(meant(name), Some(expected), "{name}");
        }
    }

    #[test]
    fn two_slips_are_none() {
        for (one, other) in [
            ("abcd", "abxy"),
            ("abcd", "bacde"),
            ("abcd", "ab"),
            ("", "ab"),
        ] {
            assert!(
                !is_slip(one, other) && !is_slip(other, one),
                "{one} {other}"
            );
        }
        assert!(is_slip("rnu", "run") && is_slip("", "a") && is_slip("Log", "lOG"));
    }
}
