//! Materialized views (`pg_class`, relkind `m`). Made empty; REFRESH fills them at the very end.

use std::sync::Arc;

use super::acl::GrantKind;
use super::attribute::Attribute;
use super::catalog_query::{read_all, unexpected};
use super::plain_definition::Deparser;
use super::relation::{
    IS_USER_RELATION, Relation, RelationName, extensions_expression, render_depends_on_extensions,
};
use super::table::ReplicaIdentity;
use super::view::query_text;
use super::{
    CatalogId, DumpObject, Kind, LockStrength, ObjectId, Oid, Part, RenderContext, RenderOptions,
    Rendered, Section, catalog,
};
use crate::Result;
use crate::conn::Session;

/// A materialized view.
#[derive(Clone, Debug)]
pub struct MaterializedView {
    relation: Relation,
    columns: Vec<Arc<Attribute>>,
    /// The `_RETURN` rule.
    rule: Oid,
    /// As `pg_get_viewdef` prints it, without the semicolon.
    query: String,
    replica_identity: ReplicaIdentity,
    /// ALTER MATERIALIZED VIEW ... DEPENDS ON EXTENSION.
    extensions: Vec<String>,
}

/// The rows of a populated materialized view.
#[derive(Clone, Debug)]
pub struct MaterializedViewData {
    view: RelationName,
    owner: String,
    /// Of configuration of extensions: the extension.
    pub(crate) extension: Option<Oid>,
}

pub(crate) async fn read(session: &Session, deparser: &Deparser) -> Result<Vec<MaterializedView>> {
    let attributes = deparser.attributes();
    let columns = format!(
        "{} AS query, rule.oid AS rule, c.relreplident::pg_catalog.text, {} AS extensions",
        (deparser.deparsed()).of_relation("c.oid", "pg_catalog.pg_get_viewdef(c.oid)"),
        extensions_expression("pg_class", "c.oid")
    );
    let sql = Relation::query(
        session.version(),
        "'m'",
        'r',
        &columns,
        "JOIN pg_catalog.pg_rewrite rule ON rule.ev_class = c.oid AND rule.rulename = '_RETURN'",
    );
    read_all(session, "materialized views", &sql, |row| {
        let mut relation = Relation::from_row(row)?;
        relation.note_granted_beside(attributes);
        let letter: &str = row.try_get("relreplident")?;
        let replica_identity = ReplicaIdentity::parse(letter)
            .ok_or_else(|| unexpected(&relation.name.sql(), "relreplident", letter))?;
        Ok(MaterializedView {
            replica_identity,
            columns: attributes.of(relation.name.oid).to_vec(),
            relation,
            rule: row.try_get("rule")?,
            query: query_text(row.try_get("query")?),
            extensions: row.try_get("extensions")?,
        })
    })
    .await
}

pub(crate) async fn read_materialized_view_data(
    session: &Session,
) -> Result<Vec<MaterializedViewData>> {
    let sql = format!(
        "SELECT c.oid AS view_oid, n.nspname AS view_schema, c.relname AS view_name, \
           pg_catalog.pg_get_userbyid(c.relowner) AS owner, config.extension \
         FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN (SELECT e.oid AS extension, pg_catalog.unnest(e.extconfig) AS relation \
             FROM pg_catalog.pg_extension e) config ON config.relation = c.oid \
         WHERE c.relkind = 'm' AND c.relispopulated AND (config.extension IS NOT NULL OR ({IS_USER_RELATION})) \
         ORDER BY n.nspname, c.relname"
    );
    read_all(session, "populated materialized views", &sql, |row| {
        Ok(MaterializedViewData {
            view: RelationName::from_row(row, "view")?,
            owner: row.try_get("owner")?,
            extension: row.try_get("extension")?,
        })
    })
    .await
}

impl MaterializedView {
    /// Forgets what is not wanted of where and how it is stored.
    pub(super) fn simplify(&mut self, options: &RenderOptions) {
        self.relation.simplify(options);
        if options.no_toast_compression {
            for column in &mut self.columns {
                Arc::make_mut(column).compression = None;
            }
        }
    }

    fn attributes(&self) -> impl Iterator<Item = &Attribute> {
        self.columns.iter().map(|column| &**column)
    }

    fn render_create(&self) -> Vec<String> {
        let name = self.relation.name.sql();
        let mut out = vec![format!(
            "CREATE MATERIALIZED VIEW {name}{} AS\n {}\n  WITH NO DATA;",
            self.relation.render_storage(),
            self.query
        )];
        let alter = format!("ALTER TABLE ONLY {name}");
        for column in &self.columns {
            out.extend(column.render_settings(&alter, None));
            out.extend(column.render_compression(&alter, None));
        }
        out.extend(self.replica_identity.render(&alter));
        out.extend(render_depends_on_extensions(
            &format!("MATERIALIZED VIEW {name}"),
            &self.extensions,
        ));
        out
    }
}

impl DumpObject for MaterializedView {
    fn kind(&self) -> Kind {
        Kind::MaterializedView
    }

    fn id(&self) -> ObjectId {
        self.relation.id()
    }

    fn claims(&self) -> Vec<CatalogId> {
        let mut claims = self.relation.claims();
        claims.push(CatalogId::new(catalog::PG_REWRITE, self.rule));
        claims
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
        Rendered {
            create: self.render_create(),
            drop: Some(format!(
                "DROP MATERIALIZED VIEW IF EXISTS {};",
                self.relation.name.sql()
            )),
            alter_owner: Some(self.relation.render_owner("MATERIALIZED VIEW")),
            comments: self
                .relation
                .render_comments("MATERIALIZED VIEW", self.attributes()),
            acl: self
                .relation
                .render_acl(GrantKind::Table, self.attributes(), context.server),
        }
    }
}

impl DumpObject for MaterializedViewData {
    fn kind(&self) -> Kind {
        Kind::MaterializedViewData
    }

    fn id(&self) -> ObjectId {
        self.view.id().with_part(Part::Data)
    }

    fn claims(&self) -> Vec<CatalogId> {
        Vec::new()
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

    fn section(&self) -> Section {
        Section::PostData
    }

    fn extra_dependencies(&self) -> Vec<ObjectId> {
        vec![match self.extension {
            Some(extension) => ObjectId::definition(catalog::PG_EXTENSION, extension),
            None => self.view.id(),
        }]
    }

    fn relation(&self) -> Option<ObjectId> {
        Some(self.view.id())
    }

    fn locks(&self) -> Vec<(ObjectId, LockStrength)> {
        vec![(self.view.id(), LockStrength::Exclusive)]
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        Rendered {
            create: vec![format!("REFRESH MATERIALIZED VIEW {};", self.view.sql())],
            ..Rendered::default()
        }
    }
}
