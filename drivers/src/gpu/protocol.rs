//! Encoding of a graphics adapter's commands and responses (virtio 1.2, 5.7.6.7 to 5.7.6.10).
//! Everything is little-endian.

use super::Rectangle;

/// Bytes of the header of a command and of a response.
pub const HEADER: usize = 24;
/// Bytes of the longest command.
pub const MAX_COMMAND: usize = 96;
/// Maximum number of scan-outs of a device.
pub const MAX_SCANOUTS: usize = 16;
/// Bytes of the response to `GET_DISPLAY_INFO`.
#[cfg(test)]
pub const DISPLAY_INFO: usize = HEADER + MAX_SCANOUTS * 24;
/// Maximum length of an EDID in bytes.
pub const MAX_EDID: usize = 1024;
/// Bytes of the longest response: the one to `GET_EDID`.
pub const MAX_RESPONSE: usize = HEADER + 8 + MAX_EDID;

/// The device responds only when the command is complete.
const FLAG_FENCE: u32 = 1;
/// `B8G8R8A8_UNORM`, of cursors, and `B8G8R8X8_UNORM`, of frame buffers.
const FORMAT_ARGB: u32 = 1;
const FORMAT_XRGB: u32 = 2;
/// A blob in the guest's memory that the host may share with its other devices.
const BLOB_GUEST: u32 = 1;
const BLOB_SHAREABLE: u32 = 2;

/// The type of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    GetDisplayInfo = 0x100,
    Create2d = 0x101,
    Unref = 0x102,
    SetScanout = 0x103,
    Flush = 0x104,
    TransferToHost = 0x105,
    AttachBacking = 0x106,
    GetEdid = 0x10a,
    CreateBlob = 0x10c,
    SetScanoutBlob = 0x10d,
    UpdateCursor = 0x300,
    MoveCursor = 0x301,
}

impl Kind {
    /// The type of the response if the command succeeds.
    pub fn expected(self) -> u32 {
        match self {
            Kind::GetDisplayInfo => 0x1101,
            Kind::GetEdid => 0x1104,
            _ => 0x1100,
        }
    }

    /// Whether the command needs a fence: the device reads memory for it, or stops using memory.
    fn is_fenced(self) -> bool {
        matches!(self, Kind::TransferToHost | Kind::Flush | Kind::Unref)
    }
}

/// A command, ready for the device.
#[derive(Clone, Copy)]
pub struct Command {
    pub kind: Kind,
    bytes: [u8; MAX_COMMAND],
    len: usize,
}

/// Position of a cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub scanout: u32,
    pub x: u32,
    pub y: u32,
}

impl Command {
    fn new(kind: Kind) -> Command {
        let mut command = Command {
            kind,
            bytes: [0; MAX_COMMAND],
            len: HEADER,
        };
        command.bytes[..4].copy_from_slice(&(kind as u32).to_le_bytes());
        if kind.is_fenced() {
            command.bytes[4..8].copy_from_slice(&FLAG_FENCE.to_le_bytes());
        }
        command
    }

    fn words(mut self, words: &[u32]) -> Command {
        for word in words {
            self.bytes[self.len..self.len + 4].copy_from_slice(&word.to_le_bytes());
            self.len += 4;
        }
        self
    }

    fn long(self, number: u64) -> Command {
        self.words(&[number as u32, (number >> 32) as u32])
    }

    fn rectangle(self, of: Rectangle) -> Command {
        self.words(&[of.x, of.y, of.width, of.height])
    }

    /// Sets the fence's number, which the response repeats.
    pub fn set_fence(&mut self, fence: u64) {
        self.bytes[8..16].copy_from_slice(&fence.to_le_bytes());
    }

    /// The number that the response has to repeat.
    pub fn fence(&self) -> Option<u64> {
        let [.., a, b, c, d, e, f, g, h] = *self.bytes.first_chunk::<16>()?;
        let fence = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        self.kind.is_fenced().then_some(fence)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub fn display_info() -> Command {
        Command::new(Kind::GetDisplayInfo)
    }

    pub fn edid(scanout: u32) -> Command {
        Command::new(Kind::GetEdid).words(&[scanout, 0])
    }

    /// Creates a resource: a picture on the host.
    pub fn create(resource: u32, width: u32, height: u32, alpha: bool) -> Command {
        let format = if alpha { FORMAT_ARGB } else { FORMAT_XRGB };
        Command::new(Kind::Create2d).words(&[resource, format, width, height])
    }

    /// Attaches memory to a resource.
    pub fn attach(resource: u32, phys: u64, len: u32) -> Command {
        let command = Command::new(Kind::AttachBacking).words(&[resource, 1]);
        command.long(phys).words(&[len, 0])
    }

    /// Creates a resource whose storage is the guest's memory.
    pub fn create_blob(resource: u32, phys: u64, len: u32) -> Command {
        let command = Command::new(Kind::CreateBlob);
        let command = command.words(&[resource, BLOB_GUEST, BLOB_SHAREABLE, 1]);
        let command = command.long(0).long(u64::from(len));
        command.long(phys).words(&[len, 0])
    }

    pub fn unref(resource: u32) -> Command {
        Command::new(Kind::Unref).words(&[resource, 0])
    }

    /// Shows a resource of this size on a scan-out; resource 0: nothing.
    pub fn scanout(scanout: u32, resource: u32, width: u32, height: u32) -> Command {
        let all = Rectangle::of(width, height);
        let command = Command::new(Kind::SetScanout).rectangle(all);
        command.words(&[scanout, resource])
    }

    /// Shows a blob.
    pub fn scanout_blob(scanout: u32, resource: u32, width: u32, height: u32) -> Command {
        let all = Rectangle::of(width, height);
        let command = Command::new(Kind::SetScanoutBlob).rectangle(all);
        let command = command.words(&[scanout, resource, width, height, FORMAT_XRGB, 0]);
        command.words(&[width * 4, 0, 0, 0]).words(&[0; 4])
    }

    /// Copies a rectangle of a resource of `width` pixels from its memory to the host.
    pub fn transfer(resource: u32, width: u32, part: Rectangle) -> Command {
        let offset = (u64::from(part.y) * u64::from(width) + u64::from(part.x)) * 4;
        let command = Command::new(Kind::TransferToHost).rectangle(part);
        command.long(offset).words(&[resource, 0])
    }

    /// Flushes a rectangle of a resource to the display.
    pub fn flush(resource: u32, part: Rectangle) -> Command {
        let command = Command::new(Kind::Flush).rectangle(part);
        command.words(&[resource, 0])
    }

    /// Makes the resource the cursor, or hides the cursor with resource 0.
    pub fn cursor(at: Position, resource: u32, hot_spot: (u32, u32)) -> Command {
        Command::for_cursor(Kind::UpdateCursor, at, resource, hot_spot)
    }

    pub fn move_cursor(at: Position, resource: u32, hot_spot: (u32, u32)) -> Command {
        Command::for_cursor(Kind::MoveCursor, at, resource, hot_spot)
    }

    fn for_cursor(kind: Kind, at: Position, resource: u32, hot_spot: (u32, u32)) -> Command {
        let command = Command::new(kind).words(&[at.scanout, at.x, at.y, 0]);
        command.words(&[resource, hot_spot.0, hot_spot.1, 0])
    }
}

/// The reason why a device refuses a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Out of memory on the host.
    OutOfMemory,
    /// Any other reason: the type of the response.
    Other(u32),
}

/// The response doesn't match its command: the device broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadResponse;

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

/// Checks the header of a response.
pub fn check(
    answer: &[u8],
    kind: Kind,
    fence: Option<u64>,
) -> Result<Result<(), Refusal>, BadResponse> {
    if answer.len() < HEADER {
        return Err(BadResponse);
    }
    let field = |at| word(answer, at).ok_or(BadResponse);
    if let Some(fence) = fence {
        let number = u64::from(field(8)?) | u64::from(field(12)?) << 32;
        if field(4)? & FLAG_FENCE == 0 || number != fence {
            return Err(BadResponse);
        }
    }
    match field(0)? {
        other if other == kind.expected() => Ok(Ok(())),
        0x1201 => Ok(Err(Refusal::OutOfMemory)),
        other @ 0x1200..0x1300 => Ok(Err(Refusal::Other(other))),
        _ => Err(BadResponse),
    }
}

/// The size of scan-out `index` in a response to `GET_DISPLAY_INFO`, if it is enabled.
pub fn scanout_size(answer: &[u8], index: usize) -> Result<Option<(u32, u32)>, BadResponse> {
    let at = HEADER + index * 24;
    let field = |offset| word(answer, at + offset).ok_or(BadResponse);
    let (width, height) = (field(8)?, field(12)?);
    Ok((field(16)? != 0).then_some((width, height)))
}

/// The EDID in a response.
pub fn edid_of(answer: &[u8]) -> Result<&[u8], BadResponse> {
    let len = word(answer, HEADER).ok_or(BadResponse)? as usize;
    let start = HEADER + 8;
    let end = start.checked_add(len).ok_or(BadResponse)?;
    answer.get(start..end).ok_or(BadResponse)
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    /// The words of a command after its header.
    fn words(command: &Command) -> Vec<u32> {
        let rest = &command.bytes()[HEADER..];
        (0..rest.len() / 4)
            .filter_map(|at| word(rest, at * 4))
            .collect()
    }

    #[test]
    fn commands_have_the_layout_of_the_standard() {
        let part = Rectangle {
            x: 3,
            y: 2,
            width: 10,
            height: 20,
        };
        let transfer = Command::transfer(7, 640, part);
        assert_eq!(words(&transfer), [3, 2, 10, 20, (2 * 640 + 3) * 4, 0, 7, 0]);
        assert_eq!(transfer.bytes()[..8], [5, 1, 0, 0, 1, 0, 0, 0]);
        assert_eq!(
            words(&Command::create(7, 640, 480, false)),
            [7, 2, 640, 480]
        );
        assert_eq!(words(&Command::create(7, 64, 64, true)), [7, 1, 64, 64]);
        let attach = Command::attach(7, 0x1_2345_6000, 4096);
        assert_eq!(words(&attach), [7, 1, 0x2345_6000, 1, 4096, 0]);
        let blob = Command::create_blob(7, 0x1_2345_6000, 4096);
        assert_eq!(
            words(&blob),
            [7, 1, 2, 1, 0, 0, 4096, 0, 0x2345_6000, 1, 4096, 0]
        );
        let scanout = Command::scanout(1, 7, 640, 480);
        assert_eq!(words(&scanout), [0, 0, 640, 480, 1, 7]);
        let scanout = Command::scanout_blob(1, 7, 640, 480);
        assert_eq!(
            words(&scanout),
            [
                0, 0, 640, 480, 1, 7, 640, 480, 2, 0, 2560, 0, 0, 0, 0, 0, 0, 0
            ]
        );
        assert_eq!(scanout.bytes().len(), MAX_COMMAND);
        let at = Position {
            scanout: 1,
            x: 5,
            y: 6,
        };
        let cursor = Command::cursor(at, 9, (2, 3));
        assert_eq!(words(&cursor), [1, 5, 6, 0, 9, 2, 3, 0]);
        assert_eq!(words(&Command::flush(7, part)), [3, 2, 10, 20, 7, 0]);
        assert_eq!(words(&Command::edid(1)), [1, 0]);
        assert_eq!(words(&Command::unref(7)), [7, 0]);
    }

    fn answer(kind: u32, flags: u32, fence: u64) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[..4].copy_from_slice(&kind.to_le_bytes());
        bytes[4..8].copy_from_slice(&flags.to_le_bytes());
        bytes[8..16].copy_from_slice(&fence.to_le_bytes());
        bytes
    }

    #[test]
    fn an_answer_is_one_to_its_command() {
        let mut command = Command::flush(1, Rectangle::of(1, 1));
        command.set_fence(1 << 40 | 5);
        let fence = command.fence();
        assert_eq!(fence, Some(1 << 40 | 5));
        let judge = |kind, flags, number| check(&answer(kind, flags, number), Kind::Flush, fence);
        assert_eq!(judge(0x1100, 1, 1 << 40 | 5), Ok(Ok(())));
        assert_eq!(judge(0x1100, 1, 5), Err(BadResponse), "another fence");
        assert_eq!(judge(0x1100, 0, 1 << 40 | 5), Err(BadResponse), "no fence");
        assert_eq!(judge(0x1104, 1, 1 << 40 | 5), Err(BadResponse), "an EDID");
        assert_eq!(judge(0, 1, 1 << 40 | 5), Err(BadResponse), "no answer");
        let refused = judge(0x1203, 1, 1 << 40 | 5);
        assert_eq!(refused, Ok(Err(Refusal::Other(0x1203))));
        let refused = judge(0x1201, 1, 1 << 40 | 5);
        assert_eq!(refused, Ok(Err(Refusal::OutOfMemory)));
        let short = &answer(0x1100, 0, 0)[..HEADER - 1];
        assert_eq!(check(short, Kind::Create2d, None), Err(BadResponse));
        assert_eq!(Command::create(1, 1, 1, false).fence(), None);
    }

    #[test]
    fn an_edid_is_as_long_as_the_answer_at_most() {
        let mut bytes = vec![0; MAX_RESPONSE];
        bytes[HEADER..HEADER + 4].copy_from_slice(&1024u32.to_le_bytes());
        assert_eq!(edid_of(&bytes).map(<[u8]>::len), Ok(1024));
        for len in [1025, u32::MAX] {
            bytes[HEADER..HEADER + 4].copy_from_slice(&len.to_le_bytes());
            assert_eq!(edid_of(&bytes), Err(BadResponse));
        }
        assert_eq!(edid_of(&bytes[..HEADER]), Err(BadResponse));
    }

    #[test]
    fn sizes_are_of_the_scanouts_that_are_enabled() {
        let mut bytes = vec![0; DISPLAY_INFO];
        for (at, value) in [(8, 640u32), (12, 480), (16, 1), (24 + 8, 9)] {
            bytes[HEADER + at..HEADER + at + 4].copy_from_slice(&value.to_le_bytes());
        }
        assert_eq!(scanout_size(&bytes, 0), Ok(Some((640, 480))));
        assert_eq!(scanout_size(&bytes, 1), Ok(None));
        assert_eq!(scanout_size(&bytes, 15), Ok(None));
        assert_eq!(
            scanout_size(&bytes[..DISPLAY_INFO - 8], 15),
            Err(BadResponse)
        );
    }
}
