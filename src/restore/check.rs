//! Before anything changes: is the archive whole, and has the target what the archive needs?

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::archive::{ArchiveReader, Header, MemberId};
use crate::conn::{ServerVersion, Session};
use crate::event::{Event, Events, Phase};
use crate::objects::{Kind, quote};
use crate::{Error, ErrorKind, Result};

use super::RestoreOptions;
use super::plan::{LoadTarget, RestorePlan};
use super::texts::StatementTexts;

/// Checks the BLAKE3 of members, on `jobs` threads.
///
/// # Errors
/// `Damaged`, naming the member; `Io`.
pub(crate) async fn check_members(
    reader: &Arc<ArchiveReader>,
    members: BTreeSet<MemberId>,
    jobs: usize,
    events: &Events,
) -> Result<()> {
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
    let mut checks = tokio::task::JoinSet::new();
    for worker in 0..jobs {
        let (reader, members, next) = (Arc::clone(reader), Arc::clone(&members), Arc::clone(&next));
        let events = events.clone();
        checks.spawn_blocking(move || -> Result<()> {
            while let Some((id, bytes)) = members.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = reader.check_member(*id) {
                    // The others need not go on.
                    next.store(members.len(), Ordering::Relaxed);
                    return Err(error);
                }
                events.emit(Event::WorkerAdvanced {
                    worker,
                    rows: 0,
                    bytes: *bytes,
                });
            }
            Ok(())
        });
    }
    while let Some(checked) = checks.join_next().await {
        checked.map_err(|error| Error::internal("a check of members died").caused_by(error))??;
    }
    Ok(())
}

/// What the archive needs and does not bring along.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Owners, grantees, roles of policies.
    roles: BTreeSet<String>,
    extensions: BTreeSet<String>,
    tablespaces: BTreeSet<String>,
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
        let mut created_schemas = BTreeSet::from(["pg_catalog", "public"]);
        let mut created_tables = BTreeSet::new();
        let mut created_roles = BTreeSet::new();
        for step in plan.steps() {
            needs.roles.extend(step.owner.clone());
            match step.kind {
                Kind::Schema => {
                    created_schemas.insert(step.name.as_str());
                }
                Kind::Role => {
                    created_roles.insert(step.name.as_str());
                }
                Kind::Extension => {
                    needs.extensions.insert(step.name.clone());
                }
                Kind::Acl | Kind::DefaultAcl | Kind::Policy | Kind::ParameterAcl => {
                    needs.roles.extend(mentioned_roles(&texts.sql(step)?));
                }
                Kind::Table | Kind::MaterializedView => {
                    created_tables.insert((step.schema.as_deref(), step.name.as_str()));
                    needs
                        .tablespaces
                        .extend(mentioned_tablespace(&texts.sql(step)?));
                }
                _ => {}
            }
        }
        needs
            .roles
            .retain(|role| !created_roles.contains(role.as_str()));
        needs.schemas = plan
            .steps()
            .filter_map(|step| step.schema.as_deref())
            .filter(|schema| !created_schemas.contains(schema))
            .map(str::to_owned)
            .collect();
        for load in &plan.loads {
            if let LoadTarget::Table { schema, name } = &load.target
                && !created_tables.contains(&(Some(schema), name))
            {
                needs.tables.insert((schema.clone(), name.clone()));
            }
        }
        Ok(needs)
    }
}

impl Needs {
    /// Adds what the database itself will need.
    ///
    /// # Errors
    /// `Catalog` if its privileges have an unknown form.
    pub(crate) fn add_database(&mut self, header: &Header, options: &RestoreOptions) -> Result<()> {
        let properties = header.properties.as_ref();
        let Some(properties) = properties.filter(|_| options.create && options.properties) else {
            return Ok(());
        };
        self.tablespaces
            .extend(properties.tablespace().map(str::to_owned));
        if !options.no_owner || !options.parts.no_privileges {
            self.roles.extend(properties.roles()?);
        }
        Ok(())
    }
}

/// Compares needs with what the target has.
///
/// `database_exists` is false if the session is in a maintenance database because the target is yet to be made:
/// schemas and tables cannot be there then.
///
/// # Errors
/// `Restore` with all that is missing.
pub(crate) async fn check_target(
    session: &Session,
    needs: &Needs,
    header: &Header,
    database_exists: bool,
    events: &Events,
) -> Result<()> {
    let mut missing = missing_in_cluster(session, needs).await?;
    if database_exists {
        missing.extend(missing_in_database(session, needs).await?);
        warn_about_encoding(session, header, events).await?;
    } else {
        let schemas = needs.schemas.iter().map(|name| quote::ident(name));
        missing.extend(schemas.map(|name| ("schema", name)));
    }
    let source = ServerVersion::from_num(header.server_version_num);
    if session.version().major_number() < source.major_number() {
        events.warn(format!(
            "the target server ({}) is older than the source ({source}): definitions may use what it does not know",
            session.version()
        ));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let mut error = Error::new(
        ErrorKind::Restore,
        "the target lacks what the archive needs",
    );
    for (what, name) in &missing {
        error = error.detail(format!("Missing {what}: {}", quote::one_line(name)));
    }
    let lacks = |kind: &str| missing.iter().any(|(what, _)| *what == kind);
    error = error.detail("The target is unchanged.");
    Err(if lacks("role") {
        error.hint("Create the roles, or restore without owners and privileges: -O -x.")
    } else if lacks("extension") {
        error.hint("Install the extension's package on the target server.")
    } else if lacks("tablespace") {
        error.hint("Create the tablespace on the target server.")
    } else {
        error.hint("Restore the whole archive, or create what is missing first.")
    })
}

/// Roles, extensions and tablespaces, each with the word for it.
async fn missing_in_cluster(
    session: &Session,
    needs: &Needs,
) -> Result<Vec<(&'static str, String)>> {
    let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>();
    let rows = session
        .query(
            "SELECT 'role' AS what, r.name FROM pg_catalog.unnest($1::text[]) AS r(name) \
             WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = r.name) \
             UNION ALL \
             SELECT 'extension', e.name FROM pg_catalog.unnest($2::text[]) AS e(name) \
             WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_available_extensions a WHERE a.name = e.name) \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = e.name) \
             UNION ALL \
             SELECT 'tablespace', t.name FROM pg_catalog.unnest($3::text[]) AS t(name) \
             WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_tablespace WHERE spcname = t.name)",
            &[
                &list(&needs.roles),
                &list(&needs.extensions),
                &list(&needs.tablespaces),
            ],
        )
        .await
        .map_err(cannot_check)?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let what: &str = row.get("what");
            let what = match what {
                "role" => "role",
                "extension" => "extension",
                _ => "tablespace",
            };
            (what, quote::ident(row.get("name")))
        })
        .collect())
}

async fn missing_in_database(
    session: &Session,
    needs: &Needs,
) -> Result<Vec<(&'static str, String)>> {
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
                Some(schema) => ("table", quote::qualified(schema, row.get("name"))),
                None => ("schema", quote::ident(row.get("name"))),
            }
        })
        .collect())
}

async fn warn_about_encoding(session: &Session, header: &Header, events: &Events) -> Result<()> {
    let row = session
        .query_one(
            "SELECT pg_catalog.pg_encoding_to_char(encoding)::text AS encoding \
             FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()",
            &[],
        )
        .await
        .map_err(cannot_check)?;
    let encoding: &str = row.get("encoding");
    if encoding != header.encoding {
        events.warn(format!(
            "the source database has the encoding {}, the target {encoding}: rows with characters that it lacks will be refused",
            quote::one_line(&header.encoding)
        ));
    }
    Ok(())
}

fn cannot_check(error: tokio_postgres::Error) -> Error {
    Error::from_server(ErrorKind::Restore, "could not check the target", error)
}

/// A token of a statement, as far as finding names needs them.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// A keyword or unquoted name, in upper case.
    Word(String),
    /// A name in double quotes, without them.
    Name(String),
    Comma,
    Other,
}

/// Splits a statement that pgstow rendered: literals and comments give nothing of theirs.
fn tokens(sql: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = sql.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => found.push(Token::Name(quoted(&mut rest, '"'))),
            '\'' => {
                quoted(&mut rest, '\'');
                found.push(Token::Other);
            }
            '-' if rest.peek() == Some(&'-') => while rest.next().is_some_and(|c| c != '\n') {},
            ',' => found.push(Token::Comma),
            c if c.is_alphanumeric() || c == '_' => {
                let mut word = c.to_string();
                while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    word.push(c);
                }
                found.push(Token::Word(word.to_ascii_uppercase()));
            }
            c if c.is_whitespace() => {}
            _ => found.push(Token::Other),
        }
    }
    found
}

/// Reads up to the closing quote; doubled quotes stand for one.
fn quoted(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, quote: char) -> String {
    let mut text = String::new();
    while let Some(c) = rest.next() {
        if c == quote && rest.next_if_eq(&quote).is_none() {
            break;
        }
        text.push(c);
    }
    text
}

/// The roles that GRANT, REVOKE, ALTER DEFAULT PRIVILEGES and CREATE POLICY name. The expressions of a
/// policy are not looked at: in them FROM and TO mean something else.
fn mentioned_roles(sql: &str) -> BTreeSet<String> {
    let mut roles = BTreeSet::new();
    let mut tokens = tokens(sql).into_iter().peekable();
    while let Some(token) = tokens.next() {
        let Token::Word(word) = token else { continue };
        match word.as_str() {
            "USING" | "CHECK" => break,
            "TO" | "FROM" | "BY" | "ROLE" => {
                while let Some(listed) =
                    tokens.next_if(|token| !matches!(token, Token::Other | Token::Word(_)))
                {
                    if let Token::Name(name) = listed {
                        roles.insert(name);
                    }
                }
            }
            _ => {}
        }
    }
    roles
}

/// The tablespace of CREATE TABLE or CREATE MATERIALIZED VIEW.
fn mentioned_tablespace(sql: &str) -> Option<String> {
    let mut tokens = tokens(sql).into_iter();
    tokens.find(|token| *token == Token::Word("TABLESPACE".to_owned()))?;
    match tokens.next() {
        Some(Token::Name(name)) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(sql: &str) -> Vec<String> {
        mentioned_roles(sql).into_iter().collect()
    }

    #[test]
    fn grantees_are_found_and_columns_are_not() {
        assert_eq!(
            roles("GRANT SELECT (\"x\") ON TABLE \"s\".\"TO\" TO \"a\"\"b\" WITH GRANT OPTION;"),
            ["a\"b"]
        );
        assert_eq!(
            roles("REVOKE ALL ON SCHEMA \"s\" FROM PUBLIC; GRANT ALL ON SCHEMA \"s\" TO \"o\";"),
            ["o"]
        );
    }

    #[test]
    fn roles_of_default_privileges_are_found() {
        assert_eq!(
            roles(
                "ALTER DEFAULT PRIVILEGES FOR ROLE \"o\" IN SCHEMA \"s\" GRANT SELECT ON TABLES TO \"r\";"
            ),
            ["o", "r"]
        );
    }

    #[test]
    fn expressions_of_policies_name_no_roles() {
        assert_eq!(
            roles(
                "CREATE POLICY \"p\" ON \"s\".\"t\" TO \"a\", \"b\" USING (EXTRACT(year FROM \"day\") > 0);"
            ),
            ["a", "b"]
        );
    }

    #[test]
    fn tablespace_is_a_quoted_name_after_its_keyword() {
        assert_eq!(
            mentioned_tablespace("CREATE TABLE \"s\".\"t\" () TABLESPACE \"fast\";"),
            Some("fast".to_owned())
        );
        assert_eq!(
            mentioned_tablespace("CREATE TABLE \"TABLESPACE\" ();"),
            None
        );
    }
}
