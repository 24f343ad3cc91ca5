//! The protocol by which processors forget translations of memory that one of them takes away.
//!
//! The one that takes it away changes the page tables, posts a request with the next number, and
//! waits until no other processor awaits it any more: each has either flushed, and answered with
//! that number, or uses none of the program's memory. Such an idle processor isn't disturbed:
//! before it uses that memory again it flushes everything, if a request was posted meanwhile. Nor
//! is one waited for that the host of a virtual machine doesn't run, and will flush
//! ([`crate::arch::host`]). There is one request at a time, within a use of the address space.

use core::ops::Range;
use sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

/// What one processor has answered.
struct Answer {
    /// The last request that it has carried out.
    done: AtomicU64,
    /// It may use the program's memory.
    busy: AtomicBool,
}

/// The requests of one processor at a time to `N`.
pub struct Requests<const N: usize> {
    /// The number of the last request.
    last: AtomicU64,
    /// Its addresses.
    start: AtomicU64,
    end: AtomicU64,
    answers: [Answer; N],
}

impl<const N: usize> Requests<N> {
    /// No request; all processors are idle.
    #[expect(clippy::new_without_default, reason = "a constant")]
    pub const fn new() -> Self {
        Self {
            last: AtomicU64::new(0),
            start: AtomicU64::new(0),
            end: AtomicU64::new(0),
            answers: [const {
                Answer {
                    done: AtomicU64::new(0),
                    busy: AtomicBool::new(false),
                }
            }; N],
        }
    }

    /// Requests that translations of `range` be forgotten, after the page tables have changed;
    /// returns the request. `own` has flushed its own. After it, until [`Requests::is_awaited`] is
    /// false for each processor, no other request may be posted.
    pub fn post(&self, range: Range<u64>, own: usize) -> u64 {
        self.start.store(range.start, Ordering::Relaxed);
        self.end.store(range.end, Ordering::Relaxed);
        let request = self.last.load(Ordering::Relaxed) + 1;
        if let Some(answer) = self.answers.get(own) {
            answer.done.store(request, Ordering::Relaxed);
        }
        // Release: who carries it out sees the addresses, and the changed tables.
        self.last.store(request, Ordering::Release);
        // Pairs with the one of `set_busy`: it sees the request, or this sees that it is busy.
        fence(Ordering::SeqCst);
        request
    }

    /// Whether the processor may still use a translation of the last request, `request`.
    pub fn is_awaited(&self, processor: usize, request: u64) -> bool {
        self.answers.get(processor).is_some_and(|answer| {
            // Acquire: what the processor did by the old translations comes before what the caller
            // does to the memory next.
            answer.busy.load(Ordering::Acquire) && answer.done.load(Ordering::Acquire) != request
        })
    }

    /// Carries out the last request on the processor `own` by `flush`, unless it has, or is idle.
    pub fn serve(&self, own: usize, flush: impl FnOnce(Range<u64>)) {
        let answer = self.answers.get(own);
        let Some(answer) = answer.filter(|answer| answer.busy.load(Ordering::Relaxed)) else {
            return;
        };
        // Acquire: pairs with `post`.
        let request = self.last.load(Ordering::Acquire);
        if answer.done.load(Ordering::Relaxed) != request {
            // It is the one that waits for this processor, so the next one comes later; or the host
            // has flushed, and these are any addresses.
            let start = self.start.load(Ordering::Relaxed);
            flush(start..self.end.load(Ordering::Relaxed).max(start));
            // Release: pairs with `is_awaited`.
            answer.done.store(request, Ordering::Release);
        }
    }

    /// The processor `own` uses none of the program's memory from now on.
    pub fn set_idle(&self, own: usize) {
        if let Some(answer) = self.answers.get(own) {
            // Release: pairs with `is_awaited`.
            answer.busy.store(false, Ordering::Release);
        }
    }

    /// The processor `own` may use the program's memory from now on; `flush` forgets all
    /// translations, if that is necessary.
    pub fn set_busy(&self, own: usize, flush: impl FnOnce()) {
        let Some(answer) = self.answers.get(own) else {
            return;
        };
        answer.busy.store(true, Ordering::Relaxed);
        // Pairs with the one of `post`.
        fence(Ordering::SeqCst);
        // Acquire: pairs with `post`.
        let request = self.last.load(Ordering::Acquire);
        if answer.done.load(Ordering::Relaxed) != request {
            // No other waited for this processor, so the addresses may be those of a later one.
            flush();
            // Relaxed: the fence releases what this processor did by old translations.
            answer.done.store(request, Ordering::Relaxed);
        }
    }
}
