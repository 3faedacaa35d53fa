//! Dump and restore end to end, beside pg_dump, pg_restore and the bare `COPY` on the same machine.
//!
//! ```text
//! scripts/bench.sh                       # all cases, benches/REPORT.md and its charts
//! scripts/bench.sh --quick               # small tables, one round, nothing written
//! PGSTOW_BENCH_ONLY=two,schema cargo bench --bench end_to_end
//! PGSTOW_BENCH_TABLES=50000 PGSTOW_BENCH_ONLY=schema cargo bench --bench end_to_end
//! PGHOST=localhost PGPORT=5499 PGUSER=postgres PGPASSWORD=pgstow cargo bench --bench end_to_end
//! cargo bench --features isal --bench end_to_end   # gzip by ISA-L; without it, by libdeflate
//! ```
//!
//! Contenders take turns within a round, forwards and backwards; ratios are of the same round, and all figures are medians of
//! rounds. `peak` is the highest sum of resident memory (VmHWM) of a contender's processes, read every few milliseconds. CPU is user
//! and system time: of the contender's processes, and of the server's, if that runs on this host and does nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints its findings and stops at the first failure"
)]

#[path = "../../tests/it/harness/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "shared with the tests"
)]
mod harness;

mod bench;
mod cases;
mod chart;
mod data;
mod gentle;
mod link;
mod measure;
mod report;

use bench::Bench;
use report::Report;

fn main() {
    let mut bench = Bench::from_environment();
    let mut report = Report::default();
    let asked = bench.rounds;
    for case in cases::ALL {
        if bench.wants(case.name) {
            bench.rounds = asked.min(case.most_rounds);
            report.add(case.name, (case.run)(&bench));
            if let Some(dir) = &bench.report_into {
                report.write(dir, &bench);
            }
        }
    }
}
