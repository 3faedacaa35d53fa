//! The crate's error: what a DBA reads at 3 a.m., and the exit status that goes with it.

use std::fmt;

use tokio_postgres::error::SqlState;

/// Shorthand for results with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as callers and scripts need to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The arguments, an option file or a connection string make no sense.
    Usage,
    /// No connection could be made: network, TLS, authentication, no such database.
    Connect,
    /// Reading or understanding the system catalogs failed.
    Catalog,
    /// The database holds objects that pgstow cannot dump yet.
    Unsupported,
    /// A lock was not granted within `--lock-wait-timeout`.
    LockTimeout,
    /// Reading or writing table data failed.
    Data,
    /// The archive is cut, altered or not one of ours.
    Damaged,
    /// There is no such file or backup.
    NotFound,
    /// A file of that name exists; nothing is ever overwritten.
    AlreadyExists,
    /// The disk is full.
    NoSpace,
    /// Any other failure of the operating system.
    Io,
    /// The restore failed before it changed anything, or its changes were rolled back.
    Restore,
    /// The restore stopped after it had changed the target for good.
    RestoreIncomplete,
    /// Everything was restored, and a crash of the server has emptied unlogged tables before anybody could say so.
    RowsLost,
    /// Another run holds the lock.
    Locked,
    /// A side job failed after the main one was done.
    SideJob,
    /// SIGINT (`2`) or SIGTERM (`15`) stopped the run.
    Interrupted(u8),
    /// A bug in pgstow: an invariant does not hold.
    Internal,
}

impl ErrorKind {
    /// The documented exit status (`pgstow --help` prints the same table).
    pub fn exit_status(self) -> u8 {
        match self {
            ErrorKind::Catalog
            | ErrorKind::Unsupported
            | ErrorKind::Data
            | ErrorKind::AlreadyExists
            | ErrorKind::Io
            | ErrorKind::Restore
            | ErrorKind::Internal => 1,
            ErrorKind::Usage => 2,
            ErrorKind::SideJob => 3,
            ErrorKind::Damaged => 4,
            ErrorKind::NotFound => 5,
            ErrorKind::RestoreIncomplete | ErrorKind::RowsLost => 6,
            ErrorKind::Locked => 11,
            ErrorKind::Connect => 20,
            ErrorKind::LockTimeout => 21,
            ErrorKind::NoSpace => 22,
            ErrorKind::Interrupted(signal) => 128 + signal,
        }
    }
}

/// Whether the same may succeed later without anybody changing anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outlook {
    /// It will fail again.
    #[default]
    Lasting,
    /// A connection broke, a server restarts or is full of connections, a deadlock was lost.
    Passing,
    /// A disk is full. Somebody or something may make room.
    DiskFull,
}

impl Outlook {
    /// Of an error of the server or of the connection to it. Manual: "PostgreSQL Error Codes".
    pub(crate) fn of(error: &tokio_postgres::Error) -> Outlook {
        match error.as_db_error() {
            Some(db) => Outlook::of_sqlstate(db.code().code()),
            None if error.is_closed() || is_io(error) => Outlook::Passing,
            None => Outlook::Lasting,
        }
    }

    fn of_sqlstate(code: &str) -> Outlook {
        match code {
            // admin_shutdown, crash_shutdown, cannot_connect_now, too_many_connections, serialization_failure,
            // deadlock_detected.
            "57P01" | "57P02" | "57P03" | "53300" | "40001" | "40P01" => Outlook::Passing,
            "53100" => Outlook::DiskFull,
            _ if code.starts_with("08") => Outlook::Passing,
            _ => Outlook::Lasting,
        }
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>())
}

/// One factual line, then details, then a hint that can be acted on.
///
/// Never holds passwords, keys or row values: whoever builds it filters the server's
/// DETAIL and CONTEXT (see [`Error::from_server`]).
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    details: Vec<String>,
    hint: Option<String>,
    outlook: Outlook,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with its one line: lower case, without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error {
            kind,
            message: message.into(),
            details: Vec::new(),
            hint: None,
            outlook: Outlook::Lasting,
            source: None,
        }
    }

    /// A broken invariant of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Internal, message).hint("This is a bug in pgstow. Please report it.")
    }

    /// An operating system error, with full disks told apart.
    pub fn io(what: impl Into<String>, error: std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                ErrorKind::NoSpace
            }
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
            _ => ErrorKind::Io,
        };
        let text = error.to_string();
        Error::new(kind, what).detail(text).caused_by(error)
    }

    /// An error of the server or of the connection to it.
    ///
    /// The server's message and SQLSTATE become a detail; its DETAIL, HINT and CONTEXT are left
    /// out because they may quote row values. SQLSTATE 55P03 becomes [`ErrorKind::LockTimeout`].
    pub fn from_server(
        kind: ErrorKind,
        message: impl Into<String>,
        error: tokio_postgres::Error,
    ) -> Self {
        let (kind, detail) = match error.as_db_error() {
            Some(db) => {
                let kind = match db.code().code() {
                    "55P03" => ErrorKind::LockTimeout,
                    _ => kind,
                };
                let text = format!(
                    "Server: {} (SQLSTATE {})",
                    crate::objects::quote::one_line(db.message()),
                    db.code().code()
                );
                (kind, text)
            }
            None => (kind, format!("Connection: {}", error_chain(&error))),
        };
        Error::new(kind, message)
            .detail(detail)
            .with_outlook(Outlook::of(&error))
            .caused_by(error)
    }

    /// Adds a line of detail: which phase, which part, how far.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    /// Sets the hint: what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Attaches the cause. It is not printed into the message.
    #[must_use]
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Replaces the kind, keeping texts and cause.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// Says whether the same may succeed later. [`Error::from_server`] knows by itself.
    #[must_use]
    pub fn with_outlook(mut self, outlook: Outlook) -> Self {
        self.outlook = outlook;
        self
    }

    /// The server's code for what caused it. Appendix of the manual: "PostgreSQL Error Codes".
    pub(crate) fn sqlstate(&self) -> Option<&SqlState> {
        let source = self.source.as_ref()?;
        source.downcast_ref::<tokio_postgres::Error>()?.code()
    }

    /// Whether the same may succeed later.
    pub fn outlook(&self) -> Outlook {
        self.outlook
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The one factual line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The details, a line each.
    pub fn details(&self) -> &[String] {
        &self.details
    }

    /// The hint, if there is one.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    crate::objects::quote::one_line(&text).into_owned()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        for detail in &self.details {
            write!(f, "\nDETAIL: {detail}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nHINT: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_deref()
            .map(|e| e as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_and_deadlocks_pass_and_bad_values_last() {
        for code in ["57P01", "57P03", "40P01", "08006", "53300"] {
            assert_eq!(Outlook::of_sqlstate(code), Outlook::Passing, "{code}");
        }
        assert_eq!(Outlook::of_sqlstate("53100"), Outlook::DiskFull);
        for code in ["22001", "57014", "53200", "3D000"] {
            assert_eq!(Outlook::of_sqlstate(code), Outlook::Lasting, "{code}");
        }
    }
}
