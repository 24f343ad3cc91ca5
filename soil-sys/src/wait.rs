//! The boundary's side of the wait: deadlines come in, encoded completions go out.

use crate::ffi::Int;
use platform::error::{Answer, Error};
pub use reactor::wait::sync_all;
use resources::Runtime;
use resources::runtime::next_completion;

/// See `soil_wait`.
pub fn wait(rt: &mut Runtime, deadline: Int, completions: &mut [Int], max: Int) -> Answer {
    let max = usize::try_from(max).map_err(|_| Error::Invalid)?;
    let until = match deadline {
        -1 => None,
        deadline => Some(u64::try_from(deadline).map_err(|_| Error::Invalid)?),
    };
    if max == 0 || completions.len() < 2 {
        return Err(Error::Invalid.into());
    }
    reactor::wait::wait(rt, until)?;
    Ok(fetch(rt, completions, max))
}

/// Moves completions to the caller's array; returns their number.
fn fetch(rt: &mut Runtime, completions: &mut [Int], max: usize) -> usize {
    let mut n = 0;
    for pair in completions.chunks_exact_mut(2).take(max) {
        let [token, result] = pair else { break };
        let Some(completion) = next_completion(rt) else {
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
    use super::wait;
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
        assert_eq!(wait(&mut rt, 0, &mut room, 2), Ok(2));
        assert_eq!(room, [1, 10, 2, 20, 0, 0, 0, 0]);
        // Room for one although two are wanted.
        rt.give(4, |_, _| Cancelled::Done).expect("memory");
        rt.complete(4, Err(Error::Io.into()));
        let mut room = [0; 3];
        assert_eq!(wait(&mut rt, 0, &mut room, 9), Ok(1));
        assert_eq!(room, [3, 30, 0]);
        assert_eq!(wait(&mut rt, 0, &mut room, 9), Ok(1));
        assert_eq!(room, [4, -(Error::Io as isize), 0]);
        assert_eq!(wait(&mut rt, 0, &mut room, 9), Ok(0));
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        let mut rt = Runtime::new();
        let invalid = Err(Stop::Error(Error::Invalid));
        assert_eq!(wait(&mut rt, -2, &mut [0; 8], 4), invalid);
        assert_eq!(wait(&mut rt, 0, &mut [0; 8], 0), invalid);
        assert_eq!(wait(&mut rt, 0, &mut [0; 8], -1), invalid);
        assert_eq!(wait(&mut rt, 0, &mut [0; 1], 4), invalid);
    }
}
