//! The contents of large objects: `lo_put` calls, each a statement that needs no open descriptor, so that
//! members can be restored in any order and on any connection.

use std::fmt::Write;

use crate::archive::DumpId;
use crate::conn::Session;
use crate::event::{Event, Events};
use crate::objects::{LargeObjectData, Oid};
use crate::{Error, ErrorKind, Result};

use super::member_stream::MemberStream;

/// Bytes per call. As hexadecimal digits it stays well below a member's size.
const CHUNK_BYTES: i32 = 1 << 20;

/// Copies the contents of a group of large objects into members of `entry`.
///
/// # Errors
/// `Data`, naming the large object.
pub(crate) async fn copy_large_objects(
    session: &Session,
    worker: usize,
    entry: DumpId,
    data: &LargeObjectData,
    stream: &mut MemberStream,
    events: &Events,
) -> Result<()> {
    for &oid in &data.oids {
        let mut offset = 0i64;
        loop {
            let chunk = read_chunk(session, oid, offset).await?;
            if chunk.is_empty() {
                break;
            }
            stream.push_call(&put_statement(oid, offset, &chunk));
            offset += i64::try_from(chunk.len())
                .map_err(|e| Error::internal("a chunk has a length").caused_by(e))?;
            if stream.is_full() {
                close(stream, worker, entry, events).await?;
            }
        }
    }
    if !stream.is_empty() {
        close(stream, worker, entry, events).await?;
    }
    Ok(())
}

async fn read_chunk(session: &Session, oid: Oid, offset: i64) -> Result<Vec<u8>> {
    session
        .query_one(
            "SELECT pg_catalog.lo_get($1, $2, $3) AS chunk",
            &[&oid, &offset, &CHUNK_BYTES],
        )
        .await
        .map(|row| row.get("chunk"))
        .map_err(|e| {
            Error::from_server(
                ErrorKind::Data,
                format!("could not read large object {oid}"),
                e,
            )
        })
}

/// One call. The same bytes at the same place twice do no harm.
fn put_statement(oid: Oid, offset: i64, chunk: &[u8]) -> String {
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

async fn close(
    stream: &mut MemberStream,
    worker: usize,
    entry: DumpId,
    events: &Events,
) -> Result<()> {
    let contained = stream.contained();
    stream.close_member(entry).await?;
    events.emit(Event::WorkerAdvanced {
        worker,
        rows: contained.rows,
        bytes: contained.bytes,
    });
    Ok(())
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
