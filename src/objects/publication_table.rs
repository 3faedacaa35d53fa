//! Tables of publications (`pg_publication_rel`), with their column lists and row filters.

use super::catalog_query::{is_users, read_all};
use super::plain_definition::Deparser;
use super::relation::RelationName;
use super::{
    DumpObject, Kind, LockStrength, ObjectId, Oid, RenderContext, Rendered, Section, catalog, quote,
};
use crate::Result;
use crate::conn::{ServerVersion, Session};

/// That a publication publishes a table.
#[derive(Clone, Debug)]
pub struct PublicationTable {
    oid: Oid,
    publication: String,
    publication_oid: Oid,
    owner: String,
    table: RelationName,
    /// Empty: all.
    columns: Vec<String>,
    /// As deparsed by the server.
    filter: Option<String>,
}

impl DumpObject for PublicationTable {
    fn kind(&self) -> Kind {
        Kind::PublicationTable
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_PUBLICATION_REL, self.oid)
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.table.schema)
    }

    fn tag(&self) -> String {
        format!("{} {}", self.publication, self.table.name)
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn section(&self) -> Section {
        Section::PostData
    }

    fn extra_dependencies(&self) -> Vec<ObjectId> {
        vec![
            self.table.id(),
            ObjectId::definition(catalog::PG_PUBLICATION, self.publication_oid),
        ]
    }

    fn relation(&self) -> Option<ObjectId> {
        Some(self.table.id())
    }

    fn locks(&self) -> Vec<(ObjectId, LockStrength)> {
        vec![(self.table.id(), LockStrength::Exclusive)]
    }

    /// It goes with its publication.
    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let columns: Vec<String> = self.columns.iter().map(|c| quote::ident(c)).collect();
        let columns = match columns.is_empty() {
            true => String::new(),
            false => format!(" ({})", columns.join(", ")),
        };
        let filter = match &self.filter {
            Some(filter) => format!(" WHERE ({filter})"),
            None => String::new(),
        };
        Rendered {
            create: vec![format!(
                "ALTER PUBLICATION {} ADD TABLE ONLY {}{columns}{filter};",
                quote::ident(&self.publication),
                self.table.sql()
            )],
            ..Rendered::default()
        }
    }
}

pub(crate) async fn read(session: &Session, deparser: &Deparser) -> Result<Vec<PublicationTable>> {
    // Column lists and row filters came with 15.
    let row_filter = (deparser.deparsed())
        .of_relation("r.prrelid", "pg_catalog.pg_get_expr(r.prqual, r.prrelid)");
    let (columns, filter) = match session.version() >= ServerVersion::major(15) {
        true => (
            "ARRAY(SELECT a.attname::pg_catalog.text \
               FROM pg_catalog.unnest(r.prattrs) WITH ORDINALITY AS l (attnum, position) \
               JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.prrelid AND a.attnum = l.attnum \
               ORDER BY l.position)",
            row_filter.as_str(),
        ),
        false => ("ARRAY[]::pg_catalog.text[]", "NULL::pg_catalog.text"),
    };
    let query = format!(
        "SELECT r.oid, p.pubname, p.oid AS publication_oid, \
         pg_catalog.pg_get_userbyid(p.pubowner) AS owner, \
         c.oid AS table_oid, n.nspname AS table_schema, c.relname AS table_name, \
         {columns} AS columns, {filter} AS filter \
         FROM pg_catalog.pg_publication_rel AS r \
         JOIN pg_catalog.pg_publication AS p ON p.oid = r.prpubid \
         JOIN pg_catalog.pg_class AS c ON c.oid = r.prrelid \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE {users} ORDER BY p.pubname, n.nspname, c.relname",
        users = is_users("pg_publication_rel", "r"),
    );
    read_all(session, "tables of publications", &query, |row| {
        Ok(PublicationTable {
            oid: row.try_get("oid")?,
            publication: row.try_get("pubname")?,
            publication_oid: row.try_get("publication_oid")?,
            owner: row.try_get("owner")?,
            table: RelationName::from_row(row, "table")?,
            columns: row.try_get("columns")?,
            filter: row.try_get("filter")?,
        })
    })
    .await
}
