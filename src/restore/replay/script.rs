//! A script as a sequence of statements, commands and rows, from bytes that arrive in pieces. Does no I/O.
//!
//! A statement is held whole, rows never: they pass in pieces, whatever the length of a row.

use bytes::{Buf, Bytes, BytesMut};

use super::lexer::{CopyWith, Found, Lexer, Shape};
use crate::characters::Characters;
use crate::lexer::StringSyntax;
use crate::objects::quote::one_line;
use crate::{Error, ErrorKind};

/// What comes next in a script.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    Statement(Statement),
    Command(Command),
    /// Rows of the COPY that came before.
    Rows(Bytes),
    /// The line `\.` that ends them.
    EndOfRows,
    /// Nothing.
    End,
}

/// A whole statement with its semicolon, in the script's own bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) text: Bytes,
    /// Counts from 1.
    pub(super) line: u64,
    pub(super) words: Vec<String>,
    pub(super) copy: Option<CopyWith>,
}

/// A backslash command with the rest of its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// Without the backslash.
    pub(super) name: String,
    pub(super) arguments: String,
    pub(super) line: u64,
    /// It stands within a statement.
    pub(super) is_within: bool,
}

/// Why a script cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("{what} is opened in line {line} and not closed up to the end")]
    Unclosed { what: &'static str, line: u64 },
    #[error("the last statement, in line {line}, has no semicolon")]
    NoSemicolon { line: u64 },
    #[error("the rows of the COPY in line {line} have no end")]
    NoEndOfRows { line: u64 },
    #[error("pg_dump's last comment is missing")]
    UnfinishedDump,
    #[error("line {line} holds a NUL")]
    Nul { line: u64 },
    #[error("something follows the COPY in line {line} before its rows")]
    BehindCopy { line: u64 },
    #[error("the COPY in line {line} has rows in binary format")]
    BinaryRows { line: u64 },
    #[error("the backslash command in line {line} is too long")]
    LongCommand { line: u64 },
    #[error("it is in UTF-16")]
    Utf16,
    #[error("it is an archive of pg_dump within a compression")]
    PgDump,
    #[error("there is no statement in it")]
    NoStatement,
}

impl Fault {
    /// As an error about the script of this name.
    pub(super) fn into_error(self, name: &str) -> Error {
        let (kind, hint) = match &self {
            Fault::Unclosed { .. } | Fault::NoSemicolon { .. } | Fault::NoEndOfRows { .. } => (
                ErrorKind::Damaged,
                "The script seems to be cut off. Is there another copy?",
            ),
            Fault::UnfinishedDump => (
                ErrorKind::Damaged,
                "pg_dump was stopped or the script is cut off. If it is whole all the same, remove pg_dump's first comment.",
            ),
            Fault::Nul { .. } => (ErrorKind::Damaged, "A script of SQL holds text only."),
            Fault::Utf16 => (
                ErrorKind::Unsupported,
                "Windows PowerShell redirects in UTF-16: dump with pg_dump -f FILE, or convert it with iconv.",
            ),
            Fault::PgDump => (
                ErrorKind::Unsupported,
                "Unpack it, and restore what comes out.",
            ),
            Fault::NoStatement => (
                ErrorKind::Damaged,
                "Did what should have written it fail? Is there another copy?",
            ),
            Fault::BehindCopy { .. } => (
                ErrorKind::Unsupported,
                "Put it into a line behind the rows.",
            ),
            Fault::BinaryRows { .. } => (
                ErrorKind::Unsupported,
                "Their end could not be told from a row: use the text format.",
            ),
            Fault::LongCommand { .. } => (ErrorKind::Unsupported, "Is it a script of SQL?"),
        };
        Error::new(kind, format!("{name} cannot be replayed: {self}"))
            .hint(hint)
            .caused_by(self)
    }
}

/// A backslash command is never longer than this.
const COMMAND_BYTES: usize = 64 << 10;

/// The line that ends rows, with the line break before it.
const END_OF_ROWS: &[u8] = b"\n\\.";

/// The settings by which SQL is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// What `'...'` means: the server's `standard_conforming_strings`.
    pub(super) strings: StringSyntax,
    /// Where characters end, if `client_encoding` is one in which half of one may look like ASCII.
    pub(super) characters: Option<Characters>,
}

impl Default for Reading {
    fn default() -> Self {
        Reading {
            strings: StringSyntax::Standard,
            characters: None,
        }
    }
}

/// Cuts a script into its items.
#[derive(Debug)]
pub(super) struct Script {
    buffer: BytesMut,
    /// The start of the buffer as the lexer may see it, where that is not the same.
    hidden: BytesMut,
    characters: Option<Characters>,
    lexer: Lexer,
    /// The line that the buffer's first byte is in.
    line: u64,
    /// No bytes will come.
    last: bool,
    /// Neither a statement nor a command was found.
    is_empty: bool,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nothing was read.
    Start,
    Sql,
    /// In the rest of the line of a COPY.
    BehindCopy {
        line: u64,
    },
    Rows {
        line: u64,
        at_line_start: bool,
    },
}

impl Script {
    pub(super) fn new() -> Self {
        Script {
            buffer: BytesMut::new(),
            hidden: BytesMut::new(),
            characters: None,
            lexer: Lexer::new(),
            line: 1,
            last: false,
            is_empty: true,
            mode: Mode::Start,
        }
    }

    /// Adds bytes at the end.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Says that all bytes were added.
    pub(super) fn finish(&mut self) {
        self.last = true;
    }

    /// How what follows is read; strings from the next line on.
    pub(super) fn set_reading(&mut self, reading: Reading) {
        self.lexer.set_strings(reading.strings);
        if self.characters != reading.characters {
            self.characters = reading.characters;
            self.hidden.clear();
        }
        if self.mode == Mode::Start {
            self.lexer.skip_to(0);
        }
    }

    /// The line that is read next.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// What comes next; `None` if more bytes are needed. After a COPY with [`CopyWith::Script`] come its rows.
    ///
    /// # Errors
    /// What makes it unreadable from here on.
    pub(super) fn next(&mut self) -> Result<Option<Item>, Fault> {
        loop {
            match self.mode {
                Mode::Start => match self.start()? {
                    true => self.mode = Mode::Sql,
                    false => return Ok(None),
                },
                Mode::Sql => match self.sql()? {
                    Some(Item::Statement(statement)) if statement.text.is_empty() => {}
                    item => return Ok(item),
                },
                Mode::BehindCopy { line } => match self.behind_copy(line)? {
                    true => {
                        self.mode = Mode::Rows {
                            line,
                            at_line_start: true,
                        }
                    }
                    false => return Ok(None),
                },
                Mode::Rows {
                    line,
                    at_line_start,
                } => return self.rows(line, at_line_start),
            }
        }
    }

    /// Looks at the first bytes. `false` if they are not there yet.
    fn start(&mut self) -> Result<bool, Fault> {
        if self.buffer.len() < 5 && !self.last {
            return Ok(false);
        }
        match &self.buffer[..] {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Err(Fault::Utf16),
            [b'P', b'G', b'D', b'M', b'P', ..] => return Err(Fault::PgDump),
            [0xef, 0xbb, 0xbf, ..] => drop(self.buffer.split_to(3)),
            _ => {}
        }
        Ok(true)
    }

    fn sql(&mut self) -> Result<Option<Item>, Fault> {
        let text = match self.characters {
            Some(characters) => {
                characters.hide_tails(&self.buffer, &mut self.hidden, self.last);
                &self.hidden
            }
            None => &self.buffer,
        };
        let found = (self.lexer.advance(text, self.last)).map_err(|unclosed| {
            let line = self.line_at(unclosed.at);
            match unclosed.what {
                "a statement" => Fault::NoSemicolon { line },
                what => Fault::Unclosed { what, line },
            }
        })?;
        match found {
            Found::More => {
                self.take(self.lexer.needed_from());
                Ok(None)
            }
            Found::Statement(shape) => self.statement(shape).map(Some),
            Found::Command { at, within } => self.command(at, within),
            Found::End if self.lexer.is_dump_unfinished() => Err(Fault::UnfinishedDump),
            Found::End if self.is_empty => Err(Fault::NoStatement),
            Found::End => Ok(Some(Item::End)),
        }
    }

    fn statement(&mut self, shape: Shape) -> Result<Item, Fault> {
        self.take(shape.start);
        let line = self.line;
        let text = self.take(shape.end - shape.start);
        if memchr::memchr(0, &text).is_some() {
            return Err(Fault::Nul { line });
        }
        self.is_empty &= shape.is_empty;
        match shape.copy {
            Some(CopyWith::Script) => self.mode = Mode::BehindCopy { line },
            Some(CopyWith::ScriptBinary) => return Err(Fault::BinaryRows { line }),
            Some(CopyWith::Output) | None => {}
        }
        Ok(Item::Statement(Statement {
            // Of the semicolon alone nothing is left.
            text: if shape.is_empty { Bytes::new() } else { text },
            line,
            words: shape.words,
            copy: shape.copy,
        }))
    }

    /// Takes the rest of the line, too.
    fn command(&mut self, at: usize, within: Option<usize>) -> Result<Option<Item>, Fault> {
        let rest = &self.buffer[at..];
        let line = self.line_at(at);
        let length = match memchr::memchr(b'\n', rest) {
            Some(length) => length,
            None if self.last => rest.len(),
            None if rest.len() > COMMAND_BYTES => return Err(Fault::LongCommand { line }),
            None => return Ok(None),
        };
        let text = String::from_utf8_lossy(&rest[1..length]).into_owned();
        let end = text
            .find(|c: char| c.is_ascii_whitespace() || c == '\\')
            .unwrap_or(text.len());
        self.lexer.skip_to(at + length);
        self.is_empty = false;
        if within.is_none() {
            self.take(at + length);
        }
        Ok(Some(Item::Command(Command {
            name: text[..end].to_owned(),
            arguments: text[end..].trim_ascii().to_owned(),
            line,
            is_within: within.is_some(),
        })))
    }

    /// Rows start in the next line; what psql would read behind the semicolon is refused.
    fn behind_copy(&mut self, line: u64) -> Result<bool, Fault> {
        let Some(length) = memchr::memchr(b'\n', &self.buffer) else {
            return match self.last {
                true => Err(Fault::NoEndOfRows { line }),
                false if self.buffer.len() > COMMAND_BYTES => Err(Fault::BehindCopy { line }),
                false => Ok(false),
            };
        };
        let rest = self.buffer[..length].trim_ascii();
        if !rest.is_empty() && !rest.starts_with(b"--") {
            return Err(Fault::BehindCopy { line });
        }
        self.take(length + 1);
        Ok(true)
    }

    /// Passes on what is there, but for what may be the start of the line that ends the rows.
    fn rows(&mut self, line: u64, at_line_start: bool) -> Result<Option<Item>, Fault> {
        let end = find_end_of_rows(&self.buffer, at_line_start, self.last);
        let (length, item) = match end {
            EndOfRows::At { rows: 0, length } => {
                self.take(length);
                self.hidden.clear();
                self.lexer.skip_to(0);
                self.mode = Mode::Sql;
                return Ok(Some(Item::EndOfRows));
            }
            EndOfRows::At { rows, .. } | EndOfRows::Beyond { rows } => (rows, rows > 0),
        };
        if !item {
            return match self.last {
                true => Err(Fault::NoEndOfRows { line }),
                false => Ok(None),
            };
        }
        let rows = self.take(length);
        self.mode = Mode::Rows {
            line,
            at_line_start: rows.ends_with(b"\n"),
        };
        Ok(Some(Item::Rows(rows)))
    }

    /// Takes bytes off the start, and counts their lines.
    fn take(&mut self, count: usize) -> Bytes {
        let taken = self.buffer.split_to(count).freeze();
        self.hidden.advance(count.min(self.hidden.len()));
        self.line += count_lines(&taken);
        if matches!(self.mode, Mode::Start | Mode::Sql) {
            self.lexer.forget(count);
        }
        taken
    }

    fn line_at(&self, at: usize) -> u64 {
        self.line + count_lines(&self.buffer[..at])
    }
}

/// Line breaks in a text.
pub(super) fn count_lines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

#[derive(Debug, PartialEq, Eq)]
enum EndOfRows {
    /// So many bytes are rows, then comes the end, a line of `length` bytes.
    At { rows: usize, length: usize },
    /// So many bytes are rows for sure.
    Beyond { rows: usize },
}

fn find_end_of_rows(text: &[u8], at_line_start: bool, last: bool) -> EndOfRows {
    if at_line_start {
        match end_line(text, last) {
            End::Line(length) => return EndOfRows::At { rows: 0, length },
            End::Unknown => return EndOfRows::Beyond { rows: 0 },
            End::Other => {}
        }
    }
    let mut from = 0;
    while let Some(found) = memchr::memmem::find(&text[from..], END_OF_ROWS) {
        let rows = from + found + 1;
        match end_line(&text[rows..], last) {
            End::Line(length) => return EndOfRows::At { rows, length },
            End::Unknown => return EndOfRows::Beyond { rows },
            End::Other => from = rows,
        }
    }
    // A backslash at the end may be followed by its point; a line break there needs no waiting for.
    match text.ends_with(b"\n\\") && !last {
        true => EndOfRows::Beyond {
            rows: text.len() - 1,
        },
        false => EndOfRows::Beyond { rows: text.len() },
    }
}

enum End {
    Line(usize),
    Other,
    Unknown,
}

/// Whether a line is the one that ends rows. Its own line break may be missing at the end of a file.
fn end_line(text: &[u8], last: bool) -> End {
    match text {
        [b'\\', b'.', b'\n', ..] => End::Line(3),
        [b'\\', b'.', b'\r', b'\n', ..] => End::Line(4),
        [b'\\', b'.'] | [b'\\', b'.', b'\r'] if last => End::Line(text.len()),
        [] | [b'\\'] | [b'\\', b'.'] | [b'\\', b'.', b'\r'] if !last => End::Unknown,
        _ => End::Other,
    }
}

/// The beginning of a statement, for messages: on one line, shortened, and without values.
pub(super) fn beginning(statement: &[u8]) -> String {
    const BYTES: usize = 400;
    const CHARACTERS: usize = 72;
    let text = String::from_utf8_lossy(&statement[..statement.len().min(BYTES)]);
    let mut words = Vec::new();
    let mut characters = 0;
    let mut is_cut = statement.len() > BYTES;
    let stops_at_set = text.len() >= 6 && text.as_bytes()[..6].eq_ignore_ascii_case(b"update");
    for word in text.split_ascii_whitespace() {
        let holds_values = ["values", "where"]
            .iter()
            .any(|w| word.eq_ignore_ascii_case(w))
            || (stops_at_set && word.eq_ignore_ascii_case("set"));
        let value = word.find(['\'', '$']);
        characters += word.chars().count() + 1;
        if holds_values || value == Some(0) || characters > CHARACTERS {
            is_cut = true;
            break;
        }
        words.push(&word[..value.unwrap_or(word.len())]);
        if value.is_some() {
            is_cut = true;
            break;
        }
    }
    let mut shown = words.join(" ");
    shown.truncate(shown.trim_end_matches([';', ' ']).len());
    let shown = one_line(&shown);
    match is_cut {
        true => format!("{shown} ..."),
        false => shown.into_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::lexer::split;
    use proptest::prelude::*;

    /// Everything in a script, given in pieces; what follows `SET strings = off` is read with escapes, `SET encoding` in whole
    /// characters.
    fn read(pieces: &[&[u8]]) -> (Vec<String>, Option<Fault>) {
        let mut script = Script::new();
        let mut pieces = pieces.iter();
        let mut items = Vec::new();
        let mut rows: Option<Vec<u8>> = None;
        let mut reading = Reading::default();
        loop {
            match script.next() {
                Err(fault) => return (items, Some(fault)),
                Ok(None) => match pieces.next() {
                    Some(piece) => script.push(piece),
                    None => script.finish(),
                },
                Ok(Some(Item::End)) => return (items, None),
                Ok(Some(Item::Rows(bytes))) => rows.get_or_insert_default().extend(bytes),
                Ok(Some(Item::EndOfRows)) => {
                    let rows = rows.take().unwrap_or_default();
                    items.push(format!("rows {}", String::from_utf8_lossy(&rows)));
                }
                Ok(Some(Item::Statement(statement))) => {
                    let text = String::from_utf8_lossy(&statement.text);
                    match &*text {
                        "SET strings = off;" => reading.strings = StringSyntax::Escaped,
                        "SET encoding = sjis;" => reading.characters = Some(Characters::Kana),
                        "SET encoding = utf8;" => reading.characters = None,
                        _ => {}
                    }
                    script.set_reading(reading);
                    items.push(format!("{} {text}", statement.line));
                }
                Ok(Some(Item::Command(command))) => items.push(format!(
                    "{} \\{}({}){}",
                    command.line,
                    command.name,
                    command.arguments,
                    if command.is_within { " within" } else { "" }
                )),
            }
        }
    }

    fn items(text: &str) -> Vec<String> {
        let (items, fault) = read(&[text.as_bytes()]);
        let is_whole = matches!(fault, None | Some(Fault::NoStatement));
        assert!(is_whole, "{text}: {fault:?}");
        items
    }

    #[test]
    fn statements_come_with_their_lines() {
        assert_eq!(
            items("\u{feff}-- ;\n\nSELECT 1;;\r\n/* ;\n */ SELECT\n';' ; SELECT 2;"),
            ["3 SELECT 1;", "5 SELECT\n';' ;", "6 SELECT 2;"]
        );
        assert!(items("").is_empty());
        assert!(items(" -- nothing").is_empty());
    }

    #[test]
    fn rows_end_at_a_backslash_and_a_point_alone() {
        assert_eq!(
            items("COPY t (a, \"from\") FROM stdin;\n1\n\\.x\nx\\.\n;'\n\\.\nSELECT 1;"),
            [
                "1 COPY t (a, \"from\") FROM stdin;",
                "rows 1\n\\.x\nx\\.\n;'\n",
                "7 SELECT 1;"
            ]
        );
        assert_eq!(
            items("copy t from STDOUT with (format csv); -- rows\r\n\\.\r\n"),
            ["1 copy t from STDOUT with (format csv);", "rows "]
        );
        assert_eq!(
            items("COPY t FROM stdin;\n1\n\\."),
            ["1 COPY t FROM stdin;", "rows 1\n"]
        );
        // From or to the server's files, or a name that looks alike.
        for text in [
            "COPY t FROM '/f';",
            "COPY stdin FROM '/f' WHERE a IS DISTINCT FROM stdin;",
            "COPY (SELECT a FROM stdin) TO '/f';",
            "COPY t FROM PROGRAM 'stdin';",
        ] {
            assert_eq!(items(text), [format!("1 {text}")]);
        }
    }

    #[test]
    fn commands_take_their_line() {
        assert_eq!(
            items("\\restrict abc\nSELECT 1;\n\\connect -reuse-previous=on \"dbname='x'\"\r\n"),
            [
                "1 \\restrict(abc)",
                "2 SELECT 1;",
                "3 \\connect(-reuse-previous=on \"dbname='x'\")"
            ]
        );
        assert_eq!(items("SELECT 1\n\\g x\n;")[0], "2 \\g(x) within");
        assert_eq!(items("\\!id")[0], "1 \\!id()");
    }

    #[test]
    fn string_syntax_follows_the_server_from_the_next_line_on() {
        assert_eq!(
            items("SELECT '\\';\nSET strings = off; SELECT '\\';\nSELECT '\\';';\n"),
            [
                "1 SELECT '\\';",
                "2 SET strings = off;",
                "2 SELECT '\\';",
                "3 SELECT '\\';';"
            ]
        );
    }

    #[test]
    fn halves_of_characters_are_neither_backslashes_nor_names() {
        let text = b"SET encoding = sjis;\nSELECT \x95\\ AS \x83\\;\nCOPY t FROM stdin;\n\x95\\\n\\.\nSELECT '\x94\\';\n\
                     SET strings = off;\nSELECT '\x94\\', '\\'';\nSET encoding = utf8;\nSELECT 1 \x95\\ 1\n;";
        let (items, fault) = read(&[text]);
        assert_eq!(fault, None);
        let kinds: Vec<&str> = (items
            .iter()
            .map(|item| item.split([';', '(']).next().unwrap()))
        .collect();
        assert_eq!(
            kinds,
            [
                "1 SET encoding = sjis",
                "2 SELECT \u{fffd}\\ AS \u{fffd}\\",
                "3 COPY t FROM stdin",
                "rows \u{fffd}\\\n",
                "6 SELECT '\u{fffd}\\'",
                "7 SET strings = off",
                "8 SELECT '\u{fffd}\\', '\\''",
                "9 SET encoding = utf8",
                "10 \\",
                "10 SELECT 1 \u{fffd}\\ 1\n"
            ]
        );
    }

    #[test]
    fn numbers_are_read_as_newer_psql_does() {
        for text in [
            "SELECT 1e'\\';",
            "SELECT 1.e'\\', .5e'\\', $1e'\\', 0xe'\\';",
            "SELECT 1a$b$;",
            "SELECT a[:e'\\'];",
        ] {
            assert_eq!(items(text).len(), 1, "{text}");
        }
        for text in [
            "SELECT 1$a$;$a$;",
            "SELECT 1..e'\\';';",
            "SELECT a::e'\\';';",
            "SELECT $1$a$;$a$;",
        ] {
            assert_eq!(items(text), [format!("1 {text}")]);
        }
    }

    #[test]
    fn what_is_missing_at_the_end_is_told() {
        let unclosed = |what, line| Fault::Unclosed { what, line };
        for (text, fault) in [
            ("SELECT 1;\nSELECT 2", Fault::NoSemicolon { line: 2 }),
            ("\nSELECT 'a;", unclosed("a string", 2)),
            ("SELECT E'a\\", unclosed("a string", 1)),
            ("SELECT \"a;", unclosed("a quoted name", 1)),
            ("SELECT 1,\n$a$ $b$;", unclosed("a dollar-quoted string", 2)),
            ("SELECT (1;", unclosed("a parenthesis", 1)),
            ("/* /* */ ;", unclosed("a comment", 1)),
            (
                "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1;",
                unclosed("a function's body", 1),
            ),
            ("COPY t FROM stdin;\n1\n", Fault::NoEndOfRows { line: 1 }),
            ("COPY t FROM stdin;", Fault::NoEndOfRows { line: 1 }),
            (
                "COPY t FROM stdin; SELECT 1;\n",
                Fault::BehindCopy { line: 1 },
            ),
            (
                "COPY t FROM stdin (FORMAT binary);\n",
                Fault::BinaryRows { line: 1 },
            ),
            (
                "--\n-- PostgreSQL database dump\n--\nSELECT 1;\n",
                Fault::UnfinishedDump,
            ),
            ("SELECT '\0';", Fault::Nul { line: 1 }),
            ("PGDMP...", Fault::PgDump),
            ("", Fault::NoStatement),
            (" -- none\n;\n", Fault::NoStatement),
        ] {
            assert_eq!(read(&[text.as_bytes()]).1, Some(fault), "{text}");
        }
        let whole = "--\n-- PostgreSQL database dump\n--\nSELECT 1;\n-- PostgreSQL database dump complete\n--\n";
        assert_eq!(items(whole), ["4 SELECT 1;"]);
    }

    #[test]
    fn beginnings_hold_no_values() {
        assert_eq!(
            beginning(b"INSERT INTO public.t\n (a) VALUES (1);"),
            "INSERT INTO public.t (a) ..."
        );
        assert_eq!(beginning(b"UPDATE t SET a = 1;"), "UPDATE t ...");
        assert_eq!(beginning(b"SELECT f('secret');"), "SELECT f( ...");
        assert_eq!(beginning(b"DROP TABLE t;"), "DROP TABLE t");
    }

    /// Pieces of scripts, whose seams matter.
    fn scripts() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[\\\\'\"$_a1;:\\n\\-/*() {}?eEUX&.b\u{e9}]{0,12}",
            Just("SELECT 1;\n".to_owned()),
            Just("COPY t FROM stdin;\n".to_owned()),
            Just("\n\\.\n".to_owned()),
            Just("\\.\r\n".to_owned()),
            Just("SET strings = off;\n".to_owned()),
            Just("SET encoding = sjis;\n".to_owned()),
            Just("SET encoding = utf8;\n".to_owned()),
            Just("CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE END; END;".to_owned()),
            Just("'a'\n -- c\n 'b'".to_owned()),
            Just("U&'\\' E'\\'' $tag$ $tag $tag$".to_owned()),
            Just("-- PostgreSQL database dump\n".to_owned()),
            Just("-- PostgreSQL database dump complete\n".to_owned()),
            Just("\\connect x\n".to_owned()),
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn seams_change_nothing(text in scripts(), cuts in proptest::collection::vec(0_usize..200, 0..12)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
            let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
            let whole = read(&[bytes]);
            // The line of what is not closed is that of the bytes still there.
            let same = |other: (Vec<String>, Option<Fault>)| {
                other.0 == whole.0 && other.1.as_ref().map(std::mem::discriminant) == whole.1.as_ref().map(std::mem::discriminant)
            };
            prop_assert!(same(read(&pieces)), "{:?}", pieces);
            prop_assert!(same(read(&bytewise)));
        }

        #[test]
        fn whatever_the_guard_lets_through_is_cut_alike(text in scripts()) {
            let Ok(ranges) = split(&text, StringSyntax::Standard) else { return Ok(()) };
            let statements: Vec<&str> = ranges.into_iter().map(|range| &text[range]).filter(|text| *text != ";").collect();
            if text.contains("COPY") || text.contains("SET ") { return Ok(()) }
            let (items, _) = read(&[text.as_bytes()]);
            let items: Vec<&str> = items.iter().filter_map(|item| item.split_once(' ')).map(|(_, text)| text).collect();
            prop_assert_eq!(items, statements);
        }
    }
}
