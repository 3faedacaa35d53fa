//! Reading a script to its end before any of it is run: is it whole, what does it hold, is there anything that is refused?
//! No server is asked, so what a function does to `standard_conforming_strings` is not known here.

use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use regex::bytes::Regex;

use super::command::{Asked, Commands};
use super::input::{Input, Packing};
use super::kind::Kind;
use super::lexer::CopyWith;
use super::script::{Fault, Item, Reading, Script, Statement, count_lines};
use super::{ReplayOptions, refuse_copy_to, refuse_end};
use crate::characters::Characters;
use crate::event::{Event, Events, Phase};
use crate::lexer::StringSyntax;
use crate::{Error, Result};

/// What a script holds.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ScriptSurvey {
    /// How it is stored.
    pub packing: Packing,
    /// Bytes as stored.
    pub stored_bytes: u64,
    /// Bytes of text.
    pub bytes: u64,
    /// Line breaks.
    pub lines: u64,
    /// All but empty ones.
    pub statements: u64,
    /// `COPY ... FROM stdin` among them.
    pub copies: u64,
    /// Lines of rows in them; rows of CSV may have several.
    pub copy_lines: u64,
    /// INSERT, UPDATE and DELETE among the statements.
    pub row_statements: u64,
    /// The backslash commands, each by its name.
    pub commands: Vec<String>,
    /// The databases that it connects to, in turn.
    pub databases: Vec<String>,
    /// Whether it begins or ends transactions.
    pub transactions: bool,
}

/// Bytes of text that are read at once.
pub(super) const PIECE_BYTES: usize = 256 << 10;

/// Reads a script to its end. Blocks.
///
/// # Errors
/// `Damaged` if it is cut off or not text; `Unsupported`, naming line and command, for what a replay would refuse; `Io`.
pub(super) fn survey(
    mut input: Input,
    options: &ReplayOptions,
    events: &Events,
) -> Result<ScriptSurvey> {
    events.phase(Phase::Verify);
    events.emit(Event::Planned {
        items: 0,
        bytes: options.stored_bytes,
    });
    let mut survey = ScriptSurvey::new(input.packing());
    let mut commands = Commands::new(options.follow_connect);
    let mut script = Script::new();
    let mut settings = Settings::default();
    let mut buffer = vec![0; PIECE_BYTES];
    let stored = input.stored_bytes();
    loop {
        let item = script
            .next()
            .map_err(|fault: Fault| fault.into_error(input.name()))?;
        match item {
            None => {
                let length = input.read(&mut buffer)?;
                survey.bytes += length as u64;
                let before = survey.stored_bytes;
                survey.stored_bytes = stored.load(Ordering::Relaxed);
                let bytes = survey.stored_bytes - before;
                events.emit(Event::WorkerAdvanced {
                    worker: 0,
                    rows: 0,
                    bytes,
                });
                match length {
                    0 => script.finish(),
                    _ => script.push(&buffer[..length]),
                }
            }
            Some(Item::Statement(statement)) => {
                survey.statement(&statement, options)?;
                script.set_reading(settings.after(&statement));
            }
            Some(Item::Command(command)) => {
                if let Asked::Connect(database) = commands.obey(&command)? {
                    refuse_connect_in_one(options, command.line)?;
                    settings = Settings::default();
                    script.set_reading(settings.now);
                    survey.databases.push(database);
                }
                let name = format!("\\{}", command.name);
                if !survey.commands.contains(&name) {
                    survey.commands.push(name);
                }
            }
            Some(Item::Rows(rows)) => survey.copy_lines += count_lines(&rows),
            Some(Item::EndOfRows) => {}
            Some(Item::End) => break,
        }
    }
    survey.lines = script.line() - 1;
    Ok(survey)
}

/// `\connect` would leave the transaction.
pub(super) fn refuse_connect_in_one(options: &ReplayOptions, line: u64) -> Result<()> {
    match options.single_transaction {
        true => Err(Error::new(
            crate::ErrorKind::Unsupported,
            format!("line {line}: \\connect cannot be part of a single transaction"),
        )
        .hint("Leave out --single-transaction.")),
        false => Ok(()),
    }
}

impl ScriptSurvey {
    fn new(packing: Packing) -> Self {
        ScriptSurvey {
            packing,
            stored_bytes: 0,
            bytes: 0,
            lines: 0,
            statements: 0,
            copies: 0,
            copy_lines: 0,
            row_statements: 0,
            commands: Vec::new(),
            databases: Vec::new(),
            transactions: false,
        }
    }

    fn statement(&mut self, statement: &Statement, options: &ReplayOptions) -> Result<()> {
        self.statements += 1;
        match statement.copy {
            Some(CopyWith::Script) => self.copies += 1,
            Some(_) => return Err(refuse_copy_to(statement)),
            None => {}
        }
        match Kind::of(&statement.words) {
            Kind::Rows => self.row_statements += 1,
            Kind::Begin | Kind::Commit => self.transactions = true,
            Kind::OtherEnd if options.single_transaction => return Err(refuse_end(statement)),
            Kind::OtherEnd => self.transactions = true,
            Kind::Definition | Kind::Setting | Kind::Alone => {}
        }
        Ok(())
    }
}

/// How SQL is read, as far as the text of statements tells.
#[derive(Clone, Copy, Default)]
struct Settings {
    now: Reading,
    /// Once the transaction is committed: SET LOCAL ends with it.
    committed: Reading,
    /// Once it is rolled back.
    rolled_back: Reading,
    in_transaction: bool,
}

impl Settings {
    fn after(&mut self, statement: &Statement) -> Reading {
        match Kind::of(&statement.words) {
            Kind::Begin => self.in_transaction = true,
            Kind::Commit => self.end(self.committed),
            Kind::OtherEnd => self.end(self.rolled_back),
            Kind::Setting | Kind::Alone => self.set(&statement.text),
            Kind::Rows | Kind::Definition => {}
        }
        self.now
    }

    fn end(&mut self, reading: Reading) {
        *self = Settings {
            now: reading,
            committed: reading,
            rolled_back: reading,
            in_transaction: false,
        };
    }

    fn set(&mut self, statement: &[u8]) {
        let Some((change, is_local)) = setting(statement) else {
            return;
        };
        if is_local && !self.in_transaction {
            return;
        }
        change.apply(&mut self.now);
        if !is_local {
            change.apply(&mut self.committed);
        }
        if !self.in_transaction {
            change.apply(&mut self.rolled_back);
        }
    }
}

/// What a statement changes.
#[derive(Clone, Copy)]
enum Change {
    Strings(StringSyntax),
    Characters(Option<Characters>),
    All,
}

impl Change {
    fn apply(self, reading: &mut Reading) {
        match self {
            Change::Strings(strings) => reading.strings = strings,
            Change::Characters(characters) => reading.characters = characters,
            Change::All => *reading = Reading::default(),
        }
    }

    fn of(name: &[u8], value: &[u8]) -> Change {
        if name.eq_ignore_ascii_case(b"standard_conforming_strings") {
            return Change::Strings(match value.to_ascii_lowercase().as_slice() {
                b"off" | b"false" | b"no" | b"0" | b"of" | b"f" | b"n" => StringSyntax::Escaped,
                _ => StringSyntax::Standard,
            });
        }
        let encoding = Characters::of_encoding(&String::from_utf8_lossy(value));
        Change::Characters(encoding.map(|(_, characters)| characters))
    }
}

/// What a statement changes, and whether for its transaction only.
fn setting(statement: &[u8]) -> Option<(Change, bool)> {
    static SET: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r"(?i)^(?:SET\s+(?:SESSION\s+|(LOCAL)\s+)?(?:(standard_conforming_strings|client_encoding)\s*(?:=|\bTO\b)|(NAMES)\b)\s*'?|SELECT\s.*\bset_config\s*\(\s*'(standard_conforming_strings|client_encoding)'\s*,\s*')([\w-]+)(?:'\s*,\s*(t))?",
        )
        .expect("it is a constant")
    });
    static RESET: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r"(?i)^(?:RESET\s+(standard_conforming_strings|client_encoding|ALL)|DISCARD\s+ALL)\s*;",
        )
        .expect("it is a constant")
    });
    // Settings are short; long statements need not be searched.
    let statement = &statement[..statement.len().min(400)];
    if let Some(found) = RESET.captures(statement) {
        let change = match found.get(1).map(|name| name.as_bytes()) {
            Some(name) if !name.eq_ignore_ascii_case(b"all") => Change::of(name, b""),
            _ => Change::All,
        };
        return Some((change, false));
    }
    let found = SET.captures(statement)?;
    let name = (2..5).find_map(|group| found.get(group))?;
    let is_local = found.get(1).or(found.get(6)).is_some();
    Some((Change::of(name.as_bytes(), &found[5]), is_local))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn survey_of(text: &str, options: &ReplayOptions) -> Result<ScriptSurvey> {
        let reader = std::io::Cursor::new(text.as_bytes().to_vec());
        let input = Input::from_reader(Box::new(reader), "x").unwrap();
        survey(input, options, &Events::none())
    }

    #[test]
    fn a_survey_counts() {
        let text = "\\restrict a\nSET standard_conforming_strings = off;\nINSERT INTO t VALUES ('\\'');\n\
                    COPY t FROM stdin;\n1\n2\n\\.\nSELECT pg_catalog.set_config('standard_conforming_strings', 'on', false);\n\
                    SELECT '\\';\n\\unrestrict a\n\\connect b\n";
        let options = ReplayOptions {
            follow_connect: true,
            ..ReplayOptions::default()
        };
        let survey = survey_of(text, &options).unwrap();
        assert_eq!(
            (
                survey.statements,
                survey.copies,
                survey.copy_lines,
                survey.row_statements,
                survey.lines
            ),
            (5, 1, 2, 1, 11)
        );
        assert_eq!(survey.commands, ["\\restrict", "\\unrestrict", "\\connect"]);
        assert_eq!(survey.databases, ["b"]);
    }

    #[test]
    fn a_survey_follows_the_encoding() {
        let text = b"SET client_encoding = 'SJIS';\nSELECT \x95\\;\nBEGIN;\nSET LOCAL client_encoding TO utf8;\nCOMMIT;\nSELECT \x95\\;\n\
                     RESET client_encoding;\nset names 'win932';\nSELECT \x95\\;\nSELECT set_config('client_encoding', 'UTF8', false);\n";
        let input = Input::from_reader(Box::new(std::io::Cursor::new(&text[..])), "x").unwrap();
        let found = survey(input, &ReplayOptions::default(), &Events::none()).unwrap();
        assert_eq!(found.statements, 10);
        let broken = "SET client_encoding = 'SJIS';\nRESET ALL;\nSELECT \\;\n";
        let refused = survey_of(broken, &ReplayOptions::default()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn what_a_replay_would_refuse_is_found_before() {
        let single = ReplayOptions {
            single_transaction: true,
            ..ReplayOptions::default()
        };
        let plain = ReplayOptions::default();
        for (text, options, kind) in [
            ("SELECT 1;\n\\! id\n", &plain, ErrorKind::Unsupported),
            ("COPY t TO stdout;\n", &plain, ErrorKind::Unsupported),
            ("ROLLBACK;\n", &single, ErrorKind::Unsupported),
            ("SELECT 1;\nSELECT '\n", &plain, ErrorKind::Damaged),
        ] {
            let error = survey_of(text, options).unwrap_err();
            assert_eq!(error.kind(), kind, "{text}: {error}");
        }
        assert!(
            survey_of("BEGIN;\nROLLBACK;\n", &plain)
                .unwrap()
                .transactions
        );
    }
}
