//! Memberships in roles (`pg_auth_members`). Manual: "Role Membership", "GRANT". From 16 on they have options of their own
//! and a grantor who must have had the right to grant.

use super::catalog_query::read_all;
use super::{
    DumpObject, Kind, ObjectId, Oid, Part, RenderContext, Rendered, Section, catalog, quote,
};
use crate::Result;
use crate::conn::{ServerVersion, Session};

/// That a role is a member of another one.
#[derive(Clone, Debug)]
pub struct RoleMembership {
    role_oid: Oid,
    role: String,
    member: String,
    admin: bool,
    /// From 16.
    options: Option<MembershipOptions>,
    /// Its place among all: several may be of one role and member.
    place: i32,
}

#[derive(Clone, Debug)]
struct MembershipOptions {
    inherit: bool,
    set: bool,
    grantor: String,
    is_of_bootstrap_superuser: bool,
}

impl DumpObject for RoleMembership {
    fn kind(&self) -> Kind {
        Kind::RoleMembership
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_AUTHID, self.role_oid)
            .with_part(Part::Privileges(self.place))
    }

    fn schema(&self) -> Option<&str> {
        None
    }

    fn tag(&self) -> String {
        format!("{} {}", self.role, self.member)
    }

    fn section(&self) -> Section {
        Section::PreData
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let mut with = Vec::new();
        let mut granted_by = String::new();
        if self.admin {
            with.push("ADMIN OPTION".to_owned());
        }
        if let Some(options) = &self.options {
            with.push(format!("INHERIT {}", options.inherit));
            if !options.set {
                with.push("SET FALSE".to_owned());
            }
            if !options.is_of_bootstrap_superuser {
                granted_by = format!(" GRANTED BY {}", quote::ident(&options.grantor));
            }
        }
        let with = match with.is_empty() {
            true => String::new(),
            false => format!(" WITH {}", with.join(", ")),
        };
        Rendered {
            create: vec![format!(
                "GRANT {} TO {}{with}{granted_by};",
                quote::ident(&self.role),
                quote::ident(&self.member)
            )],
            ..Rendered::default()
        }
    }
}

/// Reads the memberships, each behind the one that gave its grantor the right to grant.
pub(crate) async fn read(session: &Session) -> Result<Vec<RoleMembership>> {
    let has_options = session.version() >= ServerVersion::major(16);
    let options = match has_options {
        true => "a.inherit_option, a.set_option",
        false => "NULL::bool AS inherit_option, NULL::bool AS set_option",
    };
    let query = format!(
        "SELECT a.roleid, r.rolname::text AS role, m.rolname::text AS member, a.admin_option, {options}, \
         COALESCE(g.rolname::text, '') AS grantor, a.grantor = 10 AS of_bootstrap, \
         pg_catalog.row_number() OVER (ORDER BY r.rolname, m.rolname, g.rolname)::int4 AS place \
         FROM pg_catalog.pg_auth_members a \
         JOIN pg_catalog.pg_roles r ON r.oid = a.roleid \
         JOIN pg_catalog.pg_roles m ON m.oid = a.member \
         LEFT JOIN pg_catalog.pg_roles g ON g.oid = a.grantor \
         WHERE NOT (r.rolname ~ '^pg_' AND m.rolname ~ '^pg_') ORDER BY place"
    );
    let rows = read_all(session, "memberships in roles", &query, |row| {
        let inherit: Option<bool> = row.try_get("inherit_option")?;
        let set: Option<bool> = row.try_get("set_option")?;
        let grantor: String = row.try_get("grantor")?;
        Ok(RoleMembership {
            role_oid: row.try_get("roleid")?,
            role: row.try_get("role")?,
            member: row.try_get("member")?,
            admin: row.try_get("admin_option")?,
            options: match (inherit, set) {
                (Some(inherit), Some(set)) => Some(MembershipOptions {
                    inherit,
                    set,
                    grantor,
                    is_of_bootstrap_superuser: row.try_get("of_bootstrap")?,
                }),
                _ => None,
            },
            place: row.try_get("place")?,
        })
    })
    .await?;
    Ok(in_grant_order(rows))
}

/// Nobody grants before having been given the right to.
fn in_grant_order(mut waiting: Vec<RoleMembership>) -> Vec<RoleMembership> {
    let mut ordered: Vec<RoleMembership> = Vec::new();
    while !waiting.is_empty() {
        let may_grant = |membership: &RoleMembership| match &membership.options {
            Some(options) if !options.is_of_bootstrap_superuser => ordered.iter().any(|before| {
                before.role == membership.role && before.member == options.grantor && before.admin
            }),
            _ => true,
        };
        let ready = waiting.iter().position(may_grant);
        // Without one the right came from elsewhere: from being a superuser.
        let next = waiting.remove(ready.unwrap_or(0));
        ordered.push(next);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grantor_gets_the_right_first() {
        let membership = |member: &str, grantor: &str, admin: bool, place: i32| RoleMembership {
            role_oid: Oid(1),
            role: "r".to_owned(),
            member: member.to_owned(),
            admin,
            options: Some(MembershipOptions {
                inherit: true,
                set: true,
                grantor: grantor.to_owned(),
                is_of_bootstrap_superuser: grantor == "postgres",
            }),
            place,
        };
        let ordered = in_grant_order(vec![
            membership("a", "b", false, 1),
            membership("b", "c", true, 2),
            membership("c", "postgres", true, 3),
        ]);
        let places: Vec<i32> = ordered.iter().map(|m| m.place).collect();
        assert_eq!(places, [3, 2, 1]);
    }
}
