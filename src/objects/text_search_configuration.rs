//! Text search configurations (`pg_ts_config`, `pg_ts_config_map`). Manual: "pg_ts_config", "CREATE TEXT SEARCH
//! CONFIGURATION".

use super::catalog_query::read_all;
use super::named::{Named, NamedCatalog, NamedObject};
use super::{Kind, Oid, RenderContext, Rendered, catalog, quote};
use crate::Result;
use crate::conn::Session;

const CONFIGURATIONS: NamedCatalog = NamedCatalog {
    name: "pg_ts_config",
    prefix: "cfg",
    in_schema: true,
    has_owner: true,
    acl_letter: None,
};

/// A text search configuration.
#[derive(Clone, Debug)]
pub struct TextSearchConfiguration {
    named: Named,
    parser_schema: String,
    parser: String,
    /// By token type: its dictionaries in order, in SQL.
    mappings: Vec<(String, String)>,
    /// Token types with dictionaries that its parser does not know, or no longer: no statement can name them.
    unknown_token_types: Vec<i32>,
}

impl NamedObject for TextSearchConfiguration {
    const KIND: Kind = Kind::TextSearchConfiguration;
    const CLASS: Oid = catalog::PG_TS_CONFIG;

    fn named(&self) -> &Named {
        &self.named
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let name = self.named.sql();
        let object = format!("TEXT SEARCH CONFIGURATION {name}");
        let mut create = vec![format!(
            "CREATE {object} (PARSER = {});",
            quote::qualified(&self.parser_schema, &self.parser)
        )];
        create.extend(self.mappings.iter().map(|(token, dictionaries)| {
            format!(
                "ALTER {object} ADD MAPPING FOR {} WITH {dictionaries};",
                quote::ident(token)
            )
        }));
        Rendered {
            create,
            drop: Some(format!("DROP TEXT SEARCH CONFIGURATION IF EXISTS {name};")),
            alter_owner: self.named.render_owner(&object),
            comments: self.named.render_comments(&object),
            ..Rendered::default()
        }
    }
}

impl TextSearchConfiguration {
    /// Token types whose dictionaries are left out, for its parser does not know them.
    pub(crate) fn unknown_token_types(&self) -> &[i32] {
        &self.unknown_token_types
    }
}

pub(crate) async fn read(session: &Session) -> Result<Vec<TextSearchConfiguration>> {
    // The parser itself tells the names of its token types.
    let query = CONFIGURATIONS.query(
        "pn.nspname AS parser_schema, p.prsname AS parser, \
         mapping.tokens, mapping.dictionaries, mapping.unknown",
        "JOIN pg_catalog.pg_ts_parser AS p ON p.oid = r.cfgparser \
         JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.prsnamespace \
         CROSS JOIN LATERAL (SELECT \
           COALESCE(pg_catalog.array_agg(m.alias ORDER BY m.tokid) FILTER (WHERE m.alias IS NOT NULL), '{}') AS tokens, \
           COALESCE(pg_catalog.array_agg(m.dictionaries ORDER BY m.tokid) FILTER (WHERE m.alias IS NOT NULL), '{}') \
             AS dictionaries, \
           COALESCE(pg_catalog.array_agg(m.tokid ORDER BY m.tokid) FILTER (WHERE m.alias IS NULL), '{}') AS unknown \
           FROM (SELECT m.maptokentype AS tokid, t.alias, pg_catalog.string_agg( \
               pg_catalog.format('%I.%I', dn.nspname, d.dictname), ', ' ORDER BY m.mapseqno) AS dictionaries \
             FROM pg_catalog.pg_ts_config_map AS m \
             LEFT JOIN pg_catalog.ts_token_type(r.cfgparser) AS t ON t.tokid = m.maptokentype \
             JOIN pg_catalog.pg_ts_dict AS d ON d.oid = m.mapdict \
             JOIN pg_catalog.pg_namespace AS dn ON dn.oid = d.dictnamespace \
             WHERE m.mapcfg = r.oid GROUP BY m.maptokentype, t.alias) AS m) AS mapping",
        "true",
    );
    read_all(session, "text search configurations", &query, |row| {
        let tokens: Vec<String> = row.try_get("tokens")?;
        let dictionaries: Vec<String> = row.try_get("dictionaries")?;
        Ok(TextSearchConfiguration {
            named: Named::from_row(row)?,
            parser_schema: row.try_get("parser_schema")?,
            parser: row.try_get("parser")?,
            mappings: tokens.into_iter().zip(dictionaries).collect(),
            unknown_token_types: row.try_get("unknown")?,
        })
    })
    .await
}
