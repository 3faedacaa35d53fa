//! Column defaults and generation expressions (`pg_attrdef`). CREATE TABLE prints them; a default that
//! cannot stand there (a dependency loop, a view's column, an inherited column) is an ALTER TABLE.

use super::attribute::{AttributeExpression, ExpressionKind};
use super::catalog_query::{read_all, unexpected};
use super::relation::{IS_USER_RELATION, RelationName};
use super::{
    DumpObject, Kind, LockStrength, ObjectId, RenderContext, Rendered, Section, catalog, quote,
};
use crate::Result;
use crate::conn::{ServerVersion, Session};

/// A default or generation expression of a column.
#[derive(Clone, Debug)]
pub struct AttributeDefault {
    table: RelationName,
    owner: String,
    column: String,
    value: AttributeExpression,
    /// Whether CREATE TABLE lists the column and can say what its default is.
    is_listed: bool,
}

pub(crate) async fn read(session: &Session) -> Result<Vec<AttributeDefault>> {
    let sql = query(session.version());
    read_all(session, "column defaults", &sql, |row| {
        let column: String = row.try_get("attname")?;
        let generated: String = row.try_get("attgenerated")?;
        Ok(AttributeDefault {
            table: RelationName::from_row(row, "table")?,
            owner: row.try_get("owner")?,
            value: AttributeExpression {
                oid: row.try_get("oid")?,
                expression: row.try_get("expression")?,
                kind: match generated.as_str() {
                    "" => ExpressionKind::Default,
                    "s" => ExpressionKind::Stored,
                    "v" => ExpressionKind::Virtual,
                    other => return Err(unexpected(&column, "attgenerated", other).into()),
                },
            },
            column,
            is_listed: row.try_get("is_listed")?,
        })
    })
    .await
}

fn query(server: ServerVersion) -> String {
    // Generated columns came with 12.
    let generated = if server >= ServerVersion::major(12) {
        "a.attgenerated::text"
    } else {
        "''::text"
    };
    format!(
        "SELECT ad.oid, c.oid AS table_oid, n.nspname AS table_schema, c.relname AS table_name, \
           pg_catalog.pg_get_userbyid(c.relowner) AS owner, \
           a.attname, {generated} AS attgenerated, \
           pg_catalog.pg_get_expr(ad.adbin, ad.adrelid) AS expression, \
           c.relkind <> 'v' AND (a.attislocal OR c.relispartition) AS is_listed \
         FROM pg_catalog.pg_attrdef ad \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = ad.adrelid AND a.attnum = ad.adnum \
         JOIN pg_catalog.pg_class c ON c.oid = ad.adrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'v') AND {IS_USER_RELATION} \
         ORDER BY n.nspname, c.relname, a.attnum"
    )
}

impl AttributeDefault {
    fn alter_column(&self, if_exists: &str) -> String {
        format!(
            "ALTER TABLE {if_exists}ONLY {} ALTER COLUMN {}",
            self.table.sql(),
            quote::ident(&self.column)
        )
    }
}

impl DumpObject for AttributeDefault {
    fn kind(&self) -> Kind {
        Kind::Default
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_ATTRDEF, self.value.oid)
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.table.schema)
    }

    fn tag(&self) -> String {
        format!("{} {}", self.table.name, self.column)
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn section(&self) -> Section {
        Section::PreData
    }

    fn extra_dependencies(&self) -> Vec<ObjectId> {
        if self.folded_into().is_some() {
            Vec::new()
        } else {
            vec![self.table.id()]
        }
    }

    fn folded_into(&self) -> Option<ObjectId> {
        // There is no statement that makes a column a generated one.
        let is_generated = self.value.kind != ExpressionKind::Default;
        (self.is_listed || is_generated).then(|| self.table.id())
    }

    fn relation(&self) -> Option<ObjectId> {
        Some(self.table.id())
    }

    fn locks(&self) -> Vec<(ObjectId, LockStrength)> {
        vec![(self.table.id(), LockStrength::Exclusive)]
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        if self.folded_into().is_some() && !context.is_separate(self.id()) {
            return Rendered::default();
        }
        Rendered {
            create: vec![format!(
                "{} SET DEFAULT {};",
                self.alter_column(""),
                self.value.expression
            )],
            drop: Some(format!("{} DROP DEFAULT;", self.alter_column("IF EXISTS "))),
            ..Rendered::default()
        }
    }
}
