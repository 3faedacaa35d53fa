//! What a file is that somebody wants to restore: told by its content, never by its name.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::replay::{Input, Packing, could_not_read, is_stdin};
use crate::archive::has_footer_magic;
use crate::objects::quote::one_line;
use crate::pg_archive;
use crate::{Error, ErrorKind, Result};

/// Who reads a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DumpSource {
    /// An archive of pgstow: whole, damaged or encrypted, which is for its reader to tell.
    Archive,
    /// A plain SQL script of whatever tool or hand.
    Script,
    /// An archive of pg_dump in custom, directory or tar format.
    PgDump,
}

impl DumpSource {
    /// What is said where only an archive will do, pgstow's or pg_dump's.
    ///
    /// # Errors
    /// `Unsupported` for a script.
    pub(crate) fn expect_archive(self, path: &Path) -> Result<()> {
        let shown = path.display().to_string();
        match self {
            DumpSource::Archive | DumpSource::PgDump => Ok(()),
            DumpSource::Script => Err(Error::new(
                ErrorKind::Unsupported,
                format!("{} is a plain SQL script, not an archive", one_line(&shown)),
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
    if pg_archive::is_archive(&head) {
        return Ok(DumpSource::PgDump);
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
    match pg_archive::is_archive(&text) {
        true => Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "{} is an archive of pg_dump within {}",
                input.name(),
                input.packing().as_str()
            ),
        )
        .hint("Unpack it, and restore what comes out.")),
        false => Ok(of_text(&text)),
    }
}

fn recognize_directory(path: &Path) -> Result<DumpSource> {
    if pg_archive::is_directory_archive(path) {
        return Ok(DumpSource::PgDump);
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
        tar[124..136].copy_from_slice(b"00000000000\0");
        tar[148..156].copy_from_slice(b"        ");
        tar[257..262].copy_from_slice(b"ustar");
        let sum: u32 = tar.iter().map(|byte| u32::from(*byte)).sum();
        tar[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let ours = b"--\n-- PostgreSQL database dump by pgstow 1\n";
        let packed = zstd::encode_all(&ours[..], 1).unwrap();
        for (bytes, source) in [
            (&b"SELECT 1;"[..], DumpSource::Script),
            (b"", DumpSource::Script),
            (b"PGDMP\x01\x0e", DumpSource::PgDump),
            (&tar, DumpSource::PgDump),
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
        assert_eq!(recognize(dir.path(), false).unwrap(), DumpSource::PgDump);
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
