//! `pgstow restore`
#![allow(clippy::print_stdout, reason = "the report goes to stdout")]

use std::io::{BufRead, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::choice::ChoiceArgs;
use super::contents_list::write_list;
use super::place::PlaceArgs;
use super::replay::{
    Given, ReplayCall, ScriptArgs, refuse_options_of_archives, refuse_options_of_scripts,
};
use super::selection::{PartsArgs, SelectionArgs};
use super::stdout::try_write_stdout;
use super::text_table::{count, share_read};
use crate::archive::{Condition, RowFilter};
use crate::conn::{ConnectArgs, ConnectSettings};
use crate::dump::selection::split_rename;
use crate::event::Events;
use crate::objects::quote;
use crate::restore::{
    DefaultStorage, DumpSource, Moves, Prepared, PreparedSwap, Preview, ReplayOptions,
    RestoreOptions, RestoreReport, Severity, SwapPreview, abandon, chosen_entries, look,
    look_at_swap, unfinished,
};
use crate::{Error, ErrorKind, Result};

/// Restore an archive, or anyone's plain SQL script, into a database
///
/// The archive is verified and the target looked at before anything changes; all that stands in the way is told at once. What the
/// archive holds is dropped and recreated in one transaction; rows then come in over several connections. Exit status 1: the target is
/// unchanged. Exit status 6: it stopped part-way.
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct RestoreArgs {
    /// The archive: a file, or a set by its id, `latest` or `latest:KIND`. Or a plain SQL script. `-` for standard input: a script, or an archive of
    /// pg_dump, which is kept in a temporary file (TMPDIR) until the end
    #[arg(value_name = "FILE|ID|latest", required_unless_present = "abandon")]
    file: Option<PathBuf>,
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
    /// Look, print the whole plan (as JSON with --json), change nothing. Exit status 1 if something stands in the way
    #[arg(long)]
    dry_run: bool,
    /// Print the table of contents, of what is chosen, and do nothing: a list for -L
    #[arg(short, long, conflicts_with_all = ["dry_run", "resume", "abandon", "swap", "json", "target"])]
    list: bool,
    /// Drop what is created, before: as it is in any case, for command lines of pg_restore
    #[arg(short = 'c', long = "clean", conflicts_with = "no_clean")]
    _clean: bool,
    /// With -c: no error if it is not there, as it is in any case
    #[arg(long = "if-exists", requires = "_clean")]
    _if_exists: bool,
    /// Drop nothing: an object that exists already stops the restore
    #[arg(long)]
    no_clean: bool,
    /// Also drop objects that the archive does not hold and that depend on dropped ones
    #[arg(long)]
    cascade: bool,
    /// Also drop what the target holds in the archive's schemas and the archive does not
    #[arg(long, conflicts_with_all = ["no_clean", "create", "data_only", "conditions"])]
    exact: bool,
    /// Make the database; it must not exist. Its name is the archive's unless given
    #[arg(short = 'C', long, conflicts_with_all = ["cascade", "data_only"])]
    create: bool,
    /// Leave out, by name, what the role has no right to (never a table or its rows): for managed services
    #[arg(long)]
    skip_privileged: bool,
    /// Build and check a new database beside the target, then exchange the names: all or nothing, and parallel. The old one
    /// is kept as DB_before_TIME
    #[arg(long, conflicts_with_all = ["create", "no_clean", "cascade", "exact", "data_only", "conditions", "single_transaction"])]
    swap: bool,
    /// With --swap: drop the old database in the end
    #[arg(long, requires = "swap")]
    drop_old: bool,
    /// Everything over one connection in one transaction: the target is as it was or wholly restored, whatever breaks off
    #[arg(short = '1', long)]
    single_transaction: bool,
    /// Everything belongs to the role that restores
    #[arg(short = 'O', long)]
    no_owner: bool,
    /// Tables and indexes come into the database's default tablespace
    #[arg(long)]
    no_tablespaces: bool,
    /// Tables get the default access method
    #[arg(long)]
    no_table_access_method: bool,
    /// SET ROLE on every connection
    #[arg(long)]
    role: Option<String>,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    parts: PartsArgs,
    /// With -t: the tables come back in this schema, with their indexes, constraints, sequences, triggers and policies, beside those
    /// that are there. It is made if it is missing
    #[arg(long, value_name = "SCHEMA", conflicts_with_all = ["with_dependencies", "exact", "swap"])]
    into_schema: Option<String>,
    /// This table comes back under another name, its indexes and sequences, too (repeatable). It is chosen thereby
    #[arg(long, value_name = "[SCHEMA.]OLD=NEW", conflicts_with_all = ["with_dependencies", "exact", "swap"])]
    rename: Vec<String>,
    /// With -a and -t: only rows of which this holds: COLUMN = VALUE, COLUMN <> VALUE, COLUMN is null, COLUMN is not null
    /// (repeatable). Sequences stay
    #[arg(long = "where", value_name = "CONDITION", requires_all = ["data_only", "tables"])]
    conditions: Vec<Condition>,
    /// Go on with an unfinished restore of the same archive, with the options that it was begun with
    #[arg(long, conflicts_with_all = ["cascade", "exact", "no_clean", "swap", "dry_run", "single_transaction"])]
    resume: bool,
    /// Forget the unfinished restore of FILE, or any, in DB: nothing is resumed after that. The objects and rows stay
    #[arg(long, conflicts_with_all = ["resume", "create", "swap", "dry_run", "json", "single_transaction"])]
    abandon: bool,
    /// With -a: disable the target's triggers that would fire for the rows, until the end. --resume and --abandon enable them, too
    #[arg(long, requires = "data_only")]
    disable_triggers: bool,
    /// With -a: insert the rows instead of copying them, so that policies of the target that bind the role hold for them. A row that
    /// they forbid stops the restore
    #[arg(long, requires = "data_only", conflicts_with_all = ["verify_rows", "into_schema", "rename"])]
    enable_row_security: bool,
    /// Give up if a lock on what is dropped or loaded is not granted in this time: milliseconds, or 5s, 2min... Exit status 21: the target is
    /// unchanged; 6: it got rows before
    #[arg(long, value_name = "TIMEOUT", value_parser = super::duration::parse_timeout, conflicts_with_all = ["create", "swap", "abandon"])]
    lock_wait_timeout: Option<u64>,
    /// How long to try again when connection or server went away: 90, 90s, 5m, 1h. 0: not at all
    #[arg(long, value_name = "DURATION", default_value = "60", value_parser = super::duration::parse)]
    retry_for: Duration,
    /// After the load, read each table once and compare its rows with the archive's digest. Exit status 6 names the tables that
    /// hold other rows; nothing is built on them
    #[arg(long, conflicts_with_all = ["conditions", "schema_only", "swap"])]
    verify_rows: bool,
    /// Do not collect the planner's statistics at the end
    #[arg(long)]
    no_analyze: bool,
    /// Report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    progress: super::progress::ProgressArgs,
    #[command(flatten)]
    script: ScriptArgs,
    /// The options of this call.
    #[arg(skip)]
    pub(super) given: Vec<Given>,
    /// Print help
    #[arg(short = '?', long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

impl RestoreArgs {
    /// Restores. Asks on the terminal unless `--yes`.
    pub(crate) async fn run(mut self) -> Result<()> {
        if !self.yes && !self.dry_run && !self.list && !std::io::stdin().is_terminal() {
            return Err(Error::new(
                ErrorKind::Usage,
                "restore asks before it changes a database, and there is no terminal to ask on",
            )
            .hint("Give --yes to go on without asking."));
        }
        if self.abandon {
            return self.abandon().await;
        }
        let mut options = self.options()?;
        let found = self.place.find(self.file()).await?;
        self.file = Some(PathBuf::from(found.describe()));
        let source = found.recognize(self.script.plain).await?;
        match source {
            DumpSource::Archive | DumpSource::PgDump => {
                refuse_options_of_scripts(&self.given)?;
                self.check_single_transaction()?;
            }
            DumpSource::Script => return self.replay().await,
        }
        // Retention leaves the set alone until the end.
        let (reader, _lock) = found.open().await.map_err(|error| match error.kind() {
            ErrorKind::Damaged if source == DumpSource::Archive => error.detail(
                "If it is the script of an archive, unpacked or printed by show --sql, --plain replays it.",
            ),
            _ => error,
        })?;
        let reader = Arc::new(reader);
        self.choice.complete(&mut options, reader.index())?;
        if self.list {
            let entries = chosen_entries(reader.index(), &options)?;
            return try_write_stdout(|out| {
                write_list(reader.index(), &entries, out).map_err(super::stdout::failed)
            });
        }
        let settings = self.settings(&reader.index().header.database)?;
        // Bars of the verification must be gone before the question is asked.
        let prepared = {
            let events = self.progress.events();
            match self.swap {
                true => Planned::Swap(Box::new(
                    look_at_swap(reader, settings, options, self.drop_old, &events).await?,
                )),
                false => {
                    Planned::InPlace(Box::new(look(reader, settings, options, &events).await?))
                }
            }
        };
        let preview = prepared.preview();
        if self.dry_run {
            return self.print_plan(&preview);
        }
        preview.findings.refuse()?;
        show_warnings(&preview);
        for line in describe_plan(&preview, NAMED) {
            eprintln!("{line}");
        }
        if !self.yes {
            confirm(&preview.database)?;
        }
        let report = {
            let events = self.progress.events();
            prepared.run(&events).await?
        };
        self.print(&report)
    }

    async fn replay(self) -> Result<()> {
        refuse_options_of_archives(&self.given)?;
        if self.create && self.target.is_none() && self.connect.dbname.is_none() {
            return Err(Error::new(
                ErrorKind::Usage,
                "a plain script does not tell how the database is called that --create makes",
            )
            .hint("Name the database."));
        }
        let settings = self.settings("")?;
        let call = ReplayCall {
            path: self.file().to_owned(),
            settings,
            options: ReplayOptions {
                single_transaction: self.single_transaction,
                follow_connect: self.script.follow_connect,
                create: self.create,
                role: self.role.clone(),
                stored_bytes: 0,
            },
            yes: self.yes,
            dry_run: self.dry_run,
            json: self.json,
            progress: &self.progress,
        };
        call.run().await
    }

    fn options(&self) -> Result<RestoreOptions> {
        if self.into_schema.is_some() && self.rename.is_empty() && self.selection.tables.is_empty()
        {
            let what = "--into-schema wants tables: choose them with -t";
            return Err(Error::new(ErrorKind::Usage, what));
        }
        let renames = self.rename.iter().map(|text| split_rename(text));
        let renames = renames.collect::<Result<Vec<_>>>()?;
        let is_moved = self.into_schema.is_some() || !renames.is_empty();
        let moves = Moves::parse(self.into_schema.as_deref(), &renames)?;
        let mut selection = self.selection.clone();
        selection
            .tables
            .extend(renames.into_iter().map(|(old, _)| old));
        Ok(RestoreOptions {
            jobs: self.jobs,
            clean: !self.no_clean && !self.create,
            cascade: self.cascade,
            exact: self.exact,
            skip_privileged: self.skip_privileged,
            create: self.create,
            properties: true,
            like: None,
            no_owner: self.no_owner,
            role: self.role.clone(),
            selection: self.choice.selection(&selection)?,
            list: None,
            dependencies: None,
            moves: is_moved.then_some(moves),
            storage: DefaultStorage {
                tablespaces: self.no_tablespaces,
                access_methods: self.no_table_access_method,
            },
            parts: self.parts.parts_of_archive(),
            rows: (!self.conditions.is_empty()).then(|| RowFilter::new(self.conditions.clone())),
            foreign_data: true,
            verify_rows: self.verify_rows,
            analyze: !self.no_analyze,
            resume: self.resume,
            single_transaction: self.single_transaction,
            disable_triggers: self.disable_triggers,
            row_security: self.enable_row_security,
            lock_wait_timeout_ms: self.lock_wait_timeout,
            retry_for: self.retry_for,
        })
    }

    /// # Errors
    /// `Usage` for what an archive cannot do in one transaction, though a script may.
    fn check_single_transaction(&self) -> Result<()> {
        let refused = |why| Err(Error::new(ErrorKind::Usage, why));
        let asks_for_jobs = self.given.iter().any(|option| option.id == "jobs");
        match self.single_transaction {
            true if self.create => refused(
                "--create and --single-transaction: a database cannot be made in a transaction",
            ),
            true if asks_for_jobs && self.jobs.get() > 1 => {
                refused("--jobs and --single-transaction: one transaction has one connection")
            }
            _ => Ok(()),
        }
    }

    /// Empty only with `--abandon`.
    fn file(&self) -> &Path {
        self.file.as_deref().unwrap_or(Path::new(""))
    }

    /// A single argument is the database, unless an option names that.
    async fn abandon(mut self) -> Result<()> {
        if self.target.is_none() && self.connect.dbname.is_none() {
            let database = self.file.take();
            self.target = database.map(|text| text.to_string_lossy().into_owned());
        }
        let archive_id = match &self.file {
            Some(file) => {
                let (reader, _lock) = self.place.find(file).await?.open().await?;
                Some(reader.index().header.archive_id.clone())
            }
            None => None,
        };
        let settings = self.settings("")?;
        let found = unfinished(&settings, archive_id.as_deref()).await?;
        let database = quote::ident(&found.database);
        eprintln!("in database {}:", quote::one_line(&database));
        for restore in &found.restores {
            eprintln!("  {restore}");
        }
        if !self.yes {
            confirm(&found.database)?;
        }
        abandon(&settings, archive_id.as_deref()).await?;
        eprintln!(
            "forgotten: what was done stays as it is, what was missing stays missing, and nothing can be resumed"
        );
        Ok(())
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

    /// The plan goes to stdout whole; what stands in the way becomes the error.
    fn print_plan(&self, preview: &Preview) -> Result<()> {
        if self.json {
            let json = serde_json::to_string(preview)
                .map_err(|error| Error::internal("the plan is no JSON").caused_by(error))?;
            println!("{json}");
        } else {
            let lines = describe_plan(preview, usize::MAX);
            for line in lines.iter().chain(&describe_contents(preview)) {
                println!("{line}");
            }
            show_warnings(preview);
        }
        preview.findings.refuse()?;
        if !self.json {
            eprintln!("nothing stands in the way, and nothing was changed (--dry-run)");
        }
        Ok(())
    }

    fn print(&self, report: &RestoreReport) -> Result<()> {
        if self.json {
            let json = serde_json::to_string(report)
                .map_err(|error| Error::internal("the report is no JSON").caused_by(error))?;
            println!("{json}");
            return Ok(());
        }
        let summary = &report.summary;
        if let Some(tables) = report.tables_verified {
            let tables = count(tables, "table", "tables");
            eprintln!("{tables}: every row is the archive's (--verify-rows)");
        }
        // A whole archive is read twice: to verify it, and to load it.
        let share = match report.bytes_read < report.archive_bytes {
            true => {
                let share = share_read(report.bytes_read, report.archive_bytes);
                format!("; {share}")
            }
            false => String::new(),
        };
        if let Some(kept) = &report.kept {
            let kept = quote::ident(kept);
            eprintln!(
                "the database that it was is kept as {}",
                quote::one_line(&kept)
            );
        }
        eprintln!(
            "restored {} into {}: {}, {}, {} in {}.{} s{share}",
            quote::one_line(&self.file().display().to_string()),
            quote::one_line(&quote::ident(&report.database)),
            count(summary.tables, "table", "tables"),
            count(summary.rows, "row", "rows"),
            indicatif::HumanBytes(summary.bytes),
            report.elapsed_ms / 1000,
            report.elapsed_ms % 1000 / 100,
        );
        Ok(())
    }
}

/// A restore that has not begun.
enum Planned {
    InPlace(Box<Prepared>),
    Swap(Box<PreparedSwap>),
}

impl Planned {
    fn preview(&self) -> Preview {
        match self {
            Planned::InPlace(prepared) => prepared.preview(),
            Planned::Swap(prepared) => prepared.preview(),
        }
    }

    async fn run(self, events: &Events) -> Result<RestoreReport> {
        match self {
            Planned::InPlace(prepared) => prepared.run(super::stop_signal(), events).await,
            Planned::Swap(prepared) => prepared.run(super::stop_signal(), events).await,
        }
    }
}

/// How many objects a plan names before the question is asked.
const NAMED: usize = 20;

fn show_warnings(preview: &Preview) {
    for warning in preview.findings.of(Severity::Warning) {
        eprintln!("warning: {}", warning.message);
    }
}

/// The plan in lines. `named`: how many objects of each list.
fn describe_plan(preview: &Preview, named: usize) -> Vec<String> {
    let database = quote::ident(&preview.database);
    let database = quote::one_line(&database);
    let mut lines = match &preview.swap {
        Some(swap) => describe_swap(&database, swap),
        None if preview.creates_database => vec![format!("database {database} will be made")],
        None => vec![format!("in database {database}:")],
    };
    if preview.single_transaction {
        lines.push("  all of it is one transaction (--single-transaction)".to_owned());
    }
    let resumes = preview.resumes.iter();
    lines.extend(resumes.map(|text| format!("  {text}")));
    let lists = [
        ("dropped", &preview.dropped, named),
        ("dropped for good (--cascade)", &preview.foreign, named),
        // The plan is all that is ever seen of it.
        (
            "dropped for good, for the archive does not hold it (--exact)",
            &preview.extra,
            usize::MAX,
        ),
        (
            "schemas kept, for extensions or objects of others stay in them",
            &preview.kept_schemas,
            named,
        ),
    ];
    for (what, names, named) in lists {
        add_list(&mut lines, what, names, named);
    }
    let summary = &preview.summary;
    lines.push(format!(
        "  created: {}; loaded: {}, {}, {}",
        count(summary.entries, "object", "objects"),
        count(summary.tables, "table", "tables"),
        count(summary.rows, "row", "rows"),
        indicatif::HumanBytes(summary.bytes),
    ));
    lines
}

fn describe_swap(database: &str, swap: &SwapPreview) -> Vec<String> {
    let name = |name: &str| quote::one_line(&quote::ident(name)).into_owned();
    let size = indicatif::HumanBytes(swap.old_bytes);
    let old = match swap.drops_old {
        true => "dropped in the end".to_owned(),
        false => format!("kept as {}", name(&swap.before)),
    };
    let mut lines = vec![
        format!(
            "database {database} will be exchanged for a new one, built as {}:",
            name(&swap.new)
        ),
        format!(
            "  the old one ({}, {size}) is {old}; whatever it holds and the archive does not is only there",
            count(swap.old_tables, "table", "tables")
        ),
    ];
    add_list(
        &mut lines,
        "sessions that will be ended",
        &swap.sessions,
        NAMED,
    );
    lines
}

fn add_list(lines: &mut Vec<String>, what: &str, names: &[String], named: usize) {
    if names.is_empty() {
        return;
    }
    lines.push(format!("  {what}: {}", names.len()));
    lines.extend(names.iter().take(named).map(|name| format!("    {name}")));
    if names.len() > named {
        lines.push(format!("    ... and {} more", names.len() - named));
    }
}

/// What is created and loaded, one by one.
fn describe_contents(preview: &Preview) -> Vec<String> {
    let created = preview.created.iter().map(|label| format!("    {label}"));
    let loaded = preview.loaded.iter().map(|load| {
        let size = indicatif::HumanBytes(load.bytes);
        let rows = count(load.rows, "row", "rows");
        format!("    {}: {rows}, {size}", load.entry)
    });
    let notes = preview.findings.of(Severity::Note);
    let notes = notes.map(|note| format!("  note: {}", note.message));
    created.chain(loaded).chain(notes).collect()
}

pub(super) fn confirm(database: &str) -> Result<()> {
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
