//! The life of a dump: snapshot, catalogs, pre-data, rows over many connections, post-data, index.

use std::io::Write;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::{Arc, Mutex};

use crate::archive::{
    Compression, FORMAT_VERSION, Header, Index, InsertStyle, Section, TextEncoding, WrittenArchive,
};
use crate::conn::{ConnectSettings, ServerVersion, Session, connect};
use crate::event::{Event, Events, Phase};
use crate::objects::{Oid, database};
use crate::{Error, ErrorKind, Result};

use super::aide::Aide;
use super::busy::{BusyLimits, BusyWatch};
use super::contents::read_contents;
use super::globals::{GlobalOptions, read_globals};
use super::member_stream::Encoders;
use super::pace::Pace;
use super::plan::{TableSize, WorkItem, plan_items};
pub use super::script::ScriptOptions;
use super::script::{Frame, Heading, closing, preamble};
use super::selection::Selection;
pub use super::snapshot::SnapshotOptions;
use super::workers::{Shared, copy_all, is_foreign, tell_why_it_ended};
use super::writer::{ScriptWriter, writer_result};
use super::{ContentEntry, ContentOptions, Contents, DataSource, encoding, row_order, snapshot};

/// What the user chose.
#[derive(Clone, Debug)]
pub struct CreateOptions {
    /// Connections that copy rows, beside the one that holds the snapshot.
    pub jobs: NonZeroU32,
    /// `--max-rate`: bytes of rows a second, over all connections together.
    pub max_rate: Option<NonZeroU64>,
    /// When to wait for others.
    pub busy: BusyLimits,
    /// How members are stored.
    pub compression: Compression,
    /// `-t -T -n -N --exclude-table-data`.
    pub selection: Selection,
    /// `-s -a -O -x --skip-unsupported`.
    pub contents: ContentOptions,
    /// What the sessions are told that is not the same for every dump.
    pub session: SessionOptions,
    /// How the snapshot is taken.
    pub snapshot: SnapshotOptions,
    /// `--globals`: the cluster's objects instead of the database's.
    pub globals: Option<GlobalOptions>,
    /// What the script does beside creating objects and filling them.
    pub script: ScriptOptions,
    /// Wraps the script in `\restrict KEY` and `\unrestrict KEY`.
    pub restrict_key: Option<String>,
    /// `--encoding`: of the archive's text; `None` for UTF-8, or bytes as they are of a database in SQL_ASCII.
    pub encoding: Option<TextEncoding>,
    /// `--inserts`: rows as INSERT statements; `None` for COPY.
    pub inserts: Option<InsertStyle>,
    /// The options that make this less than the whole database, for the header.
    pub partial: Vec<String>,
}

impl CreateOptions {
    /// A whole database, as most backups are.
    pub fn whole(jobs: NonZeroU32) -> CreateOptions {
        CreateOptions {
            jobs,
            max_rate: None,
            busy: BusyLimits::default(),
            compression: Compression::default(),
            selection: Selection::default(),
            contents: ContentOptions::default(),
            session: SessionOptions::default(),
            snapshot: SnapshotOptions::default(),
            globals: None,
            script: ScriptOptions::default(),
            restrict_key: None,
            encoding: None,
            inserts: None,
            partial: Vec::new(),
        }
    }
}

/// What the sessions are told that is not the same for every dump.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// `--role`: SET ROLE on every connection.
    pub role: Option<String>,
    /// `--enable-row-security`: rows that policies hide are left out instead of stopping the dump.
    pub row_security: bool,
    /// `--quote-all-identifiers`: also in what the server deparses.
    pub quote_all_identifiers: bool,
    /// `--extra-float-digits`: other than those that make numbers exact.
    pub extra_float_digits: Option<i8>,
}

impl SessionOptions {
    fn apply(&self, settings: &ConnectSettings) -> ConnectSettings {
        let mut settings = settings.clone();
        for (name, wanted) in [
            ("row_security", self.row_security),
            ("quote_all_identifiers", self.quote_all_identifiers),
        ] {
            if wanted {
                settings = settings.with_setting(name, "on");
            }
        }
        if let Some(digits) = self.extra_float_digits {
            settings = settings.with_setting("extra_float_digits", &digits.to_string());
        }
        match &self.role {
            Some(role) => settings.with_role(role),
            None => settings,
        }
    }
}

/// A dump that is completely written to its sink.
pub struct Created<W> {
    /// The sink, with size, checksum and index.
    pub archive: WrittenArchive<W>,
    /// What `--skip-unsupported` left out, one line each.
    pub unsupported: Vec<String>,
}

impl<W> Created<W> {
    /// The index.
    pub fn index(&self) -> &Index {
        &self.archive.index
    }
}

/// Dumps a database into a sink.
///
/// The sink has everything written and flushed when this returns; making it durable is the caller's.
///
/// # Errors
/// `Connect`, `LockTimeout`, `Unsupported`, `Catalog`, `Data`, `NoSpace`, `Io`. The sink then holds an
/// archive without a footer, which no reader takes for a backup.
///
/// # Cancel safety
/// Dropping the future closes all connections; the sink is dropped with the writer.
pub async fn create<W: Write + Send + 'static>(
    settings: &ConnectSettings,
    mut options: CreateOptions,
    sink: W,
    events: Events,
) -> Result<Created<W>> {
    events.phase(Phase::Connect);
    let started = jiff::Timestamp::now();
    let leader = connect(&options.session.apply(settings)).await?;
    if let Some(warning) = leader.version_warning() {
        events.warn(warning);
    }
    if options.globals.is_none() {
        leave_out_journals(&leader, &mut options, &events).await?;
    }
    let wants_aide = options.globals.is_none() && options.jobs.get() > 1;
    let (snapshot, aide) = snapshot::begin(
        &leader,
        &options.selection,
        &options.snapshot,
        &events,
        |snapshot| wants_aide.then(|| Aide::start(&leader, snapshot)),
    )
    .await?;
    events.phase(Phase::Catalog);
    let text_encoding = encoding::choose(options.encoding, leader.encoding())?;
    let header = read_header(&leader, &options, &started, snapshot, text_encoding).await?;
    let text_encoding = header.text_encoding();
    let contents = match options.globals {
        Some(globals) => read_globals(&leader, globals, &options.contents).await?,
        None => read_contents(&leader, aide, &options.selection, &options.contents).await?,
    };
    for name in &contents.unsupported {
        events.warn(format!("left out, not supported: {name}"));
    }
    let Contents {
        entries,
        unsupported,
        warnings,
    } = contents;
    for warning in warnings {
        events.warn(warning);
    }
    let entries = Arc::new(entries);
    encoding::check(&leader, &entries, text_encoding).await?;
    let sizes = read_sizes(&leader, &entries).await?;
    events.emit(Event::Planned {
        items: sizes.len() as u64,
        bytes: sizes.iter().map(|table| table.size_bytes).sum(),
    });

    events.phase(Phase::PreData);
    let writer = ScriptWriter::new(
        sink,
        options.compression,
        text_encoding,
        options.script.session_authorization,
        entries.len(),
        events.clone(),
    );
    let frame = Frame::new(&header, &options, &entries, leader.version())?;
    let preamble = preamble(&Heading {
        database: &header.database,
        server_version: &header.server_version,
        started: &header.started,
        encoding: text_encoding.name(),
        restrict_key: options.restrict_key.as_deref(),
        frame: &frame,
    });
    let writer = write_pre_data(writer, preamble, Arc::clone(&entries)).await?;

    events.phase(Phase::Data);
    let writer = write_rows(
        &leader, &options, &header, &entries, &sizes, &events, writer,
    )
    .await?;
    // The locks held to here; a leader that lost its connection cannot vouch for them.
    leader
        .batch_execute("COMMIT")
        .await
        .map_err(|e| Error::from_server(ErrorKind::Data, "lost the snapshot's transaction", e))
        .map_err(|error| tell_why_it_ended(&leader, error))?;

    events.phase(Phase::PostData);
    let restrict_key = options.restrict_key.clone();
    let archive = tokio::task::spawn_blocking(move || {
        let mut writer = writer;
        writer.write_section(&entries, Section::PostData)?;
        writer.write_closing(&closing(restrict_key.as_deref(), &frame))?;
        // The last to know them: nothing is copied.
        writer.finish(header, Arc::unwrap_or_clone(entries))
    })
    .await;
    Ok(Created {
        archive: writer_result(archive)?,
        unsupported,
    })
}

/// What a database holds, as [`create`] would write it, without its rows. The snapshot lives as long as this.
pub struct HeldContents {
    /// What it holds.
    pub contents: Contents,
    /// The snapshot that it was read under, for others to import.
    pub snapshot: String,
    /// The session that holds the snapshot and the locks.
    pub session: Session,
}

/// Reads what a database holds, without its rows.
///
/// # Errors
/// As [`create`].
pub async fn read_definitions(
    settings: &ConnectSettings,
    selection: &Selection,
    contents: &ContentOptions,
) -> Result<HeldContents> {
    let session = connect(settings).await?;
    let options = SnapshotOptions::default();
    let (snapshot, ()) =
        snapshot::begin(&session, selection, &options, &Events::none(), |_| ()).await?;
    let contents = read_contents(&session, None, selection, contents).await?;
    Ok(HeldContents {
        contents,
        snapshot,
        session,
    })
}

/// On a thread of its own: a pipe may take its time, and signals must be heard meanwhile.
async fn write_pre_data<W: Write + Send + 'static>(
    mut writer: ScriptWriter<W>,
    preamble: String,
    entries: Arc<Vec<ContentEntry>>,
) -> Result<ScriptWriter<W>> {
    let written = tokio::task::spawn_blocking(move || {
        writer.write_preamble(&preamble)?;
        writer.write_section(&entries, Section::PreData)?;
        Ok(writer)
    });
    writer_result(written.await)
}

/// The data phase. Waits for others as the options say.
async fn write_rows<W: Write + Send + 'static>(
    leader: &Session,
    options: &CreateOptions,
    header: &Header,
    entries: &Arc<Vec<ContentEntry>>,
    sizes: &[TableSize],
    events: &Events,
    writer: ScriptWriter<W>,
) -> Result<ScriptWriter<W>> {
    let (foreign, items): (Vec<WorkItem>, Vec<WorkItem>) = work_items(entries, sizes, options.jobs)
        .into_iter()
        .partition(|item| is_foreign(entries, item));
    let waves = row_order::waves(items, &row_order::edges(entries));
    let settings = leader.settings_of_this_server();
    let pace = Arc::new(Pace::new(options.max_rate));
    let busy = BusyWatch::start(
        &settings,
        options.busy,
        leader.backend_pid(),
        Arc::clone(&pace),
        events.clone(),
    )
    .await?;
    let shared = Arc::new(Shared {
        settings,
        snapshot: header.snapshot.clone(),
        encoders: Arc::new(Encoders::new(
            options.compression,
            rayon::current_num_threads(),
        )),
        pace,
        encoding: header.text_encoding(),
        inserts: options.inserts,
        entries: Arc::clone(entries),
        items: Mutex::default(),
        cancelers: Mutex::new(Vec::new()),
        behind_a_lock: Mutex::new(Vec::new()),
        foreign,
        events: events.clone(),
    });
    let writer = copy_all(shared, leader, options.jobs, waves, writer).await?;
    busy.end().await;
    Ok(writer)
}

async fn read_header(
    leader: &Session,
    options: &CreateOptions,
    started: &jiff::Timestamp,
    snapshot: String,
    text_encoding: Option<TextEncoding>,
) -> Result<Header> {
    let row = leader
        .query_one(
            // gen_random_uuid() came with 13; the id needs to be unique, not secret.
            "SELECT d.datname::pg_catalog.text AS datname, d.datcollate::pg_catalog.text AS datcollate, \
                    d.datctype::pg_catalog.text AS datctype, \
                    pg_catalog.current_setting('server_version') AS server_version, \
                    pg_catalog.md5(pg_catalog.concat(pg_catalog.clock_timestamp(), pg_catalog.random(), \
                    pg_catalog.pg_backend_pid(), d.oid)) AS archive_id \
             FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()",
            &[],
        )
        .await
        .map_err(|e| Error::from_server(ErrorKind::Catalog, "could not read the database's properties", e))?;
    let properties = database::read(leader).await?;
    Ok(Header {
        format: FORMAT_VERSION,
        archive_id: row.get("archive_id"),
        tool: concat!("pgstow ", env!("CARGO_PKG_VERSION")).to_owned(),
        server_version: row.get("server_version"),
        server_version_num: leader.version().num(),
        database: row.get("datname"),
        encoding: leader.encoding().to_owned(),
        text_encoding,
        properties: Some(properties),
        lc_collate: row.get("datcollate"),
        lc_ctype: row.get("datctype"),
        started: started.to_string(),
        snapshot,
        inserts: options.inserts,
        session_authorization: options.script.session_authorization,
        partial: options.partial.clone(),
        entries: 0,
        members: 0,
        pg_dump: None,
    })
}

/// A database that is half restored can be dumped, but neither without a word nor as a whole.
async fn leave_out_journals(
    leader: &Session,
    options: &mut CreateOptions,
    events: &Events,
) -> Result<()> {
    for schema in crate::restore::unfinished_schemas(leader).await? {
        events.warn(format!(
            "the database is half restored: schema {schema} keeps how far a restore got, and is left out"
        ));
        options.selection.leave_out_schema(&schema)?;
        options.partial.push(format!("--exclude-schema={schema}"));
    }
    Ok(())
}

/// Sizes of the tables whose rows are wanted. Measured after the locks: `relpages` may be stale. Each fork of a relation takes
/// the server a look at its file system: `pg_table_size` would ask for all of them.
async fn read_sizes(leader: &Session, entries: &[ContentEntry]) -> Result<Vec<TableSize>> {
    let tables: Vec<_> = entries
        .iter()
        .filter_map(|entry| match &entry.data {
            Some(DataSource::Table(table)) => Some((entry.id, table)),
            Some(DataSource::LargeObjects(_)) | None => None,
        })
        .collect();
    let oids: Vec<Oid> = tables.iter().map(|(_, table)| table.table).collect();
    let rows = leader
        .query(
            "SELECT pg_catalog.pg_relation_size(t.oid) AS heap_bytes, \
                    pg_catalog.pg_relation_size(t.oid) \
                      + COALESCE(pg_catalog.pg_relation_size(NULLIF(c.reltoastrelid, 0)), 0) AS size_bytes, \
                    pg_catalog.current_setting('block_size')::pg_catalog.int8 AS block_size \
             FROM pg_catalog.unnest($1::pg_catalog.oid[]) WITH ORDINALITY AS t (oid, n) \
             LEFT JOIN pg_catalog.pg_class c ON c.oid = t.oid ORDER BY t.n",
            &[&oids],
        )
        .await
        .map_err(|e| Error::from_server(ErrorKind::Catalog, "could not read the sizes of tables", e))?;
    // Ranges of ctid are read without a scan of the whole table from 14 on (TID Range Scan).
    let has_tid_range_scan = leader.version() >= ServerVersion::major(14);
    Ok(tables
        .iter()
        .zip(&rows)
        .map(|((entry, table), row)| {
            let heap_bytes = row
                .get::<_, Option<i64>>("heap_bytes")
                .map_or(0, i64::unsigned_abs);
            let block_size = row.get::<_, i64>("block_size").unsigned_abs().max(1);
            TableSize {
                entry: *entry,
                heap_blocks: u32::try_from(heap_bytes / block_size).unwrap_or(u32::MAX),
                size_bytes: row
                    .get::<_, Option<i64>>("size_bytes")
                    .map_or(0, i64::unsigned_abs),
                can_split: has_tid_range_scan
                    && table.is_heap
                    && table.condition.is_none()
                    && !table.columns.is_empty(),
            }
        })
        .collect())
}

/// Tables by plan, then large objects group by group.
fn work_items(entries: &[ContentEntry], sizes: &[TableSize], jobs: NonZeroU32) -> Vec<WorkItem> {
    let mut items = plan_items(sizes, jobs);
    items.extend(
        entries
            .iter()
            .filter(|entry| matches!(entry.data, Some(DataSource::LargeObjects(_))))
            .map(|entry| WorkItem {
                entry: entry.id,
                range: None,
                size_bytes: 0,
            }),
    );
    items
}
