//! pg_dump's kinds of entries in pgstow's words, and their names as pgstow's table of contents has them. Pure.

use crate::objects::Kind;
use crate::objects::quote;

/// The kind of an entry by pg_dump's word for it; `None` for what is no object.
pub(super) fn kind_of(desc: &str) -> Option<Kind> {
    Some(match desc {
        "BLOB" | "BLOB METADATA" => Kind::LargeObject,
        "ACL LANGUAGE" => Kind::Acl,
        // One word for all types but domains and shells. They share their names and are dropped alike.
        "TYPE" => Kind::CompositeType,
        "FUNC" => Kind::Function,
        other => return Kind::parse(other).filter(|kind| is_of_pg_dump(*kind)),
    })
}

/// Kinds that pgstow alone has an entry of.
fn is_of_pg_dump(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::Role
            | Kind::Tablespace
            | Kind::RoleSetting
            | Kind::RoleMembership
            | Kind::ParameterAcl
            | Kind::OperatorFamilyMember
            | Kind::ViewQuery
            | Kind::DomainDefault
            | Kind::FunctionBody
    )
}

/// What `ALTER ... OWNER TO` calls an object, as pg_restore does; `None` of kinds without an owner of their own.
pub(super) fn alter_words(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Schema => "SCHEMA",
        Kind::Language => "PROCEDURAL LANGUAGE",
        Kind::Collation => "COLLATION",
        Kind::EnumType | Kind::CompositeType | Kind::BaseType | Kind::RangeType => "TYPE",
        Kind::Domain => "DOMAIN",
        Kind::Function => "FUNCTION",
        Kind::Procedure => "PROCEDURE",
        Kind::Aggregate => "AGGREGATE",
        Kind::Operator => "OPERATOR",
        Kind::OperatorFamily => "OPERATOR FAMILY",
        Kind::OperatorClass => "OPERATOR CLASS",
        Kind::Conversion => "CONVERSION",
        Kind::TextSearchDictionary => "TEXT SEARCH DICTIONARY",
        Kind::TextSearchConfiguration => "TEXT SEARCH CONFIGURATION",
        Kind::ForeignDataWrapper => "FOREIGN DATA WRAPPER",
        Kind::ForeignServer => "SERVER",
        Kind::Sequence => "SEQUENCE",
        Kind::Table => "TABLE",
        Kind::ForeignTable => "FOREIGN TABLE",
        Kind::View => "VIEW",
        Kind::MaterializedView => "MATERIALIZED VIEW",
        Kind::LargeObject => "LARGE OBJECT",
        Kind::ExtendedStatistics => "STATISTICS",
        Kind::Publication => "PUBLICATION",
        Kind::Subscription => "SUBSCRIPTION",
        Kind::EventTrigger => "EVENT TRIGGER",
        Kind::Role
        | Kind::Tablespace
        | Kind::RoleSetting
        | Kind::RoleMembership
        | Kind::ParameterAcl
        | Kind::Extension
        | Kind::ShellType
        | Kind::Cast
        | Kind::Transform
        | Kind::AccessMethod
        | Kind::OperatorFamilyMember
        | Kind::TextSearchParser
        | Kind::TextSearchTemplate
        | Kind::UserMapping
        | Kind::TableAttach
        | Kind::Default
        | Kind::SequenceOwner
        | Kind::ViewQuery
        | Kind::DomainDefault
        | Kind::FunctionBody
        | Kind::TableData
        | Kind::LargeObjectData
        | Kind::SequenceSet
        | Kind::CheckConstraint
        | Kind::Index
        | Kind::Constraint
        | Kind::IndexAttach
        | Kind::Rule
        | Kind::Trigger
        | Kind::ForeignKey
        | Kind::Policy
        | Kind::RowSecurity
        | Kind::PublicationTable
        | Kind::PublicationSchema
        | Kind::Comment
        | Kind::SecurityLabel
        | Kind::Acl
        | Kind::DefaultAcl
        | Kind::MaterializedViewData
        | Kind::RelationStatistics => return None,
    })
}

/// The object in the words of `ALTER`: of what is told by a signature, DROP has it.
pub(super) fn alter_object(
    kind: Kind,
    schema: Option<&str>,
    tag: &str,
    drop: &str,
) -> Option<String> {
    let words = alter_words(kind)?;
    match kind {
        Kind::Function
        | Kind::Procedure
        | Kind::Aggregate
        | Kind::Operator
        | Kind::OperatorFamily
        | Kind::OperatorClass => drop
            .trim()
            .strip_prefix("DROP ")
            .and_then(|object| object.strip_suffix(';'))
            .map(str::to_owned),
        Kind::LargeObject => Some(format!("{words} {tag}")),
        _ => Some(match schema {
            Some(schema) => format!("{words} {}", quote::qualified(schema, tag)),
            None => format!("{words} {}", quote::ident(tag)),
        }),
    }
}

/// The name as pgstow's table of contents has it: where pg_dump's tag is less, the DROP statement tells the rest.
pub(super) fn name_of(kind: Kind, tag: &str, drop: &str) -> String {
    let drop = drop.trim().trim_end_matches(';');
    let derived = match kind {
        Kind::Cast => drop.strip_prefix("DROP CAST ").map(str::to_owned),
        Kind::Transform => drop.strip_prefix("DROP TRANSFORM ").map(str::to_owned),
        // The tag has no types, the statement a schema before the operator.
        Kind::Operator => drop.find(" (").map(|at| format!("{tag}{}", &drop[at..])),
        Kind::OperatorFamily | Kind::OperatorClass => drop
            .rsplit_once(" USING ")
            .map(|(_, method)| format!("{tag} USING {}", quote::unquoted(method))),
        Kind::UserMapping => tag.strip_prefix("USER MAPPING ").map(|name| {
            match name.strip_prefix("public SERVER ") {
                Some(server) => format!("PUBLIC SERVER {server}"),
                None => name.to_owned(),
            }
        }),
        _ => None,
    };
    derived.unwrap_or_else(|| tag.to_owned())
}

/// What DROP calls a kind that is not dropped with something else.
pub(super) fn drop_words(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Cast => Some("CAST"),
        Kind::Transform => Some("TRANSFORM"),
        Kind::AccessMethod => Some("ACCESS METHOD"),
        Kind::TextSearchParser => Some("TEXT SEARCH PARSER"),
        Kind::TextSearchTemplate => Some("TEXT SEARCH TEMPLATE"),
        Kind::UserMapping => Some("USER MAPPING"),
        Kind::Extension => Some("EXTENSION"),
        Kind::LargeObject => None,
        other => alter_words(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_those_of_our_tables_of_contents() {
        let cases = [
            (
                Kind::Cast,
                "CAST (a AS b)",
                "DROP CAST (a AS b);\n",
                "(a AS b)",
            ),
            (
                Kind::Operator,
                "+++",
                "DROP OPERATOR s.+++ (integer, NONE);\n",
                "+++ (integer, NONE)",
            ),
            (
                Kind::OperatorClass,
                "c",
                "DROP OPERATOR CLASS s.c USING \"B\";\n",
                "c USING B",
            ),
            (
                Kind::Transform,
                "TRANSFORM FOR t LANGUAGE l",
                "DROP TRANSFORM FOR t LANGUAGE l;\n",
                "FOR t LANGUAGE l",
            ),
            (
                Kind::UserMapping,
                "USER MAPPING public SERVER s",
                "",
                "PUBLIC SERVER s",
            ),
            (Kind::Table, "t", "DROP TABLE s.t;\n", "t"),
        ];
        for (kind, tag, drop, name) in cases {
            assert_eq!(name_of(kind, tag, drop), name);
        }
    }

    #[test]
    fn owners_are_given_to_what_has_one() {
        assert_eq!(
            alter_object(
                Kind::Function,
                Some("s"),
                "f(integer)",
                "DROP FUNCTION s.f(integer);\n"
            )
            .as_deref(),
            Some("FUNCTION s.f(integer)")
        );
        assert_eq!(
            alter_object(Kind::View, Some("s"), "v", "DROP VIEW s.v;").as_deref(),
            Some("VIEW \"s\".\"v\"")
        );
        assert_eq!(
            alter_object(Kind::Index, Some("s"), "i", "DROP INDEX s.i;"),
            None
        );
    }
}
