//! Ctrl-Alt-Del on a keyboard, a stop request: the only one of Firecracker (`SendCtrlAltDel`).

use super::i8042;
use super::irq::{Trigger, legacy_line};
use core::sync::atomic::{AtomicU8, Ordering};

/// The keys that are down, and the prefixes that precede the next code. Used by interrupts, and
/// once before they are enabled.
static STATE: AtomicU8 = AtomicU8::new(0);

const CONTROL_DOWN: u8 = 1;
const ALT_DOWN: u8 = 2;
/// The next code is that of a key's release.
const RELEASE: u8 = 4;
/// The last code completed Ctrl-Alt-Del.
const REQUEST: u8 = 8;

/// Enables the keyboard's interrupt; returns its line and trigger. Without a keyboard controller it
/// never comes.
pub fn enable() -> Option<(u32, Trigger)> {
    const IRQ: u8 = 1;
    i8042::set_up();
    Some((legacy_line(IRQ), Trigger::Edge))
}

/// Reads all codes that are available; returns the number of requests among them.
pub fn requests() -> usize {
    let mut count = 0;
    i8042::while_ready(|code| {
        let state = next(STATE.load(Ordering::Relaxed), code);
        STATE.store(state, Ordering::Relaxed);
        count += usize::from(state & REQUEST != 0);
    });
    count
}

/// The state after a code of scan code set 2. Firecracker sends the three keys without their
/// releases.
fn next(state: u8, code: u8) -> u8 {
    const EXTENDED: u8 = 0xe0;
    const BREAK: u8 = 0xf0;
    const CONTROL: u8 = 0x14;
    const ALT: u8 = 0x11;
    const DELETE: u8 = 0x71;
    let down = state & (CONTROL_DOWN | ALT_DOWN);
    let key = match code {
        // Keys left and right, and Del on the keypad, differ only in this prefix.
        EXTENDED => return state & !REQUEST,
        BREAK => return down | RELEASE,
        CONTROL => CONTROL_DOWN,
        ALT => ALT_DOWN,
        DELETE if down == CONTROL_DOWN | ALT_DOWN => REQUEST,
        _ => 0,
    };
    if state & RELEASE != 0 {
        down & !key
    } else {
        down | key
    }
}

#[cfg(test)]
mod tests {
    use super::{REQUEST, next};

    /// How many requests the codes are.
    fn requests(codes: &[u8]) -> usize {
        let mut state = 0;
        codes
            .iter()
            .filter(|code| {
                state = next(state, **code);
                state & REQUEST != 0
            })
            .count()
    }

    #[test]
    fn three_keys_are_a_request() {
        // As QEMU sends them, left keys and Del of the keypad as well as right keys and Del.
        let left = [0x14, 0x11, 0x71, 0xf0, 0x71, 0xf0, 0x11, 0xf0, 0x14];
        assert_eq!(requests(&left), 1);
        let right = [
            0xe0, 0x14, 0xe0, 0x11, 0xe0, 0x71, 0xe0, 0xf0, 0x71, 0xe0, 0xf0, 0x11, 0xe0, 0xf0,
            0x14,
        ];
        assert_eq!(requests(&[left.as_slice(), &right].concat()), 2);
        assert_eq!(requests(&[0x11, 0x14, 0xe0, 0x71]), 1);
    }

    /// Firecracker's `trigger_ctrl_alt_del` sends no releases.
    #[test]
    fn each_of_firecrackers_sequences_is_a_request() {
        assert_eq!(requests(&[0x14, 0x11, 0xe0, 0x71].repeat(3)), 3);
    }

    #[test]
    fn other_keys_are_none() {
        assert_eq!(requests(&[0x71, 0xe0, 0x71]), 0);
        assert_eq!(requests(&[0x14, 0x71, 0xf0, 0x14, 0x11, 0x71]), 0);
        assert_eq!(requests(&[0x14, 0x11, 0xf0, 0x11, 0x71]), 0);
        // Released by its release alone.
        assert_eq!(requests(&[0x14, 0x11, 0xf0, 0x71]), 0);
        assert_eq!(requests(&[0x14, 0x11, 0xfa, 0x1c, 0x71]), 1);
    }
}
