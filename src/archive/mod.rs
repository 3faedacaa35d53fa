//! The stored format: a SQL script cut into members, an index and a footer.

mod index;

pub use index::{
    DumpId, Header, Index, Member, MemberId, MemberRole, Section, Span, TableRows, TocEntry,
};

/// The format that this version writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

use crate::Result;

/// How members are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Plain `.sql`.
    None,
    /// `.sql.gz`, libdeflate levels 1 to 12.
    Gzip(i32),
    /// `.sql.zst`, levels 1 to 19.
    Zstd(i32),
}

/// A member compressed and hashed, ready to be appended. Workers make them in parallel.
pub struct EncodedMember {}

/// Compresses one member and hashes its stored bytes. Keeps compressor state between calls: one per thread.
pub struct MemberEncoder {}

impl MemberEncoder {
    /// An encoder for one thread.
    pub fn new(_compression: Compression) -> Self {
        MemberEncoder {}
    }

    /// Compresses `text`, the member's decompressed bytes.
    pub fn encode(
        &mut self,
        _role: MemberRole,
        _section: Section,
        _text: &[u8],
        _entry: Option<DumpId>,
        _rows: Option<u64>,
    ) -> Result<EncodedMember> {
        Err(crate::Error::internal("archive is not written yet"))
    }
}

/// Appends members to a sink in order of arrival and closes the archive. Computes the sha256 of the whole.
pub struct ArchiveWriter<W: std::io::Write> {
    _sink: W,
}

/// What a finished archive amounts to.
pub struct WrittenArchive<W> {
    /// The sink, flushed.
    pub sink: W,
    /// Bytes written.
    pub size: u64,
    /// SHA-256 of all bytes written, 64 hexadecimal digits.
    pub sha256: String,
    /// The index as written.
    pub index: Index,
}

impl<W: std::io::Write> ArchiveWriter<W> {
    /// Starts an archive on an empty sink.
    pub fn new(sink: W, _compression: Compression) -> Self {
        ArchiveWriter { _sink: sink }
    }

    /// Appends a member and tells its number.
    pub fn append(&mut self, _member: EncodedMember) -> Result<MemberId> {
        Err(crate::Error::internal("archive is not written yet"))
    }

    /// Writes index and footer and flushes. `header.entries` and `header.members` are filled in here.
    pub fn finish(self, _header: Header, _entries: Vec<TocEntry>) -> Result<WrittenArchive<W>> {
        Err(crate::Error::internal("archive is not written yet"))
    }
}

/// The digest of the rows of a table, see [`TableRows::digest`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowDigest(u128);

impl RowDigest {
    /// Adds one row's COPY text (no newline).
    pub fn add_row(&mut self, row: &[u8]) {
        self.0 = self.0.wrapping_add(xxhash_rust::xxh3::xxh3_128(row));
    }

    /// Adds the digest of other rows of the same table.
    pub fn merge(&mut self, other: RowDigest) {
        self.0 = self.0.wrapping_add(other.0);
    }

    /// 32 hexadecimal digits.
    pub fn to_hex(self) -> String {
        format!("{:032x}", self.0)
    }
}

/// Reads an archive: index first, then any member. Shared between threads.
pub struct ArchiveReader {}

impl ArchiveReader {
    /// Opens a local file: checks footer, index checksum, format version and that the members fill the file
    /// without gaps. Reads no member.
    ///
    /// # Errors
    /// `Damaged` if it is cut, altered or not ours (told apart in the text); `NotFound`.
    pub fn open(_path: &std::path::Path) -> Result<Self> {
        Err(crate::Error::internal("archive is not written yet"))
    }

    /// The index.
    pub fn index(&self) -> &Index {
        unimplemented!("archive is not written yet")
    }

    /// Reads one member, checks its BLAKE3 and length, and decompresses it.
    pub fn read_member(&self, _id: MemberId) -> Result<Vec<u8>> {
        Err(crate::Error::internal("archive is not written yet"))
    }

    /// Reads one member's stored bytes and checks their BLAKE3, without decompressing.
    pub fn check_member(&self, _id: MemberId) -> Result<()> {
        Err(crate::Error::internal("archive is not written yet"))
    }
}
