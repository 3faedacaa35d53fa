//! `pgstow serve`: the scheduler, the HTTP API and its metrics. HTTP stops here.

pub mod scheduler;
