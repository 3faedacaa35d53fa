//! Clean and recreate: what stands in the way goes, and all of pre-data comes, in one transaction.
//!
//! What is to go is looked up in the target's catalogs, not trusted to the archive's DROP statements: a name may
//! belong to another kind of object there. `pg_depend` then tells what else would go; anything that the archive does
//! not hold and that is no part of what it holds is foreign, and stops the restore unless `--cascade` was given.
//! After that check DROP ... CASCADE is safe, whatever depends on whatever.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use crate::archive::DumpId;
use crate::conn::Session;
use crate::event::{Event, Events, Phase};
use crate::objects::operator_family_member::{self, MemberCatalog};
use crate::objects::subscription::SUBSCRIPTIONS_HERE;
use crate::objects::{Kind, Oid, catalog, quote};
use crate::{Error, ErrorKind, Result};

use super::configuration;
use super::exact;
use super::plan::{HeldObject, HeldObjects, RestorePlan, Step};
use super::progress::RunState;
use super::statement_words::name_after;
use super::texts::StatementTexts;

/// How many objects an error or a plan names.
const NAMED: usize = 20;
/// How many objects one DROP statement names: few round trips, short errors.
const DROP_BATCH: usize = 100;
/// How many statements are on their way before the first answer is awaited.
const PIPELINE: usize = 64;
/// How many definitions one transaction makes in a new database that gets more than `ONE_PIECE`. A table takes three locks; a server
/// with the usual settings has room for about 7 000, the smallest one for about 1 000.
const PIECE: usize = 200;
const ONE_PIECE: usize = 1000;

/// What the target holds of what the archive will create.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// What will be dropped.
    pub objects: Vec<ExistingObject>,
    /// Large objects that will be unlinked.
    pub large_objects: Vec<Oid>,
    /// Schemas that will be dropped: nothing is left in them.
    pub schemas: Vec<String>,
    /// Schemas that stay because they hold something else.
    pub kept_schemas: Vec<String>,
    /// Objects that the archive does not hold and that depend on what will be dropped, in words.
    pub foreign: Vec<String>,
    /// Statements that take away default privileges, under which everything created would get grants.
    default_privileges: Vec<String>,
}

/// An object of the target that will be dropped.
#[derive(Debug)]
pub(crate) struct ExistingObject {
    class: Oid,
    oid: Oid,
    /// `table`, `view`, `function`: `pg_identify_object`'s word.
    pub kind: String,
    /// Qualified and quoted by the server; routines with argument types.
    pub identity: String,
    /// Of indexes and identity sequences: their table.
    table: Option<Oid>,
    /// Of indexes behind a constraint and identity sequences: ALTER TABLE. Of other kinds of objects: the archive's own.
    drop: Option<OwnDrop>,
    is_lockable: bool,
    /// The archive does not hold it: it goes for `--exact` alone.
    is_extra: bool,
}

impl ExistingObject {
    /// An object that the archive does not hold.
    pub(super) fn extra(
        class: Oid,
        oid: Oid,
        kind: String,
        identity: String,
        is_lockable: bool,
    ) -> Self {
        let drop = is_named_alone(&kind).then(|| OwnDrop {
            statement: format!(
                "DROP {} IF EXISTS {identity} CASCADE;",
                kind.strip_suffix(" object").unwrap_or(&kind).to_uppercase()
            ),
            turn: DropTurn::Late,
        });
        ExistingObject {
            class,
            oid,
            kind,
            identity,
            table: None,
            drop,
            is_lockable,
            is_extra: true,
        }
    }
}

/// Whether DROP of several names does not fit a kind, in `pg_identify_object`'s words.
fn is_named_alone(kind: &str) -> bool {
    kind.starts_with("operator")
        || kind.starts_with("text search")
        || ["collation", "conversion", "statistics object"].contains(&kind)
}

/// A statement that drops an object which DROP of several names does not fit.
#[derive(Debug)]
struct OwnDrop {
    statement: String,
    turn: DropTurn,
}

/// When a statement of its own runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DropTurn {
    /// Before everything: an event trigger would fire on the others' drops.
    First,
    /// Before relations, types and routines.
    Early,
    /// After them: they go with all that needs them.
    Late,
}

impl Survey {
    /// Every object that will go for `--exact` alone, in words.
    pub(crate) fn describe_extras(&self) -> Vec<String> {
        let extras = self.objects.iter().filter(|object| object.is_extra);
        extras
            .map(|object| format!("{} {}", object.kind, object.identity))
            .map(|text| quote::one_line(&text).into_owned())
            .collect()
    }

    /// Every other object that will go, in words.
    pub(crate) fn describe_drops(&self) -> Vec<String> {
        let objects = self
            .objects
            .iter()
            .filter(|object| !object.is_extra)
            .map(|object| format!("{} {}", object.kind, object.identity));
        let schemas = self
            .schemas
            .iter()
            .map(|name| format!("schema {}", quote::ident(name)));
        let large_objects = self
            .large_objects
            .iter()
            .map(|oid| format!("large object {oid}"));
        objects
            .chain(schemas)
            .chain(large_objects)
            .map(|text| quote::one_line(&text).into_owned())
            .collect()
    }

    /// Catalog and OID of each.
    pub(crate) fn catalog_ids(&self) -> (Vec<Oid>, Vec<Oid>) {
        class_and_oid(&self.objects)
    }

    /// The relations among them.
    pub(crate) fn relations(&self) -> Vec<Oid> {
        let objects = self.objects.iter();
        objects
            .filter(|object| object.class == catalog::PG_CLASS)
            .map(|object| object.oid)
            .collect()
    }

    /// Refuses foreign dependents.
    pub(crate) fn refuse_foreign(&self, cascade: bool) -> Result<()> {
        if cascade || self.foreign.is_empty() {
            return Ok(());
        }
        let mut error = Error::new(
            ErrorKind::Restore,
            format!(
                "{} objects that the archive does not hold depend on objects that would be dropped",
                self.foreign.len()
            ),
        );
        for object in self.foreign.iter().take(NAMED) {
            error = error.detail(quote::one_line(object));
        }
        if self.foreign.len() > NAMED {
            error = error.detail(format!("... and {} more.", self.foreign.len() - NAMED));
        }
        Err(error.hint(
            "Drop them yourself, or let --cascade drop them with the rest; they are not recreated.",
        ))
    }
}

/// Looks up what would be dropped. Reads only.
///
/// # Errors
/// `Restore`.
pub(crate) async fn survey(session: &Session, held: &HeldObjects, cascade: bool) -> Result<Survey> {
    let failed = |error| {
        Error::from_server(
            ErrorKind::Restore,
            "could not look up what the target holds",
            error,
        )
    };
    let mut objects = existing_objects(session, held).await.map_err(failed)?;
    objects.extend(existing_others(session, held).await.map_err(failed)?);
    let known: HashSet<(Oid, Oid)> = objects.iter().map(|it| (it.class, it.oid)).collect();
    let extras = exact::objects_in(session, &held.exact_schemas)
        .await
        .map_err(failed)?;
    objects.extend(
        extras
            .into_iter()
            .filter(|extra| !known.contains(&(extra.class, extra.oid))),
    );
    let large_objects = existing_large_objects(session, held)
        .await
        .map_err(failed)?;
    let foreign = foreign_dependents(session, &objects)
        .await
        .map_err(failed)?;
    let (schemas, kept_schemas) = sort_schemas(session, held, &objects, cascade)
        .await
        .map_err(failed)?;
    let default_privileges = reset_default_privileges(session, held)
        .await
        .map_err(failed)?;
    Ok(Survey {
        objects,
        large_objects,
        schemas,
        kept_schemas,
        foreign,
        default_privileges,
    })
}

pub(super) type Found<T> = std::result::Result<T, tokio_postgres::Error>;

fn unzip<'a>(
    pairs: impl IntoIterator<Item = &'a (String, String)>,
) -> (Vec<&'a str>, Vec<&'a str>) {
    pairs
        .into_iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .unzip()
}

/// SQL: what DROP calls the object `f` that `pg_identify_object` calls `i`. Procedures are known by their OUT arguments, too:
/// without, a name fits several from 14 on.
pub(super) const DROP_IDENTITY: &str = "CASE i.type WHEN 'procedure' THEN (SELECT pg_catalog.concat( \
     pg_catalog.quote_ident(pn.nspname), '.', pg_catalog.quote_ident(p.proname), \
     '(', pg_catalog.pg_get_function_identity_arguments(p.oid), ')') \
     FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace WHERE p.oid = f.objid) \
     ELSE i.identity END";

/// Relations, indexes, types and routines of the archive's names. Indexes and identity sequences of tables that go are
/// left out.
async fn existing_objects(session: &Session, held: &HeldObjects) -> Found<Vec<ExistingObject>> {
    let (schemas, names) = unzip(&held.relations);
    let (routine_schemas, routines) = unzip(&held.routines);
    let rows = session
        .query(
            &format!(
            "WITH wanted AS (SELECT n.oid AS nspoid, w.name \
             FROM unnest($1::text[], $2::text[]) AS w(nspname, name) \
             JOIN pg_catalog.pg_namespace n ON n.nspname = w.nspname), \
             routine AS (SELECT n.oid AS nspoid, w.tag \
             FROM unnest($3::text[], $4::text[]) AS w(nspname, tag) \
             JOIN pg_catalog.pg_namespace n ON n.nspname = w.nspname), \
             found AS ( \
             SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid AS classid, c.oid AS objid, \
             COALESCE(i.indrelid, identity.attrelid) AS table_oid, con.conname::text AS conname, \
             identity.attname::text AS identity_column, c.relkind IN ('r', 'p') AS is_lockable \
             FROM pg_catalog.pg_class c \
             JOIN wanted w ON w.nspoid = c.relnamespace AND w.name = c.relname \
             LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid \
             LEFT JOIN pg_catalog.pg_constraint con ON con.conindid = c.oid AND con.contype IN ('p', 'u', 'x') \
             LEFT JOIN pg_catalog.pg_depend d ON c.relkind = 'S' AND d.deptype = 'i' AND d.objid = c.oid \
             AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = d.classid \
             LEFT JOIN pg_catalog.pg_attribute identity \
             ON identity.attrelid = d.refobjid AND identity.attnum = d.refobjsubid \
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'i', 'I') \
             UNION ALL \
             SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, NULL, NULL, NULL, false \
             FROM pg_catalog.pg_type t \
             JOIN wanted w ON w.nspoid = t.typnamespace AND w.name = t.typname \
             LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid \
             WHERE (t.typrelid = 0 OR c.relkind = 'c') AND t.typtype <> 'm' \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid) \
             UNION ALL \
             SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, NULL, NULL, NULL, false \
             FROM pg_catalog.pg_proc p \
             JOIN routine r ON r.nspoid = p.pronamespace \
             AND r.tag IN (p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')', \
             p.proname || '(' || pg_catalog.oidvectortypes(p.proargtypes) || ')', \
             CASE WHEN p.pronargs = 0 THEN p.proname || '(*)' END)) \
             SELECT f.classid, f.objid, f.table_oid, f.conname, f.identity_column, f.is_lockable, i.type, \
             {DROP_IDENTITY} AS identity, \
             (SELECT t.identity FROM pg_catalog.pg_identify_object('pg_catalog.pg_class'::pg_catalog.regclass, f.table_oid, 0) t \
             WHERE f.table_oid IS NOT NULL) AS table_identity \
             FROM found f CROSS JOIN LATERAL pg_catalog.pg_identify_object(f.classid, f.objid, 0) i \
             ORDER BY i.type COLLATE \"C\", i.identity COLLATE \"C\""
            ),
            &[&schemas, &names, &routine_schemas, &routines],
        )
        .await?;
    let found: Vec<ExistingObject> = rows
        .into_iter()
        .map(|row| {
            let table: Option<&str> = row.get("table_identity");
            let change = render_change_of_table(row.get("conname"), row.get("identity_column"));
            ExistingObject {
                class: row.get("classid"),
                oid: row.get("objid"),
                kind: row.get("type"),
                identity: row.get("identity"),
                table: row.get("table_oid"),
                drop: table.zip(change).map(|(table, change)| OwnDrop {
                    statement: format!("ALTER TABLE {table} {change};"),
                    turn: DropTurn::Early,
                }),
                is_lockable: row.get("is_lockable"),
                is_extra: false,
            }
        })
        .collect();
    let oids: HashSet<Oid> = found.iter().map(|object| object.oid).collect();
    Ok(found
        .into_iter()
        .filter(|object| object.table.is_none_or(|table| !oids.contains(&table)))
        .collect())
}

/// How the table gives up the index behind a constraint, or the sequence behind an identity column.
fn render_change_of_table(
    constraint: Option<&str>,
    identity_column: Option<&str>,
) -> Option<String> {
    let of_constraint =
        constraint.map(|name| format!("DROP CONSTRAINT IF EXISTS {} CASCADE", quote::ident(name)));
    let of_identity = || {
        identity_column.map(|name| format!("ALTER {} DROP IDENTITY IF EXISTS", quote::ident(name)))
    };
    of_constraint.or_else(of_identity)
}

/// A kind of which the target is asked by the archive's names: the catalog `r` with joins, the column of the schema,
/// and the name as the table of contents has it.
struct NamedKind {
    kind: Kind,
    from: &'static str,
    schema: Option<&'static str>,
    name: &'static str,
    class: &'static str,
}

const fn named_kind(
    kind: Kind,
    class: &'static str,
    from: &'static str,
    schema: Option<&'static str>,
    name: &'static str,
) -> NamedKind {
    NamedKind {
        kind,
        from,
        schema,
        name,
        class,
    }
}

/// Names are built as the kinds' `tag()` builds them.
const NAMED_KINDS: &[NamedKind] = &[
    named_kind(
        Kind::Language,
        "pg_language",
        "pg_catalog.pg_language r",
        None,
        "r.lanname",
    ),
    named_kind(
        Kind::Collation,
        "pg_collation",
        "pg_catalog.pg_collation r",
        Some("collnamespace"),
        "r.collname",
    ),
    named_kind(
        Kind::Cast,
        "pg_cast",
        "pg_catalog.pg_cast r",
        None,
        "'(' || pg_catalog.format_type(r.castsource, NULL) || ' AS ' || pg_catalog.format_type(r.casttarget, NULL) || ')'",
    ),
    named_kind(
        Kind::Transform,
        "pg_transform",
        "pg_catalog.pg_transform r JOIN pg_catalog.pg_language l ON l.oid = r.trflang",
        None,
        "'FOR ' || pg_catalog.format_type(r.trftype, NULL) || ' LANGUAGE ' || l.lanname",
    ),
    named_kind(
        Kind::AccessMethod,
        "pg_am",
        "pg_catalog.pg_am r",
        None,
        "r.amname",
    ),
    named_kind(
        Kind::Operator,
        "pg_operator",
        "pg_catalog.pg_operator r",
        Some("oprnamespace"),
        "r.oprname || ' (' || COALESCE(pg_catalog.format_type(NULLIF(r.oprleft, 0), NULL), 'NONE') \
         || ', ' || COALESCE(pg_catalog.format_type(NULLIF(r.oprright, 0), NULL), 'NONE') || ')'",
    ),
    named_kind(
        Kind::OperatorFamily,
        "pg_opfamily",
        "pg_catalog.pg_opfamily r JOIN pg_catalog.pg_am am ON am.oid = r.opfmethod",
        Some("opfnamespace"),
        "r.opfname || ' USING ' || am.amname",
    ),
    named_kind(
        Kind::OperatorClass,
        "pg_opclass",
        "pg_catalog.pg_opclass r JOIN pg_catalog.pg_am am ON am.oid = r.opcmethod",
        Some("opcnamespace"),
        "r.opcname || ' USING ' || am.amname",
    ),
    family_member(&operator_family_member::CATALOGS[0]),
    family_member(&operator_family_member::CATALOGS[1]),
    named_kind(
        Kind::Conversion,
        "pg_conversion",
        "pg_catalog.pg_conversion r",
        Some("connamespace"),
        "r.conname",
    ),
    named_kind(
        Kind::TextSearchParser,
        "pg_ts_parser",
        "pg_catalog.pg_ts_parser r",
        Some("prsnamespace"),
        "r.prsname",
    ),
    named_kind(
        Kind::TextSearchTemplate,
        "pg_ts_template",
        "pg_catalog.pg_ts_template r",
        Some("tmplnamespace"),
        "r.tmplname",
    ),
    named_kind(
        Kind::TextSearchDictionary,
        "pg_ts_dict",
        "pg_catalog.pg_ts_dict r",
        Some("dictnamespace"),
        "r.dictname",
    ),
    named_kind(
        Kind::TextSearchConfiguration,
        "pg_ts_config",
        "pg_catalog.pg_ts_config r",
        Some("cfgnamespace"),
        "r.cfgname",
    ),
    named_kind(
        Kind::ForeignDataWrapper,
        "pg_foreign_data_wrapper",
        "pg_catalog.pg_foreign_data_wrapper r",
        None,
        "r.fdwname",
    ),
    named_kind(
        Kind::ForeignServer,
        "pg_foreign_server",
        "pg_catalog.pg_foreign_server r",
        None,
        "r.srvname",
    ),
    named_kind(
        Kind::UserMapping,
        "pg_user_mapping",
        "(SELECT umid AS oid, umuser, usename, srvname FROM pg_catalog.pg_user_mappings) r",
        None,
        "CASE r.umuser WHEN 0 THEN 'PUBLIC' ELSE r.usename END || ' SERVER ' || r.srvname",
    ),
    named_kind(
        Kind::ExtendedStatistics,
        "pg_statistic_ext",
        "pg_catalog.pg_statistic_ext r",
        Some("stxnamespace"),
        "r.stxname",
    ),
    named_kind(
        Kind::Publication,
        "pg_publication",
        "pg_catalog.pg_publication r",
        None,
        "r.pubname",
    ),
    named_kind(
        Kind::Subscription,
        "pg_subscription",
        SUBSCRIPTIONS_HERE,
        None,
        "r.name",
    ),
    named_kind(
        Kind::EventTrigger,
        "pg_event_trigger",
        "pg_catalog.pg_event_trigger r",
        None,
        "r.evtname",
    ),
    part_of_table(
        Kind::Trigger,
        "pg_trigger",
        "(SELECT t.oid, c.relnamespace, c.relname, t.tgname AS part FROM pg_catalog.pg_trigger t \
          JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal) r",
    ),
    part_of_table(
        Kind::Rule,
        "pg_rewrite",
        "(SELECT w.oid, c.relnamespace, c.relname, w.rulename AS part FROM pg_catalog.pg_rewrite w \
          JOIN pg_catalog.pg_class c ON c.oid = w.ev_class) r",
    ),
    part_of_table(
        Kind::Policy,
        "pg_policy",
        "(SELECT p.oid, c.relnamespace, c.relname, p.polname AS part FROM pg_catalog.pg_policy p \
          JOIN pg_catalog.pg_class c ON c.oid = p.polrelid) r",
    ),
    part_of_table(Kind::ForeignKey, "pg_constraint", CONSTRAINTS),
    part_of_table(Kind::CheckConstraint, "pg_constraint", CONSTRAINTS),
];

const CONSTRAINTS: &str = "(SELECT k.oid, c.relnamespace, c.relname, k.conname AS part FROM pg_catalog.pg_constraint k \
     JOIN pg_catalog.pg_class c ON c.oid = k.conrelid) r";

/// Operators and functions of families that the archive does not hold.
const fn family_member(catalog: &MemberCatalog) -> NamedKind {
    named_kind(
        Kind::OperatorFamilyMember,
        catalog.name,
        catalog.from,
        None,
        catalog.tag,
    )
}

/// A part of a table that stays: "table name".
const fn part_of_table(kind: Kind, class: &'static str, from: &'static str) -> NamedKind {
    named_kind(
        kind,
        class,
        from,
        Some("relnamespace"),
        "r.relname || ' ' || r.part",
    )
}

/// Objects of the other kinds, in the order in which they must go: what came last goes first.
async fn existing_others(session: &Session, held: &HeldObjects) -> Found<Vec<ExistingObject>> {
    let rows = find_others(session, &held.others).await?;
    Ok(rows
        .into_iter()
        .filter_map(|(at, row)| {
            let other = held.others.get(at)?;
            Some(ExistingObject {
                class: row.get("classid"),
                oid: row.get("objid"),
                kind: row.get("type"),
                identity: row.get("identity"),
                table: None,
                drop: Some(OwnDrop {
                    statement: with_cascade(&other.drop),
                    turn: match other.kind {
                        Kind::EventTrigger => DropTurn::First,
                        // Servers up to 12 let its type go and keep the row, which nobody can name any more.
                        Kind::OperatorFamilyMember => DropTurn::Early,
                        _ => DropTurn::Late,
                    },
                }),
                is_lockable: false,
                is_extra: false,
            })
        })
        .collect())
}

/// Those of kinds with names of their own that the target has, the last one first: each with its place in `others` and its row.
pub(super) async fn find_others(
    session: &Session,
    others: &[HeldObject],
) -> Found<Vec<(usize, tokio_postgres::Row)>> {
    let parts: Vec<String> = NAMED_KINDS
        .iter()
        .filter(|named| others.iter().any(|other| other.kind == named.kind))
        .map(|NamedKind { kind, from, schema, name, class }| {
            let (schema_join, schema) = match schema {
                Some(column) => (
                    format!("JOIN pg_catalog.pg_namespace n ON n.oid = r.{column} "),
                    "n.nspname::text",
                ),
                None => (String::new(), "''"),
            };
            format!(
                "SELECT w.place, 'pg_catalog.{class}'::pg_catalog.regclass::pg_catalog.oid AS classid, r.oid AS objid \
                 FROM {from} {schema_join}JOIN wanted w ON w.kind = '{kind}' AND w.nspname = {schema} AND w.name = {name}"
            )
        })
        .collect();
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    let query = format!(
        "WITH {WANTED}, found AS ({}) \
         SELECT f.place, f.classid, f.objid, COALESCE(i.type, '') AS type, COALESCE(i.identity, '') AS identity \
         FROM found f CROSS JOIN LATERAL pg_catalog.pg_identify_object(f.classid, f.objid, 0) i ORDER BY f.place DESC",
        parts.join(" UNION ALL ")
    );
    let rows = query_wanted(session, &query, others).await?;
    Ok(rows.into_iter().filter_map(with_place).collect())
}

/// The places of the schemas, extensions, relations, types and routines among `objects` that the target has.
pub(super) async fn find_present(
    session: &Session,
    objects: &[HeldObject],
) -> Found<HashSet<usize>> {
    let query = format!(
        "WITH {WANTED} \
         SELECT w.place FROM wanted w JOIN pg_catalog.pg_namespace n ON n.nspname = w.name WHERE w.kind = 'SCHEMA' \
         UNION ALL \
         SELECT w.place FROM wanted w JOIN pg_catalog.pg_extension e ON e.extname = w.name WHERE w.kind = 'EXTENSION' \
         UNION ALL \
         SELECT w.place FROM wanted w JOIN pg_catalog.pg_namespace n ON n.nspname = w.nspname \
         JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name \
         WHERE w.kind = ANY ($4) \
         UNION ALL \
         SELECT w.place FROM wanted w JOIN pg_catalog.pg_namespace n ON n.nspname = w.nspname \
         JOIN pg_catalog.pg_type t ON t.typnamespace = n.oid AND t.typname = w.name \
         WHERE w.kind = ANY ($4) \
         UNION ALL \
         SELECT w.place FROM wanted w JOIN pg_catalog.pg_namespace n ON n.nspname = w.nspname \
         JOIN pg_catalog.pg_proc p ON p.pronamespace = n.oid \
         AND w.name IN (p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')', \
         p.proname || '(' || pg_catalog.oidvectortypes(p.proargtypes) || ')', \
         CASE WHEN p.pronargs = 0 THEN p.proname || '(*)' END) \
         WHERE w.kind IN ('FUNCTION', 'PROCEDURE', 'AGGREGATE')"
    );
    let kinds = [
        Kind::Table,
        Kind::ForeignTable,
        Kind::View,
        Kind::MaterializedView,
        Kind::Sequence,
        Kind::EnumType,
        Kind::CompositeType,
        Kind::RangeType,
        Kind::BaseType,
        Kind::ShellType,
        Kind::Domain,
    ];
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    let (of, schemas, names) = wanted_columns(objects);
    let rows = session
        .query(&query, &[&of, &schemas, &names, &kinds])
        .await?;
    let places = rows.into_iter().filter_map(with_place);
    Ok(places.map(|(at, _)| at).collect())
}

/// The objects asked about, from three arrays of the same length.
const WANTED: &str = "wanted AS (SELECT * FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[]), \
     pg_catalog.unnest($3::text[])) WITH ORDINALITY AS w(kind, nspname, name, place))";

type Columns<'a> = (Vec<&'a str>, Vec<&'a str>, Vec<&'a str>);

fn wanted_columns(objects: &[HeldObject]) -> Columns<'_> {
    let kinds = objects.iter().map(|object| object.kind.as_str());
    let schemas = objects
        .iter()
        .map(|object| object.schema.as_deref().unwrap_or_default());
    let names = objects.iter().map(|object| object.name.as_str());
    (kinds.collect(), schemas.collect(), names.collect())
}

async fn query_wanted(
    session: &Session,
    query: &str,
    objects: &[HeldObject],
) -> Found<Vec<tokio_postgres::Row>> {
    let (kinds, schemas, names) = wanted_columns(objects);
    session.query(query, &[&kinds, &schemas, &names]).await
}

/// The place of a row, from 0.
fn with_place(row: tokio_postgres::Row) -> Option<(usize, tokio_postgres::Row)> {
    let place = usize::try_from(row.get::<_, i64>("place")).ok()?;
    Some((place.checked_sub(1)?, row))
}

/// A DROP statement that takes dependents along, whom somebody has looked at. User mappings have none.
fn with_cascade(drop: &str) -> String {
    match drop.strip_suffix(';') {
        Some(statement) if drop.starts_with("DROP ") && !drop.starts_with("DROP USER MAPPING") => {
            format!("{statement} CASCADE;")
        }
        _ => drop.to_owned(),
    }
}

async fn existing_large_objects(session: &Session, held: &HeldObjects) -> Found<Vec<Oid>> {
    if held.large_objects.is_empty() {
        return Ok(Vec::new());
    }
    let oids: Vec<u32> = held.large_objects.iter().copied().collect();
    let rows = session
        .query(
            "SELECT oid FROM pg_catalog.pg_largeobject_metadata WHERE oid = ANY($1::oid[]) ORDER BY oid",
            &[&oids],
        )
        .await?;
    Ok(rows.into_iter().map(|row| row.get("oid")).collect())
}

/// The common tables of the two queries below. $1 and $2 are the classes and OIDs of what will be dropped.
///
/// `parts`: what belongs to it and is not an object of its own right: indexes, constraints, triggers, rules, defaults, row
/// types, owned sequences. Partitions are tables of their own right, whatever `pg_depend` calls them, and so is
/// a publication's membership. `closure`: all that DROP ... CASCADE would drop, which goes down to dependents and up
/// to the owners of parts (from a view's rule to the view). Manual: "pg_depend".
const CLOSURE: &str = "WITH RECURSIVE held AS ( \
     SELECT h.classid, h.objid FROM unnest($1::oid[], $2::oid[]) AS h(classid, objid)), \
     parts AS ( \
     SELECT classid, objid FROM held \
     UNION \
     SELECT d.classid, d.objid FROM parts p \
     JOIN pg_catalog.pg_depend d ON d.refclassid = p.classid AND d.refobjid = p.objid \
     WHERE d.deptype IN ('a', 'i', 'I', 'P', 'S') \
     AND NOT (d.classid = 'pg_catalog.pg_publication_rel'::pg_catalog.regclass \
     AND p.classid = 'pg_catalog.pg_class'::pg_catalog.regclass) \
     AND NOT (d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
     AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = d.objid AND c.relkind IN ('r', 'p', 'f')))), \
     closure AS ( \
     SELECT classid, objid, 0 AS objsubid FROM held \
     UNION \
     SELECT n.classid, n.objid, n.objsubid FROM closure c CROSS JOIN LATERAL ( \
     SELECT d.classid, d.objid, d.objsubid FROM pg_catalog.pg_depend d \
     WHERE d.refclassid = c.classid AND d.refobjid = c.objid \
     AND (c.objsubid = 0 OR d.refobjsubid = c.objsubid) AND d.classid <> 0 \
     UNION ALL \
     SELECT d.refclassid, d.refobjid, d.refobjsubid FROM pg_catalog.pg_depend d \
     WHERE d.classid = c.classid AND d.objid = c.objid AND d.objsubid = c.objsubid \
     AND d.deptype IN ('i', 'e')) n), \
     foreign_objects AS ( \
     SELECT c.classid, c.objid, c.objsubid FROM closure c \
     WHERE NOT EXISTS (SELECT FROM parts p WHERE p.classid = c.classid AND p.objid = c.objid)) ";

fn class_and_oid(objects: &[ExistingObject]) -> (Vec<Oid>, Vec<Oid>) {
    objects
        .iter()
        .map(|object| (object.class, object.oid))
        .unzip()
}

/// Dependents that the archive does not hold, without the parts of such dependents.
async fn foreign_dependents(session: &Session, objects: &[ExistingObject]) -> Found<Vec<String>> {
    let (classes, oids) = class_and_oid(objects);
    let query = format!(
        "{CLOSURE} \
         SELECT pg_catalog.pg_describe_object(f.classid, f.objid, f.objsubid) AS description \
         FROM foreign_objects f \
         WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
         JOIN foreign_objects o ON o.classid = d.refclassid AND o.objid = d.refobjid \
         AND (o.objsubid = 0 OR o.objsubid = d.refobjsubid) \
         WHERE d.classid = f.classid AND d.objid = f.objid AND d.deptype IN ('a', 'i', 'I', 'P', 'S') \
         AND NOT (o.classid = f.classid AND o.objid = f.objid)) \
         AND NOT (f.objsubid <> 0 AND EXISTS (SELECT FROM foreign_objects o \
         WHERE o.classid = f.classid AND o.objid = f.objid AND o.objsubid = 0)) \
         ORDER BY 1"
    );
    let rows = session.query(&query, &[&classes, &oids]).await?;
    Ok(rows.into_iter().map(|row| row.get("description")).collect())
}

/// The archive's schemas that exist: those that will be empty, and those that keep something.
async fn sort_schemas(
    session: &Session,
    held: &HeldObjects,
    objects: &[ExistingObject],
    cascade: bool,
) -> Found<(Vec<String>, Vec<String>)> {
    let (classes, oids) = class_and_oid(objects);
    let names: Vec<&str> = held.schemas.iter().map(String::as_str).collect();
    let gone = if cascade { "closure" } else { "parts" };
    // Default privileges in the schema depend on it with 'a': they go with it.
    let query = format!(
        "{CLOSURE} \
         SELECT n.nspname::text AS nspname, EXISTS (SELECT FROM pg_catalog.pg_depend d \
         WHERE d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.refobjid = n.oid \
         AND d.deptype <> 'a' \
         AND NOT EXISTS (SELECT FROM {gone} g WHERE g.classid = d.classid AND g.objid = d.objid)) AS is_kept \
         FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY($3::text[]) ORDER BY n.nspname"
    );
    let rows = session.query(&query, &[&classes, &oids, &names]).await?;
    let (kept, dropped): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.get("is_kept"));
    let names = |rows: Vec<tokio_postgres::Row>| {
        rows.into_iter()
            .map(|row| row.get("nspname"))
            .collect::<Vec<String>>()
    };
    Ok((names(dropped), names(kept)))
}

/// The statements after which `pg_default_acl` has no row of the roles and schemas whose default privileges
/// the archive will set again.
async fn reset_default_privileges(session: &Session, held: &HeldObjects) -> Found<Vec<String>> {
    let (roles, schemas) = unzip(&held.default_privileges);
    let exact: Vec<&str> = held.exact_schemas.iter().map(String::as_str).collect();
    let rows = session
        .query(
            "SELECT r.rolname::text AS role, n.nspname::text AS schema, d.defaclobjtype::text AS objtype, \
             COALESCE(pg_catalog.array_agg(DISTINCT COALESCE(g.rolname::text, '')) \
             FILTER (WHERE a.grantee IS NOT NULL), '{}') AS grantees \
             FROM pg_catalog.pg_default_acl d \
             JOIN pg_catalog.pg_roles r ON r.oid = d.defaclrole \
             LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace \
             LEFT JOIN LATERAL pg_catalog.aclexplode(d.defaclacl) a ON true \
             LEFT JOIN pg_catalog.pg_roles g ON g.oid = a.grantee \
             WHERE EXISTS (SELECT FROM unnest($1::text[], $2::text[]) AS w(role, nspname) \
             WHERE w.role = r.rolname AND w.nspname = COALESCE(n.nspname::text, '')) \
             OR n.nspname = ANY($3::text[]) \
             GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            &[&roles, &schemas, &exact],
        )
        .await?;
    Ok(rows
        .into_iter()
        .flat_map(|row| {
            render_reset(
                row.get("role"),
                row.get("schema"),
                row.get("objtype"),
                row.get("grantees"),
            )
        })
        .collect())
}

/// Takes all privileges away and, for default privileges of all schemas, gives the built-in ones back: a row that equals these
/// is deleted by the server.
fn render_reset(
    role: &str,
    schema: Option<&str>,
    objtype: &str,
    grantees: Vec<String>,
) -> Vec<String> {
    let kind = match objtype {
        "r" => "TABLES",
        "S" => "SEQUENCES",
        "f" => "FUNCTIONS",
        "T" => "TYPES",
        "n" => "SCHEMAS",
        _ => "LARGE OBJECTS",
    };
    let head = match schema {
        Some(schema) => format!(
            "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {}",
            quote::ident(role),
            quote::ident(schema)
        ),
        None => format!("ALTER DEFAULT PRIVILEGES FOR ROLE {}", quote::ident(role)),
    };
    let mut statements: Vec<String> = grantees
        .iter()
        .map(|grantee| format!("{head} REVOKE ALL ON {kind} FROM {};", quote::role(grantee)))
        .collect();
    if schema.is_none() {
        statements.push(format!(
            "{head} GRANT ALL ON {kind} TO {};",
            quote::ident(role)
        ));
        match kind {
            "FUNCTIONS" => statements.push(format!("{head} GRANT EXECUTE ON FUNCTIONS TO PUBLIC;")),
            "TYPES" => statements.push(format!("{head} GRANT USAGE ON TYPES TO PUBLIC;")),
            _ => {}
        }
    }
    statements
}

/// Drops and recreates, in the transaction that the session is in.
///
/// `new_database`: the run has made the database and will drop it if it fails, so that many definitions may come in several
/// transactions, for each of which the server's table of locks has room.
///
/// # Errors
/// `Restore`, naming the entry: the transaction can only be rolled back.
pub(crate) async fn clean_and_create(
    session: &Session,
    plan: &RestorePlan,
    texts: &StatementTexts,
    cascade: bool,
    new_database: Option<&RunState>,
    events: &Events,
) -> Result<()> {
    let failed = |what: &'static str| {
        move |error| with_lock_hint(Error::from_server(ErrorKind::Restore, what, error))
    };
    events.phase(Phase::Clean);
    let before = survey(session, &plan.held, cascade).await?;
    if let Some(lock) = render_lock(&before) {
        session
            .batch_execute(&lock)
            .await
            .map_err(failed("could not lock the tables to be dropped"))?;
    }
    // What was looked up before the locks may have changed until they were granted.
    let now = survey(session, &plan.held, cascade).await?;
    now.refuse_foreign(cascade)?;
    exact::refuse_unseen(&now.describe_extras(), &plan.held.extras_seen)?;
    let drops = render_drops(&now, &plan.held);
    events.emit(Event::Planned {
        items: drops.len() as u64,
        bytes: 0,
    });
    for statement in &drops {
        session
            .batch_execute(statement)
            .await
            .map_err(failed("could not drop what the archive recreates"))?;
    }
    events.phase(Phase::PreData);
    if let Some(schema) = &plan.makes_schema {
        make_schema(session, schema)
            .await
            .map_err(failed("could not make the schema that tables go into"))?;
    }
    let kept: HashSet<&str> = now.kept_schemas.iter().map(String::as_str).collect();
    let extensions = schemas_of_extensions(session)
        .await
        .map_err(failed("could not look up the extensions"))?;
    events.emit(Event::Planned {
        items: plan.pre_data.len() as u64,
        bytes: 0,
    });
    let pieces = match new_database {
        Some(_) => split_definitions(&plan.pre_data),
        None => vec![&plan.pre_data[..]],
    };
    for (at, steps) in pieces.into_iter().enumerate() {
        if let Some(state) = new_database.filter(|_| at > 0) {
            state.piece_commits();
            session
                .batch_execute("COMMIT; BEGIN;")
                .await
                .map_err(failed("could not commit definitions"))?;
        }
        create_pre_data(session, steps, &kept, &extensions, texts).await?;
    }
    let before = extensions.keys().map(String::as_str).collect();
    configuration::empty(session, &plan.held.configuration, &before).await
}

/// Splits definitions, in order, into pieces for a transaction each. A group of large objects that get another owner takes as many
/// locks as a whole piece.
fn split_definitions(steps: &[Step]) -> Vec<&[Step]> {
    let weight = |step: &Step| match step.kind {
        Kind::LargeObject => PIECE,
        _ => 1,
    };
    if steps.iter().map(weight).sum::<usize>() <= ONE_PIECE {
        return vec![steps];
    }
    let (mut pieces, mut start, mut weighs) = (Vec::new(), 0, 0);
    for (at, step) in steps.iter().enumerate() {
        if weighs + weight(step) > PIECE && at > start {
            pieces.push(&steps[start..at]);
            (start, weighs) = (at, 0);
        }
        weighs += weight(step);
    }
    pieces.push(&steps[start..]);
    pieces
}

fn render_lock(survey: &Survey) -> Option<String> {
    let tables: Vec<&str> = survey
        .objects
        .iter()
        .filter(|object| object.is_lockable)
        .map(|object| object.identity.as_str())
        .collect();
    (!tables.is_empty()).then(|| {
        format!(
            "LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE",
            tables.join(", ONLY ")
        )
    })
}

fn render_drops(survey: &Survey, held: &HeldObjects) -> Vec<String> {
    let own = |turn: DropTurn| {
        let drops = survey
            .objects
            .iter()
            .filter_map(|object| object.drop.as_ref());
        drops
            .filter(move |drop| drop.turn == turn)
            .map(|drop| drop.statement.clone())
    };
    let mut statements: Vec<String> = own(DropTurn::First).collect();
    statements.extend_from_slice(&survey.default_privileges);
    statements.extend(own(DropTurn::Early));
    let mut by_kind: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for object in survey.objects.iter().filter(|object| object.drop.is_none()) {
        by_kind
            .entry(drop_word(&object.kind))
            .or_default()
            .push(&object.identity);
    }
    for (word, identities) in by_kind {
        for batch in identities.chunks(DROP_BATCH) {
            let names: Vec<String> = batch
                .iter()
                // The identity of an aggregate without arguments is "a()", which DROP AGGREGATE writes "a(*)".
                .map(|identity| match identity.strip_suffix("()") {
                    Some(name) if word == "AGGREGATE" => format!("{name}(*)"),
                    _ => (*identity).to_owned(),
                })
                .collect();
            statements.push(format!(
                "DROP {word} IF EXISTS {} CASCADE;",
                names.join(", ")
            ));
        }
    }
    statements.extend(own(DropTurn::Late));
    // Routines of the same signature with other argument names. Without CASCADE: nobody looked at their dependents.
    let drops: Vec<&str> = held.routine_drops.iter().map(String::as_str).collect();
    for batch in drops.chunks(DROP_BATCH) {
        statements.push(batch.join("\n"));
    }
    for schema in &survey.schemas {
        statements.push(format!("DROP SCHEMA IF EXISTS {};", quote::ident(schema)));
    }
    for oids in survey.large_objects.chunks(DROP_BATCH) {
        let calls: Vec<String> = oids
            .iter()
            .map(|oid| format!("pg_catalog.lo_unlink({oid})"))
            .collect();
        statements.push(format!("SELECT {};", calls.join(", ")));
    }
    statements
}

/// `pg_identify_object`'s word as DROP has it.
fn drop_word(kind: &str) -> &'static str {
    match kind {
        "table" => "TABLE",
        "foreign table" => "FOREIGN TABLE",
        "view" => "VIEW",
        "materialized view" => "MATERIALIZED VIEW",
        "sequence" => "SEQUENCE",
        "index" => "INDEX",
        "function" => "FUNCTION",
        "procedure" => "PROCEDURE",
        "aggregate" => "AGGREGATE",
        // "type" for base types, enums, ranges, domains and composite types alike; DROP TYPE takes all of them.
        _ => "TYPE",
    }
}

/// Runs pre-data without waiting for each answer. The first error is the one that matters: the server refuses
/// everything after it in the same transaction.
async fn create_pre_data(
    session: &Session,
    steps: &[Step],
    kept_schemas: &HashSet<&str>,
    extensions: &HashMap<String, String>,
    texts: &StatementTexts,
) -> Result<()> {
    let mut sent = VecDeque::new();
    for step in steps {
        let mut sql = texts.sql(&existing_schema_kept(step, kept_schemas))?;
        sql.extend(render_move(step, &sql, extensions));
        let mut answer = Box::pin(async move { session.batch_execute(&sql).await });
        // The first poll sends the statement; the order of the calls is the order on the wire.
        if let std::task::Poll::Ready(result) = futures::poll!(answer.as_mut()) {
            result.map_err(|error| not_created(step, error))?;
            continue;
        }
        sent.push_back((step, answer));
        if sent.len() >= PIPELINE
            && let Some((step, answer)) = sent.pop_front()
        {
            answer.await.map_err(|error| not_created(step, error))?;
        }
    }
    for (step, answer) in sent {
        answer.await.map_err(|error| not_created(step, error))?;
    }
    Ok(())
}

/// A schema that stays is not created again, but given to its owner.
fn existing_schema_kept(step: &Step, kept_schemas: &HashSet<&str>) -> Step {
    let mut step = step.clone();
    if step.kind == Kind::Schema && kept_schemas.contains(step.name.as_str()) {
        step.create = None;
    }
    step
}

/// Makes a schema unless it is there: IF NOT EXISTS would want the right to make it in any case.
async fn make_schema(session: &Session, schema: &str) -> Found<()> {
    let query = "SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1::text";
    if session.query(query, &[&schema]).await?.is_empty() {
        let create = format!("CREATE SCHEMA {}", quote::ident(schema));
        session.batch_execute(&create).await?;
    }
    Ok(())
}

/// The target's extensions with their schemas. Extensions are not dropped: theirs are more objects than the archive knows.
async fn schemas_of_extensions(session: &Session) -> Found<HashMap<String, String>> {
    let query = "SELECT e.extname::text AS name, n.nspname::text AS schema FROM pg_catalog.pg_extension e \
                 JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace";
    let rows = session.query(query, &[]).await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.get("name"), row.get("schema")))
        .collect())
}

/// An extension that the target has in another schema goes to that of the archive, whose objects look for it there.
fn render_move(step: &Step, create: &str, extensions: &HashMap<String, String>) -> Option<String> {
    let is = extensions.get(&step.name)?;
    let wanted = name_after(create, "SCHEMA")?;
    (step.kind == Kind::Extension && *is != wanted).then(|| {
        format!(
            "\nALTER EXTENSION {} SET SCHEMA {};",
            quote::ident(&step.name),
            quote::ident(&wanted)
        )
    })
}

fn not_created(step: &Step, error: tokio_postgres::Error) -> Error {
    let DumpId(number) = step.id;
    let message = format!("could not create {}", step.label);
    with_lock_hint(
        Error::from_server(ErrorKind::Restore, message, error).detail(format!(
            "Entry {number} of the archive's table of contents."
        )),
    )
}

/// Adds the hint that SQLSTATE 53200 calls for: the one transaction needs a lock per table, index and sequence.
fn with_lock_hint(error: Error) -> Error {
    if error.details().iter().any(|line| line.contains("53200")) {
        error.hint("Raise max_locks_per_transaction on the target server and restart it, or restore with --swap, which needs few locks.")
    } else {
        error
    }
}
