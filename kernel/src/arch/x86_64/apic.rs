//! The local APIC: its timer, and the end of interrupts. Uses x2APIC if the processor has it, else
//! xAPIC (QEMU's TCG).
//!
//! Each function is one access to a register of the calling processor's APIC, so all may be called
//! from any context, but for the timer's: these have interrupts disabled.
//!
//! Source: Intel SDM volume 3, chapter 11.

use super::cpu;
use super::gates::FIRST_INTERRUPT;
use super::processor;
use core::arch::x86_64::__cpuid;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use x86_64::registers::model_specific::Msr;

/// The vector of the timer.
pub const TIMER: u8 = FIRST_INTERRUPT;
/// The vector by which another processor wakes this one.
pub const WAKE: u8 = SPURIOUS - 1;
/// The vector of spurious interrupts, which need no end-of-interrupt.
pub const SPURIOUS: u8 = 95;

const BASE: Msr = Msr::new(0x1b);
const ENABLE: u64 = 1 << 11;
const X2APIC: u64 = 1 << 10;
/// The bits of the MSR that hold the registers' physical address.
const ADDRESS_MASK: u64 = 0x000f_ffff_ffff_f000;

const ID: u32 = 0x20;
const TASK_PRIORITY: u32 = 0x80;
const END_OF_INTERRUPT: u32 = 0xb0;
const SPURIOUS_VECTOR: u32 = 0xf0;
const LVT_TIMER: u32 = 0x320;
const INITIAL_COUNT: u32 = 0x380;
const CURRENT_COUNT: u32 = 0x390;
const DIVIDE: u32 = 0x3e0;

const MASKED: u32 = 1 << 16;
/// The timer counts the bus clock divided by 16.
const DIVISOR: u32 = 16;
const DIVIDE_BY_16: u32 = 3;

/// Address of the mapped registers; [`USE_MSRS`] for x2APIC, 0 before `set_up`, which writes it.
static REGISTERS: AtomicU64 = AtomicU64::new(0);
const USE_MSRS: u64 = 1;
/// The APIC ID of the boot processor. Written by `set_up`.
static BOOT_ID: AtomicU32 = AtomicU32::new(0);

fn read(register: u32) -> u32 {
    match REGISTERS.load(Ordering::Relaxed) {
        0 => 0,
        // SAFETY: x2APIC is on; its registers are MSRs from 0x800.
        USE_MSRS => unsafe { Msr::new(0x800 + (register >> 4)).read() as u32 },
        // SAFETY: the registers are mapped there.
        base => unsafe { drivers::register::read((base + u64::from(register)) as *const u32) },
    }
}

fn write(register: u32, value: u32) {
    match REGISTERS.load(Ordering::Relaxed) {
        0 => {}
        // SAFETY: as for `read`; none of the registers used here affects memory.
        USE_MSRS => unsafe { Msr::new(0x800 + (register >> 4)).write(u64::from(value)) },
        // SAFETY: as for `read`.
        base => unsafe {
            drivers::register::write((base + u64::from(register)) as *mut u32, value)
        },
    }
}

/// Enables the local APIC of the boot processor, which runs this, and masks the 8259, which some
/// firmware leaves unmasked. `map` maps device registers at a physical address, for good.
pub fn set_up(map: impl FnOnce(u64, usize) -> Option<*mut u8>) {
    use x86_64::instructions::port::Port;
    let mut base_register = BASE;
    // SAFETY: every 64-bit processor has the register; the bits are set as documented. The ports
    // are the 8259's masks.
    unsafe {
        Port::new(0x21).write(0xff_u8);
        Port::new(0xa1).write(0xff_u8);
        let base = base_register.read();
        if __cpuid(1).ecx & 1 << 21 != 0 {
            base_register.write(base | ENABLE | X2APIC);
            REGISTERS.store(USE_MSRS, Ordering::Relaxed);
        } else {
            base_register.write(base | ENABLE);
            if let Some(registers) = map(base & ADDRESS_MASK, 4096) {
                REGISTERS.store(registers as u64, Ordering::Relaxed);
            }
        }
    }
    BOOT_ID.store(id(), Ordering::Relaxed);
    accept(MASKED);
    count_again();
}

/// Lets the APIC of the processor that runs interrupt it, by the timer as `mask` says.
fn accept(mask: u32) {
    write(TASK_PRIORITY, 0);
    write(SPURIOUS_VECTOR, 0x100 | u32::from(SPURIOUS));
    write(LVT_TIMER, mask | u32::from(TIMER));
    write(DIVIDE, DIVIDE_BY_16);
}

/// Enables the local APIC of another processor than the first, which runs this. Its timer may
/// interrupt.
pub fn set_up_secondary() {
    let mut base_register = BASE;
    // SAFETY: as in `set_up`; the registers are those of the processor that reads or writes.
    unsafe {
        let base = base_register.read() | ENABLE;
        base_register.write(match REGISTERS.load(Ordering::Relaxed) {
            USE_MSRS => base | X2APIC,
            _ => base,
        });
    }
    accept(0);
    processor::get()
        .timer_unmasked
        .store(true, Ordering::Relaxed);
}

/// What one processor sends to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Resets it, until the next one.
    Init,
    /// Starts it in real mode at the page with this number.
    Start(u8),
    /// A non-maskable interrupt.
    NonMaskable,
    /// An interrupt.
    Interrupt(u8),
}

/// Sends `command` to the APIC of this ID, or to all others; needs interrupts disabled.
pub fn send(to: Option<u32>, command: Command) {
    const COMMAND: u32 = 0x300;
    const COMMAND_DESTINATION: u32 = 0x310;
    const ASSERT: u32 = 1 << 14;
    const ALL_OTHERS: u32 = 3 << 18;
    const PENDING: u32 = 1 << 12;
    let word = ASSERT
        | match command {
            Command::Init => 5 << 8,
            Command::Start(page) => 6 << 8 | u32::from(page),
            Command::NonMaskable => 4 << 8,
            Command::Interrupt(vector) => u32::from(vector),
        }
        | if to.is_none() { ALL_OTHERS } else { 0 };
    if REGISTERS.load(Ordering::Relaxed) == USE_MSRS {
        let value = u64::from(to.unwrap_or(0)) << 32 | u64::from(word);
        // SAFETY: the register sends an interrupt. Its write isn't ordered after writes to memory,
        // which the other processor is to see: the two fences do that (10.12.3).
        unsafe {
            core::arch::asm!("mfence", "lfence", options(nostack, preserves_flags));
            Msr::new(0x800 + (COMMAND >> 4)).write(value);
        }
        return;
    }
    // Each access is an exit from the virtual machine.
    let destination = to.unwrap_or(0);
    if processor::get()
        .destination
        .swap(destination + 1, Ordering::Relaxed)
        != destination + 1
    {
        write(COMMAND_DESTINATION, destination << 24);
    }
    write(COMMAND, word);
    // The next one would replace it; an emulator sends it at once.
    if !cpu::is_emulated() {
        (0..100_000).find(|_| read(COMMAND) & PENDING == 0);
    }
}

/// Restarts the timer's count from the beginning, up to [`MAX_BUS_CLOCKS`].
pub fn count_again() {
    write(INITIAL_COUNT, u32::MAX);
}

/// The boot processor's APIC ID: devices interrupt that one.
pub fn boot_id() -> u32 {
    BOOT_ID.load(Ordering::Relaxed)
}

/// This processor's APIC ID.
pub fn id() -> u32 {
    match REGISTERS.load(Ordering::Relaxed) {
        USE_MSRS => read(ID),
        _ => read(ID) >> 24,
    }
}

/// Signals the end of the interrupt that is being handled.
pub fn end_of_interrupt() {
    write(END_OF_INTERRUPT, 0);
}

/// The value at which [`elapsed_bus_clocks`] stops.
pub const MAX_BUS_CLOCKS: u64 = u32::MAX as u64 * DIVISOR as u64;

/// Bus clocks since [`set_up`] or [`count_again`], up to the counter's limit and until the timer is
/// used for something else.
pub fn elapsed_bus_clocks() -> u64 {
    u64::from(u32::MAX - read(CURRENT_COUNT)) * u64::from(DIVISOR)
}

/// Starts the timer: one interrupt after `bus_clocks`, or earlier if the counter is too short for
/// that.
pub fn set_timer(bus_clocks: u64) {
    // Unmasked by the first call and never masked again: each write is an exit from the virtual
    // machine.
    let unmasked = &processor::get().timer_unmasked;
    if !unmasked.load(Ordering::Relaxed) {
        unmasked.store(true, Ordering::Relaxed);
        write(LVT_TIMER, u32::from(TIMER));
    }
    let count = bus_clocks
        .div_ceil(u64::from(DIVISOR))
        .clamp(1, u64::from(u32::MAX));
    write(INITIAL_COUNT, count as u32);
}
