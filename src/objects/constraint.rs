//! PRIMARY KEY, UNIQUE and EXCLUDE constraints (`pg_constraint`) with the index behind each.

use super::catalog_query::{Row, RowError, comment_join, read_all, since};
use super::index::IndexRelation;
use super::plain_definition::{Deparser, define};
use super::relation::{IS_USER_RELATION, render_reloptions};
use super::{
    CatalogId, DumpObject, Kind, LockStrength, ObjectId, Oid, RenderContext, RenderOptions,
    Rendered, Section, catalog, quote,
};
use crate::Result;
use crate::conn::{ServerVersion, Session};

/// A constraint that an index upholds.
#[derive(Clone, Debug)]
pub struct Constraint {
    oid: Oid,
    name: String,
    index: IndexRelation,
    /// As `pg_get_constraintdef` prints it.
    definition: String,
    is_exclusion: bool,
    deferral: Deferral,
    /// Whether it is part of a partitioned table's constraint.
    is_attached: bool,
    /// Whether its table is partitioned or a partition.
    is_of_partitions: bool,
    /// How it and the constraints of partitions come together.
    making: Making,
    comment: Option<String>,
    /// The triggers that check it later, if it is deferrable.
    triggers: Vec<Oid>,
}

/// How a constraint and those of its table's partitions are made. The server attaches no index behind EXCLUDE or WITHOUT
/// OVERLAPS to another one (`CompareIndexInfo` in `catalog/index.c`): there only the partitioned table can make its
/// partitions' constraints, under names of the server's choice.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Making {
    /// By itself. Partitions' constraints are attached later.
    ByItself,
    /// Together with those of all partitions.
    WithPartitions,
    /// With that of the partitioned table.
    ByParent(ParentConstraint),
}

/// A constraint of a partitioned table, as far as its partitions' come by it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ParentConstraint {
    oid: Oid,
    name: String,
    /// Its index's: partitions' indexes are made alike.
    reloptions: Vec<String>,
    tablespace: Option<String>,
}

/// When a constraint is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deferral {
    NotDeferrable,
    Deferrable,
    InitiallyDeferred,
}

impl Deferral {
    /// The end of what `pg_get_constraintdef` prints.
    fn suffix(self) -> &'static str {
        match self {
            Deferral::NotDeferrable => "",
            Deferral::Deferrable => " DEFERRABLE",
            Deferral::InitiallyDeferred => " DEFERRABLE INITIALLY DEFERRED",
        }
    }
}

pub(crate) async fn read(session: &Session, deparser: &Deparser) -> Result<Vec<Constraint>> {
    let sql = query(session.version());
    let from_row = |row: &Row| from_row(row, deparser);
    let drafts = read_all(session, "constraints", &sql, from_row).await?;
    let oid = |constraint: &Constraint| constraint.oid;
    define(session, "pg_get_constraintdef", drafts, oid, |constraint| {
        &mut constraint.definition
    })
    .await
}

/// A constraint still without its definition, and this if it is plain.
fn from_row(row: &Row, deparser: &Deparser) -> Result<(Constraint, Option<String>), RowError> {
    let deferrable: bool = row.try_get("condeferrable")?;
    let deferred: bool = row.try_get("condeferred")?;
    let constraint = Constraint {
        oid: row.try_get("oid")?,
        name: row.try_get("conname")?,
        index: IndexRelation::from_row(row)?,
        definition: String::new(),
        is_exclusion: row.try_get("is_exclusion")?,
        deferral: match (deferrable, deferred) {
            (false, _) => Deferral::NotDeferrable,
            (true, false) => Deferral::Deferrable,
            (true, true) => Deferral::InitiallyDeferred,
        },
        is_attached: row.try_get("is_attached")?,
        is_of_partitions: row.try_get("is_of_partitions")?,
        making: making(row)?,
        comment: row.try_get("comment")?,
        triggers: row
            .try_get::<_, Option<Vec<Oid>>>("triggers")?
            .unwrap_or_default(),
    };
    if !deparser.deparsed().includes(constraint.index.table.oid) {
        return Ok((constraint, Some(String::new())));
    }
    let definition = match row.try_get("plain_words")? {
        Some(words) => {
            let columns: Vec<i16> = row.try_get("columns")?;
            plain_definition(&constraint, words, &columns, deparser)
        }
        None => None,
    };
    Ok((constraint, definition))
}

fn making(row: &Row) -> Result<Making, RowError> {
    let is_attachable = !row.try_get::<_, bool>("is_without_attachment")?;
    Ok(match row.try_get::<_, Option<Oid>>("parent")? {
        _ if is_attachable => Making::ByItself,
        Some(oid) => Making::ByParent(ParentConstraint {
            oid,
            name: row.try_get("parent_name")?,
            reloptions: row
                .try_get::<_, Option<Vec<String>>>("parent_reloptions")?
                .unwrap_or_default(),
            tablespace: row.try_get("parent_tablespace")?,
        }),
        None if row.try_get("is_valid_parent")? => Making::WithPartitions,
        None => Making::ByItself,
    })
}

/// `PRIMARY KEY (a, b)`, as `pg_get_constraintdef` prints it.
fn plain_definition(
    constraint: &Constraint,
    words: &str,
    columns: &[i16],
    deparser: &Deparser,
) -> Option<String> {
    let columns = deparser.columns(constraint.index.table.oid, columns)?;
    Some(format!("{words} {columns}"))
}

fn query(server: ServerVersion) -> String {
    // Constraints have had parents since 11.
    let parent = since(
        server,
        11,
        "NULLIF(co.conparentid, 0)",
        "NULL::pg_catalog.oid",
    );
    // INCLUDE came with 11, NULLS NOT DISTINCT with 15, WITHOUT OVERLAPS with 18.
    let has_keys_only = since(server, 11, "i.indnkeyatts = i.indnatts", "true");
    let nulls_are_distinct = since(server, 15, "NOT i.indnullsnotdistinct", "true");
    let may_overlap = since(server, 18, "NOT co.conperiod", "true");
    format!(
        "SELECT co.oid, co.conname, co.contype = 'x' AS is_exclusion, co.condeferrable, co.condeferred, \
           {parent} IS NOT NULL AS is_attached, {parent} AS parent, \
           p.conname AS parent_name, pic.reloptions AS parent_reloptions, its_parents.spcname AS parent_tablespace, \
           i.indisexclusion AS is_without_attachment, c.relkind = 'p' AND i.indisvalid AS is_valid_parent, \
           c.relkind = 'p' OR c.relispartition AS is_of_partitions, \
           comment.description AS comment, \
           CASE WHEN co.condeferrable THEN ARRAY(SELECT t.oid FROM pg_catalog.pg_trigger t \
             WHERE t.tgrelid = co.conrelid AND t.tgconstraint = co.oid) END AS triggers, \
           CASE WHEN NOT co.condeferrable AND {has_keys_only} AND {nulls_are_distinct} AND {may_overlap} THEN \
             CASE co.contype WHEN 'p' THEN 'PRIMARY KEY' WHEN 'u' THEN 'UNIQUE' END END AS plain_words, \
           co.conkey AS columns, {columns} \
         FROM pg_catalog.pg_constraint co \
         JOIN pg_catalog.pg_class c ON c.oid = co.conrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_class ic ON ic.oid = co.conindid \
         JOIN pg_catalog.pg_index i ON i.indexrelid = ic.oid \
         LEFT JOIN pg_catalog.pg_constraint p ON p.oid = {parent} \
         LEFT JOIN pg_catalog.pg_class pic ON pic.oid = p.conindid \
         LEFT JOIN pg_catalog.pg_tablespace its_parents ON its_parents.oid = pic.reltablespace \
         {joins} {comment} \
         WHERE co.contype IN ('p', 'u', 'x') AND {IS_USER_RELATION} \
         ORDER BY n.nspname, c.relname, co.conname",
        columns = IndexRelation::COLUMNS,
        joins = IndexRelation::JOINS,
        comment = comment_join("pg_constraint", "co"),
    )
}

impl Constraint {
    /// Forgets its tablespace if that is not wanted.
    pub(super) fn simplify(&mut self, options: &RenderOptions) {
        self.index.simplify(options);
        if let Making::ByParent(parent) = &mut self.making
            && options.no_tablespaces
        {
            parent.tablespace = None;
        }
    }

    /// Whether its table can have it before its rows: partitioned tables and their partitions come together without.
    pub(crate) fn can_come_early(&self) -> bool {
        !self.is_of_partitions
    }

    fn render_create(&self, server: ServerVersion) -> Vec<String> {
        let add = |only| {
            format!(
                "ALTER TABLE {only}{} ADD CONSTRAINT {} {};",
                self.index.table.sql(),
                quote::ident(&self.name),
                self.render_definition()
            )
        };
        let mut out = vec![match &self.making {
            Making::ByItself => add("ONLY "),
            Making::WithPartitions => add(""),
            Making::ByParent(parent) => {
                let table = self.index.table.sql();
                render_find(&table, &self.name, &parent.name, &add("ONLY "))
            }
        }];
        if let Making::ByParent(parent) = &self.making {
            out.extend(self.index.render_reloptions_unlike(&parent.reloptions));
        }
        out.extend(self.index.render_tablespace_unlike(self.made_in()));
        out.extend(self.index.render_settings(server));
        out
    }

    /// The tablespace that its index is made in: that of the definition, see [`Constraint::render_definition`].
    fn made_in(&self) -> Option<&str> {
        let tablespace = match &self.making {
            Making::ByParent(parent) => &parent.tablespace,
            Making::ByItself | Making::WithPartitions => &self.index.tablespace,
        };
        tablespace.as_deref().filter(|_| !self.is_exclusion)
    }

    /// The definition with the index's parameters and tablespace, which the server leaves out of
    /// primary keys and unique constraints. They stand before DEFERRABLE. (Of exclusion constraints it
    /// leaves out the tablespace only, whose place before WHERE could be found by parsing alone.)
    fn render_definition(&self) -> String {
        let suffix = self.deferral.suffix();
        let Some(head) = self.definition.strip_suffix(suffix) else {
            return self.definition.clone();
        };
        if self.is_exclusion {
            return self.definition.clone();
        }
        let mut out = head.to_owned();
        if !self.index.reloptions.is_empty() {
            let options = render_reloptions(&self.index.reloptions, "").join(", ");
            out.push_str(&format!(" WITH ({options})"));
        }
        if let Some(tablespace) = &self.index.tablespace {
            out.push_str(&format!(
                " USING INDEX TABLESPACE {}",
                quote::ident(tablespace)
            ));
        }
        out.push_str(suffix);
        out
    }

    fn render_comments(&self) -> Vec<String> {
        let table = self.index.table.sql();
        let own = self.comment.as_ref().map(|comment| {
            let object = format!("CONSTRAINT {} ON {table}", quote::ident(&self.name));
            quote::comment_on(&object, comment)
        });
        own.into_iter().chain(self.index.render_comment()).collect()
    }
}

/// Gives the constraint that the parent's made on a table its own name. Without the parent's it is made by itself, by `add`.
pub(crate) fn render_find(table: &str, name: &str, parent: &str, add: &str) -> String {
    let rename = format!("ALTER TABLE ONLY {table} RENAME CONSTRAINT ");
    let body = format!(
        "DECLARE made pg_catalog.name; \
         BEGIN \
         SELECT k.conname INTO made FROM pg_catalog.pg_constraint AS k \
         JOIN pg_catalog.pg_constraint AS p ON p.oid = k.conparentid \
         WHERE k.conrelid = {table}::pg_catalog.regclass AND p.conname = {parent}; \
         IF made IS NULL THEN {add} \
         ELSIF made <> {name} THEN \
         EXECUTE {rename} || pg_catalog.quote_ident(made) || {to}; \
         END IF; \
         END",
        table = quote::literal(table),
        parent = quote::literal(parent),
        name = quote::literal(name),
        rename = quote::literal(&rename),
        to = quote::literal(&format!(" TO {}", quote::ident(name))),
    );
    format!("DO LANGUAGE plpgsql {};", quote::literal(&body))
}

impl DumpObject for Constraint {
    fn kind(&self) -> Kind {
        Kind::Constraint
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_CONSTRAINT, self.oid)
    }

    fn claims(&self) -> Vec<CatalogId> {
        let mut claims = vec![self.id().catalog, self.index.name.id().catalog];
        claims.extend(
            self.triggers
                .iter()
                .map(|&oid| CatalogId::new(catalog::PG_TRIGGER, oid)),
        );
        claims
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.index.table.schema)
    }

    fn tag(&self) -> String {
        format!("{} {}", self.index.table.name, self.name)
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.index.owner)
    }

    fn section(&self) -> Section {
        Section::PostData
    }

    fn extra_dependencies(&self) -> Vec<ObjectId> {
        let mut needed = vec![self.index.table.id()];
        if let Making::ByParent(parent) = &self.making {
            needed.push(ObjectId::definition(catalog::PG_CONSTRAINT, parent.oid));
        }
        needed
    }

    fn relation(&self) -> Option<ObjectId> {
        Some(self.index.table.id())
    }

    fn locks(&self) -> Vec<(ObjectId, LockStrength)> {
        vec![(self.index.table.id(), LockStrength::Exclusive)]
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        Rendered {
            create: self.render_create(context.server),
            // An attached constraint goes when its parent's goes, and not before. Without ONLY: a
            // partitioned table's constraint is dropped with its partitions' or not at all.
            drop: (!self.is_attached).then(|| {
                format!(
                    "ALTER TABLE IF EXISTS {} DROP CONSTRAINT IF EXISTS {};",
                    self.index.table.sql(),
                    quote::ident(&self.name)
                )
            }),
            comments: self.render_comments(),
            ..Rendered::default()
        }
    }
}
