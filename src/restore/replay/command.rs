//! psql's backslash commands: which are obeyed. A script is somebody else's, so those that read files, run programs or
//! go elsewhere are refused by name.

use super::script::Command;
use crate::objects::quote::one_line;
use crate::{Error, ErrorKind, Result};

/// What a command asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    /// Another database of the same server.
    Connect(String),
}

/// Obeys commands in turn.
#[derive(Debug)]
pub(super) struct Commands {
    follow_connect: bool,
    /// The key of the `\restrict` that holds.
    restricted: Option<String>,
}

impl Commands {
    /// `follow_connect`: `\connect` is obeyed.
    pub(super) fn new(follow_connect: bool) -> Self {
        Commands {
            follow_connect,
            restricted: None,
        }
    }

    /// # Errors
    /// `Unsupported`, with the command's name and line.
    pub(super) fn obey(&mut self, command: &Command) -> Result<Asked> {
        let refused = |hint: &str| {
            let shown = format!("\\{}", command.name);
            Err(Error::new(
                ErrorKind::Unsupported,
                format!("line {}: {} is not obeyed", command.line, one_line(&shown)),
            )
            .hint(hint))
        };
        let key = command.arguments.as_str();
        match (command.name.as_str(), &self.restricted) {
            _ if command.is_within => {
                refused("A backslash command stands in the middle of a statement.")
            }
            ("unrestrict", Some(restricted)) if restricted == key => {
                self.restricted = None;
                Ok(Asked::Nothing)
            }
            ("unrestrict", _) => refused("There is no \\restrict with its key before it."),
            (_, Some(_)) => {
                refused("A \\restrict is in force, so it may have been smuggled into the dump.")
            }
            ("restrict", None) if is_key(key) => {
                self.restricted = Some(key.to_owned());
                Ok(Asked::Nothing)
            }
            ("restrict", None) => refused("Its key is missing."),
            ("connect" | "c", None) if !self.follow_connect => {
                refused("The script goes to another database. Give --follow-connect to let it.")
            }
            ("connect" | "c", None) => match parse_connect(&command.arguments) {
                Some(database) => Ok(Asked::Connect(database)),
                None => refused(
                    "Of \\connect only the form with a database of the same server is obeyed.",
                ),
            },
            (".", None) => refused("It ends the rows of a COPY, and there is none here."),
            _ => refused(
                "A script may only hold SQL, rows of COPY, \\restrict and \\unrestrict. Replay it with psql if you trust it.",
            ),
        }
    }
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The database of `\connect DB` and `\connect -reuse-previous=on "dbname='DB'"`, which is what pg_dump writes;
/// `None` for all that names a role, a host or a port.
fn parse_connect(arguments: &str) -> Option<String> {
    let mut words = parse_words(arguments)?.into_iter().peekable();
    words.next_if(|word| !word.is_quoted && word.text == "-reuse-previous=on");
    let first = words.next()?;
    if words.any(|word| word.is_quoted || word.text != "-") {
        return None;
    }
    match first.text.as_str() {
        "" => None,
        "-" if !first.is_quoted => None,
        text if text.contains('=') => parse_dbname(text),
        text if text.contains("://") => None,
        text => Some(text.to_owned()),
    }
}

/// `dbname='...'` and nothing else, with libpq's escapes.
fn parse_dbname(text: &str) -> Option<String> {
    let value = text.trim().strip_prefix("dbname=")?;
    let Some(inner) = value.strip_prefix('\'') else {
        let is_bare =
            !value.contains(|c: char| c.is_whitespace() || matches!(c, '\'' | '\\' | '='));
        return is_bare.then(|| value.to_owned());
    };
    let mut name = String::new();
    let mut chars = inner.chars();
    loop {
        match chars.next()? {
            '\'' => break,
            '\\' => name.push(chars.next()?),
            c => name.push(c),
        }
    }
    chars.as_str().is_empty().then_some(name)
}

struct Word {
    text: String,
    is_quoted: bool,
}

/// The arguments, by psql's rules for names, which forgives semicolons behind them; `None` for what it would take from elsewhere (`` ` ``, `:name`), or that is not closed.
fn parse_words(text: &str) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(char::is_ascii_whitespace).is_some() {}
        if chars.peek().is_none() {
            return Some(words);
        }
        let mut word = Word {
            text: String::new(),
            is_quoted: false,
        };
        while let Some(c) = chars.next_if(|c| !c.is_ascii_whitespace()) {
            match c {
                '"' => {
                    word.is_quoted = true;
                    loop {
                        match chars.next()? {
                            '"' if chars.next_if_eq(&'"').is_some() => word.text.push('"'),
                            '"' => break,
                            c => word.text.push(c),
                        }
                    }
                }
                '\'' | '`' | '\\' | ':' => return None,
                c => word.text.push(c),
            }
        }
        if !word.is_quoted {
            word.text.truncate(word.text.trim_end_matches(';').len());
        }
        if word.is_quoted || !word.text.is_empty() {
            words.push(word);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn command(text: &str) -> Command {
        let (name, arguments) = text.split_once(' ').unwrap_or((text, ""));
        Command {
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            line: 7,
            is_within: false,
        }
    }

    #[test]
    fn connect_takes_the_forms_of_pg_dump() {
        for (arguments, database) in [
            ("shop", Some("shop")),
            ("\"a \"\"b\"", Some("a \"b")),
            ("-reuse-previous=on \"dbname='a=b'\"", Some("a=b")),
            (
                r#"-reuse-previous=on "dbname='it\'s \\ ""x""'""#,
                Some(r#"it's \ "x""#),
            ),
            ("shop;", Some("shop")),
            ("shop ;", Some("shop")),
            ("shop - - -", Some("shop")),
            ("shop root", None),
            ("shop - evil.example", None),
            ("- root", None),
            ("\"host=evil dbname=x\"", None),
            ("\"dbname=x host=evil\"", None),
            ("\"dbname='x' host=evil\"", None),
            ("postgresql://evil/x", None),
            ("`id`", None),
            (":x", None),
            ("\"open", None),
            ("", None),
        ] {
            assert_eq!(parse_connect(arguments).as_deref(), database, "{arguments}");
        }
    }

    #[test]
    fn restrict_keeps_everything_else_out() {
        let mut commands = Commands::new(true);
        assert_eq!(
            commands.obey(&command("restrict k1")).unwrap(),
            Asked::Nothing
        );
        for refused in [
            "connect x",
            "restrict k2",
            "unrestrict k2",
            "! id",
            "unrestrict",
        ] {
            let error = commands.obey(&command(refused)).unwrap_err();
            assert!(error.message().starts_with("line 7: \\"), "{error}");
        }
        assert_eq!(
            commands.obey(&command("unrestrict k1")).unwrap(),
            Asked::Nothing
        );
        let connect = commands.obey(&command("connect x")).unwrap();
        assert_eq!(connect, Asked::Connect("x".to_owned()));
    }

    #[test]
    fn other_commands_are_refused_by_name() {
        let mut commands = Commands::new(false);
        for text in [
            "! id",
            "i f",
            "copy t from f",
            "set x",
            "if 1",
            "gexec",
            ".",
            "c x",
            "restrict",
        ] {
            let error = commands.obey(&command(text)).unwrap_err();
            let name = text.split(' ').next().unwrap();
            assert!(error.message().contains(&format!("\\{name} is")), "{error}");
        }
    }
}
