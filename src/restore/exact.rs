//! `--exact`: what the target holds in the archive's schemas and the archive does not, goes as well.
//!
//! Members of extensions stay: they are the extension's. Large objects, publications and whatever else lies in no schema
//! stay, too, and so do schemas that the archive does not hold. What depends on an object from outside stops the restore as
//! ever, unless `--cascade`.

use std::collections::BTreeSet;

use crate::archive::Header;
use crate::conn::Session;
use crate::objects::Oid;
use crate::{Error, ErrorKind, Result};

use super::RestoreOptions;
use super::clean::{DROP_IDENTITY, ExistingObject, Found};
use super::plan::HeldObjects;

/// Options of a dump that leave schemas whole: what such an archive does not hold in a schema was not there.
const WHOLE_SCHEMAS: &[&str] = &[
    "--schema=",
    "--exclude-schema=",
    "--exclude-table-data",
    "--schema-only",
    "--no-",
    "--where=",
    "--sample=",
];

/// The schemas that will hold what the archive holds and nothing else.
///
/// # Errors
/// `Usage` if archive or options leave out parts of schemas: what is missing from them is not known to be unwanted.
pub(super) fn schemas(
    header: &Header,
    held: &HeldObjects,
    options: &RestoreOptions,
) -> Result<BTreeSet<String>> {
    if let Some(option) = header.partial.iter().find(|option| takes_apart(option)) {
        return Err(Error::new(
            ErrorKind::Usage,
            "--exact needs an archive of whole schemas",
        )
        .detail(format!(
            "This one was made with {}: what it does not hold may be wanted.",
            crate::objects::quote::one_line(option)
        )));
    }
    if options.selection.chooses_within_schemas()
        || options.list.is_some()
        || !options.parts.sections.is_empty()
    {
        return Err(Error::new(
            ErrorKind::Usage,
            "--exact goes with -n and -N alone: it drops what is not chosen",
        ));
    }
    let named = held.schemas.iter();
    let used = (held.relations.iter())
        .chain(&held.routines)
        .map(|(schema, _)| schema);
    let others = held.others.iter().filter_map(|other| other.schema.as_ref());
    let mut schemas: BTreeSet<String> = named.chain(used).chain(others).cloned().collect();
    // Every database has it; an archive mentions it only if something of it is not as usual.
    if options.selection.includes_schema("public") && names_no_schemas(header) {
        schemas.insert("public".to_owned());
    }
    Ok(schemas)
}

fn takes_apart(option: &str) -> bool {
    !WHOLE_SCHEMAS.iter().any(|whole| option.starts_with(whole))
}

fn names_no_schemas(header: &Header) -> bool {
    let chosen = ["--schema=", "--exclude-schema="];
    !(header.partial.iter()).any(|option| chosen.iter().any(|name| option.starts_with(name)))
}

/// Catalogs whose objects lie in schemas: name, column of the schema, condition.
const CATALOGS: &[(&str, &str, &str)] = &[
    (
        "pg_class",
        "relnamespace",
        "r.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')",
    ),
    // Neither row types nor array types.
    (
        "pg_type",
        "typnamespace",
        "(r.typrelid = 0 OR EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = r.typrelid AND c.relkind = 'c')) \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.oid = r.typelem AND e.typarray = r.oid)",
    ),
    ("pg_proc", "pronamespace", "true"),
    ("pg_operator", "oprnamespace", "true"),
    ("pg_opclass", "opcnamespace", "true"),
    ("pg_opfamily", "opfnamespace", "true"),
    ("pg_collation", "collnamespace", "true"),
    ("pg_conversion", "connamespace", "true"),
    ("pg_statistic_ext", "stxnamespace", "true"),
    ("pg_ts_parser", "prsnamespace", "true"),
    ("pg_ts_template", "tmplnamespace", "true"),
    ("pg_ts_dict", "dictnamespace", "true"),
    ("pg_ts_config", "cfgnamespace", "true"),
];

/// Everything in the schemas but members of extensions and what goes with another object anyway: identity and owned sequences,
/// constructors of ranges, statistics of a table. (A partitioned table is internal to its own key columns.)
pub(super) async fn objects_in(
    session: &Session,
    schemas: &BTreeSet<String>,
) -> Found<Vec<ExistingObject>> {
    if schemas.is_empty() {
        return Ok(Vec::new());
    }
    let schemas: Vec<&str> = schemas.iter().map(String::as_str).collect();
    let parts: Vec<String> = CATALOGS
        .iter()
        .map(|(catalog, schema, condition)| {
            format!(
                "SELECT 'pg_catalog.{catalog}'::pg_catalog.regclass::pg_catalog.oid AS classid, r.oid AS objid, {} AS is_table \
                 FROM pg_catalog.{catalog} r JOIN pg_catalog.pg_namespace n ON n.oid = r.{schema} \
                 WHERE n.nspname = ANY($1::text[]) AND {condition}",
                if *catalog == "pg_class" { "r.relkind IN ('r', 'p')" } else { "false" }
            )
        })
        .collect();
    let query = format!(
        "WITH found AS ({}) \
         SELECT f.classid, f.objid, f.is_table, i.type, {DROP_IDENTITY} AS identity FROM found f \
         CROSS JOIN LATERAL pg_catalog.pg_identify_object(f.classid, f.objid, 0) i \
         WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = f.classid AND d.objid = f.objid AND d.objsubid = 0 AND d.refobjid <> d.objid \
         AND (d.deptype IN ('e', 'i') OR (d.deptype = 'a' AND d.refobjsubid > 0))) \
         ORDER BY i.type COLLATE \"C\", i.identity COLLATE \"C\"",
        parts.join(" UNION ALL ")
    );
    let rows = session.query(&query, &[&schemas]).await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let (class, oid): (Oid, Oid) = (row.get("classid"), row.get("objid"));
            ExistingObject::extra(
                class,
                oid,
                row.get("type"),
                row.get("identity"),
                row.get("is_table"),
            )
        })
        .collect())
}

/// The objects that nobody has seen in the plan.
///
/// # Errors
/// `Restore`: what came after the plan was shown is not dropped unseen.
pub(super) fn refuse_unseen(now: &[String], seen: &BTreeSet<String>) -> Result<()> {
    let unseen: Vec<&String> = now.iter().filter(|name| !seen.contains(*name)).collect();
    if unseen.is_empty() {
        return Ok(());
    }
    let error = Error::new(
        ErrorKind::Restore,
        "the target got new objects since the plan was made, which --exact would drop unseen",
    );
    let error = unseen
        .iter()
        .fold(error, |error, name| error.detail((*name).clone()));
    Err(error.hint("Run the restore again and look at its plan."))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn options_that_take_schemas_apart_are_told_from_the_others() {
        for option in [
            "--table=t",
            "--exclude-table=t",
            "--data-only",
            "--section=pre-data",
            "--skip-unsupported",
        ] {
            assert!(takes_apart(option), "{option}");
        }
        for option in ["--schema=s", "--no-owner", "--schema-only"] {
            assert!(!takes_apart(option), "{option}");
        }
    }

    #[test]
    fn what_came_after_the_plan_is_not_dropped_unseen() {
        let seen = BTreeSet::from(["table a".to_owned(), "table b".to_owned()]);
        assert!(refuse_unseen(&["table a".to_owned()], &seen).is_ok());
        let error = refuse_unseen(&["table c".to_owned()], &seen).unwrap_err();
        assert_eq!(error.details(), ["table c"]);
    }
}
