//! The power button: a pin of a PL061 (Arm DDI 0190), as `gpio-keys` names it, or ACPI's generic
//! event device.

use super::handover;
use super::irq::{Trigger, line_of};
use super::registers::Registers;
use crate::acpi;
use crate::memory;
use core::sync::atomic::{AtomicU8, Ordering};
use firmware::acpi::fadt::Power;
use firmware::fdt::{self, Fdt};

/// Registers by their offsets.
mod register {
    pub const DIRECTION: usize = 0x400;
    pub const SENSE_LEVEL: usize = 0x404;
    pub const BOTH_EDGES: usize = 0x408;
    pub const EVENT: usize = 0x40c;
    pub const ENABLE: usize = 0x410;
    pub const MASKED_STATUS: usize = 0x418;
    pub const CLEAR: usize = 0x41c;
}
const LEN: usize = 0x1000;

/// The selector of generic events.
static EVENTS: Registers = Registers::none();
/// The controller of the pin.
static PINS: Registers = Registers::none();
/// The pin's bit.
static PIN: AtomicU8 = AtomicU8::new(0);

/// The button's controller (address, interrupt) and the bit of its pin.
fn find(tree: &Fdt<'_>) -> Option<(u64, fdt::Line, u8)> {
    /// `KEY_POWER`.
    const POWER: u32 = 116;
    const PINS: u32 = 8;
    let key = tree
        .nodes()
        .find(|node| node.u32("linux,code") == Some(POWER))?;
    let pins = key.property("gpios")?;
    let controller = tree.phandle(fdt::number(pins, 0, 1)? as u32)?;
    let pin = fdt::number(pins, 4, 1).filter(|pin| *pin < u64::from(PINS))?;
    if !controller.is_compatible("arm,pl061") {
        return None;
    }
    let (address, _) = controller.registers().next()?;
    Some((address, controller.interrupt(0)?, 1 << pin))
}

/// Enables the button's interrupt; returns its line and trigger, or `None` if the machine has no
/// button.
pub fn enable() -> Option<(u32, Trigger)> {
    if let Some(Power::Reduced {
        events: Some(device),
        ..
    }) = &acpi::tables().power
    {
        // SAFETY: ACPI says that the device is there; just mapped, for good.
        unsafe { EVENTS.set(memory::map_device(device.address, 4)?) };
        return Some((device.gsi, Trigger::Edge));
    }
    let (address, line, pin) = find(&handover::tree()?)?;
    // SAFETY: the tree says that the device is there; just mapped, for good.
    unsafe { PINS.set(memory::map_device(address, LEN)?) };
    PIN.store(pin, Ordering::Relaxed);
    // An input, which interrupts when it rises.
    for (register, set) in [
        (register::DIRECTION, false),
        (register::SENSE_LEVEL, false),
        (register::BOTH_EDGES, false),
        (register::EVENT, true),
    ] {
        let bits = PINS.read::<u8>(register) & !pin;
        PINS.write(register, bits | if set { pin } else { 0 });
    }
    PINS.write(register::CLEAR, pin);
    let enabled = PINS.read::<u8>(register::ENABLE);
    PINS.write(register::ENABLE, enabled | pin);
    Some((line_of(line), Trigger::Level))
}

/// Whether the button was pressed since the last call. After [`enable`].
pub fn pressed() -> bool {
    if EVENTS.exist() {
        let Some(Power::Reduced {
            events: Some(device),
            ..
        }) = &acpi::tables().power
        else {
            return false;
        };
        let events = match device.is_byte {
            true => EVENTS.read::<u8>(0),
            false => EVENTS.read::<u32>(0) as u8,
        };
        return events & device.mask != 0;
    }
    let pin = PIN.load(Ordering::Relaxed);
    let pressed = PINS.read::<u8>(register::MASKED_STATUS) & pin != 0;
    if pressed {
        PINS.write(register::CLEAR, pin);
    }
    pressed
}

#[cfg(test)]
mod tests {
    use super::find;
    use firmware::fake::Builder;
    use firmware::fdt::{Fdt, Line};

    #[test]
    fn the_tree_names_the_pin() {
        let with = |pin| {
            let tree = Builder::new().begin("").words("#address-cells", &[2]);
            let tree = tree.words("#size-cells", &[2]).begin("pl061@9030000");
            let tree = tree
                .words("phandle", &[0x8007])
                .text("compatible", "arm,pl061");
            let tree = tree.words("reg", &[0, 0x903_0000, 0, 0x1000]);
            let tree = tree
                .words("interrupts", &[0, 7, 4])
                .end()
                .begin("gpio-keys");
            let tree = tree.text("compatible", "gpio-keys").begin("poweroff");
            let tree = tree
                .words("linux,code", &[116])
                .words("gpios", &[0x8007, pin, 0]);
            let bytes = tree.end().end().end().finish();
            find(&Fdt::parse(&bytes).unwrap())
        };
        let line = Line {
            number: 39,
            edge: false,
        };
        assert_eq!(with(3), Some((0x903_0000, line, 8)));
        assert_eq!(with(8), None);
    }
}
