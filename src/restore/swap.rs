//! `--swap`: a new database is built beside the target, checked, and takes its name.
//!
//! Until the exchange nothing touches the target, and a failure drops the new database. The exchange is ONE transaction: it
//! ends the target's sessions and renames both databases. ALTER DATABASE ... RENAME locks a database against
//! new sessions from its start to the end of its transaction, so no session slips in between, and whatever dies half-way, pgstow or the
//! server, the target is the old database or the new one under its own name, never none. Nothing has to be undone or repaired; ALLOW_CONNECTIONS
//! is left alone for that reason: it would outlive a kill.
//!
//! What a killed run leaves behind is a database under a name that nobody uses. A comment marks it, and the next run with the same target
//! drops it; the mark goes in the exchange.

use std::collections::HashSet;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

use crate::archive::{ArchiveReader, Header, Index};
use crate::conn::{ConnectSettings, Session, connect};
use crate::event::{Event, Events};
use crate::failpoint::failpoint;
use crate::objects::{Database, Kind, database, quote};
use crate::{Error, ErrorKind, Result};

use super::check::cannot_check;
use super::database::{BUILDING, drop_database};
use super::doubt::{self, SETTLE_PATIENCE, is_refusal};
use super::durable::DURABLY;
use super::findings::{Check, Findings};
use super::plan::Load;
use super::preview::{Preview, SwapPreview};
use super::progress::Commit;
use super::sessions::other_sessions;
use super::swap_rights::{self, MAY_END, SESSIONS, render_properties};
use super::{
    Prepared, RestoreOptions, RestoreReport, connect_for_create, emptied, look, open_another,
    verify_rows,
};

/// How often the exchange is tried while sessions of the target do not end.
const ATTEMPTS: u32 = 5;

/// The longest name that the server keeps whole (NAMEDATALEN - 1).
const LONGEST_NAME: usize = 63;

/// How long it may take to end a process of our own.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two looks whether it has ended.
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// How many tables a warning names.
const NAMED: usize = 20;

/// Options of a dump that leave all rows and all objects in the archive.
const WHOLE: &[&str] = &[
    "--no-owner",
    "--no-privileges",
    "--no-comments",
    "--no-security-labels",
    "--no-tablespaces",
    "--no-table-access-method",
    "--no-toast-compression",
];

/// A swap that is verified and planned and has changed nothing.
pub struct PreparedSwap {
    reader: Arc<ArchiveReader>,
    /// Into the new database.
    build: Prepared,
    settings: ConnectSettings,
    names: Names,
    old: OldDatabase,
    /// What of the old database's the role may not give the new one.
    denied: Vec<usize>,
    drop_old: bool,
    options: RestoreOptions,
    findings: Findings,
    started: Instant,
}

/// The databases' names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Names {
    /// The target's, before and after.
    live: String,
    /// Of the new database while it is built.
    new: String,
    /// Of the old one afterwards.
    before: String,
}

/// What the target is now.
#[derive(Debug)]
struct OldDatabase {
    properties: Database,
    bytes: u64,
    tables: u64,
    sessions: Vec<String>,
}

/// Verifies, plans and looks at the target as [`look`] does; the new database will have the target's properties.
///
/// # Errors
/// Those of [`look`]; `Usage` if archive or options are less than a whole database.
pub async fn look_at_swap(
    reader: Arc<ArchiveReader>,
    settings: ConnectSettings,
    options: RestoreOptions,
    drop_old: bool,
    events: &Events,
) -> Result<PreparedSwap> {
    let started = Instant::now();
    refuse_parts(&reader.index().header, &options)?;
    verify_rows::expect_digests(&reader.index().entries)?;
    let mut findings = Findings::default();
    let (names, old, denied) = {
        let session = connect(&settings).await?;
        let taken = database_names(&session).await?;
        let names = Names::free(settings.database(), jiff::Timestamp::now(), &taken)?;
        let old = OldDatabase::read(&session).await?;
        check_old(&session, drop_old, &mut findings).await?;
        old.check_encoding(&reader.index().header, &mut findings);
        if reader.is_of_pg_dump() {
            warn_of_missing_tables(&session, reader.index(), &mut findings).await?;
        }
        let (properties, skips) = (&old.properties, options.skip_privileged);
        let denied = swap_rights::check(&session, properties, skips, &mut findings).await?;
        (names, old, denied)
    };
    let build = RestoreOptions {
        clean: false,
        create: true,
        // They are the target's, and come when the rows are checked.
        properties: false,
        like: Some(old.properties.clone()),
        ..options
    };
    let new = settings.with_database(&names.new);
    let options = build.clone();
    let build = look(Arc::clone(&reader), new, build, events).await?;
    findings.append(&build.findings);
    Ok(PreparedSwap {
        reader,
        build,
        settings,
        names,
        old,
        denied,
        drop_old,
        options,
        findings,
        started,
    })
}

/// A part of a database in the place of the whole would be a loss.
fn refuse_parts(header: &Header, options: &RestoreOptions) -> Result<()> {
    let cut = (header.partial.iter()).find(|option| !WHOLE.contains(&option.as_str()));
    if let Some(option) = cut {
        return Err(Error::new(
            ErrorKind::Usage,
            "--swap needs the archive of a whole database",
        )
        .detail(format!(
            "This one was made with {}.",
            quote::one_line(option)
        )));
    }
    let cut = options
        .parts
        .options()
        .into_iter()
        .find(|option| !WHOLE.contains(&option.as_str()));
    if !options.selection.is_everything()
        || options.list.is_some()
        || cut.is_some()
        || options.rows.is_some()
    {
        return Err(Error::new(
            ErrorKind::Usage,
            "--swap replaces the whole database and takes no selection",
        ));
    }
    Ok(())
}

impl Names {
    /// Names that no database has. What a killed run left may have the names of this second.
    fn free(live: &str, now: jiff::Timestamp, taken: &HashSet<String>) -> Result<Names> {
        (0..60)
            .map(|seconds| Names::of(live, now + jiff::SignedDuration::from_secs(seconds)))
            .find(|names| !taken.contains(&names.new) && !taken.contains(&names.before))
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Restore,
                    "there are too many databases of earlier swaps",
                )
            })
    }

    fn of(live: &str, now: jiff::Timestamp) -> Names {
        let time = now.strftime("%Y%m%d_%H%M%S").to_string();
        Names {
            live: live.to_owned(),
            new: beside(live, &format!("_pgstow_{time}")),
            before: beside(live, &format!("_before_{time}")),
        }
    }
}

/// The name with an ending, shortened so that the server keeps the ending.
fn beside(name: &str, ending: &str) -> String {
    let mut end = name.len().min(LONGEST_NAME.saturating_sub(ending.len()));
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ending}", &name[..end])
}

impl OldDatabase {
    async fn read(session: &Session) -> Result<OldDatabase> {
        let row = session
            .query_one(
                "SELECT pg_catalog.pg_database_size(d.oid) AS bytes, \
                 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class c \
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema') AS tables \
                 FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()",
                &[],
            )
            .await
            .map_err(cannot_check)?;
        Ok(OldDatabase {
            properties: database::read(session).await?,
            bytes: u64::try_from(row.get::<_, i64>("bytes")).unwrap_or(0),
            tables: u64::try_from(row.get::<_, i64>("tables")).unwrap_or(0),
            sessions: other_sessions(session, session.database()).await?,
        })
    }

    fn check_encoding(&self, header: &Header, findings: &mut Findings) {
        let (ours, theirs) = (self.properties.encoding(), header.encoding.as_str());
        if ours != theirs {
            findings.warning(
                Check::Encoding,
                format!("the source database has the encoding {theirs}, the target {ours}: rows with characters that it lacks will be refused"),
            );
        }
    }
}

async fn database_names(session: &Session) -> Result<HashSet<String>> {
    let query = "SELECT datname::text AS datname FROM pg_catalog.pg_database";
    let rows = session.query(query, &[]).await.map_err(cannot_check)?;
    Ok(rows.iter().map(|row| row.get("datname")).collect())
}

/// What is in the way of the exchange, and what would stay behind with the old database.
async fn check_old(session: &Session, drop_old: bool, findings: &mut Findings) -> Result<()> {
    let row = session
        .query_one(
            "SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_xacts x WHERE x.database = d.datname) AS prepared, \
             ARRAY(SELECT s.slot_name::text FROM pg_catalog.pg_replication_slots s WHERE s.database = d.datname ORDER BY 1) AS slots \
             FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()",
            &[],
        )
        .await
        .map_err(cannot_check)?;
    if row.get::<_, i64>("prepared") > 0 {
        findings.problem(
            Check::Swap,
            "the database has prepared transactions, which keep it from being renamed: COMMIT PREPARED or ROLLBACK PREPARED them",
        );
    }
    for slot in row.get::<_, Vec<String>>("slots") {
        let slot = quote::ident(&slot);
        match drop_old {
            true => findings.problem(
                Check::Swap,
                format!("replication slot {slot} is the old database's and keeps --drop-old from dropping it"),
            ),
            false => findings.warning(
                Check::Swap,
                format!("replication slot {slot} stays with the old database: who reads from it must begin anew"),
            ),
        }
    }
    for subscription in enabled_subscriptions(session).await? {
        findings.warning(
            Check::Swap,
            format!(
                "subscription {} is the old database's and goes on there: disable it, then enable the new one",
                quote::ident(&subscription)
            ),
        );
    }
    Ok(())
}

/// An archive of pg_dump does not tell whether it was made of a part of its database.
async fn warn_of_missing_tables(
    session: &Session,
    index: &Index,
    findings: &mut Findings,
) -> Result<()> {
    let is_table = |kind: &str| kind == Kind::Table.as_str() || kind == Kind::ForeignTable.as_str();
    let archived = index.entries.iter().filter(|entry| is_table(&entry.kind));
    let (schemas, names): (Vec<&str>, Vec<&str>) = archived
        .filter_map(|entry| Some((entry.schema.as_deref()?, entry.name.as_str())))
        .unzip();
    let rows = session
        .query(
            "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
             AND d.objid = c.oid AND d.deptype = 'e') \
             AND (n.nspname, c.relname) NOT IN (SELECT * FROM unnest($1::text[], $2::text[])) ORDER BY 1",
            &[&schemas, &names],
        )
        .await
        .map_err(cannot_check)?;
    let missing: Vec<String> = rows
        .iter()
        .map(|row| quote::one_line(row.get("name")).into_owned())
        .collect();
    if !missing.is_empty() {
        let named = quote::first_of(&missing, NAMED);
        findings.warning(
            Check::Swap,
            format!("an archive of pg_dump does not tell whether it is of a whole database, and this one lacks of the target: {named}"),
        );
    }
    Ok(())
}

/// None where they are superusers' affair and the role is none.
async fn enabled_subscriptions(session: &Session) -> Result<Vec<String>> {
    let may_read = session
        .query_one(
            "SELECT pg_catalog.has_column_privilege('pg_catalog.pg_subscription', 'subenabled', 'SELECT') AS may_read",
            &[],
        )
        .await
        .map_err(cannot_check)?;
    if !may_read.get::<_, bool>("may_read") {
        return Ok(Vec::new());
    }
    let rows = session
        .query(
            "SELECT s.subname::text AS subname FROM pg_catalog.pg_subscription s \
             JOIN pg_catalog.pg_database d ON d.oid = s.subdbid \
             WHERE d.datname = pg_catalog.current_database() AND s.subenabled ORDER BY 1",
            &[],
        )
        .await
        .map_err(cannot_check)?;
    Ok(rows.iter().map(|row| row.get("subname")).collect())
}

impl PreparedSwap {
    /// What [`PreparedSwap::run`] will do.
    pub fn preview(&self) -> Preview {
        Preview {
            database: self.names.live.clone(),
            permitted: self.findings.permit(),
            findings: self.findings.clone(),
            swap: Some(SwapPreview {
                new: self.names.new.clone(),
                before: self.names.before.clone(),
                drops_old: self.drop_old,
                old_bytes: self.old.bytes,
                old_tables: self.old.tables,
                sessions: self.old.sessions.clone(),
            }),
            ..self.build.preview()
        }
    }

    /// Builds, checks and exchanges. Once the exchange has begun, `interrupt` is not heard: it takes a moment.
    ///
    /// # Errors
    /// Those of a restore, `Restore` where that has `RestoreIncomplete`: the target is the old database. `Locked`: another swap of it
    /// is at work. `SideJob`: the exchange is done, the old database could not be dropped.
    pub async fn run(
        self,
        interrupt: impl Future<Output = u8>,
        events: &Events,
    ) -> Result<RestoreReport> {
        let maintenance = connect_for_maintenance(&self.settings).await?;
        lock(&maintenance, &self.names.live).await?;
        drop_leftovers(&maintenance, &self.settings, &self.names.live, events).await?;
        let (settings, names) = (self.settings.clone(), self.names.clone());
        let new = settings.with_database(&names.new);
        let (drop_old, started) = (self.drop_old, self.started);
        let exchange = Exchange {
            names: names.clone(),
            properties: self.old.properties.clone(),
            denied: self.denied.clone(),
            patience: self.options.retry_for.max(SETTLE_PATIENCE),
        };
        // To the build it is a restore that stopped part-way; of the swap nothing was done.
        let heard = OnceLock::new();
        let interrupt = async {
            let signal = interrupt.await;
            *heard.get_or_init(|| signal)
        };
        let loads = self.build.plan.loads.clone();
        let report = match self.build_and_check(&new, &loads, interrupt, events).await {
            Ok(report) => report,
            Err(error) => {
                let error = match heard.get() {
                    Some(signal) => error.with_kind(ErrorKind::Interrupted(*signal)),
                    None => error,
                };
                return Err(undo(error, &new).await);
            }
        };
        let maintenance = match exchange.hold_on(maintenance, &settings).await {
            Ok(maintenance) => maintenance,
            Err(error) => return Err(undo(error, &new).await),
        };
        if let Err(error) = exchange.give_properties(&maintenance).await {
            return Err(undo(error, &new).await);
        }
        failpoint("swap.before_exchange");
        match exchange.run(&maintenance, &settings).await {
            Ok(Seen::Yes) => {}
            Ok(Seen::No) => check_after_doubt(&settings, &loads).await?,
            // Nobody knows which database is which.
            Err(error) if error.kind() == ErrorKind::RestoreIncomplete => return Err(error),
            Err(error) => return Err(undo(error, &new).await),
        }
        failpoint("swap.after_exchange");
        let kept = match drop_old {
            false => Some(names.before.clone()),
            true => {
                let before = settings.with_database(&names.before);
                drop_database(&before)
                    .await
                    .map_err(|error| error.with_kind(ErrorKind::SideJob))?;
                None
            }
        };
        Ok(RestoreReport {
            database: names.live,
            kept,
            elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            ..report
        })
    }

    async fn build_and_check(
        self,
        new: &ConnectSettings,
        loads: &[Load],
        interrupt: impl Future<Output = u8>,
        events: &Events,
    ) -> Result<RestoreReport> {
        let mut interrupt = pin!(interrupt);
        let report = self.build.run(interrupt.as_mut(), events).await?;
        failpoint("swap.built");
        tokio::select! {
            checked = check_rows(new, &self.reader, &self.options, loads, events) => checked?,
            signal = interrupt => return Err(Error::new(
                ErrorKind::Interrupted(signal),
                "the restore was interrupted",
            )),
        }
        Ok(report)
    }
}

/// Whether the end of the exchange was seen, or asked about later.
enum Seen {
    Yes,
    No,
}

/// The server may have crashed behind the exchange.
async fn check_after_doubt(settings: &ConnectSettings, loads: &[Load]) -> Result<()> {
    let session = connect(settings).await;
    let session = session.map_err(|error| error.with_kind(ErrorKind::SideJob))?;
    emptied::check(&session, loads).await
}

/// Drops what was built. The target is as it was.
async fn undo(error: Error, new: &ConnectSettings) -> Error {
    let kind = match error.kind() {
        ErrorKind::RestoreIncomplete | ErrorKind::SideJob => ErrorKind::Restore,
        other => other,
    };
    let mut told = Error::new(kind, error.message());
    // How far it got does not matter any more.
    for detail in error.details() {
        let of_target = detail.starts_with("The target is unchanged")
            || detail.contains(" post-data entries are done");
        if !of_target {
            told = told.detail(detail.as_str());
        }
    }
    let told = told.detail("The target is unchanged.").caused_by(error);
    let name = quote::ident(new.database());
    match drop_database(new).await {
        Ok(()) => told,
        Err(left) => told
            .detail(format!(
                "The new database {} is left behind: {}",
                quote::one_line(&name),
                left.details().join(" ")
            ))
            .hint("The next restore --swap into this target drops it."),
    }
}

/// Reads every table once and compares its rows with the archive's.
async fn check_rows(
    new: &ConnectSettings,
    reader: &ArchiveReader,
    options: &RestoreOptions,
    loads: &[Load],
    events: &Events,
) -> Result<()> {
    let header = &reader.index().header;
    let mut sessions = Vec::new();
    while sessions.len() < options.jobs.get() {
        let another = open_another(new, options, header, sessions.len(), events).await?;
        let Some(session) = another else { break };
        sessions.push(session);
    }
    verify_rows::verify_new_database(&sessions, loads, header.text_encoding(), events).await?;
    for session in sessions {
        session.close().await;
    }
    Ok(())
}

/// A database that is neither the target nor the new one.
async fn connect_for_maintenance(settings: &ConnectSettings) -> Result<Session> {
    match settings.database() {
        "postgres" => connect(&settings.with_database("template1")).await,
        _ => connect_for_create(settings).await,
    }
}

fn lock_key(live: &str) -> i64 {
    xxhash_rust::xxh3::xxh3_64(format!("pgstow swap {live}").as_bytes()).cast_signed()
}

/// One swap of a target at a time. The lock goes with the session.
async fn lock(maintenance: &Session, live: &str) -> Result<()> {
    let row = maintenance
        .query_one(
            "SELECT pg_catalog.pg_try_advisory_lock($1) AS alone",
            &[&lock_key(live)],
        )
        .await
        .map_err(cannot_check)?;
    match row.get("alone") {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::Locked,
            format!(
                "another restore --swap of {} is at work",
                quote::one_line(&quote::ident(live))
            ),
        )),
    }
}

/// Databases that killed swaps of this target were building: their names begin as ours do, and they bear the mark.
async fn drop_leftovers(
    maintenance: &Session,
    settings: &ConnectSettings,
    live: &str,
    events: &Events,
) -> Result<()> {
    for name in left_behind(maintenance).await? {
        // All names of one target are cut at the same place.
        let ending = name.len().checked_sub("_pgstow_20260101_000000".len());
        let is_ours =
            ending.is_some_and(|at| name.is_char_boundary(at) && beside(live, &name[at..]) == name);
        if is_ours {
            events.emit(Event::Note {
                message: format!(
                    "database {} of a restore that died is dropped",
                    quote::one_line(&quote::ident(&name))
                ),
            });
            drop_database(&settings.with_database(&name)).await?;
        }
    }
    Ok(())
}

/// Databases that were being built when their restore died, or that are being built now.
///
/// # Errors
/// `Restore` if the catalogs cannot be read.
pub(crate) async fn left_behind(session: &Session) -> Result<Vec<String>> {
    let rows = session
        .query(
            "SELECT d.datname::text AS datname FROM pg_catalog.pg_database d \
             JOIN pg_catalog.pg_shdescription c ON c.objoid = d.oid \
             AND c.classoid = 'pg_catalog.pg_database'::pg_catalog.regclass \
             WHERE c.description = $1 AND d.datname ~ '_pgstow_[0-9]{8}_[0-9]{6}$' ORDER BY 1",
            &[&BUILDING],
        )
        .await
        .map_err(cannot_check)?;
    Ok(rows.iter().map(|row| row.get("datname")).collect())
}

/// The exchange of the names.
struct Exchange {
    names: Names,
    properties: Database,
    /// Places of statements that are left out, see [`swap_rights`].
    denied: Vec<usize>,
    /// How long the server is asked what became of it.
    patience: Duration,
}

impl Exchange {
    /// The session that holds the lock of this swap; another one if the build has outlived its connection.
    async fn hold_on(&self, maintenance: Session, settings: &ConnectSettings) -> Result<Session> {
        if maintenance.batch_execute("SELECT").await.is_ok() {
            return Ok(maintenance);
        }
        let maintenance = self.end(settings, maintenance.backend_pid()).await?;
        let began = Instant::now();
        loop {
            match lock(&maintenance, &self.names.live).await {
                // The process is ending.
                Err(error)
                    if error.kind() == ErrorKind::Locked && began.elapsed() < END_TIMEOUT =>
                {
                    tokio::time::sleep(LOCK_PAUSE).await;
                }
                locked => return locked.map(|()| maintenance),
            }
        }
    }

    /// Owner, privileges, security labels and settings of the old database. The comment comes with the exchange.
    async fn give_properties(&self, maintenance: &Session) -> Result<()> {
        let new = &self.names.new;
        let given = render_properties(&self.properties, new, maintenance.version())?;
        let given = given.into_iter().enumerate();
        let given = given.filter(|(at, _)| !self.denied.contains(at));
        let owner = self.properties.render_owner(new);
        for statement in [owner]
            .into_iter()
            .chain(given.map(|(_, statement)| statement))
        {
            maintenance
                .batch_execute(&statement)
                .await
                .map_err(|error| {
                    Error::from_server(
                        ErrorKind::Restore,
                        "could not give the new database the properties of the old one",
                        error,
                    )
                    .detail(quote::one_line(&statement))
                })?;
        }
        Ok(())
    }

    /// Exchanges the names, or changes nothing.
    async fn run(&self, maintenance: &Session, settings: &ConnectSettings) -> Result<Seen> {
        let mut attempt = 1;
        loop {
            let Err(Broken { error, commit }) = self.exchange(maintenance, settings).await else {
                return Ok(Seen::Yes);
            };
            let process = maintenance.backend_pid();
            if let Some(number) = commit {
                let asked = || self.ask(settings, process, number);
                return match doubt::settle(self.patience, asked).await {
                    Some(Commit::Done) => Ok(Seen::No),
                    Some(Commit::Open) => Err(cannot_exchange(error)),
                    Some(Commit::Sent(_)) | None => Err(self.in_doubt(number, error)),
                };
            }
            if !is_refusal(&error) {
                // Nothing was committed. What the process still holds is in the way of whoever drops the new database.
                let _ = tokio::time::timeout(END_TIMEOUT, self.end(settings, process)).await;
                return Err(cannot_exchange(error));
            }
            // What failed is gone with the transaction.
            let ended = maintenance.batch_execute("ROLLBACK").await;
            let is_in_use = error.code() == Some(&SqlState::OBJECT_IN_USE);
            if !is_in_use || attempt == ATTEMPTS || ended.is_err() {
                return Err(cannot_exchange(error));
            }
            attempt += 1;
        }
    }

    async fn exchange(
        &self,
        maintenance: &Session,
        settings: &ConnectSettings,
    ) -> Result<(), Broken> {
        let uncommitted = |error| Broken {
            error,
            commit: None,
        };
        let (live, new) = (
            quote::ident(&self.names.live),
            quote::ident(&self.names.new),
        );
        let before = quote::ident(&self.names.before);
        // One message: between the end of the sessions and the lock on the database there is no time for another one. Our own sessions in
        // the new database are ending by themselves; RENAME waits for them, and tells autovacuum to go.
        maintenance
            .batch_execute(&format!(
                "BEGIN; {DURABLY} \
                 SELECT pg_catalog.pg_terminate_backend(s.pid) FROM {SESSIONS} AND s.datname = {} AND {MAY_END}; \
                 ALTER DATABASE {live} RENAME TO {before};",
                quote::literal(&self.names.live)
            ))
            .await
            .map_err(uncommitted)?;
        failpoint("swap.between_renames");
        let comment = self.properties.render_comment(&self.names.new);
        let comment = comment.unwrap_or_else(|| format!("COMMENT ON DATABASE {new} IS NULL;"));
        maintenance
            .batch_execute(&format!("{comment} ALTER DATABASE {new} RENAME TO {live};"))
            .await
            .map_err(uncommitted)?;
        let row = maintenance
            .query_one("SELECT pg_catalog.txid_current() AS number", &[])
            .await
            .map_err(uncommitted)?;
        let number = row.get("number");
        doubt::write_number(connect_for_maintenance(settings)).await;
        failpoint("swap.before_commit");
        maintenance
            .batch_execute("COMMIT")
            .await
            .map_err(|error| Broken {
                commit: (!is_refusal(&error)).then_some(number),
                error,
            })
    }

    /// `None` while nobody knows yet. The process is ended first, which may not have heard that we are gone.
    async fn ask(
        &self,
        settings: &ConnectSettings,
        process: i32,
        number: i64,
    ) -> Result<Option<Commit>> {
        let session = self.end(settings, process).await?;
        doubt::status_of(&session, number).await
    }

    /// Ends the process that served the exchange, if it still holds the lock of this swap.
    async fn end(&self, settings: &ConnectSettings, process: i32) -> Result<Session> {
        let session = connect_for_maintenance(settings).await?;
        let key = lock_key(&self.names.live);
        // The key's halves stand in two columns. Manual: "pg_locks".
        let query = "SELECT pg_catalog.pg_terminate_backend(l.pid) FROM pg_catalog.pg_locks l \
             WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.pid = $1 \
             AND l.classid::bigint = ($2::bigint >> 32) & 4294967295 AND l.objid::bigint = $2::bigint & 4294967295";
        session
            .execute(query, &[&process, &key])
            .await
            .map_err(cannot_check)?;
        Ok(session)
    }

    fn in_doubt(&self, number: i64, error: tokio_postgres::Error) -> Error {
        let before = quote::ident(&self.names.before);
        Error::from_server(
            ErrorKind::RestoreIncomplete,
            "COMMIT of the exchange was sent, and the server could not be asked what became of it",
            error,
        )
        .detail(format!(
            "The target is the old database or the new one. If there is a database {}, it is the new one. It was transaction {number}.",
            quote::one_line(&before)
        ))
        .hint(format!(
            "When the server is back, SELECT pg_catalog.txid_status({number}) tells: committed or aborted."
        ))
    }
}

/// An exchange that did not come to its end.
struct Broken {
    error: tokio_postgres::Error,
    /// The transaction's number if it may have committed.
    commit: Option<i64>,
}

fn cannot_exchange(error: tokio_postgres::Error) -> Error {
    let is_in_use = error.code() == Some(&SqlState::OBJECT_IN_USE);
    let error = Error::from_server(
        ErrorKind::Restore,
        "could not exchange the databases",
        error,
    );
    match is_in_use {
        true => error.hint(
            "Sessions of the target do not end. Stop what uses it, and run the restore again.",
        ),
        false => error,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn names_stand_beside_the_targets_and_keep_their_endings() {
        let now = jiff::Timestamp::from_second(0).unwrap();
        let names = Names::of("shop", now);
        assert_eq!(names.new, "shop_pgstow_19700101_000000");
        assert_eq!(names.before, "shop_before_19700101_000000");
        let long = Names::of(&"ä".repeat(31), now);
        assert_eq!(long.new.len(), 63);
        assert!(
            long.new.ends_with("_pgstow_19700101_000000"),
            "{}",
            long.new
        );
        assert_ne!(long.new, long.before);
        let taken = HashSet::from([names.before.clone()]);
        let next = Names::free("shop", now, &taken).unwrap();
        assert_eq!(next.new, "shop_pgstow_19700101_000001");
    }

    #[test]
    fn options_that_cut_something_out_are_refused() {
        let mut header = crate::archive::Index::empty().header;
        let options = RestoreOptions::whole(std::num::NonZeroUsize::MIN);
        assert!(refuse_parts(&header, &options).is_ok());
        header.partial = vec!["--no-owner".to_owned()];
        assert!(refuse_parts(&header, &options).is_ok());
        header.partial = vec!["--schema-only".to_owned()];
        assert!(refuse_parts(&header, &options).is_err());
    }
}
