//! Roles (`pg_authid`, of which `pg_roles` shows all but the passwords). They are the cluster's: `create --globals`. Manual:
//! "pg_authid", "CREATE ROLE".

use super::catalog_query::read_all;
use super::{DumpObject, Kind, ObjectId, Oid, RenderContext, Rendered, Section, catalog, quote};
use crate::Result;
use crate::conn::Session;

/// A role. Those of the server itself (`pg_...`) are everywhere.
#[derive(Clone, Debug)]
pub struct Role {
    oid: Oid,
    name: String,
    /// SUPERUSER, LOGIN and their like, or NO...
    attributes: Vec<String>,
    /// -1 for none.
    connection_limit: i32,
    /// As it is stored, hashed. `None` without, or if it is not wanted.
    password: Option<String>,
    valid_until: Option<String>,
    comment: Option<String>,
}

impl Role {
    fn render_alter(&self) -> String {
        let mut out = format!(
            "ALTER ROLE {} WITH {}",
            quote::ident(&self.name),
            self.attributes.join(" ")
        );
        if self.connection_limit != -1 {
            out.push_str(&format!(" CONNECTION LIMIT {}", self.connection_limit));
        }
        if let Some(password) = &self.password {
            out.push_str(&format!(" PASSWORD {}", quote::literal(password)));
        }
        if let Some(until) = &self.valid_until {
            out.push_str(&format!(" VALID UNTIL {}", quote::literal(until)));
        }
        out.push(';');
        out
    }
}

impl DumpObject for Role {
    fn kind(&self) -> Kind {
        Kind::Role
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_AUTHID, self.oid)
    }

    fn schema(&self) -> Option<&str> {
        None
    }

    fn tag(&self) -> String {
        self.name.clone()
    }

    fn section(&self) -> Section {
        Section::PreData
    }

    /// A role that exists is not made again, but becomes what it was. None is ever dropped.
    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let name = quote::ident(&self.name);
        Rendered {
            create: vec![
                quote::do_block(&format!(
                    "IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {}) THEN \
                     CREATE ROLE {name}; END IF;",
                    quote::literal(&self.name)
                )),
                self.render_alter(),
            ],
            comments: self
                .comment
                .iter()
                .map(|text| quote::comment_on(&format!("ROLE {name}"), text))
                .collect(),
            ..Rendered::default()
        }
    }
}

/// Reads the roles. Passwords are for superusers alone.
pub(crate) async fn read(session: &Session, with_passwords: bool) -> Result<Vec<Role>> {
    let (from, password) = match with_passwords {
        true => ("pg_authid", "r.rolpassword"),
        false => ("pg_roles", "NULL::text"),
    };
    let query = format!(
        "SELECT r.oid, r.rolname::text AS rolname, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, \
         r.rolcanlogin, r.rolreplication, r.rolbypassrls, r.rolconnlimit, {password} AS password, \
         r.rolvaliduntil::text AS valid_until, \
         (SELECT c.description FROM pg_catalog.pg_shdescription c WHERE c.objoid = r.oid \
           AND c.classoid = 'pg_catalog.pg_authid'::pg_catalog.regclass) AS comment \
         FROM pg_catalog.{from} r WHERE r.rolname !~ '^pg_' ORDER BY r.rolname"
    );
    read_all(session, "roles", &query, |row| {
        let attribute = |column: &str, word: &str| -> Result<String, tokio_postgres::Error> {
            let no = if row.try_get(column)? { "" } else { "NO" };
            Ok(format!("{no}{word}"))
        };
        Ok(Role {
            oid: row.try_get("oid")?,
            name: row.try_get("rolname")?,
            attributes: vec![
                attribute("rolsuper", "SUPERUSER")?,
                attribute("rolinherit", "INHERIT")?,
                attribute("rolcreaterole", "CREATEROLE")?,
                attribute("rolcreatedb", "CREATEDB")?,
                attribute("rolcanlogin", "LOGIN")?,
                attribute("rolreplication", "REPLICATION")?,
                attribute("rolbypassrls", "BYPASSRLS")?,
            ],
            connection_limit: row.try_get("rolconnlimit")?,
            password: row.try_get("password")?,
            valid_until: row.try_get("valid_until")?,
            comment: row.try_get("comment")?,
        })
    })
    .await
}
