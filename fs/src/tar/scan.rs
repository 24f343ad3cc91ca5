//! Scan of an archive, from header to header.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::header::{BLOCK, Block, Extended, Header, parse, path, text};
use super::{Archive, Member};
use crate::tree::{Content, Known, Refusal, Tree};
use crate::{BlockError, Error, MountError, Time};

/// Maximum size of an extended header or long name: paths are 4 KiB at most, but attributes of
/// files, which the volume ignores, can be larger.
const EXTENDED: u64 = 1 << 20;

const AGAIN: &str = "make the archive again";

/// Signatures of files that need conversion to an archive first, and the remedy.
const PACKED: &[(&[u8], &str)] = &[
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
];

fn unreadable(at: u64, error: BlockError) -> MountError {
    MountError::unreadable(format_args!("byte {at} of the archive"), error)
}

struct Scan<'a> {
    archive: &'a mut Archive,
    tree: &'a mut Tree<Member>,
    extended: Extended,
    /// Bytes of all contents.
    total: u64,
    /// Number of skipped members, and the reason for the first one.
    left_out: u64,
    first_left_out: Option<String>,
}

/// Adds the members of `archive` to `tree` and returns the size of their contents.
pub(super) fn scan(archive: &mut Archive, tree: &mut Tree<Member>) -> Result<u64, MountError> {
    let mut scan = Scan {
        archive,
        tree,
        extended: Extended::default(),
        total: 0,
        left_out: 0,
        first_left_out: None,
    };
    let mut at = 0;
    loop {
        match scan.block(at)? {
            None => {
                log::warn!("tar archive has no end mark and may be cut short: {AGAIN}");
                break;
            }
            Some(Block::Zeros) if at > 0 => break,
            Some(Block::Zeros) => return Err(scan.not_tar("the disk is blank")),
            Some(Block::Bad(reason)) if at == 0 => return Err(scan.not_tar(reason)),
            Some(Block::Bad(reason)) => {
                let detail = format!("the archive is damaged at byte {at}: {reason}; {AGAIN}");
                return Err(MountError::new(Error::Corrupt, detail));
            }
            Some(Block::Header(header)) => at = scan.member(at, header)?,
        }
    }
    if let (count @ 1.., Some(first)) = (scan.left_out, &scan.first_left_out) {
        log::warn!("tar archive: {count} members were left out, the first is {first}");
    }
    Ok(scan.total)
}

impl Scan<'_> {
    /// Returns the block at `at`; `None` at the end of the disk.
    fn block(&mut self, at: u64) -> Result<Option<Block>, MountError> {
        let inside = at
            .checked_add(BLOCK as u64)
            .is_some_and(|end| end <= self.archive.size);
        if !inside {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        self.archive
            .read_bytes(at, &mut block)
            .map_err(|error| unreadable(at, error))?;
        Ok(Some(parse(&block)))
    }

    fn not_tar(&mut self, reason: &str) -> MountError {
        let mut start = [0; BLOCK];
        let read = self.archive.read_bytes(0, &mut start);
        let packed = PACKED
            .iter()
            .find(|(bytes, _)| read.is_ok() && start.starts_with(bytes));
        let detail = match packed {
            Some((_, name)) => format!(
                "not a tar archive as it is: the disk's contents \
                are packed with {name}; unpack them first"
            ),
            None => format!("not a tar archive: {reason}; make one with tar -cf"),
        };
        MountError::new(Error::Corrupt, detail)
    }

    /// Adds the member whose header is at `at`, and returns the offset of the next header.
    fn member(&mut self, at: u64, header: Header) -> Result<u64, MountError> {
        let start = at + BLOCK as u64;
        let mut size = match header.kind {
            b'x' | b'g' | b'L' | b'K' => header.size,
            _ => self.extended.size.unwrap_or(header.size),
        };
        // Links and directories may have a size without contents.
        if matches!(header.kind, b'2'..=b'6')
            || header.kind == b'1' && size > 0 && self.continues_at(start)?
        {
            size = 0;
        }
        let name = self.extended.name.as_deref().unwrap_or(&header.name);
        let after = size
            .checked_next_multiple_of(BLOCK as u64)
            .and_then(|padded| start.checked_add(padded));
        let (Some(after), true) = (
            after,
            start
                .checked_add(size)
                .is_some_and(|end| end <= self.archive.size),
        ) else {
            let detail = format!(
                "the archive is truncated: {:?} at byte {at} has {size} bytes, \
                but the disk ends at byte {}; {AGAIN}",
                shown(name),
                self.archive.size
            );
            return Err(MountError::new(Error::Corrupt, detail));
        };
        match header.kind {
            b'g' => {} // for all members after it: comments, as a rule
            b'x' | b'L' | b'K' => self.extend(at, &header, start)?,
            _ => {
                let extended = core::mem::take(&mut self.extended);
                self.add(at, &header, extended, Member { start, size })?;
            }
        }
        Ok(after)
    }

    /// Whether a header or the end of the archive is at `at`.
    fn continues_at(&mut self, at: u64) -> Result<bool, MountError> {
        Ok(!matches!(self.block(at)?, Some(Block::Bad(_))))
    }

    /// Parses an extended header or a long name, which apply to the next member.
    fn extend(&mut self, at: u64, header: &Header, start: u64) -> Result<(), MountError> {
        let damaged = |what: &str| {
            let detail = format!("the archive is damaged at byte {at}: {what}; {AGAIN}");
            MountError::new(Error::Corrupt, detail)
        };
        if header.size > EXTENDED {
            return Err(damaged("an extended header of more than 1 MiB"));
        }
        let mut bytes: Vec<u8> = vec![0; header.size as usize];
        self.archive
            .read_bytes(start, &mut bytes)
            .map_err(|error| unreadable(start, error))?;
        match header.kind {
            b'L' => self.extended.name = Some(text(&bytes).to_vec()),
            b'K' => self.extended.link = Some(text(&bytes).to_vec()),
            _ => self
                .extended
                .add_records(&bytes)
                .ok_or_else(|| damaged("an extended header that is none"))?,
        }
        Ok(())
    }

    fn add(
        &mut self,
        at: u64,
        header: &Header,
        extended: Extended,
        member: Member,
    ) -> Result<(), MountError> {
        let name = extended.name.as_deref().unwrap_or(&header.name);
        let link = extended.link.as_deref().unwrap_or(&header.link);
        if extended.sparse || matches!(header.kind, b'S' | b'M') {
            let what = if header.kind == b'M' {
                "continues another archive, which isn't supported"
            } else {
                "is stored sparse, which isn't supported: leave out --sparse"
            };
            let detail = format!("{:?} at byte {at} {what}; {AGAIN}", shown(name));
            return Err(MountError::new(Error::Unsupported, detail));
        }
        let whole = Time::from_seconds(header.modified);
        let known = Known {
            modified: extended.modified.unwrap_or(whole),
            read_only: header.mode & 0o222 == 0,
        };
        let is_directory = matches!(header.kind, b'5' | b'D')
            || name.ends_with(b"/") && matches!(header.kind, 0 | b'0');
        let place = path(name);
        let added = match header.kind {
            b'V' => return Ok(()), // the archive's label
            b'3' | b'4' | b'6' => {
                self.leave_out(name, "is a device or pipe");
                return Ok(());
            }
            b'1' if member.size == 0 => self.tree.add_hard_link(&place, &path(link), known),
            b'2' => {
                let target = String::from_utf8_lossy(link).into_owned();
                self.tree.add(&place, Content::Link(target.into()), known)
            }
            _ if is_directory => self.tree.add(&place, Content::EMPTY, known),
            _ => self.tree.add(&place, Content::File(member), known),
        };
        match added {
            Ok(()) => {
                self.total = self.total.saturating_add(member.size);
                Ok(())
            }
            Err(refusal) => self.refuse(name, refusal),
        }
    }

    /// Skips a member, or fails.
    fn refuse(&mut self, name: &[u8], refusal: Refusal) -> Result<(), MountError> {
        let why = match refusal {
            Refusal::Name => "has a .. or a name of more than 255 bytes in its path",
            Refusal::Kind => "is a file where there is a directory, or the other way round",
            Refusal::Target => "is a hard link to a missing entry",
            Refusal::Full => {
                let detail = "the archive has more names than there is \
                memory for; use ext4 for that many files";
                return Err(MountError::new(Error::OutOfMemory, detail));
            }
            Refusal::Memory => {
                let detail = "no memory for the archive's names; give the program more";
                return Err(MountError::new(Error::OutOfMemory, detail));
            }
            Refusal::Hash => {
                let detail = format!(
                    "the archive's names are made to be slow: {:?}; don't trust it",
                    shown(name)
                );
                return Err(MountError::new(Error::Corrupt, detail));
            }
        };
        self.leave_out(name, why);
        Ok(())
    }

    fn leave_out(&mut self, name: &[u8], why: &str) {
        self.left_out += 1;
        self.first_left_out
            .get_or_insert_with(|| format!("{:?}, which {why}", shown(name)));
    }
}

/// Shortens a name for a message to 200 characters.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().take(200).collect()
}
