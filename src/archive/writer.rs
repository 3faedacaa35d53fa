//! Writing an archive: members in order of arrival, then index and footer.

use std::io::Write;

use sha2::{Digest, Sha256};

use super::codec::PieceEncoder;
use super::footer::Footer;
use super::{Compression, EncodedMember, Header, Index, Member, MemberId, TocEntry};
use crate::{Error, Result};

/// Appends members to a sink in order of arrival and closes the archive. Computes the sha256 of the whole.
pub struct ArchiveWriter<W: Write> {
    sink: W,
    compression: Compression,
    size: u64,
    sha256: Sha256,
    members: Vec<Member>,
}

/// What a finished archive amounts to.
#[derive(Debug)]
pub struct WrittenArchive<W> {
    /// The sink, flushed.
    pub sink: W,
    /// Bytes written.
    pub size: u64,
    /// SHA-256 of all bytes written, 64 hexadecimal digits.
    pub sha256: String,
    /// BLAKE3 of the stored index, as in the footer. It covers the BLAKE3 of every member.
    pub blake3: String,
    /// The index as written.
    pub index: Index,
}

impl<W> WrittenArchive<W> {
    /// What it amounts to, and its sink.
    pub fn without_sink(self) -> (WrittenArchive<()>, W) {
        let archive = WrittenArchive {
            sink: (),
            size: self.size,
            sha256: self.sha256,
            blake3: self.blake3,
            index: self.index,
        };
        (archive, self.sink)
    }
}

impl<W: Write> ArchiveWriter<W> {
    /// Starts an archive on an empty sink.
    pub fn new(sink: W, compression: Compression) -> Self {
        ArchiveWriter {
            sink,
            compression,
            size: 0,
            sha256: Sha256::new(),
            members: Vec::new(),
        }
    }

    /// Appends a member and tells its number.
    ///
    /// # Errors
    /// `NoSpace` or `Io` from the sink.
    pub fn append(&mut self, encoded: EncodedMember) -> Result<MemberId> {
        let id = u32::try_from(self.members.len())
            .map_err(|_| Error::internal("an archive cannot have more than 2^32 members"))?;
        let mut member = encoded.member;
        member.offset = self.size;
        self.write(&encoded.stored)?;
        self.members.push(member);
        Ok(MemberId(id))
    }

    /// Writes index and footer and flushes. `header.format`, `header.entries` and `header.members` are filled in here.
    ///
    /// # Errors
    /// `NoSpace` or `Io` from the sink; `Internal` if a reader would refuse the index.
    pub fn finish(
        mut self,
        mut header: Header,
        entries: Vec<TocEntry>,
    ) -> Result<WrittenArchive<W>> {
        let format = header.needs_format();
        header.format = format;
        header.entries = entries.len() as u64;
        header.members = self.members.len() as u64;
        let index = Index {
            header,
            entries,
            members: std::mem::take(&mut self.members),
        };
        index
            .validate(self.size)
            .map_err(|fault| Error::internal(format!("the archive's index is wrong: {fault}")))?;
        let text = index.to_text()?;
        let length = text.len() as u64;
        let stored = PieceEncoder::new(self.compression).encode(text)?;
        let footer = Footer {
            format,
            offset: self.size,
            stored_length: stored.len() as u64,
            length,
            blake3: blake3::hash(&stored).to_hex().to_string(),
        };
        self.write(&stored)?;
        self.write(&footer.encode(self.compression.codec()))?;
        self.sink
            .flush()
            .map_err(|e| Error::io("could not write the archive", e))?;
        Ok(WrittenArchive {
            sink: self.sink,
            size: self.size,
            sha256: format!("{:x}", self.sha256.finalize()),
            blake3: footer.blake3,
            index,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.sink
            .write_all(bytes)
            .map_err(|e| Error::io("could not write the archive", e))?;
        self.sha256.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }
}
