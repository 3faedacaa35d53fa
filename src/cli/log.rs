//! Options of every command about log lines, and when there are any.

use std::path::PathBuf;

use super::Command;
use crate::config::{Config, Environment, Flags, LogSettings, Valued};
use crate::logging::{LogFormat, LogTarget, init};
use crate::{Error, Result};

/// Where log lines go.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct LogArgs {
    /// Write log lines to this file; it is rotated by size
    #[arg(long, global = true, value_name = "FILE", help_heading = "Log")]
    log_file: Option<PathBuf>,
    /// text, json or journald
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Log")]
    log_format: Option<LogFormat>,
    /// error, warn, info, debug or trace [default: info]
    #[arg(long, global = true, value_name = "LEVEL", help_heading = "Log")]
    log_level: Option<String>,
}

impl LogArgs {
    /// The file that the command line names.
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.log_file.clone()
    }

    /// Starts logging if a file or a format asks for it; a service always logs. Other commands talk to people on standard
    /// error by themselves.
    ///
    /// # Errors
    /// As [`init`]. A configuration file that cannot be read is the command's to report.
    pub(super) fn start(&self, command: &Command) -> Result<()> {
        let flags = Flags {
            config: command.place().config.clone(),
            log: LogSettings {
                file: self
                    .log_file
                    .clone()
                    .map(|path| Valued::flag("--log-file", path)),
                format: self
                    .log_format
                    .map(|format| Valued::flag("--log-format", format)),
                level: self
                    .log_level
                    .clone()
                    .map(|level| Valued::flag("--log-level", level)),
                ..LogSettings::default()
            },
            ..Flags::default()
        };
        let Ok(settings) = Config::log_settings(&flags, &Environment::of_process()) else {
            return Ok(());
        };
        let target = target(settings)?;
        let wanted = matches!(command, Command::Serve(_))
            || target.file.is_some()
            || target.format != LogFormat::Text;
        if wanted { init(&target) } else { Ok(()) }
    }
}

/// The settings as they hold: all but the file have defaults.
fn target(settings: LogSettings) -> Result<LogTarget> {
    let missing = || Error::internal("a log setting has no default");
    Ok(LogTarget {
        file: settings.file.map(|file| file.value),
        format: settings.format.ok_or_else(missing)?.value,
        level: settings.level.ok_or_else(missing)?.value,
        max_size_bytes: settings.max_size.ok_or_else(missing)?.value.0,
        keep: settings.keep.ok_or_else(missing)?.value,
    })
}

/// A line for a command that failed.
pub(super) fn log_failure(command: &str, error: &Error) {
    let status = error.kind().exit_status();
    let details = error.details().join(" ");
    tracing::error!(
        status,
        "pgstow {command} failed: {}: {details}",
        error.message()
    );
}
