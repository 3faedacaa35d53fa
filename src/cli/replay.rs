//! `pgstow restore` of a plain SQL script: what it asks and tells.
#![allow(clippy::print_stdout, reason = "the report goes to stdout")]

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{HumanBytes, HumanCount};

use super::progress::ProgressArgs;
use super::restore::confirm;
use crate::conn::ConnectSettings;
use crate::objects::quote::{ident, one_line};
use crate::restore::{ReplayOptions, ReplayReport, ScriptSurvey, replay, survey_script};
use crate::{Error, ErrorKind, Result};

/// The heading of these options in `--help`.
const SCRIPTS: &str = "Plain SQL scripts, as pg_dump and others write them (.sql, .gz, .zst, .xz, .bz2, or - for standard input)";

/// Options of scripts alone.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct ScriptArgs {
    /// FILE is a script, though it looks like an archive of pgstow
    #[arg(long, help_heading = SCRIPTS)]
    pub(super) plain: bool,
    /// Obey \connect to another database of the server: scripts of pg_dump -C and pg_dumpall have it
    #[arg(long, help_heading = SCRIPTS)]
    pub(super) follow_connect: bool,
}

/// The options of `restore`, by their names in clap, that mean something for a script.
const OF_SCRIPTS: &[&str] = &[
    "file",
    "target",
    "dbname",
    "host",
    "port",
    "username",
    "no_password",
    "password",
    "yes",
    "dry_run",
    "create",
    "role",
    "json",
    "progress",
    "verbose",
    "plain",
    "follow_connect",
    "single_transaction",
];

/// The options of scripts alone.
const OF_SCRIPTS_ONLY: &[&str] = &["plain", "follow_connect"];

/// An option that was given: its name in clap, and as the user knows it.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) id: String,
    pub(super) name: String,
}

/// # Errors
/// `Usage`, naming each option that cannot apply to a script.
pub(super) fn refuse_options_of_archives(given: &[Given]) -> Result<()> {
    refuse(
        given,
        |id| !OF_SCRIPTS.contains(&id),
        "a plain script does what it says",
    )
}

/// # Errors
/// `Usage`, naming each option that cannot apply to an archive.
pub(super) fn refuse_options_of_scripts(given: &[Given]) -> Result<()> {
    refuse(
        given,
        |id| OF_SCRIPTS_ONLY.contains(&id),
        "an archive of pgstow is no plain script",
    )
}

fn refuse(given: &[Given], is_refused: impl Fn(&str) -> bool, why: &str) -> Result<()> {
    let names: Vec<&str> = given
        .iter()
        .filter(|option| is_refused(&option.id))
        .map(|option| option.name.as_str())
        .collect();
    match names.is_empty() {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::Usage,
            format!("{why}: {} cannot apply", names.join(", ")),
        )),
    }
}

/// A script that is to be restored.
pub(super) struct ReplayCall<'a> {
    pub(super) path: PathBuf,
    pub(super) settings: ConnectSettings,
    pub(super) options: ReplayOptions,
    pub(super) yes: bool,
    pub(super) dry_run: bool,
    pub(super) json: bool,
    pub(super) progress: &'a ProgressArgs,
}

impl ReplayCall<'_> {
    /// Reads the script to its end, shows what is known, asks, and runs it.
    pub(super) async fn run(self) -> Result<()> {
        let is_stdin = self.path == Path::new("-");
        if is_stdin && !self.yes && !self.dry_run {
            return Err(Error::new(
                ErrorKind::Usage,
                "the script comes from standard input, so there is nobody to ask",
            )
            .hint("Give --yes to go on without asking."));
        }
        let survey = {
            let events = self.progress.events();
            let survey = survey_script(&self.path, &self.options, self.dry_run, &events);
            super::until_signal(survey).await?
        };
        if self.dry_run {
            return self.print_survey(survey.as_ref());
        }
        let database = ident(self.settings.database());
        match self.options.create {
            true => eprintln!("database {} will be made", one_line(&database)),
            false => eprintln!("in database {}:", one_line(&database)),
        }
        for line in describe_survey(survey.as_ref()) {
            eprintln!("  {line}");
        }
        eprintln!("  a script does what it says: pgstow drops nothing and plans nothing for it");
        if !self.yes {
            confirm(self.settings.database())?;
        }
        let options = ReplayOptions {
            stored_bytes: survey.as_ref().map_or(0, |survey| survey.stored_bytes),
            ..self.options
        };
        let report = {
            let events = self.progress.events();
            let path = self.path.clone();
            replay(path, self.settings, options, super::stop_signal(), &events).await?
        };
        print_report(&self.path, &report, self.json)
    }

    fn print_survey(&self, survey: Option<&ScriptSurvey>) -> Result<()> {
        if self.json {
            return print_json(&survey);
        }
        for line in describe_survey(survey) {
            println!("{line}");
        }
        eprintln!("nothing stands in the way, and nothing was changed (--dry-run)");
        Ok(())
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let json = serde_json::to_string(value)
        .map_err(|error| Error::internal("the report is no JSON").caused_by(error))?;
    println!("{json}");
    Ok(())
}

fn print_report(path: &Path, report: &ReplayReport, json: bool) -> Result<()> {
    if json {
        return print_json(report);
    }
    eprintln!(
        "replayed {} in {}: {} statements, {} rows by COPY in {}.{} s",
        one_line(&path.display().to_string()),
        one_line(&ident(&report.database)),
        HumanCount(report.statements),
        HumanCount(report.rows),
        report.elapsed_ms / 1000,
        report.elapsed_ms % 1000 / 100,
    );
    Ok(())
}

/// What is known of a script, a line each.
pub(super) fn describe_survey(survey: Option<&ScriptSurvey>) -> Vec<String> {
    let Some(survey) = survey else {
        return vec![
            "a plain SQL script that can be read only once: what it holds is not known, and whether it is whole only in the end"
                .to_owned(),
        ];
    };
    let mut lines = vec![
        format!(
            "a plain SQL script ({}), {} of text, {} lines, read to its end; such scripts have no checksums",
            match survey.packing.as_str() {
                "plain" => "not compressed".to_owned(),
                packing => format!("{packing}, {}", HumanBytes(survey.stored_bytes)),
            },
            HumanBytes(survey.bytes),
            HumanCount(survey.lines),
        ),
        format!(
            "{} statements: {} COPY with {} lines of rows, {} INSERT, UPDATE or DELETE",
            HumanCount(survey.statements),
            HumanCount(survey.copies),
            HumanCount(survey.copy_lines),
            HumanCount(survey.row_statements),
        ),
    ];
    if survey.transactions {
        lines.push("it begins and ends transactions of its own".to_owned());
    }
    if !survey.commands.is_empty() {
        let names: Vec<_> = survey.commands.iter().map(|name| one_line(name)).collect();
        lines.push(format!("backslash commands: {}", names.join(", ")));
    }
    if !survey.databases.is_empty() {
        let names: Vec<String> = survey
            .databases
            .iter()
            .map(|name| one_line(&ident(name)).into_owned())
            .collect();
        lines.push(format!("it connects to {}", names.join(", ")));
    }
    lines
}
