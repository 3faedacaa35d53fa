//! What a file is that somebody wants to restore: told by its content, never by its name.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::replay::{Input, Packing, could_not_read, is_stdin};
use crate::archive::has_footer_magic;
use crate::objects::quote::one_line;
use crate::{Error, ErrorKind, Result};

/// Who reads a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DumpSource {
    /// An archive of pgstow: whole, damaged or encrypted, which is for its reader to tell.
    Archive,
    /// A plain SQL script of whatever tool or hand.
    Script,
    /// An archive of pg_dump.
    PgDump(PgDumpFormat),
}

/// pg_dump's formats beside the plain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PgDumpFormat {
    /// `-Fc`: a file that starts with `PGDMP`.
    Custom,
    /// `-Fd`: a directory that holds a `toc.dat`.
    Directory,
    /// `-Ft`: a tar file whose first member is a `toc.dat`.
    Tar,
}

impl PgDumpFormat {
    /// What is said of a file in this format.
    pub(crate) fn unsupported(self, path: &Path) -> Error {
        let format = match self {
            PgDumpFormat::Custom => "custom",
            PgDumpFormat::Directory => "directory",
            PgDumpFormat::Tar => "tar",
        };
        let shown = path.display().to_string();
        Error::new(
            ErrorKind::Unsupported,
            format!(
                "{} is an archive of pg_dump in {format} format",
                one_line(&shown)
            ),
        )
        .hint("pgstow does not read it yet. pg_restore -f SCRIPT turns it into a script for psql.")
    }
}

impl DumpSource {
    /// What is said where only an archive of pgstow will do.
    ///
    /// # Errors
    /// `Unsupported` for all others.
    pub(crate) fn expect_archive(self, path: &Path) -> Result<()> {
        let shown = path.display().to_string();
        match self {
            DumpSource::Archive => Ok(()),
            DumpSource::PgDump(format) => Err(format.unsupported(path)),
            DumpSource::Script => Err(Error::new(
                ErrorKind::Unsupported,
                format!("{} is a plain SQL script, not an archive of pgstow", one_line(&shown)),
            )
            .hint("A script has no table of contents. pgstow restore replays it, verify reads it to its end.")),
        }
    }
}

/// As much of a text as tells what it is.
const HEAD_BYTES: usize = 4096;

/// What the head of each archive's preamble says, and of no other script.
const PREAMBLE: &[u8] = b"-- PostgreSQL database dump by pgstow ";

/// Looks at the first and the last bytes of a file. `plain`: the user says that it is a script, also
/// if it looks like an archive of ours. What cannot be read twice, standard input and pipes, is taken for a script.
///
/// # Errors
/// `NotFound`, `Io`; `Unsupported` for an archive of pg_dump that was compressed once more; `Usage` for a directory of
/// something else.
pub(crate) fn recognize(path: &Path, plain: bool) -> Result<DumpSource> {
    let failed = |e| could_not_read(&path.display().to_string(), e);
    if is_stdin(path) {
        return Ok(DumpSource::Script);
    }
    if path.is_dir() {
        return recognize_directory(path);
    }
    let mut file = File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        // A pipe: what is read of it is gone.
        return Ok(DumpSource::Script);
    }
    let head = read_head(&mut file).map_err(failed)?;
    if let Some(format) = pg_dump_format(&head) {
        return Ok(DumpSource::PgDump(format));
    }
    if plain {
        return Ok(DumpSource::Script);
    }
    if crate::storage::starts_encrypted(&head)
        || has_footer_magic(&read_tail(&mut file).map_err(failed)?)
    {
        return Ok(DumpSource::Archive);
    }
    if Packing::of(&head) == Packing::Plain {
        return Ok(of_text(&head));
    }
    // What cannot be unpacked from its start is for the reader of scripts to tell: an archive of ours has a footer.
    let mut input = Input::open(path)?;
    let text = input.head(HEAD_BYTES);
    match pg_dump_format(&text) {
        Some(_) => Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "{} is an archive of pg_dump within {}",
                input.name(),
                input.packing().as_str()
            ),
        )
        .hint("Unpack it, and restore what comes out.")),
        None => Ok(of_text(&text)),
    }
}

fn recognize_directory(path: &Path) -> Result<DumpSource> {
    if path.join("toc.dat").is_file() {
        return Ok(DumpSource::PgDump(PgDumpFormat::Directory));
    }
    let shown = path.display().to_string();
    Err(Error::new(
        ErrorKind::Usage,
        format!("{} is a directory", one_line(&shown)),
    )
    .hint("An archive is one file, or a directory that pg_dump -Fd made. latest --repository DIR is the newest of a repository."))
}

/// A script that is one of our archives without its footer: cut off, or unpacked, or printed by `show --sql`.
fn of_text(head: &[u8]) -> DumpSource {
    match memchr::memmem::find(head, PREAMBLE) {
        Some(at) if at < 16 => DumpSource::Archive,
        _ => DumpSource::Script,
    }
}

fn pg_dump_format(head: &[u8]) -> Option<PgDumpFormat> {
    let is_tar = head.get(257..262) == Some(b"ustar") && head.starts_with(b"toc.dat\0");
    match head.starts_with(b"PGDMP") {
        true => Some(PgDumpFormat::Custom),
        false => is_tar.then_some(PgDumpFormat::Tar),
    }
}

fn read_head(file: &mut File) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

fn read_tail(file: &mut File) -> io::Result<Vec<u8>> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(HEAD_BYTES as u64)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    Ok(tail)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn recognized(bytes: &[u8], plain: bool) -> DumpSource {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("misleading.sql.gz");
        std::fs::write(&path, bytes).unwrap();
        recognize(&path, plain).unwrap()
    }

    #[test]
    fn contents_decide() {
        let mut tar = vec![0; 512];
        tar[..7].copy_from_slice(b"toc.dat");
        tar[257..262].copy_from_slice(b"ustar");
        let ours = b"--\n-- PostgreSQL database dump by pgstow 1\n";
        let packed = zstd::encode_all(&ours[..], 1).unwrap();
        for (bytes, source) in [
            (&b"SELECT 1;"[..], DumpSource::Script),
            (b"", DumpSource::Script),
            (b"PGDMP\x01\x0e", DumpSource::PgDump(PgDumpFormat::Custom)),
            (&tar, DumpSource::PgDump(PgDumpFormat::Tar)),
            (ours, DumpSource::Archive),
            (&packed, DumpSource::Archive),
            (
                b"SELECT 1;\n--pgstow-footer: format=00001 ",
                DumpSource::Archive,
            ),
            (b"age-encryption.org/v1\n...", DumpSource::Archive),
        ] {
            assert_eq!(recognized(bytes, false), source, "{bytes:?}");
        }
        assert_eq!(recognized(ours, true), DumpSource::Script);
        assert_eq!(recognized(&packed, true), DumpSource::Script);
    }

    #[test]
    fn only_the_directory_of_a_dump_is_a_source() {
        let dir = tempfile::tempdir().unwrap();
        let refused = recognize(dir.path(), false).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Usage);
        std::fs::write(dir.path().join("toc.dat"), "PGDMP").unwrap();
        let directory = DumpSource::PgDump(PgDumpFormat::Directory);
        assert_eq!(recognize(dir.path(), false).unwrap(), directory);
    }

    #[test]
    fn a_compressed_archive_of_pg_dump_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, zstd::encode_all(&b"PGDMP..."[..], 1).unwrap()).unwrap();
        let refused = recognize(&path, false).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
    }
}
