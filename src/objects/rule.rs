//! Rules (`pg_rewrite`) but for those that are views' queries.

use super::catalog_query::{read_all, unexpected};
use super::plain_definition::Deparser;
use super::relation::{IS_USER_RELATION, RelationName};
use super::{
    DumpObject, Kind, LockStrength, ObjectId, Oid, RenderContext, Rendered, Section, catalog, quote,
};
use crate::Result;
use crate::conn::Session;

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    oid: Oid,
    name: String,
    table: RelationName,
    owner: String,
    /// As `pg_get_ruledef` prints it, with its semicolon.
    definition: String,
    state: &'static str,
    comment: Option<String>,
}

pub(crate) async fn read(session: &Session, deparser: &Deparser) -> Result<Vec<Rule>> {
    let sql = format!(
        "SELECT rw.oid, rw.rulename, c.oid AS table_oid, n.nspname AS table_schema, c.relname AS table_name, \
           pg_catalog.pg_get_userbyid(c.relowner) AS owner, \
           {definition} AS definition, rw.ev_enabled::text AS ev_enabled, \
           (SELECT de.description FROM pg_catalog.pg_description de WHERE de.objoid = rw.oid \
             AND de.classoid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND de.objsubid = 0) AS comment \
         FROM pg_catalog.pg_rewrite rw \
         JOIN pg_catalog.pg_class c ON c.oid = rw.ev_class \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE rw.rulename <> '_RETURN' AND {IS_USER_RELATION} \
         ORDER BY n.nspname, c.relname, rw.rulename",
        definition =
            (deparser.deparsed()).of_relation("c.oid", "pg_catalog.pg_get_ruledef(rw.oid)"),
    );
    read_all(session, "rules", &sql, |row| {
        let name: String = row.try_get("rulename")?;
        let enabled: String = row.try_get("ev_enabled")?;
        Ok(Rule {
            oid: row.try_get("oid")?,
            table: RelationName::from_row(row, "table")?,
            owner: row.try_get("owner")?,
            definition: row.try_get("definition")?,
            state: match enabled.as_str() {
                "O" => "",
                "D" => "DISABLE",
                "A" => "ENABLE ALWAYS",
                "R" => "ENABLE REPLICA",
                other => return Err(unexpected(&name, "ev_enabled", other).into()),
            },
            comment: row.try_get("comment")?,
            name,
        })
    })
    .await
}

impl DumpObject for Rule {
    fn kind(&self) -> Kind {
        Kind::Rule
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_REWRITE, self.oid)
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
        let name = quote::ident(&self.name);
        let table = self.table.sql();
        let mut create = vec![self.definition.clone()];
        if !self.state.is_empty() {
            create.push(format!("ALTER TABLE {table} {} RULE {name};", self.state));
        }
        Rendered {
            create,
            drop: Some(format!("DROP RULE IF EXISTS {name} ON {table};")),
            comments: self
                .comment
                .iter()
                .map(|text| quote::comment_on(&format!("RULE {name} ON {table}"), text))
                .collect(),
            ..Rendered::default()
        }
    }
}
