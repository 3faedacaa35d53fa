//! Members on their way into the archive.

use std::borrow::Cow;

use super::codec::PieceEncoder;
use super::{Compression, DumpId, Member, MemberRole, Section};
use crate::{Error, Result};

/// A member compressed and hashed, ready to be appended. Workers make them in parallel.
#[derive(Debug)]
pub struct EncodedMember {
    /// Its line of the index; the writer fills in the offset.
    pub(super) member: Member,
    pub(super) stored: Vec<u8>,
}

impl EncodedMember {
    /// Bytes that it takes in the archive.
    pub fn stored_length(&self) -> u64 {
        self.member.stored_length
    }
}

/// Compresses one member and hashes its stored bytes. Keeps compressor state between calls: one per thread.
pub struct MemberEncoder(PieceEncoder);

impl MemberEncoder {
    /// An encoder for one thread. A level out of range counts as the nearest.
    pub fn new(compression: Compression) -> Self {
        MemberEncoder(PieceEncoder::new(compression))
    }

    /// Compresses `text`, the member's decompressed bytes, which end with a newline.
    ///
    /// # Errors
    /// `Internal` if they do not, or are longer than [`super::MAX_MEMBER_LENGTH`].
    pub fn encode<'t>(
        &mut self,
        role: MemberRole,
        section: Section,
        text: impl Into<Cow<'t, [u8]>>,
        entry: Option<DumpId>,
        rows: Option<u64>,
    ) -> Result<EncodedMember> {
        let text = text.into();
        if text.last() != Some(&b'\n') {
            return Err(Error::internal("a member does not end with a newline"));
        }
        let length = text.len() as u64;
        let stored = self.0.encode(text)?;
        let member = Member {
            role,
            section,
            offset: 0,
            stored_length: stored.len() as u64,
            length,
            blake3: blake3::hash(&stored).to_hex().to_string(),
            entry,
            rows,
        };
        Ok(EncodedMember { member, stored })
    }
}
