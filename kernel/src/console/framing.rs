//! The framing of the serial line to `soil run`.
//!
//! [`MARK`] is an escape byte, doubled for itself; towards the machine it precedes [`END`] (of the
//! input; a terminal's input continues after it) and [`REPORT`] (Ctrl-T was typed); towards `soil
//! run` a [`Stream`], which the following bytes belong to, standard output at first. Lines of the
//! control channel are a stream of their own where the machine has no debug port for them
//! (Firecracker, Cloud Hypervisor).

use core::sync::atomic::{AtomicU8, Ordering};

/// Precedes a byte with a special meaning, and itself.
pub const MARK: u8 = 0x10;
/// Ctrl-D: the end of input.
pub const END: u8 = 4;
/// Ctrl-T: a status request, as in BSD.
pub const REPORT: u8 = 0x14;

/// The stream of output bytes. The value identifies it to `soil run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stream {
    /// Standard output.
    Output = b'O',
    /// Error output.
    Error = b'E',
    /// Messages to `soil run`.
    Control = b'C',
}

/// Sends as many of `bytes` as fit into a transmitter with `room`, which is at least 4; returns how
/// many. If `framed`, `current` is the stream of the last byte sent.
pub fn transmit(
    framed: bool,
    current: &AtomicU8,
    stream: Stream,
    bytes: &[u8],
    mut room: usize,
    mut send: impl FnMut(u8),
) -> usize {
    let mut send = |byte| {
        send(byte);
        room -= 1;
        room
    };
    if framed && current.swap(stream as u8, Ordering::Relaxed) != stream as u8 {
        send(MARK);
        send(stream as u8);
    }
    let mut count = 0;
    for byte in bytes {
        if framed && *byte == MARK {
            send(MARK);
        }
        count += 1;
        // A byte may become two.
        if send(*byte) < 2 {
            break;
        }
    }
    count
}

#[cfg(test)]
pub(super) mod tests {
    use super::{MARK, Stream, transmit};
    use core::sync::atomic::AtomicU8;
    use proptest::prelude::*;

    const STREAMS: [Stream; 3] = [Stream::Output, Stream::Error, Stream::Control];

    /// The bytes on the line after `writes` through a transmitter with `room`.
    fn line(writes: &[(Stream, &[u8])], room: usize) -> Vec<u8> {
        let current = AtomicU8::new(Stream::Output as u8);
        let mut line = Vec::new();
        for (stream, bytes) in writes {
            let mut rest = *bytes;
            while !rest.is_empty() {
                let before = line.len();
                let count = transmit(true, &current, *stream, rest, room, |byte| line.push(byte));
                assert!(count > 0 && line.len() - before <= room);
                rest = &rest[count..];
            }
        }
        line
    }

    /// The bytes of each stream, as `soil run` reads the line.
    pub fn streams(line: &[u8]) -> [Vec<u8>; 3] {
        let mut found = [const { Vec::new() }; 3];
        let (mut current, mut bytes) = (0, line.iter());
        while let Some(byte) = bytes.next() {
            match byte {
                &MARK => match bytes.next().expect("a mark has a second byte") {
                    &MARK => found[current].push(MARK),
                    stream => current = STREAMS.iter().position(|s| *s as u8 == *stream).unwrap(),
                },
                byte => found[current].push(*byte),
            }
        }
        found
    }

    #[test]
    fn a_change_of_stream_is_marked_once() {
        let writes: [(Stream, &[u8]); 4] = [
            (Stream::Output, b"a"),
            (Stream::Error, b"b"),
            (Stream::Error, b"c"),
            (Stream::Output, b"d"),
        ];
        assert_eq!(line(&writes, 16), b"a\x10Ebc\x10Od");
    }

    #[test]
    fn without_frames_bytes_are_sent_as_they_are() {
        let (current, mut line) = (AtomicU8::new(Stream::Output as u8), Vec::new());
        let bytes = b"\x10a\x10b";
        let count = transmit(false, &current, Stream::Error, bytes, 16, |byte| {
            line.push(byte)
        });
        assert_eq!((count, &line[..]), (4, &bytes[..]));
    }

    #[test]
    fn the_mark_itself_is_doubled() {
        assert_eq!(line(&[(Stream::Output, b"\x10E")], 16), b"\x10\x10E");
    }

    proptest! {
        #[test]
        fn every_byte_gets_through(
            writes: Vec<(u8, Vec<u8>)>,
            room in 4usize..20,
        ) {
            let stream = |number: u8| STREAMS[usize::from(number % 3)];
            let framed: Vec<(Stream, &[u8])> =
                writes.iter().map(|(number, bytes)| (stream(*number), &bytes[..])).collect();
            let of = |wanted| -> Vec<u8> {
                let written = framed.iter().filter(|(stream, _)| *stream == wanted);
                written.flat_map(|(_, bytes)| bytes.to_vec()).collect()
            };
            prop_assert_eq!(streams(&line(&framed, room)), STREAMS.map(of));
        }
    }
}
