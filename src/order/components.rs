//! Strongly connected components: the sets of nodes that need each other.

/// The components of more than one node among `members`, following edges between members only.
/// Tarjan's algorithm with a stack of its own: chains of 50 000 views must not overflow ours.
pub(super) fn loops(
    edges: &[Vec<usize>],
    members: &[usize],
    scratch: &mut Scratch,
) -> Vec<Vec<usize>> {
    scratch.begin(members);
    let mut found = Vec::new();
    for &start in members {
        if scratch.number[start] == UNSEEN {
            visit(edges, start, scratch, &mut found);
        }
    }
    scratch.end(members);
    found
}

const FOREIGN: usize = usize::MAX; // not a member
const UNSEEN: usize = usize::MAX - 1;

/// Working memory as large as the graph, kept between calls so that a call costs no more than its
/// members do.
pub(super) struct Scratch {
    /// By node: when it was first seen.
    number: Vec<usize>,
    /// By node: the oldest node on the stack that it reaches.
    low: Vec<usize>,
    on_stack: Vec<bool>,
    stack: Vec<usize>,
    next: usize,
}

impl Scratch {
    pub(super) fn new(nodes: usize) -> Self {
        Scratch {
            number: vec![FOREIGN; nodes],
            low: vec![0; nodes],
            on_stack: vec![false; nodes],
            stack: Vec::new(),
            next: 0,
        }
    }

    fn begin(&mut self, members: &[usize]) {
        self.next = 0;
        for &member in members {
            self.number[member] = UNSEEN;
        }
    }

    fn end(&mut self, members: &[usize]) {
        for &member in members {
            self.number[member] = FOREIGN;
        }
    }

    fn enter(&mut self, node: usize) {
        self.number[node] = self.next;
        self.low[node] = self.next;
        self.next += 1;
        self.stack.push(node);
        self.on_stack[node] = true;
    }

    /// The component whose oldest node is `node`, taken off the stack.
    fn leave(&mut self, node: usize) -> Vec<usize> {
        let mut component = Vec::new();
        while let Some(member) = self.stack.pop() {
            self.on_stack[member] = false;
            component.push(member);
            if member == node {
                break;
            }
        }
        component
    }
}

fn visit(edges: &[Vec<usize>], start: usize, scratch: &mut Scratch, found: &mut Vec<Vec<usize>>) {
    let mut path = vec![(start, 0)];
    scratch.enter(start);
    while let Some((node, edge)) = path.pop() {
        if let Some(&needed) = edges[node].get(edge) {
            path.push((node, edge + 1));
            match scratch.number[needed] {
                FOREIGN => {}
                UNSEEN => {
                    scratch.enter(needed);
                    path.push((needed, 0));
                }
                seen if scratch.on_stack[needed] => {
                    scratch.low[node] = scratch.low[node].min(seen);
                }
                _ => {}
            }
            continue;
        }
        if let Some(&(parent, _)) = path.last() {
            scratch.low[parent] = scratch.low[parent].min(scratch.low[node]);
        }
        if scratch.low[node] == scratch.number[node] {
            let component = scratch.leave(node);
            if component.len() > 1 {
                found.push(component);
            }
        }
    }
}
