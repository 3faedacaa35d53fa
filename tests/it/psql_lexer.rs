//! Our lexer against psql's own: random texts, what psql sends of each, and what we say that it sends.
//!
//! The server is one of ours that notes queries and answers each with success: so every text can be sent, and what arrives
//! is known byte for byte. `PGSTOW_TEST_SEED` and `PGSTOW_TEST_TEXTS` choose other texts and more of them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

use ::pgstow::lexer::{StringSyntax, guard, split};

use crate::harness::dice::Dice;
use crate::harness::server::client_dir;

#[test]
fn psql_sends_what_the_lexer_says() {
    let number = |variable: &str, default: u64| {
        std::env::var(variable).map_or(default, |value| value.parse().unwrap())
    };
    let seed = number("PGSTOW_TEST_SEED", 20_260_114);
    let texts = number("PGSTOW_TEST_TEXTS", 400);
    println!("seed {seed}");
    let mut dice = Dice::of_seed(seed);
    let server = Listener::start();
    let mut readable = 0;
    for _ in 0..texts {
        let text = write_text(&mut dice);
        let Ok(ranges) = split(&text, StringSyntax::Standard) else {
            // What cannot be one statement is refused, whatever psql does with it.
            assert!(guard(&text).is_err(), "seed {seed}: {text:?}");
            continue;
        };
        readable += 1;
        // psql leaves out empty lines between words.
        let in_a_line = |text: &str| text.replace('\n', "");
        let expected: Vec<String> = ranges
            .into_iter()
            .map(|range| in_a_line(&text[range]))
            .collect();
        let sent: Vec<String> = server
            .queries_of(&text)
            .iter()
            .map(|query| in_a_line(behind_space(query)))
            .filter(|query| !query.is_empty())
            .collect();
        assert_eq!(sent, expected, "seed {seed}: {text:?}");
    }
    println!("{readable} of {texts} texts are statements to us");
    assert!(
        readable * 3 > texts,
        "only {readable} of {texts} texts were compared"
    );
}

/// Mostly what can stand in a statement.
const PIECES: &[&str] = &[
    "select",
    "SELECT",
    "create",
    "Create",
    "function",
    "procedure",
    "or",
    "replace",
    "begin",
    "atomic",
    "BEGIN ATOMIC",
    "end",
    "END;",
    "case",
    "case when a then b end",
    "create function f()",
    "create or replace procedure p()",
    "table",
    "x",
    "é",
    "begin$",
    "a$b$c",
    "_",
    "'a'",
    "'a''b;'",
    "'\\'",
    "'a\n;b'",
    "E'a\\';b'",
    "e'\\\\'",
    "E''''",
    "U&'\\0061;'",
    "U&\"d;\"",
    "u&'a' uescape '!'",
    "N'x;'",
    "B'10;'",
    "x'f;f'",
    "'a'\n';b'",
    "'a' -- c;\n ';b'",
    "'a' ';b'",
    "E'a'\n'\\';'",
    "\"a\"",
    "\"a\"\";\"",
    "\"\\\"",
    "\"'\"",
    "$$;$$",
    "$$'$$",
    "$t$ $$ ; $t$",
    "$t$ $s$ ; \\ $t$",
    "$é$;$é$",
    "$_1$a$_1$",
    "$1",
    "$",
    "(",
    ")",
    "(;)",
    "( begin; )",
    "[1:2]",
    "a[b:c]",
    "::int",
    ":=",
    ":",
    ": x",
    ":x",
    ":'x'",
    ":\"x\"",
    "::",
    "1",
    "1.5",
    ".5",
    "1e5",
    "1e-5",
    "1..2",
    "0x1F",
    "1_000",
    "12 ;",
    "-- c ; ' \" $$ (\n",
    "--\n",
    "/* ; ' */",
    "/* /* ; */ ' */",
    "/**/",
    "/*/ */",
    "*/",
    "+",
    "-",
    "- -",
    "*",
    "/",
    "<>",
    "<=",
    "!=",
    "~",
    "!",
    "@",
    "#",
    "%",
    "^",
    "&",
    "|",
    "`",
    "?",
    "@-",
    "+-",
    "=>",
    ",",
    ".",
    "{",
    "}",
    "]",
    " ",
    "  ",
    "\n",
    "\t",
    "\r",
    "\r\n",
    "\x0c",
    "\u{a0}",
    ";",
    ";",
    ";",
    ";\n",
    "; ",
];

/// What opens something, or leaves it.
const OPENINGS: &[&str] = &[
    "'", "\"", "$$", "$t$", "/*", "E'", "\\", "\\;", "\\q", ":USER", ":{?x}", "1a", "$1a", "\x0b",
    "e'\\'", "--", "x'",
];

fn write_text(dice: &mut Dice) -> String {
    let mut text = String::new();
    for _ in 0..=dice.throw(12) {
        text.push_str(PIECES[dice.throw(PIECES.len())]);
        if dice.throw(40) == 0 {
            text.push_str(OPENINGS[dice.throw(OPENINGS.len())]);
        }
        if dice.throw(3) > 0 {
            text.push(' ');
        }
    }
    text.push(';');
    text
}

/// Without the white space and comments at its beginning: psql sends some of them, and none is part of a statement.
fn behind_space(query: &str) -> &str {
    let rest = query.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']);
    let comment = match rest.get(..2) {
        Some("--") => rest.find(['\n', '\r']).unwrap_or(rest.len()),
        Some("/*") => end_of_comment(rest),
        _ => return rest,
    };
    behind_space(&rest[comment..])
}

fn end_of_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        match text.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            Some(_) => at += 1,
            None => return text.len(),
        }
        if depth == 0 {
            return at;
        }
    }
}

/// Speaks as much of the protocol as psql needs to send queries.
struct Listener {
    port: u16,
    sessions: Receiver<Vec<String>>,
}

impl Listener {
    fn start() -> Listener {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, sessions) = channel();
        std::thread::spawn(move || {
            for session in listener.incoming() {
                // The test is over when nobody takes what was heard.
                if hear(session.unwrap(), &sender).is_none() {
                    return;
                }
            }
        });
        Listener { port, sessions }
    }

    /// Lets psql run a text, gives the queries that arrived.
    fn queries_of(&self, text: &str) -> Vec<String> {
        let mut psql = Command::new(client_dir().join("psql"))
            .args(["-X", "-q", "-h", "127.0.0.1", "-U", "x", "-d", "x", "-p"])
            .arg(self.port.to_string())
            .args(["-f", "-"])
            .env("PGSSLMODE", "disable")
            .env("PGGSSENCMODE", "disable")
            .env("PGCLIENTENCODING", "UTF8")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        psql.stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        assert!(psql.wait().unwrap().success(), "{text:?}");
        self.sessions.recv().unwrap()
    }
}

/// Serves one session to its end.
fn hear(mut stream: TcpStream, sender: &Sender<Vec<String>>) -> Option<()> {
    let length = read_length(&mut stream);
    read_bytes(&mut stream, length);
    let mut hello = message(b'R', &0_i32.to_be_bytes());
    for (name, value) in [
        ("server_version", "18.0"),
        ("client_encoding", "UTF8"),
        ("standard_conforming_strings", "on"),
    ] {
        hello.extend(message(b'S', format!("{name}\0{value}\0").as_bytes()));
    }
    hello.extend(message(b'Z', b"I"));
    stream.write_all(&hello).unwrap();
    let mut queries = Vec::new();
    loop {
        let mut kind = [0];
        if stream.read_exact(&mut kind).is_err() || kind == *b"X" {
            return sender.send(queries).ok();
        }
        let length = read_length(&mut stream);
        let mut body = read_bytes(&mut stream, length);
        assert_eq!(kind, *b"Q", "psql sends queries");
        assert_eq!(body.pop(), Some(0));
        queries.push(String::from_utf8(body).unwrap());
        let answer = [message(b'C', b"OK\0"), message(b'Z', b"I")].concat();
        stream.write_all(&answer).unwrap();
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

/// Without the four bytes of itself.
fn read_length(stream: &mut TcpStream) -> usize {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    usize::try_from(u32::from_be_bytes(length)).unwrap() - 4
}

fn read_bytes(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}
