//! Proving a set by restoring it: into a scratch database that is compared with the index and dropped again.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Instant;

use super::verification::record;
use super::{BackupSet, Drilled, How, Repository, Verified};
use crate::archive::{ArchiveReader, TocEntry};
use crate::comparison::{
    DefinitionDifference, Definitions, ObjectKey, RowDifference, RowsRead, Side, SideTables,
    compare_definitions, compare_tables, is_of_every_database,
};
use crate::conn::{ConnectSettings, ServerVersion, Session};
use crate::dump::parts::Parts;
use crate::dump::selection::Selection;
use crate::dump::{ColumnOrder, ContentOptions};
use crate::event::{Events, Phase};
use crate::objects::Kind;
use crate::objects::RenderOptions;
use crate::objects::quote::one_line;
use crate::restore::{RestoreOptions, connect_for_create, drop_database, prepare};
use crate::storage::spawn_blocking;
use crate::{Error, ErrorKind, Result};

/// What the names of scratch databases begin with.
const SCRATCH: &str = "pgstow_drill_";

/// The advisory lock that living drills share, so that only databases of dead ones are dropped: "pgstow" in ASCII.
const DRILL_LOCK: i64 = 0x7067_7374_6f77;

/// So many differences are named.
const MOST_DIFFERENCES: usize = 20;

/// How to drill.
#[derive(Clone, Debug)]
pub struct DrillOptions {
    /// Connections.
    pub jobs: NonZeroUsize,
    /// The server need not have the roles: neither owners nor privileges are restored and compared.
    pub no_owner: bool,
}

/// Restores a set into a scratch database on the server of `settings`, compares definitions, rows and row digests with the
/// archive, drops the database, and records the proof in the set's `.meta`. The database of `settings` itself is not touched.
///
/// # Errors
/// `Damaged` with what differs, recorded as not intact; `Usage` for a set without definitions; those of the restore.
/// The scratch database is gone in any case, unless the server is.
pub async fn drill_set(
    repository: &Repository,
    set: &BackupSet,
    settings: &ConnectSettings,
    options: &DrillOptions,
    stop: impl Future<Output = Error>,
    events: &Events,
) -> Result<Drilled> {
    if set.meta.is_of_cluster() {
        return Err(Error::new(
            ErrorKind::Usage,
            "roles and tablespaces are the whole server's: they cannot be drilled",
        )
        .hint("Restore them on a server that is there for it."));
    }
    if set
        .meta
        .partial
        .iter()
        .any(|option| option == "--data-only")
    {
        return Err(Error::new(
            ErrorKind::Usage,
            format!(
                "{} holds rows alone and cannot be restored by itself",
                set.name.id
            ),
        ));
    }
    let started = Instant::now();
    let open = repository.open_set(set).await?;
    let reader = Arc::new(open.reader);
    let guard = guard_scratch(settings).await?;
    let id = &reader.index().header.archive_id;
    let scratch = settings.with_database(&format!(
        "{SCRATCH}{}_{}",
        &id[..id.len().min(8)],
        std::process::id()
    ));
    let outcome = tokio::select! {
        outcome = restore_and_compare(&reader, &scratch, options, events) => outcome,
        error = stop => Err(error),
    };
    let dropped = drop_database(&scratch).await;
    drop(guard);
    let (compared, differences) = match (outcome, dropped) {
        (Ok(outcome), Ok(())) => outcome,
        (Ok(_), Err(error)) => return Err(error),
        (Err(error), Ok(())) => return Err(error),
        (Err(error), Err(left)) => return Err(error.detail(left.to_string())),
    };
    if !differences.is_empty() {
        let error = differs(set, &differences);
        return match record(repository, set, How::Restore, false).await {
            Ok(()) => Err(error),
            Err(unrecorded) => Err(error.detail(unrecorded.to_string())),
        };
    }
    let drilled = Drilled {
        at: jiff::Timestamp::now().to_string(),
        elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        ..compared
    };
    let proof = drilled.clone();
    repository
        .update_meta(set, |meta| {
            meta.verified = Some(Verified::now(How::Restore, true));
            meta.drilled = Some(proof);
        })
        .await?;
    Ok(drilled)
}

/// Opens the session whose advisory lock says that a drill is alive, and drops what dead ones left.
async fn guard_scratch(settings: &ConnectSettings) -> Result<Session> {
    let failed = |e| {
        Error::from_server(
            ErrorKind::Restore,
            "could not look for scratch databases of dead drills",
            e,
        )
    };
    let session = connect_for_create(settings).await?;
    let alone = session
        .query_one(
            "SELECT pg_catalog.pg_try_advisory_lock($1) AS alone",
            &[&DRILL_LOCK],
        )
        .await
        .map_err(failed)?;
    if alone.get("alone") {
        // Not all versions have starts_with.
        let left = session
            .query(
                "SELECT datname::text AS datname FROM pg_catalog.pg_database \
                 WHERE pg_catalog.left(datname::text, pg_catalog.length($1::text)) = $1 \
                 AND pg_catalog.pg_has_role(datdba, 'MEMBER') ORDER BY datname",
                &[&SCRATCH],
            )
            .await
            .map_err(failed)?;
        for row in left {
            let name: String = row.get("datname");
            drop_database(&settings.with_database(&name)).await?;
        }
    }
    session
        .batch_execute(&format!(
            "SELECT pg_catalog.pg_advisory_lock_shared({DRILL_LOCK}); \
             SELECT pg_catalog.pg_advisory_unlock({DRILL_LOCK}) WHERE {};",
            alone.get::<_, bool>("alone")
        ))
        .await
        .map_err(failed)?;
    Ok(session)
}

/// What was compared, and what differs.
async fn restore_and_compare(
    reader: &Arc<ArchiveReader>,
    scratch: &ConnectSettings,
    options: &DrillOptions,
    events: &Events,
) -> Result<(Drilled, Vec<String>)> {
    let parts = Parts {
        no_privileges: options.no_owner,
        ..Parts::default()
    };
    let restore = RestoreOptions {
        clean: false,
        create: true,
        properties: false,
        no_owner: options.no_owner,
        parts: parts.clone(),
        // A proof must not write to the servers that foreign tables point to.
        foreign_data: false,
        analyze: false,
        ..RestoreOptions::whole(options.jobs)
    };
    let prepared = prepare(Arc::clone(reader), scratch.clone(), restore, events).await?;
    prepared.run(std::future::pending(), events).await?;
    events.phase(Phase::Verify);
    let contents = ContentOptions {
        no_owner: options.no_owner,
        parts,
        // What the source could not have dumped is not in the archive either; what was left out there is not here.
        skip_unsupported: true,
        style: RenderOptions {
            // The archive's subscriptions have theirs or not, and the restored ones have what the archive has.
            subscription_passwords: true,
            ..RenderOptions::default()
        },
        column_order: ColumnOrder::of_archive(&reader.index().entries),
        ..ContentOptions::default()
    };
    let jobs = u32::try_from(options.jobs.get()).ok();
    let jobs = jobs.and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
    let everything = Selection::default();
    let quiet = Events::none();
    // Digests are those of rows in the archive's encoding.
    let rows = RowsRead::InEncoding(reader.index().header.text_encoding);
    let restored = Side::of_database(scratch, jobs, &everything, &contents, rows, &quiet).await?;
    let archive = Arc::clone(reader);
    let no_owner = options.no_owner;
    spawn_blocking(move || {
        let index = archive.index();
        let archived = ServerVersion::from_num(index.header.server_version_num);
        // Another major deparses differently: then only names are compared.
        let by_name_only = archived.major_number() != restored.server.major_number();
        let definitions = Definitions::of_archive(&archive, &index.entries, no_owner)?
            .without(|object| no_owner && is_privilege(object));
        let restored_here = |entry: &&TocEntry| !index.is_of_foreign_table(entry);
        let tables = SideTables::of(index.entries.iter().filter(restored_here))?;
        let differences = compare_definitions(&definitions, &restored.definitions, by_name_only)
            .iter()
            .filter_map(describe_definition)
            .chain(
                compare_tables(&tables, &restored.tables.unwrap_or_default())
                    .iter()
                    .filter_map(describe_rows),
            )
            .collect();
        let with_rows = || {
            let entries = index.entries.iter().filter(restored_here);
            entries.filter_map(|entry| entry.rows.as_ref())
        };
        let compared = Drilled {
            at: String::new(),
            server_version: restored.server.to_string(),
            objects: index.entries.len() as u64,
            tables: with_rows().count() as u64,
            rows: with_rows().map(|rows| rows.rows).sum(),
            elapsed_ms: 0,
        };
        Ok((compared, differences))
    })
    .await
}

fn is_privilege(object: &ObjectKey) -> bool {
    [Kind::Acl.as_str(), Kind::DefaultAcl.as_str()].contains(&object.kind.as_str())
}

/// The difference in words, if it is one that a restore has to answer for.
fn describe_definition(difference: &DefinitionDifference) -> Option<String> {
    let object = &difference.object;
    match (&difference.before, &difference.after) {
        (_, None) => Some(format!("{object} was not restored")),
        (Some(_), Some(_)) => Some(format!("{object} is defined differently")),
        (None, Some(_)) if is_of_every_database(object) => None,
        (None, Some(_)) => Some(format!("{object} is not in the archive")),
    }
}

/// The same of rows. Those that the archive knows nothing of belong to tables that it has without rows.
fn describe_rows(difference: &RowDifference) -> Option<String> {
    let (schema, name) = &difference.table;
    let table = one_line(&format!("{schema}.{name}")).into_owned();
    match (difference.before?, difference.after) {
        (_, None) => Some(format!("the rows of {table} were not restored")),
        (before, Some(after)) if before.rows != after.rows => Some(format!(
            "{table} has {} rows instead of {}",
            after.rows, before.rows
        )),
        _ => Some(format!("the rows of {table} have other contents")),
    }
}

fn differs(set: &BackupSet, differences: &[String]) -> Error {
    let error = Error::new(
        ErrorKind::Damaged,
        format!(
            "what was restored from {} is not what the archive says",
            set.name.id
        ),
    );
    let named = differences.iter().take(MOST_DIFFERENCES);
    let error = named.fold(error, |error, difference| {
        error.detail(format!("{difference}."))
    });
    match differences.len().saturating_sub(MOST_DIFFERENCES) {
        0 => error,
        more => error.detail(format!("And {more} more.")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::archive::RowDigest;
    use crate::comparison::TableContents;

    #[test]
    fn definitions_that_are_lost_added_or_changed_are_told() {
        let told = |kind: Kind, name: &str, before: bool, after: bool| {
            let sql = |there: bool| there.then(String::new);
            describe_definition(&DefinitionDifference {
                object: ObjectKey {
                    kind: kind.as_str().to_owned(),
                    schema: "s".to_owned(),
                    name: name.to_owned(),
                },
                before: sql(before),
                after: sql(after),
            })
        };
        let table = |before, after| told(Kind::Table, "t", before, after).unwrap();
        assert_eq!(table(true, false), "TABLE s.t was not restored");
        assert_eq!(table(false, true), "TABLE s.t is not in the archive");
        assert_eq!(table(true, true), "TABLE s.t is defined differently");
        assert_eq!(told(Kind::Schema, "public", false, true), None);
    }

    #[test]
    fn rows_that_are_lost_or_changed_are_told() {
        let contents = |rows: u64, digest: &str| TableContents {
            rows,
            digest: RowDigest::from_hex(digest).unwrap(),
        };
        let told = |before, after| {
            describe_rows(&RowDifference {
                table: ("s".to_owned(), "t".to_owned()),
                before,
                after,
            })
        };
        let three = Some(contents(3, "1"));
        assert_eq!(
            told(three, Some(contents(2, "1"))).unwrap(),
            "s.t has 2 rows instead of 3"
        );
        assert_eq!(
            told(three, Some(contents(3, "2"))).unwrap(),
            "the rows of s.t have other contents"
        );
        assert_eq!(
            told(three, None).unwrap(),
            "the rows of s.t were not restored"
        );
        assert_eq!(told(None, three), None);
    }
}
