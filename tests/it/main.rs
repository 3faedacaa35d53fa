//! Tests on real servers, as a user would see them: the built binary, psql and pg_dump.
//!
//! `scripts/test.sh` fetches servers and clients and runs everything; `PGSTOW_TEST_MAJORS="15 18"` or `all` chooses
//! the servers.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    unreachable_pub,
    reason = "tests"
)]

mod conn;
mod harness;
mod harness_check;
mod roundtrip;
mod cli;
mod consistency;
mod crash;
mod damage;
mod hostile;
mod unsupported;
