//! The line to `soil run` by two transmitters: a port's and, once that is out of use, the UART's.
//! One stream of framed bytes, each of which goes by one of the two.
//!
//! The port takes a line of a program with one exit, where the UART takes one for each byte. It is
//! left for good when
//!
//! - a crash is reported: the UART needs neither memory nor a device that works;
//! - its device breaks the protocol;
//! - its device takes nothing for [`PORT_NS`].
//!
//! The device is then stopped, so that it sends nothing any more, and the UART sends first what the
//! device has not returned. A reader that only pauses so gets each byte once and in order.
//!
//! Pure bookkeeping; the driver of the port is in `platform/image/src/consoles.rs`.

use super::framing::{Stream, transmit};
use super::output::{TIMEOUT_NS, forget_stream};
use crate::board::uart::{FIFO, ROOM, SENT, Uart};
use core::sync::atomic::AtomicU8;

/// How long a port may take nothing, in nanoseconds: a writer that spins for [`TIMEOUT_NS`] then
/// has as much time left for the UART.
pub const PORT_NS: u64 = TIMEOUT_NS / 2;

/// A port for output. Once a function has returned `None`, the device is out of use.
pub trait Port {
    /// Has `fill` write the next buffer, with room for a frame and more, and return how many bytes
    /// it wrote; and sends these. False if the device has all buffers.
    fn send(&mut self, fill: &mut dyn FnMut(&mut [u8]) -> usize) -> Option<bool>;

    /// Number of buffers that the device has.
    fn in_flight(&mut self) -> Option<usize>;

    /// Whether a buffer is free.
    fn has_room(&mut self) -> Option<bool>;

    /// Stops the device.
    fn stop(&mut self);

    /// The next byte that the device had not returned when it was stopped.
    fn take_unsent(&mut self) -> Option<u8>;
}

/// The UART, which nothing else uses meanwhile.
pub trait Serial {
    /// [`ROOM`] and [`SENT`].
    fn status(&mut self) -> u8;

    /// Sends a byte; there is room.
    fn send(&mut self, byte: u8);
}

impl Serial for Uart {
    fn status(&mut self) -> u8 {
        self.line_status()
    }

    fn send(&mut self, byte: u8) {
        Uart::send(*self, byte);
    }
}

/// What transmits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The UART what was written before the port started.
    Begins,
    Port,
    /// The UART what the device hasn't returned.
    Leaves,
    /// The UART, without this line.
    Left,
}

/// The line while a port transmits. Times are the counter's.
pub struct Line<P, S> {
    port: P,
    serial: S,
    /// [`PORT_NS`].
    limit: u64,
    stage: Stage,
    /// Number of buffers that the device had last.
    in_flight: usize,
    /// When the transmitter last took something, or had taken all.
    since: u64,
}

impl<P: Port, S: Serial> Line<P, S> {
    /// A line whose port has sent nothing. `limit` is [`PORT_NS`].
    pub fn new(port: P, serial: S, limit: u64) -> Self {
        Self {
            port,
            serial,
            limit,
            stage: Stage::Begins,
            in_flight: 0,
            since: 0,
        }
    }

    /// Whether the UART transmits without this line.
    pub fn is_left(&self) -> bool {
        self.stage == Stage::Left
    }

    /// Sends as many of `bytes`, which aren't empty, as fit a buffer; returns how many. `None`: the
    /// line is left.
    pub fn write(&mut self, now: u64, stream: Stream, bytes: &[u8]) -> Option<usize> {
        if !self.has_room(now)? {
            return Some(0);
        }
        let mut count = 0;
        let sent = self.port.send(&mut |buffer| {
            let room = buffer.len();
            let mut buffer = buffer.iter_mut();
            // Each buffer names its stream.
            let current = AtomicU8::new(u8::MAX);
            count = transmit(true, &current, stream, bytes, room, |byte| {
                if let Some(place) = buffer.next() {
                    *place = byte;
                }
            });
            room - buffer.len()
        });
        match sent {
            Some(true) => {
                self.in_flight += 1;
                return Some(count);
            }
            Some(false) => {}
            None => self.leave(now),
        }
        Some(0)
    }

    /// Whether a write would send something; `None` as of [`Line::write`].
    pub fn has_room(&mut self, now: u64) -> Option<bool> {
        self.poll(now)?;
        if self.stage != Stage::Port {
            return Some(false);
        }
        let room = self.port.has_room();
        if room.is_none() {
            self.leave(now);
        }
        Some(room.unwrap_or(false))
    }

    /// Whether all that was written has been sent; `None` as of [`Line::write`].
    pub fn is_sent(&mut self, now: u64) -> Option<bool> {
        let in_flight = self.poll(now)?;
        Some(self.stage == Stage::Port && in_flight == 0)
    }

    /// Leaves the port, for good; returns whether that is done. It waits for the device and the
    /// UART while they take something, or for [`PORT_NS`].
    pub fn finish(&mut self, now: u64) -> bool {
        let in_flight = self.poll(now);
        match self.stage {
            Stage::Begins => self.end(),
            Stage::Port if in_flight == Some(0) => self.leave(now),
            Stage::Leaves if self.is_late(now) => self.end(),
            _ => {}
        }
        self.is_left()
    }

    /// Continues; returns the number of buffers that the device has.
    fn poll(&mut self, now: u64) -> Option<usize> {
        match self.stage {
            Stage::Begins => {
                if self.serial.status() & SENT != 0 {
                    self.stage = Stage::Port;
                }
            }
            Stage::Port => {
                let Some(in_flight) = self.port.in_flight() else {
                    self.leave(now);
                    return Some(0);
                };
                if in_flight == 0 || in_flight < self.in_flight {
                    self.since = now;
                }
                self.in_flight = in_flight;
                if self.is_late(now) {
                    self.leave(now);
                }
            }
            Stage::Leaves => self.resend(now),
            Stage::Left => return None,
        }
        Some(self.in_flight)
    }

    fn is_late(&self, now: u64) -> bool {
        now.saturating_sub(self.since) >= self.limit
    }

    fn leave(&mut self, now: u64) {
        self.port.stop();
        self.since = now;
        self.stage = Stage::Leaves;
    }

    fn end(&mut self) {
        self.stage = Stage::Left;
        forget_stream();
    }

    /// Sends what the device hasn't returned, as far as the UART takes it.
    fn resend(&mut self, now: u64) {
        while self.serial.status() & ROOM != 0 {
            self.since = now;
            for _ in 0..FIFO {
                let Some(byte) = self.port.take_unsent() else {
                    return self.end();
                };
                self.serial.send(byte);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, Port, ROOM, SENT, Serial, Stream};
    use crate::console::framing::{MARK, tests::streams};
    use proptest::prelude::{prop_assert_eq, proptest};
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::rc::Rc;

    const LIMIT: u64 = 1000;
    const BUFFERS: usize = 4;
    const LEN: usize = 16;

    /// A device and a UART with one reader.
    #[derive(Default)]
    struct Host {
        /// What the reader gets.
        read: Vec<u8>,
        /// What the device and the UART have.
        buffers: VecDeque<Vec<u8>>,
        serial: Vec<u8>,
        unsent: VecDeque<u8>,
        /// The reader reads nothing.
        is_paused: bool,
        /// The device takes nothing.
        is_stuck: bool,
        has_failed: bool,
    }

    impl Host {
        fn work(&mut self) {
            if !self.is_paused {
                if !self.is_stuck {
                    self.read.extend(self.buffers.drain(..).flatten());
                }
                self.read.append(&mut self.serial);
            }
        }
    }

    #[derive(Clone, Default)]
    struct Shared(Rc<RefCell<Host>>);

    impl Shared {
        fn with<R>(&self, f: impl FnOnce(&mut Host) -> R) -> R {
            f(&mut self.0.borrow_mut())
        }
    }

    impl Port for Shared {
        fn send(&mut self, fill: &mut dyn FnMut(&mut [u8]) -> usize) -> Option<bool> {
            if !self.has_room()? {
                return Some(false);
            }
            let mut buffer = [0; LEN];
            let count = fill(&mut buffer);
            assert!((1..=LEN).contains(&count));
            self.with(|host| {
                host.buffers.push_back(buffer[..count].to_vec());
                host.work();
            });
            Some(true)
        }

        fn in_flight(&mut self) -> Option<usize> {
            self.with(|host| {
                host.work();
                (!host.has_failed).then_some(host.buffers.len())
            })
        }

        fn has_room(&mut self) -> Option<bool> {
            self.in_flight().map(|count| count < BUFFERS)
        }

        fn stop(&mut self) {
            self.with(|host| host.unsent = host.buffers.drain(..).flatten().collect());
        }

        fn take_unsent(&mut self) -> Option<u8> {
            self.with(|host| host.unsent.pop_front())
        }
    }

    impl Serial for Shared {
        fn status(&mut self) -> u8 {
            self.with(|host| {
                host.work();
                if host.serial.is_empty() {
                    ROOM | SENT
                } else {
                    0
                }
            })
        }

        fn send(&mut self, byte: u8) {
            self.with(|host| host.serial.push(byte));
        }
    }

    /// A line whose port transmits.
    fn line() -> (Line<Shared, Shared>, Shared) {
        let host = Shared::default();
        let mut line = Line::new(host.clone(), host.clone(), LIMIT);
        assert_eq!(line.is_sent(0), Some(true));
        (line, host)
    }

    /// Sends by the UART, as after the line; without waiting.
    fn by_uart(host: &Shared, stream: Stream, bytes: &[u8]) {
        let marks = bytes.iter().map(|byte| 1 + usize::from(*byte == MARK));
        let bytes = bytes.iter().zip(marks);
        let bytes = bytes.flat_map(|(byte, count)| [*byte].repeat(count));
        let framed = [MARK, stream as u8].into_iter().chain(bytes);
        host.with(|host| host.serial.extend(framed));
    }

    #[test]
    fn a_buffer_takes_what_fits_and_names_its_stream() {
        let (mut line, host) = line();
        assert_eq!(line.write(0, Stream::Error, b"a line of tex"), Some(13));
        assert_eq!(line.write(0, Stream::Error, b"a line with more"), Some(13));
        assert_eq!(line.write(0, Stream::Output, b"\x10"), Some(1));
        assert_eq!(line.is_sent(0), Some(true));
        let expected = b"\x10Ea line of tex\x10Ea line with m\x10O\x10\x10";
        assert_eq!(host.with(|host| host.read.clone()), expected);
    }

    #[test]
    fn the_port_begins_when_the_uart_has_sent_all() {
        let host = Shared::default();
        let mut line = Line::new(host.clone(), host.clone(), LIMIT);
        host.with(|host| {
            host.is_paused = true;
            host.serial.push(b'x');
        });
        for now in [0, 9 * LIMIT] {
            assert_eq!(line.write(now, Stream::Output, b"text"), Some(0));
            assert_eq!(
                (line.has_room(now), line.is_sent(now)),
                (Some(false), Some(false))
            );
        }
        host.with(|host| host.is_paused = false);
        assert_eq!(line.write(9 * LIMIT, Stream::Output, b"text"), Some(4));
        assert_eq!(host.with(|host| host.read.clone()), b"x\x10Otext");
        assert!(!line.is_left());
    }

    #[test]
    fn a_short_pause_of_the_reader_is_waited_for() {
        let (mut line, host) = line();
        host.with(|host| host.is_paused = true);
        for _ in 0..BUFFERS {
            assert_eq!(line.write(1, Stream::Error, b"text"), Some(4));
        }
        for now in [2, LIMIT] {
            assert_eq!(line.has_room(now), Some(false));
            assert_eq!(line.write(now, Stream::Output, b"more"), Some(0));
            assert_eq!(line.is_sent(now), Some(false));
        }
        host.with(|host| host.is_paused = false);
        assert_eq!(line.has_room(LIMIT), Some(true));
        assert_eq!(line.write(LIMIT, Stream::Output, b"more"), Some(4));
        // The time counts from what the device took last.
        host.with(|host| host.is_paused = true);
        assert_eq!(line.write(9 * LIMIT, Stream::Output, b"last"), Some(4));
        assert_eq!(line.is_sent(10 * LIMIT - 1), Some(false));
        host.with(|host| host.is_paused = false);
        assert_eq!(line.is_sent(10 * LIMIT - 1), Some(true));
        let [output, error, _] = streams(&host.with(|host| host.read.clone()));
        assert_eq!((output, error), (b"morelast".to_vec(), b"text".repeat(4)));
    }

    #[test]
    fn the_uart_sends_what_a_device_has_kept() {
        type Call = fn(&mut Line<Shared, Shared>) -> Option<usize>;
        let calls: [Call; 3] = [
            |line| line.write(LIMIT + 6, Stream::Error, b"text"),
            |line| line.is_sent(LIMIT + 6).map(usize::from),
            |line| line.has_room(LIMIT + 6).map(usize::from),
        ];
        for (call, has_failed) in calls
            .into_iter()
            .flat_map(|call| [(call, false), (call, true)])
        {
            let (mut line, host) = line();
            assert_eq!(line.write(5, Stream::Error, b"before"), Some(6));
            host.with(|host| host.is_stuck = true);
            for _ in 0..BUFFERS {
                assert_eq!(line.write(6, Stream::Output, b"kept"), Some(4));
            }
            // A device that breaks the protocol is left at once.
            host.with(|host| host.has_failed = has_failed);
            if !has_failed {
                assert_eq!(line.is_sent(LIMIT + 5), Some(false));
                assert_eq!(host.with(|host| host.read.clone()), b"\x10Ebefore");
            }
            for _ in 0..3 {
                assert!(matches!(call(&mut line), Some(0) | None));
            }
            assert_eq!((call(&mut line), line.is_left()), (None, true));
            by_uart(&host, Stream::Error, b"after");
            host.with(Host::work);
            let [output, error, _] = streams(&host.with(|host| host.read.clone()));
            assert_eq!(
                (output, error),
                (b"kept".repeat(4), b"beforeafter".to_vec())
            );
        }
    }

    #[test]
    fn a_crash_leaves_the_port_within_its_time() {
        let (mut line, host) = line();
        assert_eq!(line.write(0, Stream::Error, b"before"), Some(6));
        assert!(!line.finish(0) && line.finish(0));
        assert_eq!(host.with(|host| host.read.clone()), b"\x10Ebefore");
        assert_eq!(line.write(0, Stream::Error, b"x"), None);

        // The reader has gone: neither takes anything.
        let (mut line, host) = self::line();
        host.with(|host| host.is_paused = true);
        for _ in 0..BUFFERS {
            assert_eq!(line.write(5, Stream::Error, b"0123456789abc"), Some(13));
        }
        assert!(!line.finish(LIMIT + 4));
        assert!(!line.finish(LIMIT + 5));
        // The UART takes bytes for its FIFO.
        assert!(!line.finish(LIMIT + 6));
        assert!(!line.finish(2 * LIMIT + 5));
        assert!(line.finish(2 * LIMIT + 6));

        // The UART hasn't even begun.
        let host = Shared::default();
        host.with(|host| host.serial.push(b'x'));
        host.with(|host| host.is_paused = true);
        assert!(Line::new(host.clone(), host, LIMIT).finish(0));
    }

    proptest! {
        /// Each byte gets to its stream once, in the order of writes, however long the reader
        /// pauses, whenever the device gets stuck, and whenever the UART takes over.
        #[test]
        fn every_byte_gets_through_once_and_in_order(
            writes: Vec<(u8, Vec<u8>)>,
            pauses: Vec<(bool, u16)>,
            stuck_from in 0usize..400,
            end in 0usize..40,
        ) {
            let (mut line, host) = line();
            let (mut now, mut step) = (0, 0);
            let names = [Stream::Output, Stream::Error, Stream::Control];
            let mut expected = [const { Vec::new() }; 3];
            for (number, (name, bytes)) in writes.iter().enumerate() {
                let name = usize::from(name % 3);
                expected[name].extend_from_slice(bytes);
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let (is_paused, pause) = pauses.get(step).copied().unwrap_or((false, 50));
                    now += u64::from(pause);
                    host.with(|host| {
                        host.is_paused = is_paused;
                        host.is_stuck = step >= stuck_from;
                    });
                    if number == end {
                        host.with(|host| host.is_paused = false);
                        while !line.finish(now) {
                            now += 1;
                        }
                    }
                    step += 1;
                    let count = line.write(now, names[name], rest);
                    if count.is_none() {
                        by_uart(&host, names[name], rest);
                    }
                    rest = &rest[count.unwrap_or(rest.len())..];
                }
            }
            host.with(|host| host.is_paused = false);
            while !line.finish(now) {
                now += 1;
            }
            host.with(Host::work);
            prop_assert_eq!(streams(&host.with(|host| host.read.clone())), expected);
        }
    }
}
