//! Comments on what the server makes along with an object (`pg_description`): row, array and multirange types, constructors
//! of ranges, the rule behind a view, the constraint behind a constraint trigger, clones of foreign keys.

use super::catalog_query::{first_users_oid, read_all, since};
use super::{CatalogId, quote};
use crate::Result;
use crate::conn::{ServerVersion, Session};

/// A comment on something that has no CREATE of its own.
#[derive(Clone, Debug)]
pub(crate) struct SideComment {
    /// What it is on.
    pub(crate) row: CatalogId,
    /// `COMMENT ON ... IS ...;`. None if the name will be another one where it is restored.
    pub(crate) statement: Option<String>,
}

/// A foreign key's clone on a partition is made again under the name of the key, if the partition had no other constraint
/// of that name. One for a partition of the referenced table gets a name that the server makes up.
fn query(server: ServerVersion) -> String {
    // Foreign keys have had clones since 11.
    let is_clone = since(
        server,
        11,
        "k.contype = 'f' AND k.conparentid <> 0",
        "false",
    );
    let keeps_its_name = since(server, 11, NAMED_AS_ITS_KEY, "false");
    let first = first_users_oid();
    format!(
        "SELECT d.classoid, d.objoid, d.description, i.type, i.identity, \
           k.contype IS DISTINCT FROM 'f' OR {keeps_its_name} AS keeps_its_name \
         FROM pg_catalog.pg_description d \
         LEFT JOIN pg_catalog.pg_type t ON t.oid = d.objoid AND d.classoid = 'pg_catalog.pg_type'::pg_catalog.regclass \
         LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid \
         LEFT JOIN pg_catalog.pg_rewrite r ON r.oid = d.objoid AND d.classoid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass \
         LEFT JOIN pg_catalog.pg_constraint k ON k.oid = d.objoid AND d.classoid = 'pg_catalog.pg_constraint'::pg_catalog.regclass \
         CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classoid, d.objoid, 0) i \
         WHERE d.objoid >= {first} AND d.objsubid = 0 AND ( \
           c.relkind <> 'c' OR t.typtype = 'm' OR r.rulename = '_RETURN' OR k.contype = 't' OR {is_clone} \
           OR EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid) \
           OR d.classoid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND EXISTS (SELECT FROM pg_catalog.pg_depend x \
             WHERE x.classid = d.classoid AND x.objid = d.objoid AND x.deptype = 'i')) \
         ORDER BY i.type COLLATE \"C\", i.identity COLLATE \"C\""
    )
}

/// Whether the clone `k` has the name of the topmost foreign key, and is on another table.
const NAMED_AS_ITS_KEY: &str = "(WITH RECURSIVE up AS (SELECT k.conparentid AS oid \
       UNION ALL SELECT p.conparentid FROM up JOIN pg_catalog.pg_constraint p ON p.oid = up.oid) \
     SELECT p.conname = k.conname AND p.conrelid <> k.conrelid \
     FROM up JOIN pg_catalog.pg_constraint p ON p.oid = up.oid WHERE p.conparentid = 0)";

pub(crate) async fn read(session: &Session) -> Result<Vec<SideComment>> {
    let query = query(session.version());
    read_all(session, "comments", &query, |row| {
        let keeps_its_name: bool = row.try_get("keeps_its_name")?;
        let object = target(row.try_get("type")?, row.try_get("identity")?);
        let text: &str = row.try_get("description")?;
        Ok(SideComment {
            row: CatalogId::new(row.try_get("classoid")?, row.try_get("objoid")?),
            statement: keeps_its_name.then(|| quote::comment_on(&object, text)),
        })
    })
    .await
}

/// What `pg_identify_object` tells of an object, as COMMENT names it.
fn target(kind: &str, identity: &str) -> String {
    match kind {
        "table constraint" => format!("CONSTRAINT {identity}"),
        _ => format!("{} {identity}", kind.to_uppercase()),
    }
}
