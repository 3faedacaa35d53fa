//! The value of a sequence: `setval`. Not under the snapshot: sequences are not transactional.

use std::sync::{Mutex, PoisonError};

use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use super::catalog_query::{Row, RowError, read_all};
use super::plain_definition::Deparser;
use super::relation::{IS_USER_RELATION, RelationName};
use super::{
    CatalogId, DumpObject, Kind, LockStrength, ObjectId, Oid, Part, RenderContext, Rendered,
    Section, catalog, quote,
};
use crate::conn::{ServerVersion, Session};
use crate::{Error, ErrorKind, Result};

/// Sequences per round trip where each must be read by name. Each is a statement of its own: one for a hundred sequences takes the server
/// half as long again. Their locks are held together.
const SEQUENCES_PER_BATCH: usize = 200;

/// Where a sequence stands.
#[derive(Clone, Debug)]
pub struct SequenceSet {
    sequence: RelationName,
    owner: String,
    /// Of configuration sequences of extensions: the extension.
    pub(crate) extension: Option<Oid>,
    /// Its value is lost in a crash, and is not on standbys.
    pub(crate) is_unlogged: bool,
    /// Last value, and whether it was given out. `None` if there is none that we may read, or it was not yet read.
    value: Option<(i64, bool)>,
    /// [`read_values`] is to read the value.
    is_unread: bool,
}

/// The sequences; since 18 with their values.
pub(crate) async fn read(session: &Session, deparser: &Deparser) -> Result<Vec<SequenceSet>> {
    let is_wanted = deparser.deparsed().is_wanted("c.oid");
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
    read_all(session, "sequences", &sql, |row| {
        Ok(SequenceSet {
            is_unread: row.try_get("is_readable")?,
            ..from_row(row)?
        })
    })
    .await
}

const IS_READABLE: &str = "COALESCE(pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
     AND pg_catalog.has_sequence_privilege(c.oid, 'SELECT') \
     AND NOT (c.relpersistence = 'u' AND pg_catalog.pg_is_in_recovery()), false) AS is_readable";

/// Before 18 each sequence has to be read as a relation, by its name: the leader and the session that helps it, if there is one, take batches
/// in turns.
///
/// # Errors
/// `Catalog`; `LockTimeout` of the leader.
pub(crate) async fn read_values(
    leader: &Session,
    helper: Option<&Session>,
    sets: Vec<&mut SequenceSet>,
) -> Result<()> {
    let mut unread: Vec<_> = sets.into_iter().filter(|set| set.is_unread).collect();
    let batches = Mutex::new(unread.chunks_mut(SEQUENCES_PER_BATCH).collect());
    let helped = async {
        match helper {
            Some(helper) => read_batches(helper, &batches).await,
            None => Ok(()),
        }
    };
    match futures::join!(read_batches(leader, &batches), helped) {
        // What the helper waits for may wait for the leader, a circle that the server cannot see.
        (Ok(()), Err(error)) if error.kind() == ErrorKind::LockTimeout => {
            read_batches(leader, &batches).await
        }
        (own, helped) => own.and(helped),
    }
}

type Batch<'a, 'b> = &'a mut [&'b mut SequenceSet];

/// Reads batches until none is left. One that could not be read is left for others.
async fn read_batches(session: &Session, batches: &Mutex<Vec<Batch<'_, '_>>>) -> Result<()> {
    let lock = || batches.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let next = lock().pop();
        let Some(batch) = next else { return Ok(()) };
        match read_batch(session, batch).await {
            Ok(values) => {
                for (set, value) in batch.iter_mut().zip(values) {
                    set.value = Some(value);
                }
            }
            Err(error) => {
                lock().push(batch);
                return Err(error);
            }
        }
    }
}

/// One value for each. In a savepoint: locks on all sequences would be held to the end.
async fn read_batch(session: &Session, batch: &[&mut SequenceSet]) -> Result<Vec<(i64, bool)>> {
    let failed = |error| {
        let what = "could not read values of sequences from the system catalogs";
        Error::from_server(ErrorKind::Catalog, what, error)
    };
    let answers = session.simple_query(&values_script(batch)).await;
    let answers = answers.map_err(failed)?;
    let rows = answers.iter().filter_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let values: Option<Vec<_>> = rows.map(value_from).collect();
    let not_understood = || {
        let what = "could not understand values of sequences";
        Error::new(ErrorKind::Catalog, what)
    };
    values
        .filter(|values| values.len() == batch.len())
        .ok_or_else(not_understood)
}

fn value_from(row: &SimpleQueryRow) -> Option<(i64, bool)> {
    let is_called = match row.try_get("is_called").ok()?? {
        "t" => true,
        "f" => false,
        _ => return None,
    };
    Some((row.try_get("last_value").ok()??.parse().ok()?, is_called))
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

/// Gives one row per sequence, in this order.
fn values_script(batch: &[&mut SequenceSet]) -> String {
    let mut script = "SAVEPOINT unlocked;".to_owned();
    for set in batch {
        let name = set.sequence.sql();
        script.push_str(&format!("SELECT last_value, is_called FROM {name};"));
    }
    script + "ROLLBACK TO SAVEPOINT unlocked; RELEASE SAVEPOINT unlocked"
}

fn from_row(row: &Row) -> Result<SequenceSet, RowError> {
    Ok(SequenceSet {
        sequence: RelationName::from_row(row, "sequence")?,
        owner: row.try_get("owner")?,
        extension: row.try_get("extension")?,
        is_unlogged: row.try_get("is_unlogged")?,
        value: None,
        is_unread: false,
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
