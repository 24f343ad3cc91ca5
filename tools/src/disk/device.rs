//! Host files as disks.

use crate::failure::{Context as _, Failure};
use fs::{Block, BlockError};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Bytes per sector, the same as in `soil run`.
pub const SECTOR: u64 = 512;

/// An image. Ignores an incomplete last sector.
pub struct Image {
    file: File,
    sectors: u64,
    writable: bool,
}

impl Image {
    /// Opens it read-only.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        Self::of(File::open(path), path, false)
    }

    pub fn open_writable(path: &Path) -> Result<Self, Failure> {
        let file = File::options().read(true).write(true).open(path);
        Self::of(file, path, true)
    }

    fn of(file: io::Result<File>, path: &Path, writable: bool) -> Result<Self, Failure> {
        let file = file.on(path)?;
        if file.metadata().on(path)?.is_dir() {
            return Err(Failure::on(path, "a directory, no disk image"));
        }
        // Only a seek returns the size of a block device.
        let size = io::Seek::seek(&mut &file, io::SeekFrom::End(0)).on(path)?;
        Ok(Self {
            file,
            sectors: size / SECTOR,
            writable,
        })
    }

    fn place(&self, first: u64, len: usize) -> Result<u64, BlockError> {
        let count = len as u64 / SECTOR;
        let fits = (len as u64).is_multiple_of(SECTOR)
            && first
                .checked_add(count)
                .is_some_and(|end| end <= self.sectors);
        if fits {
            Ok(first * SECTOR)
        } else {
            Err(BlockError::OutOfRange)
        }
    }
}

impl Block for Image {
    fn sector_size(&self) -> usize {
        SECTOR as usize
    }

    fn sectors(&self) -> u64 {
        self.sectors
    }

    fn read_only(&self) -> bool {
        !self.writable
    }

    fn read(&mut self, first_sector: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        let at = self.place(first_sector, buf.len())?;
        self.file.read_exact_at(buf, at).map_err(|_| BlockError::Io)
    }

    fn write(&mut self, first_sector: u64, buf: &[u8]) -> Result<(), BlockError> {
        let at = self.place(first_sector, buf.len())?;
        if !self.writable {
            return Err(BlockError::ReadOnly);
        }
        let written = self.file.write_all_at(buf, at);
        written.map_err(|error| match error.kind() {
            std::io::ErrorKind::StorageFull => BlockError::NoSpace,
            _ => BlockError::Io,
        })
    }

    /// Does nothing: the command syncs an image once, at the end.
    fn flush(&mut self) -> Result<(), BlockError> {
        Ok(())
    }
}

/// A disk whose writes stay in memory.
pub struct Overlay<B> {
    below: B,
    written: HashMap<u64, [u8; SECTOR as usize]>,
}

impl<B: Block> Overlay<B> {
    pub fn new(below: B) -> Self {
        let written = HashMap::new();
        Self { below, written }
    }
}

impl<B: Block> Block for Overlay<B> {
    fn sector_size(&self) -> usize {
        SECTOR as usize
    }

    fn sectors(&self) -> u64 {
        self.below.sectors()
    }

    fn read_only(&self) -> bool {
        false
    }

    fn read(&mut self, first_sector: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        self.below.read(first_sector, buf)?;
        if self.written.is_empty() {
            return Ok(());
        }
        for (number, sector) in (first_sector..).zip(buf.chunks_exact_mut(SECTOR as usize)) {
            if let Some(written) = self.written.get(&number) {
                sector.copy_from_slice(written);
            }
        }
        Ok(())
    }

    fn write(&mut self, first_sector: u64, buf: &[u8]) -> Result<(), BlockError> {
        let (sectors, rest) = buf.as_chunks();
        let end = first_sector.checked_add(sectors.len() as u64);
        if !rest.is_empty() || end.is_none_or(|end| end > self.sectors()) {
            return Err(BlockError::OutOfRange);
        }
        self.written
            .extend((first_sector..).zip(sectors.iter().copied()));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        Ok(())
    }
}
