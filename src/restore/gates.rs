//! Which steps of post-data may go while rows of other tables still come, and which rows each of them waits for. Pure.
//!
//! An index, or a constraint with one, sees the rows of its own table and nothing else, unless it calls what somebody wrote. All
//! other steps wait for all rows: a foreign key, a trigger, a rule, a policy, the value of a sequence would see or change what is
//! still to be loaded.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::archive::{DumpId, Index};
use crate::objects::Kind;

use super::plan::{Load, Step};

/// Whether steps of a kind see rows of their own tables alone.
pub(crate) fn sees_own_rows_only(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Index | Kind::Constraint | Kind::IndexAttach | Kind::ExtendedStatistics
    )
}

/// What steps wait for besides other steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Rows {
    /// Those of a table and of its partitions: COPY into a partition locks the tables above it, too.
    Of(DumpId),
    /// Those that come through partitioned tables, and may go anywhere below.
    Spread,
    /// Those of extensions' tables, which their functions may read.
    OfExtensions,
    /// All, large objects included.
    All,
}

/// Loads hold gates shut, and steps stand before them.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    gates: Vec<Gate>,
    /// By the entry of a load: the gates that it holds.
    of_load: HashMap<DumpId, Vec<usize>>,
    /// Whether there is a step that need not wait for all rows.
    has_early: bool,
}

#[derive(Debug, Default)]
struct Gate {
    loads: usize,
    steps: Vec<usize>,
}

impl Gates {
    /// `made`: the entries of tables that the restore makes. Of others nobody knows what happens when rows come into them.
    pub(crate) fn new(
        index: &Index,
        made: &HashSet<DumpId>,
        steps: &[Step],
        loads: &[Load],
    ) -> Gates {
        let relations = Relations::new(index, made);
        let mut gates = Gates::default();
        let mut places: HashMap<Rows, usize> = HashMap::new();
        for load in loads.iter().filter(|load| !load.members.is_empty()) {
            let held = gates.of_load.entry(load.entry).or_default();
            for rows in relations.rows_of(load) {
                let at = *places.entry(rows).or_insert_with(|| {
                    gates.gates.push(Gate::default());
                    gates.gates.len() - 1
                });
                gates.gates[at].loads += 1;
                held.push(at);
            }
        }
        for (at, step) in steps.iter().enumerate() {
            let own_rows = relations.own_rows(step);
            gates.has_early |= own_rows.is_some();
            for rows in own_rows.unwrap_or_else(|| BTreeSet::from([Rows::All])) {
                if let Some(place) = places.get(&rows) {
                    gates.gates[*place].steps.push(at);
                }
            }
        }
        gates
    }

    /// Whether any step need not wait for all rows.
    pub(crate) fn has_early(&self) -> bool {
        self.has_early
    }

    /// Whether rows are still to come.
    pub(crate) fn has_rows_left(&self) -> bool {
        !self.of_load.is_empty()
    }

    /// The steps that stand before gates: each as often as there are gates before it.
    pub(crate) fn held(&self) -> impl Iterator<Item = usize> {
        self.gates.iter().flat_map(|gate| &gate.steps).copied()
    }

    /// All rows of a load are there. Gives the steps that gates opened for, each as often as gates did.
    pub(crate) fn rows_done(&mut self, load: DumpId) -> Vec<usize> {
        let mut released = Vec::new();
        for at in self.of_load.remove(&load).unwrap_or_default() {
            let gate = &mut self.gates[at];
            gate.loads -= 1;
            if gate.loads == 0 {
                released.append(&mut gate.steps);
            }
        }
        released
    }
}

/// What the index tells about tables.
struct Relations<'a> {
    index: &'a Index,
    /// Of the entries.
    kinds: Vec<Option<Kind>>,
    /// The tables that a table is a partition or a child of, as far as entries tell. One whose row type it uses may be among them.
    parents: HashMap<DumpId, Vec<DumpId>>,
    made: &'a HashSet<DumpId>,
}

impl<'a> Relations<'a> {
    fn new(index: &'a Index, made: &'a HashSet<DumpId>) -> Self {
        let kinds = index.entries.iter();
        let kinds = kinds.map(|entry| Kind::parse(&entry.kind)).collect();
        let mut relations = Relations {
            index,
            kinds,
            parents: HashMap::new(),
            made,
        };
        for entry in &index.entries {
            if let (Some(Kind::Table | Kind::ForeignTable | Kind::TableAttach), Some(table)) =
                (relations.kind(entry.id), entry.relation)
            {
                let above = entry.depends_on.iter().copied().filter(|id| *id != table);
                let above: Vec<DumpId> = above
                    .filter(|id| relations.kind(*id) == Some(Kind::Table))
                    .collect();
                if !above.is_empty() {
                    relations.parents.entry(table).or_default().extend(above);
                }
            }
        }
        relations
    }

    fn kind(&self, id: DumpId) -> Option<Kind> {
        self.kinds[self.index.position(id)?]
    }

    /// The table that an entry is about.
    fn table(&self, id: DumpId) -> Option<DumpId> {
        self.index.entry(id)?.relation
    }

    /// What a load is of.
    fn rows_of(&self, load: &Load) -> BTreeSet<Rows> {
        let mut all = BTreeSet::from([Rows::All]);
        let Some(table) = self.table(load.entry) else {
            all.insert(Rows::OfExtensions);
            return all;
        };
        // The INSERT statements of pg_dump do not tell whether they go through the partitioned table.
        if load.through_root || load.rows_as_statements && self.parents.contains_key(&table) {
            all.insert(Rows::Spread);
        }
        let mut open = vec![table];
        while let Some(table) = open.pop() {
            if all.insert(Rows::Of(table)) {
                open.extend(self.parents.get(&table).into_iter().flatten());
            }
        }
        all
    }

    /// The rows that a step sees; `None` if these may be any.
    fn own_rows(&self, step: &Step) -> Option<BTreeSet<Rows>> {
        if !sees_own_rows_only(step.kind) {
            return None;
        }
        let mut rows = BTreeSet::from([Rows::Spread]);
        let mut tables = vec![self.table(step.id)?];
        tables.extend(step.locks.iter().map(|(table, _)| *table));
        for id in &step.depends_on {
            match self.kind(*id)? {
                Kind::Table => tables.push(*id),
                Kind::TableData => tables.push(self.table(*id)?),
                Kind::Extension => {
                    rows.insert(Rows::OfExtensions);
                }
                Kind::Index
                | Kind::Constraint
                | Kind::IndexAttach
                | Kind::TableAttach
                | Kind::Schema
                | Kind::Tablespace
                | Kind::Collation
                | Kind::EnumType => {}
                // Functions, and operators, types, configurations that may have some behind them.
                _ => return None,
            }
        }
        if !tables.iter().all(|table| self.made.contains(table)) {
            return None;
        }
        rows.extend(tables.into_iter().map(Rows::Of));
        Some(rows)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::archive::tests::entry;
    use crate::archive::{Section, TocEntry};
    use crate::restore::plan::PlannedMember;

    /// An entry of a kind; its number is its place.
    struct Contents {
        index: Index,
        made: HashSet<DumpId>,
    }

    impl Contents {
        fn new() -> Self {
            Contents {
                index: Index::empty(),
                made: HashSet::new(),
            }
        }

        fn add(&mut self, kind: Kind, relation: Option<u32>, depends_on: &[u32]) -> u32 {
            let number = u32::try_from(self.index.entries.len() + 1).unwrap();
            self.index.entries.push(TocEntry {
                relation: relation.map(DumpId),
                depends_on: depends_on.iter().copied().map(DumpId).collect(),
                ..entry(number, kind.as_str(), "", Section::PostData)
            });
            number
        }

        fn add_table(&mut self, depends_on: &[u32]) -> u32 {
            let number = u32::try_from(self.index.entries.len() + 1).unwrap();
            self.made.insert(DumpId(number));
            self.add(Kind::Table, Some(number), depends_on)
        }

        fn load(&mut self, table: Option<u32>) -> Load {
            let entry = DumpId(self.add(Kind::TableData, table, table.as_slice()));
            Load {
                entry,
                members: vec![PlannedMember::numbered(0, 0)],
                ..Load::named("")
            }
        }

        fn step(&mut self, kind: Kind, table: u32, depends_on: &[u32]) -> Step {
            let id = DumpId(self.add(kind, Some(table), depends_on));
            Step {
                id,
                depends_on: self.index.entry(id).unwrap().depends_on.clone(),
                locks: vec![(DumpId(table), true)],
                ..Step::named(kind, "")
            }
        }

        /// The steps that may go at first, and after each load.
        fn free(&self, steps: &[Step], loads: &[Load]) -> Vec<Vec<usize>> {
            let mut gates = Gates::new(&self.index, &self.made, steps, loads);
            let mut held = vec![0; steps.len()];
            gates.held().for_each(|at| held[at] += 1);
            let free = |held: &[i32]| (0..held.len()).filter(|at| held[*at] == 0).collect();
            let mut all = vec![free(&held)];
            for load in loads {
                assert!(gates.has_rows_left());
                gates
                    .rows_done(load.entry)
                    .iter()
                    .for_each(|at| held[*at] -= 1);
                all.push(free(&held));
            }
            assert!(!gates.has_rows_left());
            all
        }
    }

    #[test]
    fn indexes_wait_for_their_tables_and_all_else_for_all_rows() {
        let mut contents = Contents::new();
        let (a, b, empty) = (
            contents.add_table(&[]),
            contents.add_table(&[]),
            contents.add_table(&[]),
        );
        let loads = [contents.load(Some(a)), contents.load(Some(b))];
        let key = contents.step(Kind::Constraint, a, &[a]);
        let steps = [
            contents.step(Kind::Index, a, &[a, loads[0].entry.0]),
            key.clone(),
            contents.step(Kind::Index, b, &[b]),
            contents.step(Kind::ForeignKey, a, &[a, key.id.0]),
            contents.step(Kind::Trigger, a, &[a]),
            contents.step(Kind::Rule, a, &[a]),
            contents.step(Kind::Policy, a, &[a]),
            contents.step(Kind::SequenceSet, a, &[a]),
            contents.step(Kind::Index, empty, &[empty]),
        ];
        let all: Vec<usize> = (0..steps.len()).collect();
        assert_eq!(
            contents.free(&steps, &loads),
            [vec![8], vec![0, 1, 8], all.clone()]
        );
        let loads_the_other_way = [loads[1].clone(), loads[0].clone()];
        let free = contents.free(&steps, &loads_the_other_way);
        assert_eq!(free, [vec![8], vec![2, 8], all]);
    }

    #[test]
    fn what_calls_what_somebody_wrote_waits_for_all_rows() {
        let mut contents = Contents::new();
        let function = contents.add(Kind::Function, None, &[]);
        let operator_class = contents.add(Kind::OperatorClass, None, &[]);
        let extension = contents.add(Kind::Extension, None, &[]);
        let mood = contents.add(Kind::EnumType, None, &[]);
        let (a, b) = (contents.add_table(&[]), contents.add_table(&[]));
        let loads = [
            contents.load(Some(a)),
            contents.load(None),
            contents.load(Some(b)),
        ];
        let steps = [
            contents.step(Kind::Index, a, &[a, function]),
            contents.step(Kind::Index, a, &[a, operator_class]),
            contents.step(Kind::Index, a, &[a, extension]),
            contents.step(Kind::Index, a, &[a, mood]),
            // Of another table, too.
            contents.step(Kind::Index, a, &[a, b]),
        ];
        assert_eq!(
            contents.free(&steps, &loads),
            [vec![], vec![3], vec![2, 3], vec![0, 1, 2, 3, 4]]
        );
    }

    #[test]
    fn partitioned_tables_wait_for_the_rows_of_their_partitions() {
        let mut contents = Contents::new();
        let root = contents.add_table(&[]);
        let (one, two) = (contents.add_table(&[]), contents.add_table(&[]));
        contents.add(Kind::TableAttach, Some(one), &[root, one]);
        contents.add(Kind::TableAttach, Some(two), &[root, two]);
        let loads = [contents.load(Some(one)), contents.load(Some(two))];
        let above = contents.step(Kind::Index, root, &[root]);
        let below = contents.step(Kind::Index, one, &[one]);
        let mut attach = contents.step(Kind::IndexAttach, one, &[above.id.0, below.id.0]);
        attach.locks.push((DumpId(root), true));
        let steps = [above, below, attach];
        assert_eq!(
            contents.free(&steps, &loads),
            [vec![], vec![1], vec![0, 1, 2]]
        );
    }

    #[test]
    fn rows_that_may_go_anywhere_hold_every_step() {
        let mut contents = Contents::new();
        let root = contents.add_table(&[]);
        // As pg_dump had it before 14.
        let part = contents.add_table(&[root]);
        let other = contents.add_table(&[]);
        let steps = [contents.step(Kind::Index, other, &[other])];
        let plain = [contents.load(Some(other)), contents.load(Some(part))];
        assert_eq!(contents.free(&steps, &plain), [vec![], vec![0], vec![0]]);
        for (through_root, rows_as_statements) in [(true, false), (false, true)] {
            let mut spread = plain.clone();
            spread[1].through_root = through_root;
            spread[1].rows_as_statements = rows_as_statements;
            assert_eq!(contents.free(&steps, &spread), [vec![], vec![], vec![0]]);
        }
    }

    #[test]
    fn tables_that_were_there_wait_for_all_rows() {
        let mut contents = Contents::new();
        let (a, b) = (contents.add_table(&[]), contents.add_table(&[]));
        let loads = [contents.load(Some(a)), contents.load(Some(b))];
        let steps = [contents.step(Kind::Index, a, &[a])];
        contents.made.clear();
        assert_eq!(contents.free(&steps, &loads), [vec![], vec![], vec![0]]);
        let gates = Gates::new(&contents.index, &contents.made, &steps, &loads);
        assert!(!gates.has_early());
    }

    #[test]
    fn loads_that_are_done_hold_nothing() {
        let mut contents = Contents::new();
        let (a, b) = (contents.add_table(&[]), contents.add_table(&[]));
        let mut loads = vec![contents.load(Some(a)), contents.load(Some(b))];
        loads[0].members.clear();
        let steps = [contents.step(Kind::Index, a, &[a])];
        let left = loads.split_off(1);
        loads.extend(left.clone());
        let gates = Gates::new(&contents.index, &contents.made, &steps, &loads);
        assert!(gates.has_early() && gates.held().next().is_none());
    }
}
