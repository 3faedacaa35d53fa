//! The index: comment lines at the end of an archive that tell what it holds and where.
//!
//! Every line is `--pgstow:` and one JSON document: first a [`Header`], then one [`TocEntry`] per
//! object in script order, then one [`Member`] per stored member in file order.

use serde::{Deserialize, Serialize};

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
    /// Exported snapshot that all rows come from.
    pub snapshot: String,
    /// Options that make the archive less than the whole database (`--table`, `--schema-only`...),
    /// empty for a whole one.
    pub partial: Vec<String>,
    /// Number of TOC lines that follow.
    pub entries: u64,
    /// Number of member lines that follow these.
    pub members: u64,
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
    /// The entry that a comment or an ACL is about.
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
    /// Of TABLE DATA: what its members hold together.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rows: Option<TableRows>,
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
}

/// What a member is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberRole {
    /// Session settings.
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

impl Index {
    /// The entry of a number.
    pub fn entry(&self, id: DumpId) -> Option<&TocEntry> {
        self.entries
            .get(usize::try_from(id.0).ok()?.checked_sub(1)?)
    }
}
