//! Tables (`pg_class`, relkind `r`, `p` and `f`): plain, partitioned, partitions, inheritance children, typed, foreign.
//!
//! A partition is created by itself with all its columns and attached later ([`super::TableAttach`]), so
//! its columns may stand in another order than its parent's. An inheritance child lists only the
//! columns declared in it; what it has of its own for inherited ones follows as ALTER TABLE.
//! Manual: "CREATE TABLE", "Inheritance".

use std::collections::HashMap;
use std::sync::Arc;

use super::acl::GrantKind;
use super::attribute::{
    Attribute, AttributeExpression, Attributes, ExpressionKind, Identity, NotNull,
};
use super::attribute_default::AttributeDefault;
use super::catalog_query::{Row, RowError, read_all, since, unexpected};
use super::deparsed::Deparsed;
use super::named::options_clause;
use super::plain_definition::Deparser;
use super::relation::{Relation, RelationName};
use super::{
    CatalogId, DumpObject, Kind, ObjectId, Oid, OidMap, RenderContext, RenderOptions, Rendered,
    Section, catalog, quote,
};
use crate::Result;
use crate::conn::{ServerVersion, Session};

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    relation: Relation,
    is_partitioned: bool,
    /// Whether the server can give a generated column another expression: since 17.
    can_set_expression: bool,
    /// Its type as `format_type` prints it, if it is a typed table.
    of_type: Option<String>,
    /// What it inherits from, in order. Not its partitioned table.
    parents: Vec<RelationName>,
    descent: Descent,
    partition_key: Option<String>,
    columns: Vec<Column>,
    checks: Vec<Check>,
    /// Children that must be made before a default is there, by its `pg_attrdef` row.
    waiting_defaults: OidMap<Oid, Vec<ObjectId>>,
    replica_identity: ReplicaIdentity,
    forces_row_security: bool,
    /// WITH OIDS, up to 11.
    has_oids: bool,
    foreign: Option<Foreign>,
}

/// Where the rows of a foreign table are.
#[derive(Clone, Debug)]
struct Foreign {
    server: String,
    /// `name=value`
    options: Vec<String>,
}

/// How a table comes by its parents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Descent {
    /// None, or INHERITS in its CREATE TABLE.
    Inherits,
    /// Made with all its columns, then ALTER TABLE ... INHERIT: INHERITS would reorder the columns or
    /// be refused.
    InheritsLater,
    /// Made with all its columns, attached by [`super::TableAttach`].
    Partition,
}

/// A column with what it inherits.
#[derive(Clone, Debug)]
struct Column {
    attribute: Arc<Attribute>,
    /// The column in the parents that have it. Empty where the table is made without parents.
    inherited: Vec<Arc<Attribute>>,
    /// Whether CREATE TABLE lists it.
    is_listed: bool,
    /// Whether it may be NULL though a parent's may not: before 18 a child could drop what it inherited.
    drops_not_null: bool,
}

/// A valid CHECK constraint, as far as CREATE TABLE prints it. See [`super::CheckConstraint`].
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(super) oid: Oid,
    pub(super) name: String,
    pub(super) definition: String,
    pub(super) is_local: bool,
}

/// REPLICA IDENTITY, unless it is an index's affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplicaIdentity {
    DefaultOrIndex,
    Nothing,
    Full,
}

impl ReplicaIdentity {
    /// From `relreplident`.
    pub(super) fn parse(letter: &str) -> Option<ReplicaIdentity> {
        Some(match letter {
            "d" | "i" => ReplicaIdentity::DefaultOrIndex,
            "n" => ReplicaIdentity::Nothing,
            "f" => ReplicaIdentity::Full,
            _ => return None,
        })
    }

    /// `alter`: `ALTER TABLE ONLY s.t`
    pub(super) fn render(self, alter: &str) -> Option<String> {
        let word = match self {
            ReplicaIdentity::DefaultOrIndex => return None,
            ReplicaIdentity::Nothing => "NOTHING",
            ReplicaIdentity::Full => "FULL",
        };
        Some(format!("{alter} REPLICA IDENTITY {word};"))
    }
}

/// Reads the tables, still without their check constraints: [`Table::add_check`].
pub(crate) async fn read(session: &Session, deparser: &Deparser) -> Result<Vec<Table>> {
    let query = tables_query(session.version(), deparser.deparsed());
    read_all(session, "tables", &query, |row| {
        let mut table = table_from_row(row, session.version())?;
        table.fill_columns(deparser.attributes());
        Ok(table)
    })
    .await
}

fn tables_query(server: ServerVersion, deparsed: &Deparsed) -> String {
    let columns = format!(
        "c.relkind = 'p' AS is_partitioned, c.relispartition, c.relreplident::text AS relreplident, \
         c.relforcerowsecurity, {has_oids} AS has_oids, \
         CASE WHEN c.reloftype <> 0 THEN pg_catalog.format_type(c.reloftype, NULL) END AS of_type, \
         CASE WHEN c.relkind = 'p' THEN {partition_key} END AS partition_key, \
         parent.oids AS parent_oids, parent.schemas AS parent_schemas, parent.names AS parent_names, \
         fs.srvname AS foreign_server, ft.ftoptions AS foreign_options",
        has_oids = since(server, 12, "false", "c.relhasoids"),
        partition_key = deparsed.of_relation("c.oid", "pg_catalog.pg_get_partkeydef(c.oid)"),
    );
    Relation::query(
        server,
        "'r', 'p', 'f'",
        'r',
        &columns,
        "LEFT JOIN pg_catalog.pg_foreign_table ft ON ft.ftrelid = c.oid \
         LEFT JOIN pg_catalog.pg_foreign_server fs ON fs.oid = ft.ftserver \
         LEFT JOIN (SELECT i.inhrelid, pg_catalog.array_agg(pc.oid ORDER BY i.inhseqno) AS oids, \
             pg_catalog.array_agg(pn.nspname ORDER BY i.inhseqno) AS schemas, \
             pg_catalog.array_agg(pc.relname ORDER BY i.inhseqno) AS names \
           FROM pg_catalog.pg_inherits i \
           JOIN pg_catalog.pg_class pc ON pc.oid = i.inhparent \
           JOIN pg_catalog.pg_namespace pn ON pn.oid = pc.relnamespace \
           GROUP BY i.inhrelid) parent ON parent.inhrelid = c.oid AND NOT c.relispartition",
    )
}

fn table_from_row(row: &Row, version: ServerVersion) -> Result<Table, RowError> {
    let relation = Relation::from_row(row)?;
    let replica_identity: String = row.try_get("relreplident")?;
    let is_partition: bool = row.try_get("relispartition")?;
    let server: Option<String> = row.try_get("foreign_server")?;
    let options = row
        .try_get::<_, Option<Vec<String>>>("foreign_options")?
        .unwrap_or_default();
    Ok(Table {
        is_partitioned: row.try_get("is_partitioned")?,
        can_set_expression: version >= ServerVersion::major(17),
        of_type: row.try_get("of_type")?,
        parents: parents_from_row(row)?,
        descent: if is_partition {
            Descent::Partition
        } else {
            Descent::Inherits
        },
        partition_key: row.try_get("partition_key")?,
        columns: Vec::new(),
        checks: Vec::new(),
        waiting_defaults: OidMap::default(),
        replica_identity: match ReplicaIdentity::parse(&replica_identity) {
            // A foreign table has none, and cannot be told so.
            Some(_) if server.is_some() => ReplicaIdentity::DefaultOrIndex,
            Some(identity) => identity,
            None => {
                let name = relation.name.sql();
                return Err(unexpected(&name, "relreplident", &replica_identity).into());
            }
        },
        forces_row_security: row.try_get("relforcerowsecurity")?,
        has_oids: row.try_get("has_oids")?,
        foreign: server.map(|server| Foreign { server, options }),
        relation,
    })
}

fn parents_from_row(row: &Row) -> Result<Vec<RelationName>, RowError> {
    let oids: Option<Vec<Oid>> = row.try_get("parent_oids")?;
    let schemas: Option<Vec<String>> = row.try_get("parent_schemas")?;
    let names: Option<Vec<String>> = row.try_get("parent_names")?;
    Ok(oids
        .unwrap_or_default()
        .into_iter()
        .zip(schemas.unwrap_or_default())
        .zip(names.unwrap_or_default())
        .map(|((oid, schema), name)| RelationName { oid, schema, name })
        .collect())
}

impl Table {
    /// Gives the table its columns, and decides how it comes by its parents.
    fn fill_columns(&mut self, attributes: &Attributes) {
        let own = attributes.of(self.relation.name.oid);
        let parents = self.parents.iter().map(|parent| attributes.of(parent.oid));
        let parents: Vec<&[Arc<Attribute>]> = parents.collect();
        let inherits_would_fail = parents_disagree(&parents);
        if self.descent == Descent::Inherits
            && (inherits_would_fail || inherits_would_reorder(own, &parents))
        {
            self.descent = Descent::InheritsLater;
        }
        let inherits = self.descent == Descent::Inherits;
        self.relation.note_granted_beside(attributes);
        self.columns = own
            .iter()
            .map(|attribute| Column {
                inherited: parents
                    .iter()
                    .filter(|_| inherits)
                    .flat_map(|parent| parent.iter().find(|a| a.name == attribute.name))
                    .cloned()
                    .collect(),
                is_listed: !inherits
                    || attribute.is_local
                    || expressions_disagree(&attribute.name, &parents),
                drops_not_null: drops_not_null(attribute, &parents),
                attribute: attribute.clone(),
            })
            .collect();
    }

    /// Forgets what is not wanted of where and how it is stored.
    pub(super) fn simplify(&mut self, options: &RenderOptions) {
        self.relation.simplify(options);
        if options.no_toast_compression {
            for column in &mut self.columns {
                Arc::make_mut(&mut column.attribute).compression = None;
                for inherited in &mut column.inherited {
                    Arc::make_mut(inherited).compression = None;
                }
            }
        }
    }

    /// Its `pg_class` row.
    pub(crate) fn oid(&self) -> Oid {
        self.relation.name.oid
    }

    /// Whether it is WITH OIDS, which it loses.
    pub(crate) fn has_oids(&self) -> bool {
        self.has_oids
    }

    /// Gives the table a check constraint to print. They come in order of their names.
    pub(crate) fn add_check(&mut self, check: Check) {
        self.checks.push(check);
    }

    /// Defaults of parents, by their `pg_attrdef` rows, that this table must be made before: INHERITS is refused where two
    /// parents have different ones and the child lists no column with its own.
    pub(crate) fn clashing_defaults(&self) -> Vec<Oid> {
        let unlisted = self.columns.iter().filter(|column| !column.is_listed);
        let of_column = |column: &Column| {
            let parents = column.inherited.iter();
            let defaults: Vec<&AttributeExpression> = parents
                .filter_map(|parent| parent.default.as_ref())
                .filter(|default| default.kind == ExpressionKind::Default)
                .collect();
            let mut pairs = defaults.iter().zip(defaults.iter().skip(1));
            let clash = pairs.any(|(one, next)| one.expression != next.expression);
            let oids = defaults.into_iter().map(|default| default.oid);
            oids.filter(|_| clash).collect::<Vec<_>>()
        };
        unlisted.flat_map(of_column).collect()
    }

    /// Takes those of its defaults that children must be made before.
    pub(crate) fn let_defaults_wait(&mut self, children: &OidMap<Oid, Vec<ObjectId>>) {
        let defaults = self.columns.iter().filter_map(|column| {
            let default = column.attribute.default.as_ref()?;
            Some((default.oid, children.get(&default.oid)?.clone()))
        });
        self.waiting_defaults = defaults.collect();
    }

    /// The defaults of its columns as objects: each depends on what its expression names.
    pub(crate) fn attribute_defaults(&self) -> Vec<AttributeDefault> {
        let columns = self.columns.iter();
        let default = |column: &Column| {
            let mut default =
                AttributeDefault::of_column(&self.relation, &column.attribute, column.is_listed)?;
            if let Some(children) = self.waiting_defaults.get(&default.oid()) {
                default.wait_for(children);
            }
            Some(default)
        };
        let defaults = columns.filter_map(default);
        defaults
            .filter(|default| self.can_set_expression || !default.is_generated())
            .collect()
    }

    fn attributes(&self) -> impl Iterator<Item = &Attribute> {
        self.columns.iter().map(|column| &*column.attribute)
    }

    /// `ALTER TABLE ONLY <name>`
    fn alter_only(&self) -> String {
        format!("ALTER TABLE ONLY {}", self.relation.name.sql())
    }

    fn render_create_table(&self, context: &RenderContext<'_>) -> String {
        let elements = self.render_elements(context);
        // A partitioned table stores nothing; before 18 its catalog row could still say so.
        let unlogged = self.relation.unlogged && !self.is_partitioned;
        let mut out = format!(
            "CREATE {}{} {}",
            if unlogged { "UNLOGGED " } else { "" },
            self.word(),
            self.relation.name.sql()
        );
        if let Some(of_type) = &self.of_type {
            out.push_str(&format!(" OF {of_type}"));
        }
        if !elements.is_empty() {
            out.push_str(&format!(" (\n    {}\n)", elements.join(",\n    ")));
        } else if self.of_type.is_none() {
            out.push_str(" (\n)");
        }
        if self.descent == Descent::Inherits && !self.parents.is_empty() {
            let parents: Vec<String> = self.parents.iter().map(RelationName::sql).collect();
            out.push_str(&format!("\nINHERITS ({})", parents.join(", ")));
        }
        if let Some(key) = &self.partition_key {
            out.push_str(&format!("\nPARTITION BY {key}"));
        }
        match &self.foreign {
            Some(foreign) => out.push_str(&format!(
                "\nSERVER {}{}",
                quote::ident(&foreign.server),
                options_clause(&foreign.options)
            )),
            None => out.push_str(&self.relation.render_storage()),
        }
        out.push(';');
        out
    }

    /// What it is in CREATE, DROP and COMMENT. ALTER TABLE takes either.
    fn word(&self) -> &'static str {
        match self.foreign {
            Some(_) => "FOREIGN TABLE",
            None => "TABLE",
        }
    }

    /// Columns and constraints between the parentheses.
    fn render_elements(&self, context: &RenderContext<'_>) -> Vec<String> {
        let mut elements = Vec::new();
        for column in self.columns.iter().filter(|column| column.is_listed) {
            let clauses = self.render_clauses(column, context);
            let name = quote::ident(&column.attribute.name);
            if self.of_type.is_none() {
                elements.push(format!("{name} {}{clauses}", self.render_type(column)));
            } else if !clauses.is_empty() {
                elements.push(format!("{name} WITH OPTIONS{clauses}"));
            }
        }
        for column in self.columns.iter().filter(|column| !column.is_listed) {
            if let Some(NotNull::Constraint {
                name, no_inherit, ..
            }) = &column.attribute.not_null
                && !column.takes_not_null()
                && !self.can_set_not_null_later(column)
            {
                elements.push(format!(
                    "CONSTRAINT {} NOT NULL {}{}",
                    quote::ident(name),
                    quote::ident(&column.attribute.name),
                    no_inherit_clause(*no_inherit)
                ));
            }
        }
        for check in &self.checks {
            let id = ObjectId::definition(catalog::PG_CONSTRAINT, check.oid);
            if (check.is_local || self.descent != Descent::Inherits) && !context.is_separate(id) {
                elements.push(format!(
                    "CONSTRAINT {} {}",
                    quote::ident(&check.name),
                    check.definition
                ));
            }
        }
        elements
    }

    /// CREATE FOREIGN TABLE alone can say how a foreign table's column is compressed: ALTER TABLE refuses.
    fn render_type(&self, column: &Column) -> String {
        let mut out = column.attribute.type_name.clone();
        if self.foreign.is_some()
            && column.inherited.is_empty()
            && let Some(method) = column.attribute.compression_method()
        {
            out.push_str(&format!(" COMPRESSION {method}"));
        }
        if let Some(collation) = &column.attribute.collation {
            out.push_str(&format!(" COLLATE {collation}"));
        }
        out
    }

    /// What follows a column's type in CREATE TABLE.
    fn render_clauses(&self, column: &Column, context: &RenderContext<'_>) -> String {
        let mut out = match column.value_clause() {
            ValueClause::Nothing => String::new(),
            ValueClause::Null => " DEFAULT NULL".to_owned(),
            ValueClause::Default(default) => {
                let id = ObjectId::definition(catalog::PG_ATTRDEF, default.oid);
                if context.is_separate(id) || self.waiting_defaults.contains_key(&default.oid) {
                    String::new()
                } else {
                    format!(" DEFAULT {}", default.expression)
                }
            }
            ValueClause::Generated(expression, word) => {
                let id = ObjectId::definition(catalog::PG_ATTRDEF, expression.oid);
                let text = match context.is_separate(id) {
                    true => "NULL",
                    false => &expression.expression,
                };
                format!(" GENERATED ALWAYS AS ({text}) {word}")
            }
        };
        if let Some(identity) = render_identity(&column.attribute) {
            out.push_str(&format!(" {identity}"));
        }
        match &column.attribute.not_null {
            // ALTER TABLE ... INHERIT is refused without.
            None if column.drops_not_null && self.descent == Descent::InheritsLater => {
                out.push_str(" NOT NULL");
            }
            None => {}
            Some(NotNull::Unnamed) => out.push_str(" NOT NULL"),
            // The parents bring it.
            Some(NotNull::Constraint { .. }) if column.takes_not_null() => {}
            Some(NotNull::Constraint {
                name,
                no_inherit,
                comment,
                ..
            }) => {
                if !self.is_default_not_null_name(column, name) || comment.is_some() {
                    out.push_str(&format!(" CONSTRAINT {}", quote::ident(name)));
                }
                out.push_str(" NOT NULL");
                out.push_str(no_inherit_clause(*no_inherit));
            }
        }
        out
    }

    /// Whether the server would choose this name itself. Where names are so long that it would cut
    /// them, this says no, and the name is printed.
    fn is_default_not_null_name(&self, column: &Column, name: &str) -> bool {
        name == format!(
            "{}_{}_not_null",
            self.relation.name.name, column.attribute.name
        )
    }

    /// Whether SET NOT NULL gives the same constraint on an inherited column: the form that servers before
    /// 18 understand too.
    fn can_set_not_null_later(&self, column: &Column) -> bool {
        let nullable_in_parents = column.inherited.iter().all(|a| a.not_null.is_none());
        match &column.attribute.not_null {
            None => false,
            Some(NotNull::Unnamed) => nullable_in_parents,
            Some(NotNull::Constraint {
                name,
                is_local,
                no_inherit,
                comment,
                ..
            }) => {
                *is_local
                    && nullable_in_parents
                    && !no_inherit
                    && comment.is_none()
                    && self.is_default_not_null_name(column, name)
            }
        }
    }

    /// What an inherited column that CREATE TABLE does not list has of its own.
    fn render_unlisted(&self, column: &Column, context: &RenderContext<'_>) -> Vec<String> {
        let name = quote::ident(&column.attribute.name);
        let alter = format!("{} ALTER COLUMN {name}", self.alter_only());
        let mut out = Vec::new();
        if self.can_set_not_null_later(column) {
            out.push(format!("{alter} SET NOT NULL;"));
        }
        if let Some(identity) = render_identity(&column.attribute) {
            out.push(format!("{alter} ADD {identity};"));
        }
        match column.value_clause() {
            // A default of its own is an entry of its own: see AttributeDefault.
            ValueClause::Nothing | ValueClause::Default(_) => {}
            ValueClause::Null => out.push(format!("{alter} SET DEFAULT NULL;")),
            ValueClause::Generated(expression, _) => {
                let id = ObjectId::definition(catalog::PG_ATTRDEF, expression.oid);
                if !context.is_separate(id) {
                    let expression = &expression.expression;
                    out.push(format!("{alter} SET EXPRESSION AS ({expression});"));
                }
            }
        }
        out
    }

    fn render_create(&self, context: &RenderContext<'_>) -> Vec<String> {
        let mut out = vec![self.render_create_table(context)];
        let alter = self.alter_only();
        for column in self.columns.iter().filter(|column| !column.is_listed) {
            out.extend(self.render_unlisted(column, context));
        }
        for column in &self.columns {
            let inherited = column.inherited.first().map(|parent| &**parent);
            out.extend(column.attribute.render_settings(&alter, inherited));
            if self.foreign.is_none() {
                out.extend(column.attribute.render_compression(&alter, inherited));
            }
        }
        out.extend(self.attributes().filter_map(render_sequence_type));
        // Sequences have had a persistence of their own since 15. A column makes its sequence as
        // persistent as the table; it may have been told otherwise.
        if context.server >= ServerVersion::major(15) {
            let identities = self.attributes().filter_map(|a| a.identity.as_ref());
            for identity in identities.filter(|i| i.is_unlogged != self.relation.unlogged) {
                let word = if identity.is_unlogged {
                    "UNLOGGED"
                } else {
                    "LOGGED"
                };
                out.push(format!(
                    "ALTER SEQUENCE {} SET {word};",
                    identity.sequence.sql()
                ));
            }
        }
        if self.descent == Descent::InheritsLater {
            for parent in &self.parents {
                out.push(format!("{alter} INHERIT {};", parent.sql()));
            }
        }
        let nullable = self.columns.iter().filter(|column| column.drops_not_null);
        out.extend(nullable.map(|column| render_drop_not_null(&alter, &column.attribute.name)));
        out.extend(self.replica_identity.render(&alter));
        if self.forces_row_security {
            out.push(format!("{alter} FORCE ROW LEVEL SECURITY;"));
        }
        out
    }

    fn render_comments(&self) -> Vec<String> {
        let mut out = self
            .relation
            .render_comments(self.word(), self.attributes());
        for column in &self.columns {
            if let Some(NotNull::Constraint {
                name,
                comment: Some(comment),
                ..
            }) = &column.attribute.not_null
            {
                let object = format!(
                    "CONSTRAINT {} ON {}",
                    quote::ident(name),
                    self.relation.name.sql()
                );
                out.push(quote::comment_on(&object, comment));
            }
        }
        out
    }
}

/// Whether CREATE TABLE ... INHERITS would put columns that were all declared in the child into another
/// order: parents' columns come first there. Such a child got its parents by ALTER TABLE.
fn inherits_would_reorder(own: &[Arc<Attribute>], parents: &[&[Arc<Attribute>]]) -> bool {
    if parents.is_empty() || own.iter().any(|a| !a.is_local) {
        return false;
    }
    let mut merged: Vec<&str> = Vec::new();
    for attribute in parents.iter().copied().flatten().chain(own) {
        if !merged.contains(&attribute.name.as_str()) {
            merged.push(&attribute.name);
        }
    }
    !merged.into_iter().eq(own.iter().map(|a| a.name.as_str()))
}

/// Whether a column's storage or compression differs between the parents: INHERITS is refused then,
/// "inherited column has a storage parameter conflict".
fn parents_disagree(parents: &[&[Arc<Attribute>]]) -> bool {
    let mut settings: HashMap<&str, (Option<char>, Option<char>)> = HashMap::new();
    parents.iter().copied().flatten().any(|attribute| {
        let own = (attribute.storage, attribute.compression);
        *settings.entry(&attribute.name).or_insert(own) != own
    })
}

/// Whether a column may be NULL though a parent's may not.
fn drops_not_null(own: &Attribute, parents: &[&[Arc<Attribute>]]) -> bool {
    let mut of_parents = parents.iter().copied().flatten();
    own.not_null.is_none()
        && of_parents.any(|it| it.name == own.name && it.not_null == Some(NotNull::Unnamed))
}

/// Whether parents generate a column in different ways: INHERITS is refused unless the child says how.
fn expressions_disagree(column: &str, parents: &[&[Arc<Attribute>]]) -> bool {
    let of_parents = parents.iter().copied().flatten();
    let mut expressions = of_parents
        .filter(|parent| parent.name == column)
        .filter_map(|parent| parent.default.as_ref())
        .filter(|default| default.kind != ExpressionKind::Default)
        .map(|default| &default.expression);
    let first = expressions.next();
    expressions.any(|other| Some(other) != first)
}

/// Where a column's value comes from if none is given, as far as it must be said.
enum ValueClause<'a> {
    Nothing,
    /// DEFAULT NULL, against the default of a parent.
    Null,
    Default(&'a AttributeExpression),
    /// The expression, STORED or VIRTUAL.
    Generated(&'a AttributeExpression, &'static str),
}

impl Column {
    /// Whether its NOT NULL is that of its parents. A parent's that is not valid comes after the data, and would not make
    /// this one valid.
    fn takes_not_null(&self) -> bool {
        let is_local = matches!(
            self.attribute.not_null,
            Some(NotNull::Constraint { is_local: true, .. })
        );
        !is_local && self.inherited.iter().any(|a| a.not_null.is_some())
    }

    fn value_clause(&self) -> ValueClause<'_> {
        let Some(default) = &self.attribute.default else {
            let parents_have_default = self.inherited.iter().any(|parent| {
                matches!(&parent.default, Some(AttributeExpression { expression, kind: ExpressionKind::Default, .. })
                    if expression != "NULL")
            });
            return if parents_have_default && self.attribute.identity.is_none() {
                ValueClause::Null
            } else {
                ValueClause::Nothing
            };
        };
        let word = match default.kind {
            ExpressionKind::Default => return ValueClause::Default(default),
            ExpressionKind::Stored => "STORED",
            ExpressionKind::Virtual => "VIRTUAL",
        };
        // A child may not repeat its parents' generation clause before 16, and need not after.
        let same = |parent: &Arc<Attribute>| matches!(&parent.default, Some(p) if p.kind == default.kind && p.expression == default.expression);
        if !self.inherited.is_empty() && self.inherited.iter().all(same) {
            ValueClause::Nothing
        } else {
            ValueClause::Generated(default, word)
        }
    }
}

fn render_identity(attribute: &Attribute) -> Option<String> {
    let identity = attribute.identity.as_ref()?;
    let word = if identity.always {
        "ALWAYS"
    } else {
        "BY DEFAULT"
    };
    let sequence = identity.sequence.sql();
    // Those of another type may be out of this one's range.
    let options = match has_sequence_of_its_type(attribute, identity) {
        true => format!(" {}", identity.options.render()),
        false => String::new(),
    };
    Some(format!(
        "GENERATED {word} AS IDENTITY (SEQUENCE NAME {sequence}{options})"
    ))
}

/// Its column makes a sequence of the column's type; it may have been given another one.
fn render_sequence_type(attribute: &Attribute) -> Option<String> {
    let identity = attribute.identity.as_ref()?;
    let options = &identity.options;
    (!has_sequence_of_its_type(attribute, identity)).then(|| {
        format!(
            "ALTER SEQUENCE {} AS {} {} RESTART WITH {};",
            identity.sequence.sql(),
            options.type_name,
            options.render(),
            options.start
        )
    })
}

fn has_sequence_of_its_type(attribute: &Attribute, identity: &Identity) -> bool {
    identity.options.type_name == attribute.type_name
}

/// Since 18 no child can: there it stays as its parent is, as pg_dump leaves it.
fn render_drop_not_null(alter: &str, column: &str) -> String {
    quote::do_block(&format!(
        "IF pg_catalog.current_setting('server_version_num')::pg_catalog.int4 < 180000 THEN \
         {alter} ALTER COLUMN {} DROP NOT NULL; END IF;",
        quote::ident(column)
    ))
}

fn no_inherit_clause(no_inherit: bool) -> &'static str {
    if no_inherit { " NO INHERIT" } else { "" }
}

impl DumpObject for Table {
    fn kind(&self) -> Kind {
        match self.foreign {
            Some(_) => Kind::ForeignTable,
            None => Kind::Table,
        }
    }

    fn id(&self) -> ObjectId {
        self.relation.id()
    }

    fn claims(&self) -> Vec<CatalogId> {
        let mut claims = self.relation.claims();
        for column in &self.columns {
            if let Some(NotNull::Constraint { oid, .. }) = &column.attribute.not_null {
                claims.push(CatalogId::new(catalog::PG_CONSTRAINT, *oid));
            }
            let default = column.attribute.default.as_ref();
            let generated = default.filter(|it| it.kind != ExpressionKind::Default);
            if let Some(expression) = generated.filter(|_| !self.can_set_expression) {
                claims.push(CatalogId::new(catalog::PG_ATTRDEF, expression.oid));
            }
        }
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

    fn extra_dependencies(&self) -> Vec<ObjectId> {
        self.parents.iter().map(RelationName::id).collect()
    }

    fn relation(&self) -> Option<ObjectId> {
        Some(self.id())
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        Rendered {
            create: self.render_create(context),
            drop: Some(format!(
                "DROP {} IF EXISTS {};",
                self.word(),
                self.relation.name.sql()
            )),
            alter_owner: Some(self.relation.render_owner("TABLE")),
            comments: self.render_comments(),
            acl: self
                .relation
                .render_acl(GrantKind::Table, self.attributes(), context.server),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::attribute::tests::column;

    #[test]
    fn a_child_whose_columns_would_be_reordered_inherits_later() {
        let parent = [Arc::new(column("a", "integer"))];
        let own = [column("x", "integer"), column("a", "integer")].map(Arc::new);
        assert!(inherits_would_reorder(&own, &[&parent]));
        assert!(!inherits_would_reorder(&own, &[]));
        let mut inherited = own.clone();
        Arc::make_mut(&mut inherited[1]).is_local = false;
        assert!(!inherits_would_reorder(&inherited, &[&parent]));
    }

    #[test]
    fn parents_with_different_storage_cannot_stand_in_inherits() {
        let one = [Arc::new(column("a", "text"))];
        let mut other = one.clone();
        assert!(!parents_disagree(&[&one, &other]));
        Arc::make_mut(&mut other[0]).storage = Some('e');
        assert!(parents_disagree(&[&one, &other]));
    }

    #[test]
    fn a_child_without_its_parents_default_says_so() {
        let mut parent = column("a", "integer");
        parent.default = Some(AttributeExpression {
            oid: Oid(20000),
            expression: "1".to_owned(),
            kind: ExpressionKind::Default,
        });
        let child = Column {
            attribute: Arc::new(column("a", "integer")),
            inherited: vec![Arc::new(parent)],
            is_listed: true,
            drops_not_null: false,
        };
        assert!(matches!(child.value_clause(), ValueClause::Null));
    }

    #[test]
    fn a_child_does_not_repeat_its_parents_generation_clause() {
        let mut parent = column("a", "integer");
        parent.default = Some(AttributeExpression {
            oid: Oid(20000),
            expression: "(b * 2)".to_owned(),
            kind: ExpressionKind::Stored,
        });
        let parent = Arc::new(parent);
        let mut child = Column {
            attribute: parent.clone(),
            inherited: vec![parent],
            is_listed: true,
            drops_not_null: false,
        };
        assert!(matches!(child.value_clause(), ValueClause::Nothing));
        child.inherited.clear();
        assert!(matches!(
            child.value_clause(),
            ValueClause::Generated(generated, "STORED") if generated.expression == "(b * 2)"
        ));
    }
}
