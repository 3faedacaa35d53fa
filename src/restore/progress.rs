//! How far a restore got: what an error after the point of no return must tell.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::{Error, ErrorKind};

/// Counters of one run, shared by its workers.
#[derive(Debug, Default)]
pub(crate) struct RunState {
    starts_afresh: bool,
    database_made: AtomicBool,
    defined: AtomicBool,
    backends: Mutex<Vec<i32>>,
    members: u64,
    members_loaded: AtomicU64,
    rows_loaded: AtomicU64,
    statements: u64,
    statements_done: AtomicU64,
}

impl RunState {
    /// What there is to do after the clean transaction. `starts_afresh`: the same restore, run again, drops what
    /// this one made.
    pub(crate) fn new(members: u64, statements: u64, starts_afresh: bool) -> Self {
        RunState {
            starts_afresh,
            members,
            statements,
            ..RunState::default()
        }
    }

    /// The definitions are there for good. Called before COMMIT is sent: nobody knows the outcome of
    /// one that was cut off.
    pub(crate) fn definitions_commit(&self) {
        self.defined.store(true, Ordering::SeqCst);
    }

    /// CREATE DATABASE succeeded.
    pub(crate) fn database_made(&self) {
        self.database_made.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_database_made(&self) -> bool {
        self.database_made.load(Ordering::SeqCst)
    }

    /// Notes a connection's process on the server.
    pub(crate) fn add_backend(&self, pid: i32) {
        self.backends
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(pid);
    }

    /// All processes on the server that this run has started.
    pub(crate) fn backends(&self) -> Vec<i32> {
        self.backends
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn member_done(&self, rows: u64) {
        self.members_loaded.fetch_add(1, Ordering::SeqCst);
        self.rows_loaded.fetch_add(rows, Ordering::SeqCst);
    }

    /// Rows of large objects not counted.
    pub(crate) fn rows_loaded(&self) -> u64 {
        self.rows_loaded.load(Ordering::SeqCst)
    }

    pub(crate) fn statement_done(&self) {
        self.statements_done.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether the target differs from what it was.
    pub(crate) fn is_changed(&self) -> bool {
        self.defined.load(Ordering::SeqCst)
            || self.members_loaded.load(Ordering::SeqCst) > 0
            || self.statements_done.load(Ordering::SeqCst) > 0
    }

    /// Gives an error the kind that its moment calls for, and tells how far the run got.
    pub(crate) fn explain(&self, error: Error) -> Error {
        if !self.is_changed() {
            let error = match error.kind() {
                ErrorKind::RestoreIncomplete => error.with_kind(ErrorKind::Restore),
                _ => error,
            };
            return error.detail("The target is unchanged.");
        }
        let definitions = if self.defined.load(Ordering::SeqCst) {
            "The definitions are in place; "
        } else {
            ""
        };
        let error = error
            .with_kind(ErrorKind::RestoreIncomplete)
            .detail(format!(
                "{definitions}{} of {} data members ({} rows) and {} of {} post-data entries are done.",
                self.members_loaded.load(Ordering::SeqCst),
                self.members,
                self.rows_loaded.load(Ordering::SeqCst),
                self.statements_done.load(Ordering::SeqCst),
                self.statements,
            ));
        match error.hint_text() {
            Some(_) => error,
            None if self.starts_afresh => error.hint(
                "Remove the cause and run the same restore again: it drops what it made and starts afresh.",
            ),
            None => error.hint(
                "Remove the cause and what was restored so far, then run the same restore again.",
            ),
        }
    }

    /// What a signal amounts to at this moment.
    pub(crate) fn interrupted(&self, signal: u8) -> Error {
        self.explain(Error::new(
            ErrorKind::Interrupted(signal),
            "the restore was interrupted",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_before_the_commit_leaves_the_target_unchanged() {
        let state = RunState::default();
        let error = state.interrupted(2);
        assert_eq!(error.kind(), ErrorKind::Interrupted(2));
        assert_eq!(error.details(), ["The target is unchanged."]);
    }

    #[test]
    fn failure_after_the_commit_tells_how_far_it_got() {
        let state = RunState::new(3, 2, true);
        state.definitions_commit();
        state.member_done(7);
        let error = state.explain(Error::new(ErrorKind::Data, "x"));
        assert_eq!(error.kind(), ErrorKind::RestoreIncomplete);
        assert!(
            error.details()[0].contains("1 of 3 data members (7 rows) and 0 of 2 post-data"),
            "{error}"
        );
    }
}
