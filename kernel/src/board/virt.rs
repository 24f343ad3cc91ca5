//! The machine of virtual arm64 machines, as its device tree describes it: QEMU's `virt`, and the
//! likes of Firecracker.

mod bridge;
pub mod button;
pub mod clock;
pub mod control;
pub mod fw_cfg;
mod gic;
pub mod handover;
pub mod irq;
mod its;
pub mod keyboard;
pub mod mmio;
pub mod nvram;
pub mod pci;
pub mod power;
pub mod processors;
mod pvpanic;
mod registers;
mod seed;
pub mod set_up;
mod survey;
pub mod timer;
pub mod uart;
pub mod vectors;
