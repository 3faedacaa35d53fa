//! Subscriptions of this database (`pg_subscription`, which is for superusers). Manual: "CREATE SUBSCRIPTION".
//!
//! A restored subscription neither connects nor starts: `connect = false`. Its connection string is dumped without the
//! password unless the user asks for it.

use super::catalog_query::{Row, RowError, comment_join, read_all, since};
use super::named::{Named, NamedObject};
use super::{Kind, Oid, RenderContext, RenderOptions, Rendered, Section, catalog, quote};
use crate::Result;
use crate::conn::{ServerVersion, Session};

/// SQL: `r`, `oid` and `name` (text) of this database's subscriptions. Everybody may read their names, but OIDs only since 14; those of
/// other databases have no address here, so that they must be gone (OFFSET) before it is asked for.
pub(crate) const SUBSCRIPTIONS_HERE: &str = "\
    (SELECT s.name, (pg_catalog.pg_get_object_address('subscription', ARRAY[s.name], ARRAY[]::pg_catalog.text[])).objid AS oid \
     FROM (SELECT s.subname::pg_catalog.text AS name FROM pg_catalog.pg_subscription s \
     JOIN pg_catalog.pg_database d ON d.oid = s.subdbid \
     WHERE d.datname = pg_catalog.current_database() OFFSET 0) s) AS r";

/// A subscription.
#[derive(Clone, Debug)]
pub struct Subscription {
    named: Named,
    connection: String,
    lost_password: bool,
    publications: Vec<String>,
    /// Of WITH, rendered, behind `connect = false`.
    options: Vec<String>,
    /// What its server did without being told, and servers from this major on do not: options of theirs.
    of_later_servers: Vec<(u32, &'static str)>,
}

impl NamedObject for Subscription {
    const KIND: Kind = Kind::Subscription;
    const CLASS: Oid = catalog::PG_SUBSCRIPTION;

    fn named(&self) -> &Named {
        &self.named
    }

    fn section(&self) -> Section {
        Section::PostData
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let name = self.named.sql();
        let object = format!("SUBSCRIPTION {name}");
        let publications: Vec<String> = self.publications.iter().map(|p| quote::ident(p)).collect();
        let mut options = vec!["connect = false".to_owned()];
        options.extend_from_slice(&self.options);
        let create = format!(
            "CREATE {object} CONNECTION {} PUBLICATION {} WITH ({});",
            quote::literal(&self.connection),
            publications.join(", "),
            options.join(", ")
        );
        let later = self.of_later_servers.iter().map(|(major, option)| {
            quote::do_block(&format!(
                "IF pg_catalog.current_setting('server_version_num')::integer >= {major}0000 THEN \
                 ALTER {object} SET ({option}); END IF;"
            ))
        });
        Rendered {
            create: [create].into_iter().chain(later).collect(),
            drop: Some(self.render_drop()),
            alter_owner: self.named.render_owner(&object),
            comments: self.named.render_comments(&object),
            ..Rendered::default()
        }
    }
}

impl Subscription {
    /// Takes the password out unless it is wanted.
    pub(super) fn simplify(&mut self, options: &RenderOptions) {
        let without = without_password(&self.connection);
        self.lost_password = !options.subscription_passwords && without != self.connection;
        if self.lost_password {
            self.connection = without;
        }
    }

    /// Whether its connection string held a password.
    pub(crate) fn lost_password(&self) -> bool {
        self.lost_password
    }

    /// Without its slot, which is the publisher's and which the new subscription goes on with.
    fn render_drop(&self) -> String {
        let name = self.named.sql();
        quote::do_block(&format!(
            "IF EXISTS (SELECT FROM pg_catalog.pg_subscription s \
             JOIN pg_catalog.pg_database d ON d.oid = s.subdbid \
             WHERE d.datname = pg_catalog.current_database() AND s.subname = {}) THEN \
             ALTER SUBSCRIPTION {name} DISABLE; ALTER SUBSCRIPTION {name} SET (slot_name = NONE); \
             DROP SUBSCRIPTION {name}; END IF;",
            quote::literal(&self.named.name)
        ))
    }
}

/// A connection string, a URI or not, without the password that it may hold.
fn without_password(connection: &str) -> String {
    let is_uri = ["postgresql://", "postgres://"]
        .iter()
        .any(|scheme| connection.starts_with(scheme));
    match is_uri {
        true => uri_without_password(connection),
        false => keywords_without_password(connection),
    }
}

fn uri_without_password(uri: &str) -> String {
    let (scheme, rest) = uri.split_once("://").unwrap_or((uri, ""));
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = match authority.rsplit_once('@') {
        Some((user, hosts)) => {
            let user = user.split_once(':').map_or(user, |(user, _)| user);
            format!("{user}@{hosts}")
        }
        None => authority.to_owned(),
    };
    let path = match path.split_once('?') {
        Some((path, parameters)) => {
            let kept: Vec<&str> = parameters
                .split('&')
                .filter(|parameter| !is_secret(parameter.split('=').next().unwrap_or_default()))
                .collect();
            match kept.is_empty() {
                true => path.to_owned(),
                false => format!("{path}?{}", kept.join("&")),
            }
        }
        None => path.to_owned(),
    };
    format!("{scheme}://{authority}{path}")
}

/// Takes `password = value` out, whatever its quotes, and leaves the rest as it is written.
fn keywords_without_password(connection: &str) -> String {
    let mut out = String::new();
    let mut rest = connection;
    loop {
        let start = rest.len() - rest.trim_start().len();
        let (blank, text) = rest.split_at(start);
        if text.is_empty() {
            return out;
        }
        let name_end = text
            .find(|c: char| c == '=' || c.is_whitespace())
            .unwrap_or(text.len());
        let end = name_end + setting_length(&text[name_end..]);
        if !is_secret(&text[..name_end]) {
            if !out.is_empty() {
                out.push_str(blank);
            }
            out.push_str(&text[..end]);
        }
        rest = &text[end..];
    }
}

/// How long ` = value` is. In quotes and out of them a backslash takes the next character as it is.
fn setting_length(text: &str) -> usize {
    let after_equals = text
        .trim_start()
        .strip_prefix('=')
        .map(str::trim_start)
        .unwrap_or_default();
    let mut length = text.len() - after_equals.len();
    let quoted = after_equals.starts_with('\'');
    let mut escaped = false;
    for (at, c) in after_equals.char_indices() {
        if !quoted && !escaped && c.is_whitespace() {
            return length;
        }
        length += c.len_utf8();
        if quoted && !escaped && at > 0 && c == '\'' {
            return length;
        }
        escaped = !escaped && c == '\\';
    }
    length
}

fn is_secret(keyword: &str) -> bool {
    matches!(keyword, "password" | "sslpassword" | "oauth_client_secret")
}

fn query(server: ServerVersion) -> String {
    format!(
        "SELECT r.oid, NULL::pg_catalog.name AS schema, r.subname AS name, \
         pg_catalog.pg_get_userbyid(r.subowner) AS owner, comment.description, \
         NULL::pg_catalog.text[] AS acl, ARRAY[]::pg_catalog.text[] AS acl_default, \
         r.subconninfo, r.subslotname, r.subsynccommit, r.subpublications, \
         {binary} AS subbinary, {stream}::pg_catalog.text AS substream, {two_phase}::pg_catalog.text AS subtwophase, \
         {on_error} AS subdisableonerr, {password} AS subpasswordrequired, {run_as} AS subrunasowner, \
         {origin}::pg_catalog.text AS suborigin, {failover} AS subfailover \
         FROM pg_catalog.pg_subscription AS r \
         JOIN pg_catalog.pg_database AS d ON d.oid = r.subdbid {comment} \
         WHERE d.datname = pg_catalog.current_database() ORDER BY r.subname",
        binary = since(server, 14, "r.subbinary", "false"),
        stream = since(server, 14, "r.substream", "NULL"),
        two_phase = since(server, 15, "r.subtwophasestate", "'d'"),
        on_error = since(server, 15, "r.subdisableonerr", "false"),
        password = since(server, 16, "r.subpasswordrequired", "true"),
        run_as = since(server, 16, "r.subrunasowner", "false"),
        origin = since(server, 16, "r.suborigin", "'any'"),
        failover = since(server, 17, "r.subfailover", "false"),
        comment = comment_join("pg_subscription", "r"),
    )
}

/// Of those who may not read them, none: the sweep names what there is.
pub(crate) async fn read(session: &Session) -> Result<Vec<Subscription>> {
    let may_read = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = CURRENT_USER";
    let may_read = read_all(session, "rights", may_read, |row| {
        Ok(row.try_get("rolsuper")?)
    })
    .await?;
    if !may_read.into_iter().any(|is_superuser: bool| is_superuser) {
        return Ok(Vec::new());
    }
    let server = session.version();
    read_all(session, "subscriptions", &query(server), |row| {
        Ok(Subscription {
            named: Named::from_row(row)?,
            connection: row.try_get("subconninfo")?,
            lost_password: false,
            publications: row.try_get("subpublications")?,
            options: options(row)?,
            of_later_servers: of_later_servers(server),
        })
    })
    .await
}

/// Streaming came with 14 and is the default from 18 on; since 16 changes are applied with the rights of the table's owner.
fn of_later_servers(server: ServerVersion) -> Vec<(u32, &'static str)> {
    let known_since = [(14, 18, "streaming = off"), (16, 16, "run_as_owner = true")];
    (known_since.into_iter())
        .filter(|&(known, ..)| server < ServerVersion::major(known))
        .map(|(_, major, option)| (major, option))
        .collect()
}

/// What differs from the defaults of some version, and streaming, whose default changed with 18.
fn options(row: &Row) -> Result<Vec<String>, RowError> {
    let slot: Option<&str> = row.try_get("subslotname")?;
    let mut options = vec![match slot {
        Some(slot) => format!("slot_name = {}", quote::literal(slot)),
        None => "slot_name = NONE".to_owned(),
    }];
    if row.try_get("subbinary")? {
        options.push("binary = true".to_owned());
    }
    // A boolean in 14 and 15, then a letter.
    match row.try_get::<_, Option<&str>>("substream")? {
        None => {}
        Some("t" | "true") => options.push("streaming = on".to_owned()),
        Some("p") => options.push("streaming = parallel".to_owned()),
        Some(_) => options.push("streaming = off".to_owned()),
    }
    if row.try_get::<_, &str>("subtwophase")? != "d" {
        options.push("two_phase = on".to_owned());
    }
    for (column, unless, text) in [
        ("subdisableonerr", false, "disable_on_error = true"),
        ("subpasswordrequired", true, "password_required = false"),
        ("subrunasowner", false, "run_as_owner = true"),
        ("subfailover", false, "failover = true"),
    ] {
        if row.try_get::<_, bool>(column)? != unless {
            options.push(text.to_owned());
        }
    }
    for (column, unless, name) in [
        ("subsynccommit", "off", "synchronous_commit"),
        ("suborigin", "any", "origin"),
    ] {
        let value: &str = row.try_get(column)?;
        if value != unless {
            options.push(format!("{name} = {}", quote::literal(value)));
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_servers_are_told_what_older_ones_did_by_themselves() {
        let majors = |major| {
            let options = of_later_servers(ServerVersion::major(major));
            options.iter().map(|it| it.0).collect::<Vec<_>>()
        };
        assert_eq!(majors(13), [18, 16]);
        assert_eq!(majors(15), [16]);
        assert!(majors(16).is_empty());
    }

    #[test]
    fn passwords_go_and_all_else_stays() {
        for (with, without) in [
            ("host=h password=x dbname=d", "host=h dbname=d"),
            ("password = 'a b\\' c' host=h", "host=h"),
            (
                "host='password=1' passfile=/f",
                "host='password=1' passfile=/f",
            ),
            ("host=h password=a\\ b", "host=h"),
            ("", ""),
            (
                "postgresql://me:se@cret@h:1/d?x=1",
                "postgresql://me@h:1/d?x=1",
            ),
            ("postgres://h/d?password=x&y=1", "postgres://h/d?y=1"),
            ("postgres://h/d?password=x", "postgres://h/d"),
        ] {
            assert_eq!(without_password(with), without);
        }
    }
}
