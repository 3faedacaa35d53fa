//! What of a restore is done, kept in the target itself: a schema of its own, named after the archive.
//!
//! It is made in the transaction that drops and defines, and each later piece of work is recorded in the transaction that
//! does it. So whatever dies at whatever moment, the record and the database agree, and work that is recorded is never
//! done twice. The schema goes with the last transaction of the restore.
//!
//! Rows of unlogged tables do not outlive a crash of the server. Their records stand in an unlogged table, which the same
//! crash empties.

use std::collections::{BTreeSet, HashMap, HashSet};

use tokio_postgres::error::SqlState;

use crate::archive::{DumpId, MemberId};
use crate::conn::Session;
use crate::objects::quote;
use crate::{Error, ErrorKind, Result};

use super::RestoreOptions;
use super::disabled::{self, DisabledTrigger};
use super::plan::{Load, LoadTarget, RestorePlan, Step};

/// What the names of all such schemas begin with; 32 hexadecimal digits follow.
pub(crate) const SCHEMA_PREFIX: &str = "pgstow_restore_";

/// The schema for restores of an archive.
fn schema_name(archive_id: &str) -> String {
    let is_plain = archive_id.len() == 32
        && archive_id
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_plain {
        format!("{SCHEMA_PREFIX}{archive_id}")
    } else {
        // Whatever an archive says of itself, the name has one form.
        let hash = blake3::hash(archive_id.as_bytes()).to_hex();
        format!("{SCHEMA_PREFIX}{}", &hash.as_str()[..32])
    }
}

/// The record of one restore: knows the statements that write it.
#[derive(Debug)]
pub(crate) struct Journal {
    schema: String,
    /// Tables and sequences whose contents a crash empties. (schema, name)
    unlogged: HashSet<(String, String)>,
}

/// Work that is recorded one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Work {
    /// A data member.
    Member(MemberId),
    /// The statements of an entry after the rows.
    Step(DumpId),
    /// ANALYZE of the table that an entry's rows went into.
    Analyze(DumpId),
}

impl Work {
    fn kind(self) -> &'static str {
        match self {
            Work::Member(_) => "member",
            Work::Step(_) => "entry",
            Work::Analyze(_) => "analyze",
        }
    }

    fn number(self) -> u32 {
        match self {
            Work::Member(MemberId(number))
            | Work::Step(DumpId(number))
            | Work::Analyze(DumpId(number)) => number,
        }
    }

    fn parse(kind: &str, number: i64) -> Option<Work> {
        let number = u32::try_from(number).ok()?;
        Some(match kind {
            "member" => Work::Member(MemberId(number)),
            "entry" => Work::Step(DumpId(number)),
            "analyze" => Work::Analyze(DumpId(number)),
            _ => return None,
        })
    }
}

/// What a journal says is done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    work: HashSet<Work>,
    /// Rows of all members.
    pub rows: u64,
}

impl Done {
    pub(crate) fn has(&self, work: Work) -> bool {
        self.work.contains(&work)
    }

    /// Whether nothing is.
    pub(crate) fn is_empty(&self) -> bool {
        self.work.is_empty()
    }

    /// How many data members.
    pub(crate) fn members(&self) -> u64 {
        self.count(|work| matches!(work, Work::Member(_)))
    }

    /// How many entries after the rows.
    pub(crate) fn steps(&self) -> u64 {
        self.count(|work| matches!(work, Work::Step(_)))
    }

    fn count(&self, wanted: fn(&Work) -> bool) -> u64 {
        self.work.iter().filter(|work| wanted(work)).count() as u64
    }
}

/// What a journal says about the restore as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts(HashMap<String, String>);

/// The option, and with it what the target had when the restore began.
const DEPENDENCIES: &str = "--with-dependencies";

fn render_ids(ids: &HashSet<DumpId>) -> String {
    let ids: BTreeSet<&DumpId> = ids.iter().collect();
    let ids: Vec<String> = ids.iter().map(|id| id.0.to_string()).collect();
    format!("had {}", ids.join(" "))
}

/// Written next to the options.
const ARCHIVE: &str = "archive";
const RUN: &str = "run";
const STARTED: &str = "started";
const MEMBERS: &str = "members";
const ENTRIES: &str = "entries";
const ROWS: &str = "rows";
const BYTES: &str = "bytes";
const DISABLED: &str = "disabled triggers";

impl Facts {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("?", String::as_str)
    }

    /// What the target had of what is needed when the restore began; `None` if nobody asked.
    pub(crate) fn dependencies(&self) -> Option<HashSet<DumpId>> {
        let ids = self.0.get(DEPENDENCIES)?.strip_prefix("had")?;
        let ids = ids.split_whitespace().map(|id| id.parse().map(DumpId));
        ids.collect::<std::result::Result<_, _>>().ok()
    }

    /// The triggers that are disabled until its end.
    fn disabled(&self) -> Result<Vec<DisabledTrigger>> {
        let json = self.0.get(DISABLED).map_or("[]", String::as_str);
        serde_json::from_str(json).map_err(|error| {
            let what = "the record of the unfinished restore names its triggers in no known way";
            Error::new(ErrorKind::Restore, what).caused_by(error)
        })
    }

    /// Whether a run of this program made it.
    pub(crate) fn is_of_run(&self, run: &str) -> bool {
        self.text(RUN) == run
    }

    /// The restore in words: of which archive, since when.
    pub(crate) fn describe(&self) -> String {
        format!(
            "the unfinished restore of archive {}, started {}",
            quote::one_line(self.text(ARCHIVE)),
            quote::one_line(self.text(STARTED))
        )
    }

    /// Rows and bytes of the whole restore, as they were counted when it began.
    pub(crate) fn totals(&self) -> Option<(u64, u64)> {
        let number = |name| self.text(name).parse().ok();
        number(ROWS).zip(number(BYTES))
    }

    /// How far it got, in words.
    pub(crate) fn describe_progress(&self, done: &Done) -> String {
        format!(
            "{} of {} data members ({} rows) and {} of {} post-data entries are done",
            done.members(),
            quote::one_line(self.text(MEMBERS)),
            done.rows,
            done.steps(),
            quote::one_line(self.text(ENTRIES)),
        )
    }
}

/// What the options say about the work, by the names that the user knows. What only says how (`-j`) or is over once
/// there is a journal (`--cascade`) is not in it.
pub(crate) fn fingerprint(options: &RestoreOptions) -> Vec<(&'static str, String)> {
    let RestoreOptions {
        jobs: _,
        clean: _,
        cascade: _,
        skip_privileged,
        exact: _,
        create,
        properties,
        like: _,
        no_owner,
        role,
        selection,
        list,
        dependencies,
        moves,
        storage,
        parts,
        rows,
        // A drill alone leaves them out, and does not resume.
        foreign_data: _,
        analyze: _,
        resume: _,
        disable_triggers,
        row_security,
        lock_wait_timeout_ms: _,
        retry_for: _,
        verify_rows: _,
        // It has no journal.
        single_transaction: _,
    } = options;
    let list = list.as_ref().map(|ids| ids.iter().collect::<BTreeSet<_>>());
    vec![
        ("--create", format!("{create} {properties}")),
        ("--no-owner", no_owner.to_string()),
        ("--disable-triggers", disable_triggers.to_string()),
        ("--enable-row-security", row_security.to_string()),
        ("--skip-privileged", skip_privileged.to_string()),
        ("--role", role.clone().unwrap_or_default()),
        (
            "the selection (-t -T -n -N -e --filter and their like)",
            format!("{selection:?}"),
        ),
        ("--into-schema, --rename", format!("{moves:?}")),
        (
            "--no-tablespaces, --no-table-access-method",
            format!("{storage:?}"),
        ),
        ("--use-list", format!("{list:?}")),
        (
            DEPENDENCIES,
            dependencies.as_ref().map_or_else(String::new, render_ids),
        ),
        (
            "the parts (-a -s --section --no-comments and their like)",
            format!("{parts:?}"),
        ),
        ("--where", format!("{rows:?}")),
    ]
}

impl Journal {
    /// Of restores of an archive.
    pub(crate) fn new(archive_id: &str) -> Journal {
        Journal {
            schema: schema_name(archive_id),
            unlogged: HashSet::new(),
        }
    }

    /// The schema's name.
    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// The statements that make it. `run`: what tells the runs of this program apart. `disabled`: what is to be enabled in the end.
    pub(crate) fn render_create(
        &self,
        archive_id: &str,
        run: &str,
        options: &RestoreOptions,
        plan: &RestorePlan,
        disabled: &[DisabledTrigger],
    ) -> Result<String> {
        let disabled = serde_json::to_string(disabled)
            .map_err(|error| Error::internal("triggers are no JSON").caused_by(error))?;
        let schema = quote::ident(&self.schema);
        let summary = plan.summary();
        let mut facts = vec![
            (ROWS, summary.rows.to_string()),
            (BYTES, summary.bytes.to_string()),
            (ARCHIVE, archive_id.to_owned()),
            (RUN, run.to_owned()),
            (MEMBERS, plan.member_count().to_string()),
            (ENTRIES, plan.recorded_steps().to_string()),
            (DISABLED, disabled),
        ];
        facts.extend(fingerprint(options));
        let facts: Vec<String> = facts
            .iter()
            .map(|(name, value)| format!("({}, {})", quote::literal(name), quote::literal(value)))
            .collect();
        let columns = "(kind pg_catalog.text, number pg_catalog.int8, rows pg_catalog.int8 NOT NULL, \
                       PRIMARY KEY (kind, number))";
        Ok(format!(
            "CREATE SCHEMA {schema};\n\
             COMMENT ON SCHEMA {schema} IS 'An unfinished restore by pgstow: restore --resume goes on, restore --abandon forgets it.';\n\
             CREATE TABLE {schema}.restore (name pg_catalog.text PRIMARY KEY, value pg_catalog.text NOT NULL);\n\
             INSERT INTO {schema}.restore VALUES {}, \
             ('{STARTED}', pg_catalog.to_char(pg_catalog.now(), 'YYYY-MM-DD HH24:MI:SS TZ'));\n\
             CREATE TABLE {schema}.done {columns};\n\
             CREATE UNLOGGED TABLE {schema}.done_unlogged {columns};\n",
            facts.join(", ")
        ))
    }

    /// The statement that records a member of a load.
    pub(crate) fn render_member(&self, load: &LoadTarget, member: MemberId, rows: u64) -> String {
        let unlogged = match load {
            LoadTarget::Table { schema, name } => self.is_unlogged(schema, name),
            LoadTarget::LargeObjects => false,
        };
        self.render_record(Work::Member(member), rows, unlogged)
    }

    /// The statement that records the statements of an entry.
    pub(crate) fn render_step(&self, step: &Step) -> String {
        // Of all steps, only values of sequences can be lost in a crash.
        let schema = step.schema.as_deref().unwrap_or_default();
        self.render_record(
            Work::Step(step.id),
            0,
            step.kind == crate::objects::Kind::SequenceSet && self.is_unlogged(schema, &step.name),
        )
    }

    /// The statement that records ANALYZE.
    pub(crate) fn render_analyze(&self, load: &Load) -> String {
        self.render_record(Work::Analyze(load.entry), 0, false)
    }

    fn render_record(&self, work: Work, rows: u64, unlogged: bool) -> String {
        format!(
            "INSERT INTO {}.{} VALUES ('{}', {}, {rows});",
            quote::ident(&self.schema),
            if unlogged { "done_unlogged" } else { "done" },
            work.kind(),
            work.number(),
        )
    }

    fn is_unlogged(&self, schema: &str, name: &str) -> bool {
        // Most databases have none.
        !self.unlogged.is_empty()
            && self
                .unlogged
                .contains(&(schema.to_owned(), name.to_owned()))
    }

    /// What it says about its restore; `None` if the target does not have it.
    ///
    /// # Errors
    /// `Restore`.
    pub(crate) async fn facts(&self, session: &Session) -> Result<Option<Facts>> {
        match schemas(session).await?.contains(&self.schema) {
            true => read_facts(session, &self.schema).await.map(Some),
            false => Ok(None),
        }
    }

    /// Reads what is done, and which tables and sequences are unlogged.
    ///
    /// # Errors
    /// `Restore`.
    pub(crate) async fn read(&mut self, session: &Session) -> Result<Done> {
        self.unlogged = read_unlogged(session).await.map_err(failed)?;
        read_done(session, &self.schema).await
    }

    /// Refuses to go on with a restore that other options began.
    ///
    /// # Errors
    /// `Usage` with each option that differs.
    pub(crate) fn expect_options(&self, facts: &Facts, options: &RestoreOptions) -> Result<()> {
        let differing: Vec<&str> = fingerprint(options)
            .into_iter()
            .filter(|(name, value)| facts.text(name) != value)
            .map(|(name, _)| name)
            .collect();
        if differing.is_empty() {
            return Ok(());
        }
        let mut error = Error::new(
            ErrorKind::Usage,
            format!("{} was begun with other options", facts.describe()),
        );
        for name in differing {
            error = error.detail(format!("Other than then: {name}."));
        }
        Err(error.hint("Give the options that it was begun with, and --resume."))
    }
}

/// The unlogged tables and sequences by schema and name: what a crash of the server empties.
pub(super) async fn read_unlogged(
    session: &Session,
) -> Result<HashSet<(String, String)>, tokio_postgres::Error> {
    let query = "SELECT n.nspname::pg_catalog.text AS nspname, c.relname::pg_catalog.text AS relname \
                 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'S')";
    let names = session.query(query, &[]).await?.into_iter();
    Ok(names
        .map(|row| (row.get("nspname"), row.get("relname")))
        .collect())
}

/// The statements that remove a journal, and enable the triggers that its restore disabled.
///
/// # Errors
/// `Restore`.
pub(crate) async fn render_removal(session: &Session, schema: &str) -> Result<String> {
    let disabled = read_facts(session, schema).await?.disabled()?;
    let mut sql = disabled::render_enable(session, &disabled).await?;
    sql.push_str(&format!(
        "DROP SCHEMA IF EXISTS {} CASCADE;",
        quote::ident(schema)
    ));
    Ok(sql)
}

/// The journals in the target, whatever archive they are of.
///
/// # Errors
/// `Restore`.
pub(crate) async fn schemas(session: &Session) -> Result<BTreeSet<String>> {
    let query = format!(
        "SELECT nspname::pg_catalog.text AS nspname FROM pg_catalog.pg_namespace \
         WHERE nspname ~ '^{SCHEMA_PREFIX}[0-9a-f]{{32}}$'"
    );
    let rows = session.query(&query, &[]).await.map_err(failed)?;
    Ok(rows.into_iter().map(|row| row.get("nspname")).collect())
}

/// What a journal says about its restore.
///
/// # Errors
/// `Restore`.
pub(crate) async fn read_facts(session: &Session, schema: &str) -> Result<Facts> {
    let query = format!("SELECT name, value FROM {}.restore", quote::ident(schema));
    let rows = session.query(&query, &[]).await.map_err(failed)?;
    let pairs = rows
        .into_iter()
        .map(|row| (row.get("name"), row.get("value")));
    Ok(Facts(pairs.collect()))
}

/// What a journal says is done.
///
/// # Errors
/// `Restore`.
pub(crate) async fn read_done(session: &Session, schema: &str) -> Result<Done> {
    let schema = quote::ident(schema);
    let query = format!(
        "SELECT kind, number, rows FROM {schema}.done UNION ALL SELECT kind, number, rows FROM {schema}.done_unlogged"
    );
    let rows = session.query(&query, &[]).await.map_err(failed)?;
    let mut done = Done::default();
    for row in rows {
        let (kind, number) = (row.get("kind"), row.get("number"));
        let work = Work::parse(kind, number).ok_or_else(|| {
            Error::new(
                ErrorKind::Restore,
                "a newer version of pgstow began the unfinished restore",
            )
        })?;
        done.rows += u64::try_from(row.get::<_, i64>("rows")).unwrap_or(0);
        done.work.insert(work);
    }
    Ok(done)
}

fn failed(error: tokio_postgres::Error) -> Error {
    let what = "could not look for an unfinished restore";
    let is_of_another = error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
    let error = Error::from_server(ErrorKind::Restore, what, error);
    match is_of_another {
        true => {
            error.hint("The role that began it can finish it (--resume) or forget it (--abandon).")
        }
        false => error,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    #[test]
    fn schema_has_one_form_whatever_the_archive_says() {
        let plain = "0123456789abcdef0123456789abcdef";
        assert_eq!(schema_name(plain), format!("pgstow_restore_{plain}"));
        for odd in ["", "x\"; DROP", "0123456789ABCDEF0123456789ABCDEF"] {
            let name = schema_name(odd);
            let digits = name.strip_prefix(SCHEMA_PREFIX).unwrap();
            assert_eq!(digits.len(), 32);
            assert!(digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        for work in [
            Work::Member(MemberId(0)),
            Work::Step(DumpId(7)),
            Work::Analyze(DumpId(u32::MAX)),
        ] {
            let number = i64::from(work.number());
            assert_eq!(Work::parse(work.kind(), number), Some(work));
        }
        assert_eq!(Work::parse("other", 1), None);
        assert_eq!(Work::parse("member", -1), None);
    }

    #[test]
    fn other_options_are_told_by_name_and_jobs_are_free() {
        let journal = Journal::new("");
        let begun = RestoreOptions::whole(NonZeroUsize::MIN);
        let facts = fingerprint(&begun)
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        let facts = Facts(facts.collect());
        let mut options = RestoreOptions::whole(NonZeroUsize::new(8).unwrap());
        assert!(journal.expect_options(&facts, &options).is_ok());
        options.no_owner = true;
        let error = journal.expect_options(&facts, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert_eq!(error.details(), ["Other than then: --no-owner."]);
    }
}
