//! In which order rows come that are refused before those they refer to: see `TableData::refers_to`. Pure.

use std::collections::HashMap;

use crate::archive::DumpId;
use crate::objects::{Kind, Object};
use crate::order::loops;

use super::ContentEntry;
use super::catalog::Catalog;
use super::plan::WorkItem;

/// Forgets what goes round in a circle among the rows that are wanted, and gives the circles. A table that refers to itself is one.
pub(super) fn cut_circles(catalog: &mut Catalog, wanted: &[bool]) -> Vec<Vec<usize>> {
    let rows: Vec<usize> = (0..catalog.objects.len())
        .filter(|&index| wanted[index] && refers(&catalog.objects[index]))
        .collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let mut circles = loops(&catalog.depends_on, &rows);
    for circle in &mut circles {
        circle.sort_unstable();
        for &index in circle.iter() {
            catalog.depends_on[index].retain(|needed| circle.binary_search(needed).is_err());
        }
    }
    let selfish = rows
        .into_iter()
        .filter(|&index| refers_to_itself(&catalog.objects[index]));
    circles.extend(selfish.map(|index| vec![index]));
    circles
}

fn refers(object: &Object) -> bool {
    matches!(object, Object::TableData(data) if !data.refers_to.is_empty())
}

fn refers_to_itself(object: &Object) -> bool {
    matches!(object, Object::TableData(data) if data.refers_to.contains(&data.table))
}

/// Entries with rows, each with one whose rows come before, in script order.
pub(super) fn edges(entries: &[ContentEntry]) -> Vec<(DumpId, DumpId)> {
    let is_rows = |id: DumpId| {
        let at = usize::try_from(id.0).ok().and_then(|id| id.checked_sub(1));
        let entry = at.and_then(|at| entries.get(at));
        entry.is_some_and(|entry| entry.kind == Kind::TableData)
    };
    let of_rows = entries.iter().filter(|entry| is_rows(entry.id));
    of_rows
        .flat_map(|entry| {
            let needed = entry.depends_on.iter().filter(|id| is_rows(**id));
            needed.map(|needed| (entry.id, *needed))
        })
        .collect()
}

/// Groups items, so that rows refer to those of earlier groups alone. What nobody waits for is in the last one. `edges` as of
/// [`edges`].
pub(super) fn waves(items: Vec<WorkItem>, edges: &[(DumpId, DumpId)]) -> Vec<Vec<WorkItem>> {
    // How many waves come after an entry's.
    let mut behind: HashMap<DumpId, usize> = HashMap::new();
    for (entry, needed) in edges.iter().rev() {
        let least = 1 + behind.get(entry).copied().unwrap_or_default();
        let found = behind.entry(*needed).or_default();
        *found = least.max(*found);
    }
    let last = behind.values().copied().max().unwrap_or_default();
    let mut waves = vec![Vec::new(); last + 1];
    for item in items {
        waves[last - behind.get(&item.entry).copied().unwrap_or_default()].push(item);
    }
    waves.retain(|wave| !wave.is_empty());
    waves
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: u32) -> WorkItem {
        WorkItem {
            entry: DumpId(id),
            range: None,
            size_bytes: 0,
        }
    }

    fn grouped(items: &[u32], edges: &[(u32, u32)]) -> Vec<Vec<u32>> {
        let edges: Vec<_> = (edges.iter())
            .map(|(entry, needed)| (DumpId(*entry), DumpId(*needed)))
            .collect();
        let waves = waves(items.iter().copied().map(item).collect(), &edges);
        let numbers = |wave: Vec<WorkItem>| wave.iter().map(|item| item.entry.0).collect();
        waves.into_iter().map(numbers).collect()
    }

    #[test]
    fn rows_that_nobody_waits_for_are_one_wave() {
        assert_eq!(grouped(&[3, 1, 2], &[]), [[3, 1, 2]]);
        assert!(grouped(&[], &[]).is_empty());
    }

    #[test]
    fn rows_come_after_those_they_refer_to() {
        // 4 needs 2 and 3, 3 needs 1; 5 and 2 could be anywhere.
        assert_eq!(
            grouped(&[5, 4, 3, 2, 1], &[(3, 1), (4, 2), (4, 3)]),
            [vec![1], vec![3, 2], vec![5, 4]]
        );
    }
}
