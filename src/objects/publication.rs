//! Publications (`pg_publication`). Manual: "pg_publication", "CREATE PUBLICATION". What they publish, unless it is
//! everything, are objects of their own: [`PublicationTable`](super::PublicationTable),
//! [`PublicationSchema`](super::PublicationSchema).

use super::catalog_query::{read_all, since, unexpected};
use super::named::{Named, NamedCatalog, NamedObject};
use super::{Kind, Oid, RenderContext, Rendered, Section, catalog, quote};
use crate::Result;
use crate::conn::{ServerVersion, Session};

const PUBLICATIONS: NamedCatalog = NamedCatalog {
    name: "pg_publication",
    prefix: "pub",
    in_schema: false,
    has_owner: true,
    acl_letter: None,
};

/// A publication.
#[derive(Clone, Debug)]
pub struct Publication {
    named: Named,
    of_all_tables: bool,
    /// insert, update, delete, truncate
    operations: Vec<&'static str>,
    via_partition_root: bool,
    publishes_stored_columns: bool,
}

impl NamedObject for Publication {
    const KIND: Kind = Kind::Publication;
    const CLASS: Oid = catalog::PG_PUBLICATION;

    fn named(&self) -> &Named {
        &self.named
    }

    fn section(&self) -> Section {
        Section::PostData
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let name = self.named.sql();
        let object = format!("PUBLICATION {name}");
        let mut options = vec![format!(
            "publish = {}",
            quote::literal(&self.operations.join(", "))
        )];
        if self.via_partition_root {
            options.push("publish_via_partition_root = true".to_owned());
        }
        if self.publishes_stored_columns {
            options.push("publish_generated_columns = stored".to_owned());
        }
        Rendered {
            create: vec![format!(
                "CREATE {object}{} WITH ({});",
                if self.of_all_tables {
                    " FOR ALL TABLES"
                } else {
                    ""
                },
                options.join(", ")
            )],
            drop: Some(format!("DROP PUBLICATION IF EXISTS {name};")),
            alter_owner: self.named.render_owner(&object),
            comments: self.named.render_comments(&object),
            ..Rendered::default()
        }
    }
}

fn query(server: ServerVersion) -> String {
    PUBLICATIONS.query(
        &format!(
            "r.puballtables, r.pubinsert, r.pubupdate, r.pubdelete, {} AS pubtruncate, {} AS pubviaroot, \
             {} AS pubgencols",
            since(server, 11, "r.pubtruncate", "false"),
            since(server, 13, "r.pubviaroot", "false"),
            since(server, 18, "r.pubgencols::pg_catalog.text", "'n'::pg_catalog.text"),
        ),
        "",
        "true",
    )
}

pub(crate) async fn read(session: &Session) -> Result<Vec<Publication>> {
    read_all(session, "publications", &query(session.version()), |row| {
        let named = Named::from_row(row)?;
        let mut operations = Vec::new();
        for (column, word) in [
            ("pubinsert", "insert"),
            ("pubupdate", "update"),
            ("pubdelete", "delete"),
            ("pubtruncate", "truncate"),
        ] {
            if row.try_get(column)? {
                operations.push(word);
            }
        }
        let generated: &str = row.try_get("pubgencols")?;
        Ok(Publication {
            of_all_tables: row.try_get("puballtables")?,
            operations,
            via_partition_root: row.try_get("pubviaroot")?,
            publishes_stored_columns: match generated {
                "n" => false,
                "s" => true,
                other => {
                    let object = format!("publication {}", named.name);
                    return Err(unexpected(&object, "pubgencols", other).into());
                }
            },
            named,
        })
    })
    .await
}
