//! Short or refused memory. The settings of these tests apply to all volumes of a process: they run
//! one at a time, in their own program.
#![allow(missing_docs)]

#[path = "../volumes/common/mod.rs"]
mod common;
mod ext4;
mod pressure;

use fs::set_memory_short;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Runs one test at a time, which begins with enough memory.
fn exclusive() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    set_memory_short(false);
    turn
}
