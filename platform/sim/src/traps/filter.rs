//! The filter of seccomp(2).

use super::hook;
use crate::stub;
use alloc::vec::Vec;
use libc::sock_filter;

/// Calls without an effect outside of the process, whose answers are the same in each run.
const ALLOWED: &[i64] = &[
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_brk,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_futex,
    libc::SYS_set_tid_address,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_arch_prctl,
    libc::SYS_sched_yield,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_fcntl,
    libc::SYS_prlimit64,
    libc::SYS_getrlimit,
    libc::SYS_membarrier,
    libc::SYS_pread64,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
    libc::SYS_dup,
    libc::SYS_dup2,
    libc::SYS_dup3,
    libc::SYS_umask,
    libc::SYS_clock_getres,
    libc::SYS_restart_syscall,
];

/// Those of them that a hook answers for its descriptors.
const HOOKED: &[i64] = &[
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_fcntl,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
    libc::SYS_dup,
    libc::SYS_dup2,
    libc::SYS_dup3,
];

/// Those of them that are answered without a hook: the handlers have a stack of their own.
const OWN: &[i64] = &[libc::SYS_sigaltstack];

/// The architecture in `seccomp_data` (linux/audit.h).
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const INSTRUCTION: u32 = 8;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

fn step(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

fn program() -> Vec<sock_filter> {
    let address = stub::address();
    let (low, high) = (address as u32, (address >> 32) as u32);
    let mut program = alloc::vec![
        step(LOAD, ARCHITECTURE, 0, 0),
        step(JUMP_EQUAL, AUDIT_ARCH_X86_64, 1, 0),
        step(RETURN, libc::SECCOMP_RET_KILL_PROCESS, 0, 0),
        step(LOAD, INSTRUCTION, 0, 0),
        step(JUMP_EQUAL, low, 0, 3),
        step(LOAD, INSTRUCTION + 4, 0, 0),
        step(JUMP_EQUAL, high, 0, 1),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
        step(LOAD, NUMBER, 0, 0),
    ];
    let answered = if hook::is_set() { HOOKED } else { OWN };
    let allowed = ALLOWED.iter().filter(|number| !answered.contains(number));
    for &number in allowed {
        program.push(step(JUMP_EQUAL, number as u32, 0, 1));
        program.push(step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0));
    }
    program.push(step(RETURN, libc::SECCOMP_RET_TRAP, 0, 0));
    program
}

/// Installs the filter; whether Linux accepts it.
pub fn install() -> bool {
    let mut program = program();
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: a process without new privileges may filter its own calls; the kernel copies the
    // program.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const filter,
            ) == 0
    }
}
