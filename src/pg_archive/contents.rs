//! pg_dump's table of contents as pgstow's: the same kinds, relations, sections and locks, so that a restore plans it like any
//! other. Pure.

use std::collections::{HashMap, HashSet};

use crate::archive::{
    DumpId, Header, Index, Member, MemberId, MemberRole, Section, Span, TableRows, TextEncoding,
    TocEntry, copy_statement,
};
use crate::lexer::{self, StringSyntax};
use crate::objects::large_object::{render_alter_owner, render_create, render_unlink};
use crate::objects::{Kind, Oid, quote};

use super::attribute_version;
use super::bytes::{Fault, damaged};
use super::kinds::{alter_object, drop_words, kind_of, name_of};
use super::names::{drop_if_exists, of_database, option_of, parse_copy, set_value, take_name};
use super::partition_keys::make_with_partitions;
use super::toc::{RawEntry, RawSection, Toc};

/// An archive's contents in pgstow's terms.
pub(super) struct Contents {
    pub(super) index: Index,
    /// What each member of the index is.
    pub(super) members: Vec<MemberSource>,
    /// How strings read in its statements.
    pub(super) strings: StringSyntax,
}

/// Where the text of a member comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MemberSource {
    /// Statements, in the archive's encoding.
    Text(Vec<u8>),
    /// The rows of a table for this COPY statement. `with_oids`: before the columns each has an OID, which no table has any more.
    Rows {
        data: DataPlace,
        copy: String,
        with_oids: bool,
    },
    /// INSERT statements.
    Statements(DataPlace),
    /// Large objects.
    LargeObjects(DataPlace),
}

/// Which data of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DataPlace {
    /// pg_dump's number of the entry.
    pub(super) dump_id: u32,
    /// Of directories and tar archives: the file.
    pub(super) file: String,
}

/// What pgstow's own archives say otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct PgDumpHeader {
    /// The form, its version and the compression, in words.
    pub format: String,
    /// Statements were written for `standard_conforming_strings = off`.
    pub escape_strings: bool,
    /// CREATE DATABASE.
    create_database: Option<String>,
    /// Its owner.
    database_owner: Option<String>,
    /// Settings, comment, privileges and labels of the database.
    database: Vec<(Kind, String)>,
    /// Tables that had OIDs.
    pub with_oids: Vec<DumpId>,
    /// pg_dump's number of each entry.
    numbers: Vec<u32>,
    /// Those of entries that became part of this.
    numbers_of_database: Vec<u32>,
}

impl PgDumpHeader {
    /// pg_dump's number of an entry.
    pub fn number_of(&self, id: DumpId) -> Option<u32> {
        let at = usize::try_from(id.0).ok()?.checked_sub(1)?;
        self.numbers.get(at).copied()
    }

    /// Whether pg_dump's number is that of an entry about the database itself.
    pub fn is_of_database(&self, number: u32) -> bool {
        self.numbers_of_database.contains(&number)
    }

    /// Makes a database of this name as the source was.
    pub fn create_database(&self, name: &str) -> Option<String> {
        of_database(self.create_database.as_deref()?, name)
    }

    /// Gives it to its owner.
    pub fn alter_database_owner(&self, name: &str) -> Option<String> {
        let (name, owner) = (
            quote::ident(name),
            quote::ident(self.database_owner.as_ref()?),
        );
        Some(format!("ALTER DATABASE {name} OWNER TO {owner}"))
    }

    /// The owner.
    pub fn database_owner(&self) -> Option<&str> {
        self.database_owner.as_deref()
    }

    /// Its settings, comment, privileges and labels, with the kind that options may leave out; settings count as the database.
    pub fn set_database(&self, name: &str) -> Vec<(Option<Kind>, String)> {
        let about = |kind: Kind| (kind != Kind::Schema).then_some(kind);
        let statements = self.database.iter();
        statements
            .filter_map(|(kind, statement)| Some((about(*kind), of_database(statement, name)?)))
            .collect()
    }
}

/// An entry that becomes one of ours.
pub(super) struct Kept<'a> {
    raw: &'a RawEntry,
    pub(super) kind: Option<Kind>,
    pub(super) schema: Option<String>,
    tag: String,
    pub(super) definition: String,
    drop: String,
    owner: Option<String>,
}

/// Translates a table of contents. `stored_lengths` are the bytes that each entry's data take in the archive.
///
/// # Errors
/// `Damaged` if texts are not in the encoding of the dump; `Unsupported` if that is not known.
pub(super) fn contents_of(
    toc: &Toc,
    form: &str,
    stored_lengths: &HashMap<u32, u64>,
) -> Result<Contents, Fault> {
    let settings = Settings::of(&toc.entries)?;
    let encoding = settings.encoding;
    let mut kept = Vec::new();
    let mut database = Vec::new();
    let mut databases = Vec::new();
    for raw in &toc.entries {
        if matches!(raw.desc.as_str(), "ENCODING" | "STDSTRINGS" | "SEARCHPATH") {
            continue;
        }
        let entry = keep(raw, encoding)?;
        if raw.desc == "DATABASE" {
            databases.push(raw.dump_id);
            database.push(entry);
            continue;
        }
        let is_about_database = raw.desc == "DATABASE PROPERTIES"
            || (matches!(raw.desc.as_str(), "ACL" | "COMMENT" | "SECURITY LABEL")
                && raw
                    .depends_on
                    .first()
                    .is_some_and(|id| databases.contains(id)));
        match is_about_database {
            true => database.push(entry),
            false => kept.push(entry),
        }
    }
    let mut header = header_of(toc, form, &settings, &database, encoding)?;
    header.partial = partial_of(&kept);
    make_with_partitions(&mut kept, settings.strings);
    let mut builder = Builder {
        places: (0..)
            .zip(&kept)
            .map(|(at, entry)| (entry.raw.dump_id, at))
            .collect(),
        tables: (0..)
            .zip(&kept)
            .filter(|(_, entry)| matches!(entry.kind, Some(Kind::Table | Kind::ForeignTable)))
            .map(|(at, entry)| ((entry.schema.as_deref(), entry.tag.as_str()), at))
            .collect(),
        kept: &kept,
        settings: &settings,
        stored_lengths,
        entries: Vec::new(),
        members: Vec::new(),
        sources: Vec::new(),
    };
    builder.add_member(
        MemberRole::Preamble,
        Section::PreData,
        None,
        MemberSource::Text(preamble(&settings).into_bytes()),
    )?;
    for at in 0..kept.len() {
        builder.add_entry(at)?;
    }
    if let Some(pg_dump) = &mut header.pg_dump {
        let with_oids = (0..kept.len())
            .filter(|at| kept[*at].raw.with_oids && kept[*at].kind == Some(Kind::Table));
        pg_dump.with_oids = with_oids.map(dump_id).collect::<Result<_, _>>()?;
        pg_dump.numbers = kept.iter().map(|entry| entry.raw.dump_id).collect();
    }
    header.entries = builder.entries.len() as u64;
    header.members = builder.members.len() as u64;
    Ok(Contents {
        index: Index {
            header,
            entries: builder.entries,
            members: builder.members,
        },
        members: builder.sources,
        strings: settings.strings,
    })
}

/// What the first entries set for all others.
struct Settings {
    encoding: TextEncoding,
    strings: StringSyntax,
    /// Otherwise every entry's names are in the schema that it is in.
    has_search_path: bool,
}

impl Settings {
    fn of(entries: &[RawEntry]) -> Result<Settings, Fault> {
        let value = |desc: &str| {
            let entry = entries.iter().find(|entry| entry.desc == desc)?;
            let text = std::str::from_utf8(&entry.definition).ok()?;
            set_value(text)
        };
        let encoding = value("ENCODING").ok_or_else(|| damaged("it does not tell its encoding"))?;
        Ok(Settings {
            encoding: TextEncoding::of_pg_dump(encoding).map_err(|_| {
                let name = quote::one_line(encoding).into_owned();
                Fault::Unsupported(format!("its texts are in the encoding {name}"))
            })?,
            strings: match value("STDSTRINGS") {
                Some("off") => StringSyntax::Escaped,
                _ => StringSyntax::Standard,
            },
            has_search_path: entries.iter().any(|entry| entry.desc == "SEARCHPATH"),
        })
    }
}

fn keep<'a>(raw: &'a RawEntry, encoding: TextEncoding) -> Result<Kept<'a>, Fault> {
    let decode = |text: &[u8]| {
        encoding
            .decode(text)
            .map(|text| text.into_owned())
            .ok_or_else(|| {
                Fault::Unsupported(format!(
                    "the texts of entry {} cannot be converted from the encoding {}",
                    raw.dump_id,
                    encoding.name()
                ))
            })
    };
    let decode_name = |name: &Option<Vec<u8>>| name.as_deref().map(decode).transpose();
    Ok(Kept {
        raw,
        kind: kind_of(&raw.desc),
        schema: decode_name(&raw.namespace)?,
        tag: decode(&raw.tag)?,
        definition: decode(&raw.definition)?,
        drop: decode(&raw.drop)?,
        owner: decode_name(&raw.owner)?,
    })
}

fn header_of(
    toc: &Toc,
    form: &str,
    settings: &Settings,
    database: &[Kept<'_>],
    encoding: TextEncoding,
) -> Result<Header, Fault> {
    let head = &toc.head;
    let create = database.iter().find(|entry| entry.raw.desc == "DATABASE");
    let create_text = create
        .map(|entry| entry.definition.as_str())
        .unwrap_or_default();
    let locale = |category: &str| {
        let option = option_of(create_text, category);
        option
            .or_else(|| option_of(create_text, "LOCALE"))
            .unwrap_or_else(|| "unknown".to_owned())
    };
    let [year, month, day, hour, minute, second] = head.created;
    let (major, minor) = head.version;
    let name = encoding
        .decode(&head.database)
        .ok_or_else(|| damaged("the name of its database is altered"))?;
    let statements = database.iter().filter(|entry| entry.raw.desc != "DATABASE");
    let statements = statements.flat_map(|entry| {
        // Settings come and go with the database.
        let kind = entry.kind.unwrap_or(Kind::Schema);
        let ranges = lexer::split(&entry.definition, settings.strings).unwrap_or_default();
        let texts = ranges
            .into_iter()
            .map(|range| entry.definition[range].to_owned());
        texts.map(|text| (kind, text)).collect::<Vec<_>>()
    });
    Ok(Header {
        format: u32::from(minor),
        archive_id: toc.hash.to_hex()[..32].to_owned(),
        tool: format!("pg_dump {}", head.dump_version),
        server_version: head.server_version.clone(),
        server_version_num: version_number(&head.server_version),
        database: name.into_owned(),
        encoding: option_of(create_text, "ENCODING").unwrap_or_else(|| {
            match encoding.is_of_clients_alone() {
                true => TextEncoding::UTF8.name().to_owned(),
                false => encoding.name().to_owned(),
            }
        }),
        lc_collate: locale("LC_COLLATE"),
        lc_ctype: locale("LC_CTYPE"),
        started: format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"),
        properties: None,
        snapshot: String::new(),
        text_encoding: (!encoding.is_as_is()).then_some(encoding),
        inserts: None,
        session_authorization: false,
        partial: Vec::new(),
        entries: 0,
        members: 0,
        pg_dump: Some(PgDumpHeader {
            format: format!("{form} {major}.{minor}"),
            escape_strings: settings.strings == StringSyntax::Escaped,
            create_database: create.map(|entry| entry.definition.trim().to_owned()),
            database_owner: create.and_then(|entry| entry.owner.clone()),
            database: statements.collect(),
            with_oids: Vec::new(),
            numbers: Vec::new(),
            numbers_of_database: database.iter().map(|it| it.raw.dump_id).collect(),
        }),
    })
}

/// What pg_dump was told to leave out, as far as it can be told from what there is: the options themselves are not kept.
fn partial_of(kept: &[Kept<'_>]) -> Vec<String> {
    let is_data = |entry: &&Kept<'_>| entry.kind == Some(Kind::TableData);
    let name = |entry: &Kept<'_>| (entry.schema.clone(), entry.tag.clone());
    let with_rows: HashSet<_> = kept.iter().filter(is_data).map(name).collect();
    let defines = |entry: &Kept<'_>| {
        matches!(entry.raw.section, RawSection::PreData) && entry.kind != Some(Kind::LargeObject)
    };
    let option = if !with_rows.is_empty() && !kept.iter().any(defines) {
        "--data-only"
    } else if !kept
        .iter()
        .any(|entry| holds_rows(entry) && !with_rows.contains(&name(entry)))
    {
        return Vec::new();
    } else if with_rows.is_empty() {
        "--schema-only"
    } else {
        "--exclude-table-data"
    };
    vec![option.to_owned()]
}

/// Whether it is a table with rows of its own.
fn holds_rows(entry: &Kept<'_>) -> bool {
    let is_partitioned = entry.raw.relkind == Some(b'p')
        || (entry.definition.lines()).any(|line| line.starts_with("PARTITION BY "));
    entry.kind == Some(Kind::Table) && !is_partitioned
}

/// `15.8 (Debian 15.8-1)` as `server_version_num` has it.
fn version_number(version: &str) -> u32 {
    let mut numbers = version
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse::<u32>().ok())
        .filter(|number| *number < 100);
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match major {
        10.. => major * 10_000 + minor,
        _ => major * 10_000 + minor * 100,
    }
}

/// The settings under which psql must read the statements.
fn preamble(settings: &Settings) -> String {
    let strings = match settings.strings {
        StringSyntax::Standard => "on",
        StringSyntax::Escaped => "off",
    };
    let encoding = settings.encoding.name();
    format!(
        "SET statement_timeout = 0;\n\
         SET lock_timeout = 0;\n\
         SET client_encoding = '{encoding}';\n\
         SET standard_conforming_strings = {strings};\n\
         SELECT pg_catalog.set_config('search_path', '', false);\n\
         SET check_function_bodies = false;\n\
         SET xmloption = content;\n\
         SET client_min_messages = warning;\n\
         SET row_security = off;\n\
         SET default_tablespace = '';\n\
         SELECT pg_catalog.set_config(name, 'heap', false) FROM pg_catalog.pg_settings \
         WHERE name = 'default_table_access_method';\n\n"
    )
}

/// Makes entries and members, one after the other.
struct Builder<'a> {
    kept: &'a [Kept<'a>],
    /// By pg_dump's number.
    places: HashMap<u32, usize>,
    /// Tables by schema and name.
    tables: HashMap<(Option<&'a str>, &'a str), usize>,
    settings: &'a Settings,
    stored_lengths: &'a HashMap<u32, u64>,
    entries: Vec<TocEntry>,
    members: Vec<Member>,
    sources: Vec<MemberSource>,
}

/// Whether an entry is the sequence of an identity column, which comes and goes with its table.
fn is_identity(entry: &Kept<'_>) -> bool {
    entry.kind == Some(Kind::Sequence) && entry.drop.is_empty()
}

impl Builder<'_> {
    fn add_entry(&mut self, at: usize) -> Result<(), Fault> {
        let entry = &self.kept[at];
        let id = dump_id(at)?;
        let subject = self.subject(at);
        let section = self.section(at);
        let mut toc_entry = TocEntry {
            id,
            kind: entry
                .kind
                .map_or_else(|| entry.raw.desc.clone(), |kind| kind.as_str().to_owned()),
            schema: entry.schema.clone(),
            name: entry.kind.map_or_else(
                || entry.tag.clone(),
                |kind| name_of(kind, &entry.tag, &entry.drop),
            ),
            relation: self.relation(at).map(dump_id).transpose()?,
            subject: subject.map(dump_id).transpose()?,
            owner: entry.owner.clone(),
            section,
            depends_on: self
                .dependencies(at)
                .map(dump_id)
                .collect::<Result<_, _>>()?,
            locks: self.locks(at)?,
            drop: self.drop(entry),
            create: None,
            alter_owner: None,
            give_to_owner: None,
            rows: None,
        };
        match entry.kind {
            Some(Kind::TableData | Kind::LargeObjectData) => {
                self.add_data(entry, &mut toc_entry)?
            }
            _ => self.add_statements(entry, &mut toc_entry)?,
        }
        self.entries.push(toc_entry);
        Ok(())
    }

    fn add_data(&mut self, entry: &Kept<'_>, toc_entry: &mut TocEntry) -> Result<(), Fault> {
        let raw = entry.raw;
        let Some(stored) = self.stored_lengths.get(&raw.dump_id).copied() else {
            return Ok(());
        };
        let data = DataPlace {
            dump_id: raw.dump_id,
            file: raw.file.clone(),
        };
        let source = if entry.kind == Some(Kind::LargeObjectData) {
            MemberSource::LargeObjects(data)
        } else if raw.copy.is_empty() {
            MemberSource::Statements(data)
        } else {
            let text = self.settings.encoding.decode(&raw.copy);
            match text.as_deref().and_then(parse_copy) {
                Some(target) => {
                    let schema = target.schema.or_else(|| entry.schema.clone());
                    let schema = schema.ok_or_else(|| damaged("rows have no table"))?;
                    let copy = copy_statement(&schema, &target.table, &target.columns);
                    let is_own =
                        Some(&schema) == entry.schema.as_ref() && target.table == entry.tag;
                    toc_entry.rows = Some(Box::new(TableRows {
                        columns: target.columns,
                        rows: 0,
                        // As much as is known without reading them: what is stored.
                        bytes: stored,
                        digest: String::new(),
                        root: (!is_own).then_some((schema, target.table)),
                        inserts: None,
                    }));
                    MemberSource::Rows {
                        data,
                        copy,
                        with_oids: target.with_oids,
                    }
                }
                None => {
                    return Err(damaged(format!(
                        "the COPY statement of entry {} is none",
                        raw.dump_id
                    )));
                }
            }
        };
        let (role, id) = (MemberRole::Data, Some((toc_entry.id, stored)));
        self.add_member(role, toc_entry.section, id, source)
            .map(drop)
    }

    fn add_statements(&mut self, entry: &Kept<'_>, toc_entry: &mut TocEntry) -> Result<(), Fault> {
        let create = self.create(entry);
        let alter_owner = self.alter_owner(entry);
        if create.is_empty() && alter_owner.is_none() {
            return Ok(());
        }
        let encoding = self.settings.encoding;
        let encode = |text: String| match encoding.encode(&text) {
            Ok(text) => Ok(text.into_owned()),
            Err(_) => Err(Fault::Unsupported(format!(
                "the texts of entry {} are not as PostgreSQL has {}",
                entry.raw.dump_id,
                encoding.name()
            ))),
        };
        let create = encode(create)?;
        let alter_owner = alter_owner.map(|statement| encode(format!("{statement}\n")));
        let alter_owner = alter_owner.transpose()?;
        let create_length = create.len() as u64;
        let owner_length = alter_owner.as_ref().map(|statement| statement.len() as u64);
        let text = [create, alter_owner.unwrap_or_default()].concat();
        let source = MemberSource::Text(text);
        let member = self.add_member(MemberRole::Statements, toc_entry.section, None, source)?;
        let span = |offset, length| Span {
            member,
            offset,
            length,
        };
        toc_entry.create = (create_length > 0).then(|| span(0, create_length));
        toc_entry.alter_owner = owner_length.map(|length| span(create_length, length));
        Ok(())
    }

    /// `data`: the entry and the bytes stored.
    fn add_member(
        &mut self,
        role: MemberRole,
        section: Section,
        data: Option<(DumpId, u64)>,
        source: MemberSource,
    ) -> Result<MemberId, Fault> {
        let id =
            u32::try_from(self.members.len()).map_err(|_| damaged("it has too many entries"))?;
        self.members.push(Member {
            role,
            section,
            offset: 0,
            stored_length: data.map_or(0, |(_, stored)| stored),
            length: match &source {
                MemberSource::Text(text) => text.len() as u64,
                _ => 0,
            },
            blake3: String::new(),
            entry: data.map(|(entry, _)| entry),
            rows: data.map(|_| 0),
        });
        self.sources.push(source);
        Ok(MemberId(id))
    }

    /// The statements that make an object, with the settings that they need; empty if there are none.
    fn create(&self, entry: &Kept<'_>) -> String {
        let raw = entry.raw;
        let mut definition = match entry.kind {
            Some(Kind::LargeObject) => match oids_of(entry) {
                Some(oids) => render_create(&oids),
                None => entry.definition.clone(),
            },
            Some(Kind::Acl) if entry.tag.starts_with("LARGE OBJECTS") => self.acl_of_group(entry),
            // It is there in every new database, and is never dropped.
            Some(Kind::Schema)
                if entry.tag == "public" && entry.definition.starts_with("CREATE") =>
            {
                "CREATE SCHEMA IF NOT EXISTS public;".to_owned()
            }
            // pg_dump leaves the word as the server deparses it, and to psql's rules it opens a body that nothing closes.
            Some(Kind::Function | Kind::Procedure) => {
                lexer::quote_names_spelled_begin(&entry.definition).into_owned()
            }
            Some(Kind::Table | Kind::ForeignTable | Kind::MaterializedView) => {
                attribute_version::without(&entry.definition, self.settings.strings).into_owned()
            }
            _ => entry.definition.clone(),
        };
        definition.truncate(definition.trim_end().len());
        // Where it is no valid text, reading it says so.
        let has_none =
            lexer::split(&definition, self.settings.strings).is_ok_and(|it| it.is_empty());
        if definition.is_empty() || has_none {
            return String::new();
        }
        definition.push('\n');
        let decode = |name: &Option<Vec<u8>>| {
            let name = name.as_deref()?;
            Some(quote::ident(&self.settings.encoding.decode(name)?))
        };
        let mut before = String::new();
        let mut after = String::new();
        if let Some(schema) = entry
            .schema
            .as_ref()
            .filter(|_| !self.settings.has_search_path)
        {
            let schema = quote::ident(schema);
            before.push_str(&format!("SET search_path = {schema}, pg_catalog;\n"));
            after.push_str("SET search_path = '';\n");
        }
        if let Some(tablespace) = decode(&raw.tablespace) {
            before.push_str(&format!("SET default_tablespace = {tablespace};\n"));
            after.push_str("SET default_tablespace = '';\n");
        }
        match decode(&raw.access_method).filter(|method| method != "\"heap\"") {
            // Without storage of its own it only passes the method on.
            Some(method) if raw.relkind == Some(b'p') => {
                if let Some(object) = self.object(entry) {
                    after.insert_str(0, &format!("ALTER {object} SET ACCESS METHOD {method};\n"));
                }
            }
            Some(method) => {
                before.push_str(&format!("SET default_table_access_method = {method};\n"));
                after.push_str("SET default_table_access_method = heap;\n");
            }
            None => {}
        }
        format!("{before}{definition}{after}")
    }

    /// The object in the words of ALTER.
    fn object(&self, entry: &Kept<'_>) -> Option<String> {
        alter_object(
            entry.kind?,
            entry.schema.as_deref(),
            &entry.tag,
            &entry.drop,
        )
    }

    fn alter_owner(&self, entry: &Kept<'_>) -> Option<String> {
        let owner = entry.owner.as_ref().filter(|_| !entry.drop.is_empty())?;
        if entry.kind == Some(Kind::LargeObject)
            && let Some(oids) = oids_of(entry)
        {
            return Some(render_alter_owner(&oids, owner));
        }
        let object = self.object(entry)?;
        Some(format!("ALTER {object} OWNER TO {};", quote::ident(owner)))
    }

    /// What drops it, for kinds of which the restore asks.
    fn drop(&self, entry: &Kept<'_>) -> Option<String> {
        if entry.kind == Some(Kind::LargeObject) {
            return oids_of(entry).map(|oids| render_unlink(&oids));
        }
        // Without its functions, by which the target may have it from an extension.
        if entry.kind == Some(Kind::Language) && entry.definition.starts_with("CREATE OR REPLACE") {
            return None;
        }
        drop_if_exists(&entry.drop, drop_words(entry.kind?)?)
    }

    /// The privileges on a group of large objects are written for one of them and hold for all.
    fn acl_of_group(&self, entry: &Kept<'_>) -> String {
        let group = entry
            .raw
            .depends_on
            .first()
            .and_then(|id| self.places.get(id));
        let oids = group
            .and_then(|at| oids_of(&self.kept[*at]))
            .unwrap_or_default();
        let ranges = lexer::split(&entry.definition, self.settings.strings).unwrap_or_default();
        let mut text = String::new();
        for range in ranges {
            let statement = &entry.definition[range];
            match statement.split_once("LARGE OBJECT ") {
                Some((before, rest)) => {
                    let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
                    for oid in &oids {
                        text.push_str(&format!("{before}LARGE OBJECT {oid}{after}\n"));
                    }
                }
                None => {
                    text.push_str(statement);
                    text.push('\n');
                }
            }
        }
        text
    }

    /// The section that pg_dump says; but what needs something of post-data, a function that was put off to break a loop, say,
    /// comes behind it.
    fn section(&self, at: usize) -> Section {
        let section_of = |at: usize| self.entries.get(at).map(|entry| entry.section);
        match self.kept[at].raw.section {
            RawSection::Data => Section::Data,
            RawSection::PostData => Section::PostData,
            RawSection::None => {
                let subject = self.subject(at).and_then(section_of);
                subject.unwrap_or(Section::PreData)
            }
            RawSection::PreData => {
                let mut needed = self.dependencies(at).filter_map(section_of);
                match needed.any(|section| section == Section::PostData) {
                    true => Section::PostData,
                    false => Section::PreData,
                }
            }
        }
    }

    /// What a comment, label or privilege is about. It stands before them.
    fn subject(&self, at: usize) -> Option<usize> {
        let entry = &self.kept[at];
        matches!(
            entry.kind,
            Some(Kind::Comment | Kind::SecurityLabel | Kind::Acl)
        )
        .then(|| entry.raw.depends_on.first())
        .flatten()
        .and_then(|id| self.places.get(id).copied())
        .filter(|subject| *subject < at)
    }

    fn dependencies(&self, at: usize) -> impl Iterator<Item = usize> {
        let needed = self.kept[at].raw.depends_on.iter();
        needed
            .filter_map(|id| self.places.get(id).copied())
            .filter(move |needed| *needed != at)
            .chain(self.owning_table(at))
    }

    /// The table that a sequence is given to, which pg_dump does not list.
    fn owning_table(&self, at: usize) -> Option<usize> {
        let entry = &self.kept[at];
        if entry.kind != Some(Kind::SequenceOwner) {
            return None;
        }
        let (_, rest) = entry.definition.split_once(" OWNED BY ")?;
        let (first, rest) = take_name(rest)?;
        let (second, rest) = take_name(rest.strip_prefix('.')?)?;
        // Without a schema before them in dumps of PostgreSQL 10.2 and before.
        let (schema, table) = match rest.starts_with('.') {
            true => (Some(first), second),
            false => (entry.schema.clone(), first),
        };
        self.tables
            .get(&(schema.as_deref(), table.as_str()))
            .copied()
    }

    fn is_relation(&self, at: usize) -> bool {
        matches!(
            self.kept[at].kind,
            Some(
                Kind::Table
                    | Kind::ForeignTable
                    | Kind::View
                    | Kind::MaterializedView
                    | Kind::Sequence
            )
        )
    }

    /// The relation that an entry is a part of, or itself.
    fn relation(&self, at: usize) -> Option<usize> {
        let entry = &self.kept[at];
        if is_identity(entry) {
            return self
                .dependencies(at)
                .find(|needed| self.is_relation(*needed));
        }
        if self.is_relation(at) {
            return Some(at);
        }
        match entry.kind? {
            Kind::Comment | Kind::SecurityLabel | Kind::Acl => self.relation(self.subject(at)?),
            Kind::IndexAttach => {
                let child = self.index_of(at, |name| name == entry.tag)?;
                self.relation_by_name(child)
            }
            Kind::TableData
            | Kind::TableAttach
            | Kind::Default
            | Kind::SequenceOwner
            | Kind::SequenceSet
            | Kind::CheckConstraint
            | Kind::Index
            | Kind::Constraint
            | Kind::ForeignKey
            | Kind::Rule
            | Kind::Trigger
            | Kind::Policy
            | Kind::RowSecurity
            | Kind::PublicationTable
            | Kind::MaterializedViewData
            | Kind::ExtendedStatistics
            | Kind::RelationStatistics => {
                let named = self.relation_by_name(at)?;
                self.relation(named)
            }
            _ => None,
        }
    }

    /// An index, or a constraint with one, that an entry needs, by its own name.
    fn index_of(&self, at: usize, wanted: impl Fn(&str) -> bool) -> Option<usize> {
        self.dependencies(at).find(|needed| {
            let entry = &self.kept[*needed];
            match entry.kind {
                Some(Kind::Index) => wanted(&entry.tag),
                Some(Kind::Constraint) => {
                    let name = entry.tag.rsplit_once(' ').map(|(_, name)| name);
                    name.is_some_and(&wanted)
                }
                _ => false,
            }
        })
    }

    /// Of the relations that a part needs, the one that its tag or its definition names.
    fn relation_by_name(&self, at: usize) -> Option<usize> {
        let entry = &self.kept[at];
        let same_schema = |other: &usize| self.kept[*other].schema == entry.schema;
        let needed: Vec<usize> = self
            .dependencies(at)
            .filter(|needed| self.is_relation(*needed) && same_schema(needed))
            .collect();
        if entry.kind == Some(Kind::Index)
            && let Some((_, name)) = table_of_index(&entry.definition)
            && let Some(found) = needed.iter().find(|at| self.kept[**at].tag == name)
        {
            return Some(*found);
        }
        let is_named = |name: &str| {
            entry
                .tag
                .strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
                || (entry.kind == Some(Kind::PublicationTable)
                    && entry
                        .tag
                        .strip_suffix(name)
                        .is_some_and(|rest| rest.ends_with(' ')))
        };
        let named = needed.iter().filter(|at| is_named(&self.kept[**at].tag));
        let longest = named.max_by_key(|at| self.kept[**at].tag.len());
        longest.or(needed.first()).copied()
    }

    /// Tables that post-data statements lock: an index shares its table with others, the rest want it alone. A foreign key
    /// needs both of its tables, or what stands for the other one: its key.
    fn locks(&self, at: usize) -> Result<Vec<(DumpId, bool)>, Fault> {
        let is_exclusive = match self.kept[at].kind {
            Some(Kind::Index | Kind::ExtendedStatistics) => false,
            Some(
                Kind::Constraint
                | Kind::CheckConstraint
                | Kind::ForeignKey
                | Kind::Rule
                | Kind::Trigger
                | Kind::Policy
                | Kind::RowSecurity
                | Kind::IndexAttach
                | Kind::PublicationTable,
            ) => true,
            _ => return Ok(Vec::new()),
        };
        let mut tables: Vec<usize> = self
            .dependencies(at)
            .filter_map(|needed| match self.kept[needed].kind {
                Some(Kind::Table | Kind::ForeignTable | Kind::View | Kind::MaterializedView) => {
                    Some(needed)
                }
                Some(Kind::Index | Kind::Constraint) if is_exclusive => self.relation(needed),
                _ => None,
            })
            .chain(self.relation(at))
            .collect();
        tables.sort_unstable();
        tables.dedup();
        tables
            .into_iter()
            .map(|table| Ok((dump_id(table)?, is_exclusive)))
            .collect()
    }
}

/// Entries are numbered from 1 in their order.
fn dump_id(at: usize) -> Result<DumpId, Fault> {
    u32::try_from(at + 1)
        .map(DumpId)
        .map_err(|_| damaged("it has too many entries"))
}

/// The numbers of the large objects of an entry: of a group a line each, of one its tag.
fn oids_of(entry: &Kept<'_>) -> Option<Vec<Oid>> {
    let numbers = match entry.raw.desc.as_str() {
        "BLOB METADATA" => entry.definition.as_str(),
        _ => entry.tag.as_str(),
    };
    let oids: Option<Vec<Oid>> = numbers
        .lines()
        .map(|line| line.parse().ok().map(Oid))
        .collect();
    oids.filter(|oids| !oids.is_empty())
}

/// Schema and table of `CREATE INDEX name ON [ONLY] schema.table ...`.
fn table_of_index(definition: &str) -> Option<(Option<String>, String)> {
    let rest = definition.split_once(" INDEX ")?.1;
    let (_, rest) = take_name(rest)?;
    let rest = rest.strip_prefix(" ON ")?;
    let rest = rest.strip_prefix("ONLY ").unwrap_or(rest);
    let (first, rest) = take_name(rest)?;
    match rest.strip_prefix('.').and_then(take_name) {
        Some((second, _)) => Some((Some(first), second)),
        None => Some((None, first)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn versions_become_numbers() {
        assert_eq!(version_number("15.8 (Debian 15.8-0+deb12u1)"), 150_008);
        assert_eq!(version_number("9.6.24"), 90_600);
        assert_eq!(version_number("18beta1"), 180_001);
        assert_eq!(version_number(""), 0);
    }

    #[test]
    fn the_table_of_an_index_is_found() {
        let of = |text| table_of_index(text).unwrap();
        assert_eq!(
            of("CREATE UNIQUE INDEX \"i ON x\" ON ONLY s.\"T\" USING btree (a);"),
            (Some("s".to_owned()), "T".to_owned())
        );
        assert_eq!(
            of("CREATE INDEX i ON t USING hash (a);"),
            (None, "t".to_owned())
        );
    }
}
