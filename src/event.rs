//! Progress as a stream of events. The engine emits them, `cli` (and later the service) renders
//! them; the engine itself prints nothing.

use std::sync::Arc;

/// The steps of a run, in the order in which they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Connecting and exporting the snapshot.
    Connect,
    /// Reading the catalogs and locking tables.
    Catalog,
    /// Writing or running pre-data statements.
    PreData,
    /// Copying rows and large objects.
    Data,
    /// Writing or running post-data statements.
    PostData,
    /// Checksums, index, fsync, rename; or the closing checks of a restore.
    Finish,
    /// Checking an archive.
    Verify,
    /// Dropping what will be recreated.
    Clean,
}

/// Something that a watcher of a run may want to show.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A phase begins.
    PhaseStarted {
        /// Which.
        phase: Phase,
    },
    /// How much there is to do in the phase; estimates for a dump, exact for a restore.
    Planned {
        /// Tables or statements.
        items: u64,
        /// Bytes of rows, or of the archive, before compression.
        bytes: u64,
    },
    /// A worker takes up an item.
    WorkerStarted {
        /// Workers count from 0.
        worker: usize,
        /// The table with its range, or the statement, escaped to one line.
        item: String,
    },
    /// More rows and bytes went through a worker.
    WorkerAdvanced {
        /// Workers count from 0.
        worker: usize,
        /// Since the last event of this worker.
        rows: u64,
        /// Before compression, since the last event of this worker.
        bytes: u64,
    },
    /// A worker is done with its item.
    WorkerFinished {
        /// Workers count from 0.
        worker: usize,
    },
    /// Bytes stored in the archive since the last such event.
    Stored {
        /// After compression.
        bytes: u64,
    },
    /// Something that the operator should know but that does not stop the run.
    Warning {
        /// One line.
        message: String,
    },
    /// Detail for `--verbose`.
    Note {
        /// One line.
        message: String,
    },
}

/// Where events go. Cheap to clone; the callee must not block.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(Event) + Send + Sync>);

impl Events {
    /// Sends every event to `sink`.
    pub fn new(sink: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Events(Arc::new(sink))
    }

    /// Drops every event.
    pub fn none() -> Self {
        Events::new(|_| {})
    }

    /// Emits one event.
    pub fn emit(&self, event: Event) {
        (self.0)(event);
    }

    /// Emits the start of a phase.
    pub fn phase(&self, phase: Phase) {
        self.emit(Event::PhaseStarted { phase });
    }

    /// Emits a warning.
    pub fn warn(&self, message: impl Into<String>) {
        self.emit(Event::Warning {
            message: message.into(),
        });
    }

    /// Emits a note for `--verbose`.
    pub fn note(&self, message: impl Into<String>) {
        self.emit(Event::Note {
            message: message.into(),
        });
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}
