//! Before anything changes: is the archive whole, and has the target what the archive needs?

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::archive::{ArchiveReader, Header, MemberCount, MemberId};
use crate::conn::{ServerVersion, Session};
use crate::event::{Event, Events, Phase};
use crate::objects::{Kind, quote};
use crate::{Error, ErrorKind, Result};

use super::RestoreOptions;
use super::extensions::Extensions;
use super::findings::{Check, Findings};
use super::newer_syntax::too_new_for;
use super::plan::{LoadTarget, RestorePlan, Step};
use super::statement_words::{language, mentioned_roles, name_after, tokens};
use super::texts::StatementTexts;

/// Checks the BLAKE3 of members, on `jobs` threads; reads those to their end that have none. Tells what they hold.
///
/// # Errors
/// `Damaged`, naming the member; `Io`.
pub(crate) async fn check_members(
    reader: &Arc<ArchiveReader>,
    members: BTreeSet<MemberId>,
    jobs: usize,
    events: &Events,
) -> Result<HashMap<MemberId, MemberCount>> {
    read_members(reader, members, jobs, events, ArchiveReader::check_member).await
}

/// Reads members on `jobs` threads, each by `read`, which may block. Tells what they hold.
///
/// # Errors
/// Those of `read`.
pub(crate) async fn read_members(
    reader: &Arc<ArchiveReader>,
    members: BTreeSet<MemberId>,
    jobs: usize,
    events: &Events,
    read: impl Fn(&ArchiveReader, MemberId) -> Result<MemberCount> + Clone + Send + 'static,
) -> Result<HashMap<MemberId, MemberCount>> {
    events.phase(Phase::Verify);
    let members: Arc<Vec<(MemberId, u64)>> = Arc::new(
        members
            .into_iter()
            .map(|id| {
                let stored = reader.index().member(id).map_or(0, |m| m.stored_length);
                (id, stored)
            })
            .collect(),
    );
    events.emit(Event::Planned {
        items: members.len() as u64,
        bytes: members.iter().map(|(_, stored)| stored).sum(),
    });
    let next = Arc::new(AtomicUsize::new(0));
    let mut reads = tokio::task::JoinSet::new();
    for worker in 0..jobs {
        let (reader, members, next) = (Arc::clone(reader), Arc::clone(&members), Arc::clone(&next));
        let (events, read) = (events.clone(), read.clone());
        reads.spawn_blocking(move || -> Result<Vec<(MemberId, MemberCount)>> {
            let mut counts = Vec::new();
            while let Some((id, bytes)) = members.get(next.fetch_add(1, Ordering::Relaxed)) {
                let count = read(&reader, *id).inspect_err(|_| {
                    // The others need not go on.
                    next.store(members.len(), Ordering::Relaxed);
                })?;
                counts.push((*id, count));
                events.emit(Event::WorkerAdvanced {
                    worker,
                    rows: 0,
                    bytes: *bytes,
                });
            }
            Ok(counts)
        });
    }
    let mut counts = HashMap::new();
    while let Some(checked) = reads.join_next().await {
        let died = |error| Error::internal("a check of members died").caused_by(error);
        counts.extend(checked.map_err(died)??);
    }
    Ok(counts)
}

/// What the archive needs and does not bring along.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Owners, grantees, roles of policies.
    roles: BTreeSet<String>,
    extensions: BTreeSet<String>,
    tablespaces: BTreeSet<String>,
    /// Languages of functions that the plan itself does not make.
    languages: BTreeSet<String>,
    /// Schemas of chosen entries that the plan itself does not create.
    schemas: BTreeSet<String>,
    /// Tables that are loaded and not created. (schema, name)
    tables: BTreeSet<(String, String)>,
}

impl Needs {
    /// Reads them off the plan and its statements.
    ///
    /// # Errors
    /// `Damaged`.
    pub(crate) fn of_plan(
        plan: &RestorePlan,
        texts: &StatementTexts,
        options: &RestoreOptions,
    ) -> Result<Self> {
        let mut needs = Needs::default();
        needs.roles.extend(options.role.clone());
        let mut created_schemas =
            BTreeSet::from(["information_schema", "pg_catalog", "pg_toast", "public"]);
        created_schemas.extend(plan.makes_schema.as_deref());
        let mut created_roles = BTreeSet::new();
        let mut created_languages = BTreeSet::new();
        for step in plan.steps() {
            needs.roles.extend(step.owner.clone());
            match step.kind {
                Kind::Schema => {
                    created_schemas.insert(step.name.as_str());
                }
                Kind::Role => {
                    created_roles.insert(step.name.as_str());
                }
                Kind::Language => {
                    created_languages.insert(step.name.as_str());
                }
                Kind::Extension => {
                    needs.extensions.insert(step.name.clone());
                }
                Kind::Function | Kind::Procedure => {
                    needs.languages.extend(language(&texts.sql(step)?));
                }
                Kind::Acl | Kind::DefaultAcl | Kind::Policy | Kind::ParameterAcl => {
                    needs.roles.extend(mentioned_roles(&texts.sql(step)?));
                }
                Kind::Table | Kind::MaterializedView | Kind::Index | Kind::Constraint => {
                    let sql = texts.sql(step)?;
                    let tablespace = name_after(&sql, "TABLESPACE")
                        .or_else(|| name_after(&sql, "DEFAULT_TABLESPACE"));
                    needs
                        .tablespaces
                        .extend(tablespace.filter(|name| !name.is_empty()));
                }
                _ => {}
            }
        }
        needs
            .roles
            .retain(|role| !created_roles.contains(role.as_str()));
        // The extension that is one makes its language.
        needs.languages.retain(|language| {
            !created_languages.contains(language.as_str()) && !needs.extensions.contains(language)
        });
        // An extension makes its configuration tables, sequences and their schema.
        let makes_extensions = !needs.extensions.is_empty();
        needs.schemas = plan
            .steps()
            .filter(|step| !(makes_extensions && is_of_configuration(step)))
            .filter_map(|step| step.schema.as_deref())
            .filter(|schema| !created_schemas.contains(schema))
            .map(str::to_owned)
            .collect();
        needs.tables = loaded_only(plan);
        for load in (plan.loads.iter()).filter(|load| makes_extensions && load.of_extension) {
            if let LoadTarget::Table { schema, name } = &load.target {
                needs.tables.remove(&(schema.clone(), name.clone()));
            }
        }
        Ok(needs)
    }

    /// Adds what the database itself will need.
    ///
    /// # Errors
    /// `Catalog` if its privileges have an unknown form.
    pub(crate) fn add_database(&mut self, header: &Header, options: &RestoreOptions) -> Result<()> {
        let owner = header
            .pg_dump
            .as_ref()
            .and_then(|pg_dump| pg_dump.database_owner());
        if options.create && options.properties && !options.no_owner {
            self.roles.extend(owner.map(str::to_owned));
        }
        let properties = header.properties.as_ref();
        let Some(properties) = properties.filter(|_| options.create && options.properties) else {
            return Ok(());
        };
        let tablespace = properties.tablespace();
        let tablespace = tablespace.filter(|_| !options.storage.tablespaces);
        self.tablespaces.extend(tablespace.map(str::to_owned));
        if !options.no_owner || !options.parts.no_privileges {
            self.roles.extend(properties.roles()?);
        }
        Ok(())
    }
}

/// Values and contents, which extensions have, too.
fn is_of_configuration(step: &Step) -> bool {
    matches!(step.kind, Kind::SequenceSet | Kind::MaterializedViewData)
}

/// Schema and name of the tables that get rows and are not created.
pub(crate) fn loaded_only(plan: &RestorePlan) -> BTreeSet<(String, String)> {
    let created: BTreeSet<(Option<&str>, &str)> = plan
        .steps()
        .filter(|step| matches!(step.kind, Kind::Table | Kind::ForeignTable))
        .map(|step| (step.schema.as_deref(), step.name.as_str()))
        .collect();
    let loaded = plan.loads.iter().filter_map(|load| match &load.target {
        LoadTarget::Table { schema, name } => Some((schema, name)),
        LoadTarget::LargeObjects => None,
    });
    loaded
        .filter(|(schema, name)| !created.contains(&(Some(schema.as_str()), name.as_str())))
        .map(|(schema, name)| (schema.clone(), name.clone()))
        .collect()
}

/// Compares needs with what the target has, and adds what is missing to the findings.
///
/// `database_exists` is false if the session is in a maintenance database because the target is yet to be made:
/// schemas and tables cannot be there then.
///
/// # Errors
/// `Restore` if the catalogs cannot be read.
pub(crate) async fn check_target(
    session: &Session,
    needs: &Needs,
    extensions: &Extensions,
    header: &Header,
    database_exists: bool,
    findings: &mut Findings,
) -> Result<()> {
    for (check, name) in missing_in_cluster(session, needs).await? {
        findings.problem(check, format!("{} {name} does not exist", word(check)));
    }
    extensions.judge(&needs.extensions, findings);
    if database_exists {
        for (check, name) in missing_in_database(session, needs).await? {
            findings.problem(check, format!("{} {name} does not exist", word(check)));
        }
        check_encoding_and_locale(session, header, findings).await?;
    } else {
        for schema in &needs.schemas {
            let schema = quote::ident(schema);
            findings.problem(Check::Schema, format!("schema {schema} does not exist"));
        }
    }
    Ok(())
}

fn word(check: Check) -> &'static str {
    match check {
        Check::Role => "role",
        Check::Tablespace => "tablespace",
        Check::Language => "language",
        Check::Table => "table",
        _ => "schema",
    }
}

/// Warns about an older server, with what it will not understand.
///
/// # Errors
/// `Damaged`.
pub(crate) fn check_version(
    server: ServerVersion,
    header: &Header,
    plan: &RestorePlan,
    texts: &StatementTexts,
    findings: &mut Findings,
) -> Result<()> {
    let source = ServerVersion::from_num(header.server_version_num);
    if server.major_number() >= source.major_number() {
        return Ok(());
    }
    let mut too_new: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for step in plan.steps().filter(|step| has_own_syntax(step)) {
        for feature in too_new_for(&tokens(&texts.sql(step)?), server) {
            too_new.entry(feature).or_default().push(&step.label);
        }
    }
    findings.warning(
        Check::Version,
        format!("the target server ({server}) is older than the source ({source}): definitions may use what it does not know"),
    );
    for (feature, labels) in too_new {
        let message = format!("it does not know {feature}: {}", quote::some_of(&labels));
        findings.warning(Check::Version, message);
    }
    Ok(())
}

/// Whether keywords in its statements are syntax, not names of somebody's columns in a query.
fn has_own_syntax(step: &Step) -> bool {
    !matches!(
        step.kind,
        Kind::View | Kind::ViewQuery | Kind::MaterializedView | Kind::Rule | Kind::Policy
    )
}

/// Tables that pg_dump 11 and older found WITH OIDS are made without.
pub(crate) fn warn_of_oids(header: &Header, plan: &RestorePlan, findings: &mut Findings) {
    let Some(pg_dump) = &header.pg_dump else {
        return;
    };
    let tables: Vec<&str> = plan
        .steps()
        .filter(|step| pg_dump.with_oids.contains(&step.id))
        .map(|step| step.label.as_str())
        .collect();
    if !tables.is_empty() {
        let named = quote::some_of(&tables);
        let message = format!("made without the OIDs that PostgreSQL has given up: {named}");
        findings.warning(Check::Table, message);
    }
}

/// Roles, tablespaces and languages.
async fn missing_in_cluster(session: &Session, needs: &Needs) -> Result<Vec<(Check, String)>> {
    let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>();
    let rows = session
        .query(
            "SELECT 'r' AS what, r.name FROM pg_catalog.unnest($1::text[]) AS r(name) \
             WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = r.name) \
             UNION ALL \
             SELECT 't', t.name FROM pg_catalog.unnest($2::text[]) AS t(name) \
             WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_tablespace WHERE spcname = t.name) \
             UNION ALL \
             SELECT 'l', l.name FROM pg_catalog.unnest($3::text[]) AS l(name) \
             WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_language WHERE lanname = l.name)",
            &[
                &list(&needs.roles),
                &list(&needs.tablespaces),
                &list(&needs.languages),
            ],
        )
        .await
        .map_err(cannot_check)?;
    let check = |what: &str| match what {
        "r" => Check::Role,
        "t" => Check::Tablespace,
        _ => Check::Language,
    };
    Ok(rows
        .into_iter()
        .map(|row| (check(row.get("what")), quote::ident(row.get("name"))))
        .collect())
}

async fn missing_in_database(session: &Session, needs: &Needs) -> Result<Vec<(Check, String)>> {
    let schemas: Vec<&str> = needs.schemas.iter().map(String::as_str).collect();
    let (table_schemas, tables): (Vec<&str>, Vec<&str>) = needs
        .tables
        .iter()
        .map(|(schema, name)| (schema.as_str(), name.as_str()))
        .unzip();
    let rows = session
        .query(
            "SELECT NULL AS nspname, s.name FROM pg_catalog.unnest($1::text[]) AS s(name) \
             WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = s.name) \
             UNION ALL \
             SELECT t.nspname, t.name FROM unnest($2::text[], $3::text[]) AS t(nspname, name) \
             WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = t.nspname AND c.relname = t.name AND c.relkind IN ('r', 'p', 'f'))",
            &[&schemas, &table_schemas, &tables],
        )
        .await
        .map_err(cannot_check)?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let schema: Option<&str> = row.get("nspname");
            match schema {
                Some(schema) => (Check::Table, quote::qualified(schema, row.get("name"))),
                None => (Check::Schema, quote::ident(row.get("name"))),
            }
        })
        .collect())
}

async fn check_encoding_and_locale(
    session: &Session,
    header: &Header,
    findings: &mut Findings,
) -> Result<()> {
    let text_encoding = header.text_encoding();
    let row = session
        .query_one(
            "SELECT pg_catalog.pg_encoding_to_char(encoding)::text AS encoding, \
             datcollate::text AS collation, datctype::text AS ctype, \
             encoding = text_encoding OR EXISTS (SELECT FROM pg_catalog.pg_conversion c \
               WHERE c.condefault AND c.conforencoding = text_encoding AND c.contoencoding = encoding) AS can_convert \
             FROM pg_catalog.pg_database, pg_catalog.pg_char_to_encoding($1::pg_catalog.text::pg_catalog.name) AS text_encoding \
             WHERE datname = pg_catalog.current_database()",
            &[&text_encoding.name()],
        )
        .await
        .map_err(cannot_check)?;
    let (encoding, source): (&str, &str) = (row.get("encoding"), &header.encoding);
    match encoding {
        _ if encoding == source => {}
        "SQL_ASCII" => findings.warning(
            Check::Encoding,
            format!("the source database has the encoding {source}, the target SQL_ASCII: it takes every byte and knows no characters"),
        ),
        _ => findings.warning(
            Check::Encoding,
            format!("the source database has the encoding {source}, the target {encoding}: rows with characters that it lacks will be refused"),
        ),
    }
    if !text_encoding.is_as_is() && !row.get::<_, bool>("can_convert") {
        findings.problem(
            Check::Encoding,
            format!(
                "the target's server cannot convert the archive's {} to {encoding}",
                text_encoding.name()
            ),
        );
    }
    let (collation, ctype): (&str, &str) = (row.get("collation"), row.get("ctype"));
    if (collation, ctype) != (&header.lc_collate, &header.lc_ctype) {
        findings.warning(
            Check::Locale,
            format!(
                "the source database sorts by {} ({}), the target by {collation} ({ctype}): the order of texts, \
                 and what falls into a range of them, may differ",
                header.lc_collate, header.lc_ctype
            ),
        );
    }
    Ok(())
}

pub(crate) fn cannot_check(error: tokio_postgres::Error) -> Error {
    Error::from_server(ErrorKind::Restore, "could not check the target", error)
}
