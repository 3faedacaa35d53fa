//! What the role may not do: decided before anything changes, by name.
//!
//! A managed service gives out no superuser. [`read`] asks the server what the role may, [`judge`] (pure) compares every
//! statement of the plan with it. What it may not stops the restore, or is left out with `--skip-privileged`: then also what needs it; but never a
//! table or its rows. Sources: the manual's page of each command, section "Notes" or "Parameters".

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::Result;
use crate::archive::DumpId;
use crate::conn::{ServerVersion, Session};
use crate::objects::{Kind, quote};

use super::RestoreOptions;
use super::check::{cannot_check, loaded_only};
use super::clean::Survey;
use super::extensions::Extensions;
use super::findings::{Check, Findings};
use super::plan::{Exclusions, RestorePlan, Step};
use super::statement_words::{has_words, language, mentioned_roles, name_after, tokens};
use super::texts::StatementTexts;

/// What the server says of the role. Of a superuser only that it is one.
#[derive(Debug, Default)]
pub(super) struct Rights {
    is_superuser: bool,
    may_make_roles: bool,
    /// It must make the database and may not.
    lacks_createdb: bool,
    /// Schemas, extensions, publications.
    may_create: bool,
    may_subscribe: bool,
    /// Roles that it may give objects to.
    assumable: BTreeSet<String>,
    /// The target's schemas: whether it owns them, whether it may create there.
    schemas: BTreeMap<String, (bool, bool)>,
    /// Extensions that are there: whether it owns them.
    installed: BTreeMap<String, bool>,
    /// Extensions that it may make. `None` if the server cannot tell: then it will be seen.
    installable: Option<BTreeSet<String>>,
    /// Languages that it may use.
    languages: BTreeSet<String>,
    /// Foreign-data wrappers that it may use.
    wrappers: BTreeSet<String>,
    /// Tablespaces that it may use.
    tablespaces: BTreeSet<String>,
}

/// What the role may not do.
#[derive(Debug, Default)]
pub(super) struct Denied {
    /// Entries that may be left out, each with its label and the reason.
    skippable: Vec<(DumpId, String, String)>,
    /// Owners that objects cannot be given to, with the labels of these.
    owners: BTreeMap<String, Vec<String>>,
    /// What cannot be done without, in words.
    needed: Vec<String>,
}

/// Asks the server. `new_database`: the role will make it, and with it comes what its owner may.
///
/// # Errors
/// `Restore`.
pub(super) async fn read(
    session: &Session,
    extensions: &Extensions,
    new_database: bool,
) -> Result<Rights> {
    let server = session.version();
    // Both came with 16: SET as an option of membership, and who may subscribe.
    let (set, subscribe) = match server >= ServerVersion::major(16) {
        true => (
            "SET",
            "pg_catalog.pg_has_role('pg_create_subscription', 'USAGE')",
        ),
        false => ("MEMBER", "false"),
    };
    // Superusers may do all that is listed here, and one role whose name is in another database's encoding makes the list of roles fail.
    let row = session
        .query_one(
            &format!(
                "SELECT r.rolsuper, r.rolcreaterole, r.rolcreatedb, {subscribe} AS may_subscribe, \
                 pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') AS may_create, \
                 ARRAY(SELECT o.rolname::text FROM pg_catalog.pg_roles o \
                 WHERE NOT r.rolsuper AND pg_catalog.pg_has_role(o.oid, '{set}')) AS assumable, \
                 ARRAY(SELECT l.lanname::text FROM pg_catalog.pg_language l WHERE l.lanpltrusted \
                 AND pg_catalog.has_language_privilege(l.oid, 'USAGE')) AS languages, \
                 ARRAY(SELECT w.fdwname::text FROM pg_catalog.pg_foreign_data_wrapper w \
                 WHERE pg_catalog.has_foreign_data_wrapper_privilege(w.oid, 'USAGE')) AS wrappers, \
                 ARRAY(SELECT t.spcname::text FROM pg_catalog.pg_tablespace t \
                 WHERE NOT r.rolsuper AND pg_catalog.has_tablespace_privilege(t.oid, 'CREATE')) AS tablespaces \
                 FROM pg_catalog.pg_roles r WHERE r.rolname = CURRENT_USER"
            ),
            &[],
        )
        .await
        .map_err(cannot_check)?;
    let set = |column: &str| row.get::<_, Vec<String>>(column).into_iter().collect();
    let mut rights = Rights {
        is_superuser: row.get("rolsuper"),
        may_make_roles: row.get("rolcreaterole"),
        lacks_createdb: new_database && !row.get::<_, bool>("rolcreatedb"),
        may_create: new_database || row.get::<_, bool>("may_create"),
        may_subscribe: row.get("may_subscribe"),
        assumable: set("assumable"),
        installable: extensions.for_all(),
        languages: set("languages"),
        wrappers: set("wrappers"),
        tablespaces: set("tablespaces"),
        ..Rights::default()
    };
    if rights.is_superuser {
        return Ok(rights);
    }
    if new_database {
        // As template0 has it: since 15 "public" is its owner's, before it is open to all.
        let owns_public = server >= ServerVersion::major(15);
        rights
            .schemas
            .insert("public".to_owned(), (owns_public, true));
        rights.wrappers.clear();
        return Ok(rights);
    }
    let rows = session
        .query(
            "SELECT n.nspname::text AS name, pg_catalog.pg_has_role(n.nspowner, 'USAGE') AS owns, \
             pg_catalog.has_schema_privilege(n.oid, 'CREATE') AS may_create, false AS is_extension \
             FROM pg_catalog.pg_namespace n \
             UNION ALL \
             SELECT e.extname::text, pg_catalog.pg_has_role(e.extowner, 'USAGE'), false, true \
             FROM pg_catalog.pg_extension e",
            &[],
        )
        .await
        .map_err(cannot_check)?;
    for row in rows {
        let name: String = row.get("name");
        match row.get("is_extension") {
            true => {
                rights.installed.insert(name, row.get("owns"));
            }
            false => {
                let schema = (row.get("owns"), row.get("may_create"));
                rights.schemas.insert(name, schema);
            }
        }
    }
    Ok(rights)
}

/// Compares every statement of the plan with the rights. Pure.
///
/// # Errors
/// `Damaged`.
pub(super) fn judge(
    plan: &RestorePlan,
    texts: &StatementTexts,
    rights: &Rights,
    kept_schemas: &[String],
) -> Result<Denied> {
    let mut denied = Denied::default();
    if rights.is_superuser {
        return Ok(denied);
    }
    let made = Made::of(plan, kept_schemas);
    let mut skipped: HashMap<DumpId, String> = HashMap::new();
    let mut closed_schemas = BTreeSet::new();
    for step in plan.steps() {
        let sql = texts.sql(step)?;
        let needs = step.depends_on.iter().find_map(|id| skipped.get(id));
        let reason = match (reason(step, &sql, rights, &made), needs) {
            (Some(reason), _) => Some(reason.to_owned()),
            (None, Some(label)) => Some(format!("it needs {label}")),
            (None, None) => None,
        };
        if let Some(reason) = reason {
            skipped.insert(step.id, step.label.clone());
            match is_indispensable(step.kind) {
                true => denied.needed.push(format!("{}: {reason}", step.label)),
                false => denied.skippable.push((step.id, step.label.clone(), reason)),
            }
            continue;
        }
        if let Some(owner) = step
            .owner
            .as_ref()
            .filter(|it| !rights.assumable.contains(*it))
        {
            let owned = denied.owners.entry(owner.clone()).or_default();
            owned.push(step.label.clone());
        }
        if let Some(schema) = step.schema.as_deref()
            && creates_in_schema(step.kind)
            && !made.schemas.contains(schema)
            && rights.schemas.get(schema).is_some_and(|(_, may)| !may)
        {
            closed_schemas.insert(schema);
        }
    }
    let schemas = closed_schemas.into_iter();
    denied.needed.extend(
        schemas.map(|schema| format!("the role may not create in schema {}", quote::ident(schema))),
    );
    if rights.lacks_createdb {
        denied.needed.push("the role has no CREATEDB".to_owned());
    }
    let creates = |step: &Step| {
        matches!(step.kind, Kind::Schema | Kind::Publication | Kind::Language)
            || step.kind == Kind::Extension && !rights.installed.contains_key(&step.name)
    };
    if !rights.may_create && plan.steps().any(creates) {
        let message = "the role has no CREATE on the database, which schemas, extensions and publications need";
        denied.needed.push(message.to_owned());
    }
    Ok(denied)
}

/// What the plan itself makes.
struct Made<'a> {
    entries: HashSet<DumpId>,
    schemas: HashSet<&'a str>,
    languages: HashSet<&'a str>,
    wrappers: HashSet<&'a str>,
}

impl<'a> Made<'a> {
    fn of(plan: &'a RestorePlan, kept_schemas: &[String]) -> Made<'a> {
        let names = |kinds: &[Kind]| {
            let steps = plan.steps().filter(|step| kinds.contains(&step.kind));
            steps.map(|step| step.name.as_str()).collect::<HashSet<_>>()
        };
        let mut schemas = names(&[Kind::Schema]);
        schemas.retain(|name| !kept_schemas.iter().any(|kept| kept == name));
        Made {
            entries: plan.steps().map(|step| step.id).collect(),
            schemas,
            // An extension may make a language, or a wrapper of nearly its own name.
            languages: names(&[Kind::Language, Kind::Extension]),
            wrappers: names(&[Kind::ForeignDataWrapper, Kind::Extension]),
        }
    }
}

const SUPERUSER: &str = "only superusers may make it";

/// Why the role may not run a step; `None` if it may, as far as one can tell.
fn reason(step: &Step, sql: &str, rights: &Rights, made: &Made<'_>) -> Option<&'static str> {
    match step.kind {
        Kind::Tablespace
        | Kind::ParameterAcl
        | Kind::Language
        | Kind::BaseType
        | Kind::ShellType
        | Kind::AccessMethod
        | Kind::OperatorFamily
        | Kind::OperatorClass
        | Kind::OperatorFamilyMember
        | Kind::TextSearchParser
        | Kind::TextSearchTemplate
        | Kind::ForeignDataWrapper
        | Kind::EventTrigger
        | Kind::PublicationSchema => Some(SUPERUSER),
        Kind::Role | Kind::RoleMembership | Kind::RoleSetting => {
            (!rights.may_make_roles).then_some("the role has no CREATEROLE")
        }
        Kind::Extension => {
            let may = rights.installed.contains_key(&step.name)
                || (rights.installable.as_ref()).is_none_or(|all| all.contains(&step.name));
            (!may).then_some("the extension is not trusted")
        }
        Kind::Function | Kind::Procedure => {
            let words = tokens(sql);
            let language = language(sql).unwrap_or_default();
            if !rights.languages.contains(&language) && !made.languages.contains(language.as_str())
            {
                Some("its language is for superusers")
            } else if has_words(&words, &["LEAKPROOF"]) && !has_words(&words, &["NOT", "LEAKPROOF"])
            {
                Some("only superusers may call a function leakproof")
            } else if has_words(&words, &["SUPPORT"]) {
                Some("only superusers may give a function a support function")
            } else {
                None
            }
        }
        Kind::Cast => {
            // Types of the system stand without a schema.
            let is_of_system = !step.name.contains('.');
            (is_of_system || has_words(&tokens(sql), &["WITHOUT", "FUNCTION"])).then_some(SUPERUSER)
        }
        Kind::Publication => has_words(&tokens(sql), &["FOR", "ALL", "TABLES"])
            .then_some("only superusers may publish all tables"),
        Kind::Subscription => {
            // A subscription of anybody else has a password in its connection string.
            (!rights.may_subscribe || !sql.contains("password="))
                .then_some("only superusers may subscribe so")
        }
        Kind::ForeignServer => {
            let wrapper = name_after(sql, "WRAPPER").unwrap_or_default();
            let may = rights.wrappers.contains(&wrapper) || !made.wrappers.is_empty();
            (!may).then_some("the role may not use its foreign-data wrapper")
        }
        Kind::SecurityLabel => Some("label providers take labels from superusers"),
        Kind::Comment | Kind::Acl => about_others(step, rights, made),
        Kind::DefaultAcl => {
            let mut roles = default_acl_roles(sql);
            (!roles.all(|role| rights.assumable.contains(&role)))
                .then_some("the role is no member of the one whose default privileges they are")
        }
        Kind::Table | Kind::MaterializedView | Kind::Index | Kind::Constraint => {
            let tablespace = name_after(sql, "TABLESPACE");
            let may = tablespace.is_none_or(|name| rights.tablespaces.contains(&name));
            (!may).then_some("the role may not use its tablespace")
        }
        Kind::Schema
        | Kind::Collation
        | Kind::EnumType
        | Kind::CompositeType
        | Kind::RangeType
        | Kind::Domain
        | Kind::Aggregate
        | Kind::Transform
        | Kind::Operator
        | Kind::Conversion
        | Kind::TextSearchDictionary
        | Kind::TextSearchConfiguration
        | Kind::UserMapping
        | Kind::Sequence
        | Kind::ForeignTable
        | Kind::TableAttach
        | Kind::Default
        | Kind::SequenceOwner
        | Kind::View
        | Kind::ViewQuery
        | Kind::DomainDefault
        | Kind::FunctionBody
        | Kind::TableData
        | Kind::LargeObject
        | Kind::LargeObjectData
        | Kind::SequenceSet
        | Kind::CheckConstraint
        | Kind::IndexAttach
        | Kind::ExtendedStatistics
        | Kind::Rule
        | Kind::Trigger
        | Kind::ForeignKey
        | Kind::Policy
        | Kind::RowSecurity
        | Kind::PublicationTable
        | Kind::MaterializedViewData
        | Kind::RelationStatistics => None,
    }
}

/// Comments and privileges of what the plan does not make: of extensions, the schema public, the system's own objects.
fn about_others(step: &Step, rights: &Rights, made: &Made<'_>) -> Option<&'static str> {
    let named = |word: &str| step.name.strip_prefix(word).map(quote::unquoted);
    if let Some(extension) = named("EXTENSION ") {
        // Who makes it owns it.
        let owns = rights.installed.get(&extension).copied().unwrap_or(true);
        return (!owns).then_some("the role does not own the extension");
    }
    if let Some(schema) = named("SCHEMA ") {
        let owns = made.schemas.contains(schema.as_str())
            || rights.schemas.get(&schema).is_none_or(|(owns, _)| *owns);
        return (!owns).then_some("the role does not own the schema");
    }
    let has_subject = step.depends_on.iter().any(|id| made.entries.contains(id));
    // With data or a part alone the object is the target's: the server will tell.
    (step.kind == Kind::Acl && !has_subject && step.schema.as_deref() == Some("pg_catalog"))
        .then_some("the role does not own what the privileges are on")
}

/// The roles of ALTER DEFAULT PRIVILEGES FOR ROLE.
fn default_acl_roles(sql: &str) -> impl Iterator<Item = String> {
    let heads = sql.lines().filter_map(|line| line.split_once(" FOR ROLE "));
    let roles: BTreeSet<String> = heads
        .filter_map(|(_, rest)| rest.split(" GRANT ").next())
        .filter_map(|rest| rest.split(" REVOKE ").next())
        .filter_map(|rest| rest.split(" IN SCHEMA ").next())
        .flat_map(|names| mentioned_roles(&format!("TO {names}")))
        .collect();
    roles.into_iter()
}

/// What must not be left out: rows would be lost.
fn is_indispensable(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Schema
            | Kind::Table
            | Kind::TableAttach
            | Kind::Sequence
            | Kind::SequenceSet
            | Kind::LargeObject
    )
}

fn creates_in_schema(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Table
            | Kind::ForeignTable
            | Kind::View
            | Kind::MaterializedView
            | Kind::Sequence
            | Kind::Function
            | Kind::Procedure
            | Kind::Aggregate
            | Kind::EnumType
            | Kind::CompositeType
            | Kind::RangeType
            | Kind::Domain
            | Kind::Operator
            | Kind::Collation
            | Kind::Conversion
            | Kind::TextSearchDictionary
            | Kind::TextSearchConfiguration
    )
}

impl Denied {
    /// What `--skip-privileged` leaves out.
    pub(super) fn exclusions(&self) -> Exclusions {
        Exclusions {
            entries: self.skippable.iter().map(|(id, ..)| *id).collect(),
            owners: self.owners.keys().cloned().collect(),
        }
    }

    /// Tells everything by name: as warnings what is left out, as problems what stops the restore.
    pub(super) fn tell(&self, skip: bool, findings: &mut Findings) {
        for message in &self.needed {
            findings.problem(Check::Rights, message);
        }
        let lines = self
            .skippable
            .iter()
            .map(|(_, label, reason)| format!("{label}: {reason}"));
        let owners = self.owners.iter().map(|(owner, labels)| {
            format!(
                "the role may not give objects to {}: {}",
                quote::ident(owner),
                quote::some_of(labels)
            )
        });
        for line in lines.chain(owners) {
            match skip {
                true => findings.warning(Check::Rights, format!("left out: {line}")),
                false => findings.problem(Check::Rights, line),
            }
        }
    }
}

/// What the role may not do to what is there: drop what others own, load into tables that it may not write or whose
/// row security binds it.
///
/// # Errors
/// `Restore`.
pub(super) async fn check_existing(
    session: &Session,
    plan: &RestorePlan,
    survey: &Survey,
    options: &RestoreOptions,
    findings: &mut Findings,
) -> Result<()> {
    let (classes, oids) = survey.catalog_ids();
    // An owner that is not recorded is the bootstrap superuser, whose objects are pinned. A table's owner drops its indexes; a schema's
    // owner drops what lies in it.
    let rows = session
        .query(
            "SELECT i.type || ' ' || i.identity AS name, pg_catalog.pg_get_userbyid(o.owner)::text AS owner \
             FROM unnest($1::oid[], $2::oid[]) AS w(classid, objid) \
             CROSS JOIN LATERAL pg_catalog.pg_identify_object(w.classid, w.objid, 0) i \
             CROSS JOIN LATERAL (SELECT CASE WHEN w.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
             THEN (SELECT c.relowner FROM pg_catalog.pg_class c WHERE c.oid = w.objid) \
             ELSE COALESCE((SELECT d.refobjid FROM pg_catalog.pg_shdepend d WHERE d.classid = w.classid AND d.objid = w.objid \
             AND d.deptype = 'o' AND d.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())), \
             10) END AS owner) o \
             LEFT JOIN pg_catalog.pg_namespace n ON pg_catalog.quote_ident(n.nspname) = i.schema \
             WHERE i.identity IS NOT NULL AND NOT pg_catalog.pg_has_role(o.owner, 'USAGE') \
             AND (n.oid IS NULL OR NOT pg_catalog.pg_has_role(n.nspowner, 'USAGE')) ORDER BY 1",
            &[&classes, &oids],
        )
        .await
        .map_err(cannot_check)?;
    for row in rows {
        let (name, owner): (&str, &str) = (row.get("name"), row.get("owner"));
        let owner = quote::ident(owner);
        findings.problem(
            Check::Rights,
            format!("{name} is owned by {owner}, and must be dropped"),
        );
    }
    if !options.parts.data_only {
        return Ok(());
    }
    let loaded = loaded_only(plan);
    let (schemas, names): (Vec<&str>, Vec<&str>) = loaded
        .iter()
        .map(|(schema, name)| (schema.as_str(), name.as_str()))
        .unzip();
    let rows = session
        .query(
            "SELECT c.oid::pg_catalog.regclass::text AS name, pg_catalog.has_table_privilege(c.oid, 'INSERT') AS may_insert, \
             pg_catalog.has_table_privilege(c.oid, 'SELECT') AS may_select, \
             pg_catalog.row_security_active(c.oid) AS is_bound FROM unnest($1::text[], $2::text[]) AS w(nspname, relname) \
             JOIN pg_catalog.pg_namespace n ON n.nspname = w.nspname \
             JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.relname ORDER BY 1",
            &[&schemas, &names],
        )
        .await
        .map_err(cannot_check)?;
    for row in rows {
        let name: &str = row.get("name");
        if !row.get::<_, bool>("may_insert") {
            findings.problem(
                Check::Rights,
                format!("the role has no INSERT on table {name}"),
            );
        } else if options.row_security {
            if !row.get::<_, bool>("may_select") {
                findings.problem(
                    Check::Rights,
                    format!(
                        "the role has no SELECT on table {name}, which --enable-row-security needs"
                    ),
                );
            }
        } else if row.get("is_bound") {
            findings.problem(
                Check::Rights,
                format!("row security of table {name} binds the role, and rows cannot be copied through it: --enable-row-security inserts them"),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(kind: Kind, name: &str, sql: &str, rights: &Rights) -> bool {
        let plan = RestorePlan::default();
        reason(&Step::named(kind, name), sql, rights, &Made::of(&plan, &[])).is_none()
    }

    #[test]
    fn what_only_superusers_may_is_known_from_the_statement() {
        let rights = Rights {
            languages: BTreeSet::from(["sql".to_owned()]),
            installable: Some(BTreeSet::from(["citext".to_owned()])),
            installed: BTreeMap::from([("hstore".to_owned(), false)]),
            assumable: BTreeSet::from(["me".to_owned()]),
            ..Rights::default()
        };
        let may = |kind, name: &str, sql: &str| may(kind, name, sql, &rights);
        assert!(may(
            Kind::Function,
            "f",
            "CREATE FUNCTION s.f() LANGUAGE sql AS $$ LEAKPROOF $$;"
        ));
        assert!(!may(
            Kind::Function,
            "f",
            "CREATE FUNCTION s.f() LANGUAGE c AS 'x';"
        ));
        assert!(!may(
            Kind::Function,
            "f",
            "CREATE FUNCTION s.f() LANGUAGE sql LEAKPROOF AS '';"
        ));
        assert!(may(
            Kind::Publication,
            "p",
            "CREATE PUBLICATION \"p\" WITH (publish = 'insert');"
        ));
        assert!(!may(
            Kind::Publication,
            "p",
            "CREATE PUBLICATION \"p\" FOR ALL TABLES WITH (publish = 'insert');"
        ));
        assert!(may(Kind::Extension, "citext", ""));
        assert!(may(Kind::Extension, "hstore", ""));
        assert!(!may(Kind::Extension, "adminpack", ""));
        assert!(!may(Kind::Comment, "EXTENSION hstore", ""));
        assert!(may(Kind::Comment, "EXTENSION citext", ""));
        assert!(may(
            Kind::Cast,
            "(s.a AS s.b)",
            "CREATE CAST (s.a AS s.b) WITH FUNCTION s.f(s.a);"
        ));
        assert!(!may(
            Kind::Cast,
            "(integer AS text)",
            "CREATE CAST (integer AS text) WITH FUNCTION s.f(integer);"
        ));
        let default_acl = |role: &str| {
            format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE \"{role}\" IN SCHEMA \"s\" GRANT SELECT ON TABLES TO \"x\";"
            )
        };
        assert!(may(Kind::DefaultAcl, "d", &default_acl("me")));
        assert!(!may(Kind::DefaultAcl, "d", &default_acl("other")));
    }
}
