//! Sequences (`pg_sequence`). Identity sequences come with their table's column; what they have of
//! their own (privileges, comment, persistence) is theirs.

use super::acl::GrantKind;
use super::attribute::Attributes;
use super::catalog_query::{Row, RowError, read_all, unexpected};
use super::relation::{Relation, RelationName};
use super::{
    CatalogId, DumpObject, Kind, ObjectId, RenderContext, Rendered, Section, SequenceOwner,
};
use crate::Result;
use crate::conn::Session;

/// A sequence.
#[derive(Clone, Debug)]
pub struct Sequence {
    relation: Relation,
    options: SequenceOptions,
    /// Of an identity sequence: its table.
    identity_of: Option<RelationName>,
    /// Its table and the number of its column.
    owned_by: Option<(RelationName, i16)>,
}

/// What CREATE SEQUENCE and AS IDENTITY can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SequenceOptions {
    /// smallint, integer or bigint.
    pub(crate) type_name: String,
    /// START WITH
    pub(crate) start: i64,
    /// INCREMENT BY
    pub(crate) increment: i64,
    /// MINVALUE
    pub(crate) min: i64,
    /// MAXVALUE
    pub(crate) max: i64,
    /// CACHE
    pub(crate) cache: i64,
    /// CYCLE
    pub(crate) cycle: bool,
}

impl SequenceOptions {
    /// From `seqtype` and the columns of `pg_sequence` by their names.
    pub(super) fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(SequenceOptions {
            type_name: row.try_get("seqtype")?,
            start: row.try_get("seqstart")?,
            increment: row.try_get("seqincrement")?,
            min: row.try_get("seqmin")?,
            max: row.try_get("seqmax")?,
            cache: row.try_get("seqcache")?,
            cycle: row.try_get("seqcycle")?,
        })
    }

    /// `START WITH 1 INCREMENT BY 1 ...`, everything but the type.
    pub(super) fn render(&self) -> String {
        format!(
            "START WITH {} INCREMENT BY {} MINVALUE {} MAXVALUE {} CACHE {}{}",
            self.start,
            self.increment,
            self.min,
            self.max,
            self.cache,
            if self.cycle { " CYCLE" } else { "" }
        )
    }
}

/// Reads the sequences, each with the table that it goes with.
pub(crate) async fn read(session: &Session) -> Result<Vec<Sequence>> {
    let sql = Relation::query(
        session.version(),
        "'S'",
        's',
        "pg_catalog.format_type(sq.seqtypid, NULL) AS seqtype, sq.seqstart, sq.seqincrement, \
         sq.seqmin, sq.seqmax, sq.seqcache, sq.seqcycle, \
         sd.deptype = 'i' AS is_identity, t.oid AS table_oid, tn.nspname AS table_schema, \
         t.relname AS table_name, sd.refobjsubid::pg_catalog.int2 AS table_column",
        "JOIN pg_catalog.pg_sequence sq ON sq.seqrelid = c.oid \
         LEFT JOIN pg_catalog.pg_depend sd ON sd.deptype IN ('i', 'a') AND sd.objsubid = 0 \
           AND sd.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND sd.objid = c.oid \
           AND sd.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND sd.refobjsubid > 0 \
         LEFT JOIN pg_catalog.pg_class t ON t.oid = sd.refobjid \
         LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace",
    );
    read_all(session, "sequences", &sql, |row| {
        let mut sequence = Sequence {
            relation: Relation::from_row(row)?,
            options: SequenceOptions::from_row(row)?,
            identity_of: None,
            owned_by: None,
        };
        match row.try_get("is_identity")? {
            None => {}
            Some(true) => sequence.identity_of = Some(RelationName::from_row(row, "table")?),
            Some(false) => {
                let table = RelationName::from_row(row, "table")?;
                sequence.owned_by = Some((table, row.try_get("table_column")?));
            }
        }
        Ok(sequence)
    })
    .await
}

impl Sequence {
    /// The table whose column makes it, if it is an identity sequence.
    pub(crate) fn identity_of(&self) -> Option<ObjectId> {
        self.identity_of.as_ref().map(RelationName::id)
    }

    /// Takes the columns that have privileges: sequences are read before columns.
    pub(crate) fn fill_columns(&mut self, attributes: &Attributes) {
        self.relation.note_granted_beside(attributes);
    }

    /// OWNED BY as an object: it comes after the table that the sequence must come before.
    ///
    /// # Errors
    /// `Catalog` if the table has no such column.
    pub(crate) fn owned_by(&self, attributes: &Attributes) -> Result<Option<SequenceOwner>> {
        let Some((table, number)) = &self.owned_by else {
            return Ok(None);
        };
        let column = attributes.numbered(table.oid, *number).ok_or_else(|| {
            let number = number.to_string();
            unexpected(&self.relation.name.sql(), "column that owns it", &number)
        })?;
        Ok(Some(SequenceOwner {
            sequence: self.relation.name.clone(),
            owner: self.relation.owner.clone(),
            table: table.clone(),
            column: column.name.clone(),
        }))
    }

    fn render_create(&self) -> String {
        format!(
            "CREATE {}SEQUENCE {} AS {} {};",
            if self.relation.unlogged {
                "UNLOGGED "
            } else {
                ""
            },
            self.relation.name.sql(),
            self.options.type_name,
            self.options.render()
        )
    }
}

impl DumpObject for Sequence {
    fn kind(&self) -> Kind {
        Kind::Sequence
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

    fn extra_dependencies(&self) -> Vec<ObjectId> {
        self.identity_of.iter().map(RelationName::id).collect()
    }

    fn relation(&self) -> Option<ObjectId> {
        Some(self.id())
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        let is_identity = self.identity_of.is_some();
        Rendered {
            // Its column makes an identity sequence.
            create: (!is_identity)
                .then(|| self.render_create())
                .into_iter()
                .collect(),
            drop: (!is_identity)
                .then(|| format!("DROP SEQUENCE IF EXISTS {};", self.relation.name.sql())),
            // An identity sequence follows its table's owner.
            alter_owner: (!is_identity).then(|| self.relation.render_owner("SEQUENCE")),
            comments: self.relation.render_comments("SEQUENCE", &[]),
            acl: self
                .relation
                .render_acl(GrantKind::Sequence, &[], context.server),
        }
    }
}
