//! Random numbers of the platform, and the error message with a remedy if it has none.

use crate::Runtime;
use crate::current::Current;
use platform::Entropy;
use platform::error::{Answer, Error, Failure, Stop};

/// See `soil_random_fill`.
pub fn fill(rt: &mut Runtime, into: &mut [u8]) -> Answer {
    match Current::random(into) {
        Err(Stop::Error(Error::NoEntropy)) => {
            rt.fail(Failure::new(Error::NoEntropy, Current::NO_ENTROPY))
        }
        answer => answer,
    }
}
