//! Converts keys and buttons to evdev codes.

use viewer::evdev::{BUTTONS, KEYS};
use winit::event::MouseButton;
use winit::keyboard::PhysicalKey;
use winit::platform::scancode::PhysicalKeyExtScancode as _;

/// Returns a key's code, if it has one. On Linux winit's scan codes are evdev's.
pub fn code(key: PhysicalKey) -> Option<u16> {
    let code = u16::try_from(key.to_scancode()?).ok();
    code.filter(|code| KEYS.contains(code))
}

/// Returns a button's code.
pub fn button(button: MouseButton) -> Option<u16> {
    let [left, right, middle, back, forward] = BUTTONS;
    match button {
        MouseButton::Left => Some(left),
        MouseButton::Right => Some(right),
        MouseButton::Middle => Some(middle),
        MouseButton::Back => Some(back),
        MouseButton::Forward => Some(forward),
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
