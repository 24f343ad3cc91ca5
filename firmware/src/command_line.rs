//! The kernel command line: environment, arguments, device addresses.
//!
//! Words before `--` of the form `NAME=value` are environment variables; the words after `--` are
//! `argv[1..]`. Words are separated by blanks; double quotes group; in and out of quotes a
//! backslash quotes the next character, except `\n` (newline), `\t` (tab) and `\xNN` (the byte NN,
//! hexadecimal). `virtio_mmio.device=` words are the machine's, not the program's: they are removed
//! wherever they occur, since QEMU appends them after `--` and others put them before it. One in
//! quotes is the program's.
//!
//! A line that was written for Linux has the same meaning: its `init=PROGRAM`, or with an initrd
//! `rdinit=PROGRAM`, is the program's own name, its words without a value that Linux's kernel knows
//! ([`FLAGS`]) are ignored, and single quotes around a word group it, literally, as urunc and
//! urunit have it. Parameters such as `console=` and `root=` stay in the environment, where Linux
//! would take them out.

use alloc::vec::Vec;

/// A decoded command line. The strings are bytes, as in Linux, without a zero.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// `NAME=value` words, in order.
    pub environment: Vec<Vec<u8>>,
    /// The words after `--`.
    pub arguments: Vec<Vec<u8>>,
    /// The values of `virtio_mmio.device=` words.
    pub mmio_devices: Vec<MmioDevice>,
    /// Words before `--` that aren't `NAME=value` or of Linux's kernel: ignored, but worth a
    /// warning.
    pub unknown: Vec<Vec<u8>>,
}

/// A virtio-mmio device as `virtio_mmio.device=<size>@<address>:<irq>` describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmioDevice {
    /// Physical address of the registers.
    pub address: u64,
    /// Length of the register window in bytes.
    pub size: u64,
    /// Global system interrupt.
    pub irq: u32,
}

impl CommandLine {
    /// Decodes `line`. Every input is valid: an open quote ends with the line, a stray backslash
    /// stands for itself.
    pub fn parse(line: &[u8]) -> Self {
        let mut result = Self::default();
        let mut behind_separator = false;
        for (bare, word) in Words(line) {
            if let Some(device) = word.strip_prefix(DEVICE).filter(|_| bare) {
                result.mmio_devices.extend(MmioDevice::parse(device));
            } else if behind_separator {
                result.arguments.push(word);
            } else if word == b"--" {
                behind_separator = true;
            } else if word
                .iter()
                .position(|byte| *byte == b'=')
                .is_some_and(|at| at > 0)
            {
                result.environment.push(word);
            } else if !FLAGS.split(|byte| *byte == b' ').any(|flag| flag == word) {
                result.unknown.push(word);
            }
        }
        result
    }

    /// Adds the variables of another line that this one doesn't set, and its arguments if this one
    /// has none.
    pub fn complete(&mut self, other: Self) {
        for word in other.environment {
            let name = word.split(|byte| *byte == b'=').next().unwrap_or_default();
            if self.variable(name).is_none() {
                self.environment.push(word);
            }
        }
        if self.arguments.is_empty() {
            self.arguments = other.arguments;
        }
    }

    /// The program's own name (`argv[0]`), if the line has one.
    pub fn program(&self) -> Option<&[u8]> {
        self.variable(b"SOIL_ARGV0")
            .or_else(|| self.variable(b"rdinit"))
            .or_else(|| self.variable(b"init"))
    }

    /// The value of the environment variable `name`; the last one if it occurs twice.
    #[inline(never)]
    pub fn variable(&self, name: &[u8]) -> Option<&[u8]> {
        self.environment
            .iter()
            .rev()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix(b"="))
    }
}

impl MmioDevice {
    fn parse(text: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(text).ok()?;
        let (size, rest) = text.split_once('@')?;
        let (address, rest) = rest.split_once(':')?;
        let irq = rest.split(':').next()?;
        let (digits, unit) = match size.as_bytes().last()? {
            b'K' | b'k' => (&size[..size.len() - 1], 1 << 10),
            b'M' | b'm' => (&size[..size.len() - 1], 1 << 20),
            _ => (size, 1),
        };
        let size = number(digits)?.checked_mul(unit)?;
        Some(Self {
            address: number(address)?,
            size,
            irq: number(irq)?.try_into().ok()?,
        })
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The prefix of a device's word.
const DEVICE: &[u8] = b"virtio_mmio.device=";

/// The words without a value that Firecracker and others pass to Linux's kernel
/// (Documentation/admin-guide/kernel-parameters.txt).
const FLAGS: &[u8] = b"ro rw quiet nomodule i8042.noaux i8042.nomux i8042.dumbkbd";

/// The words of a command line, decoded, and whether each begins without quotes or escapes.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn next_byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn escape(&mut self) -> u8 {
        match self.next_byte() {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'x') => {
                let digits = self
                    .0
                    .get(..2)
                    .and_then(|text| core::str::from_utf8(text).ok());
                match digits.and_then(|text| u8::from_str_radix(text, 16).ok()) {
                    // A zero would end the string early for every C function, so it is dropped.
                    Some(byte) if byte != 0 => {
                        self.0 = &self.0[2..];
                        byte
                    }
                    _ => b'x',
                }
            }
            Some(byte) => byte,
            None => b'\\',
        }
    }
}

impl Iterator for Words<'_> {
    type Item = (bool, Vec<u8>);

    fn next(&mut self) -> Option<(bool, Vec<u8>)> {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        let start = self.0.iter().position(|byte| !blank(byte))?;
        self.0 = &self.0[start..];
        let bare = !matches!(self.0.first(), Some(b'"' | b'\'' | b'\\'));
        let literal = self.0.first() == Some(&b'\'');
        if literal {
            self.next_byte();
        }
        let mut word = Vec::new();
        let mut quoted = literal;
        while let Some(byte) = self.next_byte() {
            match byte {
                b'\'' if literal && self.0.first().is_none_or(blank) => break,
                b'"' if !literal => quoted = !quoted,
                b'\\' if !literal => word.push(self.escape()),
                _ if !quoted && blank(&byte) => break,
                _ => word.push(byte),
            }
        }
        Some((bare, word))
    }
}

#[cfg(test)]
mod tests {
    use super::{CommandLine, MmioDevice};
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    #[test]
    fn separates_environment_and_arguments() {
        let line =
            CommandLine::parse(br#"A=1 loud B="two words" -- --flag "" a\ b X=y -- "q\"\\\x41""#);
        assert_eq!(line.environment, [b"A=1".to_vec(), b"B=two words".to_vec()]);
        assert_eq!(line.unknown, [b"loud".to_vec()]);
        let arguments: Vec<&[u8]> = line.arguments.iter().map(|word| &word[..]).collect();
        assert_eq!(
            arguments,
            [&b"--flag"[..], b"", b"a b", b"X=y", b"--", b"q\"\\A"]
        );
        assert_eq!(line.variable(b"A"), Some(&b"1"[..]));
        assert_eq!(line.variable(b"AB"), None);
    }

    #[test]
    fn takes_out_device_words_wherever_they_stand() {
        let line = CommandLine::parse(
            b"virtio_mmio.device=4K@0xd0000000:5 A=1 -- x virtio_mmio.device=512@0xfeb00e00:12",
        );
        assert_eq!(line.arguments, [b"x".to_vec()]);
        let quoted = CommandLine::parse(b"-- \"virtio_mmio.device=1\"");
        assert_eq!(quoted.arguments, [b"virtio_mmio.device=1".to_vec()]);
        assert_eq!(
            line.mmio_devices,
            [
                MmioDevice {
                    address: 0xd000_0000,
                    size: 4096,
                    irq: 5
                },
                MmioDevice {
                    address: 0xfeb0_0e00,
                    size: 512,
                    irq: 12
                }
            ]
        );
    }

    #[test]
    fn a_window_has_its_unit() {
        for (text, size) in [
            ("7", 7),
            ("0x200", 512),
            ("3k", 3 << 10),
            ("3K", 3 << 10),
            ("2m", 2 << 20),
            ("2M", 2 << 20),
        ] {
            let line = format!("virtio_mmio.device={text}@0x1000:5:0");
            let found = CommandLine::parse(line.as_bytes()).mmio_devices;
            let device = MmioDevice {
                address: 0x1000,
                size,
                irq: 5,
            };
            assert_eq!(found, [device], "{text}");
        }
        for text in [
            "M@0:5",
            "99999999999999999999M@0:5",
            "1@0:-1",
            "1@0:4294967296",
            "1@0",
        ] {
            let line = format!("virtio_mmio.device={text}");
            let found = CommandLine::parse(line.as_bytes());
            assert!(found.mmio_devices.is_empty(), "{text}");
        }
    }

    #[test]
    fn a_value_without_a_name_is_unknown() {
        let line = CommandLine::parse(b"=1 A= word -- =2");
        assert_eq!(line.environment, [b"A=".to_vec()]);
        assert_eq!(line.unknown, [b"=1".to_vec(), b"word".to_vec()]);
        assert_eq!(line.arguments, [b"=2".to_vec()]);
    }

    #[test]
    fn gives_meaning_to_broken_input() {
        assert_eq!(
            CommandLine::parse(br#"-- "open"#).arguments,
            [b"open".to_vec()]
        );
        assert_eq!(CommandLine::parse(br"-- \").arguments, [b"\\".to_vec()]);
        assert_eq!(CommandLine::parse(br"-- \x0").arguments, [b"x0".to_vec()]);
        assert_eq!(CommandLine::parse(br"-- \x00").arguments, [b"x00".to_vec()]);
        assert!(
            CommandLine::parse(b"virtio_mmio.device=K@:")
                .mmio_devices
                .is_empty()
        );
    }

    /// That what `soil run` writes is read as it was meant is tested beside it
    /// (`tools/src/words.rs`).
    #[test]
    fn every_byte_has_its_ways_to_be_written() {
        let one = |line: &[u8]| CommandLine::parse(line).arguments;
        for byte in 1..=255u8 {
            let (whole, escape) = ([b'a', byte, b'z'], format!("a\\x{byte:02x}z"));
            for text in [escape.clone(), format!("\"{escape}\"")] {
                assert_eq!(one(format!("-- {text}").as_bytes()), [whole], "{text}");
            }
            assert_eq!(one(format!("-- a\\x{byte:02X}z").as_bytes()), [whole]);
            if !b"ntx".contains(&byte) {
                assert_eq!(one(&[b"-- a\\", &[byte][..], b"z"].concat()), [whole]);
            }
            if !b"\"\\".contains(&byte) {
                assert_eq!(one(&[b"-- \"", &whole[..], b"\""].concat()), [whole]);
            }
            let split = b" \t\n\r".contains(&byte);
            if !split && !b"\"\\".contains(&byte) {
                assert_eq!(one(&[b"-- ", &whole[..]].concat()), [whole]);
            } else if split {
                assert_eq!(one(&[b"-- ", &whole[..]].concat()), [b"a", b"z"]);
            }
        }
        assert_eq!(one(br"-- a\nb\tc"), [b"a\nb\tc"]);
    }

    /// What urunc (type `linux`), Firecracker and Cloud Hypervisor's documentation write.
    #[test]
    fn a_line_for_linux_has_its_meaning() {
        let line = CommandLine::parse(
            b"panic=-1 console=ttyS0 root=/dev/vda rw \
            ip=10.0.0.2::10.0.0.1:255.255.255.0:urunc:eth0:off \
            PATH=/usr/bin:/bin KEY=a=b init=/app -- --port 80 \
            'two words' 'it's one' '' don't ' open \"\\",
        );
        assert_eq!(line.unknown, Vec::<Vec<u8>>::new());
        assert_eq!(line.program(), Some(&b"/app"[..]));
        assert_eq!(line.variable(b"KEY"), Some(&b"a=b"[..]));
        assert_eq!(line.variable(b"PATH"), Some(&b"/usr/bin:/bin"[..]));
        let address = &b"10.0.0.2::10.0.0.1:255.255.255.0:urunc:eth0:off"[..];
        assert_eq!(line.variable(b"ip"), Some(address));
        let arguments: Vec<&[u8]> = line.arguments.iter().map(|word| &word[..]).collect();
        let expected = [
            "--port",
            "80",
            "two words",
            "it's one",
            "",
            "don't",
            " open \"\\",
        ];
        assert_eq!(arguments, expected.map(str::as_bytes));
        let line = CommandLine::parse(
            b"reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux i8042.dumbkbd \
            swiotlb=noforce virtio_mmio.device=4K@0xc0001000:5 init=/a SOIL_ARGV0=b word",
        );
        assert_eq!((line.mmio_devices.len(), line.arguments.len()), (1, 0));
        assert_eq!(line.unknown, [b"word".to_vec()]);
        assert_eq!(line.program(), Some(&b"b"[..]));
        assert_eq!(CommandLine::parse(b"A=1").program(), None);
        // In quotes no word is a device, and a flag is no part of another word.
        let line = CommandLine::parse(b"r quie nomodule,ro -- 'virtio_mmio.device=1@2:3'");
        assert_eq!((line.mmio_devices.len(), line.unknown.len()), (0, 3));
    }

    proptest! {
        #[test]
        fn a_line_for_linux_is_read_as_it_was_meant(
            flags in proptest::sample::subsequence(
                super::FLAGS.split(|byte| *byte == b' ').collect::<Vec<_>>(), 0..6),
            variables in vec("[A-Za-z_][A-Za-z0-9_.]{0,8}=[!#-&(-\\[\\]-~]{1,9}", 0..6),
            devices in vec((0u64..1 << 52, 0u64..1 << 30, any::<u32>()), 0..4),
            arguments in vec("[!#-&(-\\[\\]-~][ -~]{0,12}", 0..6),
        ) {
            // An argument's end in a quote before a blank would be an end to urunit as well.
            let apart = |argument: &str| argument.contains("' ") || argument.ends_with('\'');
            let arguments: Vec<_> = arguments.into_iter().filter(|a| !apart(a)).collect();
            let mut line = Vec::new();
            let mut add = |word: &[u8]| line.extend([word, b" "].concat());
            flags.iter().for_each(|word| add(word));
            variables.iter().for_each(|word| add(word.as_bytes()));
            add(b"init=/app --");
            for argument in &arguments {
                let quoted = argument.contains([' ', '"', '\\']) || argument.starts_with("virtio");
                add(if quoted { format!("'{argument}'") } else { argument.clone() }.as_bytes());
            }
            // The machine's own, at the end.
            for (address, size, irq) in &devices {
                add(format!("virtio_mmio.device={size:#x}@{address:#x}:{irq}").as_bytes());
            }
            let found = CommandLine::parse(&line);
            let words = |all: &[Vec<u8>]| -> Vec<String> {
                all.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
            };
            prop_assert_eq!(&found.unknown, &Vec::<Vec<u8>>::new());
            prop_assert_eq!(words(&found.arguments), arguments);
            let (last, rest) = found.environment.split_last().unwrap();
            prop_assert_eq!((words(rest), &last[..]), (variables, &b"init=/app"[..]));
            let found: Vec<_> = found.mmio_devices.iter()
                .map(|device| (device.address, device.size, device.irq)).collect();
            prop_assert_eq!(found, devices);
        }

        #[test]
        fn accepts_anything(line in vec(any::<u8>(), 0..200)) {
            CommandLine::parse(&line);
        }
    }
}
