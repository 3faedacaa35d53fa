//! Schemas of publications (`pg_publication_namespace`), from 15.

use super::catalog_query::{is_users, read_all};
use super::{DumpObject, Kind, ObjectId, Oid, RenderContext, Rendered, Section, catalog, quote};
use crate::Result;
use crate::conn::{ServerVersion, Session};

/// That a publication publishes all tables of a schema.
#[derive(Clone, Debug)]
pub struct PublicationSchema {
    oid: Oid,
    publication: String,
    publication_oid: Oid,
    owner: String,
    schema: String,
    schema_oid: Oid,
}

impl DumpObject for PublicationSchema {
    fn kind(&self) -> Kind {
        Kind::PublicationSchema
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_PUBLICATION_NAMESPACE, self.oid)
    }

    fn schema(&self) -> Option<&str> {
        None
    }

    fn tag(&self) -> String {
        format!("{} {}", self.publication, self.schema)
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn section(&self) -> Section {
        Section::PostData
    }

    fn extra_dependencies(&self) -> Vec<ObjectId> {
        vec![
            ObjectId::definition(catalog::PG_NAMESPACE, self.schema_oid),
            ObjectId::definition(catalog::PG_PUBLICATION, self.publication_oid),
        ]
    }

    /// It goes with its publication.
    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        Rendered {
            create: vec![format!(
                "ALTER PUBLICATION {} ADD TABLES IN SCHEMA {};",
                quote::ident(&self.publication),
                quote::ident(&self.schema)
            )],
            ..Rendered::default()
        }
    }
}

pub(crate) async fn read(session: &Session) -> Result<Vec<PublicationSchema>> {
    if session.version() < ServerVersion::major(15) {
        return Ok(Vec::new());
    }
    let query = format!(
        "SELECT r.oid, p.pubname, p.oid AS publication_oid, \
         pg_catalog.pg_get_userbyid(p.pubowner) AS owner, n.nspname, n.oid AS schema_oid \
         FROM pg_catalog.pg_publication_namespace AS r \
         JOIN pg_catalog.pg_publication AS p ON p.oid = r.pnpubid \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = r.pnnspid \
         WHERE {users} ORDER BY p.pubname, n.nspname",
        users = is_users("pg_publication_namespace", "r"),
    );
    read_all(session, "schemas of publications", &query, |row| {
        Ok(PublicationSchema {
            oid: row.try_get("oid")?,
            publication: row.try_get("pubname")?,
            publication_oid: row.try_get("publication_oid")?,
            owner: row.try_get("owner")?,
            schema: row.try_get("nspname")?,
            schema_oid: row.try_get("schema_oid")?,
        })
    })
    .await
}
