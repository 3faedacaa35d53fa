//! Domains (`pg_type`). Their CHECK constraints are objects of their own
//! ([`CheckConstraint`](super::CheckConstraint)) that CREATE DOMAIN prints where it can, and so is the default
//! that an expression gives.

use super::acl::{Acl, AclTarget, GrantKind};
use super::catalog_query::{Row, RowError, comment_join, is_no_member, is_users_schema, read_all};
use super::{
    CatalogId, DumpObject, Kind, ObjectId, Oid, Part, RenderContext, Rendered, Section, catalog,
    quote,
};
use crate::Result;
use crate::conn::Session;

/// A domain.
#[derive(Clone, Debug)]
pub struct Domain {
    oid: Oid,
    array_oid: Oid,
    schema: String,
    name: String,
    owner: String,
    acl: Acl,
    comment: Option<String>,
    /// As deparsed by the server.
    base_type: String,
    /// Schema and name, if it is not the base type's.
    collation: Option<(String, String)>,
    default: Option<Default>,
    /// The rows of its base type and collation.
    needed: [CatalogId; 2],
    not_null: Option<NotNull>,
    /// Validated CHECK constraints by name.
    checks: Vec<Check>,
}

/// The default of a domain.
#[derive(Clone, Debug)]
enum Default {
    /// An expression as deparsed by the server.
    Expression(String),
    /// The text form of a value (`typdefault` without `typdefaultbin`).
    Value(String),
}

/// The default of a domain, which CREATE DOMAIN prints unless a loop goes through it.
#[derive(Clone, Debug)]
pub struct DomainDefault {
    domain: ObjectId,
    schema: String,
    name: String,
    owner: String,
    expression: String,
}

/// NOT NULL on a domain.
#[derive(Clone, Debug)]
struct NotNull {
    /// Since 17 it is a row of `pg_constraint`: OID and name.
    constraint: Option<(Oid, String)>,
    comment: Option<String>,
}

/// A CHECK constraint that CREATE DOMAIN may print.
#[derive(Clone, Debug)]
struct Check {
    oid: Oid,
    name: String,
    /// `CHECK (...)` as deparsed by the server.
    definition: String,
}

impl Domain {
    /// Its default as an object, if it may need something.
    pub(crate) fn late_default(&self) -> Option<DomainDefault> {
        let Some(Default::Expression(expression)) = &self.default else {
            return None;
        };
        Some(DomainDefault {
            domain: self.id(),
            schema: self.schema.clone(),
            name: self.name.clone(),
            owner: self.owner.clone(),
            expression: expression.clone(),
        })
    }

    fn render_create(&self, name: &str, context: &RenderContext<'_>) -> String {
        let mut create = format!("CREATE DOMAIN {name} AS {}", self.base_type);
        if let Some((schema, collation)) = &self.collation {
            create.push_str(&format!(" COLLATE {}", quote::qualified(schema, collation)));
        }
        match &self.default {
            Some(Default::Expression(_))
                if context.is_separate(self.id().with_part(Part::Late)) => {}
            Some(Default::Expression(text)) => create.push_str(&format!(" DEFAULT {text}")),
            Some(Default::Value(text)) => {
                create.push_str(&format!(" DEFAULT {}", quote::literal(text)));
            }
            None => {}
        }
        if let Some(not_null) = &self.not_null {
            if let Some((_, constraint)) = &not_null.constraint {
                create.push_str(&format!(" CONSTRAINT {}", quote::ident(constraint)));
            }
            create.push_str(" NOT NULL");
        }
        for check in &self.checks {
            let id = ObjectId::definition(catalog::PG_CONSTRAINT, check.oid);
            if !context.is_separate(id) {
                create.push_str(&format!(
                    "\n    CONSTRAINT {} {}",
                    quote::ident(&check.name),
                    check.definition
                ));
            }
        }
        create.push(';');
        create
    }

    /// Comments on CHECK constraints are theirs.
    fn render_comments(&self, name: &str) -> Vec<String> {
        let not_null = self.not_null.as_ref().and_then(|not_null| {
            let (_, constraint) = not_null.constraint.as_ref()?;
            let object = format!("CONSTRAINT {} ON DOMAIN {name}", quote::ident(constraint));
            Some(quote::comment_on(&object, not_null.comment.as_ref()?))
        });
        self.comment
            .iter()
            .map(|text| quote::comment_on(&format!("DOMAIN {name}"), text))
            .chain(not_null)
            .collect()
    }
}

impl DumpObject for Domain {
    fn kind(&self) -> Kind {
        Kind::Domain
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_TYPE, self.oid)
    }

    fn claims(&self) -> Vec<CatalogId> {
        let mut claims = vec![self.id().catalog];
        // Domains have array types since 11.
        if self.array_oid != Oid(0) {
            claims.push(CatalogId::new(catalog::PG_TYPE, self.array_oid));
        }
        let not_null = self.not_null.iter().filter_map(|n| n.constraint.as_ref());
        claims.extend(not_null.map(|(oid, _)| CatalogId::new(catalog::PG_CONSTRAINT, *oid)));
        claims
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.schema)
    }

    fn tag(&self) -> String {
        self.name.clone()
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn section(&self) -> Section {
        Section::PreData
    }

    fn needed_at_once(&self) -> Option<&[CatalogId]> {
        Some(&self.needed)
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        let name = quote::qualified(&self.schema, &self.name);
        Rendered {
            create: vec![self.render_create(&name, context)],
            drop: Some(format!("DROP DOMAIN IF EXISTS {name};")),
            alter_owner: Some(format!(
                "ALTER DOMAIN {name} OWNER TO {};",
                quote::ident(&self.owner)
            )),
            comments: self.render_comments(&name),
            // GRANT ON DOMAIN does the same.
            acl: self.acl.render(
                &AclTarget::new(GrantKind::Type, &format!("TYPE {name}")),
                &self.owner,
                context.server,
            ),
        }
    }
}

impl DumpObject for DomainDefault {
    fn kind(&self) -> Kind {
        Kind::DomainDefault
    }

    fn id(&self) -> ObjectId {
        self.domain.with_part(Part::Late)
    }

    /// The row is the domain's.
    fn claims(&self) -> Vec<CatalogId> {
        Vec::new()
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.schema)
    }

    fn tag(&self) -> String {
        self.name.clone()
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn section(&self) -> Section {
        Section::PreData
    }

    fn folded_into(&self) -> Option<ObjectId> {
        Some(self.domain)
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        if !context.is_separate(self.id()) {
            return Rendered::default();
        }
        let name = quote::qualified(&self.schema, &self.name);
        Rendered {
            create: vec![format!(
                "ALTER DOMAIN {name} SET DEFAULT {};",
                self.expression
            )],
            // ALTER DOMAIN has no IF EXISTS.
            drop: Some(quote::do_block(&format!(
                "IF pg_catalog.to_regtype({}) IS NOT NULL THEN ALTER DOMAIN {name} DROP DEFAULT; END IF;",
                quote::literal(&name)
            ))),
            ..Rendered::default()
        }
    }
}

fn domains_query() -> String {
    let checks = "pg_catalog.pg_constraint AS c \
        WHERE c.contypid = t.oid AND c.contype = 'c' AND c.convalidated ORDER BY c.conname";
    format!(
        "SELECT t.oid, t.typarray, n.nspname, t.typname, \
         pg_catalog.pg_get_userbyid(t.typowner) AS owner, t.typacl::pg_catalog.text[] AS acl, \
         pg_catalog.acldefault('T', t.typowner)::pg_catalog.text[] AS acl_default, \
         comment.description, pg_catalog.format_type(t.typbasetype, t.typtypmod) AS base_type, \
         t.typbasetype, t.typcollation, con.nspname AS collation_schema, co.collname, \
         pg_catalog.pg_get_expr(t.typdefaultbin, 0) AS default_expression, t.typdefault, \
         t.typnotnull, nn.oid AS not_null_oid, nn.conname AS not_null_name, \
         nnd.description AS not_null_comment, \
         ARRAY(SELECT c.oid FROM {checks}) AS check_oids, \
         ARRAY(SELECT c.conname::pg_catalog.text FROM {checks}) AS check_names, \
         ARRAY(SELECT pg_catalog.pg_get_constraintdef(c.oid) FROM {checks}) AS check_definitions \
         FROM pg_catalog.pg_type AS t \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace \
         JOIN pg_catalog.pg_type AS bt ON bt.oid = t.typbasetype \
         LEFT JOIN pg_catalog.pg_collation AS co \
         ON co.oid = t.typcollation AND t.typcollation <> bt.typcollation \
         LEFT JOIN pg_catalog.pg_namespace AS con ON con.oid = co.collnamespace \
         LEFT JOIN pg_catalog.pg_constraint AS nn ON nn.contypid = t.oid AND nn.contype = 'n' \
         LEFT JOIN pg_catalog.pg_description AS nnd \
         ON nnd.classoid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND nnd.objoid = nn.oid \
         {comment} \
         WHERE t.typtype = 'd' AND {users} AND {users_schema} ORDER BY n.nspname, t.typname",
        comment = comment_join("pg_type", "t"),
        users = is_no_member("pg_type", "t"),
        users_schema = is_users_schema("n"),
    )
}

pub(crate) async fn read(session: &Session) -> Result<Vec<Domain>> {
    read_all(session, "domains", &domains_query(), |row| {
        let collation_schema: Option<String> = row.try_get("collation_schema")?;
        let is_not_null: bool = row.try_get("typnotnull")?;
        let not_null_oid: Option<Oid> = row.try_get("not_null_oid")?;
        let not_null_name: Option<String> = row.try_get("not_null_name")?;
        let expression: Option<String> = row.try_get("default_expression")?;
        let value: Option<String> = row.try_get("typdefault")?;
        Ok(Domain {
            oid: row.try_get("oid")?,
            array_oid: row.try_get("typarray")?,
            schema: row.try_get("nspname")?,
            name: row.try_get("typname")?,
            owner: row.try_get("owner")?,
            acl: Acl::from_row(row)?,
            comment: row.try_get("description")?,
            base_type: row.try_get("base_type")?,
            needed: [
                CatalogId::new(catalog::PG_TYPE, row.try_get("typbasetype")?),
                CatalogId::new(catalog::PG_COLLATION, row.try_get("typcollation")?),
            ],
            collation: collation_schema.zip(row.try_get::<_, Option<String>>("collname")?),
            default: expression
                .map(Default::Expression)
                .or(value.map(Default::Value)),
            not_null: is_not_null.then_some(NotNull {
                constraint: not_null_oid.zip(not_null_name),
                comment: row.try_get("not_null_comment")?,
            }),
            checks: checks(row)?,
        })
    })
    .await
}

fn checks(row: &Row) -> Result<Vec<Check>, RowError> {
    let oids: Vec<Oid> = row.try_get("check_oids")?;
    let names: Vec<String> = row.try_get("check_names")?;
    let definitions: Vec<String> = row.try_get("check_definitions")?;
    let checks = oids
        .into_iter()
        .zip(names)
        .zip(definitions)
        .map(|((oid, name), definition)| Check {
            oid,
            name,
            definition,
        })
        .collect();
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::ServerVersion;
    use crate::objects::OidSet;

    fn domain() -> Domain {
        Domain {
            oid: Oid(20000),
            array_oid: Oid(20001),
            schema: "s".to_owned(),
            name: "d".to_owned(),
            owner: "o".to_owned(),
            acl: Acl::default(),
            comment: None,
            base_type: "character varying(20)".to_owned(),
            collation: Some(("pg_catalog".to_owned(), "C".to_owned())),
            needed: [
                CatalogId::new(catalog::PG_TYPE, Oid(1043)),
                CatalogId::new(catalog::PG_COLLATION, Oid(950)),
            ],
            default: Some(Default::Expression("'x'::character varying".to_owned())),
            not_null: Some(NotNull {
                constraint: Some((Oid(20002), "d_not_null".to_owned())),
                comment: Some("always".to_owned()),
            }),
            checks: vec![Check {
                oid: Oid(20003),
                name: "positive".to_owned(),
                definition: "CHECK ((VALUE > 0))".to_owned(),
            }],
        }
    }

    fn render(domain: &Domain, separate: &OidSet<ObjectId>) -> Rendered {
        domain.render(&RenderContext {
            server: ServerVersion::major(17),
            separate,
        })
    }

    #[test]
    fn checks_stand_in_create_domain() {
        let rendered = render(&domain(), &OidSet::default());
        assert_eq!(
            rendered.create,
            [
                "CREATE DOMAIN \"s\".\"d\" AS character varying(20) COLLATE \"pg_catalog\".\"C\" \
                 DEFAULT 'x'::character varying CONSTRAINT \"d_not_null\" NOT NULL\n    \
                 CONSTRAINT \"positive\" CHECK ((VALUE > 0));"
            ]
        );
        assert_eq!(
            rendered.comments,
            ["COMMENT ON CONSTRAINT \"d_not_null\" ON DOMAIN \"s\".\"d\" IS 'always';"]
        );
    }

    #[test]
    fn a_separate_default_is_left_out_and_set_later() {
        let default = domain().late_default().expect("a default");
        let separate = OidSet::from_iter([default.id()]);
        assert!(!render(&domain(), &separate).create[0].contains("DEFAULT"));
        let context = RenderContext {
            server: ServerVersion::major(17),
            separate: &separate,
        };
        assert_eq!(
            default.render(&context).create,
            ["ALTER DOMAIN \"s\".\"d\" SET DEFAULT 'x'::character varying;"]
        );
    }

    #[test]
    fn separate_checks_are_left_out() {
        let check = ObjectId::definition(catalog::PG_CONSTRAINT, Oid(20003));
        let mut domain = domain();
        domain.collation = None;
        domain.not_null = None;
        domain.default = Some(Default::Value("it's".to_owned()));
        assert_eq!(
            render(&domain, &OidSet::from_iter([check])).create,
            ["CREATE DOMAIN \"s\".\"d\" AS character varying(20) DEFAULT 'it''s';"]
        );
    }
}
