//! A connection with the session settings that deparsing, COPY and locks rely on.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinHandle;
use tokio_postgres::error::DbError;
use tokio_postgres::tls::TlsStream;
use tokio_postgres::types::ToSql;
use tokio_postgres::{
    AsyncMessage, CancelToken, Client, Connection, Row, SimpleQueryMessage, Socket,
};

use super::ServerVersion;
use super::settings::ConnectSettings;
use super::tls::TlsConnector;
use crate::objects::quote;
use crate::{Error, ErrorKind, Result};

/// Notices that are kept until someone takes them; of more, the oldest are counted only.
const NOTICES_KEPT: usize = 1000;

/// DESIGN section 6: name in lower case, value. A setting that the server does not have is left out.
const SETTINGS: &[(&str, &str)] = &[
    ("datestyle", "ISO"),
    ("intervalstyle", "postgres"),
    // Shortest exact from 12 on; on 10 and 11 the digits that make it exact.
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
    ("quote_all_identifiers", "off"),
    // Either kind of XML value can be read back as content.
    ("xmloption", "content"),
    // A policy that hides rows becomes an error instead of an incomplete dump.
    ("row_security", "off"),
    ("synchronize_seqscans", "off"),
    // Compiling a catalog query takes longer than running it.
    ("jit", "off"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("transaction_timeout", "0"),
    // CVE-2024-7348: no code of a view or a foreign table that took a table's place.
    ("restrict_nonsystem_relation_kind", "view, foreign-table"),
];

/// An open connection whose session settings are ours. Dropping it closes the connection.
pub struct Session {
    client: Client,
    facts: Facts,
    log: Arc<Mutex<Log>>,
    /// For cancel requests, which go the way the connection went.
    tls: Option<TlsConnector>,
    /// With host, address, encryption and password of this connection.
    settings: ConnectSettings,
    driver: JoinHandle<()>,
}

/// What the server says about itself when the session starts.
pub(super) struct Facts {
    pub(super) version: ServerVersion,
    pub(super) in_recovery: bool,
    pub(super) read_only: bool,
    backend_pid: i32,
    database: String,
    encoding: String,
}

/// A message that the server sent without being asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// `NOTICE`, `WARNING` and the like, in the server's language.
    pub severity: String,
    /// The SQLSTATE.
    pub sqlstate: String,
    /// One line, as the server sent it: may hold names and values.
    pub message: String,
}

#[derive(Default)]
struct Log {
    notices: VecDeque<Notice>,
    dropped: u64,
    end: Option<String>,
    reported: Reported,
}

/// Settings that the server reports whenever they change, as it last did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reported {
    /// `standard_conforming_strings`: `on` or `off`.
    pub(crate) standard_conforming_strings: String,
    /// `client_encoding`.
    pub(crate) client_encoding: String,
}

impl Session {
    /// Takes over a fresh connection, drives it in the background, and sets the session up in one
    /// round trip.
    pub(super) async fn start<T>(
        client: Client,
        connection: Connection<Socket, T>,
        tls: Option<TlsConnector>,
        settings: ConnectSettings,
    ) -> Result<Session, tokio_postgres::Error>
    where
        T: TlsStream + Unpin + Send + 'static,
    {
        let log = Arc::new(Mutex::new(Log::default()));
        let driver = tokio::spawn(drive(connection, Arc::clone(&log)));
        let messages = client
            .simple_query(&setup_script(
                &settings.session_variables,
                settings.role.as_deref(),
            ))
            .await?;
        let facts = Facts::from_messages(&messages)?;
        Ok(Session {
            client,
            facts,
            log,
            tls,
            settings,
            driver,
        })
    }

    /// The server's version.
    pub fn version(&self) -> ServerVersion {
        self.facts.version
    }

    /// A line for the operator if the server is newer than what pgstow was tested with.
    pub fn version_warning(&self) -> Option<String> {
        let (version, newest) = (self.version(), ServerVersion::NEWEST_TESTED);
        (version.major_number() > newest.major_number()).then(|| {
            format!(
                "the server's version {version} is newer than {}, the newest that pgstow was tested with",
                newest.major_number()
            )
        })
    }

    /// The database we are connected to.
    pub fn database(&self) -> &str {
        &self.facts.database
    }

    /// The database's encoding by PostgreSQL's name, such as `UTF8` or `SQL_ASCII`. The client's
    /// is always UTF8, but SQL_ASCII databases send and take bytes as they are.
    pub fn encoding(&self) -> &str {
        &self.facts.encoding
    }

    /// The process that serves this connection.
    pub fn backend_pid(&self) -> i32 {
        self.facts.backend_pid
    }

    /// Whether the server is a standby.
    pub fn in_recovery(&self) -> bool {
        self.facts.in_recovery
    }

    /// Whether the connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Settings that lead to this very server again, for workers that share its snapshot: the
    /// address, encryption and password that worked, with no other hosts and no questions.
    pub fn settings_of_this_server(&self) -> ConnectSettings {
        self.settings.clone()
    }

    /// What the server said since the last call, oldest first.
    pub fn take_notices(&self) -> Vec<Notice> {
        let mut log = lock(&self.log);
        let dropped = std::mem::take(&mut log.dropped);
        let lost = (dropped > 0).then(|| Notice {
            severity: "NOTICE".to_owned(),
            sqlstate: "00000".to_owned(),
            message: format!("{dropped} earlier messages of the server were not kept"),
        });
        lost.into_iter().chain(log.notices.drain(..)).collect()
    }

    /// Settings after the last statement that was waited for, whatever changed them.
    pub(crate) fn reported(&self) -> Reported {
        lock(&self.log).reported.clone()
    }

    /// Takes back the settings of [`SETTINGS`]: what follows runs as in a fresh session of psql, which takes
    /// text to be in the database's encoding until it is told otherwise.
    ///
    /// # Errors
    /// Whatever the server says.
    pub(crate) async fn use_server_defaults(&self) -> Result<(), tokio_postgres::Error> {
        let mut sql = "RESET ALL;".to_owned();
        let encoding = ("client_encoding", self.encoding().to_owned());
        for (name, value) in self.settings.session_variables.iter().chain([&encoding]) {
            sql.push_str(&format!("SET {name} = {};", quote::literal(value)));
        }
        self.batch_execute(&sql).await
    }

    /// All rows of a query. Without parameters, whose types the server would have to tell first, it takes one round trip.
    ///
    /// # Errors
    /// Whatever the server says.
    pub async fn query(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        match parameters.is_empty() {
            true => self.client.query_typed(sql, &[]).await,
            false => self.client.query(sql, parameters).await,
        }
    }

    /// The one row of a query, as [`query`](Self::query).
    ///
    /// # Errors
    /// Whatever the server says; no row, or several.
    pub async fn query_one(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, tokio_postgres::Error> {
        match parameters.is_empty() {
            true => self.client.query_typed_one(sql, &[]).await,
            false => self.client.query_one(sql, parameters).await,
        }
    }

    /// The row of a query, or none, as [`query`](Self::query).
    ///
    /// # Errors
    /// Whatever the server says; several rows.
    pub async fn query_opt(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, tokio_postgres::Error> {
        match parameters.is_empty() {
            true => self.client.query_typed_opt(sql, &[]).await,
            false => self.client.query_opt(sql, parameters).await,
        }
    }

    /// Why the connection ended, if it has ended by itself. Statements only report that it is
    /// closed; this is the reason, such as an administrator's command.
    pub fn end_of_connection(&self) -> Option<String> {
        lock(&self.log).end.clone()
    }

    /// Asks the server to stop the statement that is running, if any.
    ///
    /// # Errors
    /// [`ErrorKind::Connect`] if the request could not be sent. Whether it came in time is unknown.
    pub async fn cancel(&self) -> Result<()> {
        self.canceler().cancel().await
    }

    /// A handle that can cancel this session's statement from elsewhere.
    pub fn canceler(&self) -> Canceler {
        Canceler {
            token: self.client.cancel_token(),
            tls: self.tls.clone(),
        }
    }

    /// Closes the connection and waits until the server has been told.
    pub async fn close(self) {
        drop(self.client);
        // An error here is a panic of the driver: the connection is closed all the same.
        let _ = self.driver.await;
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Facts { version, .. } = self.facts;
        write!(f, "Session({}, {version})", self.settings.describe())
    }
}

/// Cancels the running statement of one session. Cheap to clone, outlives the session harmlessly.
#[derive(Clone)]
pub struct Canceler {
    token: CancelToken,
    tls: Option<TlsConnector>,
}

impl Canceler {
    /// See [`Session::cancel`].
    ///
    /// # Errors
    /// [`ErrorKind::Connect`] if the request could not be sent.
    pub async fn cancel(&self) -> Result<()> {
        let sent = match &self.tls {
            Some(tls) => self.token.cancel_query(tls.clone()).await,
            None => self.token.cancel_query(tokio_postgres::NoTls).await,
        };
        sent.map_err(|e| {
            Error::from_server(ErrorKind::Connect, "could not send a cancel request", e)
        })
    }
}

impl Facts {
    fn from_messages(messages: &[SimpleQueryMessage]) -> Result<Facts, tokio_postgres::Error> {
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let mut facts = Facts {
            version: ServerVersion::from_num(0),
            in_recovery: false,
            read_only: false,
            backend_pid: 0,
            database: String::new(),
            encoding: String::new(),
        };
        for row in rows.filter(|row| row.columns().iter().any(|c| c.name() == "backend_pid")) {
            let text =
                |name| Ok::<_, tokio_postgres::Error>(row.try_get(name)?.unwrap_or_default());
            let number = text("server_version_num")?.parse().unwrap_or_default();
            facts = Facts {
                version: ServerVersion::from_num(number),
                in_recovery: text("in_recovery")? == "t",
                read_only: text("read_only")? == "on",
                backend_pid: text("backend_pid")?.parse().unwrap_or_default(),
                database: text("database")?.to_owned(),
                encoding: text("encoding")?.to_owned(),
            };
        }
        Ok(facts)
    }
}

/// Everything in one message. `search_path` is emptied first: the statements after it find their
/// operators in `pg_catalog` only.
fn setup_script(session_variables: &[(&'static str, String)], role: Option<&str>) -> String {
    let is_ours = |name: &str| session_variables.iter().all(|(own, _)| *own != name);
    let role = match role {
        Some(role) => format!("SET ROLE {};\n", quote::ident(role)),
        None => String::new(),
    };
    let values: Vec<String> = SETTINGS
        .iter()
        .copied()
        .filter(|(name, _)| is_ours(name))
        .chain(session_variables.iter().map(|(n, v)| (*n, v.as_str())))
        .map(|(name, value)| format!("('{name}', {})", quote::literal(value)))
        .collect();
    format!(
        "{role}SELECT pg_catalog.set_config('search_path', '', false);\n\
         SELECT count(pg_catalog.set_config(s.name, v.value, false)) \
         FROM pg_catalog.pg_settings s \
         JOIN (VALUES {}) v (name, value) ON v.name = pg_catalog.lower(s.name);\n\
         SELECT pg_catalog.current_setting('server_version_num') AS server_version_num, \
         pg_catalog.pg_backend_pid() AS backend_pid, \
         pg_catalog.current_database() AS database, \
         pg_catalog.pg_is_in_recovery() AS in_recovery, \
         pg_catalog.current_setting('transaction_read_only') AS read_only, \
         (SELECT pg_catalog.pg_encoding_to_char(encoding) FROM pg_catalog.pg_database \
         WHERE datname = pg_catalog.current_database()) AS encoding;",
        values.join(", ")
    )
}

/// Runs the connection until it ends, and notes what the server says on the way.
async fn drive<T>(mut connection: Connection<Socket, T>, log: Arc<Mutex<Log>>)
where
    T: TlsStream + Unpin,
{
    // Whoever has an answer and takes the lock sees the settings that were reported before it.
    let mut poll = |context: &mut std::task::Context<'_>| {
        let mut log = lock(&log);
        let message = connection.poll_message(context);
        log.reported.update(|name| connection.parameter(name));
        message
    };
    while let Some(message) = poll_fn(&mut poll).await {
        match message {
            Ok(AsyncMessage::Notice(notice)) => lock(&log).note(&notice),
            // Nobody listens here; and the enum may grow.
            Ok(_) => {}
            Err(error) => {
                lock(&log).end = Some(super::failure::describe(&error));
                break;
            }
        }
    }
}

impl Reported {
    fn update<'a>(&mut self, parameter: impl Fn(&str) -> Option<&'a str>) {
        for (name, value) in [
            (
                "standard_conforming_strings",
                &mut self.standard_conforming_strings,
            ),
            ("client_encoding", &mut self.client_encoding),
        ] {
            if let Some(reported) = parameter(name).filter(|reported| *reported != value.as_str()) {
                reported.clone_into(value);
            }
        }
    }
}

impl Log {
    fn note(&mut self, notice: &DbError) {
        if self.notices.len() == NOTICES_KEPT {
            self.notices.pop_front();
            self.dropped += 1;
        }
        self.notices.push_back(Notice {
            severity: notice.severity().to_owned(),
            sqlstate: notice.code().code().to_owned(),
            message: crate::objects::quote::one_line(notice.message()).into_owned(),
        });
    }
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}
