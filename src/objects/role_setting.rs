//! Settings of roles in all databases (`pg_db_role_setting`): `ALTER ROLE ... SET`.

use super::catalog_query::read_all;
use super::database::Setting;
use super::{
    DumpObject, Kind, ObjectId, Oid, Part, RenderContext, Rendered, Section, catalog, quote,
};
use crate::Result;
use crate::conn::Session;

/// The settings of one role, or of all.
#[derive(Clone, Debug)]
pub struct RoleSetting {
    role_oid: Oid,
    /// `None` for ALL.
    role: Option<String>,
    settings: Vec<Setting>,
}

impl DumpObject for RoleSetting {
    fn kind(&self) -> Kind {
        Kind::RoleSetting
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_AUTHID, self.role_oid).with_part(Part::Data)
    }

    fn schema(&self) -> Option<&str> {
        None
    }

    fn tag(&self) -> String {
        self.role.clone().unwrap_or_else(|| "ALL".to_owned())
    }

    fn section(&self) -> Section {
        Section::PreData
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let role = match &self.role {
            Some(role) => quote::ident(role),
            None => "ALL".to_owned(),
        };
        let settings = self.settings.iter();
        Rendered {
            create: settings
                .map(|setting| format!("ALTER ROLE {role} {};", setting.render()))
                .collect(),
            ..Rendered::default()
        }
    }
}

pub(crate) async fn read(session: &Session) -> Result<Vec<RoleSetting>> {
    let query = "SELECT s.setrole, r.rolname::text AS role, s.setconfig \
                 FROM pg_catalog.pg_db_role_setting s \
                 LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole \
                 WHERE s.setdatabase = 0 AND (s.setrole = 0 OR r.oid IS NOT NULL) \
                 ORDER BY r.rolname NULLS FIRST";
    read_all(session, "settings of roles", query, |row| {
        let texts: Vec<String> = row.try_get("setconfig")?;
        let settings: Result<Vec<Setting>> = texts
            .iter()
            .map(|text| Setting::parse(None, text))
            .collect();
        Ok(RoleSetting {
            role_oid: row.try_get("setrole")?,
            role: row.try_get("role")?,
            settings: settings?,
        })
    })
    .await
}
