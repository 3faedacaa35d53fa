//! `pgstow cleanup`: deletes the sets that no rule keeps.

use std::num::NonZeroU32;

use jiff::Timestamp;
use serde::Serialize;

use super::place::{PlaceArgs, check_exists, warn_of_unreadable};
use super::stdout::write_stdout;
use super::text_table::{self, Align, TextTable};
use crate::backup::retention::Decision;
use crate::backup::{BackupSet, CleanupPlan, CleanupReport, plan_cleanup};
use crate::config::{ConnectSource, DatabaseSettings, Profile, Valued, Within, read_option};
use crate::objects::quote::one_line;
use crate::{Error, ErrorKind, Result};

/// Delete the backup sets that no rule keeps
///
/// Without options the configured rules hold: daily sets are kept for 30 days, weekly ones for 12 weeks, monthly ones for 12
/// months, sets made by hand for ever; BACKUP_RETENTION_DAYS keeps all sets of the last days and only those. Options take the
/// place of the configured rules. Never deleted: the newest good set, pinned sets, sets that are being read.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    /// Show what would be deleted and why; delete nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Keep the newest N sets
    #[arg(long, value_name = "N")]
    keep_last: Option<NonZeroU32>,
    /// Keep the newest set of each of the last N days that have one
    #[arg(long, value_name = "N")]
    keep_daily: Option<u32>,
    /// Keep the newest set of each of the last N weeks that have one
    #[arg(long, value_name = "N")]
    keep_weekly: Option<u32>,
    /// Keep the newest set of each of the last N months that have one
    #[arg(long, value_name = "N")]
    keep_monthly: Option<u32>,
    /// Keep all sets made within this span before the newest good one (30d, 8w, 1y6mo)
    #[arg(long, value_name = "SPAN", value_parser = read_option::<Within>)]
    keep_within: Option<Within>,
    /// Report as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command, for each configured database unless one is named.
///
/// # Errors
/// `NotFound` if a directory is not there; `SideJob` if a set stayed against the plan; `Io`.
pub(super) async fn run(args: Args) -> Result<()> {
    let flags = DatabaseSettings {
        keep_last: args.keep_last.map(|n| Valued::flag("--keep-last", n.get())),
        keep_daily: args.keep_daily.map(|n| Valued::flag("--keep-daily", n)),
        keep_weekly: args.keep_weekly.map(|n| Valued::flag("--keep-weekly", n)),
        keep_monthly: args.keep_monthly.map(|n| Valued::flag("--keep-monthly", n)),
        keep_within: args
            .keep_within
            .map(|span| Valued::flag("--keep-within", span)),
        ..DatabaseSettings::default()
    };
    let config = args.place.resolve(ConnectSource::default(), flags)?;
    let mut stayed = Vec::new();
    for profile in &config.profiles {
        stayed.extend(clean(profile, &args).await?.stayed);
    }
    if stayed.is_empty() {
        return Ok(());
    }
    let error = Error::new(ErrorKind::SideJob, "some sets could not be deleted");
    Err(stayed.into_iter().fold(error, |error, (id, why)| {
        error.detail(format!("{id}: {why}."))
    }))
}

async fn clean(profile: &Profile, args: &Args) -> Result<CleanupReport> {
    let repository = profile.repository()?;
    check_exists(repository.storage())?;
    let now = Timestamp::now();
    let plan = plan_cleanup(&repository, &profile.policy(), now, &profile.zone()).await?;
    warn_of_unreadable(&plan.unreadable);
    if !args.json {
        show(&plan, args.dry_run)?;
    }
    if !args.dry_run {
        for cleared in repository.clear_abandoned().await? {
            eprintln!("removed what a dead run left: {}", one_line(&cleared));
        }
    }
    let report = match args.dry_run {
        true => CleanupReport::default(),
        false => plan.execute(&repository).await?,
    };
    if args.json {
        let lines = Outcome::of(&plan, &report, args.dry_run);
        write_stdout(|out| {
            serde_json::to_writer_pretty(&mut *out, &lines)?;
            writeln!(out)
        })?;
    } else if !args.dry_run {
        eprintln!(
            "deleted {}, {} freed",
            text_table::count(report.deleted.len() as u64, "set", "sets"),
            text_table::bytes(report.freed_bytes)
        );
    }
    Ok(report)
}

fn show(plan: &CleanupPlan, dry_run: bool) -> Result<()> {
    let mut table = TextTable::new(&[
        ("", Align::Left),
        ("ID", Align::Left),
        ("KIND", Align::Left),
        ("SIZE", Align::Right),
        ("BECAUSE", Align::Left),
    ]);
    let delete = if dry_run { "would delete" } else { "delete" };
    for (set, decision) in &plan.sets {
        table.push(vec![
            if decision.keep { "keep" } else { delete }.to_owned(),
            set.name.id.clone(),
            set.meta.kind.to_string(),
            text_table::bytes(set.meta.size),
            decision.reasons.join(", "),
        ]);
    }
    write_stdout(|out| table.write(out))
}

/// What a cleanup amounts to, as JSON.
#[derive(Serialize)]
struct Outcome<'a> {
    dry_run: bool,
    sets: Vec<Line<'a>>,
    deleted: &'a [String],
    freed_bytes: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    kind: &'static str,
    keep: bool,
    reasons: &'a [String],
}

impl<'a> Outcome<'a> {
    fn of(plan: &'a CleanupPlan, report: &'a CleanupReport, dry_run: bool) -> Outcome<'a> {
        let line = |(set, decision): &'a (BackupSet, Decision)| Line {
            id: &set.name.id,
            kind: set.meta.kind.as_str(),
            keep: decision.keep,
            reasons: &decision.reasons,
        };
        Outcome {
            dry_run,
            sets: plan.sets.iter().map(line).collect(),
            deleted: &report.deleted,
            freed_bytes: report.freed_bytes,
        }
    }
}
