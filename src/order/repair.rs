//! Loop repair: what is changed in the graph until a safe order exists.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::components::{Scratch, loops};
use super::{Broken, Graph, insert, reverse};
use crate::archive::Section;

/// With more ways than this to break one loop all of the cheapest are taken at once: a function
/// that reads 50 000 tables whose defaults call it would otherwise cost 50 000 searches of them all.
const ONE_BY_ONE: usize = 64;

/// Repairs loops, then sections: moving and taking out what is folded makes no new loops. Tells what could not be repaired.
pub(super) fn repair(graph: &mut Graph<'_>) -> Vec<Broken> {
    for node in 0..graph.nodes.len() {
        if graph.nodes[node].fold.is_some_and(|fold| fold.is_recursive) {
            graph.unfold(node);
        }
    }
    let mut broken = repair_loops(graph);
    advance(graph);
    broken.extend(repair_sections(graph));
    await_parts(graph);
    broken
}

/// Lets what needs the owner of a bound part that was taken out wait for the part, too, unless the part needs it: only within a
/// loop has anything to do with a function that has no body yet.
fn await_parts(graph: &mut Graph<'_>) {
    let is_out = |&node: &usize| graph.is_bound(node) && !graph.folded[node];
    let mut parts: Vec<usize> = (0..graph.nodes.len()).filter(is_out).collect();
    if parts.is_empty() {
        return;
    }
    // Who waits for one may be what another needs.
    parts.sort_unstable_by_key(|&part| graph.rank[part]);
    let needed_by = reverse(&graph.edges);
    for part in parts {
        let Some(fold) = graph.nodes[part].fold else {
            continue;
        };
        let needed = all_needed(graph, part);
        for &node in &needed_by[fold.owner] {
            if !needed[node] && graph.section[node] >= graph.section[part] {
                insert(&mut graph.edges[node], part);
            }
        }
    }
}

/// By node: whether a node needs it, over any number of steps. A node needs itself.
fn all_needed(graph: &Graph<'_>, node: usize) -> Vec<bool> {
    let mut needed = vec![false; graph.nodes.len()];
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        if !std::mem::replace(&mut needed[node], true) {
            open.extend(&graph.edges[node]);
        }
    }
    needed
}

/// Moves to pre-data what something there needs that cannot wait, and may move.
fn advance(graph: &mut Graph<'_>) {
    let cannot_wait = |&node: &usize| {
        let may_wait = match graph.nodes[node].fold {
            Some(fold) => graph.folded[node] || !fold.is_bound,
            None => graph.nodes[node].postponable,
        };
        graph.section[node] != Section::PostData && !may_wait
    };
    let mut open: Vec<usize> = (0..graph.nodes.len()).filter(cannot_wait).collect();
    let mut seen = vec![false; graph.nodes.len()];
    while let Some(node) = open.pop() {
        for &needed in &graph.edges[node] {
            let is_late = graph.section[needed] == Section::PostData;
            if is_late && graph.nodes[needed].advanceable {
                graph.section[needed] = Section::PreData;
            }
            // A folded part can be taken out of its owner, and wait.
            let stays_late = is_late && !graph.nodes[needed].advanceable;
            let may_wait = graph.folded[needed] && !graph.is_bound(needed);
            if !stays_late && !may_wait && !std::mem::replace(&mut seen[needed], true) {
                open.push(needed);
            }
        }
    }
}

/// Moves what needs post-data to post-data. Nothing stays before what it needs, or it is told.
fn repair_sections(graph: &mut Graph<'_>) -> Vec<Broken> {
    let mut broken = Vec::new();
    let needed_by = reverse(&graph.edges);
    let by_rank = |graph: &Graph<'_>, node: usize| Reverse((graph.rank[node], node));
    let nodes = 0..graph.nodes.len();
    let mut suspects: BinaryHeap<_> = nodes.map(|node| by_rank(graph, node)).collect();
    while let Some(Reverse((_, node))) = suspects.pop() {
        let later = graph.edges[node]
            .iter()
            .copied()
            .filter(|&needed| graph.section[needed] > graph.section[node])
            .min_by_key(|&needed| graph.rank[needed]);
        let Some(needs) = later else { continue };
        if graph.folded[node] && !graph.is_bound(node) {
            graph.unfold(node);
        } else if !graph.nodes[node].postponable && graph.nodes[node].fold.is_none() {
            broken.push(Broken::Section { node, needs });
            graph.edges[node].retain(|&needed| needed != needs);
            suspects.push(by_rank(graph, node));
            continue;
        }
        graph.section[node] = Section::PostData;
        suspects.extend(needed_by[node].iter().map(|&node| by_rank(graph, node)));
        for needed in 0..graph.edges[node].len() {
            let part = graph.edges[node][needed];
            if graph.folded[part]
                && graph.nodes[part]
                    .fold
                    .is_some_and(|fold| fold.owner == node)
            {
                graph.section[part] = Section::PostData;
            }
        }
    }
    broken
}

/// Breaks every loop. Tells of those that no repair could break.
fn repair_loops(graph: &mut Graph<'_>) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut everything: Vec<usize> = (0..graph.nodes.len()).collect();
    everything.sort_unstable_by_key(|&node| graph.rank[node]);
    let mut scratch = Scratch::new(graph.nodes.len());
    let mut open = loops(&graph.edges, &everything, &mut scratch);
    while let Some(mut component) = open.pop() {
        component.sort_unstable_by_key(|&node| graph.rank[node]);
        if !use_shell(graph, &component) && !unfold_cheapest(graph, &component) {
            forget_needs_of_first(graph, &component);
            broken.push(Broken::Loop(component.clone()));
        }
        open.extend(loops(&graph.edges, &component, &mut scratch));
    }
    broken.sort_by_key(|it| match it {
        Broken::Loop(members) => graph.rank[members[0]],
        Broken::Section { node, .. } => graph.rank[*node],
    });
    broken
}

/// Lets the first of a loop come before those of the loop that it needs. None of them is folded into it, or that could be
/// taken out.
fn forget_needs_of_first(graph: &mut Graph<'_>, component: &[usize]) {
    let Some(&first) = component.first() else {
        return;
    };
    let kept = graph.edges[first].iter().copied();
    let kept = kept.filter(|&needed| !component_has(graph, component, needed));
    graph.edges[first] = kept.collect();
}

/// Lets functions that a type of the loop needs depend on the type's shell instead of the type.
fn use_shell(graph: &mut Graph<'_>, component: &[usize]) -> bool {
    for &node in component {
        let Some(shell) = graph.nodes[node].shell else {
            continue;
        };
        let functions: Vec<usize> = graph.edges[node]
            .iter()
            .copied()
            .filter(|&function| graph.edges[function].binary_search(&node).is_ok())
            .collect();
        for &function in &functions {
            graph.edges[function].retain(|&needed| needed != node);
            insert(&mut graph.edges[function], shell);
        }
        if !functions.is_empty() {
            insert(&mut graph.edges[node], shell);
            graph.shell_used[shell] = true;
            return true;
        }
    }
    false
}

/// Takes the cheapest folded node of the loop out of its owner.
fn unfold_cheapest(graph: &mut Graph<'_>, component: &[usize]) -> bool {
    let mut candidates: Vec<(u32, usize)> = component
        .iter()
        .filter(|&&node| graph.folded[node])
        .filter_map(|&node| Some((graph.nodes[node].fold?, node)))
        .filter(|(fold, _)| component_has(graph, component, fold.owner))
        .map(|(fold, node)| (fold.cost, node))
        .collect();
    candidates.sort_by_key(|&(cost, node)| (cost, graph.rank[node]));
    let Some(&(cheapest, _)) = candidates.first() else {
        return false;
    };
    if candidates.len() > ONE_BY_ONE {
        candidates.retain(|&(cost, _)| cost == cheapest);
    } else {
        candidates.truncate(1);
    }
    for (_, node) in candidates {
        graph.unfold(node);
    }
    true
}

/// Whether a node is in a component, which is sorted by rank.
fn component_has(graph: &Graph<'_>, component: &[usize], node: usize) -> bool {
    component
        .binary_search_by_key(&graph.rank[node], |&member| graph.rank[member])
        .is_ok()
}
