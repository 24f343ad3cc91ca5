//! The messages between a process with displays and its viewer, which shows them in windows or
//! keeps their pictures, and the constants that both share.
//!
//! They are datagrams of a Unix socket (`SOCK_SEQPACKET`) that the process inherits, each of 32-bit
//! words in little-endian order; the first word is the kind. First the viewer announces its
//! devices: [`Event::Display`] and [`Event::Device`] for each, then [`Event::Ready`]. A buffer is a
//! memfd (memfd_create(2)), sent along with [`Request::Buffer`] and sealed against shrinking. An
//! unknown message ends the connection.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// Maximum number of displays.
pub const MAX_DISPLAYS: u32 = 16;

/// Maximum number of input devices: a keyboard, and a pointer for each display.
pub const MAX_DEVICES: u32 = 1 + MAX_DISPLAYS;

/// Maximum number of buffers of a process at a time, over all its displays. Each is a descriptor at
/// both ends, of which a process may have 1024 by default.
pub const MAX_BUFFERS: usize = 512;

/// Minimum and maximum width or height of a buffer, in pixels.
pub const BUFFER_SIDE: RangeInclusive<u32> = 16..=8192;

/// Maximum number of presented frames of a display without a response.
pub const MAX_PRESENTS: usize = 2;

/// Width and height of a cursor's image, in pixels.
pub const CURSOR_SIZE: usize = 64;

/// Pixels of a cursor's image.
pub const CURSOR_PIXELS: usize = CURSOR_SIZE * CURSOR_SIZE;

/// Bytes of the longest message.
pub const MAX_MESSAGE: usize = 4 * (CURSOR_PIXELS + 8);

/// Types and codes of events, those of Linux's `input-event-codes.h`.
pub mod evdev {
    use core::ops::RangeInclusive;

    /// `EV_SYN`.
    pub const SYN: u16 = 0;
    /// `EV_KEY`.
    pub const KEY: u16 = 1;
    /// `EV_REL`.
    pub const REL: u16 = 2;
    /// `EV_ABS`.
    pub const ABS: u16 = 3;
    /// `SYN_DROPPED`.
    pub const SYN_DROPPED: u16 = 3;
    /// Keys of a keyboard, from `KEY_ESC` to `KEY_MICMUTE`.
    pub const KEYS: RangeInclusive<u16> = 1..=248;
    /// Buttons of a pointer: `BTN_LEFT`, `BTN_RIGHT`, `BTN_MIDDLE`, `BTN_SIDE`, `BTN_EXTRA`.
    pub const BUTTONS: [u16; 5] = [0x110, 0x111, 0x112, 0x113, 0x114];
    /// Wheels of a pointer: `REL_HWHEEL`, `REL_WHEEL`.
    pub const WHEELS: [u16; 2] = [6, 8];
    /// Axes of a pointer: `ABS_X`, `ABS_Y`.
    pub const AXES: [u16; 2] = [0, 1];
}

/// A rectangle of pixels: column, row, width, height.
pub type Rectangle = [u32; 4];

/// Requests of the process. A display is identified by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A new buffer; its memory is sent along.
    Buffer {
        /// Number of the display that it is for.
        display: u32,
        /// Number of the buffer, which this display has not used before.
        buffer: u32,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Pixels from the beginning of a row to that of the next.
        stride: u32,
    },
    /// A buffer isn't used any more.
    Release {
        /// Number of its display.
        display: u32,
        /// Number of the buffer.
        buffer: u32,
    },
    /// Show a buffer, and send [`Event::Presented`] once it has been read.
    Present {
        /// Number of the display that is to show it.
        display: u32,
        /// Number of the buffer, one of this display's.
        buffer: u32,
        /// Number of the frame, which the event repeats.
        frame: u64,
        /// The changed rectangles, inside the buffer.
        damage: Vec<Rectangle>,
    },
    /// Show nothing.
    Disable {
        /// Number of the display.
        display: u32,
    },
    /// Set and show the cursor's image.
    Cursor {
        /// Number of the display.
        display: u32,
        /// Column and row of its hot spot.
        hot_spot: (u32, u32),
        /// Its [`CURSOR_PIXELS`] pixels row by row, `0xAARRGGBB`.
        image: Vec<u32>,
    },
    /// Move the cursor.
    Move {
        /// Number of the display.
        display: u32,
        /// Column of the hot spot in the picture.
        x: u32,
        /// Row of the hot spot.
        y: u32,
    },
    /// Hide the cursor.
    Hide {
        /// Number of the display.
        display: u32,
    },
}

/// A kind of input device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A keyboard with [`evdev::KEYS`], for all displays.
    Keyboard,
    /// A pointer with positions from 0 to [`POINTER_RANGE`], five buttons and two wheels.
    Pointer {
        /// Number of the display that it is over.
        display: u32,
    },
}

/// The maximum position of a pointer.
pub const POINTER_RANGE: i32 = 32767;

/// Events from the viewer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A display, which exists until the viewer ends. Sent initially, in the order of their
    /// numbers, and after each change of its size.
    Display {
        /// Its number, from 0.
        display: u32,
        /// Fitting width, in pixels.
        width: u32,
        /// Fitting height, in pixels.
        height: u32,
    },
    /// An input device, in the order of their numbers.
    Device {
        /// Its number, from 0.
        device: u32,
        /// Its kind.
        kind: Kind,
    },
    /// All devices have been announced.
    Ready,
    /// Completion of [`Request::Present`].
    Presented {
        /// Number of the display.
        display: u32,
        /// Number of the frame.
        frame: u64,
    },
    /// Simultaneous events of a device: type, code and value of evdev, without the final
    /// `SYN_REPORT`.
    Input {
        /// Number of the device.
        device: u32,
        /// Its events.
        events: Vec<(u16, u16, i32)>,
    },
}

/// The unread words of a message.
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

    /// All remaining words, in groups.
    fn rest<const N: usize, T>(&mut self, make: impl Fn([u32; N]) -> T) -> Option<Vec<T>> {
        let mut all = Vec::new();
        while !self.0.is_empty() {
            all.push(make(self.array()?));
        }
        Some(all)
    }
}

fn bytes(words: impl IntoIterator<Item = u32>) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

impl Request {
    /// Encodes it.
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
        }
    }

    /// Decodes a request; `None` if it is invalid.
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
            _ => return None,
        };
        words.0.is_empty().then_some(request)
    }
}

impl Event {
    /// Encodes it.
    pub fn encode(&self) -> Vec<u8> {
        match *self {
            Event::Display {
                display,
                width,
                height,
            } => bytes([1, display, width, height]),
            Event::Device { device, kind } => match kind {
                Kind::Keyboard => bytes([2, device, 0]),
                Kind::Pointer { display } => bytes([2, device, 1, display]),
            },
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

    /// Decodes an event; `None` if it is invalid.
    pub fn decode(bytes: &[u8]) -> Option<Event> {
        let mut words = Words(bytes);
        let event = match words.next()? {
            1 => {
                let [display, width, height] = words.array()?;
                Event::Display {
                    display,
                    width,
                    height,
                }
            }
            2 => Event::Device {
                device: words.next()?,
                kind: match words.next()? {
                    0 => Kind::Keyboard,
                    1 => Kind::Pointer {
                        display: words.next()?,
                    },
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
    use super::{CURSOR_PIXELS, Event, Kind, MAX_MESSAGE, Request};
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
        ];
        for request in all {
            let bytes = request.encode();
            assert!(bytes.len() <= MAX_MESSAGE, "{request:?}");
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
                width: 800,
                height: 600,
            },
            Event::Device {
                device: 0,
                kind: Kind::Keyboard,
            },
            Event::Device {
                device: 3,
                kind: Kind::Pointer { display: 2 },
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
        // An unknown kind of device.
        let odd = |words: &[u32]| {
            words
                .iter()
                .flat_map(|w| w.to_le_bytes())
                .collect::<vec::Vec<_>>()
        };
        assert_eq!(Event::decode(&odd(&[2, 0, 2])), None);
    }
}
