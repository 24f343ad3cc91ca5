//! The server's end of RFB, VNC's protocol (RFC 6143), for the displays of a process: versions 3.3
//! to 3.8, without a password, with raw pixels. From the community's extensions it has QEMU's key
//! codes, more than seven buttons, the requests and changes of a size, and cursors.
//!
//! A [`Session`] is the state of one client. It neither reads nor writes a socket, and a client can
//! make it keep no more than [`MAX_OUTPUT`] bytes.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod keys;
mod picture;

pub use keys::KEYS;
pub use picture::{CURSOR_SIDE, Cursor, Picture};

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::mem;
use device_types::display::Rectangle;
use picture::Format;

/// The maximum position of a pointer.
pub const POINTER_RANGE: i32 = 32767;

/// Bytes of pixels that are encoded at a time, unless a single row has more.
const CHUNK: usize = 64 << 10;

/// Maximum number of bytes of [`Session::output`] for pictures of up to 8192 pixels in a row.
pub const MAX_OUTPUT: usize = CHUNK + 32 * 1024;

/// Encodings that a client may accept (RFC 6143, 7.7 and 7.8; the community's registry).
mod encoding {
    pub const RAW: i32 = 0;
    pub const SIZE: i32 = -223;
    pub const CURSOR: i32 = -239;
    pub const KEY_CODES: i32 = -258;
    pub const EXTENDED_SIZE: i32 = -308;
    pub const ALPHA_CURSOR: i32 = -314;
    pub const BUTTONS: i32 = -316;
    /// Those that change the messages of the server.
    pub const KNOWN: [i32; 6] = [
        SIZE,
        CURSOR,
        KEY_CODES,
        EXTENDED_SIZE,
        ALPHA_CURSOR,
        BUTTONS,
    ];
}

/// The client broke the protocol, or requested a feature that this server lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// An event from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A key, by its code in Linux's `input-event-codes.h`. A press follows a release.
    Key {
        /// Its code, in [`KEYS`].
        code: u16,
        /// Whether it is pressed.
        down: bool,
    },
    /// The pointer.
    Pointer {
        /// Column and row, from 0 to [`POINTER_RANGE`].
        at: (i32, i32),
        /// Pressed buttons: left, middle, right, wheel up, down, left, right, back, forward from
        /// the lowest bit on.
        buttons: u16,
    },
    /// The client wants a display of this size.
    Size {
        /// Width in pixels.
        width: u16,
        /// Height in pixels.
        height: u16,
    },
    /// The client is ready for the next update.
    Request,
}

/// What a session expects next from its client.
#[derive(Clone, Copy, Debug)]
enum Next {
    Version,
    /// The selected security type; whether the result follows (3.8).
    Security {
        result: bool,
    },
    Init,
    Message,
    /// This many encodings.
    Encodings(u16),
}

/// The rest of an update.
struct Update {
    part: Rectangle,
    /// Rows of its rectangles.
    rows: u32,
    /// The client may select another format meanwhile, for later updates.
    format: Format,
}

/// The state of a client.
pub struct Session {
    next: Next,
    /// The beginning of a message.
    partial: Vec<u8>,
    /// Bytes of a message that are skipped.
    skipped: u32,
    name: Vec<u8>,
    output: Vec<u8>,
    format: Format,
    /// Known encodings that the client accepts.
    accepted: BTreeSet<i32>,
    /// Pseudo-encodings that the next update sends.
    announced: BTreeSet<i32>,
    /// Whether the display has had a cursor: without one a client shows its own.
    has_cursor: bool,
    /// Whether the client asked for a size since the last announcement.
    asked_for_size: bool,
    /// Size of the picture in the client.
    size: (u16, u16),
    /// Whether the client has requested an update.
    requested: bool,
    /// What the client hasn't been sent.
    damage: Option<Rectangle>,
    /// The update that is being sent.
    update: Option<Update>,
    held: BTreeSet<u16>,
    pointer: ((i32, i32), u16),
}

impl Session {
    /// Begins a session on a display with this name and size.
    pub fn new(name: &[u8], size: (u32, u32)) -> Self {
        Session {
            next: Next::Version,
            partial: Vec::new(),
            skipped: 0,
            name: name.iter().take(255).copied().collect(),
            output: b"RFB 003.008\n".to_vec(),
            format: Format::NATIVE,
            accepted: BTreeSet::new(),
            announced: BTreeSet::new(),
            has_cursor: false,
            asked_for_size: false,
            size: (size.0 as u16, size.1 as u16),
            requested: false,
            damage: None,
            update: None,
            held: BTreeSet::new(),
            pointer: ((0, 0), 0),
        }
    }

    /// Handles received bytes and reports the client's events.
    ///
    /// # Errors
    /// [`Invalid`]: the caller has to close the connection.
    pub fn receive(
        &mut self,
        mut bytes: &[u8],
        report: &mut dyn FnMut(Input),
    ) -> Result<(), Invalid> {
        loop {
            let skipped = bytes.len().min(self.skipped as usize);
            self.skipped -= skipped as u32;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let missing = self.length()? - self.partial.len();
            if missing == 0 {
                let message = mem::take(&mut self.partial);
                self.handle(&message, report)?;
                continue;
            }
            if bytes.is_empty() {
                return Ok(());
            }
            let (now, later) = bytes.split_at(missing.min(bytes.len()));
            self.partial.extend_from_slice(now);
            bytes = later;
        }
    }

    /// The length of the next message without the part that is skipped, as far as its beginning
    /// shows it: more than that beginning, or all of it.
    fn length(&self) -> Result<usize, Invalid> {
        Ok(match (self.next, self.partial.as_slice()) {
            (Next::Version, _) => 12,
            (Next::Security { .. } | Next::Init, _) => 1,
            (Next::Encodings(_), _) => 4,
            (Next::Message, []) => 1,
            (Next::Message, [0, ..]) => 20,
            (Next::Message, [2, ..]) => 4,
            (Next::Message, [3, ..]) => 10,
            (Next::Message, [4 | 6 | 251, ..]) => 8,
            (Next::Message, [5]) => 2,
            (Next::Message, [5, buttons, ..]) if self.has_more_buttons(*buttons) => 7,
            (Next::Message, [5, ..]) => 6,
            (Next::Message, [255, ..]) => 12,
            (Next::Message, _) => return Err(Invalid),
        })
    }

    fn has_more_buttons(&self, buttons: u8) -> bool {
        buttons & 0x80 != 0 && self.accepted.contains(&encoding::BUTTONS)
    }

    /// Handles a whole message.
    fn handle(&mut self, message: &[u8], report: &mut dyn FnMut(Input)) -> Result<(), Invalid> {
        match (self.next, message) {
            (Next::Version, b"RFB 003.008\n" | b"RFB 003.007\n") => {
                self.output.extend([1, 1]);
                let result = message == b"RFB 003.008\n";
                self.next = Next::Security { result };
            }
            // All other versions count as 3.3 (RFC 6143, 7.1.1).
            (Next::Version, [b'R', b'F', b'B', b' ', b'0', b'0', b'3', b'.', ..]) => {
                self.output.extend([0, 0, 0, 1]);
                self.next = Next::Init;
            }
            (Next::Security { result }, [1]) => {
                self.output
                    .extend_from_slice(if result { &[0; 4] } else { &[] });
                self.next = Next::Init;
            }
            // Clients always share the display.
            (Next::Init, _) => {
                let (width, height) = self.size;
                self.output.extend(width.to_be_bytes());
                self.output.extend(height.to_be_bytes());
                self.output.extend(Format::NATIVE_BYTES);
                self.output.extend((self.name.len() as u32).to_be_bytes());
                self.output.append(&mut self.name);
                self.next = Next::Message;
            }
            (Next::Encodings(left), &[a, b, c, d]) => {
                let accepted = i32::from_be_bytes([a, b, c, d]);
                if encoding::KNOWN.contains(&accepted) {
                    self.accepted.insert(accepted);
                }
                self.expect_encodings(left - 1);
            }
            (Next::Message, [0, _, _, _, format @ ..]) => {
                self.format = Format::parse(format).ok_or(Invalid)?;
            }
            (Next::Message, &[2, _, high, low]) => {
                self.accepted.clear();
                self.announced.clear();
                self.expect_encodings(u16::from_be_bytes([high, low]));
            }
            (Next::Message, [3, incremental, rest @ ..]) => {
                let (words, _) = rest.as_chunks();
                let mut words = words
                    .iter()
                    .map(|word| u32::from(u16::from_be_bytes(*word)));
                let mut word = || words.next().unwrap_or(0);
                let (x, y, width, height) = (word(), word(), word(), word());
                if *incremental == 0 {
                    self.damage(Rectangle {
                        x,
                        y,
                        width,
                        height,
                    });
                }
                self.requested = true;
                report(Input::Request);
            }
            (Next::Message, &[4, down, _, _, a, b, c, d]) => {
                let symbol = u32::from_be_bytes([a, b, c, d]);
                self.key(keys::of_symbol(symbol), down != 0, report);
            }
            (Next::Message, &[5, low, x1, x2, y1, y2, ref more @ ..]) => {
                let buttons = match more {
                    [high] => u16::from(low & 0x7f) | u16::from(*high) << 7,
                    _ => u16::from(low),
                };
                let share = |at: u16, side: u16| {
                    let last = i64::from(side.max(2)) - 1;
                    let at = i64::from(at).min(last);
                    ((at * i64::from(POINTER_RANGE) + last / 2) / last) as i32
                };
                let x = share(u16::from_be_bytes([x1, x2]), self.size.0);
                let y = share(u16::from_be_bytes([y1, y2]), self.size.1);
                self.pointer = ((x, y), buttons);
                report(Input::Pointer {
                    at: (x, y),
                    buttons,
                });
            }
            // The clipboard.
            (Next::Message, &[6, _, _, _, a, b, c, d]) => {
                self.skipped = u32::from_be_bytes([a, b, c, d]);
            }
            // SetDesktopSize; the number of screens, of 16 bytes each, precedes the last byte.
            (Next::Message, &[251, _, w1, w2, h1, h2, screens, _]) => {
                self.skipped = 16 * u32::from(screens);
                let width = u16::from_be_bytes([w1, w2]);
                let height = u16::from_be_bytes([h1, h2]);
                self.asked_for_size = true;
                self.announce(encoding::EXTENDED_SIZE);
                report(Input::Size { width, height });
            }
            (Next::Message, &[255, 0, d1, d2, s1, s2, s3, s4, k1, k2, k3, k4]) => {
                let code = keys::of_scan_code(u32::from_be_bytes([k1, k2, k3, k4]));
                let symbol = u32::from_be_bytes([s1, s2, s3, s4]);
                let code = code.or_else(|| keys::of_symbol(symbol));
                self.key(code, [d1, d2] != [0, 0], report);
            }
            _ => return Err(Invalid),
        }
        Ok(())
    }

    fn expect_encodings(&mut self, left: u16) {
        self.next = Next::Encodings(left);
        if left == 0 {
            self.next = Next::Message;
            for accepted in [
                encoding::KEY_CODES,
                encoding::BUTTONS,
                encoding::EXTENDED_SIZE,
            ] {
                self.announce(accepted);
            }
            if self.has_cursor {
                self.cursor_changed();
            }
        }
    }

    /// Lets the next update send this pseudo-encoding, if the client accepts it.
    fn announce(&mut self, encoding: i32) -> bool {
        let accepted = self.accepted.contains(&encoding);
        if accepted {
            self.announced.insert(encoding);
        }
        accepted
    }

    /// Reports a key's change. Clients repeat presses.
    fn key(&mut self, code: Option<u16>, down: bool, report: &mut dyn FnMut(Input)) {
        let Some(code) = code else { return };
        let changed = match down {
            true => self.held.insert(code),
            false => self.held.remove(&code),
        };
        if changed {
            report(Input::Key { code, down });
        }
    }

    /// Releases all keys and buttons, at the end of the session.
    pub fn release(&mut self, report: &mut dyn FnMut(Input)) {
        for code in mem::take(&mut self.held) {
            report(Input::Key { code, down: false });
        }
        let (at, buttons) = mem::take(&mut self.pointer);
        if buttons != 0 {
            report(Input::Pointer { at, buttons: 0 });
        }
    }

    /// Records that a part of the picture has changed.
    pub fn damage(&mut self, part: Rectangle) {
        self.damage = Some(self.damage.map_or(part, |damage| damage.union(part)));
    }

    /// Records that the cursor has changed.
    pub fn cursor_changed(&mut self) {
        self.has_cursor = true;
        _ = self.announce(encoding::ALPHA_CURSOR) || self.announce(encoding::CURSOR);
    }

    /// Whether the client has been sent the whole picture.
    pub fn is_current(&self) -> bool {
        self.damage.is_none() && !self.is_sending()
    }

    /// Whether a part of an update isn't sent.
    pub fn is_sending(&self) -> bool {
        self.update.is_some() || !self.output.is_empty()
    }

    /// Encodes the next part of an update, once the last one was taken, if the client has requested
    /// it. A picture of another size is cut, or gets black borders, unless the client can change
    /// its size. Returns the bytes to be sent.
    pub fn output(&mut self, picture: &Picture, cursor: Option<&Cursor>) -> &[u8] {
        if self.output.is_empty() {
            if self.update.is_none() && self.requested && matches!(self.next, Next::Message) {
                self.begin_update(picture, cursor);
            }
            if let Some(Update { part, rows, format }) = self.update.take() {
                let height = rows.min(part.height);
                let now = Rectangle { height, ..part };
                self.rectangle(now, encoding::RAW);
                picture.encode(now, format, &mut self.output);
                let (y, height) = (part.y + height, part.height - height);
                let part = Rectangle { y, height, ..part };
                self.update = (height > 0).then_some(Update { part, rows, format });
            }
        }
        &self.output
    }

    /// Removes bytes that were sent.
    pub fn sent(&mut self, bytes: usize) {
        self.output.drain(..bytes.min(self.output.len()));
    }

    fn begin_update(&mut self, picture: &Picture, cursor: Option<&Cursor>) {
        let size = (picture.width() as u16, picture.height() as u16);
        if self.size != size
            && (self.announce(encoding::EXTENDED_SIZE) || self.announce(encoding::SIZE))
        {
            self.size = size;
        }
        let announced = mem::take(&mut self.announced);
        if !announced.is_empty() {
            self.head(announced.len() as u16);
            // A change of the size comes last, as RFC 6143, 7.8.2 wants it.
            let is_size = |of: &i32| [encoding::SIZE, encoding::EXTENDED_SIZE].contains(of);
            let others = announced.iter().filter(|of| !is_size(of));
            for of in others.chain(announced.iter().filter(|of| is_size(of))) {
                self.announcement(*of, cursor);
            }
            self.requested = false;
        }
        let (width, height) = self.size;
        let damage = self.damage.take();
        let damage = damage.and_then(|part| part.clipped(width.into(), height.into()));
        if let Some(part) = damage {
            let format = self.format;
            let rows = (CHUNK / (part.width as usize * format.bytes())).max(1) as u32;
            self.head(part.height.div_ceil(rows) as u16);
            self.update = Some(Update { part, rows, format });
            self.requested = false;
        }
    }

    /// The head of an update.
    fn head(&mut self, rectangles: u16) {
        self.output.extend([0, 0]);
        self.output.extend(rectangles.to_be_bytes());
    }

    /// The head of a rectangle.
    fn rectangle(&mut self, of: Rectangle, encoding: i32) {
        for side in [of.x, of.y, of.width, of.height] {
            self.output.extend((side as u16).to_be_bytes());
        }
        self.output.extend(encoding.to_be_bytes());
    }

    fn announcement(&mut self, of: i32, cursor: Option<&Cursor>) {
        let (width, height) = (self.size.0.into(), self.size.1.into());
        match of {
            encoding::EXTENDED_SIZE => {
                // A client's request is forwarded to the program (status 4): it changes the size by
                // presenting a picture.
                let asked = mem::take(&mut self.asked_for_size);
                let (x, y) = if asked { (1, 4) } else { (0, 0) };
                self.rectangle(
                    Rectangle {
                        x,
                        y,
                        width,
                        height,
                    },
                    of,
                );
                // One screen, which has the number 0.
                self.output.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                self.output.extend(self.size.0.to_be_bytes());
                self.output.extend(self.size.1.to_be_bytes());
                self.output.extend([0; 4]);
            }
            encoding::CURSOR | encoding::ALPHA_CURSOR => {
                let side = if cursor.is_some() {
                    CURSOR_SIDE as u32
                } else {
                    0
                };
                let (x, y) = cursor.map_or((0, 0), |cursor| cursor.hot_spot);
                self.rectangle(
                    Rectangle {
                        x,
                        y,
                        width: side,
                        height: side,
                    },
                    of,
                );
                if of == encoding::ALPHA_CURSOR {
                    self.output.extend(encoding::RAW.to_be_bytes());
                    cursor.inspect(|cursor| cursor.encode_alpha(&mut self.output));
                } else {
                    cursor.inspect(|cursor| cursor.encode(self.format, &mut self.output));
                }
            }
            _ => self.rectangle(Rectangle::of(width, height), of),
        }
    }
}

#[cfg(test)]
mod tests;
