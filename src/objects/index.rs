//! Indexes that back no constraint (`pg_index`), and what constraints' indexes have in common with them.

use super::catalog_query::{Row, RowError, read_all, since};
use super::deparsed::Deparsed;
use super::plain_definition::{Deparser, PlainIndex, define};
use super::relation::{
    IS_USER_RELATION, RelationName, render_depends_on_extensions, render_reloptions,
};
use super::{
    CatalogId, DumpObject, Kind, LockStrength, ObjectId, RenderContext, RenderOptions, Rendered,
    Section, quote,
};
use crate::Result;
use crate::conn::{ServerVersion, Session};

/// An index that backs no constraint.
#[derive(Clone, Debug)]
pub struct Index {
    index: IndexRelation,
    /// As `pg_get_indexdef` prints it: without tablespace.
    definition: String,
    /// What follows WHERE, if it is a partial index.
    predicate: Option<String>,
    /// An invalid index (a failed CREATE INDEX CONCURRENTLY) is as good as none; one of a partitioned
    /// table only waits for its partitions' indexes.
    is_usable: bool,
    is_attached: bool,
}

/// An index as a relation, whether it backs a constraint or not.
#[derive(Clone, Debug)]
pub(super) struct IndexRelation {
    pub(super) name: RelationName,
    pub(super) table: RelationName,
    pub(super) owner: String,
    pub(super) tablespace: Option<String>,
    /// Storage parameters, `name=value`.
    pub(super) reloptions: Vec<String>,
    is_clustered: bool,
    is_replica_identity: bool,
    /// Column number and statistics target of expressions that have one.
    statistics: Vec<(i16, i32)>,
    comment: Option<String>,
    /// ALTER INDEX ... DEPENDS ON EXTENSION.
    extensions: Vec<String>,
}

impl IndexRelation {
    /// Forgets its tablespace if that is not wanted.
    pub(super) fn simplify(&mut self, options: &RenderOptions) {
        if options.no_tablespaces {
            self.tablespace = None;
        }
    }

    /// Columns for a query in which `ic` is the index, `i` its `pg_index` row, `c` the table and `n` its
    /// namespace, which is the index's too. Only expressions have statistics targets (10 takes one for any column, and heeds it for none).
    pub(super) const COLUMNS: &str = "ic.oid AS index_oid, n.nspname AS index_schema, ic.relname AS index_name, \
         c.oid AS table_oid, n.nspname AS table_schema, c.relname AS table_name, \
         pg_catalog.pg_get_userbyid(c.relowner) AS owner, its_tablespace.spcname AS tablespace, \
         ic.reloptions, i.indisclustered, i.indisreplident, \
         CASE WHEN i.indexprs IS NOT NULL THEN ARRAY(SELECT a.attnum FROM pg_catalog.pg_attribute a \
           WHERE a.attrelid = ic.oid AND a.attstattarget >= 0 AND i.indkey[a.attnum - 1] = 0 \
           ORDER BY a.attnum) END AS statistics_columns, \
         CASE WHEN i.indexprs IS NOT NULL THEN ARRAY(SELECT a.attstattarget::int4 FROM pg_catalog.pg_attribute a \
           WHERE a.attrelid = ic.oid AND a.attstattarget >= 0 AND i.indkey[a.attnum - 1] = 0 \
           ORDER BY a.attnum) END AS statistics_targets, \
         its_comment.description AS index_comment, its_extensions.names AS index_extensions";

    /// What [`IndexRelation::COLUMNS`] need to be joined.
    pub(super) const JOINS: &str = "\
         LEFT JOIN pg_catalog.pg_tablespace its_tablespace ON its_tablespace.oid = ic.reltablespace \
         LEFT JOIN pg_catalog.pg_description its_comment ON its_comment.objoid = ic.oid \
           AND its_comment.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND its_comment.objsubid = 0 \
         LEFT JOIN (SELECT xd.objid, pg_catalog.array_agg(e.extname::text ORDER BY e.extname) AS names \
           FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_depend xd ON xd.refobjid = e.oid \
           WHERE xd.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND xd.deptype = 'x' \
             AND xd.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
           GROUP BY xd.objid) its_extensions ON its_extensions.objid = ic.oid";

    pub(super) fn from_row(row: &Row) -> Result<Self, RowError> {
        Ok(IndexRelation {
            name: RelationName::from_row(row, "index")?,
            table: RelationName::from_row(row, "table")?,
            owner: row.try_get("owner")?,
            tablespace: row.try_get("tablespace")?,
            reloptions: row
                .try_get::<_, Option<Vec<String>>>("reloptions")?
                .unwrap_or_default(),
            is_clustered: row.try_get("indisclustered")?,
            is_replica_identity: row.try_get("indisreplident")?,
            statistics: statistics_from_row(row)?,
            comment: row.try_get("index_comment")?,
            extensions: row
                .try_get::<_, Option<Vec<String>>>("index_extensions")?
                .unwrap_or_default(),
        })
    }

    /// What follows once the index is there.
    pub(super) fn render_settings(&self, server: ServerVersion) -> Vec<String> {
        let mut out = Vec::new();
        let index = self.name.sql();
        for (column, target) in &self.statistics {
            out.push(self.render_set_statistics(*column, *target, server));
        }
        if self.is_clustered {
            out.push(format!(
                "ALTER TABLE {} CLUSTER ON {};",
                self.table.sql(),
                quote::ident(&self.name.name)
            ));
        }
        if self.is_replica_identity {
            out.push(format!(
                "ALTER TABLE ONLY {} REPLICA IDENTITY USING INDEX {};",
                self.table.sql(),
                quote::ident(&self.name.name)
            ));
        }
        out.extend(render_depends_on_extensions(
            &format!("INDEX {index}"),
            &self.extensions,
        ));
        out
    }

    /// 10 takes no numbers, but names, which the server gives to expressions and which may have changed since.
    fn render_set_statistics(&self, column: i16, target: i32, server: ServerVersion) -> String {
        let index = self.name.sql();
        if server >= ServerVersion::major(11) {
            return format!("ALTER INDEX {index} ALTER COLUMN {column} SET STATISTICS {target};");
        }
        let alter = quote::literal(&format!("ALTER TABLE {index} ALTER COLUMN "));
        let set = quote::literal(&format!(" SET STATISTICS {target}"));
        quote::do_block(&format!(
            "EXECUTE (SELECT {alter} || pg_catalog.quote_ident(a.attname) || {set} FROM pg_catalog.pg_attribute a \
             WHERE a.attrelid = {}::pg_catalog.regclass AND a.attnum = {column});",
            quote::literal(&index)
        ))
    }

    pub(super) fn render_comment(&self) -> Option<String> {
        let comment = self.comment.as_ref()?;
        Some(quote::comment_on(
            &format!("INDEX {}", self.name.sql()),
            comment,
        ))
    }

    /// Storage parameters of an index that was made with others.
    pub(super) fn render_reloptions_unlike(&self, made_with: &[String]) -> Vec<String> {
        let own = render_reloptions(&self.reloptions, "").join(", ");
        let made_with = render_reloptions(made_with, "").join(", ");
        render_parameters_unlike(&self.name.sql(), &own, &made_with)
    }

    /// Moves an index that was made in another tablespace. That of the database has no name that would hold elsewhere.
    pub(super) fn render_tablespace_unlike(&self, made_in: Option<&str>) -> Option<String> {
        match &self.tablespace {
            own if own.as_deref() == made_in => None,
            Some(own) => Some(self.render_set_tablespace(own)),
            None => Some(quote::do_block(&format!(
                "EXECUTE {} || (SELECT pg_catalog.quote_ident(t.spcname) FROM pg_catalog.pg_database d \
                 JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace \
                 WHERE d.datname = pg_catalog.current_database());",
                quote::literal(&format!("ALTER INDEX {} SET TABLESPACE ", self.name.sql()))
            ))),
        }
    }

    /// Moves the index to its tablespace, where its definition has no place to say so.
    pub(super) fn render_set_tablespace(&self, tablespace: &str) -> String {
        format!(
            "ALTER INDEX {} SET TABLESPACE {};",
            self.name.sql(),
            quote::ident(tablespace)
        )
    }
}

fn statistics_from_row(row: &Row) -> Result<Vec<(i16, i32)>, RowError> {
    let columns: Option<Vec<i16>> = row.try_get("statistics_columns")?;
    let targets: Option<Vec<i32>> = row.try_get("statistics_targets")?;
    let (columns, targets) = (columns.unwrap_or_default(), targets.unwrap_or_default());
    Ok(columns.into_iter().zip(targets).collect())
}

pub(crate) async fn read(session: &Session, deparser: &Deparser) -> Result<Vec<Index>> {
    let sql = query(session.version(), deparser.deparsed());
    let drafts = read_all(session, "indexes", &sql, |row| from_row(row, deparser)).await?;
    let oid = |index: &Index| index.index.name.oid;
    define(session, "pg_get_indexdef", drafts, oid, |index| {
        &mut index.definition
    })
    .await
}

/// An index still without its definition, and this if the index is plain.
fn from_row(row: &Row, deparser: &Deparser) -> Result<(Index, Option<String>), RowError> {
    let index = Index {
        index: IndexRelation::from_row(row)?,
        definition: String::new(),
        predicate: row.try_get("predicate")?,
        is_usable: row.try_get("is_usable")?,
        is_attached: row.try_get("is_attached")?,
    };
    if !deparser.deparsed().includes(index.index.table.oid) {
        return Ok((index, Some(String::new())));
    }
    if !row.try_get("is_plain")? {
        return Ok((index, None));
    }
    let plain = PlainIndex {
        access_method: row.try_get("amname")?,
        is_unique: row.try_get("indisunique")?,
        columns: row.try_get("columns")?,
        opclasses: row.try_get("opclasses")?,
        collations: row.try_get("collations")?,
    };
    let definition = deparser.index(&index.index.name, &index.index.table, &plain);
    Ok((index, definition))
}

fn query(server: ServerVersion, deparsed: &Deparsed) -> String {
    // Indexes have had parents since 11.
    let is_attached = if server >= ServerVersion::major(11) {
        "ic.relispartition"
    } else {
        "false"
    };
    // INCLUDE came with 11, NULLS NOT DISTINCT with 15.
    let has_keys_only = since(server, 11, "i.indnkeyatts = i.indnatts", "true");
    let nulls_are_distinct = since(server, 15, "NOT i.indnullsnotdistinct", "true");
    format!(
        "SELECT {columns}, {predicate} AS predicate, \
           c.relkind = 'p' OR (i.indisvalid AND i.indisready) AS is_usable, \
           {is_attached} AS is_attached, \
           ic.relkind = 'i' AND i.indexprs IS NULL AND i.indpred IS NULL AND ic.reloptions IS NULL \
             AND {has_keys_only} AND {nulls_are_distinct} \
             AND 0 = ALL (i.indoption::pg_catalog.int2[]) AS is_plain, \
           am.amname, i.indisunique, i.indkey::pg_catalog.int2[] AS columns, \
           i.indclass::pg_catalog.oid[] AS opclasses, i.indcollation::pg_catalog.oid[] AS collations \
         FROM pg_catalog.pg_index i \
         JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid \
         JOIN pg_catalog.pg_am am ON am.oid = ic.relam \
         JOIN pg_catalog.pg_class c ON c.oid = i.indrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         {joins} \
         WHERE {IS_USER_RELATION} \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint co WHERE co.conindid = ic.oid \
             AND co.conrelid = c.oid AND co.contype IN ('p', 'u', 'x')) \
         ORDER BY n.nspname, c.relname, ic.relname",
        columns = IndexRelation::COLUMNS,
        predicate = deparsed.of_relation("c.oid", "pg_catalog.pg_get_expr(i.indpred, i.indrelid)"),
        joins = IndexRelation::JOINS,
    )
}

impl Index {
    /// Forgets its tablespace if that is not wanted.
    pub(super) fn simplify(&mut self, options: &RenderOptions) {
        self.index.simplify(options);
    }

    fn render_create(&self, server: ServerVersion) -> Vec<String> {
        let mut out = Vec::new();
        match &self.index.tablespace {
            None => out.push(format!("{};", self.definition)),
            Some(tablespace) => {
                match with_tablespace(&self.definition, self.predicate.as_deref(), tablespace) {
                    Some(definition) => out.push(format!("{definition};")),
                    None => {
                        out.push(format!("{};", self.definition));
                        out.push(self.index.render_set_tablespace(tablespace));
                    }
                }
            }
        }
        out.extend(self.index.render_settings(server));
        out
    }
}

/// The definition with a TABLESPACE clause, which stands before WHERE.
fn with_tablespace(definition: &str, predicate: Option<&str>, tablespace: &str) -> Option<String> {
    let clause = format!(" TABLESPACE {}", quote::ident(tablespace));
    let Some(predicate) = predicate else {
        return Some(format!("{definition}{clause}"));
    };
    let condition = format!(" WHERE {predicate}");
    let head = definition.strip_suffix(&condition)?;
    Some(format!("{head}{clause}{condition}"))
}

/// Gives an index its own storage parameters, `name='value', ...`, in place of those it was made with.
pub(crate) fn render_parameters_unlike(index: &str, own: &str, made_with: &str) -> Vec<String> {
    if own == made_with {
        return Vec::new();
    }
    let names = |parameters: &str| -> Vec<String> {
        let given = parameters.split(", ").filter(|it| !it.is_empty());
        let name = |it: &str| it.split('=').next().unwrap_or_default().to_owned();
        given.map(name).collect()
    };
    let own_names = names(own);
    let mut others = names(made_with);
    others.retain(|name| !own_names.contains(name));
    let reset =
        (!others.is_empty()).then(|| format!("ALTER INDEX {index} RESET ({});", others.join(", ")));
    let set = (!own.is_empty()).then(|| format!("ALTER INDEX {index} SET ({own});"));
    reset.into_iter().chain(set).collect()
}

impl DumpObject for Index {
    fn kind(&self) -> Kind {
        Kind::Index
    }

    fn id(&self) -> ObjectId {
        self.index.name.id()
    }

    fn claims(&self) -> Vec<CatalogId> {
        vec![self.id().catalog]
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.index.name.schema)
    }

    fn tag(&self) -> String {
        self.index.name.name.clone()
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.index.owner)
    }

    fn section(&self) -> Section {
        Section::PostData
    }

    fn extra_dependencies(&self) -> Vec<ObjectId> {
        vec![self.index.table.id()]
    }

    fn relation(&self) -> Option<ObjectId> {
        Some(self.index.table.id())
    }

    fn locks(&self) -> Vec<(ObjectId, LockStrength)> {
        // What goes beyond CREATE INDEX alters the table.
        let strength = if self.index.is_clustered || self.index.is_replica_identity {
            LockStrength::Exclusive
        } else {
            LockStrength::Shared
        };
        vec![(self.index.table.id(), strength)]
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        if !self.is_usable {
            return Rendered::default();
        }
        Rendered {
            create: self.render_create(context.server),
            // An attached index goes when its parent's goes.
            drop: (!self.is_attached)
                .then(|| format!("DROP INDEX IF EXISTS {};", self.index.name.sql())),
            comments: self.index.render_comment().into_iter().collect(),
            ..Rendered::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tablespace_stands_before_the_condition() {
        assert_eq!(
            with_tablespace("CREATE INDEX i ON s.t USING btree (a)", None, "fast").as_deref(),
            Some("CREATE INDEX i ON s.t USING btree (a) TABLESPACE \"fast\"")
        );
        assert_eq!(
            with_tablespace(
                "CREATE INDEX i ON s.t USING btree (a) WHERE (b = ' WHERE '::text)",
                Some("(b = ' WHERE '::text)"),
                "fast"
            )
            .as_deref(),
            Some(
                "CREATE INDEX i ON s.t USING btree (a) TABLESPACE \"fast\" WHERE (b = ' WHERE '::text)"
            )
        );
    }
}
