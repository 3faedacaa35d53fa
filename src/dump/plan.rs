//! From tables to work items: which ranges of which tables the workers copy, and in which order. Pure.

use std::num::NonZeroU32;

use crate::archive::DumpId;

/// No range is smaller: each costs a round trip and a scan's start. Ranges of one size, of a table of 228 MB with `-j2` on two cores,
/// medians of four:
///
/// | MiB | 4 | 32 | 128 | never |
/// |---|---|---|---|---|
/// | seconds | 2.19 | 2.20 | 2.38 | 2.74 |
const LEAST_BYTES: u64 = 4 << 20;

/// No range is larger: a slow worker would keep the others waiting.
const MOST_BYTES: u64 = 256 << 20;

/// A half-open range of heap blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockRange {
    /// First block.
    pub(crate) start: u32,
    /// First block that is not in the range; `None` for an open end.
    pub(crate) end: Option<u32>,
}

/// What planning must know of one table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableSize {
    /// Its entry.
    pub(crate) entry: DumpId,
    /// Blocks of its main fork.
    pub(crate) heap_blocks: u32,
    /// Bytes with TOAST, without indexes.
    pub(crate) size_bytes: u64,
    /// Whether ranges of blocks can be read by `ctid`.
    pub(crate) can_split: bool,
}

/// One COPY for one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorkItem {
    /// The table's entry.
    pub(crate) entry: DumpId,
    /// Its part of the heap; `None` for the whole table.
    pub(crate) range: Option<BlockRange>,
    /// Estimated bytes.
    pub(crate) size_bytes: u64,
}

/// Plans the data phase for `jobs` workers: large heaps in ranges, largest items first.
///
/// One worker alone gets whole tables in the order of the table of contents, so that equal databases
/// give equal files.
pub(crate) fn plan_items(tables: &[TableSize], jobs: NonZeroU32) -> Vec<WorkItem> {
    if jobs.get() == 1 {
        return tables.iter().map(whole_table).collect();
    }
    let mut tables = tables.to_vec();
    tables.sort_by_key(|table| (std::cmp::Reverse(table.size_bytes), table.entry));
    let mut left_bytes: u64 = tables.iter().map(|table| table.size_bytes).sum();
    let mut items = Vec::with_capacity(tables.len());
    for table in &tables {
        items.extend(cut(table, left_bytes, jobs));
        left_bytes -= table.size_bytes;
    }
    items.sort_by_key(|item| {
        (
            std::cmp::Reverse(item.size_bytes),
            item.entry,
            start_of(item),
        )
    });
    items
}

fn start_of(item: &WorkItem) -> u32 {
    item.range.map_or(0, |range| range.start)
}

fn whole_table(table: &TableSize) -> WorkItem {
    WorkItem {
        entry: table.entry,
        range: None,
        size_bytes: table.size_bytes,
    }
}

/// Cuts a table into ranges, in order and without gaps. `left_bytes`: of this table and those that come after it. Each range is half of what a
/// worker has left to do, if all do the same: so ranges become smaller towards the end, and all workers are done at about the same time. Of
/// two tables of 228 MB with two workers on two cores, ranges of an eighth of all left a tenth of the time to one of them.
fn cut(table: &TableSize, mut left_bytes: u64, jobs: NonZeroU32) -> Vec<WorkItem> {
    if !table.can_split {
        return vec![whole_table(table)];
    }
    let mut items = Vec::new();
    let mut start = 0;
    let mut rest = table.size_bytes;
    loop {
        let share = left_bytes / (u64::from(jobs.get()) * 2);
        let wanted = share.clamp(LEAST_BYTES, MOST_BYTES);
        let blocks = blocks_of(table, wanted);
        if rest < wanted + LEAST_BYTES || blocks >= table.heap_blocks - start {
            break;
        }
        let end = start + blocks;
        items.push(WorkItem {
            entry: table.entry,
            range: Some(BlockRange {
                start,
                end: Some(end),
            }),
            size_bytes: wanted,
        });
        start = end;
        rest -= wanted;
        left_bytes -= wanted;
    }
    if items.is_empty() {
        return vec![whole_table(table)];
    }
    // Open: blocks were counted before, and rows beyond a stale number must be dumped.
    items.push(WorkItem {
        entry: table.entry,
        range: Some(BlockRange { start, end: None }),
        size_bytes: rest,
    });
    items
}

/// As many blocks as hold so many bytes, with what is in TOAST.
fn blocks_of(table: &TableSize, bytes: u64) -> u32 {
    let blocks =
        u128::from(bytes) * u128::from(table.heap_blocks) / u128::from(table.size_bytes.max(1));
    u32::try_from(blocks).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nonzero(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).expect("not zero")
    }

    proptest! {
        #[test]
        fn the_ranges_of_a_table_cover_every_block_once(
            sizes in prop::collection::vec((0u32..200_000, 0u64..4_000_000_000), 1..5),
            jobs in 2u32..64,
        ) {
            let tables: Vec<TableSize> = (1..)
                .zip(&sizes)
                .map(|(id, (heap_blocks, toast_bytes))| TableSize {
                    heap_blocks: *heap_blocks,
                    ..table(id, u64::from(*heap_blocks) * 8192 + toast_bytes)
                })
                .collect();
            let items = plan_items(&tables, nonzero(jobs));
            for table in &tables {
                let mut ranges: Vec<_> = items.iter().filter(|item| item.entry == table.entry).collect();
                ranges.sort_by_key(|item| start_of(item));
                prop_assert_eq!(ranges.iter().map(|item| item.size_bytes).sum::<u64>(), table.size_bytes);
                let Some(first) = ranges[0].range else {
                    prop_assert_eq!(ranges.len(), 1);
                    continue;
                };
                prop_assert_eq!(first.start, 0);
                prop_assert_eq!(ranges[ranges.len() - 1].range.expect("a range").end, None);
                for pair in ranges.windows(2) {
                    let [before, after] = [pair[0], pair[1]].map(|item| item.range.expect("a range"));
                    prop_assert_eq!(before.end, Some(after.start));
                    prop_assert!(before.start < after.start && after.start < table.heap_blocks);
                }
            }
        }
    }

    fn table(id: u32, size_bytes: u64) -> TableSize {
        TableSize {
            entry: DumpId(id),
            heap_blocks: u32::try_from(size_bytes / 8192).expect("small"),
            size_bytes,
            can_split: true,
        }
    }

    #[test]
    fn one_worker_takes_whole_tables_in_script_order() {
        let items = plan_items(&[table(1, 10), table(2, 1 << 30)], nonzero(1));
        assert_eq!(items.len(), 2);
        assert!(items.iter().all(|item| item.range.is_none()));
        assert_eq!(items[0].entry, DumpId(1));
    }

    #[test]
    fn items_become_smaller_until_the_last_are_small() {
        let items = plan_items(&[table(1, 100 << 20), table(2, 120 << 20)], nonzero(2));
        let sizes: Vec<u64> = items.iter().map(|item| item.size_bytes >> 20).collect();
        assert_eq!(sizes[0], 55);
        assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
        assert!(
            sizes[sizes.len() - 2..].iter().all(|size| *size < 8),
            "{sizes:?}"
        );
        assert!(sizes.len() < 20, "{sizes:?}");
    }

    #[test]
    fn what_cannot_be_split_is_one_item() {
        let heap = TableSize {
            can_split: false,
            ..table(1, 1 << 30)
        };
        assert_eq!(plan_items(&[heap], nonzero(4)), [whole_table(&heap)]);
    }

    #[test]
    fn a_giant_table_is_shared_by_all_workers() {
        let items = plan_items(&[table(1, 10), table(2, 1 << 30)], nonzero(4));
        assert!(items.len() > 8);
        assert_eq!(items.last().expect("items").entry, DumpId(1));
    }
}
