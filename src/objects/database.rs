//! The database itself (`pg_database`, `pg_db_role_setting`): what CREATE DATABASE and ALTER DATABASE say. Not an object of the
//! script: `restore --create` and `create -C` render it. Manual: "CREATE DATABASE", "pg_database".

use serde::{Deserialize, Serialize};

use super::acl::{Acl, AclTarget, GrantKind};
use super::catalog_query::{read_all, since};
use super::{quote, security_label};
use crate::conn::{ServerVersion, Session};
use crate::{Error, ErrorKind, Result};

/// A database's properties. They stand in the header of an archive.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Database {
    owner: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    comment: Option<String>,
    /// Security labels (`pg_shseclabel`).
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    labels: Vec<Label>,
    /// `pg_database.datacl`, if it was ever changed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    acl: Option<Vec<String>>,
    acl_default: Vec<String>,
    encoding: String,
    /// c, i or b: libc, ICU, builtin.
    provider: String,
    lc_collate: String,
    lc_ctype: String,
    /// Of ICU and builtin.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    locale: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    icu_rules: Option<String>,
    /// Unless it is `pg_default`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    tablespace: Option<String>,
    /// -1 for none.
    connection_limit: i32,
    is_template: bool,
    settings: Vec<Setting>,
}

/// SECURITY LABEL ON DATABASE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Label {
    provider: String,
    label: String,
}

/// ALTER DATABASE ... SET, or ALTER ROLE ... IN DATABASE ... SET.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Setting {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) role: Option<String>,
    pub(crate) name: String,
    pub(crate) value: String,
}

impl Setting {
    /// From `name=value` as `pg_db_role_setting.setconfig` has it.
    pub(crate) fn parse(role: Option<String>, text: &str) -> Result<Setting> {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            Error::new(
                ErrorKind::Catalog,
                format!("unknown form of a setting: {}", quote::one_line(text)),
            )
        })?;
        Ok(Setting {
            role,
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }

    /// `SET name TO value`. The server keeps lists of names as one text of identifiers; SET wants them one by one.
    pub(crate) fn render(&self) -> String {
        let value = match is_list(&self.name) {
            true => names_of(&self.value)
                .iter()
                .map(|name| quote::literal(name))
                .collect::<Vec<_>>()
                .join(", "),
            false => quote::literal(&self.value),
        };
        let value = if value.is_empty() { "''" } else { &value };
        format!("SET {} TO {value}", quote::ident(&self.name))
    }
}

/// Settings under which a database cannot be filled, or would not become what it was.
const IN_THE_WAY: &[&str] = &[
    // NULL in an array would become a text.
    "array_nulls",
    // Tables of 10 and 11 would get OIDs.
    "default_with_oids",
    // Statements wait for each other, and see what others have done.
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    // What is tried and undone would end the session.
    "exit_on_error",
    // Materialized views read views.
    "restrict_nonsystem_relation_kind",
    // Another role would make everything.
    "role",
    "session_authorization",
    "session_replication_role",
    // Of an index of millions of rows.
    "temp_file_limit",
    // x = NULL would get another meaning.
    "transform_null_equals",
];

/// Whether a setting of a database has to wait until everything is there.
pub(crate) fn is_in_the_way(setting: &str) -> bool {
    (IN_THE_WAY.iter()).any(|name| name.eq_ignore_ascii_case(setting))
}

/// Settings that are lists of names (GUC_LIST_QUOTE in utils/misc/guc_tables.c).
fn is_list(setting: &str) -> bool {
    [
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    ]
    .iter()
    .any(|list| list.eq_ignore_ascii_case(setting))
}

/// `"$user", public` as names.
fn names_of(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = String::new();
    let mut quoted = false;
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => name.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => names.push(std::mem::take(&mut name)),
            c if c.is_whitespace() && !quoted => {}
            c => name.push(c),
        }
    }
    if !list.trim().is_empty() {
        names.push(name);
    }
    names
}

impl Database {
    /// The roles that its statements name.
    pub fn roles(&self) -> Result<Vec<String>> {
        let acl = self.acl()?;
        let grantees = acl.grantees().into_iter().filter(|role| !role.is_empty());
        let settings = self
            .settings
            .iter()
            .filter_map(|setting| setting.role.clone());
        let mut roles: Vec<String> = grantees.map(str::to_owned).collect();
        roles.push(self.owner.clone());
        roles.extend(settings);
        Ok(roles)
    }

    /// Its encoding by PostgreSQL's name.
    pub fn encoding(&self) -> &str {
        &self.encoding
    }

    /// Its tablespace, unless it is the cluster's default.
    pub fn tablespace(&self) -> Option<&str> {
        self.tablespace.as_deref()
    }

    /// `CREATE DATABASE`, from `template0`: nothing of the site's own, and any encoding and locale are allowed.
    pub fn render_create(
        &self,
        name: &str,
        server: ServerVersion,
        with_tablespace: bool,
    ) -> String {
        let mut out = format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
            quote::ident(name),
            quote::literal(&self.encoding),
            quote::literal(&self.lc_collate),
            quote::literal(&self.lc_ctype),
        );
        // Before 15 there was libc alone.
        if server >= ServerVersion::major(15) || self.provider != "c" {
            let (provider, word) = match self.provider.as_str() {
                "i" => ("icu", "ICU_LOCALE"),
                "b" => ("builtin", "BUILTIN_LOCALE"),
                _ => ("libc", ""),
            };
            out.push_str(&format!(" LOCALE_PROVIDER {provider}"));
            if let Some(locale) = self.locale.as_ref().filter(|_| !word.is_empty()) {
                out.push_str(&format!(" {word} {}", quote::literal(locale)));
            }
            if let Some(rules) = &self.icu_rules {
                out.push_str(&format!(" ICU_RULES {}", quote::literal(rules)));
            }
        }
        if let Some(tablespace) = self.tablespace.as_ref().filter(|_| with_tablespace) {
            out.push_str(&format!(" TABLESPACE {}", quote::ident(tablespace)));
        }
        out.push(';');
        out
    }

    /// `DROP DATABASE`, which no template suffers.
    pub fn render_drop(&self, name: &str) -> Vec<String> {
        let is_none = format!(
            "UPDATE pg_catalog.pg_database SET datistemplate = false WHERE datname = {};",
            quote::literal(name)
        );
        let mut out = Vec::from_iter(self.is_template.then_some(is_none));
        out.push(format!("DROP DATABASE IF EXISTS {};", quote::ident(name)));
        out
    }

    /// `ALTER DATABASE ... OWNER TO`
    pub fn render_owner(&self, name: &str) -> String {
        format!(
            "ALTER DATABASE {} OWNER TO {};",
            quote::ident(name),
            quote::ident(&self.owner)
        )
    }

    /// `COMMENT ON DATABASE`, if there is a comment.
    pub fn render_comment(&self, name: &str) -> Option<String> {
        let object = format!("DATABASE {}", quote::ident(name));
        let comment = self.comment.as_ref()?;
        Some(quote::comment_on(&object, comment))
    }

    /// `SECURITY LABEL ON DATABASE`
    pub fn render_labels(&self, name: &str) -> Vec<String> {
        let object = format!("DATABASE {}", quote::ident(name));
        let labels = self.labels.iter();
        labels
            .map(|label| security_label::render(&label.provider, &object, &label.label))
            .collect()
    }

    /// GRANT and REVOKE.
    pub fn render_acl(&self, name: &str, server: ServerVersion) -> Result<Vec<String>> {
        let object = format!("DATABASE {}", quote::ident(name));
        let target = AclTarget::new(GrantKind::Database, &object);
        Ok(self.acl()?.render(&target, &self.owner, server))
    }

    fn acl(&self) -> Result<Acl> {
        Acl::new(self.acl.as_deref(), &self.acl_default)
    }

    /// Settings that hold while it is filled: what it holds may read them.
    pub fn render_settings(&self, name: &str) -> Vec<String> {
        self.alter_settings(name, false)
    }

    /// The settings of the database itself among [`Self::render_settings`], which need no roles.
    pub fn render_settings_of_all(&self, name: &str) -> Vec<String> {
        let without_roles = Database {
            settings: (self.settings.iter())
                .filter(|setting| setting.role.is_none())
                .cloned()
                .collect(),
            ..Database::default()
        };
        without_roles.render_settings(name)
    }

    /// What would be in the way of filling it: other settings, connection limit, and that it is a template.
    pub fn render_limits(&self, name: &str) -> Vec<String> {
        let mut out = self.alter_settings(name, true);
        let name = quote::ident(name);
        if self.connection_limit != -1 {
            let limit = self.connection_limit;
            out.push(format!("ALTER DATABASE {name} CONNECTION LIMIT {limit};"));
        }
        if self.is_template {
            out.push(format!("ALTER DATABASE {name} IS_TEMPLATE true;"));
        }
        out
    }

    fn alter_settings(&self, name: &str, in_the_way: bool) -> Vec<String> {
        let name = quote::ident(name);
        self.settings
            .iter()
            .filter(|setting| is_in_the_way(&setting.name) == in_the_way)
            .map(|setting| match &setting.role {
                Some(role) => format!(
                    "ALTER ROLE {} IN DATABASE {name} {};",
                    quote::ident(role),
                    setting.render()
                ),
                None => format!("ALTER DATABASE {name} {};", setting.render()),
            })
            .collect()
    }
}

fn query(server: ServerVersion) -> String {
    let locale = since(
        server,
        17,
        "d.datlocale",
        since(server, 15, "d.daticulocale", "NULL"),
    );
    format!(
        "SELECT pg_catalog.pg_get_userbyid(d.datdba)::text AS owner, \
         (SELECT c.description FROM pg_catalog.pg_shdescription c WHERE c.objoid = d.oid \
           AND c.classoid = 'pg_catalog.pg_database'::pg_catalog.regclass) AS comment, \
         ARRAY(SELECT l.provider FROM pg_catalog.pg_shseclabel l WHERE {labelled} ORDER BY l.provider) AS label_providers, \
         ARRAY(SELECT l.label FROM pg_catalog.pg_shseclabel l WHERE {labelled} ORDER BY l.provider) AS labels, \
         d.datacl::text[] AS acl, pg_catalog.acldefault('d', d.datdba)::text[] AS acl_default, \
         pg_catalog.pg_encoding_to_char(d.encoding)::text AS encoding, \
         {provider} AS provider, d.datcollate::text AS lc_collate, d.datctype::text AS lc_ctype, \
         {locale}::text AS locale, {rules}::text AS icu_rules, \
         NULLIF(t.spcname::text, 'pg_default') AS tablespace, d.datconnlimit, d.datistemplate, \
         s.roles, s.settings \
         FROM pg_catalog.pg_database d \
         JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace \
         CROSS JOIN LATERAL (SELECT \
           COALESCE(pg_catalog.array_agg(COALESCE(r.rolname::text, '') ORDER BY r.rolname NULLS FIRST, u.position), '{{}}') AS roles, \
           COALESCE(pg_catalog.array_agg(u.setting ORDER BY r.rolname NULLS FIRST, u.position), '{{}}') AS settings \
           FROM pg_catalog.pg_db_role_setting c \
           LEFT JOIN pg_catalog.pg_roles r ON r.oid = c.setrole \
           CROSS JOIN LATERAL pg_catalog.unnest(c.setconfig) WITH ORDINALITY AS u (setting, position) \
           WHERE c.setdatabase = d.oid) s \
         WHERE d.datname = pg_catalog.current_database()",
        provider = since(server, 15, "d.datlocprovider::text", "'c'"),
        rules = since(server, 16, "d.daticurules", "NULL"),
        labelled =
            "l.objoid = d.oid AND l.classoid = 'pg_catalog.pg_database'::pg_catalog.regclass",
    )
}

/// Reads the database that the session is in.
pub(crate) async fn read(session: &Session) -> Result<Database> {
    let databases = read_all(session, "the database", &query(session.version()), |row| {
        let roles: Vec<String> = row.try_get("roles")?;
        let texts: Vec<String> = row.try_get("settings")?;
        let mut settings = roles
            .into_iter()
            .zip(&texts)
            .map(|(role, text)| Setting::parse(Some(role).filter(|role| !role.is_empty()), text))
            .collect::<Result<Vec<Setting>>>()?;
        // In the order in which a restore makes them, so that a restored database gives the same archive.
        settings.sort_by_key(|setting| is_in_the_way(&setting.name));
        let providers: Vec<String> = row.try_get("label_providers")?;
        let labels: Vec<String> = row.try_get("labels")?;
        let labels = providers.into_iter().zip(labels);
        Ok(Database {
            owner: row.try_get("owner")?,
            comment: row.try_get("comment")?,
            labels: labels
                .map(|(provider, label)| Label { provider, label })
                .collect(),
            acl: row.try_get("acl")?,
            acl_default: row.try_get("acl_default")?,
            encoding: row.try_get("encoding")?,
            provider: row.try_get("provider")?,
            lc_collate: row.try_get("lc_collate")?,
            lc_ctype: row.try_get("lc_ctype")?,
            locale: row.try_get("locale")?,
            icu_rules: row.try_get("icu_rules")?,
            tablespace: row.try_get("tablespace")?,
            connection_limit: row.try_get("datconnlimit")?,
            is_template: row.try_get("datistemplate")?,
            settings,
        })
    })
    .await?;
    let database = databases.into_iter().next();
    database.ok_or_else(|| Error::new(ErrorKind::Catalog, "the database is not in pg_database"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn lists_of_names_become_literals_one_by_one() {
        let set = |text: &str| Setting::parse(None, text).unwrap().render();
        assert_eq!(
            set("search_path=\"$user\", public, \"a \"\"b, c\""),
            "SET \"search_path\" TO '$user', 'public', 'a \"b, c'"
        );
        assert_eq!(set("search_path="), "SET \"search_path\" TO ''");
        assert_eq!(set("search_path=\"\""), "SET \"search_path\" TO ''");
        assert_eq!(set("my.thing=a=b"), "SET \"my.thing\" TO 'a=b'");
        assert!(Setting::parse(None, "nothing").is_err());
    }

    #[test]
    fn settings_that_are_in_the_way_wait() {
        let settings = [
            "app.tenant=3",
            "default_transaction_read_only=on",
            "Role=x",
            "search_path=a",
        ];
        let database = Database {
            settings: (settings.iter())
                .map(|text| Setting::parse(None, text).unwrap())
                .chain([Setting::parse(Some("r".to_owned()), "work_mem=1MB").unwrap()])
                .collect(),
            connection_limit: 3,
            ..Database::default()
        };
        let of_all = [
            "ALTER DATABASE \"d\" SET \"app.tenant\" TO '3';",
            "ALTER DATABASE \"d\" SET \"search_path\" TO 'a';",
        ];
        assert_eq!(database.render_settings_of_all("d"), of_all);
        assert_eq!(database.render_settings("d")[..2], of_all);
        assert_eq!(
            database.render_settings("d")[2],
            "ALTER ROLE \"r\" IN DATABASE \"d\" SET \"work_mem\" TO '1MB';"
        );
        assert_eq!(
            database.render_limits("d"),
            [
                "ALTER DATABASE \"d\" SET \"default_transaction_read_only\" TO 'on';",
                "ALTER DATABASE \"d\" SET \"Role\" TO 'x';",
                "ALTER DATABASE \"d\" CONNECTION LIMIT 3;",
            ]
        );
    }

    #[test]
    fn the_locale_is_said_in_the_providers_words() {
        let mut database = Database {
            encoding: "UTF8".to_owned(),
            provider: "c".to_owned(),
            lc_collate: "C".to_owned(),
            lc_ctype: "C".to_owned(),
            ..Database::default()
        };
        let create = |database: &Database, major| {
            database.render_create("d\"b", ServerVersion::major(major), true)
        };
        let head = "CREATE DATABASE \"d\"\"b\" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'";
        assert_eq!(create(&database, 14), format!("{head};"));
        assert_eq!(
            create(&database, 15),
            format!("{head} LOCALE_PROVIDER libc;")
        );
        database.provider = "i".to_owned();
        database.locale = Some("de-DE".to_owned());
        database.tablespace = Some("fast".to_owned());
        assert_eq!(
            create(&database, 17),
            format!("{head} LOCALE_PROVIDER icu ICU_LOCALE 'de-DE' TABLESPACE \"fast\";")
        );
    }
}
