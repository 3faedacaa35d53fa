//! Log lines: text or JSON to standard error or a file that rotates by size, or to journald. Never a secret: every line passes
//! [`redact`] on its way out.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use regex::{Captures, Regex};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::{Error, ErrorKind, Result};

/// Where journald listens. Its protocol: <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>.
const JOURNALD: &str = "/run/systemd/journal/socket";

/// What log lines look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON document per line.
    Json,
    /// Entries of the systemd journal.
    Journald,
}

impl LogFormat {
    const ALL: [LogFormat; 3] = [LogFormat::Text, LogFormat::Json, LogFormat::Journald];

    fn as_str(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
            LogFormat::Journald => "journald",
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let format = LogFormat::ALL
            .into_iter()
            .find(|format| format.as_str() == text);
        format.ok_or_else(|| "give text, json or journald".to_owned())
    }
}

/// Where log lines go, and which.
#[derive(Clone, Debug)]
pub struct LogTarget {
    /// A file; `None` for standard error. Of no meaning for journald.
    pub file: Option<PathBuf>,
    /// What they look like.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter by module (`pgstow=debug`).
    pub level: String,
    /// The file is rotated before it grows beyond this.
    pub max_size_bytes: u64,
    /// Rotated files that are kept, as FILE.1 to FILE.N.
    pub keep: u32,
}

/// Starts logging, for the whole process.
///
/// # Errors
/// `Usage` if the level makes no sense or journald is not there; `Io`, `NoSpace` for the file.
pub fn init(target: &LogTarget) -> Result<()> {
    let filter: EnvFilter = target.level.parse().map_err(|_| {
        Error::new(ErrorKind::Usage, "the log level makes no sense")
            .hint("Give error, warn, info, debug or trace.")
    })?;
    let lines = match (&target.file, target.format) {
        (_, LogFormat::Journald) => None,
        (None, _) => Some(Lines::Stderr),
        (Some(path), _) => Some(Lines::File(Arc::new(Mutex::new(RotatingFile::open(
            path,
            target.max_size_bytes,
            target.keep,
        )?)))),
    };
    let registry = tracing_subscriber::registry().with(filter);
    let started = match (lines, target.format) {
        (Some(lines), LogFormat::Json) => {
            let layer = tracing_subscriber::fmt::layer().json().with_writer(lines);
            registry.with(layer).try_init()
        }
        (Some(lines), _) => {
            let layer = tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .with_target(false)
                .with_writer(lines);
            registry.with(layer).try_init()
        }
        (None, _) => registry.with(Journald::connect()?).try_init(),
    };
    started.map_err(|e| Error::internal("logging was started twice").caused_by(e))
}

/// A text without passwords, tokens and keys, as far as one can tell by how they are written: in URLs, behind `password=` and
/// its like, behind `Bearer`.
pub fn redact(text: &str) -> Cow<'_, str> {
    static IN_URL: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/@:'\x22]*):([^\s/@]+)@").expect("it is valid")
    });
    static NAMED: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r"(?i)\b([a-z0-9_]*(?:password|passwd|passphrase|secret|token|authorization)[a-z0-9_]*",
            r"\\?[\x22']?\s*[=:]\s*)",
            r"('(?:[^'\\]|\\.)*'|\\?\x22(?:[^\x22\\]|\\[^\x22])*\\?\x22|(?:bearer\s+)?[^\s&,;'\x22)]+)"
        ))
        .expect("it is valid")
    });
    static BEARER: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?i)\bbearer\s+[^\s\x22]+").expect("it is valid"));
    static AGE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"AGE-SECRET-KEY-1[A-Z0-9]+").expect("it is valid"));
    let text = replaced(text.into(), &IN_URL, |found| format!("{}:***@", &found[1]));
    let text = replaced(text, &NAMED, |found| format!("{}***", &found[1]));
    let text = replaced(text, &BEARER, |_| "Bearer ***".to_owned());
    replaced(text, &AGE, |_| "AGE-SECRET-KEY-***".to_owned())
}

fn replaced<'a>(
    text: Cow<'a, str>,
    pattern: &Regex,
    with: impl Fn(&Captures<'_>) -> String,
) -> Cow<'a, str> {
    match pattern.replace_all(&text, with) {
        Cow::Borrowed(_) => text,
        Cow::Owned(new) => Cow::Owned(new),
    }
}

/// Where lines go.
#[derive(Clone)]
enum Lines {
    Stderr,
    File(Arc<Mutex<RotatingFile>>),
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

impl Write for Lines {
    /// Gets a whole line at a time.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let redacted = redact(&text);
        match self {
            Lines::Stderr => io::stderr().lock().write_all(redacted.as_bytes())?,
            Lines::File(file) => file
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write(redacted.as_bytes())?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that makes place for a new one before it grows too large.
struct RotatingFile {
    path: PathBuf,
    file: File,
    size_bytes: u64,
    max_size_bytes: u64,
    keep: u32,
}

impl RotatingFile {
    fn open(path: &Path, max_size_bytes: u64, keep: u32) -> Result<RotatingFile> {
        let failed = |e| Error::io(format!("could not open log file {}", path.display()), e);
        let file = append_to(path).map_err(failed)?;
        let size_bytes = file.metadata().map_err(failed)?.len();
        Ok(RotatingFile {
            path: path.to_owned(),
            file,
            size_bytes,
            max_size_bytes,
            keep,
        })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        if self.size_bytes > 0 && self.size_bytes + length > self.max_size_bytes {
            self.rotate()?;
        }
        self.file.write_all(line)?;
        self.size_bytes += length;
        Ok(())
    }

    /// FILE becomes FILE.1, that FILE.2, and so on. Another process may have done it already: then its new file is taken.
    fn rotate(&mut self) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        let ours = self.file.metadata()?.ino();
        let is_ours = std::fs::metadata(&self.path).is_ok_and(|there| there.ino() == ours);
        if is_ours {
            for number in (1..self.keep).rev() {
                let _ = std::fs::rename(self.numbered(number), self.numbered(number + 1));
            }
            match self.keep {
                0 => std::fs::remove_file(&self.path)?,
                _ => std::fs::rename(&self.path, self.numbered(1))?,
            }
        }
        self.file = append_to(&self.path)?;
        self.size_bytes = self.file.metadata()?.len();
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

/// Sends entries to journald.
struct Journald {
    socket: UnixDatagram,
}

impl Journald {
    fn connect() -> Result<Journald> {
        Journald::connect_to(Path::new(JOURNALD)).map_err(|e| {
            Error::io("could not reach journald", e)
                .with_kind(ErrorKind::Usage)
                .hint("Is this a systemd host? Else choose --log-format text or json.")
        })
    }

    fn connect_to(path: &Path) -> io::Result<Journald> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Journald { socket })
    }
}

impl<S: Subscriber> Layer<S> for Journald {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut text = EventText::default();
        event.record(&mut text);
        let entry = journal_entry(*event.metadata().level(), &redact(&text.line()));
        // Nobody is left who could be told.
        let _ = self.socket.send(&entry);
    }
}

/// An event's message with its other fields behind.
#[derive(Default)]
struct EventText {
    message: String,
    fields: String,
}

impl EventText {
    fn line(&self) -> String {
        format!("{}{}", self.message, self.fields)
    }
}

impl Visit for EventText {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

/// An entry in journald's native form. A value is given with its length, so that it may hold newlines.
fn journal_entry(level: Level, message: &str) -> Vec<u8> {
    let priority = match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    };
    let mut entry =
        format!("PRIORITY={priority}\nSYSLOG_IDENTIFIER=pgstow\nMESSAGE\n").into_bytes();
    entry.extend((message.len() as u64).to_le_bytes());
    entry.extend(message.as_bytes());
    entry.push(b'\n');
    entry
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn secrets_are_redacted_however_they_are_written() {
        for text in [
            "postgresql://me:sesame@h/db",
            "could not connect to postgresql://me:sesame@h:5432/db?x=1",
            "host=h password=sesame user=me",
            "host=h password = 'ses\\'ame' user=me",
            "postgresql://h/db?password=sesame&x=1",
            "AWS_SECRET_ACCESS_KEY=sesame",
            "Authorization: Bearer sesame",
            "bearer sesame",
            r#"{"password":"sesame","x":1}"#,
            r#"{"message":"{\"token\":\"sesame\"}"}"#,
            "AGE-SECRET-KEY-1SESAME",
        ] {
            let shown = redact(text);
            assert!(!shown.to_lowercase().contains("sesame"), "{shown}");
            assert!(shown.contains("***"), "{shown}");
        }
        for text in [
            "http://127.0.0.1:3000/api",
            "backup shop-backup-20260114-020000 done",
            "s3://bucket/prefix",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn a_log_file_is_rotated_before_it_grows_too_large() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = RotatingFile::open(&path, 10, 2).unwrap();
        for line in ["first..\n", "second.\n", "third..\n", "fourth.\n"] {
            file.write(line.as_bytes()).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(
            [read("log"), read("log.1"), read("log.2")],
            ["fourth.\n", "third..\n", "second.\n"]
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn another_process_that_rotated_first_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut ours = RotatingFile::open(&path, 10, 2).unwrap();
        let mut other = RotatingFile::open(&path, 10, 2).unwrap();
        ours.write(b"ours...\n").unwrap();
        other.size_bytes = 8;
        other.write(b"other..\n").unwrap();
        ours.write(b"third..\n").unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("log.1"), "ours...\n");
        assert!(read("log").starts_with("other..\n"));
    }

    #[test]
    fn journald_gets_priority_and_message() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = UnixDatagram::bind(&path).unwrap();
        let journald = Journald::connect_to(&path).unwrap();
        let subscriber = tracing_subscriber::registry().with(journald);
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(set = "x", "two\nlines, password=sesame");
        });
        let mut buffer = [0; 1000];
        let length = listener.recv(&mut buffer).unwrap();
        let message = b"two\nlines, password=*** set=\"x\"";
        let mut expected = b"PRIORITY=4\nSYSLOG_IDENTIFIER=pgstow\nMESSAGE\n".to_vec();
        expected.extend((message.len() as u64).to_le_bytes());
        expected.extend(message);
        expected.push(b'\n');
        assert_eq!(
            String::from_utf8_lossy(&buffer[..length]),
            String::from_utf8_lossy(&expected)
        );
    }
}
