//! Threads: their creation, names, processors, and what they register for their end.

use super::process::no_process;
use super::program::{bytes, bytes_mut, copy_out, store};
use crate::errors::Result;
use kernel::arch::gates::SystemCallFrame;
use kernel::arch::thread_pointer;
use kernel::processors;
use kernel::smp::Set;
pub use kernel::threads::number;
use kernel::threads::{self, NewThread};

/// `clone`, of a thread.
pub fn clone(call: &mut SystemCallFrame) -> Result<u64> {
    const THREAD: i32 = libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
    let [flags, stack, number_at, number_in_child_at, pointer] = call.clone_arguments();
    let has = |flag: i32| flags as i32 & flag == flag;
    if !has(THREAD) || stack == 0 {
        return Err(no_process());
    }
    processors::expect_thread();
    let new = NewThread {
        stack,
        pointer: if has(libc::CLONE_SETTLS) { pointer } else { 0 },
        clear_at_exit: match has(libc::CLONE_CHILD_CLEARTID) {
            true => number_in_child_at,
            false => 0,
        },
    };
    let number = threads::create(call, new, |number| {
        for (flag, at) in [
            (libc::CLONE_PARENT_SETTID, number_at),
            (libc::CLONE_CHILD_SETTID, number_in_child_at),
        ] {
            if has(flag) {
                // As on Linux: nothing says that it can't be written.
                let _ = put(at, number as u32);
            }
        }
    })?;
    Ok(number)
}

fn put(at: u64, value: u32) -> Result<()> {
    bytes_mut(at, 4)?.copy_from_slice(&value.to_le_bytes());
    Ok(())
}

/// `set_tid_address`.
pub fn set_clear_at_exit(at: u64) -> u64 {
    threads::set_clear_at_exit(at);
    number()
}

/// `set_robust_list`.
pub fn set_robust_list(head: u64) -> u64 {
    threads::set_robust(head);
    0
}

/// `get_robust_list`: the list of thread `of` (0: the running one), and the size of its head.
pub fn robust_list(of: u64, head_at: u64, size_at: u64) -> Result<u64> {
    const HEAD_SIZE: u64 = 24;
    store(head_at, &[threads::robust_list(of)?])?;
    store(size_at, &[HEAD_SIZE])
}

/// `arch_prctl`.
pub fn set_pointer(code: u64, address: u64) -> Result<u64> {
    const SET_FS: u64 = 0x1002;
    match code {
        SET_FS if thread_pointer::write(address) => Ok(0),
        SET_FS => Err(libc::EPERM),
        _ => Err(libc::EINVAL),
    }
}

/// `prctl`, which supports only the running thread's name: empty at first, and then its creator's.
pub fn control(option: u64, at: u64) -> Result<u64> {
    match option as i32 {
        libc::PR_SET_NAME => {
            let mut name = threads::Name::default();
            for (offset, place) in (0..15).zip(&mut name) {
                // The last one isn't read: it stays zero.
                match bytes(at.wrapping_add(offset), 1)? {
                    [byte] if *byte != 0 => *place = *byte,
                    _ => break,
                }
            }
            threads::set_name(name);
            Ok(0)
        }
        libc::PR_GET_NAME => {
            let name = threads::name();
            bytes_mut(at, name.len() as u64)?.copy_from_slice(&name);
            Ok(0)
        }
        _ => Err(libc::EINVAL),
    }
}

/// `sched_yield`.
pub fn yield_now() -> u64 {
    threads::yield_to_others();
    0
}

/// `getcpu`: this processor, of the first node.
pub fn processor(number_at: u64, node_at: u64) -> Result<u64> {
    for (at, number) in [(number_at, threads::processor() as u32), (node_at, 0)] {
        if at != 0 {
            put(at, number)?;
        }
    }
    Ok(0)
}

/// Bytes of a set of processors.
const SET: u64 = size_of::<Set>() as u64;

/// `sched_setaffinity`. Returns once the thread no longer runs elsewhere.
pub fn set_affinity(thread: u64, len: u64, from: u64) -> Result<u64> {
    let mut set = [0; SET as usize];
    let given = bytes(from, len.min(SET))?;
    set.iter_mut().zip(given).for_each(|(to, from)| *to = *from);
    processors::set_affinity(thread, Set::from_le_bytes(set))?;
    Ok(0)
}

/// `sched_getaffinity`: the set's length in bytes.
pub fn affinity(thread: u64, room: u64, to: u64) -> Result<u64> {
    let set = processors::affinity(thread)?;
    if room < SET || !room.is_multiple_of(SET) {
        return Err(libc::EINVAL);
    }
    copy_out(to, room, &set.to_le_bytes())?;
    Ok(SET)
}
