//! The text: cells, the cursor, colours, and the effect of control sequences on them (ECMA-48; the
//! private ones as in xterm).

use crate::colours::{self, BLACK, WHITE};
use crate::{Cell, filled, font};
use alloc::vec::Vec;
use vte::{Params, Perform};

/// Distance of tabulator stops in columns.
const TAB: usize = 8;
const BLANK: Cell = Cell {
    glyph: b' ' as u16,
    foreground: WHITE,
    background: BLACK,
    underlined: false,
};

/// The rendition of the text printed next.
#[derive(Clone, Copy)]
struct Pen {
    foreground: u8,
    background: u8,
    bold: bool,
    underlined: bool,
    inverse: bool,
}

const DEFAULT_PEN: Pen = Pen {
    foreground: WHITE,
    background: BLACK,
    bold: false,
    underlined: false,
    inverse: false,
};

/// Column and row, from 0.
#[derive(Clone, Copy, Default)]
struct Place {
    column: usize,
    row: usize,
}

pub struct Screen {
    /// Row by row; the maximum number, of which the first are used.
    cells: Vec<Cell>,
    columns: usize,
    rows: usize,
    /// Index in `cells` of the upper row; the others follow it, wrapping around. Scrolling changes
    /// this number and moves no cells: programs print many lines.
    first: usize,
    at: Place,
    /// The last column was printed in: the next character begins a line.
    wraps: bool,
    pen: Pen,
    saved: (Place, Pen),
    /// The scrolling region: the first row, and the one after the last.
    region: (usize, usize),
    cursor_hidden: bool,
    /// The row that must not leave the screen.
    held: Option<usize>,
    /// It would have to: nothing is printed any more.
    full: bool,
}

impl Screen {
    /// One cell, and room for as many; `None` if there is no memory for them.
    pub fn new(cells: usize) -> Option<Self> {
        Some(Self {
            cells: filled(BLANK, cells)?,
            columns: 1,
            rows: 1,
            first: 0,
            at: Place::default(),
            wraps: false,
            pen: DEFAULT_PEN,
            saved: (Place::default(), DEFAULT_PEN),
            region: (0, 1),
            cursor_hidden: false,
            held: None,
            full: false,
        })
    }

    /// Changes the size, as far as there is room.
    pub fn resize(&mut self, columns: usize, rows: usize) {
        let columns = columns.clamp(1, self.cells.len());
        let rows = rows.clamp(1, self.cells.len() / columns);
        if (columns, rows) == self.size() {
            return;
        }
        // The rows above the cursor that don't fit are dropped, except held ones.
        let gone = (self.at.row + 1).saturating_sub(rows);
        let gone = self.held.map_or(gone, |held| gone.min(held));
        let kept = (self.rows - gone).min(rows);
        let used = self.rows * self.columns;
        let first = core::mem::take(&mut self.first) * self.columns;
        if let Some(used) = self.cells.get_mut(..used) {
            used.rotate_left(first);
        }
        let common = columns.min(self.columns);
        // Each row moves as a whole. Those that move to lower indices first, then the others from
        // the end: none is overwritten before it has moved.
        let from = |row: usize| (row + gone) * self.columns;
        for row in (0..kept).filter(|row| row * columns <= from(*row)) {
            let start = from(row);
            self.cells.copy_within(start..start + common, row * columns);
        }
        let later = (0..kept).rev().filter(|row| row * columns > from(*row));
        for row in later {
            let start = from(row);
            self.cells.copy_within(start..start + common, row * columns);
        }
        (self.columns, self.rows) = (columns, rows);
        for row in 0..rows {
            let used = if row < kept { common } else { 0 };
            self.erase(row, used, columns);
        }
        self.held = self.held.map(|row| row - gone);
        self.region = (0, rows);
        self.at.row -= gone;
        self.full |= self.held.is_some() && self.at.row >= rows;
        // There may be room now after the last character.
        let behind = self.at.column + usize::from(self.wraps);
        self.go(behind, self.at.row);
        self.wraps = behind >= columns;
        self.saved.0 = Place::default();
    }

    /// Columns and rows.
    pub fn size(&self) -> (usize, usize) {
        (self.columns, self.rows)
    }

    /// Column and row of the cursor.
    pub fn cursor(&self) -> (usize, usize) {
        (self.at.column, self.at.row)
    }

    /// The displayed contents of a cell: the cursor is an underline.
    pub fn shown(&self, column: usize, row: usize) -> Cell {
        let cell = self.cells.get(self.start(row) + column);
        let mut cell = *cell.unwrap_or(&BLANK);
        cell.underlined |= !self.cursor_hidden && !self.full && (column, row) == self.cursor();
        cell
    }

    /// The lines from here on are retained, see `Terminal::begin_report`.
    pub fn hold(&mut self) {
        self.pen = DEFAULT_PEN;
        self.region = (0, self.rows);
        if self.at.column > 0 {
            self.execute(b'\n');
        }
        self.held = Some(self.at.row);
    }

    /// The index in `cells` of a row's beginning.
    fn start(&self, row: usize) -> usize {
        (self.first + row) % self.rows * self.columns
    }

    fn line(&mut self, row: usize) -> &mut [Cell] {
        let start = self.start(row);
        let line = self.cells.get_mut(start..start + self.columns);
        line.unwrap_or_default()
    }

    /// Makes the columns from `from` to before `to` of a row blank.
    fn erase(&mut self, row: usize, from: usize, to: usize) {
        let blank = self.blank();
        let to = to.min(self.columns);
        if let Some(part) = self.line(row).get_mut(from..to) {
            part.fill(blank);
        }
    }

    fn erase_rows(&mut self, from: usize, to: usize) {
        for row in from..to.min(self.rows) {
            self.erase(row, 0, self.columns);
        }
    }

    /// Erased cells have the current background.
    fn blank(&self) -> Cell {
        Cell {
            background: self.pen.background,
            ..BLANK
        }
    }

    fn go(&mut self, column: usize, row: usize) {
        self.wraps = false;
        self.at = Place {
            column: column.min(self.columns - 1),
            row: row.min(self.rows - 1),
        };
    }

    /// Moves the rows from `top` to before `lower` up; the last `count` become blank.
    fn scroll_up(&mut self, top: usize, lower: usize, count: usize) {
        let count = count.min(lower.saturating_sub(top));
        if let Some(held) = self.held {
            if held < count {
                self.full = true;
                return;
            }
            self.held = Some(held - count);
        }
        if (top, lower) == (0, self.rows) {
            self.first = (self.first + count) % self.rows;
        } else {
            for row in top..lower - count {
                self.copy_row(row + count, row);
            }
        }
        self.erase_rows(lower - count, lower);
    }

    /// Moves the rows from `top` to before `lower` down; the first `count` become blank.
    fn scroll_down(&mut self, top: usize, lower: usize, count: usize) {
        let count = count.min(lower.saturating_sub(top));
        for row in (top..lower - count).rev() {
            self.copy_row(row, row + count);
        }
        self.erase_rows(top, top + count);
    }

    fn copy_row(&mut self, from: usize, to: usize) {
        let (from, to) = (self.start(from), self.start(to));
        self.cells.copy_within(from..from + self.columns, to);
    }

    fn line_feed(&mut self) {
        self.wraps = false;
        let (top, lower) = self.region;
        if self.at.row + 1 == lower {
            self.scroll_up(top, lower, 1);
        } else if self.at.row + 1 < self.rows {
            self.at.row += 1;
        }
    }

    fn reverse_line_feed(&mut self) {
        self.wraps = false;
        let (top, lower) = self.region;
        if self.at.row == top {
            self.scroll_down(top, lower, 1);
        } else {
            self.at.row = self.at.row.saturating_sub(1);
        }
    }

    /// Shifts the cells from the cursor on by `count` columns to the right, or to the left.
    fn shift(&mut self, count: usize, right: bool) {
        let (column, columns) = (self.at.column, self.columns);
        let count = count.min(columns - column);
        let line = self.line(self.at.row);
        if right {
            line.copy_within(column..columns - count, column + count);
            self.erase(self.at.row, column, column + count);
        } else {
            line.copy_within(column + count.., column);
            self.erase(self.at.row, columns - count, columns);
        }
        self.wraps = false;
    }

    /// ED: from the cursor on, up to it, or all.
    fn erase_display(&mut self, which: usize) {
        let Place { column, row } = self.at;
        match which {
            0 => {
                self.erase(row, column, self.columns);
                self.erase_rows(row + 1, self.rows);
            }
            1 => {
                self.erase_rows(0, row);
                self.erase(row, 0, column + 1);
            }
            2 | 3 => self.erase_rows(0, self.rows),
            _ => {}
        }
    }

    /// EL: the same within the line.
    fn erase_line(&mut self, which: usize) {
        let Place { column, row } = self.at;
        match which {
            0 => self.erase(row, column, self.columns),
            1 => self.erase(row, 0, column + 1),
            2 => self.erase(row, 0, self.columns),
            _ => {}
        }
    }

    /// SGR.
    fn colour(&mut self, params: &Params) {
        let mut params = params.iter();
        while let Some(param) = params.next() {
            let code = param.first().copied().unwrap_or(0);
            match code {
                0 => self.pen = DEFAULT_PEN,
                1 => self.pen.bold = true,
                // `4:0` is none, `4:1` and others are styles of lines.
                4 => self.pen.underlined = param.get(1) != Some(&0),
                7 => self.pen.inverse = true,
                22 => self.pen.bold = false,
                24 => self.pen.underlined = false,
                27 => self.pen.inverse = false,
                30..=37 => self.pen.foreground = (code - 30) as u8,
                39 => self.pen.foreground = WHITE,
                40..=47 => self.pen.background = (code - 40) as u8,
                49 => self.pen.background = BLACK,
                90..=97 => self.pen.foreground = (code - 82) as u8,
                100..=107 => self.pen.background = (code - 92) as u8,
                38 | 48 => {
                    // `38;5;n` as parameters, or `38:5:n` as one.
                    let within = param.get(1..).unwrap_or_default();
                    let colour = match within.is_empty() {
                        true => extended(|| params.next()?.first().copied()),
                        false => {
                            // `38:2::r:g:b` also has a colour space (ITU-T T.416, 13.1.8).
                            let space = within.first() == Some(&2) && within.len() >= 5;
                            let within = within.iter().copied().enumerate();
                            let mut within = within.filter(|(at, _)| !(space && *at == 1));
                            extended(|| within.next().map(|(_, value)| value))
                        }
                    };
                    match (colour, code) {
                        (Some(colour), 38) => self.pen.foreground = colour,
                        (Some(colour), _) => self.pen.background = colour,
                        (None, _) => {}
                    }
                }
                _ => {}
            }
        }
    }
}

/// The colour that follows `38` or `48`.
fn extended(mut next: impl FnMut() -> Option<u16>) -> Option<u8> {
    match next()? {
        5 => u8::try_from(next()?).ok(),
        2 => Some(colours::nearest([next()?, next()?, next()?])),
        _ => None,
    }
}

impl Perform for Screen {
    fn print(&mut self, character: char) {
        // vte takes C1 controls for characters if a write splits them.
        if character.is_control() {
            return;
        }
        if self.wraps && !self.full {
            self.at.column = 0;
            self.line_feed();
        }
        if self.full {
            return;
        }
        let pen = self.pen;
        // Bold letters of the dark colours are bright, as programs expect.
        let bright = pen.bold && pen.foreground < 8;
        let foreground = pen.foreground + if bright { 8 } else { 0 };
        let (foreground, background) = match pen.inverse {
            true => (pen.background, foreground),
            false => (foreground, pen.background),
        };
        let Place { column, row } = self.at;
        let cell = Cell {
            glyph: font::glyph_of(character) + if pen.bold { font::BOLD } else { 0 },
            foreground,
            background,
            underlined: pen.underlined,
        };
        if let Some(place) = self.line(row).get_mut(column) {
            *place = cell;
        }
        if column + 1 < self.columns {
            self.at.column += 1;
        } else {
            self.wraps = true;
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            8 => self.go(self.at.column.saturating_sub(1), self.at.row),
            b'\t' => self.go((self.at.column / TAB + 1) * TAB, self.at.row),
            b'\n' | 0x0B | 0x0C => {
                self.at.column = 0;
                self.line_feed();
            }
            b'\r' => self.go(0, self.at.row),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], _: bool, action: char) {
        let nth = |n: usize| {
            let param = params.iter().nth(n);
            usize::from(param.and_then(|param| param.first().copied()).unwrap_or(0))
        };
        // Missing ones are 1, and so are zeros.
        let count = nth(0).max(1);
        let Place { column, row } = self.at;
        match (intermediates, action) {
            (b"?", 'h' | 'l') if nth(0) == 25 => self.cursor_hidden = action == 'l',
            (b"", 'A') => self.go(column, row.saturating_sub(count)),
            (b"", 'B' | 'e') => self.go(column, row + count),
            (b"", 'C' | 'a') => self.go(column + count, row),
            (b"", 'D') => self.go(column.saturating_sub(count), row),
            (b"", 'E') => self.go(0, row + count),
            (b"", 'F') => self.go(0, row.saturating_sub(count)),
            (b"", 'G' | '`') => self.go(count - 1, row),
            (b"", 'd') => self.go(column, count - 1),
            (b"", 'H' | 'f') => self.go(nth(1).max(1) - 1, count - 1),
            (b"", 'J') => self.erase_display(nth(0)),
            (b"", 'K') => self.erase_line(nth(0)),
            (b"", '@') => self.shift(count, true),
            (b"", 'P') => self.shift(count, false),
            (b"", 'X') => self.erase(row, column, column + count),
            (b"", 'L' | 'M') => {
                let (top, lower) = self.region;
                match action {
                    _ if !(top..lower).contains(&row) => {}
                    'L' => self.scroll_down(row, lower, count),
                    _ => self.scroll_up(row, lower, count),
                }
            }
            (b"", 'S') => self.scroll_up(self.region.0, self.region.1, count),
            (b"", 'T') => self.scroll_down(self.region.0, self.region.1, count),
            (b"", 'm') => self.colour(params),
            (b"", 'r') => {
                let lower = match nth(1) {
                    0 => self.rows,
                    lower => lower.min(self.rows),
                };
                if count < lower {
                    self.region = (count - 1, lower);
                    self.go(0, 0);
                }
            }
            (b"", 's') => self.saved = (self.at, self.pen),
            (b"", 'u') => self.restore(),
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _: bool, byte: u8) {
        match (intermediates, byte) {
            (b"", b'7') => self.saved = (self.at, self.pen),
            (b"", b'8') => self.restore(),
            (b"", b'D') => self.line_feed(),
            (b"", b'E') => {
                self.at.column = 0;
                self.line_feed();
            }
            (b"", b'M') => self.reverse_line_feed(),
            (b"", b'c') => {
                self.pen = DEFAULT_PEN;
                self.region = (0, self.rows);
                self.cursor_hidden = false;
                self.erase_rows(0, self.rows);
                self.go(0, 0);
            }
            _ => {}
        }
    }
}

impl Screen {
    fn restore(&mut self) {
        let (at, pen) = self.saved;
        self.pen = pen;
        self.go(at.column, at.row);
    }
}
