//! Parses the machine's control channel: lines on isa-debugcon for the exit status, the crash
//! report, the request for input, the start of the kernel, and the readiness of the power button.
//!
//! The program can write there too, so the parser trusts nothing beyond the syntax and bounds the
//! stored data.

/// The maximum length of a line, in bytes; longer lines are truncated.
const MAX_LINE: usize = 1024;
/// The maximum number of lines of a crash report.
const MAX_REPORT: usize = 1024;

/// The contents of the lines received so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Control {
    line: Vec<u8>,
    in_report: bool,
    /// Whether the kernel has started: it has sent a line.
    pub has_started: bool,
    /// Whether the machine accepts input.
    pub takes_input: bool,
    /// How often the power button began to work, once in each start of the machine: q35 loses
    /// earlier presses.
    pub buttons: u32,
    /// The program's exit status.
    pub exit: Option<u8>,
    /// The crash report's lines.
    pub report: Vec<String>,
}

impl Control {
    /// Parses received bytes, which may split lines anywhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    self.take_line(String::from_utf8_lossy(&line).trim_end());
                }
                _ if self.line.len() < MAX_LINE => self.line.push(*byte),
                _ => {}
            }
        }
    }

    fn take_line(&mut self, line: &str) {
        self.has_started |= line.starts_with("SOIL-");
        match line {
            "SOIL-CRASH-BEGIN" => {
                // Keeps the last report: a fault during a report starts another.
                self.in_report = true;
                self.report.clear();
            }
            "SOIL-CRASH-END" => self.in_report = false,
            "SOIL-INPUT" => self.takes_input = true,
            "SOIL-BUTTON" => {
                // A machine that has started again leaves its crash behind.
                if self.buttons != 0 {
                    self.report.clear();
                }
                self.buttons = self.buttons.saturating_add(1);
            }
            _ => {
                if let Some(status) = line.strip_prefix("SOIL-EXIT ").and_then(|n| n.parse().ok()) {
                    self.exit = Some(status);
                } else if self.in_report && self.report.len() < MAX_REPORT {
                    self.report.push(line.to_owned());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Control, MAX_LINE, MAX_REPORT};
    use proptest::collection::vec;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    #[test]
    fn a_status_has_eight_bits() {
        for (text, exit) in [
            ("SOIL-EXIT 0\n", Some(0)),
            ("SOIL-EXIT 003\n", Some(3)),
            ("noise\nSOIL-EXIT 200\n", Some(200)),
            ("SOIL-EXIT 256\n", None),
            ("SOIL-EXIT -1\n", None),
            ("SOIL-EXIT 3", None),
        ] {
            let mut control = Control::default();
            control.feed(text.as_bytes());
            assert_eq!(control.exit, exit, "{text}");
        }
    }

    #[test]
    fn a_report_is_what_stands_between_its_lines() {
        let mut control = Control::default();
        control.feed(
            b"before\nSOIL-CRASH-BEGIN\nreason x\r\n\
            frame 0x10\nSOIL-CRASH-END\nafter\nSOIL-EXIT 139\n",
        );
        assert_eq!(control.report, ["reason x", "frame 0x10"]);
        assert_eq!(control.exit, Some(139));
    }

    #[test]
    fn input_is_asked_for() {
        let mut control = Control::default();
        control.feed(b"SOIL-INPU");
        assert!(!control.takes_input);
        control.feed(b"T\n");
        assert!(control.takes_input && control.buttons == 0);
        control.feed(b"SOIL-BUTTON\n");
        assert_eq!(control.buttons, 1);
    }

    #[test]
    fn a_line_of_the_kernel_shows_that_it_has_started() {
        let mut control = Control::default();
        control.feed(b"noise\nSOIL-STAR");
        assert!(!control.has_started);
        control.feed(b"T\n");
        assert!(control.has_started && control.exit.is_none());
    }

    #[test]
    fn a_machine_that_starts_again_has_no_report() {
        let mut control = Control::default();
        let report = b"SOIL-BUTTON\nSOIL-CRASH-BEGIN\nreason x\nSOIL-CRASH-END\n";
        control.feed(report);
        assert_eq!(control.report, ["reason x"]);
        control.feed(b"SOIL-BUTTON\nSOIL-EXIT 000\n");
        assert_eq!((control.report.len(), control.exit), (0, Some(0)));
        control.feed(report);
        assert_eq!(control.report, ["reason x"]);
    }

    #[test]
    fn a_flood_is_bounded() {
        let mut control = Control::default();
        control.feed(b"SOIL-CRASH-BEGIN\n");
        for _ in 0..MAX_REPORT + 10 {
            control.feed(&[b'x'; MAX_LINE + 10]);
            control.feed(b"\n");
        }
        assert_eq!(control.report.len(), MAX_REPORT);
        assert!(control.report.iter().all(|line| line.len() <= MAX_LINE));
    }

    proptest! {
        #[test]
        fn where_bytes_are_cut_does_not_matter(
            pieces in vec("(SOIL-(EXIT [0-9]{1,3}|CRASH-BEGIN|CRASH-END)|[a-z]{0,9})\n", 0..9),
            cut in 0usize..100,
        ) {
            let text = pieces.concat();
            let cut = cut.min(text.len());
            let (mut whole, mut parts) = (Control::default(), Control::default());
            whole.feed(text.as_bytes());
            parts.feed(&text.as_bytes()[..cut]);
            parts.feed(&text.as_bytes()[cut..]);
            prop_assert_eq!(whole, parts);
        }

        #[test]
        fn any_bytes_are_taken(bytes in vec(0u8.., 0..400)) {
            let mut control = Control::default();
            control.feed(&bytes);
            prop_assert!(control.report.len() <= 400);
        }
    }
}
