//! The command line: one file per command.

mod csv;
mod restore;
mod show;
mod stdout;
mod text_table;
mod verify;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::event::{Event, Events};
use crate::{Error, Result};

/// Backs up and restores PostgreSQL databases without pg_dump, pg_restore or psql.
#[derive(Debug, Parser)]
#[command(name = "pgstow", version, after_help = EXIT_STATUSES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Restore(restore::RestoreArgs),
    Show(show::Args),
    Verify(verify::Args),
}

/// The same table as `ErrorKind::exit_status`.
const EXIT_STATUSES: &str = "\
Exit status:
    0  done
    1  failed, nothing published or changed
    2  wrong usage
    3  done, but a side job failed
    4  damage found
    5  no such file or backup
    6  restore stopped part-way
   11  locked by another run
   20  cannot connect
   21  lock timeout
   22  no space left
  130, 143  stopped by SIGINT, SIGTERM";

/// Parses the arguments, runs the command and tells the exit status.
pub fn run() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::from(error.kind().exit_status())
        }
    }
}

fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Restore(args) => block_on(args.run(warnings())),
        Command::Show(args) => show::run(&args),
        Command::Verify(args) => verify::run(&args, &warnings()),
    }
}

fn block_on<T>(task: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::io("could not start threads", e))?
        .block_on(task)
}

fn warnings() -> Events {
    Events::new(|event| {
        if let Event::Warning { message } = event {
            say(&format!("warning: {message}"));
        }
    })
}

/// A line of talk on stderr. Nobody may be listening, and that is no failure.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
