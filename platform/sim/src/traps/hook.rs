//! The answers of a preloaded library (`platform/sim/preload`), which come before the simulation's.

use crate::stub::{self, Call};
use core::ptr::{from_ref, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};

/// Answers a system call with its number and arguments: its result, or minus an error number.
/// `None`: the simulation answers.
pub type Answer = fn(i64, &[usize; 6]) -> Option<isize>;

static ANSWER: AtomicPtr<Answer> = AtomicPtr::new(null_mut());

/// Has `answer` called first for each trapped call, including those on descriptors. Takes effect
/// if it is called before [`crate::attach`].
pub fn set_answer(answer: &'static Answer) {
    ANSWER.store(from_ref(answer).cast_mut(), Ordering::Release);
}

fn get() -> Option<&'static Answer> {
    // SAFETY: null, or a reference without end.
    unsafe { ANSWER.load(Ordering::Acquire).as_ref() }
}

/// Whether there is a hook.
pub fn is_set() -> bool {
    get().is_some()
}

/// The hook's answer.
pub fn answer(call: &Call) -> Option<isize> {
    get().and_then(|answer| answer(call.number, &call.arguments))
}

/// Makes a system call that isn't trapped, for the hook. The result is minus an error number if
/// the call fails.
///
/// # Safety
/// As the call.
pub unsafe fn system_call(number: i64, arguments: [usize; 6]) -> isize {
    // SAFETY: by the caller.
    unsafe { stub::call(number, arguments) }
}
