//! What is in memory is read where the program asks for it: no job, no fiber, no completion, and
//! one copy.
//!
//! Only while nothing else is done on the volume or waits for its turn there, so that what is read
//! is what was written before, and positions move in the order of the calls.

use super::Then;
use super::work::{Value, Work};
use crate::ffi::Piece;
use crate::runtime::Runtime;
use ::fs::FileId;

/// More bytes than these are read in the ordinary way: it can be cancelled, and other jobs have
/// their turn.
const MOST: usize = 1 << 20;

/// Does `work`, which changes nothing, if that can be done at once.
pub fn at_once(rt: &mut Runtime, volume: usize, work: Work, then: Then) -> Option<Value> {
    let files = rt.files.as_deref_mut()?;
    let work = files.place(work, then);
    files.volumes.get_mut(volume)?.on_the_spot(work)
}

/// Reads from an open file what is in memory: the number of bytes, or nothing, if not all that is
/// wanted is there.
pub fn read(
    rt: &mut Runtime,
    volume: usize,
    (file, offset, into): (FileId, u64, Piece),
    then: Then,
) -> Option<usize> {
    if into.len() > MOST {
        return None;
    }
    match at_once(rt, volume, Work::Read(file, offset, into), then)? {
        Value::Number(n) => {
            if let Then::Advance(place) = then {
                super::open::advance(rt, place, n);
            }
            Some(n as usize)
        }
        _ => None,
    }
}
