//! Reading an archive: footer, index, then any member.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::buffers::{Buffer, Buffers};
use super::footer::{Footer, has_footer_magic};
use super::{
    Codec, FORMAT_VERSION, Index, InsertStyle, Member, MemberId, Piece, PieceForm, Pieces,
    RowDigest, Span, copy_rows, copy_statement,
};
use crate::objects::quote;
use crate::pg_archive::{self, PgArchive};
use crate::{Error, ErrorKind, Result};

/// Bytes that can be read at any offset, from several threads at once: a local file, an object in a store.
#[allow(clippy::len_without_is_empty, reason = "nobody asks")]
pub trait Source: Send + Sync {
    /// Number of bytes.
    fn len(&self) -> u64;

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` beyond the end; whatever reading may meet.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

struct LocalFile {
    file: File,
    len: u64,
}

impl Source for LocalFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

/// Opens a regular file of this host.
pub(crate) fn open_local(path: &Path) -> io::Result<Box<dyn Source>> {
    local_source(File::open(path)?)
}

/// The bytes of an open file.
pub(crate) fn local_source(file: File) -> io::Result<Box<dyn Source>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "Not a regular file: an archive is read from its end.",
        ));
    }
    let len = metadata.len();
    Ok(Box::new(LocalFile { file, len }))
}

/// Reads an archive: index first, then any member. Shared between threads.
pub struct ArchiveReader {
    /// The archive's name for messages, on one line.
    name: String,
    stored: Stored,
}

/// Whose archive it is.
enum Stored {
    Own(Box<OwnArchive>),
    PgDump(Box<PgArchive>),
}

struct OwnArchive {
    source: Box<dyn Source>,
    name: String,
    codec: Codec,
    index: Index,
    bytes_read: AtomicU64,
    kept: Mutex<Kept>,
    stored_buffers: Buffers,
    text_buffers: Buffers,
}

/// Stored bytes of members that were checked and are to be read soon: who takes a small part out of a large archive reads
/// each byte of it once.
#[derive(Default)]
struct Kept {
    bytes: usize,
    members: HashMap<MemberId, Buffer>,
}

/// So much is kept at most. Four connections have as much in flight.
const KEPT_BYTES: usize = 16 << 20;

impl Kept {
    fn keep(&mut self, id: MemberId, stored: Buffer) {
        if stored.capacity() <= KEPT_BYTES - self.bytes && !self.members.contains_key(&id) {
            self.bytes += stored.capacity();
            self.members.insert(id, stored);
        }
    }

    fn take(&mut self, id: MemberId) -> Option<Buffer> {
        let stored = self.members.remove(&id)?;
        self.bytes -= stored.capacity();
        Some(stored)
    }
}

impl ArchiveReader {
    /// Opens a local file: checks footer, index checksum, format version and that the members fill the file
    /// without gaps. Reads no member.
    ///
    /// # Errors
    /// `Damaged` if it is cut, altered or not ours (told apart in the text); `Unsupported` if a newer pgstow
    /// wrote it; `NotFound`; `Io`.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = open_local(path).map_err(|e| {
            Error::io(
                format!("could not open archive \"{}\"", quote::one_line(&name)),
                e,
            )
        })?;
        ArchiveReader::from_source(&name, file)
    }

    /// Opens an archive wherever it is, ours or one of pg_dump; `name` is for messages. As [`ArchiveReader::open`].
    ///
    /// # Errors
    /// As [`ArchiveReader::open`].
    pub fn from_source(name: &str, source: Box<dyn Source>) -> Result<Self> {
        let name = quote::one_line(name).into_owned();
        let mut head = vec![0; pg_archive::HEAD_BYTES];
        head.truncate(usize::try_from(source.len()).unwrap_or(usize::MAX));
        // What cannot be read is for the reader to tell.
        let is_pg_dump = source.read_at(0, &mut head).is_ok() && pg_archive::is_archive(&head);
        let stored = match is_pg_dump {
            true => Stored::PgDump(Box::new(PgArchive::open(&name, source)?)),
            false => Stored::Own(Box::new(OwnArchive::open(&name, source)?)),
        };
        Ok(ArchiveReader { name, stored })
    }

    /// Opens a directory that pg_dump made.
    ///
    /// # Errors
    /// As [`ArchiveReader::open`].
    pub fn open_directory(path: &Path) -> Result<Self> {
        let archive = PgArchive::open_directory(path)?;
        Ok(ArchiveReader {
            name: archive.name().to_owned(),
            stored: Stored::PgDump(Box::new(archive)),
        })
    }

    /// The index.
    pub fn index(&self) -> &Index {
        match &self.stored {
            Stored::Own(own) => &own.index,
            Stored::PgDump(archive) => archive.index(),
        }
    }

    /// How its pieces are stored; of an archive of pg_dump its header tells more.
    pub fn codec(&self) -> Codec {
        match &self.stored {
            Stored::Own(own) => own.codec,
            Stored::PgDump(_) => Codec::None,
        }
    }

    /// Whether pg_dump made it: then there are no checksums, and rows are counted only by reading them.
    pub fn is_of_pg_dump(&self) -> bool {
        matches!(self.stored, Stored::PgDump(_))
    }

    /// Bytes of the whole file.
    pub fn size(&self) -> u64 {
        match &self.stored {
            Stored::Own(own) => own.source.len(),
            Stored::PgDump(archive) => archive.size(),
        }
    }

    /// Bytes of it that were read so far, footer and index included.
    pub fn bytes_read(&self) -> u64 {
        match &self.stored {
            Stored::Own(own) => own.bytes_read.load(Ordering::Relaxed),
            Stored::PgDump(archive) => archive.bytes_read(),
        }
    }

    /// The archive's name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads one member, checks its BLAKE3 and length, and decompresses it. In an archive of pg_dump data members are whole
    /// tables: those are read by [`ArchiveReader::pieces`] alone.
    ///
    /// # Errors
    /// `Damaged`, naming the member, what it holds and where it lies; `Io`; `Internal` if there is no such member.
    pub fn read_member(&self, id: MemberId) -> Result<Vec<u8>> {
        match &self.stored {
            Stored::Own(own) => own.read_text(id).map(Buffer::into_vec),
            Stored::PgDump(archive) => archive.statements(id).map(<[u8]>::to_vec),
        }
    }

    /// Reads the contents of a data member piece by piece, in the archive's encoding. Blocks.
    ///
    /// # Errors
    /// As [`ArchiveReader::read_member`].
    pub fn pieces(&self, id: MemberId) -> Result<Pieces> {
        match &self.stored {
            Stored::Own(own) => own.pieces(id),
            Stored::PgDump(archive) => archive.pieces(id),
        }
    }

    /// As [`ArchiveReader::pieces`], but rows that the archive holds as INSERT statements come as these.
    ///
    /// # Errors
    /// As [`ArchiveReader::read_member`].
    pub fn pieces_as_written(&self, id: MemberId) -> Result<Pieces> {
        match &self.stored {
            Stored::Own(own) if own.index.header.inserts.is_some() => own.whole_statements(id),
            _ => self.pieces(id),
        }
    }

    /// Reads one member's stored bytes and checks their BLAKE3, without decompressing. As long as there are few of
    /// them they are kept for [`ArchiveReader::read_member`], which takes them. Of pg_dump's archives, which have no
    /// checksums, everything is read and decompressed to its end.
    ///
    /// # Errors
    /// As [`ArchiveReader::read_member`].
    pub fn check_member(&self, id: MemberId) -> Result<MemberCount> {
        match &self.stored {
            Stored::Own(own) => {
                let member = own.member(id)?;
                let stored = own.read_stored(id, member)?;
                own.lock_kept().keep(id, stored);
                Ok(MemberCount {
                    rows: member.rows.unwrap_or(0),
                    bytes: member.length,
                    digest: None,
                })
            }
            Stored::PgDump(archive) => archive.count(id),
        }
    }

    /// The statements that a span of the index points at. Reads the whole member.
    ///
    /// # Errors
    /// As [`ArchiveReader::read_member`].
    pub fn read_span(&self, span: Span) -> Result<Vec<u8>> {
        let text = self.read_member(span.member)?;
        span.slice(&text)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| Error::internal("a span exceeds its member"))
    }
}

/// What a data member holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberCount {
    /// Rows, or statements.
    pub rows: u64,
    /// Bytes after decompression.
    pub bytes: u64,
    /// The digest of its rows, if the index does not have it: of archives of pg_dump.
    pub digest: Option<RowDigest>,
}

impl OwnArchive {
    fn open(name: &str, source: Box<dyn Source>) -> Result<Self> {
        let mut archive = OwnArchive {
            source,
            name: name.to_owned(),
            codec: Codec::None,
            index: Index::empty(),
            bytes_read: AtomicU64::new(0),
            kept: Mutex::default(),
            stored_buffers: Buffers::default(),
            text_buffers: Buffers::default(),
        };
        let (footer, codec) = archive.read_footer()?;
        archive.codec = codec;
        archive.index = archive.read_index(&footer)?;
        Ok(archive)
    }

    fn size(&self) -> u64 {
        self.source.len()
    }

    /// See [`ArchiveReader::read_member`].
    fn read_text(&self, id: MemberId) -> Result<Buffer> {
        let member = self.member(id)?;
        let kept = self.lock_kept().take(id);
        let stored = match kept {
            Some(stored) => stored,
            None => self.read_stored(id, member)?,
        };
        self.codec
            .decode(stored, member.length, &self.text_buffers)
            .map_err(|fault| self.damaged(format!("{}: {fault}.", self.index.describe(id))))
    }

    fn lock_kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A member is as small as a piece.
    fn pieces(&self, id: MemberId) -> Result<Pieces> {
        let member = self.member(id)?;
        let is_rows = (member.entry.and_then(|entry| self.index.entry(entry)))
            .is_some_and(|entry| entry.rows.is_some());
        if !is_rows {
            return self.whole_statements(id);
        }
        let text = Bytes::from_owner(self.read_text(id)?);
        match self.index.header.inserts {
            Some(style) => self.inserted_rows(id, &text, style),
            None => self.copied_rows(id, &text),
        }
    }

    fn copied_rows(&self, id: MemberId, text: &Bytes) -> Result<Pieces> {
        let copy =
            copy_rows(text).map_err(|e| e.detail(format!("{}.", self.index.describe(id))))?;
        // The newline between statement and rows.
        let start = copy.statement.len() + 1;
        let bytes = text.slice(start..start + copy.rows.len());
        let encoding = self.index.header.text_encoding();
        let statement = encoding.decode(copy.statement).ok_or_else(|| {
            let (what, name) = (self.index.describe(id), encoding.name());
            self.damaged(format!("{what}: its COPY statement is not {name}."))
        })?;
        Ok(self.whole_rows(id, statement.into_owned(), bytes))
    }

    /// The rows that INSERT statements stand for.
    fn inserted_rows(&self, id: MemberId, text: &[u8], style: InsertStyle) -> Result<Pieces> {
        let encoding = self.index.header.text_encoding();
        let entry = self.member(id)?.entry;
        let entry = entry.and_then(|entry| self.index.entry(entry));
        let inserts = entry.and_then(|entry| entry.insert_text(style, encoding)?.ok());
        let rows = inserts.and_then(|inserts| inserts.parse(text));
        let Some((entry, rows)) = entry.zip(rows) else {
            let what = self.index.describe(id);
            return Err(self.damaged(format!("{what}: it is not INSERT statements of ours.")));
        };
        let (schema, name) = entry.loaded_into().unwrap_or_default();
        let columns = entry.rows.as_ref().map(|rows| &rows.columns[..]);
        let copy = copy_statement(schema, name, columns.unwrap_or_default());
        Ok(self.whole_rows(id, copy, Bytes::from(rows)))
    }

    fn whole_rows(&self, id: MemberId, copy: String, bytes: Bytes) -> Pieces {
        let count = self.index.member(id).and_then(|member| member.rows);
        let count = count.unwrap_or(0);
        Pieces::whole(PieceForm::Rows(copy), Piece { bytes, count })
    }

    /// A data member's text, statements all.
    fn whole_statements(&self, id: MemberId) -> Result<Pieces> {
        let piece = Piece {
            count: self.member(id)?.rows.unwrap_or(0),
            bytes: Bytes::from_owner(self.read_text(id)?),
        };
        Ok(Pieces::whole(PieceForm::Statements, piece))
    }

    fn member(&self, id: MemberId) -> Result<&Member> {
        self.index
            .member(id)
            .ok_or_else(|| Error::internal(format!("there is no member {}", id.0)))
    }

    fn read_stored(&self, id: MemberId, member: &Member) -> Result<Buffer> {
        let stored = self.read_piece(member.offset, member.stored_length)?;
        if blake3::hash(stored.as_ref()).to_hex().as_str() != member.blake3 {
            let what = self.index.describe(id);
            return Err(self.damaged(format!("{what}: its BLAKE3 differs from the index.")));
        }
        Ok(stored)
    }

    /// Lengths come from an index or footer that was checked against the file's size, so a buffer is
    /// never larger than the file.
    fn read_piece(&self, offset: u64, length: u64) -> Result<Buffer> {
        let mut buffer = self.stored_buffers.take(length).map_err(|fault| {
            Error::new(
                ErrorKind::Io,
                format!("could not read archive \"{}\"", self.name),
            )
            .detail(fault)
        })?;
        let read = self.source.read_at(offset, buffer.bytes_mut());
        read.map_err(|e| {
            // What decryption calls invalid was altered after it was written.
            if e.kind() == io::ErrorKind::InvalidData {
                return self.damaged(format!("Bytes from {offset} on: {e}."));
            }
            Error::io(
                format!(
                    "could not read {length} bytes at offset {offset} of archive \"{}\"",
                    self.name
                ),
                e,
            )
        })?;
        self.bytes_read.fetch_add(length, Ordering::Relaxed);
        Ok(buffer)
    }

    fn read_footer(&self) -> Result<(Footer, Codec)> {
        let size = self.size();
        let length = size.min(TAIL_LENGTH);
        let tail = self.read_piece(size - length, length)?;
        let (footer, codec) = Footer::find(tail.as_ref())
            .ok_or_else(|| self.damaged(what_is_wrong_with(tail.as_ref())))?;
        if footer.format > FORMAT_VERSION {
            return Err(self.newer(footer.format));
        }
        let end_of_index = footer.offset.checked_add(footer.stored_length);
        if end_of_index != size.checked_sub(footer.encode(codec).len() as u64) {
            return Err(
                self.damaged("The index does not end where the footer starts: bytes are missing.")
            );
        }
        Ok((footer, codec))
    }

    fn read_index(&self, footer: &Footer) -> Result<Index> {
        let stored = self.read_piece(footer.offset, footer.stored_length)?;
        if blake3::hash(stored.as_ref()).to_hex().as_str() != footer.blake3 {
            return Err(self.damaged(format!(
                "The index (offset {}, {} bytes): its BLAKE3 differs from the footer.",
                footer.offset, footer.stored_length
            )));
        }
        let text = self
            .codec
            .decode(stored, footer.length, &self.text_buffers)
            .map_err(|fault| self.damaged(format!("The index: {fault}.")))?;
        let index = Index::parse(text.as_ref())
            .map_err(|fault| self.damaged(format!("The index: {fault}.")))?;
        if index.header.format > FORMAT_VERSION {
            return Err(self.newer(index.header.format));
        }
        index
            .validate(footer.offset)
            .map_err(|fault| self.damaged(format!("The index: {fault}.")))?;
        Ok(index)
    }

    fn damaged(&self, detail: impl Into<String>) -> Error {
        Error::new(
            ErrorKind::Damaged,
            format!("archive \"{}\" is damaged", self.name),
        )
        .detail(detail)
        .hint("Do not restore from it. Is there another copy or an older backup?")
    }

    fn newer(&self, format: u32) -> Error {
        Error::new(
            ErrorKind::Unsupported,
            format!("archive \"{}\" was written by a newer pgstow", self.name),
        )
        .detail(format!(
            "Its format is {format}, this pgstow reads formats up to {FORMAT_VERSION}."
        ))
        .hint("Use a newer pgstow, or replay the file with psql.")
    }
}

/// Enough for a footer, and for telling whether one is near the end but not at it.
const TAIL_LENGTH: u64 = 4096;

fn what_is_wrong_with(tail: &[u8]) -> &'static str {
    if (0..tail.len()).any(|end| Footer::find(&tail[..end]).is_some()) {
        "Bytes follow the footer."
    } else if has_footer_magic(tail) {
        "The footer is cut off or altered."
    } else {
        "It has no pgstow footer: it is cut off, or not an archive of pgstow."
    }
}
