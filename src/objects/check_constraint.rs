//! CHECK constraints of tables and domains, and from 18 on the not-null constraints of tables that
//! are not valid (`pg_constraint`). CREATE TABLE and CREATE DOMAIN print what they can: valid ones
//! outside of dependency loops. The others are printed here.

use std::collections::HashMap;

use super::attribute::Attributes;
use super::catalog_query::{
    Row, RowError, comment_join, is_users_schema, read_all, since, unexpected,
};
use super::plain_definition::{Deparser, print};
use super::table::Check;
use super::{
    DumpObject, Kind, LockStrength, ObjectId, Oid, RenderContext, Rendered, Section, catalog, quote,
};
use crate::conn::{ServerVersion, Session};
use crate::{Error, Result};

/// A CHECK constraint, or a not-null constraint that is not valid.
#[derive(Clone, Debug)]
pub struct CheckConstraint {
    oid: Oid,
    name: String,
    /// As deparsed by the server, with NO INHERIT, NOT VALID and NOT ENFORCED.
    definition: String,
    parent: Parent,
    parent_oid: Oid,
    parent_schema: String,
    parent_name: String,
    parent_owner: String,
    is_validated: bool,
    /// False if it only came from a parent table.
    is_local: bool,
    /// Of one that is not valid: such constraints of the table's parents, which may bring it along.
    inherited_from: Vec<Oid>,
    comment: Option<String>,
}

/// What a constraint is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parent {
    Table,
    ForeignTable,
    /// A table that is a partition.
    Partition,
    Domain,
}

impl CheckConstraint {
    /// What CREATE TABLE prints of it, and of which table: of a valid one of a table.
    pub(crate) fn of_table(&self) -> Option<(Oid, Check)> {
        let is_of_table = self.parent != Parent::Domain;
        (is_of_table && self.is_validated).then(|| {
            let check = Check {
                oid: self.oid,
                name: self.name.clone(),
                definition: self.definition.clone(),
                is_local: self.is_local,
            };
            (self.parent_oid, check)
        })
    }

    fn parent_id(&self) -> ObjectId {
        let class = match self.parent {
            Parent::Table | Parent::ForeignTable | Parent::Partition => catalog::PG_CLASS,
            Parent::Domain => catalog::PG_TYPE,
        };
        ObjectId::definition(class, self.parent_oid)
    }

    fn table_id(&self) -> Option<ObjectId> {
        (self.parent != Parent::Domain).then(|| self.parent_id())
    }

    /// Whether a statement of its own has to make it. What only came from a parent comes from there
    /// again; but a partition must have its valid ones before it is attached.
    fn is_printed(&self, context: &RenderContext<'_>) -> bool {
        let is_separate = !self.is_validated || context.is_separate(self.id());
        let is_own = self.is_local || (self.parent == Parent::Partition && self.is_validated);
        is_separate && is_own
    }

    /// Without ONLY: children get it from here.
    fn render_add(&self, parent: &str) -> String {
        format!(
            "ALTER {parent} ADD CONSTRAINT {} {};",
            quote::ident(&self.name),
            self.definition
        )
    }

    /// Needed where the constraint's functions would be dropped before its table or domain.
    fn render_drop(&self, qualified: &str) -> String {
        let name = quote::ident(&self.name);
        match self.parent {
            Parent::Table | Parent::Partition => {
                format!("ALTER TABLE IF EXISTS {qualified} DROP CONSTRAINT IF EXISTS {name};")
            }
            Parent::ForeignTable => format!(
                "ALTER FOREIGN TABLE IF EXISTS {qualified} DROP CONSTRAINT IF EXISTS {name};"
            ),
            // ALTER DOMAIN has no IF EXISTS.
            Parent::Domain => quote::do_block(&format!(
                "IF pg_catalog.to_regtype({}) IS NOT NULL THEN \
                 ALTER DOMAIN {qualified} DROP CONSTRAINT IF EXISTS {name}; END IF;",
                quote::literal(qualified)
            )),
        }
    }
}

impl DumpObject for CheckConstraint {
    fn kind(&self) -> Kind {
        Kind::CheckConstraint
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_CONSTRAINT, self.oid)
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.parent_schema)
    }

    fn tag(&self) -> String {
        format!("{} {}", self.parent_name, self.name)
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.parent_owner)
    }

    /// Rows loaded before it are not checked by one that is not valid: that is its purpose.
    fn section(&self) -> Section {
        if self.is_validated {
            Section::PreData
        } else {
            Section::PostData
        }
    }

    fn extra_dependencies(&self) -> Vec<ObjectId> {
        if self.is_validated {
            return Vec::new();
        }
        let inherited_from = self.inherited_from.iter();
        inherited_from
            .map(|&oid| ObjectId::definition(catalog::PG_CONSTRAINT, oid))
            .chain([self.parent_id()])
            .collect()
    }

    fn folded_into(&self) -> Option<ObjectId> {
        self.is_validated.then(|| self.parent_id())
    }

    fn relation(&self) -> Option<ObjectId> {
        self.table_id()
    }

    fn locks(&self) -> Vec<(ObjectId, LockStrength)> {
        self.table_id()
            .map(|table| (table, LockStrength::Exclusive))
            .into_iter()
            .collect()
    }

    fn render(&self, context: &RenderContext<'_>) -> Rendered {
        let qualified = quote::qualified(&self.parent_schema, &self.parent_name);
        let (parent, on) = match self.parent {
            Parent::Table | Parent::Partition => ("TABLE", ""),
            Parent::ForeignTable => ("FOREIGN TABLE", ""),
            Parent::Domain => ("DOMAIN", "DOMAIN "),
        };
        let object = format!("CONSTRAINT {} ON {on}{qualified}", quote::ident(&self.name));
        let is_printed = self.is_printed(context);
        Rendered {
            create: is_printed
                .then(|| self.render_add(&format!("{parent} {qualified}")))
                .into_iter()
                .collect(),
            drop: is_printed.then(|| self.render_drop(&qualified)),
            comments: self
                .comment
                .iter()
                .map(|text| quote::comment_on(&object, text))
                .collect(),
            ..Rendered::default()
        }
    }
}

/// Constraints follow their table or domain: who is a member of an extension is decided by that.
fn check_constraints_query(server: ServerVersion) -> String {
    let is_enforced = since(server, 18, "c.conenforced", "true");
    let is_member = |catalog: &str, oid: &str| {
        format!(
            "EXISTS (SELECT FROM pg_catalog.pg_depend AS member \
             WHERE member.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND member.deptype = 'e' \
             AND member.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass AND member.objid = {oid})"
        )
    };
    format!(
        "SELECT c.oid, c.conname, \
         CASE WHEN c.contype = 'c' AND c.conrelid <> 0 AND pg_catalog.strpos(c.conbin::pg_catalog.text, ':varattno 0 ') = 0 \
         THEN pg_catalog.concat_ws(' ', pg_catalog.md5(c.conbin::pg_catalog.text), c.connoinherit, c.convalidated, \
         {is_enforced}) END AS stored, \
         c.convalidated, c.conislocal, comment.description, n.nspname, \
         COALESCE(r.oid, t.oid) AS parent_oid, COALESCE(r.relname, t.typname) AS parent_name, \
         pg_catalog.pg_get_userbyid(COALESCE(r.relowner, t.typowner)) AS owner, \
         CASE WHEN t.oid IS NOT NULL THEN 'domain' \
         WHEN r.relkind = 'f' THEN 'foreign table' \
         WHEN r.relispartition THEN 'partition' \
         WHEN r.relkind IN ('r', 'p') THEN 'table' ELSE r.relkind::pg_catalog.text END AS parent, \
         CASE WHEN NOT c.convalidated THEN ARRAY(SELECT pc.oid FROM pg_catalog.pg_inherits AS i \
           JOIN pg_catalog.pg_constraint AS pc ON pc.conrelid = i.inhparent \
           WHERE i.inhrelid = c.conrelid AND pc.contype = c.contype AND NOT pc.convalidated) END AS inherited_from \
         FROM pg_catalog.pg_constraint AS c \
         LEFT JOIN pg_catalog.pg_class AS r ON r.oid = c.conrelid \
         LEFT JOIN pg_catalog.pg_type AS t ON t.oid = c.contypid \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = COALESCE(r.relnamespace, t.typnamespace) \
         {comment} \
         WHERE (c.contype = 'c' OR (c.contype = 'n' AND c.conrelid <> 0 AND NOT c.convalidated)) \
         AND {users_schema} AND NOT {table_member} AND NOT {domain_member} \
         ORDER BY n.nspname, parent_name, c.conname",
        comment = comment_join("pg_constraint", "c"),
        users_schema = is_users_schema("n"),
        table_member = is_member("pg_class", "c.conrelid"),
        domain_member = is_member("pg_type", "c.contypid"),
    )
}

/// Reads the constraints. Of those that are alike one alone is deparsed: the server opens the table of each that it
/// deparses, and databases with very many tables have many that are the same.
pub(crate) async fn read(session: &Session, deparser: &Deparser) -> Result<Vec<CheckConstraint>> {
    let query = check_constraints_query(session.version());
    let drafts = read_all(session, "check constraints", &query, from_row).await?;
    let is_asked_for = |draft: &Draft| {
        let constraint = &draft.constraint;
        constraint.parent == Parent::Domain || deparser.deparsed().includes(constraint.parent_oid)
    };
    let (drafts, others): (Vec<Draft>, Vec<Draft>) = drafts.into_iter().partition(is_asked_for);
    let firsts = firsts_of_their_kind(&drafts, deparser.attributes());
    let mut to_print = firsts.clone();
    to_print.sort_unstable();
    to_print.dedup();
    let printed = print(session, "pg_get_constraintdef", &to_print).await?;
    let constraints = drafts.into_iter().map(|draft| draft.constraint);
    let defined = constraints.zip(firsts).map(|(constraint, first)| {
        let definition = printed.get(&first).cloned();
        let definition =
            definition.ok_or_else(|| Error::internal("a check constraint was left out"))?;
        Ok(CheckConstraint {
            definition,
            ..constraint
        })
    });
    let others = others.into_iter().map(|draft| Ok(draft.constraint));
    defined.chain(others).collect()
}

/// A constraint still without its definition.
struct Draft {
    constraint: CheckConstraint,
    /// What tells its stored expression and its flags from others', if its definition may be theirs.
    stored: Option<String>,
}

/// Numbers and names of a table's columns.
type ColumnNames<'a> = Vec<(i16, &'a str)>;

/// By constraint: the OID of the first that is deparsed as this one is. That depends on the expression as it is stored, on flags, and
/// on the names that columns have by their numbers; only a reference to a row as a whole would name the table.
fn firsts_of_their_kind(drafts: &[Draft], attributes: &Attributes) -> Vec<Oid> {
    let mut firsts: HashMap<(&str, ColumnNames<'_>), Oid> = HashMap::new();
    let mut out = Vec::with_capacity(drafts.len());
    for Draft { constraint, stored } in drafts {
        out.push(match stored {
            None => constraint.oid,
            Some(stored) => {
                let columns = attributes.of(constraint.parent_oid).iter();
                let columns: ColumnNames<'_> = columns
                    .map(|column| (column.number, column.name.as_str()))
                    .collect();
                let key = (stored.as_str(), columns);
                *firsts.entry(key).or_insert(constraint.oid)
            }
        });
    }
    out
}

fn from_row(row: &Row) -> Result<Draft, RowError> {
    let name: String = row.try_get("conname")?;
    let parent: &str = row.try_get("parent")?;
    let constraint = CheckConstraint {
        oid: row.try_get("oid")?,
        definition: String::new(),
        parent: match parent {
            "table" => Parent::Table,
            "foreign table" => Parent::ForeignTable,
            "partition" => Parent::Partition,
            "domain" => Parent::Domain,
            other => {
                let object = format!("the table of constraint {name}");
                return Err(unexpected(&object, "relkind", other).into());
            }
        },
        name,
        parent_oid: row.try_get("parent_oid")?,
        parent_schema: row.try_get("nspname")?,
        parent_name: row.try_get("parent_name")?,
        parent_owner: row.try_get("owner")?,
        is_validated: row.try_get("convalidated")?,
        is_local: row.try_get("conislocal")?,
        inherited_from: row
            .try_get::<_, Option<Vec<Oid>>>("inherited_from")?
            .unwrap_or_default(),
        comment: row.try_get("description")?,
    };
    Ok(Draft {
        constraint,
        stored: row.try_get("stored")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::attribute::tests::column;

    fn check(parent: Parent, is_validated: bool) -> CheckConstraint {
        CheckConstraint {
            oid: Oid(20000),
            name: "c".to_owned(),
            definition: "CHECK ((a > 0))".to_owned(),
            parent,
            parent_oid: Oid(20001),
            parent_schema: "s".to_owned(),
            parent_name: "t".to_owned(),
            parent_owner: "o".to_owned(),
            is_validated,
            is_local: true,
            inherited_from: Vec::new(),
            comment: Some("why".to_owned()),
        }
    }

    fn render(check: &CheckConstraint, separate: &[ObjectId]) -> Rendered {
        check.render(&RenderContext {
            server: ServerVersion::major(15),
            separate: &separate.iter().copied().collect(),
        })
    }

    #[test]
    fn constraints_are_alike_if_their_columns_have_the_same_names() {
        let draft = |oid, table, stored: Option<&str>| Draft {
            constraint: CheckConstraint {
                oid: Oid(oid),
                parent_oid: Oid(table),
                ..check(Parent::Table, true)
            },
            stored: stored.map(str::to_owned),
        };
        let drafts = [
            draft(1, 10, Some("a")),
            draft(2, 11, Some("a")),
            draft(3, 12, Some("a")),
            draft(4, 11, Some("b")),
            draft(5, 11, None),
        ];
        let attributes = [(10, "x"), (11, "x"), (12, "y")]
            .map(|(table, name)| (Oid(table), vec![column(name, "text")]));
        let firsts = firsts_of_their_kind(&drafts, &Attributes::from_iter(attributes));
        assert_eq!(firsts, [1, 1, 3, 4, 5].map(Oid));
    }

    #[test]
    fn its_table_prints_a_valid_one_but_not_its_comment() {
        let check = check(Parent::Table, true);
        assert_eq!(check.folded_into(), Some(check.parent_id()));
        assert_eq!(
            render(&check, &[]),
            Rendered {
                comments: vec!["COMMENT ON CONSTRAINT \"c\" ON \"s\".\"t\" IS 'why';".to_owned()],
                ..Rendered::default()
            }
        );
    }

    #[test]
    fn a_loop_makes_it_separate() {
        let check = check(Parent::Domain, true);
        let rendered = render(&check, &[check.id()]);
        assert_eq!(
            rendered.create,
            ["ALTER DOMAIN \"s\".\"t\" ADD CONSTRAINT \"c\" CHECK ((a > 0));"]
        );
        assert_eq!(
            rendered.comments,
            ["COMMENT ON CONSTRAINT \"c\" ON DOMAIN \"s\".\"t\" IS 'why';"]
        );
    }

    #[test]
    fn one_that_is_not_valid_comes_after_the_data() {
        let check = check(Parent::Table, false);
        assert_eq!(check.section(), Section::PostData);
        assert_eq!(check.folded_into(), None);
        assert_eq!(
            render(&check, &[]).drop.as_deref(),
            Some("ALTER TABLE IF EXISTS \"s\".\"t\" DROP CONSTRAINT IF EXISTS \"c\";")
        );
    }

    #[test]
    fn what_came_from_a_parent_is_not_made_again() {
        let mut check = check(Parent::Table, false);
        check.is_local = false;
        assert!(render(&check, &[]).create.is_empty());
    }
}
