//! The catalog sweep: what in the database no object accounts for.
//!
//! Every row of every catalog that can hold objects is either the system's, an extension's, temporary, or claimed
//! by an object. Whatever else is found is named, so that nothing is left out in silence. So are properties that no
//! object renders: security labels on what nobody accounts for, dependencies on extensions of what cannot say so, comments that nobody
//! would find again.

use std::collections::HashSet;

use crate::conn::{ServerVersion, Session};
use crate::objects::catalog_query::{is_not_initdbs, is_users_schema};
use crate::objects::operator_family_member;
use crate::objects::quote::{one_line, unquoted};
use crate::objects::security_label::{self, SecurityLabel};
use crate::objects::side_comment::{self, SideComment};
use crate::objects::subscription::SUBSCRIPTIONS_HERE;
use crate::objects::{CatalogId, Kind, Object, Oid, OidMap, OidSet, catalog};
use crate::{Error, ErrorKind, Result};

use super::catalog::{Catalog, DependencyType, cause, extension_members, spread};
use super::information_schema;
use super::parts::Parts;
use super::selection::Selection;

/// What cannot be dumped yet.
#[derive(Default)]
pub(super) struct Leftovers {
    /// One line each, sorted.
    pub(super) lines: Vec<String>,
    /// Objects without an object of ours.
    pub(super) rows: OidSet<CatalogId>,
}

/// What the catalogs hold, to be compared with the objects.
pub(super) struct Swept {
    rows: Vec<SweptRow>,
    /// Security labels of all objects.
    pub(super) labels: Vec<SecurityLabel>,
    /// Comments on what comes along with objects.
    pub(super) side_comments: Vec<SideComment>,
    /// What has a comment.
    commented: Vec<CatalogId>,
    /// Triggers of constraints that do not fire as they were made to.
    pub(super) switched: Vec<CatalogId>,
}

/// Reads what is to be swept.
///
/// # Errors
/// `Catalog` if a query fails.
pub(super) async fn read_swept(session: &Session) -> Result<Swept> {
    let (rows, labels, side_comments, commented, switched) = futures::join!(
        read_rows(session),
        security_label::read(session),
        side_comment::read(session),
        read_commented(session),
        read_switched(session),
    );
    match (rows, labels, side_comments, commented, switched) {
        (Ok(rows), Ok(labels), Ok(side_comments), Ok(commented), Ok(switched)) => Ok(Swept {
            rows,
            labels,
            side_comments,
            commented,
            switched,
        }),
        (rows, labels, side_comments, commented, switched) => {
            let errors = [
                rows.err(),
                labels.err(),
                side_comments.err(),
                commented.err(),
                switched.err(),
            ];
            Err(cause(errors.into_iter().flatten()))
        }
    }
}

/// Looks for what the catalog's objects do not account for, as far as selection and parts ask for it.
///
/// # Errors
/// `Catalog` if a query fails.
pub(super) async fn sweep(
    session: &Session,
    found: &Catalog,
    swept: &Swept,
    selection: &Selection,
    wanted: &Parts,
) -> Result<Leftovers> {
    let covered = covered(found, &swept.rows);
    let mut rows = unaccounted(found, &swept.rows, &covered);
    // Only superusers may read them.
    if !wanted.includes_kind(Kind::Subscription) {
        rows.retain(|row| row.class != catalog::PG_SUBSCRIPTION);
    }
    let parts = parts_among(found, &rows);
    let mut leftovers = Leftovers::default();
    for (row, name) in identify(session, &rows).await? {
        if name.is_selected(selection) {
            leftovers.rows.insert(row);
            if !parts.contains(&row) {
                leftovers.lines.push(name.text);
            }
        }
    }
    let properties = [
        ("security label of", labels_of_others(found, &swept.labels)),
        ("dependency on an extension of", extension_dependents(found)),
        ("comment on", comments_of_others(found, swept, &covered)),
    ];
    for (property, rows) in properties {
        for (_, name) in identify(session, &rows).await? {
            if name.is_selected(selection) {
                leftovers.lines.push(format!("{property} {}", name.text));
            }
        }
    }
    leftovers.lines.sort_unstable();
    leftovers.lines.dedup();
    Ok(leftovers)
}

/// Names of the first left-overs that an error lists.
const LISTED: usize = 50;

/// The error that stops a dump.
pub(super) fn unsupported(lines: &[String]) -> Error {
    let count = match lines.len() {
        1 => "1 object".to_owned(),
        many => format!("{many} objects"),
    };
    let mut error = Error::new(
        ErrorKind::Unsupported,
        format!("{count} cannot be dumped by this version"),
    );
    for line in lines.iter().take(LISTED) {
        error = error.detail(line);
    }
    if lines.len() > LISTED {
        error = error.detail(format!("... and {} more", lines.len() - LISTED));
    }
    error.hint("With --skip-unsupported they are left out, and so is all that needs them.")
}

/// A row that an object ought to account for.
#[derive(Clone, Copy)]
struct SweptRow {
    id: CatalogId,
    /// Temporary.
    passing: bool,
}

/// Temporary rows, which go with their session, and so does what needs them.
pub(super) fn passing(found: &Catalog, swept: &Swept) -> OidSet<CatalogId> {
    let mut passing: OidMap<CatalogId, ()> =
        passing_rows(&swept.rows).map(|row| (row, ())).collect();
    spread(found, &mut passing);
    passing.into_keys().collect()
}

fn passing_rows(rows: &[SweptRow]) -> impl Iterator<Item = CatalogId> {
    rows.iter().filter(|row| row.passing).map(|row| row.id)
}

/// Rows that are part of an extension or of something temporary.
fn covered(found: &Catalog, rows: &[SweptRow]) -> OidMap<CatalogId, ()> {
    let members = extension_members(found).into_keys();
    let passing = passing_rows(rows);
    let mut covered: OidMap<CatalogId, ()> = members.chain(passing).map(|row| (row, ())).collect();
    spread(found, &mut covered);
    covered
}

/// Rows that are neither claimed nor covered nor part of another row.
fn unaccounted(
    found: &Catalog,
    rows: &[SweptRow],
    covered: &OidMap<CatalogId, ()>,
) -> Vec<CatalogId> {
    let lasting = rows.iter().filter(|row| !row.passing).map(|row| row.id);
    let mut left: Vec<CatalogId> = lasting
        .filter(|row| found.claimant(*row).is_none())
        .collect();
    if left.is_empty() {
        return left;
    }
    let internal = internal_rows(found);
    left.retain(|row| !internal.contains(row));
    left.retain(|row| !covered.contains_key(row));
    left
}

/// Rows with comments that no object accounts for, or whose name is not known before they are restored.
fn comments_of_others(
    found: &Catalog,
    swept: &Swept,
    covered: &OidMap<CatalogId, ()>,
) -> Vec<CatalogId> {
    let commented = swept.commented.iter().copied();
    let unclaimed = commented.filter(|row| found.claimant(*row).is_none());
    let unnamed = swept.side_comments.iter();
    let unnamed = unnamed.filter(|comment| comment.statement.is_none());
    unclaimed
        .chain(unnamed.map(|comment| comment.row))
        .filter(|row| !covered.contains_key(row))
        .collect()
}

/// Row types, array types and internal triggers of rows that are claimed: the server makes them along.
fn internal_rows(found: &Catalog) -> OidSet<CatalogId> {
    let mut internal = OidSet::default();
    let is_made_along = |row: CatalogId| {
        matches!(row.class, catalog::PG_TYPE | catalog::PG_TRIGGER) && found.claimant(row).is_none()
    };
    // An array type hangs on a row type that hangs on a table: as many rounds as there are links.
    loop {
        let before = internal.len();
        for dependency in &found.dependencies {
            if dependency.deptype == DependencyType::Internal
                && (found.claimant(dependency.referenced).is_some()
                    || internal.contains(&dependency.referenced))
                && is_made_along(dependency.dependent)
            {
                internal.insert(dependency.dependent);
            }
        }
        if internal.len() == before {
            return internal;
        }
    }
}

/// Those of the rows that are internal to others of them: the row type of a table need not be named beside it.
fn parts_among(found: &Catalog, rows: &[CatalogId]) -> HashSet<CatalogId> {
    let rows: HashSet<&CatalogId> = rows.iter().collect();
    found
        .dependencies
        .iter()
        .filter(|dependency| dependency.deptype == DependencyType::Internal)
        .filter(|dependency| rows.contains(&dependency.referenced))
        .map(|dependency| dependency.dependent)
        .collect()
}

/// Rows with security labels that neither an object nor an extension accounts for.
fn labels_of_others(found: &Catalog, labels: &[SecurityLabel]) -> Vec<CatalogId> {
    let members = extension_members(found);
    labels
        .iter()
        .map(|label| label.row)
        .filter(|row| found.claimant(*row).is_none() && !members.contains_key(row))
        .collect()
}

/// ALTER ... DEPENDS ON EXTENSION of what does not render it.
fn extension_dependents(found: &Catalog) -> Vec<CatalogId> {
    let says_so = |row: &CatalogId| {
        let claimant = found.claimant(*row).map(|index| &found.objects[index]);
        matches!(
            claimant,
            Some(
                Object::Function(_)
                    | Object::Index(_)
                    | Object::Constraint(_)
                    | Object::Aggregate(_)
                    | Object::MaterializedView(_)
                    | Object::Trigger(_)
            )
        )
    };
    found
        .dependencies
        .iter()
        .filter(|dependency| dependency.deptype == DependencyType::AutoExtension)
        .map(|dependency| dependency.dependent)
        .filter(|row| !says_so(row))
        .collect()
}

/// A catalog to sweep: its name, the column with the schema if it has one, a further condition, and
/// the version that brought it.
struct SweptCatalog(&'static str, Option<&'static str>, &'static str, u32);

/// Collations of pg_import_system_collations are the operating system's affair, there as here. They are made with comments.
const USERS_COLLATION: &str = "AND r.collnamespace <> 'pg_catalog'::pg_catalog.regnamespace";

const SWEPT: &[SweptCatalog] = &[
    SweptCatalog("pg_class", Some("relnamespace"), "", 10),
    SweptCatalog("pg_type", Some("typnamespace"), "", 10),
    SweptCatalog("pg_proc", Some("pronamespace"), "", 10),
    // Inherited constraints and those of constraint triggers come with what they are inherited from.
    SweptCatalog(
        "pg_constraint",
        Some("connamespace"),
        "AND r.contype <> 't' AND (r.conislocal OR r.coninhcount = 0)",
        10,
    ),
    // Triggers behind foreign keys and deferred uniqueness, and clones on partitions.
    SweptCatalog("pg_trigger", None, "AND NOT r.tgisinternal", 10),
    SweptCatalog("pg_rewrite", None, "", 10),
    SweptCatalog("pg_attrdef", None, "", 10),
    SweptCatalog("pg_policy", None, "", 10),
    // Without a function it is a shell, which the operator that names it makes along.
    SweptCatalog(
        "pg_operator",
        Some("oprnamespace"),
        "AND r.oprcode <> 0::pg_catalog.oid",
        10,
    ),
    SweptCatalog("pg_opclass", Some("opcnamespace"), "", 10),
    SweptCatalog("pg_opfamily", Some("opfnamespace"), "", 10),
    SweptCatalog("pg_am", None, "", 10),
    SweptCatalog("pg_cast", None, "", 10),
    SweptCatalog("pg_conversion", Some("connamespace"), "", 10),
    SweptCatalog("pg_collation", Some("collnamespace"), USERS_COLLATION, 10),
    SweptCatalog("pg_language", None, "", 10),
    SweptCatalog("pg_transform", None, "", 10),
    SweptCatalog("pg_ts_config", Some("cfgnamespace"), "", 10),
    SweptCatalog("pg_ts_dict", Some("dictnamespace"), "", 10),
    SweptCatalog("pg_ts_parser", Some("prsnamespace"), "", 10),
    SweptCatalog("pg_ts_template", Some("tmplnamespace"), "", 10),
    SweptCatalog("pg_foreign_data_wrapper", None, "", 10),
    SweptCatalog("pg_foreign_server", None, "", 10),
    SweptCatalog("pg_event_trigger", None, "", 10),
    SweptCatalog("pg_publication", None, "", 10),
    SweptCatalog("pg_publication_rel", None, "", 10),
    SweptCatalog("pg_publication_namespace", None, "", 15),
    SweptCatalog("pg_statistic_ext", Some("stxnamespace"), "", 10),
    SweptCatalog("pg_extension", None, "", 10),
    SweptCatalog(
        "pg_default_acl",
        None,
        "AND r.defaclnamespace NOT IN (SELECT n.oid FROM pg_catalog.pg_namespace n \
         WHERE n.nspname ~ '^pg_(toast_)?temp_')",
        10,
    ),
    SweptCatalog(
        "pg_namespace",
        None,
        "AND r.nspname !~ '^pg_(toast_)?temp_'",
        10,
    ),
];

/// The catalogs in which objects are looked for that no kind accounts for.
pub fn swept_catalogs() -> Vec<&'static str> {
    let members = operator_family_member::CATALOGS.iter();
    let names = SWEPT.iter().map(|swept| swept.0);
    names.chain(members.map(|catalog| catalog.name)).collect()
}

fn rows_query(server: ServerVersion) -> String {
    let mut parts: Vec<String> = SWEPT
        .iter()
        .filter(|swept| server >= ServerVersion::major(swept.3))
        .map(|SweptCatalog(name, schema, condition, _)| {
            let passing = match schema {
                Some(column) => format!("COALESCE(r.{column} IN (SELECT oid FROM passing), false)"),
                None => "false".to_owned(),
            };
            let not_initdbs = match schema {
                Some(column) => {
                    format!("r.oid >= 16384 OR r.{column} IN (SELECT oid FROM users)")
                }
                None => is_not_initdbs(name, "r"),
            };
            // What makes up TOAST tables hangs on tables alone.
            let not_toast = match schema {
                Some(column) => {
                    format!("AND r.{column} <> 'pg_toast'::pg_catalog.regnamespace")
                }
                None => String::new(),
            };
            format!(
                "SELECT 'pg_catalog.{name}'::pg_catalog.regclass::pg_catalog.oid AS classid, \
                 r.oid AS objid, {passing} AS passing \
                 FROM pg_catalog.{name} r WHERE ({not_initdbs}) {not_toast} {condition}"
            )
        })
        .collect();
    // Operators and functions of operator families hang on what they need, but not on families of the system's, nor always on
    // their types.
    parts.extend(operator_family_member::CATALOGS.iter().map(|catalog| {
        format!(
            "SELECT 'pg_catalog.{name}'::pg_catalog.regclass::pg_catalog.oid, r.oid, false FROM pg_catalog.{name} AS r \
             WHERE {is_users}",
            name = catalog.name,
            is_users = catalog.is_users()
        )
    }));
    // User mappings themselves are for superusers alone, the view is for all.
    parts.push(
        "SELECT 'pg_catalog.pg_user_mapping'::pg_catalog.regclass::pg_catalog.oid, umid, false \
         FROM pg_catalog.pg_user_mappings WHERE umid >= 16384"
            .to_owned(),
    );
    parts.push(format!(
        "SELECT 'pg_catalog.pg_subscription'::pg_catalog.regclass::pg_catalog.oid, r.oid, false FROM {SUBSCRIPTIONS_HERE}"
    ));
    // Users choose the OIDs of large objects; the other catalogs know them by pg_largeobject.
    parts.push(
        "SELECT 'pg_catalog.pg_largeobject'::pg_catalog.regclass::pg_catalog.oid, oid, false \
         FROM pg_catalog.pg_largeobject_metadata"
            .to_owned(),
    );
    // As arrays: of every table there are a dozen rows.
    format!(
        "WITH passing AS (SELECT oid FROM pg_catalog.pg_namespace \
         WHERE nspname ~ '^pg_(temp_|toast_temp_)'), \
         users AS (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE {users_schema}) \
         SELECT r.classid, r.passing, pg_catalog.array_agg(r.objid) AS objids \
         FROM ({}) AS r WHERE (r.classid, r.objid) NOT IN {own} GROUP BY r.classid, r.passing",
        parts.join(" UNION ALL "),
        users_schema = is_users_schema("n"),
        own = information_schema::own_rows(),
    )
}

async fn read_rows(session: &Session) -> Result<Vec<SweptRow>> {
    let rows = session
        .query(&rows_query(session.version()), &[])
        .await
        .map_err(|e| Error::from_server(ErrorKind::Catalog, "could not sweep the catalogs", e))?;
    let of_class = rows.iter().flat_map(|row| {
        let (class, passing): (Oid, bool) = (row.get("classid"), row.get("passing"));
        let oids: Vec<Oid> = row.get("objids");
        oids.into_iter().map(move |oid| SweptRow {
            id: CatalogId::new(class, oid),
            passing,
        })
    });
    Ok(of_class.collect())
}

async fn read_commented(session: &Session) -> Result<Vec<CatalogId>> {
    // DROP SUBSCRIPTION leaves the comment behind.
    let query = format!(
        "SELECT DISTINCT classoid, objoid FROM pg_catalog.pg_description WHERE objoid >= 16384 \
         AND classoid <> 'pg_catalog.pg_subscription'::pg_catalog.regclass \
         AND (classoid <> 'pg_catalog.pg_collation'::pg_catalog.regclass OR EXISTS (SELECT FROM pg_catalog.pg_collation r \
           WHERE r.oid = objoid {USERS_COLLATION}))"
    );
    let rows = session
        .query(&query, &[])
        .await
        .map_err(|e| Error::from_server(ErrorKind::Catalog, "could not look for comments", e))?;
    Ok(rows
        .iter()
        .map(|row| CatalogId::new(row.get("classoid"), row.get("objoid")))
        .collect())
}

/// ALTER TABLE ... DISABLE TRIGGER ALL by a superuser: they are named after OIDs, and no other server has them.
async fn read_switched(session: &Session) -> Result<Vec<CatalogId>> {
    let query = "SELECT t.oid FROM pg_catalog.pg_trigger t \
                 WHERE t.tgisinternal AND t.tgconstraint <> 0 AND t.tgenabled <> 'O'";
    let rows = session
        .query(query, &[])
        .await
        .map_err(|e| Error::from_server(ErrorKind::Catalog, "could not look for triggers", e))?;
    let triggers = rows.iter().map(|row| row.get("oid"));
    Ok(triggers
        .map(|oid| CatalogId::new(catalog::PG_TRIGGER, oid))
        .collect())
}

/// How people know a row.
struct Identity {
    /// `operator public.===(pg_catalog.int4,pg_catalog.int4)`, on one line.
    text: String,
    schema: Option<String>,
    /// Of relations: their name.
    relation: Option<String>,
}

impl Identity {
    fn is_selected(&self, selection: &Selection) -> bool {
        match (&self.schema, &self.relation) {
            (Some(schema), Some(name)) => selection.includes_relation(schema, name),
            (Some(schema), None) => selection.includes_schema(schema),
            (None, _) => selection.includes_global_objects(),
        }
    }
}

async fn identify(session: &Session, rows: &[CatalogId]) -> Result<Vec<(CatalogId, Identity)>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let classes: Vec<Oid> = rows.iter().map(|row| row.class).collect();
    let oids: Vec<Oid> = rows.iter().map(|row| row.oid).collect();
    let query = "SELECT r.classid, r.objid, i.type, i.schema, i.name, i.identity \
                 FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]), \
                 pg_catalog.unnest($2::pg_catalog.oid[])) AS r(classid, objid) \
                 CROSS JOIN LATERAL pg_catalog.pg_identify_object(r.classid, r.objid, 0) i";
    let identified = session
        .query(query, &[&classes, &oids])
        .await
        .map_err(|e| Error::from_server(ErrorKind::Catalog, "could not identify objects", e))?;
    Ok(identified
        .iter()
        .map(|row| {
            let id = CatalogId::new(row.get("classid"), row.get("objid"));
            let kind: Option<String> = row.get("type");
            let identity: Option<String> = row.get("identity");
            let text = match (kind, identity) {
                (Some(kind), Some(identity)) => format!("{kind} {identity}"),
                _ => format!("object {} of catalog {}", id.oid, id.class),
            };
            let name: Option<String> = row.get("name");
            let identity = Identity {
                text: one_line(&text).into_owned(),
                schema: row.get::<_, Option<&str>>("schema").map(unquoted),
                relation: name
                    .filter(|_| id.class == catalog::PG_CLASS)
                    .map(|name| unquoted(&name)),
            };
            (id, identity)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_lists_names_up_to_a_limit() {
        let lines: Vec<String> = (0..60).map(|n| format!("cast number {n}")).collect();
        let error = unsupported(&lines);
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(
            error.message(),
            "60 objects cannot be dumped by this version"
        );
        assert_eq!(error.details().len(), 51);
        assert_eq!(error.details()[50], "... and 10 more");
        assert_eq!(
            unsupported(&lines[..1]).message(),
            "1 object cannot be dumped by this version"
        );
    }

    #[test]
    fn catalogs_of_later_versions_are_not_swept() {
        let publications = "pg_publication_namespace";
        assert!(!rows_query(ServerVersion::major(14)).contains(publications));
        assert!(rows_query(ServerVersion::major(15)).contains(publications));
    }
}
