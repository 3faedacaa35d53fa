//! Conversions between encodings (`pg_conversion`). Manual: "pg_conversion", "CREATE CONVERSION".

use super::catalog_query::read_all;
use super::named::{Named, NamedCatalog, NamedObject, function_name};
use super::{Kind, Oid, RenderContext, Rendered, catalog, quote};
use crate::Result;
use crate::conn::Session;

const CONVERSIONS: NamedCatalog = NamedCatalog {
    name: "pg_conversion",
    prefix: "con",
    in_schema: true,
    has_owner: true,
    acl_letter: None,
};

/// A conversion.
#[derive(Clone, Debug)]
pub struct Conversion {
    named: Named,
    is_default: bool,
    from: String,
    to: String,
    function: String,
}

impl NamedObject for Conversion {
    const KIND: Kind = Kind::Conversion;
    const CLASS: Oid = catalog::PG_CONVERSION;

    fn named(&self) -> &Named {
        &self.named
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let name = self.named.sql();
        let object = format!("CONVERSION {name}");
        Rendered {
            create: vec![format!(
                "CREATE {}{object} FOR {} TO {} FROM {};",
                if self.is_default { "DEFAULT " } else { "" },
                quote::literal(&self.from),
                quote::literal(&self.to),
                self.function
            )],
            drop: Some(format!("DROP CONVERSION IF EXISTS {name};")),
            alter_owner: self.named.render_owner(&object),
            comments: self.named.render_comments(&object),
            ..Rendered::default()
        }
    }
}

pub(crate) async fn read(session: &Session) -> Result<Vec<Conversion>> {
    let columns = format!(
        "r.condefault, pg_catalog.pg_encoding_to_char(r.conforencoding) AS from_encoding, \
         pg_catalog.pg_encoding_to_char(r.contoencoding) AS to_encoding, {} AS function",
        function_name("r.conproc")
    );
    let query = CONVERSIONS.query(&columns, "", "true");
    read_all(session, "conversions", &query, |row| {
        Ok(Conversion {
            named: Named::from_row(row)?,
            is_default: row.try_get("condefault")?,
            from: row.try_get("from_encoding")?,
            to: row.try_get("to_encoding")?,
            function: row.try_get("function")?,
        })
    })
    .await
}
