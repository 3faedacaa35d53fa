//! The tokens of a statement, and the statement with some of them replaced. Pure.

use std::ops::Range;

use crate::lexer::{StringSyntax, Token, tokens};

/// A token with what is needed to judge it.
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) depth: usize,
    is_word: bool,
}

impl Piece<'_> {
    /// The name that it is.
    pub(super) fn name(&self) -> Option<String> {
        match self.text.strip_prefix('"') {
            Some(rest) => Some(rest.strip_suffix('"')?.replace("\"\"", "\"")),
            None => self.is_word.then(|| self.text.to_ascii_lowercase()),
        }
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.is_word && self.text.eq_ignore_ascii_case(word)
    }
}

/// The tokens of a text but for white space and comments; `None` if it cannot be read.
pub(super) fn pieces(sql: &str, strings: StringSyntax) -> Option<Vec<Piece<'_>>> {
    let mut depth = 0_usize;
    let mut pieces = Vec::new();
    for (token, range) in tokens(sql, strings).ok()? {
        match token {
            Token::Space => continue,
            Token::Open => depth += 1,
            Token::Close => depth = depth.saturating_sub(1),
            Token::Word | Token::Semicolon | Token::Other => {}
        }
        pieces.push(Piece {
            text: &sql[range.clone()],
            start: range.start,
            end: range.end,
            depth,
            is_word: token == Token::Word,
        });
    }
    Some(pieces)
}

/// A text with others in the places of these ranges, which come in order.
pub(super) fn replaced(
    text: &str,
    changes: impl IntoIterator<Item = (Range<usize>, String)>,
) -> String {
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for (range, new) in changes {
        out.push_str(&text[copied..range.start]);
        out.push_str(&new);
        copied = range.end;
    }
    out.push_str(&text[copied..]);
    out
}
