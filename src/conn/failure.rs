//! Why one attempt to connect failed, whether another may be made, and what the DBA reads.

use std::error::Error as _;

use tokio_postgres::error::SqlState;

use super::settings::{ConnectSettings, KnownPassword};
use crate::error::Outlook;
use crate::objects::quote::one_line;
use crate::{Error, ErrorKind};

/// One attempt that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    /// One line, without the host.
    text: String,
    source: Option<tokio_postgres::Error>,
}

/// What callers tell apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The server refused us with this SQLSTATE.
    Server(SqlState),
    /// The server wants a password and none is known.
    PasswordMissing,
    /// The server's way of authentication is not ours, or proves less than was asked for.
    Authentication,
    /// The server has no TLS, or the handshake failed.
    Tls,
    /// The name is not known, nobody listens, or the line broke.
    Network,
    /// `connect_timeout` is over.
    Timeout,
    /// Connected, but not to what `target_session_attrs` asks for.
    WrongTarget,
    /// Connected, but the version is not supported.
    Version,
    /// Files or values that no attempt could use.
    Settings,
}

impl Failure {
    pub(super) fn new(cause: Cause, text: impl Into<String>) -> Self {
        Failure {
            cause,
            text: text.into(),
            source: None,
        }
    }

    /// Classifies an error of the driver.
    pub(super) fn of_driver(error: tokio_postgres::Error) -> Self {
        let cause = match error.as_db_error() {
            Some(db) => Cause::Server(db.code().clone()),
            // The driver keeps its kinds private; their texts are what there is.
            None => match error.to_string().as_str() {
                "error performing TLS handshake" => Cause::Tls,
                "invalid configuration" if cause_text(&error) == "password missing" => {
                    Cause::PasswordMissing
                }
                // Channel binding that was required and not given, an unknown method.
                "authentication error" => Cause::Authentication,
                _ => Cause::Network,
            },
        };
        let text = match cause {
            Cause::PasswordMissing => "the server asks for a password".to_owned(),
            _ => describe(&error),
        };
        Failure {
            cause,
            text,
            source: Some(error),
        }
    }

    /// Says in the text that the password came from a file, if the server refused it.
    pub(super) fn with_password(mut self, password: Option<&KnownPassword>) -> Self {
        if let Some(path) = password.and_then(|known| known.passfile.as_ref())
            && self.cause == Cause::Server(SqlState::INVALID_PASSWORD)
        {
            self.text
                .push_str(&format!("; the password is from \"{}\"", path.display()));
        }
        self
    }

    /// Adds where it happened.
    pub(super) fn at(mut self, place: &str) -> Self {
        self.text = format!("{}: {}", one_line(place), self.text);
        self
    }

    /// Whether libpq would retry with or without TLS: the server did not let us in this way.
    pub(super) fn concerns_encryption(&self) -> bool {
        match &self.cause {
            Cause::Tls | Cause::Authentication => true,
            Cause::Server(state) => state.code().starts_with("28"),
            _ => false,
        }
    }

    /// Whether the remaining hosts are left alone. As in libpq, the next host is tried when there is no
    /// connection, when the server cannot take one now, or when it is not of the wanted kind.
    pub(super) fn is_final(&self) -> bool {
        match &self.cause {
            Cause::Network | Cause::Timeout | Cause::WrongTarget => false,
            Cause::Server(state) => *state != SqlState::CANNOT_CONNECT_NOW,
            Cause::PasswordMissing
            | Cause::Authentication
            | Cause::Tls
            | Cause::Version
            | Cause::Settings => true,
        }
    }

    /// Whether another attempt a moment later may get through: after a restart or a failover.
    fn may_pass(&self) -> bool {
        match &self.cause {
            Cause::Network | Cause::Timeout | Cause::WrongTarget => true,
            Cause::Server(_) => {
                let outlook = self.source.as_ref().map(Outlook::of);
                outlook == Some(Outlook::Passing)
            }
            Cause::PasswordMissing
            | Cause::Authentication
            | Cause::Tls
            | Cause::Version
            | Cause::Settings => false,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match &self.cause {
            Cause::Server(state) => match state.code() {
                "28P01" => "Is the password right? It comes from -W, PGPASSWORD or ~/.pgpass.",
                "28000" => {
                    "Does the role exist, and does pg_hba.conf on the server let it in from here with \
                     this sslmode?"
                }
                "3D000" => "Does the database exist? Name another one with -d.",
                "53300" => {
                    "All connections of the server are taken. Fewer jobs (-j) need fewer of them."
                }
                "57P03" => "The server is starting up or shutting down. Try again in a moment.",
                "42501" => {
                    "The role may not connect to this database, which GRANT CONNECT lets it, or may not become \
                     the one that --role names."
                }
                _ => return None,
            },
            Cause::PasswordMissing => {
                "Set PGPASSWORD, add a line to ~/.pgpass (mode 0600), or run on a terminal without -w."
            }
            Cause::Authentication => {
                "Passwords (SCRAM, MD5, plain), client certificates, peer, ident and trust are supported. \
                 channel_binding=require needs TLS and a SCRAM password."
            }
            Cause::Tls => {
                "Does the server have TLS (ssl = on) with a certificate that sslrootcert vouches for, made \
                 for this host name? sslmode says how much of that is demanded."
            }
            Cause::Network => {
                "Is the server running there, and does it accept connections on that host and port (-h, -p)?"
            }
            Cause::Timeout => "Is a firewall in between? connect_timeout says how long to wait.",
            Cause::WrongTarget => "target_session_attrs says which kind of server is wanted.",
            Cause::Version | Cause::Settings => return None,
        })
    }
}

/// The crate's error for attempts that all failed, with a line for each.
pub(super) fn into_error(settings: &ConnectSettings, failures: Vec<Failure>) -> Error {
    let kind = match failures.last() {
        Some(last) if last.cause == Cause::Settings => ErrorKind::Usage,
        _ => ErrorKind::Connect,
    };
    let mut error = Error::new(
        kind,
        format!(
            "could not connect to database \"{}\"",
            one_line(&settings.database)
        ),
    );
    for failure in &failures {
        error = error.detail(failure.text.clone());
    }
    // One host that may come back is enough.
    if failures.iter().any(Failure::may_pass) {
        error = error.with_outlook(Outlook::Passing);
    }
    // The last one is why no further host was tried, or the best that could be had.
    if let Some(hint) = failures.last().and_then(Failure::hint) {
        error = error.hint(hint);
    }
    match failures
        .into_iter()
        .rev()
        .find_map(|failure| failure.source)
    {
        Some(source) => error.caused_by(source),
        None => error,
    }
}

/// One line: the server's message with its SQLSTATE, or the chain of causes.
pub(super) fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} (SQLSTATE {})", one_line(db.message()), db.code().code()),
        None => {
            let cause = cause_text(error);
            let text = match cause.is_empty() {
                true => error.to_string(),
                false => format!("{error}: {cause}"),
            };
            one_line(&text).into_owned()
        }
    }
}

fn cause_text(error: &tokio_postgres::Error) -> String {
    let mut texts = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        texts.push(cause.to_string());
        source = cause.source();
    }
    texts.join(": ")
}
