//! The types of settings: read from text, shown without secrets.

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::valued::Given;
use crate::archive::{Compression, ZSTD_LEVELS};
use crate::conn;
use crate::logging::{LogFormat, redact};

/// Something that can be set.
pub(crate) trait Setting: Sized {
    /// Reads it. The error is the end of a sentence and never quotes a secret.
    fn read(given: &Given) -> Result<Self, String>;

    /// Shows it to people, without secrets.
    fn show(&self) -> String;
}

/// Reads it as the value of an option of the command line.
pub(crate) fn read_option<T: Setting>(text: &str) -> Result<T, String> {
    T::read(&Given::One(text.to_owned()))
}

fn one(given: &Given) -> Result<&str, String> {
    match given {
        Given::One(text) => Ok(text),
        Given::Many(_) => Err("a list cannot stand here".to_owned()),
    }
}

/// Types whose text form is all there is to them.
macro_rules! from_text {
    ($($type:ty: $why:literal),* $(,)?) => { $(
        impl Setting for $type {
            fn read(given: &Given) -> Result<Self, String> {
                one(given)?.parse().map_err(|_| $why.to_owned())
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )* };
}

from_text! {
    u32: "give a number, 0 or more",
    NonZeroU32: "give a number, 1 or more",
    bool: "give true or false",
    SocketAddr: "give an address and a port, as in 127.0.0.1:3000",
    LogFormat: "give text, json or journald",
    Zone: "give a time zone such as Europe/Berlin or UTC",
    TimeLimit: "give a time such as 90s, 5m or 1h",
    ByteSize: "give a size such as 10MiB",
    Rate: "give bytes a second such as 10MiB",
    DatabaseUrl: "give a connection URI (postgresql://...) or a keyword string",
    HttpUrl: "give a URL that begins with http:// or https://",
    Within: "give a span such as 30d, 8w or 1y6mo",
    Percent: "give a number from 1 to 100",
    Method: "give gzip:1..12, zstd:-7..19, auto, zstd:auto or none",
}

impl Setting for String {
    fn read(given: &Given) -> Result<Self, String> {
        match one(given)? {
            "" => Err("it is empty".to_owned()),
            text => Ok(text.to_owned()),
        }
    }

    fn show(&self) -> String {
        redact(self).into_owned()
    }
}

impl Setting for PathBuf {
    fn read(given: &Given) -> Result<Self, String> {
        String::read(given).map(PathBuf::from)
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

/// Several texts; in an environment variable separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List(pub Vec<String>);

impl Setting for List {
    fn read(given: &Given) -> Result<Self, String> {
        let texts: Vec<String> = match given {
            Given::One(text) => text.split(',').map(|text| text.trim().to_owned()).collect(),
            Given::Many(texts) => texts.clone(),
        };
        match texts.iter().any(String::is_empty) {
            true => Err("one of its entries is empty".to_owned()),
            false => Ok(List(texts)),
        }
    }

    fn show(&self) -> String {
        redact(&self.0.join(", ")).into_owned()
    }
}

/// A line for the shell. Passwords in URLs within it are masked when shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellCommand(pub String);

impl Setting for ShellCommand {
    fn read(given: &Given) -> Result<Self, String> {
        String::read(given).map(ShellCommand)
    }

    fn show(&self) -> String {
        redact(&self.0).into_owned()
    }
}

/// When something happens by itself: a cron expression, or never.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// Never; written `off`.
    Off,
    /// At the times of the expression.
    Cron(Box<CronExpression>),
}

/// A cron expression of five fields: minute, hour, day of the month, month, day of the week.
#[derive(Clone, Debug, PartialEq)]
pub struct CronExpression {
    text: String,
    cron: croner::Cron,
}

impl CronExpression {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// For calculations.
    pub fn cron(&self) -> &croner::Cron {
        &self.cron
    }
}

impl FromStr for CronExpression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        use croner::parser::{CronParser, Seconds, Year};
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser.parse(text).map_err(|e| format!("{e}"))?;
        Ok(CronExpression {
            text: text.to_owned(),
            cron,
        })
    }
}

impl When {
    pub(super) fn built_in(text: &'static str) -> Self {
        When::Cron(Box::new(
            text.parse().expect("built-in schedules are valid"),
        ))
    }

    /// The expression, if it is not off.
    pub fn cron(&self) -> Option<&CronExpression> {
        match self {
            When::Off => None,
            When::Cron(cron) => Some(cron),
        }
    }
}

impl Setting for When {
    fn read(given: &Given) -> Result<Self, String> {
        match one(given)? {
            "off" | "false" => Ok(When::Off),
            text => text
                .parse()
                .map(|cron| When::Cron(Box::new(cron)))
                .map_err(|why: String| {
                    format!(
                        "give a cron expression of five fields or \"off\" ({})",
                        why.trim_end_matches('.')
                    )
                }),
        }
    }

    fn show(&self) -> String {
        self.cron().map_or("off", |cron| cron.as_str()).to_owned()
    }
}

/// A time zone with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone(pub TimeZone);

impl Zone {
    /// What the host says (`TZ`, `/etc/localtime`), else UTC.
    pub(super) fn of_system() -> Self {
        Zone(TimeZone::system())
    }
}

impl FromStr for Zone {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        TimeZone::get(text).map(Zone)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.iana_name() {
            Some(name) => f.write_str(name),
            None if self.0.is_unknown() => f.write_str("UTC"),
            None => f.write_str("local time"),
        }
    }
}

/// How long something may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimit(pub Duration);

impl TimeLimit {
    /// Ten minutes: long enough to mount something, short enough to be noticed before the next run.
    pub(super) const DEFAULT: TimeLimit = TimeLimit(Duration::from_secs(600));
}

impl FromStr for TimeLimit {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let limit: jiff::SignedDuration = text.parse().map_err(|_| ())?;
        match Duration::try_from(limit) {
            Ok(limit) if !limit.is_zero() => Ok(TimeLimit(limit)),
            _ => Err(()),
        }
    }
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::SignedDuration::try_from(self.0) {
            Ok(limit) => write!(f, "{limit:#}"),
            Err(_) => write!(f, "{} s", self.0.as_secs()),
        }
    }
}

/// How long ago something may be, by the calendar. Never negative.
#[derive(Clone, Copy, Debug)]
pub struct Within(pub jiff::Span);

impl FromStr for Within {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let span: jiff::Span = text.parse().map_err(|_| ())?;
        (span.is_positive()).then_some(Within(span)).ok_or(())
    }
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

/// A part of a whole, from 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(pub u8);

impl Percent {
    /// Half of it.
    pub(super) const HALF: Percent = Percent(50);
}

impl FromStr for Percent {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number: u8 = text
            .strip_suffix('%')
            .unwrap_or(text)
            .parse()
            .map_err(|_| ())?;
        (1..=100)
            .contains(&number)
            .then_some(Percent(number))
            .ok_or(())
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A number of bytes; written with a unit of 1000 (`MB`) or of 1024 (`MiB`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

/// Larger ones first, so that each size is shown in whole numbers of the largest unit that allows it.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("", 1),
];

impl FromStr for ByteSize {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim();
        let (_, factor) = SIZE_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or(())?;
        let number: u64 = number.parse().map_err(|_| ())?;
        number.checked_mul(*factor).map(ByteSize).ok_or(())
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = SIZE_UNITS
            .iter()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor))
            .unwrap_or(&("", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

/// Bytes a second, written as a [`ByteSize`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub NonZeroU64);

impl FromStr for Rate {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let ByteSize(bytes) = text.parse()?;
        NonZeroU64::new(bytes).map(Rate).ok_or(())
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ByteSize(self.0.get()).fmt(f)
    }
}

/// A connection string. Printing it never shows a password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole of it, for connecting.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for DatabaseUrl {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        conn::is_connection_string(text)
            .then(|| DatabaseUrl(text.to_owned()))
            .ok_or(())
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&conn::mask_connection_string(&self.0))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

/// A URL for pings. Its path is a secret with most services, so only the host is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl(reqwest::Url);

impl HttpUrl {
    /// The whole of it, for a request.
    pub fn reveal(&self) -> &reqwest::Url {
        &self.0
    }
}

impl FromStr for HttpUrl {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let url: reqwest::Url = text.parse().map_err(|_| ())?;
        let valid = matches!(url.scheme(), "http" | "https") && url.has_host();
        valid.then_some(HttpUrl(url)).ok_or(())
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.scheme();
        let host = self.0.host_str().unwrap_or_default();
        match self.0.port() {
            Some(port) => write!(f, "{scheme}://{host}:{port}/***"),
            None => write!(f, "{scheme}://{host}/***"),
        }
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({self})")
    }
}

/// A method of compression with its level, as `--compress` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method(pub Compression);

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (method, level) = match text.split_once(':') {
            Some((method, level)) => (method, Some(level)),
            None => (text, None),
        };
        let level = |levels: RangeInclusive<i32>| match level.map(str::parse) {
            None => Ok(1),
            // To zstd, 0 is a level that it chooses itself.
            Some(Ok(level)) if levels.contains(&level) && level != 0 => Ok(level),
            Some(_) => Err(format!(
                "the level of {method} is a number from {} to {}",
                levels.start(),
                levels.end()
            )),
        };
        match method {
            "0" if text == "0" => Ok(Method(Compression::None)),
            digits if digits == text && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                format!("gzip:{digits}").parse()
            }
            "auto" if text == "auto" => Ok(Method(Compression::GzipAuto)),
            "gzip" if text == "gzip:auto" => Ok(Method(Compression::GzipAuto)),
            "zstd" if text == "zstd:auto" => Ok(Method(Compression::ZstdAuto)),
            "gzip" => Ok(Method(Compression::Gzip(level(1..=12)?))),
            "zstd" => Ok(Method(Compression::Zstd(level(ZSTD_LEVELS)?))),
            "none" if text == "none" => Ok(Method(Compression::None)),
            _ => Err("give gzip:1..12, zstd:-7..19, auto, zstd:auto or none".to_owned()),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The first line of a file that nobody else may read.
///
/// # Errors
/// `NotFound`, `Io`; `Usage` if others may read it or it is empty.
pub fn read_secret_file(path: &Path) -> crate::Result<String> {
    use crate::{Error, ErrorKind};
    use std::os::unix::fs::PermissionsExt;
    let shown = path.display();
    let failed = |e| Error::io(format!("could not read {shown}"), e);
    let mode = std::fs::metadata(path)
        .map_err(failed)?
        .permissions()
        .mode();
    if mode & 0o007 != 0 {
        return Err(Error::new(
            ErrorKind::Usage,
            format!("{shown} can be read by everybody"),
        )
        .hint(format!("Run: chmod 600 {shown}")));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    match text.lines().next().map(str::trim) {
        None | Some("") => Err(Error::new(ErrorKind::Usage, format!("{shown} is empty"))),
        Some(secret) => Ok(secret.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn text(text: &str) -> Given {
        Given::One(text.to_owned())
    }

    #[test]
    fn cron_has_five_fields_and_may_be_off() {
        assert_eq!(When::read(&text("off")), Ok(When::Off));
        assert_eq!(When::read(&text("false")), Ok(When::Off));
        assert_eq!(When::read(&text("0 2 * * *")).unwrap().show(), "0 2 * * *");
        for wrong in ["", "2", "0 2 * *", "0 0 2 * * *", "61 2 * * *", "daily"] {
            let why = When::read(&text(wrong)).unwrap_err();
            assert!(why.contains("five fields"), "{wrong}: {why}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (written, bytes) in [("0", 0), ("10MiB", 10 << 20), ("5 kB", 5000), ("7", 7)] {
            assert_eq!(ByteSize::read(&text(written)), Ok(ByteSize(bytes)));
        }
        for wrong in ["", "MiB", "1.5MiB", "-1", "10 apples", "99999999999GiB"] {
            assert!(ByteSize::read(&text(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(ByteSize(10 << 20).show(), "10MiB");
        assert_eq!(ByteSize(1001).show(), "1001");
        assert_eq!(Rate::read(&text("10MiB")).unwrap().show(), "10MiB");
        assert!(Rate::read(&text("0MiB")).is_err());
    }

    #[test]
    fn time_limits_are_above_zero() {
        let minutes = TimeLimit::read(&text("5m")).unwrap();
        assert_eq!(minutes.0, Duration::from_secs(300));
        assert_eq!(minutes.show(), "5m");
        for wrong in ["0s", "-5m", "5", ""] {
            assert!(TimeLimit::read(&text(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn urls_are_shown_without_secrets() {
        let url = DatabaseUrl::read(&text("postgresql://me:sesame@h/db")).unwrap();
        assert_eq!(url.show(), "postgresql://me:***@h/db");
        let ping =
            HttpUrl::read(&text("https://u:sesame@hc.example:8443/sesame?x=sesame")).unwrap();
        assert_eq!(ping.show(), "https://hc.example:8443/***");
        assert!(!format!("{url:?}{ping:?}").contains("sesame"));
        assert!(HttpUrl::read(&text("file:///etc/passwd")).is_err());
    }

    #[test]
    fn methods_have_levels_within_bounds() {
        assert_eq!("gzip:12".parse(), Ok(Method(Compression::Gzip(12))));
        assert_eq!("zstd".parse(), Ok(Method(Compression::Zstd(1))));
        assert_eq!("zstd:-7".parse(), Ok(Method(Compression::Zstd(-7))));
        assert_eq!("none".parse(), Ok(Method(Compression::None)));
        assert_eq!("5".parse(), Ok(Method(Compression::Gzip(5))));
        assert_eq!("auto".parse(), Ok(Method(Compression::GzipAuto)));
        assert_eq!("zstd:auto".parse(), Ok(Method(Compression::ZstdAuto)));
        assert_eq!("0".parse(), Ok(Method(Compression::None)));
        for wrong in [
            "gzip:0",
            "gzip:13",
            "13",
            "00",
            "zstd:20",
            "zstd:0",
            "zstd:-8",
            "gzip:-1",
            "none:1",
            "lz4",
            "gzip:x",
            "",
            "auto:1",
            "none:auto",
        ] {
            assert!(wrong.parse::<Method>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn lists_are_separated_by_commas_in_variables() {
        let list = List::read(&text("age1a, age1b")).unwrap();
        assert_eq!(list.0, ["age1a", "age1b"]);
        assert!(List::read(&text("age1a,,")).is_err());
    }
}
