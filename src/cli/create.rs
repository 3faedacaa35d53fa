//! `pgstow create`
#![allow(clippy::print_stdout, reason = "the report goes to stdout")]

use std::io::{BufWriter, IsTerminal};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use indicatif::{HumanBytes, HumanCount};

use super::inserts::InsertArgs;
use super::peak_memory::peak_memory_bytes;
use super::place::PlaceArgs;
use super::progress::ProgressArgs;
use super::selection::{PartsArgs, SelectionArgs};
use super::text_table::{count, noun};
use super::{signal_error, until_signal};
use crate::archive::{Codec, Compression, TextEncoding};
use crate::backup::{GLOBALS_OPTION, Kind, Meta, dump_into, parse_set_name, publish, run_backup};
use crate::config::{
    ByteSize, ConnectSource, DatabaseSettings, List, Method, Origin, Profile, Rate, Valued,
    read_option,
};
use crate::conn::{ConnectArgs, ConnectSettings, connect};
use crate::dump::selection::{Selection, SelectionPatterns};
use crate::dump::{
    ColumnOrder, ContentOptions, CreateOptions, GlobalOptions, ScriptOptions, SessionOptions,
    SnapshotOptions,
};
use crate::event::{Events, Phase};
use crate::objects::RenderOptions;
use crate::objects::quote::one_line;
use crate::storage::{Encryption, Location, Storage};
use crate::{Error, ErrorKind, Result};

/// Dump a database into one file
///
/// The file is a SQL script for any psql, and an archive that pgstow can verify, show and restore in parallel.
/// Without -o it becomes a backup set in the repository: NAME-backup-YYYYMMDD-HHMMSS.sql.gz with .sha256 and .meta.
/// One run per NAME at a time (exit status 11). Exit status 3: the set is made, but a second copy, a hook or a ping failed,
/// or it is much smaller than the one before.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct CreateArgs {
    /// Database, connection URI or keyword string
    #[arg(value_name = "DB|URL")]
    source: Option<String>,
    #[command(flatten)]
    connect: ConnectArgs,
    /// Output file, `-` for standard output. Its extension chooses the compression
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["repository", "kind", "offsite"])]
    output: Option<PathBuf>,
    /// What makes the backup: manual, daily, weekly or monthly. Retention treats each kind by its own rule [default: manual]
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,
    /// A second copy of the set, read back: a directory or s3://, gs://, az:// URL
    #[arg(long, value_name = "DIR|URL")]
    offsite: Option<String>,
    /// Encrypt to this public key (age1...; repeatable)
    #[arg(
        long = "recipient",
        value_name = "KEY",
        conflicts_with = "passphrase_file"
    )]
    recipients: Vec<String>,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    /// Connections that copy rows [default: number of cores, at most 8]
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroU32>,
    /// Take no more than so many bytes of rows a second, over all connections together: 10MiB, 500kB... [default: no limit]
    #[arg(short = 'r', long, value_name = "RATE", value_parser = read_option::<Rate>)]
    max_rate: Option<Rate>,
    /// Read no rows while more than N sessions of others run a statement (those that wait for a lock do not count) [default: no limit]
    #[arg(long, value_name = "N")]
    max_load: Option<u32>,
    /// Read no rows while a standby is more than SIZE of WAL behind; of a standby, while it is itself: 16MiB, 1GB... [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = read_option::<ByteSize>)]
    max_lag: Option<ByteSize>,
    /// gzip:1..12, zstd:-7..19, auto, zstd:auto or none; a number alone is gzip's level, 0 none; auto compresses harder while cores are idle [default: gzip:1]
    #[arg(short = 'Z', long, value_name = "METHOD[:LEVEL]", value_parser = parse_method)]
    compress: Option<Method>,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Only these tables, with all partitions and children (pattern; repeatable)
    #[arg(long, value_name = "PATTERN")]
    table_and_children: Vec<String>,
    /// Not these tables, nor their partitions and children
    #[arg(long, value_name = "PATTERN")]
    exclude_table_and_children: Vec<String>,
    /// These tables, their partitions and children without their rows
    #[arg(long, value_name = "PATTERN")]
    exclude_table_data_and_children: Vec<String>,
    /// The rows of foreign tables, too, of these servers (pattern; repeatable)
    #[arg(long, value_name = "PATTERN", conflicts_with = "schema_only")]
    include_foreign_data: Vec<String>,
    #[command(flatten)]
    parts: PartsArgs,
    /// The cluster's roles, memberships, tablespaces and settings instead of a database
    #[arg(long, conflicts_with_all = ["selection", "schema_only", "data_only", "clean", "create", "inserts_options"])]
    globals: bool,
    /// Every database of the cluster that allows connections, template0 excepted, and its globals: a set each
    #[arg(long, conflicts_with_all = ["globals", "selection", "output"])]
    all: bool,
    /// With --all: not this database (pattern; repeatable)
    #[arg(long, value_name = "PATTERN", requires = "all")]
    exclude_database: Vec<String>,
    /// Roles without their passwords, which only superusers may read
    #[arg(long)]
    no_role_passwords: bool,
    /// Let the script drop what it creates, always with IF EXISTS (pgstow restore cleans in any case)
    #[arg(short = 'c', long)]
    clean: bool,
    /// With -c: as it is in any case, for command lines of pg_dump
    #[arg(long = "if-exists", requires = "clean")]
    _if_exists: bool,
    /// Let the script make the database with its properties, and connect to it (pgstow restore --create can in any case)
    #[arg(short = 'C', long)]
    create: bool,
    /// No ALTER ... OWNER TO
    #[arg(short = 'O', long)]
    no_owner: bool,
    /// Let the script make what lies in schemas as its owner, not give it to it by ALTER ... OWNER TO: for psql and a superuser
    #[arg(long, conflicts_with = "no_owner")]
    use_set_session_authorization: bool,
    /// Unlogged tables without their rows
    #[arg(long)]
    no_unlogged_table_data: bool,
    /// No TABLESPACE: everything in the target's default
    #[arg(long)]
    no_tablespaces: bool,
    /// No table access methods: the target's default
    #[arg(long)]
    no_table_access_method: bool,
    /// No compression methods of columns: the target's default
    #[arg(long)]
    no_toast_compression: bool,
    /// Give up if a table's lock is not granted in this time: milliseconds, or 5s, 2min...
    #[arg(long, value_name = "TIMEOUT", value_parser = super::duration::parse_timeout)]
    lock_wait_timeout: Option<u64>,
    /// SET ROLE on every connection
    #[arg(long)]
    role: Option<String>,
    /// Leave out rows that policies hide, instead of stopping
    #[arg(long)]
    enable_row_security: bool,
    /// Quote identifiers in what the server deparses, too
    #[arg(long)]
    quote_all_identifiers: bool,
    /// Strings of standard SQL instead of dollar quotes
    #[arg(long)]
    disable_dollar_quoting: bool,
    /// Digits of floating-point numbers, from -15 to 3, as the server's setting has it [default: exact]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i8).range(-15..=3))]
    extra_float_digits: Option<i8>,
    /// With -a: let the script turn the tables' triggers off while rows come in, those of foreign keys included
    #[arg(long, requires = "data_only")]
    disable_triggers: bool,
    /// With --disable-triggers: the superuser who turns triggers off and on
    #[arg(short = 'S', long, value_name = "NAME", requires = "disable_triggers")]
    superuser: Option<String>,
    /// Wait for a snapshot that no serializable transaction can prove wrong
    #[arg(long, conflicts_with = "snapshot")]
    serializable_deferrable: bool,
    /// Use a snapshot that another session exported and holds
    #[arg(long, value_name = "NAME")]
    snapshot: Option<String>,
    #[command(flatten)]
    inserts: InsertArgs,
    /// Load rows of partitions through their topmost table, so that they find their partition anew
    #[arg(long)]
    load_via_partition_root: bool,
    /// Of this table only rows for which the condition holds: TABLE=CONDITION (repeatable)
    #[arg(long = "where", value_name = "TABLE=CONDITION")]
    conditions: Vec<String>,
    /// Of this table only so many percent of the rows, at random: TABLE=PERCENT (repeatable)
    #[arg(long = "sample", value_name = "TABLE=PERCENT")]
    samples: Vec<String>,
    /// Leave out, and list, objects that cannot be dumped instead of stopping
    #[arg(long)]
    skip_unsupported: bool,
    /// Keep the passwords in the connection strings of subscriptions
    #[arg(long)]
    subscription_passwords: bool,
    /// Wrap the script in \restrict KEY and \unrestrict KEY (psql of August 2025 or later only)
    #[arg(long, value_name = "KEY", value_parser = parse_restrict_key)]
    restrict_key: Option<String>,
    /// The encoding of the file's text, for readers that want no UTF-8: LATIN1, WIN1252, EUC_JP... What it cannot hold stops the dump
    #[arg(short = 'E', long, value_name = "ENCODING")]
    encoding: Option<TextEncoding>,
    /// Do not wait until the file is on the disk: a crash of the host may leave half of it. The second copy is synced
    #[arg(long)]
    no_sync: bool,
    /// Report as JSON (on standard error with -o -)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    progress: ProgressArgs,
    /// Print help
    #[arg(short = '?', long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// What the globals' sets are called, unless a name is given.
const GLOBALS: &str = "globals";

fn same_name(one: &Profile, other: &Profile) -> bool {
    matches!((one.name(), other.name()), (Ok(one), Ok(other)) if one == other)
}

/// The databases of the cluster that can be connected to, by name.
async fn list_databases(profile: &Profile, exclude: &[String]) -> Result<Vec<String>> {
    let exclude = Selection::parse(&SelectionPatterns {
        exclude_schemas: exclude.to_vec(),
        ..SelectionPatterns::default()
    })?;
    let session = connect(&profile.of_cluster(GLOBALS).connect_settings()?).await?;
    let query = "SELECT datname::text FROM pg_catalog.pg_database \
                 WHERE datallowconn AND datconnlimit <> -2 AND datname <> 'template0' ORDER BY datname";
    let rows = session
        .query(query, &[])
        .await
        .map_err(|e| Error::from_server(ErrorKind::Catalog, "could not list the databases", e))?;
    let names = rows.iter().map(|row| row.get::<_, String>(0));
    Ok(names.filter(|name| exclude.includes_schema(name)).collect())
}

fn parse_method(text: &str) -> Result<Method, String> {
    text.parse()
}

/// psql takes letters and digits only.
fn parse_restrict_key(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric()) {
        Ok(text.to_owned())
    } else {
        Err("a restrict key consists of letters and digits".to_owned())
    }
}

impl CreateArgs {
    /// Dumps and publishes.
    pub(crate) async fn run(mut self) -> Result<()> {
        let mut profile = self.profile()?;
        if self.all {
            return self.run_all(&profile).await;
        }
        if self.globals {
            profile = profile.of_cluster(GLOBALS);
        }
        self.run_one(&profile).await
    }

    async fn run_one(&self, profile: &Profile) -> Result<()> {
        let started = Instant::now();
        let options = self.options(profile)?;
        match self.output.as_deref() {
            None => self.to_repository(profile, options, started).await,
            Some(path) if path == Path::new("-") => self.to_stdout(profile, options, started).await,
            Some(path) => self.to_file(path, profile, options, started).await,
        }
    }

    /// The globals, then one database after the other. One that fails does not keep the others from being backed up.
    async fn run_all(&mut self, profile: &Profile) -> Result<()> {
        let databases = list_databases(profile, &self.exclude_database).await?;
        // A name that is configured cannot be that of all.
        let mut nameless = profile.clone();
        nameless.settings.name = None;
        let mut profiles = vec![nameless.of_cluster(GLOBALS)];
        for database in &databases {
            let of_database = profile.of_database(database);
            if profiles.iter().any(|other| same_name(other, &of_database)) {
                return Err(Error::new(
                    ErrorKind::Usage,
                    format!(
                        "the backups of database {} would have the name of others",
                        one_line(database)
                    ),
                )
                .hint("Leave it out with --exclude-database, and back it up with a --name of its own."));
            }
            profiles.push(of_database);
        }
        let mut failed: Option<Error> = None;
        for (at, profile) in profiles.iter().enumerate() {
            self.globals = at == 0;
            if let Err(error) = self.run_one(profile).await {
                let what = match at {
                    0 => "the globals".to_owned(),
                    _ => format!("database {}", one_line(&databases[at - 1])),
                };
                let detail = format!("While backing up {what}.");
                failed = Some(match failed {
                    None => error.detail(detail),
                    Some(first) => first.detail(format!("Then {what}: {}", error.message())),
                });
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// What holds for the database.
    fn profile(&self) -> Result<Profile> {
        let source = ConnectSource {
            args: self.connect.clone(),
            positional: self.source.clone(),
        };
        let flags = DatabaseSettings {
            jobs: self.jobs.map(|jobs| Valued::flag("--jobs", jobs)),
            max_rate: self.max_rate.map(|rate| Valued::flag("--max-rate", rate)),
            max_load: self.max_load.map(|load| Valued::flag("--max-load", load)),
            max_lag: self.max_lag.map(|lag| Valued::flag("--max-lag", lag)),
            compression: self
                .compress
                .map(|method| Valued::flag("--compress", method)),
            offsite: self
                .offsite
                .clone()
                .map(|location| Valued::flag("--offsite", location)),
            recipients: (!self.recipients.is_empty())
                .then(|| Valued::flag("--recipient", List(self.recipients.clone()))),
            ..DatabaseSettings::default()
        };
        self.place.resolve(source, flags)?.one().cloned()
    }

    async fn to_repository(
        &self,
        profile: &Profile,
        options: CreateOptions,
        started: Instant,
    ) -> Result<()> {
        let mut job = profile.backup_job(self.kind.unwrap_or(Kind::Manual))?;
        job.options = options;
        if self.no_sync {
            job.repository = job.repository.without_sync()?;
        }
        let repository = job.repository.clone();
        let outcome = {
            let events = self.begin(&job.settings);
            let made = run_backup(job, signal_error(), &events).await;
            made.map_err(|error| hint_at_place(error, profile))?
        };
        let path = repository.path_of(&outcome.set.file);
        self.report(&Report::of_meta(&outcome.set.meta, Some(path), started));
        outcome.into_result().map(drop)
    }

    async fn to_stdout(
        &self,
        profile: &Profile,
        options: CreateOptions,
        started: Instant,
    ) -> Result<()> {
        if std::io::stdout().is_terminal() {
            return Err(Error::new(
                ErrorKind::Usage,
                "standard output is a terminal; send the archive to a file or a pipe",
            ));
        }
        let settings = profile.connect_settings()?;
        let encryption = profile.encryption()?;
        let events = self.begin(&settings);
        let sink = BufWriter::with_capacity(1 << 20, std::io::stdout());
        let work = dump_into(sink, &encryption, &settings, options, &events);
        let mut dumped = until_signal(work).await?;
        std::io::Write::flush(&mut dumped.sink)
            .map_err(|e| Error::io("could not write to standard output", e))?;
        drop(events);
        let meta = dumped.describe(&profile.name()?, Kind::Manual, "-");
        self.report(&Report::of_meta(&meta, None, started));
        Ok(())
    }

    async fn to_file(
        &self,
        path: &Path,
        profile: &Profile,
        options: CreateOptions,
        started: Instant,
    ) -> Result<()> {
        let file = path
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| Error::new(ErrorKind::Usage, "the output is no file name"))?;
        if path.symlink_metadata().is_ok() {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("{} exists already", path.display()),
            )
            .hint("Nothing is ever overwritten: choose another name."));
        }
        let settings = profile.connect_settings()?;
        let encryption = profile.encryption()?;
        check_encrypted_name(file, &encryption)?;
        let name = match parse_set_name(file) {
            Some(set) => set.name,
            None => profile.name()?,
        };
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let mut storage = Storage::open(&Location::Directory(directory.to_owned()))?;
        if self.no_sync {
            storage = storage.without_sync()?;
        }
        let sink = storage.upload(vec![file.to_owned()]).await?;
        let dumped = {
            let events = self.begin(&settings);
            let work = dump_into(sink, &encryption, &settings, options, &events);
            let dumped = until_signal(work).await?;
            events.phase(Phase::Finish);
            dumped
        };
        let meta = dumped.describe(&name, Kind::Manual, file);
        publish(&storage, dumped.sink, &meta.sha256, |_| meta.to_text()).await?;
        let shown = directory.join(file).display().to_string();
        self.report(&Report::of_meta(&meta, Some(shown), started));
        Ok(())
    }

    fn begin(&self, settings: &ConnectSettings) -> Events {
        let events = self.progress.events();
        for warning in settings.warnings() {
            events.warn(warning.as_str());
        }
        events
    }

    /// By option, else by the output's extension, else as configured.
    fn compression(&self, profile: &Profile) -> Result<Compression> {
        let by_name = self.output.as_deref().and_then(codec_of_name);
        let configured = profile.settings.compression.as_ref();
        let configured = configured.map_or_else(Compression::default, |method| method.value.0);
        match (self.compress, by_name) {
            (Some(Method(compression)), Some(codec)) if compression.codec() != codec => {
                Err(Error::new(
                    ErrorKind::Usage,
                    "the output file's extension and --compress name different methods",
                ))
            }
            (Some(Method(compression)), _) => Ok(compression),
            (None, Some(codec)) if codec == configured.codec() => Ok(configured),
            (None, Some(Codec::Zstd)) => Ok(Compression::Zstd(1)),
            (None, Some(Codec::None)) => Ok(Compression::None),
            (None, Some(Codec::Gzip)) => Ok(Compression::Gzip(1)),
            (None, None) => Ok(configured),
        }
    }

    fn options(&self, profile: &Profile) -> Result<CreateOptions> {
        let patterns = self.patterns()?;
        Ok(CreateOptions {
            jobs: profile.jobs(),
            max_rate: profile.max_rate(),
            busy: profile.busy_limits(),
            compression: self.compression(profile)?,
            selection: match self.globals {
                true => Selection::nothing(),
                false => Selection::parse(&patterns)?,
            },
            contents: ContentOptions {
                parts: self.parts.parts(),
                no_owner: self.no_owner,
                no_unlogged_table_data: self.no_unlogged_table_data,
                style: RenderOptions {
                    no_tablespaces: self.no_tablespaces,
                    no_table_access_method: self.no_table_access_method,
                    no_toast_compression: self.no_toast_compression,
                    load_via_partition_root: self.load_via_partition_root,
                    subscription_passwords: self.subscription_passwords,
                },
                no_dollar_quoting: self.disable_dollar_quoting,
                skip_unsupported: self.skip_unsupported,
                column_order: ColumnOrder::Own,
            },
            session: SessionOptions {
                role: self.role.clone(),
                row_security: self.enable_row_security,
                quote_all_identifiers: self.quote_all_identifiers,
                extra_float_digits: self.extra_float_digits,
            },
            snapshot: SnapshotOptions {
                lock_wait_timeout_ms: self.lock_wait_timeout,
                serializable_deferrable: self.serializable_deferrable,
                imported: self.snapshot.clone(),
            },
            globals: self.globals.then_some(GlobalOptions {
                role_passwords: !self.no_role_passwords,
            }),
            script: ScriptOptions {
                clean: self.clean,
                create: self.create,
                disable_triggers: self.disable_triggers,
                superuser: self.superuser.clone(),
                session_authorization: self.use_set_session_authorization,
            },
            restrict_key: self.restrict_key.clone(),
            encoding: self.encoding,
            inserts: self.inserts.style(),
            partial: self.partial(&patterns),
        })
    }

    fn patterns(&self) -> Result<SelectionPatterns> {
        let mut patterns = self.selection.patterns()?;
        for (list, given) in [
            (&mut patterns.tables_and_children, &self.table_and_children),
            (
                &mut patterns.exclude_tables_and_children,
                &self.exclude_table_and_children,
            ),
            (
                &mut patterns.exclude_table_data_and_children,
                &self.exclude_table_data_and_children,
            ),
            (&mut patterns.foreign_data, &self.include_foreign_data),
            (&mut patterns.conditions, &self.conditions),
            (&mut patterns.samples, &self.samples),
        ] {
            list.extend_from_slice(given);
        }
        Ok(patterns)
    }

    /// The options that make the archive less than the whole database.
    fn partial(&self, patterns: &SelectionPatterns) -> Vec<String> {
        let flags = [
            ("--no-owner", self.no_owner),
            ("--no-unlogged-table-data", self.no_unlogged_table_data),
            ("--no-tablespaces", self.no_tablespaces),
            ("--no-table-access-method", self.no_table_access_method),
            ("--no-toast-compression", self.no_toast_compression),
            ("--enable-row-security", self.enable_row_security),
            (GLOBALS_OPTION, self.globals),
            ("--skip-unsupported", self.skip_unsupported),
        ];
        let flags = flags.into_iter().filter(|(_, given)| *given);
        // Below 1, servers round.
        let digits = self.extra_float_digits.filter(|digits| *digits < 1);
        let mut partial = patterns.options();
        partial.extend(self.parts.parts().options());
        partial.extend(flags.map(|(name, _)| name.to_owned()));
        partial.extend(digits.map(|digits| format!("--extra-float-digits={digits}")));
        partial
    }

    fn report(&self, report: &Report) {
        if !self.json {
            report.print();
            return;
        }
        match (serde_json::to_string(report), &report.file) {
            // Standard output carries the archive.
            (Ok(json), None) => eprintln!("{json}"),
            (Ok(json), Some(_)) => println!("{json}"),
            (Err(error), _) => eprintln!("warning: the report is no JSON: {error}"),
        }
    }
}

/// Who never chose a place learns how to.
fn hint_at_place(error: Error, profile: &Profile) -> Error {
    let repository = profile.settings.repository.as_ref();
    let is_default = repository.is_some_and(|it| it.origin == Origin::Default);
    match error.kind() {
        ErrorKind::Io if is_default => error
            .hint("Set BACKUP_DIR to a directory that you may write to, or name a file with -o."),
        _ => error,
    }
}

/// A name that says how a file is encrypted must be true.
fn check_encrypted_name(file: &str, encryption: &Encryption) -> Result<()> {
    match (file.ends_with(".age"), encryption) {
        (true, Encryption::None) => Err(Error::new(
            ErrorKind::Usage,
            "the output's name ends with .age and nothing says to whom it is encrypted",
        )
        .hint("Give --recipient or --passphrase-file.")),
        (false, Encryption::Recipients(_) | Encryption::PassphraseFile(_)) => Err(Error::new(
            ErrorKind::Usage,
            "the output is encrypted and its name does not say so",
        )
        .hint("Let it end with .age.")),
        _ => Ok(()),
    }
}

fn codec_of_name(path: &Path) -> Option<Codec> {
    let name = path.file_name()?.to_str()?;
    let name = name.strip_suffix(".age").unwrap_or(name);
    // No extension ends with another one, so the order does not matter.
    Codec::ALL.into_iter().find(|codec| {
        name.strip_suffix(codec.extension())
            .is_some_and(|stem| stem.ends_with('.'))
    })
}

/// What a finished run amounts to.
#[derive(serde::Serialize)]
struct Report {
    file: Option<String>,
    database: String,
    kind: Kind,
    tables: u64,
    rows: u64,
    bytes: u64,
    stored_bytes: u64,
    sha256: String,
    encrypted: bool,
    elapsed_ms: u64,
    /// Of the process until now: with several databases the highest so far.
    peak_memory_bytes: Option<u64>,
    anomalies: Vec<String>,
    unsupported: Vec<String>,
}

impl Report {
    /// `file` is `None` for standard output.
    fn of_meta(meta: &Meta, file: Option<String>, started: Instant) -> Self {
        Report {
            file,
            database: meta.database.clone(),
            kind: meta.kind,
            tables: meta.tables.len() as u64,
            rows: meta.rows,
            bytes: meta.bytes,
            stored_bytes: meta.size,
            sha256: meta.sha256.clone(),
            encrypted: meta.encrypted,
            elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            peak_memory_bytes: peak_memory_bytes(),
            anomalies: meta.anomalies.clone(),
            unsupported: meta.unsupported.clone(),
        }
    }

    fn print(&self) {
        let target = self.file.as_deref().unwrap_or("standard output");
        let target = one_line(target);
        let per_second = self.bytes.saturating_mul(1000) / self.elapsed_ms.max(1);
        eprintln!("{target}");
        let memory = self.peak_memory_bytes.map(HumanBytes);
        let memory = memory.map(|peak| format!(", peak memory {peak}"));
        eprintln!(
            "  {} {}, {} {}, {} as {} in {}.{:02} s ({}/s){}",
            HumanCount(self.tables),
            noun(self.tables, "table", "tables"),
            HumanCount(self.rows),
            noun(self.rows, "row", "rows"),
            HumanBytes(self.bytes),
            HumanBytes(self.stored_bytes),
            self.elapsed_ms / 1000,
            self.elapsed_ms % 1000 / 10,
            HumanBytes(per_second),
            memory.unwrap_or_default(),
        );
        eprintln!("  sha256 {}", self.sha256);
        if !self.unsupported.is_empty() {
            eprintln!(
                "  left out, not supported yet: {}",
                count(self.unsupported.len() as u64, "object", "objects")
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extension_names_the_codec() {
        assert_eq!(codec_of_name(Path::new("a.sql.gz")), Some(Codec::Gzip));
        assert_eq!(codec_of_name(Path::new("x/a.sql")), Some(Codec::None));
        assert_eq!(codec_of_name(Path::new("a.dump")), None);
        assert_eq!(codec_of_name(Path::new("mysql")), None);
    }
}
