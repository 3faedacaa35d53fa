//! The command line: one file per command.

mod restore;

use std::process::ExitCode;

/// Parses the arguments, runs the command and tells the exit status.
pub fn run() -> ExitCode {
    ExitCode::SUCCESS
}
