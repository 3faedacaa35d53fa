//! `--into-schema` and `--rename`: tables come back in another place, beside those that are there. Pure.
//!
//! Statements are text, and names are changed only where their grammar has the name of the object itself: behind TABLE, ON,
//! REFERENCES and the like outside of parentheses, and in literals of type `regclass`. What names a moved object anywhere
//! else, or does not name one where it must, is refused by name. Strings and bodies of functions are never changed.

use std::collections::{HashMap, HashSet};

use crate::archive::{DumpId, Index, TocEntry};
use crate::dump::selection::{Selection, SelectionPatterns, name_of_pattern};
use crate::lexer::{StringSyntax, split};
use crate::objects::{Kind, quote};
use crate::{Error, ErrorKind, Result};

use super::chosen::{name_within, relation_of};
use super::pieces::{Piece, pieces, replaced};
use super::plan::{HeldObjects, LoadTarget, RestorePlan, Step, label};

/// Where tables go, as the user said.
#[derive(Clone, Debug, Default)]
pub struct Moves {
    into_schema: Option<String>,
    /// Of the table that a pattern means: the new name.
    renames: Vec<Rename>,
}

#[derive(Clone, Debug)]
struct Rename {
    text: String,
    table: Selection,
    new: String,
}

/// A schema and a name in it.
type Name = (String, String);

/// The new names of all relations that move.
#[derive(Debug)]
pub(crate) struct MovedNames {
    strings: StringSyntax,
    into_schema: Option<String>,
    relations: HashMap<Name, Name>,
    /// The schemas that entries lie in, in the archive.
    schemas: HashMap<DumpId, String>,
}

/// A name has 63 bytes.
const NAME_BYTES: usize = 63;

impl Moves {
    /// `renames`: OLD=NEW, with `[schema.]table` for OLD.
    ///
    /// # Errors
    /// `Usage`.
    pub fn parse(into_schema: Option<&str>, renames: &[(String, String)]) -> Result<Moves> {
        let rename = |(old, new): &(String, String)| {
            Ok(Rename {
                text: old.clone(),
                table: Selection::parse(&SelectionPatterns {
                    tables: vec![old.clone()],
                    ..SelectionPatterns::default()
                })?,
                new: name_of_pattern(new)?,
            })
        };
        Ok(Moves {
            into_schema: into_schema.map(name_of_pattern).transpose()?,
            renames: renames.iter().map(rename).collect::<Result<_>>()?,
        })
    }
}

/// Changes a plan so that its tables come back in the new place.
///
/// # Errors
/// `Usage` if something is chosen that cannot move.
pub(super) fn move_plan(plan: &mut RestorePlan, index: &Index, moves: &Moves) -> Result<()> {
    let relations = relations_of(plan, index)?;
    let names = new_names(index, &relations, moves)?;
    let steps = [
        &mut plan.pre_data,
        &mut plan.post_data,
        &mut plan.privileges,
    ];
    let mut left_out = Vec::new();
    for steps in steps {
        steps.retain(|step| {
            let entry = index.entry(step.id);
            let stays =
                entry.is_some_and(|entry| needs_others(index, entry, step.kind, &relations));
            left_out.extend(stays.then(|| step.label.clone()));
            !stays
        });
    }
    left_out.extend(plan.statistics.drain(..).map(|step| step.label));
    let mut schemas = HashMap::new();
    for step in plan.steps_mut() {
        schemas.extend(step.schema.clone().map(|schema| (step.id, schema)));
        move_step(step, &names, moves, index);
    }
    for load in &mut plan.loads {
        let LoadTarget::Table { schema, name } = &mut load.target else {
            continue;
        };
        let new = names.get(&(schema.clone(), name.clone()));
        let Some(new) = new.filter(|_| !load.rows_as_statements) else {
            let why = "its rows go elsewhere, or are INSERT statements of pg_dump";
            return Err(cannot_move(&load.label, why));
        };
        (*schema, *name) = new.clone();
        let columns: Vec<String> = load.columns.iter().map(|it| quote::ident(it)).collect();
        let columns = match columns.is_empty() {
            true => String::new(),
            false => format!(" ({})", columns.join(", ")),
        };
        let table = quote::qualified(&new.0, &new.1);
        load.label = quote::one_line(&format!("TABLE DATA {table}")).into_owned();
        load.copy = Some(format!("COPY {table}{columns} FROM stdin;"));
    }
    move_held(&mut plan.held, &names);
    plan.left_out = left_out;
    plan.makes_schema = moves.into_schema.clone();
    plan.moved = Some(std::sync::Arc::new(MovedNames {
        strings: index.header.strings(),
        into_schema: moves.into_schema.clone(),
        relations: names,
        schemas,
    }));
    Ok(())
}

fn cannot_move(label: &str, why: &str) -> Error {
    Error::new(
        ErrorKind::Usage,
        format!("{label} cannot come back under another name: {why}"),
    )
}

/// The tables and sequences that the plan is about.
fn relations_of(plan: &RestorePlan, index: &Index) -> Result<HashSet<DumpId>> {
    let steps = plan.steps().map(|step| (step.id, step.kind));
    let loads = plan.loads.iter().map(|load| (load.entry, Kind::TableData));
    let mut relations = HashSet::new();
    for (id, kind) in steps.chain(loads) {
        let entry = index
            .entry(id)
            .ok_or_else(|| Error::internal("an entry is gone"))?;
        let relation = relation_of(index, kind, entry).and_then(|id| index.entry(id));
        let is_movable =
            |it: &&TocEntry| it.kind == Kind::Table.as_str() || it.kind == Kind::Sequence.as_str();
        match relation.filter(is_movable) {
            Some(relation) if kind != Kind::Rule => relations.insert(relation.id),
            _ => {
                let why = "only tables and sequences can, with their parts (no rules)";
                return Err(cannot_move(&label(entry, kind), why));
            }
        };
    }
    Ok(relations)
}

/// Whether an entry ties its table to one that does not move.
fn needs_others(index: &Index, entry: &TocEntry, kind: Kind, relations: &HashSet<DumpId>) -> bool {
    let ties = matches!(
        kind,
        Kind::ForeignKey | Kind::TableAttach | Kind::IndexAttach | Kind::PublicationTable
    );
    let needed = entry.depends_on.iter().filter_map(|id| index.entry(*id));
    ties && (kind == Kind::PublicationTable
        || needed
            .filter_map(|needed| needed.relation)
            .any(|relation| !relations.contains(&relation)))
}

/// New names of the relations, their indexes, the sequences of their columns and their statistics objects.
fn new_names(
    index: &Index,
    relations: &HashSet<DumpId>,
    moves: &Moves,
) -> Result<HashMap<Name, Name>> {
    let mut tables: HashMap<DumpId, String> = HashMap::new();
    for rename in &moves.renames {
        let is_meant = |entry: &&TocEntry| {
            let schema = entry.schema.as_deref().unwrap_or_default();
            entry.kind == Kind::Table.as_str()
                && relations.contains(&entry.id)
                && rename.table.includes_relation(schema, &entry.name)
        };
        let meant: Vec<&TocEntry> = index.entries.iter().filter(is_meant).collect();
        let [table] = meant[..] else {
            return Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "--rename is of one table, and \"{}\" means {}",
                    quote::one_line(&rename.text),
                    meant.len()
                ),
            ));
        };
        tables.insert(table.id, rename.new.clone());
    }
    let owners = owners_of_sequences(index);
    let mut names = HashMap::new();
    for entry in &index.entries {
        let Some(kind) = Kind::parse(&entry.kind) else {
            continue;
        };
        let relation = relation_of(index, kind, entry).filter(|id| relations.contains(id));
        let (Some(relation), Some(schema)) = (relation, &entry.schema) else {
            continue;
        };
        let own = match kind {
            Kind::Table
            | Kind::Sequence
            | Kind::SequenceSet
            | Kind::Index
            | Kind::ExtendedStatistics => entry.name.as_str(),
            Kind::Constraint => match name_within(index, entry) {
                Some((_, name)) => name,
                None => continue,
            },
            _ => continue,
        };
        let table = owners.get(&relation).copied().unwrap_or(relation);
        let new = match (tables.get(&table), index.entry(table)) {
            (Some(new), Some(table)) => renamed(own, &table.name, new),
            _ if moves.into_schema.is_none() => {
                return Err(
                    cannot_move(&label(entry, kind), "--rename does not name it")
                        .hint("Give --rename for every table that is chosen, or --into-schema."),
                );
            }
            _ => own.to_owned(),
        };
        if new.len() > NAME_BYTES {
            return Err(
                cannot_move(&label(entry, kind), "its name would get too long")
                    .hint("Take a shorter name."),
            );
        }
        let schema_now = moves.into_schema.as_ref().unwrap_or(schema);
        names.insert((schema.clone(), own.to_owned()), (schema_now.clone(), new));
    }
    let distinct: HashSet<&Name> = names.values().collect();
    match distinct.len() == names.len() {
        true => Ok(names),
        false => Err(Error::new(
            ErrorKind::Usage,
            "two of the chosen objects would get the same name",
        )
        .hint("Restore them one after the other, or give other names.")),
    }
}

/// The tables that sequences are given to.
fn owners_of_sequences(index: &Index) -> HashMap<DumpId, DumpId> {
    let given = index
        .entries
        .iter()
        .filter(|entry| entry.kind == Kind::SequenceOwner.as_str());
    given
        .filter_map(|entry| {
            let tables = entry.depends_on.iter();
            let mut tables = tables.filter(|id| {
                let table = index.entry(**id);
                table.is_some_and(|it| it.kind == Kind::Table.as_str())
            });
            Some((entry.relation?, *tables.next()?))
        })
        .collect()
}

/// `orders_pkey` of `orders` becomes `old_pkey` of `old`; a name of another form gets the table's before it.
fn renamed(own: &str, table: &str, new: &str) -> String {
    match own.strip_prefix(table) {
        Some(rest) if rest.is_empty() || rest.starts_with('_') => format!("{new}{rest}"),
        _ => format!("{new}_{own}"),
    }
}

fn move_step(step: &mut Step, names: &HashMap<Name, Name>, moves: &Moves, index: &Index) {
    let Some(schema) = step.schema.clone() else {
        return;
    };
    if let Some((schema, name)) = names.get(&(schema, step.name.clone())) {
        (step.schema, step.name) = (Some(schema.clone()), name.clone());
    } else if moves.into_schema.is_some() {
        step.schema = moves.into_schema.clone();
    }
    if let Some(entry) = index.entry(step.id) {
        let moved = TocEntry {
            schema: step.schema.clone(),
            name: step.name.clone(),
            ..entry.clone()
        };
        step.label = label(&moved, step.kind);
    }
}

fn move_held(held: &mut HeldObjects, names: &HashMap<Name, Name>) {
    // What does not move is never dropped: it would be what the target has and keeps.
    let relations = std::mem::take(&mut held.relations);
    held.relations = relations
        .iter()
        .filter_map(|name| names.get(name).cloned())
        .collect();
    held.configuration.clear();
    held.others.retain_mut(|other| {
        let schema = other.schema.clone().unwrap_or_default();
        let Some((schema, name)) = names.get(&(schema, other.name.clone())) else {
            return false;
        };
        let new = quote::qualified(schema, name);
        (other.schema, other.name) = (Some(schema.clone()), name.clone());
        other.drop = format!("DROP {} IF EXISTS {new};", other.kind);
        true
    });
}

/// Behind these words, outside of parentheses, stands the name of the relation that a statement is about.
const BEFORE_NAMES: &[&str] = &[
    "TABLE",
    "ONLY",
    "EXISTS",
    "SEQUENCE",
    "ON",
    "REFERENCES",
    "COLUMN",
    "BY",
    "INDEX",
    "PARTITION",
    "STATISTICS",
    "FROM",
];

impl MovedNames {
    /// The statements of a step with the new names.
    ///
    /// # Errors
    /// `Usage`, naming the step.
    pub(super) fn rewrite(&self, sql: &str, step: &Step) -> Result<String> {
        let refused = |why: String| cannot_move(&step.label, &why);
        let statements = split(sql, self.strings)
            .map_err(|violation| refused(format!("it holds {violation}")))?;
        let changes = statements
            .into_iter()
            .map(|range| Ok((range.clone(), self.rewrite_one(&sql[range], step)?)))
            .collect::<Result<Vec<_>, String>>()
            .map_err(refused)?;
        Ok(replaced(sql, changes))
    }

    fn rewrite_one(&self, sql: &str, step: &Step) -> Result<String, String> {
        let pieces = pieces(sql, self.strings).ok_or("it cannot be read")?;
        let is_child = |piece: &Piece<'_>| piece.is("INHERITS") || piece.is("INHERIT");
        if pieces
            .iter()
            .any(|piece| piece.depth == 0 && is_child(piece))
        {
            return Err("it inherits from another table".to_owned());
        }
        let mut changes = Vec::new();
        let mut at = 0;
        while at < pieces.len() {
            let width = match self.qualified(&pieces, at)? {
                Some((new, width)) => {
                    changes.extend(new.map(|new| (pieces[at].start..pieces[at + 2].end, new)));
                    width
                }
                None => {
                    let piece = &pieces[at];
                    let new = self
                        .literal(sql, &pieces, at, step)
                        .or_else(|| self.bare_name(&pieces, at, step));
                    changes.extend(new.map(|new| (piece.start..piece.end, new)));
                    1
                }
            };
            at += width;
        }
        if changes.is_empty() && !pieces.first().is_some_and(|piece| piece.is("SET")) {
            return Err("a statement does not name it where it should".to_owned());
        }
        Ok(replaced(sql, changes))
    }

    /// `schema.name` at a place: what stands there instead, if anything, and its width in tokens.
    fn qualified(
        &self,
        pieces: &[Piece<'_>],
        at: usize,
    ) -> Result<Option<(Option<String>, usize)>, String> {
        let text = |at: usize| pieces.get(at).map_or("", |piece| piece.text);
        let before = at.checked_sub(1).map(|at| &pieces[at]);
        if text(at + 1) != "." || before.is_some_and(|piece| piece.text == ".") {
            return Ok(None);
        }
        // The table in an expression of its own: `orders.*` for a whole row.
        let first = pieces[at].name();
        let is_row =
            |((_, old), (_, new)): (&Name, &Name)| first.as_ref() == Some(old) && old != new;
        if pieces[at].depth > 0 && self.relations.iter().any(is_row) {
            return Err("an expression names the table".to_owned());
        }
        let named = pieces[at]
            .name()
            .zip(pieces.get(at + 2).and_then(Piece::name));
        let Some((schema, name)) = named else {
            return Ok(None);
        };
        let is_word = |word: &str| before.is_some_and(|piece| piece.is(word));
        let is_sequence_name = is_word("NAME") && at >= 2 && pieces[at - 2].is("SEQUENCE");
        let is_place = pieces[at].depth == 0 && BEFORE_NAMES.iter().any(|word| is_word(word));
        let new = self.relations.get(&(schema.clone(), name.clone()));
        let new = match (new, &self.into_schema) {
            (Some((schema, name)), _) if is_place || is_sequence_name => {
                Some(quote::qualified(schema, name))
            }
            // Of a dump without values of sequences.
            (None, Some(into)) if is_sequence_name => Some(quote::qualified(into, &name)),
            // A function, or a collation, of that name.
            (Some(_), _) if text(at + 3) == "(" || is_word("COLLATE") => None,
            (Some(_), _) => {
                let name = quote::qualified(&schema, &name);
                return Err(format!("an expression names {}", quote::one_line(&name)));
            }
            (None, _) => None,
        };
        Ok(Some((new, 3)))
    }

    /// `'schema.name'::regclass`, and the sequence that `setval` sets.
    fn literal(&self, sql: &str, pieces: &[Piece<'_>], at: usize, step: &Step) -> Option<String> {
        let piece = &pieces[at];
        let content = piece.text.strip_prefix('\'')?.strip_suffix('\'')?;
        let is_regclass = sql[piece.end..].starts_with("::regclass");
        if !is_regclass && step.kind != Kind::SequenceSet {
            return None;
        }
        let content = content.replace("''", "'");
        let inner = super::pieces::pieces(&content, StringSyntax::Standard)?;
        let [schema, dot, name] = &inner[..] else {
            return None;
        };
        let key = (schema.name()?, name.name()?);
        let (schema, name) = (self.relations.get(&key)).filter(|_| dot.text == ".")?;
        Some(quote::literal(&quote::qualified(schema, name)))
    }

    /// The name of an index or of the constraint that has one, which stands without its schema.
    fn bare_name(&self, pieces: &[Piece<'_>], at: usize, step: &Step) -> Option<String> {
        let before = at.checked_sub(1).map(|at| &pieces[at])?;
        let own = step.kind == Kind::Constraint || step.kind == Kind::Comment;
        let is_place = before.is("INDEX")
            || (before.is("CONSTRAINT") && own)
            || (before.is("ON") && at >= 2 && pieces[at - 2].is("CLUSTER"));
        if !is_place || pieces[at].depth > 0 {
            return None;
        }
        let schema = self.schemas.get(&step.id)?.clone();
        let (_, new) = self.relations.get(&(schema, pieces[at].name()?))?;
        Some(quote::ident(new))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn rewrite(sql: &str, kind: Kind) -> Result<String, String> {
        let name = |schema: &str, name: &str| (schema.to_owned(), name.to_owned());
        let names = MovedNames {
            strings: StringSyntax::Standard,
            into_schema: None,
            relations: HashMap::from([
                (name("s", "t"), name("n", "u")),
                (name("s", "t_pkey"), name("n", "u_pkey")),
                (name("s", "t_id_seq"), name("n", "u_id_seq")),
            ]),
            schemas: HashMap::from([(DumpId(1), "s".to_owned())]),
        };
        let step = Step {
            label: "it".to_owned(),
            schema: Some("n".to_owned()),
            ..Step::named(kind, "u")
        };
        names
            .rewrite(sql, &step)
            .map_err(|error| error.message().to_owned())
    }

    #[test]
    fn names_change_where_they_are_the_object() {
        for (kind, sql, wanted) in [
            (
                Kind::Table,
                "CREATE TABLE s.t (s text DEFAULT 's.t', t int DEFAULT nextval('s.t_id_seq'::regclass), c s.t() /* s.t */);",
                "CREATE TABLE \"n\".\"u\" (s text DEFAULT 's.t', t int DEFAULT nextval('\"n\".\"u_id_seq\"'::regclass), c s.t() /* s.t */);",
            ),
            (
                Kind::Constraint,
                "ALTER TABLE ONLY \"s\".\"t\" ADD CONSTRAINT \"t_pkey\" PRIMARY KEY (id); ALTER TABLE s.t CLUSTER ON t_pkey;",
                "ALTER TABLE ONLY \"n\".\"u\" ADD CONSTRAINT \"u_pkey\" PRIMARY KEY (id); ALTER TABLE \"n\".\"u\" CLUSTER ON \"u_pkey\";",
            ),
            (
                Kind::SequenceSet,
                "SELECT pg_catalog.setval('s.t_id_seq', 4, true);",
                "SELECT pg_catalog.setval('\"n\".\"u_id_seq\"', 4, true);",
            ),
            (
                Kind::Comment,
                "COMMENT ON COLUMN s.t.s IS $$s.t$$;",
                "COMMENT ON COLUMN \"n\".\"u\".s IS $$s.t$$;",
            ),
            (
                Kind::Trigger,
                "CREATE TRIGGER g AFTER UPDATE OF t ON S.T FOR EACH ROW EXECUTE FUNCTION s.t('s.t');",
                "CREATE TRIGGER g AFTER UPDATE OF t ON \"n\".\"u\" FOR EACH ROW EXECUTE FUNCTION s.t('s.t');",
            ),
        ] {
            assert_eq!(rewrite(sql, kind).unwrap(), wanted);
        }
    }

    #[test]
    fn what_names_it_elsewhere_or_nowhere_is_refused() {
        for (sql, why) in [
            (
                "CREATE POLICY p ON s.t USING (EXISTS (SELECT 1 FROM s.t x));",
                "an expression names",
            ),
            (
                "ALTER TABLE s.t ALTER a SET DEFAULT f(NULL::s.t);",
                "an expression names",
            ),
            (
                "CREATE TABLE s.t (CHECK (f(t.*)));",
                "an expression names the table",
            ),
            ("CREATE TABLE s.t () INHERITS (s.p);", "inherits"),
            ("CREATE TABLE \"T\" (a int);", "does not name it"),
            ("ALTER TABLE s.\"T\" OWNER TO o;", "does not name it"),
        ] {
            assert!(
                rewrite(sql, Kind::Table).unwrap_err().contains(why),
                "{sql}"
            );
        }
    }
}
