//! Header and table of contents as pg_dump wrote them: format versions 1.12 (PostgreSQL 10.2 and before) to 1.16 (17 and 18).

use std::io::Read;

use super::bytes::{Elements, Fault, MAX_NUMBER_BYTES, Offset, damaged};

/// What every archive begins with.
pub(crate) const MAGIC: &[u8; 5] = b"PGDMP";

/// The oldest format that is read, of pg_dump 9.0 to 10.2, and the newest.
const OLDEST: (u8, u8) = (1, 12);
const NEWEST: (u8, u8) = (1, 16);

/// More entries than any server can hold objects are damage.
const MAX_ENTRIES: u32 = 100_000_000;

/// How data are compressed in a custom archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    None,
    /// A zlib stream in custom archives, gzip in files.
    Gzip,
    Lz4,
    Zstd,
}

impl Algorithm {
    /// As `pg_dump -Z` has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Algorithm::None => "none",
            Algorithm::Gzip => "gzip",
            Algorithm::Lz4 => "lz4",
            Algorithm::Zstd => "zstd",
        }
    }
}

/// The form that the header names. Directories carry tar's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Custom,
    /// A table of contents whose data lie in files.
    Files,
}

/// The header.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// 1 and 12 to 16.
    pub(crate) version: (u8, u8),
    pub(crate) form: Form,
    pub(crate) compression: Algorithm,
    /// Start of the dump in the local time of its host: year, month, day, hour, minute, second.
    pub(crate) created: [i64; 6],
    pub(crate) database: Vec<u8>,
    /// `server_version` of the source.
    pub(crate) server_version: String,
    /// pg_dump's version.
    pub(crate) dump_version: String,
    pub(crate) number_bytes: usize,
}

/// pg_dump's section of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RawSection {
    /// Comments, privileges, labels: that of what they are about.
    None,
    PreData,
    Data,
    PostData,
}

/// An entry of the table of contents. Texts are in the encoding of the dump.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RawEntry {
    pub(crate) dump_id: u32,
    /// Whether data may follow.
    pub(crate) has_data: bool,
    pub(crate) tag: Vec<u8>,
    /// The kind in words.
    pub(crate) desc: String,
    pub(crate) section: RawSection,
    pub(crate) definition: Vec<u8>,
    pub(crate) drop: Vec<u8>,
    pub(crate) copy: Vec<u8>,
    pub(crate) namespace: Option<Vec<u8>>,
    pub(crate) tablespace: Option<Vec<u8>>,
    pub(crate) access_method: Option<Vec<u8>>,
    /// From 1.16 on: of relations, `r`, `p`...
    pub(crate) relkind: Option<u8>,
    pub(crate) owner: Option<Vec<u8>>,
    /// Tables with a hidden column `oid`, up to PostgreSQL 11.
    pub(crate) with_oids: bool,
    pub(crate) depends_on: Vec<u32>,
    /// Of custom archives.
    pub(crate) offset: Offset,
    /// Of directories and tar archives: the file, without what its compression adds; empty without data.
    pub(crate) file: String,
}

/// Header and entries, and where the bytes behind them start.
pub(crate) struct Toc {
    pub(crate) head: Head,
    pub(crate) entries: Vec<RawEntry>,
    /// Where the data of a custom archive start.
    pub(crate) length: u64,
    pub(crate) hash: blake3::Hash,
}

/// Reads header and entries.
///
/// # Errors
/// `Damaged`; `Unsupported` for formats of later versions.
pub(crate) fn read_toc(input: impl Read) -> Result<Toc, Fault> {
    let mut elements = Elements::new(input);
    let mut magic = [0; MAGIC.len()];
    elements.fill(&mut magic)?;
    if magic != *MAGIC {
        return Err(damaged("it does not begin as an archive of pg_dump"));
    }
    let head = read_head(&mut elements)?;
    let entries = read_entries(&mut elements, &head)?;
    Ok(Toc {
        head,
        entries,
        length: elements.at,
        hash: elements.hash(),
    })
}

/// Reads entries alone, and gives how many bytes they take.
///
/// # Errors
/// `Damaged`.
pub(crate) fn read_entries_again(
    input: impl Read,
    head: &Head,
) -> Result<(Vec<RawEntry>, u64), Fault> {
    let mut elements = Elements::new(input);
    let entries = read_entries(&mut elements, head)?;
    Ok((entries, elements.at))
}

fn read_entries<R: Read>(elements: &mut Elements<R>, head: &Head) -> Result<Vec<RawEntry>, Fault> {
    let count = elements.unsigned()?;
    if count > MAX_ENTRIES {
        return Err(damaged("it claims to have more entries than there can be"));
    }
    (0..count).map(|_| read_entry(elements, head)).collect()
}

fn read_head<R: Read>(elements: &mut Elements<R>) -> Result<Head, Fault> {
    let version = (elements.byte()?, elements.byte()?);
    elements.byte()?; // The revision has never told anything.
    if version < OLDEST || version > NEWEST {
        return Err(Fault::Unsupported(format!(
            "its format is {}.{}; {}.{} to {}.{} can be read",
            version.0, version.1, OLDEST.0, OLDEST.1, NEWEST.0, NEWEST.1
        )));
    }
    elements.number_bytes = size(elements.byte()?)?;
    elements.offset_bytes = size(elements.byte()?)?;
    let form = match elements.byte()? {
        1 => Form::Custom,
        3 | 5 => Form::Files,
        _ => return Err(damaged("its form is none of pg_dump's")),
    };
    let compression = if version >= (1, 15) {
        match elements.byte()? {
            0 => Algorithm::None,
            1 => Algorithm::Gzip,
            2 => Algorithm::Lz4,
            3 => Algorithm::Zstd,
            _ => return Err(damaged("its compression is none of pg_dump's")),
        }
    } else {
        // A level, -1 for zlib's own.
        match elements.number()? {
            0 => Algorithm::None,
            _ => Algorithm::Gzip,
        }
    };
    let [second, minute, hour, day, month, year, _summer] = {
        let mut parts = [0; 7];
        for part in &mut parts {
            *part = elements.number()?;
        }
        parts
    };
    Ok(Head {
        version,
        form,
        compression,
        created: [year + 1900, month + 1, day, hour, minute, second],
        database: elements.text()?.unwrap_or_default(),
        server_version: ascii(elements.text()?),
        dump_version: ascii(elements.text()?),
        number_bytes: elements.number_bytes,
    })
}

fn size(byte: u8) -> Result<usize, Fault> {
    match usize::from(byte) {
        size @ 1..=MAX_NUMBER_BYTES => Ok(size),
        _ => Err(damaged("the size of its numbers is none")),
    }
}

fn ascii(text: Option<Vec<u8>>) -> String {
    String::from_utf8_lossy(&text.unwrap_or_default()).into_owned()
}

fn read_entry<R: Read>(elements: &mut Elements<R>, head: &Head) -> Result<RawEntry, Fault> {
    let dump_id = elements.unsigned()?;
    let has_data = elements.number()? != 0;
    // Catalog and object in the source's numbers mean nothing elsewhere.
    elements.text()?;
    elements.text()?;
    let tag = elements.text()?.unwrap_or_default();
    let desc = ascii(elements.text()?);
    let section = match elements.number()? {
        1 => RawSection::None,
        2 => RawSection::PreData,
        3 => RawSection::Data,
        4 => RawSection::PostData,
        _ => return Err(damaged("an entry's section is none")),
    };
    let definition = elements.text()?.unwrap_or_default();
    let drop = elements.text()?.unwrap_or_default();
    let copy = elements.text()?.unwrap_or_default();
    let namespace = elements.text()?.filter(|name| !name.is_empty());
    let tablespace = elements.text()?.filter(|name| !name.is_empty());
    let access_method = match head.version >= (1, 14) {
        true => elements.text()?.filter(|name| !name.is_empty()),
        false => None,
    };
    let relkind = match head.version >= (1, 16) {
        true => u8::try_from(elements.number()?)
            .ok()
            .filter(|kind| *kind != 0),
        false => None,
    };
    let owner = elements.text()?.filter(|name| !name.is_empty());
    let with_oids = elements.text()?.as_deref() == Some(b"true");
    let mut depends_on = Vec::new();
    while let Some(text) = elements.text()? {
        let number = std::str::from_utf8(&text)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| damaged("a dependency is not a number"))?;
        depends_on.push(number);
    }
    let (offset, file) = match head.form {
        Form::Custom => (elements.offset()?, String::new()),
        Form::Files => (Offset::NoData, ascii(elements.text()?)),
    };
    Ok(RawEntry {
        dump_id,
        has_data,
        tag,
        desc,
        section,
        definition,
        drop,
        copy,
        namespace,
        tablespace,
        access_method,
        relkind,
        owner,
        with_oids,
        depends_on,
        offset,
        file,
    })
}
