//! Commands and the status of their completions (NVM Express Base 2.0, 3.3.3).

use crate::disk::DiskError;

/// Opcodes of the admin commands (Base 2.0, 5).
pub(crate) mod admin {
    pub const CREATE_SUBMISSION_QUEUE: u8 = 0x01;
    pub const CREATE_COMPLETION_QUEUE: u8 = 0x05;
    pub const IDENTIFY: u8 = 0x06;
    pub const SET_FEATURES: u8 = 0x09;
}

/// Opcodes of the NVM command set (NVM Command Set 1.0, 3).
pub mod io {
    pub const FLUSH: u8 = 0x00;
    pub const WRITE: u8 = 0x01;
    pub const READ: u8 = 0x02;
    pub const WRITE_ZEROES: u8 = 0x08;
    pub const DATASET_MANAGEMENT: u8 = 0x09;
}

/// Bytes of a command, and words of 32 bits.
pub(super) const BYTES: usize = 64;
pub(super) const WORDS: usize = BYTES / 4;

/// A command; its identifier is that of its queue's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    pub words: [u32; WORDS],
}

impl Command {
    /// A command without data. Namespace 0: none.
    pub fn new(opcode: u8, namespace: u32) -> Command {
        let mut words = [0; WORDS];
        (words[0], words[1]) = (u32::from(opcode), namespace);
        Command { words }
    }

    /// With its data at these addresses (`PRP1`, `PRP2`).
    pub fn data(self, [first, second]: [u64; 2]) -> Command {
        self.long(6, first).long(8, second)
    }

    /// With `value` in command dword `index`.
    pub fn word(mut self, index: usize, value: u32) -> Command {
        self.words[index] = value;
        self
    }

    /// With `value` in the command dwords `index` and `index + 1`.
    pub fn long(self, index: usize, value: u64) -> Command {
        self.word(index, value as u32)
            .word(index + 1, (value >> 32) as u32)
    }

    /// With `count` blocks from `block` on; at least 1 and at most 65536.
    pub fn blocks(self, block: u64, count: u32) -> Command {
        self.long(10, block)
            .word(12, count.saturating_sub(1) & 0xffff)
    }

    /// With its identifier in its queue.
    pub fn identified(self, id: u16) -> Command {
        let opcode = self.words[0] & 0xffff;
        self.word(0, opcode | u32::from(id) << 16)
    }
}

/// Status of a completed command (3.3.3.2.1): type and code, and whether it may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandStatus(pub u16);

impl CommandStatus {
    const SUCCESS: CommandStatus = CommandStatus(0);
    /// Type and code.
    const CODE: u16 = 0x7ff;
    /// Do Not Retry.
    const DO_NOT_RETRY: u16 = 1 << 14;
    /// Generic: Invalid Command Opcode.
    pub const INVALID_OPCODE: CommandStatus = CommandStatus(0x001);
    /// Generic, NVM command set: Capacity Exceeded.
    pub const CAPACITY_EXCEEDED: CommandStatus = CommandStatus(0x081);
    /// Generic: Namespace is Write Protected.
    pub const WRITE_PROTECTED: CommandStatus = CommandStatus(0x020);
    /// Command specific: Attempted Write to Read Only Range.
    pub const READ_ONLY_RANGE: CommandStatus = CommandStatus(0x182);

    /// The status of the last dword of a completion.
    pub fn of(word: u32) -> CommandStatus {
        CommandStatus((word >> 17) as u16)
    }

    /// Whether the same command, sent again, may succeed.
    pub fn is_temporary(self) -> bool {
        self.result() == Err(DiskError::Io) && self.0 & Self::DO_NOT_RETRY == 0
    }

    pub fn result(self) -> Result<(), DiskError> {
        match CommandStatus(self.0 & Self::CODE) {
            CommandStatus::SUCCESS => Ok(()),
            CommandStatus::INVALID_OPCODE => Err(DiskError::Unsupported),
            CommandStatus::CAPACITY_EXCEEDED => Err(DiskError::NoSpace),
            CommandStatus::WRITE_PROTECTED | CommandStatus::READ_ONLY_RANGE => {
                Err(DiskError::ReadOnly)
            }
            _ => Err(DiskError::Io),
        }
    }
}
