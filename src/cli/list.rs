//! `pgstow list`: the backup sets of a repository.

use indicatif::HumanCount;
use jiff::{SpanRound, Timestamp, Unit};

use super::place::{PlaceArgs, check_exists, warn_of_unreadable};
use super::stdout::write_stdout;
use super::text_table::{self, Align, TextTable};
use crate::Result;
use crate::backup::retention::Decision;
use crate::backup::{BackupSet, SetSummary, decide};
use crate::config::{ConnectSource, DatabaseSettings};
use crate::objects::quote::one_line;

/// List the backup sets, the newest first
///
/// A set is a file NAME-backup-YYYYMMDD-HHMMSS.sql.gz with its .sha256 and .meta, as `pgstow create` writes it. Of several
/// configured databases all are listed. KEPT BECAUSE tells which rules of the next cleanup keep a set.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The repository, as --repository
    #[arg(value_name = "DIR|URL", conflicts_with = "repository")]
    directory: Option<String>,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// `NotFound` if there is no such directory; `Io`.
pub(super) async fn run(mut args: Args) -> Result<()> {
    args.place.repository = args.directory.or(args.place.repository);
    let config = args
        .place
        .resolve(ConnectSource::default(), DatabaseSettings::default())?;
    let now = Timestamp::now();
    let mut sets: Vec<(BackupSet, Decision)> = Vec::new();
    for profile in &config.profiles {
        let repository = profile.repository()?;
        check_exists(repository.storage())?;
        let listing = repository.list().await?;
        warn_of_unreadable(&listing.unreadable);
        let decisions = decide(&listing.sets, &profile.policy(), now, &profile.zone());
        sets.extend(listing.sets.into_iter().zip(decisions));
    }
    if args.json {
        let sets: Vec<SetSummary> = sets
            .iter()
            .map(|(set, decision)| SetSummary::of(set, decision))
            .collect();
        return write_stdout(|out| {
            serde_json::to_writer_pretty(&mut *out, &sets)?;
            writeln!(out)
        });
    }
    let table = table(&sets, now);
    write_stdout(|out| table.write(out))
}

fn table(sets: &[(BackupSet, Decision)], now: Timestamp) -> TextTable {
    let mut table = TextTable::new(&[
        ("ID", Align::Left),
        ("KIND", Align::Left),
        ("AGE", Align::Right),
        ("SIZE", Align::Right),
        ("ROWS", Align::Right),
        ("TOOK", Align::Right),
        ("VERIFIED", Align::Left),
        ("KEPT BECAUSE", Align::Left),
        ("CONTENTS", Align::Left),
    ]);
    for (set, decision) in sets {
        let took = set.meta.duration_ms;
        table.push(vec![
            set.name.id.clone(),
            set.meta.kind.to_string(),
            age(set.name.created, now),
            text_table::bytes(set.meta.size),
            HumanCount(set.meta.rows).to_string(),
            format!("{}.{} s", took / 1000, took % 1000 / 100),
            verified(set, now),
            match decision.keep {
                true => decision.reasons.join(", "),
                false => "not kept".to_owned(),
            },
            contents(set),
        ]);
    }
    table
}

/// What the last check said, and how long ago.
fn verified(set: &BackupSet, now: Timestamp) -> String {
    let Some(verified) = &set.meta.verified else {
        return "never".to_owned();
    };
    let ago = verified
        .at
        .parse()
        .map_or_else(|_| "?".to_owned(), |at| age(at, now));
    match verified.intact {
        true => format!("{} {ago} ago", verified.how.as_str()),
        false => format!("DAMAGED, found {ago} ago"),
    }
}

fn contents(set: &BackupSet) -> String {
    let mut contents = match set.meta.partial.as_slice() {
        [] => "whole".to_owned(),
        _ if set.meta.is_of_cluster() => "globals".to_owned(),
        options => format!("partial: {}", options.join(" ")),
    };
    if set.meta.encrypted {
        contents.push_str(", encrypted");
    }
    if !set.meta.anomalies.is_empty() {
        contents.push_str(&format!(", ANOMALY: {}", set.meta.anomalies.join("; ")));
    }
    one_line(&contents).into_owned()
}

/// `3d 4h`, `25m`: the two largest units of hours and days, or one smaller.
pub(super) fn age(created: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(created).as_secs().max(0);
    let smallest = match seconds {
        0..60 => Unit::Second,
        60..3600 => Unit::Minute,
        _ => Unit::Hour,
    };
    let rounding = SpanRound::new()
        .largest(Unit::Day)
        .smallest(smallest)
        .days_are_24_hours()
        .mode(jiff::RoundMode::Trunc);
    match jiff::Span::new().seconds(seconds).round(rounding) {
        Ok(span) => format!("{span:#}"),
        Err(_) => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_has_at_most_two_units() {
        let created: Timestamp = "2026-01-14T02:00:00Z".parse().expect("valid");
        let after = |seconds: i64| age(created, created + jiff::SignedDuration::from_secs(seconds));
        assert_eq!(after(42), "42s");
        assert_eq!(after(25 * 60 + 59), "25m");
        assert_eq!(after(3 * 86_400 + 4 * 3600 + 1800), "3d 4h");
        assert_eq!(after(-5), "0s");
    }
}
