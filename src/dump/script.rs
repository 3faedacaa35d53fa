//! The parts of the script that are not data: settings, comments and statements. Pure.

use crate::archive::Span;
use crate::archive::{MemberId, Section};
use crate::objects::quote::one_line;

use super::ContentEntry;

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
    text
}

/// The last lines of the script: nothing, unless a restrict key was given.
pub(crate) fn closing(restrict_key: Option<&str>) -> String {
    restrict_key.map_or_else(String::new, |key| format!("\\unrestrict {key}\n\n"))
}

/// One statement member with the places of its entries' statements in it.
pub(crate) struct StatementMember {
    /// The script's text.
    pub(crate) text: String,
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

/// Writes the statements of one section, in order, cut into members at the borders of entries.
pub(crate) fn statement_members(
    entries: &[ContentEntry],
    section: Section,
) -> Vec<StatementMember> {
    let mut members: Vec<StatementMember> = Vec::new();
    let of_section = entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.section == section)
        .filter(|(_, entry)| !entry.create.is_empty() || entry.alter_owner.is_some());
    for (index, entry) in of_section {
        if members
            .last()
            .is_none_or(|member| member.text.len() >= STATEMENT_MEMBER_BYTES)
        {
            members.push(StatementMember {
                text: String::new(),
                places: Vec::new(),
            });
        }
        let member = members.last_mut().expect("pushed above if there was none");
        push_entry(member, index, entry);
    }
    members
}

fn push_entry(member: &mut StatementMember, index: usize, entry: &ContentEntry) {
    let text = &mut member.text;
    text.push_str(&entry_comment(entry));
    let create = push_statements(text, &entry.create);
    let owner = push_statements(text, entry.alter_owner.as_slice());
    text.push('\n');
    member.places.push((index, create, owner));
}

fn push_statements(text: &mut String, statements: &[String]) -> Option<Place> {
    let offset = text.len();
    for statement in statements {
        text.push_str(statement);
        text.push('\n');
    }
    (!statements.is_empty()).then(|| Place {
        offset,
        length: text.len() - offset,
    })
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
