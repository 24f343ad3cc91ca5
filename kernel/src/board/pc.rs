//! The PC: local and I/O APIC, PIT, CMOS clock, 16550 UARTs, PCI by memory or ports, i8042, ACPI's
//! power management, and QEMU's devices on ports; entered by PVH.

pub mod button;
pub mod clock;
pub mod control;
pub mod fw_cfg;
pub mod handover;
mod i8042;
mod io_apic;
pub mod irq;
pub mod keyboard;
pub mod mmio;
pub mod nvram;
pub mod pci;
mod ports;
pub mod power;
pub mod processors;
mod pvpanic;
mod reset;
#[cfg(test)]
mod rust_vmm;
pub mod set_up;
mod start_up;
pub mod timer;
pub mod uart;
pub mod vectors;
