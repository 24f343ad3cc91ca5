//! The FADT: power, reset, and the power management timer.
//!
//! Source: ACPI 6.5, chapters 5.2.9, 4.8 (fixed hardware), 4.1 (hardware-reduced).

use super::Register;
use crate::aml::EventDevice;
use crate::bytes::{u8_at, u16_at, u32_at};

/// The registers to switch the machine off, and to read its power button.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Power {
    /// PM1 registers, as a PC has them.
    Fixed {
        /// Port of PM1a's status register; the enable register follows.
        event: u16,
        /// Half the length of the event block, that is the distance of the enable register.
        enable_offset: u16,
        /// Port of PM1a's control register.
        control: u16,
        /// Port and value that leave legacy mode, if it exists.
        enable: Option<(u16, u8)>,
        /// Interrupt of the event registers.
        irq: u8,
    },
    /// A machine without PM1 registers ("hardware-reduced"), as QEMU's microvm.
    Reduced {
        /// The sleep control register.
        sleep_control: Option<Register>,
        /// The generic event device, which the DSDT has.
        events: Option<EventDevice>,
    },
}

/// The power registers of a FADT. `events` is the generic event device of the DSDT.
pub fn power(fadt: &[u8], events: impl FnOnce() -> Option<EventDevice>) -> Option<Power> {
    const HARDWARE_REDUCED: u32 = 1 << 20;
    if flags(fadt) & HARDWARE_REDUCED != 0 {
        return Some(Power::Reduced {
            sleep_control: Register::at(fadt, 244),
            events: events(),
        });
    }
    let port = |at| {
        u32_at(fadt, at)
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port != 0)
    };
    Some(Power::Fixed {
        event: port(56)?,
        enable_offset: u16::from(u8_at(fadt, 88)? / 2),
        control: port(64)?,
        enable: port(48)
            .zip(u8_at(fadt, 52))
            .filter(|(_, value)| *value != 0),
        irq: u16_at(fadt, 46)?.try_into().ok()?,
    })
}

fn flags(fadt: &[u8]) -> u32 {
    u32_at(fadt, 112).unwrap_or(0)
}

/// The reset register and the value to write.
pub fn reset(fadt: &[u8]) -> Option<(Register, u8)> {
    const RESET_SUPPORTED: u32 = 1 << 10;
    let is_supported = flags(fadt) & RESET_SUPPORTED != 0;
    let register = Register::at(fadt, 116).filter(|_| is_supported);
    register.zip(u8_at(fadt, 128))
}

/// Port of the power management timer.
pub fn timer(fadt: &[u8]) -> Option<u16> {
    let timer = u32_at(fadt, 76).and_then(|port| u16::try_from(port).ok());
    let extended = match Register::at(fadt, 208) {
        Some(Register::Port(port)) => Some(port),
        _ => None,
    };
    timer.filter(|port| *port != 0).or(extended)
}

/// The flags for Arm (table 5.11).
pub fn arm_flags(fadt: &[u8]) -> u16 {
    u16_at(fadt, 129).unwrap_or(0)
}
