//! `SOIL_OFFLOAD`: disables offloads of network devices, for debugging and benchmarks.

use crate::current::Current;
use alloc::format;
use platform::System;
use platform::error::{Error, Failure};
use platform::link::Offloads;

/// Names that the variable accepts, as its error message lists them.
const NAMES: &str = "csum, tso, rxcsum, lro, mrg, event, indirect, all";

/// Returns the field with this name.
fn field<'a>(offloads: &'a mut Offloads, name: &str) -> Option<&'a mut bool> {
    Some(match name {
        "csum" => &mut offloads.tx_checksum,
        "tso" => &mut offloads.segmentation,
        "rxcsum" => &mut offloads.rx_checksum,
        "lro" => &mut offloads.large_receive,
        "mrg" => &mut offloads.mergeable,
        "event" => &mut offloads.event_index,
        "indirect" => &mut offloads.indirect,
        _ => return None,
    })
}

/// Parses a value such as `-tso,-lro`.
fn parse(text: &str) -> Result<Offloads, Failure> {
    let mut offloads = Offloads::ALL;
    for word in text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
    {
        let name = word.strip_prefix('-');
        if name == Some("all") {
            for name in NAMES.split(',').map(str::trim) {
                if let Some(place) = field(&mut offloads, name) {
                    *place = false;
                }
            }
        } else if let Some(place) = name.and_then(|name| field(&mut offloads, name)) {
            *place = false;
        } else {
            let detail = format!("SOIL_OFFLOAD: \"{word}\": give a minus sign and one of {NAMES}");
            return Err(Failure::new(Error::BadConfiguration, detail));
        }
    }
    offloads.segmentation &= offloads.tx_checksum;
    offloads.large_receive &= offloads.rx_checksum;
    Ok(offloads)
}

/// Reads `SOIL_OFFLOAD`. Errors: `BadConfiguration`.
pub fn read() -> Result<Offloads, Failure> {
    parse(&Current::variable("SOIL_OFFLOAD").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{Offloads, parse};
    use std::format;

    #[test]
    fn takes_away_what_is_named_and_what_needs_it() {
        assert_eq!(parse(""), Ok(Offloads::ALL));
        let read = parse("-lro, -csum").expect("valid");
        assert!(!read.large_receive && !read.tx_checksum && !read.segmentation);
        assert!(read.rx_checksum && read.mergeable && read.event_index && read.indirect);
        assert!(!parse("-rxcsum").expect("valid").large_receive);
        let none = parse("-all").expect("valid");
        assert!(!none.tx_checksum && !none.rx_checksum && !none.mergeable);
        assert!(!none.event_index && !none.indirect);
    }

    #[test]
    fn says_what_is_wrong() {
        for word in ["tso", "-fast", "+csum", "-"] {
            let error = parse(word).expect_err("refused").detail;
            assert!(
                error.contains(&format!("\"{word}\"")) && error.contains("csum, tso"),
                "{error}"
            );
        }
    }
}
