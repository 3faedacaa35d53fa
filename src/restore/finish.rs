//! After everything is in place: statistics for the planner.

use futures::stream::{FuturesUnordered, StreamExt};

use crate::conn::Session;
use crate::event::{Event, Events};
use crate::objects::quote;
use crate::{Error, ErrorKind, Result};

use super::journal::Journal;
use super::plan::{Load, LoadTarget};

/// Analyzes tables, largest first, on all sessions.
///
/// # Errors
/// `SideJob`: everything is restored, the planner lacks statistics.
pub(crate) async fn analyze(
    sessions: &[Session],
    mut loads: Vec<&Load>,
    journal: Option<&Journal>,
    events: &Events,
) -> Result<()> {
    loads.sort_by_key(|load| load.bytes);
    let mut running = FuturesUnordered::new();
    let mut idle: Vec<usize> = (0..sessions.len()).rev().collect();
    loop {
        while let Some(worker) = idle.pop() {
            let Some(load) = loads.pop() else { break };
            let LoadTarget::Table { schema, name } = &load.target else {
                idle.push(worker);
                continue;
            };
            let table = quote::qualified(schema, name);
            events.emit(Event::WorkerStarted {
                worker,
                item: format!("ANALYZE {}", quote::one_line(&table)),
            });
            running.push(async move {
                let mut sql = format!("ANALYZE {table};");
                sql.extend(journal.map(|journal| journal.render_analyze(load)));
                let result = sessions[worker].batch_execute(&sql).await;
                (worker, table, result)
            });
        }
        let Some((worker, table, result)) = running.next().await else {
            return Ok(());
        };
        result.map_err(|error| {
            let table = quote::one_line(&table);
            Error::from_server(
                ErrorKind::SideJob,
                format!("everything is restored, but {table} could not be analyzed"),
                error,
            )
            .hint("Run ANALYZE in the target database.")
        })?;
        events.emit(Event::WorkerFinished { worker });
        idle.push(worker);
    }
}
