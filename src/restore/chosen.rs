//! Which entries of an archive the options choose. Pure.

use std::collections::HashSet;

use crate::archive::{DumpId, Index, TocEntry};
use crate::dump::part_patterns::Part;
use crate::dump::parts::Parts;
use crate::dump::selection::Selection;
use crate::objects::{Kind, quote};
use crate::{Error, ErrorKind, Result};

use super::RestoreOptions;
use super::dependencies::needed_by;

/// The entries that the options choose.
pub(super) struct Chosen<'a> {
    index: &'a Index,
    kinds: Vec<Kind>,
    wanted: Vec<bool>,
    /// Those of the wanted ones that only others need.
    needed: Vec<bool>,
}

impl<'a> Chosen<'a> {
    /// Chooses.
    ///
    /// # Errors
    /// `Damaged` if the index contradicts itself, `Usage` if a pattern matches nothing.
    pub(super) fn new(index: &'a Index, options: &RestoreOptions) -> Result<Self> {
        let kinds = index
            .entries
            .iter()
            .map(|entry| {
                Kind::parse(&entry.kind).ok_or_else(|| {
                    contradiction(entry, "this version of pgstow does not know the kind")
                })
            })
            .collect::<Result<Vec<Kind>>>()?;
        let mut chosen = Chosen {
            index,
            kinds,
            wanted: vec![true; index.entries.len()],
            needed: vec![false; index.entries.len()],
        };
        if !options.selection.is_everything() {
            chosen.select(&options.selection, &options.parts)?;
        }
        if let Some(list) = &options.list {
            for (entry, wanted) in index.entries.iter().zip(&mut chosen.wanted) {
                *wanted &= list.contains(&entry.id);
            }
        }
        if let Some(present) = &options.dependencies {
            chosen.keep_parts(options);
            chosen.needed = needed_by(index, &chosen.kinds, &chosen.wanted, present);
            for (wanted, needed) in chosen.wanted.iter_mut().zip(&chosen.needed) {
                *wanted |= needed;
            }
        }
        chosen.keep_parts(options);
        Ok(chosen)
    }

    /// They, in script order.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a TocEntry, Kind)> {
        let index = self.index;
        index
            .entries
            .iter()
            .zip(&self.kinds)
            .zip(&self.wanted)
            .filter_map(|((entry, kind), wanted)| wanted.then_some((entry, *kind)))
    }

    /// Where an entry stands.
    pub(super) fn position(&self, id: DumpId) -> Option<usize> {
        self.index.position(id)
    }

    /// The entry that a comment or an ACL is about; any other entry itself.
    fn subject(&self, at: usize) -> usize {
        self.index.entries[at]
            .subject
            .and_then(|id| self.position(id))
            .unwrap_or(at)
    }

    /// Leaves what the patterns select.
    fn select(&mut self, selection: &Selection, parts: &Parts) -> Result<()> {
        selection.check_database(&self.index.header.database)?;
        self.refuse_unmatched(selection)?;
        let owned = self.sequences_of_wanted_tables(selection);
        self.wanted = (0..self.wanted.len())
            .map(|at| {
                let subject = self.subject(at);
                parts.includes_in_any_case(self.kinds[subject])
                    || self.is_selected(subject, selection, &owned)
                    || self.is_selected_part(subject, selection)
            })
            .collect();
        Ok(())
    }

    fn refuse_unmatched(&self, selection: &Selection) -> Result<()> {
        let of_kinds = |wanted: fn(Kind) -> bool| {
            self.index
                .entries
                .iter()
                .zip(&self.kinds)
                .filter(move |(_, kind)| wanted(**kind))
                .map(|(entry, _)| entry)
        };
        let names = |kind: fn(Kind) -> bool| of_kinds(kind).map(|entry| entry.name.as_str());
        let used = of_kinds(is_relation).filter_map(|entry| entry.schema.as_deref());
        let schemas: Vec<&str> = names(|kind| kind == Kind::Schema).chain(used).collect();
        let extensions: Vec<&str> = names(|kind| kind == Kind::Extension).collect();
        let with_rows = |kind| is_relation(kind) || kind == Kind::TableData;
        let relations: Vec<(&str, &str)> = of_kinds(with_rows)
            .filter_map(|entry| Some((entry.schema.as_deref()?, entry.name.as_str())))
            .collect();
        let parts: Vec<Part<'_>> = (0..self.kinds.len())
            .filter_map(|at| self.part(at))
            .collect();
        let unmatched = selection.unmatched(&schemas, &relations, &extensions, &[]);
        match unmatched.or_else(|| selection.unmatched_parts(&parts)) {
            Some(what) => Err(Error::new(ErrorKind::Usage, what).detail("In the archive.")),
            None => Ok(()),
        }
    }

    /// What `-I`, `-P` and `--trigger` may mean.
    fn part(&self, at: usize) -> Option<Part<'a>> {
        let entry = &self.index.entries[at];
        let (schema, name) = (entry.schema.as_deref()?, entry.name.as_str());
        match self.kinds[at] {
            Kind::Index => Some(Part::Index { schema, name }),
            Kind::Function | Kind::Procedure | Kind::Aggregate => {
                Some(Part::Routine { schema, tag: name })
            }
            Kind::Trigger => {
                let (table, name) = name_within(self.index, entry)?;
                Some(Part::Trigger {
                    schema,
                    table: &table.name,
                    name,
                })
            }
            _ => None,
        }
    }

    fn is_selected_part(&self, at: usize, selection: &Selection) -> bool {
        let is_included = |at: usize| {
            let entry = &self.index.entries[at];
            let schema = entry.schema.as_deref().unwrap_or_default();
            (self.part(at)).is_some_and(|part| selection.includes_part(schema, &part))
        };
        match self.kinds[at] {
            // An index of a partition becomes part of the index of the whole, if both are wanted.
            Kind::IndexAttach => {
                let needed = self.index.entries[at].depends_on.iter();
                let mut indexes = needed
                    .filter_map(|id| self.position(*id))
                    .filter(|at| self.kinds[*at] == Kind::Index)
                    .peekable();
                indexes.peek().is_some() && indexes.all(is_included)
            }
            _ => is_included(at),
        }
    }

    /// The kind of the entry at a place.
    pub(super) fn kind(&self, at: usize) -> Kind {
        self.kinds[at]
    }

    /// Whether an entry comes because others need it.
    pub(super) fn is_needed(&self, entry: &TocEntry) -> bool {
        self.position(entry.id).is_some_and(|at| self.needed[at])
    }

    /// Whether the table that an entry is a part of is chosen.
    pub(super) fn has_relation_of(&self, entry: &TocEntry) -> bool {
        let relation = entry.relation.and_then(|id| self.position(id));
        relation.is_none_or(|at| self.wanted[at])
    }

    /// A table's owned sequences come with it, whatever their names.
    fn sequences_of_wanted_tables(&self, selection: &Selection) -> HashSet<DumpId> {
        let mut owned = HashSet::new();
        for (at, entry) in self.index.entries.iter().enumerate() {
            if self.kinds[at] != Kind::SequenceOwner {
                continue;
            }
            let parents: Vec<usize> = entry
                .depends_on
                .iter()
                .chain(&entry.relation)
                .filter_map(|id| self.position(*id))
                .collect();
            let table_is_wanted = parents.iter().any(|parent| {
                let parent_entry = &self.index.entries[*parent];
                matches!(self.kinds[*parent], Kind::Table | Kind::ForeignTable)
                    && relation_is_selected(parent_entry, selection)
            });
            if table_is_wanted {
                owned.extend(
                    parents
                        .iter()
                        .filter(|parent| self.kinds[**parent] == Kind::Sequence)
                        .map(|parent| self.index.entries[*parent].id),
                );
            }
        }
        owned
    }

    fn is_selected(&self, at: usize, selection: &Selection, owned: &HashSet<DumpId>) -> bool {
        let entry = &self.index.entries[at];
        let kind = self.kinds[at];
        let relation = relation_of(self.index, kind, entry);
        let relation = relation.and_then(|id| self.index.entry(id));
        // Rows alone (`create -a`) stand for their table.
        let relation = relation.or_else(|| (kind == Kind::TableData).then_some(entry));
        match (relation, &entry.schema) {
            // Without the publication there is nothing to add to.
            _ if matches!(kind, Kind::PublicationTable | Kind::PublicationSchema)
                && !selection.includes_global_objects() =>
            {
                false
            }
            // The sequence without its table belongs to nobody.
            _ if kind == Kind::SequenceOwner && !self.are_selected(entry, selection, owned) => {
                false
            }
            (Some(relation), _) => {
                (relation_is_selected(relation, selection) || owned.contains(&relation.id))
                    && (!has_rows(kind) || data_is_selected(relation, selection))
            }
            (None, _) if kind == Kind::Extension => selection.includes_extension(&entry.name),
            (None, _) if kind == Kind::Schema => selection.includes_schema(&entry.name),
            (None, Some(schema)) => selection.includes_schema(schema),
            (None, None) => selection.includes_global_objects(),
        }
    }

    /// Whether all relations that an entry needs are selected.
    fn are_selected(
        &self,
        entry: &TocEntry,
        selection: &Selection,
        owned: &HashSet<DumpId>,
    ) -> bool {
        let needed = entry.depends_on.iter().filter_map(|id| self.position(*id));
        needed
            .filter(|&at| is_relation(self.kinds[at]))
            .map(|at| &self.index.entries[at])
            .all(|needed| relation_is_selected(needed, selection) || owned.contains(&needed.id))
    }

    /// Leaves the parts that are wanted. A comment, label or privilege goes with what it is about.
    fn keep_parts(&mut self, options: &RestoreOptions) {
        for at in 0..self.wanted.len() {
            let subject = self.subject(at);
            let section = self.index.entries[subject].section;
            self.wanted[at] &= options.parts.includes_kind(self.kinds[subject])
                && options.parts.includes_about(self.kinds[at])
                && options.parts.includes_section(self.kinds[subject], section);
        }
    }
}

fn is_relation(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Table | Kind::ForeignTable | Kind::View | Kind::MaterializedView | Kind::Sequence
    )
}

/// The relation that an entry is a part of. Of an identity column's sequence archives of pgstow have the value alone, which
/// tells its table only by what it depends on.
pub(super) fn relation_of(index: &Index, kind: Kind, entry: &TocEntry) -> Option<DumpId> {
    let table = || {
        let needed = entry.depends_on.iter().filter_map(|id| index.entry(*id));
        let mut tables = needed.filter(|it| it.kind == Kind::Table.as_str());
        (kind == Kind::SequenceSet).then(|| tables.next()).flatten()
    };
    entry.relation.or_else(|| table().map(|table| table.id))
}

/// Whether `--exclude-table-data` is about it: rows, values of sequences, refreshes.
fn has_rows(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::TableData | Kind::SequenceSet | Kind::MaterializedViewData
    )
}

fn relation_is_selected(relation: &TocEntry, selection: &Selection) -> bool {
    let schema = relation.schema.as_deref().unwrap_or_default();
    selection.includes_relation(schema, &relation.name)
}

fn data_is_selected(relation: &TocEntry, selection: &Selection) -> bool {
    let schema = relation.schema.as_deref().unwrap_or_default();
    selection.includes_data(schema, &relation.name)
}

pub(super) fn contradiction(entry: &TocEntry, what: &str) -> Error {
    Error::new(
        ErrorKind::Damaged,
        format!("the index contradicts itself at entry {}", entry.id.0),
    )
    .detail(format!(
        "{} {}: {what}.",
        quote::one_line(&entry.kind),
        entry.qualified_name()
    ))
}

/// The table of a part whose tag is "table name", and that name.
pub(super) fn name_within<'a>(
    index: &'a Index,
    entry: &'a TocEntry,
) -> Option<(&'a TocEntry, &'a str)> {
    let table = index.entry(entry.relation?)?;
    let name = entry.name.strip_prefix(&table.name)?.strip_prefix(' ')?;
    Some((table, name))
}
