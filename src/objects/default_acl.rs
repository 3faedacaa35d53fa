//! Default privileges (`pg_default_acl`). Manual: "ALTER DEFAULT PRIVILEGES".

use super::acl::{Acl, AclTarget, GrantKind};
use super::catalog_query::{read_all, unexpected};
use super::{DumpObject, Kind, ObjectId, Oid, RenderContext, Rendered, Section, catalog, quote};
use crate::Result;
use crate::conn::Session;

/// The privileges on objects of one kind that a role will make, everywhere or in one schema.
#[derive(Clone, Debug)]
pub struct DefaultAcl {
    oid: Oid,
    role: String,
    /// `None`: everywhere.
    schema: Option<String>,
    objects: ObjectClass,
    /// Everywhere: against the built-in privileges. In a schema: against nothing, since there they
    /// come on top of those that hold everywhere.
    acl: Acl,
}

/// The kind of objects that will be made.
#[derive(Clone, Copy, Debug)]
enum ObjectClass {
    Tables,
    Sequences,
    Functions,
    Types,
    Schemas,
    /// Since 18.
    LargeObjects,
}

impl ObjectClass {
    fn parse(letter: &str) -> Option<Self> {
        Some(match letter {
            "r" => ObjectClass::Tables,
            "S" => ObjectClass::Sequences,
            "f" => ObjectClass::Functions,
            "T" => ObjectClass::Types,
            "n" => ObjectClass::Schemas,
            "L" => ObjectClass::LargeObjects,
            _ => return None,
        })
    }

    fn as_sql(self) -> &'static str {
        match self {
            ObjectClass::Tables => "TABLES",
            ObjectClass::Sequences => "SEQUENCES",
            ObjectClass::Functions => "FUNCTIONS",
            ObjectClass::Types => "TYPES",
            ObjectClass::Schemas => "SCHEMAS",
            ObjectClass::LargeObjects => "LARGE OBJECTS",
        }
    }

    fn grant_kind(self) -> GrantKind {
        match self {
            ObjectClass::Tables => GrantKind::Table,
            ObjectClass::Sequences => GrantKind::Sequence,
            ObjectClass::Functions => GrantKind::Routine,
            ObjectClass::Types => GrantKind::Type,
            ObjectClass::Schemas => GrantKind::Schema,
            ObjectClass::LargeObjects => GrantKind::LargeObject,
        }
    }
}

impl DefaultAcl {
    /// What precedes GRANT and REVOKE, with a space at its end.
    fn prefix(&self) -> String {
        let schema = match &self.schema {
            Some(schema) => format!("IN SCHEMA {} ", quote::ident(schema)),
            None => String::new(),
        };
        format!(
            "ALTER DEFAULT PRIVILEGES FOR ROLE {} {schema}",
            quote::ident(&self.role)
        )
    }

    /// Back to the built-in privileges. Without it, what an earlier restore set would add to the
    /// privileges of everything that the next one creates. Schemas that are dropped take their
    /// default privileges along; `public` is not dropped.
    fn render_drop(&self) -> Option<String> {
        let prefix = self.prefix();
        let objects = self.objects.as_sql();
        let mut steps: Vec<String> = self
            .acl
            .grantees()
            .into_iter()
            .map(|grantee| {
                format!(
                    "{prefix}REVOKE ALL ON {objects} FROM {};",
                    quote::role(grantee)
                )
            })
            .collect();
        let body = match self.schema.as_deref() {
            Some("public") => format!(
                "IF pg_catalog.to_regnamespace('public') IS NOT NULL THEN {} END IF;",
                steps.join(" ")
            ),
            Some(_) => return None,
            None => {
                steps.extend(self.acl.baseline_grantees().into_iter().map(|grantee| {
                    format!(
                        "{prefix}GRANT ALL ON {objects} TO {};",
                        quote::role(grantee)
                    )
                }));
                steps.join(" ")
            }
        };
        Some(quote::do_block(&body))
    }
}

impl DumpObject for DefaultAcl {
    fn kind(&self) -> Kind {
        Kind::DefaultAcl
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_DEFAULT_ACL, self.oid)
    }

    fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    fn tag(&self) -> String {
        format!("DEFAULT PRIVILEGES FOR {}", self.objects.as_sql())
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.role)
    }

    /// After everything that the privileges could be applied to.
    fn section(&self) -> Section {
        Section::PostData
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        let target = AclTarget {
            kind: self.objects.grant_kind(),
            object: self.objects.as_sql(),
            column: None,
            prefix: &self.prefix(),
        };
        Rendered {
            create: self.acl.render(&target, &self.role, context.server),
            drop: self.render_drop(),
            ..Rendered::default()
        }
    }
}

/// acldefault() knows sequences by `s`, `pg_default_acl` by `S`.
const DEFAULT_ACLS_QUERY: &str = "\
    SELECT d.oid, pg_catalog.pg_get_userbyid(d.defaclrole) AS role, n.nspname, \
    d.defaclobjtype::pg_catalog.text, d.defaclacl::pg_catalog.text[] AS acl, \
    CASE WHEN d.defaclnamespace <> 0 THEN '{}' ELSE pg_catalog.acldefault( \
      CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END, d.defaclrole \
    )::pg_catalog.text[] END AS acl_default \
    FROM pg_catalog.pg_default_acl AS d \
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = d.defaclnamespace \
    WHERE n.oid IS NULL OR n.nspname !~ '^pg_(toast_)?temp_' \
    ORDER BY role, n.nspname NULLS FIRST, d.defaclobjtype";

pub(crate) async fn read(session: &Session) -> Result<Vec<DefaultAcl>> {
    read_all(session, "default privileges", DEFAULT_ACLS_QUERY, |row| {
        let role: String = row.try_get("role")?;
        let letter: &str = row.try_get("defaclobjtype")?;
        let objects = ObjectClass::parse(letter).ok_or_else(|| {
            let object = format!("default privileges of role {role}");
            unexpected(&object, "defaclobjtype", letter)
        })?;
        Ok(DefaultAcl {
            oid: row.try_get("oid")?,
            role,
            schema: row.try_get("nspname")?,
            objects,
            acl: Acl::from_row(row)?,
        })
    })
    .await
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::conn::ServerVersion;

    fn render(schema: Option<&str>, items: &[&str], baseline: &[&str]) -> Rendered {
        let owned = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect::<Vec<_>>();
        let default_acl = DefaultAcl {
            oid: Oid(20000),
            role: "o".to_owned(),
            schema: schema.map(str::to_owned),
            objects: ObjectClass::Functions,
            acl: Acl::new(Some(&owned(items)), &owned(baseline)).unwrap(),
        };
        default_acl.render(&RenderContext {
            server: ServerVersion::major(15),
            separate: &crate::objects::OidSet::default(),
        })
    }

    #[test]
    fn everywhere_they_are_a_difference_to_the_built_in_ones() {
        let rendered = render(None, &["o=X/o", "u=X/o"], &["=X/o", "o=X/o"]);
        let prefix = "ALTER DEFAULT PRIVILEGES FOR ROLE \"o\"";
        assert_eq!(
            rendered.create,
            [
                format!("{prefix} REVOKE ALL ON FUNCTIONS FROM PUBLIC;"),
                format!("{prefix} GRANT ALL ON FUNCTIONS TO \"u\";"),
            ]
        );
        assert_eq!(
            rendered.drop,
            Some(format!(
                "DO $_$BEGIN {prefix} REVOKE ALL ON FUNCTIONS FROM \"o\"; \
                 {prefix} REVOKE ALL ON FUNCTIONS FROM \"u\"; \
                 {prefix} REVOKE ALL ON FUNCTIONS FROM PUBLIC; \
                 {prefix} GRANT ALL ON FUNCTIONS TO PUBLIC; \
                 {prefix} GRANT ALL ON FUNCTIONS TO \"o\"; END$_$;"
            ))
        );
    }

    #[test]
    fn in_a_schema_they_come_on_top() {
        let rendered = render(Some("s"), &["u=X/o"], &[]);
        assert_eq!(
            rendered.create,
            ["ALTER DEFAULT PRIVILEGES FOR ROLE \"o\" IN SCHEMA \"s\" \
                 GRANT ALL ON FUNCTIONS TO \"u\";"]
        );
        assert_eq!(rendered.drop, None);
        assert!(render(Some("public"), &["u=X/o"], &[]).drop.is_some());
    }
}
