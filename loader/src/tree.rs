//! The device tree that an image for arm64 gets: the firmware's with the loader's additions, or one
//! made of ACPI's tables (`acpi.rs`).
//!
//! Sources: Devicetree Specification 0.4, chapter 3; for `/chosen` Linux's
//! Documentation/devicetree/bindings and `README.md`.

use core::fmt;
use firmware::bytes::be_u32_at;
use firmware::fdt::{Fdt, Token, Writer};

/// Why there is no tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The firmware gives neither a device tree nor ACPI's tables.
    None,
    /// The firmware's tree is damaged.
    Damaged,
    /// ACPI has no intact table with this signature, or none that describes what an image needs.
    NoTable(&'static str),
    /// The tree is larger than its buffer.
    TooLarge,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no device tree and no ACPI 2.0"),
            Self::Damaged => f.write_str("its device tree is damaged"),
            Self::NoTable(name) => write!(f, "no device tree, and no usable ACPI table {name}"),
            Self::TooLarge => f.write_str("its device tree is too large"),
        }
    }
}

/// What the loader adds to either tree.
#[derive(Clone, Copy, Debug)]
pub struct Additions<'a> {
    /// The command line, without its end.
    pub line: &'a [u8],
    /// Physical address of ACPI's RSDP; 0 if there is none.
    pub acpi_root: u64,
    /// Seconds since 1970, if the firmware knows them.
    pub time: Option<u64>,
    /// Random bytes of the firmware, if it has a source.
    pub seed: Option<[u8; 32]>,
    /// Usable memory: address and length.
    pub memory: &'a [(u64, u64)],
}

impl Additions<'_> {
    /// Adds the properties of `/chosen`, which just began.
    pub fn chosen(&self, tree: &mut Writer<'_>) {
        tree.parts("bootargs", &[self.line, &[0]]);
        if self.acpi_root != 0 {
            tree.numbers("soil,acpi-root", &[self.acpi_root]);
        }
        if let Some(time) = self.time {
            tree.numbers("soil,time", &[time]);
        }
        if let Some(seed) = &self.seed {
            tree.parts("rng-seed", &[seed]);
        }
    }

    /// Whether a property of `/chosen` was for another program, or is replaced.
    fn replaces(&self, name: &[u8]) -> bool {
        let beginnings: [&[u8]; 3] = [b"soil,", b"linux,initrd-", b"linux,uefi-"];
        name == b"bootargs"
            || name == b"rng-seed" && self.seed.is_some()
            || beginnings.iter().any(|one| name.starts_with(one))
    }

    /// Adds the node of the memory below a root whose children have addresses and lengths of so
    /// many words. Memory whose numbers don't fit is left out.
    pub fn memory(&self, tree: &mut Writer<'_>, address_words: u32, length_words: u32) {
        let fits = |number: u64, words| words == 2 || number >> 32 == 0;
        let fitting = || {
            self.memory.iter().filter(|(start, len)| {
                let last = start.saturating_add(len.saturating_sub(1));
                *len > 0 && fits(last, address_words) && fits(*len, length_words)
            })
        };
        let Some((first, _)) = fitting().next() else {
            return;
        };
        tree.begin_at("memory", *first);
        tree.text("device_type", &["memory"]);
        tree.cells("reg", |tree| {
            for (start, len) in fitting() {
                tree.number(*start, address_words);
                tree.number(*len, length_words);
            }
        });
        tree.end();
    }
}

/// Writes the firmware's tree with the additions to `buffer`, and returns its length. Its nodes of
/// memory and its list of reserved memory are left out: `additions` has what is usable.
pub fn amended(
    source: &Fdt<'_>,
    additions: &Additions<'_>,
    buffer: &mut [u8],
) -> Result<usize, Error> {
    let mut tree = Writer::new(buffer, source.strings());
    // Open nodes; the number of them when the one that is left out began.
    let (mut depth, mut skipped) = (0_usize, None);
    let (mut has_chosen, mut in_chosen) = (false, false);
    let [mut address_words, mut length_words] = [2, 1];
    let mut ended = false;
    for token in source.tokens() {
        match token {
            Token::Last if ended => return tree.finish().ok_or(Error::TooLarge),
            _ if ended => break,
            Token::Last => break,
            Token::Begin(name) => {
                depth += 1;
                if skipped.is_some() {
                    continue;
                }
                if depth == 2 && name.split(|byte| *byte == b'@').next() == Some(b"memory") {
                    skipped = Some(depth);
                    continue;
                }
                tree.begin(name);
                if depth == 2 && name == b"chosen" && !has_chosen {
                    (has_chosen, in_chosen) = (true, true);
                    additions.chosen(&mut tree);
                }
            }
            Token::End => {
                let Some(left) = depth.checked_sub(1) else {
                    break;
                };
                depth = left;
                match skipped {
                    None => {}
                    Some(level) => {
                        if depth < level {
                            skipped = None;
                        }
                        continue;
                    }
                }
                in_chosen &= depth > 1;
                if depth == 0 {
                    if !has_chosen {
                        tree.begin(b"chosen");
                        additions.chosen(&mut tree);
                        tree.end();
                    }
                    additions.memory(&mut tree, address_words, length_words);
                    ended = true;
                }
                tree.end();
            }
            Token::Property { name: at, value } => {
                let name = source.name(at).ok_or(Error::Damaged)?;
                let cells = match name {
                    _ if depth != 1 => None,
                    b"#address-cells" => Some(&mut address_words),
                    b"#size-cells" => Some(&mut length_words),
                    _ => None,
                };
                if let Some(cells) = cells {
                    *cells = be_u32_at(value, 0)
                        .filter(|words| (1..=2).contains(words))
                        .ok_or(Error::Damaged)?;
                }
                let is_dropped = in_chosen && depth == 2 && additions.replaces(name);
                if depth == 0 {
                    break;
                }
                if skipped.is_none() && !is_dropped {
                    tree.property_at(at, value);
                }
            }
        }
    }
    Err(Error::Damaged)
}

#[cfg(test)]
pub(crate) mod tests;
