//! The planner's statistics on relations and their columns (`pg_class`, the view `pg_stats`): `create --statistics`. Manual:
//! "Statistics Manipulation Functions", which servers have from 18 on; on others the statements do nothing.

use std::collections::HashMap;

use super::catalog_query::{Row, RowError, first_users_oid, read_all};
use super::relation::{IS_USER_RELATION, RelationName};
use super::{
    CatalogId, DumpObject, Kind, ObjectId, Oid, Part, RenderContext, Rendered, Section, catalog,
    quote,
};
use crate::Result;
use crate::conn::{ServerVersion, Session};

/// The statistics on a table, a materialized view or an index.
#[derive(Clone, Debug)]
pub struct RelationStatistics {
    relation: RelationName,
    /// Of an index: its table.
    table: Oid,
    owner: String,
    /// `server_version_num` of the source.
    version: u32,
    /// Name and value with its type, of the whole.
    values: Vec<(&'static str, String)>,
    columns: Vec<ColumnStatistics>,
}

/// The statistics on one column, with or without those of children.
#[derive(Clone, Debug)]
struct ColumnStatistics {
    /// `'attname', 'a'`, or `'attnum', 1` of an index, whose columns may be expressions.
    column: String,
    inherited: bool,
    values: Vec<(&'static str, String)>,
}

impl RelationStatistics {
    /// A call that does nothing where the function is not known.
    fn render_call(&self, function: &str, own: &[String], values: &[(&str, String)]) -> String {
        let mut arguments = vec![
            format!("'version', {}", self.version),
            format!("'schemaname', {}", quote::literal(&self.relation.schema)),
            format!("'relname', {}", quote::literal(&self.relation.name)),
        ];
        arguments.extend_from_slice(own);
        arguments.extend(
            values
                .iter()
                .map(|(name, value)| format!("'{name}', {value}")),
        );
        quote::do_block(&format!(
            "IF EXISTS (SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
             WHERE n.nspname = 'pg_catalog' AND p.proname = '{function}') THEN \
             PERFORM pg_catalog.{function}({}); END IF;",
            arguments.join(", ")
        ))
    }
}

impl DumpObject for RelationStatistics {
    fn kind(&self) -> Kind {
        Kind::RelationStatistics
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_CLASS, self.relation.oid).with_part(Part::Statistics)
    }

    fn claims(&self) -> Vec<CatalogId> {
        Vec::new()
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.relation.schema)
    }

    fn tag(&self) -> String {
        self.relation.name.clone()
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn section(&self) -> Section {
        Section::PostData
    }

    fn extra_dependencies(&self) -> Vec<ObjectId> {
        vec![self.relation.id()]
    }

    fn relation(&self) -> Option<ObjectId> {
        Some(ObjectId::definition(catalog::PG_CLASS, self.table))
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let of_columns = self.columns.iter().map(|column| {
            let own = [
                column.column.clone(),
                format!("'inherited', {}", column.inherited),
            ];
            self.render_call("pg_restore_attribute_stats", &own, &column.values)
        });
        Rendered {
            create: [self.render_call("pg_restore_relation_stats", &[], &self.values)]
                .into_iter()
                .chain(of_columns)
                .collect(),
            ..Rendered::default()
        }
    }
}

/// Columns of `pg_stats`, the types as which the functions want them, and the version that brought them.
const OF_COLUMNS: &[(&str, &str, u32)] = &[
    ("null_frac", "real", 10),
    ("avg_width", "integer", 10),
    ("n_distinct", "real", 10),
    ("most_common_vals", "text", 10),
    ("most_common_freqs", "real[]", 10),
    ("histogram_bounds", "text", 10),
    ("correlation", "real", 10),
    ("most_common_elems", "text", 10),
    ("most_common_elem_freqs", "real[]", 10),
    ("elem_count_histogram", "real[]", 10),
    ("range_length_histogram", "text", 17),
    ("range_empty_frac", "real", 17),
    ("range_bounds_histogram", "text", 17),
];

const OF_RELATIONS: &[(&str, &str, u32)] = &[
    ("relpages", "integer", 10),
    ("reltuples", "real", 10),
    ("relallvisible", "integer", 10),
    ("relallfrozen", "integer", 18),
];

fn columns_of(known: &[(&str, &str, u32)], alias: &str, server: ServerVersion) -> String {
    let columns =
        known.iter().map(
            |(name, _, since)| match server >= ServerVersion::major(*since) {
                // Before 14, 0 was said of what nobody had counted, too; since then that is -1.
                true if *name == "reltuples" && server < ServerVersion::major(14) => {
                    format!("COALESCE(NULLIF({alias}.{name}, 0), -1)::text AS {name}")
                }
                true => format!("{alias}.{name}::text AS {name}"),
                false => format!("NULL::text AS {name}"),
            },
        );
    columns.collect::<Vec<_>>().join(", ")
}

/// What is not NULL, with its type.
fn values(
    row: &Row,
    known: &[(&'static str, &str, u32)],
) -> Result<Vec<(&'static str, String)>, RowError> {
    let mut out = Vec::new();
    for (name, type_name, _) in known {
        let value: Option<String> = row.try_get(*name)?;
        if let Some(value) = value {
            out.push((*name, format!("{}::{type_name}", quote::literal(&value))));
        }
    }
    Ok(out)
}

pub(crate) async fn read(session: &Session) -> Result<Vec<RelationStatistics>> {
    let server = session.version();
    let relations = format!(
        "SELECT r.oid AS relation_oid, rn.nspname AS relation_schema, r.relname AS relation_name, \
         c.oid AS table_oid, pg_catalog.pg_get_userbyid(c.relowner) AS owner, {values} \
         FROM pg_catalog.pg_class r \
         JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace \
         LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = r.oid \
         JOIN pg_catalog.pg_class c ON c.oid = COALESCE(i.indrelid, r.oid) \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE r.relkind IN ('r', 'p', 'm', 'i', 'I', 'f') AND c.relkind IN ('r', 'p', 'm', 'f') \
         AND (i.indexrelid IS NULL OR r.relkind = 'I' OR (i.indisvalid AND i.indisready)) \
         AND {IS_USER_RELATION} ORDER BY rn.nspname, r.relname",
        values = columns_of(OF_RELATIONS, "r", server)
    );
    let columns = format!(
        "SELECT r.oid AS relation_oid, r.relkind IN ('i', 'I') AS is_index, a.attnum, a.attname, s.inherited, {values} \
         FROM pg_catalog.pg_stats s \
         JOIN pg_catalog.pg_namespace rn ON rn.nspname = s.schemaname \
         JOIN pg_catalog.pg_class r ON r.relnamespace = rn.oid AND r.relname = s.tablename \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attname = s.attname \
         WHERE r.oid >= {first} ORDER BY r.oid, a.attnum, s.inherited",
        first = first_users_oid(),
        values = columns_of(OF_COLUMNS, "s", server)
    );
    let mut by_relation: HashMap<Oid, Vec<ColumnStatistics>> = HashMap::new();
    let of_columns = read_all(session, "statistics on columns", &columns, |row| {
        let oid: Oid = row.try_get("relation_oid")?;
        let column = match row.try_get("is_index")? {
            true => format!("'attnum', {}::smallint", row.try_get::<_, i16>("attnum")?),
            false => format!("'attname', {}", quote::literal(row.try_get("attname")?)),
        };
        let statistics = ColumnStatistics {
            column,
            inherited: row.try_get("inherited")?,
            values: values(row, OF_COLUMNS)?,
        };
        Ok((oid, statistics))
    })
    .await?;
    for (oid, column) in of_columns {
        by_relation.entry(oid).or_default().push(column);
    }
    let mut found = read_all(session, "statistics on relations", &relations, |row| {
        Ok(RelationStatistics {
            relation: RelationName::from_row(row, "relation")?,
            table: row.try_get("table_oid")?,
            owner: row.try_get("owner")?,
            version: server.num(),
            values: values(row, OF_RELATIONS)?,
            columns: Vec::new(),
        })
    })
    .await?;
    for statistics in &mut found {
        let columns = by_relation.remove(&statistics.relation.oid);
        statistics.columns = columns.unwrap_or_default();
    }
    Ok(found)
}
