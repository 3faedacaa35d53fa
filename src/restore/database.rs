//! The target database as a whole: made, given the properties of the source, dropped.

use crate::archive::Header;
use crate::conn::{ConnectSettings, Session, connect};
use crate::event::Events;
use crate::objects::database::is_in_the_way;
use crate::objects::{Kind, quote};
use crate::{Error, ErrorKind, Result};

use super::check::cannot_check;
use super::findings::{Check, Findings};
use super::statement_words::setting_of;
use super::{RestoreOptions, connect_for_create};

/// The comment of a database that is being built to take the place of another one: a run that finds it after the builder's
/// death may drop it.
pub(crate) const BUILDING: &str =
    "pgstow is building this database; if no restore --swap is at work, it may be dropped";

/// Makes the database as the source was, with the settings that hold while it is filled, and gives it to its owner.
///
/// # Errors
/// `Restore`: it exists already, or the server refuses.
pub(super) async fn create(
    session: &Session,
    name: &str,
    header: &Header,
    options: &RestoreOptions,
    made: impl FnOnce(),
    events: &Events,
) -> Result<()> {
    let shown = || quote::one_line(&quote::ident(name)).into_owned();
    let with_tablespace =
        (options.properties && !options.storage.tablespaces) || options.like.is_some();
    let of_pg_dump = header.pg_dump.as_ref().filter(|_| options.like.is_none());
    let sql = match options.like.as_ref().or(header.properties.as_ref()) {
        _ if of_pg_dump.is_some() => of_pg_dump
            .and_then(|pg_dump| pg_dump.create_database(name))
            .map(|sql| {
                let sql = (options.storage).leave_out(sql.into(), false, header.strings());
                sql.into_owned()
            })
            .ok_or_else(|| {
                let message = "the archive does not tell how its database was made";
                Error::new(ErrorKind::Restore, message)
                    .hint("Make the database, and restore into it without --create.")
            })?,
        Some(properties) => properties.render_create(name, session.version(), with_tablespace),
        // Archives of earlier versions.
        None => format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
            quote::ident(name),
            quote::literal(&header.encoding),
            quote::literal(&header.lc_collate),
            quote::literal(&header.lc_ctype),
        ),
    };
    session.batch_execute(&sql).await.map_err(|error| {
        let exists = error.code() == Some(&tokio_postgres::error::SqlState::DUPLICATE_DATABASE);
        let message = format!("could not create database {}", shown());
        let error = Error::from_server(ErrorKind::Restore, message, error);
        match exists {
            true => error.hint("Restore into it without --create, or choose another name."),
            false => error,
        }
    })?;
    made();
    if options.like.is_some() {
        let mark = quote::comment_on(&format!("DATABASE {}", quote::ident(name)), BUILDING);
        session.batch_execute(&mark).await.map_err(|error| {
            let message = format!("could not mark database {}", shown());
            Error::from_server(ErrorKind::Restore, message, error)
        })?;
    }
    // Who gives the database away may set nothing more.
    set_settings(session, name, header, options, events).await;
    let owner = match (&header.properties, of_pg_dump) {
        (Some(properties), _) => Some(properties.render_owner(name)),
        (None, Some(pg_dump)) => pg_dump.alter_database_owner(name),
        (None, None) => None,
    };
    let Some(owner) = owner.filter(|_| options.properties && !options.no_owner) else {
        return Ok(());
    };
    session.batch_execute(&owner).await.map_err(|error| {
        let message = format!("could not give database {} to its owner", shown());
        Error::from_server(ErrorKind::Restore, message, error)
    })
}

/// Settings under which everything is restored. One that cannot be set is told: it may not matter to what is restored.
async fn set_settings(
    session: &Session,
    name: &str,
    header: &Header,
    options: &RestoreOptions,
    events: &Events,
) {
    let statements = match (&options.like, &header.pg_dump, &header.properties) {
        (Some(like), _, _) => like.render_settings(name),
        (None, Some(pg_dump), _) => (pg_dump.set_database(name).into_iter())
            .map(|(_, statement)| statement)
            .filter(|statement| setting_of(statement).is_some_and(|name| !is_in_the_way(&name)))
            .collect(),
        (None, None, Some(properties)) if options.properties => properties.render_settings(name),
        (None, None, Some(properties)) => properties.render_settings_of_all(name),
        (None, None, None) => Vec::new(),
    };
    for statement in statements {
        if let Err(error) = session.batch_execute(&statement).await {
            let what = "a setting of the database does not hold while it is restored";
            let error = Error::from_server(ErrorKind::Restore, what, error);
            let statement = quote::one_line(&statement);
            events.warn(format!("{what}: {statement} {}", error.details().join(" ")));
        }
    }
}

/// Comment, security labels, privileges, and settings that might be in the way before. Those under which the restore ran are set
/// again, for what could not be set is an error now, and a restore that an older version began has none of them.
///
/// # Errors
/// `SideJob`: everything is restored.
pub(super) async fn set_properties(
    session: &Session,
    name: &str,
    header: &Header,
    options: &RestoreOptions,
) -> Result<()> {
    if let Some(pg_dump) = header.pg_dump.as_ref().filter(|_| options.properties) {
        let wanted =
            |kind: &Option<Kind>| kind.is_none_or(|kind| options.parts.includes_about(kind));
        let statements = pg_dump.set_database(name).into_iter();
        let statements = statements.filter(|(kind, _)| wanted(kind));
        return run_properties(session, statements.map(|(_, statement)| statement)).await;
    }
    let properties = header.properties.as_ref();
    let Some(properties) = properties.filter(|_| options.properties) else {
        return Ok(());
    };
    let mut statements = Vec::new();
    if options.parts.includes_about(Kind::Comment) {
        statements.extend(properties.render_comment(name));
    }
    if options.parts.includes_about(Kind::SecurityLabel) {
        statements.extend(properties.render_labels(name));
    }
    if options.parts.includes_about(Kind::Acl) {
        statements.extend(properties.render_acl(name, session.version())?);
    }
    statements.extend(properties.render_settings(name));
    statements.extend(properties.render_limits(name));
    run_properties(session, statements).await
}

async fn run_properties(
    session: &Session,
    statements: impl IntoIterator<Item = String>,
) -> Result<()> {
    for statement in statements {
        session.batch_execute(&statement).await.map_err(|error| {
            Error::from_server(
                ErrorKind::SideJob,
                "everything is restored, but not all properties of the database could be set",
                error,
            )
            .detail(quote::one_line(&statement))
        })?;
    }
    Ok(())
}

/// Tells if there is a database of this name.
///
/// # Errors
/// `Restore`.
pub(super) async fn check_absent(
    session: &Session,
    name: &str,
    findings: &mut Findings,
) -> Result<()> {
    let query = "SELECT FROM pg_catalog.pg_database WHERE datname = $1::text";
    let rows = session.query(query, &[&name]).await.map_err(cannot_check)?;
    if !rows.is_empty() {
        let name = quote::ident(name);
        findings.problem(Check::Database, format!("database {name} exists already"));
    }
    Ok(())
}

/// Drops a database that pgstow made: one that it could not fill, or one for a drill.
///
/// # Errors
/// `Restore`; `Connect`.
pub(crate) async fn drop_database(settings: &ConnectSettings) -> Result<()> {
    let session = connect_for_create(settings).await?;
    drop_subscriptions(settings).await;
    let name = quote::ident(settings.database());
    let failed = |error| {
        let what = format!("could not drop database {}", quote::one_line(&name));
        Error::from_server(ErrorKind::Restore, what, error)
    };
    // A template cannot be dropped.
    let query = "SELECT FROM pg_catalog.pg_database WHERE datname = $1::text AND datistemplate";
    let rows = session.query(query, &[&settings.database()]).await;
    if !rows.map_err(failed)?.is_empty() {
        let alter = format!("ALTER DATABASE {name} IS_TEMPLATE false");
        session.batch_execute(&alter).await.map_err(failed)?;
    }
    let drop = format!("DROP DATABASE IF EXISTS {name}");
    session.batch_execute(&drop).await.map_err(failed)
}

/// Without their slots, which are the source's: a database that has subscriptions cannot be dropped. What goes wrong here,
/// DROP DATABASE will tell.
async fn drop_subscriptions(settings: &ConnectSettings) {
    let statements = quote::do_block(
        "DECLARE name text; BEGIN \
         FOR name IN SELECT s.subname FROM pg_catalog.pg_subscription s \
         JOIN pg_catalog.pg_database d ON d.oid = s.subdbid \
         WHERE d.datname = pg_catalog.current_database() LOOP \
         EXECUTE pg_catalog.format('ALTER SUBSCRIPTION %I DISABLE', name); \
         EXECUTE pg_catalog.format('ALTER SUBSCRIPTION %I SET (slot_name = NONE)', name); \
         EXECUTE pg_catalog.format('DROP SUBSCRIPTION %I', name); \
         END LOOP; END;",
    );
    if let Ok(session) = connect(settings).await {
        let _ = session.batch_execute(&statements).await;
    }
}
