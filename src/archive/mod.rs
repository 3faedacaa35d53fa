//! The stored format: a SQL script cut into members, an index and a footer.
//!
//! # Specification, format versions 1 to 3
//!
//! An archive is one file. Decompressed from start to end it is a SQL script in plain text that `psql`
//! replays; nothing below may ever break that. The file is a sequence of **pieces** without gaps:
//!
//! ```text
//! member 0 | member 1 | ... | member n-1 | index | footer
//! ```
//!
//! ## Codecs
//! Every piece is stored by itself, all with the same codec:
//!
//! | Codec | a piece is | usual name |
//! |---|---|---|
//! | none  | its bytes | `.sql` |
//! | gzip  | one gzip member (RFC 1952) | `.sql.gz` |
//! | zstd  | one zstd frame (RFC 8878) with its content size | `.sql.zst` |
//!
//! A piece decompresses to at most [`MAX_MEMBER_LENGTH`] bytes and its text ends with a newline, so the next
//! piece starts at the start of a line. The codec is recognised by the footer's form.
//!
//! ## Members
//! - The **preamble** (role `preamble`): session settings. The first member.
//! - **Statements** (role `statements`): whole SQL statements, and between them only white space and
//!   `--` comments. The index says at which byte each entry's statements lie. If the header has `session_authorization`
//!   (format version 3), there are `SET SESSION AUTHORIZATION "role";` and `RESET SESSION AUTHORIZATION;` around those of entries
//!   with `give_to_owner`, too, which belong to no entry.
//! - **Data** (role `data`), belonging to one TOC entry. Of a table (the entry has `rows`): exactly one statement
//!
//!   ```text
//!   COPY "schema"."table" ("a", "b") FROM stdin;⏎
//!   row⏎ row⏎ ...
//!   \.⏎
//!   ⏎
//!   ```
//!
//!   with the columns that the entry lists, all names in double quotes with inner quotes doubled, without the list
//!   of columns if there are none, rows in COPY's text format (manual: "COPY", "Text Format"). `rows` of the
//!   member is the number of rows. Of large objects (the entry has no `rows`): whole statements, `rows` of them.
//!   Data members stand in any order; together those of one entry hold each row once.
//!
//!   If the header has `inserts` (format version 2), the members of tables are INSERT statements instead, with one to
//!   `rows_per_statement` rows each, as [`InsertText`] writes them and no others: columns are named if `column_names` says so or the entry has
//!   no `rows.inserts`, and have DEFAULT in the places of generated ones if not. They stand for the same rows: numbers, bytes and
//!   digests of rows are those of the COPY text.
//!
//! The text of members is in the header's `text_encoding`, UTF-8 if it names none (of a database in SQL_ASCII: bytes as they are).
//! In every encoding that may stand there, bytes that look like ASCII are ASCII. Index and footer are UTF-8 in any case.
//!
//! ## Index
//! Lines of `--pgstow:` and one JSON document without a raw newline, so SQL comments: one [`Header`], `entries` times
//! [`TocEntry`], `members` times [`Member`], in this order; the fields are documented at these types. Unknown fields are to
//! be ignored. It must hold:
//! - entries are numbered 1, 2, 3...; every number that names an entry names one that exists;
//! - members fill the file from offset 0 to the index without gaps, in the order of their lines;
//! - spans lie inside of `statements` members; data members, and only they, name an entry and a number of rows;
//! - the rows of an entry's members add up to the entry's `rows.rows`.
//!
//! ## Footer
//! One SQL comment line of 225 bytes:
//!
//! ```text
//! --pgstow-footer: format=00001 offset=<20 digits> stored=<20 digits> length=<20 digits> blake3=<64 hex> check=<32 hex>⏎
//! ```
//!
//! `offset`, `stored` and `length` are the index's place in the file, its stored and its decompressed length, `blake3` is
//! the BLAKE3 of its stored bytes, and `check` the first 16 bytes of the BLAKE3 of the line up to and with the
//! space before `check=`. It is stored so that its size in the file is always the same and its text is readable in place:
//!
//! | Codec | stored footer |
//! |---|---|
//! | none | the line |
//! | gzip | `1f 8b 08 00 00000000 00 ff`, `01`, LEN, NLEN (RFC 1951 stored block), the line, CRC-32, ISIZE |
//! | zstd | `28 b5 2f fd`, `20`, one byte of content size, 3 bytes of header of a last raw block, the line |
//!
//! A reader demands exactly these bytes, so not one bit of the footer can change unnoticed. It stays the same in all later
//! formats, so that an old reader can tell "newer" from "damaged".
//!
//! ## What covers which bytes
//! Members: the BLAKE3 of their stored bytes in the index. Index: its BLAKE3 in the footer. Footer: its own check and exact
//! form. The file ends with the footer and starts with member 0, so no byte is uncovered, and a file cut anywhere has no footer.
//!
//! ## Row digest
//! The sum modulo 2^128 of XXH3-128 (seed 0) of each row's COPY text without its newline, see [`RowDigest`].
//! It tells damage and mistakes, not forgery.

mod buffers;
mod codec;
mod copy_text;
mod digest;
mod encoding;
mod footer;
mod gzip;
mod index;
mod insert_text;
mod member;
mod pieces;
mod reader;
mod role_change;
mod row_filter;
#[cfg(test)]
pub(crate) mod tests;
mod verify;
mod writer;

pub use codec::{Codec, Compression, ZSTD_LEVELS};
pub(crate) use copy_text::decode_field;
pub use copy_text::{CopyText, copy_rows, copy_statement};
pub use digest::RowDigest;
pub use encoding::TextEncoding;
pub(crate) use encoding::cannot_hold;
pub(crate) use footer::has_footer_magic;
pub use index::{
    DumpId, Header, Index, Member, MemberId, MemberRole, Section, Span, TableRows, TocEntry,
};
pub use insert_text::{InsertColumns, InsertStyle, InsertTarget, InsertText};
pub use member::{EncodedMember, MemberEncoder};
pub(crate) use pieces::PieceSource;
pub use pieces::{Piece, PieceForm, Pieces};
pub use reader::{ArchiveReader, MemberCount, Source};
pub(crate) use reader::{local_source, open_local};
pub(crate) use role_change::{BECOME_ONESELF, become_role};
pub use row_filter::{Condition, PlacedFilter, RowFilter};
pub use verify::{
    Comparison, Damage, Stored, VerifyLevel, VerifyReport, verify_archive, verify_file,
};
pub(crate) use verify::{for_each_piece, sha256_of};
pub use writer::{ArchiveWriter, WrittenArchive};

/// The newest format that this version reads. It writes the oldest one that has what an archive needs, [`Header::needs_format`].
pub const FORMAT_VERSION: u32 = 3;

/// The most bytes that a member or the index may decompress to: 2 GiB. One row of COPY text cannot exceed
/// the server's limit of 1 GiB for a message, and a member ends soon after a row that long.
pub const MAX_MEMBER_LENGTH: u64 = 2 << 30;
