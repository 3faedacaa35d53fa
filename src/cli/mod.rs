//! The command line: one file per command, which turns its arguments into options of the engine and prints
//! what comes back. This file dispatches, prints errors and tells the exit status.

mod choice;
mod cleanup;
mod config;
mod contents_list;
mod copy;
mod create;
mod csv;
mod diff;
mod doctor;
mod drill;
mod duration;
mod extract;
mod inserts;
mod jsonl;
mod line_diff;
mod list;
mod log;
mod peak_memory;
mod pin;
mod place;
mod progress;
mod replay;
mod report;
mod restore;
mod selection;
mod serve;
mod show;
mod spool;
mod stdout;
mod table_rows;
mod text_table;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::objects::quote::one_line;
use crate::{Error, ErrorKind, Result};

const EXIT_STATUSES: &str = "\
Exit status:
    0  done
    1  failed: nothing was published or changed; of diff also: the sides are different
    2  wrong usage
    3  done, but a side job failed
    4  damage found
    5  no such file or backup
    6  a restore stopped part-way, or loaded rows are not the archive's (--verify-rows); its message tells the state
   11  locked by another run
   20  cannot connect
   21  a lock was not granted in time
   22  no space left
  130  interrupted (SIGINT)
  143  terminated (SIGTERM)";

/// Which library compresses with gzip is decided when pgstow is built.
#[cfg(feature = "isal")]
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (gzip: isa-l)");
#[cfg(not(feature = "isal"))]
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (gzip: libdeflate)");

/// Backup and restore for PostgreSQL without pg_dump, pg_restore or psql
#[derive(Parser)]
#[command(name = "pgstow", version = VERSION, after_help = EXIT_STATUSES, propagate_version = false)]
struct Cli {
    #[command(flatten)]
    log: log::LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Create(Box<create::CreateArgs>),
    List(list::Args),
    Show(Box<show::Args>),
    Extract(extract::Args),
    Verify(verify::Args),
    Restore(Box<restore::RestoreArgs>),
    Diff(Box<diff::Args>),
    Drill(Box<drill::Args>),
    Cleanup(cleanup::Args),
    Pin(pin::Args),
    /// Let retention decide about pinned sets again
    Unpin(pin::Args),
    Copy(copy::Args),
    Report(report::Args),
    Doctor(Box<doctor::Args>),
    Config(config::Args),
    Serve(Box<serve::Args>),
}

/// Parses the process's arguments, runs the command and tells the exit status.
pub fn run() -> ExitCode {
    run_with(std::env::args_os())
}

fn run_with(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match parse(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // clap tells usage errors (2) from --help and --version (0).
            let status = u8::try_from(error.exit_code()).unwrap_or(2);
            // Nowhere to print to is no reason for another status.
            let _ = error.print();
            return ExitCode::from(status);
        }
    };
    let name = cli.command.name();
    let outcome = cli.log.start(&cli.command).and_then(|()| {
        tracing::info!("pgstow {name} starts");
        run_command(cli.command, &cli.log)
    });
    match outcome {
        Ok(status) => {
            tracing::info!("pgstow {name} is done");
            status
        }
        Err(error) => {
            log::log_failure(name, &error);
            print_error(&error);
            ExitCode::from(error.kind().exit_status())
        }
    }
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(arguments)?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|e| e.format(&mut command))?;
    if let Command::Restore(args) = &mut cli.command {
        args.given = given_options(&command, &matches);
    }
    Ok(cli)
}

/// The options of the subcommand that stand on the command line.
fn given_options(command: &clap::Command, matches: &ArgMatches) -> Vec<replay::Given> {
    let Some((name, matches)) = matches.subcommand() else {
        return Vec::new();
    };
    let subcommand = command.find_subcommand(name).into_iter();
    let arguments = subcommand.flat_map(clap::Command::get_arguments);
    arguments
        .filter(|argument| {
            let source = matches.value_source(argument.get_id().as_str());
            source == Some(ValueSource::CommandLine)
        })
        .map(|argument| replay::Given {
            id: argument.get_id().to_string(),
            name: match argument.get_long() {
                Some(long) => format!("--{long}"),
                None => argument.get_id().to_string(),
            },
        })
        .collect()
}

impl Command {
    fn name(&self) -> &'static str {
        match self {
            Command::Create(_) => "create",
            Command::List(_) => "list",
            Command::Show(_) => "show",
            Command::Extract(_) => "extract",
            Command::Verify(_) => "verify",
            Command::Restore(_) => "restore",
            Command::Diff(_) => "diff",
            Command::Drill(_) => "drill",
            Command::Cleanup(_) => "cleanup",
            Command::Pin(_) => "pin",
            Command::Unpin(_) => "unpin",
            Command::Copy(_) => "copy",
            Command::Report(_) => "report",
            Command::Doctor(_) => "doctor",
            Command::Config(_) => "config",
            Command::Serve(_) => "serve",
        }
    }

    fn place(&self) -> &place::PlaceArgs {
        match self {
            Command::Create(args) => &args.place,
            Command::List(args) => &args.place,
            Command::Show(args) => &args.place,
            Command::Extract(args) => &args.place,
            Command::Verify(args) => &args.place,
            Command::Restore(args) => &args.place,
            Command::Diff(args) => &args.place,
            Command::Drill(args) => &args.place,
            Command::Cleanup(args) => &args.place,
            Command::Pin(args) | Command::Unpin(args) => &args.place,
            Command::Copy(args) => &args.place,
            Command::Report(args) => &args.place,
            Command::Doctor(args) => &args.place,
            Command::Config(args) => &args.place,
            Command::Serve(args) => &args.place,
        }
    }
}

/// The exit status of a command that did not fail: `diff` tells by it whether the sides are equal.
fn run_command(command: Command, log: &log::LogArgs) -> Result<ExitCode> {
    let done = match command {
        Command::Create(args) => block_on(args.run()),
        Command::List(args) => block_on(list::run(args)),
        Command::Show(args) => block_on(show::run(*args)),
        Command::Extract(args) => block_on(extract::run(args)),
        Command::Verify(args) => block_on(verify::run(args)),
        Command::Restore(args) => block_on(args.run()),
        Command::Diff(args) => {
            return block_on(diff::run(*args)).map(|equal| u8::from(!equal).into());
        }
        Command::Drill(args) => block_on(drill::run(*args)),
        Command::Cleanup(args) => block_on(cleanup::run(args)),
        Command::Pin(args) => block_on(pin::run(args, true)),
        Command::Unpin(args) => block_on(pin::run(args, false)),
        Command::Copy(args) => block_on(copy::run(args)),
        Command::Report(args) => block_on(report::run(args)),
        Command::Doctor(args) => block_on(doctor::run(*args, log.file())),
        Command::Config(args) => config::run(args),
        Command::Serve(args) => block_on(serve::run(*args)),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Runs a command's future on all cores.
fn block_on<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::io("could not start the runtime", e))?;
    let outcome = runtime.block_on(command);
    // Blocking threads may still wait for something that no longer comes.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    outcome
}

/// Prints an error to standard error. Texts of the server cannot bring control characters to the terminal.
fn print_error(error: &Error) {
    eprintln!("error: {}", one_line(error.message()));
    for detail in error.details() {
        eprintln!("DETAIL: {}", one_line(detail));
    }
    if let Some(hint) = error.hint_text() {
        eprintln!("HINT: {}", one_line(hint));
    }
}

/// Waits for SIGINT or SIGTERM and tells its number.
async fn stop_signal() -> u8 {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = |kind: SignalKind| async move {
        match signal(kind) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            // Without a handler the signal ends the process by itself.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => 2,
        () = wait(SignalKind::terminate()) => 15,
    }
}

/// Waits for SIGINT or SIGTERM and gives it as an error.
async fn signal_error() -> Error {
    let signal = stop_signal().await;
    Error::new(
        ErrorKind::Interrupted(signal),
        format!(
            "stopped by {}",
            if signal == 2 { "SIGINT" } else { "SIGTERM" }
        ),
    )
}

/// Runs `work` unless a signal comes first; dropping it then closes connections and removes partial files.
async fn until_signal<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        outcome = work => outcome,
        error = signal_error() => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn version_names_the_library_for_gzip() {
        let library = if cfg!(feature = "isal") {
            "isa-l"
        } else {
            "libdeflate"
        };
        let version = format!("pgstow {} (gzip: {library})\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(Cli::command().render_version(), version);
        assert_eq!(Cli::command().render_long_version(), version);
    }

    #[test]
    fn help_lists_every_exit_status() {
        let kinds = [
            ErrorKind::Usage,
            ErrorKind::Damaged,
            ErrorKind::NotFound,
            ErrorKind::RestoreIncomplete,
            ErrorKind::Locked,
            ErrorKind::Connect,
            ErrorKind::LockTimeout,
            ErrorKind::NoSpace,
            ErrorKind::SideJob,
            ErrorKind::Interrupted(2),
            ErrorKind::Interrupted(15),
            ErrorKind::Io,
        ];
        for kind in kinds {
            let status = format!("{:>5}  ", kind.exit_status());
            assert!(EXIT_STATUSES.contains(&status), "{kind:?}");
        }
    }
}
