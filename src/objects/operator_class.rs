//! Operator classes (`pg_opclass`). Manual: "pg_opclass", "CREATE OPERATOR CLASS".

use super::catalog_query::read_all;
use super::named::{Named, NamedCatalog, NamedObject};
use super::operator_family::{AccessMethodName, Members};
use super::{CatalogId, Kind, Oid, RenderContext, Rendered, catalog, quote};
use crate::Result;
use crate::conn::Session;

const OPERATOR_CLASSES: NamedCatalog = NamedCatalog {
    name: "pg_opclass",
    prefix: "opc",
    in_schema: true,
    has_owner: true,
    acl_letter: None,
};

/// An operator class.
#[derive(Clone, Debug)]
pub struct OperatorClass {
    named: Named,
    access_method: AccessMethodName,
    is_default: bool,
    /// As deparsed by the server.
    input_type: String,
    /// As deparsed by the server, if it is not the input type.
    storage: Option<String>,
    family_schema: String,
    family: String,
    members: Members,
}

impl NamedObject for OperatorClass {
    const KIND: Kind = Kind::OperatorClass;
    const CLASS: Oid = catalog::PG_OPCLASS;

    fn named(&self) -> &Named {
        &self.named
    }

    fn parts(&self) -> Vec<CatalogId> {
        self.members.claims().to_vec()
    }

    fn tag(&self) -> String {
        format!("{} USING {}", self.named.name, self.access_method.name)
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let method = quote::ident(&self.access_method.name);
        let name = format!("{} USING {method}", self.named.sql());
        let object = format!("OPERATOR CLASS {name}");
        let mut items: Vec<String> = self
            .storage
            .iter()
            .map(|storage| format!("STORAGE {storage}"))
            .collect();
        items.extend_from_slice(self.members.items());
        if items.is_empty() {
            // The grammar wants something; this says nothing.
            items.push(format!("STORAGE {}", self.input_type));
        }
        Rendered {
            create: vec![format!(
                "CREATE OPERATOR CLASS {}\n    {}FOR TYPE {} USING {method} FAMILY {} AS\n    {};",
                self.named.sql(),
                if self.is_default { "DEFAULT " } else { "" },
                self.input_type,
                quote::qualified(&self.family_schema, &self.family),
                items.join(",\n    ")
            )],
            drop: Some(
                self.access_method
                    .render_drop(&format!("OPERATOR CLASS IF EXISTS {name}")),
            ),
            alter_owner: self.named.render_owner(&object),
            comments: self.named.render_comments(&object),
            ..Rendered::default()
        }
    }
}

pub(crate) async fn read(session: &Session) -> Result<Vec<OperatorClass>> {
    let columns = format!(
        "{}, r.opcdefault, pg_catalog.format_type(r.opcintype, NULL) AS input_type, \
         pg_catalog.format_type(NULLIF(r.opckeytype, 0), NULL) AS storage, \
         fn.nspname AS family_schema, f.opfname AS family, {}",
        AccessMethodName::COLUMNS,
        Members::columns("pg_opclass", "r.oid")
    );
    let query = OPERATOR_CLASSES.query(
        &columns,
        "JOIN pg_catalog.pg_am AS am ON am.oid = r.opcmethod \
         JOIN pg_catalog.pg_opfamily AS f ON f.oid = r.opcfamily \
         JOIN pg_catalog.pg_namespace AS fn ON fn.oid = f.opfnamespace",
        "true",
    );
    read_all(session, "operator classes", &query, |row| {
        Ok(OperatorClass {
            named: Named::from_row(row)?,
            access_method: AccessMethodName::from_row(row)?,
            is_default: row.try_get("opcdefault")?,
            input_type: row.try_get("input_type")?,
            storage: row.try_get("storage")?,
            family_schema: row.try_get("family_schema")?,
            family: row.try_get("family")?,
            members: Members::from_row(row)?,
        })
    })
    .await
}
