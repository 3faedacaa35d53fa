//! Tests on real servers, as a user would see them: the built binary, psql and pg_dump.
//!
//! `scripts/test.sh` fetches servers and clients and runs everything; `PGSTOW_TEST_MAJORS="15 18"` or `all` chooses
//! the servers.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    unreachable_pub,
    reason = "tests"
)]

mod clean;
mod cli;
mod cluster;
mod comments;
mod comparison;
mod conn;
mod consistency;
mod crash;
mod damage;
mod database_settings;
mod disabled_triggers;
mod documents;
mod durability;
mod encodings;
mod exact;
mod extensions;
mod extract;
mod faults;
mod foreign_data;
mod gentle;
mod harness;
mod harness_check;
mod hostile;
mod hostile_names;
mod inheritance;
mod inserts;
mod kill;
mod kinds;
mod large_objects;
mod left_out;
mod lost_servers;
mod managed;
mod meanwhile;
mod offsite;
mod operations;
mod options;
mod pg_archive;
mod psql_lexer;
mod recovery;
mod replay;
mod resume;
mod roundtrip;
mod row_order;
mod row_security;
mod select;
mod service;
mod sets;
mod single_transaction;
mod single_user;
mod statistics;
mod storage;
mod swap;
mod target;
mod triggers;
mod unsupported;
