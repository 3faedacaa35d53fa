//! `pgstow drill`: proves a set by restoring it.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::place::{Found, PlaceArgs};
use super::stdout::write_stdout;
use super::{signal_error, text_table};
use crate::backup::{BackupSet, DrillOptions, Drilled, Repository, drill_set};
use crate::config::{ConnectSource, DatabaseSettings};
use crate::conn::{ConnectArgs, ConnectSettings};
use crate::{Error, ErrorKind, Result};

/// Prove a backup set: restore it into a scratch database, compare, drop it
///
/// Definitions, rows and row digests are compared with the archive, and the proof is noted in the set's .meta. The scratch
/// database is made on the server of DATABASE_URL, or of the URL that is given; no other database is touched.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(super) struct Args {
    /// An id, `latest`, `latest:KIND` or a set's file
    #[arg(value_name = "ID|latest|FILE", default_value = "latest")]
    set: PathBuf,
    /// A database or URL of the server to restore on
    #[arg(value_name = "DB|URL")]
    server: Option<String>,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    #[command(flatten)]
    options: DrillArgs,
    /// Report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    progress: super::progress::ProgressArgs,
    /// Print help
    #[arg(short = '?', long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// How to drill.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct DrillArgs {
    /// Connections that load and build indexes
    #[arg(short, long, value_name = "N", default_value = "4")]
    jobs: NonZeroUsize,
    /// Neither restore nor compare owners and privileges: the server lacks the roles
    #[arg(short = 'O', long)]
    no_owner: bool,
}

impl DrillArgs {
    fn options(&self) -> DrillOptions {
        DrillOptions {
            jobs: self.jobs,
            no_owner: self.no_owner,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// Those of [`drill_set`].
pub(super) async fn run(args: Args) -> Result<()> {
    let found = args.place.find(&args.set).await?;
    let Found::Set { repository, set } = found else {
        // Whatever is wrong with the file itself comes first.
        found.open().await?;
        return Err(Error::new(
            ErrorKind::Usage,
            "only a backup set can be drilled: this is a file without a .meta",
        ));
    };
    let settings = server(&args)?;
    let events = args.progress.events();
    let drilled = drill_set(
        &repository,
        &set,
        &settings,
        &args.options.options(),
        signal_error(),
        &events,
    )
    .await?;
    drop(events);
    report(&repository, &set, &drilled, args.json)
}

/// The server that is named, else the database's own.
fn server(args: &Args) -> Result<ConnectSettings> {
    let source = ConnectSource {
        args: args.connect.clone(),
        positional: args.server.clone(),
    };
    if source.names_database() {
        return ConnectSettings::resolve(&source.args, source.positional.as_deref());
    }
    let config = args.place.resolve(source, DatabaseSettings::default())?;
    config.one()?.connect_settings()
}

fn report(repository: &Repository, set: &BackupSet, drilled: &Drilled, json: bool) -> Result<()> {
    if json {
        return write_stdout(|out| {
            serde_json::to_writer_pretty(&mut *out, drilled)?;
            writeln!(out)
        });
    }
    let objects = text_table::count(drilled.objects, "object", "objects");
    let tables = text_table::count(drilled.tables, "table", "tables");
    let rows = text_table::count(drilled.rows, "row", "rows");
    write_stdout(|out| {
        writeln!(out, "{} can be restored", repository.path_of(&set.file))?;
        writeln!(
            out,
            "  restored into PostgreSQL {} in {}.{} s and compared: {objects}, {tables}, {rows}",
            drilled.server_version,
            drilled.elapsed_ms / 1000,
            drilled.elapsed_ms % 1000 / 100
        )
    })
}
