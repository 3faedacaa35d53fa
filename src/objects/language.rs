//! Procedural languages (`pg_language`). Manual: "pg_language", "CREATE LANGUAGE".

use super::acl::{AclTarget, GrantKind};
use super::catalog_query::read_all;
use super::named::{Named, NamedCatalog, NamedObject, function_name};
use super::{Kind, Oid, RenderContext, Rendered, catalog};
use crate::Result;
use crate::conn::Session;

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

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        let name = self.named.sql();
        let object = format!("LANGUAGE {name}");
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
        Rendered {
            create: vec![format!("{create};")],
            drop: Some(format!("DROP LANGUAGE IF EXISTS {name};")),
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

pub(crate) async fn read(session: &Session) -> Result<Vec<Language>> {
    let query = LANGUAGES.query(
        &format!(
            "r.lanpltrusted, {} AS handler, {} AS inline_handler, {} AS validator",
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
            handler: row.try_get("handler")?,
            inline_handler: row.try_get("inline_handler")?,
            validator: row.try_get("validator")?,
        })
    })
    .await
}
