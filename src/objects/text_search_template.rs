//! Text search templates (`pg_ts_template`). Manual: "pg_ts_template", "CREATE TEXT SEARCH TEMPLATE".

use super::catalog_query::read_all;
use super::named::{Named, NamedCatalog, NamedObject, function_name};
use super::{Kind, Oid, RenderContext, Rendered, catalog};
use crate::Result;
use crate::conn::Session;

const TEMPLATES: NamedCatalog = NamedCatalog {
    name: "pg_ts_template",
    prefix: "tmpl",
    in_schema: true,
    has_owner: false,
    acl_letter: None,
};

/// A text search template.
#[derive(Clone, Debug)]
pub struct TextSearchTemplate {
    named: Named,
    init: Option<String>,
    lexize: String,
}

impl NamedObject for TextSearchTemplate {
    const KIND: Kind = Kind::TextSearchTemplate;
    const CLASS: Oid = catalog::PG_TS_TEMPLATE;

    fn named(&self) -> &Named {
        &self.named
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let name = self.named.sql();
        let object = format!("TEXT SEARCH TEMPLATE {name}");
        let init = match &self.init {
            Some(function) => format!("INIT = {function}, "),
            None => String::new(),
        };
        Rendered {
            create: vec![format!("CREATE {object} ({init}LEXIZE = {});", self.lexize)],
            drop: Some(format!("DROP TEXT SEARCH TEMPLATE IF EXISTS {name};")),
            comments: self.named.render_comments(&object),
            ..Rendered::default()
        }
    }
}

pub(crate) async fn read(session: &Session) -> Result<Vec<TextSearchTemplate>> {
    let columns = format!(
        "{} AS init_function, {} AS lexize_function",
        function_name("r.tmplinit"),
        function_name("r.tmpllexize"),
    );
    let query = TEMPLATES.query(&columns, "", "true");
    read_all(session, "text search templates", &query, |row| {
        Ok(TextSearchTemplate {
            named: Named::from_row(row)?,
            init: row.try_get("init_function")?,
            lexize: row.try_get("lexize_function")?,
        })
    })
    .await
}
