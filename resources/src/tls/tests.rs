//! Sessions of several threads, and the accounts of handshakes.

use super::*;
use std::sync::{MutexGuard, PoisonError, mpsc};
use std::thread;

const BUSY: Outcome = Err(Fault::Stop(Stop::Error(Error::Busy)));
const INVALID: Outcome = Err(Fault::Stop(Stop::Error(Error::Invalid)));
const NONE: Outcome = Err(Fault::Stop(Stop::WouldBlock));

/// Handshakes have one budget, also those of other tests.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

macro_rules! pem {
    ($name:literal) => {
        include_bytes!(concat!("../../../tls/tests/certificates/", $name)).as_slice()
    };
}

fn number(outcome: Outcome) -> Int {
    outcome.expect("a number") as Int
}

/// The configurations of a client and of a server that it trusts.
fn configs() -> [Int; 2] {
    let made = number(credentials());
    number(credentials_add(
        made,
        pem!("server.pem"),
        pem!("server.key"),
    ));
    number(credentials_apply(made));
    let options = || number(options(made));
    let trusting = options();
    number(trust(trusting, pem!("root.pem")));
    let made_of = [client(trusting, 0, 0, 0), server(options(), 0, 0, 0, 0)].map(number);
    number(free(made));
    made_of
}

fn free_all(numbers: impl IntoIterator<Item = Int>) {
    for number in numbers {
        assert_eq!(free(number), Ok(0));
    }
}

fn feed(number: Int, bytes: &[u8]) -> Outcome {
    with_session(number, |session| Ok(usize::from(session.feed(bytes))))
}

/// Moves what one session has to send to the other.
fn carry(from: Int, to: Int) {
    let mut records = vec![0; 1 << 16];
    let n = with_session(from, |session| Ok(session.take(&mut records)));
    assert_eq!(feed(to, &records[..n.expect("records")]), Ok(1));
}

/// A handshake on sessions of their own.
fn shake([client, server]: [Int; 2]) -> [Int; 2] {
    let ends = [connect(client, "server.test"), accept(server)].map(number);
    let [a, b] = ends;
    let mut done = [false; 2];
    for _ in 0..4 {
        done[0] = handshake(a) == Ok(1);
        carry(a, b);
        done[1] = handshake(b) == Ok(1);
        carry(b, a);
    }
    assert_eq!(done, [true; 2]);
    ends
}

/// Creates sessions of unauthenticated peers, in order, each with this many bytes of a
/// ClientHello.
fn strangers(config: Int, count: usize, bytes: usize) -> Vec<Int> {
    let begin = |_| {
        let number = number(accept(config));
        assert_eq!(feed(number, &vec![0; bytes]), Ok(1));
        number
    };
    (0..count).map(begin).collect()
}

/// How many [`strangers`] of this many bytes there may be.
fn fitting(bytes: usize) -> usize {
    Handshakes::limit() / ((16 << 10) + bytes)
}

fn all_refused() -> Vec<Int> {
    core::iter::from_fn(|| refused().ok().map(|number| number as Int)).collect()
}

#[test]
fn handshakes_in_progress_have_one_budget_and_the_newest_goes_on() {
    let _alone = alone();
    let [client, server] = configs();
    let bytes = 20 << 10;
    let numbers = strangers(server, fitting(bytes), bytes);
    assert_eq!(refused(), NONE);
    // Each new one displaces the first.
    let more = strangers(server, 5, bytes);
    let ended = all_refused();
    assert!(ended.iter().rev().eq(&numbers[..5]), "{ended:?}");
    // A small one is refused last.
    let late = strangers(server, 1, 500);
    let ended = all_refused();
    assert!(!ended.contains(&late[0]), "{ended:?}");
    assert!(HANDSHAKES.lock().bytes <= Handshakes::limit());
    free_all(numbers.into_iter().chain(more).chain(late));
    assert_eq!(HANDSHAKES.lock().bytes, 0);
    free_all([client, server]);
}

/// Two domains: a call inside a session keeps out nothing but other calls of this session.
#[test]
fn sessions_are_used_at_once() {
    let _alone = alone();
    let configs = configs();
    let held = number(accept(configs[1]));
    thread::scope(|scope| {
        // Dropped at the end, also of a failure.
        let (end, ended) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        scope.spawn(move || {
            let outcome = with_session(held, |_| {
                begin.send(()).expect("it is awaited");
                let _ = ended.recv();
                Ok(7)
            });
            assert_eq!(outcome, Ok(7));
        });
        begun.recv().expect("a call");
        let ends = shake(configs);
        assert_eq!(feed(held, &[0]), BUSY);
        assert_eq!(handshake(held), BUSY);
        free_all(ends);
        drop(end);
    });
    assert_eq!(feed(held, &[0]), Ok(1));
    free_all(configs.into_iter().chain([held]));
    assert_eq!(HANDSHAKES.lock().bytes, 0);
}

#[test]
fn handshakes_of_several_threads_are_counted_exactly() {
    let _alone = alone();
    let configs = configs();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..5 {
                    free_all(shake(configs));
                }
            });
        }
    });
    let handshakes = HANDSHAKES.lock();
    assert_eq!((handshakes.bytes, handshakes.open.len()), (0, 0));
    drop(handshakes);
    assert_eq!(refused(), NONE);
    free_all(configs);
}

/// An OCaml finalizer, as OCaml's runtime wouldn't call it.
#[test]
fn a_call_within_a_call_is_refused() {
    let _alone = alone();
    let configs = configs();
    let held = number(accept(configs[1]));
    let outcome = with_session(held, |_| {
        assert_eq!(handshake(held), BUSY);
        assert_eq!(fact(held, 0, &mut []), BUSY);
        free_all(shake(configs));
        Ok(7)
    });
    assert_eq!(outcome, Ok(7));
    assert_eq!(handshake(held), Ok(0));
    free_all(configs.into_iter().chain([held]));
}

/// The largest is in another domain's call when room is needed.
#[test]
fn a_session_is_refused_while_it_is_used() {
    let _alone = alone();
    let configs = configs();
    let large = strangers(configs[1], 1, 23 << 10);
    let used = large[0];
    let others = thread::scope(|scope| {
        let (end, ended) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        scope.spawn(move || {
            let outcome = with_session(used, |session| {
                begin.send(()).expect("it is awaited");
                let _ = ended.recv();
                // Its memory is there until the end of the call.
                Ok(session.handshake_memory())
            });
            assert_eq!(outcome, Ok((16 << 10) + (23 << 10)));
        });
        begun.recv().expect("a call");
        let bytes = 20 << 10;
        let others = strangers(configs[1], fitting(bytes), bytes);
        assert_eq!(all_refused(), large);
        let handshakes = HANDSHAKES.lock();
        assert_eq!(handshakes.bytes, others.len() * ((16 << 10) + bytes));
        drop(handshakes);
        drop(end);
        others
    });
    let left = with_session(used, |session| Ok(session.handshake_memory()));
    assert_eq!(left, Ok(0));
    let failure = handshake(used);
    let is_refusal = |failure: &Failure| {
        failure.error == Error::Busy && failure.detail.contains("too many handshakes")
    };
    let is_refused = matches!(&failure, Err(Fault::Failure(failure)) if is_refusal(failure));
    assert!(is_refused, "{failure:?}");
    free_all(others.into_iter().chain(large).chain(configs));
    assert_eq!(HANDSHAKES.lock().bytes, 0);
}

#[test]
fn numbers_of_sessions_are_used_once() {
    let _alone = alone();
    let [client, server] = configs();
    let first = number(accept(server));
    let outcome = with_session(first, |_| {
        // Another domain gives it back during the call.
        assert_eq!(free(first), Ok(0));
        Ok(usize::from(HANDSHAKES.lock().bytes == 0))
    });
    assert_eq!(outcome, Ok(1));
    assert_eq!(HANDSHAKES.lock().bytes, 0);
    let second = number(accept(server));
    assert_ne!(first, second);
    assert_eq!([handshake(first), free(first)], [INVALID; 2]);
    // Nor are they those of other objects.
    let place = second & ((1 << PLACE) - 1);
    for other in [place, client, client | 1 << PLACE, -1, Int::MAX] {
        assert_eq!(handshake(other), INVALID, "{other}");
    }
    assert_eq!(free(client | 1 << PLACE), INVALID);
    free_all([client, server, second]);
}
