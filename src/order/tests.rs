#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn node(priority: u32, name: &str, depends_on: &[usize]) -> Node<'static> {
    Node {
        priority,
        key: ("s", name.to_owned()),
        section: Section::PreData,
        depends_on: depends_on.to_vec(),
        fold: None,
        postponable: false,
        advanceable: false,
        shell: None,
    }
}

fn folded(node: Node<'static>, owner: usize, cost: u32) -> Node<'static> {
    Node {
        fold: Some(Fold {
            owner,
            cost,
            is_bound: false,
            is_recursive: false,
        }),
        ..node
    }
}

fn post_data(node: Node<'static>) -> Node<'static> {
    Node {
        section: Section::PostData,
        ..node
    }
}

fn advanceable(node: Node<'static>) -> Node<'static> {
    Node {
        advanceable: true,
        ..node
    }
}

fn bound(mut node: Node<'static>) -> Node<'static> {
    node.fold.as_mut().unwrap().is_bound = true;
    node
}

fn recursive(mut node: Node<'static>) -> Node<'static> {
    node.fold.as_mut().unwrap().is_recursive = true;
    node
}

fn postponable(node: Node<'static>) -> Node<'static> {
    Node {
        postponable: true,
        ..node
    }
}

#[test]
fn ties_go_by_priority_then_key() {
    let nodes = [node(2, "a", &[]), node(1, "z", &[]), node(1, "b", &[])];
    assert_eq!(order(&nodes).sequence, [2, 1, 0]);
}

#[test]
fn dependency_beats_priority() {
    let nodes = [node(1, "a", &[1]), node(2, "b", &[]), node(1, "c", &[])];
    assert_eq!(order(&nodes).sequence, [2, 1, 0]);
}

#[test]
fn folded_node_follows_its_owner_and_brings_its_needs_before_it() {
    // table with a default that calls a function of a later priority
    let nodes = [
        node(1, "table", &[]),
        folded(node(5, "default", &[0, 2]), 0, 0),
        node(9, "function", &[]),
    ];
    let ordering = order(&nodes);
    assert_eq!(ordering.sequence, [2, 0, 1]);
    assert_eq!(ordering.separate, [false; 3]);
    assert_eq!(ordering.depends_on[0], [1]);
}

#[test]
fn folded_node_does_not_hold_up_its_owner() {
    let nodes = [
        node(1, "a", &[]),
        folded(node(7, "default of a", &[0]), 0, 0),
        node(1, "b", &[]),
    ];
    assert_eq!(order(&nodes).sequence, [0, 1, 2]);
}

#[test]
fn default_is_taken_out_of_a_loop_through_a_function() {
    let nodes = [
        node(2, "table", &[]),
        folded(node(3, "default", &[0, 2]), 0, 0),
        node(1, "function", &[0]),
    ];
    let ordering = order(&nodes);
    assert_eq!(ordering.sequence, [0, 2, 1]);
    assert_eq!(ordering.separate, [false, true, false]);
    assert_eq!(ordering.depends_on[1], [0, 2]);
}

#[test]
fn two_views_on_each_other_make_one_dummy() {
    let nodes = [
        node(1, "v1", &[]),
        folded(node(2, "v1 query", &[0, 2]), 0, 2),
        node(1, "v2", &[]),
        folded(node(2, "v2 query", &[2, 0]), 2, 2),
    ];
    let ordering = order(&nodes);
    assert_eq!(ordering.separate, [false, true, false, false]);
    assert_eq!(ordering.sequence, [0, 2, 3, 1]);
}

#[test]
fn cheapest_folded_node_is_taken_out() {
    // table -> default -> function -> view -> query -> table
    let nodes = [
        node(1, "table", &[]),
        folded(node(5, "default", &[0, 2]), 0, 0),
        node(2, "function", &[3]),
        node(3, "view", &[]),
        folded(node(4, "query", &[3, 0]), 3, 2),
    ];
    let ordering = order(&nodes);
    assert_eq!(ordering.separate, [false, true, false, false, false]);
}

#[test]
fn function_that_needs_a_primary_key_moves_to_post_data() {
    let nodes = [
        node(2, "table", &[]),
        post_data(node(4, "primary key", &[0])),
        postponable(node(1, "function", &[0, 1])),
        folded(node(3, "default of other", &[4, 2]), 4, 0),
        node(2, "other", &[]),
    ];
    let ordering = order(&nodes);
    assert_eq!(ordering.sequence, [4, 0, 1, 2, 3]);
    assert_eq!(ordering.section[2], Section::PostData);
    assert!(ordering.separate[3]);
    assert_eq!(ordering.section[3], Section::PostData);
    assert_eq!(ordering.section[4], Section::PreData);
}

#[test]
fn view_query_that_needs_a_primary_key_is_taken_out_of_the_view() {
    let nodes = [
        node(1, "table", &[]),
        post_data(node(4, "primary key", &[0])),
        node(2, "view", &[]),
        folded(node(3, "query", &[2, 0, 1]), 2, 2),
        postponable(node(5, "matview on view", &[2])),
    ];
    let ordering = order(&nodes);
    assert_eq!(ordering.sequence, [0, 2, 4, 1, 3]);
    assert!(ordering.separate[3]);
    assert_eq!(ordering.section[4], Section::PreData);
}

#[test]
fn what_cannot_be_postponed_is_told_and_ordered_all_the_same() {
    let nodes = [node(1, "table", &[1]), post_data(node(2, "index", &[]))];
    let ordering = order(&nodes);
    assert_eq!(ordering.broken, [Broken::Section { node: 0, needs: 1 }]);
    assert_eq!(ordering.sequence, [0, 1]);
}

#[test]
fn a_key_that_something_needs_which_cannot_wait_comes_before_the_rows() {
    // An operator over a function whose body needs the key, and a function that can wait for another key.
    let nodes = [
        node(2, "table", &[]),
        advanceable(post_data(node(4, "key", &[0]))),
        advanceable(post_data(node(4, "other key", &[0]))),
        postponable(node(1, "function", &[])),
        bound(folded(node(3, "body", &[1]), 3, 3)),
        node(1, "operator", &[3]),
        postponable(node(1, "waiting function", &[2])),
    ];
    let ordering = order(&nodes);
    assert_eq!(ordering.broken, []);
    assert_eq!(ordering.section[1], Section::PreData);
    assert_eq!(ordering.section[2], Section::PostData);
    assert_eq!(ordering.sequence, [0, 1, 3, 4, 5, 2, 6]);
    assert_eq!(ordering.separate, [false; 7]);
}

#[test]
fn two_functions_that_call_each_other_take_out_one_body() {
    let nodes = [
        postponable(node(1, "f", &[])),
        bound(folded(node(2, "body of f", &[2]), 0, 3)),
        postponable(node(1, "g", &[])),
        bound(folded(node(2, "body of g", &[0]), 2, 3)),
        node(1, "caller of f", &[0]),
    ];
    let ordering = order(&nodes);
    assert_eq!(ordering.broken, []);
    assert_eq!(ordering.sequence, [0, 2, 3, 1, 4]);
    assert_eq!(ordering.separate, [false, true, false, false, false]);
}

#[test]
fn a_body_that_is_out_and_needs_a_key_takes_the_key_to_pre_data() {
    let nodes = [
        node(2, "table", &[]),
        advanceable(post_data(node(4, "key", &[0]))),
        postponable(node(1, "f", &[])),
        recursive(bound(folded(node(3, "body", &[1, 2]), 2, 3))),
        post_data(node(5, "index", &[0, 2])),
    ];
    let ordering = order(&nodes);
    assert_eq!(ordering.sequence, [2, 0, 1, 3, 4]);
    assert!(ordering.separate[3]);
    assert_eq!(ordering.section[3], Section::PreData);
}

#[test]
fn a_function_waits_with_its_body() {
    let nodes = [
        post_data(node(4, "key of partitions", &[])),
        postponable(node(1, "function", &[])),
        bound(folded(node(3, "body", &[0]), 1, 3)),
        postponable(node(2, "view", &[1])),
    ];
    let ordering = order(&nodes);
    assert_eq!(ordering.sequence, [0, 1, 2, 3]);
    assert_eq!(ordering.separate, [false; 4]);
    assert_eq!(ordering.section[2], Section::PostData);
}

#[test]
fn type_and_canonical_function_are_told_apart_by_the_shell() {
    let nodes = [
        Node {
            shell: Some(2),
            ..node(3, "range", &[1])
        },
        node(2, "canonical", &[0]),
        node(1, "shell", &[]),
    ];
    let ordering = order(&nodes);
    assert_eq!(ordering.sequence, [2, 1, 0]);
    assert_eq!(ordering.depends_on[0], [1, 2]);
}

#[test]
fn unused_shell_is_left_out() {
    let nodes = [
        Node {
            shell: Some(1),
            ..node(3, "range", &[])
        },
        node(1, "shell", &[]),
    ];
    assert_eq!(order(&nodes).sequence, [0]);
}

#[test]
fn hopeless_loop_names_all_its_members() {
    let nodes = [
        node(3, "c", &[1]),
        node(2, "b", &[2]),
        node(1, "a", &[0]),
        node(1, "bystander", &[0]),
    ];
    let ordering = order(&nodes);
    assert_eq!(ordering.broken, [Broken::Loop(vec![2, 1, 0])]);
    assert_eq!(ordering.sequence, [2, 1, 0, 3]);
}

#[test]
fn long_chains_and_wide_loops_stay_fast() {
    // 50 000 tables whose defaults call one function that reads all of them.
    let tables = 50_000;
    let function = 2 * tables;
    let mut nodes = Vec::new();
    for table in 0..tables {
        nodes.push(node(2, &format!("t{table:06}"), &[]));
    }
    for table in 0..tables {
        nodes.push(folded(
            node(3, &format!("d{table:06}"), &[table, function]),
            table,
            0,
        ));
    }
    nodes.push(node(1, "function", &(0..tables).collect::<Vec<_>>()));
    // And a chain as long.
    for link in 0..tables {
        nodes.push(node(
            4,
            &format!("v{:06}", tables - link),
            &[function + link],
        ));
    }
    let ordering = order(&nodes);
    assert_eq!(ordering.sequence.len(), nodes.len());
    assert!(
        ordering.separate[tables..function]
            .iter()
            .all(|&separate| separate)
    );
}

/// A graph of tables with folded parts, functions, and post-data nodes, with edges at random.
fn random_graph() -> impl Strategy<Value = Vec<Node<'static>>> {
    prop::collection::vec(
        (
            0..6u32,
            prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ),
        1..40,
    )
    .prop_map(|drawn| {
        let count = drawn.len();
        let mut nodes: Vec<Node> = drawn
            .iter()
            .enumerate()
            .map(|(index, (kind, needs))| {
                let needs: Vec<usize> = needs.iter().map(|need| need.index(count)).collect();
                let plain = node(*kind, &format!("n{index}"), &needs);
                match kind {
                    4 => postponable(plain),
                    5 if index % 3 == 0 => advanceable(post_data(plain)),
                    5 => post_data(plain),
                    _ => plain,
                }
            })
            .collect();
        // Even nodes of kind 0 and 1 are folded into the next node that is not.
        for index in (0..count).step_by(2) {
            let next = index + 1;
            if drawn[index].0 < 2 && next < count {
                nodes[index] = folded(nodes[index].clone(), next, drawn[index].0);
                if index % 3 == 0 {
                    nodes[index] = bound(nodes[index].clone());
                }
                nodes[index].depends_on.push(next);
            }
        }
        nodes
    })
}

fn permute(nodes: &[Node<'static>], new_place: &[usize]) -> Vec<Node<'static>> {
    let mut permuted = nodes.to_vec();
    for (index, node) in nodes.iter().enumerate() {
        let mut moved = node.clone();
        for needed in &mut moved.depends_on {
            *needed = new_place[*needed];
        }
        if let Some(fold) = &mut moved.fold {
            fold.owner = new_place[fold.owner];
        }
        permuted[new_place[index]] = moved;
    }
    permuted
}

fn names(nodes: &[Node], ordering: &Ordering) -> Vec<(String, bool, Section)> {
    ordering
        .sequence
        .iter()
        .map(|&node| {
            (
                nodes[node].key.1.clone(),
                ordering.separate[node],
                ordering.section[node],
            )
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_respects_every_dependency(nodes in random_graph()) {
        let ordering = order(&nodes);
        if !ordering.broken.is_empty() {
            return Ok(());
        }
        let mut place = vec![usize::MAX; nodes.len()];
        for (at, &node) in ordering.sequence.iter().enumerate() {
            place[node] = at;
        }
        prop_assert!(place.iter().all(|&at| at != usize::MAX));
        // Where a node's text stands: a folded one is in its owner.
        let text = |node: usize| match nodes[node].fold {
            Some(fold) if !ordering.separate[node] => fold.owner,
            _ => node,
        };
        for (index, node) in nodes.iter().enumerate() {
            for &needed in &node.depends_on {
                // An owner needs its part only as long as it prints it.
                let is_part = nodes[needed].fold.is_some_and(|fold| fold.owner == index);
                if !is_part && text(index) != text(needed) {
                    prop_assert!(place[text(needed)] < place[text(index)]);
                    prop_assert!(ordering.section[needed] <= ordering.section[index]);
                }
            }
        }
        let sections: Vec<_> = ordering.sequence.iter().map(|&node| ordering.section[node]).collect();
        prop_assert!(sections.is_sorted());
    }

    #[test]
    fn order_does_not_depend_on_the_order_of_the_input(
        (nodes, places) in random_graph().prop_flat_map(|nodes| {
            let places: Vec<usize> = (0..nodes.len()).collect();
            (Just(nodes), Just(places).prop_shuffle())
        })
    ) {
        let permuted = permute(&nodes, &places);
        let (one, other) = (order(&nodes), order(&permuted));
        prop_assert_eq!(names(&nodes, &one), names(&permuted, &other));
        prop_assert_eq!(one.broken.len(), other.broken.len());
    }
}
