//! Bytes of a disk, and of files whose location on it is known.

use super::Cache;
use crate::BlockError;

/// A piece of a file: byte of the file, byte of the disk, and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub file: u64,
    pub disk: u64,
    pub len: u64,
}

/// One sector, for reads that begin or end inside one.
#[repr(align(512))]
struct Bounce([u8; 4096]);

impl Cache {
    /// Reads from byte `at` of the device.
    pub fn read_bytes(&mut self, at: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        let (mut at, mut rest) = (at, buf);
        let unit = self.sector as u64;
        while !rest.is_empty() {
            let skip = (at % unit) as usize;
            let count = if skip == 0 && rest.len() >= self.sector {
                let count = rest.len() / self.sector * self.sector;
                let (piece, _) = rest.split_at_mut(count);
                self.read(at / unit, piece)?;
                count
            } else {
                let mut bounce = Bounce([0; 4096]);
                let whole = bounce.0.get_mut(..self.sector);
                let whole = whole.ok_or(BlockError::OutOfRange)?;
                self.read(at / unit, whole)?;
                let known = whole.get(skip..).unwrap_or_default();
                let count = known.len().min(rest.len());
                let (piece, _) = rest.split_at_mut(count);
                piece.copy_from_slice(known.get(..count).ok_or(BlockError::OutOfRange)?);
                count
            };
            rest = rest.split_at_mut(count).1;
            at += count as u64;
        }
        Ok(())
    }

    /// Writes tables or directories at byte `at` of the device. Bytes of a sector beside them stay.
    pub fn write_bytes(&mut self, at: u64, data: &[u8]) -> Result<(), BlockError> {
        self.write_part(at, data, false, false)
    }

    /// Writes from byte `at` on. With `pad`, zeros replace what is after the data in its last
    /// sector, which isn't read then.
    fn write_part(
        &mut self,
        at: u64,
        data: &[u8],
        contents: bool,
        pad: bool,
    ) -> Result<(), BlockError> {
        let (mut at, mut rest) = (at, data);
        let unit = self.sector as u64;
        while !rest.is_empty() {
            let (sector, skip) = (at / unit, (at % unit) as usize);
            let count = if skip == 0 && rest.len() >= self.sector {
                let count = rest.len() / self.sector * self.sector;
                self.write_as(sector, rest.split_at(count).0, contents)?;
                count
            } else {
                let mut bounce = Bounce([0; 4096]);
                let whole = bounce.0.get_mut(..self.sector);
                let whole = whole.ok_or(BlockError::OutOfRange)?;
                if skip > 0 || !pad {
                    self.read(sector, whole)?;
                }
                let place = whole.get_mut(skip..).unwrap_or_default();
                let count = place.len().min(rest.len());
                let (place, after) = place.split_at_mut(count);
                place.copy_from_slice(rest.split_at(count).0);
                if pad {
                    after.fill(0);
                }
                self.write_as(sector, whole, contents)?;
                count
            };
            rest = rest.split_at(count).1;
            at += count as u64;
        }
        Ok(())
    }

    /// Writes to the file that is in `runs`, which are in order and cover it, from byte `offset`
    /// on. With `pad`, zeros follow the data in its last sector, which has no other file's.
    pub fn write_runs(
        &mut self,
        runs: &[Run],
        offset: u64,
        data: &[u8],
        pad: bool,
    ) -> Result<(), BlockError> {
        let (mut at, mut rest) = (offset, data);
        let first = runs.partition_point(|run| run.file + run.len <= offset);
        for run in runs.get(first..).unwrap_or_default() {
            let inside = at.saturating_sub(run.file);
            let count = run.len.saturating_sub(inside).min(rest.len() as u64) as usize;
            let (piece, after) = rest.split_at(count);
            self.write_part(run.disk + inside, piece, true, pad && after.is_empty())?;
            at += count as u64;
            rest = after;
            if rest.is_empty() {
                return Ok(());
            }
        }
        Err(BlockError::OutOfRange)
    }

    /// Reads the file that is stored in `runs`, which are in order, from byte `offset` on; gaps are
    /// zeros.
    pub fn read_runs(
        &mut self,
        runs: &[Run],
        offset: u64,
        buf: &mut [u8],
    ) -> Result<(), BlockError> {
        let (mut at, mut rest) = (offset, buf);
        let first = runs.partition_point(|run| run.file + run.len <= offset);
        for run in runs.get(first..).unwrap_or_default() {
            let gap = run.file.saturating_sub(at).min(rest.len() as u64);
            let (zeros, after) = rest.split_at_mut(gap as usize);
            zeros.fill(0);
            at += gap;
            let inside = at.saturating_sub(run.file);
            let count = run.len.saturating_sub(inside).min(after.len() as u64);
            let (piece, after) = after.split_at_mut(count as usize);
            if !piece.is_empty() {
                self.read_bytes(run.disk + inside, piece)?;
            }
            at += count;
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        rest.fill(0);
        Ok(())
    }
}
