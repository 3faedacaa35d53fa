//! Procedural languages (`pg_language`). Manual: "pg_language", "CREATE LANGUAGE".

use super::acl::{AclTarget, GrantKind};
use super::catalog_query::read_all;
use super::named::{Named, NamedCatalog, NamedObject, function_name};
use super::{CatalogId, Kind, Oid, RenderContext, Rendered, catalog};
use crate::Result;
use crate::conn::{ServerVersion, Session};

const LANGUAGES: NamedCatalog = NamedCatalog {
    name: "pg_language",
    prefix: "lan",
    in_schema: false,
    has_owner: true,
    acl_letter: Some('l'),
};

/// A procedural language that no extension brought.
#[derive(Clone, Debug)]
pub struct Language {
    named: Named,
    is_trusted: bool,
    /// The functions that a plain `CREATE LANGUAGE` made along with it, by a template of the server's (`pg_pltemplate`, before 13).
    /// Since 13 the same statement makes the extension of that name.
    made_along: Vec<Oid>,
    handler: String,
    inline_handler: Option<String>,
    validator: Option<String>,
}

impl NamedObject for Language {
    const KIND: Kind = Kind::Language;
    const CLASS: Oid = catalog::PG_LANGUAGE;

    fn named(&self) -> &Named {
        &self.named
    }

    fn parts(&self) -> Vec<CatalogId> {
        let functions = self.made_along.iter();
        functions
            .map(|&oid| CatalogId::new(catalog::PG_PROC, oid))
            .collect()
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        let name = self.named.sql();
        let object = format!("LANGUAGE {name}");
        if !self.made_along.is_empty() && self.named.name == "plpgsql" {
            // Every new database has it, from an extension.
            return Rendered {
                comments: self.named.render_comments(&object),
                ..Rendered::default()
            };
        }
        Rendered {
            create: vec![self.render_create(&object)],
            // The target may have it as an extension, which CREATE OR REPLACE takes as it is, and DROP does not.
            drop: (self.made_along.is_empty()).then(|| format!("DROP LANGUAGE IF EXISTS {name};")),
            alter_owner: self.named.render_owner(&object),
            comments: self.named.render_comments(&object),
            acl: match self.is_trusted {
                true => self.named.render_acl(
                    &AclTarget::new(GrantKind::Language, &object),
                    context.server,
                ),
                false => Vec::new(),
            },
        }
    }
}

impl Language {
    fn render_create(&self, object: &str) -> String {
        if !self.made_along.is_empty() {
            return format!("CREATE OR REPLACE {object};");
        }
        let trusted = if self.is_trusted { "TRUSTED " } else { "" };
        let mut create = format!("CREATE {trusted}{object} HANDLER {}", self.handler);
        for (word, function) in [
            ("INLINE", &self.inline_handler),
            ("VALIDATOR", &self.validator),
        ] {
            if let Some(function) = function {
                create.push_str(&format!(" {word} {function}"));
            }
        }
        create + ";"
    }
}

/// The user's functions of a language in pg_catalog, where only templates make them.
fn made_along(server: ServerVersion) -> &'static str {
    match server >= ServerVersion::major(13) {
        true => "ARRAY[]::pg_catalog.oid[]",
        false => {
            "ARRAY(SELECT f.oid FROM pg_catalog.pg_proc f JOIN pg_catalog.pg_pltemplate t ON t.tmplname = r.lanname \
             WHERE f.oid IN (r.lanplcallfoid, r.laninline, r.lanvalidator) AND f.oid >= 16384 \
             AND f.pronamespace = 'pg_catalog'::pg_catalog.regnamespace)"
        }
    }
}

pub(crate) async fn read(session: &Session) -> Result<Vec<Language>> {
    let query = LANGUAGES.query(
        &format!(
            "r.lanpltrusted, {} AS made_along, {} AS handler, {} AS inline_handler, {} AS validator",
            made_along(session.version()),
            function_name("r.lanplcallfoid"),
            function_name("r.laninline"),
            function_name("r.lanvalidator"),
        ),
        "",
        "r.lanispl",
    );
    read_all(session, "languages", &query, |row| {
        Ok(Language {
            named: Named::from_row(row)?,
            is_trusted: row.try_get("lanpltrusted")?,
            made_along: row.try_get("made_along")?,
            handler: row.try_get("handler")?,
            inline_handler: row.try_get("inline_handler")?,
            validator: row.try_get("validator")?,
        })
    })
    .await
}
