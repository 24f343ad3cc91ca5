//! `SOIL_OFFLOAD`: what a network device would do for the machine, and shouldn't: for looking for
//! mistakes, and for measuring.

use crate::error::{Error, Failure};
use crate::platform::{Current, Platform};
use alloc::format;

/// What may be used of what a device offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offloads {
    /// Sums of what is sent (`csum`); segmentation needs it.
    pub tx_checksum: bool,
    /// Cutting of TCP into segments (`tso`).
    pub segmentation: bool,
    /// Sums of what comes (`rxcsum`); large frames need it.
    pub rx_checksum: bool,
    /// Frames of several segments that come as one (`lro`).
    pub large_receive: bool,
    /// Received frames over several buffers (`mrg`; the image's card).
    pub mergeable: bool,
    /// Notifications where they are asked for only (`event`; the image's card).
    pub event_index: bool,
    /// Lists of buffers outside of the queue (`indirect`; the image's card).
    pub indirect: bool,
}

/// The variable's names, as its complaint lists them.
const NAMES: &str = "csum, tso, rxcsum, lro, mrg, event, indirect, all";

impl Offloads {
    /// Nothing is taken away.
    pub const ALL: Offloads = Offloads {
        tx_checksum: true,
        segmentation: true,
        rx_checksum: true,
        large_receive: true,
        mergeable: true,
        event_index: true,
        indirect: true,
    };

    fn places(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "csum" => &mut self.tx_checksum,
            "tso" => &mut self.segmentation,
            "rxcsum" => &mut self.rx_checksum,
            "lro" => &mut self.large_receive,
            "mrg" => &mut self.mergeable,
            "event" => &mut self.event_index,
            "indirect" => &mut self.indirect,
            _ => return None,
        })
    }
}

/// Reads a value such as `-tso,-lro`.
fn parse(text: &str) -> Result<Offloads, Failure> {
    let mut offloads = Offloads::ALL;
    for word in text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
    {
        let name = word.strip_prefix('-');
        if name == Some("all") {
            for name in NAMES.split(", ") {
                if let Some(place) = offloads.places(name) {
                    *place = false;
                }
            }
        } else if let Some(place) = name.and_then(|name| offloads.places(name)) {
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

/// What the environment says. Errors: `BadConfiguration`.
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
