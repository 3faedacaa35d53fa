//! A second session that shares the leader's snapshot and helps to read the catalogs: the time is the server's, and a
//! session keeps one core of it busy.

use tokio::task::JoinSet;

use crate::conn::{ConnectSettings, Session, connect};
use crate::{Error, Result};

use super::catalog::{Ahead, read_ahead};
use super::snapshot;

/// How long it waits for a lock. Who holds it up may himself wait for the leader: then the leader reads all.
const LOCK_TIMEOUT: &str = "1s";

/// The session, busy since the snapshot exists: what needs no locks is read while the leader takes them. Dropped, it ends.
pub(super) struct Aide(JoinSet<Result<Option<(Session, Ahead)>>>);

impl Aide {
    /// Connects as the leader did, and begins.
    pub(super) fn start(leader: &Session, snapshot: &str) -> Aide {
        let mut task = JoinSet::new();
        task.spawn(read(leader.settings_of_this_server(), snapshot.to_owned()));
        Aide(task)
    }

    /// The session with what it has read; `None` if the server gave no further connection.
    ///
    /// # Errors
    /// `Data` if the snapshot is lost; `Catalog` if a query fails.
    pub(super) async fn join(mut self) -> Result<Option<(Session, Ahead)>> {
        let failed = || Error::internal("the aide failed");
        let joined = self.0.join_next().await.ok_or_else(failed)?;
        joined.map_err(|e| failed().caused_by(e))?
    }
}

/// The leader can do without: where the server gives no further connection, `-j` tells later whether one is needed.
async fn read(settings: ConnectSettings, snapshot: String) -> Result<Option<(Session, Ahead)>> {
    let Ok(session) = connect(&settings).await else {
        return Ok(None);
    };
    snapshot::import(&session, &snapshot).await?;
    let settings = format!(
        "SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; {}",
        snapshot::CATALOG_SETTINGS
    );
    session
        .batch_execute(&settings)
        .await
        .map_err(snapshot::lost)?;
    let ahead = read_ahead(&session).await?;
    Ok(Some((session, ahead)))
}
