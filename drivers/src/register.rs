//! Accesses to the registers of devices: each is one load or store of the register's width.

#[cfg(not(any(target_arch = "aarch64", loom)))]
use core::ptr::{read_volatile, write_volatile};

mod private {
    pub trait Width {}
}

/// A width of registers: `u8`, `u16`, `u32` or `u64`.
pub trait Width: private::Width + Copy {
    #[doc(hidden)]
    unsafe fn load(at: *const Self) -> Self;
    #[doc(hidden)]
    unsafe fn store(at: *mut Self, value: Self);
}

/// Reads a register.
///
/// # Safety
///
/// `at` is a mapped, aligned register, whose reading has no effect on memory that is in use.
#[inline(always)]
pub unsafe fn read<T: Width>(at: *const T) -> T {
    // SAFETY: the caller's promise.
    unsafe { T::load(at) }
}

/// Writes a register, after all that was written to memory before: the register may be a doorbell
/// of a device that fetches it. (arm64 needs a barrier of the domain that devices are in; x86-64's
/// writes are ordered.)
///
/// # Safety
///
/// `at` is a mapped, aligned register, whose writing has no effect on memory that is in use.
#[inline(always)]
pub unsafe fn write<T: Width>(at: *mut T, value: T) {
    // SAFETY: the caller's promise.
    unsafe { T::store(at, value) }
}

/// The compiler may choose any form for a volatile access, also one that changes its base register
/// or that accesses a pair. A hypervisor can't emulate these forms: the processor gives it no
/// syndrome for them (Arm ARM, ESR_EL2.ISV), and KVM and HVF then end the machine. These
/// instructions are of the form that has a syndrome.
macro_rules! width {
    ($type:ty, $load:literal, $store:literal) => {
        impl private::Width for $type {}

        impl Width for $type {
            #[inline(always)]
            unsafe fn load(at: *const Self) -> Self {
                #[cfg(loom)]
                {
                    (sync::model::registers::get().read)(at.addr()) as Self
                }
                #[cfg(all(target_arch = "aarch64", not(loom)))]
                {
                    let value: Self;
                    // SAFETY: a register, by the caller's promise.
                    unsafe {
                        core::arch::asm!(
                            $load, value = out(reg) value, at = in(reg) at,
                            options(nostack, preserves_flags)
                        );
                    }
                    value
                }
                #[cfg(not(any(target_arch = "aarch64", loom)))]
                #[expect(clippy::disallowed_methods, reason = "the accessor itself")]
                // SAFETY: a register, by the caller's promise.
                unsafe {
                    read_volatile(at)
                }
            }

            #[inline(always)]
            unsafe fn store(at: *mut Self, value: Self) {
                #[cfg(loom)]
                (sync::model::registers::get().write)(at.addr(), value.into());
                #[cfg(all(target_arch = "aarch64", not(loom)))]
                // SAFETY: a register, by the caller's promise.
                unsafe {
                    core::arch::asm!(
                        $store, value = in(reg) value, at = in(reg) at,
                        options(nostack, preserves_flags)
                    );
                }
                #[cfg(not(any(target_arch = "aarch64", loom)))]
                #[expect(clippy::disallowed_methods, reason = "the accessor itself")]
                // SAFETY: a register, by the caller's promise.
                unsafe {
                    write_volatile(at, value);
                }
            }
        }
    };
}

width!(
    u8,
    "ldrb {value:w}, [{at}]",
    "dmb oshst\nstrb {value:w}, [{at}]"
);
width!(
    u16,
    "ldrh {value:w}, [{at}]",
    "dmb oshst\nstrh {value:w}, [{at}]"
);
width!(
    u32,
    "ldr {value:w}, [{at}]",
    "dmb oshst\nstr {value:w}, [{at}]"
);
width!(
    u64,
    "ldr {value:x}, [{at}]",
    "dmb oshst\nstr {value:x}, [{at}]"
);

#[cfg(test)]
mod tests {
    use super::{Width, read, write};
    use core::fmt::Debug;

    fn check<T: Width + PartialEq + Debug>(before: T, after: T) {
        let mut cells = [before; 3];
        let middle = &raw mut cells[1];
        // SAFETY: memory, aligned.
        unsafe {
            assert_eq!(read(middle), before);
            write(middle, after);
            assert_eq!(read(middle), after);
        }
        assert_eq!(cells, [before, after, before], "and no more than it");
    }

    #[test]
    fn a_register_is_accessed_with_its_width() {
        check(0xa5_u8, 0x5a);
        check(0xa55a_u16, 0x1234);
        check(0xa55a_1234_u32, 0x8765_4321);
        check(0xa55a_1234_8765_4321_u64, 0x0123_4567_89ab_cdef);
    }
}
