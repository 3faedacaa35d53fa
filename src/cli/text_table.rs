//! Aligned columns for people.

use std::io::{self, Write};

/// Where a column's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Lines of cells under a head. Widths count characters.
pub(super) struct TextTable {
    aligns: Vec<Align>,
    lines: Vec<Vec<String>>,
}

impl TextTable {
    pub(super) fn new(head: &[(&str, Align)]) -> Self {
        TextTable {
            aligns: head.iter().map(|(_, align)| *align).collect(),
            lines: vec![head.iter().map(|(name, _)| (*name).to_owned()).collect()],
        }
    }

    pub(super) fn push(&mut self, cells: Vec<String>) {
        self.lines.push(cells);
    }

    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let widths = self.widths();
        for cells in &self.lines {
            let mut line = String::new();
            for ((cell, align), width) in cells.iter().zip(&self.aligns).zip(&widths) {
                match align {
                    Align::Left => line.push_str(&format!("{cell:<width$}  ")),
                    Align::Right => line.push_str(&format!("{cell:>width$}  ")),
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| {
            let cells = self.lines.iter().filter_map(|cells| cells.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        (0..self.aligns.len()).map(width).collect()
    }
}

/// A number of things: `1 table`, `2 tables`.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", noun(number, one, many))
}

/// What so many things are called.
pub(super) fn noun<'a>(number: u64, one: &'a str, many: &'a str) -> &'a str {
    if number == 1 { one } else { many }
}

/// `read 1.2 MiB of 1.0 GiB`: how much of an archive it took. Of a small one, what stands before the end is read with it, and again.
pub(super) fn share_read(read: u64, size: u64) -> String {
    format!("read {} of {}", bytes(read.min(size)), bytes(size))
}

/// A number of bytes: `999 B`, `1.2 MiB`.
#[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_one_and_no_more_is_read_than_there_is() {
        assert_eq!(count(1, "row", "rows"), "1 row");
        assert_eq!(count(0, "row", "rows"), "0 rows");
        assert_eq!(share_read(3000, 2000), "read 2.0 KiB of 2.0 KiB");
    }

    #[test]
    fn columns_are_aligned_without_trailing_spaces() {
        let mut table = TextTable::new(&[
            ("ID", Align::Right),
            ("NAME", Align::Left),
            ("ROWS", Align::Right),
        ]);
        table.push(vec!["7".into(), "größe".into(), "12".into()]);
        table.push(vec!["100".into(), "t".into(), String::new()]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            " ID  NAME   ROWS\n  7  größe    12\n100  t\n"
        );
    }

    #[test]
    fn bytes_change_their_unit() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes((1 << 20) - 1), "1.0 MiB");
        assert_eq!(bytes(5 << 39), "2.5 TiB");
    }
}
