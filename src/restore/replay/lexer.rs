//! psql's lexical rules over text that arrives in pieces, cut anywhere: where a statement ends, where a backslash command starts.
//!
//! [`crate::lexer`] reads whole statements and refuses whatever versions of psql would read differently. Here the text is
//! somebody else's, and is read as psql 16 and later read it. Every state can be left at any byte and entered again, so
//! no text is read twice, however long its strings are.

use crate::lexer::{Head, StringSyntax};

/// What stands next in the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// More bytes are needed to tell.
    More,
    /// A statement, from its first byte up to and with its semicolon.
    Statement(Shape),
    /// A backslash outside of quotes.
    Command {
        /// Where the backslash is.
        at: usize,
        /// Where the statement starts that it stands in, if it stands in one.
        within: Option<usize>,
    },
    /// Nothing, and everything is closed.
    End,
}

/// A whole statement, as far as its words tell what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Its first words without quotes, in lower case.
    pub(super) words: Vec<String>,
    pub(super) copy: Option<CopyWith>,
    /// Nothing but the semicolon.
    pub(super) is_empty: bool,
}

/// Where the rows of a COPY come from or go to, if not to a file of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CopyWith {
    /// The rows follow in the script.
    Script,
    /// As bytes of the binary format, whose end psql does not look for.
    ScriptBinary,
    /// Standard output.
    Output,
}

/// Something is opened at a byte and not closed at the end of the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unclosed {
    pub(super) what: &'static str,
    pub(super) at: usize,
}

/// How many words of a statement are kept, and how much of each.
const WORDS: usize = 5;
const WORD_BYTES: usize = 32;

/// A comment line longer than this is none of pg_dump's marks, a tag of dollar quotes longer than this nobody's.
const LINE_BYTES: usize = 4096;

/// So much of a comment between statements is kept.
const COMMENT_BYTES: usize = 1 << 20;

/// Reads a text of which it is always given the same window, to which bytes are added at the end, or from which
/// bytes are taken at the start ([`Lexer::forget`]).
#[derive(Debug)]
pub(super) struct Lexer {
    state: State,
    /// The first byte that is not read yet.
    at: usize,
    open: Option<Open>,
    strings: StringSyntax,
    /// From the next line on: psql asks the server for it once a line.
    strings_of_next_line: StringSyntax,
    word: Vec<u8>,
    /// Dumps that a comment of pg_dump began and none completed.
    unfinished_dumps: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Base,
    /// `start` while it may be one of pg_dump's marks.
    LineComment {
        start: Option<usize>,
    },
    BlockComment {
        opened: usize,
        depth: usize,
    },
    Quoted {
        opened: usize,
        kind: Kind,
        escaped: bool,
    },
    /// Behind a quote: the string may go on. White space with a line break lets it, a second quote at once doubles it.
    AfterQuote {
        opened: usize,
        kind: Kind,
        immediately: bool,
        newline: bool,
        comment: bool,
    },
    Name {
        opened: usize,
    },
    Dollar {
        opened: usize,
        tag: Vec<u8>,
    },
    Word,
    /// `name`: letters were seen, so that a dollar goes on. `parameter`: no fraction follows.
    Number {
        name: bool,
        parameter: bool,
    },
    /// Behind the point of a number.
    Fraction,
    Variable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Escape,
    Bits,
}

/// A statement that is being read.
#[derive(Debug, Default)]
struct Open {
    start: usize,
    words: Vec<String>,
    head: Head,
    parentheses: usize,
    blocks: usize,
    /// Where the first of them was opened.
    opened: usize,
    copy: Copy,
    binary: bool,
    has_tokens: bool,
}

/// How far `COPY ... FROM STDIN` is read, outside of parentheses. The server takes STDOUT for STDIN, and the reverse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Copy {
    #[default]
    Other,
    Start,
    From,
    To,
    FromClient,
    ToClient,
}

impl Lexer {
    pub(super) fn new() -> Self {
        Lexer {
            state: State::Base,
            at: 0,
            open: None,
            strings: StringSyntax::Standard,
            strings_of_next_line: StringSyntax::Standard,
            word: Vec::new(),
            unfinished_dumps: 0,
        }
    }

    /// What `'...'` means from the next line on.
    pub(super) fn set_strings(&mut self, strings: StringSyntax) {
        self.strings_of_next_line = strings;
    }

    /// Whether pg_dump began a dump that it did not complete. Its plain scripts say both, in comments.
    pub(super) fn is_dump_unfinished(&self) -> bool {
        self.unfinished_dumps > 0
    }

    /// Bytes before this one are not needed any more.
    pub(super) fn needed_from(&self) -> usize {
        let comment = match self.state {
            State::LineComment { start: Some(start) } => start,
            // Its line is told if it has no end.
            State::BlockComment { opened, .. } if self.at - opened < COMMENT_BYTES => opened,
            _ => self.at,
        };
        self.open.as_ref().map_or(comment, |open| open.start)
    }

    /// The window lost `count` bytes at its start, none of which is needed.
    pub(super) fn forget(&mut self, count: usize) {
        self.at -= count;
        if let Some(open) = &mut self.open {
            open.start -= count;
            open.opened = open.opened.saturating_sub(count);
        }
        match &mut self.state {
            State::LineComment { start: Some(start) } => *start -= count,
            // Of a comment between statements the start may be gone: only its line was wanted.
            State::BlockComment { opened, .. }
            | State::Quoted { opened, .. }
            | State::AfterQuote { opened, .. }
            | State::Name { opened }
            | State::Dollar { opened, .. } => *opened = opened.saturating_sub(count),
            _ => {}
        }
    }

    /// Goes on behind bytes that were not SQL: a command, rows.
    pub(super) fn skip_to(&mut self, at: usize) {
        self.at = at;
        self.strings = self.strings_of_next_line;
    }

    /// Reads on. `last`: no bytes will be added to the window.
    ///
    /// # Errors
    /// What is open at the end.
    pub(super) fn advance(&mut self, text: &[u8], last: bool) -> Result<Found, Unclosed> {
        loop {
            let step = match self.state.clone() {
                State::Base => self.base(text, last),
                State::LineComment { start } => self.line_comment(text, start, last),
                State::BlockComment { opened, depth } => {
                    self.block_comment(text, opened, depth, last)
                }
                State::Quoted {
                    opened,
                    kind,
                    escaped,
                } => self.quoted(text, opened, kind, escaped),
                State::AfterQuote { .. } => self.after_quote(text, last),
                State::Name { .. } => self.name(text),
                State::Dollar { tag, .. } => self.dollar_quoted(text, &tag),
                State::Word => self.word(text, last),
                State::Number { name, parameter } => self.number(text, name, parameter, last),
                State::Fraction => self.fraction(text, last),
                State::Variable => self.variable(text, last),
            };
            match step {
                Step::On => {}
                Step::Found(found) => return Ok(found),
                Step::More if last => return self.end(),
                Step::More => return Ok(Found::More),
            }
        }
    }

    fn end(&self) -> Result<Found, Unclosed> {
        let unclosed = |what, at| Err(Unclosed { what, at });
        match self.state {
            State::BlockComment { opened, .. } => return unclosed("a comment", opened),
            State::Quoted { opened, .. } => return unclosed("a string", opened),
            State::Name { opened } => return unclosed("a quoted name", opened),
            State::Dollar { opened, .. } => return unclosed("a dollar-quoted string", opened),
            _ => {}
        }
        match &self.open {
            None => Ok(Found::End),
            Some(open) if open.parentheses > 0 => unclosed("a parenthesis", open.opened),
            Some(open) if open.blocks > 0 => unclosed("a function's body", open.opened),
            Some(open) => unclosed("a statement", open.start),
        }
    }

    fn base(&mut self, text: &[u8], last: bool) -> Step {
        let rest = &text[self.at..];
        let Some(&byte) = rest.first() else {
            return Step::More;
        };
        let second = rest.get(1).copied();
        match byte {
            b'\n' => {
                self.strings = self.strings_of_next_line;
                self.at += 1;
            }
            b' ' | b'\t' | b'\r' | b'\x0b' | b'\x0c' => self.at += 1,
            b'-' | b'/' | b':' if second.is_none() && !last => return Step::More,
            b'-' if second == Some(b'-') => {
                let start = self.open.is_none().then_some(self.at);
                self.state = State::LineComment { start };
            }
            b'/' if second == Some(b'*') => {
                self.state = State::BlockComment {
                    opened: self.at,
                    depth: 1,
                };
                self.at += 2;
            }
            b'\\' => {
                return Step::Found(Found::Command {
                    at: self.at,
                    within: self.open.as_ref().map(|open| open.start),
                });
            }
            b'\'' => self.open_string(1, self.plain_kind()),
            b'"' => {
                self.token();
                self.state = State::Name { opened: self.at };
                self.at += 1;
            }
            b'$' => return self.dollar(rest, last),
            b':' if matches!(second, Some(b':' | b'=')) => self.take(2),
            b':' => {
                self.take(1);
                self.state = State::Variable;
            }
            b'(' => self.parenthesis(),
            b')' => {
                self.take(1);
                let open = self.statement();
                open.parentheses = open.parentheses.saturating_sub(1);
            }
            b';' => return self.semicolon(),
            b'0'..=b'9' => {
                self.take(1);
                self.state = State::Number {
                    name: false,
                    parameter: false,
                };
            }
            _ if starts_name(byte) => return self.start_word(rest, last),
            _ => self.take(1),
        }
        Step::On
    }

    /// The statement that is being read; it starts here if there is none.
    fn statement(&mut self) -> &mut Open {
        let start = self.at;
        self.open.get_or_insert_with(|| Open {
            start,
            ..Open::default()
        })
    }

    /// Notes a token that is no word.
    fn token(&mut self) {
        let open = self.statement();
        open.has_tokens = true;
        if matches!(open.copy, Copy::From | Copy::To) {
            open.copy = Copy::Other;
        }
    }

    fn take(&mut self, bytes: usize) {
        self.token();
        self.at += bytes;
    }

    fn parenthesis(&mut self) {
        self.token();
        let at = self.at;
        let open = self.statement();
        if open.parentheses == 0 && open.blocks == 0 {
            open.opened = at;
        }
        open.parentheses += 1;
        self.at += 1;
    }

    fn semicolon(&mut self) -> Step {
        let open = self.statement();
        if open.parentheses > 0 || open.blocks > 0 {
            self.take(1);
            return Step::On;
        }
        self.at += 1;
        let open = self.open.take().unwrap_or_default();
        Step::Found(Found::Statement(Shape {
            start: open.start,
            end: self.at,
            words: open.words,
            copy: match open.copy {
                Copy::FromClient if open.binary => Some(CopyWith::ScriptBinary),
                Copy::FromClient => Some(CopyWith::Script),
                Copy::ToClient => Some(CopyWith::Output),
                Copy::Other | Copy::Start | Copy::From | Copy::To => None,
            },
            is_empty: !open.has_tokens,
        }))
    }

    fn plain_kind(&self) -> Kind {
        match self.strings {
            StringSyntax::Standard => Kind::Plain,
            StringSyntax::Escaped => Kind::Escape,
        }
    }

    /// A string whose opening, prefix and quote, takes `opening` bytes.
    fn open_string(&mut self, opening: usize, kind: Kind) {
        self.token();
        self.state = State::Quoted {
            opened: self.at,
            kind,
            escaped: false,
        };
        self.at += opening;
    }

    fn quoted(&mut self, text: &[u8], opened: usize, kind: Kind, escaped: bool) -> Step {
        let rest = &text[self.at..];
        if escaped {
            if rest.is_empty() {
                return Step::More;
            }
            self.at += 1;
            self.state = State::Quoted {
                opened,
                kind,
                escaped: false,
            };
            return Step::On;
        }
        let found = match kind {
            Kind::Escape => memchr::memchr2(b'\'', b'\\', rest),
            Kind::Plain | Kind::Bits => memchr::memchr(b'\'', rest),
        };
        let Some(found) = found else {
            self.at = text.len();
            return Step::More;
        };
        self.at += found + 1;
        self.state = match rest[found] {
            b'\\' => State::Quoted {
                opened,
                kind,
                escaped: true,
            },
            _ => State::AfterQuote {
                opened,
                kind,
                immediately: true,
                newline: false,
                comment: false,
            },
        };
        Step::On
    }

    fn after_quote(&mut self, text: &[u8], last: bool) -> Step {
        let State::AfterQuote {
            opened,
            kind,
            immediately,
            newline,
            comment,
        } = self.state
        else {
            return Step::On;
        };
        let rest = &text[self.at..];
        let Some(&byte) = rest.first() else {
            return Step::More;
        };
        let again = State::Quoted {
            opened,
            kind,
            escaped: false,
        };
        let on = |newline, comment| State::AfterQuote {
            opened,
            kind,
            immediately: false,
            newline,
            comment,
        };
        self.state = match byte {
            b'\'' if immediately && kind != Kind::Bits => again,
            b'\'' if newline && !comment => again,
            // psql reads line by line, and forgets at the end of one that the string may go on.
            b'\n' => {
                self.state = State::Base;
                return Step::On;
            }
            b'\r' => on(true, false),
            _ if comment => on(newline, true),
            b' ' | b'\t' | b'\x0b' | b'\x0c' => on(newline, false),
            b'-' if rest.len() < 2 && !last => return Step::More,
            b'-' if rest.get(1) == Some(&b'-') => on(newline, true),
            _ => {
                self.state = State::Base;
                return Step::On;
            }
        };
        self.at += 1;
        Step::On
    }

    fn line_comment(&mut self, text: &[u8], start: Option<usize>, last: bool) -> Step {
        let rest = &text[self.at..];
        match memchr::memchr2(b'\n', b'\r', rest) {
            Some(length) => self.at += length,
            None => self.at = text.len(),
        }
        let is_over = self.at < text.len() || last;
        let start = start.filter(|start| self.at - start <= LINE_BYTES);
        if !is_over {
            self.state = State::LineComment { start };
            return Step::More;
        }
        match start.map(|start| &text[start..self.at]) {
            Some(b"-- PostgreSQL database dump" | b"-- PostgreSQL database cluster dump") => {
                self.unfinished_dumps += 1;
            }
            Some(
                b"-- PostgreSQL database dump complete"
                | b"-- PostgreSQL database cluster dump complete",
            ) => self.unfinished_dumps -= 1,
            _ => {}
        }
        self.state = State::Base;
        Step::On
    }

    fn block_comment(&mut self, text: &[u8], opened: usize, depth: usize, last: bool) -> Step {
        let rest = &text[self.at..];
        let Some(found) = memchr::memchr2(b'*', b'/', rest) else {
            self.at = text.len();
            return Step::More;
        };
        self.at += found;
        let depth = match &rest[found..] {
            [_] if !last => return Step::More,
            [b'/', b'*', ..] => depth + 1,
            [b'*', b'/', ..] => depth - 1,
            _ => {
                self.at += 1;
                return Step::On;
            }
        };
        self.at += 2;
        self.state = match depth {
            0 => State::Base,
            depth => State::BlockComment { opened, depth },
        };
        Step::On
    }

    fn name(&mut self, text: &[u8]) -> Step {
        let Some(length) = memchr::memchr(b'"', &text[self.at..]) else {
            self.at = text.len();
            return Step::More;
        };
        // A doubled quote ends one name and starts the next: it comes to the same.
        self.at += length + 1;
        self.state = State::Base;
        Step::On
    }

    /// `$tag$`, a parameter `$1`, or a lone dollar.
    fn dollar(&mut self, rest: &[u8], last: bool) -> Step {
        if rest.get(1).is_some_and(u8::is_ascii_digit) {
            self.take(2);
            self.state = State::Number {
                name: false,
                parameter: true,
            };
            return Step::On;
        }
        let in_tag = |byte: &&u8| starts_name(**byte) || byte.is_ascii_digit();
        let tag = 2 + rest[1..].iter().take_while(in_tag).count();
        match rest.get(tag - 1) {
            Some(b'$') => {
                self.token();
                let tag = rest[..tag].to_vec();
                let opened = self.at;
                self.at += tag.len();
                self.state = State::Dollar { opened, tag };
            }
            None if !last && rest.len() < LINE_BYTES => return Step::More,
            _ => self.take(1),
        }
        Step::On
    }

    fn dollar_quoted(&mut self, text: &[u8], tag: &[u8]) -> Step {
        match memchr::memmem::find(&text[self.at..], tag) {
            Some(found) => {
                self.at += found + tag.len();
                self.state = State::Base;
                Step::On
            }
            None => {
                // The end of the window may hold the tag's start.
                self.at = self.at.max((text.len() + 1).saturating_sub(tag.len()));
                Step::More
            }
        }
    }

    fn start_word(&mut self, rest: &[u8], last: bool) -> Step {
        let lacks = |bytes| rest.len() < bytes && !last;
        match (rest[0].to_ascii_lowercase(), rest.get(1), rest.get(2)) {
            (b'e' | b'b' | b'x' | b'u', None, _) if lacks(2) => return Step::More,
            (b'u', Some(b'&'), None) if lacks(3) => return Step::More,
            (b'e', Some(b'\''), _) => self.open_string(2, Kind::Escape),
            (b'b' | b'x', Some(b'\''), _) => self.open_string(2, Kind::Bits),
            // A backslash in U&'' never escapes a quote.
            (b'u', Some(b'&'), Some(b'\'')) => self.open_string(3, Kind::Plain),
            _ => {
                // The statement starts with the word, not behind it.
                self.statement();
                self.word.clear();
                self.state = State::Word;
            }
        }
        Step::On
    }

    fn word(&mut self, text: &[u8], last: bool) -> Step {
        let rest = &text[self.at..];
        let length = rest.iter().take_while(|byte| goes_on(**byte)).count();
        let room = WORD_BYTES - self.word.len();
        self.word
            .extend(rest[..length.min(room)].to_ascii_lowercase());
        self.at += length;
        if length == rest.len() && !last {
            return Step::More;
        }
        self.state = State::Base;
        let word = String::from_utf8_lossy(&self.word).into_owned();
        let at = self.at;
        self.statement().push_word(word, at);
        Step::On
    }

    fn number(&mut self, text: &[u8], name: bool, parameter: bool, last: bool) -> Step {
        let Some(&byte) = text.get(self.at) else {
            if last {
                self.state = State::Base;
                return Step::On;
            }
            return Step::More;
        };
        self.state = match byte {
            b'0'..=b'9' => State::Number { name, parameter },
            b'$' if name => State::Number { name, parameter },
            b'.' if !name && !parameter => State::Fraction,
            _ if starts_name(byte) => State::Number {
                name: true,
                parameter,
            },
            _ => {
                self.state = State::Base;
                return Step::On;
            }
        };
        self.at += 1;
        Step::On
    }

    fn fraction(&mut self, text: &[u8], last: bool) -> Step {
        match text.get(self.at) {
            None if !last => return Step::More,
            // `1..10`: two points, and no fraction.
            Some(b'.') => {
                self.at += 1;
                self.state = State::Base;
            }
            _ => {
                self.state = State::Number {
                    name: false,
                    parameter: false,
                }
            }
        }
        Step::On
    }

    /// `:name` is text, for no script of a dump sets variables; but it is one token, also before a quote.
    fn variable(&mut self, text: &[u8], last: bool) -> Step {
        let rest = &text[self.at..];
        let in_name = |byte: &&u8| starts_name(**byte) || byte.is_ascii_digit();
        let length = rest.iter().take_while(in_name).count();
        self.at += length;
        if length == rest.len() && !last {
            return Step::More;
        }
        self.state = State::Base;
        Step::On
    }
}

impl Open {
    fn push_word(&mut self, word: String, at: usize) {
        self.has_tokens = true;
        self.head = self.head.after(word.as_bytes());
        if self.head == Head::Routine && self.parentheses == 0 {
            match word.as_str() {
                "begin" => self.open_block(at),
                "case" if self.blocks > 0 => self.open_block(at),
                "end" => self.blocks = self.blocks.saturating_sub(1),
                _ => {}
            }
        }
        self.push_word_of_copy(&word);
        if self.words.len() < WORDS {
            self.words.push(word);
        }
    }

    fn open_block(&mut self, at: usize) {
        if self.blocks == 0 {
            self.opened = at;
        }
        self.blocks += 1;
    }

    fn push_word_of_copy(&mut self, word: &str) {
        if self.copy == Copy::Other && self.words.is_empty() && word == "copy" {
            self.copy = Copy::Start;
            return;
        }
        self.binary |= self.copy != Copy::Other && word == "binary";
        if self.parentheses > 0 {
            return;
        }
        self.copy = match (self.copy, word) {
            (Copy::Start, "from") => Copy::From,
            (Copy::Start, "to") => Copy::To,
            (Copy::From, "stdin" | "stdout") => Copy::FromClient,
            (Copy::To, "stdin" | "stdout") => Copy::ToClient,
            (Copy::From | Copy::To, _) => Copy::Other,
            (copy, _) => copy,
        };
    }
}

enum Step {
    On,
    More,
    Found(Found),
}

fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn goes_on(byte: u8) -> bool {
    starts_name(byte) || byte.is_ascii_digit() || byte == b'$'
}
