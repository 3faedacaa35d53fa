//! `pgstow serve`: the scheduler, the HTTP API and its metrics. HTTP stops here.
//!
//! `scheduler` decides what is due, `http` what a client may ask for; both give their work to `backend`, which runs one job per
//! database at a time and notes it in `jobs`.

mod backend;
mod download;
mod guards;
mod http;
mod jobs;
mod metrics;
pub mod scheduler;

pub use backend::{Backend, Database, Request, Scheduled};
pub use guards::Guards;
pub use http::{Api, openapi_json, serve, stopped};
pub use jobs::{Job, Jobs, Work};
pub use metrics::Metrics;
