//! For any input: no panic, no endless loop, bounded memory, and honest peers are served
//! afterwards. The fuzzer replays and mutates the conversations of `net/corpus` while a program
//! opens, uses and closes sockets at random.
//!
//! Deterministic: `SOIL_FUZZ_SEED=N` runs the one target of that seed. `SOIL_FUZZ_SECONDS=N`
//! continues with new seeds for that time (`make test-long`).
#![allow(missing_docs)]

mod alive;
mod mutate;
mod target;

use std::alloc::System;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use mutate::{Line, corpus};
use net::sim::Random;
use target::Target;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Memory bound of a stack with [`target::TCP_MEMORY`] and every feature enabled, in bytes.
const BOUND: usize = 12 << 20;

/// Conversations with one target.
const ROUNDS: u64 = 120;

/// The number of finished targets, for the watchdog.
static STEPS: AtomicU64 = AtomicU64::new(0);

fn in_use() -> isize {
    let stats = ALLOCATOR.stats();
    // These already include what `realloc` adds or frees.
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

/// Ends the process if there is no progress: a loop inside the stack.
fn watch() {
    std::thread::spawn(|| {
        let mut seen = STEPS.load(Ordering::Relaxed);
        let mut quiet = 0;
        loop {
            std::thread::sleep(Duration::from_secs(5));
            let now = STEPS.load(Ordering::Relaxed);
            quiet = if now == seen { quiet + 5 } else { 0 };
            seen = now;
            if quiet >= 120 {
                eprintln!("nothing went on for 120 s: an endless loop");
                std::process::abort();
            }
        }
    });
}

/// One target and its rounds.
fn run(seed: u64, corpus: &[(String, Vec<Line>)]) {
    let before = in_use();
    let mut random = Random::new(seed);
    let mut target = Target::new(seed);
    for _ in 0..ROUNDS {
        let name = random.below(corpus.len() as u64) as usize;
        let mut lines = corpus[name].1.clone();
        if random.chance(850_000) {
            let other = random.below(corpus.len() as u64) as usize;
            mutate::mutate(&mut lines, &corpus[other].1, &mut random);
        }
        target.begin(&mut random);
        for line in &lines {
            target.play(line, &mut random);
            STEPS.fetch_add(1, Ordering::Relaxed);
        }
        let taken = in_use() - before;
        assert!(taken < BOUND as isize, "{taken} bytes in use");
    }
    target.finish();
    drop(target);
    let left = in_use() - before;
    assert!(left < 64 << 10, "{left} bytes are left");
}

fn seeded(seed: u64, corpus: &[(String, Vec<Line>)]) {
    if let Err(problem) = std::panic::catch_unwind(|| run(seed, corpus)) {
        eprintln!("to repeat: SOIL_FUZZ_SEED={seed} cargo test -p net --test fuzz");
        std::panic::resume_unwind(problem);
    }
}

/// One test, since the allocator's counters are per process.
#[test]
fn nothing_that_comes_in_does_harm() {
    watch();
    let corpus = corpus();
    assert!(corpus.len() > 20);
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>());
    if let Some(Ok(seed)) = number("SOIL_FUZZ_SEED") {
        return seeded(seed, &corpus);
    }
    // The first one fills memory that is allocated once.
    seeded(0, &corpus);
    alive::everything_as_it_is(&corpus);
    alive::floods_are_bounded(in_use, BOUND as isize);
    for seed in 1..25 {
        seeded(seed, &corpus);
    }
    if let Some(Ok(seconds)) = number("SOIL_FUZZ_SECONDS") {
        let end = Instant::now() + Duration::from_secs(seconds);
        let first = std::process::id() as u64 * 1_000_000;
        let mut seed = first;
        while Instant::now() < end {
            seeded(seed, &corpus);
            seed += 1;
        }
        println!("{} targets of {ROUNDS} conversations", seed - first);
    }
}
