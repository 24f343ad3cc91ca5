//! Whether the machine's memory is encrypted, which images don't support: their page tables have no
//! bit for it, and the first one that they load would end the machine without a word.
//!
//! Sources: AMD64 Architecture Programmer's Manual, volume 3, E.4.17, and volume 2, 15.34.10; Intel
//! TDX Module 1.5 ABI, CPUID leaf 0x21.

use core::fmt;

/// The kind of encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// AMD SEV: memory.
    Sev,
    /// AMD SEV-ES: also the processor's registers.
    SevEs,
    /// AMD SEV-SNP: also with integrity.
    SevSnp,
    /// Intel TDX.
    Tdx,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Sev => "AMD SEV",
            Self::SevEs => "AMD SEV-ES",
            Self::SevSnp => "AMD SEV-SNP",
            Self::Tdx => "Intel TDX",
        };
        write!(
            f,
            "the machine: its memory is encrypted ({name}), which images don't support: switch off \
             confidential computing"
        )
    }
}

/// Finds the kind; `None` for a machine without encryption. `cpuid` returns EAX, EBX, ECX and EDX
/// of a leaf; `sev_status` reads the MSR 0xc0010131, which processors with SEV have.
pub fn find(cpuid: impl Fn(u32) -> [u32; 4], sev_status: impl FnOnce() -> u64) -> Option<Kind> {
    const TDX: u32 = 0x21;
    const EXTENDED: u32 = 0x8000_0000;
    const ENCRYPTION: u32 = 0x8000_001f;
    const SEV: u32 = 1 << 1;
    let name = |text: &[u8; 4]| u32::from_le_bytes(*text);
    if cpuid(0)[0] >= TDX {
        let [_, first, third, second] = cpuid(TDX);
        if [first, second, third] == [name(b"Inte"), name(b"lTDX"), name(b"    ")] {
            return Some(Kind::Tdx);
        }
    }
    if cpuid(EXTENDED)[0] < ENCRYPTION || cpuid(ENCRYPTION)[0] & SEV == 0 {
        return None;
    }
    match sev_status() & 7 {
        status if status & 4 != 0 => Some(Kind::SevSnp),
        status if status & 2 != 0 => Some(Kind::SevEs),
        0 => None,
        _ => Some(Kind::Sev),
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, find};

    /// A processor with these largest leaves, leaf 0x21 and EAX of leaf 0x8000001f.
    fn processor(
        max: u32,
        text: &[u8; 12],
        largest: u32,
        features: u32,
    ) -> impl Fn(u32) -> [u32; 4] {
        let word = |at: usize| u32::from_le_bytes(text[at..at + 4].try_into().unwrap());
        let words = [0, 4, 8].map(word);
        move |leaf| match leaf {
            0 => [max, 0, 0, 0],
            0x21 => [0, words[0], words[2], words[1]],
            0x8000_0000 => [largest, 0, 0, 0],
            0x8000_001f => [features, 0, 0, 0],
            _ => [u32::MAX; 4],
        }
    }

    #[test]
    fn sev_is_known_by_its_status() {
        let with = |features, status| {
            find(
                processor(0xd, b"            ", 0x8000_001f, features),
                || status,
            )
        };
        for (status, kind) in [
            (0, None),
            (1, Some(Kind::Sev)),
            (3, Some(Kind::SevEs)),
            (7, Some(Kind::SevSnp)),
            // Others of its bits are features.
            (1 << 5, None),
        ] {
            assert_eq!(with(2, status), kind, "{status}");
        }
        // A host with memory encryption, whose register isn't read.
        let host = processor(0xd, b"            ", 0x8000_001f, 1);
        assert_eq!(find(host, || unreachable!("no such register")), None);
        let old = processor(0xd, b"            ", 0x8000_0008, 2);
        assert_eq!(find(old, || unreachable!("no such register")), None);
    }

    #[test]
    fn tdx_is_known_by_its_name() {
        let tdx = |max, text| find(processor(max, text, 0x8000_0008, 0), || 0);
        assert_eq!(tdx(0x21, b"IntelTDX    "), Some(Kind::Tdx));
        assert_eq!(tdx(0x20, b"IntelTDX    "), None);
        assert_eq!(tdx(0x23, b"            "), None);
    }
}
