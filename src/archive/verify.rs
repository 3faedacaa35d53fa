//! Verifying an archive: that all of its bytes are as written, and that they hold what the index says.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::Cow;

use super::role_change::changes_role;
use super::{
    ArchiveReader, Codec, CopyText, DumpId, Header, Index, InsertStyle, Member, MemberId,
    MemberRole, RowDigest, Source, Span, TextEncoding, TocEntry, copy_rows, copy_statement,
    open_local,
};
use crate::event::{Event, Events, Phase};
use crate::lexer::{self, StringSyntax};
use crate::objects::{Kind, quote};
use crate::pg_archive::is_directory_archive;
use crate::{Error, ErrorKind, Result};

/// How much to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyLevel {
    /// Footer, index and sizes: reads a few kilobytes.
    Quick,
    /// Every byte, every row, every statement.
    Full,
}

/// One thing that is wrong with an archive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Damage {
    /// The member, if it is about one.
    pub member: Option<u32>,
    /// The table or object, if it is about one.
    pub object: Option<String>,
    /// Where the member starts in the file.
    pub offset: Option<u64>,
    /// What is wrong, a sentence on one line.
    pub what: String,
}

/// What `FILE.sha256` and `FILE.meta` say of the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Comparison {
    /// There is no such file.
    Absent,
    /// Not compared at this level.
    Skipped,
    /// It is equal.
    Equal,
    /// It is not; the report's damage says what.
    Different,
}

/// What was verified and what was found.
#[derive(Clone, Debug, Serialize)]
pub struct VerifyReport {
    /// The archive's name.
    pub archive: String,
    /// How much was verified.
    pub level: VerifyLevel,
    /// How its members are stored; of an archive of pg_dump see there.
    pub codec: Codec,
    /// Of an archive of pg_dump: its format. It has no checksums: that every row could be read is all that can be said of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pg_dump: Option<String>,
    /// Bytes of the file.
    pub size_bytes: u64,
    /// Members read (full) or listed (quick).
    pub members: u64,
    /// Tables with rows in the index.
    pub tables: u64,
    /// Their rows.
    pub rows: u64,
    /// `FILE.sha256` against the file.
    pub sha256: Comparison,
    /// Size and SHA-256 of `FILE.meta` against the file.
    pub meta: Comparison,
    /// What is wrong, in file order; at most [`VerifyReport::MOST_DAMAGE`] items.
    pub damage: Vec<Damage>,
    /// How much is wrong.
    pub damage_count: usize,
}

impl VerifyReport {
    /// As many damages are listed.
    pub const MOST_DAMAGE: usize = 20;

    /// Whether nothing is wrong.
    pub fn is_intact(&self) -> bool {
        self.damage_count == 0
    }

    /// The error that tells of the damage; `Ok` if there is none.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn into_result(self) -> Result<Self> {
        if self.is_intact() {
            return Ok(self);
        }
        let mut error = Error::new(
            ErrorKind::Damaged,
            format!("archive \"{}\" is damaged", self.archive),
        )
        .hint("Do not restore from it. Is there another copy or an older backup?");
        for damage in &self.damage {
            error = error.detail(damage.what.clone());
        }
        let more = self.damage_count - self.damage.len();
        Err(if more == 0 {
            error
        } else {
            error.detail(format!("And {more} more."))
        })
    }
}

/// An archive as it lies in its place, with what its side files say.
pub struct Stored {
    /// Its bytes as stored: of an encrypted archive the encrypted ones.
    pub source: Box<dyn Source>,
    /// The text of its `.sha256`.
    pub sha256_file: Option<String>,
    /// The text of its `.meta`.
    pub meta_file: Option<String>,
}

/// Verifies a file of this host and its `.sha256` and `.meta`, if there are any, with `jobs` threads. `open` gives the archive
/// in the stored bytes: the same ones unless they are encrypted. Damage behind an intact footer and index is all gathered in
/// the report.
///
/// # Errors
/// `Damaged` if footer or index are damaged; `NotFound`, `Io`, `Unsupported` as [`ArchiveReader::open`].
pub fn verify_file(
    path: &Path,
    open: &dyn Fn(Box<dyn Source>) -> Result<Box<dyn Source>>,
    level: VerifyLevel,
    jobs: NonZeroUsize,
    events: &Events,
) -> Result<VerifyReport> {
    if is_directory_archive(path) {
        let reader = ArchiveReader::open_directory(path)?;
        return verify_directory(&reader, level, jobs, events);
    }
    let name = path.display().to_string();
    let source = || {
        open_local(path).map_err(|e| {
            let name = quote::one_line(&name);
            Error::io(format!("could not open archive \"{name}\""), e)
        })
    };
    let reader = ArchiveReader::from_source(&name, open(source()?)?)?;
    let stored = Stored {
        source: source()?,
        sha256_file: read_if_there(&beside(path, ".sha256"))?,
        meta_file: read_if_there(&beside(path, ".meta"))?,
    };
    verify_archive(&reader, &stored, level, jobs, events)
}

/// Verifies an open archive and how it is stored, with `jobs` threads. All damage is gathered in the report.
///
/// # Errors
/// Whatever keeps it from reading.
pub fn verify_archive(
    reader: &ArchiveReader,
    stored: &Stored,
    level: VerifyLevel,
    jobs: NonZeroUsize,
    events: &Events,
) -> Result<VerifyReport> {
    events.phase(Phase::Verify);
    let sides = SideFiles::of(stored);
    let mut found = Found::default();
    let (sha256, meta) = match level {
        VerifyLevel::Quick => sides.compare(stored.source.len(), None, &mut found),
        VerifyLevel::Full => {
            let (members, sha256) = std::thread::scope(|scope| {
                let sha256 = sides
                    .need_sha256()
                    .then(|| scope.spawn(|| sha256_of(stored.source.as_ref(), reader.name())));
                let members = verify_members(reader, jobs, events);
                (members, sha256.map(join).transpose())
            });
            found = members?;
            sides.compare(stored.source.len(), sha256?.as_deref(), &mut found)
        }
    };
    Ok(found.into_report(reader, level, sha256, meta))
}

/// A directory of pg_dump has nothing beside it that tells what it should be.
fn verify_directory(
    reader: &ArchiveReader,
    level: VerifyLevel,
    jobs: NonZeroUsize,
    events: &Events,
) -> Result<VerifyReport> {
    events.phase(Phase::Verify);
    let mut found = Found::default();
    if level == VerifyLevel::Full {
        found = verify_members(reader, jobs, events)?;
    }
    Ok(found.into_report(reader, level, Comparison::Absent, Comparison::Absent))
}

/// Verifies the members of an open archive: BLAKE3, decompression, structure, rows and digests.
///
/// # Errors
/// Whatever keeps it from reading the file. Damage is returned.
fn verify_members(reader: &ArchiveReader, jobs: NonZeroUsize, events: &Events) -> Result<Found> {
    let index = reader.index();
    events.emit(Event::Planned {
        items: index.header.members,
        bytes: index.members.iter().map(|m| m.stored_length).sum(),
    });
    let check = Check {
        reader,
        events,
        spans: spans_by_member(index),
        next: AtomicUsize::new(0),
        stopped: AtomicBool::new(false),
        found: Mutex::default(),
    };
    let workers = jobs.get().min(index.members.len()).max(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|worker| {
                let check = &check;
                scope.spawn(move || check.work(worker))
            })
            .collect();
        threads.into_iter().try_for_each(join)
    })?;
    let mut found = check
        .found
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    if !reader.is_of_pg_dump() {
        found.compare_tables(index);
    }
    Ok(found)
}

fn join<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread
        .join()
        .unwrap_or_else(|_| Err(Error::internal("a verifying thread panicked")))
}

/// What the workers share.
struct Check<'a> {
    reader: &'a ArchiveReader,
    events: &'a Events,
    spans: HashMap<MemberId, Vec<Span>>,
    next: AtomicUsize,
    stopped: AtomicBool,
    found: Mutex<Found>,
}

impl Check<'_> {
    fn work(&self, worker: usize) -> Result<()> {
        let members = &self.reader.index().members;
        while !self.stopped.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(member) = members.get(number) else {
                break;
            };
            let id = u32::try_from(number)
                .map(MemberId)
                .map_err(|_| Error::internal("a member's number exceeds 2^32"))?;
            self.events.emit(Event::WorkerStarted {
                worker,
                item: self.reader.index().describe(id),
            });
            self.check(id, member)
                .inspect_err(|_| self.stopped.store(true, Ordering::Relaxed))?;
            self.events.emit(Event::WorkerAdvanced {
                worker,
                rows: member.rows.unwrap_or(0),
                bytes: member.stored_length,
            });
            self.events.emit(Event::WorkerFinished { worker });
        }
        Ok(())
    }

    fn check(&self, id: MemberId, member: &Member) -> Result<()> {
        if self.reader.is_of_pg_dump() {
            return self.read(id, member);
        }
        let text = match self.reader.read_member(id) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::Damaged => {
                self.found()
                    .damage(self.reader.index(), id, e.details().join(" "));
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        let outcome = match (member.role, member.entry) {
            (MemberRole::Data, Some(entry)) => self.check_data(entry, member, &text),
            (MemberRole::Data, None) => Err("it belongs to no entry".to_owned()),
            (MemberRole::Preamble, _) => {
                as_statements(&without_restrict_lines(&text), self.encoding()).map(drop)
            }
            (MemberRole::Statements, _) => check_statements(
                &text,
                &self.reader.index().header,
                self.spans.get(&id).map(Vec::as_slice).unwrap_or_default(),
            ),
        };
        if let Err(fault) = outcome {
            let index = self.reader.index();
            let what = format!("{}: {fault}.", index.describe(id));
            self.found().damage(index, id, what);
        }
        Ok(())
    }

    /// Reads a member of an archive of pg_dump to its end.
    fn read(&self, id: MemberId, member: &Member) -> Result<()> {
        match (self.reader.check_member(id), member.entry) {
            (Ok(count), Some(entry)) => {
                let read = Rows {
                    rows: count.rows,
                    bytes: count.bytes,
                    ..Rows::default()
                };
                self.found().tables.entry(entry).or_default().add(&read);
                Ok(())
            }
            (Ok(_), None) => Ok(()),
            (Err(e), _) if e.kind() == ErrorKind::Damaged => {
                let what = e.details().join(" ");
                self.found().damage(self.reader.index(), id, what);
                Ok(())
            }
            (Err(e), _) => Err(e),
        }
    }

    fn check_data(&self, id: DumpId, member: &Member, text: &[u8]) -> Result<(), String> {
        let entry = self
            .reader
            .index()
            .entry(id)
            .ok_or("it belongs to no entry")?;
        let rows = if entry.rows.is_some() {
            let seen = check_rows(entry, text, &self.reader.index().header)?;
            self.found().tables.entry(id).or_default().add(&seen);
            seen.rows
        } else {
            as_statements(text, self.encoding())?
        };
        match member.rows {
            Some(expected) if expected != rows => {
                Err(format!("it has {rows} rows or calls instead of {expected}"))
            }
            _ => Ok(()),
        }
    }

    fn encoding(&self) -> TextEncoding {
        self.reader.index().header.text_encoding()
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the rows of a table amount to.
#[derive(Default)]
struct Rows {
    rows: u64,
    bytes: u64,
    digest: RowDigest,
}

impl Rows {
    fn add(&mut self, other: &Rows) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.digest.merge(other.digest);
    }
}

/// Checks that a data member is statements for rows of the entry's table and columns.
fn check_rows(entry: &TocEntry, text: &[u8], header: &Header) -> Result<Rows, String> {
    let rows = match header.inserts {
        Some(style) => inserted_rows(entry, text, style, header.text_encoding())?.into(),
        None => Cow::from(copied_rows(entry, text, header.text_encoding())?),
    };
    let mut seen = Rows {
        bytes: rows.len() as u64,
        ..Rows::default()
    };
    for row in rows.split_inclusive(|&byte| byte == b'\n') {
        let row = &row[..row.len() - 1];
        if row == b"\\." {
            return Err(format!("COPY ends early, after {} rows", seen.rows));
        }
        seen.rows += 1;
        seen.digest.add_row(row);
    }
    let tabs = rows.iter().filter(|&&byte| byte == b'\t').count() as u64;
    let columns = (entry.rows.as_ref()).map_or(0, |rows| rows.columns.len() as u64);
    if tabs != seen.rows.saturating_mul(columns.saturating_sub(1)) {
        return Err(format!("its rows do not have {columns} columns each"));
    }
    Ok(seen)
}

fn copied_rows<'a>(
    entry: &TocEntry,
    text: &'a [u8],
    encoding: TextEncoding,
) -> Result<&'a [u8], String> {
    let (Some((schema, name)), Some(expected)) = (entry.loaded_into(), &entry.rows) else {
        return Err("its entry is not of a table".to_owned());
    };
    let CopyText { statement, rows } =
        copy_rows(text).map_err(|_| "it is not one COPY statement")?;
    let written = copy_statement(schema, name, &expected.columns);
    if encoding.encode(&written).ok().as_deref() != Some(statement) {
        return Err("its COPY statement is of another table or other columns".to_owned());
    }
    Ok(rows)
}

fn inserted_rows(
    entry: &TocEntry,
    text: &[u8],
    style: InsertStyle,
    encoding: TextEncoding,
) -> Result<Vec<u8>, String> {
    let inserts = entry.insert_text(style, encoding);
    let inserts = inserts.ok_or("its entry is not of a table")?;
    let rows = (inserts.ok()).and_then(|inserts| inserts.parse(text));
    rows.ok_or_else(|| "it is not INSERT statements of its table and columns".to_owned())
}

/// Checks that spans hold whole statements, and that no statement stands outside of them: psql must
/// not run what the index does not list.
fn check_statements(text: &[u8], header: &Header, spans: &[Span]) -> Result<(), String> {
    let encoding = header.text_encoding();
    let mut end = 0_usize;
    for span in spans {
        let start = usize::try_from(span.offset).map_err(|e| e.to_string())?;
        let between = text
            .get(end..start)
            .ok_or_else(|| format!("two entries share the statement at byte {start}"))?;
        check_no_statement(between, header)?;
        let statements = span.slice(text).ok_or("an entry points behind its end")?;
        as_statements(statements, encoding).map_err(|fault| format!("at byte {start}: {fault}"))?;
        end = start + statements.len();
    }
    check_no_statement(&text[end..], header)
}

fn check_no_statement(text: &[u8], header: &Header) -> Result<(), String> {
    let unlisted = |statement: &Range<usize>| {
        let statement = &text[statement.clone()];
        !(header.session_authorization && changes_role(statement))
    };
    match split_statements(text, header.text_encoding())?
        .iter()
        .any(unlisted)
    {
        false => Ok(()),
        true => Err("it holds a statement that no entry lists".to_owned()),
    }
}

/// The text without `\restrict KEY` and `\unrestrict KEY`, the only meta-commands that we write.
fn without_restrict_lines(text: &[u8]) -> Vec<u8> {
    let is_restrict = |line: &[u8]| {
        let key = line
            .strip_prefix(b"\\restrict ")
            .or(line.strip_prefix(b"\\unrestrict "));
        key.and_then(|key| key.strip_suffix(b"\n"))
            .is_some_and(|key| key.iter().all(u8::is_ascii_alphanumeric))
    };
    text.split_inclusive(|&byte| byte == b'\n')
        .filter(|line| !is_restrict(line))
        .flatten()
        .copied()
        .collect()
}

/// Number of statements in a text that is nothing but statements to psql.
fn as_statements(text: &[u8], encoding: TextEncoding) -> Result<u64, String> {
    split_statements(text, encoding).map(|statements| statements.len() as u64)
}

fn split_statements(text: &[u8], encoding: TextEncoding) -> Result<Vec<Range<usize>>, String> {
    if encoding.decode(text).is_none() {
        return Err(format!("it is not {}", encoding.name()));
    }
    lexer::split_bytes(text, StringSyntax::Standard)
        .map_err(|violation| format!("psql would see {violation}"))
}

/// The spans that point into each member, in the order of their offsets.
fn spans_by_member(index: &Index) -> HashMap<MemberId, Vec<Span>> {
    let mut spans: HashMap<MemberId, Vec<Span>> = HashMap::new();
    let all = index.entries.iter();
    for span in all.flat_map(|entry| entry.create.iter().chain(&entry.alter_owner)) {
        spans.entry(span.member).or_default().push(*span);
    }
    for spans in spans.values_mut() {
        spans.sort_by_key(|span| span.offset);
    }
    spans
}

#[derive(Default)]
struct Found {
    damage: Vec<Damage>,
    tables: HashMap<DumpId, Rows>,
}

impl Found {
    fn damage(&mut self, index: &Index, id: MemberId, what: String) {
        let member = index.member(id);
        let entry = member.and_then(|member| index.entry(member.entry?));
        self.damage.push(Damage {
            member: Some(id.0),
            object: entry.map(TocEntry::qualified_name),
            offset: member.map(|member| member.offset),
            what,
        });
    }

    fn damage_of_file(&mut self, what: String) {
        self.damage.push(Damage {
            member: None,
            object: None,
            offset: None,
            what,
        });
    }

    /// Compares tables of which every member is intact.
    fn compare_tables(&mut self, index: &Index) {
        for entry in &index.entries {
            let Some(expected) = &entry.rows else {
                continue;
            };
            let name = entry.qualified_name();
            if self
                .damage
                .iter()
                .any(|d| d.object.as_deref() == Some(&*name))
            {
                continue;
            }
            let none = Rows::default();
            let seen = self.tables.get(&entry.id).unwrap_or(&none);
            let equal = (seen.rows, seen.bytes) == (expected.rows, expected.bytes)
                && seen.digest.to_hex() == expected.digest;
            if !equal {
                self.damage.push(Damage {
                    member: None,
                    object: Some(name.clone()),
                    offset: None,
                    what: format!(
                        "Rows of {name}: {} rows, {} bytes, digest {} instead of {} rows, {} bytes, digest {}.",
                        seen.rows,
                        seen.bytes,
                        seen.digest.to_hex(),
                        expected.rows,
                        expected.bytes,
                        expected.digest
                    ),
                });
            }
        }
    }

    fn into_report(
        mut self,
        reader: &ArchiveReader,
        level: VerifyLevel,
        sha256: Comparison,
        meta: Comparison,
    ) -> VerifyReport {
        let index = reader.index();
        let of_kind = |entry: &&TocEntry| entry.kind == Kind::TableData.as_str();
        let tables = || index.entries.iter().filter(of_kind);
        // What the index does not tell was counted, or it was not asked for.
        let rows_of = |entry: &TocEntry| match reader.is_of_pg_dump() {
            true => self.tables.get(&entry.id).map_or(0, |rows| rows.rows),
            false => entry.rows.as_ref().map_or(0, |rows| rows.rows),
        };
        let (table_count, rows) = (tables().count() as u64, tables().map(rows_of).sum());
        let damage_count = self.damage.len();
        self.damage.sort();
        self.damage.truncate(VerifyReport::MOST_DAMAGE);
        VerifyReport {
            archive: reader.name().to_owned(),
            level,
            codec: reader.codec(),
            pg_dump: (index.header.pg_dump.as_ref()).map(|pg_dump| pg_dump.format.clone()),
            size_bytes: reader.size(),
            members: index.header.members,
            tables: table_count,
            rows,
            sha256,
            meta,
            damage: self.damage,
            damage_count,
        }
    }
}

/// The files beside an archive, as far as they tell something that can be compared.
struct SideFiles {
    /// First word of `FILE.sha256`.
    sha256: Option<String>,
    meta: Option<Result<Meta, String>>,
}

/// The fields of `FILE.meta` that are compared.
#[derive(Deserialize)]
struct Meta {
    #[serde(alias = "size_bytes")]
    size: Option<u64>,
    sha256: Option<String>,
}

impl SideFiles {
    fn of(stored: &Stored) -> Self {
        let sha256 = stored.sha256_file.as_deref();
        let meta = stored.meta_file.as_deref();
        SideFiles {
            sha256: sha256.map(|text| first_word(text).to_owned()),
            meta: meta.map(|text| serde_json::from_str(text).map_err(|e| e.to_string())),
        }
    }

    fn need_sha256(&self) -> bool {
        let meta = self.meta.as_ref().and_then(|meta| meta.as_ref().ok());
        self.sha256.is_some() || meta.is_some_and(|meta| meta.sha256.is_some())
    }

    /// Compares `FILE.sha256` and `FILE.meta`; without the file's own SHA-256, only its size.
    fn compare(
        &self,
        actual_size: u64,
        actual: Option<&str>,
        found: &mut Found,
    ) -> (Comparison, Comparison) {
        let differs = |expected: &str| actual.is_some_and(|actual| actual != expected);
        let sha256 = match (&self.sha256, actual) {
            (None, _) => Comparison::Absent,
            (Some(_), None) => Comparison::Skipped,
            (Some(expected), Some(_)) if !differs(expected) => Comparison::Equal,
            (Some(_), Some(actual)) => {
                found.damage_of_file(format!(
                    "The file's SHA-256 is {actual}, not that of its .sha256."
                ));
                Comparison::Different
            }
        };
        let faults = match &self.meta {
            None => return (sha256, Comparison::Absent),
            Some(Err(fault)) => vec![format!("Its .meta cannot be read: {fault}.")],
            Some(Ok(meta)) => {
                let size = meta.size.filter(|&size| size != actual_size).map(|size| {
                    format!("The file has {actual_size} bytes, not the {size} of its .meta.")
                });
                let sum = meta.sha256.as_deref().filter(|sum| differs(sum));
                let sum = sum.map(|_| "The file's SHA-256 is not that of its .meta.".to_owned());
                size.into_iter().chain(sum).collect()
            }
        };
        let meta = if faults.is_empty() {
            Comparison::Equal
        } else {
            Comparison::Different
        };
        faults
            .into_iter()
            .for_each(|fault| found.damage_of_file(fault));
        (sha256, meta)
    }
}

fn beside(archive: &Path, suffix: &str) -> PathBuf {
    let mut name = archive.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn first_word(text: &str) -> &str {
    text.split_ascii_whitespace().next().unwrap_or_default()
}

fn read_if_there(path: &Path) -> Result<Option<String>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => {
            let name = path.display().to_string();
            Err(Error::io(
                format!("could not read \"{}\"", quote::one_line(&name)),
                e,
            ))
        }
    }
}

/// Reads all bytes in order, a piece at a time. `name` is for messages.
///
/// # Errors
/// `Io`; those of `take`.
pub(crate) fn for_each_piece(
    source: &dyn Source,
    name: &str,
    mut take: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    const STEP: usize = 1 << 20; // large enough for the cost of a call not to show
    let mut buffer = vec![0; STEP];
    let mut offset = 0;
    while offset < source.len() {
        let left = usize::try_from(source.len() - offset).unwrap_or(STEP);
        let piece = &mut buffer[..left.min(STEP)];
        source.read_at(offset, piece).map_err(|e| {
            let length = piece.len();
            Error::io(
                format!("could not read {length} bytes at offset {offset} of \"{name}\""),
                e,
            )
        })?;
        take(piece)?;
        offset += piece.len() as u64;
    }
    Ok(())
}

/// The SHA-256 of all bytes, 64 hexadecimal digits. `name` is for messages.
///
/// # Errors
/// `Io`.
pub(crate) fn sha256_of(source: &dyn Source, name: &str) -> Result<String> {
    let mut sha256 = Sha256::new();
    for_each_piece(source, name, |piece| {
        sha256.update(piece);
        Ok(())
    })?;
    Ok(format!("{:x}", sha256.finalize()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::Compression;
    use super::super::tests::*;
    use super::*;

    fn damage(pieces: &[Piece<'_>], entries: Vec<TocEntry>) -> Vec<String> {
        let written = write(Compression::Gzip(1), pieces, entries);
        let reader = open(written.sink).unwrap();
        let jobs = NonZeroUsize::new(3).unwrap();
        let damage = verify_members(&reader, jobs, &Events::none()).unwrap();
        damage
            .damage
            .into_iter()
            .map(|damage| damage.what)
            .collect()
    }

    #[test]
    fn intact_archive_has_no_damage() {
        assert_eq!(damage(&pieces(&statements()), entries()), [""; 0]);
    }

    #[test]
    fn statements_that_the_index_does_not_list_are_damage() {
        let extra = format!("{}DROP SCHEMA \"s\";\n", statements());
        let found = damage(&pieces(&extra), entries());
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("no entry lists"), "{found:?}");

        let command = statements().replace("integer", "int\\!   ");
        let found = damage(&pieces(&command), entries());
        assert!(found[0].contains("backslash command"), "{found:?}");
    }

    #[test]
    fn data_members_that_differ_from_the_index_are_damage() {
        let with = |place: usize, text: &'static str| {
            let statements = statements();
            let mut pieces = pieces(&statements);
            pieces[place].2 = text;
            damage(&pieces, entries())
        };
        for (place, text, expected) in [
            (
                2,
                "COPY \"s\".\"t\" (\"b\") FROM stdin;\n1\n2\n\\.\n\n",
                "other columns",
            ),
            (
                2,
                "COPY \"s\".\"t\" (\"a\") FROM stdin;\n1\n\\.\n\n",
                "1 rows or calls instead of 2",
            ),
            (
                2,
                "COPY \"s\".\"t\" (\"a\") FROM stdin;\n1\n\\.\n2\n\\.\n\n",
                "ends early",
            ),
            (
                2,
                "COPY \"s\".\"t\" (\"a\") FROM stdin;\n1\t\n2\n\\.\n\n",
                "1 columns each",
            ),
            (
                2,
                "COPY \"s\".\"t\" (\"a\") FROM stdin;\n1\n9\n\\.\n\n",
                "digest",
            ),
            (2, "SELECT 1;\n", "not one COPY statement"),
            (3, "SELECT 1;\nSELECT 2;\n", "2 rows or calls instead of 1"),
            (0, "SELECT 'open;\n", "a string that is opened at byte 7"),
        ] {
            let found = with(place, text);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(expected), "{found:?}");
        }
    }

    #[test]
    fn all_damage_is_listed_with_member_table_and_offset() {
        let mut bytes = small_archive(Compression::Zstd(1)).sink;
        let members = open(bytes.clone()).unwrap().index().members.clone();
        for member in &members[2..] {
            bytes[usize::try_from(member.offset).unwrap() + 9] ^= 1;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("damaged.sql.zst");
        std::fs::write(&path, bytes).unwrap();
        let jobs = NonZeroUsize::MIN;
        let quick = verify_file(&path, &Ok, VerifyLevel::Quick, jobs, &Events::none()).unwrap();
        assert!(quick.is_intact());
        let full = verify_file(&path, &Ok, VerifyLevel::Full, jobs, &Events::none()).unwrap();
        let places: Vec<_> = full.damage.iter().map(|d| (d.member, d.offset)).collect();
        let expected: Vec<_> = (2..5)
            .map(|n| (Some(n), Some(members[n as usize].offset)))
            .collect();
        assert_eq!(places, expected);
        assert_eq!(full.damage[0].object.as_deref(), Some("\"s\".\"t\""));
        let error = full.into_result().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert_eq!(error.details().len(), 3);
    }

    #[test]
    fn files_beside_the_archive_are_compared() {
        let written = small_archive(Compression::Gzip(1));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sql.gz");
        std::fs::write(&path, &written.sink).unwrap();
        let verify =
            |level| verify_file(&path, &Ok, level, NonZeroUsize::MIN, &Events::none()).unwrap();
        let report = verify(VerifyLevel::Full);
        assert_eq!(
            (report.sha256, report.meta),
            (Comparison::Absent, Comparison::Absent)
        );

        let sum = &written.sha256;
        std::fs::write(beside(&path, ".sha256"), format!("{sum}  a.sql.gz\n")).unwrap();
        let meta = format!(
            "{{\"size\":{},\"sha256\":\"{sum}\",\"format\":1}}",
            written.size
        );
        std::fs::write(beside(&path, ".meta"), meta).unwrap();
        let report = verify(VerifyLevel::Full);
        assert_eq!(
            (report.sha256, report.meta),
            (Comparison::Equal, Comparison::Equal)
        );
        assert!(report.is_intact());

        std::fs::write(
            beside(&path, ".sha256"),
            format!("{}  a.sql.gz\n", "0".repeat(64)),
        )
        .unwrap();
        std::fs::write(beside(&path, ".meta"), "{\"size\":1}").unwrap();
        assert_eq!(verify(VerifyLevel::Full).damage_count, 2);
        let quick = verify(VerifyLevel::Quick);
        assert_eq!(
            (quick.sha256, quick.meta),
            (Comparison::Skipped, Comparison::Different)
        );
    }

    #[test]
    fn spans_that_overlap_are_damage() {
        let mut entries = entries();
        entries[1].create = entries[0].create;
        let found = damage(&pieces(&statements()), entries);
        assert!(found[0].contains("share the statement"), "{found:?}");
    }
}
