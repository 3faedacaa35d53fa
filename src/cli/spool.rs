//! An archive that comes through standard input: it is read from any place, so all of it is kept until the end.

use std::fs::{File, OpenOptions, remove_file};
use std::io::{self, BufRead};
use std::os::unix::fs::OpenOptionsExt;

use crate::objects::quote::one_line;
use crate::pg_archive;
use crate::{Error, Result};

/// What messages call it.
pub(super) const STDIN: &str = "standard input";

/// If an archive of pg_dump comes through standard input, a temporary file with all of it, which is gone with the process; `None` for
/// anything else, of which nothing is taken away. Blocks.
///
/// # Errors
/// `Io`, `NoSpace`.
pub(super) fn spool_archive() -> Result<Option<File>> {
    let mut stdin = io::stdin().lock();
    let failed = |e| Error::io(format!("could not read {STDIN}"), e);
    // The first read of a pipe may bring little, but hardly less than what tells an archive.
    if !pg_archive::is_archive(stdin.fill_buf().map_err(failed)?) {
        return Ok(None);
    }
    let dir = std::env::temp_dir();
    let shown = one_line(&dir.display().to_string()).into_owned();
    let failed = |e| {
        Error::io(format!("could not keep {STDIN} in a file of {shown}"), e)
            .hint("TMPDIR says where.")
    };
    let path = dir.join(format!("pgstow-{}-stdin", std::process::id()));
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    remove_file(&path).map_err(failed)?;
    eprintln!("note: an archive is read from any place: {STDIN} is kept in {shown} until the end");
    io::copy(&mut stdin, &mut file).map_err(failed)?;
    Ok(Some(file))
}
