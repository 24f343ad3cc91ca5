//! File descriptors of the system, by number, as operations of the reactor: so the reactor's wait
//! also covers descriptors opened by a library that doesn't use Soil.
//!
//! | | a wait ends |
//! |---|---|
//! | process | when Linux calls the descriptor ready |
//! | image | at the next change of any descriptor of the system calls: the caller looks again |

use crate::current::{Current, Interest};
use crate::runtime::enter;
use crate::types::Int;
use crate::{Driver, Runtime};
use alloc::vec::Vec;
use platform::error::{Answer, Error, Stop};
use platform::{Direction, Interest as _, System, SystemDescriptors as _};
use reactor::Cancelled;

/// An operation that waits for a descriptor.
struct Awaited {
    fd: i32,
    direction: Direction,
    token: u64,
}

/// Pending waits of a process.
pub(crate) struct Waits {
    awaited: Vec<Awaited>,
    /// Whether the driver is registered.
    registered: bool,
}

impl Waits {
    /// Creates an empty set.
    pub const fn new() -> Waits {
        Waits {
            awaited: Vec::new(),
            registered: false,
        }
    }
}

/// See `soil_system_descriptor_await`. Runs without the runtime's lock.
pub fn await_ready(fd: Int, direction: Direction, token: Int) -> Answer {
    let fd = i32::try_from(fd).map_err(|_| Error::Invalid)?;
    let answer = enter(|rt| park(rt, fd, direction, token));
    if answer != Err(Stop::Pending) {
        return answer;
    }
    // Registered first and checked second, so that no change in between is lost.
    let found = Current::descriptor_ready(fd, direction);
    if found == Ok(false) || enter(|rt| rt.cancel(token)) != Ok(1) {
        // If the operation has completed meanwhile, its completion leads to the next check.
        return answer;
    }
    found.map(usize::from).map_err(Stop::Error)
}

fn park(rt: &mut Runtime, fd: i32, direction: Direction, token: Int) -> Answer {
    if Current::ON_VM {
        return rt.watch(token);
    }
    if !rt.resources.waits.registered {
        rt.register(const { &Driver::of_events(|rt, _| poll(rt), |rt, all| interest(rt, all)) })?;
        rt.resources.waits.registered = true;
    }
    let token = rt.new_token(token)?;
    let awaited = &mut rt.resources.waits.awaited;
    awaited.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
    awaited.push(Awaited {
        fd,
        direction,
        token,
    });
    rt.give_begun(token, cancel)
}

fn cancel(rt: &mut Runtime, token: u64) -> Cancelled {
    let awaited = &mut rt.resources.waits.awaited;
    awaited.retain(|awaited| awaited.token != token);
    Cancelled::Done
}

/// Completes the operations whose descriptors are ready, or no longer exist.
fn poll(rt: &mut Runtime) {
    let mut place = 0;
    while let Some(Awaited {
        fd,
        direction,
        token,
    }) = rt.resources.waits.awaited.get(place)
    {
        if Current::descriptor_ready(*fd, *direction) == Ok(false) {
            place += 1;
        } else {
            let token = *token;
            rt.resources.waits.awaited.swap_remove(place);
            rt.complete(token, Ok(0));
        }
    }
}

/// Adds the descriptors to what the platform waits for.
fn interest(rt: &Runtime, interest: &mut Interest) {
    for awaited in &rt.resources.waits.awaited {
        interest.descriptor(awaited.fd, awaited.direction);
    }
}

#[cfg(test)]
mod tests {
    use super::{park, poll};
    use crate::Runtime;
    use platform::Direction;
    use platform::error::{Answer, Error, Stop};

    /// Creates a Linux pipe: the ends to read and to write.
    fn pipe() -> [i32; 2] {
        let mut ends = [0; 2];
        // SAFETY: room for two numbers.
        let done = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) };
        assert_eq!(done, 0);
        ends
    }

    /// Moves a descriptor to a number that no other test's new descriptor gets after the close.
    fn apart(fd: i32) -> i32 {
        // SAFETY: one of this module's.
        let high = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 700) };
        assert!(high >= 700);
        close(fd);
        high
    }

    fn close(fd: i32) {
        // SAFETY: one of this module's.
        unsafe { libc::close(fd) };
    }

    fn completed(rt: &mut Runtime) -> Vec<(u64, Answer)> {
        poll(rt);
        core::iter::from_fn(|| rt.next_completion(0)).collect()
    }

    #[test]
    fn a_wait_ends_when_its_own_descriptor_is_ready_in_its_own_direction() {
        let mut rt = Runtime::new();
        let ([a, to_a], [b, to_b]) = (pipe(), pipe());
        let a = apart(a);
        for (fd, token) in [(a, 1), (b, 2)] {
            let parked = park(&mut rt, fd, Direction::Read, token);
            assert_eq!(parked, Err(Stop::Pending));
        }
        let again = park(&mut rt, a, Direction::Read, 1);
        assert_eq!(again, Err(Error::Invalid.into()), "the token is in use");
        assert_eq!(completed(&mut rt), []);
        // SAFETY: one byte.
        assert_eq!(unsafe { libc::write(to_b, [0u8].as_ptr().cast(), 1) }, 1);
        assert_eq!(completed(&mut rt), [(2, Ok(0))]);
        assert_eq!(completed(&mut rt), []);
        let parked = park(&mut rt, to_a, Direction::Write, 3);
        assert_eq!(parked, Err(Stop::Pending), "the caller looks");
        assert_eq!(completed(&mut rt), [(3, Ok(0))]);
        [a, to_a, b, to_b].into_iter().for_each(close);
        assert_eq!(completed(&mut rt), [(1, Ok(0))], "it is closed");
    }

    #[test]
    fn all_that_are_ready_complete_at_once_and_the_others_wait_on() {
        let mut rt = Runtime::new();
        let pipes: Vec<[i32; 2]> = (0..5).map(|_| pipe()).collect();
        for (token, [from, _]) in (1..).zip(&pipes) {
            let parked = park(&mut rt, *from, Direction::Read, token);
            assert_eq!(parked, Err(Stop::Pending));
        }
        // Neighbours, the first and the last.
        for ready in [0, 1, 4] {
            close(pipes[ready][1]);
        }
        let mut found = completed(&mut rt);
        found.sort_by_key(|(token, _)| *token);
        assert_eq!(found, [(1, Ok(0)), (2, Ok(0)), (5, Ok(0))]);
        assert_eq!(completed(&mut rt), []);
        assert_eq!(rt.cancel(3), Ok(1));
        close(pipes[2][1]);
        close(pipes[3][1]);
        assert_eq!(completed(&mut rt), [(4, Ok(0))]);
        pipes.iter().for_each(|[from, _]| close(*from));
    }

    #[test]
    fn a_cancelled_wait_never_completes() {
        let mut rt = Runtime::new();
        let [from, to] = pipe();
        let parked = park(&mut rt, from, Direction::Read, 1);
        assert_eq!(parked, Err(Stop::Pending));
        assert_eq!(rt.cancel(1), Ok(1));
        assert_eq!(rt.resources.waits.awaited.len(), 0, "it isn't waited for");
        close(to);
        assert_eq!(completed(&mut rt), []);
        close(from);
    }
}
