//! A terminal as text in memory of pixels: the console of a machine on its display.
//!
//! [`Terminal::write`] takes bytes as a program prints them, UTF-8 with control sequences (ECMA-48,
//! as far as programs use them for colours and cursor movement). [`Terminal::draw`] paints the
//! changes since, and returns where. Nothing is allocated after [`Terminal::new`], so that a crash
//! can also be written and drawn.
//!
//! `vte` parses control sequences. The font is embedded-graphics' 8 by 13 pixels with the
//! characters of ISO 8859-1; a few others are shown as similar ones ([`font`]), the rest as a box.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod colours;
pub mod font;
mod screen;

use alloc::vec::Vec;
use device_types::display::Rectangle;
use font::{Font, HEIGHT, WIDTH};
use screen::Screen;

/// Maximum number of continuation bytes of a character (RFC 3629, 3).
const MAX_CONTINUED: usize = 3;
/// Ends a control sequence (CAN).
const CANCEL: u8 = 0x18;

/// A character with its colours, as shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    /// Number of the glyph in the font.
    glyph: u16,
    /// Indices into the palette.
    foreground: u8,
    background: u8,
    underlined: bool,
}

/// A terminal with a fixed font for a picture of some size.
pub struct Terminal {
    parser: vte::Parser,
    screen: Screen,
    font: Font,
    /// The contents of the pixels; `None` if unknown.
    drawn: Vec<Option<Cell>>,
    width: u32,
    height: u32,
    /// Each pixel of the font is a square with this side in pixels.
    scale: u32,
}

impl Terminal {
    /// A terminal for a picture of this size in pixels, with room for the text, and later for any
    /// with at most `pixels` pixels. `None` if there is no memory for it.
    #[must_use]
    pub fn new(width: u32, height: u32, pixels: usize) -> Option<Self> {
        let cells = (pixels / (WIDTH * HEIGHT) as usize).max(1);
        let mut terminal = Self {
            parser: vte::Parser::new(),
            screen: Screen::new(cells)?,
            font: Font::new()?,
            drawn: filled(None, cells)?,
            width: 0,
            height: 0,
            scale: 1,
        };
        terminal.resize(width, height);
        Some(terminal)
    }

    /// Lays the text out for another size of the picture. The next [`draw`](Terminal::draw) paints
    /// all of it. Lines keep their beginning, and the last ones stay.
    pub fn resize(&mut self, width: u32, height: u32) {
        (self.width, self.height) = (width, height);
        // Large displays have small pixels.
        self.scale = (width / 1280).min(height / 720).max(1);
        let columns = width / (WIDTH * self.scale);
        let rows = height / (HEIGHT * self.scale);
        self.screen.resize(columns as usize, rows as usize);
        self.redraw();
    }

    /// Makes the next [`draw`](Terminal::draw) paint everything: the pixels are others.
    pub fn redraw(&mut self) {
        self.drawn.fill(None);
    }

    /// Columns and rows of text.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        self.screen.size()
    }

    /// Column and row of the cursor, from 0.
    #[must_use]
    pub fn cursor(&self) -> (usize, usize) {
        self.screen.cursor()
    }

    /// Writes output, split anywhere. A line feed begins the next line, as on a terminal with
    /// `onlcr`. Takes time in proportion to the bytes, and for each sequence that erases or moves
    /// text, to the cells.
    pub fn write(&mut self, bytes: &[u8]) {
        // Bytes that may complete a character of an earlier write are written alone: with more
        // bytes after them, vte 0.15 loses some (github.com/alacritty/vte/issues/159).
        let continued = bytes.iter().take(MAX_CONTINUED);
        let continued = continued.take_while(|byte| **byte & 0xC0 == 0x80).count();
        let (ends, rest) = bytes.split_at(continued);
        for end in ends.chunks(1) {
            self.parser.advance(&mut self.screen, end);
        }
        self.parser.advance(&mut self.screen, rest);
    }

    /// Begins a line, and retains it and the following ones: when they fill the screen, the rest is
    /// dropped. For a report whose beginning is most important. Cancels open control sequences, and
    /// resets the colours.
    pub fn begin_report(&mut self) {
        // A new parser would take a kilobyte of the stack. A crash may have 8.
        self.parser.advance(&mut self.screen, &[CANCEL]);
        self.screen.hold();
    }

    /// Paints the changes into rows of as many pixels as the picture is wide, `0xRRGGBB`; returns
    /// the rectangle around them. A picture with too few pixels is left unchanged.
    pub fn draw(&mut self, pixels: &mut [u32]) -> Option<Rectangle> {
        let (columns, rows) = self.screen.size();
        let stride = self.width as usize;
        if stride == 0 || self.height == 0 || pixels.len() < stride * self.height as usize {
            return None;
        }
        let mut damage = Damage::default();
        // The right and lower edges are empty, where no whole character fits.
        if self.drawn.first() == Some(&None) {
            pixels.fill(colours::rgb(colours::BLACK));
            damage.add((0, 0), (columns, rows));
        }
        let scale = self.scale as usize;
        let (width, height) = (WIDTH as usize * scale, HEIGHT as usize * scale);
        for row in 0..rows {
            for column in 0..columns {
                let cell = self.screen.shown(column, row);
                let Some(drawn) = self.drawn.get_mut(row * columns + column) else {
                    continue;
                };
                if *drawn == Some(cell) {
                    continue;
                }
                *drawn = Some(cell);
                damage.add((column, row), (column + 1, row + 1));
                let start = row * height * stride + column * width;
                if let Some(corner) = pixels.get_mut(start..) {
                    paint(corner, stride, scale, cell, self.font.glyph(cell.glyph));
                }
            }
        }
        let (left, top, right, lower) = damage.around?;
        let unit = (WIDTH * self.scale, HEIGHT * self.scale);
        // Up to the picture's edge, where no whole character fits.
        let edge = |last, all, unit, side| match last == all {
            true => side,
            false => last as u32 * unit,
        };
        let (x, y) = (left as u32 * unit.0, top as u32 * unit.1);
        Some(Rectangle {
            x,
            y,
            width: edge(right, columns, unit.0, self.width) - x,
            height: edge(lower, rows, unit.1, self.height) - y,
        })
    }
}

/// As many copies of a value; `None` if there is no memory for them.
fn filled<T: Clone>(value: T, count: usize) -> Option<Vec<T>> {
    let mut all = Vec::new();
    all.try_reserve_exact(count).ok()?;
    all.resize(count, value);
    Some(all)
}

/// The rectangle around all painted cells: left, upper, right, lower edge.
#[derive(Default)]
struct Damage {
    around: Option<(usize, usize, usize, usize)>,
}

impl Damage {
    fn add(&mut self, from: (usize, usize), to: (usize, usize)) {
        let (left, top, right, lower) = self.around.unwrap_or((from.0, from.1, to.0, to.1));
        self.around = Some((
            left.min(from.0),
            top.min(from.1),
            right.max(to.0),
            lower.max(to.1),
        ));
    }
}

/// Paints a character at the beginning of `pixels`, whose rows are `stride` apart.
fn paint(pixels: &mut [u32], stride: usize, scale: usize, cell: Cell, glyph: &[u8]) {
    let foreground = colours::rgb(cell.foreground);
    let background = colours::rgb(cell.background);
    let rows = (0..)
        .zip(glyph)
        .flat_map(|row| core::iter::repeat_n(row, scale));
    for ((number, bits), line) in rows.zip(pixels.chunks_mut(stride)) {
        let bits = match cell.underlined && number == font::UNDERLINE {
            true => 0xFF,
            false => *bits,
        };
        let mut column = 0x80u8;
        let Some(line) = line.get_mut(..WIDTH as usize * scale) else {
            return;
        };
        for square in line.chunks_mut(scale) {
            square.fill(match bits & column == 0 {
                true => background,
                false => foreground,
            });
            column >>= 1;
        }
    }
}

#[cfg(test)]
mod tests;
