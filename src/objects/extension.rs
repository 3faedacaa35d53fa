//! Extensions (`pg_extension`). Manual: "pg_extension", "Extension Configuration Tables".

use super::catalog_query::{comment_join, is_not_initdbs, read_all};
use super::{DumpObject, Kind, ObjectId, Oid, RenderContext, Rendered, Section, catalog, quote};
use crate::Result;
use crate::conn::Session;

/// An extension. Its members come with it and are no objects of the dump, except for the rows of its
/// configuration tables ([`TableData`](super::TableData)).
#[derive(Clone, Debug)]
pub struct Extension {
    oid: Oid,
    name: String,
    schema: String,
    comment: Option<String>,
}

impl DumpObject for Extension {
    fn kind(&self) -> Kind {
        Kind::Extension
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_EXTENSION, self.oid)
    }

    fn schema(&self) -> Option<&str> {
        None
    }

    fn tag(&self) -> String {
        self.name.clone()
    }

    fn section(&self) -> Section {
        Section::PreData
    }

    /// Without the version, which the target may not have: the newest there is right.
    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let name = quote::ident(&self.name);
        Rendered {
            create: vec![format!(
                "CREATE EXTENSION IF NOT EXISTS {name} WITH SCHEMA {};",
                quote::ident(&self.schema)
            )],
            drop: Some(format!("DROP EXTENSION IF EXISTS {name};")),
            comments: self
                .comment
                .iter()
                .map(|text| quote::comment_on(&format!("EXTENSION {name}"), text))
                .collect(),
            ..Rendered::default()
        }
    }
}

/// plpgsql as initdb installed it is left out.
fn extensions_query() -> String {
    format!(
        "SELECT e.oid, e.extname, n.nspname, comment.description \
         FROM pg_catalog.pg_extension AS e \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace {comment} \
         WHERE {not_initdbs} ORDER BY e.extname",
        not_initdbs = is_not_initdbs("pg_extension", "e"),
        comment = comment_join("pg_extension", "e"),
    )
}

pub(crate) async fn read(session: &Session) -> Result<Vec<Extension>> {
    read_all(session, "extensions", &extensions_query(), |row| {
        Ok(Extension {
            oid: row.try_get("oid")?,
            name: row.try_get("extname")?,
            schema: row.try_get("nspname")?,
            comment: row.try_get("description")?,
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::ServerVersion;

    #[test]
    fn version_is_left_to_the_target() {
        let extension = Extension {
            oid: Oid(20000),
            name: "uuid-ossp".to_owned(),
            schema: "s".to_owned(),
            comment: None,
        };
        let rendered = extension.render(&RenderContext {
            server: ServerVersion::major(15),
            separate: &crate::objects::OidSet::default(),
        });
        assert_eq!(
            rendered.create,
            ["CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" WITH SCHEMA \"s\";"]
        );
    }
}
