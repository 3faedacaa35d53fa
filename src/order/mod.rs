//! From dependencies to a safe order: sections, type priorities, natural keys, loop repair. Pure.
//!
//! Nodes are numbers; what they stand for is the caller's business. A *folded* node (a column's
//! default, a check constraint, a view's query) is printed inside its owner's CREATE statement. So
//! the owner needs whatever the folded node needs, and that is where most loops come from: the
//! default calls a function whose argument is the table's row type. Such a loop is repaired by
//! taking the folded node out of its owner again; then it is a statement of its own, after the owner.
//! A function or materialized view whose definition needs a primary key moves to post-data, where
//! keys are made, and takes along what depends on it; if something depends on it that rows need, the key
//! comes before the rows instead. A type and its canonical function are told apart by a shell of the type.
//! What still has no safe order gets one that is not, and is told.
//!
//! The result depends on priorities, keys and edges alone, not on the order of the input.

mod components;
mod repair;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rayon::iter::{
    IndexedParallelIterator, IntoParallelRefIterator, IntoParallelRefMutIterator, ParallelIterator,
};
use rayon::slice::ParallelSliceMut;

use crate::archive::Section;

/// One object to be ordered, known by its place in the slice.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    /// Lower comes first where no dependency says otherwise.
    pub priority: u32,
    /// Schema and name: what orders nodes of one priority.
    pub key: (&'a str, String),
    /// Where it belongs; of a folded node: where it belongs once it is taken out of its owner.
    pub section: Section,
    /// Nodes that must come before. An owner's dependency on a node folded into it need not be listed
    /// and ends when that node is taken out.
    pub depends_on: Vec<usize>,
    /// How it is printed within another node, if it is.
    pub fold: Option<Fold>,
    /// Whether it may move to post-data because something that it needs is there.
    pub postponable: bool,
    /// Whether it may move from post-data to pre-data because something there needs it that cannot wait.
    pub advanceable: bool,
    /// The node that stands for its shell. Shells that no loop needs are left out of the order.
    pub shell: Option<usize>,
}

/// A node that is printed within its owner.
#[derive(Clone, Copy, Debug)]
pub struct Fold {
    /// The node whose statement prints it.
    pub owner: usize,
    /// Where a loop can be broken in several places, the lowest is taken out.
    pub cost: u32,
    /// Whether rows or its owner need it at once: it never goes to post-data without its owner.
    pub is_bound: bool,
    /// Whether it needs its owner to be there: it is taken out in any case.
    pub is_recursive: bool,
}

/// An order, safe unless something is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordering {
    /// All nodes but unused shells, section by section. Folded ones follow their owner at once.
    pub sequence: Vec<usize>,
    /// By node: whether it was taken out of its owner.
    pub separate: Vec<bool>,
    /// By node: the section it ended up in. Folded nodes have their owner's.
    pub section: Vec<Section>,
    /// By node: what must come before it after all repairs, ascending. An owner depends on the
    /// nodes folded into it.
    pub depends_on: Vec<Vec<usize>>,
    /// What no repair could help; its dependencies are not all kept.
    pub broken: Vec<Broken>,
}

/// Why an order is not safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// These nodes need each other, in order of priority and key. The first comes before those that it needs.
    Loop(Vec<usize>),
    /// A node needs one of a later section and cannot be moved there.
    Section {
        /// The node.
        node: usize,
        /// What it needs.
        needs: usize,
    },
}

/// Orders nodes so that each comes after those it depends on, after as few repairs as needed.
/// Among those that are ready the smallest of (section, priority, key) comes first.
pub fn order(nodes: &[Node<'_>]) -> Ordering {
    let mut graph = Graph::new(nodes);
    let broken = repair::repair(&mut graph);
    graph.into_ordering(broken)
}

/// Sets of more than one member that need each other, by what each node needs.
pub fn loops(edges: &[Vec<usize>], members: &[usize]) -> Vec<Vec<usize>> {
    components::loops(edges, members, &mut components::Scratch::new(edges.len()))
}

/// The edges as repairs change them.
struct Graph<'a> {
    nodes: &'a [Node<'a>],
    /// By node: its place among all by priority and key.
    rank: Vec<usize>,
    folded: Vec<bool>,
    section: Vec<Section>,
    /// By node: whether it is a shell, and whether a repair uses it.
    is_shell: Vec<bool>,
    shell_used: Vec<bool>,
    edges: Vec<Vec<usize>>,
}

impl<'a> Graph<'a> {
    fn new(nodes: &'a [Node<'a>]) -> Self {
        let mut is_shell = vec![false; nodes.len()];
        for shell in nodes.iter().filter_map(|node| node.shell) {
            is_shell[shell] = true;
        }
        Graph {
            nodes,
            rank: ranks(nodes),
            folded: nodes.iter().map(|node| node.fold.is_some()).collect(),
            section: nodes
                .iter()
                .map(|node| match node.fold {
                    Some(fold) => nodes[fold.owner].section,
                    None => node.section,
                })
                .collect(),
            shell_used: vec![false; nodes.len()],
            edges: folded_edges(nodes, &is_shell),
            is_shell,
        }
    }

    /// Takes a folded node out of its owner.
    fn unfold(&mut self, node: usize) {
        let Some(fold) = self.nodes[node].fold else {
            return;
        };
        self.folded[node] = false;
        self.section[node] = self.nodes[node].section.max(self.section[fold.owner]);
        self.edges[fold.owner].retain(|&needed| needed != node);
        insert(&mut self.edges[node], fold.owner);
    }

    /// Whether a node goes to post-data only together with its owner.
    fn is_bound(&self, node: usize) -> bool {
        self.nodes[node].fold.is_some_and(|fold| fold.is_bound)
    }

    fn into_ordering(self, broken: Vec<Broken>) -> Ordering {
        let sequence = self.sort();
        Ordering {
            sequence,
            separate: (0..self.nodes.len())
                .map(|node| self.nodes[node].fold.is_some() && !self.folded[node])
                .collect(),
            section: self.section,
            depends_on: self.edges,
            broken,
        }
    }

    /// The topological order of a graph without loops.
    fn sort(&self) -> Vec<usize> {
        let mut missing: Vec<usize> = self.edges.iter().map(Vec::len).collect();
        let needed_by = reverse(&self.edges);
        let mut folded_of: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        // Folded nodes are nowhere to be seen: they must not hold up their owner until the turn of
        // their own priority comes.
        let place = |node: usize| {
            Reverse((
                self.section[node],
                !self.folded[node],
                self.rank[node],
                node,
            ))
        };
        let mut ready: BinaryHeap<_> = (0..self.nodes.len())
            .filter(|&node| missing[node] == 0)
            .map(place)
            .collect();
        let mut sequence = Vec::with_capacity(self.nodes.len());
        while let Some(Reverse((_, _, _, node))) = ready.pop() {
            match self.nodes[node].fold {
                Some(fold) if self.folded[node] => folded_of[fold.owner].push(node),
                _ if self.is_shell[node] && !self.shell_used[node] => {}
                _ => {
                    sequence.push(node);
                    folded_of[node].sort_by_key(|&folded| self.rank[folded]);
                    sequence.append(&mut folded_of[node]);
                }
            }
            for &next in &needed_by[node] {
                missing[next] -= 1;
                if missing[next] == 0 {
                    ready.push(place(next));
                }
            }
        }
        sequence
    }
}

fn ranks(nodes: &[Node<'_>]) -> Vec<usize> {
    let mut sorted: Vec<usize> = (0..nodes.len()).collect();
    sorted.par_sort_by_key(|&node| (nodes[node].priority, &nodes[node].key));
    let mut rank = vec![0; nodes.len()];
    for (place, &node) in sorted.iter().enumerate() {
        rank[node] = place;
    }
    rank
}

/// The edges while everything that can be folded is: owners need what is folded into them,
/// and who needs a folded node needs its owner, whose statement makes it.
fn folded_edges(nodes: &[Node<'_>], is_shell: &[bool]) -> Vec<Vec<usize>> {
    let edges_of = |(index, node): (usize, &Node<'_>)| {
        let owner = node.fold.map(|fold| fold.owner);
        let owner_of = |needed: usize| nodes[needed].fold.map(|fold| fold.owner);
        let needed = node.depends_on.iter();
        let needed = needed.flat_map(|&needed| std::iter::once(needed).chain(owner_of(needed)));
        let is_edge = |&needed: &usize| {
            let is_its_shell = nodes[needed].shell == Some(index);
            needed != index && Some(needed) != owner && !is_its_shell && !is_shell[needed]
        };
        needed.filter(is_edge).collect()
    };
    let mut edges: Vec<Vec<usize>> = nodes.par_iter().enumerate().map(edges_of).collect();
    for (index, node) in nodes.iter().enumerate() {
        if let Some(fold) = node.fold {
            edges[fold.owner].push(index);
        }
    }
    edges.par_iter_mut().for_each(|needed| {
        needed.sort_unstable();
        needed.dedup();
    });
    edges
}

fn reverse(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut reversed = vec![Vec::new(); edges.len()];
    for (node, needed) in edges.iter().enumerate() {
        for &needed in needed {
            reversed[needed].push(node);
        }
    }
    reversed
}

/// Adds an edge to a sorted list, once.
fn insert(edges: &mut Vec<usize>, node: usize) {
    if let Err(place) = edges.binary_search(&node) {
        edges.insert(place, node);
    }
}

#[cfg(test)]
mod tests;
