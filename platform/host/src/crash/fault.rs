//! What a signal of the kernel means, by its code and addresses.

use super::machine;

/// Bytes around a stack pointer within which a fault is an overflow of the stack.
const NEAR: u64 = 1 << 16;
/// `SEGV_ACCERR`: the page is mapped with other permissions.
const NO_PERMISSION: i32 = 2;
/// Bytes at the beginning of the address space that nothing maps.
const NULL_PAGE: u64 = 0x1000;

/// A signal that the kernel sent for an instruction (`si_code` above 0).
pub struct Fault {
    pub signal: i32,
    pub code: i32,
    /// `si_addr`.
    pub address: u64,
    pub instruction: u64,
    pub stack: u64,
}

#[derive(Debug, PartialEq)]
pub enum Cause {
    /// An access to `Fault::address`.
    Access(&'static str),
    /// The instruction at this address.
    Instruction(&'static str, u64),
}

impl Fault {
    /// `is_readable`: whether an address can be read.
    pub fn cause(&self, is_readable: impl Fn(u64) -> bool) -> Cause {
        let address = self.address;
        Cause::Access(match self.signal {
            libc::SIGILL => return Cause::Instruction("an invalid instruction", address),
            libc::SIGFPE => return Cause::Instruction("an invalid operation", address),
            libc::SIGSEGV if self.code > machine::LAST_OF_ADDRESSES => {
                let what = "an address that can't exist, used";
                return Cause::Instruction(what, self.instruction);
            }
            libc::SIGBUS => "no memory is behind it, or it is misaligned",
            libc::SIGSEGV if address.abs_diff(self.stack) < NEAR && !is_readable(address) => {
                "a stack overflow"
            }
            libc::SIGSEGV if address < NULL_PAGE => "a null pointer was used",
            libc::SIGSEGV if self.code == NO_PERMISSION => "the mapping doesn't permit it",
            _ => "nothing is mapped there",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: u64 = 0x7fff_0000_0000;
    const INSTRUCTION: u64 = 0x40_1000;

    fn cause(signal: i32, code: i32, address: u64, readable: bool) -> Cause {
        let fault = Fault {
            signal,
            code,
            address,
            instruction: INSTRUCTION,
            stack: STACK,
        };
        fault.cause(|asked| {
            assert_eq!(asked, address);
            readable
        })
    }

    #[test]
    fn each_signal_has_its_cause() {
        let elsewhere = 0x1234_5678;
        for (signal, code, address, readable, expected) in [
            (
                libc::SIGSEGV,
                1,
                elsewhere,
                false,
                "nothing is mapped there",
            ),
            (
                libc::SIGSEGV,
                2,
                elsewhere,
                true,
                "the mapping doesn't permit it",
            ),
            (libc::SIGSEGV, 4, elsewhere, true, "nothing is mapped there"),
            (libc::SIGSEGV, 1, 0, false, "a null pointer was used"),
            (libc::SIGSEGV, 1, 0xfff, false, "a null pointer was used"),
            (libc::SIGSEGV, 1, 0x1000, false, "nothing is mapped there"),
            // Stack probes reach below the pointer; a push is at it.
            (libc::SIGSEGV, 2, STACK - 0xffff, false, "a stack overflow"),
            (libc::SIGSEGV, 2, STACK + 8, false, "a stack overflow"),
            (
                libc::SIGSEGV,
                2,
                STACK - 8,
                true,
                "the mapping doesn't permit it",
            ),
            (
                libc::SIGSEGV,
                1,
                STACK - 0x1_0000,
                false,
                "nothing is mapped there",
            ),
            (
                libc::SIGBUS,
                2,
                STACK,
                false,
                "no memory is behind it, or it is misaligned",
            ),
        ] {
            let found = cause(signal, code, address, readable);
            assert_eq!(
                found,
                Cause::Access(expected),
                "{signal} {code} {address:#x}"
            );
        }
    }

    #[test]
    fn faults_without_an_access_name_the_instruction() {
        for (signal, code, at) in [
            (libc::SIGILL, 1, 0x1234),
            (libc::SIGFPE, 1, 0x1234),
            (libc::SIGSEGV, 128, INSTRUCTION),
            (libc::SIGSEGV, 5, INSTRUCTION),
        ] {
            match cause(signal, code, 0x1234, false) {
                Cause::Instruction(_, found) => assert_eq!(found, at, "{signal} {code}"),
                access => panic!("{signal} {code}: {access:?}"),
            }
        }
    }
}
