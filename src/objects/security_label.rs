//! Security labels (`pg_seclabel`, and `pg_shseclabel` for what is in a shared catalog). They hang on objects of other kinds, as
//! comments do. Manual: "SECURITY LABEL".

use super::catalog_query::read_all;
use super::subscription::SUBSCRIPTIONS_HERE;
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

/// Subscriptions belong to databases, though their catalog is shared.
fn of_database() -> String {
    format!(
        "SELECT l.classoid, l.objoid, l.objsubid, l.provider, l.label FROM pg_catalog.pg_seclabel l \
         UNION ALL \
         SELECT l.classoid, l.objoid, 0, l.provider, l.label FROM pg_catalog.pg_shseclabel l \
         JOIN {SUBSCRIPTIONS_HERE} ON r.oid = l.objoid \
         WHERE l.classoid = 'pg_catalog.pg_subscription'::pg_catalog.regclass"
    )
}

const OF_CLUSTER: &str = "\
    SELECT l.classoid, l.objoid, 0 AS objsubid, l.provider, l.label FROM pg_catalog.pg_shseclabel l \
    WHERE l.classoid IN ('pg_catalog.pg_authid'::pg_catalog.regclass, 'pg_catalog.pg_tablespace'::pg_catalog.regclass)";

/// Those on objects of the database and their columns; those on the database itself are among its properties.
pub(crate) async fn read(session: &Session) -> Result<Vec<SecurityLabel>> {
    read_labels(session, &of_database()).await
}

/// Those on roles and tablespaces.
pub(crate) async fn read_of_cluster(session: &Session) -> Result<Vec<SecurityLabel>> {
    read_labels(session, OF_CLUSTER).await
}

async fn read_labels(session: &Session, labels: &str) -> Result<Vec<SecurityLabel>> {
    let query = format!(
        "SELECT l.classoid, l.objoid, l.provider, l.label, i.type, i.identity FROM ({labels}) AS l \
         CROSS JOIN LATERAL pg_catalog.pg_identify_object(l.classoid, l.objoid, l.objsubid) AS i \
         ORDER BY i.type, i.identity, l.provider"
    );
    read_all(session, "security labels", &query, |row| {
        let object = label_target(row.try_get("type")?, row.try_get("identity")?);
        let (provider, label) = (row.try_get("provider")?, row.try_get("label")?);
        Ok(SecurityLabel {
            row: CatalogId::new(row.try_get("classoid")?, row.try_get("objoid")?),
            statement: render(provider, &object, label),
        })
    })
    .await
}

/// `SECURITY LABEL FOR provider ON object IS label`
pub(super) fn render(provider: &str, object: &str, label: &str) -> String {
    format!(
        "SECURITY LABEL FOR {} ON {object} IS {};",
        quote::ident(provider),
        quote::literal(label)
    )
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
