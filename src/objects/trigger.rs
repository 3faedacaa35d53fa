//! Triggers (`pg_trigger`) but for those that uphold constraints.
//!
//! A row trigger of a partitioned table has a clone on each partition. Clones come with it; only where one
//! is enabled or disabled otherwise than its parent is there something to say.

use super::catalog_query::{read_all, since, unexpected};
use super::deparsed::Deparsed;
use super::plain_definition::Deparser;
use super::relation::{
    IS_USER_RELATION, RelationName, extensions_expression, render_depends_on_extensions,
};
use super::{
    CatalogId, DumpObject, Kind, LockStrength, ObjectId, Oid, OidMap, RenderContext, Rendered,
    Section, catalog, quote,
};
use crate::Result;
use crate::conn::{ServerVersion, Session};

/// A trigger.
#[derive(Clone, Debug)]
pub struct Trigger {
    oid: Oid,
    /// Of a clone: what it is called when it is made. Before 15 its root could be renamed without it.
    name: String,
    table: RelationName,
    owner: String,
    /// As `pg_get_triggerdef` prints it.
    definition: String,
    state: State,
    /// Of a clone: the trigger it was cloned from.
    parent: Option<Parent>,
    /// Of a constraint trigger: its `pg_constraint` row.
    constraint: Option<Oid>,
    comment: Option<String>,
    /// ALTER TRIGGER ... DEPENDS ON EXTENSION.
    extensions: Vec<String>,
    /// The table with its partitions: making and switching a trigger locks them all.
    locked: Vec<Oid>,
}

/// The trigger that a clone was cloned from.
#[derive(Clone, Copy, Debug)]
struct Parent {
    oid: Oid,
    state: State,
}

/// When a trigger fires, see `session_replication_role`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Origin,
    Disabled,
    Always,
    Replica,
}

impl State {
    fn parse(tgenabled: &str, trigger: &str) -> Result<Self> {
        match tgenabled {
            "O" => Ok(State::Origin),
            "D" => Ok(State::Disabled),
            "A" => Ok(State::Always),
            "R" => Ok(State::Replica),
            other => Err(unexpected(trigger, "tgenabled", other)),
        }
    }

    fn words(self) -> &'static str {
        match self {
            State::Origin => "ENABLE",
            State::Disabled => "DISABLE",
            State::Always => "ENABLE ALWAYS",
            State::Replica => "ENABLE REPLICA",
        }
    }
}

pub(crate) async fn read(session: &Session, deparser: &Deparser) -> Result<Vec<Trigger>> {
    let sql = query(session.version(), deparser.deparsed());
    let mut triggers = read_all(session, "triggers", &sql, |row| {
        let name: String = row.try_get("tgname")?;
        let state: String = row.try_get("tgenabled")?;
        let parent_state: Option<String> = row.try_get("parent_enabled")?;
        Ok(Trigger {
            oid: row.try_get("oid")?,
            table: RelationName::from_row(row, "table")?,
            owner: row.try_get("owner")?,
            definition: row.try_get("definition")?,
            state: State::parse(&state, &name)?,
            parent: match parent_state {
                Some(state) => Some(Parent {
                    oid: row.try_get("parent")?,
                    state: State::parse(&state, &name)?,
                }),
                None => None,
            },
            constraint: row.try_get("constraint_oid")?,
            comment: row.try_get("comment")?,
            extensions: row.try_get("extensions")?,
            locked: row.try_get("locked")?,
            name,
        })
    })
    .await?;
    name_clones(&mut triggers);
    Ok(triggers)
}

/// Gives clones the names of their roots.
fn name_clones(triggers: &mut [Trigger]) {
    let named = |trigger: &Trigger| (trigger.oid, (trigger.name.clone(), trigger.parent));
    let by_oid: OidMap<Oid, (String, Option<Parent>)> = triggers.iter().map(named).collect();
    for trigger in triggers {
        let mut next = trigger.parent;
        while let Some((name, parent)) = next.and_then(|parent| by_oid.get(&parent.oid)) {
            trigger.name.clone_from(name);
            next = *parent;
        }
    }
}

fn query(server: ServerVersion, deparsed: &Deparsed) -> String {
    // Row triggers of partitioned tables came with 11, tgparentid with 13. In between pg_depend knows
    // the parent. Clones are marked internal before 15.
    let parent = if server >= ServerVersion::major(13) {
        "t.tgparentid"
    } else if server >= ServerVersion::major(11) {
        "(SELECT pd.refobjid FROM pg_catalog.pg_depend pd \
           WHERE pd.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND pd.objid = t.oid \
           AND pd.refclassid = 'pg_catalog.pg_trigger'::pg_catalog.regclass)"
    } else {
        "NULL::oid"
    };
    // Without looking for a parent: the triggers of foreign keys are many.
    let may_be_users = since(
        server,
        13,
        "(NOT t.tgisinternal OR t.tgparentid <> 0)",
        "true",
    );
    format!(
        "SELECT t.oid, t.tgname, c.oid AS table_oid, n.nspname AS table_schema, c.relname AS table_name, \
           pg_catalog.pg_get_userbyid(c.relowner) AS owner, \
           {definition} AS definition, t.tgenabled::text AS tgenabled, \
           parent.oid AS parent, parent.tgenabled::text AS parent_enabled, co.oid AS constraint_oid, \
           (SELECT de.description FROM pg_catalog.pg_description de WHERE de.objoid = t.oid \
             AND de.classoid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND de.objsubid = 0) AS comment, {extensions} AS extensions, \
           ARRAY(WITH RECURSIVE tree (oid) AS (SELECT c.oid UNION \
             SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid \
             WHERE c.relkind = 'p') SELECT oid FROM tree) AS locked \
         FROM pg_catalog.pg_trigger t \
         JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_trigger parent ON parent.oid = {parent} \
         LEFT JOIN pg_catalog.pg_constraint co ON co.oid = t.tgconstraint \
         WHERE {may_be_users} AND (NOT t.tgisinternal OR parent.oid IS NOT NULL) \
         AND (co.oid IS NULL OR co.contype = 't') \
         AND c.relkind IN ('r', 'p', 'v', 'f') AND {IS_USER_RELATION} \
         ORDER BY n.nspname, c.relname, t.tgname",
        definition = deparsed.of_relation("c.oid", "pg_catalog.pg_get_triggerdef(t.oid, false)"),
        extensions = extensions_expression("pg_trigger", "t.oid"),
    )
}

impl Trigger {
    fn render_create(&self) -> Vec<String> {
        let name = quote::ident(&self.name);
        let table = self.table.sql();
        let (mut out, state_so_far) = match self.parent {
            Some(parent) => (Vec::new(), parent.state),
            None => (vec![format!("{};", self.definition)], State::Origin),
        };
        if self.state != state_so_far {
            out.push(format!(
                "ALTER TABLE {table} {} TRIGGER {name};",
                self.state.words()
            ));
        }
        out.extend(render_depends_on_extensions(
            &format!("TRIGGER {name} ON {table}"),
            &self.extensions,
        ));
        out
    }
}

impl DumpObject for Trigger {
    fn kind(&self) -> Kind {
        Kind::Trigger
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_TRIGGER, self.oid)
    }

    fn claims(&self) -> Vec<CatalogId> {
        let mut claims = vec![self.id().catalog];
        claims.extend(
            self.constraint
                .map(|oid| CatalogId::new(catalog::PG_CONSTRAINT, oid)),
        );
        claims
    }

    fn schema(&self) -> Option<&str> {
        Some(&self.table.schema)
    }

    fn tag(&self) -> String {
        format!("{} {}", self.table.name, self.name)
    }

    fn owner(&self) -> Option<&str> {
        Some(&self.owner)
    }

    fn section(&self) -> Section {
        Section::PostData
    }

    fn extra_dependencies(&self) -> Vec<ObjectId> {
        let parent = self
            .parent
            .map(|parent| ObjectId::definition(catalog::PG_TRIGGER, parent.oid));
        [self.table.id()].into_iter().chain(parent).collect()
    }

    fn relation(&self) -> Option<ObjectId> {
        Some(self.table.id())
    }

    fn locks(&self) -> Vec<(ObjectId, LockStrength)> {
        self.locked
            .iter()
            .map(|&oid| ObjectId::definition(catalog::PG_CLASS, oid))
            .map(|id| (id, LockStrength::Exclusive))
            .collect()
    }

    fn render(&self, _context: &RenderContext<'_>) -> Rendered {
        let object = format!(
            "TRIGGER {} ON {}",
            quote::ident(&self.name),
            self.table.sql()
        );
        Rendered {
            create: self.render_create(),
            drop: self.parent.is_none().then(|| {
                format!(
                    "DROP TRIGGER IF EXISTS {} ON {};",
                    quote::ident(&self.name),
                    self.table.sql()
                )
            }),
            comments: self
                .comment
                .iter()
                .map(|text| quote::comment_on(&object, text))
                .collect(),
            ..Rendered::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(state: State, parent: Option<State>) -> Trigger {
        Trigger {
            oid: Oid(20000),
            name: "g".to_owned(),
            table: RelationName {
                oid: Oid(20001),
                schema: "s".to_owned(),
                name: "t".to_owned(),
            },
            owner: "o".to_owned(),
            definition: "CREATE TRIGGER g ...".to_owned(),
            state,
            parent: parent.map(|state| Parent {
                oid: Oid(20002),
                state,
            }),
            constraint: None,
            comment: None,
            extensions: Vec::new(),
            locked: vec![Oid(20001)],
        }
    }

    #[test]
    fn a_clone_that_fires_as_its_parent_does_needs_no_statement() {
        let same = trigger(State::Disabled, Some(State::Disabled));
        assert!(same.render_create().is_empty());
        let other = trigger(State::Origin, Some(State::Disabled));
        assert_eq!(
            other.render_create(),
            ["ALTER TABLE \"s\".\"t\" ENABLE TRIGGER \"g\";"]
        );
    }

    #[test]
    fn a_clone_is_called_as_its_root_is() {
        let root = trigger(State::Origin, None);
        let clone = |oid, parent| Trigger {
            oid: Oid(oid),
            name: "old".to_owned(),
            parent: Some(Parent {
                oid: Oid(parent),
                state: State::Origin,
            }),
            ..trigger(State::Disabled, None)
        };
        let mut triggers = [clone(20011, 20010), root, clone(20010, 20000), clone(9, 8)];
        name_clones(&mut triggers);
        assert_eq!(triggers.map(|it| it.name), ["g", "g", "g", "old"]);
    }

    #[test]
    fn a_disabled_trigger_is_disabled_after_it_was_made() {
        assert_eq!(
            trigger(State::Disabled, None).render_create(),
            [
                "CREATE TRIGGER g ...;",
                "ALTER TABLE \"s\".\"t\" DISABLE TRIGGER \"g\";"
            ]
        );
    }
}
