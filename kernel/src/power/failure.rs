//! What happens when the program fails (`SOIL_ON_FAILURE`), and what the next boot knows of it.
//!
//! A record of a few bytes says how often the program has failed in a row. It is in the clock
//! chip's memory, which a reset leaves alone, and with the last error output in a page that no
//! firmware uses ([`memory::kept`]); a machine may keep either, both or none. The end of the
//! program begins here in any context, so nothing here allocates or takes a cell but
//! [`take_last`], which the boot calls.

use crate::arch::counter::counter;
use crate::board::{clock as machine_clock, nvram};
use crate::clock::{self, NS};
use crate::console::{self, kept};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, Ordering};

/// What ends the machine of a program that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Action {
    /// The power is switched off, as after every program.
    PowerOff,
    /// The machine starts again.
    Reboot,
    /// The processors stop, and the power stays on.
    Halt,
}

impl Action {
    /// By its name in `SOIL_ON_FAILURE`.
    pub fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"poweroff" => Some(Self::PowerOff),
            b"reboot" => Some(Self::Reboot),
            b"halt" => Some(Self::Halt),
            _ => None,
        }
    }
}

/// An [`Action`]. Written by the boot.
static ACTION: AtomicU8 = AtomicU8::new(Action::PowerOff as u8);
/// The counter when the program began. Written by the boot.
static BEGAN: AtomicU64 = AtomicU64::new(0);

/// A program that ran for so long had recovered: its next failure is the first in a row.
const RECOVERED_S: u64 = 600;
/// The longest pause before a start, in seconds.
const MAX_PAUSE_S: u64 = 300;

/// The failures in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Their number, at most 255.
    pub count: u8,
    /// The last exit status.
    pub status: u8,
    /// When that was, in seconds since 1970; 0 if the machine didn't know.
    pub time: u32,
}

/// Bytes of a record.
pub const LEN: usize = 10;
const MAGIC: [u8; 2] = [b'S', 0xf1];

impl Record {
    /// With a checksum: other firmware or a battery may have left anything.
    pub fn encode(self) -> [u8; LEN] {
        let [a, b, c, d] = self.time.to_le_bytes();
        let [first, second] = MAGIC;
        let body = [first, second, self.count, self.status, a, b, c, d];
        let mut bytes = [0; LEN];
        let sum = checksum(&body).to_le_bytes();
        for (to, from) in bytes.iter_mut().zip(body.into_iter().chain(sum)) {
            *to = from;
        }
        bytes
    }

    /// `None` for anything that [`Record::encode`] doesn't make.
    pub fn decode(bytes: [u8; LEN]) -> Option<Self> {
        let [_, _, count, status, a, b, c, d, ..] = bytes;
        let record = Self {
            count,
            status,
            time: u32::from_le_bytes([a, b, c, d]),
        };
        (count != 0 && record.encode() == bytes).then_some(record)
    }

    /// The record of a failure with `status` at `time`, after `last` and `ran_s` seconds of the
    /// program.
    fn next(last: Option<Self>, ran_s: u64, status: u8, time: u32) -> Self {
        let before = last.filter(|_| ran_s < RECOVERED_S);
        Self {
            count: before.map_or(0, |record| record.count).saturating_add(1),
            status,
            time,
        }
    }

    /// The pause before the next start, in seconds: it doubles.
    pub fn pause_s(self) -> u64 {
        let doublings = u32::from(self.count).saturating_sub(1).min(63);
        (1 << doublings).min(MAX_PAUSE_S)
    }
}

/// A sum that each changed byte changes.
fn checksum(bytes: &[u8]) -> u16 {
    let add = |sum: u16, byte: &u8| sum.rotate_left(5).wrapping_add(u16::from(*byte));
    bytes.iter().fold(0x5011, add)
}

/// What the boot before left.
pub struct Last {
    /// The failures in a row.
    pub record: Record,
    /// The end of its error output; empty if the machine didn't keep it.
    pub report: Vec<u8>,
}

/// It, never freed; null if there is none. Written by the boot.
static LAST: AtomicPtr<Last> = AtomicPtr::new(core::ptr::null_mut());

/// What the boot before left, if its program failed.
pub fn last() -> Option<&'static Last> {
    // Acquire: pairs with `take_last`. SAFETY: only boxes that are never freed are stored there.
    unsafe { LAST.load(Ordering::Acquire).as_ref() }
}

/// The failures in a row, where the machine keeps them.
fn recorded() -> Option<Record> {
    let here = nvram::read::<LEN>().and_then(Record::decode);
    here.or(last().map(|last| last.record))
}

/// Takes what the boot before left for [`last`], and keeps the error output from now on. Once, by
/// the boot, of a program whose machine starts again when it fails.
pub fn take_last() {
    let in_page = kept::record().and_then(Record::decode);
    let record = recorded().or(in_page);
    let report = kept::take();
    if let Some(record) = record {
        let last = Box::new(Last {
            record,
            report: if in_page == Some(record) {
                report
            } else {
                Vec::new()
            },
        });
        // Release: the box is complete for who loads its address.
        LAST.store(Box::leak(last), Ordering::Release);
    }
}

/// From now on this happens when the program fails; it begins now.
pub fn set(action: Action) {
    BEGAN.store(counter(), Ordering::Relaxed);
    ACTION.store(action as u8, Ordering::Relaxed);
}

/// What happens when the program fails.
pub fn action() -> Action {
    match ACTION.load(Ordering::Relaxed) {
        action if action == Action::Reboot as u8 => Action::Reboot,
        action if action == Action::Halt as u8 => Action::Halt,
        _ => Action::PowerOff,
    }
}

/// Records a failure for the next boot. In the machine of [`Action::Reboot`].
pub fn record(status: u8) {
    let ran = counter().saturating_sub(BEGAN.load(Ordering::Relaxed));
    let ran_s = ran / clock::ticks(NS).max(1);
    // A machine that never asked for the time may need memory to begin.
    let time = machine_clock::has_begun().then(machine_clock::time_of_day);
    let time = time.flatten().map_or(0, |time| time.ns / NS);
    let record = Record::next(recorded(), ran_s, status, u32::try_from(time).unwrap_or(0));
    let bytes = record.encode();
    nvram::write(&bytes);
    console::restarting(status);
    // Nothing is written any more.
    kept::seal(&bytes);
}

/// Forgets the failures, at the end of a program that didn't fail.
pub fn forget() {
    nvram::write(&[0; LEN]);
    kept::seal(&[0; LEN]);
}

#[cfg(test)]
mod tests {
    use super::{Action, LEN, MAX_PAUSE_S, RECOVERED_S, Record};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    const RECORD: Record = Record {
        count: 3,
        status: 134,
        time: 1_795_219_200,
    };

    #[test]
    fn the_pause_doubles_up_to_five_minutes() {
        let pause = |count| Record { count, ..RECORD }.pause_s();
        assert_eq!(
            [1, 2, 3, 9, 10, 255].map(pause),
            [1, 2, 4, 256, MAX_PAUSE_S, MAX_PAUSE_S]
        );
    }

    #[test]
    fn failures_count_until_a_program_has_recovered() {
        let next = |last, ran_s| Record::next(last, ran_s, 2, 7).count;
        assert_eq!(next(None, 0), 1);
        assert_eq!(next(Some(RECORD), RECOVERED_S - 1), 4);
        assert_eq!(next(Some(RECORD), RECOVERED_S), 1);
        let many = Record {
            count: 255,
            ..RECORD
        };
        assert_eq!(next(Some(many), 0), 255);
        assert_eq!(
            (
                Record::next(None, 0, 2, 7).status,
                Record::next(None, 0, 2, 7).time
            ),
            (2, 7)
        );
    }

    #[test]
    fn actions_have_names() {
        assert_eq!(Action::named(b"reboot"), Some(Action::Reboot));
        assert_eq!(Action::named(b"halt"), Some(Action::Halt));
        assert_eq!(Action::named(b"poweroff"), Some(Action::PowerOff));
        assert_eq!(Action::named(b"Reboot"), None);
    }

    proptest! {
        #[test]
        fn a_record_survives_and_nothing_else_is_one(
            count in 1u8.., status: u8, time: u32, at in 0..LEN, change in 1u8..,
        ) {
            let record = Record { count, status, time };
            let mut bytes = record.encode();
            prop_assert_eq!(Record::decode(bytes), Some(record));
            bytes[at] = bytes[at].wrapping_add(change);
            prop_assert_eq!(Record::decode(bytes), None);
        }

        #[test]
        fn any_bytes_are_read(bytes in any::<[u8; LEN]>()) {
            let _ = Record::decode(bytes).map(Record::pause_s);
        }
    }

    #[test]
    fn empty_memory_has_no_record() {
        for byte in [0, 0xff] {
            assert_eq!(Record::decode([byte; LEN]), None);
        }
    }
}
