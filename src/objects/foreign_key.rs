//! FOREIGN KEY constraints (`pg_constraint`, contype `f`).
//!
//! One of a partitioned table has a clone on each partition, and one that references a partitioned table
//! a clone for each of its partitions. They come with it and are not created.

use std::collections::HashSet;

use super::catalog_query::{Row, RowError, comment_join, read_all, since};
use super::plain_definition::{Deparser, define};
use super::relation::{IS_USER_RELATION, RelationName};
use super::{
    CatalogId, DumpObject, Kind, LockStrength, ObjectId, Oid, OidMap, Part, RenderContext,
    Rendered, Section, catalog, quote,
};
use crate::Result;
use crate::conn::{ServerVersion, Session};

/// A foreign key.
#[derive(Clone, Debug)]
pub struct ForeignKey {
    oid: Oid,
    name: String,
    table: RelationName,
    owner: String,
    is_partitioned: bool,
    referenced: Oid,
    /// As `pg_get_constraintdef` prints it, with NOT VALID and NOT ENFORCED.
    definition: String,
    comment: Option<String>,
    /// Its clones.
    clones: Vec<Oid>,
    /// The internal triggers that uphold it and its clones.
    triggers: Vec<Oid>,
    /// Both tables and all their partitions: the statement locks them all.
    locked: Vec<Oid>,
    /// The partitions' parts of the referenced index: before all are attached it is not valid.
    referenced_index_partitions: Vec<Oid>,
}

pub(crate) async fn read(session: &Session, deparser: &Deparser) -> Result<Vec<ForeignKey>> {
    let server = session.version();
    let query = query(server);
    let from_row = |row: &Row| from_row(row, deparser);
    let (clones, triggers, children, drafts) = futures::try_join!(
        read_tree(session, "clones of foreign keys", clones_query(server)),
        read_tree(session, "triggers of foreign keys", TRIGGERS_QUERY),
        read_tree(session, "partitions and indexes", CHILDREN_QUERY),
        read_all(session, "foreign keys", &query, from_row),
    )?;
    let keys = define(
        session,
        "pg_get_constraintdef",
        drafts,
        |(key, _)| key.oid,
        |(key, _)| &mut key.definition,
    )
    .await?;
    let with_relatives = |(key, index): (ForeignKey, Oid)| {
        let family = descend(&clones, &[key.oid]);
        ForeignKey {
            triggers: family
                .iter()
                .filter_map(|constraint| triggers.get(constraint))
                .flatten()
                .copied()
                .collect(),
            clones: family[1..].to_vec(),
            locked: descend(&children, &[key.table.oid, key.referenced]),
            referenced_index_partitions: descend(&children, &[index])[1..].to_vec(),
            ..key
        }
    };
    Ok(keys.into_iter().map(with_relatives).collect())
}

/// A foreign key with the referenced index, still without its relatives and its definition; and this if it is plain.
type Draft = ((ForeignKey, Oid), Option<String>);

fn from_row(row: &Row, deparser: &Deparser) -> Result<Draft, RowError> {
    let key = ForeignKey {
        oid: row.try_get("oid")?,
        name: row.try_get("conname")?,
        table: RelationName::from_row(row, "table")?,
        owner: row.try_get("owner")?,
        is_partitioned: row.try_get("is_partitioned")?,
        referenced: row.try_get("confrelid")?,
        definition: String::new(),
        comment: row.try_get("comment")?,
        clones: Vec::new(),
        triggers: Vec::new(),
        locked: Vec::new(),
        referenced_index_partitions: Vec::new(),
    };
    let definition = match row.try_get("is_plain")? {
        true => plain_definition(row, &key, deparser)?,
        false => None,
    };
    Ok(((key, row.try_get("conindid")?), definition))
}

/// As `pg_get_constraintdef` prints it.
fn plain_definition(
    row: &Row,
    key: &ForeignKey,
    deparser: &Deparser,
) -> Result<Option<String>, RowError> {
    let columns: Vec<i16> = row.try_get("columns")?;
    let referenced_columns: Vec<i16> = row.try_get("referenced_columns")?;
    let referenced = RelationName::from_row(row, "referenced")?;
    let (Some(columns), Some(referenced_columns)) = (
        deparser.columns(key.table.oid, &columns),
        deparser.columns(referenced.oid, &referenced_columns),
    ) else {
        return Ok(None);
    };
    Ok(Some(format!(
        "FOREIGN KEY {columns} REFERENCES {}{referenced_columns}{}",
        deparser.relation(&referenced),
        row.try_get::<_, &str>("actions")?
    )))
}

/// Children by their parent. Read as a whole and followed here: a recursive query for each foreign key would read the
/// catalog as often as there are foreign keys.
type Tree = OidMap<Oid, Vec<Oid>>;

/// In the order of the query. There are four triggers for each foreign key: as rows they would cost more than their content.
async fn read_tree(session: &Session, what: &str, sql: &str) -> Result<Tree> {
    let query = format!(
        "SELECT COALESCE(pg_catalog.array_agg(e.parent), '{{}}') AS parents, \
         COALESCE(pg_catalog.array_agg(e.child), '{{}}') AS children FROM ({sql}) e"
    );
    let edges: Vec<(Vec<Oid>, Vec<Oid>)> = read_all(session, what, &query, |row| {
        Ok((row.try_get("parents")?, row.try_get("children")?))
    })
    .await?;
    let mut tree = Tree::default();
    for (parents, children) in edges {
        for (parent, child) in parents.into_iter().zip(children) {
            tree.entry(parent).or_default().push(child);
        }
    }
    Ok(tree)
}

/// The roots and all below them, each once, the roots first.
fn descend(tree: &Tree, roots: &[Oid]) -> Vec<Oid> {
    let mut seen = HashSet::new();
    let mut found: Vec<Oid> = roots
        .iter()
        .copied()
        .filter(|&oid| seen.insert(oid))
        .collect();
    let mut next = 0;
    while let Some(oid) = found.get(next) {
        let children = tree.get(oid).into_iter().flatten().copied();
        let new: Vec<Oid> = children.filter(|&child| seen.insert(child)).collect();
        found.extend(new);
        next += 1;
    }
    found
}

fn clones_query(server: ServerVersion) -> &'static str {
    // Foreign keys have had clones since 11.
    if server >= ServerVersion::major(11) {
        "SELECT k.conparentid AS parent, k.oid AS child FROM pg_catalog.pg_constraint k \
         WHERE k.contype = 'f' AND k.conparentid <> 0 ORDER BY k.oid"
    } else {
        "SELECT 0::pg_catalog.oid AS parent, 0::pg_catalog.oid AS child WHERE false"
    }
}

const TRIGGERS_QUERY: &str = "SELECT t.tgconstraint AS parent, t.oid AS child FROM pg_catalog.pg_trigger t \
     WHERE t.tgisinternal AND t.tgconstraint <> 0 ORDER BY t.oid";

const CHILDREN_QUERY: &str = "SELECT i.inhparent AS parent, i.inhrelid AS child FROM pg_catalog.pg_inherits i \
     ORDER BY i.inhparent, i.inhrelid";

fn query(server: ServerVersion) -> String {
    let is_root = if server >= ServerVersion::major(11) {
        "co.conparentid = 0"
    } else {
        "true"
    };
    // SET NULL of chosen columns came with 15, PERIOD and NOT ENFORCED with 18.
    let sets_all = since(server, 15, "co.confdelsetcols IS NULL", "true");
    let is_plain_since_18 = since(server, 18, "NOT co.conperiod AND co.conenforced", "true");
    let action = |event: &str, column: &str| {
        format!(
            "CASE {column} WHEN 'a' THEN '' WHEN 'r' THEN ' ON {event} RESTRICT' WHEN 'c' THEN ' ON {event} CASCADE' \
             WHEN 'n' THEN ' ON {event} SET NULL' WHEN 'd' THEN ' ON {event} SET DEFAULT' END"
        )
    };
    let (on_update, on_delete) = (
        action("UPDATE", "co.confupdtype"),
        action("DELETE", "co.confdeltype"),
    );
    format!(
        "SELECT co.oid, co.conname, co.confrelid, co.conindid, c.relkind = 'p' AS is_partitioned, \
           c.oid AS table_oid, n.nspname AS table_schema, c.relname AS table_name, \
           pg_catalog.pg_get_userbyid(c.relowner) AS owner, comment.description AS comment, \
           co.confmatchtype = 's' AND NOT co.condeferrable AND co.convalidated AND {sets_all} \
             AND {is_plain_since_18} AS is_plain, \
           co.conkey AS columns, co.confkey AS referenced_columns, \
           r.oid AS referenced_oid, rn.nspname AS referenced_schema, r.relname AS referenced_name, \
           ({on_update}) || ({on_delete}) AS actions \
         FROM pg_catalog.pg_constraint co \
         JOIN pg_catalog.pg_class c ON c.oid = co.conrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_class r ON r.oid = co.confrelid \
         JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace {comment} \
         WHERE co.contype = 'f' AND {is_root} AND {IS_USER_RELATION} \
         ORDER BY n.nspname, c.relname, co.conname",
        comment = comment_join("pg_constraint", "co"),
    )
}

impl DumpObject for ForeignKey {
    fn kind(&self) -> Kind {
        Kind::ForeignKey
    }

    fn id(&self) -> ObjectId {
        ObjectId::definition(catalog::PG_CONSTRAINT, self.oid)
    }

    fn claims(&self) -> Vec<CatalogId> {
        let constraints = self.clones.iter();
        let triggers = self.triggers.iter();
        let mut claims = vec![self.id().catalog];
        claims.extend(constraints.map(|&oid| CatalogId::new(catalog::PG_CONSTRAINT, oid)));
        claims.extend(triggers.map(|&oid| CatalogId::new(catalog::PG_TRIGGER, oid)));
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

    /// Both tables with their rows, and the referenced index as a whole.
    fn extra_dependencies(&self) -> Vec<ObjectId> {
        let tables = [self.table.oid, self.referenced];
        let mut needed = Vec::new();
        for table in tables {
            let id = ObjectId::definition(catalog::PG_CLASS, table);
            needed.extend([id, id.with_part(Part::Data)]);
        }
        for &index in &self.referenced_index_partitions {
            needed.push(ObjectId::definition(catalog::PG_CLASS, index).with_part(Part::Attach));
        }
        needed
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
        let table = self.table.sql();
        let name = quote::ident(&self.name);
        // A partitioned table's foreign key is its partitions' too; the server refuses ONLY.
        let only = if self.is_partitioned { "" } else { "ONLY " };
        Rendered {
            create: vec![format!(
                "ALTER TABLE {only}{table} ADD CONSTRAINT {name} {};",
                self.definition
            )],
            drop: Some(format!(
                "ALTER TABLE IF EXISTS {table} DROP CONSTRAINT IF EXISTS {name};"
            )),
            comments: self
                .comment
                .iter()
                .map(|text| quote::comment_on(&format!("CONSTRAINT {name} ON {table}"), text))
                .collect(),
            ..Rendered::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descend_finds_each_descendant_once_after_the_roots() {
        let tree = Tree::from_iter([
            (Oid(1), vec![Oid(3), Oid(4)]),
            (Oid(2), vec![Oid(4)]),
            (Oid(4), vec![Oid(5)]),
            (Oid(9), vec![Oid(1)]),
        ]);
        let all = [1, 2, 3, 4, 5].map(Oid);
        assert_eq!(descend(&tree, &[Oid(1), Oid(2)]), all);
        assert_eq!(descend(&tree, &[Oid(7), Oid(7)]), [Oid(7)]);
    }
}
