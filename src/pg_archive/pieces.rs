//! Rows, INSERT statements and large objects on their way out of an archive, in constant memory.

use std::io::Read;

use crate::archive::{MAX_MEMBER_LENGTH, Piece};
use crate::dump::put_statement;
use crate::objects::Oid;

use super::LargeObjects;
use super::bytes::{Fault, damaged};

/// As long as pieces are, unless one row or statement is longer.
const PIECE_BYTES: usize = 256 << 10;

/// Bytes of a large object that one statement writes: twice as many characters.
const OBJECT_BYTES: usize = 64 << 10;

/// What ends the rows of a table.
const END_OF_ROWS: &[u8] = b"\\.\n";

/// Reads text and gives as much of it as ends where a row or a statement ends.
pub(super) struct TextPieces<R> {
    input: R,
    buffer: Vec<u8>,
    cutter: Cutter,
    is_done: bool,
}

/// Finds the ends.
enum Cutter {
    /// `with_oids`: the first field of each is an OID, and falls away.
    Rows {
        with_oids: bool,
    },
    Statements(Scan),
}

/// How far a text was looked at for the ends of statements.
#[derive(Default)]
struct Scan {
    /// Bytes looked at.
    at: usize,
    /// The quote that is open.
    quote: Option<u8>,
    /// Where the last whole statement ends, and how many there are.
    end: usize,
    count: u64,
    /// The last two bytes of all, which are newlines in a text that is whole.
    tail: [u8; 2],
}

impl<R: Read> TextPieces<R> {
    /// Rows of COPY's text format with the line that ends them.
    pub(super) fn rows(input: R, with_oids: bool) -> Self {
        TextPieces::new(input, Cutter::Rows { with_oids })
    }

    /// INSERT statements as `pg_dump --inserts` writes them, and an empty line.
    pub(super) fn statements(input: R) -> Self {
        TextPieces::new(input, Cutter::Statements(Scan::default()))
    }

    fn new(input: R, cutter: Cutter) -> Self {
        TextPieces {
            input,
            buffer: Vec::new(),
            cutter,
            is_done: false,
        }
    }

    /// The next piece.
    pub(super) fn next(&mut self) -> Result<Option<Piece>, Fault> {
        while !self.is_done {
            let had = self.buffer.len();
            let most = PIECE_BYTES as u64;
            let read = self
                .input
                .by_ref()
                .take(most)
                .read_to_end(&mut self.buffer)?;
            if self.buffer.len() as u64 > MAX_MEMBER_LENGTH {
                return Err(damaged(
                    "a row or statement is longer than any server takes",
                ));
            }
            let piece = match &mut self.cutter {
                Cutter::Rows { with_oids: false } => self.cut_rows(had, read)?,
                Cutter::Rows { with_oids: true } => {
                    let piece = self.cut_rows(had, read)?;
                    piece.map(without_oids).transpose()?
                }
                Cutter::Statements(_) => self.cut_statements(read)?,
            };
            if let Some(piece) = piece {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    fn cut_rows(&mut self, had: usize, read: usize) -> Result<Option<Piece>, Fault> {
        if read == 0 {
            return Err(damaged("its rows are cut off"));
        }
        let Some(last) = memchr::memrchr(b'\n', &self.buffer[had..]) else {
            return Ok(None);
        };
        let end = had + last + 1;
        if let Some(rows) = end_of_rows(&self.buffer[..end]) {
            self.is_done = true;
            let rest = &self.buffer[rows + END_OF_ROWS.len()..];
            let mut more = Vec::new();
            // Two newlines follow; as many bytes are looked at as a piece has, and no further one may be there.
            self.input
                .by_ref()
                .take(PIECE_BYTES as u64)
                .read_to_end(&mut more)?;
            if rest.iter().chain(&more).any(|byte| *byte != b'\n') || more.len() == PIECE_BYTES {
                return Err(damaged("something follows the end of its rows"));
            }
            self.buffer.truncate(rows);
            return Ok(rows_of(std::mem::take(&mut self.buffer)));
        }
        let rest = self.buffer.split_off(end);
        Ok(rows_of(std::mem::replace(&mut self.buffer, rest)))
    }

    fn cut_statements(&mut self, read: usize) -> Result<Option<Piece>, Fault> {
        let Cutter::Statements(scan) = &mut self.cutter else {
            return Ok(None);
        };
        scan.go_on(&self.buffer);
        if read == 0 {
            self.is_done = true;
            let rest = self.buffer.get(scan.end..).unwrap_or_default();
            if scan.tail != *b"\n\n" || !rest.iter().all(u8::is_ascii_whitespace) {
                return Err(damaged("its statements are cut off"));
            }
        }
        if scan.count == 0 {
            return Ok(None);
        }
        let rest = self.buffer.split_off(scan.end);
        let piece = Piece {
            bytes: std::mem::replace(&mut self.buffer, rest).into(),
            count: scan.count,
        };
        scan.at -= scan.end;
        (scan.end, scan.count) = (0, 0);
        Ok(Some(piece))
    }
}

/// Where the line that ends the rows starts.
fn end_of_rows(text: &[u8]) -> Option<usize> {
    if text.starts_with(END_OF_ROWS) {
        return Some(0);
    }
    memchr::memmem::find(text, b"\n\\.\n").map(|at| at + 1)
}

/// Rows without their first field, which is a number.
fn without_oids(piece: Piece) -> Result<Piece, Fault> {
    let mut bytes = Vec::with_capacity(piece.bytes.len());
    for row in piece.bytes.split_inclusive(|byte| *byte == b'\n') {
        let digits = row.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let rest = match (digits, &row[digits..]) {
            (1.., [b'\t', rest @ ..]) => rest,
            // A table without columns.
            (1.., b"\n") => b"\n",
            _ => return Err(damaged("a row has no OID")),
        };
        bytes.extend_from_slice(rest);
    }
    Ok(Piece {
        bytes: bytes.into(),
        count: piece.count,
    })
}

fn rows_of(bytes: Vec<u8>) -> Option<Piece> {
    let count = memchr::memchr_iter(b'\n', &bytes).count() as u64;
    (count > 0).then(|| Piece {
        bytes: bytes.into(),
        count,
    })
}

impl Scan {
    /// Looks at what is new. In such statements there are quotes, doubled inside of quotes, and no comments; a backslash means
    /// nothing, and where it would, pg_dump doubles it.
    fn go_on(&mut self, text: &[u8]) {
        let new = &text[self.at..];
        for &byte in &new[new.len().saturating_sub(2)..] {
            self.tail = [self.tail[1], byte];
        }
        while self.at < text.len() {
            match self.quote {
                Some(quote) => match memchr::memchr(quote, &text[self.at..]) {
                    // A doubled one opens again at once.
                    Some(found) => {
                        self.at += found + 1;
                        self.quote = None;
                    }
                    None => self.at = text.len(),
                },
                None => match memchr::memchr3(b'\'', b'"', b';', &text[self.at..]) {
                    Some(found) => {
                        self.at += found + 1;
                        match text[self.at - 1] {
                            b';' => {
                                self.end = self.at;
                                self.count += 1;
                            }
                            quote => self.quote = Some(quote),
                        }
                    }
                    None => self.at = text.len(),
                },
            }
        }
    }
}

/// Statements that write large objects.
pub(super) struct ObjectPieces {
    objects: LargeObjects,
    /// The object that is being read, and how far.
    current: Option<(u32, i64)>,
    is_done: bool,
}

impl ObjectPieces {
    pub(super) fn new(objects: LargeObjects) -> Self {
        ObjectPieces {
            objects,
            current: None,
            is_done: false,
        }
    }

    /// The next piece.
    pub(super) fn next(&mut self) -> Result<Option<Piece>, Fault> {
        let mut statements = String::new();
        let mut count = 0;
        while !self.is_done && statements.len() < PIECE_BYTES {
            let Some((oid, offset)) = self.current else {
                self.current = self.objects.next()?.map(|oid| (oid, 0));
                self.is_done = self.current.is_none();
                continue;
            };
            let mut chunk = Vec::new();
            let most = OBJECT_BYTES as u64;
            self.objects.by_ref().take(most).read_to_end(&mut chunk)?;
            if chunk.is_empty() {
                self.current = None;
                continue;
            }
            statements.push_str(&put_statement(Oid(oid), offset, &chunk));
            count += 1;
            self.current = Some((oid, offset + i64::try_from(chunk.len()).unwrap_or(i64::MAX)));
        }
        Ok((count > 0).then(|| Piece {
            bytes: statements.into(),
            count,
        }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn all<R: Read>(mut pieces: TextPieces<R>) -> Result<(Vec<u8>, u64, usize), Fault> {
        let (mut text, mut count, mut number) = (Vec::new(), 0, 0);
        while let Some(piece) = pieces.next()? {
            text.extend(piece.bytes);
            count += piece.count;
            number += 1;
        }
        Ok((text, count, number))
    }

    /// Gives few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let length = self.1.min(buffer.len()).min(self.0.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    #[test]
    fn rows_end_with_their_mark() {
        let long: String = (0..100_000)
            .map(|n| format!("{n}\t{}\n", "x".repeat(n % 13)))
            .collect();
        for rows in ["", "1\n", "\n", "a\\\\.\t\\N\n\n", &long] {
            let text = format!("{rows}\\.\n\n\n");
            for step in [100_000, 7] {
                let (found, count, _) =
                    all(TextPieces::rows(Slow(text.as_bytes(), step), false)).unwrap();
                assert!(found == rows.as_bytes());
                assert_eq!(count, rows.matches('\n').count() as u64);
            }
        }
        let (_, _, pieces) = all(TextPieces::rows(
            format!("{long}\\.\n\n\n").as_bytes(),
            false,
        ))
        .unwrap();
        assert!(pieces > 2);
    }

    #[test]
    fn a_row_longer_than_a_piece_is_a_piece() {
        let row = format!("{}\n", "x".repeat(3 * PIECE_BYTES));
        let text = format!("1\n{row}2\n\\.\n\n\n");
        let (found, count, _) = all(TextPieces::rows(text.as_bytes(), false)).unwrap();
        assert_eq!((found.len(), count), (row.len() + 4, 3));
    }

    #[test]
    fn oids_fall_away() {
        let with_oids = |text: &str| all(TextPieces::rows(text.as_bytes(), true));
        let (found, count, _) = with_oids("16384\ta\tb\n16385\t\t\\N\n\\.\n\n\n").unwrap();
        assert_eq!((found.as_slice(), count), (&b"a\tb\n\t\\N\n"[..], 2));
        assert_eq!(with_oids("16384\n\\.\n\n\n").unwrap().0, b"\n");
        assert!(with_oids("a\tb\n\\.\n\n\n").is_err());
    }

    #[test]
    fn rows_without_a_mark_or_with_more_behind_it_are_damaged() {
        for text in [
            "",
            "1\n",
            "1\n\\.",
            "1\n\\.\n2\n",
            "1\n\\.\n\n\nx",
            "1\\.\n\n\n",
        ] {
            let found = all(TextPieces::rows(text.as_bytes(), false));
            assert!(matches!(found, Err(Fault::Damaged(_))), "{text}");
        }
    }

    #[test]
    fn statements_end_outside_of_quotes() {
        let statements =
            "INSERT INTO s.\"t;'\" VALUES (1, 'a;''b\n', E'\\\\');\nINSERT INTO t DEFAULT VALUES;";
        for step in [1, 5, 100_000] {
            let text = format!("{statements}\n\n\n");
            let (found, count, _) =
                all(TextPieces::statements(Slow(text.as_bytes(), step))).unwrap();
            assert_eq!(String::from_utf8(found).unwrap().trim_end(), statements);
            assert_eq!(count, 2);
        }
        assert_eq!(all(TextPieces::statements(&b"\n\n"[..])).unwrap().1, 0);
    }

    #[test]
    fn statements_that_are_cut_are_damaged() {
        let whole = "INSERT INTO t VALUES (1, 'a');\n\n\n";
        for end in 0..whole.len() - 1 {
            let found = all(TextPieces::statements(&whole.as_bytes()[..end]));
            assert!(matches!(found, Err(Fault::Damaged(_))), "{end}");
        }
    }
}
