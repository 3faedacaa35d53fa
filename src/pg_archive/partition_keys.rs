//! Keys WITHOUT OVERLAPS and EXCLUDE constraints of partitioned tables, which the server attaches to no other. pg_dump makes those of the
//! partitions by themselves and attaches them, where its script stops. Here the partitioned table's makes them, as in pgstow's own archives
//! (`objects::constraint`). Pure.

use std::collections::{HashMap, HashSet};

use crate::lexer::{self, StringSyntax};
use crate::objects::constraint::render_find;
use crate::objects::index::render_parameters_unlike;
use crate::objects::{Kind, quote};

use super::contents::Kept;
use super::names::take_name;

type Name = (Option<String>, String);

/// `ALTER TABLE ONLY table ADD CONSTRAINT name ...;`, the first statement of a constraint.
#[derive(Debug, PartialEq, Eq)]
struct AddConstraint<'a> {
    /// As it is written.
    table: &'a str,
    name: String,
    /// What follows the name.
    rest: &'a str,
}

/// Gives the constraints of partitioned tables to their partitions, too, and takes the attachments out.
pub(super) fn make_with_partitions(kept: &mut [Kept<'_>], strings: StringSyntax) {
    let mut keys: HashMap<Name, usize> = HashMap::new();
    for (at, entry) in kept.iter().enumerate() {
        if entry.kind == Some(Kind::Constraint)
            && let Some(add) = parse_add(&entry.definition)
            && is_without_attachment(add.rest)
        {
            keys.insert((entry.schema.clone(), add.name), at);
        }
    }
    if keys.is_empty() {
        return;
    }
    let attachments: Vec<(usize, usize, usize)> = (0..)
        .zip(kept.iter())
        .filter(|(_, entry)| entry.kind == Some(Kind::IndexAttach))
        .filter_map(|(at, entry)| {
            let (parent, child) = parse_attach(&entry.definition)?;
            Some((at, *keys.get(&parent)?, *keys.get(&child)?))
        })
        .collect();
    let children: HashSet<usize> = attachments.iter().map(|(_, _, child)| *child).collect();
    let mut made = Vec::new();
    for (at, parent, child) in &attachments {
        made.push((*at, String::new()));
        let with_parent = of_partition(&kept[*child], &kept[*parent], strings);
        made.extend(with_parent.map(|it| (*child, it)));
        if !children.contains(parent) {
            let definition = &kept[*parent].definition;
            made.push((*parent, definition.replacen(" ONLY ", " ", 1)));
        }
    }
    for (at, definition) in made {
        kept[at].definition = definition;
    }
}

/// The statements that find a partition's constraint, and what else the entry has.
fn of_partition(child: &Kept<'_>, parent: &Kept<'_>, strings: StringSyntax) -> Option<String> {
    let parent = parse_add(&parent.definition)?;
    let own = parse_add(&child.definition)?;
    let first = lexer::split(&child.definition, strings)
        .ok()?
        .first()?
        .clone();
    let (add, others) = child.definition[first.start..].split_at(first.len());
    let find = render_find(own.table, &own.name, &parent.name, add);
    let index = match &child.schema {
        Some(schema) => quote::qualified(schema, &own.name),
        None => quote::ident(&own.name),
    };
    let parameters =
        render_parameters_unlike(&index, parameters(own.rest), parameters(parent.rest));
    let statements: Vec<String> = [find].into_iter().chain(parameters).collect();
    Some(format!("{}{others}", statements.join("\n")))
}

/// The storage parameters of an index, `name='value', ...`: what stands between the parentheses of WITH.
fn parameters(rest: &str) -> &str {
    let (mut depth, mut quoted) = (0_usize, None);
    for (at, letter) in rest.char_indices() {
        match (quoted, letter) {
            (Some(mark), _) if mark == letter => quoted = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quoted = Some(letter),
            (None, '(') => {
                depth += 1;
                if depth == 1 && rest[..at].ends_with(" WITH ") {
                    let parameters = &rest[at + 1..];
                    return parameters.split(')').next().unwrap_or_default();
                }
            }
            (None, ')') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    ""
}

fn parse_add(definition: &str) -> Option<AddConstraint<'_>> {
    let rest = definition.trim_start().strip_prefix("ALTER TABLE ONLY ")?;
    let (_, after) = take_qualified(rest)?;
    let table = &rest[..rest.len() - after.len()];
    let rest = after.trim_start().strip_prefix("ADD CONSTRAINT ")?;
    let (name, rest) = take_name(rest)?;
    Some(AddConstraint { table, name, rest })
}

/// Parent and child of `ALTER INDEX s.parent ATTACH PARTITION s.child;`
fn parse_attach(definition: &str) -> Option<(Name, Name)> {
    let rest = definition.trim_start().strip_prefix("ALTER INDEX ")?;
    let (parent, rest) = take_qualified(rest)?;
    let (child, _) = take_qualified(rest.strip_prefix(" ATTACH PARTITION ")?)?;
    Some((parent, child))
}

fn take_qualified(text: &str) -> Option<(Name, &str)> {
    let (first, rest) = take_name(text)?;
    match rest.strip_prefix('.').and_then(take_name) {
        Some((second, rest)) => Some(((Some(first), second), rest)),
        None => Some(((None, first), rest)),
    }
}

/// Whether the index behind a constraint is of those that are not attached.
fn is_without_attachment(rest: &str) -> bool {
    let rest = rest.trim_start();
    if rest.starts_with("EXCLUDE ") {
        return true;
    }
    let Some((_, mut columns)) = rest.split_once('(') else {
        return false;
    };
    // The last column of the list says it.
    while let Some((_, after)) = take_name(columns) {
        match after.strip_prefix(", ") {
            Some(others) => columns = others,
            None => return after.starts_with(" WITHOUT OVERLAPS"),
        }
    }
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn constraints_and_attachments_are_taken_apart() {
        let text = "ALTER TABLE ONLY s.\"a b\"\n    ADD CONSTRAINT \"k \"\"1\" PRIMARY KEY (id, at WITHOUT OVERLAPS);\n";
        let add = parse_add(text).unwrap();
        assert_eq!((add.table, add.name.as_str()), ("s.\"a b\"", "k \"1"));
        assert!(is_without_attachment(add.rest));
        let (parent, child) =
            parse_attach("\nALTER INDEX s.p_key ATTACH PARTITION \"T\".c;\n").unwrap();
        assert_eq!(parent, (Some("s".to_owned()), "p_key".to_owned()));
        assert_eq!(child, (Some("T".to_owned()), "c".to_owned()));
        assert_eq!(
            parse_add("ALTER TABLE s.t ADD CONSTRAINT c CHECK (a);"),
            None
        );
    }

    #[test]
    fn indexes_get_their_own_parameters() {
        let own = " EXCLUDE USING gist (abs(a) WITH =, b WITH OPERATOR(s.&&)) WITH (fillfactor='70', buffering=off) WHERE ((c = ' WITH ('::text));";
        assert_eq!(parameters(own), "fillfactor='70', buffering=off");
        assert_eq!(parameters(" EXCLUDE (a WITH =) WHERE ((a = 1));"), "");
        assert_eq!(
            render_parameters_unlike("s.i", "fillfactor='70'", "buffering=off"),
            [
                "ALTER INDEX s.i RESET (buffering);",
                "ALTER INDEX s.i SET (fillfactor='70');"
            ]
        );
        assert!(render_parameters_unlike("s.i", "", "").is_empty());
    }

    #[test]
    fn only_exclusion_and_without_overlaps_are_not_attached() {
        for text in [
            " EXCLUDE USING gist (a WITH =);",
            " UNIQUE (a, \"b, c\", at WITHOUT OVERLAPS) DEFERRABLE;",
            " PRIMARY KEY (at WITHOUT OVERLAPS);",
        ] {
            assert!(is_without_attachment(text), "{text}");
        }
        for text in [
            " PRIMARY KEY (a);",
            " UNIQUE NULLS NOT DISTINCT (a, \"x WITHOUT OVERLAPS\");",
            " UNIQUE (a) INCLUDE (b);",
        ] {
            assert!(!is_without_attachment(text), "{text}");
        }
    }
}
