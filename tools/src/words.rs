//! The machine's command line: encodes environment and arguments as words that pass unchanged
//! through QEMU and the kernel's parser.
//!
//! Words before `--` are `NAME=value`, those after it are the program's arguments. A word of safe
//! characters is written as is; any other is in double quotes with `\"`, `\\`, `\n` and `\xNN` (one
//! byte in two hexadecimal digits). The result is printable ASCII.

use std::fmt::Write as _;

/// The longest command line that the kernel reads, in bytes, less QEMU's additions
/// (`virtio_mmio.device=…` words).
pub const LIMIT: usize = (64 << 10) - 2048;

/// The prefix of QEMU's and Firecracker's device words: the kernel treats unquoted ones as devices
/// at any position.
const DEVICE_WORD: &[u8] = b"virtio_mmio.device=";

/// Appends one encoded word to `line`.
fn push(line: &mut String, word: &[u8]) {
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"_./:=,@%+-".contains(byte);
    if !word.is_empty()
        && word.iter().all(harmless)
        && word != b"--"
        && !word.starts_with(DEVICE_WORD)
    {
        line.extend(word.iter().map(|byte| char::from(*byte)));
        return;
    }
    line.push('"');
    let mut previous = None;
    for byte in word {
        match byte {
            b'"' => line.push_str("\\\""),
            b'\\' => line.push_str("\\\\"),
            b'\n' => line.push_str("\\n"),
            // Firecracker adds its devices in front of the first ` -- `, quoted or not.
            b'-' if previous == Some(b' ') => line.push_str("\\x2d"),
            b' '..=b'~' => line.push(char::from(*byte)),
            // Writing to a String can't fail.
            _ => drop(write!(line, "\\x{byte:02x}")),
        }
        previous = Some(*byte);
    }
    line.push('"');
}

/// Returns the words of these variables (`NAME=value`, already joined) and arguments.
pub fn words<'a>(
    variables: impl IntoIterator<Item = &'a [u8]>,
    arguments: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<String> {
    let word = |bytes: &[u8]| {
        let mut word = String::new();
        push(&mut word, bytes);
        word
    };
    let mut words: Vec<String> = variables.into_iter().map(word).collect();
    let mut arguments = arguments.into_iter().peekable();
    if arguments.peek().is_some() {
        words.push("--".to_owned());
        words.extend(arguments.map(word));
    }
    words
}

/// Returns the command line for these variables and arguments, or its length if that exceeds
/// [`LIMIT`].
pub fn encode<'a>(
    variables: impl IntoIterator<Item = &'a [u8]>,
    arguments: impl IntoIterator<Item = &'a [u8]>,
) -> Result<String, usize> {
    let line = words(variables, arguments).join(" ");
    if line.len() > LIMIT {
        Err(line.len())
    } else {
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, encode};
    use firmware::command_line::CommandLine;
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    /// Parses the line as the kernel does: (variables, arguments).
    fn decode(line: &str) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let decoded = CommandLine::parse(line.as_bytes());
        assert_eq!(
            (decoded.mmio_devices.len(), decoded.unknown.len()),
            (0, 0),
            "{line}"
        );
        (decoded.environment, decoded.arguments)
    }

    fn encoded(variables: &[&str], arguments: &[&str]) -> String {
        encode(
            variables.iter().map(|v| v.as_bytes()),
            arguments.iter().map(|a| a.as_bytes()),
        )
        .expect("short")
    }

    #[test]
    fn plain_words_stand_as_they_are() {
        assert_eq!(
            encoded(&["A=1", "B=x y"], &["-v", "a b", ""]),
            r#"A=1 "B=x y" -- -v "a b" """#
        );
        assert_eq!(encoded(&[], &[]), "");
        assert_eq!(encoded(&["A="], &[]), "A=");
    }

    #[test]
    fn an_argument_never_looks_like_a_device_or_a_separator() {
        assert_eq!(
            encoded(&[], &["--", "virtio_mmio.device=4K@0x1:5"]),
            r#"-- "--" "virtio_mmio.device=4K@0x1:5""#
        );
        let words = ["--", "virtio_mmio.device=4K@0x1:5"];
        assert_eq!(
            decode(&encoded(&[], &words)).1,
            words.map(|word| word.as_bytes().to_vec())
        );
    }

    #[test]
    fn too_long_is_an_error() {
        let long = vec![b'a'; LIMIT];
        assert_eq!(encode([], [long.as_slice()]), Err(LIMIT + 3));
    }

    proptest! {
        #[test]
        fn every_byte_survives(
            names in vec(("[A-Z_][A-Z0-9_]{0,8}", vec(1u8.., 0..20)), 0..6),
            arguments in vec(vec(1u8.., 0..20), 0..6),
        ) {
            let variables: Vec<Vec<u8>> =
                names.into_iter().map(|(n, v)| [n.as_bytes(), b"=", &v].concat()).collect();
            let line = encode(
                variables.iter().map(Vec::as_slice),
                arguments.iter().map(Vec::as_slice),
            ).expect("short");
            prop_assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(decode(&line), (variables, arguments));
        }

        #[test]
        fn strings_survive(arguments in vec(any::<String>(), 1..4)) {
            let arguments: Vec<Vec<u8>> = arguments.into_iter()
                .map(|a| a.into_bytes().into_iter().filter(|b| *b != 0).collect()).collect();
            let line = encode([], arguments.iter().map(Vec::as_slice)).expect("short");
            prop_assert_eq!(decode(&line).1, arguments);
        }
    }
}
