//! Text search dictionaries (`pg_ts_dict`). Manual: "pg_ts_dict", "CREATE TEXT SEARCH DICTIONARY".

use super::catalog_query::read_all;
use super::named::{Named, NamedCatalog, NamedObject};
use super::{Kind, Oid, RenderContext, Rendered, catalog, quote};
use crate::Result;
use crate::conn::Session;

const DICTIONARIES: NamedCatalog = NamedCatalog {
    name: "pg_ts_dict",
    prefix: "dict",
    in_schema: true,
    has_owner: true,
    acl_letter: None,
};

/// A text search dictionary.
#[derive(Clone, Debug)]
pub struct TextSearchDictionary {
    named: Named,
    template_schema: String,
    template: String,
    /// As they stand behind TEMPLATE: the server keeps them as SQL.
    options: Option<String>,
}

impl NamedObject for TextSearchDictionary {
    const KIND: Kind = Kind::TextSearchDictionary;
    const CLASS: Oid = catalog::PG_TS_DICT;

    fn named(&self) -> &Named {
        &self.named
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let name = self.named.sql();
        let object = format!("TEXT SEARCH DICTIONARY {name}");
        let options = match &self.options {
            Some(options) => format!(", {options}"),
            None => String::new(),
        };
        Rendered {
            create: vec![format!(
                "CREATE {object} (TEMPLATE = {}{options});",
                quote::qualified(&self.template_schema, &self.template)
            )],
            drop: Some(format!("DROP TEXT SEARCH DICTIONARY IF EXISTS {name};")),
            alter_owner: self.named.render_owner(&object),
            comments: self.named.render_comments(&object),
            ..Rendered::default()
        }
    }
}

pub(crate) async fn read(session: &Session) -> Result<Vec<TextSearchDictionary>> {
    let query = DICTIONARIES.query(
        "tn.nspname AS template_schema, t.tmplname AS template, r.dictinitoption",
        "JOIN pg_catalog.pg_ts_template AS t ON t.oid = r.dicttemplate \
         JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.tmplnamespace",
        "true",
    );
    read_all(session, "text search dictionaries", &query, |row| {
        Ok(TextSearchDictionary {
            named: Named::from_row(row)?,
            template_schema: row.try_get("template_schema")?,
            template: row.try_get("template")?,
            options: row.try_get("dictinitoption")?,
        })
    })
    .await
}
