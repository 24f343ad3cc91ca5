//! The end of the machine, by PSCI. Source: Arm's Power State Coordination Interface (DEN 0022).

use super::pvpanic;
use crate::arch::smccc::{self, Conduit};
use crate::arch::{counter, cpu};
use core::sync::atomic::{AtomicU8, Ordering};
use firmware::fdt::Node;

pub use pvpanic::report as report_crash;

const SYSTEM_OFF: u32 = 0x8400_0008;
const SYSTEM_RESET: u32 = 0x8400_0009;
/// `ARM_SMCCC_VENDOR_HYP_CALL_UID_FUNC_ID`, and KVM's answer.
const HYPERVISOR: u32 = 0x8600_ff01;
const KVM: [u64; 4] = [0xb66f_b428, 0xe911_c52e, 0x564b_caa9, 0x743a_004d];

/// The instruction that PSCI answers: 0 none, 1 `hvc`, 2 `smc`. Written once, by [`set_up`].
static CONDUIT: AtomicU8 = AtomicU8::new(0);

/// The instruction of PSCI by its node.
fn conduit_of(psci: &Node<'_>) -> u8 {
    match psci.string("method") {
        Some(b"hvc") => 1,
        Some(b"smc") => 2,
        _ => 0,
    }
}

fn conduit() -> Option<Conduit> {
    match CONDUIT.load(Ordering::Relaxed) {
        1 => Some(Conduit::Hypervisor),
        2 => Some(Conduit::Monitor),
        _ => None,
    }
}

/// Prepares the end by PSCI, if there is that.
pub(super) fn set_up(psci: Option<&Node<'_>>) {
    CONDUIT.store(psci.map_or(0, conduit_of), Ordering::Relaxed);
}

/// Calls `function`, if the machine has PSCI.
fn call(function: u32) -> Option<[u64; 4]> {
    // SAFETY: the tree says that this instruction is answered; the functions used here affect no
    // memory.
    conduit().map(|conduit| unsafe { smccc::call(conduit, function, [0; 3]) })
}

/// Starts the processor of this affinity, see [`super::fdt::Fdt::processors`], at the physical
/// address `entry`, with `argument` in x0 and its MMU off; false if PSCI refuses.
///
/// # Safety
/// The code at `entry` uses only memory that is meant for it.
pub(super) unsafe fn start(affinity: u64, entry: u64, argument: u64) -> bool {
    /// `CPU_ON`, with arguments of 64 bits.
    const CPU_ON: u32 = 0xc400_0003;
    // SAFETY: as for `call`; what the processor does is the caller's promise.
    let answer = conduit()
        .map(|conduit| unsafe { smccc::call(conduit, CPU_ON, [affinity, entry, argument]) });
    answer.is_some_and(|[status, ..]| status == 0)
}

/// Whether QEMU translates instructions (without KVM or HVF): see [`cpu::is_translated`]. KVM
/// answers with its name.
pub(super) fn is_translating() -> bool {
    let name = call(HYPERVISOR).map(|name| name.map(|word| word & 0xffff_ffff));
    name != Some(KVM) && cpu::is_translated(counter::hz(), cpu::kind())
}

/// Requests that the machine be switched off; false if it has no means for that. It may take the
/// VMM a while.
pub fn off() -> bool {
    call(SYSTEM_OFF).is_some()
}

/// Resets the machine.
pub fn reset() -> ! {
    end_now()
}

/// Resets the machine without tables or locks, which may be broken; without PSCI it stops for good.
pub fn end_now() -> ! {
    call(SYSTEM_RESET);
    loop {
        crate::arch::interrupts::disable();
        crate::arch::interrupts::halt();
    }
}

/// Reports the status to QEMU: these machines have no device for it.
pub fn write_exit(_: u8) {}

/// Whether QEMU has a device that ends it with a status.
pub fn has_exit() -> bool {
    false
}
