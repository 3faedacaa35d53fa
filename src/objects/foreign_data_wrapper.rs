//! Foreign data wrappers (`pg_foreign_data_wrapper`). Manual: "CREATE FOREIGN DATA WRAPPER".

use super::acl::{AclTarget, GrantKind};
use super::catalog_query::read_all;
use super::named::{Named, NamedCatalog, NamedObject, function_name, options_clause};
use super::{Kind, Oid, RenderContext, Rendered, catalog};
use crate::Result;
use crate::conn::Session;

const WRAPPERS: NamedCatalog = NamedCatalog {
    name: "pg_foreign_data_wrapper",
    prefix: "fdw",
    in_schema: false,
    has_owner: true,
    acl_letter: Some('F'),
};

/// A foreign data wrapper.
#[derive(Clone, Debug)]
pub struct ForeignDataWrapper {
    named: Named,
    handler: Option<String>,
    validator: Option<String>,
    /// `name=value`
    options: Vec<String>,
}

impl NamedObject for ForeignDataWrapper {
    const KIND: Kind = Kind::ForeignDataWrapper;
    const CLASS: Oid = catalog::PG_FOREIGN_DATA_WRAPPER;

    fn named(&self) -> &Named {
        &self.named
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        let name = self.named.sql();
        let object = format!("FOREIGN DATA WRAPPER {name}");
        let mut create = format!("CREATE {object}");
        for (word, function) in [("HANDLER", &self.handler), ("VALIDATOR", &self.validator)] {
            if let Some(function) = function {
                create.push_str(&format!(" {word} {function}"));
            }
        }
        create.push_str(&options_clause(&self.options));
        Rendered {
            create: vec![format!("{create};")],
            drop: Some(format!("DROP FOREIGN DATA WRAPPER IF EXISTS {name};")),
            alter_owner: self.named.render_owner(&object),
            comments: self.named.render_comments(&object),
            acl: self.named.render_acl(
                &AclTarget::new(GrantKind::ForeignDataWrapper, &object),
                context.server,
            ),
        }
    }
}

pub(crate) async fn read(session: &Session) -> Result<Vec<ForeignDataWrapper>> {
    let columns = format!(
        "{} AS handler, {} AS validator, COALESCE(r.fdwoptions, '{{}}') AS options",
        function_name("r.fdwhandler"),
        function_name("r.fdwvalidator"),
    );
    let query = WRAPPERS.query(&columns, "", "true");
    read_all(session, "foreign data wrappers", &query, |row| {
        Ok(ForeignDataWrapper {
            named: Named::from_row(row)?,
            handler: row.try_get("handler")?,
            validator: row.try_get("validator")?,
            options: row.try_get("options")?,
        })
    })
    .await
}
