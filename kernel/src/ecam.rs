//! PCI configuration space in memory ("ECAM", PCI Express Base Specification 6.0, 7.2.2).

use crate::memory;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use drivers::pci::{Address, ConfigAccess};
use drivers::register;

/// Configuration space of the buses from 0 on. Each access maps the function's page, for good: not
/// for interrupts.
pub struct Ecam {
    /// Physical address of bus 0; 0 for none. Written once, last.
    base: AtomicU64,
    last_bus: AtomicU8,
}

impl Ecam {
    /// Of a machine without it, before [`set`](Ecam::set).
    pub const fn new() -> Self {
        Self {
            base: AtomicU64::new(0),
            last_bus: AtomicU8::new(0),
        }
    }

    /// Sets the physical address of bus 0, and the last bus.
    pub fn set(&self, base: u64, last_bus: u8) {
        self.last_bus.store(last_bus, Ordering::Relaxed);
        self.base.store(base, Ordering::Relaxed);
    }

    /// The last bus.
    pub fn last_bus(&self) -> u8 {
        self.last_bus.load(Ordering::Relaxed)
    }

    /// The physical address of a register.
    fn place(&self, address: Address, offset: u16) -> Option<u64> {
        let base = self.base.load(Ordering::Relaxed);
        if base == 0 || address.bus > self.last_bus() {
            return None;
        }
        let function = u64::from(address.bus) << 20
            | u64::from(address.device & 31) << 15
            | u64::from(address.function & 7) << 12;
        base.checked_add(function + u64::from(offset & 0xffc))
    }

    fn register(&self, address: Address, offset: u16) -> Option<*mut u32> {
        memory::map_device(self.place(address, offset)?, 4).map(|register| register.cast())
    }
}

impl ConfigAccess for Ecam {
    fn read(&self, address: Address, offset: u16) -> u32 {
        // SAFETY: a register of configuration space, just mapped for good. Reading has no side
        // effect; an absent function reads as ones.
        self.register(address, offset)
            .map_or(u32::MAX, |at| unsafe { register::read(at) })
    }

    fn write(&self, address: Address, offset: u16, value: u32) {
        if let Some(at) = self.register(address, offset) {
            // SAFETY: the caller owns the function at this address.
            unsafe { register::write(at, value) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Ecam;
    use drivers::pci::Address;

    #[test]
    fn a_register_is_at_its_functions_page() {
        let ecam = Ecam::new();
        let address = |bus, device, function| Address {
            bus,
            device,
            function,
        };
        assert_eq!(ecam.place(address(0, 0, 0), 0), None);
        ecam.set(0xe000_0000, 2);
        for (place, offset, expected) in [
            (address(0, 0, 0), 0, 0xe000_0000),
            (address(0, 31, 7), 0x3f, 0xe00f_f03c),
            (address(2, 1, 0), 0x100, 0xe020_8100),
        ] {
            assert_eq!(ecam.place(place, offset), Some(expected));
        }
        assert_eq!(ecam.place(address(3, 0, 0), 0), None);
        ecam.set(u64::MAX << 20, 2);
        assert_eq!(ecam.place(address(1, 0, 0), 0), None);
    }
}
