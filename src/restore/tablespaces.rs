//! Tablespaces of a cluster's archive: each in a statement of its own, as the server wants it.

use crate::conn::Session;
use crate::{Error, ErrorKind, Result};

use super::plan::Step;
use super::texts::StatementTexts;

/// Makes those that do not exist.
///
/// # Errors
/// `RestoreIncomplete`, naming the tablespace.
pub(super) async fn create(
    session: &Session,
    steps: &[Step],
    texts: &StatementTexts,
) -> Result<()> {
    for step in steps {
        let failed = |error| {
            let message = format!("could not create {}", step.label);
            Error::from_server(ErrorKind::RestoreIncomplete, message, error)
        };
        let query = "SELECT FROM pg_catalog.pg_tablespace WHERE spcname = $1";
        let there = session.query(query, &[&step.name]).await.map_err(failed)?;
        if !there.is_empty() {
            continue;
        }
        for span in step.spans() {
            let statement = texts.span(span, step)?;
            session.batch_execute(&statement).await.map_err(failed)?;
        }
    }
    Ok(())
}
