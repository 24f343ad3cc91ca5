use super::{Rectangle, Terminal};
use crate::colours::rgb;
use crate::font::{self, HEIGHT, WIDTH};
use proptest::prelude::*;

/// A terminal of this many columns and rows, after `text`.
fn terminal(columns: u32, rows: u32, text: &str) -> Terminal {
    let (width, height) = (columns * WIDTH, rows * HEIGHT);
    let mut terminal = Terminal::new(width, height, (width * height) as usize).unwrap();
    terminal.write(text.as_bytes());
    terminal
}

/// The text of each row, without trailing blanks.
fn rows(terminal: &Terminal) -> Vec<String> {
    let (columns, rows) = terminal.size();
    let character = |column, row| {
        let code = terminal.screen.shown(column, row).glyph % font::BOLD;
        char::from(u8::try_from(code).unwrap())
    };
    let row = |row| (0..columns).map(|column| character(column, row)).collect();
    (0..rows)
        .map(|number| -> String { row(number) })
        .map(|text| text.trim_end().to_owned())
        .collect()
}

fn shown(columns: u32, height: u32, text: &str) -> Vec<String> {
    rows(&terminal(columns, height, text))
}

#[test]
fn lines_wrap_and_scroll() {
    assert_eq!(shown(4, 3, "abcdef\ng"), ["abcd", "ef", "g"]);
    assert_eq!(shown(4, 2, "a\nb\nc"), ["b", "c"]);
    // A line that is exactly full doesn't wrap before the next character.
    assert_eq!(shown(4, 3, "abcd\ne"), ["abcd", "e", ""]);
    assert_eq!(shown(4, 2, "abcdefghijkl"), ["efgh", "ijkl"]);
}

#[test]
fn control_characters_move_the_cursor() {
    assert_eq!(shown(12, 1, "ab\rc"), ["cb"]);
    assert_eq!(shown(12, 1, "ab\x08c"), ["ac"]);
    assert_eq!(shown(12, 1, "a\tb\t\tc"), ["a       b  c"]);
    assert_eq!(shown(12, 1, "a\x07\0b"), ["ab"]);
}

#[test]
fn sequences_move_erase_and_scroll() {
    assert_eq!(
        shown(4, 3, "\x1b[2;3Hx\x1b[Ay\x1b[3Dz"),
        ["z  y", "  x", ""]
    );
    assert_eq!(
        shown(4, 2, "abcd\x1b[2G\x1b[K\nabcd\x1b[2D\x1b[1K"),
        ["a", "  cd"]
    );
    assert_eq!(shown(4, 2, "ab\ncd\x1b[2Jx"), ["", "  x"]);
    assert_eq!(shown(4, 3, "a\nb\nc\x1b[1;1H\x1b[L"), ["", "a", "b"]);
    assert_eq!(shown(4, 3, "a\nb\nc\x1b[1;1H\x1b[M"), ["b", "c", ""]);
    assert_eq!(shown(5, 1, "abcd\x1b[2G\x1b[2P"), ["ad"]);
    assert_eq!(shown(5, 1, "abcd\x1b[2G\x1b[2@"), ["a  bc"]);
    assert_eq!(shown(4, 3, "a\nb\nc\x1b[1;2r\x1b[2;1H\nd"), ["b", "d", "c"]);
    assert_eq!(shown(4, 2, "ab\x1b7\ncd\x1b8x"), ["abx", "cd"]);
    assert_eq!(shown(4, 2, "\x1b]0;title\x07ab\x1bc"), ["", ""]);
}

#[test]
fn text_is_utf8_cut_anywhere() {
    let mut whole = terminal(8, 1, "");
    for byte in "é×ü".bytes() {
        whole.write(&[byte]);
    }
    assert_eq!(rows(&whole), ["é×ü"]);
    let mut broken = terminal(8, 1, "");
    broken.write(b"a\xFFb");
    assert_eq!(rows(&broken), ["a\0b"]);
    // Text after a truncated character is also kept.
    let text = "\u{e9}\n\u{2500}x\x1b[1m\u{fc}\u{1F600}y\u{85}z".as_bytes();
    for first in 0..=text.len() {
        for second in first..=text.len() {
            let mut cut = terminal(8, 2, "");
            cut.write(&text[..first]);
            cut.write(&text[first..second]);
            cut.write(&text[second..]);
            assert_eq!(rows(&cut), ["\u{e9}", "-x\u{fc}\0yz"], "{first} {second}");
            assert_eq!(cut.screen.shown(2, 1).glyph, 0xFC + font::BOLD);
        }
    }
}

#[test]
fn colours_are_those_of_the_sequences() {
    let cell = |text| {
        let cell = terminal(2, 1, text).screen.shown(0, 0);
        (cell.foreground, cell.background, cell.underlined)
    };
    assert_eq!(cell("x"), (7, 0, false));
    assert_eq!(cell("\x1b[31mx"), (1, 0, false));
    assert_eq!(cell("\x1b[1;31;44mx"), (9, 4, false));
    assert_eq!(cell("\x1b[93;4mx"), (11, 0, true));
    assert_eq!(cell("\x1b[7mx"), (0, 7, false));
    assert_eq!(cell("\x1b[38;5;208;48;2;0;0;255mx"), (208, 21, false));
    assert_eq!(cell("\x1b[38:5:208mx"), (208, 0, false));
    assert_eq!(cell("\x1b[1;31m\x1b[mx"), (7, 0, false));
    assert_eq!(cell("\x1b[38;5mx"), (7, 0, false));
    // Without a colour space, with an empty one, with one and a tolerance.
    let orange = (208, 0, false);
    assert_eq!(cell("\x1b[38:2:255:135:0mx"), orange);
    assert_eq!(cell("\x1b[38:2::255:135:0mx"), orange);
    assert_eq!(cell("\x1b[38:2:1:255:135:0:9:1mx"), orange);
    assert_eq!(cell("\x1b[48:2::0:0:255;32mx"), (2, 21, false));
    assert_eq!(cell("\x1b[4:3mx"), (7, 0, true));
    assert_eq!(cell("\x1b[4m\x1b[4:0mx"), (7, 0, false));
}

#[test]
fn a_report_stays_where_it_began() {
    for begun in [
        "\x1b", "\x1b[31", "\x1b]0;a", "\x1bPa", "\x1b[31m", "\u{e9}",
    ] {
        let mut terminal = terminal(4, 3, "a\nb");
        let cut = begun.len() - usize::from(begun.starts_with('\u{e9}'));
        terminal.write(&begun.as_bytes()[..cut]);
        terminal.begin_report();
        terminal.write(b"1\n2\n3\n4\n5");
        assert_eq!(rows(&terminal), ["1", "2", "3"], "{begun:?}");
        assert_eq!(terminal.screen.shown(0, 0).foreground, 7);
    }
}

#[test]
fn a_report_keeps_its_beginning_on_a_smaller_picture() {
    let mut terminal = terminal(4, 5, "a\nb");
    terminal.begin_report();
    terminal.write(b"1\n2\n3");
    // As much of it as there is room for, and then nothing more.
    terminal.resize(4 * WIDTH, 2 * HEIGHT);
    assert_eq!(rows(&terminal), ["1", "2"]);
    terminal.write(b"\n4");
    assert_eq!(rows(&terminal), ["1", "2"]);
    // While all of it still fits, output continues.
    let mut terminal = self::terminal(4, 5, "a\nb\nc");
    terminal.begin_report();
    terminal.write(b"1");
    terminal.resize(4 * WIDTH, 2 * HEIGHT);
    assert_eq!(rows(&terminal), ["c", "1"]);
    terminal.write(b"\n2\n3");
    assert_eq!(rows(&terminal), ["1", "2"]);
}

#[test]
fn another_size_keeps_the_last_lines() {
    let mut terminal = terminal(4, 4, "abcd\nef\ngh");
    terminal.resize(2 * WIDTH, 2 * HEIGHT);
    assert_eq!(rows(&terminal), ["ef", "gh"]);
    assert_eq!(terminal.cursor(), (1, 1));
    terminal.resize(5 * WIDTH, 3 * HEIGHT);
    assert_eq!(rows(&terminal), ["ef", "gh", ""]);
    // The next character overwrites none, even at the end of a line.
    for (columns, wanted) in [(2, ["ab", "x"]), (4, ["abcd", "x"]), (5, ["abcdx", ""])] {
        let mut terminal = self::terminal(4, 3, "abcd");
        terminal.resize(columns * WIDTH, 2 * HEIGHT);
        terminal.write(b"x");
        assert_eq!(rows(&terminal), wanted);
    }
    // No more than there is room for.
    terminal.resize(500 * WIDTH, 3 * HEIGHT);
    assert_eq!(terminal.size(), (16, 1));
}

/// The rows of a picture, `#` for each pixel that isn't black.
fn picture(pixels: &[u32], width: u32) -> Vec<String> {
    let row = |row: &[u32]| {
        row.iter()
            .map(|pixel| if *pixel == 0 { '.' } else { '#' })
            .collect()
    };
    pixels.chunks(width as usize).map(row).collect()
}

#[test]
fn letters_and_the_cursor_are_painted() {
    let mut terminal = terminal(2, 1, "\x1b[32mT");
    let mut pixels = [9; 2 * 8 * 13];
    let all = Rectangle {
        x: 0,
        y: 0,
        width: 16,
        height: 13,
    };
    assert_eq!(terminal.draw(&mut pixels), Some(all));
    let expected = [
        "................",
        "................",
        "#######.........",
        "...#............",
        "...#............",
        "...#............",
        "...#............",
        "...#............",
        "...#............",
        "...#............",
        "...#............",
        "........########",
        "................",
    ];
    assert_eq!(picture(&pixels, 16), expected);
    assert_eq!((pixels[2 * 16], pixels[11 * 16 + 8]), (rgb(2), rgb(7)));
    assert_eq!(terminal.draw(&mut pixels), None);
}

#[test]
fn damage_is_around_what_has_changed() {
    let mut terminal = terminal(10, 4, "\x1b[?25l");
    let mut pixels = vec![0; 10 * 8 * 4 * 13];
    terminal.draw(&mut pixels);
    terminal.write(b"\x1b[2;3Hx\x1b[3;5Hy");
    let around = Rectangle {
        x: 16,
        y: 13,
        width: 24,
        height: 26,
    };
    assert_eq!(terminal.draw(&mut pixels), Some(around));
    terminal.write(b"\x1b[3;5Hy");
    assert_eq!(terminal.draw(&mut pixels), None);
    terminal.redraw();
    assert!(terminal.draw(&mut pixels).is_some());
    assert_eq!(terminal.draw(&mut pixels[1..]), None);
}

#[test]
fn large_pictures_have_large_letters() {
    let mut terminal = Terminal::new(2560, 1440, 2560 * 1440).unwrap();
    assert_eq!(terminal.size(), (160, 55));
    terminal.write(b"\x1b[?25lT");
    let mut pixels = vec![0; 2560 * 1440];
    terminal.draw(&mut pixels);
    assert_eq!(
        pixels[4 * 2560..][..16],
        [vec![rgb(7); 14], vec![0; 2]].concat()
    );
    assert_eq!(pixels[5 * 2560..][..16], pixels[4 * 2560..][..16]);
    assert_eq!(pixels[6 * 2560 + 6..][..2], [rgb(7); 2]);
    let sizes = [
        (1280, 800),
        (1920, 1080),
        (3840, 2160),
        (16, 16),
        (0, 0),
        (8192, 16),
    ];
    let sizes = sizes.map(|(width, height)| {
        terminal.resize(width, height);
        terminal.size()
    });
    assert_eq!(
        sizes,
        [(160, 61), (240, 83), (160, 55), (2, 1), (1, 1), (1024, 1)]
    );
}

/// The last rows of a screen after these lines.
fn scrolled(lines: &[&str], rows: usize) -> Vec<String> {
    let mut shown = vec![String::new(); rows];
    for line in lines {
        shown.remove(0);
        shown.push((*line).to_owned());
    }
    shown
}

#[test]
fn text_that_has_scrolled_is_text_like_any_other() {
    let lines = ["a", "b", "c", "d", "e", "f", "g"];
    for count in 0..=lines.len() {
        let scrolls = format!("\x1b[9;1H\n{}", lines[..count].join("\n"));
        let wanted = scrolled(&lines[..count], 3);
        let mut terminal = terminal(4, 3, &scrolls);
        assert_eq!(rows(&terminal), wanted);
        // Only the rows of a region move, also for inserted rows.
        terminal.write(b"\x1b[2;3r\x1b[3;1H\nx");
        assert_eq!(rows(&terminal), [&*wanted[0], &*wanted[2], "x"]);
        terminal.write(b"\x1b[r\x1b[Ly");
        assert_eq!(rows(&terminal), ["y", &*wanted[0], &*wanted[2]]);
        terminal.resize(3 * WIDTH, 2 * HEIGHT);
        assert_eq!(rows(&terminal), ["y", &*wanted[0]]);
    }
}

proptest! {
    #[test]
    fn writes_that_are_cut_anywhere_show_the_same(
        pieces in prop::collection::vec(prop_oneof![
            2 => prop::collection::vec(any::<u8>(), 1..3),
            2 => "[a\n\x1b]".prop_map(String::into_bytes),
            3 => "[\u{e9}\u{2500}\u{1F600}\u{85}]".prop_map(String::into_bytes),
            1 => Just(vec![0xE2]),
            1 => Just(vec![0x80]),
        ], 1..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let bytes = pieces.concat();
        let mut whole = terminal(20, 4, "");
        whole.write(&bytes);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        let (mut cut, mut from) = (terminal(20, 4, ""), 0);
        for to in cuts {
            cut.write(&bytes[from..to]);
            from = to;
        }
        prop_assert_eq!(rows(&cut), rows(&whole));
        prop_assert_eq!(cut.cursor(), whole.cursor());
    }

    #[test]
    fn no_bytes_panic_or_move_the_cursor_outside(
        pieces in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            "\x1b\\[[?]?[0-9;:]{0,12}[@-z]".prop_map(String::into_bytes),
            "[ -~é\n\r\t\x08]{0,20}".prop_map(String::into_bytes),
        ], 0..40),
        sizes in prop::collection::vec((0u32..200, 0u32..200), 1..4),
        report in any::<bool>(),
    ) {
        let mut terminal = terminal(9, 7, "");
        let mut pixels = vec![0; 200 * 200];
        for (width, height) in sizes {
            for piece in &pieces {
                terminal.write(piece);
                let ((columns, rows), (column, row)) = (terminal.size(), terminal.cursor());
                prop_assert!(column < columns && row < rows);
            }
            terminal.draw(&mut pixels);
            if report {
                terminal.begin_report();
            }
            terminal.resize(width, height);
            if let Some(part) = terminal.draw(&mut pixels) {
                prop_assert!(part.x + part.width <= width && part.y + part.height <= height);
            }
        }
    }

    #[test]
    fn drawing_in_steps_is_drawing_at_once(
        pieces in prop::collection::vec("(\x1b\\[[0-9;]{0,4}[A-HJKLMPSTXm]|[a-z\n]{1,9})", 1..30),
    ) {
        let (mut steps, mut once) = (terminal(9, 7, ""), terminal(9, 7, ""));
        let mut pixels = [vec![0; 9 * 8 * 7 * 13], vec![1; 9 * 8 * 7 * 13]];
        for piece in &pieces {
            steps.write(piece.as_bytes());
            once.write(piece.as_bytes());
            let before = pixels[0].clone();
            let part = steps.draw(&mut pixels[0]);
            let outside = before.iter().zip(&pixels[0]).enumerate().any(|(at, (old, new))| {
                let (x, y) = (at as u32 % 72, at as u32 / 72);
                let inside = part.is_some_and(|part| {
                    (part.x..part.x + part.width).contains(&x)
                        && (part.y..part.y + part.height).contains(&y)
                });
                old != new && !inside
            });
            prop_assert!(!outside, "{part:?}");
        }
        once.draw(&mut pixels[1]);
        prop_assert_eq!(&pixels[0], &pixels[1]);
    }
}
