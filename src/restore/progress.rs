//! How far a restore got: what an error after the point of no return must tell.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::{Error, ErrorKind};

use super::journal::Done;

/// How an unfinished restore ends.
const GO_ON: &str = "The same command with --resume goes on where this one stopped; restore --abandon leaves it as it is.";

/// Where the COMMIT of a restore in one transaction stands, which has this number on the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Commit {
    /// Nothing was sent, or it is certain that nothing of it holds.
    #[default]
    Open,
    /// It is on its way, or its end was not seen.
    Sent(i64),
    /// It is certain that all of it holds.
    Done,
}

/// Who holds the lock was told before the restore began.
const LOCK_HINT: &str =
    "Wait for the session to end that holds the lock, or allow more with --lock-wait-timeout.";

/// Counters of one run, shared by its workers.
#[derive(Debug, Default)]
pub(crate) struct RunState {
    starts_afresh: bool,
    /// Of a restore in one transaction (`--single-transaction`): what is counted below holds once it has committed.
    commit: Option<Mutex<Commit>>,
    database_made: AtomicBool,
    has_pieces: AtomicBool,
    defined: AtomicBool,
    /// There is a journal, or nobody knows.
    journaled: AtomicBool,
    /// The last transaction, which removes the journal, is on its way.
    ending: AtomicBool,
    /// It has committed.
    ended: AtomicBool,
    /// Everything that was ever done, also if a crash of the server undid it.
    advances: AtomicU64,
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

    /// The same of a restore in one transaction.
    pub(crate) fn of_one_transaction(members: u64, statements: u64) -> Self {
        RunState {
            commit: Some(Mutex::default()),
            members,
            statements,
            ..RunState::default()
        }
    }

    /// Where the COMMIT of the one transaction stands; `None` if there are many.
    pub(crate) fn commit(&self) -> Option<Commit> {
        let commit = self.commit.as_ref()?;
        Some(*commit.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes how the one transaction ends. [`Commit::Sent`]: called before COMMIT is sent.
    pub(crate) fn set_commit(&self, now: Commit) {
        if let Some(commit) = &self.commit {
            *commit.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
    }

    /// The one transaction begins again: nothing of what was counted holds.
    pub(crate) fn starts_over(&self) {
        self.set_commit(Commit::Open);
        self.recall(&Done::default());
    }

    /// The definitions, if there are any, and the journal are there for good. Called before COMMIT is sent: nobody
    /// knows the outcome of one that was cut off.
    pub(crate) fn beginning_commits(&self, has_definitions: bool, has_journal: bool) {
        self.defined.store(has_definitions, Ordering::SeqCst);
        self.journaled.store(has_journal, Ordering::SeqCst);
    }

    /// The transaction that was to make definitions and journal has not committed after all.
    pub(crate) fn beginning_is_undone(&self) {
        self.beginning_commits(false, false);
    }

    /// Everything is done but for the last transaction. Called before its COMMIT is sent.
    pub(crate) fn end_commits(&self) {
        self.ending.store(true, Ordering::SeqCst);
    }

    /// Whether all is done if the journal is gone.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    /// The last transaction has committed: there is nothing to resume.
    pub(crate) fn all_done(&self) {
        self.journaled.store(false, Ordering::SeqCst);
        self.ended.store(true, Ordering::SeqCst);
    }

    /// What a journal says is done takes the place of what we counted.
    pub(crate) fn recall(&self, done: &Done) {
        self.members_loaded.store(done.members(), Ordering::SeqCst);
        self.rows_loaded.store(done.rows, Ordering::SeqCst);
        self.statements_done.store(done.steps(), Ordering::SeqCst);
    }

    /// A number that grows whenever something gets done.
    pub(crate) fn advances(&self) -> u64 {
        self.advances.load(Ordering::SeqCst)
    }

    fn advance(&self) {
        self.advances.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether there is a journal and nothing else.
    pub(crate) fn has_only_begun(&self) -> bool {
        self.journaled.load(Ordering::SeqCst) && !self.is_changed()
    }

    /// CREATE DATABASE succeeded.
    pub(crate) fn database_made(&self) {
        self.database_made.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_database_made(&self) -> bool {
        self.database_made.load(Ordering::SeqCst)
    }

    /// Some of the definitions of a new database are there for good, the record of the run is not.
    pub(crate) fn piece_commits(&self) {
        self.has_pieces.store(true, Ordering::SeqCst);
    }

    /// Whether there are such definitions: they cannot be made again.
    pub(crate) fn has_pieces(&self) -> bool {
        self.has_pieces.load(Ordering::SeqCst)
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
        self.advance();
        self.members_loaded.fetch_add(1, Ordering::SeqCst);
        self.rows_loaded.fetch_add(rows, Ordering::SeqCst);
    }

    /// Rows of large objects not counted.
    pub(crate) fn rows_loaded(&self) -> u64 {
        self.rows_loaded.load(Ordering::SeqCst)
    }

    pub(crate) fn statement_done(&self) {
        self.advance();
        self.statements_done.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether the target differs from what it was, or may do so.
    pub(crate) fn is_changed(&self) -> bool {
        if let Some(commit) = self.commit() {
            return commit != Commit::Open;
        }
        self.defined.load(Ordering::SeqCst)
            || self.members_loaded.load(Ordering::SeqCst) > 0
            || self.statements_done.load(Ordering::SeqCst) > 0
    }

    /// Gives an error the kind that its moment calls for, and tells how far the run got.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let error = match (error.kind(), error.hint_text()) {
            (ErrorKind::LockTimeout, None) => error.hint(LOCK_HINT),
            _ => error,
        };
        if !self.is_changed() {
            let error = match error.kind() {
                ErrorKind::RestoreIncomplete => error.with_kind(ErrorKind::Restore),
                _ => error,
            };
            return error.detail("The target is unchanged.");
        }
        match self.commit() {
            Some(Commit::Sent(number)) => return in_doubt(error, number),
            Some(Commit::Done) => return error.with_kind(ErrorKind::SideJob).detail(ALL_RESTORED),
            Some(Commit::Open) | None => {}
        }
        if self.ended.load(Ordering::SeqCst) {
            return error
                .with_kind(ErrorKind::SideJob)
                .detail("Everything is restored.");
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
            // What to do about the cause comes first; how to go on must not be missing.
            Some(hint) if self.journaled.load(Ordering::SeqCst) => {
                let hint = format!("{hint} {GO_ON}");
                error.hint(hint)
            }
            Some(_) => error,
            None if self.journaled.load(Ordering::SeqCst) => {
                error.hint(format!("Remove the cause. {GO_ON}"))
            }
            None if self.starts_afresh => error.hint(
                "Remove the cause and run the same restore again: it drops what it made and starts afresh.",
            ),
            None => error.hint(
                "Remove the cause and what was restored so far, then run the same restore again.",
            ),
        }
    }
}

/// What is missing after the COMMIT of a restore in one transaction.
const ALL_RESTORED: &str = "The transaction has committed: everything is restored, but for the planner's statistics, which ANALYZE collects.";

/// Nobody could be asked whether the one transaction has committed.
fn in_doubt(error: Error, number: i64) -> Error {
    error
        .with_kind(ErrorKind::RestoreIncomplete)
        .detail(format!(
            "COMMIT was sent, and the server could not be asked what became of it: either everything is restored, or the \
             target is unchanged. It was transaction {number}."
        ))
        .hint(format!(
            "When the server is back, SELECT pg_catalog.txid_status({number}) tells: committed or aborted."
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_before_the_commit_leaves_the_target_unchanged() {
        let state = RunState::default();
        let error = state.explain(Error::new(ErrorKind::Interrupted(2), "x"));
        assert_eq!(error.kind(), ErrorKind::Interrupted(2));
        assert_eq!(error.details(), ["The target is unchanged."]);
    }

    #[test]
    fn failure_after_the_commit_tells_how_far_it_got() {
        let state = RunState::new(3, 2, true);
        state.beginning_commits(true, false);
        state.member_done(7);
        let error = state.explain(Error::new(ErrorKind::Data, "x"));
        assert_eq!(error.kind(), ErrorKind::RestoreIncomplete);
        assert!(
            error.details()[0].contains("1 of 3 data members (7 rows) and 0 of 2 post-data"),
            "{error}"
        );
    }

    #[test]
    fn a_journal_is_a_reason_to_resume() {
        let state = RunState::new(3, 2, true);
        state.beginning_commits(true, true);
        let error = state.explain(Error::new(ErrorKind::Data, "x").hint("Make room."));
        let hint = error.hint_text().unwrap_or_default();
        assert!(
            hint.starts_with("Make room. ") && hint.contains("--resume"),
            "{hint}"
        );
    }

    #[test]
    fn one_transaction_changes_the_target_at_its_commit() {
        let state = RunState::of_one_transaction(3, 2);
        let explained = || state.explain(Error::new(ErrorKind::RestoreIncomplete, "x"));
        state.member_done(7);
        state.statement_done();
        assert_eq!(explained().kind(), ErrorKind::Restore);
        assert_eq!(explained().details(), ["The target is unchanged."]);
        state.set_commit(Commit::Sent(4711));
        assert_eq!(explained().kind(), ErrorKind::RestoreIncomplete);
        assert!(explained().to_string().contains("txid_status(4711)"));
        state.set_commit(Commit::Done);
        assert_eq!(
            state
                .explain(Error::new(ErrorKind::Interrupted(2), "x"))
                .kind(),
            ErrorKind::SideJob
        );
        state.starts_over();
        assert_eq!((state.rows_loaded(), state.is_changed()), (0, false));
    }
}
