//! The interrupt controller: GICv2 (Arm IHI 0048) and GICv3 (Arm IHI 0069). The first processor
//! takes all interrupts of devices.

use super::handover;
use super::registers::{Registers, await_until};
use crate::arch::{gic as processor, ipi};
use crate::memory;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use firmware::fdt::Node;

/// Interrupts before this one are sent by processors.
pub const FIRST_OWN: u32 = 16;
/// The first interrupt that devices share; those before belong to the processor.
pub const FIRST_SHARED: u32 = 32;
/// Interrupts from here on are none ("spurious").
const FIRST_SPECIAL: u32 = 1020;
/// The first interrupt of messages by an ITS.
pub const FIRST_MESSAGE: u32 = 8192;

/// Registers of the distributor, and of the second frame of a redistributor.
mod register {
    pub const CONTROL: usize = 0;
    pub const GROUP: usize = 0x80;
    pub const SET_ENABLE: usize = 0x100;
    pub const CLEAR_ENABLE: usize = 0x180;
    pub const PRIORITY: usize = 0x400;
    pub const TARGET: usize = 0x800;
    pub const CONFIGURATION: usize = 0xc00;
    pub const SEND: usize = 0xf00;
    pub const ROUTE: usize = 0x6000;
}
/// Registers of GICv2's interface to the processor.
mod interface {
    pub const CONTROL: usize = 0;
    pub const PRIORITY_MASK: usize = 4;
    pub const ACKNOWLEDGE: usize = 0xc;
    pub const END: usize = 0x10;
}
/// Registers of a redistributor.
pub mod redistributor {
    pub const CONTROL: usize = 0;
    pub const TYPE: usize = 8;
    pub const WAKER: usize = 0x14;
    pub const PROPERTIES: usize = 0x70;
    pub const PENDING: usize = 0x78;
}
/// Bytes of a frame of registers.
const FRAME: usize = 0x1_0000;
/// The priority of all interrupts, above the mask's.
const PRIORITY: u8 = 0xa0;

/// 2 or 3; 0 without a controller. Written once, at boot.
static VERSION: AtomicU8 = AtomicU8::new(0);
/// The mask of the processor in GICv2's targets. Written once, at boot.
static TARGET: AtomicU8 = AtomicU8::new(1);
static DISTRIBUTOR: Registers = Registers::none();
static INTERFACE: Registers = Registers::none();
/// The physical address of the processor's redistributor. Written once, at boot.
static REDISTRIBUTOR_ADDRESS: AtomicU64 = AtomicU64::new(0);
/// Its registers: two frames.
static REDISTRIBUTOR: Registers = Registers::none();
/// Its second frame, which has the processor's own interrupts.
static OWN: Registers = Registers::none();

/// The register of `bits` bits for an interrupt, and the position in it: (offset from the first
/// register, shift).
const fn field(number: u32, bits: u32) -> (usize, u32) {
    let each = 32 / bits;
    ((number / each * 4) as usize, number % each * bits)
}

fn map(registers: &Registers, address: u64, len: usize) -> Option<()> {
    let base = memory::map_device(address, len)?;
    // SAFETY: the tree says that the controller is there; just mapped, for good.
    unsafe { registers.set(base) };
    Some(())
}

/// Where a GICv3 routes shared interrupts: the affinity of the boot processor. Written by
/// [`set_up`].
static ROUTE: AtomicU64 = AtomicU64::new(0);

/// Lets the controller interrupt the boot processor, which runs this; every interrupt is disabled.
pub fn set_up(node: &Node<'_>) {
    // Without what a kind needs there is no controller.
    let _ = match node.is_compatible("arm,gic-v3") {
        true => set_up_3(node),
        false => set_up_2(node),
    };
}

/// The mask of the processor that runs among GICv2's targets: targets of a processor's own
/// interrupts are the processor.
fn own_target() -> u8 {
    let own: u32 = DISTRIBUTOR.read(register::TARGET);
    let own = own | own >> 16;
    ((own | own >> 8) as u8).max(1)
}

/// Lets a GICv2 interrupt the processor that runs.
fn accept_2() {
    const ENABLE: u32 = 1;
    /// Priorities below this one interrupt.
    const MASK: u32 = 0xf0;
    INTERFACE.write(interface::PRIORITY_MASK, MASK);
    INTERFACE.write(interface::CONTROL, ENABLE);
}

fn set_up_2(node: &Node<'_>) -> Option<()> {
    const ENABLE: u32 = 1;
    let mut registers = node.registers();
    map(&DISTRIBUTOR, registers.next()?.0, 0x1000)?;
    map(&INTERFACE, registers.next()?.0, 0x1000)?;
    TARGET.store(own_target(), Ordering::Relaxed);
    if let Some(send) = DISTRIBUTOR.address(register::SEND) {
        // SAFETY: just mapped, for good.
        unsafe { ipi::send_by(send.cast()) };
    }
    DISTRIBUTOR.write(register::CONTROL, ENABLE);
    accept_2();
    VERSION.store(2, Ordering::Relaxed);
    Some(())
}

fn set_up_3(node: &Node<'_>) -> Option<()> {
    if !processor::enable_registers() {
        return None;
    }
    map(&DISTRIBUTOR, node.registers().next()?.0, FRAME)?;
    let base = find_own(node)?;
    REDISTRIBUTOR_ADDRESS.store(base, Ordering::Relaxed);
    map(&REDISTRIBUTOR, base, 2 * FRAME)?;
    map(&OWN, base + FRAME as u64, FRAME)?;
    wake_up(&REDISTRIBUTOR, &OWN);
    // Both groups, routing by affinity: the bits are the same, or ignored, in both security states.
    const ENABLE: u32 = 1 | 1 << 1 | 1 << 4;
    let [first, second, third, fourth] = processor::affinity().map(u64::from);
    let route = first | second << 8 | third << 16 | fourth << 32;
    ROUTE.store(route, Ordering::Relaxed);
    DISTRIBUTOR.write(register::CONTROL, ENABLE);
    await_writes();
    processor::enable();
    VERSION.store(3, Ordering::Relaxed);
    Some(())
}

/// Makes a redistributor, with this second frame, pass on interrupts; each is disabled.
fn wake_up(registers: &Registers, own: &Registers) {
    const SLEEP: u32 = 1 << 1;
    const ASLEEP: u32 = 1 << 2;
    let waker: u32 = registers.read(redistributor::WAKER);
    registers.write(redistributor::WAKER, waker & !SLEEP);
    await_until(|| registers.read::<u32>(redistributor::WAKER) & ASLEEP == 0);
    own.write(register::CLEAR_ENABLE, u32::MAX);
    own.write(register::GROUP, u32::MAX);
}

/// Lets the controller interrupt another processor than the first, which runs this, by the
/// interrupts below [`FIRST_SHARED`] in `numbers`; false if it can't.
pub fn set_up_secondary(numbers: &[u32]) -> bool {
    let own = Registers::none();
    let registers = match VERSION.load(Ordering::Relaxed) {
        3 => {
            let found = || {
                let enabled = processor::enable_registers();
                let tree = handover::tree()?;
                let node = tree.compatible(&["arm,gic-v3"])?;
                let base = find_own(&node).filter(|_| enabled)?;
                let first = Registers::none();
                map(&first, base, FRAME)?;
                map(&own, base + FRAME as u64, FRAME)?;
                wake_up(&first, &own);
                processor::enable();
                Some(())
            };
            if found().is_none() {
                return false;
            }
            &own
        }
        2 => {
            accept_2();
            &DISTRIBUTOR
        }
        _ => return false,
    };
    for number in numbers {
        let (enable, bit) = field(*number, 1);
        registers.write(register::PRIORITY + *number as usize, PRIORITY);
        registers.write(register::SET_ENABLE + enable, 1u32 << bit);
    }
    true
}

/// What identifies the processor that runs to [`crate::arch::ipi`].
pub fn own_id() -> u64 {
    match VERSION.load(Ordering::Relaxed) {
        3 => u32::from_le_bytes(processor::affinity()).into(),
        _ => own_target().into(),
    }
}

/// The redistributor of the processor that runs.
fn find_own(node: &Node<'_>) -> Option<u64> {
    let regions = node.u32("#redistributor-regions").unwrap_or(1) as usize;
    let mut regions = node.registers().skip(1).take(regions);
    regions.find_map(|(start, len)| find_redistributor(start, len))
}

/// The processor's redistributor in a region of them.
fn find_redistributor(start: u64, len: u64) -> Option<u64> {
    const LAST: u64 = 1 << 4;
    /// It has frames for virtual messages.
    const VIRTUAL: u64 = 1 << 1;
    let affinity = u32::from_le_bytes(processor::affinity());
    let mut base = start;
    while base - start < len {
        let registers = Registers::none();
        map(&registers, base, FRAME)?;
        let kind: u64 = registers.read(redistributor::TYPE);
        if (kind >> 32) as u32 == affinity {
            return Some(base);
        }
        if kind & LAST != 0 {
            break;
        }
        base += (if kind & VIRTUAL != 0 { 4 } else { 2 }) * FRAME as u64;
    }
    None
}

/// Waits until the distributor has taken the last writes.
fn await_writes() {
    const PENDING: u32 = 1 << 31;
    await_until(|| DISTRIBUTOR.read::<u32>(register::CONTROL) & PENDING == 0);
}

/// Waits until the processor's redistributor has taken the last writes.
fn await_own_writes() {
    const PENDING: u32 = 1 << 3;
    await_until(|| REDISTRIBUTOR.read::<u32>(redistributor::CONTROL) & PENDING == 0);
}

/// Whether it is a GICv3; its redistributor is found.
pub fn is_version_3() -> bool {
    VERSION.load(Ordering::Relaxed) == 3
}

/// The processor's redistributor.
pub fn own_redistributor() -> &'static Registers {
    &REDISTRIBUTOR
}

/// Its physical address, a multiple of 64 KiB.
pub fn redistributor_address() -> u64 {
    REDISTRIBUTOR_ADDRESS.load(Ordering::Relaxed)
}

/// Lets interrupt `number`, below 1020, reach the processor, or, from [`FIRST_SHARED`] on, the boot
/// processor; false without a controller.
pub fn enable(number: u32, edge: bool) -> bool {
    let version = VERSION.load(Ordering::Relaxed);
    if version == 0 || number >= FIRST_SPECIAL {
        return false;
    }
    let shared = number >= FIRST_SHARED;
    let registers = match version {
        3 if !shared => &OWN,
        _ => &DISTRIBUTOR,
    };
    let (enable, bit) = field(number, 1);
    registers.write(register::CLEAR_ENABLE + enable, 1u32 << bit);
    if version == 3 {
        // What follows is for an interrupt that is disabled.
        match shared {
            true => await_writes(),
            false => await_own_writes(),
        }
        let group: u32 = registers.read(register::GROUP + enable);
        registers.write(register::GROUP + enable, group | 1 << bit);
    }
    let (configuration, shift) = field(number, 2);
    let old: u32 = registers.read(register::CONFIGURATION + configuration);
    let new = old & !(2 << shift) | if edge { 2 << shift } else { 0 };
    registers.write(register::CONFIGURATION + configuration, new);
    registers.write(register::PRIORITY + number as usize, PRIORITY);
    if shared {
        match version {
            3 => {
                let route = ROUTE.load(Ordering::Relaxed);
                registers.write(register::ROUTE + 8 * number as usize, route);
            }
            _ => {
                let target = TARGET.load(Ordering::Relaxed);
                registers.write(register::TARGET + number as usize, target);
            }
        }
    }
    registers.write(register::SET_ENABLE + enable, 1u32 << bit);
    true
}

/// Takes the pending interrupt of the highest priority: its number, for [`end`]; `None` if there is
/// none. One below [`FIRST_OWN`] needs no end.
pub fn acknowledge() -> Option<u32> {
    let word = match VERSION.load(Ordering::Relaxed) {
        3 => processor::acknowledge(),
        2 => {
            let word = INTERFACE.read::<u32>(interface::ACKNOWLEDGE);
            // What the sender wrote before is seen after.
            crate::arch::cpu::barrier();
            word
        }
        _ => return None,
    };
    let number = match VERSION.load(Ordering::Relaxed) {
        3 => word,
        // The rest is the processor that sent it.
        _ => word & 0x3ff,
    };
    if number < FIRST_OWN {
        end(word);
    }
    let is_special = (FIRST_SPECIAL..FIRST_MESSAGE).contains(&number);
    (!is_special).then_some(number)
}

/// Ends the interrupt that [`acknowledge`] returned.
pub fn end(number: u32) {
    match VERSION.load(Ordering::Relaxed) {
        3 => processor::end(number),
        _ => {
            // What the handler wrote to its device comes before the end.
            crate::arch::cpu::barrier();
            INTERFACE.write(interface::END, number);
        }
    }
}
