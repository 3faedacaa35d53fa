//! Turns a stream of text into encoded members: one block fills while the last one is compressed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::archive::{
    Compression, DumpId, EncodedMember, MemberEncoder, MemberRole, RowDigest, Section,
};
use crate::event::{Event, Events};
use crate::{Error, ErrorKind, Result};

use super::effort::Effort;
use super::pace::Pace;

/// Rows gather up to here before they become a member (DESIGN section 2). Time hardly knows it; smaller ones compress worse, larger
/// ones cost memory and make a reader take more than it wants.
///
/// | MiB | seconds | MB out | `-Z zstd:1`, seconds | MB out |
/// |---|---|---|---|---|
/// | 1 | 3.41 | 180.99 | 3.10 | 164.61 |
/// | 2 | 3.55 | 180.79 | 3.39 | 164.38 |
/// | 4 | 3.33 | 180.69 | 3.17 | 164.26 |
/// | 8 | 3.32 | 180.64 | 3.28 | 164.20 |
///
/// Two tables of 456 MB, `-j2`, two cores, igzip, medians of five and of three; runs differ by a twentieth.
pub(crate) const BLOCK_BYTES: usize = 4 << 20;

/// What a member holds, for the totals of its table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Contained {
    /// Rows, or calls that fill large objects.
    pub(crate) rows: u64,
    /// Bytes of rows, newlines included.
    pub(crate) bytes: u64,
    /// Digest of the rows.
    pub(crate) digest: RowDigest,
}

/// A member on its way to the writer.
pub(crate) struct DataMember {
    pub(crate) entry: DumpId,
    pub(crate) contained: Contained,
    pub(crate) member: EncodedMember,
}

/// A block of text that is being filled.
struct Block {
    text: Vec<u8>,
    contained: Contained,
}

impl Block {
    fn new() -> Self {
        Block {
            text: Vec::with_capacity(BLOCK_BYTES + (BLOCK_BYTES >> 4)),
            contained: Contained::default(),
        }
    }

    fn clear(&mut self) {
        self.text.clear();
        // One giant row must not hold its memory to the end of the run.
        self.text.shrink_to(2 * BLOCK_BYTES);
        self.contained = Contained::default();
    }
}

/// What makes members of full blocks, for all workers together: with more of them than cores they would only take memory.
pub(crate) struct Encoders {
    effort: Effort,
    idle: Mutex<Vec<Encoder>>,
    free: Arc<Semaphore>,
}

/// An encoder that is not in use, and the empty block that is filled while its next one is compressed.
struct Encoder {
    block: Block,
    level: Compression,
    member: MemberEncoder,
}

impl Encoders {
    /// No more than `limit` at a time.
    pub(crate) fn new(compression: Compression, limit: usize) -> Encoders {
        Encoders {
            effort: Effort::new(compression),
            idle: Mutex::default(),
            free: Arc::new(Semaphore::new(limit.max(1))),
        }
    }

    /// Waits for one. `waited`: rows waited for one already.
    async fn take(&self, waited: bool) -> Result<(OwnedSemaphorePermit, Encoder)> {
        let waited = waited || self.free.available_permits() == 0;
        let permit = Arc::clone(&self.free).acquire_owned().await;
        let permit = permit.map_err(|e| Error::internal("no encoder").caused_by(e))?;
        let level = self.effort.level(waited);
        let idle = self.lock_idle().pop();
        let encoder = match idle {
            Some(encoder) if encoder.level == level => encoder,
            other => Encoder {
                block: other.map_or_else(Block::new, |encoder| encoder.block),
                level,
                member: MemberEncoder::new(level),
            },
        };
        Ok((permit, encoder))
    }

    fn give_back(&self, permit: OwnedSemaphorePermit, mut encoder: Encoder) {
        encoder.block.clear();
        self.lock_idle().push(encoder);
        drop(permit);
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<Encoder>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One worker's way to the writer. It has one block, and another while that is compressed: memory does not grow with the tables.
pub(crate) struct MemberStream {
    filling: Block,
    encoding: Option<JoinHandle<Result<DataMember>>>,
    encoders: Arc<Encoders>,
    writer: mpsc::Sender<DataMember>,
    pace: Arc<Pace>,
}

impl MemberStream {
    /// A stream whose members go to `writer`, filled no faster than `pace` allows.
    pub(crate) fn new(
        encoders: Arc<Encoders>,
        writer: mpsc::Sender<DataMember>,
        pace: Arc<Pace>,
    ) -> Self {
        MemberStream {
            filling: Block::new(),
            encoding: None,
            encoders,
            writer,
            pace,
        }
    }

    /// How fast it may be filled.
    pub(crate) fn pace(&self) -> Arc<Pace> {
        Arc::clone(&self.pace)
    }

    /// Whether the block is full, so that it should be closed.
    pub(crate) fn is_full(&self) -> bool {
        self.filling.text.len() >= BLOCK_BYTES
    }

    /// Whether nothing was added since the last member.
    pub(crate) fn is_empty(&self) -> bool {
        self.filling.text.is_empty()
    }

    /// Rows and bytes in the block so far.
    pub(crate) fn contained(&self) -> Contained {
        self.filling.contained
    }

    /// Adds text that is no row: the COPY statement and its end.
    pub(crate) fn push_text(&mut self, text: &[u8]) {
        self.filling.text.extend_from_slice(text);
    }

    /// Adds one row of COPY text with its newline.
    pub(crate) fn push_row(&mut self, row: &[u8]) {
        self.push_row_as(row, |text, _| text.extend_from_slice(row));
    }

    /// Adds one row of COPY text in another form; `write` gets the text and the number of rows before.
    pub(crate) fn push_row_as(&mut self, row: &[u8], write: impl FnOnce(&mut Vec<u8>, u64)) {
        let contained = &mut self.filling.contained;
        write(&mut self.filling.text, contained.rows);
        contained.rows += 1;
        contained.bytes += row.len() as u64;
        contained
            .digest
            .add_row(row.strip_suffix(b"\n").unwrap_or(row));
    }

    /// Adds one call that fills a large object.
    pub(crate) fn push_call(&mut self, call: &str) {
        self.filling.contained.rows += 1;
        self.filling.contained.bytes += call.len() as u64;
        self.push_text(call.as_bytes());
    }

    /// Closes the block: it is compressed in the background while the next one fills.
    pub(crate) async fn close_member(&mut self, entry: DumpId) -> Result<()> {
        let before = self.encoding.as_ref();
        let waits = before.is_some_and(|encoding| !encoding.is_finished());
        self.settle().await?;
        let encoders = Arc::clone(&self.encoders);
        let (permit, mut encoder) = encoders.take(waits).await?;
        std::mem::swap(&mut self.filling, &mut encoder.block);
        self.encoding = Some(spawn_blocking(move || {
            let contained = encoder.block.contained;
            let member = encoder.member.encode(
                MemberRole::Data,
                Section::Data,
                &encoder.block.text,
                Some(entry),
                Some(contained.rows),
            );
            encoders.give_back(permit, encoder);
            Ok(DataMember {
                entry,
                contained,
                member: member?,
            })
        }));
        Ok(())
    }

    /// [`close_member`](Self::close_member), and tells how far `worker` has come.
    pub(crate) async fn close_member_of(
        &mut self,
        worker: usize,
        entry: DumpId,
        events: &Events,
    ) -> Result<()> {
        let contained = self.contained();
        self.close_member(entry).await?;
        events.emit(Event::WorkerAdvanced {
            worker,
            rows: contained.rows,
            bytes: contained.bytes,
        });
        Ok(())
    }

    /// Waits for the member that is being compressed and hands it to the writer.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        let Some(encoding) = self.encoding.take() else {
            return Ok(());
        };
        let member = encoding
            .await
            .map_err(|e| Error::internal("compressing a member failed").caused_by(e))?;
        // The writer hangs up only after an error of its own, which is the one to report.
        self.writer
            .send(member?)
            .await
            .map_err(|_| Error::new(ErrorKind::Interrupted(15), "the writer stopped"))
    }
}
