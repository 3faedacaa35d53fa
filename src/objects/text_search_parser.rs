//! Text search parsers (`pg_ts_parser`). Manual: "pg_ts_parser", "CREATE TEXT SEARCH PARSER".

use super::catalog_query::read_all;
use super::named::{Named, NamedCatalog, NamedObject, function_name};
use super::{Kind, Oid, RenderContext, Rendered, catalog};
use crate::Result;
use crate::conn::Session;

const PARSERS: NamedCatalog = NamedCatalog {
    name: "pg_ts_parser",
    prefix: "prs",
    in_schema: true,
    has_owner: false,
    acl_letter: None,
};

/// A text search parser.
#[derive(Clone, Debug)]
pub struct TextSearchParser {
    named: Named,
    start: String,
    get_token: String,
    end: String,
    headline: Option<String>,
    lex_types: String,
}

impl NamedObject for TextSearchParser {
    const KIND: Kind = Kind::TextSearchParser;
    const CLASS: Oid = catalog::PG_TS_PARSER;

    fn named(&self) -> &Named {
        &self.named
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let name = self.named.sql();
        let object = format!("TEXT SEARCH PARSER {name}");
        let headline = match &self.headline {
            Some(function) => format!("HEADLINE = {function}, "),
            None => String::new(),
        };
        Rendered {
            create: vec![format!(
                "CREATE {object} (START = {}, GETTOKEN = {}, END = {}, {headline}LEXTYPES = {});",
                self.start, self.get_token, self.end, self.lex_types
            )],
            drop: Some(format!("DROP TEXT SEARCH PARSER IF EXISTS {name};")),
            comments: self.named.render_comments(&object),
            ..Rendered::default()
        }
    }
}

pub(crate) async fn read(session: &Session) -> Result<Vec<TextSearchParser>> {
    let columns = format!(
        "{} AS start_function, {} AS token_function, {} AS end_function, {} AS headline_function, \
         {} AS lextype_function",
        function_name("r.prsstart"),
        function_name("r.prstoken"),
        function_name("r.prsend"),
        function_name("r.prsheadline"),
        function_name("r.prslextype"),
    );
    let query = PARSERS.query(&columns, "", "true");
    read_all(session, "text search parsers", &query, |row| {
        Ok(TextSearchParser {
            named: Named::from_row(row)?,
            start: row.try_get("start_function")?,
            get_token: row.try_get("token_function")?,
            end: row.try_get("end_function")?,
            headline: row.try_get("headline_function")?,
            lex_types: row.try_get("lextype_function")?,
        })
    })
    .await
}
