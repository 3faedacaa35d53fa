//! Foreign servers (`pg_foreign_server`). Manual: "CREATE SERVER".

use super::acl::{AclTarget, GrantKind};
use super::catalog_query::read_all;
use super::named::{Named, NamedCatalog, NamedObject, options_clause};
use super::{Kind, Oid, RenderContext, Rendered, catalog, quote};
use crate::Result;
use crate::conn::Session;

const SERVERS: NamedCatalog = NamedCatalog {
    name: "pg_foreign_server",
    prefix: "srv",
    in_schema: false,
    has_owner: true,
    acl_letter: Some('S'),
};

/// A foreign server.
#[derive(Clone, Debug)]
pub struct ForeignServer {
    named: Named,
    server_type: Option<String>,
    version: Option<String>,
    wrapper: String,
    /// `name=value`
    options: Vec<String>,
}

impl NamedObject for ForeignServer {
    const KIND: Kind = Kind::ForeignServer;
    const CLASS: Oid = catalog::PG_FOREIGN_SERVER;

    fn named(&self) -> &Named {
        &self.named
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        let name = self.named.sql();
        let object = format!("SERVER {name}");
        let mut create = format!("CREATE {object}");
        for (word, value) in [("TYPE", &self.server_type), ("VERSION", &self.version)] {
            if let Some(value) = value {
                create.push_str(&format!(" {word} {}", quote::literal(value)));
            }
        }
        create.push_str(&format!(
            " FOREIGN DATA WRAPPER {}{}",
            quote::ident(&self.wrapper),
            options_clause(&self.options)
        ));
        let granted = format!("FOREIGN SERVER {name}");
        Rendered {
            create: vec![format!("{create};")],
            drop: Some(format!("DROP SERVER IF EXISTS {name};")),
            alter_owner: self.named.render_owner(&object),
            comments: self.named.render_comments(&object),
            acl: self.named.render_acl(
                &AclTarget::new(GrantKind::ForeignServer, &granted),
                context.server,
            ),
        }
    }
}

pub(crate) async fn read(session: &Session) -> Result<Vec<ForeignServer>> {
    let query = SERVERS.query(
        "r.srvtype, r.srvversion, w.fdwname, COALESCE(r.srvoptions, '{}') AS options",
        "JOIN pg_catalog.pg_foreign_data_wrapper AS w ON w.oid = r.srvfdw",
        "true",
    );
    read_all(session, "foreign servers", &query, |row| {
        Ok(ForeignServer {
            named: Named::from_row(row)?,
            server_type: row.try_get("srvtype")?,
            version: row.try_get("srvversion")?,
            wrapper: row.try_get("fdwname")?,
            options: row.try_get("options")?,
        })
    })
    .await
}
