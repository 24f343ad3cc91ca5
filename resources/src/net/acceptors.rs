//! Tasks and threads that wait for connections of one listener. A new connection wakes one of them,
//! so that a server of many domains doesn't wake all. The woken one may not accept: it was
//! cancelled, has all connections that it wants, or runs another task first. Then the next one is
//! woken.

use crate::Runtime;
use crate::current::Current;
use ::net::Handle;
use platform::{Clock, Direction};

/// Time for a woken task to accept before the next one is woken, in nanoseconds.
const PATIENCE_NS: u64 = 1_000_000;

/// A listener that is ready, and one of whose tasks was woken.
pub struct Offer {
    listener: Handle,
    until_ns: u64,
}

/// Wakes one of those that wait for the listener, which is ready.
pub fn wake(rt: &mut Runtime, listener: Handle, fd: u32) {
    if !rt.wake_one(fd, Direction::Read) {
        return;
    }
    let offer = Offer {
        listener,
        until_ns: Current::monotonic_ns().saturating_add(PATIENCE_NS),
    };
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return;
    };
    net.offers.retain(|other| other.listener != listener);
    if net.offers.try_reserve(1).is_ok() {
        net.offers.push(offer);
    } else {
        rt.wake(fd, Direction::Read);
    }
}

/// Ends the offer of a listener: a task accepts.
pub fn take(rt: &mut Runtime, listener: Handle) {
    if let Some(net) = rt.resources.net.as_deref_mut() {
        net.offers.retain(|offer| offer.listener != listener);
    }
}

/// Ends the offer of a listener of which no task has accepted in time, and returns the listener,
/// whose next task has to be woken.
pub fn next_late(rt: &mut Runtime, now: u64) -> Option<Handle> {
    let net = rt.resources.net.as_deref_mut()?;
    let late = |offer: &Offer| offer.until_ns <= now;
    let place = net.offers.iter().position(late)?;
    Some(net.offers.swap_remove(place).listener)
}

/// When [`next_late`] has one.
pub fn deadline(rt: &Runtime) -> Option<u64> {
    let offers = &rt.resources.net.as_deref()?.offers;
    offers.iter().map(|offer| offer.until_ns).min()
}

#[cfg(test)]
mod tests {
    use super::Current;
    use crate::Runtime;
    use crate::net::{address, local_address, tcp};
    use platform::error::Stop;
    use platform::{Clock, Direction};
    use reactor::table::Fd;
    use reactor::wait::wait;
    use std::net::{SocketAddr, TcpStream};
    use std::vec;
    use std::vec::Vec;

    /// A listener for which operations with these tokens wait.
    fn listener(rt: &mut Runtime, tokens: &[isize]) -> (Fd, SocketAddr) {
        let any = address::encode(SocketAddr::from(([127, 0, 0, 1], 0)));
        let fd = tcp::listen(rt, &any, 8, 0).expect("a port");
        let fd = Fd::decode(fd as isize).expect("open");
        // Only a try asks for an event.
        assert_eq!(tcp::accept(rt, fd), Err(Stop::WouldBlock));
        for &token in tokens {
            let parked = rt.park(fd, Direction::Read, token);
            assert_eq!(parked, Err(Stop::Pending));
        }
        (fd, local_address(rt, fd).expect("bound"))
    }

    fn connect(address: SocketAddr) -> TcpStream {
        TcpStream::connect(address).expect("accepted by the system")
    }

    /// The operations that end within one wait.
    fn ended(rt: &mut Runtime) -> Vec<u64> {
        // Longer than any machine takes.
        let until = Current::monotonic_ns() + 60_000_000_000;
        wait(rt, Some(until)).expect("a wait");
        core::iter::from_fn(|| rt.next_completion(0))
            .map(|(token, _)| token)
            .collect()
    }

    #[test]
    fn the_next_one_is_woken_if_the_first_does_not_accept() {
        let mut rt = Runtime::new();
        let (fd, address) = listener(&mut rt, &[1, 2, 3]);
        let client = connect(address);
        for token in [1, 2] {
            assert_eq!(ended(&mut rt), [token]);
        }
        assert!(tcp::accept(&mut rt, fd).is_ok());
        // No connection is left for the last one.
        rt.park(fd, Direction::Read, 4).expect_err("it waits");
        let other = connect(address);
        assert_eq!(ended(&mut rt), [3]);
        drop((client, other));
    }

    #[test]
    fn the_next_one_is_woken_if_there_are_more_connections() {
        let mut rt = Runtime::new();
        let (fd, address) = listener(&mut rt, &[1, 2, 3]);
        let clients = vec![connect(address), connect(address)];
        assert_eq!(ended(&mut rt), [1]);
        assert!(tcp::accept(&mut rt, fd).is_ok());
        // At once, by the call, and both: none of their threads sleeps.
        for token in [2, 3] {
            assert_eq!(rt.next_completion(0), Some((token, Ok(0))));
        }
        assert!(tcp::accept(&mut rt, fd).is_ok());
        assert_eq!(tcp::accept(&mut rt, fd), Err(Stop::WouldBlock));
        drop(clients);
    }
}
