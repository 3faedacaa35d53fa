//! `pgstow restore`
#![allow(clippy::print_stdout, reason = "the report goes to stdout")]

use std::io::{BufRead, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::place::PlaceArgs;
use super::selection::{PartsArgs, SelectionArgs};
use crate::archive::{Condition, RowFilter};
use crate::conn::{ConnectArgs, ConnectSettings};
use crate::dump::selection::Selection;
use crate::objects::quote;
use crate::restore::{Preview, RestoreOptions, RestoreReport, prepare};
use crate::{Error, ErrorKind, Result};

/// Restore an archive into a database
///
/// The archive is verified before anything changes. What it holds is dropped and recreated in one transaction; rows
/// then come in over several connections. Exit status 1: the target is unchanged. Exit status 6: it stopped part-way.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct RestoreArgs {
    /// The archive: a file, or a set by its id, `latest` or `latest:KIND`
    #[arg(value_name = "FILE|ID|latest")]
    file: PathBuf,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    /// Target database, connection URI or keyword string
    #[arg(value_name = "DB|URL")]
    target: Option<String>,
    #[command(flatten)]
    connect: ConnectArgs,
    /// Connections that load and build indexes
    #[arg(short, long, value_name = "N", default_value = "4")]
    jobs: NonZeroUsize,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Drop nothing: an object that exists already stops the restore
    #[arg(long)]
    no_clean: bool,
    /// Also drop objects that the archive does not hold and that depend on dropped ones
    #[arg(long)]
    cascade: bool,
    /// Make the database; it must not exist. Its name is the archive's unless given
    #[arg(short = 'C', long, conflicts_with_all = ["cascade", "data_only"])]
    create: bool,
    /// Everything belongs to the role that restores
    #[arg(short = 'O', long)]
    no_owner: bool,
    /// SET ROLE on every connection
    #[arg(long)]
    role: Option<String>,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    parts: PartsArgs,
    /// With -a and -t: only rows whose column has the value: COLUMN = VALUE or COLUMN is null (repeatable). Sequences stay
    #[arg(long = "where", value_name = "CONDITION", requires_all = ["data_only", "tables"])]
    conditions: Vec<Condition>,
    /// Do not collect the planner's statistics at the end
    #[arg(long)]
    no_analyze: bool,
    /// Report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    progress: super::progress::ProgressArgs,
    /// Print help
    #[arg(short = '?', long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

impl RestoreArgs {
    /// Restores. Asks on the terminal unless `--yes`.
    pub(crate) async fn run(mut self) -> Result<()> {
        if !self.yes && !std::io::stdin().is_terminal() {
            return Err(Error::new(
                ErrorKind::Usage,
                "restore asks before it changes a database, and there is no terminal to ask on",
            )
            .hint("Give --yes to go on without asking."));
        }
        let options = self.options()?;
        let found = self.place.find(&self.file).await?;
        self.file = PathBuf::from(found.describe());
        // Retention leaves the set alone until the end.
        let (reader, _lock) = found.open().await?;
        let reader = Arc::new(reader);
        let settings = self.settings(&reader.index().header.database)?;
        // Bars of the verification must be gone before the question is asked.
        let prepared = {
            let events = self.progress.events();
            prepare(reader, settings, options, &events).await?
        };
        let preview = prepared.preview();
        show_preview(&preview);
        if !self.yes {
            confirm(&preview.database)?;
        }
        let report = {
            let events = self.progress.events();
            prepared.run(super::stop_signal(), &events).await?
        };
        self.print(&report)
    }

    fn options(&self) -> Result<RestoreOptions> {
        let patterns = self.selection.patterns_of_archive()?;
        Ok(RestoreOptions {
            jobs: self.jobs,
            clean: !self.no_clean && !self.create,
            cascade: self.cascade,
            create: self.create,
            properties: true,
            no_owner: self.no_owner,
            role: self.role.clone(),
            selection: Selection::parse(&patterns)?,
            parts: self.parts.parts_of_archive(),
            rows: (!self.conditions.is_empty()).then(|| RowFilter::new(self.conditions.clone())),
            analyze: !self.no_analyze,
        })
    }

    /// With `--create` and no database given the archive's own name is meant, not libpq's default.
    fn settings(&self, archived: &str) -> Result<ConnectSettings> {
        let settings = ConnectSettings::resolve(&self.connect, self.target.as_deref())?;
        for warning in settings.warnings() {
            eprintln!("warning: {}", quote::one_line(warning));
        }
        let is_named = self.target.is_some() || self.connect.dbname.is_some();
        Ok(if self.create && !is_named {
            settings.with_database(archived)
        } else {
            settings
        })
    }

    fn print(&self, report: &RestoreReport) -> Result<()> {
        if self.json {
            let json = serde_json::to_string(report)
                .map_err(|error| Error::internal("the report is no JSON").caused_by(error))?;
            println!("{json}");
            return Ok(());
        }
        let summary = &report.summary;
        eprintln!(
            "restored {} into {}: {} tables, {} rows, {} in {}.{} s",
            quote::one_line(&self.file.display().to_string()),
            quote::one_line(&quote::ident(&report.database)),
            summary.tables,
            summary.rows,
            indicatif::HumanBytes(summary.bytes),
            report.elapsed_ms / 1000,
            report.elapsed_ms % 1000 / 100,
        );
        Ok(())
    }
}

fn show_preview(preview: &Preview) {
    let database = quote::ident(&preview.database);
    let database = quote::one_line(&database);
    if preview.creates_database {
        eprintln!("database {database} will be made");
    } else {
        eprintln!("in database {database}:");
    }
    show_list("dropped", preview.dropped, &preview.dropped_names);
    show_list(
        "dropped for good (--cascade)",
        preview.foreign,
        &preview.foreign_names,
    );
    show_list(
        "schemas kept, for extensions or objects of others stay in them",
        preview.kept_schemas.len(),
        &preview.kept_schemas,
    );
    eprintln!(
        "  created: {} objects; loaded: {} tables, {} rows, {}",
        preview.summary.entries,
        preview.summary.tables,
        preview.summary.rows,
        indicatif::HumanBytes(preview.summary.bytes),
    );
}

fn show_list(what: &str, count: usize, names: &[String]) {
    if count == 0 {
        return;
    }
    eprintln!("  {what}: {count}");
    for name in names {
        eprintln!("    {name}");
    }
    if count > names.len() {
        eprintln!("    ... and {} more", count - names.len());
    }
}

fn confirm(database: &str) -> Result<()> {
    let failed = |error| Error::io("could not ask on the terminal", error);
    eprint!("Type the name of the database to go on: ");
    std::io::stderr().flush().map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(failed)?;
    if answer.trim_end_matches(['\n', '\r']) == database {
        Ok(())
    } else {
        Err(Error::new(
            ErrorKind::Restore,
            "not confirmed: that is not the name of the database",
        )
        .detail("The target is unchanged."))
    }
}
