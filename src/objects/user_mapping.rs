//! User mappings (`pg_user_mapping`, of which the view `pg_user_mappings` shows what one may see). Manual: "CREATE USER
//! MAPPING". Their options hold passwords, and so does the dump, as pg_dump's.

use super::catalog_query::read_all;
use super::named::options_clause;
use super::{DumpObject, Kind, ObjectId, Oid, RenderContext, Rendered, Section, catalog, quote};
use crate::Result;
use crate::conn::Session;

/// As whom a role goes to a foreign server.
#[derive(Clone, Debug)]
pub struct UserMapping {
    oid: Oid,
    /// `None` for PUBLIC.
    user: Option<String>,
    server: String,
    server_oid: Oid,
    /// Whether an extension makes the server, and perhaps mappings along with it, which are no members of it.
    is_of_extension: bool,
    /// `name=value`
    options: Vec<String>,
}

impl UserMapping {
    fn user(&self) -> String {
        quote::role(self.user.as_deref().unwrap_or_default())
    }
}

impl DumpObject for UserMapping {
    fn kind(&self) -> Kind {
        Kind::UserMapping
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_USER_MAPPING, self.oid)
    }

    fn schema(&self) -> Option<&str> {
        None
    }

    fn tag(&self) -> String {
        format!(
            "{} SERVER {}",
            self.user.as_deref().unwrap_or("PUBLIC"),
            self.server
        )
    }

    fn section(&self) -> Section {
        Section::PreData
    }

    /// On members of extensions, too, whose servers `pg_depend` leads to the extension.
    fn extra_dependencies(&self) -> Vec<ObjectId> {
        vec![ObjectId::definition(
            catalog::PG_FOREIGN_SERVER,
            self.server_oid,
        )]
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let name = format!("FOR {} SERVER {}", self.user(), quote::ident(&self.server));
        let drop = format!("DROP USER MAPPING IF EXISTS {name};");
        let create = format!(
            "CREATE USER MAPPING {name}{};",
            options_clause(&self.options)
        );
        let first = self.is_of_extension.then(|| drop.clone());
        Rendered {
            create: first.into_iter().chain([create]).collect(),
            drop: Some(drop),
            ..Rendered::default()
        }
    }
}

/// Mappings whose options the view hides from us are not read: then nobody accounts for them, and the sweep names them.
const QUERY: &str = "\
    SELECT m.umid, CASE WHEN m.umuser <> 0 THEN m.usename END AS usename, m.srvname, m.srvid, \
    EXISTS (SELECT FROM pg_catalog.pg_depend AS member \
      WHERE member.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND member.deptype = 'e' \
      AND member.classid = 'pg_catalog.pg_foreign_server'::pg_catalog.regclass AND member.objid = m.srvid) AS is_of_extension, \
    COALESCE(m.umoptions, '{}') AS options \
    FROM pg_catalog.pg_user_mappings AS m \
    JOIN pg_catalog.pg_foreign_server AS s ON s.oid = m.srvid \
    JOIN pg_catalog.pg_roles AS me ON me.rolname = CURRENT_USER \
    WHERE me.rolsuper OR (m.umuser = 0 AND pg_catalog.pg_has_role(s.srvowner, 'USAGE')) \
    OR (m.umuser = me.oid AND (pg_catalog.pg_has_role(s.srvowner, 'USAGE') \
      OR pg_catalog.has_server_privilege(s.oid, 'USAGE'))) \
    ORDER BY m.srvname, usename NULLS FIRST";

pub(crate) async fn read(session: &Session) -> Result<Vec<UserMapping>> {
    read_all(session, "user mappings", QUERY, |row| {
        Ok(UserMapping {
            oid: row.try_get("umid")?,
            user: row.try_get("usename")?,
            server: row.try_get("srvname")?,
            server_oid: row.try_get("srvid")?,
            is_of_extension: row.try_get("is_of_extension")?,
            options: row.try_get("options")?,
        })
    })
    .await
}
