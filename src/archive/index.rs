//! The index: comment lines at the end of an archive that tell what it holds and where.
//!
//! Every line is `--pgstow:` and one JSON document: first a [`Header`], then one [`TocEntry`] per
//! object in script order, then one [`Member`] per stored member in file order.

use std::collections::HashMap;

use rayon::iter::ParallelIterator;
use rayon::slice::ParallelSlice;
use serde::{Deserialize, Serialize};

use super::{InsertColumns, InsertStyle, InsertTarget, InsertText, TextEncoding};
use crate::lexer::StringSyntax;
use crate::objects::quote;
use crate::objects::{Database, Kind};
use crate::pg_archive::PgDumpHeader;
use crate::{Error, Result};

/// Where in the script an entry belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// Definitions that data needs.
    PreData,
    /// Rows and large objects.
    Data,
    /// What is faster or only possible with the data in place.
    PostData,
}

impl Header {
    /// What `'...'` means in its statements.
    pub fn strings(&self) -> StringSyntax {
        match self.pg_dump.as_ref().is_some_and(|it| it.escape_strings) {
            true => StringSyntax::Escaped,
            false => StringSyntax::Standard,
        }
    }

    /// The encoding of the members' text.
    pub fn text_encoding(&self) -> TextEncoding {
        match self.text_encoding {
            Some(encoding) => encoding,
            None if self.encoding == TextEncoding::SQL_ASCII.name() => TextEncoding::SQL_ASCII,
            None => TextEncoding::UTF8,
        }
    }

    /// The oldest format version that has what this archive holds.
    pub fn needs_format(&self) -> u32 {
        match self.inserts {
            _ if self.session_authorization => 3,
            Some(_) => 2,
            None => 1,
        }
    }

    /// Whether rows that meet an equal key in the target are left out.
    pub fn skips_conflicts(&self) -> bool {
        (self.inserts).is_some_and(|style| style.on_conflict_do_nothing)
    }
}

impl TocEntry {
    /// The INSERT statements of the entry's rows; `None` without rows.
    ///
    /// # Errors
    /// A character of a name that the encoding does not have.
    pub fn insert_text(
        &self,
        style: InsertStyle,
        encoding: TextEncoding,
    ) -> Option<Result<InsertText, char>> {
        let rows = self.rows.as_ref()?;
        let target = InsertTarget {
            table: self.loaded_into()?,
            columns: &rows.columns,
            known: rows.inserts.as_ref(),
        };
        Some(InsertText::new(target, style, encoding))
    }

    /// Schema and name of the table that the entry's rows are loaded into; `None` without rows.
    pub fn loaded_into(&self) -> Option<(&str, &str)> {
        match &self.rows.as_ref()?.root {
            Some((schema, name)) => Some((schema, name)),
            None => Some((self.schema.as_deref()?, &self.name)),
        }
    }
}

impl Section {
    /// Every section, in order.
    pub const ALL: [Section; 3] = [Section::PreData, Section::Data, Section::PostData];

    /// Its name, as `--section` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Section::PreData => "pre-data",
            Section::Data => "data",
            Section::PostData => "post-data",
        }
    }
}

impl std::str::FromStr for Section {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let section = Section::ALL
            .into_iter()
            .find(|section| section.as_str() == name);
        section.ok_or_else(|| "give pre-data, data or post-data".to_owned())
    }
}

/// An entry's number in the table of contents of one archive. Counts from 1 in script order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DumpId(pub u32);

/// A number of a member, counted from 0 in file order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MemberId(pub u32);

/// The first line of the index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Format version, see [`super::FORMAT_VERSION`]. A reader refuses a newer one.
    pub format: u32,
    /// A random id of this archive, 32 hexadecimal digits.
    pub archive_id: String,
    /// `pgstow 0.1.0`
    pub tool: String,
    /// `server_version` of the source.
    pub server_version: String,
    /// `server_version_num` of the source.
    pub server_version_num: u32,
    /// The source database.
    pub database: String,
    /// Its encoding, such as `UTF8`.
    pub encoding: String,
    /// LC_COLLATE of the source database.
    pub lc_collate: String,
    /// LC_CTYPE of the source database.
    pub lc_ctype: String,
    /// Start of the run, RFC 3339, UTC.
    pub started: String,
    /// What CREATE DATABASE and ALTER DATABASE said of the source.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub properties: Option<Database>,
    /// Exported snapshot that all rows come from.
    pub snapshot: String,
    /// The encoding of the members' text, if it is neither UTF-8 nor that of a database in SQL_ASCII (`--encoding`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub text_encoding: Option<TextEncoding>,
    /// How rows of tables are INSERT statements; `None`: they are COPY (format version 1).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub inserts: Option<InsertStyle>,
    /// Whether objects are made as their owners (format version 3), see [`TocEntry::give_to_owner`].
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub session_authorization: bool,
    /// Options that make the archive less than the whole database (`--table`, `--schema-only`...),
    /// empty for a whole one.
    pub partial: Vec<String>,
    /// Number of TOC lines that follow.
    pub entries: u64,
    /// Number of member lines that follow these.
    pub members: u64,
    /// Of archives of pg_dump; never stored.
    #[serde(skip)]
    pub pg_dump: Option<PgDumpHeader>,
}

/// A piece of a member: whole statements with the newlines between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Which member.
    pub member: MemberId,
    /// Bytes from the start of the decompressed member.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// One object of the table of contents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TocEntry {
    /// Its number.
    pub id: DumpId,
    /// Its kind, `objects::Kind::as_str`.
    pub kind: String,
    /// The schema it lies in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub schema: Option<String>,
    /// Its name, functions with their arguments.
    pub name: String,
    /// The table that an index, constraint, trigger, policy, comment... belongs to, as an entry of kind
    /// TABLE (or VIEW, MATERIALIZED VIEW, SEQUENCE). Tables name themselves.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub relation: Option<DumpId>,
    /// The entry that a comment or an ACL is about, or that a function's body or a domain's default or check was taken out of.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<DumpId>,
    /// Its owner's name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owner: Option<String>,
    /// Its section.
    pub section: Section,
    /// Entries that must be restored before.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub depends_on: Vec<DumpId>,
    /// Tables that its statements lock, `true` for exclusively.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub locks: Vec<(DumpId, bool)>,
    /// The statement that drops it, with IF EXISTS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub drop: Option<String>,
    /// Where its statements are. `None` for entries with data members only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub create: Option<Span>,
    /// Where its ALTER ... OWNER TO is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub alter_owner: Option<Span>,
    /// ALTER ... OWNER TO, if the script does without it by making the entry as its owner.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub give_to_owner: Option<String>,
    /// Of TABLE DATA: what its members hold together.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rows: Option<Box<TableRows>>,
}

/// What the members of one table hold together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableRows {
    /// Column names in the order of the COPY text.
    pub columns: Vec<String>,
    /// Number of rows.
    pub rows: u64,
    /// Bytes of COPY text, newlines included, COPY statement and terminator not.
    pub bytes: u64,
    /// Sum modulo 2^128 of XXH3-128 of each row's COPY text without its newline, 32 hexadecimal digits.
    /// It does not depend on the order of the rows.
    pub digest: String,
    /// Of a partition whose rows must find their partition anew: schema and name of the topmost table, which they are
    /// loaded into.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub root: Option<(String, String)>,
    /// What INSERT statements have to know of the columns; only in archives that hold such (format version 2).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub inserts: Option<InsertColumns>,
}

/// What a member is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberRole {
    /// Session settings, and the lines of `--restrict-key`, also of its end.
    Preamble,
    /// Statements of entries in one section.
    Statements,
    /// One COPY statement, or calls that fill large objects.
    Data,
}

/// One member as it is stored. The index and the footer are not listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// What it is for.
    pub role: MemberRole,
    /// Its section; the preamble belongs to pre-data.
    pub section: Section,
    /// Bytes from the start of the file.
    pub offset: u64,
    /// Bytes stored.
    pub stored_length: u64,
    /// Bytes after decompression.
    pub length: u64,
    /// BLAKE3 of the stored bytes, 64 hexadecimal digits.
    pub blake3: String,
    /// Of data members: the entry whose rows they are.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub entry: Option<DumpId>,
    /// Of data members: number of rows, or of calls.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rows: Option<u64>,
}

/// The whole index in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    /// The first line.
    pub header: Header,
    /// Entries in script order; `entries[i].id.0 == i + 1`.
    pub entries: Vec<TocEntry>,
    /// Members in file order.
    pub members: Vec<Member>,
}

/// How every line of the index starts.
const LINE_START: &str = "--pgstow:";

impl Span {
    /// Its bytes of the decompressed member.
    pub fn slice<'a>(&self, member_text: &'a [u8]) -> Option<&'a [u8]> {
        let start = usize::try_from(self.offset).ok()?;
        let end = start.checked_add(usize::try_from(self.length).ok()?)?;
        member_text.get(start..end)
    }
}

impl TocEntry {
    /// `"schema"."name"` for relations and their data, on one line and safe to print.
    pub fn qualified_name(&self) -> String {
        let name = match &self.schema {
            Some(schema) => quote::qualified(schema, &self.name),
            None => quote::ident(&self.name),
        };
        quote::one_line(&name).into_owned()
    }
}

impl Index {
    /// The entry of a number.
    pub fn entry(&self, id: DumpId) -> Option<&TocEntry> {
        self.entries.get(self.position(id)?)
    }

    /// Where the entry with a number stands.
    pub fn position(&self, id: DumpId) -> Option<usize> {
        let at = usize::try_from(id.0).ok()?.checked_sub(1)?;
        (at < self.entries.len()).then_some(at)
    }

    /// Whether it is rows of a foreign table, which lie in another server.
    pub fn is_of_foreign_table(&self, entry: &TocEntry) -> bool {
        let table = entry.relation.and_then(|id| self.entry(id));
        entry.rows.is_some() && table.is_some_and(|it| it.kind == Kind::ForeignTable.as_str())
    }

    /// The member of a number.
    pub fn member(&self, id: MemberId) -> Option<&Member> {
        self.members.get(usize::try_from(id.0).ok()?)
    }

    /// All members with their numbers, in file order.
    pub fn numbered_members(&self) -> impl Iterator<Item = (MemberId, &Member)> {
        (0..).map(MemberId).zip(&self.members)
    }

    /// The data members of an entry, in file order. Looks at all members: for many entries take
    /// [`Index::members_by_entry`].
    pub fn data_members(&self, entry: DumpId) -> impl Iterator<Item = (MemberId, &Member)> {
        self.numbered_members()
            .filter(move |(_, member)| member.entry == Some(entry))
    }

    /// The data members of every entry that has some, in file order.
    pub fn members_by_entry(&self) -> HashMap<DumpId, Vec<MemberId>> {
        let mut members: HashMap<DumpId, Vec<MemberId>> = HashMap::new();
        for (id, member) in self.numbered_members() {
            if let Some(entry) = member.entry {
                members.entry(entry).or_default().push(id);
            }
        }
        members
    }

    /// A member in words for a message: its number, what it holds, where it lies.
    pub fn describe(&self, id: MemberId) -> String {
        let Some(member) = self.member(id) else {
            return format!("Member {}", id.0);
        };
        let content = match (member.role, member.entry.and_then(|id| self.entry(id))) {
            (MemberRole::Preamble, _) => "session settings".to_owned(),
            (MemberRole::Statements, _) | (MemberRole::Data, None) => match member.section {
                Section::PreData => "pre-data statements".to_owned(),
                Section::Data => "data statements".to_owned(),
                Section::PostData => "post-data statements".to_owned(),
            },
            (MemberRole::Data, Some(entry)) if entry.rows.is_some() => {
                format!("rows of {}", entry.qualified_name())
            }
            (MemberRole::Data, Some(entry)) => {
                format!("{} {}", entry.kind, entry.qualified_name())
            }
        };
        format!(
            "Member {} ({content}; offset {}, {} bytes)",
            id.0, member.offset, member.stored_length
        )
    }

    pub(crate) fn empty() -> Index {
        Index {
            header: Header {
                format: super::FORMAT_VERSION,
                archive_id: String::new(),
                tool: String::new(),
                server_version: String::new(),
                server_version_num: 0,
                database: String::new(),
                encoding: String::new(),
                text_encoding: None,
                inserts: None,
                session_authorization: false,
                properties: None,
                lc_collate: String::new(),
                lc_ctype: String::new(),
                started: String::new(),
                snapshot: String::new(),
                partial: Vec::new(),
                entries: 0,
                members: 0,
                pg_dump: None,
            },
            entries: Vec::new(),
            members: Vec::new(),
        }
    }

    /// The lines of the index.
    pub(super) fn to_text(&self) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        push_line(&mut text, &self.header)?;
        push_lines(&mut text, &self.entries)?;
        push_lines(&mut text, &self.members)?;
        Ok(text)
    }

    /// Reads the lines back. Of a newer format only the header is read: the caller refuses it.
    ///
    /// # Errors
    /// What is wrong, as a phrase.
    pub(super) fn parse(text: &[u8]) -> Result<Index, String> {
        let mut lines = Lines::of(text)?;
        let format = lines.peek::<FormatOnly>()?.format;
        if format > super::FORMAT_VERSION {
            let mut index = Index::empty();
            index.header.format = format;
            return Ok(index);
        }
        let header: Header = lines.next()?;
        let mut entries = Vec::new();
        for _ in 0..header.entries {
            entries.push(lines.next()?);
        }
        let mut members = Vec::new();
        for _ in 0..header.members {
            members.push(lines.next()?);
        }
        lines.end()?;
        Ok(Index {
            header,
            entries,
            members,
        })
    }

    /// Checks all that the format promises of an index whose members end at `end_of_members`.
    ///
    /// # Errors
    /// What is wrong, as a phrase.
    pub(super) fn validate(&self, end_of_members: u64) -> Result<(), String> {
        self.validate_members(end_of_members)?;
        let mut rows_of_members: HashMap<DumpId, u64> = HashMap::new();
        for member in &self.members {
            if let (Some(entry), Some(rows)) = (member.entry, member.rows) {
                let sum = rows_of_members.entry(entry).or_default();
                *sum = sum.saturating_add(rows);
            }
        }
        for (entry, number) in self.entries.iter().zip(1..) {
            if entry.id != DumpId(number) {
                return Err(format!("entry {} stands in place {number}", entry.id.0));
            }
            self.validate_entry(entry)
                .map_err(|fault| format!("entry {number} {fault}"))?;
            if let Some(rows) = &entry.rows {
                let found = rows_of_members.get(&entry.id).copied().unwrap_or(0);
                if found != rows.rows {
                    return Err(format!(
                        "entry {number} has {} rows, its members have {found}",
                        rows.rows
                    ));
                }
            }
        }
        Ok(())
    }

    fn validate_members(&self, end_of_members: u64) -> Result<(), String> {
        let mut end = 0_u64;
        for (id, member) in self.numbered_members() {
            if member.offset != end {
                return Err(format!("member {} does not start at offset {end}", id.0));
            }
            end = end
                .checked_add(member.stored_length)
                .ok_or_else(|| format!("member {} is too long", id.0))?;
            let is_data = member.role == MemberRole::Data;
            if member.entry.is_some() != is_data || member.rows.is_some() != is_data {
                return Err(format!(
                    "member {} is of a table or large object and is not, both at once",
                    id.0
                ));
            }
            if member.entry.is_some_and(|id| self.entry(id).is_none()) {
                return Err(format!("member {} belongs to no entry", id.0));
            }
        }
        if end == end_of_members {
            Ok(())
        } else {
            Err(format!(
                "members end at offset {end} instead of {end_of_members}"
            ))
        }
    }

    fn validate_entry(&self, entry: &TocEntry) -> Result<(), String> {
        let named = entry
            .depends_on
            .iter()
            .chain(entry.locks.iter().map(|(id, _)| id))
            .chain(&entry.relation)
            .chain(&entry.subject);
        for &id in named {
            if self.entry(id).is_none() {
                return Err(format!("refers to entry {}, which does not exist", id.0));
            }
        }
        for span in entry.create.iter().chain(&entry.alter_owner) {
            let member = self.member(span.member);
            let fits = member.is_some_and(|member| {
                member.role == MemberRole::Statements
                    && span
                        .offset
                        .checked_add(span.length)
                        .is_some_and(|end| end <= member.length)
            });
            if !fits {
                return Err("points outside of the members of statements".to_owned());
            }
        }
        Ok(())
    }
}

/// The one field that every format has.
#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

/// Documents of which a core makes lines at a time: enough to be worth the change, and little memory beside the text.
const LINES_AT_ONCE: usize = 1 << 12;

/// Adds a line for each document, made on all cores.
fn push_lines<T: Serialize + Sync>(text: &mut Vec<u8>, documents: &[T]) -> Result<()> {
    let lines_of = |share: &[T]| {
        let mut lines = Vec::new();
        share.iter().try_for_each(|it| push_line(&mut lines, it))?;
        Ok(lines)
    };
    for documents in documents.chunks(LINES_AT_ONCE * rayon::current_num_threads()) {
        let shares = documents.par_chunks(LINES_AT_ONCE).map(lines_of);
        let shares: Vec<Vec<u8>> = shares.collect::<Result<_>>()?;
        for mut lines in shares {
            text.append(&mut lines);
        }
    }
    Ok(())
}

fn push_line(text: &mut Vec<u8>, document: &impl Serialize) -> Result<()> {
    text.extend(LINE_START.as_bytes());
    serde_json::to_writer(&mut *text, document)
        .map_err(|e| Error::internal("could not write the index").caused_by(e))?;
    text.push(b'\n');
    Ok(())
}

struct Lines<'a> {
    lines: std::str::Lines<'a>,
    number: usize,
}

impl<'a> Lines<'a> {
    fn of(text: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8")?;
        Ok(Lines {
            lines: text.lines(),
            number: 0,
        })
    }

    fn next<T: Deserialize<'a>>(&mut self) -> Result<T, String> {
        self.number += 1;
        let json = self
            .lines
            .next()
            .and_then(|line| line.strip_prefix(LINE_START))
            .ok_or_else(|| format!("line {} is missing", self.number))?;
        serde_json::from_str(json).map_err(|e| format!("line {}: {e}", self.number))
    }

    fn peek<T: Deserialize<'a>>(&self) -> Result<T, String> {
        Lines {
            lines: self.lines.clone(),
            number: self.number,
        }
        .next()
    }

    fn end(mut self) -> Result<(), String> {
        match self.lines.next() {
            None => Ok(()),
            Some(_) => Err(format!("lines follow line {}", self.number)),
        }
    }
}
