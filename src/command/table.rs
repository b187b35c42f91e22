//! Columns of text for people.

use std::io::{self, Write};

/// How a cell looks on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Tint {
    #[default]
    Plain,
    Good,
    Bad,
    Faint,
    Bold,
}

impl Tint {
    fn code(self) -> &'static str {
        match self {
            Tint::Plain => "",
            Tint::Good => "\x1b[32m",
            Tint::Bad => "\x1b[31m",
            Tint::Faint => "\x1b[2m",
            Tint::Bold => "\x1b[1m",
        }
    }
}

/// A cell of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    text: String,
    tint: Tint,
}

impl Cell {
    pub(super) fn new(text: impl Into<String>, tint: Tint) -> Self {
        Cell { text: text.into(), tint }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::new(text, Tint::Plain)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::new(text, Tint::Plain)
    }
}

/// Rows of as many cells as there are columns; the last column may be as wide as it likes.
#[derive(Debug)]
pub(super) struct Table<const COLUMNS: usize> {
    /// The most letters of a cell, column by column.
    limits: [usize; COLUMNS],
    rows: Vec<[Cell; COLUMNS]>,
}

/// The gap between columns.
const GAP: usize = 2;

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(super) fn new(heads: [&str; COLUMNS], limits: [usize; COLUMNS]) -> Self {
        Table { limits, rows: vec![heads.map(|head| Cell::new(head, Tint::Bold))] }
    }

    pub(super) fn push(&mut self, row: [Cell; COLUMNS]) {
        self.rows.push(row);
    }

    /// Writes the table, no line of it longer than `width` letters. Columns without any text but their head are left out.
    pub(super) fn write(
        &self,
        out: &mut dyn Write,
        coloured: bool,
        width: Option<usize>,
    ) -> io::Result<()> {
        let width_of = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].text.chars().count());
            cells.max().unwrap_or(0).min(self.limits[column])
        };
        let is_shown =
            |column: usize| self.rows.iter().skip(1).any(|row| !row[column].text.is_empty());
        let shown: Vec<(usize, usize)> = (0..COLUMNS)
            .filter(|column| is_shown(*column))
            .map(|column| (column, width_of(column)))
            .collect();
        let Some((last, _)) = shown.last().copied() else { return Ok(()) };
        for row in &self.rows {
            let mut used = 0;
            for (column, most) in &shown {
                let cell = &row[*column];
                let room = width.map_or(usize::MAX, |width| width.saturating_sub(used));
                let most = if *column == last { room } else { (*most).min(room) };
                let text = shortened(&cell.text, most);
                let letters = text.chars().count();
                let pad =
                    if *column == last { 0 } else { (most - letters + GAP).min(room - letters) };
                match cell.tint.code() {
                    code if coloured && !code.is_empty() && letters > 0 => {
                        write!(out, "{code}{text}\x1b[0m{:pad$}", "")?;
                    }
                    _ => write!(out, "{text}{:pad$}", "")?,
                }
                used += letters + pad;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

/// At most `most` letters, the last a mark where something is missing.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut text: String = text.chars().take(most.saturating_sub(1)).collect();
    if most > 0 {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(coloured: bool, width: Option<usize>) -> String {
        let mut table = Table::new(["A", "EMPTY", "LAST"], [4, 9, usize::MAX]);
        table.push(["ab".into(), "".into(), "some words".into()]);
        table.push([Cell::new("abcdef", Tint::Bad), "".into(), "x".into()]);
        let mut out = Vec::new();
        table.write(&mut out, coloured, width).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        assert_eq!(written(false, None), "A     LAST\nab    some words\nabc…  x\n");
    }

    #[test]
    fn no_line_is_longer_than_the_terminal_is_wide() {
        assert_eq!(written(false, Some(10)), "A     LAST\nab    som…\nabc…  x\n");
        for width in 0..20 {
            for line in written(false, Some(width)).lines() {
                assert!(line.chars().count() <= width, "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn colours_do_not_count_as_letters() {
        let text = written(true, Some(10));
        assert!(text.contains("\x1b[31mabc…\x1b[0m  x"), "{text:?}");
    }
}
