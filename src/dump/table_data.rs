//! The rows of one work item: COPY out of the server into members.

use bytes::Bytes;
use futures::{FutureExt, StreamExt, pin_mut};
use tokio_postgres::Statement;

use crate::archive::{
    DumpId, InsertColumns, InsertStyle, InsertTarget, InsertText, TextEncoding, cannot_hold,
    copy_statement,
};
use crate::conn::Session;
use crate::event::Events;
use crate::objects::{TableData, quote};
use crate::{Error, ErrorKind, Result};

use super::begun::Begun;
use super::member_stream::MemberStream;
use super::plan::BlockRange;

/// The COPY that reads a table, or a range of its blocks.
///
/// A plain COPY reads the table alone, without children. Extension conditions and ranges need a query. The server converts
/// to the archive's encoding.
pub(crate) fn copy_out_statement(
    table: &TableData,
    range: Option<BlockRange>,
    encoding: TextEncoding,
) -> String {
    let from = copy_source(table, range);
    match encoding.is_as_is() {
        true => format!("COPY {from} TO STDOUT"),
        false => format!(
            "COPY {from} TO STDOUT WITH (ENCODING {})",
            quote::literal(encoding.name())
        ),
    }
}

fn copy_source(table: &TableData, range: Option<BlockRange>) -> String {
    let name = quote::qualified(&table.schema, &table.name);
    let columns: Vec<String> = table.columns.iter().map(|c| quote::ident(c)).collect();
    let columns = columns.join(", ");
    // What is foreign has no plain COPY.
    let none = table.foreign_server.as_ref().map(|_| String::new());
    let filter = match (range, table.condition.as_ref().or(none.as_ref())) {
        (None, None) if columns.is_empty() => return name,
        (None, None) => return format!("{name} ({columns})"),
        (Some(range), _) => format!("WHERE {}", range_condition(range)),
        (None, Some(condition)) => condition.clone(),
    };
    format!("(SELECT {columns} FROM ONLY {name} {filter})")
}

/// Lets the session read foreign tables. Views stay out of reach.
///
/// # Errors
/// `Data`.
pub(crate) async fn allow_foreign_tables(session: &Session) -> Result<()> {
    session
        .batch_execute(
            "SELECT pg_catalog.set_config(name, 'view', false) FROM pg_catalog.pg_settings \
             WHERE name = 'restrict_nonsystem_relation_kind'",
        )
        .await
        .map_err(|e| Error::from_server(ErrorKind::Data, "could not allow foreign tables", e))
}

fn range_condition(range: BlockRange) -> String {
    let from = format!(
        "ctid OPERATOR(pg_catalog.>=) '({},0)'::pg_catalog.tid",
        range.start
    );
    match range.end {
        Some(end) => {
            format!("{from} AND ctid OPERATOR(pg_catalog.<) '({end},0)'::pg_catalog.tid")
        }
        None => from,
    }
}

/// The COPY statement at the head of the table's members.
pub(crate) fn member_statement(table: &TableData) -> String {
    let (schema, name) = loaded_into(table);
    copy_statement(schema, name, &table.columns)
}

/// Schema and name of the table that the rows are for.
fn loaded_into(table: &TableData) -> (&str, &str) {
    match &table.root {
        Some((schema, root)) => (schema, root),
        None => (&table.schema, &table.name),
    }
}

/// What INSERT statements know of the columns of the table that the rows are for; nothing of a topmost one, whose columns
/// may have another order than those of its partition.
pub(crate) fn insert_columns(table: &TableData) -> Option<&InsertColumns> {
    match table.root {
        Some(_) => None,
        None => Some(&table.insert_columns),
    }
}

/// How the rows of one table are written, in the archive's encoding.
enum RowText {
    /// Below this statement.
    Copy(Vec<u8>),
    Inserts(InsertText),
}

impl RowText {
    /// # Errors
    /// A character of a name that the encoding does not have.
    fn new(copy: &TableCopy<'_>) -> Result<Self, char> {
        let TableCopy {
            table, encoding, ..
        } = *copy;
        Ok(match copy.inserts {
            Some(style) => {
                let target = InsertTarget {
                    table: loaded_into(table),
                    columns: &table.columns,
                    known: insert_columns(table),
                };
                RowText::Inserts(InsertText::new(target, style, encoding)?)
            }
            None => {
                let statement = member_statement(table) + "\n";
                RowText::Copy(encoding.encode(&statement)?.into_owned())
            }
        })
    }

    fn push_row(&self, stream: &mut MemberStream, row: &[u8]) {
        match self {
            RowText::Copy(statement) => {
                if stream.is_empty() {
                    stream.push_text(statement);
                }
                stream.push_row(row);
            }
            RowText::Inserts(inserts) => {
                stream.push_row_as(row, |text, before| inserts.push_row(text, row, before));
            }
        }
    }

    /// What ends a member.
    fn finish(&self, stream: &mut MemberStream) {
        match self {
            RowText::Copy(_) => stream.push_text(b"\\.\n\n"),
            RowText::Inserts(inserts) => {
                let mut end = Vec::new();
                inserts.finish(&mut end, stream.contained().rows);
                stream.push_text(&end);
            }
        }
    }
}

/// What is copied, and into what.
pub(crate) struct TableCopy<'a> {
    pub(crate) entry: DumpId,
    pub(crate) table: &'a TableData,
    /// The archive's.
    pub(crate) encoding: TextEncoding,
    /// Rows as INSERT statements of this style instead of COPY.
    pub(crate) inserts: Option<InsertStyle>,
}

/// Copies one work item into members of its entry by its COPY. Returns when the last member is on its way and the
/// server has confirmed the end of the COPY. Gives what `next` has begun meanwhile.
///
/// # Errors
/// `Data`, naming the table.
pub(super) async fn copy_table<'s>(
    session: &'s Session,
    worker: usize,
    copy: TableCopy<'_>,
    statement: &Statement,
    next: impl FnOnce() -> Result<Option<Begun<'s>>>,
    stream: &mut MemberStream,
    events: &Events,
) -> Result<Option<Begun<'s>>> {
    let TableCopy {
        entry,
        table,
        encoding,
        ..
    } = copy;
    let name = quote::qualified(&table.schema, &table.name);
    let failed = |e| {
        Error::from_server(
            ErrorKind::Data,
            format!("could not copy table {}", quote::one_line(&name)),
            e,
        )
    };
    let text = RowText::new(&copy)
        .map_err(|character| cannot_hold(encoding, character, &quote::one_line(&name)))?;
    let rows = session.copy_out(statement);
    pin_mut!(rows);
    // The first poll sends; what is begun next comes behind it.
    let begun = rows.as_mut().now_or_never();
    let mut next = next()?;
    let rows = match begun {
        Some(rows) => rows,
        None => rows.await,
    };
    let rows = rows.map_err(failed)?;
    pin_mut!(rows);
    let pace = stream.pace();
    let step = pace.step();
    let mut paced = 0;
    while let Some(row) = rows.next().await {
        let row: Bytes = row.map_err(failed)?;
        text.push_row(stream, &row);
        let bytes = stream.contained().bytes - paced;
        if bytes >= step {
            paced += bytes;
            pace.take(bytes).await;
        }
        if stream.is_full() {
            pace.take(stream.contained().bytes - paced).await;
            text.finish(stream);
            stream.close_member_of(worker, entry, events).await?;
            paced = 0;
        }
    }
    // A COPY stream that merely stops looks like one that ended: the next statement proves it.
    let is_proven = match &mut next {
        Some(next) => next.is_answered().await,
        None => false,
    };
    if !is_proven {
        session.batch_execute("SELECT").await.map_err(failed)?;
    }
    if !stream.is_empty() {
        pace.take(stream.contained().bytes - paced).await;
        text.finish(stream);
        stream.close_member_of(worker, entry, events).await?;
    }
    Ok(next)
}
