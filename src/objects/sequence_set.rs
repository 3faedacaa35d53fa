//! The value of a sequence: `setval`. Not under the snapshot: sequences are not transactional.

use super::catalog_query::{Row, RowError, read_all};
use super::plain_definition::Deparser;
use super::relation::{IS_USER_RELATION, RelationName};
use super::{
    CatalogId, DumpObject, Kind, LockStrength, ObjectId, Oid, Part, RenderContext, Rendered,
    Section, catalog, quote,
};
use crate::conn::{ServerVersion, Session};
use crate::{Error, ErrorKind, Result};

/// Sequences per statement where each must be read by name. 3 000 of them on 15, on one machine:
///
/// | per statement | 10 | 30 | 100 | 300 |
/// |---|---|---|---|---|
/// | seconds | 0.52 | 0.38 | 0.39 | 0.52 |
const SEQUENCES_PER_QUERY: usize = 100;

/// Where a sequence stands.
#[derive(Clone, Debug)]
pub struct SequenceSet {
    sequence: RelationName,
    owner: String,
    /// Of configuration sequences of extensions: the extension.
    pub(crate) extension: Option<Oid>,
    /// Its value is lost in a crash, and is not on standbys.
    pub(crate) is_unlogged: bool,
    /// Last value, and whether it was given out. `None` if there is none that we may read.
    value: Option<(i64, bool)>,
}

pub(crate) async fn read(session: &Session, deparser: &Deparser) -> Result<Vec<SequenceSet>> {
    let is_wanted = deparser.deparsed().is_wanted("c.oid");
    // Since 18 one function reads any sequence; before, each is a relation of its own.
    if session.version() >= ServerVersion::major(18) {
        let sql = sequences_query(
            "value.last_value, value.is_called",
            &format!(
                "LEFT JOIN LATERAL pg_catalog.pg_get_sequence_data( \
                   CASE WHEN config.extension IS NOT NULL OR {is_wanted} THEN c.oid END) value ON true"
            ),
            &is_wanted,
        );
        return read_all(session, "values of sequences", &sql, |row| {
            let last_value: Option<i64> = row.try_get("last_value")?;
            let is_called: Option<bool> = row.try_get("is_called")?;
            Ok(SequenceSet {
                value: last_value.zip(is_called),
                ..from_row(row)?
            })
        })
        .await;
    }
    let sql = sequences_query(IS_READABLE, "", &is_wanted);
    let sets = read_all(session, "sequences", &sql, |row| {
        Ok((row.try_get::<_, bool>("is_readable")?, from_row(row)?))
    });
    let (readable, others): (Vec<_>, Vec<_>) = (sets.await?.into_iter()).partition(|set| set.0);
    let mut sets: Vec<SequenceSet> = readable.into_iter().map(|set| set.1).collect();
    for batch in sets.chunks_mut(SEQUENCES_PER_QUERY) {
        let sql = values_query(batch);
        // Locks on them all would be held to the end.
        run(session, "SAVEPOINT unlocked").await?;
        let values = read_all(session, "values of sequences", &sql, |row| {
            Ok((row.try_get("last_value")?, row.try_get("is_called")?))
        })
        .await?;
        run(
            session,
            "ROLLBACK TO SAVEPOINT unlocked; RELEASE SAVEPOINT unlocked",
        )
        .await?;
        for (set, value) in batch.iter_mut().zip(values) {
            set.value = Some(value);
        }
    }
    sets.extend(others.into_iter().map(|set| set.1));
    Ok(sets)
}

const IS_READABLE: &str = "COALESCE(pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
     AND pg_catalog.has_sequence_privilege(c.oid, 'SELECT') \
     AND NOT (c.relpersistence = 'u' AND pg_catalog.pg_is_in_recovery()), false) AS is_readable";

async fn run(session: &Session, sql: &str) -> Result<()> {
    session.batch_execute(sql).await.map_err(|e| {
        let what = "could not read values of sequences from the system catalogs";
        Error::from_server(ErrorKind::Catalog, what, e)
    })
}

fn sequences_query(columns: &str, joins: &str, is_wanted: &str) -> String {
    format!(
        "SELECT c.oid AS sequence_oid, n.nspname AS sequence_schema, c.relname AS sequence_name, \
           pg_catalog.pg_get_userbyid(c.relowner) AS owner, \
           config.extension, c.relpersistence = 'u' AS is_unlogged, \
           {columns} \
         FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN (SELECT e.oid AS extension, pg_catalog.unnest(e.extconfig) AS relation \
             FROM pg_catalog.pg_extension e) config ON config.relation = c.oid \
         {joins} \
         WHERE c.relkind = 'S' AND (config.extension IS NOT NULL OR ({IS_USER_RELATION} AND {is_wanted})) \
         ORDER BY n.nspname, c.relname"
    )
}

/// One row per sequence, in this order.
fn values_query(sets: &[SequenceSet]) -> String {
    let selects: Vec<String> = sets
        .iter()
        .enumerate()
        .map(|(number, set)| {
            format!(
                "SELECT {number} AS number, last_value, is_called FROM {}",
                set.sequence.sql()
            )
        })
        .collect();
    format!("{} ORDER BY number", selects.join(" UNION ALL "))
}

fn from_row(row: &Row) -> Result<SequenceSet, RowError> {
    Ok(SequenceSet {
        sequence: RelationName::from_row(row, "sequence")?,
        owner: row.try_get("owner")?,
        extension: row.try_get("extension")?,
        is_unlogged: row.try_get("is_unlogged")?,
        value: None,
    })
}

impl SequenceSet {
    /// Whoever wants the value must be able to read it.
    ///
    /// # Errors
    /// `Catalog`, naming the sequence.
    pub(crate) fn expect_value(&self) -> Result<()> {
        if self.value.is_some() {
            return Ok(());
        }
        let name = quote::one_line(&self.sequence.sql()).into_owned();
        Err(Error::new(
            ErrorKind::Catalog,
            format!("could not read sequence {name}"),
        )
        .hint("Has this role SELECT on the sequence?"))
    }
}

impl DumpObject for SequenceSet {
    fn kind(&self) -> Kind {
        Kind::SequenceSet
    }

    fn id(&self) -> ObjectId {
        self.sequence.id().with_part(Part::Data)
    }

    fn claims(&self) -> Vec<CatalogId> {
        Vec::new()
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.sequence.schema)
    }

    fn tag(&self) -> String {
        self.sequence.name.clone()
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
            None => self.sequence.id(),
        }]
    }

    fn relation(&self) -> Option<ObjectId> {
        Some(self.sequence.id())
    }

    fn locks(&self) -> Vec<(ObjectId, LockStrength)> {
        vec![(self.sequence.id(), LockStrength::Exclusive)]
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        Rendered {
            create: Vec::from_iter(self.value.map(|(last_value, is_called)| {
                format!(
                    "SELECT pg_catalog.setval({}, {last_value}, {is_called});",
                    quote::literal(&self.sequence.sql()),
                )
            })),
            ..Rendered::default()
        }
    }
}
