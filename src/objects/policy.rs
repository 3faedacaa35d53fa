//! Row security policies (`pg_policy`).

use super::catalog_query::{read_all, unexpected};
use super::plain_definition::Deparser;
use super::relation::{IS_USER_RELATION, RelationName};
use super::{
    DumpObject, Kind, LockStrength, ObjectId, Oid, RenderContext, Rendered, Section, catalog, quote,
};
use crate::Result;
use crate::conn::Session;

/// A policy.
#[derive(Clone, Debug)]
pub struct Policy {
    oid: Oid,
    name: String,
    table: RelationName,
    owner: String,
    is_permissive: bool,
    command: &'static str,
    /// Role names; empty means PUBLIC.
    roles: Vec<String>,
    using: Option<String>,
    with_check: Option<String>,
    comment: Option<String>,
}

pub(crate) async fn read(session: &Session, deparser: &Deparser) -> Result<Vec<Policy>> {
    let expression = |column: &str| {
        let expression = format!("pg_catalog.pg_get_expr(p.{column}, p.polrelid)");
        deparser.deparsed().of_relation("c.oid", &expression)
    };
    let sql = format!(
        "SELECT p.oid, p.polname, c.oid AS table_oid, n.nspname AS table_schema, c.relname AS table_name, \
           pg_catalog.pg_get_userbyid(c.relowner) AS owner, \
           p.polpermissive, p.polcmd::text AS polcmd, \
           ARRAY(SELECT r.rolname::text FROM pg_catalog.pg_roles r \
             WHERE r.oid = ANY (p.polroles) ORDER BY r.rolname) AS roles, \
           {using} AS polqual, \
           {with_check} AS polwithcheck, \
           (SELECT de.description FROM pg_catalog.pg_description de WHERE de.objoid = p.oid \
             AND de.classoid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND de.objsubid = 0) AS comment \
         FROM pg_catalog.pg_policy p \
         JOIN pg_catalog.pg_class c ON c.oid = p.polrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE {IS_USER_RELATION} \
         ORDER BY n.nspname, c.relname, p.polname",
        using = expression("polqual"),
        with_check = expression("polwithcheck"),
    );
    read_all(session, "policies", &sql, |row| {
        let name: String = row.try_get("polname")?;
        let command: String = row.try_get("polcmd")?;
        Ok(Policy {
            oid: row.try_get("oid")?,
            table: RelationName::from_row(row, "table")?,
            owner: row.try_get("owner")?,
            is_permissive: row.try_get("polpermissive")?,
            command: match command.as_str() {
                "*" => "ALL",
                "r" => "SELECT",
                "a" => "INSERT",
                "w" => "UPDATE",
                "d" => "DELETE",
                other => return Err(unexpected(&name, "polcmd", other).into()),
            },
            roles: row.try_get("roles")?,
            using: row.try_get("polqual")?,
            with_check: row.try_get("polwithcheck")?,
            comment: row.try_get("comment")?,
            name,
        })
    })
    .await
}

impl Policy {
    /// `<policy> ON <table>`
    fn sql(&self) -> String {
        format!("{} ON {}", quote::ident(&self.name), self.table.sql())
    }

    fn render_create(&self) -> String {
        let mut out = format!("CREATE POLICY {}", self.sql());
        if !self.is_permissive {
            out.push_str(" AS RESTRICTIVE");
        }
        if self.command != "ALL" {
            out.push_str(&format!(" FOR {}", self.command));
        }
        if !self.roles.is_empty() {
            let roles: Vec<String> = self.roles.iter().map(|role| quote::ident(role)).collect();
            out.push_str(&format!(" TO {}", roles.join(", ")));
        }
        if let Some(using) = &self.using {
            out.push_str(&format!(" USING ({using})"));
        }
        if let Some(check) = &self.with_check {
            out.push_str(&format!(" WITH CHECK ({check})"));
        }
        out.push(';');
        out
    }
}

impl DumpObject for Policy {
    fn kind(&self) -> Kind {
        Kind::Policy
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_POLICY, self.oid)
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.table.schema)
    }

    fn tag(&self) -> String {
        format!("{} {}", self.table.name, self.name)
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn section(&self) -> Section {
        Section::PostData
    }

    fn extra_dependencies(&self) -> Vec<ObjectId> {
        vec![self.table.id()]
    }

    fn relation(&self) -> Option<ObjectId> {
        Some(self.table.id())
    }

    fn locks(&self) -> Vec<(ObjectId, LockStrength)> {
        vec![(self.table.id(), LockStrength::Exclusive)]
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        Rendered {
            create: vec![self.render_create()],
            drop: Some(format!("DROP POLICY IF EXISTS {};", self.sql())),
            comments: self
                .comment
                .iter()
                .map(|text| quote::comment_on(&format!("POLICY {}", self.sql()), text))
                .collect(),
            ..Rendered::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_prints_only_what_is_not_the_default() {
        let mut policy = Policy {
            oid: Oid(20000),
            name: "p".to_owned(),
            table: RelationName {
                oid: Oid(20001),
                schema: "s".to_owned(),
                name: "t".to_owned(),
            },
            owner: "o".to_owned(),
            is_permissive: true,
            command: "ALL",
            roles: Vec::new(),
            using: Some("true".to_owned()),
            with_check: None,
            comment: None,
        };
        assert_eq!(
            policy.render_create(),
            "CREATE POLICY \"p\" ON \"s\".\"t\" USING (true);"
        );
        policy.is_permissive = false;
        policy.command = "UPDATE";
        policy.roles = vec!["a".to_owned(), "B c".to_owned()];
        policy.with_check = Some("(x > 0)".to_owned());
        assert_eq!(
            policy.render_create(),
            "CREATE POLICY \"p\" ON \"s\".\"t\" AS RESTRICTIVE FOR UPDATE TO \"a\", \"B c\" USING (true) \
             WITH CHECK ((x > 0));"
        );
    }
}
