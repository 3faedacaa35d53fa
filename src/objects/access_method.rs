//! Access methods of indexes and tables (`pg_am`). Manual: "pg_am", "CREATE ACCESS METHOD".

use super::catalog_query::{read_all, unexpected};
use super::named::{Named, NamedCatalog, NamedObject, function_name};
use super::{Kind, Oid, RenderContext, Rendered, catalog};
use crate::Result;
use crate::conn::Session;

const ACCESS_METHODS: NamedCatalog = NamedCatalog {
    name: "pg_am",
    prefix: "am",
    in_schema: false,
    has_owner: false,
    acl_letter: None,
};

/// An access method.
#[derive(Clone, Debug)]
pub struct AccessMethod {
    named: Named,
    /// INDEX or TABLE.
    of: &'static str,
    handler: String,
}

impl NamedObject for AccessMethod {
    const KIND: Kind = Kind::AccessMethod;
    const CLASS: Oid = catalog::PG_AM;

    fn named(&self) -> &Named {
        &self.named
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let object = format!("ACCESS METHOD {}", self.named.sql());
        Rendered {
            create: vec![format!(
                "CREATE {object} TYPE {} HANDLER {};",
                self.of, self.handler
            )],
            drop: Some(format!(
                "DROP ACCESS METHOD IF EXISTS {};",
                self.named.sql()
            )),
            comments: self.named.render_comments(&object),
            ..Rendered::default()
        }
    }
}

pub(crate) async fn read(session: &Session) -> Result<Vec<AccessMethod>> {
    let handler = function_name("r.amhandler");
    let columns = format!("r.amtype::pg_catalog.text AS amtype, {handler} AS handler");
    let query = ACCESS_METHODS.query(&columns, "", "true");
    read_all(session, "access methods", &query, |row| {
        let named = Named::from_row(row)?;
        let of: &str = row.try_get("amtype")?;
        Ok(AccessMethod {
            of: match of {
                "i" => "INDEX",
                "t" => "TABLE",
                other => {
                    let object = format!("access method {}", named.name);
                    return Err(unexpected(&object, "amtype", other).into());
                }
            },
            named,
            handler: row.try_get("handler")?,
        })
    })
    .await
}
