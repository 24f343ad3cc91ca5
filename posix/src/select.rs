//! Sets of descriptors and their events, as in select(2).

use crate::blocking::readiness::Events;
use crate::errors::Result;
use crate::process;
use resources::Runtime;

/// Words of an `fd_set`.
pub const SET: usize = 1024 / 64;

/// The events that keep a descriptor in each of the three sets. Source: Linux's `fs/select.c`.
const SETS: [Events; 3] = [
    Events::READABLE.union(Events::ALWAYS),
    Events::WRITABLE.union(Events::ERR),
    Events::PRI,
];

/// A time in nanoseconds as `timespec` (`unit` 1) or `timeval` (1000), rounded down.
pub fn timeout(ns: u64, unit: u64) -> [u64; 2] {
    [ns / 1_000_000_000, ns % 1_000_000_000 / unit]
}

/// Whether no set has a descriptor below `count`.
pub fn is_empty(count: usize, wanted: &[[u64; SET]; 3]) -> bool {
    let below = |word: usize| match count.saturating_sub(word * 64) {
        bits @ 0..64 => (1 << bits) - 1,
        _ => u64::MAX,
    };
    let has_none = |set: &[u64; SET]| (0..).zip(set).all(|(at, word)| word & below(at) == 0);
    wanted.iter().all(has_none)
}

/// Adds the ready descriptors of `wanted` below `count` to `found`; returns their number over all
/// sets.
pub fn scan(
    rt: &mut Runtime,
    count: usize,
    wanted: &[[u64; SET]; 3],
    found: &mut [[u64; SET]; 3],
) -> Result<u64> {
    let mut total = 0;
    for word in 0..count.div_ceil(64) {
        let of = |set: &[u64; SET]| set.get(word).copied().unwrap_or(0);
        let mut rest = wanted.iter().map(of).fold(0, |all, word| all | word);
        while rest != 0 {
            let bit = rest & rest.wrapping_neg();
            rest &= !bit;
            let descriptor = word * 64 + bit.trailing_zeros() as usize;
            if descriptor >= count {
                break;
            }
            let events = process::get(descriptor as u64)?.file().events(rt);
            for ((wanted, found), set) in wanted.iter().zip(&mut *found).zip(SETS) {
                if let Some(into) = found.get_mut(word)
                    && of(wanted) & bit != 0
                    && events.intersects(set)
                {
                    *into |= bit;
                    total += 1;
                }
            }
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::{SET, is_empty, scan, timeout};
    use crate::blocking::operation::now;
    use crate::errors::{Errno, Result};
    use crate::file::Offset;
    use crate::files::pipe;
    use crate::process;
    use crate::tests::begin;
    use std::vec::Vec;

    /// A pipe whose ends have these numbers or the next free ones: read, write.
    fn pipe(from: usize) -> [u64; 2] {
        let ends = pipe::open(0).expect("memory");
        ends.map(|end| process::insert(end, from, false).expect("room"))
    }

    fn write(descriptor: u64) {
        let description = process::get(descriptor).expect("open");
        assert_eq!(description.write(b"x", Offset::Position), Ok(1));
    }

    /// The descriptors that stay in each set, and their number.
    fn select(count: u64, wanted: [&[u64]; 3]) -> Result<(u64, [Vec<u64>; 3])> {
        let (mut sets, mut found) = ([[0; SET]; 3], [[0; SET]; 3]);
        for (set, numbers) in sets.iter_mut().zip(wanted) {
            for number in numbers {
                set[*number as usize / 64] |= 1 << (number % 64);
            }
        }
        let scanned = now(|rt| Ok::<_, Errno>(scan(rt, count as usize, &sets, &mut found)));
        let total = scanned.expect("the runtime")?;
        let is_in = |set: &[u64; SET], n: u64| set[n as usize / 64] >> (n % 64) & 1 == 1;
        let numbers = found.map(|set| (0..SET as u64 * 64).filter(|n| is_in(&set, *n)).collect());
        Ok((total, numbers))
    }

    #[test]
    fn those_that_are_ready_stay_in_each_set() {
        let _one = begin("select");
        let [reader, writer] = pipe(3);
        let sets = [&[reader, writer][..], &[reader, writer], &[reader, writer]];
        let found = |reads: &[u64], writes: &[u64]| {
            let total = (reads.len() + writes.len()) as u64;
            Ok((total, [reads.to_vec(), writes.to_vec(), Vec::new()]))
        };
        assert_eq!(select(1024, sets), found(&[], &[writer]));
        write(writer);
        assert_eq!(select(1024, sets), found(&[reader], &[writer]));
        assert_eq!(process::close(reader), Ok(0));
        // An error is readable and writable.
        let [only, none] = [&[writer][..], &[]];
        assert_eq!(select(1024, [only, only, only]), found(only, only));
        assert_eq!(select(1024, [none, only, none]), found(&[], only));
        assert_eq!(select(1024, [&[reader], none, none]), Err(libc::EBADF));
    }

    /// Bits from `count` on are ignored, wherever they are, of open descriptors, of ready ones, or
    /// of none.
    #[test]
    fn numbers_from_the_count_on_count_for_nothing() {
        let _one = begin("counts");
        for from in [3, 62, 127, 1022] {
            let [reader, writer] = pipe(from);
            write(writer);
            let most = reader.max(writer);
            let (sets, beyond) = ([reader, writer], [reader, writer, 1023, 1000]);
            for count in [0, 1, from as u64, reader, writer, most + 1] {
                let counted = |n: &u64| *n < count;
                let expected = [reader, writer].map(|n| Vec::from_iter(Some(n).filter(counted)));
                let total = expected.iter().map(Vec::len).sum::<usize>() as u64;
                let [reads, writes] = expected;
                let expected = Ok((total, [reads, writes, Vec::new()]));
                let wanted = if count > 1000 { &sets[..] } else { &beyond };
                assert_eq!(select(count, [wanted; 3]), expected, "{count} of {most}");
            }
            process::reset();
        }
    }

    #[test]
    fn a_timeout_has_seconds_and_their_parts() {
        assert_eq!(timeout(3_000_005_999, 1), [3, 5999]);
        assert_eq!(timeout(3_000_005_999, 1000), [3, 5]);
        assert_eq!(timeout(999, 1000), [0, 0]);
        // The remaining time of a wait without an end.
        assert_eq!(timeout(u64::MAX, 1000), [18_446_744_073, 709_551]);
    }

    #[test]
    fn sets_without_a_number_below_the_count_are_empty() {
        for number in [0, 1, 63, 64, 127, 1023] {
            for set in 0..3 {
                let mut sets = [[0; SET]; 3];
                assert!(is_empty(1024, &sets));
                sets[set][number / 64] |= 1 << (number % 64);
                for count in 0..=1024 {
                    assert_eq!(is_empty(count, &sets), number >= count, "{number} {count}");
                }
            }
        }
    }
}
