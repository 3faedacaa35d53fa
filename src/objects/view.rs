//! Views (`pg_class`, relkind `v`) and their queries (`pg_rewrite`, rule `_RETURN`).
//!
//! CREATE VIEW prints the query. In a dependency loop (a function takes the view's row type and the view
//! calls the function) the view is first made as a dummy with the same columns, and gets its
//! query later by CREATE OR REPLACE VIEW.

use std::sync::Arc;

use super::acl::GrantKind;
use super::attribute::Attribute;
use super::attribute_default::AttributeDefault;
use super::catalog_query::read_all;
use super::plain_definition::Deparser;
use super::relation::{Relation, RelationName, render_reloptions};
use super::{
    CatalogId, DumpObject, Kind, LockStrength, ObjectId, Oid, RenderContext, Rendered, Section,
    catalog, quote,
};
use crate::Result;
use crate::conn::Session;

/// A view.
#[derive(Clone, Debug)]
pub struct View {
    relation: Relation,
    columns: Vec<Arc<Attribute>>,
    query: ViewQuery,
}

/// A view's query with its options.
#[derive(Clone, Debug)]
pub struct ViewQuery {
    /// The `_RETURN` rule.
    rule: Oid,
    view: RelationName,
    owner: String,
    /// As `pg_get_viewdef` prints it, without the semicolon.
    query: String,
    /// `name=value`, the check option included.
    reloptions: Vec<String>,
}

pub(crate) async fn read(session: &Session, deparser: &Deparser) -> Result<Vec<View>> {
    let query = (deparser.deparsed()).of_relation("c.oid", "pg_catalog.pg_get_viewdef(c.oid)");
    let sql = Relation::query(
        session.version(),
        "'v'",
        'r',
        &format!("{query} AS query, rule.oid AS rule"),
        "JOIN pg_catalog.pg_rewrite rule ON rule.ev_class = c.oid AND rule.rulename = '_RETURN'",
    );
    read_all(session, "views", &sql, |row| {
        let relation = Relation::from_row(row)?;
        let query = ViewQuery {
            rule: row.try_get("rule")?,
            view: relation.name.clone(),
            owner: relation.owner.clone(),
            query: query_text(row.try_get("query")?),
            reloptions: relation.reloptions.clone(),
        };
        Ok(View {
            columns: (deparser.attributes()).of(relation.name.oid).to_vec(),
            relation,
            query,
        })
    })
    .await
}

/// What `pg_get_viewdef` prints, without blanks around it and without its semicolon.
pub(super) fn query_text(definition: &str) -> String {
    let text = definition.trim();
    text.strip_suffix(';').unwrap_or(text).to_owned()
}

impl ViewQuery {
    /// `CREATE VIEW ... AS ...;` with `create` as its first words.
    fn render_create(&self, create: &str) -> String {
        let (check, options): (Vec<&String>, Vec<&String>) = self
            .reloptions
            .iter()
            .partition(|option| option.starts_with("check_option="));
        let options: Vec<String> = options.into_iter().cloned().collect();
        let with = if options.is_empty() {
            String::new()
        } else {
            format!(" WITH ({})", render_reloptions(&options, "").join(", "))
        };
        let check = match check.first().and_then(|option| option.split_once('=')) {
            Some((_, value)) => format!("\n  WITH {} CHECK OPTION", value.to_uppercase()),
            None => String::new(),
        };
        format!(
            "{create} {}{with} AS\n {}{check};",
            self.view.sql(),
            self.query
        )
    }

    /// Takes the query out of a view that may be there, so that what it needs can be dropped first. The
    /// view there may have other columns than ours: the dummy takes its own.
    fn render_drop(&self) -> String {
        let body = format!(
            "DECLARE dummy text; BEGIN \
             SELECT 'CREATE OR REPLACE VIEW ' || c.oid::pg_catalog.regclass || ' AS SELECT ' || \
             COALESCE(pg_catalog.string_agg(pg_catalog.format('NULL::%s%s AS %I', \
             pg_catalog.format_type(a.atttypid, a.atttypmod), \
             CASE WHEN co.oid IS NOT NULL THEN pg_catalog.format(' COLLATE %I.%I', cn.nspname, co.collname) END, \
             a.attname), ', ' ORDER BY a.attnum), '') INTO dummy \
             FROM pg_catalog.pg_class c \
             LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 \
             LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
             LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation AND a.attcollation <> t.typcollation \
             LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace \
             WHERE c.oid = pg_catalog.to_regclass({}) AND c.relkind = 'v' GROUP BY c.oid; \
             IF dummy IS NOT NULL THEN EXECUTE dummy; END IF; END",
            quote::literal(&self.view.sql())
        );
        format!("DO {};", quote::dollar(&body))
    }
}

impl View {
    /// Its query as an object: loops go through it.
    pub(crate) fn query(&self) -> ViewQuery {
        self.query.clone()
    }

    /// The defaults of its columns as objects. CREATE VIEW says nothing of them.
    pub(crate) fn attribute_defaults(&self) -> Vec<AttributeDefault> {
        let columns = self.attributes();
        columns
            .filter_map(|column| AttributeDefault::of_column(&self.relation, column, false))
            .collect()
    }

    fn attributes(&self) -> impl Iterator<Item = &Attribute> {
        self.columns.iter().map(|column| &**column)
    }

    /// A view with the same columns and no query to speak of.
    fn render_dummy(&self) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|column| {
                let collate = match &column.collation {
                    Some(collation) => format!(" COLLATE {collation}"),
                    None => String::new(),
                };
                format!(
                    "NULL::{}{collate} AS {}",
                    column.type_name,
                    quote::ident(&column.name)
                )
            })
            .collect();
        format!(
            "CREATE VIEW {} AS SELECT\n    {};",
            self.relation.name.sql(),
            columns.join(",\n    ")
        )
    }
}

impl DumpObject for View {
    fn kind(&self) -> Kind {
        Kind::View
    }

    fn id(&self) -> ObjectId {
        self.relation.id()
    }

    fn claims(&self) -> Vec<CatalogId> {
        self.relation.claims()
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.relation.name.schema)
    }

    fn tag(&self) -> String {
        self.relation.name.name.clone()
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.relation.owner)
    }

    fn section(&self) -> Section {
        Section::PreData
    }

    fn relation(&self) -> Option<ObjectId> {
        Some(self.id())
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        let create = if context.is_separate(self.query.id()) {
            self.render_dummy()
        } else {
            self.query.render_create("CREATE VIEW")
        };
        Rendered {
            create: vec![create],
            drop: Some(format!("DROP VIEW IF EXISTS {};", self.relation.name.sql())),
            alter_owner: Some(self.relation.render_owner("VIEW")),
            comments: self.relation.render_comments("VIEW", self.attributes()),
            acl: self
                .relation
                .render_acl(GrantKind::Table, self.attributes(), context.server),
        }
    }
}

impl DumpObject for ViewQuery {
    fn kind(&self) -> Kind {
        Kind::ViewQuery
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_REWRITE, self.rule)
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.view.schema)
    }

    fn tag(&self) -> String {
        self.view.name.clone()
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    /// What it needs may be a primary key.
    fn section(&self) -> Section {
        Section::PostData
    }

    fn folded_into(&self) -> Option<ObjectId> {
        Some(self.view.id())
    }

    fn relation(&self) -> Option<ObjectId> {
        Some(self.view.id())
    }

    fn locks(&self) -> Vec<(ObjectId, LockStrength)> {
        vec![(self.view.id(), LockStrength::Exclusive)]
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        if !context.is_separate(self.id()) {
            return Rendered::default();
        }
        Rendered {
            create: vec![self.render_create("CREATE OR REPLACE VIEW")],
            drop: Some(self.render_drop()),
            ..Rendered::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_before_and_the_check_option_after_the_query() {
        let query = ViewQuery {
            rule: Oid(20000),
            view: RelationName {
                oid: Oid(20001),
                schema: "s".to_owned(),
                name: "v".to_owned(),
            },
            owner: "o".to_owned(),
            query: query_text(" SELECT a\n   FROM s.t;"),
            reloptions: vec![
                "security_barrier=true".to_owned(),
                "check_option=cascaded".to_owned(),
            ],
        };
        assert_eq!(
            query.render_create("CREATE VIEW"),
            "CREATE VIEW \"s\".\"v\" WITH (\"security_barrier\"='true') AS\n SELECT a\n   FROM s.t\n  \
             WITH CASCADED CHECK OPTION;"
        );
    }
}
