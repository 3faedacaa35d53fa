//! The parts of the script that are not data: settings, comments and statements. Pure.

use std::collections::BTreeSet;

use crate::archive::{
    BECOME_ONESELF, Header, MemberId, Section, Span, TextEncoding, become_role, cannot_hold,
};
use crate::conn::ServerVersion;
use crate::objects::Kind;
use crate::objects::quote::{self, one_line};
use crate::{Error, ErrorKind, Result};

use super::{ContentEntry, CreateOptions, DataSource};

/// Statement members are closed at this size: small enough to read one object cheaply, large enough to
/// compress well.
const STATEMENT_MEMBER_BYTES: usize = 1 << 20;

/// What the comment at the top of the script tells.
pub(crate) struct Heading<'a> {
    pub(crate) database: &'a str,
    pub(crate) server_version: &'a str,
    pub(crate) started: &'a str,
    pub(crate) encoding: &'a str,
    /// `--restrict-key`.
    pub(crate) restrict_key: Option<&'a str>,
    pub(crate) frame: &'a Frame,
}

/// What the script does beside creating objects and filling them. A restore by pgstow has no need of it.
#[derive(Clone, Debug, Default)]
pub struct ScriptOptions {
    /// `-c`: drops what it creates.
    pub clean: bool,
    /// `-C`: makes the database and connects to it.
    pub create: bool,
    /// `--disable-triggers`: those of the tables with rows are off while rows come in.
    pub disable_triggers: bool,
    /// `-S`: who turns them off and on.
    pub superuser: Option<String>,
    /// `--use-set-session-authorization`: makes objects as their owners.
    pub session_authorization: bool,
}

/// The statements of [`ScriptOptions`].
#[derive(Debug, Default)]
pub(crate) struct Frame {
    /// Before connecting to the database, with its name.
    database: Option<(String, Vec<String>)>,
    drops: Vec<String>,
    /// Around all data.
    triggers_off: Vec<String>,
    triggers_on: Vec<String>,
    /// What would be in the way before the end.
    at_the_end: Vec<String>,
}

impl Frame {
    /// # Errors
    /// `Usage` if psql could not connect to a database of that name; `Catalog` for privileges of an unknown form.
    pub(crate) fn new(
        header: &Header,
        options: &CreateOptions,
        entries: &[ContentEntry],
        server: ServerVersion,
    ) -> Result<Frame> {
        let (clean, create) = (options.script.clean, options.script.create);
        let mut frame = Frame::default();
        if options.script.disable_triggers {
            frame.triggers_off = trigger_statements(entries, &options.script, "DISABLE");
            frame.triggers_on = trigger_statements(entries, &options.script, "ENABLE");
        }
        if clean && !create {
            frame.drops = entries
                .iter()
                .rev()
                .filter_map(|e| e.drop.clone())
                .collect();
        }
        let Some(properties) = header.properties.as_ref().filter(|_| create) else {
            return Ok(frame);
        };
        let name = &header.database;
        if name.contains(['\n', '\r']) {
            return Err(Error::new(
                ErrorKind::Usage,
                "psql cannot connect to a database whose name has a line break",
            )
            .hint("Leave out -C, and restore with pgstow restore --create."));
        }
        let mut statements = Vec::new();
        if clean {
            statements.extend(properties.render_drop(name));
        }
        let contents = &options.contents;
        let with_tablespace = !contents.style.no_tablespaces;
        statements.push(properties.render_create(name, server, with_tablespace));
        if !contents.no_owner {
            statements.push(properties.render_owner(name));
        }
        if contents.parts.includes_about(Kind::Comment) {
            statements.extend(properties.render_comment(name));
        }
        if contents.parts.includes_about(Kind::SecurityLabel) {
            statements.extend(properties.render_labels(name));
        }
        if contents.parts.includes_about(Kind::Acl) {
            statements.extend(properties.render_acl(name, server)?);
        }
        // psql connects after that, and all that follows runs under them.
        statements.extend(properties.render_settings(name));
        frame.database = Some((name.clone(), statements));
        frame.at_the_end = properties.render_limits(name);
        Ok(frame)
    }
}

/// Turns all triggers of the tables with rows off or on, also those of foreign keys, as a superuser may. Rows that are loaded
/// through their topmost table fire those of the partition and of that table.
fn trigger_statements(entries: &[ContentEntry], script: &ScriptOptions, verb: &str) -> Vec<String> {
    let mut tables = BTreeSet::new();
    for entry in entries {
        if let Some(DataSource::Table(table)) = &entry.data {
            tables.insert((table.schema.as_str(), table.name.as_str()));
            tables.extend(
                table
                    .root
                    .as_ref()
                    .map(|(schema, name)| (schema.as_str(), name.as_str())),
            );
        }
    }
    let alter = |(schema, name)| {
        let table = quote::qualified(schema, name);
        format!("ALTER TABLE {table} {verb} TRIGGER ALL;")
    };
    let superuser = script.superuser.as_ref().filter(|_| !tables.is_empty());
    let become_superuser = superuser.map(|name| become_role(name));
    let back = superuser.map(|_| BECOME_ONESELF.to_owned());
    become_superuser
        .into_iter()
        .chain(tables.into_iter().map(alter))
        .chain(back)
        .collect()
}

/// `\connect`, in the form that bears any name: a connection string in psql's double quotes.
fn connect_command(database: &str) -> String {
    let value = database.replace('\\', "\\\\").replace('\'', "\\'");
    let text = format!("dbname='{value}'").replace('"', "\"\"");
    format!("\\connect -reuse-previous=on \"{text}\"\n")
}

fn lines(statements: &[String]) -> String {
    let lines: String = statements.iter().map(|text| format!("{text}\n")).collect();
    if lines.is_empty() {
        lines
    } else {
        lines + "\n"
    }
}

/// Settings under which the statements mean the same on every target, whatever its defaults.
///
/// Settings that some supported version does not know go through `pg_settings`, where an unknown name is
/// no row instead of an error.
pub(crate) fn preamble(heading: &Heading<'_>) -> String {
    let mut text = format!(
        "--\n-- PostgreSQL database dump by pgstow {}\n-- Database: {}; server version: {}; started: {}\n--\n\n",
        env!("CARGO_PKG_VERSION"),
        one_line(heading.database),
        one_line(heading.server_version),
        one_line(heading.started),
    );
    if let Some(key) = heading.restrict_key {
        text.push_str(&format!("\\restrict {key}\n\n"));
    }
    if let Some((database, statements)) = &heading.frame.database {
        text.push_str(&format!("SET client_encoding = '{}';\n", heading.encoding));
        text.push_str(&lines(statements));
        let restrict = |word: &str| match heading.restrict_key {
            Some(key) => format!("\\{word} {key}\n"),
            None => String::new(),
        };
        text.push_str(&restrict("unrestrict"));
        text.push_str(&connect_command(database));
        text.push_str(&restrict("restrict"));
        text.push('\n');
    }
    text.push_str(&format!(
        "SET statement_timeout = 0;\n\
         SET lock_timeout = 0;\n\
         SET idle_in_transaction_session_timeout = 0;\n\
         SET client_encoding = '{}';\n\
         SET standard_conforming_strings = on;\n\
         SET check_function_bodies = false;\n\
         SET xmloption = content;\n\
         SET client_min_messages = warning;\n\
         SET row_security = off;\n\
         SET default_tablespace = '';\n\
         SELECT pg_catalog.set_config('search_path', '', false);\n\
         SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings \
         WHERE name IN ('transaction_timeout', 'idle_session_timeout');\n\
         SELECT pg_catalog.set_config(name, 'heap', false) FROM pg_catalog.pg_settings \
         WHERE name = 'default_table_access_method';\n\n",
        heading.encoding,
    ));
    text.push_str(&lines(&heading.frame.drops));
    text.push_str(&lines(&heading.frame.triggers_off));
    text
}

/// The last lines of the script: nothing, unless a restrict key was given or the database was made.
pub(crate) fn closing(restrict_key: Option<&str>, frame: &Frame) -> String {
    let unrestrict = restrict_key.map(|key| format!("\\unrestrict {key}\n\n"));
    lines(&frame.triggers_on) + &lines(&frame.at_the_end) + &unrestrict.unwrap_or_default()
}

/// One statement member with the places of its entries' statements in it.
pub(crate) struct StatementMember {
    /// The script's text.
    pub(crate) text: Vec<u8>,
    /// Offset and length of the create statements and of ALTER ... OWNER, by index into the entries.
    pub(crate) places: Vec<(usize, Option<Place>, Option<Place>)>,
}

/// Offset and length in a member's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    offset: usize,
    length: usize,
}

impl Place {
    /// The place as the index has it.
    pub(crate) fn span(self, member: MemberId) -> Span {
        Span {
            member,
            offset: self.offset as u64,
            length: self.length as u64,
        }
    }
}

/// Writes the statements of one section, in order, cut into members at the borders of entries. Each is made when it is
/// asked for.
///
/// # Errors
/// `Unsupported`, naming the object whose text the encoding cannot hold.
pub(crate) fn statement_members(
    entries: &[ContentEntry],
    section: Section,
    encoding: TextEncoding,
    session_authorization: bool,
) -> impl Iterator<Item = Result<StatementMember>> {
    let mut of_section = entries
        .iter()
        .enumerate()
        .filter(move |(_, entry)| entry.section == section)
        .filter(|(_, entry)| !entry.create.is_empty() || entry.alter_owner.is_some());
    std::iter::from_fn(move || {
        let first = of_section.next()?;
        Some(statement_member(
            first,
            &mut of_section,
            encoding,
            session_authorization,
        ))
    })
}

/// One member, as long as members are or until there are no more entries.
fn statement_member<'a>(
    first: (usize, &'a ContentEntry),
    others: &mut impl Iterator<Item = (usize, &'a ContentEntry)>,
    encoding: TextEncoding,
    session_authorization: bool,
) -> Result<StatementMember> {
    let mut member = StatementMember {
        text: Vec::new(),
        places: Vec::new(),
    };
    let mut next = Some(first);
    while let Some((index, entry)) = next {
        let maker = entry.maker().filter(|_| session_authorization);
        push_entry(&mut member, index, entry, maker, encoding)
            .map_err(|character| cannot_hold(encoding, character, &entry_name(entry)))?;
        let is_full = member.text.len() >= STATEMENT_MEMBER_BYTES;
        next = if is_full { None } else { others.next() };
    }
    Ok(member)
}

/// # Errors
/// The character that the encoding does not have.
fn push_entry(
    member: &mut StatementMember,
    index: usize,
    entry: &ContentEntry,
    maker: Option<&str>,
    encoding: TextEncoding,
) -> Result<(), char> {
    let text = &mut member.text;
    text.extend_from_slice(&encoding.encode(&entry_comment(entry))?);
    if let Some(role) = maker {
        text.extend_from_slice(&encoding.encode(&become_role(role))?);
        text.push(b'\n');
    }
    let create = push_statements(text, &entry.create, encoding)?;
    let owner = match maker {
        Some(_) => {
            text.extend_from_slice(BECOME_ONESELF.as_bytes());
            text.push(b'\n');
            None
        }
        None => push_statements(text, entry.alter_owner.as_slice(), encoding)?,
    };
    text.push(b'\n');
    member.places.push((index, create, owner));
    Ok(())
}

fn push_statements(
    text: &mut Vec<u8>,
    statements: &[String],
    encoding: TextEncoding,
) -> Result<Option<Place>, char> {
    let offset = text.len();
    for statement in statements {
        text.extend_from_slice(&encoding.encode(statement)?);
        text.push(b'\n');
    }
    Ok((!statements.is_empty()).then(|| Place {
        offset,
        length: text.len() - offset,
    }))
}

/// An entry for messages: kind and name on one line.
pub(crate) fn entry_name(entry: &ContentEntry) -> String {
    let name = match &entry.schema {
        Some(schema) => quote::qualified(schema, &entry.tag),
        None => quote::ident(&entry.tag),
    };
    format!("{} {}", entry.kind, one_line(&name))
}

/// The comment above an entry. No byte of a name leaves its line.
pub(crate) fn entry_comment(entry: &ContentEntry) -> String {
    format!(
        "--\n-- Name: {}; Type: {}; Schema: {}; Owner: {}\n--\n\n",
        one_line(&entry.tag),
        entry.kind,
        one_line(entry.schema.as_deref().unwrap_or("-")),
        one_line(entry.owner.as_deref().unwrap_or("-")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::DumpId;
    use crate::objects::Kind;

    fn entry(
        id: u32,
        section: Section,
        create: &[&str],
        alter_owner: Option<&str>,
    ) -> ContentEntry {
        ContentEntry {
            id: DumpId(id),
            kind: Kind::Table,
            schema: Some("s".to_owned()),
            tag: "a\nb".to_owned(),
            relation: None,
            subject: None,
            owner: None,
            section,
            depends_on: Vec::new(),
            locks: Vec::new(),
            drop: None,
            create: create.iter().map(|&text| text.to_owned()).collect(),
            alter_owner: alter_owner.map(str::to_owned),
            data: None,
        }
    }

    fn text_at(member: &StatementMember, place: Option<Place>) -> Option<&str> {
        let place = place?;
        std::str::from_utf8(&member.text[place.offset..place.offset + place.length]).ok()
    }

    fn members_of(entries: &[ContentEntry]) -> Vec<StatementMember> {
        members_in(entries, TextEncoding::UTF8).expect("UTF-8 has all")
    }

    fn members_in(
        entries: &[ContentEntry],
        encoding: TextEncoding,
    ) -> Result<Vec<StatementMember>> {
        statement_members(entries, Section::PreData, encoding, false).collect()
    }

    #[test]
    fn places_are_those_of_the_encoded_text() {
        let latin1: TextEncoding = "LATIN1".parse().expect("it is known");
        let entries = [
            entry(1, Section::PreData, &["CREATE é;"], None),
            entry(2, Section::PreData, &["CREATE ü;"], None),
        ];
        let members = members_in(&entries, latin1).expect("it has both");
        let (_, create, _) = members[0].places[1];
        let place = create.expect("there is a statement");
        let statement = &members[0].text[place.offset..place.offset + place.length];
        assert_eq!(statement, b"CREATE \xfc;\n");
        let foreign = [entry(1, Section::PreData, &["CREATE €;"], None)];
        let error = members_in(&foreign, latin1).err();
        let error = error.expect("it has no euro");
        assert_eq!(error.message(), "LATIN1 has no character for U+20AC");
        assert!(
            error.details()[0].contains("TABLE \"s\".\"a\\nb\""),
            "{:?}",
            error.details()
        );
    }

    #[test]
    fn places_are_exactly_the_statements() {
        let entries = [
            entry(
                1,
                Section::PreData,
                &["CREATE 1;", "ALTER 1;"],
                Some("OWNER 1;"),
            ),
            entry(2, Section::PostData, &["CREATE 2;"], None),
            entry(3, Section::PreData, &[], Some("OWNER 3;")),
            entry(4, Section::PreData, &[], None),
        ];
        let members = members_of(&entries);
        assert_eq!(members.len(), 1);
        let member = &members[0];
        let found: Vec<_> = member
            .places
            .iter()
            .map(|&(index, create, owner)| (index, text_at(member, create), text_at(member, owner)))
            .collect();
        assert_eq!(
            found,
            [
                (0, Some("CREATE 1;\nALTER 1;\n"), Some("OWNER 1;\n")),
                (2, None, Some("OWNER 3;\n")),
            ]
        );
    }

    #[test]
    fn members_are_cut_between_entries_and_lose_none() {
        let long = "x".repeat(STATEMENT_MEMBER_BYTES / 2);
        let entries: Vec<_> = (1..=5)
            .map(|id| entry(id, Section::PreData, &[&long], None))
            .collect();
        let members = members_of(&entries);
        assert_eq!(members.len(), 3);
        let indexes: Vec<usize> = members
            .iter()
            .flat_map(|member| member.places.iter().map(|place| place.0))
            .collect();
        assert_eq!(indexes, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_newline_in_a_name_stays_in_its_comment() {
        let comment = entry_comment(&entry(1, Section::PreData, &[], None));
        assert!(
            comment
                .lines()
                .all(|line| line.is_empty() || line.starts_with("--"))
        );
    }

    #[test]
    fn preamble_sets_nothing_that_an_old_server_refuses() {
        let text = preamble(&Heading {
            database: "x\n\\! rm",
            server_version: "18.1",
            started: "now",
            encoding: "UTF8",
            restrict_key: None,
            frame: &Frame::default(),
        });
        assert!(
            !text.contains("SET transaction_timeout") && !text.contains("SET default_table_access")
        );
        assert!(text.lines().all(|line| !line.starts_with('\\')));
    }
}
