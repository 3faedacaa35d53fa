//! Whether the server takes changes at all, and with how much memory and how many processes it builds indexes.

use std::num::NonZeroUsize;

use crate::Result;
use crate::conn::Session;

use super::check::cannot_check;
use super::findings::{Check, Findings};

/// Indexes are built with this many KiB of `maintenance_work_mem` at least: with less than PostgreSQL's default they take a third
/// longer, as one process alone builds each. With more they took longer, too (README, "Speed and memory").
pub(super) const MEMORY_KIB: u32 = 65536;

/// What a session says about its server.
#[derive(Debug)]
struct State {
    in_recovery: bool,
    read_only: bool,
    /// That of sessions which restore.
    maintenance_work_mem: String,
    /// How many more processes may build one index; `None` before PostgreSQL 11.
    parallel_workers: Option<String>,
}

/// Refuses what is read-only, and tells the memory.
///
/// # Errors
/// `Restore`.
pub(super) async fn check_server(
    session: &Session,
    jobs: NonZeroUsize,
    findings: &mut Findings,
) -> Result<()> {
    let query = format!(
        "SELECT pg_catalog.pg_is_in_recovery() AS in_recovery, \
         pg_catalog.current_setting('transaction_read_only')::boolean AS read_only, \
         pg_catalog.pg_size_pretty(GREATEST(setting::bigint, {MEMORY_KIB}) * 1024) AS memory, \
         pg_catalog.current_setting('max_parallel_maintenance_workers', true) AS workers \
         FROM pg_catalog.pg_settings WHERE name = 'maintenance_work_mem'"
    );
    let row = session.query_one(&query, &[]).await.map_err(cannot_check)?;
    let state = State {
        in_recovery: row.get("in_recovery"),
        read_only: row.get("read_only"),
        maintenance_work_mem: row.get("memory"),
        parallel_workers: row.get("workers"),
    };
    judge(&state, jobs, findings);
    Ok(())
}

fn judge(state: &State, jobs: NonZeroUsize, findings: &mut Findings) {
    if state.in_recovery {
        findings.problem(
            Check::ReadOnly,
            "the server is a standby, which takes no changes",
        );
    } else if state.read_only {
        findings.problem(
            Check::ReadOnly,
            "sessions are read-only there (default_transaction_read_only)",
        );
    }
    let memory = &state.maintenance_work_mem;
    let each = match jobs.get() {
        1 => String::new(),
        jobs => format!(" on each of {jobs} connections"),
    };
    let workers = match &state.parallel_workers {
        Some(workers) => format!("; max_parallel_maintenance_workers is {workers}"),
        None => String::new(),
    };
    findings.note(
        Check::Memory,
        format!("indexes are built with maintenance_work_mem = {memory}{each}{workers}"),
    );
}

#[cfg(test)]
mod tests {
    use super::super::findings::Severity;
    use super::*;

    fn told(in_recovery: bool, read_only: bool, jobs: usize) -> Vec<(Severity, String)> {
        let state = State {
            in_recovery,
            read_only,
            maintenance_work_mem: "64 MB".to_owned(),
            parallel_workers: (jobs > 1).then(|| "2".to_owned()),
        };
        let mut findings = Findings::default();
        let jobs = NonZeroUsize::new(jobs).unwrap_or(NonZeroUsize::MIN);
        judge(&state, jobs, &mut findings);
        [Severity::Problem, Severity::Note]
            .into_iter()
            .flat_map(|severity| findings.of(severity))
            .map(|finding| (finding.severity, finding.message.clone()))
            .collect()
    }

    #[test]
    fn what_takes_no_changes_is_a_problem_and_memory_a_note() {
        let memory = "indexes are built with maintenance_work_mem = 64 MB";
        assert_eq!(told(false, false, 1), [(Severity::Note, memory.to_owned())]);
        let each =
            format!("{memory} on each of 2 connections; max_parallel_maintenance_workers is 2");
        assert_eq!(told(false, false, 2), [(Severity::Note, each)]);
        // A standby is read-only, too, which need not be told twice.
        let standby = told(true, true, 1);
        assert_eq!(standby.len(), 2);
        assert!(standby[0].1.contains("standby"));
        assert!(told(false, true, 1)[0].1.contains("read-only"));
    }
}
