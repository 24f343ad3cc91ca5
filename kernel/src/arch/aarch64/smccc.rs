//! Calls of firmware or of the hypervisor. Source: Arm's SMC Calling Convention (DEN 0028).

use core::arch::asm;

/// The instruction that makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// `hvc`.
    Hypervisor,
    /// `smc`.
    Monitor,
}

/// Calls `function`; returns the first four results.
///
/// # Safety
/// Something answers the instruction, and the call affects no memory that is in use.
pub unsafe fn call(conduit: Conduit, function: u32, arguments: [u64; 3]) -> [u64; 4] {
    let mut x0 = u64::from(function);
    let [mut x1, mut x2, mut x3] = arguments;
    // SAFETY: the caller's promise. Registers from x4 to x17 may change by version 1.0.
    unsafe {
        match conduit {
            Conduit::Hypervisor => asm!(
                "hvc #0",
                inout("x0") x0, inout("x1") x1, inout("x2") x2, inout("x3") x3,
                clobber_abi("C"), options(nostack)
            ),
            Conduit::Monitor => asm!(
                "smc #0",
                inout("x0") x0, inout("x1") x1, inout("x2") x2, inout("x3") x3,
                clobber_abi("C"), options(nostack)
            ),
        }
    }
    [x0, x1, x2, x3]
}
