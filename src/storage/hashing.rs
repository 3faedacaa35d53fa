//! SHA-256 and size of what passes on its way to storage.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

/// Writes through, and hashes and counts the bytes that the inner writer took: those that are stored.
pub struct HashingWriter<W> {
    inner: W,
    sha256: Option<Sha256>,
    size_bytes: u64,
}

impl<W: Write> HashingWriter<W> {
    /// Nothing has passed yet.
    pub fn new(inner: W) -> Self {
        HashingWriter {
            inner,
            sha256: Some(Sha256::new()),
            size_bytes: 0,
        }
    }

    /// Only counts: somebody else hashes the same bytes, and once is enough.
    pub fn counting(inner: W) -> Self {
        HashingWriter {
            inner,
            sha256: None,
            size_bytes: 0,
        }
    }

    /// The inner writer, the SHA-256 (64 hexadecimal digits) unless it only counts, and the number of bytes.
    pub fn finish(self) -> (W, Option<String>, u64) {
        let sha256 = self.sha256.map(|sha256| format!("{:x}", sha256.finalize()));
        (self.inner, sha256, self.size_bytes)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(&bytes[..written]);
        }
        self.size_bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// Takes one byte at a time.
    struct Narrow(Vec<u8>);

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.extend_from_slice(&bytes[..1.min(bytes.len())]);
            Ok(1.min(bytes.len()))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn hashing_writer_hashes_each_stored_byte_once() {
        let mut writer = HashingWriter::new(Narrow(Vec::new()));
        writer.write_all(b"abc").unwrap();
        let (inner, sha256, size_bytes) = writer.finish();
        assert_eq!(inner.0, b"abc");
        assert_eq!(size_bytes, 3);
        assert_eq!(
            sha256.unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
