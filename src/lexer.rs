//! psql's lexical rules: where a statement ends, and whether psql would see anything else in it.
//!
//! A dump is text that psql reads. Definitions come from a server that may be hostile (CVE-2025-8714), so
//! [`guard`] reads each statement as psql would before it is written. The rules are psql's, not the
//! server's (manual: "psql", "Meta-Commands" and "SQL Interpolation"; source: psqlscan.l). Where versions of
//! psql would read a text differently it is refused: no deparser writes such text.
//!
//! SQL-standard function bodies (`BEGIN ATOMIC ... END`) are one statement to psql 14 and later; older
//! ones would cut them at the inner semicolons, but the servers that such bodies need are no older either.

use std::borrow::Cow;
use std::ops::Range;

use crate::objects::quote;
use crate::{Error, ErrorKind};

/// What `'...'` means: the server's setting `standard_conforming_strings`, which psql follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringSyntax {
    /// `on`: a backslash is a character like any other. The preamble of every archive sets this.
    Standard,
    /// `off`: a backslash escapes the next character.
    Escaped,
}

/// What psql would see in a text that ought to be statements only. Offsets are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardViolation {
    /// The text ends for psql, which reads lines as C strings.
    #[error("a NUL at byte {at}")]
    Nul {
        /// Where.
        at: usize,
    },
    /// `\` outside of quotes.
    #[error("a backslash command at byte {at}")]
    MetaCommand {
        /// Where.
        at: usize,
    },
    /// `:NAME`, `:'NAME'`, `:"NAME"` of a variable that psql sets itself, or `:{?NAME}`.
    #[error("the psql variable {name} at byte {at}")]
    Variable {
        /// Its name, without colon and quotes.
        name: String,
        /// Where its colon is.
        at: usize,
    },
    /// Something is opened and not closed, so that what follows in the file would become part of it.
    #[error("{what} that is opened at byte {at} and not closed")]
    Open {
        /// What, with its article.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// A number or parameter runs into a name or a dollar (`1e'`, `$1a`, `1e5$$`): where psql cuts it depends on its version.
    #[error("a number that runs into a name or a dollar at byte {at}")]
    JunkNumber {
        /// Where the name starts.
        at: usize,
    },
    /// A backslash where an `E''` string goes on behind a line break: the server still takes it for an escape, psql, which
    /// reads line by line, does not.
    #[error("a backslash in a string that goes on behind a line break, at byte {at}")]
    ContinuedEscape {
        /// Where.
        at: usize,
    },
    /// A vertical tab outside of quotes is white space to psql 16 and later only.
    #[error("a vertical tab outside of quotes at byte {at}")]
    VerticalTab {
        /// Where.
        at: usize,
    },
    /// Nothing but white space and comments.
    #[error("no statement")]
    Empty,
    /// No semicolon ends the last statement.
    #[error("a statement without a semicolon at its end")]
    NotEnded,
    /// Something follows the semicolon.
    #[error("more text behind the semicolon, at byte {at}")]
    SecondStatement {
        /// The first byte behind the semicolon.
        at: usize,
    },
}

impl From<GuardViolation> for Error {
    fn from(violation: GuardViolation) -> Self {
        Error::new(
            ErrorKind::Unsupported,
            "psql would not read a statement as one statement",
        )
        .detail(format!("psql would see {violation}."))
        .hint("Someone may be trying to smuggle commands into backups: look at the object's definition.")
        .caused_by(violation)
    }
}

/// Checks that psql reads the text as exactly one statement, from its first byte to the semicolon that ends it.
///
/// # Errors
/// The first thing that psql would see otherwise.
pub fn guard(statement: &str) -> Result<(), GuardViolation> {
    let statements = split(statement, StringSyntax::Standard)?;
    match statements.first() {
        None => Err(GuardViolation::Empty),
        Some(first) if first.end < statement.len() => {
            Err(GuardViolation::SecondStatement { at: first.end })
        }
        Some(_) => Ok(()),
    }
}

/// Where the statements of a text lie, each from its first word to its semicolon.
/// White space and comments between them belong to none.
///
/// # Errors
/// The first thing in the text that is not a whole statement to psql.
pub fn split(text: &str, strings: StringSyntax) -> Result<Vec<Range<usize>>, GuardViolation> {
    split_bytes(text.as_bytes(), strings)
}

/// As [`split`], of a text in any encoding in which only ASCII characters have bytes that look like ASCII.
///
/// # Errors
/// As [`split`].
pub fn split_bytes(
    text: &[u8],
    strings: StringSyntax,
) -> Result<Vec<Range<usize>>, GuardViolation> {
    if let Some(at) = text.iter().position(|&byte| byte == 0) {
        return Err(GuardViolation::Nul { at });
    }
    let mut scanner = Scanner {
        text,
        at: 0,
        strings,
    };
    let mut statements = Vec::new();
    let mut open: Option<Statement> = None;
    while let Some((token, range)) = scanner.next()? {
        if token == Token::Space {
            continue;
        }
        let statement = open.get_or_insert_with(|| Statement::at(range.start));
        if statement.push(token, &text[range.clone()], range.start) {
            statements.push(statement.start..range.end);
            open = None;
        }
    }
    match open {
        None => Ok(statements),
        Some(statement) => Err(statement.what_is_open()),
    }
}

/// The tokens of a text, white space and comments included, and where they lie.
///
/// # Errors
/// As [`split`].
pub(crate) fn tokens(
    text: &str,
    strings: StringSyntax,
) -> Result<Vec<(Token, Range<usize>)>, GuardViolation> {
    let mut scanner = Scanner {
        text: text.as_bytes(),
        at: 0,
        strings,
    };
    let mut tokens = Vec::new();
    while let Some(token) = scanner.next()? {
        tokens.push(token);
    }
    Ok(tokens)
}

/// Puts names spelled `begin` in quotes. PostgreSQL does not quote this word when it deparses a routine, and psql takes
/// each one outside of parentheses for the start of a body, so that it never finds the statement's end.
pub(crate) fn quote_names_spelled_begin(routine: &str) -> Cow<'_, str> {
    let mut scanner = Scanner {
        text: routine.as_bytes(),
        at: 0,
        strings: StringSyntax::Standard,
    };
    let mut words = Vec::new();
    loop {
        match scanner.next() {
            Ok(Some((Token::Space, _))) => {}
            Ok(Some((token, range))) => words.push((token == Token::Word, range)),
            Ok(None) => break,
            // Not for us to tell: the guard does.
            Err(_) => return Cow::Borrowed(routine),
        }
    }
    let is = |at: usize, word: &str| {
        let (is_word, range) = &words[at];
        *is_word && routine[range.clone()].eq_ignore_ascii_case(word)
    };
    let starts_body = |at: usize| at + 1 < words.len() && is(at + 1, "atomic");
    let mut quoted = String::new();
    let mut copied = 0;
    for at in (0..words.len()).filter(|&at| is(at, "begin") && !starts_body(at)) {
        let range = words[at].1.clone();
        quoted.push_str(&routine[copied..range.start]);
        quoted.push_str(&format!("\"{}\"", &routine[range.clone()]));
        copied = range.end;
    }
    if copied == 0 {
        return Cow::Borrowed(routine);
    }
    quoted.push_str(&routine[copied..]);
    Cow::Owned(quoted)
}

/// The text with strings of standard SQL in place of those in dollar quotes.
///
/// # Errors
/// As [`split`].
pub fn without_dollar_quotes(text: &str) -> Result<String, GuardViolation> {
    let mut scanner = Scanner {
        text: text.as_bytes(),
        at: 0,
        strings: StringSyntax::Standard,
    };
    let mut plain = String::with_capacity(text.len());
    while let Some((_, range)) = scanner.next()? {
        let token = &text[range];
        match dollar_quoted(token) {
            Some(body) => plain.push_str(&quote::literal(body)),
            None => plain.push_str(token),
        }
    }
    Ok(plain)
}

/// What is in the dollar quotes that a token is.
fn dollar_quoted(token: &str) -> Option<&str> {
    let tag_end = token.strip_prefix('$')?.find('$')?;
    let delimiter = &token[..tag_end + 2];
    token.strip_prefix(delimiter)?.strip_suffix(delimiter)
}

/// Variables that psql sets itself, of all versions up to 19. Names are case-sensitive.
const PSQL_VARIABLES: &[&str] = &[
    "AUTOCOMMIT",
    "COMP_KEYWORD_CASE",
    "DBNAME",
    "ECHO",
    "ECHO_HIDDEN",
    "ENCODING",
    "ERROR",
    "FETCH_COUNT",
    "HIDE_TABLEAM",
    "HIDE_TOAST_COMPRESSION",
    "HISTCONTROL",
    "HISTFILE",
    "HISTSIZE",
    "HOST",
    "IGNOREEOF",
    "LASTOID",
    "LAST_ERROR_MESSAGE",
    "LAST_ERROR_SQLSTATE",
    "ON_ERROR_ROLLBACK",
    "ON_ERROR_STOP",
    "PIPELINE_COMMAND_COUNT",
    "PIPELINE_RESULT_COUNT",
    "PIPELINE_SYNC_COUNT",
    "PORT",
    "PROMPT1",
    "PROMPT2",
    "PROMPT3",
    "QUIET",
    "ROW_COUNT",
    "SERVER_VERSION_NAME",
    "SERVER_VERSION_NUM",
    "SERVICE",
    "SERVICEFILE",
    "SHELL_ERROR",
    "SHELL_EXIT_CODE",
    "SHOW_ALL_RESULTS",
    "SHOW_CONTEXT",
    "SINGLELINE",
    "SINGLESTEP",
    "SQLSTATE",
    "USER",
    "VERBOSITY",
    "VERSION",
    "VERSION_NAME",
    "VERSION_NUM",
    "WATCH_INTERVAL",
];

/// As much of a statement as psql keeps in mind to find its end.
struct Statement {
    start: usize,
    /// Where the parentheses that are open now were opened.
    parentheses: Vec<usize>,
    /// BEGIN and CASE of a function's body that have not met their END.
    blocks: Vec<usize>,
    head: Head,
}

/// How far the words so far are the start of CREATE [OR REPLACE] FUNCTION or PROCEDURE.
/// psql counts only words without quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Head {
    #[default]
    Start,
    Create,
    CreateOr,
    CreateOrReplace,
    /// All of it: only in such statements BEGIN, CASE and END count.
    Routine,
    Other,
}

impl Head {
    /// With one more word.
    pub(crate) fn after(self, word: &[u8]) -> Head {
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword.as_bytes());
        match self {
            Head::Start if is("create") => Head::Create,
            Head::Create if is("or") => Head::CreateOr,
            Head::CreateOr if is("replace") => Head::CreateOrReplace,
            Head::Create | Head::CreateOrReplace if is("function") || is("procedure") => {
                Head::Routine
            }
            Head::Routine => Head::Routine,
            _ => Head::Other,
        }
    }
}

impl Statement {
    fn at(start: usize) -> Self {
        Statement {
            start,
            parentheses: Vec::new(),
            blocks: Vec::new(),
            head: Head::Start,
        }
    }

    /// Takes in a token; tells whether it ends the statement.
    fn push(&mut self, token: Token, text: &[u8], at: usize) -> bool {
        match token {
            Token::Open => self.parentheses.push(at),
            Token::Close => drop(self.parentheses.pop()),
            Token::Word => self.push_word(text, at),
            Token::Semicolon => return self.parentheses.is_empty() && self.blocks.is_empty(),
            Token::Space | Token::Other => {}
        }
        false
    }

    fn push_word(&mut self, word: &[u8], at: usize) {
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword.as_bytes());
        self.head = self.head.after(word);
        if self.head != Head::Routine || !self.parentheses.is_empty() {
            return;
        }
        if is("begin") || (is("case") && !self.blocks.is_empty()) {
            self.blocks.push(at);
        } else if is("end") {
            self.blocks.pop();
        }
    }

    fn what_is_open(&self) -> GuardViolation {
        let open = |what, at: Option<&usize>| at.map(|&at| GuardViolation::Open { what, at });
        open("a parenthesis", self.parentheses.first())
            .or_else(|| open("a function's body", self.blocks.first()))
            .unwrap_or(GuardViolation::NotEnded)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// White space or a comment.
    Space,
    /// A keyword or a name without quotes.
    Word,
    Open,
    Close,
    Semicolon,
    /// Quoted text, numbers, operators, punctuation.
    Other,
}

/// Kinds of `'...'`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quoted {
    /// `''` is a quote.
    Plain,
    /// `''` is a quote, a backslash takes the next character along.
    Escape,
    /// B'' and X'': the first quote ends it.
    Bits,
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    strings: StringSyntax,
}

impl Scanner<'_> {
    fn next(&mut self) -> Result<Option<(Token, Range<usize>)>, GuardViolation> {
        let start = self.at;
        let Some(&byte) = self.text.get(start) else {
            return Ok(None);
        };
        let token = match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' => self.take(1, Token::Space),
            b'\x0b' => return Err(GuardViolation::VerticalTab { at: start }),
            b'-' if self.follows(b"--") => self.line_comment(),
            b'/' if self.follows(b"/*") => self.block_comment()?,
            b'\'' => self.string(1, self.plain_string())?,
            b'"' => self.quoted_name()?,
            b'$' => self.dollar()?,
            b'\\' => return Err(GuardViolation::MetaCommand { at: start }),
            b':' => self.colon()?,
            b'(' => self.take(1, Token::Open),
            b')' => self.take(1, Token::Close),
            b';' => self.take(1, Token::Semicolon),
            b'0'..=b'9' => self.number()?,
            _ if starts_name(byte) => self.word()?,
            _ => self.take(1, Token::Other),
        };
        Ok(Some((token, start..self.at)))
    }

    fn take(&mut self, bytes: usize, token: Token) -> Token {
        self.at += bytes;
        token
    }

    fn rest(&self) -> &[u8] {
        &self.text[self.at..]
    }

    fn follows(&self, prefix: &[u8]) -> bool {
        self.rest().starts_with(prefix)
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    /// Number of bytes from `ahead` on that are of a class.
    fn run(&self, ahead: usize, class: impl Fn(u8) -> bool) -> usize {
        let rest = self.rest().get(ahead..).unwrap_or_default();
        rest.iter().take_while(|&&byte| class(byte)).count()
    }

    fn line_comment(&mut self) -> Token {
        let length = self.run(0, |byte| !matches!(byte, b'\n' | b'\r'));
        self.take(length, Token::Space)
    }

    fn block_comment(&mut self) -> Result<Token, GuardViolation> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            if self.follows(b"/*") {
                depth += 1;
                self.at += 2;
            } else if self.follows(b"*/") {
                depth -= 1;
                self.at += 2;
            } else if self.at < self.text.len() {
                self.at += 1;
            } else {
                return Err(open("a comment", start));
            }
            if depth == 0 {
                return Ok(Token::Space);
            }
        }
    }

    fn plain_string(&self) -> Quoted {
        match self.strings {
            StringSyntax::Standard => Quoted::Plain,
            StringSyntax::Escaped => Quoted::Escape,
        }
    }

    /// A string whose opening, prefix and quote, takes `opening` bytes.
    fn string(&mut self, opening: usize, kind: Quoted) -> Result<Token, GuardViolation> {
        let start = self.at;
        self.at += opening;
        let mut goes_on = false;
        while let Some(byte) = self.peek(0) {
            if byte == b'\\' && kind == Quoted::Escape && goes_on {
                return Err(GuardViolation::ContinuedEscape { at: self.at });
            } else if byte == b'\\' && kind == Quoted::Escape {
                self.at += 2;
            } else if byte != b'\'' {
                self.at += 1;
            } else if self.peek(1) == Some(b'\'') && kind != Quoted::Bits {
                self.at += 2;
            } else {
                self.at += 1;
                match self.continuation() {
                    Some(length) => self.at += length,
                    None => return Ok(Token::Other),
                }
                goes_on = true;
            }
        }
        Err(open("a string", start))
    }

    /// A string goes on if only white space with a newline, comments included, stands between its quote and the next.
    /// Returns the bytes up to and with the quote that opens it again.
    fn continuation(&self) -> Option<usize> {
        let mut ahead = 0;
        let mut newline = false;
        loop {
            match self.peek(ahead)? {
                b'\'' => return newline.then_some(ahead + 1),
                b'\n' | b'\r' => {
                    newline = true;
                    ahead += 1;
                }
                b' ' | b'\t' | b'\x0c' => ahead += 1,
                b'-' if self.peek(ahead + 1) == Some(b'-') => {
                    ahead += self.run(ahead, |byte| !matches!(byte, b'\n' | b'\r'));
                }
                _ => return None,
            }
        }
    }

    fn quoted_name(&mut self) -> Result<Token, GuardViolation> {
        let length = self.run(1, |byte| byte != b'"');
        if self.peek(1 + length).is_none() {
            return Err(open("a quoted name", self.at));
        }
        // A doubled quote ends one name and starts the next: it comes to the same.
        Ok(self.take(length + 2, Token::Other))
    }

    /// `$tag$...$tag$`, a parameter `$1`, or a lone dollar.
    fn dollar(&mut self) -> Result<Token, GuardViolation> {
        let digits = self.run(1, |byte| byte.is_ascii_digit());
        if digits > 0 {
            self.at += 1 + digits;
            return self.end_of_number();
        }
        let delimiter = 2 + self.run(1, |byte| starts_name(byte) || byte.is_ascii_digit());
        if self.peek(delimiter - 1) != Some(b'$') {
            return Ok(self.take(1, Token::Other));
        }
        let (tag, body) = self.rest().split_at(delimiter);
        match find(body, tag) {
            Some(at) => Ok(self.take(delimiter + at + delimiter, Token::Other)),
            None => Err(open("a dollar-quoted string", self.at)),
        }
    }

    fn number(&mut self) -> Result<Token, GuardViolation> {
        let digit = |byte: u8| byte.is_ascii_digit();
        self.at += self.run(0, digit);
        if self.follows(b".") && !self.follows(b"..") {
            self.at += 1;
            self.at += self.run(0, digit);
        }
        if matches!(self.peek(0), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.peek(1), Some(b'+' | b'-')));
            let digits = self.run(1 + sign, digit);
            if digits > 0 {
                self.at += 1 + sign + digits;
            }
        }
        self.end_of_number()
    }

    fn end_of_number(&self) -> Result<Token, GuardViolation> {
        match self.peek(0) {
            // A dollar, too: psql may take `1e5$$` for a number and the start of a name, not of a string.
            Some(byte) if starts_name(byte) || byte == b'$' => {
                Err(GuardViolation::JunkNumber { at: self.at })
            }
            _ => Ok(Token::Other),
        }
    }

    fn word(&mut self) -> Result<Token, GuardViolation> {
        let rest = self.rest();
        match (rest[0].to_ascii_lowercase(), rest.get(1), rest.get(2)) {
            (b'e', Some(b'\''), _) => return self.string(2, Quoted::Escape),
            (b'b' | b'x', Some(b'\''), _) => return self.string(2, Quoted::Bits),
            // A backslash in U&'' never escapes a quote.
            (b'u', Some(b'&'), Some(b'\'')) => return self.string(3, Quoted::Plain),
            _ => {}
        }
        let length = self.run(0, |byte| {
            starts_name(byte) || byte.is_ascii_digit() || byte == b'$'
        });
        Ok(self.take(length, Token::Word))
    }

    /// `::`, `:=`, an interpolated variable, or a lone colon.
    fn colon(&mut self) -> Result<Token, GuardViolation> {
        if self.follows(b"::") || self.follows(b":=") {
            return Ok(self.take(2, Token::Other));
        }
        let (opening, closing): (usize, &[u8]) = match (self.peek(1), self.peek(2)) {
            (Some(b'\''), _) => (2, b"'"),
            (Some(b'"'), _) => (2, b"\""),
            (Some(b'{'), Some(b'?')) => (3, b"}"),
            _ => (1, b""),
        };
        let length = self.run(opening, |byte| starts_name(byte) || byte.is_ascii_digit());
        let end = opening + length;
        if length == 0 || !self.rest()[end..].starts_with(closing) {
            return Ok(self.take(1, Token::Other));
        }
        let name = String::from_utf8_lossy(&self.rest()[opening..end]);
        // `:{?name}` becomes TRUE or FALSE whether the variable is set or not.
        if closing == b"}" || PSQL_VARIABLES.contains(&&*name) {
            return Err(GuardViolation::Variable {
                name: name.into_owned(),
                at: self.at,
            });
        }
        Ok(self.take(end + closing.len(), Token::Other))
    }
}

fn open(what: &'static str, at: usize) -> GuardViolation {
    GuardViolation::Open { what, at }
}

fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len())
        .position(|bytes| bytes == pattern)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn statements(text: &str) -> Vec<&str> {
        split(text, StringSyntax::Standard)
            .unwrap()
            .into_iter()
            .map(|range| &text[range])
            .collect()
    }

    #[test]
    fn dollar_quotes_become_strings() {
        for (text, plain) in [
            ("AS $$a 'b' $x$ \\n$$;", "AS E'a ''b'' $x$ \\\\n';"),
            (
                "AS $f$1$f$, '$$a$$', \"$$\", $1, a$$b; -- $$c$$",
                "AS '1', '$$a$$', \"$$\", $1, a$$b; -- $$c$$",
            ),
            ("DO $$$$;", "DO '';"),
        ] {
            assert_eq!(without_dollar_quotes(text).unwrap(), plain);
        }
        assert!(without_dollar_quotes("AS $$open").is_err());
    }

    #[test]
    fn semicolons_in_quotes_comments_and_parentheses_end_nothing() {
        for statement in [
            "SELECT ';', E'\\';', U&';\\', B'1;', \"a;\"\";\";",
            "SELECT $$;$$, $a$;$$;$b$;$a$, a$b$ ; ".trim_end(),
            "CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2;);",
            "SELECT /* ; /* ; */ ; */ 1 -- ;\n;",
            "SELECT E'a' -- comment;\n  \t\n ';b';",
            "SELECT 'it''s;';",
            "SELECT '\\';",
            "SELECT a[1:2], b::text, c := 1, d[lo:hi], 1.5e-7, 1e10, x'ff';",
            "SELECT 1*/* ; */2;",
        ] {
            assert_eq!(guard(statement), Ok(()), "{statement}");
        }
    }

    #[test]
    fn bodies_of_functions_are_one_statement() {
        for statement in [
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END;",
            "create or replace procedure \"p\"() begin atomic select 1; end;",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN CASE WHEN true THEN 1 END;",
        ] {
            assert_eq!(guard(statement), Ok(()), "{statement}");
        }
        assert_eq!(
            guard("CREATE TRIGGER t BEGIN; END;"),
            Err(GuardViolation::SecondStatement { at: 23 })
        );
    }

    #[test]
    fn names_spelled_begin_do_not_open_a_body() {
        let routine = "CREATE FUNCTION s.begin(begin text) RETURNS s.begin LANGUAGE sql \
                       BEGIN ATOMIC SELECT begin, 'begin' AS \"begin\"; END;";
        assert!(guard(routine).is_err());
        let quoted = quote_names_spelled_begin(routine);
        assert_eq!(
            quoted,
            "CREATE FUNCTION s.\"begin\"(\"begin\" text) RETURNS s.\"begin\" LANGUAGE sql \
             BEGIN ATOMIC SELECT \"begin\", 'begin' AS \"begin\"; END;"
        );
        assert_eq!(guard(&quoted), Ok(()));
        let plain = "CREATE FUNCTION f() AS $$ begin end $$;";
        assert!(matches!(quote_names_spelled_begin(plain), Cow::Borrowed(_)));
    }

    #[test]
    fn guard_names_what_psql_would_see() {
        use GuardViolation as V;
        let variable = |name: &str, at| V::Variable {
            name: name.to_owned(),
            at,
        };
        for (text, violation) in [
            ("SELECT 1; \\! id", V::MetaCommand { at: 10 }),
            ("SELECT 1\n\\! id\n;", V::MetaCommand { at: 9 }),
            ("SELECT 1\\;", V::MetaCommand { at: 8 }),
            ("SELECT 1; SELECT 2;", V::SecondStatement { at: 9 }),
            ("SELECT 1;\n", V::SecondStatement { at: 9 }),
            ("SELECT 1", V::NotEnded),
            (" -- ;", V::Empty),
            ("SELECT 'a;", open("a string", 7)),
            ("SELECT E'a\\';", open("a string", 7)),
            ("SELECT \"a;", open("a quoted name", 7)),
            ("SELECT $a$ $b$;", open("a dollar-quoted string", 7)),
            ("SELECT 1 /* /* */ ;", open("a comment", 9)),
            ("SELECT (1;", open("a parenthesis", 7)),
            (
                "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1;",
                open("a function's body", 20),
            ),
            ("SELECT \0;", V::Nul { at: 7 }),
            ("SELECT '\0';", V::Nul { at: 8 }),
            ("SELECT :USER;", variable("USER", 7)),
            ("SELECT a[1:'HOST'];", variable("HOST", 10)),
            ("SELECT a[1:\"PORT\"];", variable("PORT", 10)),
            ("SELECT :{?any};", variable("any", 7)),
            ("SELECT 1:::DBNAME;", variable("DBNAME", 10)),
            ("SELECT 1e'\\';\\! id';", V::JunkNumber { at: 8 }),
            ("SELECT $1a$b$;", V::JunkNumber { at: 9 }),
            ("SELECT 1e5$$\\! id\n$$;", V::JunkNumber { at: 10 }),
            ("SELECT $1$$;$$;", V::JunkNumber { at: 9 }),
            ("SELECT\x0b1;", V::VerticalTab { at: 6 }),
            (
                "SELECT E'a'\n'\\';\\! id\n';",
                V::ContinuedEscape { at: 13 },
            ),
            (
                "SELECT E'a' -- \n '\\''; b';",
                V::ContinuedEscape { at: 18 },
            ),
        ] {
            assert_eq!(guard(text), Err(violation), "{text}");
        }
    }

    #[test]
    fn split_leaves_out_what_stands_between_statements() {
        assert_eq!(
            statements("-- a; comment\nSELECT 1;\n\n/* ; */ SELECT ';' ;;\n"),
            ["SELECT 1;", "SELECT ';' ;", ";"]
        );
    }

    #[test]
    fn string_syntax_decides_what_a_backslash_is() {
        let text = "SELECT 'a\\'; SELECT '';";
        assert_eq!(split(text, StringSyntax::Standard).unwrap().len(), 2);
        assert!(split(text, StringSyntax::Escaped).is_err());
    }

    #[test]
    fn violation_becomes_an_error_that_says_what_psql_sees() {
        let error = Error::from(guard("SELECT 1;\\! id").unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(
            error.details(),
            ["psql would see a backslash command at byte 9."]
        );
    }

    /// Strings of the characters that matter here, more often than chance would have it.
    fn hostile() -> impl Strategy<Value = String> {
        prop_oneof![
            "[\\\\'\"$_a1;:\\n\\-/*() {}?eEUX&\u{e9}]{0,24}",
            "[^\\x00]{0,24}",
        ]
    }

    proptest! {
        #[test]
        fn whatever_quote_writes_is_one_statement(value in hostile(), name in hostile(), body in hostile()) {
            let (value, name, body) = (quote::literal(&value), quote::ident(&name), quote::dollar(&body));
            let text = format!("SELECT {value} AS {name}, {body};");
            for strings in [StringSyntax::Standard, StringSyntax::Escaped] {
                let statements = split(&text, strings).unwrap();
                prop_assert_eq!(statements.len(), 1);
                prop_assert_eq!(&statements[0], &(0..text.len()));
            }
            prop_assert_eq!(guard(&text), Ok(()));
        }

        #[test]
        fn no_text_makes_the_lexer_panic(text in ".{0,64}", hostile in hostile()) {
            let _ = guard(&text);
            let _ = guard(&hostile);
        }
    }
}
