//! Loop repair: what is changed in the graph until a safe order exists.

use super::components::{Scratch, loops};
use super::{Graph, OrderError, insert, reverse};
use crate::archive::Section;

/// With more ways than this to break one loop all of the cheapest are taken at once: a function
/// that reads 50 000 tables whose defaults call it would otherwise cost 50 000 searches of them all.
const ONE_BY_ONE: usize = 64;

/// Repairs sections and loops until neither is left. Each step unfolds, postpones or uses a shell, and
/// none of these is ever undone, so it ends.
pub(super) fn repair(graph: &mut Graph<'_>) -> Result<(), OrderError> {
    loop {
        repair_sections(graph)?;
        if !repair_loops(graph)? {
            return Ok(());
        }
    }
}

/// Moves what needs post-data to post-data. Nothing stays before what it needs.
fn repair_sections(graph: &mut Graph<'_>) -> Result<(), OrderError> {
    let needed_by = reverse(&graph.edges);
    let mut suspects: Vec<usize> = (0..graph.nodes.len()).collect();
    suspects.sort_unstable_by_key(|&node| std::cmp::Reverse(graph.rank[node]));
    while let Some(node) = suspects.pop() {
        let later = graph.edges[node]
            .iter()
            .copied()
            .filter(|&needed| graph.section[needed] > graph.section[node])
            .min_by_key(|&needed| graph.rank[needed]);
        let Some(needs) = later else { continue };
        if graph.folded[node] {
            graph.unfold(node);
        } else if !graph.nodes[node].postponable && graph.nodes[node].fold.is_none() {
            return Err(OrderError::Section { node, needs });
        }
        graph.section[node] = Section::PostData;
        suspects.extend(needed_by[node].iter().copied());
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
    Ok(())
}

/// Breaks every loop. Tells whether there was one.
fn repair_loops(graph: &mut Graph<'_>) -> Result<bool, OrderError> {
    let mut everything: Vec<usize> = (0..graph.nodes.len()).collect();
    everything.sort_unstable_by_key(|&node| graph.rank[node]);
    let mut scratch = Scratch::new(graph.nodes.len());
    let mut open = loops(&graph.edges, &everything, &mut scratch);
    let found = !open.is_empty();
    while let Some(mut component) = open.pop() {
        component.sort_unstable_by_key(|&node| graph.rank[node]);
        if !use_shell(graph, &component) && !unfold_cheapest(graph, &component) {
            return Err(OrderError::Loop(component));
        }
        open.extend(loops(&graph.edges, &component, &mut scratch));
    }
    Ok(found)
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
