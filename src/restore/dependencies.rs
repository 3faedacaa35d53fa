//! `--with-dependencies`: what the chosen entries need, and which of that the target has.
//!
//! Needed is, over any number of steps: what an entry depends on, its schema, and of each such object its comments, privileges
//! and, of relations, all parts, rows included. What the target has under the name stays as it is, and what that in turn
//! would need is not looked for.

use std::collections::{HashMap, HashSet};

use crate::archive::{DumpId, Index, TocEntry};
use crate::conn::Session;
use crate::objects::{Kind, quote};
use crate::{Error, ErrorKind, Result};

use super::chosen::relation_of;
use super::clean::{find_others, find_present};
use super::plan::{HeldObject, label};

/// Marks what the wanted entries need and the target does not have. `present` are objects that it has.
pub(super) fn needed_by(
    index: &Index,
    kinds: &[Kind],
    wanted: &[bool],
    present: &HashSet<DumpId>,
) -> Vec<bool> {
    let closure = Closure {
        index,
        kinds,
        wanted,
        present,
        schemas: schemas(index, kinds),
        parts: parts(index, kinds),
        needed: vec![false; wanted.len()],
        left: (0..wanted.len()).filter(|at| wanted[*at]).collect(),
    };
    closure.close()
}

struct Closure<'a> {
    index: &'a Index,
    kinds: &'a [Kind],
    wanted: &'a [bool],
    present: &'a HashSet<DumpId>,
    schemas: HashMap<&'a str, usize>,
    /// What comes along with an object.
    parts: HashMap<usize, Vec<usize>>,
    needed: Vec<bool>,
    left: Vec<usize>,
}

impl Closure<'_> {
    fn close(mut self) -> Vec<bool> {
        while let Some(at) = self.left.pop() {
            let entry = &self.index.entries[at];
            let named = entry
                .depends_on
                .iter()
                .chain(&entry.subject)
                .chain(&entry.relation);
            let named: Vec<usize> = named.filter_map(|id| self.index.position(*id)).collect();
            let schema = entry.schema.as_deref();
            let schema = schema.and_then(|name| self.schemas.get(name).copied());
            for needed in named.into_iter().chain(schema) {
                self.need(needed);
            }
        }
        self.needed
    }

    /// A part is needed with the whole of its object: a key with its table.
    fn need(&mut self, at: usize) {
        let object = object_of(self.index, self.kinds[at], at);
        if self.wanted[object] || self.present.contains(&self.index.entries[object].id) {
            return;
        }
        for at in [object, at] {
            self.add(at);
        }
    }

    fn add(&mut self, at: usize) {
        if self.needed[at] || self.wanted[at] {
            return;
        }
        self.needed[at] = true;
        self.left.push(at);
        for part in self.parts.get(&at).cloned().unwrap_or_default() {
            self.add(part);
        }
    }
}

/// The object that the target has or lacks as a whole: of a part its relation, of a comment what it is about.
fn object_of(index: &Index, kind: Kind, at: usize) -> usize {
    let entry = &index.entries[at];
    let whole = relation_of(index, kind, entry).or(entry.subject);
    whole.and_then(|id| index.position(id)).unwrap_or(at)
}

fn schemas<'a>(index: &'a Index, kinds: &[Kind]) -> HashMap<&'a str, usize> {
    let entries = index.entries.iter().enumerate();
    let schemas = entries.filter(|(at, _)| kinds[*at] == Kind::Schema);
    schemas
        .map(|(at, entry)| (entry.name.as_str(), at))
        .collect()
}

/// Parts, comments, privileges by what they belong to. That a table is in a publication is no part of the table.
fn parts(index: &Index, kinds: &[Kind]) -> HashMap<usize, Vec<usize>> {
    let mut parts: HashMap<usize, Vec<usize>> = HashMap::new();
    for (at, entry) in index.entries.iter().enumerate() {
        if matches!(kinds[at], Kind::PublicationTable) {
            continue;
        }
        // A sequence is given to a column of the table, too.
        let is_given = kinds[at] == Kind::SequenceOwner;
        let tables = entry.depends_on.iter().filter(|_| is_given).copied();
        let relation = relation_of(index, kinds[at], entry);
        let owners = relation.into_iter().chain(entry.subject).chain(tables);
        for owner in owners
            .filter_map(|id| index.position(id))
            .filter(|owner| *owner != at)
        {
            parts.entry(owner).or_default().push(at);
        }
    }
    parts
}

/// The needed objects that the target has.
///
/// # Errors
/// `Restore`.
pub(super) async fn present(
    session: &Session,
    objects: &[(&TocEntry, Kind)],
) -> Result<HashSet<DumpId>> {
    let failed = |error| {
        let what = "could not look up what the target has of what is needed";
        Error::from_server(ErrorKind::Restore, what, error)
    };
    let held: Vec<HeldObject> = objects
        .iter()
        .map(|(entry, kind)| HeldObject {
            kind: *kind,
            schema: entry.schema.clone(),
            name: entry.name.clone(),
            drop: String::new(),
        })
        .collect();
    let mut places = find_present(session, &held).await.map_err(failed)?;
    let others = find_others(session, &held).await.map_err(failed)?;
    places.extend(others.into_iter().map(|(at, _)| at));
    let ids = places.into_iter().filter_map(|at| objects.get(at));
    Ok(ids.map(|(entry, _)| entry.id).collect())
}

/// How many objects the message names.
const NAMED: usize = 20;

/// What is said of those that stay; `None` if there is nothing to say. Schemas and extensions are mostly there.
pub(super) fn describe(objects: &[(&TocEntry, Kind)], present: &HashSet<DumpId>) -> Option<String> {
    let told = objects.iter().filter(|(entry, kind)| {
        present.contains(&entry.id) && !matches!(kind, Kind::Schema | Kind::Extension)
    });
    let names: Vec<String> = told.map(|(entry, kind)| label(entry, *kind)).collect();
    (!names.is_empty()).then(|| {
        let named = quote::first_of(&names, NAMED);
        format!("needed, and as the target has them they stay: {named}")
    })
}
