//! Extended statistics (`pg_statistic_ext`). Manual: "pg_statistic_ext", "CREATE STATISTICS".

use super::catalog_query::read_all;
use super::named::{Named, NamedCatalog, NamedObject};
use super::plain_definition::Deparser;
use super::{Kind, ObjectId, Oid, RenderContext, Rendered, Section, catalog};
use crate::Result;
use crate::conn::{ServerVersion, Session};

const STATISTICS: NamedCatalog = NamedCatalog {
    name: "pg_statistic_ext",
    prefix: "stx",
    in_schema: true,
    has_owner: true,
    acl_letter: None,
};

/// A statistics object.
#[derive(Clone, Debug)]
pub struct ExtendedStatistics {
    named: Named,
    table: Oid,
    /// `CREATE STATISTICS ...` as deparsed by the server, without a semicolon.
    definition: String,
    /// Unless it is the default.
    target: Option<i32>,
}

impl NamedObject for ExtendedStatistics {
    const KIND: Kind = Kind::ExtendedStatistics;
    const CLASS: Oid = catalog::PG_STATISTIC_EXT;

    fn named(&self) -> &Named {
        &self.named
    }

    fn section(&self) -> Section {
        Section::PostData
    }

    fn table(&self) -> Option<ObjectId> {
        Some(ObjectId::definition(catalog::PG_CLASS, self.table))
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let name = self.named.sql();
        let object = format!("STATISTICS {name}");
        let mut create = vec![format!("{};", self.definition)];
        create.extend(
            self.target
                .map(|target| format!("ALTER {object} SET STATISTICS {target};")),
        );
        Rendered {
            create,
            drop: Some(format!("DROP STATISTICS IF EXISTS {name};")),
            alter_owner: self.named.render_owner(&object),
            comments: self.named.render_comments(&object),
            ..Rendered::default()
        }
    }
}

pub(crate) async fn read(
    session: &Session,
    deparser: &Deparser,
) -> Result<Vec<ExtendedStatistics>> {
    // Targets came with 13.
    let target = match session.version() >= ServerVersion::major(13) {
        true => "NULLIF(r.stxstattarget::pg_catalog.int4, -1)",
        false => "NULL::pg_catalog.int4",
    };
    let columns = format!(
        "r.stxrelid, {} AS definition, {target} AS target",
        (deparser.deparsed())
            .of_relation("r.stxrelid", "pg_catalog.pg_get_statisticsobjdef(r.oid)")
    );
    let query = STATISTICS.query(&columns, "", "true");
    read_all(session, "extended statistics", &query, |row| {
        Ok(ExtendedStatistics {
            named: Named::from_row(row)?,
            table: row.try_get("stxrelid")?,
            definition: row.try_get("definition")?,
            target: row.try_get("target")?,
        })
    })
    .await
}
