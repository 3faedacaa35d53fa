//! After everything is in place: statistics for the planner.

use futures::stream::{FuturesUnordered, StreamExt};

use crate::conn::Session;
use crate::event::{Event, Events};
use crate::objects::quote;
use crate::{Error, ErrorKind, Result};

use super::plan::{Load, LoadTarget};

/// Analyzes the tables that got rows, largest first, on all sessions.
///
/// # Errors
/// `SideJob`: everything is restored, the planner lacks statistics.
pub(crate) async fn analyze(sessions: &[Session], loads: &[Load], events: &Events) -> Result<()> {
    let mut loads: Vec<&Load> = loads.iter().filter(|load| load.rows > 0).collect();
    loads.sort_by_key(|load| load.bytes);
    let mut tables: Vec<String> = loads
        .iter()
        .filter_map(|load| match &load.target {
            LoadTarget::Table { schema, name } => Some(quote::qualified(schema, name)),
            LoadTarget::LargeObjects => None,
        })
        .collect();
    let mut running = FuturesUnordered::new();
    let mut idle: Vec<usize> = (0..sessions.len()).rev().collect();
    loop {
        while let Some(worker) = idle.pop() {
            let Some(table) = tables.pop() else { break };
            events.emit(Event::WorkerStarted {
                worker,
                item: format!("ANALYZE {}", quote::one_line(&table)),
            });
            running.push(async move {
                let sql = format!("ANALYZE {table}");
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
