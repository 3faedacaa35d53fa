//! Finds out whose definitions a selection needs.

use std::collections::HashMap;

use crate::conn::Session;
use crate::objects::catalog_query::is_users_schema;
use crate::objects::deparsed::Deparsed;
use crate::objects::{Oid, OidSet};
use crate::{Error, ErrorKind, Result};

use super::selection::Selection;

/// A child prints what differs from its parents, whether these are chosen or not; a sequence goes with its table.
fn relations_query() -> String {
    format!(
        "SELECT c.oid, n.nspname::pg_catalog.text AS nspname, c.relname::pg_catalog.text AS relname, \
         ARRAY(SELECT i.inhparent FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid) AS parents, \
         ARRAY(SELECT s.oid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S' \
           WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = c.oid \
           AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i')) AS sequences \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'S', 'v', 'm', 'f', 'p') AND {users_schema}",
        users_schema = is_users_schema("n"),
    )
}

const SCHEMAS: &str =
    "SELECT n.oid, n.nspname::pg_catalog.text AS nspname FROM pg_catalog.pg_namespace n";

/// Of a selection that is resolved.
///
/// # Errors
/// `Catalog` if the catalogs cannot be read.
pub(super) async fn read_deparsed(session: &Session, selection: &Selection) -> Result<Deparsed> {
    if selection.is_everything() {
        return Ok(Deparsed::Everything);
    }
    let failed = |e| Error::from_server(ErrorKind::Catalog, "could not read what is chosen", e);
    let rows = session
        .query(&relations_query(), &[])
        .await
        .map_err(failed)?;
    let mut open: Vec<Oid> = Vec::new();
    let mut relations: OidSet<Oid> = OidSet::default();
    let mut parents: HashMap<Oid, Vec<Oid>> = HashMap::new();
    for row in &rows {
        let oid: Oid = row.get("oid");
        parents.insert(oid, row.get("parents"));
        if selection.includes_relation(row.get("nspname"), row.get("relname")) {
            open.push(oid);
            relations.extend(row.get::<_, Vec<Oid>>("sequences"));
        }
    }
    while let Some(oid) = open.pop() {
        if relations.insert(oid) {
            open.extend(parents.get(&oid).into_iter().flatten());
        }
    }
    let schemas = session.query(SCHEMAS, &[]).await.map_err(failed)?;
    let schemas = schemas
        .iter()
        .filter(|row| selection.includes_schema(row.get("nspname")));
    Ok(Deparsed::Chosen {
        relations,
        schemas: schemas.map(|row| row.get("oid")).collect(),
    })
}
