//! Adaptive polling: when to read from a device whose "nothing available" costs a system call.
//!
//! Frames arrive in batches of about the same size: one frame if a peer waits for a reply, many in
//! a transfer. After as many frames as the last batches had, the reader stops without another read;
//! the following wait reports whether there was more.

/// Maximum number of frames that are read before other work gets its turn.
const MAX_FRAMES: usize = 64;
/// Number of batches ended by the prediction after which a larger one is tried.
const MAX_FULL_BATCHES: u8 = 16;

/// The predicted size of the next batch.
pub struct Polling {
    /// Expected frames of the next batch.
    expected: usize,
    /// Frames of this batch that are still expected; `None` between batches.
    left: Option<usize>,
    read: usize,
    guessed: u8,
    skipped: bool,
}

impl Polling {
    /// For a device without a history.
    pub fn new() -> Polling {
        Polling {
            expected: 1,
            left: None,
            read: 0,
            guessed: 0,
            skipped: false,
        }
    }

    /// Whether to read now. `readiness` returns the result of a wait since the last call.
    pub fn may_read(&mut self, readiness: impl FnOnce() -> Option<bool>) -> bool {
        match self.left {
            Some(0) => {
                self.left = None;
                self.guessed += 1;
                if self.guessed == MAX_FULL_BATCHES {
                    self.guessed = 0;
                    self.expected = (self.expected * 2).min(MAX_FRAMES);
                }
                false
            }
            Some(_) => true,
            None => match readiness() {
                Some(false) => false,
                Some(true) => self.expect(self.expected),
                // A wait will follow soon; but a program that never sleeps gets its frames as well.
                None if !self.skipped => {
                    self.skipped = true;
                    false
                }
                None => self.expect(MAX_FRAMES),
            },
        }
    }

    /// Begins a batch, whose first frame is available.
    pub fn begin(&mut self) {
        self.expect(self.expected);
    }

    fn expect(&mut self, frames: usize) -> bool {
        self.left = Some(frames);
        self.read = 0;
        self.skipped = false;
        true
    }

    /// Records whether there was a frame.
    pub fn note(&mut self, frame: bool) {
        if frame {
            self.read += 1;
            self.left = self.left.map(|left| left.saturating_sub(1));
        } else {
            self.expected = self.read.max(1);
            self.guessed = 0;
            self.left = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Polling;

    /// Reads as the stack does from a device that has `there` frames, until there is nothing;
    /// returns the number of reads.
    fn take(polling: &mut Polling, found: Option<bool>, there: &mut usize) -> usize {
        let (mut found, mut reads) = (found, 0);
        while polling.may_read(|| found.take()) {
            reads += 1;
            let frame = *there > 0;
            polling.note(frame);
            if !frame {
                break;
            }
            *there -= 1;
        }
        reads
    }

    /// Reads and frames of a device that has `batch` more frames at each of 1000 waits.
    fn calls(polling: &mut Polling, batch: usize) -> (usize, usize) {
        let (mut reads, mut there) = (0, 0);
        for _ in 0..1000 {
            there += batch;
            reads += take(polling, Some(there > 0), &mut there);
            // The poll without a new result, before the next wait.
            assert_eq!(take(polling, None, &mut there), 0);
        }
        (reads, 1000 * batch - there)
    }

    #[test]
    fn few_reads_find_nothing() {
        for batch in [1, 2, 7, 40] {
            let mut polling = Polling::new();
            let (reads, frames) = calls(&mut polling, batch);
            assert!(frames >= 900 * batch, "{frames} frames of {batch}");
            assert!(reads - frames <= 1000 / 8, "{reads} reads for {frames}");
        }
    }

    /// A program that never waits: every other poll reads.
    #[test]
    fn frames_come_without_a_wait() {
        let mut polling = Polling::new();
        let mut reads = 0;
        for _ in 0..100 {
            reads += take(&mut polling, None, &mut 0);
        }
        assert_eq!(reads, 50);
    }

    #[test]
    fn a_wait_that_found_nothing_needs_no_read() {
        let mut polling = Polling::new();
        assert!(!polling.may_read(|| Some(false)));
    }
}
