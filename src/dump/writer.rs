//! The one writer: appends members in order of arrival, on a thread of its own.

use std::collections::BTreeMap;
use std::io::Write;

use rayon::iter::{
    IndexedParallelIterator, IntoParallelIterator, IntoParallelRefMutIterator, ParallelIterator,
};
use tokio::sync::mpsc;

use crate::archive::{
    ArchiveWriter, Compression, DumpId, EncodedMember, Header, MemberEncoder, MemberId, MemberRole,
    RowDigest, Section, Span, TableRows, TextEncoding, TocEntry, WrittenArchive, cannot_hold,
};
use crate::event::{Event, Events};
use crate::{Error, Result};

use super::member_stream::DataMember;
use super::script::statement_members;
use super::table_data::insert_columns;
use super::{ContentEntry, DataSource};

/// Where an entry's statements ended up.
#[derive(Clone, Copy, Debug, Default)]
struct Spans {
    create: Option<Span>,
    alter_owner: Option<Span>,
}

/// What the members of a table hold so far.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    rows: u64,
    bytes: u64,
    digest: RowDigest,
}

/// Writes a whole archive: statements, then data as it arrives, then statements, index and footer.
pub(crate) struct ScriptWriter<W: Write> {
    archive: ArchiveWriter<W>,
    /// One for each core.
    encoders: Vec<MemberEncoder>,
    encoding: TextEncoding,
    /// Whether objects are made as their owners.
    session_authorization: bool,
    spans: Vec<Spans>,
    totals: BTreeMap<DumpId, Totals>,
    events: Events,
}

impl<W: Write> ScriptWriter<W> {
    /// A writer on an empty sink.
    pub(crate) fn new(
        sink: W,
        compression: Compression,
        encoding: TextEncoding,
        session_authorization: bool,
        entries: usize,
        events: Events,
    ) -> Self {
        let encoders = (0..rayon::current_num_threads()).map(|_| MemberEncoder::new(compression));
        ScriptWriter {
            archive: ArchiveWriter::new(sink, compression),
            encoders: encoders.collect(),
            encoding,
            session_authorization,
            spans: vec![Spans::default(); entries],
            totals: BTreeMap::new(),
            events,
        }
    }

    /// Settings at the top of the script.
    pub(crate) fn write_preamble(&mut self, text: &str) -> Result<()> {
        self.append_preamble(Section::PreData, text)
    }

    /// The statements of one section, as many members at a time as there are cores.
    pub(crate) fn write_section(
        &mut self,
        entries: &[ContentEntry],
        section: Section,
    ) -> Result<()> {
        let mut members =
            statement_members(entries, section, self.encoding, self.session_authorization);
        loop {
            let next = members.by_ref().take(self.encoders.len());
            let next = next.collect::<Result<Vec<_>>>()?;
            if next.is_empty() {
                return Ok(());
            }
            let (texts, places): (Vec<_>, Vec<_>) =
                next.into_iter().map(|it| (it.text, it.places)).unzip();
            for (encoded, places) in self.encode_all(texts, section).into_iter().zip(places) {
                let id = self.append_encoded(encoded?)?;
                for (index, create, alter_owner) in places {
                    self.spans[index] = Spans {
                        create: create.map(|place| place.span(id)),
                        alter_owner: alter_owner.map(|place| place.span(id)),
                    };
                }
            }
        }
    }

    /// Encodes texts of statements side by side; no more than there are encoders.
    fn encode_all(&mut self, texts: Vec<Vec<u8>>, section: Section) -> Vec<Result<EncodedMember>> {
        let encoders = self.encoders.par_iter_mut();
        let encoded = encoders.zip(texts).map(|(encoder, text)| {
            encoder.encode(MemberRole::Statements, section, text, None, None)
        });
        encoded.collect()
    }

    /// The last lines of the script, if there are any.
    pub(crate) fn write_closing(&mut self, text: &str) -> Result<()> {
        if !text.is_empty() {
            self.append_preamble(Section::PostData, text)?;
        }
        Ok(())
    }

    /// Appends data members until every worker has hung up.
    pub(crate) fn write_data(&mut self, members: &mut mpsc::Receiver<DataMember>) -> Result<()> {
        while let Some(data) = members.blocking_recv() {
            let bytes = data.member.stored_length();
            self.archive.append(data.member)?;
            let totals = self.totals.entry(data.entry).or_default();
            totals.rows += data.contained.rows;
            totals.bytes += data.contained.bytes;
            totals.digest.merge(data.contained.digest);
            self.events.emit(Event::Stored { bytes });
        }
        Ok(())
    }

    /// Writes index and footer.
    pub(crate) fn finish(
        self,
        header: Header,
        entries: Vec<ContentEntry>,
    ) -> Result<WrittenArchive<W>> {
        let toc = (entries.into_par_iter())
            .zip(&self.spans)
            .map(|(entry, spans)| {
                let totals = self.totals.get(&entry.id).copied();
                toc_entry(entry, *spans, totals, header.inserts.is_some())
            })
            .collect();
        self.archive.finish(header, toc)
    }

    fn append_preamble(&mut self, section: Section, text: &str) -> Result<()> {
        let whose = "the database's properties";
        let text = (self.encoding.encode(text))
            .map_err(|character| cannot_hold(self.encoding, character, whose))?;
        let encoded = self.encoders[0].encode(MemberRole::Preamble, section, text, None, None)?;
        self.append_encoded(encoded).map(drop)
    }

    fn append_encoded(&mut self, member: EncodedMember) -> Result<MemberId> {
        let bytes = member.stored_length();
        let id = self.archive.append(member)?;
        self.events.emit(Event::Stored { bytes });
        Ok(id)
    }
}

fn toc_entry(
    entry: ContentEntry,
    spans: Spans,
    totals: Option<Totals>,
    has_inserts: bool,
) -> TocEntry {
    let rows = match entry.data {
        Some(DataSource::Table(table)) => {
            let totals = totals.unwrap_or_default();
            let inserts = insert_columns(&table).filter(|_| has_inserts).cloned();
            Some(Box::new(TableRows {
                columns: table.columns,
                rows: totals.rows,
                bytes: totals.bytes,
                digest: totals.digest.to_hex(),
                root: table.root,
                inserts,
            }))
        }
        Some(DataSource::LargeObjects(_)) | None => None,
    };
    TocEntry {
        id: entry.id,
        kind: entry.kind.as_str().to_owned(),
        schema: entry.schema,
        name: entry.tag,
        relation: entry.relation,
        subject: entry.subject,
        owner: entry.owner,
        section: entry.section,
        depends_on: entry.depends_on,
        locks: entry.locks,
        drop: entry.drop,
        create: spans.create,
        alter_owner: spans.alter_owner,
        give_to_owner: entry.alter_owner.filter(|_| spans.alter_owner.is_none()),
        rows,
    }
}

/// The writer's thread as seen from the workers' side.
pub(crate) type WriterTask<W> = tokio::task::JoinHandle<Result<ScriptWriter<W>>>;

/// Runs the data phase of the writer on a blocking thread.
pub(crate) fn spawn_data_phase<W: Write + Send + 'static>(
    mut writer: ScriptWriter<W>,
    mut members: mpsc::Receiver<DataMember>,
) -> WriterTask<W> {
    tokio::task::spawn_blocking(move || writer.write_data(&mut members).map(|()| writer))
}

/// What the writer's thread gave, with a panic as an error.
pub(crate) fn writer_result<T>(joined: Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    joined.map_err(|e| Error::internal("the writer failed").caused_by(e))?
}
