//! Whether the server's table of locks has room for the one transaction of drops and definitions.
//!
//! A transaction keeps a lock on all that it makes and drops. How many there may be at once is fixed when the server starts; what its
//! shared memory has left over comes on top, and nobody tells how much that is. Manual: "Lock Management"; server: `InitLocks`.

use crate::Result;
use crate::conn::Session;
use crate::objects::Kind;

use super::check::cannot_check;
use super::clean::Survey;
use super::findings::{Check, Findings};
use super::plan::{RestorePlan, Step};

/// Warns if there may be too few.
///
/// # Errors
/// `Restore`.
pub(super) async fn check_locks(
    session: &Session,
    plan: &RestorePlan,
    survey: &Survey,
    single_transaction: bool,
    findings: &mut Findings,
) -> Result<()> {
    let row = session
        .query_one(
            "SELECT pg_catalog.current_setting('max_locks_per_transaction')::bigint AS each, \
             pg_catalog.sum(setting::bigint)::bigint AS processes FROM pg_catalog.pg_settings \
             WHERE name IN ('max_connections', 'max_prepared_transactions', 'max_worker_processes', 'autovacuum_max_workers')",
            &[],
        )
        .await
        .map_err(cannot_check)?;
    let created: i64 = match single_transaction {
        true => plan.steps().map(of_step).sum(),
        false => plan.pre_data.iter().map(of_step).sum(),
    };
    let objects: i64 = survey.objects.iter().map(|it| of_drop(&it.kind)).sum();
    let large_objects = i64::try_from(survey.large_objects.len()).unwrap_or(i64::MAX);
    let dropped = objects.saturating_add(large_objects);
    judge(
        dropped.saturating_add(created),
        row.get("each"),
        row.get("processes"),
        findings,
    );
    Ok(())
}

/// Locks on what it makes: of a table, also on its TOAST table and the index of that.
fn of_step(step: &Step) -> i64 {
    match step.kind {
        Kind::Table | Kind::MaterializedView => 3,
        Kind::View | Kind::ForeignTable | Kind::Sequence | Kind::Index | Kind::Constraint => 1,
        _ => 0,
    }
}

/// Locks on what goes: of a table, also on its types, and a few of its constraints and defaults.
fn of_drop(kind: &str) -> i64 {
    match kind {
        "table" | "materialized view" => 7,
        _ => 2,
    }
}

fn judge(needed: i64, each: i64, processes: i64, findings: &mut Findings) {
    if needed <= each.saturating_mul(processes) {
        return;
    }
    let enough = (needed / processes.max(1) / 64 + 1) * 64;
    findings.warning(
        Check::Locks,
        format!(
            "one transaction will hold about {needed} locks, and the server has room for {} for sure: if it runs out of them, nothing has \
             changed; max_locks_per_transaction is {each}, {enough} is enough. Restores with --create or --swap need few",
            each.saturating_mul(processes)
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::super::findings::Severity;
    use super::*;

    fn warnings(needed: i64) -> Vec<String> {
        let mut findings = Findings::default();
        judge(needed, 64, 100, &mut findings);
        let warnings = findings.of(Severity::Warning);
        warnings.map(|it| it.message.clone()).collect()
    }

    #[test]
    fn more_than_the_table_is_made_for_is_told_with_what_is_enough() {
        assert!(warnings(6400).is_empty());
        let told = warnings(20_000).concat();
        assert!(
            told.contains("about 20000 locks") && told.contains("256 is enough"),
            "{told}"
        );
    }
}
