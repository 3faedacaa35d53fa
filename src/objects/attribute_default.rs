//! Column defaults and generation expressions (`pg_attrdef`). CREATE TABLE prints them; a default that
//! cannot stand there (a dependency loop, a view's column, an inherited column) is an ALTER TABLE. A generation
//! expression is an object of its own where ALTER TABLE can set one, and else a part of its table.
//!
//! They are read with the columns: deparsing an expression is what takes the server's time.

use super::attribute::{Attribute, AttributeExpression, ExpressionKind};
use super::relation::{Relation, RelationName};
use super::{
    DumpObject, Kind, LockStrength, ObjectId, Oid, RenderContext, Rendered, Section, catalog, quote,
};

/// A default or generation expression of a column.
#[derive(Clone, Debug)]
pub struct AttributeDefault {
    table: RelationName,
    owner: String,
    column: String,
    value: AttributeExpression,
    /// Whether CREATE TABLE lists the column and can say what its default is.
    is_listed: bool,
    /// Children that must be made before the column has it.
    children: Vec<ObjectId>,
}

impl AttributeDefault {
    /// Whether it is a generation expression: rows need it.
    pub(crate) fn is_generated(&self) -> bool {
        self.value.kind != ExpressionKind::Default
    }

    /// The default of a relation's column, if it has one. `is_listed` tells whether CREATE TABLE can say what it is.
    pub(super) fn of_column(
        relation: &Relation,
        attribute: &Attribute,
        is_listed: bool,
    ) -> Option<AttributeDefault> {
        Some(AttributeDefault {
            table: relation.name.clone(),
            owner: relation.owner.clone(),
            column: attribute.name.clone(),
            value: attribute.default.clone()?,
            is_listed,
            children: Vec::new(),
        })
    }

    /// Its `pg_attrdef` row.
    pub(super) fn oid(&self) -> Oid {
        self.value.oid
    }

    /// Lets children of the table be made before the column has its default.
    pub(super) fn wait_for(&mut self, children: &[ObjectId]) {
        self.children.extend(children);
    }

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
            return Vec::new();
        }
        let children = self.children.iter().copied();
        children.chain([self.table.id()]).collect()
    }

    fn folded_into(&self) -> Option<ObjectId> {
        // There is no statement that makes a column a generated one.
        let is_printed_by_table = self.is_listed && self.children.is_empty();
        (is_printed_by_table || self.is_generated()).then(|| self.table.id())
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
        let expression = &self.value.expression;
        let (set, unset) = match self.is_generated() {
            true => (
                format!("SET EXPRESSION AS ({expression})"),
                "SET EXPRESSION AS (NULL)",
            ),
            false => (format!("SET DEFAULT {expression}"), "DROP DEFAULT"),
        };
        Rendered {
            create: vec![format!("{} {set};", self.alter_column(""))],
            drop: Some(format!("{} {unset};", self.alter_column("IF EXISTS "))),
            ..Rendered::default()
        }
    }
}
