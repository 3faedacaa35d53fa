//! Column defaults and generation expressions (`pg_attrdef`). CREATE TABLE prints them; a default that
//! cannot stand there (a dependency loop, a view's column, an inherited column) is an ALTER TABLE.
//!
//! They are read with the columns: deparsing an expression is what takes the server's time.

use super::attribute::{Attribute, AttributeExpression, ExpressionKind};
use super::relation::{Relation, RelationName};
use super::{
    DumpObject, Kind, LockStrength, ObjectId, RenderContext, Rendered, Section, catalog, quote,
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
}

/// The defaults and generation expressions of a relation's columns. `is_listed` tells of which columns CREATE TABLE
/// can say what their default is.
pub(super) fn of_relation<'a>(
    relation: &Relation,
    attributes: impl Iterator<Item = &'a Attribute>,
    is_listed: impl Fn(&Attribute) -> bool,
) -> Vec<AttributeDefault> {
    attributes
        .filter_map(|attribute| {
            Some(AttributeDefault {
                table: relation.name.clone(),
                owner: relation.owner.clone(),
                column: attribute.name.clone(),
                value: attribute.default.clone()?,
                is_listed: is_listed(attribute),
            })
        })
        .collect()
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
