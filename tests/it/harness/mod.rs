//! What tests stand on: throw-away servers, databases in them, the built `pgstow`, and comparison.

pub(crate) mod compare;
pub(crate) mod database;
pub(crate) mod dice;
pub(crate) mod fixture;
pub(crate) mod host;
pub(crate) mod pgstow;
pub(crate) mod proxy;
pub(crate) mod s3;
pub(crate) mod server;
pub(crate) mod share;
pub(crate) mod wait;

pub(crate) use compare::{Snapshot, differences, expect_equal, line_difference};
pub(crate) use database::Database;
pub(crate) use fixture::Fixture;
pub(crate) use host::Host;
pub(crate) use pgstow::pgstow;
pub(crate) use proxy::Proxy;
pub(crate) use server::{Server, on_every_major, on_newest};
pub(crate) use wait::{wait_until, wait_while_running};

/// What went wrong, for a person to read.
pub(crate) type Failure = String;
