//! `pgstow doctor`: will backups work?

use std::path::{Path, PathBuf};

use super::place::PlaceArgs;
use super::stdout::write_stdout;
use super::text_table::{Align, TextTable};
use crate::config::{ConnectSource, DatabaseSettings, Valued};
use crate::conn::ConnectArgs;
use crate::doctor::{Check, Status, examine};
use crate::{Error, ErrorKind, Result};

/// Answer whether backups work: database, rights, repository, disk space, age and proofs of the backups, schedule, logs
///
/// Exit status 1 if something fails. Changes nothing.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(super) struct Args {
    /// Database, connection URI or keyword string; else DATABASE_URL or the databases of the configuration file
    #[arg(value_name = "DB|URL")]
    source: Option<String>,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    /// Print as JSON
    #[arg(long)]
    json: bool,
    /// Print help
    #[arg(short = '?', long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// Runs the command.
///
/// # Errors
/// `Usage` for a configuration that cannot be read; `Io` (exit status 1) if a check fails.
pub(super) async fn run(args: Args, log_file: Option<PathBuf>) -> Result<()> {
    let source = ConnectSource {
        args: args.connect,
        positional: args.source,
    };
    let mut config = args.place.resolve(source, DatabaseSettings::default())?;
    let log_file = log_file.map(|path| Valued::flag("--log-file", path));
    config.log.file = log_file.or(config.log.file);
    let checks = examine(&config, Path::new("/")).await;
    if args.json {
        write_stdout(|out| {
            serde_json::to_writer_pretty(&mut *out, &checks)?;
            writeln!(out)
        })?;
    } else {
        let table = table(&checks);
        write_stdout(|out| table.write(out))?;
    }
    let failed = checks.iter().filter(|check| check.status == Status::Fail);
    match failed.count() {
        0 => Ok(()),
        count => Err(Error::new(
            ErrorKind::Io,
            format!("{count} of {} checks failed", checks.len()),
        )),
    }
}

fn table(checks: &[Check]) -> TextTable {
    let mut table = TextTable::new(&[
        ("", Align::Left),
        ("CHECK", Align::Left),
        ("FOUND", Align::Left),
    ]);
    for check in checks {
        let status = match check.status {
            Status::Ok => "ok",
            Status::Warn => "WARN",
            Status::Fail => "FAIL",
        };
        let name = match &check.database {
            Some(database) => format!("{database}: {}", check.check),
            None => check.check.to_owned(),
        };
        table.push(vec![status.to_owned(), name, check.found.clone()]);
        if let Some(hint) = &check.hint {
            table.push(vec![String::new(), String::new(), format!("-> {hint}")]);
        }
    }
    table
}
