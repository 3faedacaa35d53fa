//! The contents of large objects: `lo_put` calls, each a statement that needs no open descriptor, so that
//! members can be restored in any order and on any connection.

use std::fmt::Write;

use futures::{StreamExt, pin_mut};
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use crate::archive::DumpId;
use crate::conn::Session;
use crate::event::Events;
use crate::objects::{LargeObjectData, Oid};
use crate::{Error, ErrorKind, Result};

use super::member_stream::MemberStream;

/// Bytes per call. As hexadecimal digits it stays well below a member's size.
const CHUNK_BYTES: i32 = 1 << 20;

/// Copies the contents of a group of large objects into members of `entry`.
///
/// The first chunks of all come in one stream, so that many small ones cost no round trip each.
///
/// # Errors
/// `Data`.
pub(crate) async fn copy_large_objects(
    session: &Session,
    worker: usize,
    entry: DumpId,
    data: &LargeObjectData,
    stream: &mut MemberStream,
    events: &Events,
) -> Result<()> {
    let failed = |e| Error::from_server(ErrorKind::Data, "could not read large objects", e);
    let mut long = Vec::new();
    let chunks = session
        .query_raw(
            "SELECT lo.oid, pg_catalog.lo_get(lo.oid, 0, $2) AS chunk \
             FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS lo (oid)",
            [&data.oids as &(dyn ToSql + Sync), &CHUNK_BYTES],
        )
        .await
        .map_err(failed)?;
    pin_mut!(chunks);
    while let Some(row) = chunks.next().await {
        let row = row.map_err(failed)?;
        let oid: Oid = row.get("oid");
        let chunk: &[u8] = row.get("chunk");
        if is_whole(chunk) {
            long.push(oid);
        }
        put(stream, worker, entry, events, oid, 0, chunk).await?;
    }
    for oid in long {
        copy_rest(session, worker, entry, oid, stream, events).await?;
    }
    if !stream.is_empty() {
        stream.close_member_of(worker, entry, events).await?;
    }
    Ok(())
}

/// Whether there may be more behind the chunk. Holes are read as zeros, so a short one is the last.
fn is_whole(chunk: &[u8]) -> bool {
    i32::try_from(chunk.len()).is_ok_and(|length| length == CHUNK_BYTES)
}

/// Copies what follows the first chunk.
async fn copy_rest(
    session: &Session,
    worker: usize,
    entry: DumpId,
    oid: Oid,
    stream: &mut MemberStream,
    events: &Events,
) -> Result<()> {
    let failed = |e| {
        Error::from_server(
            ErrorKind::Data,
            format!("could not read large object {oid}"),
            e,
        )
    };
    let read = session
        .prepare("SELECT pg_catalog.lo_get($1, $2, $3) AS chunk")
        .await
        .map_err(failed)?;
    let mut offset = i64::from(CHUNK_BYTES);
    loop {
        let row = Client::query_one(session, &read, &[&oid, &offset, &CHUNK_BYTES])
            .await
            .map_err(failed)?;
        let chunk: &[u8] = row.get("chunk");
        put(stream, worker, entry, events, oid, offset, chunk).await?;
        if !is_whole(chunk) {
            return Ok(());
        }
        offset += i64::from(CHUNK_BYTES);
    }
}

async fn put(
    stream: &mut MemberStream,
    worker: usize,
    entry: DumpId,
    events: &Events,
    oid: Oid,
    offset: i64,
    chunk: &[u8],
) -> Result<()> {
    if chunk.is_empty() {
        return Ok(());
    }
    stream.push_call(&put_statement(oid, offset, chunk));
    stream.pace().take(chunk.len() as u64).await;
    if stream.is_full() {
        stream.close_member_of(worker, entry, events).await?;
    }
    Ok(())
}

/// One call. The same bytes at the same place twice do no harm.
pub(crate) fn put_statement(oid: Oid, offset: i64, chunk: &[u8]) -> String {
    let mut statement = String::with_capacity(chunk.len() * 2 + 80);
    let _ = write!(
        statement,
        "SELECT pg_catalog.lo_put({oid}, {offset}, E'\\\\x"
    );
    for byte in chunk {
        statement.push(hex_digit(byte >> 4));
        statement.push(hex_digit(byte & 15));
    }
    statement.push_str("');\n");
    statement
}

fn hex_digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn put_statement_is_one_call() {
        assert_eq!(
            put_statement(Oid(7), 0, b"\x00\xff"),
            "SELECT pg_catalog.lo_put(7, 0, E'\\\\x00ff');\n"
        );
    }
}
