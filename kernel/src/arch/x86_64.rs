//! The x86-64 processor and the devices of a PC that are always there: descriptor tables, APICs,
//! clocks, serial ports.
//!
//! Each module drives one of them and knows nothing else of the kernel: memory that must be mapped
//! is mapped by the caller, and what a trap leads to is given to [`gates::set_up`].

pub mod apic;
pub mod cpu;
pub mod gates;
pub mod io_apic;
pub mod paging;
pub mod pci;
pub mod pit;
pub mod pvclock;
pub mod rdrand;
pub mod reset;
pub mod rtc;
pub mod sse;
pub mod stacks;
pub mod strings;
pub mod tsc;
pub mod uart;
pub mod vectors;
