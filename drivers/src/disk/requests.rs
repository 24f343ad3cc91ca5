//! Callers' requests to one disk on their way through its controller.

use super::{DiskError, Geometry, Operation, Request};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// A caller's request.
struct Active {
    token: u64,
    rest: Request,
    /// Commands in flight.
    in_flight: u16,
    /// It is in [`Requests::waiting`].
    queued: bool,
    result: Result<(), DiskError>,
}

/// A queue that several disks share. However many commands one of them doesn't answer, the others
/// have room for some.
pub(crate) struct QueueShare {
    /// Maximum number of commands in the queue.
    pub depth: u16,
    /// Number of commands that there is room for.
    pub room: u16,
    /// Number of the other disks.
    pub others: u16,
}

impl QueueShare {
    /// Whether a disk with so many commands in flight has to leave the room to the others.
    pub fn is_used(&self, in_flight: u16) -> bool {
        /// Number of commands that each disk has room for.
        const RESERVED: u16 = 8;
        let reserved = (self.depth / self.others.saturating_add(1)).clamp(1, RESERVED);
        in_flight >= reserved && self.room <= reserved.saturating_mul(self.others)
    }
}

/// Result of making a command of a request.
pub(crate) enum Issued {
    /// It is in the device's queue.
    Some,
    /// There is no room now.
    Full,
}

/// The requests of a disk.
pub(crate) struct Requests {
    active: Vec<Option<Active>>,
    free: Vec<u16>,
    /// Requests that are not entirely in commands, in the order of submission.
    waiting: VecDeque<u16>,
    /// Requests that are finished but not reported.
    finished: VecDeque<u16>,
}

impl Requests {
    /// Allocates memory for at most `count` (at least one) unfinished requests.
    pub fn new(count: u16) -> Requests {
        let count = count.max(1);
        Requests {
            active: (0..count).map(|_| None).collect(),
            free: (0..count).rev().collect(),
            waiting: VecDeque::with_capacity(usize::from(count)),
            finished: VecDeque::with_capacity(usize::from(count)),
        }
    }

    /// Number of requests accepted but not yet reported.
    pub fn unfinished(&self) -> usize {
        self.active.len() - self.free.len()
    }

    /// Whether [`report`](Requests::report) has something to report.
    pub fn has_finished(&self) -> bool {
        !self.finished.is_empty()
    }

    /// Accepts a request that the disk can be asked for. A flush of a disk that offers none is
    /// finished at once.
    pub fn accept(
        &mut self,
        geometry: &Geometry,
        request: Request,
        token: u64,
    ) -> Result<(), DiskError> {
        geometry.check(&request)?;
        let index = self.free.pop().ok_or(DiskError::Busy)?;
        let nothing_to_do = matches!(request.operation, Operation::Flush) && !geometry.can_flush;
        self.active[usize::from(index)] = Some(Active {
            token,
            rest: request,
            in_flight: 0,
            queued: !nothing_to_do,
            result: Ok(()),
        });
        if nothing_to_do {
            self.finished.push_back(index);
        } else {
            self.waiting.push_back(index);
        }
        Ok(())
    }

    /// Makes commands of the waiting requests, in order, until `issue` reports that there is no
    /// room. `issue` is given a request's number and rest, and calls [`Request::advance`] if it
    /// succeeds.
    pub fn issue(&mut self, issue: &mut dyn FnMut(u16, &mut Request) -> Result<Issued, DiskError>) {
        while let Some(&index) = self.waiting.front() {
            let Some(Some(active)) = self.active.get_mut(usize::from(index)) else {
                self.waiting.pop_front();
                continue;
            };
            // After an error, the rest of a request isn't started.
            if active.result.is_ok() {
                match issue(index, &mut active.rest) {
                    Ok(Issued::Some) => active.in_flight += 1,
                    Ok(Issued::Full) => return,
                    Err(error) => active.result = Err(error),
                }
            }
            if active.rest.len == 0 || active.result.is_err() {
                active.queued = false;
                self.waiting.pop_front();
                if active.in_flight == 0 {
                    self.finished.push_back(index);
                }
            }
        }
    }

    /// A command of request `index` has completed.
    pub fn complete(&mut self, index: u16, result: Result<(), DiskError>) {
        let Some(Some(active)) = self.active.get_mut(usize::from(index)) else {
            return;
        };
        active.in_flight -= 1;
        active.result = active.result.and(result);
        if active.in_flight == 0 && !active.queued {
            self.finished.push_back(index);
        }
    }

    /// Reports finished requests (token, result), and returns their number.
    pub fn report(&mut self, report: &mut dyn FnMut(u64, Result<(), DiskError>)) -> usize {
        let mut ended = 0;
        while let Some(index) = self.finished.pop_front() {
            let active = self.active.get_mut(usize::from(index));
            if let Some(active) = active.and_then(Option::take) {
                self.free.push(index);
                ended += 1;
                report(active.token, active.result);
            }
        }
        ended
    }

    /// Ends what is not in commands yet with `error`.
    pub fn abandon(&mut self, error: DiskError) {
        while let Some(index) = self.waiting.pop_front() {
            let Some(Some(active)) = self.active.get_mut(usize::from(index)) else {
                continue;
            };
            active.queued = false;
            active.result = active.result.and(Err(error));
            if active.in_flight == 0 {
                self.finished.push_back(index);
            }
        }
    }

    /// Finishes with [`DiskError::DeviceError`] every request whose memory the device doesn't hold:
    /// the driver has stopped the device, and `taken_back` says whether that took its memory back.
    pub fn fail(&mut self, taken_back: bool) {
        self.waiting.clear();
        self.finished.clear();
        for (index, active) in (0u16..).zip(&mut self.active) {
            let Some(active) = active else { continue };
            let has_memory = matches!(active.rest.operation, Operation::Read | Operation::Write);
            if active.in_flight > 0 && has_memory && !taken_back {
                continue;
            }
            // A request that has already ended keeps its result.
            if active.in_flight > 0 || active.queued {
                active.result = Err(DiskError::DeviceError);
            }
            self.finished.push_back(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Clear, SECTOR};
    use std::vec;

    const PARTS: u16 = 3;
    const GEOMETRY: Geometry = Geometry {
        sectors: 64,
        read_only: false,
        can_discard: true,
        ..Geometry::NONE
    };

    /// A request of some parts, of which so many are commands.
    fn request(commands: u16) -> Requests {
        let mut requests = Requests::new(4);
        let clear = Request::clear(Clear::Discard, 0, PARTS.into());
        requests.accept(&GEOMETRY, clear, 7).unwrap();
        issue(&mut requests, commands);
        requests
    }

    fn issue(requests: &mut Requests, commands: u16) {
        let mut room = commands;
        requests.issue(&mut |index, rest| {
            assert_eq!(index, 0);
            if room == 0 {
                return Ok(Issued::Full);
            }
            room -= 1;
            rest.advance(SECTOR);
            Ok(Issued::Some)
        });
    }

    fn ended(requests: &mut Requests) -> Vec<(u64, Result<(), DiskError>)> {
        let mut ended = vec![];
        requests.report(&mut |token, result| ended.push((token, result)));
        ended
    }

    #[test]
    fn the_first_error_of_any_part_is_the_requests() {
        for first in 0..PARTS {
            for second in first..PARTS {
                let mut requests = request(PARTS);
                for part in 0..PARTS {
                    assert_eq!(ended(&mut requests), [], "{part}");
                    let result = match part {
                        _ if part == first => Err(DiskError::Medium),
                        _ if part == second => Err(DiskError::Io),
                        _ => Ok(()),
                    };
                    requests.complete(0, result);
                }
                assert_eq!(ended(&mut requests), [(7, Err(DiskError::Medium))]);
                assert_eq!(requests.unfinished(), 0);
            }
        }
    }

    #[test]
    fn a_request_ends_after_its_commands_however_the_rest_fails() {
        let fails: [&dyn Fn(&mut Requests); 3] = [
            &|requests| requests.abandon(DiskError::Removed),
            &|requests| requests.issue(&mut |_, _| Err(DiskError::Removed)),
            // The next part isn't started after the error.
            &|requests| {
                requests.complete(0, Err(DiskError::Removed));
                requests.issue(&mut |_, _| panic!("another part"));
            },
        ];
        for (at, fail) in fails.into_iter().enumerate() {
            let mut requests = request(2);
            fail(&mut requests);
            let left = if at == 2 { 1 } else { 2 };
            for _ in 0..left {
                assert_eq!(ended(&mut requests), [], "{at}");
                requests.complete(0, Ok(()));
            }
            assert_eq!(ended(&mut requests), [(7, Err(DiskError::Removed))], "{at}");
        }
    }
}
