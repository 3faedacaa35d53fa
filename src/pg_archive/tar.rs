//! The tar form: `toc.dat`, the data of each entry in a file of its own, all in one tar archive (POSIX "ustar").

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use crate::archive::Source;

use super::bytes::{Fault, damaged};
use super::custom::From;
use super::files::Files;

/// Headers are a block, files a number of them.
const BLOCK: u64 = 512;
const HEADER_BYTES: usize = 512;

/// Where the files of a tar archive lie.
pub(crate) struct Tar {
    source: Arc<dyn Source>,
    /// Start and length.
    files: HashMap<String, (u64, u64)>,
}

/// Whether a file begins like one that pg_dump wrote in tar form: its table of contents comes first.
pub(crate) fn is_tar(head: &[u8]) -> bool {
    head.starts_with(b"toc.dat\0") && read_header(head).is_ok_and(|header| header.is_some())
}

impl Tar {
    /// Goes from header to header.
    ///
    /// # Errors
    /// `Damaged` if it does not end as tar archives do.
    pub(crate) fn new(source: Arc<dyn Source>) -> Result<Self, Fault> {
        let mut files = HashMap::new();
        let mut at = 0;
        loop {
            let mut block = [0; HEADER_BYTES];
            let end = at + BLOCK;
            if end > source.len() {
                return Err(damaged("it is cut off"));
            }
            From::range(&source, at, end).read_exact(&mut block)?;
            let Some((name, length)) = read_header(&block)? else {
                return Ok(Tar { source, files });
            };
            let padded = length.checked_next_multiple_of(BLOCK);
            let next = padded.and_then(|length| end.checked_add(length));
            let next = next.filter(|next| *next <= source.len());
            let next = next.ok_or_else(|| damaged(format!("it is cut off in file \"{name}\"")))?;
            files.insert(name, (end, length));
            at = next;
        }
    }
}

/// Name and length of a file; `None` of the block of zeros that ends an archive.
fn read_header(block: &[u8]) -> Result<Option<(String, u64)>, Fault> {
    let field = |from: usize, to: usize| block.get(from..to).unwrap_or_default();
    if !block.is_empty() && block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    // The checksum is of the header with eight spaces in its own place.
    let stored = octal(field(148, 156));
    let outside = field(0, 148).iter().chain(field(156, 512));
    let sum: u64 = outside.map(|byte| u64::from(*byte)).sum::<u64>() + 8 * u64::from(b' ');
    if block.len() < 512 || stored != Some(sum) {
        return Err(damaged("a header of the tar archive is altered"));
    }
    let name = field(0, 100);
    let end = name
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(name.len());
    let name = String::from_utf8_lossy(&name[..end]).into_owned();
    let length = size(field(124, 136));
    let length = length.ok_or_else(|| damaged("a header of the tar archive is altered"))?;
    Ok(Some((name, length)))
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

/// In octal, or, beyond 8 GiB, as a number of the highest byte first behind a byte of 0x80.
fn size(field: &[u8]) -> Option<u64> {
    match field.split_first()? {
        (0x80, rest) => rest.iter().try_fold(0_u64, |size, byte| {
            size.checked_mul(256)?.checked_add(u64::from(*byte))
        }),
        _ => octal(field),
    }
}

impl Files for Tar {
    fn open(&self, name: &str) -> Result<Option<Box<dyn Read + Send>>, Fault> {
        let place = self.files.get(name);
        Ok(place.map(|(start, length)| {
            Box::new(From::range(&self.source, *start, start + length)) as Box<dyn Read + Send>
        }))
    }

    fn length(&self, name: &str) -> Result<Option<u64>, Fault> {
        Ok(self.files.get(name).map(|(_, length)| *length))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn sizes_beyond_eight_gigabytes_are_binary() {
        assert_eq!(size(b"00000001750\0"), Some(1000));
        let mut field = [0; 12];
        field[0] = 0x80;
        field[7] = 2;
        assert_eq!(size(&field), Some(2 << 32));
        assert_eq!(
            size(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
            None
        );
    }
}
