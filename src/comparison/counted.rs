//! The rows of an archive as a comparison takes them. Most digests stand in the index; the rows of others are read: in archives of
//! pg_dump, and where the columns stand in another order on the other side.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::archive::{
    ArchiveReader, DumpId, MemberCount, MemberId, PieceForm, RowDigest, TocEntry,
};
use crate::dump::ColumnOrder;
use crate::event::Events;
use crate::restore::{expect_digests, read_members};
use crate::{Error, ErrorKind, Result};

/// Of the columns in the wanted order: where each stands in the archive.
type Places = Vec<usize>;

/// Those of the entries that have rows, with their number and digest in this order of columns.
///
/// # Errors
/// `Usage` if rows have no digest, `Damaged`, `Io`.
pub(super) async fn counted(
    archive: &Arc<ArchiveReader>,
    chosen: Vec<&TocEntry>,
    order: &ColumnOrder,
    jobs: NonZeroU32,
    events: &Events,
) -> Result<Vec<TocEntry>> {
    expect_digests(chosen.iter().copied())?;
    let with_rows = chosen.into_iter().filter(|entry| entry.rows.is_some());
    let mut entries: Vec<TocEntry> = with_rows.cloned().collect();
    let arranged: HashMap<DumpId, Places> = entries
        .iter()
        .filter_map(|entry| Some((entry.id, places(entry, order)?)))
        .collect();
    let of_entries = archive.index().members_by_entry();
    let is_read = |entry: &TocEntry| archive.is_of_pg_dump() || arranged.contains_key(&entry.id);
    let read: HashMap<DumpId, Vec<MemberId>> = entries
        .iter()
        .filter(|entry| is_read(entry))
        .map(|entry| {
            (
                entry.id,
                of_entries.get(&entry.id).cloned().unwrap_or_default(),
            )
        })
        .collect();
    if read.is_empty() {
        return Ok(entries);
    }
    let places_of_members: HashMap<MemberId, Places> = arranged
        .iter()
        .flat_map(|(id, places)| read[id].iter().map(|member| (*member, places.clone())))
        .collect();
    let members: BTreeSet<MemberId> = read.values().flatten().copied().collect();
    let jobs = usize::try_from(jobs.get()).unwrap_or(1);
    let read_one = {
        let places = Arc::new(places_of_members);
        move |archive: &ArchiveReader, id: MemberId| match places.get(&id) {
            Some(places) => count_arranged(archive, id, places),
            None => archive.check_member(id),
        }
    };
    let counts = read_members(archive, members, jobs, events, read_one).await?;
    for entry in &mut entries {
        let (Some(members), Some(rows)) = (read.get(&entry.id), &mut entry.rows) else {
            continue;
        };
        let counts = members.iter().filter_map(|id| counts.get(id));
        rows.rows = counts.clone().map(|count| count.rows).sum();
        rows.digest = RowDigest::sum(counts.filter_map(|count| count.digest)).to_hex();
    }
    Ok(entries)
}

/// `None` where the columns stand in this order.
fn places(entry: &TocEntry, order: &ColumnOrder) -> Option<Places> {
    let columns = &entry.rows.as_ref()?.columns;
    let mut wanted = columns.clone();
    order.arrange(entry.schema.as_deref()?, &entry.name, &mut wanted);
    let place = |name: &String| columns.iter().position(|column| column == name);
    (wanted != *columns).then(|| wanted.iter().filter_map(place).collect())
}

/// Reads a member's rows with their fields in another order. Blocks.
fn count_arranged(archive: &ArchiveReader, id: MemberId, places: &[usize]) -> Result<MemberCount> {
    let mut pieces = archive.pieces(id)?;
    if pieces.form() == &PieceForm::Statements {
        return Err(Error::internal("statements have no fields"));
    }
    let (mut count, mut digest) = (
        MemberCount {
            rows: 0,
            bytes: 0,
            digest: None,
        },
        RowDigest::default(),
    );
    let mut row = Vec::new();
    while let Some(piece) = pieces.next()? {
        for line in piece.bytes.split_inclusive(|&byte| byte == b'\n') {
            let fields = line.strip_suffix(b"\n").unwrap_or(line);
            if !arrange(fields, places, &mut row) {
                return Err(other_fields(archive, id, places.len()));
            }
            digest.add_row(&row);
        }
        count.rows += piece.count;
        count.bytes += piece.bytes.len() as u64;
    }
    count.digest = Some(digest);
    Ok(count)
}

/// Puts the fields of a row of COPY's text in other places. Tells whether they are as many as there are places.
fn arrange(fields: &[u8], places: &[usize], row: &mut Vec<u8>) -> bool {
    let fields: Vec<&[u8]> = fields.split(|&byte| byte == b'\t').collect();
    row.clear();
    for (at, &place) in places.iter().enumerate() {
        if at > 0 {
            row.push(b'\t');
        }
        row.extend_from_slice(fields.get(place).copied().unwrap_or_default());
    }
    fields.len() == places.len()
}

fn other_fields(archive: &ArchiveReader, id: MemberId, columns: usize) -> Error {
    let message = format!("archive \"{}\" is damaged", archive.name());
    let member = archive.index().describe(id);
    Error::new(ErrorKind::Damaged, message).detail(format!(
        "{member}: its rows do not have {columns} columns each."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tests::entries;

    #[test]
    #[allow(clippy::unwrap_used, reason = "tests")]
    fn only_columns_in_another_order_have_other_places() {
        let mut entry = entries()[2].clone();
        entry.rows.as_mut().unwrap().columns = ["b", "c", "a"].map(str::to_owned).to_vec();
        assert_eq!(places(&entry, &ColumnOrder::Own), None);
        assert_eq!(places(&entry, &ColumnOrder::of_archive([&entry])), None);
        assert_eq!(places(&entry, &ColumnOrder::ByName), Some(vec![2, 0, 1]));
    }

    #[test]
    fn fields_change_places() {
        let mut row = b"before".to_vec();
        assert!(arrange(b"b\t\t\\N", &[2, 0, 1], &mut row));
        assert_eq!(row, b"\\N\tb\t");
        assert!(!arrange(b"b\tc", &[2, 0, 1], &mut row));
        assert!(!arrange(b"b\tc\ta\td", &[2, 0, 1], &mut row));
    }
}
