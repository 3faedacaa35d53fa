//! `pgstow report`: how backups have been doing, for people, mails and programs.

use std::fmt::Write as _;

use clap::ValueEnum;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::list::age;
use super::place::{PlaceArgs, warn_of_unreadable};
use super::stdout::write_stdout;
use super::text_table;
use crate::Result;
use crate::backup::{BackupSet, Kind, SetSummary, decide};
use crate::config::{ConnectSource, DatabaseSettings, Profile, Task};
use crate::service::scheduler::next_due;

/// Sum up the backups of each database: last good, verified and proved ones, sizes and their trend, anomalies, what is overdue
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    /// How far back the trend and the list of anomalies go
    #[arg(long, value_name = "N", default_value = "30")]
    days: u32,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a terminal
    Text,
    /// For mails and pages
    Markdown,
    /// For programs
    Json,
}

/// What is known of one database's backups.
#[derive(Serialize)]
struct Report {
    name: String,
    repository: String,
    sets: usize,
    by_kind: Vec<(Kind, usize)>,
    stored_bytes: u64,
    pinned: usize,
    damaged: Vec<String>,
    unreadable: Vec<String>,
    last_good: Option<SetSummary>,
    last_verified: Option<String>,
    last_drilled: Option<String>,
    /// The newest good set against the oldest of the period, in percent; absent with less than two.
    size_change_percent: Option<f64>,
    rows_change_percent: Option<f64>,
    sets_in_period: usize,
    anomalies: Vec<String>,
    deleted_by_next_cleanup: Vec<String>,
    /// Schedules whose last time has passed without a backup of that kind.
    overdue: Vec<Kind>,
    #[serde(skip)]
    now: Timestamp,
    #[serde(skip)]
    days: u32,
}

/// Runs the command.
///
/// # Errors
/// `Io`; `Usage` for the configuration.
pub(super) async fn run(args: Args) -> Result<()> {
    let config = args
        .place
        .resolve(ConnectSource::default(), DatabaseSettings::default())?;
    let mut reports = Vec::new();
    for profile in &config.profiles {
        reports.push(report(profile, args.days, Timestamp::now()).await?);
    }
    write_stdout(|out| match args.format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &reports)?;
            writeln!(out)
        }
        Format::Text => reports
            .iter()
            .try_for_each(|report| write!(out, "{}", report.text("", "  "))),
        Format::Markdown => reports
            .iter()
            .try_for_each(|report| write!(out, "{}", report.text("## ", "- "))),
    })
}

async fn report(profile: &Profile, days: u32, now: Timestamp) -> Result<Report> {
    let repository = profile.repository()?;
    let name = profile.name()?;
    let repository = repository.only(name.clone());
    let listing = repository.list().await?;
    warn_of_unreadable(&listing.unreadable);
    let sets = listing.sets;
    let zone = profile.zone();
    let decisions = decide(&sets, &profile.policy(), now, &zone);
    let since = now - SignedDuration::from_hours(24 * i64::from(days));
    let recent: Vec<&BackupSet> = sets
        .iter()
        .filter(|set| set.name.created >= since)
        .collect();
    let good: Vec<&&BackupSet> = recent.iter().filter(|set| set.meta.is_good()).collect();
    let change = |of: fn(&BackupSet) -> u64| match good.as_slice() {
        [newest, .., oldest] => percent(of(oldest), of(newest)),
        _ => None,
    };
    let mut overdue = Vec::new();
    for (task, cron) in profile.schedule() {
        let Task::Backup(kind) = task else { continue };
        let of_kind = sets.iter().filter(|set| set.meta.kind == kind);
        // Never made, but in use since the oldest set.
        let last = of_kind.map(|set| set.name.created).max();
        let last = last.or(sets.iter().map(|set| set.name.created).min());
        if let Some(last) = last
            && next_due(&cron, last, &zone)?.is_some_and(|next| next < now)
        {
            overdue.push(kind);
        }
    }
    let id = |set: &BackupSet| set.name.id.clone();
    Ok(Report {
        repository: repository.storage().location().to_string(),
        sets: sets.len(),
        by_kind: Kind::ALL
            .into_iter()
            .map(|kind| {
                (
                    kind,
                    sets.iter().filter(|set| set.meta.kind == kind).count(),
                )
            })
            .collect(),
        stored_bytes: sets.iter().map(|set| set.meta.size).sum(),
        pinned: sets.iter().filter(|set| set.meta.pinned).count(),
        damaged: sets
            .iter()
            .filter(|set| set.meta.is_damaged())
            .map(id)
            .collect(),
        unreadable: listing
            .unreadable
            .into_iter()
            .map(|(file, _)| file)
            .collect(),
        last_good: sets
            .iter()
            .zip(&decisions)
            .find(|(set, _)| set.meta.is_good())
            .map(|(set, decision)| SetSummary::of(set, decision)),
        last_verified: sets
            .iter()
            .filter_map(|set| set.meta.verified.as_ref())
            .filter(|verified| verified.intact)
            .map(|verified| verified.at.clone())
            .max(),
        last_drilled: sets
            .iter()
            .filter_map(|set| set.meta.drilled.as_ref())
            .map(|drilled| drilled.at.clone())
            .max(),
        size_change_percent: change(|set| set.meta.size),
        rows_change_percent: change(|set| set.meta.rows),
        sets_in_period: recent.len(),
        anomalies: recent
            .iter()
            .flat_map(|set| {
                set.meta
                    .anomalies
                    .iter()
                    .map(|it| format!("{}: {it}", set.name.id))
            })
            .collect(),
        deleted_by_next_cleanup: sets
            .iter()
            .zip(&decisions)
            .filter(|(_, decision)| !decision.keep)
            .map(|(set, _)| id(set))
            .collect(),
        overdue,
        name,
        now,
        days,
    })
}

#[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn percent(before: u64, now: u64) -> Option<f64> {
    (before > 0).then(|| (now as f64 - before as f64) * 100.0 / before as f64)
}

impl Report {
    /// Lines under a heading.
    fn text(&self, heading: &str, item: &str) -> String {
        let mut text = format!("{heading}{} in {}\n", self.name, self.repository);
        let mut line = |what: &str, value: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{item}{what}: {value}");
        };
        let ago = |at: &str| match at.parse() {
            Ok(at) => format!("{} ago", age(at, self.now)),
            Err(_) => at.to_owned(),
        };
        match &self.last_good {
            Some(set) => line(
                "last good backup",
                format!(
                    "{} ({}), {}, {} rows, {}",
                    set.id,
                    set.kind,
                    ago(&set.created),
                    set.rows,
                    text_table::bytes(set.size)
                ),
            ),
            None => line("last good backup", "NONE".to_owned()),
        }
        let never = || "NEVER".to_owned();
        let at = |at: &Option<String>| at.as_deref().map_or_else(never, ago);
        line("last verified", at(&self.last_verified));
        line("last proved by a restore", at(&self.last_drilled));
        let kinds: Vec<String> = self
            .by_kind
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        line(
            "backup sets",
            format!(
                "{} ({}), {} pinned, {}",
                self.sets,
                kinds.join(", "),
                self.pinned,
                text_table::bytes(self.stored_bytes)
            ),
        );
        let change = |percent: Option<f64>| match percent {
            Some(percent) => format!("{percent:+.1} %"),
            None => "unknown".to_owned(),
        };
        line(
            &format!("in the last {} days", self.days),
            format!(
                "{} sets, size {}, rows {}",
                self.sets_in_period,
                change(self.size_change_percent),
                change(self.rows_change_percent)
            ),
        );
        let overdue: Vec<&str> = self.overdue.iter().map(|kind| kind.as_str()).collect();
        let lists: [(&str, Vec<&str>); 5] = [
            ("OVERDUE", overdue),
            ("DAMAGED", texts(&self.damaged)),
            (
                "no backup sets, though they look so",
                texts(&self.unreadable),
            ),
            ("anomalies", texts(&self.anomalies)),
            (
                "deleted by the next cleanup",
                texts(&self.deleted_by_next_cleanup),
            ),
        ];
        for (what, values) in lists {
            if !values.is_empty() {
                line(what, values.join(", "));
            }
        }
        text.push('\n');
        text
    }
}

fn texts(strings: &[String]) -> Vec<&str> {
    strings.iter().map(String::as_str).collect()
}
