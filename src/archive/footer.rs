//! The footer: where the index is. One comment line of fixed length, stored without compression.

use super::Codec;

/// What the footer says about the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    /// Format version of the archive.
    pub(super) format: u32,
    /// Bytes from the start of the file.
    pub(super) offset: u64,
    /// Bytes stored.
    pub(super) stored_length: u64,
    /// Bytes after decompression.
    pub(super) length: u64,
    /// BLAKE3 of the stored bytes, 64 hexadecimal digits.
    pub(super) blake3: String,
}

/// How every footer's line starts.
pub(super) const MAGIC: &str = "--pgstow-footer: format=";

/// Whether the last bytes of a file hold a footer, be it cut off, altered, or followed by others.
pub(crate) fn has_footer_magic(tail: &[u8]) -> bool {
    memchr::memmem::find(tail, MAGIC.as_bytes()).is_some()
}

/// Bytes of the line, its newline included. Below 256, so that zstd's content size is one byte.
pub(super) const LINE_LENGTH: usize = 225;

const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
const CHECK_DIGITS: usize = 32;

impl Footer {
    /// The footer's stored bytes.
    pub(super) fn encode(&self, codec: Codec) -> Vec<u8> {
        let line = self.line();
        match codec {
            Codec::None => line,
            Codec::Gzip => gzip_stored(&line),
            Codec::Zstd => zstd_raw(&line),
        }
    }

    /// The footer at the end of `tail`, the last bytes of a file, and the codec it is stored with.
    /// `None` if not exactly a footer stands there.
    pub(super) fn find(tail: &[u8]) -> Option<(Footer, Codec)> {
        Codec::ALL.into_iter().find_map(|codec| {
            let line_end = tail.len().checked_sub(bytes_after_line(codec))?;
            let line_start = line_end.checked_sub(LINE_LENGTH)?;
            // A damaged frame around an intact line must not pass for a plain archive.
            if codec == Codec::None && tail.get(line_start.checked_sub(1)?) != Some(&b'\n') {
                return None;
            }
            let footer = Footer::parse(tail.get(line_start..line_end)?)?;
            tail.ends_with(&footer.encode(codec))
                .then_some((footer, codec))
        })
    }

    fn line(&self) -> Vec<u8> {
        let mut line = format!(
            "{MAGIC}{:05} offset={:020} stored={:020} length={:020} blake3={} ",
            self.format, self.offset, self.stored_length, self.length, self.blake3
        );
        let check = check(line.as_bytes());
        line.push_str("check=");
        line.push_str(&check);
        line.push('\n');
        line.into_bytes()
    }

    fn parse(line: &[u8]) -> Option<Footer> {
        let text = std::str::from_utf8(line).ok()?;
        let (body, sum) = text.strip_suffix('\n')?.split_once("check=")?;
        if sum != check(body.as_bytes()) {
            return None;
        }
        let mut fields = body.strip_prefix(MAGIC)?.split_ascii_whitespace();
        let format = fields.next()?.parse().ok()?;
        let mut number = |name: &str| fields.next()?.strip_prefix(name)?.parse().ok();
        let offset = number("offset=")?;
        let stored_length = number("stored=")?;
        let length = number("length=")?;
        let blake3 = fields.next()?.strip_prefix("blake3=")?.to_owned();
        Some(Footer {
            format,
            offset,
            stored_length,
            length,
            blake3,
        })
    }
}

fn check(line: &[u8]) -> String {
    let mut hex = blake3::hash(line).to_hex().to_string();
    hex.truncate(CHECK_DIGITS);
    hex
}

fn bytes_after_line(codec: Codec) -> usize {
    match codec {
        Codec::None | Codec::Zstd => 0,
        Codec::Gzip => 8, // CRC-32 and ISIZE
    }
}

/// A gzip member of one stored block (RFC 1951, 3.2.4).
fn gzip_stored(line: &[u8]) -> Vec<u8> {
    let length = u16::try_from(line.len()).expect("the line's length is a small constant");
    let mut crc = libdeflater::Crc::new();
    crc.update(line);
    let mut stored = GZIP_HEADER.to_vec();
    stored.push(1); // last block, type 0
    stored.extend(length.to_le_bytes());
    stored.extend((!length).to_le_bytes());
    stored.extend(line);
    stored.extend(crc.sum().to_le_bytes());
    stored.extend(u32::from(length).to_le_bytes());
    stored
}

/// A zstd frame of one raw block (RFC 8878, 3.1.1).
fn zstd_raw(line: &[u8]) -> Vec<u8> {
    let length = u8::try_from(line.len()).expect("the line's length is a small constant");
    let mut stored = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, length]; // single segment, content size in one byte
    let block_header = u32::from(length) << 3 | 1; // raw, last
    stored.extend(&block_header.to_le_bytes()[..3]);
    stored.extend(line);
    stored
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::io::Read;

    fn footer() -> Footer {
        Footer {
            format: 1,
            offset: u64::MAX,
            stored_length: 17,
            length: 4711,
            blake3: blake3::hash(b"index").to_hex().to_string(),
        }
    }

    #[test]
    fn footer_comes_back_from_the_end_of_a_file() {
        for codec in Codec::ALL {
            let mut tail = b"what stands before\n".to_vec();
            tail.extend(footer().encode(codec));
            assert_eq!(Footer::find(&tail), Some((footer(), codec)));
            tail.push(b'\n');
            assert_eq!(Footer::find(&tail), None);
        }
    }

    #[test]
    fn line_has_its_fixed_length_and_stored_forms_are_valid() {
        let line = footer().line();
        assert_eq!(line.len(), LINE_LENGTH);
        let gzip = footer().encode(Codec::Gzip);
        assert_eq!(gzip.len(), LINE_LENGTH + GZIP_HEADER.len() + 5 + 8);
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&gzip[..])
            .read_to_end(&mut text)
            .unwrap();
        assert_eq!(text, line);
        let zstd = footer().encode(Codec::Zstd);
        assert_eq!(zstd::decode_all(&zstd[..]).unwrap(), line);
    }
}
