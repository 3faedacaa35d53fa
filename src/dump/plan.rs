//! From tables to work items: which ranges of which tables the workers copy, and in which order. Pure.

use std::num::NonZeroU32;

use crate::archive::DumpId;

/// Tables below are copied in one piece: a range costs a round trip and a scan's start. A table of 228 MB with `-j2` on two cores,
/// medians of four:
///
/// | MiB | 4 | 32 | 128 | never |
/// |---|---|---|---|---|
/// | seconds | 2.19 | 2.20 | 2.38 | 2.74 |
const SPLIT_BYTES: u64 = 32 << 20;

/// Aim for items of at most this size, so that the last one does not keep a single worker busy for long.
const ITEM_BYTES: u64 = 256 << 20;

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

/// Splits a heap into at most `parts` ranges of blocks, in order, without gaps.
///
/// The last range is open: `blocks` was measured before COPY runs, and rows beyond a stale size must
/// still be dumped. An empty heap gives one open range.
pub(crate) fn split_heap(blocks: u32, parts: NonZeroU32) -> Vec<BlockRange> {
    let parts = parts.get().min(blocks.max(1));
    let (size, larger) = (blocks / parts, blocks % parts);
    let mut start = 0;
    (0..parts)
        .map(|part| {
            let end = start + size + u32::from(part < larger);
            let range = BlockRange {
                start,
                end: (part + 1 < parts).then_some(end),
            };
            start = end;
            range
        })
        .collect()
}

/// Plans the data phase for `jobs` workers: large heaps in ranges, largest items first.
///
/// One worker alone gets whole tables in the order of the table of contents, so that equal databases
/// give equal files.
pub(crate) fn plan_items(tables: &[TableSize], jobs: NonZeroU32) -> Vec<WorkItem> {
    if jobs.get() == 1 {
        return tables.iter().map(whole_table).collect();
    }
    let total: u64 = tables.iter().map(|table| table.size_bytes).sum();
    // Four items for each worker keep all of them busy to the end, whatever the tables' sizes.
    let target = (total / (u64::from(jobs.get()) * 4)).clamp(SPLIT_BYTES / 2, ITEM_BYTES);
    let mut items: Vec<WorkItem> = tables
        .iter()
        .flat_map(|table| split_table(table, target))
        .collect();
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

fn split_table(table: &TableSize, target_bytes: u64) -> Vec<WorkItem> {
    let parts = u32::try_from(table.size_bytes.div_ceil(target_bytes)).unwrap_or(u32::MAX);
    match NonZeroU32::new(parts) {
        Some(parts) if table.can_split && table.size_bytes > SPLIT_BYTES && parts.get() > 1 => {
            let ranges = split_heap(table.heap_blocks, parts);
            let size_bytes = table.size_bytes / ranges.len() as u64;
            ranges
                .into_iter()
                .map(|range| WorkItem {
                    entry: table.entry,
                    range: Some(range),
                    size_bytes,
                })
                .collect()
        }
        _ => vec![whole_table(table)],
    }
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
        fn split_heap_covers_every_block_once(blocks in 0u32..10_000, parts in 1u32..64) {
            let ranges = split_heap(blocks, nonzero(parts));
            prop_assert!(!ranges.is_empty() && ranges.len() <= parts as usize);
            prop_assert_eq!(ranges[0].start, 0);
            prop_assert_eq!(ranges[ranges.len() - 1].end, None);
            for pair in ranges.windows(2) {
                prop_assert_eq!(pair[0].end, Some(pair[1].start));
                prop_assert!(pair[0].start < pair[1].start);
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
    fn a_giant_table_is_shared_by_all_workers() {
        let items = plan_items(&[table(1, 10), table(2, 1 << 30)], nonzero(4));
        assert!(items.len() > 8);
        assert_eq!(items.last().expect("items").entry, DumpId(1));
    }
}
