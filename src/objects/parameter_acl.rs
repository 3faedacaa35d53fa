//! Privileges on settings (`pg_parameter_acl`), from 15. They are the cluster's: `create --globals`. Manual: "GRANT".

use super::acl::{Acl, AclTarget, GrantKind};
use super::catalog_query::read_all;
use super::{DumpObject, Kind, ObjectId, Oid, RenderContext, Rendered, Section, catalog, quote};
use crate::Result;
use crate::conn::{ServerVersion, Session};

/// The privileges on one setting.
#[derive(Clone, Debug)]
pub struct ParameterAcl {
    oid: Oid,
    parameter: String,
    /// The bootstrap superuser, who owns all settings.
    owner: String,
    acl: Acl,
}

impl DumpObject for ParameterAcl {
    fn kind(&self) -> Kind {
        Kind::ParameterAcl
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_PARAMETER_ACL, self.oid)
    }

    fn schema(&self) -> Option<&str> {
        None
    }

    fn tag(&self) -> String {
        self.parameter.clone()
    }

    fn section(&self) -> Section {
        Section::PreData
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        let object = format!("PARAMETER {}", quote::ident(&self.parameter));
        let target = AclTarget::new(GrantKind::Parameter, &object);
        Rendered {
            create: self.acl.render(&target, &self.owner, context.server),
            ..Rendered::default()
        }
    }
}

pub(crate) async fn read(session: &Session) -> Result<Vec<ParameterAcl>> {
    if session.version() < ServerVersion::major(15) {
        return Ok(Vec::new());
    }
    let query = "SELECT p.oid, p.parname, pg_catalog.pg_get_userbyid(10)::text AS owner, p.paracl::text[] AS acl, \
                 pg_catalog.acldefault('p', 10)::text[] AS acl_default \
                 FROM pg_catalog.pg_parameter_acl p ORDER BY p.parname";
    read_all(session, "privileges on settings", query, |row| {
        Ok(ParameterAcl {
            oid: row.try_get("oid")?,
            parameter: row.try_get("parname")?,
            owner: row.try_get("owner")?,
            acl: Acl::from_row(row)?,
        })
    })
    .await
}
