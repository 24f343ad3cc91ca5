//! The x86-64 processor and the standard devices of a PC: descriptor tables, APICs, clocks, serial
//! ports, keyboard controller.
//!
//! Each module drives one of them and uses nothing else of the kernel: the caller maps memory, and
//! sets what handles traps with [`gates::set_up`].

pub mod apic;
pub mod cpu;
pub mod gates;
pub mod i8042;
pub mod interrupts;
pub mod io_apic;
pub mod mmu;
pub mod paging;
pub mod pci;
pub mod pit;
pub mod ports;
pub mod pvclock;
pub mod rdrand;
pub mod reset;
pub mod rtc;
pub mod sse;
pub mod stacks;
pub mod strings;
pub mod thread_pointer;
pub mod tsc;
pub mod uart;
pub mod vectors;
