//! The formats of results: records of numbers, texts, and packed directory entries.

use crate::types::{Int, IntsPiece, Piece, constants, copy, records};
use ::fs::{Kind, Stat};

/// Writes the results of `soil_fs_stat` for a file of this volume, or of none: a directory that
/// only leads to mount points. The operation that owns the memory has not completed.
pub fn write_stat(into: IntsPiece, stat: &Stat, volume: Option<usize>) {
    let record = records::Stat {
        size: stat.size as Int,
        kind: entry(stat.kind),
        modified: stat.modified.seconds as Int,
        modified_ns: stat.modified.nanoseconds as Int,
        accessed: stat.accessed.seconds as Int,
        changed: stat.changed.seconds as Int,
        links: stat.links as Int,
        // OCaml's integers have 63 bits, of which one is the sign.
        inode: (stat.inode & (u64::MAX >> 2)) as Int,
        read_only: stat.read_only.into(),
        accessed_ns: stat.accessed.nanoseconds as Int,
        changed_ns: stat.changed.nanoseconds as Int,
        volume: volume.map_or(-1, |volume| volume as Int),
    };
    // SAFETY: the operation has not completed.
    unsafe { into.fill(&record.numbers()) };
}

/// Writes as much of a text as fits. Returns its full length. The operation that owns the memory
/// has not completed.
pub fn write_text(text: &str, into: Piece) -> usize {
    // SAFETY: the operation has not completed.
    let into = unsafe { into.as_mut_slice() };
    copy(text.as_bytes(), into)
}

/// Returns the code of a file kind (`ENTRY_*`).
const fn entry(kind: Kind) -> Int {
    match kind {
        Kind::File => constants::ENTRY_FILE,
        Kind::Directory => constants::ENTRY_DIRECTORY,
        Kind::Symlink => constants::ENTRY_SYMLINK,
    }
}

/// Writes an entry as kind, length and name. Returns its length, if it fits.
pub fn pack(into: &mut [u8], name: &str, kind: Kind) -> Option<usize> {
    let kind = entry(kind);
    let total = 3 + name.len();
    let [place, low, high, text @ ..] = into.get_mut(..total)? else {
        return None;
    };
    *place = kind as u8;
    [*low, *high] = u16::try_from(name.len()).ok()?.to_le_bytes();
    text.copy_from_slice(name.as_bytes());
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::{Kind, pack};

    #[test]
    fn packs_what_fits() {
        let mut into = [0xff; 8];
        assert_eq!(pack(&mut into, "abcde", Kind::Directory), Some(8));
        assert_eq!(into, [1, 5, 0, b'a', b'b', b'c', b'd', b'e']);
        assert_eq!(pack(&mut into, "abcdef", Kind::File), None);
        assert_eq!(pack(&mut [], "", Kind::File), None);
    }
}
