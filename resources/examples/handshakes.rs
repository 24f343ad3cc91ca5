//! Counts handshakes of TLS by one thread and by two, each with a client and a server of its own
//! configuration, or of one that all share: `cargo run --release -p resources --example handshakes`.
//!
//! As threads of two domains make the same calls, this shows what they share: the table of objects,
//! the accounts of handshakes and the allocator. The ratio by the processors' time holds also on a
//! machine that does something else meanwhile; waits that sleep don't show in it, but in the other.

use resources::tls::{self as glue, Outcome};
use resources::types::Int;
use std::thread;
use std::time::{Duration, Instant};

/// Of each thread in a round.
const HANDSHAKES: u32 = 400;
const ROUNDS: usize = 5;

macro_rules! pem {
    ($name:literal) => {
        include_bytes!(concat!("../../tls/tests/certificates/", $name)).as_slice()
    };
}

fn number(outcome: Outcome) -> Int {
    outcome.expect("a number") as Int
}

/// The configurations of a client and of a server that it trusts.
fn configs() -> [Int; 2] {
    let made = number(glue::credentials());
    number(glue::credentials_add(
        made,
        pem!("server.pem"),
        pem!("server.key"),
    ));
    number(glue::credentials_apply(made));
    let options = || number(glue::options(made));
    let trusting = options();
    number(glue::trust(trusting, pem!("root.pem")));
    // No session is resumed.
    let client = glue::client(trusting, 0, 0, 0);
    [client, glue::server(options(), 0, 0, 0, 0)].map(number)
}

fn carry(from: Int, to: Int, records: &mut [u8]) {
    let n = glue::with_session(from, |session| Ok(session.take(records))).expect("records");
    let fed = glue::with_session(to, |session| Ok(usize::from(session.feed(&records[..n]))));
    assert_eq!(fed, Ok(1));
}

fn shake([client, server]: [Int; 2], records: &mut [u8]) {
    let ends = [glue::connect(client, "server.test"), glue::accept(server)].map(number);
    let [a, b] = ends;
    let mut done = [false; 2];
    while done != [true; 2] {
        done[0] = glue::handshake(a) == Ok(1);
        carry(a, b, records);
        done[1] = glue::handshake(b) == Ok(1);
        carry(b, a, records);
    }
    for end in ends {
        number(glue::free(end));
    }
}

/// The thread's time on processors.
fn used() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes to `time` only.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Handshakes per second of so many threads, by the clock, and for each second of a processor.
fn rates(threads: u32, configs: &[[Int; 2]]) -> [f64; 2] {
    let began = Instant::now();
    let used: Duration = thread::scope(|scope| {
        let all: Vec<_> = (0..threads as usize)
            .map(|thread| {
                let configs = configs[thread % configs.len()];
                scope.spawn(move || {
                    let mut records = vec![0; 1 << 16];
                    let before = used();
                    (0..HANDSHAKES).for_each(|_| shake(configs, &mut records));
                    used() - before
                })
            })
            .collect();
        all.into_iter()
            .map(|each| each.join().expect("no panic"))
            .sum()
    });
    let count = f64::from(threads * HANDSHAKES);
    [
        count / began.elapsed().as_secs_f64(),
        count / used.as_secs_f64(),
    ]
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn main() {
    let all = [configs(), configs()];
    for (name, configs) in [
        ("own configurations", &all[..]),
        ("one configuration", &all[..1]),
    ] {
        let pairs: Vec<_> = (0..ROUNDS)
            .map(|_| [rates(1, configs), rates(2, configs)])
            .collect();
        let of = |threads: usize, which: usize| {
            median(pairs.iter().map(|pair| pair[threads][which]).collect())
        };
        let ratio = |which: usize, ideal: f64| {
            median(
                pairs
                    .iter()
                    .map(|[one, two]| ideal * two[which] / one[which])
                    .collect(),
            )
        };
        println!(
            "{name}: {:.0}/s by one thread, {:.0}/s by two: {:.2} times; by the time of \
             processors {:.2}",
            of(0, 0),
            of(1, 0),
            ratio(0, 1.0),
            ratio(1, 2.0),
        );
    }
}
