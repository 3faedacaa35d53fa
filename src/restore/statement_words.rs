//! Words and names of statements that pgstow or pg_dump rendered, as far as looking for roles, tablespaces and newer syntax needs them.

use std::collections::BTreeSet;

/// A token of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A keyword or unquoted name, in upper case.
    Word(String),
    /// A name in double quotes, without them.
    Name(String),
    Comma,
    Other,
}

/// Splits a statement: literals, bodies and comments give nothing of theirs.
pub(crate) fn tokens(sql: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = sql.char_indices().peekable();
    let mut skip_to = 0;
    while let Some((at, c)) = rest.next() {
        if at < skip_to {
            continue;
        }
        match c {
            '"' => found.push(Token::Name(quoted(&mut rest, '"'))),
            '\'' => {
                quoted(&mut rest, '\'');
                found.push(Token::Other);
            }
            '$' => {
                skip_to = end_of_dollar_quote(sql, at).unwrap_or(at + 1);
                found.push(Token::Other);
            }
            '-' if rest.peek().is_some_and(|(_, c)| *c == '-') => {
                while rest.next().is_some_and(|(_, c)| c != '\n') {}
            }
            ',' => found.push(Token::Comma),
            c if c.is_alphanumeric() || c == '_' => {
                let mut word = c.to_string();
                while let Some((_, c)) = rest.next_if(|(_, c)| c.is_alphanumeric() || *c == '_') {
                    word.push(c);
                }
                found.push(Token::Word(word.to_ascii_uppercase()));
            }
            c if c.is_whitespace() => {}
            _ => found.push(Token::Other),
        }
    }
    found
}

/// The setting that ALTER DATABASE ... SET or ALTER ROLE ... IN DATABASE ... SET sets.
pub(crate) fn setting_of(sql: &str) -> Option<String> {
    let tokens = tokens(sql);
    let is_word =
        |at: usize, word: &str| matches!(&tokens[at], Token::Word(found) if found == word);
    // ALTER DATABASE name SET, ALTER ROLE name IN DATABASE name SET.
    let set = [("DATABASE", 3), ("ROLE", 6)]
        .into_iter()
        .filter(|(_, at)| tokens.len() > at + 1)
        .find(|(what, at)| is_word(1, what) && is_word(*at, "SET"))?;
    match &tokens[set.1 + 1] {
        Token::Name(name) => Some(name.clone()),
        Token::Word(name) => Some(name.to_ascii_lowercase()),
        Token::Comma | Token::Other => None,
    }
}

type Characters<'a> = std::iter::Peekable<std::str::CharIndices<'a>>;

/// Reads up to the closing quote; doubled quotes stand for one.
fn quoted(rest: &mut Characters<'_>, quote: char) -> String {
    let mut text = String::new();
    while let Some((_, c)) = rest.next() {
        if c == quote && rest.next_if(|(_, c)| *c == quote).is_none() {
            break;
        }
        text.push(c);
    }
    text
}

/// Where the text ends that `$tag$` at `start` opens.
fn end_of_dollar_quote(sql: &str, start: usize) -> Option<usize> {
    let after = &sql[start + 1..];
    let length = after.find('$')?;
    let tag = &sql[start..start + length + 2];
    let is_tag = after[..length]
        .chars()
        .all(|c| c.is_alphanumeric() || c == '_');
    let body = start + tag.len();
    let end = sql[body..].find(tag)?;
    is_tag.then_some(body + end + tag.len())
}

/// The roles that GRANT, REVOKE, ALTER DEFAULT PRIVILEGES and CREATE POLICY name. The expressions of a
/// policy are not looked at: in them FROM and TO mean something else. pg_dump quotes names only where it must.
pub(crate) fn mentioned_roles(sql: &str) -> BTreeSet<String> {
    let mut roles = BTreeSet::new();
    let mut before = String::new();
    let mut tokens = tokens(sql).into_iter().peekable();
    while let Some(token) = tokens.next() {
        let Token::Word(word) = token else {
            before.clear();
            continue;
        };
        match (before.as_str(), word.as_str()) {
            (_, "USING" | "CHECK") => break,
            (_, "TO" | "FROM")
            | ("GRANTED", "BY")
            | ("FOR", "ROLE")
            | ("SESSION", "AUTHORIZATION") => {
                tokens.next_if_eq(&Token::Word("GROUP".to_owned()));
                while let Some(name) = tokens.next_if(|token| name_of(token).is_some()) {
                    roles.extend(name_of(&name).filter(|name| !is_no_role(name)));
                    if tokens.next_if_eq(&Token::Comma).is_none() {
                        break;
                    }
                }
            }
            _ => {}
        }
        before = word;
    }
    roles
}

/// Words that stand where a role's name may.
fn is_no_role(name: &str) -> bool {
    matches!(
        name,
        "public" | "current_user" | "current_role" | "session_user"
    )
}

/// A name as the server has it: one without quotes is in lower case.
fn name_of(token: &Token) -> Option<String> {
    match token {
        Token::Name(name) => Some(name.clone()),
        Token::Word(word) => Some(word.to_ascii_lowercase()),
        Token::Comma | Token::Other => None,
    }
}

/// The quoted name behind a keyword: `TABLESPACE "fast"`, `default_tablespace = "fast"`.
pub(crate) fn name_after(sql: &str, keyword: &str) -> Option<String> {
    let mut tokens = tokens(sql).into_iter();
    tokens.find(|token| matches!(token, Token::Word(word) if word == keyword))?;
    match tokens.find(|token| *token != Token::Other) {
        Some(Token::Name(name)) => Some(name),
        _ => None,
    }
}

/// The language of CREATE FUNCTION or CREATE PROCEDURE, which the server deparses with quotes only where it must.
pub(crate) fn language(sql: &str) -> Option<String> {
    let mut tokens = tokens(sql).into_iter();
    tokens.find(|token| matches!(token, Token::Word(word) if word == "LANGUAGE"))?;
    match tokens.next() {
        Some(Token::Name(name)) => Some(name),
        Some(Token::Word(word)) => Some(word.to_ascii_lowercase()),
        _ => None,
    }
}

/// Whether the words stand in the statement one behind the other.
pub(crate) fn has_words(tokens: &[Token], words: &[&str]) -> bool {
    tokens.windows(words.len()).any(|window| {
        window
            .iter()
            .zip(words)
            .all(|(token, word)| matches!(token, Token::Word(found) if found == word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(sql: &str) -> Vec<String> {
        mentioned_roles(sql).into_iter().collect()
    }

    #[test]
    fn settings_are_told_from_what_else_is_altered() {
        let set = |sql: &str| setting_of(sql);
        assert_eq!(
            set("ALTER DATABASE \"SET\" SET work_mem TO '5MB';").as_deref(),
            Some("work_mem")
        );
        assert_eq!(
            set("ALTER ROLE set IN DATABASE d SET \"app.x\" TO 'SET a';").as_deref(),
            Some("app.x")
        );
        assert_eq!(set("ALTER DATABASE d CONNECTION LIMIT = 17;"), None);
        assert_eq!(set("ALTER DATABASE d SET"), None);
        assert_eq!(set("COMMENT ON DATABASE d IS 'SET x';"), None);
    }

    #[test]
    fn grantees_are_found_and_columns_are_not() {
        assert_eq!(
            roles("GRANT SELECT (\"x\") ON TABLE \"s\".\"TO\" TO \"a\"\"b\" WITH GRANT OPTION;"),
            ["a\"b"]
        );
        assert_eq!(
            roles("REVOKE ALL ON SCHEMA \"s\" FROM PUBLIC; GRANT ALL ON SCHEMA \"s\" TO \"o\";"),
            ["o"]
        );
    }

    #[test]
    fn roles_need_no_quotes() {
        assert_eq!(
            roles(
                "REVOKE ALL ON TABLE s.role FROM PUBLIC; GRANT SELECT(a),INSERT(b) ON TABLE s.role TO ann, \"Bob\" WITH GRANT OPTION;"
            ),
            ["Bob", "ann"]
        );
        assert_eq!(
            roles(
                "SET SESSION AUTHORIZATION carl; GRANT ALL ON SCHEMA s TO ann; RESET SESSION AUTHORIZATION;"
            ),
            ["ann", "carl"]
        );
        assert_eq!(
            roles("CREATE POLICY p ON s.t FOR SELECT TO ann USING ((a > 0));"),
            ["ann"]
        );
    }

    #[test]
    fn roles_of_default_privileges_are_found() {
        assert_eq!(
            roles(
                "ALTER DEFAULT PRIVILEGES FOR ROLE \"o\" IN SCHEMA \"s\" GRANT SELECT ON TABLES TO \"r\";"
            ),
            ["o", "r"]
        );
    }

    #[test]
    fn expressions_of_policies_name_no_roles() {
        assert_eq!(
            roles(
                "CREATE POLICY \"p\" ON \"s\".\"t\" TO \"a\", \"b\" USING (EXTRACT(year FROM \"day\") > 0);"
            ),
            ["a", "b"]
        );
    }

    #[test]
    fn tablespace_is_a_quoted_name_after_its_keyword() {
        assert_eq!(
            name_after(
                "CREATE TABLE \"s\".\"t\" () TABLESPACE \"fast\";",
                "TABLESPACE"
            ),
            Some("fast".to_owned())
        );
        assert_eq!(
            name_after("CREATE TABLE \"TABLESPACE\" ();", "TABLESPACE"),
            None
        );
    }

    #[test]
    fn bodies_say_nothing_about_the_function() {
        let sql = "CREATE FUNCTION s.f() RETURNS int\n LANGUAGE plpgsql\nAS $f$ LANGUAGE c $ $f$ LEAKPROOF;";
        assert_eq!(language(sql).as_deref(), Some("plpgsql"));
        assert!(has_words(&tokens(sql), &["LEAKPROOF"]));
        assert!(!has_words(&tokens(sql), &["C"]));
        assert_eq!(
            language("CREATE FUNCTION f() LANGUAGE \"Lua 5\" AS ''").as_deref(),
            Some("Lua 5")
        );
    }
}
