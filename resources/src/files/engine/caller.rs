//! The call during which volumes run.

use crate::Runtime;
use crate::files::mounted_volume::job::Ended;
use platform::error::{Answer, Stop};

/// The call during which volumes run. If its own operation completes meanwhile, the call returns
/// the answer, and there is no completion.
pub struct Caller {
    /// The operation's token; 0 if there is none.
    token: u64,
    answer: Option<Ended>,
}

impl Caller {
    /// Creates the state of a call that started an operation.
    pub const fn new(token: u64) -> Caller {
        Caller {
            token,
            answer: None,
        }
    }

    /// Creates the state of a call that started none.
    pub const fn none() -> Caller {
        Caller::new(0)
    }

    /// Completes an operation, if there is one.
    pub fn complete(&mut self, rt: &mut Runtime, token: u64, ended: Ended) {
        match ended {
            _ if token == 0 => (),
            ended if token == self.token => self.answer = Some(ended),
            Ok(n) => rt.complete(token, Ok(n)),
            Err(failure) => rt.complete_failed(token, failure),
        }
    }

    /// Returns the result of the call.
    pub fn answer(self, rt: &mut Runtime) -> Answer {
        match self.answer {
            None => Err(Stop::Pending),
            Some(ended) => {
                rt.forget(self.token);
                ended.or_else(|failure| rt.fail(failure))
            }
        }
    }
}
