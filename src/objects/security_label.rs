//! Security labels (`pg_seclabel`). They hang on objects of other kinds, as comments do. Manual: "SECURITY LABEL".

use super::catalog_query::read_all;
use super::{CatalogId, quote};
use crate::Result;
use crate::conn::Session;

/// A security label on an object or a column.
#[derive(Clone, Debug)]
pub(crate) struct SecurityLabel {
    /// What it is on, or whose column.
    pub(crate) row: CatalogId,
    /// `SECURITY LABEL FOR ... IS ...;`
    pub(crate) statement: String,
}

const QUERY: &str = "\
    SELECT l.classoid, l.objoid, l.provider, l.label, i.type, i.identity \
    FROM pg_catalog.pg_seclabel AS l \
    CROSS JOIN LATERAL pg_catalog.pg_identify_object(l.classoid, l.objoid, l.objsubid) AS i \
    ORDER BY i.type, i.identity, l.provider";

pub(crate) async fn read(session: &Session) -> Result<Vec<SecurityLabel>> {
    read_all(session, "security labels", QUERY, |row| {
        let object = label_target(row.try_get("type")?, row.try_get("identity")?);
        Ok(SecurityLabel {
            row: CatalogId::new(row.try_get("classoid")?, row.try_get("objoid")?),
            statement: format!(
                "SECURITY LABEL FOR {} ON {object} IS {};",
                quote::ident(row.try_get("provider")?),
                quote::literal(row.try_get("label")?)
            ),
        })
    })
    .await
}

/// What `pg_identify_object` tells of an object, as SECURITY LABEL names it.
fn label_target(kind: &str, identity: &str) -> String {
    match (kind, identity.strip_suffix("()")) {
        _ if kind.ends_with(" column") => format!("COLUMN {identity}"),
        ("aggregate", Some(name)) => format!("AGGREGATE {name}(*)"),
        _ => format!("{} {identity}", kind.to_uppercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_named_as_the_grammar_wants_them() {
        assert_eq!(label_target("table column", "s.t.c"), "COLUMN s.t.c");
        assert_eq!(label_target("aggregate", "s.a()"), "AGGREGATE s.a(*)");
        assert_eq!(
            label_target("materialized view", "s.m"),
            "MATERIALIZED VIEW s.m"
        );
    }
}
