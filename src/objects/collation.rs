//! Collations (`pg_collation`). Manual: "pg_collation", "CREATE COLLATION".

use super::catalog_query::{Row, RowError, read_all, since, unexpected};
use super::named::{Named, NamedCatalog, NamedObject};
use super::{Kind, Oid, RenderContext, Rendered, catalog, quote};
use crate::Result;
use crate::conn::{ServerVersion, Session};

const COLLATIONS: NamedCatalog = NamedCatalog {
    name: "pg_collation",
    prefix: "coll",
    in_schema: true,
    has_owner: true,
    acl_letter: None,
};

/// A collation. Its version is not dumped: the target's libraries have one of their own.
#[derive(Clone, Debug)]
pub struct Collation {
    named: Named,
    /// Of CREATE COLLATION, rendered, in the manual's order.
    options: Vec<String>,
}

impl NamedObject for Collation {
    const KIND: Kind = Kind::Collation;
    const CLASS: Oid = catalog::PG_COLLATION;

    fn named(&self) -> &Named {
        &self.named
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let name = self.named.sql();
        let object = format!("COLLATION {name}");
        Rendered {
            create: vec![format!("CREATE {object} ({});", self.options.join(", "))],
            drop: Some(format!("DROP COLLATION IF EXISTS {name};")),
            alter_owner: self.named.render_owner(&object),
            comments: self.named.render_comments(&object),
            ..Rendered::default()
        }
    }
}

fn query(server: ServerVersion) -> String {
    // Nondeterministic collations came with 12, a column for ICU's locale with 15, for its rules with 16, and with
    // 17 that locale became the builtin provider's, too.
    let locale = since(
        server,
        17,
        "r.colllocale",
        since(server, 15, "r.colliculocale", "NULL"),
    );
    COLLATIONS.query(
        &format!(
            "r.collprovider::pg_catalog.text AS provider, {deterministic} AS is_deterministic, \
             r.collcollate::pg_catalog.text AS lc_collate, r.collctype::pg_catalog.text AS lc_ctype, \
             {locale}::pg_catalog.text AS locale, {rules}::pg_catalog.text AS rules",
            deterministic = since(server, 12, "r.collisdeterministic", "true"),
            rules = since(server, 16, "r.collicurules", "NULL"),
        ),
        "",
        "true",
    )
}

pub(crate) async fn read(session: &Session) -> Result<Vec<Collation>> {
    read_all(session, "collations", &query(session.version()), |row| {
        Ok(Collation {
            named: Named::from_row(row)?,
            options: options(row)?,
        })
    })
    .await
}

fn options(row: &Row) -> Result<Vec<String>, RowError> {
    let name: &str = row.try_get("name")?;
    let provider: &str = row.try_get("provider")?;
    let lc_collate: Option<String> = row.try_get("lc_collate")?;
    let lc_ctype: Option<String> = row.try_get("lc_ctype")?;
    let locale: Option<String> = row.try_get("locale")?;
    let rules: Option<String> = row.try_get("rules")?;
    let missing = || unexpected(&format!("collation {name}"), "locale", "none at all");
    let option = |name: &str, value: &str| format!("{name} = {}", quote::literal(value));
    let mut options = Vec::new();
    match provider {
        "c" => {
            options.push("provider = libc".to_owned());
            let (collate, ctype) = (
                lc_collate.ok_or_else(missing)?,
                lc_ctype.ok_or_else(missing)?,
            );
            if collate == ctype {
                options.push(option("locale", &collate));
            } else {
                options.push(option("lc_collate", &collate));
                options.push(option("lc_ctype", &ctype));
            }
        }
        "i" => {
            options.push("provider = icu".to_owned());
            // Before 15 lc_collate held the locale.
            let locale = locale.or(lc_collate).ok_or_else(missing)?;
            options.push(option("locale", &locale));
        }
        "b" => {
            options.push("provider = builtin".to_owned());
            options.push(option("locale", &locale.ok_or_else(missing)?));
        }
        other => {
            return Err(unexpected(&format!("collation {name}"), "collprovider", other).into());
        }
    }
    if !row.try_get::<_, bool>("is_deterministic")? {
        options.push("deterministic = false".to_owned());
    }
    options.extend(rules.map(|rules| option("rules", &rules)));
    Ok(options)
}
