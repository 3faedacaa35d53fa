//! `pgstow create`
#![allow(clippy::print_stdout, reason = "the report goes to stdout")]

use std::io::{BufWriter, IsTerminal};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use clap::Args;
use indicatif::{HumanBytes, HumanCount};

use super::progress::ProgressArgs;
use super::until_signal;
use crate::archive::{Codec, Compression, WrittenArchive};
use crate::backup::{self, Meta, Settings};
use crate::conn::{ConnectArgs, ConnectSettings};
use crate::dump::selection::{Selection, SelectionPatterns};
use crate::dump::{ContentOptions, CreateOptions, Created, create};
use crate::event::{Events, Phase};
use crate::objects::quote::one_line;
use crate::storage::{Location, Storage};
use crate::{Error, ErrorKind, Result};

/// More connections than this need to be asked for.
const MAX_DEFAULT_JOBS: u32 = 8;

/// Dump a database into one file
///
/// The file is a SQL script for any psql, and an archive that pgstow can verify, show and restore in parallel.
/// Without -o it is DB-backup-YYYYMMDD-HHMMSS.sql.gz in BACKUP_DIR, or in the current directory.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct CreateArgs {
    /// Database, connection URI or keyword string
    #[arg(value_name = "DB|URL")]
    source: Option<String>,
    #[command(flatten)]
    connect: ConnectArgs,
    /// Output file, `-` for standard output. Its extension chooses the compression
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Connections that copy rows [default: number of cores, at most 8]
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroU32>,
    /// gzip:1..12, zstd:1..19 or none [default: gzip:1]
    #[arg(short = 'Z', long, value_name = "METHOD[:LEVEL]")]
    compress: Option<Method>,
    /// Only these tables, views, sequences (pattern; repeatable)
    #[arg(short, long = "table", value_name = "PATTERN")]
    tables: Vec<String>,
    /// Not these tables
    #[arg(short = 'T', long = "exclude-table", value_name = "PATTERN")]
    exclude_tables: Vec<String>,
    /// Only these schemas
    #[arg(short = 'n', long = "schema", value_name = "PATTERN")]
    schemas: Vec<String>,
    /// Not these schemas
    #[arg(short = 'N', long = "exclude-schema", value_name = "PATTERN")]
    exclude_schemas: Vec<String>,
    /// These tables without their rows
    #[arg(long, value_name = "PATTERN")]
    exclude_table_data: Vec<String>,
    /// Definitions only
    #[arg(short, long, conflicts_with = "data_only")]
    schema_only: bool,
    /// Rows only
    #[arg(short = 'a', long)]
    data_only: bool,
    /// No ALTER ... OWNER TO
    #[arg(short = 'O', long)]
    no_owner: bool,
    /// No GRANT, no REVOKE
    #[arg(short = 'x', long)]
    no_privileges: bool,
    /// Give up if a table's lock is not granted in this time (milliseconds)
    #[arg(long, value_name = "MS")]
    lock_wait_timeout: Option<u64>,
    /// Leave out, and list, objects that cannot be dumped yet instead of stopping
    #[arg(long)]
    skip_unsupported: bool,
    /// Wrap the script in \restrict KEY and \unrestrict KEY (psql of August 2025 or later only)
    #[arg(long, value_name = "KEY", value_parser = parse_restrict_key)]
    restrict_key: Option<String>,
    /// Report as JSON (on standard error with -o -)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    progress: ProgressArgs,
    /// Print help
    #[arg(short = '?', long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// What -Z names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Method(Compression);

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (method, level) = match text.split_once(':') {
            Some((method, level)) => (method, Some(level)),
            None => (text, None),
        };
        let level = |default: i32, highest: i32| match level {
            None => Ok(default),
            Some(level) => match level.parse() {
                Ok(level) if (1..=highest).contains(&level) => Ok(level),
                _ => Err(format!(
                    "the level of {method} is a number from 1 to {highest}"
                )),
            },
        };
        match method {
            "gzip" => Ok(Method(Compression::Gzip(level(1, 12)?))),
            "zstd" => Ok(Method(Compression::Zstd(level(1, 19)?))),
            "none" if text == "none" => Ok(Method(Compression::None)),
            _ => Err("give gzip:1..12, zstd:1..19 or none".to_owned()),
        }
    }
}

/// psql takes letters and digits only.
fn parse_restrict_key(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric()) {
        Ok(text.to_owned())
    } else {
        Err("a restrict key consists of letters and digits".to_owned())
    }
}

/// Where the archive goes.
enum Output {
    Stdout,
    /// A directory and the names to try in it.
    File(PathBuf, Vec<String>),
}

impl CreateArgs {
    /// Dumps and publishes.
    pub(crate) async fn run(self) -> Result<()> {
        let started = Instant::now();
        let compression = self.compression()?;
        let options = self.options(compression)?;
        let settings = ConnectSettings::resolve(&self.connect, self.source.as_deref())?;
        let jobs = options.jobs;
        match self.output(&settings, compression.codec())? {
            Output::Stdout => {
                let events = self.begin(&settings);
                let sink = BufWriter::with_capacity(1 << 20, std::io::stdout());
                let created = until_signal(create(&settings, options, sink, events)).await?;
                self.report(&created, None, started);
            }
            Output::File(directory, names) => {
                let storage = Storage::open(&Location::Directory(directory.clone()))?;
                let sink = storage.upload(names).await?;
                let created = {
                    let events = self.begin(&settings);
                    let created =
                        until_signal(create(&settings, options, sink, events.clone())).await?;
                    events.phase(Phase::Finish);
                    created
                };
                let (created, upload) = without_sink(created);
                let settings = Settings {
                    compression: describe_compression(compression),
                    jobs: jobs.get(),
                };
                let render = |name: &str| render_meta(&created, name, settings);
                let sha256 = &created.archive.sha256;
                let name = backup::publish(&storage, upload, sha256, render).await?;
                self.report(&created, Some(&directory.join(name)), started);
            }
        }
        Ok(())
    }

    fn begin(&self, settings: &ConnectSettings) -> Events {
        let events = self.progress.events();
        for warning in settings.warnings() {
            events.warn(warning.as_str());
        }
        events
    }

    fn compression(&self) -> Result<Compression> {
        let by_name = self.output.as_deref().and_then(codec_of_name);
        match (self.compress, by_name) {
            (Some(Method(compression)), Some(codec)) if compression.codec() != codec => {
                Err(Error::new(
                    ErrorKind::Usage,
                    "the output file's extension and --compress name different methods",
                ))
            }
            (Some(Method(compression)), _) => Ok(compression),
            (None, Some(Codec::Zstd)) => Ok(Compression::Zstd(1)),
            (None, Some(Codec::None)) => Ok(Compression::None),
            (None, Some(Codec::Gzip) | None) => Ok(Compression::Gzip(1)),
        }
    }

    fn options(&self, compression: Compression) -> Result<CreateOptions> {
        let selection = Selection::parse(&SelectionPatterns {
            tables: self.tables.clone(),
            exclude_tables: self.exclude_tables.clone(),
            schemas: self.schemas.clone(),
            exclude_schemas: self.exclude_schemas.clone(),
            exclude_table_data: self.exclude_table_data.clone(),
        })?;
        Ok(CreateOptions {
            jobs: self.jobs.unwrap_or_else(default_jobs),
            compression,
            selection,
            contents: ContentOptions {
                schema_only: self.schema_only,
                data_only: self.data_only,
                no_owner: self.no_owner,
                no_privileges: self.no_privileges,
                skip_unsupported: self.skip_unsupported,
            },
            lock_wait_timeout_ms: self.lock_wait_timeout,
            restrict_key: self.restrict_key.clone(),
            partial: self.partial(),
        })
    }

    /// The options that make the archive less than the whole database.
    fn partial(&self) -> Vec<String> {
        let lists = [
            ("--table", &self.tables),
            ("--exclude-table", &self.exclude_tables),
            ("--schema", &self.schemas),
            ("--exclude-schema", &self.exclude_schemas),
            ("--exclude-table-data", &self.exclude_table_data),
        ];
        let flags = [
            ("--schema-only", self.schema_only),
            ("--data-only", self.data_only),
            ("--no-owner", self.no_owner),
            ("--no-privileges", self.no_privileges),
            ("--skip-unsupported", self.skip_unsupported),
        ];
        let patterns = lists
            .into_iter()
            .flat_map(|(name, values)| values.iter().map(move |value| format!("{name}={value}")));
        let flags = flags
            .into_iter()
            .filter(|(_, given)| *given)
            .map(|(name, _)| name.to_owned());
        patterns.chain(flags).collect()
    }

    fn output(&self, settings: &ConnectSettings, codec: Codec) -> Result<Output> {
        match self.output.as_deref() {
            Some(path) if path == Path::new("-") => {
                if std::io::stdout().is_terminal() {
                    return Err(Error::new(
                        ErrorKind::Usage,
                        "standard output is a terminal; send the archive to a file or a pipe",
                    ));
                }
                Ok(Output::Stdout)
            }
            Some(path) => {
                let name = path
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
                let directory = path
                    .parent()
                    .filter(|parent| !parent.as_os_str().is_empty());
                Ok(Output::File(
                    directory.unwrap_or(Path::new(".")).to_owned(),
                    vec![name.to_owned()],
                ))
            }
            None => {
                let name = backup::backup_name(settings.database());
                let now = jiff::Timestamp::now();
                let names = (1..100).map(|n| backup::set_file_name(&name, now, codec, n));
                Ok(Output::File(
                    super::list::backup_directory(),
                    names.collect(),
                ))
            }
        }
    }

    fn report<W>(&self, created: &Created<W>, path: Option<&Path>, started: Instant) {
        let report = Report::new(created, path, started);
        if !self.json {
            report.print();
            return;
        }
        match (serde_json::to_string(&report), path) {
            // Standard output carries the archive.
            (Ok(json), None) => eprintln!("{json}"),
            (Ok(json), Some(_)) => println!("{json}"),
            (Err(error), _) => eprintln!("warning: the report is no JSON: {error}"),
        }
    }
}

fn codec_of_name(path: &Path) -> Option<Codec> {
    let name = path.file_name()?.to_str()?;
    // No extension ends with another one, so the order does not matter.
    Codec::ALL.into_iter().find(|codec| {
        name.strip_suffix(codec.extension())
            .is_some_and(|stem| stem.ends_with('.'))
    })
}

fn default_jobs() -> NonZeroU32 {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let jobs = u32::try_from(cores)
        .unwrap_or(MAX_DEFAULT_JOBS)
        .min(MAX_DEFAULT_JOBS);
    NonZeroU32::new(jobs).unwrap_or(NonZeroU32::MIN)
}

fn describe_compression(compression: Compression) -> String {
    match compression {
        Compression::None => "none".to_owned(),
        Compression::Gzip(level) => format!("gzip:{level}"),
        Compression::Zstd(level) => format!("zstd:{level}"),
    }
}

fn without_sink<W>(created: Created<W>) -> (Created<()>, W) {
    let WrittenArchive {
        sink,
        size,
        sha256,
        index,
    } = created.archive;
    let archive = WrittenArchive {
        sink: (),
        size,
        sha256,
        index,
    };
    let unsupported = created.unsupported;
    (
        Created {
            archive,
            unsupported,
        },
        sink,
    )
}

fn render_meta<W>(created: &Created<W>, name: &str, settings: Settings) -> Result<String> {
    let meta = Meta::of_archive(
        &created.archive,
        name.to_owned(),
        jiff::Timestamp::now(),
        settings,
        created.unsupported.clone(),
    );
    serde_json::to_string_pretty(&meta)
        .map(|json| json + "\n")
        .map_err(|e| Error::internal("the .meta is no JSON").caused_by(e))
}

/// What a finished run amounts to.
#[derive(serde::Serialize)]
struct Report<'a> {
    file: Option<&'a Path>,
    database: &'a str,
    tables: u64,
    rows: u64,
    bytes: u64,
    stored_bytes: u64,
    sha256: &'a str,
    elapsed_ms: u64,
    unsupported: &'a [String],
}

impl<'a> Report<'a> {
    fn new<W>(created: &'a Created<W>, file: Option<&'a Path>, started: Instant) -> Self {
        let WrittenArchive {
            size,
            sha256,
            index,
            ..
        } = &created.archive;
        let tables: Vec<_> = index
            .entries
            .iter()
            .filter_map(|entry| entry.rows.as_ref())
            .collect();
        Report {
            file,
            database: &index.header.database,
            tables: tables.len() as u64,
            rows: tables.iter().map(|table| table.rows).sum(),
            bytes: index.members.iter().map(|member| member.length).sum(),
            stored_bytes: *size,
            sha256,
            elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            unsupported: &created.unsupported,
        }
    }

    fn print(&self) {
        let target = self.file.map_or_else(
            || "standard output".to_owned(),
            |file| one_line(&file.display().to_string()).into_owned(),
        );
        let per_second = self.bytes.saturating_mul(1000) / self.elapsed_ms.max(1);
        eprintln!("{target}");
        eprintln!(
            "  {} tables, {} rows, {} as {} in {}.{:02} s ({}/s)",
            HumanCount(self.tables),
            HumanCount(self.rows),
            HumanBytes(self.bytes),
            HumanBytes(self.stored_bytes),
            self.elapsed_ms / 1000,
            self.elapsed_ms % 1000 / 10,
            HumanBytes(per_second),
        );
        eprintln!("  sha256 {}", self.sha256);
        if !self.unsupported.is_empty() {
            eprintln!(
                "  left out, not supported yet: {} objects",
                self.unsupported.len()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_has_levels_within_bounds() {
        assert_eq!("gzip:12".parse(), Ok(Method(Compression::Gzip(12))));
        assert_eq!("zstd".parse(), Ok(Method(Compression::Zstd(1))));
        assert_eq!("none".parse(), Ok(Method(Compression::None)));
        for wrong in [
            "gzip:0", "gzip:13", "zstd:20", "none:1", "lz4", "gzip:x", "",
        ] {
            assert!(wrong.parse::<Method>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn extension_names_the_codec() {
        assert_eq!(codec_of_name(Path::new("a.sql.gz")), Some(Codec::Gzip));
        assert_eq!(codec_of_name(Path::new("x/a.sql")), Some(Codec::None));
        assert_eq!(codec_of_name(Path::new("a.dump")), None);
        assert_eq!(codec_of_name(Path::new("mysql")), None);
    }
}
