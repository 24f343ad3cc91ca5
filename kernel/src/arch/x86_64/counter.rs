//! The time stamp counter. Source: Intel SDM volume 3, chapter 17.17, and CPUID leaves 0x15, 0x16.

use core::arch::x86_64::{__cpuid, _rdtsc, CpuidResult};

/// The counter by its number in a VMClock: `VMCLOCK_COUNTER_X86_TSC`.
pub const VMCLOCK_ID: u8 = 1;

/// The counter's value. It runs at a constant rate, which [`hz`] may know.
pub fn counter() -> u64 {
    // SAFETY: every 64-bit processor has the instruction.
    unsafe { _rdtsc() }
}

/// The counter's value after all loads before it have their values: the plain reading may come
/// first, and be less than another processor's that was loaded (Linux: `rdtsc_ordered`).
pub fn ordered() -> u64 {
    // SAFETY: every 64-bit processor has the instructions.
    unsafe {
        core::arch::x86_64::_mm_lfence();
        _rdtsc()
    }
}

/// Whether CPUID promises that the counter runs at one rate, whatever the processor does (leaf
/// 0x8000_0007, EDX bit 8).
pub fn is_invariant() -> bool {
    __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & 1 << 8 != 0
}

/// The counter's rate in Hz by CPUID, 0 where it isn't known; see [`hz_by`].
pub fn hz() -> u64 {
    hz_by(__cpuid)
}

/// The rate by CPUID leaf 0x15; without the crystal's rate there, by the base frequency of leaf
/// 0x16, as Linux has it; else by the hypervisor's leaf 0x40000010 ("CPUID interface for
/// hypervisors", <https://lwn.net/Articles/301888/>), which VMware, Cloud Hypervisor and QEMU's
/// `vmware-cpuid-freq` have.
fn hz_by(cpuid: impl Fn(u32) -> CpuidResult) -> u64 {
    const HYPERVISOR: u32 = 1 << 31;
    let highest = cpuid(0).eax;
    if highest >= 0x15 {
        let leaf = cpuid(0x15);
        let mut hz = 0;
        if leaf.ecx != 0 && leaf.eax != 0 {
            hz = u64::from(leaf.ecx) * u64::from(leaf.ebx) / u64::from(leaf.eax);
        } else if leaf.ebx != 0 && highest >= 0x16 {
            hz = u64::from(cpuid(0x16).eax & 0xffff) * 1_000_000;
        }
        if hz != 0 {
            return hz;
        }
    }
    if cpuid(1).ecx & HYPERVISOR != 0 && cpuid(0x4000_0000).eax >= 0x4000_0010 {
        return u64::from(cpuid(0x4000_0010).eax) * 1000;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::{CpuidResult, hz_by};

    /// A processor with these leaves: number, eax, ebx, ecx.
    fn hz(leaves: &[(u32, u32, u32, u32)]) -> u64 {
        hz_by(|number| {
            let found = leaves.iter().find(|leaf| leaf.0 == number);
            let (_, eax, ebx, ecx) = found.copied().unwrap_or_default();
            let edx = 0;
            CpuidResult { eax, ebx, ecx, edx }
        })
    }

    #[test]
    fn takes_the_first_leaf_that_knows() {
        let hypervisor = (1, 0, 0, 1 << 31);
        let (last, khz) = (
            (0x4000_0000, 0x4000_0010, 0, 0),
            (0x4000_0010, 2_400_000, 0, 0),
        );
        let crystal = (0x15, 2, 216, 24_000_000);
        let (ratio, base) = ((0x15, 2, 216, 0), (0x16, 0xffff_0a28, 0, 0));
        let top = |leaf| (0, leaf, 0, 0);
        let others = [hypervisor, last, khz];
        let with = |more: &[_]| hz(&[&others[..], more].concat());
        assert_eq!(with(&[top(0x16), crystal]), 2_592_000_000);
        assert_eq!(with(&[top(0x16), ratio, base]), 2_600_000_000);
        assert_eq!(with(&[top(0x15), ratio]), 2_400_000_000);
        assert_eq!(with(&[top(0x14), crystal]), 2_400_000_000);
        assert_eq!(with(&[top(0x16)]), 2_400_000_000);
        // Virtual machines have empty ones.
        assert_eq!(with(&[top(0x16), ratio]), 2_400_000_000);
        assert_eq!(with(&[top(0x15), (0x15, 2, 0, 24_000_000)]), 2_400_000_000);
        // A leaf counts only where the processor says that it has it.
        assert_eq!(hz(&[last, khz]), 0);
        assert_eq!(hz(&[hypervisor, (0x4000_0000, 0x4000_0001, 0, 0), khz]), 0);
        assert_eq!(hz(&[]), 0);
    }
}
