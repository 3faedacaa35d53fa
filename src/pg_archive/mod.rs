//! Archives of pg_dump: its custom (`-Fc`), directory (`-Fd`) and tar (`-Ft`) forms, read without pg_restore.
//!
//! All three begin with the same header and table of contents (`toc`), in the file or in `toc.dat`. Where the data of an entry
//! lie is each form's affair (`custom`, `directory`, `tar`). `contents` makes of all that an index like that of pgstow's
//! own archives, so that selection, plan and restore are the same; each statement of the table of contents and the data of each
//! table become a member. Data come out in pieces: memory does not depend on the size of a table.
//!
//! There are no checksums but those of the compressions, so "intact" means: everything can be read to its end, and ends as pg_dump
//! ends it.
//!
//! The crate libpgdump reads these forms, too. It is not used: it holds a tar archive or a directory in memory as a whole, reads no
//! archive that went through a pipe, takes lengths from the file for true, and demands UTF-8.

mod attribute_version;
mod bytes;
mod compression;
mod contents;
mod custom;
mod directory;
mod files;
mod kinds;
mod names;
mod partition_keys;
mod pieces;
mod tar;
#[cfg(test)]
mod tests;
mod toc;

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::archive::{
    Index, MemberCount, MemberId, Piece, PieceForm, PieceSource, Pieces, RowDigest, Source,
};
use crate::lexer;
use crate::objects::quote;
use crate::{Error, ErrorKind, Result};

use bytes::Fault;
pub use contents::PgDumpHeader;
use contents::{Contents, DataPlace, MemberSource, contents_of};
use custom::{CountedSource, Custom, CustomObjects, From};
use directory::Directory;
use files::{FileObjects, Files, TOC, open_file, stored};
use pieces::{ObjectPieces, TextPieces};
use tar::Tar;
use toc::{Form, Toc, read_toc};

pub(crate) use directory::is_archive as is_directory_archive;

/// How many bytes tell whether a file is one.
pub(crate) const HEAD_BYTES: usize = 512;

/// Whether the first bytes of a file are those of a custom or tar archive.
pub(crate) fn is_archive(head: &[u8]) -> bool {
    head.starts_with(toc::MAGIC) || tar::is_tar(head)
}

/// An open archive.
pub(crate) struct PgArchive {
    /// For messages, on one line.
    name: String,
    store: Store,
    contents: Contents,
    size: u64,
    /// Shared with whatever reads.
    bytes_read: Arc<AtomicU64>,
}

/// Where the data are.
enum Store {
    Custom(Custom),
    Files(Arc<dyn Files>),
}

impl PgArchive {
    /// Opens a custom or tar archive and reads its table of contents.
    ///
    /// # Errors
    /// `Damaged`, `Unsupported`, `Io`.
    pub(crate) fn open(name: &str, source: Box<dyn Source>) -> Result<Self> {
        let name = quote::one_line(name).into_owned();
        let bytes_read = Arc::new(AtomicU64::new(0));
        let source: Arc<dyn Source> = Arc::new(CountedSource {
            source,
            read: Arc::clone(&bytes_read),
        });
        open_source(source)
            .and_then(|(store, toc, form, size)| {
                PgArchive::new(&name, store, &toc, form, size, bytes_read)
            })
            .map_err(|fault| error_of(&name, fault))
    }

    /// Opens a directory.
    ///
    /// # Errors
    /// As [`PgArchive::open`].
    pub(crate) fn open_directory(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let name = quote::one_line(&name).into_owned();
        let bytes_read = Arc::new(AtomicU64::new(0));
        let directory = Directory::new(path, &bytes_read);
        let open = || -> Result<PgArchive, Fault> {
            let size = directory.size()?;
            let files: Arc<dyn Files> = Arc::new(directory);
            let toc = read_toc_file(files.as_ref())?;
            PgArchive::new(
                &name,
                Store::Files(files),
                &toc,
                "directory",
                size,
                bytes_read,
            )
        };
        open().map_err(|fault| error_of(&name, fault))
    }

    fn new(
        name: &str,
        store: Store,
        toc: &Toc,
        form: &str,
        size: u64,
        bytes_read: Arc<AtomicU64>,
    ) -> Result<Self, Fault> {
        let (lengths, compression) = store.stored_lengths(toc)?;
        let form = match compression {
            Some(compression) => format!("{form}, {compression}, format"),
            None => format!("{form}, format"),
        };
        Ok(PgArchive {
            name: name.to_owned(),
            contents: contents_of(toc, &form, &lengths)?,
            store,
            size,
            bytes_read,
        })
    }

    /// The table of contents in pgstow's form. Rows are not counted in it: what `rows` and `length` of data members tell is
    /// found out by [`PgArchive::count`].
    pub(crate) fn index(&self) -> &Index {
        &self.contents.index
    }

    /// Bytes of all its files.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of it that were read so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Its name for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The statements of a member, which are nothing but statements to psql; in the archive's encoding.
    ///
    /// # Errors
    /// `Unsupported` if they are something else to psql; `Internal` of data.
    pub(crate) fn statements(&self, id: MemberId) -> Result<&[u8]> {
        let MemberSource::Text(text) = self.source(id)? else {
            return Err(Error::internal(format!("member {} is data", id.0)));
        };
        let encoding = self.index().header.text_encoding();
        let decoded = encoding.decode(text).ok_or_else(|| {
            let fault = bytes::damaged(format!("its text is not {}", encoding.name()));
            self.fault(&self.describe(id), fault)
        })?;
        lexer::split(&decoded, self.contents.strings).map_err(|violation| {
            Error::from(violation).detail(format!(
                "In {} of archive \"{}\".",
                self.describe(id),
                self.name
            ))
        })?;
        Ok(text)
    }

    /// Whether a member is made of statements of the table of contents.
    pub(crate) fn is_statements(&self, id: MemberId) -> bool {
        matches!(self.source(id), Ok(MemberSource::Text(_)))
    }

    /// The data of a member, piece by piece. Blocks.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub(crate) fn pieces(&self, id: MemberId) -> Result<Pieces> {
        let what = self.describe(id);
        let (form, source) = self
            .open_data(id)
            .map_err(|fault| self.fault(&what, fault))?;
        let pieces = Named {
            archive: self.name.clone(),
            what,
            source,
        };
        Ok(Pieces::new(form, Box::new(pieces)))
    }

    /// Reads a member to its end: rows with their digest, or statements, and bytes. Blocks.
    ///
    /// # Errors
    /// As [`PgArchive::pieces`] and [`PgArchive::statements`].
    pub(crate) fn count(&self, id: MemberId) -> Result<MemberCount> {
        if self.is_statements(id) {
            let bytes = self.statements(id)?.len() as u64;
            return Ok(MemberCount {
                rows: 0,
                bytes,
                digest: None,
            });
        }
        let mut pieces = self.pieces(id)?;
        let is_rows = matches!(pieces.form(), PieceForm::Rows(_));
        let mut digest = RowDigest::default();
        let (mut rows, mut bytes, mut tabs) = (0, 0, 0);
        while let Some(piece) = pieces.next()? {
            rows += piece.count;
            bytes += piece.bytes.len() as u64;
            tabs += memchr::memchr_iter(b'\t', &piece.bytes).count() as u64;
            if is_rows {
                digest.add_rows(&piece.bytes);
            }
        }
        let entry = self.index().member(id).and_then(|member| member.entry);
        if let Some(table) = entry.and_then(|entry| self.index().entry(entry)?.rows.as_ref()) {
            let columns = table.columns.len() as u64;
            if tabs != rows * columns.saturating_sub(1) {
                let what = format!("its rows do not have {columns} columns each");
                return Err(self.fault(&self.describe(id), bytes::damaged(what)));
            }
        }
        Ok(MemberCount {
            rows,
            bytes,
            digest: is_rows.then_some(digest),
        })
    }

    fn source(&self, id: MemberId) -> Result<&MemberSource> {
        let at = usize::try_from(id.0).ok();
        at.and_then(|at| self.contents.members.get(at))
            .ok_or_else(|| Error::internal(format!("there is no member {}", id.0)))
    }

    fn open_data(&self, id: MemberId) -> Result<(PieceForm, Cut), Fault> {
        let source = self
            .source(id)
            .map_err(|_| bytes::damaged("it is not there"))?;
        Ok(match source {
            MemberSource::Rows {
                data,
                copy,
                with_oids,
            } => (
                PieceForm::Rows(copy.clone()),
                Cut::Text(TextPieces::rows(self.open_text(data)?, *with_oids)),
            ),
            MemberSource::Statements(data) => (
                PieceForm::Statements,
                Cut::Text(TextPieces::statements(self.open_text(data)?)),
            ),
            MemberSource::LargeObjects(data) => (
                PieceForm::Statements,
                Cut::Objects(Box::new(ObjectPieces::new(self.open_objects(data)?))),
            ),
            MemberSource::Text(_) => return Err(bytes::damaged("it is no data")),
        })
    }

    fn open_text(&self, data: &DataPlace) -> Result<Box<dyn Read + Send>, Fault> {
        Ok(match &self.store {
            Store::Custom(custom) => Box::new(custom.open_rows(data.dump_id)?),
            Store::Files(files) => Box::new(open_file(files.as_ref(), &data.file)?),
        })
    }

    fn open_objects(&self, data: &DataPlace) -> Result<LargeObjects, Fault> {
        Ok(match &self.store {
            Store::Custom(custom) => LargeObjects::Custom(custom.open_large_objects(data.dump_id)?),
            Store::Files(files) => LargeObjects::Files(FileObjects::open(files, &data.file)?),
        })
    }

    fn describe(&self, id: MemberId) -> String {
        let index = self.index();
        let of_data = index
            .member(id)
            .and_then(|member| index.entry(member.entry?));
        let of_statements = || {
            index.entries.iter().find(|entry| {
                let mut spans = entry.create.iter().chain(&entry.alter_owner);
                spans.any(|span| span.member == id)
            })
        };
        match of_data.or_else(of_statements) {
            Some(entry) => format!(
                "{} {}",
                quote::one_line(&entry.kind),
                entry.qualified_name()
            ),
            None => "its settings".to_owned(),
        }
    }

    fn fault(&self, what: &str, fault: Fault) -> Error {
        fault_in(&self.name, what, fault)
    }
}

impl Store {
    /// Bytes that the data of each entry take, and how most of them are compressed.
    fn stored_lengths(
        &self,
        toc: &Toc,
    ) -> Result<(HashMap<u32, u64>, Option<&'static str>), Fault> {
        match self {
            Store::Custom(custom) => {
                Ok((custom.stored_lengths(), Some(toc.head.compression.as_str())))
            }
            Store::Files(files) => {
                let mut lengths = HashMap::new();
                let mut compression = None;
                let with_data = toc.entries.iter().filter(|entry| {
                    entry.has_data && !entry.file.is_empty() && is_data(&entry.desc)
                });
                for entry in with_data {
                    let Some((algorithm, length)) = stored(files.as_ref(), &entry.file)? else {
                        return Err(bytes::damaged(format!(
                            "its file \"{}\" is missing",
                            quote::one_line(&entry.file)
                        )));
                    };
                    lengths.insert(entry.dump_id, length);
                    // Lists of large objects are never compressed.
                    if entry.desc == "TABLE DATA" {
                        compression = Some(algorithm.as_str());
                    }
                }
                Ok((lengths, compression))
            }
        }
    }
}

/// Whether an entry has data outside of the table of contents.
fn is_data(desc: &str) -> bool {
    matches!(desc, "TABLE DATA" | "BLOBS")
}

/// The table of contents of a directory or tar archive. In tar archives the list of large objects is in another file than the one
/// that is noted: one for each entry since 17, one for all before.
fn read_toc_file(files: &dyn Files) -> Result<Toc, Fault> {
    let mut toc = read_toc(open_file(files, TOC)?)?;
    for entry in toc.entries.iter_mut().filter(|entry| entry.desc == "BLOBS") {
        let own = format!("blobs_{}.toc", entry.dump_id);
        for list in [own, "blobs.toc".to_owned()] {
            if stored(files, &entry.file)?.is_none() && stored(files, &list)?.is_some() {
                entry.file = list;
            }
        }
    }
    Ok(toc)
}

fn open_source(source: Arc<dyn Source>) -> Result<(Store, Toc, &'static str, u64), Fault> {
    let size = source.len();
    let mut head = [0; HEAD_BYTES];
    let length = head.len().min(usize::try_from(size).unwrap_or(usize::MAX));
    From::range(&source, 0, size).read_exact(&mut head[..length])?;
    if tar::is_tar(&head[..length]) {
        let files: Arc<dyn Files> = Arc::new(Tar::new(source)?);
        let toc = read_toc_file(files.as_ref())?;
        return Ok((Store::Files(files), toc, "tar", size));
    }
    let toc = read_toc(From::range(&source, 0, size))?;
    if toc.head.form != Form::Custom {
        return Err(Fault::Unsupported(
            "it is the toc.dat of a directory or tar archive: give the directory".to_owned(),
        ));
    }
    Ok((
        Store::Custom(Custom::new(source, &toc)?),
        toc,
        "custom",
        size,
    ))
}

/// Large objects, one after the other.
enum LargeObjects {
    Custom(CustomObjects),
    Files(FileObjects),
}

impl LargeObjects {
    fn next(&mut self) -> Result<Option<u32>, Fault> {
        match self {
            LargeObjects::Custom(objects) => objects.next(),
            LargeObjects::Files(objects) => objects.next(),
        }
    }
}

impl Read for LargeObjects {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            LargeObjects::Custom(objects) => objects.read(buffer),
            LargeObjects::Files(objects) => objects.read(buffer),
        }
    }
}

/// Text or large objects, cut into pieces.
enum Cut {
    Text(TextPieces<Box<dyn Read + Send>>),
    Objects(Box<ObjectPieces>),
}

/// Pieces whose faults say where they were met.
struct Named {
    archive: String,
    what: String,
    source: Cut,
}

impl PieceSource for Named {
    fn next(&mut self) -> Result<Option<Piece>> {
        let piece = match &mut self.source {
            Cut::Text(pieces) => pieces.next(),
            Cut::Objects(pieces) => pieces.next(),
        };
        piece.map_err(|fault| fault_in(&self.archive, &self.what, fault))
    }
}

fn fault_in(archive: &str, what: &str, fault: Fault) -> Error {
    match fault {
        Fault::Damaged(fault) => error_of(archive, Fault::Damaged(format!("{what}: {fault}"))),
        Fault::Unsupported(fault) => {
            error_of(archive, Fault::Unsupported(format!("{what}: {fault}")))
        }
        Fault::Io(error) => error_of(archive, Fault::Io(error)),
    }
}

fn error_of(name: &str, fault: Fault) -> Error {
    let error = |kind, what, detail: String| {
        let detail = quote::one_line(&detail).into_owned();
        let mut first = detail.chars();
        let upper: String = first
            .next()
            .into_iter()
            .flat_map(char::to_uppercase)
            .collect();
        Error::new(kind, format!("archive \"{name}\" {what}"))
            .detail(format!("{upper}{}.", first.as_str()))
    };
    match fault {
        Fault::Damaged(fault) => error(ErrorKind::Damaged, "is damaged", fault)
            .hint("Do not restore from it. Is there another copy or an older backup?"),
        Fault::Unsupported(fault) => {
            error(ErrorKind::Unsupported, "of pg_dump cannot be read", fault)
        }
        Fault::Io(error) => Error::io(format!("could not read archive \"{name}\""), error),
    }
}
