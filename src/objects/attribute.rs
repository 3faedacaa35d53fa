//! Attributes (`pg_attribute`) of tables, views and materialized views.

use std::collections::HashMap;
use std::sync::Arc;

use super::acl::Acl;
use super::catalog_query::{
    Row, RowError, first_users_oid, read_all, read_all_with, since, unexpected,
};
use super::deparsed::Deparsed;
use super::relation::RelationName;
use super::sequence::SequenceOptions;
use super::{Oid, OidMap, quote};
use crate::Result;
use crate::conn::{ServerVersion, Session};

/// A column.
#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    /// `attnum`
    pub(super) number: i16,
    /// `atttypid`
    pub(super) type_oid: Oid,
    /// `attcollation`
    pub(super) collation_oid: Oid,
    /// Its name.
    pub(crate) name: String,
    /// Its type as `format_type` prints it.
    pub(crate) type_name: String,
    /// Its collation in SQL, unless it is the type's own.
    pub(crate) collation: Option<String>,
    /// Whether it was declared here, not (only) inherited.
    pub(crate) is_local: bool,
    /// What forbids NULL.
    pub(crate) not_null: Option<NotNull>,
    /// Its default or generation expression.
    pub(crate) default: Option<AttributeExpression>,
    /// Whether it is GENERATED ALWAYS AS IDENTITY, of a partition, too (from 17).
    pub(super) is_identity_always: bool,
    /// Its identity sequence. A partition's column shares its parent's (from 17) and has none itself.
    pub(crate) identity: Option<Box<Identity>>,
    /// `attstorage`: p, e, m or x.
    pub(crate) storage: Option<char>,
    /// Whether its storage differs from its type's.
    pub(crate) has_own_storage: bool,
    /// `attcompression`: p or l, if it is not the default. Known from 14.
    pub(crate) compression: Option<char>,
    /// Its statistics target, unless it is the default.
    pub(crate) statistics: Option<i32>,
    /// `attoptions`, `name=value`.
    pub(crate) options: Vec<String>,
    /// Of foreign tables: its options, `name=value`.
    pub(crate) foreign_options: Vec<String>,
    /// Its comment.
    pub(crate) comment: Option<String>,
    /// Its own privileges.
    pub(super) acl: Acl,
}

/// A default or generation expression (`pg_attrdef`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttributeExpression {
    /// Its `pg_attrdef` row.
    pub(crate) oid: Oid,
    /// As `pg_get_expr` prints it.
    pub(crate) expression: String,
    /// What it is for.
    pub(crate) kind: ExpressionKind,
}

/// What an expression of `pg_attrdef` is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpressionKind {
    /// DEFAULT
    Default,
    /// GENERATED ALWAYS AS ... STORED, from 12.
    Stored,
    /// GENERATED ALWAYS AS ... VIRTUAL, from 18.
    Virtual,
}

/// What forbids NULL in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotNull {
    /// `attnotnull` alone, before 18.
    Unnamed,
    /// A constraint, from 18.
    Constraint {
        /// Its `pg_constraint` row.
        oid: Oid,
        /// Its name.
        name: String,
        /// Whether it was declared here, not (only) inherited.
        is_local: bool,
        /// NO INHERIT.
        no_inherit: bool,
        /// Its comment.
        comment: Option<String>,
    },
}

/// GENERATED ... AS IDENTITY.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// ALWAYS, or else BY DEFAULT.
    pub(crate) always: bool,
    /// The sequence.
    pub(crate) sequence: RelationName,
    /// Whether the sequence is unlogged.
    pub(crate) is_unlogged: bool,
    /// The sequence's options.
    pub(crate) options: SequenceOptions,
}

/// Whether an option of a column is the number by which the server tells old definitions of it from new ones: releases since November
/// 2026 of majors that have no column of the catalog for it (15.20 and its kin) keep it there. It is no user's; pg_dump leaves it out, too.
/// Source: `catalog/pg_attribute.h`, ATTRIBUTE_VERSION_ATTOPTION.
pub(crate) fn is_attribute_version(option: &str) -> bool {
    let number = option.strip_prefix("pg_attver=");
    number.is_some_and(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The columns of relations, in attribute order, without dropped ones.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    by_relation: OidMap<Oid, Vec<Arc<Attribute>>>,
    granted_beside: OidMap<Oid, Vec<Arc<Attribute>>>,
}

impl Attributes {
    /// Those of a relation; none if it has none or is of a kind that is not read.
    pub(super) fn of(&self, relation: Oid) -> &[Arc<Attribute>] {
        let found = self.by_relation.get(&relation);
        found.map_or(&[], Vec::as_slice)
    }

    /// System columns and columns of sequences, if they have privileges of their own.
    pub(super) fn granted_beside(&self, relation: Oid) -> &[Arc<Attribute>] {
        let found = self.granted_beside.get(&relation);
        found.map_or(&[], Vec::as_slice)
    }

    /// The one of this `attnum`.
    pub(super) fn numbered(&self, relation: Oid, number: i16) -> Option<&Attribute> {
        let attributes = self.of(relation);
        let place = attributes.binary_search_by_key(&number, |attribute| attribute.number);
        Some(&attributes[place.ok()?])
    }
}

impl FromIterator<(Oid, Vec<Attribute>)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (Oid, Vec<Attribute>)>>(relations: I) -> Self {
        let shared = |columns: Vec<Attribute>| columns.into_iter().map(Arc::new).collect();
        let relations = relations.into_iter();
        Attributes {
            by_relation: relations
                .map(|(oid, columns)| (oid, shared(columns)))
                .collect(),
            granted_beside: OidMap::default(),
        }
    }
}

/// Columns without what other catalogs hold of them, by relation and number.
pub(crate) struct Columns(Vec<Column>);

/// A column without what other catalogs hold of it.
struct Column {
    relation: Oid,
    /// Whether it is a system column or a sequence's.
    is_beside: bool,
    attribute: Attribute,
    /// What its expression is for, if it has one.
    expression_kind: ExpressionKind,
}

/// What other catalogs hold of columns. It is read beside them: joined by the server it would take three times as long.
pub(crate) struct Additions {
    expressions: Vec<Addition<(Oid, Option<String>)>>,
    not_nulls: Vec<Addition<NotNull>>,
}

/// Something of a column.
struct Addition<T> {
    relation: Oid,
    number: i16,
    what: T,
}

/// Reads the columns of all tables, views and materialized views at once, extension members included: they may be
/// parents. Of system columns and of sequences only those with privileges.
pub(crate) async fn read(session: &Session) -> Result<Columns> {
    let query = query(session.version());
    Ok(Columns(
        read_all(session, "columns", &query, from_row).await?,
    ))
}

/// Reads defaults and constraints of all columns, without locks.
pub(crate) async fn read_additions(session: &Session) -> Result<Additions> {
    let not_nulls = async {
        match session.version() >= ServerVersion::major(18) {
            true => {
                read_all(
                    session,
                    "not-null constraints",
                    NOT_NULLS_QUERY,
                    not_null_from_row,
                )
                .await
            }
            false => Ok(Vec::new()),
        }
    };
    let expressions = read_all(session, "defaults", EXPRESSIONS_QUERY, |row| {
        let expression = (row.try_get("oid")?, row.try_get("expression")?);
        addition_from_row(row, expression)
    });
    let (expressions, not_nulls) = futures::try_join!(expressions, not_nulls)?;
    Ok(Additions {
        expressions,
        not_nulls,
    })
}

/// An expression without columns needs no relation to be deparsed, and locks none. Others are left to [`complete`].
const EXPRESSIONS_QUERY: &str = "SELECT ad.adrelid AS relation, ad.adnum AS number, ad.oid, \
       CASE WHEN pg_catalog.strpos(ad.adbin::pg_catalog.text, '{VAR ') = 0 \
         THEN pg_catalog.pg_get_expr(ad.adbin, 0) END AS expression \
     FROM pg_catalog.pg_attrdef ad JOIN pg_catalog.pg_class c ON c.oid = ad.adrelid \
     WHERE c.relpersistence <> 't'";

/// Not-null constraints have rows of their own since 18. One that is not valid yet is printed by itself.
const NOT_NULLS_QUERY: &str = "SELECT nn.conrelid AS relation, nn.conkey[1] AS number, nn.oid, nn.conname, nn.conislocal, \
       nn.connoinherit, d.description \
     FROM pg_catalog.pg_constraint nn \
     LEFT JOIN pg_catalog.pg_description d ON d.objoid = nn.oid \
       AND d.classoid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objsubid = 0 \
     WHERE nn.contype = 'n' AND nn.convalidated AND nn.conrelid <> 0::pg_catalog.oid";

fn addition_from_row<T>(row: &Row, what: T) -> Result<Addition<T>, RowError> {
    Ok(Addition {
        relation: row.try_get("relation")?,
        number: row.try_get("number")?,
        what,
    })
}

/// Puts columns and what belongs to them together; the server deparses expressions that name columns.
pub(crate) async fn complete(
    session: &Session,
    mut columns: Columns,
    additions: Additions,
    deparsed: &Deparsed,
) -> Result<Attributes> {
    let to_print = (additions.expressions.iter())
        .filter(|expression| expression.what.1.is_none() && deparsed.includes(expression.relation));
    let oids: Vec<Oid> = to_print.map(|expression| expression.what.0).collect();
    let mut texts = read_expressions_of_columns(session, &oids).await?;
    for expression in additions.expressions {
        let Addition {
            relation,
            number,
            what: (oid, text),
        } = expression;
        let expression = text.or_else(|| texts.remove(&oid));
        // Of a table that is not dumped, or was dropped meanwhile: what is dumped is locked.
        let Some(expression) = expression else {
            continue;
        };
        if let Some(column) = columns.get_mut(relation, number) {
            let kind = column.expression_kind;
            column.attribute.default = Some(AttributeExpression {
                oid,
                expression,
                kind,
            });
        }
    }
    for not_null in additions.not_nulls {
        if let Some(column) = columns.get_mut(not_null.relation, not_null.number) {
            column.attribute.not_null = Some(not_null.what);
        }
    }
    Ok(columns.by_relation())
}

/// The server opens the table of each.
async fn read_expressions_of_columns(
    session: &Session,
    oids: &[Oid],
) -> Result<HashMap<Oid, String>> {
    if oids.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "SELECT ad.oid, pg_catalog.pg_get_expr(ad.adbin, ad.adrelid) AS expression \
               FROM pg_catalog.pg_attrdef ad WHERE ad.oid = ANY ($1)";
    let expressions = read_all_with(session, "expressions", sql, &[&oids], |row| {
        Ok((row.try_get("oid")?, row.try_get("expression")?))
    })
    .await?;
    let printed = (expressions.into_iter())
        .filter_map(|(oid, expression): (Oid, Option<String>)| Some((oid, expression?)));
    Ok(printed.collect())
}

impl Columns {
    fn get_mut(&mut self, relation: Oid, number: i16) -> Option<&mut Column> {
        let key = |column: &Column| (column.relation, column.attribute.number);
        let place = self.0.binary_search_by_key(&(relation, number), key).ok()?;
        Some(&mut self.0[place])
    }

    fn by_relation(self) -> Attributes {
        let mut attributes = Attributes::default();
        for column in self.0 {
            let relations = match column.is_beside {
                true => &mut attributes.granted_beside,
                false => &mut attributes.by_relation,
            };
            let of_relation = relations.entry(column.relation).or_default();
            of_relation.push(Arc::new(column.attribute));
        }
        attributes
    }
}

fn query(server: ServerVersion) -> String {
    let generated = since(server, 12, "a.attgenerated", "''::\"char\"");
    let compression = since(server, 14, "a.attcompression", "''::\"char\"");
    // LATERAL with OFFSET: looked up by an index for each identity column, and never without one; pg_depend is large.
    let unnamed_not_null = since(server, 18, "false", "a.attnotnull");
    let first = first_users_oid();
    format!(
        "SELECT a.attrelid, a.attnum, a.attnum < 0 OR c.relkind = 'S' AS is_beside, a.atttypid, a.attcollation, a.attname, \
           pg_catalog.format_type(a.atttypid, a.atttypmod) AS type_name, \
           cn.nspname AS collation_schema, co.collname AS collation_name, \
           a.attislocal, {unnamed_not_null} AS attnotnull, \
           {generated} AS attgenerated, a.attidentity, \
           a.attstorage, a.attstorage <> t.typstorage AS has_own_storage, \
           {compression} AS attcompression, \
           NULLIF(a.attstattarget::int4, -1) AS attstattarget, a.attoptions, \
           a.attfdwoptions AS foreign_options, d.description AS comment, \
           a.attacl::text[] AS acl, CASE WHEN a.attacl IS NOT NULL THEN ARRAY[]::text[] END AS acl_default, \
           identity.* \
         FROM pg_catalog.pg_attribute a \
         JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
         JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_catalog.pg_collation co \
           ON co.oid = a.attcollation AND a.attcollation <> t.typcollation \
         LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace \
         LEFT JOIN pg_catalog.pg_description d ON d.objoid = a.attrelid \
           AND d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objsubid = a.attnum \
         LEFT JOIN LATERAL (SELECT sc.oid AS sequence_oid, sn.nspname AS sequence_schema, \
             sc.relname AS sequence_name, sc.relpersistence = 'u' AS sequence_unlogged, \
             pg_catalog.format_type(sq.seqtypid, NULL) AS seqtype, sq.seqstart, sq.seqincrement, \
             sq.seqmin, sq.seqmax, sq.seqcache, sq.seqcycle \
           FROM pg_catalog.pg_depend sd \
           JOIN pg_catalog.pg_sequence sq ON sq.seqrelid = sd.objid \
           JOIN pg_catalog.pg_class sc ON sc.oid = sq.seqrelid \
           JOIN pg_catalog.pg_namespace sn ON sn.oid = sc.relnamespace \
           WHERE a.attidentity <> '' AND sd.refobjid = a.attrelid AND sd.refobjsubid = a.attnum \
           AND sd.deptype = 'i' AND sd.objsubid = 0 \
           AND sd.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
           AND sd.classid = 'pg_catalog.pg_class'::pg_catalog.regclass OFFSET 0) identity ON true \
         WHERE (a.attnum > 0 OR a.attacl IS NOT NULL) AND NOT a.attisdropped AND c.oid >= {first} \
           AND (c.relkind IN ('r', 'p', 'f', 'v', 'm') OR c.relkind = 'S' AND a.attacl IS NOT NULL) \
         ORDER BY a.attrelid, a.attnum"
    )
}

fn from_row(row: &Row) -> Result<Column, RowError> {
    let name: String = row.try_get("attname")?;
    let collation: Option<String> = row.try_get("collation_name")?;
    let relation = row.try_get("attrelid")?;
    let expression_kind = expression_kind_from_row(row, &name)?;
    let attribute = Attribute {
        number: row.try_get("attnum")?,
        type_oid: row.try_get("atttypid")?,
        collation_oid: row.try_get("attcollation")?,
        type_name: row.try_get("type_name")?,
        collation: match collation {
            Some(collation) => Some(quote::qualified(
                row.try_get("collation_schema")?,
                &collation,
            )),
            None => None,
        },
        is_local: row.try_get("attislocal")?,
        not_null: match row.try_get("attnotnull")? {
            true => Some(NotNull::Unnamed),
            false => None,
        },
        default: None,
        is_identity_always: row.try_get_letter("attidentity")? == Some('a'),
        identity: identity_from_row(row, &name)?,
        storage: row.try_get_letter("attstorage")?,
        has_own_storage: row.try_get("has_own_storage")?,
        compression: row.try_get_letter("attcompression")?,
        statistics: row.try_get("attstattarget")?,
        options: row
            .try_get::<_, Option<Vec<String>>>("attoptions")?
            .unwrap_or_default()
            .into_iter()
            .filter(|option| !is_attribute_version(option))
            .collect(),
        foreign_options: row
            .try_get::<_, Option<Vec<String>>>("foreign_options")?
            .unwrap_or_default(),
        comment: row.try_get("comment")?,
        acl: Acl::from_row(row)?,
        name,
    };
    Ok(Column {
        relation,
        is_beside: row.try_get("is_beside")?,
        attribute,
        expression_kind,
    })
}

fn not_null_from_row(row: &Row) -> Result<Addition<NotNull>, RowError> {
    let constraint = NotNull::Constraint {
        oid: row.try_get("oid")?,
        name: row.try_get("conname")?,
        is_local: row.try_get("conislocal")?,
        no_inherit: row.try_get("connoinherit")?,
        comment: row.try_get("description")?,
    };
    addition_from_row(row, constraint)
}

fn expression_kind_from_row(row: &Row, name: &str) -> Result<ExpressionKind, RowError> {
    Ok(match row.try_get_letter("attgenerated")? {
        None => ExpressionKind::Default,
        Some('s') => ExpressionKind::Stored,
        Some('v') => ExpressionKind::Virtual,
        Some(other) => return Err(unexpected(name, "attgenerated", &other.to_string()).into()),
    })
}

fn identity_from_row(row: &Row, name: &str) -> Result<Option<Box<Identity>>, RowError> {
    let always = match row.try_get_letter("attidentity")? {
        None => return Ok(None),
        Some('a') => true,
        Some('d') => false,
        Some(other) => return Err(unexpected(name, "attidentity", &other.to_string()).into()),
    };
    if row.try_get::<_, Option<Oid>>("sequence_oid")?.is_none() {
        return Ok(None);
    }
    Ok(Some(Box::new(Identity {
        always,
        sequence: RelationName::from_row(row, "sequence")?,
        is_unlogged: row.try_get("sequence_unlogged")?,
        options: SequenceOptions::from_row(row)?,
    })))
}

impl Attribute {
    /// `pglz` or `lz4`, unless it is the default.
    pub(super) fn compression_method(&self) -> Option<&'static str> {
        match self.compression {
            Some('p') => Some("pglz"),
            Some('l') => Some("lz4"),
            _ => None,
        }
    }

    /// ALTER TABLE ONLY for how it is compressed; not for foreign tables. `inherited` as for [`Attribute::render_settings`].
    pub(super) fn render_compression(
        &self,
        alter_table: &str,
        inherited: Option<&Attribute>,
    ) -> Option<String> {
        let before = inherited.and_then(|parent| parent.compression);
        (before != self.compression).then(|| {
            let column = quote::ident(&self.name);
            let method = self.compression_method().unwrap_or("default");
            format!("{alter_table} ALTER COLUMN {column} SET COMPRESSION {method};")
        })
    }

    /// ALTER TABLE ONLY for what else CREATE TABLE has no words for in every supported version. `inherited` is
    /// the same column of a parent from which a new child would have taken storage and compression.
    pub(super) fn render_settings(
        &self,
        alter_table: &str,
        inherited: Option<&Attribute>,
    ) -> Vec<String> {
        let column = format!("{alter_table} ALTER COLUMN {}", quote::ident(&self.name));
        let mut out = Vec::new();
        let storage_differs = match inherited {
            Some(parent) => parent.storage != self.storage,
            None => self.has_own_storage,
        };
        if storage_differs {
            let word = match self.storage {
                Some('p') => "PLAIN",
                Some('e') => "EXTERNAL",
                Some('m') => "MAIN",
                _ => "EXTENDED",
            };
            out.push(format!("{column} SET STORAGE {word};"));
        }
        if let Some(target) = self.statistics {
            out.push(format!("{column} SET STATISTICS {target};"));
        }
        if !self.options.is_empty() {
            let options = super::relation::render_reloptions(&self.options, "").join(", ");
            out.push(format!("{column} SET ({options});"));
        }
        if !self.foreign_options.is_empty() {
            let options = super::named::options_clause(&self.foreign_options);
            out.push(format!("{column}{options};"));
        }
        out
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A plain column for tests of the kinds that have columns.
    pub(in crate::objects) fn column(name: &str, type_name: &str) -> Attribute {
        Attribute {
            number: 1,
            type_oid: Oid(25),
            collation_oid: Oid(0),
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            collation: None,
            is_local: true,
            not_null: None,
            default: None,
            is_identity_always: false,
            identity: None,
            storage: Some('x'),
            has_own_storage: false,
            compression: None,
            statistics: None,
            options: Vec::new(),
            foreign_options: Vec::new(),
            comment: None,
            acl: Acl::default(),
        }
    }

    #[test]
    fn settings_are_printed_only_where_they_differ() {
        let mut text = column("a", "text");
        assert!(text.render_settings("ALTER TABLE ONLY t", None).is_empty());
        text.storage = Some('e');
        text.has_own_storage = true;
        text.compression = Some('l');
        text.statistics = Some(500);
        text.options = vec!["n_distinct=-0.5".to_owned()];
        assert_eq!(
            text.render_settings("ALTER TABLE ONLY t", None),
            [
                "ALTER TABLE ONLY t ALTER COLUMN \"a\" SET STORAGE EXTERNAL;",
                "ALTER TABLE ONLY t ALTER COLUMN \"a\" SET STATISTICS 500;",
                "ALTER TABLE ONLY t ALTER COLUMN \"a\" SET (\"n_distinct\"='-0.5');",
            ]
        );
        assert_eq!(
            text.render_compression("ALTER TABLE ONLY t", None),
            Some("ALTER TABLE ONLY t ALTER COLUMN \"a\" SET COMPRESSION lz4;".to_owned())
        );
    }

    #[test]
    fn a_child_takes_storage_from_its_parent() {
        let mut parent = column("a", "text");
        parent.storage = Some('e');
        parent.has_own_storage = true;
        let same = parent.clone();
        assert!(
            same.render_settings("ALTER TABLE ONLY t", Some(&parent))
                .is_empty()
        );
        let child = column("a", "text");
        assert_eq!(
            child.render_settings("ALTER TABLE ONLY t", Some(&parent)),
            ["ALTER TABLE ONLY t ALTER COLUMN \"a\" SET STORAGE EXTENDED;"]
        );
    }
}
