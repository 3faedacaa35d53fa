//! `pgstow config`: what holds, and who says so.

use serde::Serialize;

use super::place::PlaceArgs;
use super::stdout::write_stdout;
use super::text_table::{Align, TextTable};
use crate::Result;
use crate::config::{Config, ConnectSource, DatabaseSettings, Profile, ShownSetting};
use crate::objects::quote::one_line;

/// Print the configuration that holds, and where each value came from
///
/// Options come before environment variables, they before pgstow.toml, it before what is built in. Secrets are masked.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    /// Also settings that nobody set, with their keys and variables
    #[arg(short, long)]
    all: bool,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown {
    file: Option<String>,
    sections: Vec<Section>,
}

#[derive(Serialize)]
struct Section {
    section: String,
    settings: Vec<ShownSetting>,
}

/// Runs the command.
///
/// # Errors
/// As [`Config::resolve`].
pub(super) fn run(args: Args) -> Result<()> {
    let config = args
        .place
        .resolve(ConnectSource::default(), DatabaseSettings::default())?;
    let shown = shown(&config, args.all);
    if args.json {
        return write_stdout(|out| {
            serde_json::to_writer_pretty(&mut *out, &shown)?;
            writeln!(out)
        });
    }
    write_stdout(|out| {
        match &shown.file {
            Some(file) => writeln!(out, "configuration file: {}", one_line(file))?,
            None => writeln!(out, "configuration file: none")?,
        }
        for section in &shown.sections {
            writeln!(out, "\n[{}]", section.section)?;
            table(&section.settings).write(out)?;
        }
        Ok(())
    })
}

fn shown(config: &Config, all: bool) -> Shown {
    let section = |section: String, settings: Vec<ShownSetting>| Section {
        section,
        settings: settings
            .into_iter()
            .filter(|setting| all || setting.value.is_some())
            .collect(),
    };
    let database = |profile: &Profile| {
        let name = match &profile.section {
            Some(name) => format!("database.{name}"),
            None => "database".to_owned(),
        };
        section(name, profile.settings.shown())
    };
    let mut sections: Vec<Section> = config.profiles.iter().map(database).collect();
    sections.push(section("service".to_owned(), config.service.shown()));
    sections.push(section("log".to_owned(), config.log.shown()));
    Shown {
        file: config.path.as_ref().map(|path| path.display().to_string()),
        sections,
    }
}

fn table(settings: &[ShownSetting]) -> TextTable {
    let mut table = TextTable::new(&[
        ("SETTING", Align::Left),
        ("VALUE", Align::Left),
        ("FROM", Align::Left),
    ]);
    for setting in settings {
        table.push(vec![
            setting.key.to_owned(),
            setting
                .value
                .as_deref()
                .map_or_else(|| "-".to_owned(), |value| one_line(value).into_owned()),
            setting
                .origin
                .clone()
                .unwrap_or_else(|| format!("not set; {}", setting.variable)),
        ]);
    }
    table
}
