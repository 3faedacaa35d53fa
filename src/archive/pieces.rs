//! The contents of a data member, piece by piece, so that a whole table may be one member without being in memory.

use bytes::Bytes;

use crate::Result;

/// The rows of a table, or statements that make rows or fill large objects.
pub struct Pieces {
    form: PieceForm,
    source: Box<dyn PieceSource>,
}

/// What the pieces of a member are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PieceForm {
    /// Rows in COPY's text format, for this statement, which ends in ` FROM stdin;` and is in UTF-8 here.
    Rows(String),
    /// Whole statements.
    Statements,
}

/// Whole rows, each with its newline, or whole statements; in the archive's encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The text.
    pub bytes: Bytes,
    /// How many rows or statements.
    pub count: u64,
}

/// Where pieces come from.
pub(crate) trait PieceSource: Send {
    /// The next one; `None` behind the last. Blocks.
    fn next(&mut self) -> Result<Option<Piece>>;
}

impl Pieces {
    /// Pieces of one form.
    pub(crate) fn new(form: PieceForm, source: Box<dyn PieceSource>) -> Self {
        Pieces { form, source }
    }

    /// All of it in one piece.
    pub(crate) fn whole(form: PieceForm, piece: Piece) -> Self {
        Pieces::new(form, Box::new(Whole(Some(piece))))
    }

    /// What they are.
    pub fn form(&self) -> &PieceForm {
        &self.form
    }

    /// The next piece; `None` behind the last. Blocks.
    ///
    /// # Errors
    /// `Damaged`, naming the archive and what the member holds; `Io`.
    #[allow(clippy::should_implement_trait, reason = "it may fail")]
    pub fn next(&mut self) -> Result<Option<Piece>> {
        self.source.next()
    }
}

/// A member that is in memory.
struct Whole(Option<Piece>);

impl PieceSource for Whole {
    fn next(&mut self) -> Result<Option<Piece>> {
        Ok(self.0.take().filter(|piece| !piece.bytes.is_empty()))
    }
}
