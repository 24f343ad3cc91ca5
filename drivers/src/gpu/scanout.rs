//! The state of a scan-out: its monitor, its presents and its cursor.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::GpuError;
use super::cursor::Cursor;

/// A scan-out.
#[derive(Default)]
pub struct Scanout {
    pub size: Option<(u32, u32)>,
    pub edid: Vec<u8>,
    pub shown: Shown,
    pub presents: VecDeque<Present>,
    pub cursor: Cursor,
}

/// The resource that a scan-out shows, once all commands in flight have completed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shown {
    #[default]
    Nothing,
    Resource(u32),
    /// A command was refused: either the previous resource or the new one.
    Unknown,
}

impl Shown {
    /// Whether it may be this resource.
    pub fn may_be(self, resource: u32) -> bool {
        matches!(self, Shown::Unknown) || self == Shown::Resource(resource)
    }
}

/// A present that has not been reported.
pub struct Present {
    pub number: u64,
    pub tag: u64,
    pub resource: u32,
    /// It was sent as a blob.
    pub in_place: bool,
    /// Commands without a response so far.
    pub unanswered: usize,
    pub result: Result<(), GpuError>,
}
