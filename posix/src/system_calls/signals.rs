//! Signals: actions, masks, and signals that the program sends itself.

use super::program::{load, load_shared, store, store_shared};
use crate::errors::Result;
use kernel::arch::gates::SystemCallFrame;
use kernel::signals;
use kernel::{threads, wait};

/// Sets of signals have 64 bits.
fn check_size(size: u64) -> Result<()> {
    match size {
        8 => Ok(()),
        _ => Err(libc::EINVAL),
    }
}

/// The `N` words at `from`; `None` if that is null.
fn load_some<const N: usize>(from: u64) -> Result<Option<[u64; N]>> {
    match from {
        0 => Ok(None),
        _ => load(from).map(Some),
    }
}

/// Stores `words` at `to`, unless that is null.
fn store_some(to: u64, words: &[u64]) -> Result<u64> {
    match to {
        0 => Ok(0),
        _ => store(to, words),
    }
}

/// `rt_sigaction`.
pub fn action(signal: u64, new: u64, old: u64, size: u64) -> Result<u64> {
    check_size(size)?;
    let previous = signals::set_action(signal, load_some(new)?)?;
    store_some(old, &previous)
}

/// `rt_sigprocmask`.
pub fn mask(how: u64, new: u64, old: u64, size: u64) -> Result<u64> {
    check_size(size)?;
    let set = match new {
        0 => None,
        _ => Some(load_shared(new)?),
    };
    let previous = signals::change_mask(how, set.map(|[set]| set))?;
    match old {
        0 => Ok(0),
        _ => store_shared(old, &[previous]),
    }
}

/// `rt_sigpending`.
pub fn pending(to: u64, size: u64) -> Result<u64> {
    check_size(size)?;
    store(to, &[signals::blocked()])
}

/// Sets the mask at `mask`, if one is given, in place of the program's until the call ends.
/// Handlers of signals that end its wait run before the old mask is restored.
pub fn wait_under(mask: u64, size: u64) -> Result<()> {
    if let Some([set]) = load_some(mask)? {
        check_size(size)?;
        signals::replace_mask(set);
    }
    Ok(())
}

/// `rt_sigsuspend`.
pub fn suspend(mask: u64, size: u64) -> Result<u64> {
    wait_under(mask, size)?;
    pause()
}

/// `pause`.
pub fn pause() -> Result<u64> {
    wait::sleep(None)?;
    Ok(0)
}

/// `rt_sigreturn`, which here restores the mask.
pub fn end_handler(mask: u64) -> u64 {
    signals::end_handler(mask);
    0
}

/// `sigaltstack`.
pub fn stack(call: &mut SystemCallFrame) -> Result<u64> {
    let [new, old, ..] = call.arguments();
    let previous = signals::set_stack(load_some(new)?, call.stack_pointer())?;
    store_some(old, &previous)
}

/// `kill`.
pub fn kill(process: u64, signal: u64) -> Result<u64> {
    threads::send_to_process(process, signal)?;
    Ok(0)
}

/// `tkill`.
pub fn kill_thread(thread: u64, signal: u64) -> Result<u64> {
    threads::send_to_thread(thread, signal)?;
    Ok(0)
}

/// `tgkill`.
pub fn kill_thread_of(process: u64, thread: u64, signal: u64) -> Result<u64> {
    match process {
        signals::PID => kill_thread(thread, signal),
        _ => Err(libc::ESRCH),
    }
}
