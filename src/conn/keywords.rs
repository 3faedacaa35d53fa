//! Keyword strings: `host=localhost dbname='my db'`.
//!
//! Manual: "Connection Strings", "Keyword/Value Connection Strings".

/// Splits a keyword string into its pairs, in order. Values keep their case and may be empty.
/// The error is a factual line that never quotes a value, which may be a password.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut rest = text.trim_start();
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| c == '=' || c.is_ascii_whitespace())
            .unwrap_or(rest.len());
        let (keyword, tail) = rest.split_at(end);
        let Some(tail) = tail.trim_start().strip_prefix('=') else {
            // Without its "=", the word may be the rest of a badly quoted password.
            return Err("missing \"=\" after a word in the connection string".to_owned());
        };
        let (value, tail) = parse_value(keyword, tail.trim_start())?;
        pairs.push((keyword.to_owned(), value));
        rest = tail.trim_start();
    }
    Ok(pairs)
}

fn parse_value<'a>(keyword: &str, text: &'a str) -> Result<(String, &'a str), String> {
    let (quoted, body) = match text.strip_prefix('\'') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let mut value = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &body[at + 1..])),
            c if !quoted && c.is_ascii_whitespace() => return Ok((value, &body[at..])),
            c => value.push(c),
        }
    }
    if quoted {
        return Err(format!(
            "unterminated quoted value of \"{keyword}\" in the connection string"
        ));
    }
    Ok((value, ""))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap()
    }

    fn pair(keyword: &str, value: &str) -> (String, String) {
        (keyword.to_owned(), value.to_owned())
    }

    #[test]
    fn the_manuals_example_is_understood() {
        assert_eq!(
            pairs("host=localhost port=5432 dbname=mydb connect_timeout=10"),
            [
                pair("host", "localhost"),
                pair("port", "5432"),
                pair("dbname", "mydb"),
                pair("connect_timeout", "10"),
            ]
        );
    }

    #[test]
    fn blanks_may_surround_the_equals_sign() {
        assert_eq!(
            pairs("  host = a\n\tdbname =b "),
            [pair("host", "a"), pair("dbname", "b")]
        );
    }

    #[test]
    fn quotes_hold_blanks_and_backslashes_escape() {
        assert_eq!(
            pairs(r"dbname='my \'own\' db' password=a\ b\\c user=''"),
            [
                pair("dbname", "my 'own' db"),
                pair("password", r"a b\c"),
                pair("user", ""),
            ]
        );
    }

    #[test]
    fn a_quoted_value_may_be_followed_at_once_by_the_next() {
        assert_eq!(
            pairs("host='a'port=1"),
            [pair("host", "a"), pair("port", "1")]
        );
    }

    #[test]
    fn errors_do_not_quote_what_may_be_a_password() {
        assert!(!parse("password=a secret").unwrap_err().contains("secret"));
        assert!(!parse("password='secret").unwrap_err().contains("secret"));
    }
}
