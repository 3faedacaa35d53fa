//! Proving a set by restoring it: into a scratch database that is compared with the index and dropped again.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use super::verification::record;
use super::{BackupSet, Drilled, How, Repository, Verified};
use crate::archive::{ArchiveReader, Compression, Index, RowDigest, Span};
use crate::conn::{ConnectSettings, ServerVersion, Session};
use crate::dump::parts::Parts;
use crate::dump::selection::Selection;
use crate::dump::{
    ContentEntry, ContentOptions, CreateOptions, ScriptOptions, SessionOptions, SnapshotOptions,
    create, read_definitions,
};
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
        ..ContentOptions::default()
    };
    let definitions = read_definitions(scratch, &contents).await?;
    let jobs = u32::try_from(options.jobs.get()).ok();
    let rows = create(
        scratch,
        CreateOptions {
            jobs: jobs
                .and_then(std::num::NonZeroU32::new)
                .unwrap_or(std::num::NonZeroU32::MIN),
            compression: Compression::None,
            selection: Selection::default(),
            contents,
            session: SessionOptions::default(),
            snapshot: SnapshotOptions::default(),
            globals: None,
            script: ScriptOptions::default(),
            restrict_key: None,
            partial: Vec::new(),
        },
        std::io::sink(),
        Events::none(),
    )
    .await?;
    let restored = rows.archive.index;
    let archive = Arc::clone(reader);
    let no_owner = options.no_owner;
    spawn_blocking(move || {
        let major =
            |index: &Index| ServerVersion::from_num(index.header.server_version_num).major_number();
        let same_major = major(archive.index()) == major(&restored);
        let mut differences = compare_definitions(&archive, &definitions, no_owner, same_major)?;
        differences.extend(compare_rows(archive.index(), &restored)?);
        let tables = || {
            archive
                .index()
                .entries
                .iter()
                .filter_map(|entry| entry.rows.as_ref())
        };
        let compared = Drilled {
            at: String::new(),
            server_version: restored.header.server_version.clone(),
            objects: archive.index().entries.len() as u64,
            tables: tables().count() as u64,
            rows: tables().map(|rows| rows.rows).sum(),
            elapsed_ms: 0,
        };
        Ok((compared, differences))
    })
    .await
}

/// An object by its kind, schema and name, which may be shared: `COMMENT` entries, say.
type Key = (String, String, String);

/// Definitions by object, each with its texts in order.
type Definitions = BTreeMap<Key, Vec<String>>;

/// What is only on one side, and what is defined differently. Another major deparses differently: then only names are compared.
fn compare_definitions(
    archive: &ArchiveReader,
    restored: &[ContentEntry],
    no_owner: bool,
    same_major: bool,
) -> Result<Vec<String>> {
    let archived = archived_definitions(archive, no_owner)?;
    let restored = restored_definitions(restored);
    let mut differences = Vec::new();
    for (key, texts) in &archived {
        match restored.get(key) {
            None => differences.push(format!("{} was not restored", describe(key))),
            Some(others) if same_major && texts != others => {
                differences.push(format!("{} is defined differently", describe(key)));
            }
            Some(_) => {}
        }
    }
    let extra = restored
        .keys()
        .filter(|key| !archived.contains_key(*key) && !is_of_every_database(key));
    differences.extend(extra.map(|key| format!("{} is not in the archive", describe(key))));
    Ok(differences)
}

/// A new database has a schema public, which the source may have dropped: nothing in an archive says so.
fn is_of_every_database((kind, _, name): &Key) -> bool {
    name == "SCHEMA public" || (kind == Kind::Schema.as_str() && name == "public")
}

fn describe((kind, schema, name): &Key) -> String {
    match schema.as_str() {
        "" => one_line(&format!("{kind} {name}")).into_owned(),
        schema => one_line(&format!("{kind} {schema}.{name}")).into_owned(),
    }
}

fn archived_definitions(archive: &ArchiveReader, no_owner: bool) -> Result<Definitions> {
    let mut definitions = Definitions::new();
    let mut texts = MemberTexts {
        archive,
        last: None,
    };
    for entry in &archive.index().entries {
        if entry.create.is_none() && entry.alter_owner.is_none() {
            continue;
        }
        let is_privilege =
            [Kind::Acl.as_str(), Kind::DefaultAcl.as_str()].contains(&entry.kind.as_str());
        // Statistics are what the planner had, not what the database is.
        let is_statistics = entry.kind == Kind::RelationStatistics.as_str();
        if is_statistics || (no_owner && is_privilege) {
            continue;
        }
        let owner = entry.alter_owner.filter(|_| !no_owner);
        let mut text = String::new();
        for span in [entry.create, owner].into_iter().flatten() {
            text.push_str(&texts.read(span)?);
        }
        let key = (
            entry.kind.clone(),
            entry.schema.clone().unwrap_or_default(),
            entry.name.clone(),
        );
        definitions.entry(key).or_default().push(text);
    }
    definitions.values_mut().for_each(|texts| texts.sort());
    Ok(definitions)
}

fn restored_definitions(entries: &[ContentEntry]) -> Definitions {
    let mut definitions = Definitions::new();
    for entry in entries {
        if entry.create.is_empty() && entry.alter_owner.is_none() {
            continue;
        }
        let statements = entry.create.iter().chain(&entry.alter_owner);
        let text = statements
            .map(|statement| format!("{statement}\n"))
            .collect();
        let key = (
            entry.kind.as_str().to_owned(),
            entry.schema.clone().unwrap_or_default(),
            entry.tag.clone(),
        );
        definitions.entry(key).or_default().push(text);
    }
    definitions.values_mut().for_each(|texts| texts.sort());
    definitions
}

/// Reads each statement member once: spans come in the order of the file.
struct MemberTexts<'a> {
    archive: &'a ArchiveReader,
    last: Option<(crate::archive::MemberId, Vec<u8>)>,
}

impl MemberTexts<'_> {
    fn read(&mut self, span: Span) -> Result<String> {
        let text = match self.last.take() {
            Some((member, text)) if member == span.member => text,
            _ => self.archive.read_member(span.member)?,
        };
        let slice = span
            .slice(&text)
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        self.last = Some((span.member, text));
        slice.ok_or_else(|| Error::internal("a span exceeds its member"))
    }
}

/// Tables whose rows or digest differ.
fn compare_rows(archived: &Index, restored: &Index) -> Result<Vec<String>> {
    // Rows that found their partition anew may be in another one: such partitions are compared together.
    let tables = |index: &Index| {
        let mut tables: BTreeMap<(String, String), (u64, RowDigest)> = BTreeMap::new();
        for entry in &index.entries {
            let (Some((schema, name)), Some(rows)) = (entry.loaded_into(), &entry.rows) else {
                continue;
            };
            let table = tables.entry((schema.to_owned(), name.to_owned()));
            let (count, digest) = table.or_default();
            *count += rows.rows;
            digest.merge(RowDigest::from_hex(&rows.digest).ok_or_else(|| {
                let name = one_line(&format!("{schema}.{name}")).into_owned();
                Error::new(
                    ErrorKind::Damaged,
                    format!("the digest of {name} is no digest"),
                )
            })?);
        }
        Ok::<_, Error>(tables)
    };
    let restored = tables(restored)?;
    let mut differences = Vec::new();
    for ((schema, name), (rows, digest)) in tables(archived)? {
        let shown = one_line(&format!("{schema}.{name}")).into_owned();
        match restored.get(&(schema, name)) {
            None => differences.push(format!("the rows of {shown} were not restored")),
            Some((there, _)) if *there != rows => {
                differences.push(format!("{shown} has {there} rows instead of {rows}"));
            }
            Some((_, there)) if *there != digest => {
                differences.push(format!("the rows of {shown} have other contents"));
            }
            Some(_) => {}
        }
    }
    Ok(differences)
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
    use crate::archive::tests::{entries, open, small_archive};
    use crate::archive::{DumpId, Section};

    fn restored(kind: Kind, schema: Option<&str>, name: &str, sql: &str) -> ContentEntry {
        ContentEntry {
            id: DumpId(1),
            kind,
            schema: schema.map(str::to_owned),
            tag: name.to_owned(),
            relation: None,
            subject: None,
            owner: None,
            section: Section::PreData,
            depends_on: Vec::new(),
            locks: Vec::new(),
            drop: None,
            create: vec![sql.to_owned()],
            alter_owner: None,
            data: None,
        }
    }

    fn differences(restored: &[ContentEntry], same_major: bool) -> Vec<String> {
        let archive = open(small_archive(Compression::None).sink).unwrap();
        compare_definitions(&archive, restored, false, same_major).unwrap()
    }

    #[test]
    fn definitions_that_are_lost_added_or_changed_are_told() {
        let schema = || restored(Kind::Schema, None, "s", "CREATE SCHEMA \"s\";");
        let public = || restored(Kind::Schema, None, "public", "CREATE SCHEMA public;");
        let table = |sql: &str| restored(Kind::Table, Some("s"), "t", sql);
        let same = table("CREATE TABLE \"s\".\"t\" (\"a\" integer);");
        // The archive of these tests has no newline behind its statements; ours have.
        assert_eq!(
            differences(&[schema(), public()], false),
            ["TABLE s.t was not restored"]
        );
        let more = [schema(), same, restored(Kind::View, Some("s"), "v", "")];
        assert_eq!(
            differences(&more, false),
            ["VIEW s.v is not in the archive"]
        );
        let other = [schema(), table("CREATE TABLE \"s\".\"t\" (\"a\" bigint);")];
        let told = differences(&other, true);
        assert!(
            told.contains(&"TABLE s.t is defined differently".to_owned()),
            "{told:?}"
        );
    }

    #[test]
    fn rows_that_are_lost_or_changed_are_told() {
        let with = |change: fn(&mut crate::archive::TableRows)| {
            let mut index = original();
            change(index.entries[2].rows.as_mut().unwrap());
            compare_rows(&original(), &index).unwrap()
        };
        assert!(with(|_| {}).is_empty());
        assert_eq!(with(|rows| rows.rows = 2), ["s.t has 2 rows instead of 3"]);
        assert_eq!(
            with(|rows| rows.digest = "0".repeat(32)),
            ["the rows of s.t have other contents"]
        );
        assert_eq!(
            compare_rows(&original(), &Index::empty()).unwrap(),
            ["the rows of s.t were not restored"]
        );
    }

    fn original() -> Index {
        Index {
            entries: entries(),
            ..Index::empty()
        }
    }
}
