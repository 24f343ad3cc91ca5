//! Ethernet addresses of the interfaces: from `SOIL_MAC`, separated by `;`; else the card's own;
//! else a random, locally administered one.

use crate::current::Current;
use alloc::format;
use platform::error::{Error, Failure};
use platform::{Entropy, System};

/// Parses an Ethernet address of six hexadecimal bytes between colons; `None` unless it is a
/// unicast address (IEEE 802).
fn parse(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    let [first, ..] = mac;
    (parts.next().is_none() && first & 1 == 0 && mac != [0; 6]).then_some(mac)
}

/// Returns the address of interface `index`, whose card has the address `own`.
pub fn choose(index: usize, own: Option<[u8; 6]>) -> Result<[u8; 6], Failure> {
    let text = Current::variable("SOIL_MAC").unwrap_or_default();
    let wanted = text
        .split(';')
        .nth(index)
        .map(str::trim)
        .filter(|text| !text.is_empty());
    match (wanted, own) {
        (Some(text), _) => parse(text).ok_or_else(|| {
            let detail = format!("SOIL_MAC: \"{text}\" is not of the form 02:00:00:00:00:01");
            Failure::new(Error::BadConfiguration, detail)
        }),
        (None, Some(own)) => Ok(own),
        (None, None) => {
            let mut mac = [0; 6];
            let filled = Current::random(&mut mac);
            filled.map_err(|_| Failure::new(Error::NoEntropy, Current::NO_ENTROPY))?;
            let [first, ..] = &mut mac;
            // Locally administered and unicast.
            *first = *first & 0xfc | 0x02;
            Ok(mac)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_ethernet_addresses() {
        assert_eq!(parse("02:00:00:00:00:1f"), Some([2, 0, 0, 0, 0, 0x1f]));
        for wrong in [
            "",
            "02:00:00:00:00",
            "01:00:00:00:00:01",
            "2:0:0:0:0:1",
            "00:00:00:00:00:00",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
