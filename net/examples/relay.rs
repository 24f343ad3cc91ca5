//! A bad link between two TAP devices of Linux, with the simulation's impairments, for hosts
//! without `tc netem`: `cargo run --release -p net --example relay -- A B [WORD=NUMBER …]`.
//!
//! Words, for each direction: `delay`, `jitter` (ms), `loss`, `duplicate`, `corrupt`, `reorder` (in
//! millionths), `reorder-delay` (ms), `burst-enter`, `burst-leave` (millionths; all is lost
//! within), `rate` (Mbit/s), `queue` (bytes), `seed`. The devices must exist or the process be
//! allowed to create them: `ip tuntap add dev A mode tap`. They have no offloads, so that Linux
//! segments what it sends. Prints `relaying` when it starts, and its counters when the end of its
//! input stops it.
#![allow(missing_docs)]

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Instant;

use net::sim::{Burst, Impairment, Pipe};

const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const IFF_TAP: u16 = 2;
const IFF_NO_PI: u16 = 0x1000;
const MS: u64 = 1_000_000;
/// Maximum number of consecutive frames of one device, so that the other one gets its turn.
const TURN: usize = 64;

fn open(name: &str) -> std::io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    let mut request = [0u8; 40];
    for (to, from) in request.iter_mut().zip(name.bytes().take(15)) {
        *to = from;
    }
    request[16..18].copy_from_slice(&(IFF_TAP | IFF_NO_PI).to_ne_bytes());
    // SAFETY: `request` is a `struct ifreq` of 40 bytes that outlives the call.
    let mut result = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, request.as_mut_ptr()) };
    if result == 0 {
        // SAFETY: this request takes a number.
        result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    }
    match result {
        0 => Ok(file),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Waits until one is readable, or for `timeout_ns`; returns which ones are.
fn wait(files: [RawFd; 3], timeout_ns: Option<u64>) -> [bool; 3] {
    let mut polled = files.map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    let timeout = timeout_ns.map(|ns| libc::timespec {
        tv_sec: (ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (ns % 1_000_000_000) as libc::c_long,
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), |timeout| timeout);
    // SAFETY: three `pollfd` and a time (or none) that outlive the call, and no signal mask.
    unsafe { libc::ppoll(polled.as_mut_ptr(), 3, timeout, std::ptr::null()) };
    polled.map(|one| one.revents != 0)
}

fn settings(words: &[String]) -> Result<(Impairment, u64), String> {
    let mut impairment = Impairment::default();
    let mut burst = Burst {
        enter: 0,
        leave: 250_000,
        loss: 1_000_000,
    };
    let mut seed = 1;
    for word in words {
        let (name, text) = word.split_once('=').ok_or(format!("{word}: no value"))?;
        let value: u64 = text.parse().map_err(|_| format!("{word}: no number"))?;
        let small = u32::try_from(value).map_err(|_| format!("{word}: too large"));
        match name {
            "delay" => impairment.delay_ns = value * MS,
            "jitter" => impairment.jitter_ns = value * MS,
            "loss" => impairment.loss = small?,
            "duplicate" => impairment.duplicate = small?,
            "corrupt" => impairment.corrupt = small?,
            "reorder" => impairment.reorder = small?,
            "reorder-delay" => impairment.reorder_ns = value * MS,
            "burst-enter" => burst.enter = small?,
            "burst-leave" => burst.leave = small?,
            "rate" => impairment.rate = value * 1_000_000,
            "queue" => impairment.queue = value as usize,
            "seed" => seed = value,
            _ => return Err(format!("{name}: no such word; the source lists them")),
        }
    }
    impairment.burst = (burst.enter > 0).then_some(burst);
    Ok((impairment, seed))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [first, second, words @ ..] = &arguments[..] else {
        return Err("usage: relay A B [WORD=NUMBER …]".into());
    };
    let (impairment, seed) = settings(words)?;
    let mut files = [open(first)?, open(second)?];
    let descriptors = [files[0].as_raw_fd(), files[1].as_raw_fd(), 0];
    // Indexed by the device that they lead to.
    let mut pipes = [
        Pipe::new(impairment, seed * 2),
        Pipe::new(impairment, seed * 2 + 1),
    ];
    let mut buffer = [0; 65_536];
    let mut refused = 0u64;
    let start = Instant::now();
    let now = || start.elapsed().as_nanos() as u64;
    println!("relaying {first} and {second}: {impairment:?}");
    loop {
        let next_ns = pipes.iter().filter_map(Pipe::next_ns).min();
        let timeout_ns = next_ns.map(|at_ns| at_ns.saturating_sub(now()));
        let [.., told] = wait(descriptors, timeout_ns);
        for from in 0..2 {
            for _ in 0..TURN {
                let Ok(len) = files[from].read(&mut buffer) else {
                    break;
                };
                pipes[1 - from].push(now(), &buffer[..len]);
            }
        }
        for (pipe, file) in pipes.iter_mut().zip(&mut files) {
            while let Some(frame) = pipe.pop(now()) {
                // A device that is down accepts no frames.
                refused += u64::from(file.write(&frame).is_err());
            }
        }
        if told && std::io::stdin().read(&mut buffer[..1])? == 0 {
            let [to_first, to_second] = pipes.each_ref().map(Pipe::statistics);
            println!("to {first}: {to_first:?}; to {second}: {to_second:?}; {refused} refused");
            return Ok(());
        }
    }
}
