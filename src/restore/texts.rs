//! The SQL of a plan's statements, read from the archive once and verified.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::archive::{ArchiveReader, MemberId, Span, TextEncoding};
use crate::lexer::StringSyntax;
use crate::{Error, ErrorKind, Result};

use super::moved::MovedNames;
use super::plan::Step;
use super::storage::DefaultStorage;

/// The decompressed members that hold statements.
pub(crate) struct StatementTexts {
    encoding: TextEncoding,
    members: HashMap<MemberId, Vec<u8>>,
    moved: Option<Arc<MovedNames>>,
    storage: DefaultStorage,
    strings: StringSyntax,
}

impl StatementTexts {
    /// Reads members and checks them against the index. Blocks.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub(crate) fn read(
        reader: &ArchiveReader,
        members: &BTreeSet<MemberId>,
        moved: Option<Arc<MovedNames>>,
        storage: DefaultStorage,
    ) -> Result<Self> {
        let members = members
            .iter()
            .map(|id| Ok((*id, reader.read_member(*id)?)))
            .collect::<Result<_>>()?;
        Ok(StatementTexts {
            encoding: reader.index().header.text_encoding(),
            members,
            moved,
            storage,
            strings: reader.index().header.strings(),
        })
    }

    /// The statements of a step, as one text for the simple protocol.
    ///
    /// # Errors
    /// `Damaged` if they are not where the index says.
    pub(crate) fn sql(&self, step: &Step) -> Result<String> {
        let mut sql = step.drop_first.clone().unwrap_or_default();
        for span in step.spans() {
            sql.push_str(&self.span(span, step)?);
            sql.push('\n');
        }
        if let Some(statement) = &step.give_to_owner {
            let statement = match &self.moved {
                Some(moved) => moved.rewrite(statement, step)?,
                None => statement.clone(),
            };
            sql.push_str(&statement);
            sql.push('\n');
        }
        Ok(sql)
    }

    /// One of the places that a step's statements are in, with the new names of what comes back elsewhere.
    ///
    /// # Errors
    /// `Damaged` if they are not where the index says, `Usage` if they cannot get these names.
    pub(crate) fn span(&self, span: Span, step: &Step) -> Result<Cow<'_, str>> {
        let text = self
            .members
            .get(&span.member)
            .and_then(|text| span.slice(text))
            .and_then(|bytes| self.encoding.decode(bytes))
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Damaged,
                    format!(
                        "the statements of {} are not where the index says",
                        step.label
                    ),
                )
            })?;
        let text = self.storage.rewrite(text, step.kind, self.strings);
        match &self.moved {
            Some(moved) => moved.rewrite(&text, step).map(Cow::Owned),
            None => Ok(text),
        }
    }
}
