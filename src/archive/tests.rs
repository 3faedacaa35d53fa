//! Whole archives: written, read back, damaged in every possible way.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{self, Read};

use super::*;
use crate::ErrorKind;

/// An archive in memory.
struct InMemory(Vec<u8>);

impl Source for InMemory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.0.get(start..start.checked_add(buffer.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

pub(crate) fn open(bytes: Vec<u8>) -> crate::Result<ArchiveReader> {
    ArchiveReader::from_source("test.sql", Box::new(InMemory(bytes)))
}

const COMPRESSIONS: [Compression; 3] = [
    Compression::None,
    Compression::Gzip(1),
    Compression::Zstd(1),
];

pub(crate) const PREAMBLE: &str =
    "-- pgstow\nSELECT pg_catalog.set_config('search_path', '', false);\n\n";
const CREATE_SCHEMA: &str = "CREATE SCHEMA \"s\";";
const CREATE_TABLE: &str = "CREATE TABLE \"s\".\"t\" (\"a\" integer);";
pub(crate) const TWO_ROWS: &str = "COPY \"s\".\"t\" (\"a\") FROM stdin;\n1\n2\n\\.\n\n";
pub(crate) const ONE_ROW: &str = "COPY \"s\".\"t\" (\"a\") FROM stdin;\n3\n\\.\n\n";
pub(crate) const LARGE_OBJECT: &str = "SELECT pg_catalog.lo_put(16400, 0, '\\x00ff');\n\n";

pub(crate) fn header() -> Header {
    Header {
        archive_id: "0123456789abcdef0123456789abcdef".to_owned(),
        tool: "pgstow 0.1.0".to_owned(),
        server_version: "18.0".to_owned(),
        server_version_num: 180_000,
        database: "line\nbreak and \u{2028}".to_owned(),
        encoding: "UTF8".to_owned(),
        text_encoding: None,
        inserts: None,
        session_authorization: false,
        properties: None,
        lc_collate: "C".to_owned(),
        lc_ctype: "C".to_owned(),
        started: "2026-01-01T00:00:00Z".to_owned(),
        snapshot: "00000003-00000001-1".to_owned(),
        ..Index::empty().header
    }
}

pub(crate) fn entry(id: u32, kind: &str, name: &str, section: Section) -> TocEntry {
    TocEntry {
        id: DumpId(id),
        kind: kind.to_owned(),
        schema: Some("s".to_owned()),
        name: name.to_owned(),
        relation: None,
        subject: None,
        owner: Some("postgres".to_owned()),
        section,
        depends_on: Vec::new(),
        locks: Vec::new(),
        drop: None,
        create: None,
        alter_owner: None,
        give_to_owner: None,
        rows: None,
    }
}

/// A schema, a table with three rows in two members, a large object.
pub(crate) fn entries() -> Vec<TocEntry> {
    let span = |offset: usize, text: &str| {
        Some(Span {
            member: MemberId(1),
            offset: offset as u64,
            length: text.len() as u64,
        })
    };
    let mut schema = entry(1, "SCHEMA", "s", Section::PreData);
    schema.schema = None;
    schema.create = span(0, CREATE_SCHEMA);
    let mut table = entry(2, "TABLE", "t", Section::PreData);
    table.create = span(CREATE_SCHEMA.len() + 2, CREATE_TABLE);
    table.depends_on = vec![DumpId(1)];
    table.relation = Some(DumpId(2));
    let mut data = entry(3, "TABLE DATA", "t", Section::Data);
    let mut digest = RowDigest::default();
    [b"1", b"2", b"3"]
        .iter()
        .for_each(|row| digest.add_row(*row));
    data.relation = Some(DumpId(2));
    data.rows = Some(Box::new(TableRows {
        columns: vec!["a".to_owned()],
        rows: 3,
        bytes: 6,
        digest: digest.to_hex(),
        root: None,
        inserts: None,
    }));
    let mut blobs = entry(4, "BLOBS", "16400..16400", Section::Data);
    blobs.schema = None;
    vec![schema, table, data, blobs]
}

pub(crate) fn statements() -> String {
    format!("{CREATE_SCHEMA}\n\n{CREATE_TABLE}\n\n")
}

/// What a member is made of: role, section, text, entry, rows.
pub(crate) type Piece<'a> = (MemberRole, Section, &'a str, Option<DumpId>, Option<u64>);

pub(crate) fn write(
    compression: Compression,
    pieces: &[Piece<'_>],
    entries: Vec<TocEntry>,
) -> WrittenArchive<Vec<u8>> {
    let mut writer = ArchiveWriter::new(Vec::new(), compression);
    let mut encoder = MemberEncoder::new(compression);
    for &(role, section, text, entry, rows) in pieces {
        let member = encoder
            .encode(role, section, text.as_bytes(), entry, rows)
            .unwrap();
        writer.append(member).unwrap();
    }
    writer.finish(header(), entries).unwrap()
}

pub(crate) fn pieces(statements: &str) -> Vec<Piece<'_>> {
    let data = |text, id, rows| {
        (
            MemberRole::Data,
            Section::Data,
            text,
            Some(DumpId(id)),
            Some(rows),
        )
    };
    vec![
        (MemberRole::Preamble, Section::PreData, PREAMBLE, None, None),
        (
            MemberRole::Statements,
            Section::PreData,
            statements,
            None,
            None,
        ),
        data(TWO_ROWS, 3, 2),
        data(LARGE_OBJECT, 4, 1),
        data(ONE_ROW, 3, 1),
    ]
}

pub(crate) fn small_archive(compression: Compression) -> WrittenArchive<Vec<u8>> {
    write(compression, &pieces(&statements()), entries())
}

/// Opens and reads everything there is.
fn read_all(bytes: Vec<u8>) -> crate::Result<Vec<Vec<u8>>> {
    let reader = open(bytes)?;
    let members = reader.index().numbered_members();
    members.map(|(id, _)| reader.read_member(id)).collect()
}

fn assert_damaged(bytes: Vec<u8>, how: &str) {
    match read_all(bytes) {
        Ok(_) => panic!("not noticed: {how}"),
        Err(e) => assert_eq!(e.kind(), ErrorKind::Damaged, "{how}: {e}"),
    }
}

#[test]
fn archive_comes_back_as_written() {
    for compression in COMPRESSIONS {
        let written = small_archive(compression);
        assert_eq!(written.size, written.sink.len() as u64);
        let reader = open(written.sink.clone()).unwrap();
        assert_eq!(reader.index(), &written.index);
        assert_eq!(reader.codec(), compression.codec());
        let members = read_all(written.sink).unwrap();
        let expected = [PREAMBLE, &statements(), TWO_ROWS, LARGE_OBJECT, ONE_ROW];
        assert_eq!(members, expected.map(|text| text.as_bytes().to_vec()));
        let span = reader.index().entries[1].create.unwrap();
        assert_eq!(reader.read_span(span).unwrap(), CREATE_TABLE.as_bytes());
    }
}

#[test]
fn decompressed_file_is_a_script_with_comments_at_its_end() {
    let plain = String::from_utf8(small_archive(Compression::None).sink).unwrap();
    let mut gunzipped = String::new();
    flate2::read::MultiGzDecoder::new(&small_archive(Compression::Gzip(6)).sink[..])
        .read_to_string(&mut gunzipped)
        .unwrap();
    let unzstd = zstd::decode_all(&small_archive(Compression::Zstd(3)).sink[..]).unwrap();
    let script = [PREAMBLE, &statements(), TWO_ROWS, LARGE_OBJECT, ONE_ROW].concat();
    for text in [plain, gunzipped, String::from_utf8(unzstd).unwrap()] {
        let comments = text.strip_prefix(&script).unwrap();
        assert!(comments.ends_with('\n'));
        assert!(comments.lines().all(|line| line.starts_with("--pgstow")));
        assert_eq!(comments.lines().count(), 1 + 4 + 5 + 1);
    }
}

#[test]
fn every_truncation_is_damage() {
    for compression in COMPRESSIONS {
        let whole = small_archive(compression).sink;
        for length in 0..whole.len() {
            assert_damaged(
                whole[..length].to_vec(),
                &format!("{compression:?} cut to {length} bytes"),
            );
        }
    }
}

#[test]
fn every_flipped_bit_is_damage() {
    for compression in COMPRESSIONS {
        let whole = small_archive(compression).sink;
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_damaged(bytes, &format!("{compression:?} with bit {bit} flipped"));
        }
    }
}

#[test]
fn bytes_before_or_behind_are_damage() {
    for compression in COMPRESSIONS {
        let whole = small_archive(compression).sink;
        for extra in [&b"\n"[..], b"\0", &whole] {
            assert_damaged([&whole, extra].concat(), "bytes behind");
            assert_damaged([extra, &whole].concat(), "bytes before");
        }
    }
}

#[test]
fn newer_format_is_not_called_damage() {
    for compression in COMPRESSIONS {
        let mut bytes = b"members of the future\n".to_vec();
        let footer = footer::Footer {
            format: FORMAT_VERSION + 1,
            offset: 3,
            stored_length: 5,
            length: 7,
            blake3: blake3::hash(b"").to_hex().to_string(),
        };
        bytes.extend(footer.encode(compression.codec()));
        let error = open(bytes).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("newer pgstow"));
    }
}

#[test]
fn empty_and_foreign_files_are_told_apart_from_altered_ones() {
    let detail = |bytes: Vec<u8>| open(bytes).err().unwrap().details().concat();
    let whole = small_archive(Compression::Gzip(1)).sink;
    assert!(detail(Vec::new()).contains("no pgstow footer"));
    assert!(detail(b"SELECT 1;\n".to_vec()).contains("no pgstow footer"));
    assert!(detail([&whole[..], b"\n"].concat()).contains("follow the footer"));
    assert!(detail(whole[..whole.len() - 1].to_vec()).contains("cut off or altered"));
}

#[test]
fn writer_refuses_an_index_that_a_reader_would_refuse() {
    let finish = |change: fn(&mut Vec<TocEntry>)| {
        let mut entries = entries();
        change(&mut entries);
        let mut writer = ArchiveWriter::new(Vec::new(), Compression::None);
        let mut encoder = MemberEncoder::new(Compression::None);
        for (role, section, text, entry, rows) in pieces(&statements()) {
            let member = encoder.encode(role, section, text.as_bytes(), entry, rows);
            writer.append(member.unwrap()).unwrap();
        }
        writer.finish(header(), entries)
    };
    assert!(finish(|_| ()).is_ok());
    let changes: [fn(&mut Vec<TocEntry>); 5] = [
        |entries| entries[0].id = DumpId(2),
        |entries| entries[1].depends_on = vec![DumpId(9)],
        |entries| entries[1].create.as_mut().unwrap().length = 1 << 40,
        |entries| entries[1].create.as_mut().unwrap().member = MemberId(2),
        |entries| entries[2].rows.as_mut().unwrap().rows = 4,
    ];
    for change in changes {
        let error = finish(change).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Internal);
    }
}
