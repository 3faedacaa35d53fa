//! What Prometheus scrapes. Gauges are computed from the sets when they are asked for; counters are of this process.

use std::sync::Arc;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::backend::Database;
use super::jobs::{Job, State};
use crate::backup::{BackupSet, Kind};

/// The registry of one service. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
}

impl Default for Metrics {
    fn default() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let metrics = Metrics {
            recorder: Arc::new(recorder),
            handle,
        };
        metrics.with(describe);
        metrics
    }
}

fn describe() {
    describe_gauge!(
        "pgstow_last_good_backup_timestamp_seconds",
        "When the newest good backup of the whole database was started."
    );
    describe_gauge!(
        "pgstow_last_good_backup_age_seconds",
        "How long ago that is."
    );
    describe_gauge!(
        "pgstow_last_verified_timestamp_seconds",
        "When a backup was verified last and found intact."
    );
    describe_gauge!(
        "pgstow_last_drilled_timestamp_seconds",
        "When a backup was proved by a restore last."
    );
    describe_gauge!(
        "pgstow_last_backup_size_bytes",
        "Stored bytes of the newest good backup."
    );
    describe_gauge!("pgstow_last_backup_rows", "Rows of the newest good backup.");
    describe_gauge!(
        "pgstow_last_backup_duration_seconds",
        "How long the newest good backup took."
    );
    describe_gauge!(
        "pgstow_last_backup_anomalies",
        "What fell sharply in the newest good backup."
    );
    describe_gauge!("pgstow_backups", "Backup sets by kind.");
    describe_gauge!(
        "pgstow_damaged_backups",
        "Backup sets whose last check found damage."
    );
    describe_gauge!(
        "pgstow_repository_bytes",
        "Stored bytes of all backup sets together."
    );
    describe_gauge!(
        "pgstow_repository_up",
        "Whether the backup sets could be listed."
    );
    describe_counter!(
        "pgstow_jobs_total",
        "Jobs that this process finished, by what they did and how they ended."
    );
}

impl Metrics {
    fn with<T>(&self, record: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(self.recorder.as_ref(), record)
    }

    /// Counts a finished job.
    pub fn count(&self, job: &Job) {
        let outcome = match job.state {
            State::Running => return,
            State::Done => "done",
            State::Warned => "warned",
            State::Failed => "failed",
        };
        let database = job.database.clone();
        self.with(|| {
            counter!("pgstow_jobs_total", "database" => database, "work" => job.work.as_str(), "outcome" => outcome)
                .increment(1);
        });
    }

    /// The page, with the gauges of all databases brought up to date.
    pub async fn render(&self, databases: &[Database]) -> String {
        for database in databases {
            let listed = match database.repository() {
                Ok(repository) => repository.list().await,
                Err(error) => Err(error),
            };
            let name = database.name.clone();
            self.with(|| match listed {
                Ok(listing) => {
                    gauge!("pgstow_repository_up", "database" => name.clone()).set(1);
                    set_gauges(&name, &listing.sets);
                }
                Err(error) => {
                    tracing::warn!(database = name, "could not list the backups: {error}");
                    gauge!("pgstow_repository_up", "database" => name).set(0);
                }
            });
        }
        self.handle.render()
    }
}

#[allow(clippy::cast_precision_loss, reason = "Prometheus counts in floats")]
fn set_gauges(name: &str, sets: &[BackupSet]) {
    let label = || name.to_owned();
    for kind in Kind::ALL {
        let count = sets.iter().filter(|set| set.meta.kind == kind).count();
        gauge!("pgstow_backups", "database" => label(), "kind" => kind.as_str()).set(count as f64);
    }
    let damaged = sets.iter().filter(|set| set.meta.is_damaged()).count();
    gauge!("pgstow_damaged_backups", "database" => label()).set(damaged as f64);
    let bytes: u64 = sets.iter().map(|set| set.meta.size).sum();
    gauge!("pgstow_repository_bytes", "database" => label()).set(bytes as f64);

    let seconds = |at: &str| at.parse().ok().map(|at: jiff::Timestamp| at.as_second());
    let verified = sets
        .iter()
        .filter_map(|set| set.meta.verified.as_ref())
        .filter(|verified| verified.intact)
        .filter_map(|verified| seconds(&verified.at))
        .max();
    let drilled = sets
        .iter()
        .filter_map(|set| seconds(&set.meta.drilled.as_ref()?.at))
        .max();
    // 0 is "never": an alert on age then fires, where one on an absent value would not.
    gauge!("pgstow_last_verified_timestamp_seconds", "database" => label())
        .set(verified.unwrap_or(0) as f64);
    gauge!("pgstow_last_drilled_timestamp_seconds", "database" => label())
        .set(drilled.unwrap_or(0) as f64);
    let good = sets.iter().find(|set| set.meta.is_good());
    let created = good.map_or(0, |set| set.name.created.as_second());
    gauge!("pgstow_last_good_backup_timestamp_seconds", "database" => label()).set(created as f64);
    let age = jiff::Timestamp::now().as_second() - created;
    gauge!("pgstow_last_good_backup_age_seconds", "database" => label()).set(age as f64);
    if let Some(set) = good {
        let meta = &set.meta;
        gauge!("pgstow_last_backup_size_bytes", "database" => label()).set(meta.size as f64);
        gauge!("pgstow_last_backup_rows", "database" => label()).set(meta.rows as f64);
        gauge!("pgstow_last_backup_duration_seconds", "database" => label())
            .set(meta.duration_ms as f64 / 1000.0);
        gauge!("pgstow_last_backup_anomalies", "database" => label())
            .set(meta.anomalies.len() as f64);
    }
}
