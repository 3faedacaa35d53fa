//! pgstow: backup and restore for PostgreSQL without pg_dump, pg_restore or psql.
//!
//! The engine is this library; [`cli`] is a thin customer of it. ARCHITECTURE.md has the map
//! of the modules, the life of a dump and of a restore, and the invariants.

pub mod archive;
pub mod backup;
mod characters;
pub mod cli;
pub mod comparison;
pub mod config;
pub mod conn;
pub mod doctor;
pub mod dump;
pub mod error;
pub mod event;
mod failpoint;
pub mod hooks;
pub mod lexer;
pub mod logging;
pub mod objects;
pub mod order;
pub mod pg_archive;
pub mod restore;
pub mod service;
pub mod storage;

pub use error::{Error, ErrorKind, Result};
