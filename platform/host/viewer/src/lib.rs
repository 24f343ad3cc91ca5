//! The messages between a process with displays and its viewer, which shows them in windows or
//! keeps their pictures.
//!
//! They are datagrams of a Unix socket (`SOCK_SEQPACKET`) that the process inherits, each of 32-bit
//! words in little-endian order; the first word is the kind. First the viewer sends what there is:
//! [`Event::Display`] and [`Event::Device`] for each, then [`Event::Ready`]. A buffer is a memfd
//! (memfd_create(2)), sent along with [`Request::Buffer`] and sealed against shrinking. What a side
//! doesn't understand ends the connection.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;

/// The most displays, and the most devices.
pub const MAX_COUNT: u32 = 16;

/// Pixels of a cursor's image, 64 rows of 64.
pub const CURSOR_PIXELS: usize = 64 * 64;

/// Bytes of the longest message.
pub const LONGEST: usize = 4 * (CURSOR_PIXELS + 8);

/// A rectangle of pixels: column, row, width, height.
pub type Rectangle = [u32; 4];

/// What the process sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// There is a buffer; its memory comes along.
    Buffer {
        /// The display that it is for.
        display: u32,
        /// Its number, new for this display.
        buffer: u32,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Pixels from one row to the next.
        stride: u32,
    },
    /// A buffer isn't used any more.
    Release {
        /// See above.
        display: u32,
        /// See above.
        buffer: u32,
    },
    /// Show a buffer, and answer [`Event::Presented`] once it has been read.
    Present {
        /// See above.
        display: u32,
        /// See above.
        buffer: u32,
        /// Number of the frame.
        frame: u64,
        /// The rectangles that have changed, inside of the buffer.
        damage: Vec<Rectangle>,
    },
    /// Show nothing.
    Disable {
        /// See above.
        display: u32,
    },
    /// Set and show the cursor's image.
    Cursor {
        /// See above.
        display: u32,
        /// The pixel of it that points.
        hot_spot: (u32, u32),
        /// Its pixels, `0xAARRGGBB`.
        image: Vec<u32>,
    },
    /// Move the cursor.
    Move {
        /// See above.
        display: u32,
        /// Column.
        x: u32,
        /// Row.
        y: u32,
    },
    /// Hide the cursor.
    Hide {
        /// See above.
        display: u32,
    },
    /// Switch a light.
    Led {
        /// The keyboard.
        device: u32,
        /// The light, as in evdev.
        led: u32,
        /// Whether it is on.
        on: bool,
    },
}

/// A kind of input device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A keyboard with the keys of evdev and three lights.
    Keyboard,
    /// A pointer with positions from 0 to [`POINTER_RANGE`], five buttons and two wheels.
    Pointer,
}

/// The greatest position of a pointer.
pub const POINTER_RANGE: i32 = 32767;

/// What the viewer sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The state of a display, at first and after each change. The first time in the order of their
    /// numbers.
    Display {
        /// Its number, from 0.
        display: u32,
        /// Whether it is shown.
        connected: bool,
        /// Width that fits, in pixels.
        width: u32,
        /// Height that fits, in pixels.
        height: u32,
        /// Refresh rate in thousandths of a hertz, or 0.
        refresh_mhz: u32,
    },
    /// An input device, in the order of their numbers.
    Device {
        /// Its number, from 0.
        device: u32,
        /// What it is.
        kind: Kind,
    },
    /// These are all.
    Ready,
    /// The answer to [`Request::Present`].
    Presented {
        /// See there.
        display: u32,
        /// See there.
        frame: u64,
    },
    /// Events of a device that happened together: type, code and value of evdev, without the
    /// `SYN_REPORT` at their end.
    Input {
        /// The device.
        device: u32,
        /// Its events.
        events: Vec<(u16, u16, i32)>,
    },
}

/// The words of a message that are still to be read.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn next(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*word))
    }

    fn long(&mut self) -> Option<u64> {
        Some(u64::from(self.next()?) | u64::from(self.next()?) << 32)
    }

    fn array<const N: usize>(&mut self) -> Option<[u32; N]> {
        let mut words = [0; N];
        for word in &mut words {
            *word = self.next()?;
        }
        Some(words)
    }

    /// All that are left, in groups.
    fn rest<const N: usize, T>(&mut self, make: impl Fn([u32; N]) -> T) -> Option<Vec<T>> {
        let mut all = Vec::new();
        while !self.0.is_empty() {
            all.push(make(self.array()?));
        }
        Some(all)
    }
}

fn flag(word: u32) -> Option<bool> {
    match word {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn bytes(words: impl IntoIterator<Item = u32>) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

impl Request {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        match *self {
            Request::Buffer {
                display,
                buffer,
                width,
                height,
                stride,
            } => bytes([1, display, buffer, width, height, stride]),
            Request::Release { display, buffer } => bytes([2, display, buffer]),
            Request::Present {
                display,
                buffer,
                frame,
                ref damage,
            } => {
                let [low, high] = halves(frame);
                let head = [3, display, buffer, low, high];
                bytes(head.into_iter().chain(damage.iter().flatten().copied()))
            }
            Request::Disable { display } => bytes([4, display]),
            Request::Cursor {
                display,
                hot_spot: (x, y),
                ref image,
            } => bytes([5, display, x, y].into_iter().chain(image.iter().copied())),
            Request::Move { display, x, y } => bytes([6, display, x, y]),
            Request::Hide { display } => bytes([7, display]),
            Request::Led { device, led, on } => bytes([8, device, led, on.into()]),
        }
    }

    /// The request of these bytes, if they are one.
    pub fn decode(bytes: &[u8]) -> Option<Request> {
        let mut words = Words(bytes);
        let kind = words.next()?;
        let first = words.next()?;
        let request = match kind {
            1 => {
                let [buffer, width, height, stride] = words.array()?;
                Request::Buffer {
                    display: first,
                    buffer,
                    width,
                    height,
                    stride,
                }
            }
            2 => Request::Release {
                display: first,
                buffer: words.next()?,
            },
            3 => Request::Present {
                display: first,
                buffer: words.next()?,
                frame: words.long()?,
                damage: words.rest(|rectangle| rectangle)?,
            },
            4 => Request::Disable { display: first },
            5 => Request::Cursor {
                display: first,
                hot_spot: (words.next()?, words.next()?),
                image: words.rest(|[pixel]| pixel)?,
            },
            6 => Request::Move {
                display: first,
                x: words.next()?,
                y: words.next()?,
            },
            7 => Request::Hide { display: first },
            8 => Request::Led {
                device: first,
                led: words.next()?,
                on: flag(words.next()?)?,
            },
            _ => return None,
        };
        words.0.is_empty().then_some(request)
    }
}

impl Event {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        match *self {
            Event::Display {
                display,
                connected,
                width,
                height,
                refresh_mhz,
            } => bytes([1, display, connected.into(), width, height, refresh_mhz]),
            Event::Device { device, kind } => bytes([2, device, kind as u32]),
            Event::Ready => bytes([3]),
            Event::Presented { display, frame } => {
                let [low, high] = halves(frame);
                bytes([4, display, low, high])
            }
            Event::Input { device, ref events } => {
                let events = events.iter().flat_map(|(kind, code, value)| {
                    [
                        u32::from(*kind) << 16 | u32::from(*code),
                        value.cast_unsigned(),
                    ]
                });
                bytes([5, device].into_iter().chain(events))
            }
        }
    }

    /// The event of these bytes, if they are one.
    pub fn decode(bytes: &[u8]) -> Option<Event> {
        let mut words = Words(bytes);
        let event = match words.next()? {
            1 => {
                let [display, connected, width, height, refresh_mhz] = words.array()?;
                Event::Display {
                    display,
                    connected: flag(connected)?,
                    width,
                    height,
                    refresh_mhz,
                }
            }
            2 => Event::Device {
                device: words.next()?,
                kind: match words.next()? {
                    0 => Kind::Keyboard,
                    1 => Kind::Pointer,
                    _ => return None,
                },
            },
            3 => Event::Ready,
            4 => Event::Presented {
                display: words.next()?,
                frame: words.long()?,
            },
            5 => Event::Input {
                device: words.next()?,
                events: words.rest(|[what, value]| {
                    ((what >> 16) as u16, what as u16, value.cast_signed())
                })?,
            },
            _ => return None,
        };
        words.0.is_empty().then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::{CURSOR_PIXELS, Event, Kind, LONGEST, Request};
    use alloc::vec;

    #[test]
    fn a_request_is_decoded_as_it_was_made() {
        let (display, buffer, frame) = (2, 7, (9 << 32) + 1);
        let all = [
            Request::Buffer {
                display,
                buffer,
                width: 640,
                height: 480,
                stride: 656,
            },
            Request::Release { display, buffer },
            Request::Present {
                display,
                buffer,
                frame,
                damage: vec![[1, 2, 3, 4], [5, 6, 7, 8]],
            },
            Request::Disable { display },
            Request::Cursor {
                display,
                hot_spot: (3, 4),
                image: vec![0x8012_3456; CURSOR_PIXELS],
            },
            Request::Move {
                display,
                x: 5,
                y: 6,
            },
            Request::Hide { display },
            Request::Led {
                device: 1,
                led: 2,
                on: true,
            },
        ];
        for request in all {
            let bytes = request.encode();
            assert!(bytes.len() <= LONGEST, "{request:?}");
            assert_eq!(Request::decode(&bytes).as_ref(), Some(&request));
            for len in 0..bytes.len().min(40) {
                assert_ne!(Request::decode(&bytes[..len]).as_ref(), Some(&request));
            }
            assert_eq!(Request::decode(&[&bytes[..], &[0]].concat()), None);
        }
    }

    #[test]
    fn an_event_is_decoded_as_it_was_made() {
        let all = [
            Event::Display {
                display: 1,
                connected: true,
                width: 800,
                height: 600,
                refresh_mhz: 60_000,
            },
            Event::Device {
                device: 3,
                kind: Kind::Pointer,
            },
            Event::Ready,
            Event::Presented {
                display: 1,
                frame: u64::MAX - 1,
            },
            Event::Input {
                device: 0,
                events: vec![(1, 30, 1), (2, 8, -1), (3, 0, 32767)],
            },
        ];
        for event in all {
            let bytes = event.encode();
            assert_eq!(Event::decode(&bytes).as_ref(), Some(&event));
            assert_eq!(Event::decode(&[&bytes[..], &[1]].concat()), None);
        }
    }

    #[test]
    fn other_bytes_are_no_message() {
        for bytes in [&[][..], &[1], &[9, 0, 0, 0, 0, 0, 0, 0], &[255; 64]] {
            assert_eq!(Request::decode(bytes), None);
            assert_eq!(Event::decode(bytes), None);
        }
        // A truth of 2, an unknown kind of device.
        let odd = |words: &[u32]| {
            words
                .iter()
                .flat_map(|w| w.to_le_bytes())
                .collect::<vec::Vec<_>>()
        };
        assert_eq!(Request::decode(&odd(&[8, 0, 1, 2])), None);
        assert_eq!(Event::decode(&odd(&[2, 0, 2])), None);
    }
}
