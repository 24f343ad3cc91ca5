//! Keys and buttons in evdev's codes.

use winit::event::MouseButton;
use winit::keyboard::PhysicalKey;
use winit::platform::scancode::PhysicalKeyExtScancode as _;

/// The last code of a key of a keyboard.
const LAST_KEY: u32 = 248;

/// The code of a key, if it has one. On Linux winit's scan codes are evdev's.
pub fn code(key: PhysicalKey) -> Option<u16> {
    let code = key
        .to_scancode()
        .filter(|code| (1..=LAST_KEY).contains(code));
    code.and_then(|code| u16::try_from(code).ok())
}

/// The code of a button (`BTN_LEFT` and those after it).
pub fn button(button: MouseButton) -> Option<u16> {
    match button {
        MouseButton::Left => Some(0x110),
        MouseButton::Right => Some(0x111),
        MouseButton::Middle => Some(0x112),
        MouseButton::Back => Some(0x113),
        MouseButton::Forward => Some(0x114),
        MouseButton::Other(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::code;
    use winit::keyboard::{KeyCode, NativeKeyCode, PhysicalKey};

    #[test]
    fn keys_have_the_codes_of_evdev() {
        for (key, expected) in [
            (KeyCode::Escape, 1),
            (KeyCode::KeyA, 30),
            (KeyCode::ShiftLeft, 42),
            (KeyCode::AltRight, 100),
            (KeyCode::ArrowUp, 103),
        ] {
            assert_eq!(code(PhysicalKey::Code(key)), Some(expected), "{key:?}");
        }
        let odd = PhysicalKey::Unidentified(NativeKeyCode::Xkb(700));
        assert_eq!(code(odd), None);
    }
}
