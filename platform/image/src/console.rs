//! The console of an image.

use crate::Image;
use kernel::console;
use platform::error::{Answer, Stop};
use platform::{Console, Direction, Stream};

impl Console for Image {
    fn console_read(into: &mut [u8]) -> Answer {
        if into.is_empty() {
            return Ok(0);
        }
        console::try_read(into).ok_or(Stop::WouldBlock)
    }

    fn console_write(stream: Stream, from: &[u8]) -> Answer {
        let stream = match stream {
            Stream::Standard => console::Stream::Output,
            Stream::Error => console::Stream::Error,
        };
        match console::try_write(stream, from) {
            0 => Err(Stop::WouldBlock),
            count => Ok(count),
        }
    }

    fn console_ready(_: Stream, direction: Direction) -> bool {
        match direction {
            Direction::Read => console::has_input(),
            Direction::Write => console::has_room(),
        }
    }

    fn log(line: &[u8]) {
        console::log(line);
    }

    fn take_report_requests() {
        console::listen_for_reports();
    }

    fn report_requested() -> bool {
        console::report_requested()
    }
}
