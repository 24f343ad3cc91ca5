//! poll(2), select(2), and waits for descriptors.

use crate::memory::{load, store};
use crate::readiness::{ERROR, HANGUP, READ, WRITE, events};
use crate::state::State;
use crate::wait::{Interrupted, block_as};

/// What ends a wait for descriptors.
#[derive(Clone, Copy)]
pub struct Limit {
    pub until: u64,
    /// The signals that are blocked meanwhile, if the call has a mask.
    pub mask: Option<u64>,
}

/// Calls `count` until descriptors are ready or the time comes; the number of ready ones.
pub fn wait_for(
    Limit { until, mask }: Limit,
    mut count: impl FnMut(&mut State) -> Result<usize, i32>,
) -> Result<isize, i32> {
    let ready = block_as(Interrupted::Fails, mask, until, |state| {
        match count(state)? {
            0 => Err(libc::EAGAIN),
            count => Ok(count as isize),
        }
    });
    match ready {
        Err(libc::EAGAIN) => Ok(0),
        other => other,
    }
}

/// Bytes of `struct pollfd`, and offsets in it.
const POLLED: usize = 8;
const REQUESTED: usize = 4;
const RETURNED: usize = 6;

/// poll(2): the array at `at`.
pub fn poll(at: usize, len: usize, limit: Limit) -> Result<isize, i32> {
    let always = ERROR | HANGUP | libc::POLLNVAL as u32;
    wait_for(limit, |state| {
        let mut count = 0;
        for entry in (0..len).map(|i| at + i * POLLED) {
            let fd: i32 = load(entry);
            let wanted = u32::from(load::<u16>(entry + REQUESTED));
            let ready = if fd < 0 {
                0
            } else {
                events(state, fd) & (wanted | always)
            };
            store(entry + RETURNED, ready as u16);
            count += usize::from(ready != 0);
        }
        Ok(count)
    })
}

/// Bits in a word of `fd_set`.
const BITS: usize = 64;

/// select(2): the sets at `sets` (null: none) with `len` descriptors.
pub fn select(len: usize, sets: [usize; 3], limit: Limit) -> Result<isize, i32> {
    let len = len.min(libc::FD_SETSIZE);
    let words = len.div_ceil(BITS);
    let word = |set: usize, i: usize| set + i * size_of::<u64>();
    let read = |set: usize| -> Vec<u64> {
        let one = |i| if set == 0 { 0 } else { load(word(set, i)) };
        (0..words).map(one).collect()
    };
    let wanted = sets.map(read);
    let mut ready = wanted.each_ref().map(|_| vec![0u64; words]);
    let conditions = [READ | ERROR | HANGUP, WRITE | ERROR, libc::POLLPRI as u32];
    let result = wait_for(limit, |state| {
        let mut count = 0;
        for fd in 0..len {
            let (i, bit) = (fd / BITS, 1u64 << (fd % BITS));
            if wanted.iter().all(|set| set[i] & bit == 0) {
                continue;
            }
            let events = events(state, fd as i32);
            if events & libc::POLLNVAL as u32 != 0 {
                return Err(libc::EBADF);
            }
            for (which, condition) in conditions.into_iter().enumerate() {
                if wanted[which][i] & bit != 0 && events & condition != 0 {
                    ready[which][i] |= bit;
                    count += 1;
                }
            }
        }
        Ok(count)
    })?;
    for (set, bits) in sets.into_iter().zip(ready) {
        if set != 0 {
            bits.into_iter()
                .enumerate()
                .for_each(|(i, bits)| store(word(set, i), bits));
        }
    }
    Ok(result)
}
