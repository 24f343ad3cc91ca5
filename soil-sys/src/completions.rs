//! The interface of the wait: decodes deadlines and encodes completions.

use crate::ffi::Int;
use platform::System;
use platform::error::{Answer, Error, Stop};
use reactor::runtime::MAX_TOKEN;
use reactor::wait::{FIRST_OF_THREADS, scheduler};
use resources::Runtime;
use resources::current::Current;
use resources::runtime::{self, next_completion};

/// Decodes a time in monotonic nanoseconds, -1 for never.
fn moment(deadline: Int) -> Result<Option<u64>, Error> {
    match deadline {
        -1 => Ok(None),
        deadline => u64::try_from(deadline)
            .map(Some)
            .map_err(|_| Error::Invalid),
    }
}

/// See `soil_wait`.
pub fn wait(deadline: Int, completions: &mut [Int], max: Int) -> Answer {
    let max = usize::try_from(max).map_err(|_| Error::Invalid)?;
    let until = moment(deadline)?;
    if max == 0 || completions.len() < 2 {
        return Err(Error::Invalid.into());
    }
    let domain = Current::domain();
    runtime::wait(scheduler(domain), until, |rt| {
        Ok(fetch(rt, domain, completions, max))
    })
}

/// See `soil_await`.
pub fn wait_for(token: Int, deadline: Int) -> Answer {
    let token = u64::try_from(token).map_err(|_| Error::Invalid)?;
    if !(FIRST_OF_THREADS..=MAX_TOKEN).contains(&token) {
        return Err(Error::Invalid.into());
    }
    let until = moment(deadline)?;
    runtime::wait(token, until, |rt| {
        rt.take_completion(token).unwrap_or(Err(Stop::Pending))
    })
}

/// Moves completions of the domain's scheduler to the caller's array. Returns their number.
fn fetch(rt: &mut Runtime, domain: usize, completions: &mut [Int], max: usize) -> usize {
    let mut n = 0;
    for pair in completions.chunks_exact_mut(2).take(max) {
        let [token, result] = pair else { break };
        let Some(completion) = next_completion(rt, domain) else {
            break;
        };
        *token = completion.0 as Int;
        *result = completion.1;
        n += 1;
    }
    n
}

#[cfg(test)]
mod tests {
    use super::{FIRST_OF_THREADS, fetch, wait, wait_for};
    use platform::error::{Error, Stop};
    use reactor::Cancelled;
    use resources::Runtime;

    #[test]
    fn fetches_no_more_than_wanted() {
        let mut rt = Runtime::new();
        for token in 1..=3 {
            rt.give(token, |_, _| Cancelled::Done).expect("memory");
            rt.complete(token, Ok(token as usize * 10));
        }
        let mut room = [0; 8];
        assert_eq!(fetch(&mut rt, 0, &mut room, 2), 2);
        assert_eq!(room, [1, 10, 2, 20, 0, 0, 0, 0]);
        // Room for one although two are wanted.
        rt.give(4, |_, _| Cancelled::Done).expect("memory");
        rt.complete(4, Err(Error::Io.into()));
        let mut room = [0; 3];
        assert_eq!(fetch(&mut rt, 0, &mut room, 9), 1);
        assert_eq!(room, [3, 30, 0]);
        assert_eq!(fetch(&mut rt, 0, &mut room, 9), 1);
        assert_eq!(room, [4, -(Error::Io as isize), 0]);
        assert_eq!(fetch(&mut rt, 0, &mut room, 9), 0);
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        let invalid = Err(Stop::Error(Error::Invalid));
        assert_eq!(wait(-2, &mut [0; 8], 4), invalid);
        assert_eq!(wait(0, &mut [0; 8], 0), invalid);
        assert_eq!(wait(0, &mut [0; 8], -1), invalid);
        assert_eq!(wait(0, &mut [0; 1], 4), invalid);
        let first = FIRST_OF_THREADS as isize;
        for token in [0, -1, 1, first - 1, (1 << 40) + 1] {
            assert_eq!(wait_for(token, 0), invalid, "{token}");
        }
        assert_eq!(wait_for(first, -2), invalid);
        assert_eq!(wait_for(first, 0), Err(Stop::Pending));
    }
}
