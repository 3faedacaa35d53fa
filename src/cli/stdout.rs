//! Standard output. A reader that goes away early (`| head`) is no failure.

use std::io::{self, BufWriter, ErrorKind, Write};

use crate::{Error, Result};

/// Runs `write` on buffered standard output.
pub(super) fn write_stdout(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    try_write_stdout(|out| write(out).map_err(failed))
}

/// The same for what can fail in other ways, too: errors of the writer go through [`failed`].
pub(super) fn try_write_stdout(write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let outcome = write(&mut out).and_then(|()| out.flush().map_err(failed));
    match outcome {
        Err(e) if is_broken_pipe(&e) => {
            // What is left in the buffer has no reader either.
            drop(out.into_parts());
            Ok(())
        }
        outcome => outcome,
    }
}

/// An error of writing to standard output.
pub(super) fn failed(error: io::Error) -> Error {
    Error::io("could not write to standard output", error)
}

fn is_broken_pipe(error: &Error) -> bool {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<io::Error>())
        .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
