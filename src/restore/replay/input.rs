//! A script's bytes: from a file or standard input, decompressed as their first bytes say.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::objects::quote::one_line;
use crate::{Error, ErrorKind, Result};

/// What the dictionary of an .xz file may take: that of `xz -9` takes 64 MiB, larger ones are made to exhaust memory.
const XZ_MEMORY: u64 = 128 << 20;

/// Bytes read from a file at once.
const READ_BYTES: usize = 256 << 10;

/// How a script is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Packing {
    /// As it is.
    Plain,
    /// gzip, of any number of members.
    Gzip,
    /// zstd, of any number of frames.
    Zstd,
    /// xz, of any number of streams.
    Xz,
    /// bzip2, of any number of streams.
    Bzip2,
}

impl Packing {
    /// What the first bytes of a file say; whatever is no known magic number is plain.
    pub(crate) fn of(head: &[u8]) -> Packing {
        match head {
            [0x1f, 0x8b, ..] => Packing::Gzip,
            // A frame, or a skippable one.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Packing::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Packing::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Packing::Bzip2,
            _ => Packing::Plain,
        }
    }

    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Packing::Plain => "plain",
            Packing::Gzip => "gzip",
            Packing::Zstd => "zstd",
            Packing::Xz => "xz",
            Packing::Bzip2 => "bzip2",
        }
    }
}

/// A script that can be read once, from its start to its end.
pub(crate) struct Input {
    text: Box<dyn Read + Send>,
    stored: Arc<AtomicU64>,
    packing: Packing,
    /// For messages, on one line.
    name: String,
}

impl Input {
    /// Opens a file, or standard input for `-`.
    ///
    /// # Errors
    /// `NotFound`, `Io`.
    pub(crate) fn open(path: &Path) -> Result<Input> {
        if is_stdin(path) {
            return Input::from_reader(Box::new(io::stdin()), "standard input");
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|e| could_not_read(&name, e))?;
        Input::from_reader(Box::new(file), &name)
    }

    /// Reads from anywhere.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn from_reader(reader: Box<dyn Read + Send>, name: &str) -> Result<Input> {
        let stored = Arc::new(AtomicU64::new(0));
        let counted = Counted {
            reader,
            count: Arc::clone(&stored),
        };
        let mut reader = BufReader::with_capacity(READ_BYTES, counted);
        // The first read of a pipe may bring very little, but hardly less than what a magic number takes.
        let head = reader.fill_buf().map_err(|e| could_not_read(name, e))?;
        let packing = Packing::of(head);
        let text = unpack(reader, packing).map_err(|e| could_not_read(name, e))?;
        Ok(Input {
            text,
            stored,
            packing,
            name: one_line(name).into_owned(),
        })
    }

    /// How it is stored.
    pub(crate) fn packing(&self) -> Packing {
        self.packing
    }

    /// The script's name for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Counts the stored bytes that were read so far.
    pub(crate) fn stored_bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.stored)
    }

    /// The first bytes of the text, as far as they can be unpacked.
    pub(crate) fn head(&mut self, length: usize) -> Vec<u8> {
        let mut head = Vec::new();
        // What comes before damage is as good as any head.
        let _ = self
            .text
            .by_ref()
            .take(length as u64)
            .read_to_end(&mut head);
        head
    }

    /// Fills a buffer as far as the text goes; 0 at its end.
    ///
    /// # Errors
    /// `Damaged` if the compressed bytes are cut, altered, or followed by others; `Io`.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.text.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failure(e)),
            }
        }
        Ok(filled)
    }

    /// An error of the operating system is told from what a decompressor says: only the latter has no number.
    fn failure(&self, error: io::Error) -> Error {
        if self.packing == Packing::Plain || error.raw_os_error().is_some() {
            return could_not_read(&self.name, error);
        }
        let what = match error.kind() {
            io::ErrorKind::UnexpectedEof => "its end is missing".to_owned(),
            _ => one_line(&error.to_string()).into_owned(),
        };
        Error::new(ErrorKind::Damaged, format!("{} is damaged", self.name))
            .detail(format!("Behind {} stored bytes {} cannot be read on: {what}.",
                self.stored.load(Ordering::Relaxed), self.packing.as_str()))
            .hint("It is cut off, altered, or other bytes follow the compressed ones. Is there another copy?")
            .caused_by(error)
    }
}

/// Whether a path stands for standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

pub(crate) fn could_not_read(name: &str, error: io::Error) -> Error {
    Error::io(format!("could not read {}", one_line(name)), error)
}

fn unpack(reader: BufReader<Counted>, packing: Packing) -> io::Result<Box<dyn Read + Send>> {
    Ok(match packing {
        Packing::Plain => Box::new(reader),
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        Packing::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(reader)?),
        Packing::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(
                XZ_MEMORY,
                liblzma::stream::CONCATENATED,
            )
            .map_err(io::Error::other)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(reader, stream))
        }
        Packing::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
    })
}

struct Counted {
    reader: Box<dyn Read + Send>,
    count: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::io::Write;

    const TEXT: &[u8] = b"SELECT 1;\nSELECT 2;\n";

    fn packed(packing: Packing, text: &[u8]) -> Vec<u8> {
        match packing {
            Packing::Plain => text.to_vec(),
            Packing::Gzip => {
                let mut encoder =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            Packing::Zstd => zstd::encode_all(text, 1).unwrap(),
            Packing::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            Packing::Bzip2 => {
                let mut encoder =
                    bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    const ALL: [Packing; 5] = [
        Packing::Plain,
        Packing::Gzip,
        Packing::Zstd,
        Packing::Xz,
        Packing::Bzip2,
    ];

    fn read(stored: Vec<u8>) -> Result<Vec<u8>> {
        let mut input = Input::from_reader(Box::new(io::Cursor::new(stored)), "x")?;
        let mut text = vec![0; 1 << 16];
        let length = input.read(&mut text)?;
        text.truncate(length);
        Ok(text)
    }

    #[test]
    fn each_packing_is_known_by_its_first_bytes_and_may_have_several_parts() {
        for packing in ALL {
            let mut stored = packed(packing, TEXT);
            assert_eq!(Packing::of(&stored), packing);
            assert_eq!(read(stored.clone()).unwrap(), TEXT);
            stored.extend(packed(packing, b"SELECT 3;\n"));
            assert_eq!(read(stored).unwrap(), [TEXT, b"SELECT 3;\n"].concat());
        }
    }

    #[test]
    fn a_cut_or_followed_stream_is_damaged() {
        for packing in &ALL[1..] {
            let whole = packed(*packing, TEXT);
            let cut = read(whole[..whole.len() - 5].to_vec()).unwrap_err();
            assert_eq!(cut.kind(), ErrorKind::Damaged, "{packing:?}: {cut}");
            let followed = read([&whole[..], b"garbage"].concat()).unwrap_err();
            assert_eq!(
                followed.kind(),
                ErrorKind::Damaged,
                "{packing:?}: {followed}"
            );
        }
    }

    #[test]
    fn a_dictionary_that_takes_all_memory_is_refused() {
        let mut options = liblzma::stream::LzmaOptions::new_preset(9).unwrap();
        options.dict_size(1 << 30);
        let mut filters = liblzma::stream::Filters::new();
        filters.lzma2(&options);
        let stream =
            liblzma::stream::Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc64)
                .unwrap();
        let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
        encoder.write_all(TEXT).unwrap();
        let error = read(encoder.finish().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    }
}
