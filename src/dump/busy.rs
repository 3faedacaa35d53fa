//! A dump that waits while the server is busy with others: `create --max-load`, `--max-lag`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::conn::{ConnectSettings, Session, connect};
use crate::event::Events;
use crate::{Error, ErrorKind, Result};

use super::pace::Pace;

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long until it says again that it waits.
const SILENCE: Duration = Duration::from_secs(60);

/// Above which no rows are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BusyLimits {
    /// `--max-load`: sessions of others that run a statement. Those that wait for a lock do not.
    pub sessions: Option<u32>,
    /// `--max-lag`: bytes of WAL that the slowest standby has not replayed, or, on a standby, that it has itself not.
    pub lag_bytes: Option<u64>,
}

/// What the server does for others.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    sessions: u64,
    lag_bytes: u64,
    /// Whether someone waits for a lock that the dump holds: the sooner it is done, the better.
    waits_for_us: bool,
}

impl BusyLimits {
    fn is_none(self) -> bool {
        self == BusyLimits::default()
    }

    /// Why no rows should be read now.
    fn exceeded_by(self, load: Load) -> Option<String> {
        if load.waits_for_us {
            return None;
        }
        let sessions = self
            .sessions
            .filter(|limit| load.sessions > u64::from(*limit));
        let lag = self.lag_bytes.filter(|limit| load.lag_bytes > *limit);
        match (sessions, lag) {
            (Some(limit), _) => Some(format!(
                "{} other sessions are active, more than {limit} (--max-load)",
                load.sessions
            )),
            (None, Some(limit)) => Some(format!(
                "a standby is {} bytes of WAL behind, more than {limit} (--max-lag)",
                load.lag_bytes
            )),
            (None, None) => None,
        }
    }
}

/// Holds the rows up while a limit is exceeded. Dropped, it ends, and nothing holds them any more.
pub(super) struct BusyWatch(JoinSet<()>);

impl BusyWatch {
    /// Looks once before it returns. `leader` is the process that holds the dump's locks.
    ///
    /// # Errors
    /// `Connect`; `Catalog` if the role may not see what others do, or nobody may.
    pub(super) async fn start(
        settings: &ConnectSettings,
        limits: BusyLimits,
        leader: i32,
        pace: Arc<Pace>,
        events: Events,
    ) -> Result<BusyWatch> {
        let mut task = JoinSet::new();
        if limits.is_none() {
            return Ok(BusyWatch(task));
        }
        let session = connect(settings).await?;
        check_sight(&session).await?;
        let mut watched = Watched {
            limits,
            pace,
            events,
            told: None,
        };
        watched.see(read_load(&session, leader).await.map_err(unseen)?);
        task.spawn(watched.watch(session, leader));
        Ok(BusyWatch(task))
    }

    /// Ends it and its session.
    pub(super) async fn end(mut self) {
        self.0.shutdown().await;
    }
}

struct Watched {
    limits: BusyLimits,
    pace: Arc<Pace>,
    events: Events,
    /// When it last said that it waits.
    told: Option<Instant>,
}

impl Watched {
    async fn watch(mut self, session: Session, leader: i32) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            match read_load(&session, leader).await {
                Ok(load) => self.see(load),
                Err(error) => {
                    self.pace.hold(false);
                    let why = unseen(error);
                    self.events.warn(format!(
                        "the rest of the rows is read whatever the load is: {}",
                        why.message()
                    ));
                    return;
                }
            }
        }
    }

    fn see(&mut self, load: Load) {
        let exceeded = self.limits.exceeded_by(load);
        self.pace.hold(exceeded.is_some());
        if let Some(reason) = exceeded
            && self.told.is_none_or(|told| told.elapsed() >= SILENCE)
        {
            self.told = Some(Instant::now());
            self.events.warn(format!("waiting: {reason}"));
        }
    }
}

fn unseen(error: tokio_postgres::Error) -> Error {
    Error::from_server(
        ErrorKind::Catalog,
        "could not read the server's load",
        error,
    )
}

/// To roles that may not see it, and where it is not tracked, the server shows sessions without a state.
async fn check_sight(session: &Session) -> Result<()> {
    let row = session
        .query_one(
            "SELECT pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') AS may_see, \
                    pg_catalog.current_setting('track_activities') AS tracked",
            &[],
        )
        .await
        .map_err(unseen)?;
    let blind = match (row.get("may_see"), row.get("tracked")) {
        (false, _) => "the role may not see what other sessions do",
        (true, "off") => "the server's track_activities is off",
        (true, _) => return Ok(()),
    };
    Err(Error::new(
        ErrorKind::Catalog,
        format!("--max-load and --max-lag: {blind}"),
    )
    .hint("They need GRANT pg_read_all_stats TO the role, and track_activities = on."))
}

/// Sessions of pgstow do not count: two dumps would wait for each other.
async fn read_load(session: &Session, leader: i32) -> Result<Load, tokio_postgres::Error> {
    let row = session
        .query_one(
            "SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity \
                      WHERE backend_type = 'client backend' AND state = 'active' \
                        AND wait_event_type IS DISTINCT FROM 'Lock' \
                        AND application_name <> ALL (SELECT application_name FROM pg_catalog.pg_stat_activity \
                                                       WHERE pid = pg_catalog.pg_backend_pid())) AS sessions, \
                    CASE WHEN pg_catalog.pg_is_in_recovery() \
                      THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_receive_lsn(), \
                             pg_catalog.pg_last_wal_replay_lsn()) \
                      ELSE (SELECT pg_catalog.max(pg_catalog.pg_wal_lsn_diff( \
                             pg_catalog.pg_current_wal_lsn(), replay_lsn)) FROM pg_catalog.pg_stat_replication) \
                    END::pg_catalog.int8 AS lag_bytes, \
                    EXISTS (SELECT FROM pg_catalog.pg_stat_activity \
                      WHERE wait_event_type = 'Lock' AND $1 = ANY (pg_catalog.pg_blocking_pids(pid))) \
                      AS waits_for_us",
            &[&leader],
        )
        .await?;
    let count = |column| row.get::<_, Option<i64>>(column).unwrap_or_default().max(0);
    Ok(Load {
        sessions: count("sessions").unsigned_abs(),
        // A server that nobody follows is nowhere behind.
        lag_bytes: count("lag_bytes").unsigned_abs(),
        waits_for_us: row.get("waits_for_us"),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const LIMITS: BusyLimits = BusyLimits {
        sessions: Some(4),
        lag_bytes: Some(1000),
    };

    fn load(sessions: u64, lag_bytes: u64) -> Load {
        Load {
            sessions,
            lag_bytes,
            waits_for_us: false,
        }
    }

    #[test]
    fn what_is_at_its_limit_does_not_exceed_it() {
        assert_eq!(LIMITS.exceeded_by(load(4, 1000)), None);
        let busy = LIMITS.exceeded_by(load(5, 0)).unwrap();
        assert!(busy.starts_with("5 other sessions"), "{busy}");
        let behind = LIMITS.exceeded_by(load(0, 1001)).unwrap();
        assert!(behind.contains("1001 bytes"), "{behind}");
    }

    #[test]
    fn nobody_is_kept_waiting_for_a_dump_that_waits() {
        let waits = Load {
            waits_for_us: true,
            ..load(5, 1001)
        };
        assert_eq!(LIMITS.exceeded_by(waits), None);
    }

    #[test]
    fn without_limits_nothing_is_too_much() {
        assert_eq!(
            BusyLimits::default().exceeded_by(load(u64::MAX, u64::MAX)),
            None
        );
    }
}
