//! A data member on its way from the archive to the server: while a piece of it is sent, the next one is read.

use std::sync::Arc;

use tokio::task::{JoinHandle, spawn_blocking};

use crate::archive::{ArchiveReader, MemberId, Piece, PieceForm, Pieces};
use crate::{Error, Result};

/// A member whose first piece is being read.
pub(crate) struct Opening(JoinHandle<Read>);

/// A member of which pieces come.
pub(crate) struct Arriving {
    form: PieceForm,
    first: Option<Piece>,
    /// What follows is being read.
    next: Option<JoinHandle<Read>>,
}

type Read = Result<(Pieces, Option<Piece>)>;

impl Opening {
    /// Begins to read.
    pub(crate) fn new(reader: &Arc<ArchiveReader>, id: MemberId) -> Self {
        let reader = Arc::clone(reader);
        Opening(spawn_blocking(move || read_next(reader.pieces(id)?)))
    }

    /// Waits for the first piece.
    ///
    /// # Errors
    /// Those of [`ArchiveReader::pieces`].
    pub(crate) async fn first(self) -> Result<Arriving> {
        let (pieces, piece) = joined(self.0.await)?;
        Ok(Arriving {
            form: pieces.form().clone(),
            next: piece.is_some().then(|| read_on(pieces)),
            first: piece,
        })
    }
}

impl Arriving {
    /// What the pieces are.
    pub(crate) fn form(&self) -> &PieceForm {
        &self.form
    }

    /// The next piece; `None` behind the last.
    ///
    /// # Errors
    /// Those of [`Pieces::next`].
    pub(crate) async fn next(&mut self) -> Result<Option<Piece>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(next) = self.next.take() else {
            return Ok(None);
        };
        let (pieces, piece) = joined(next.await)?;
        self.next = piece.is_some().then(|| read_on(pieces));
        Ok(piece)
    }
}

fn read_on(pieces: Pieces) -> JoinHandle<Read> {
    spawn_blocking(move || read_next(pieces))
}

fn read_next(mut pieces: Pieces) -> Read {
    let piece = pieces.next()?;
    Ok((pieces, piece))
}

fn joined(result: Result<Read, tokio::task::JoinError>) -> Read {
    result.map_err(|error| Error::internal("reading the archive died").caused_by(error))?
}
