//! Tablespaces (`pg_tablespace`). They are the cluster's: `create --globals`. Manual: "CREATE TABLESPACE".

use super::acl::{Acl, AclTarget, GrantKind};
use super::catalog_query::read_all;
use super::relation::render_reloptions;
use super::{DumpObject, Kind, ObjectId, Oid, RenderContext, Rendered, Section, catalog, quote};
use crate::Result;
use crate::conn::Session;

/// A tablespace.
#[derive(Clone, Debug)]
pub struct Tablespace {
    oid: Oid,
    name: String,
    owner: String,
    /// Empty for one within the data directory.
    location: String,
    /// `name=value`
    options: Vec<String>,
    acl: Acl,
    comment: Option<String>,
}

impl DumpObject for Tablespace {
    fn kind(&self) -> Kind {
        Kind::Tablespace
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_TABLESPACE, self.oid)
    }

    fn schema(&self) -> Option<&str> {
        None
    }

    fn tag(&self) -> String {
        self.name.clone()
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn section(&self) -> Section {
        Section::PreData
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        let object = format!("TABLESPACE {}", quote::ident(&self.name));
        let with = match self.options.is_empty() {
            true => String::new(),
            false => format!(
                " WITH ({})",
                render_reloptions(&self.options, "").join(", ")
            ),
        };
        Rendered {
            create: vec![format!(
                "CREATE {object} LOCATION {}{with};",
                quote::literal(&self.location)
            )],
            alter_owner: Some(format!(
                "ALTER {object} OWNER TO {};",
                quote::ident(&self.owner)
            )),
            comments: self
                .comment
                .iter()
                .map(|text| quote::comment_on(&object, text))
                .collect(),
            acl: self.acl.render(
                &AclTarget::new(GrantKind::Tablespace, &object),
                &self.owner,
                context.server,
            ),
            ..Rendered::default()
        }
    }
}

pub(crate) async fn read(session: &Session) -> Result<Vec<Tablespace>> {
    let query = "SELECT t.oid, t.spcname::text AS spcname, pg_catalog.pg_get_userbyid(t.spcowner)::text AS owner, \
                 pg_catalog.pg_tablespace_location(t.oid) AS location, COALESCE(t.spcoptions, '{}') AS options, \
                 t.spcacl::text[] AS acl, pg_catalog.acldefault('t', t.spcowner)::text[] AS acl_default, \
                 (SELECT c.description FROM pg_catalog.pg_shdescription c WHERE c.objoid = t.oid \
                   AND c.classoid = 'pg_catalog.pg_tablespace'::pg_catalog.regclass) AS comment \
                 FROM pg_catalog.pg_tablespace t WHERE t.spcname !~ '^pg_' ORDER BY t.spcname";
    read_all(session, "tablespaces", query, |row| {
        Ok(Tablespace {
            oid: row.try_get("oid")?,
            name: row.try_get("spcname")?,
            owner: row.try_get("owner")?,
            // Of one within the data directory the server tells a path that it would not take.
            location: Some(row.try_get::<_, String>("location")?)
                .filter(|path| path.starts_with('/'))
                .unwrap_or_default(),
            options: row.try_get("options")?,
            acl: Acl::from_row(row)?,
            comment: row.try_get("comment")?,
        })
    })
    .await
}
