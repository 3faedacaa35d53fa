//! Two databases are equal if `pg_dump -s` writes the same lines and every row, large object, sequence and member of an operator family
//! is the same.

use std::collections::BTreeMap;

use super::{Database, Failure};

/// What is compared.
#[derive(Debug)]
pub(crate) struct Snapshot {
    schema: String,
    /// Per relation, large object or member of an operator family: what stands for its contents.
    contents: BTreeMap<String, String>,
}

impl Snapshot {
    /// Reads a database.
    pub(crate) fn of(database: &Database) -> Result<Snapshot, Failure> {
        Ok(Snapshot {
            schema: database.schema()?,
            contents: contents(database)?,
        })
    }

    /// Number of tables, materialized views, sequences, large objects and members of operator families.
    pub(crate) fn relations(&self) -> usize {
        self.contents.len()
    }
}

/// Demands that a database is as one was.
#[track_caller]
pub(crate) fn expect_equal(what: &str, before: &Snapshot, database: &Database) {
    if let Some(differences) = differences(before, &Snapshot::of(database).unwrap()) {
        panic!("{what}: {differences}");
    }
}

/// Where two databases differ, told so that a person can act on it. `None` if nowhere.
pub(crate) fn differences(before: &Snapshot, after: &Snapshot) -> Option<Failure> {
    let mut found = Vec::new();
    if before.schema != after.schema {
        found.push(format!(
            "pg_dump -s differs (- source, + restored):\n{}",
            line_difference(&before.schema, &after.schema)
        ));
    }
    let names: std::collections::BTreeSet<_> = before
        .contents
        .keys()
        .chain(after.contents.keys())
        .collect();
    for name in names {
        let (was, is) = (before.contents.get(name), after.contents.get(name));
        if was != is {
            found.push(format!("{name} differs: {was:?} became {is:?}"));
        }
    }
    (!found.is_empty()).then(|| shortened(&found.join("\n")))
}

/// Of each relation, partitions together with their topmost table, the number of rows and the sum of their hashes, so that order does not count; of sequences
/// their state; of large objects owner, privileges and a hash; of members of operator families, some of which pg_dump does not know, what they need.
fn contents(database: &Database) -> Result<BTreeMap<String, String>, Failure> {
    let printed = database.try_sql(CONTENTS)?;
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for (name, contents) in printed.lines().filter_map(|line| line.split_once('\t')) {
        all.entry(name.to_owned())
            .and_modify(|others| *others = added(others, contents))
            .or_insert_with(|| contents.to_owned());
    }
    Ok(all)
}

/// Two rows of numbers, added up: of the partitions of one table. An empty one is no number.
fn added(one: &str, other: &str) -> String {
    let number = |text: &str| text.parse::<u128>().unwrap_or(0);
    let sums = one.split('\t').zip(other.split('\t'));
    let sums: Vec<String> = sums
        .map(|(a, b)| (number(a) + number(b)).to_string())
        .collect();
    sums.join("\t")
}

const CONTENTS: &str = r#"
SET extra_float_digits = 3;
SET row_security = off;
SET search_path = '';
SELECT format(
    $f$SELECT %L, pg_catalog.count(*), pg_catalog.sum(('x' || pg_catalog.substr(pg_catalog.md5(t::pg_catalog.text), 1, 15))::pg_catalog.bit(60)::pg_catalog.int8) FROM ONLY %s t$f$,
    pg_catalog.replace(pg_catalog.replace(top.oid::pg_catalog.regclass::pg_catalog.text, E'\n', '\n'), E'\t', '\t'),
    c.oid::pg_catalog.regclass)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    WITH RECURSIVE up AS (
        SELECT c.oid, 0 AS depth
        UNION ALL
        SELECT i.inhparent, up.depth + 1
        FROM up JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.oid
        JOIN pg_catalog.pg_class p ON p.oid = up.oid AND p.relispartition
    )
    SELECT oid FROM up ORDER BY depth DESC LIMIT 1
) top
WHERE (c.relkind = 'r' OR c.relkind = 'm' AND c.relispopulated)
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
\gexec
SELECT format(
    'SELECT %L, last_value, is_called FROM %s',
    'sequence ' || pg_catalog.replace(c.oid::pg_catalog.regclass::pg_catalog.text, E'\n', '\n'),
    c.oid::pg_catalog.regclass)
FROM pg_catalog.pg_class c
WHERE c.relkind = 'S'
\gexec
SELECT 'large object ' || m.oid, m.lomowner::pg_catalog.regrole, m.lomacl, pg_catalog.md5(pg_catalog.lo_get(m.oid))
FROM pg_catalog.pg_largeobject_metadata m;
SELECT pg_catalog.pg_describe_object(m.classid, m.oid, 0), (SELECT pg_catalog.string_agg(
    pg_catalog.concat(d.deptype, ' ', pg_catalog.pg_describe_object(d.refclassid, d.refobjid, 0)), ', '
    ORDER BY d.deptype, pg_catalog.pg_describe_object(d.refclassid, d.refobjid, 0))
    FROM pg_catalog.pg_depend d WHERE d.classid = m.classid AND d.objid = m.oid)
FROM (SELECT 'pg_catalog.pg_amop'::pg_catalog.regclass AS classid, oid FROM pg_catalog.pg_amop
    UNION ALL SELECT 'pg_catalog.pg_amproc'::pg_catalog.regclass, oid FROM pg_catalog.pg_amproc) m
WHERE m.oid >= 16384;
"#;

/// The lines that only one of two texts has, with those above as a hint of the place; empty for equal texts.
pub(crate) fn line_difference(before: &str, after: &str) -> String {
    let (before, after): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    if before == after {
        return String::new();
    }
    let equal = before
        .iter()
        .zip(&after)
        .take_while(|(left, right)| left == right)
        .count();
    let equal_tail = before[equal..]
        .iter()
        .rev()
        .zip(after[equal..].iter().rev())
        .take_while(|(left, right)| left == right)
        .count();
    let context = before[equal.saturating_sub(3)..equal]
        .iter()
        .map(|line| format!("  {line}"));
    let gone = before[equal..before.len() - equal_tail]
        .iter()
        .map(|line| format!("- {line}"));
    let new = after[equal..after.len() - equal_tail]
        .iter()
        .map(|line| format!("+ {line}"));
    context
        .chain(gone.take(40))
        .chain(new.take(40))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A text of reasonable length for a report: of a long one its two ends.
pub(crate) fn shortened(text: &str) -> String {
    const HALF: usize = 3000;
    let chars = text.chars().count();
    if chars <= 2 * HALF {
        return text.to_owned();
    }
    let head: String = text.chars().take(HALF).collect();
    let tail: String = text.chars().skip(chars - HALF).collect();
    format!("{head}\n... ({chars} characters) ...\n{tail}")
}
