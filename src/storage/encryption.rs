//! Encryption in the `age` format (<https://age-encryption.org/v1>), so that the `age` tool opens what we wrote.
//!
//! The plain text is cut into chunks of 64 KiB, each sealed under its number and whether it is the last one. So any range
//! can be read and authenticated by itself; the last chunk, opened first, proves that nothing was cut off.

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use age::secrecy::{ExposeSecret, SecretString};
use age::stream::StreamReader;
use age::{DecryptError, Decryptor, scrypt, x25519};

use crate::archive::Source;
use crate::{Error, ErrorKind, Result};

/// To whom a file is encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// To nobody: it stays plain.
    #[default]
    None,
    /// To the owners of these public keys (`age1...`).
    Recipients(Vec<String>),
    /// To who knows the first line of this file.
    PassphraseFile(PathBuf),
}

/// What opens an encrypted file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// Nothing.
    #[default]
    None,
    /// Files of secret keys (`AGE-SECRET-KEY-1...`), as `age-keygen` writes them.
    Files(Vec<PathBuf>),
    /// The passphrase is the first line of this file.
    PassphraseFile(PathBuf),
}

/// Encrypts what passes, or passes it on. Without [`EncryptingWriter::finish`] the file cannot be read.
pub struct EncryptingWriter<W: Write>(Sealing<W>);

enum Sealing<W: Write> {
    Plain(W),
    Age(Box<age::stream::StreamWriter<W>>),
}

/// Starts a file: writes the header.
///
/// # Errors
/// `Usage` if a recipient is none or there is none; `NotFound`, `Io` for the passphrase file or the sink.
pub fn encrypt<W: Write + Send + 'static>(
    encryption: &Encryption,
    sink: W,
) -> Result<EncryptingWriter<W>> {
    let encryptor = match encryption {
        Encryption::None => return Ok(EncryptingWriter(Sealing::Plain(sink))),
        Encryption::Recipients(recipients) => encryptor_for(recipients)?,
        Encryption::PassphraseFile(path) => {
            age::Encryptor::with_user_passphrase(read_passphrase(path)?)
        }
    };
    let writer = encryptor
        .wrap_output(sink)
        .map_err(|e| Error::io("could not write the header of an encrypted file", e))?;
    Ok(EncryptingWriter(Sealing::Age(Box::new(writer))))
}

fn encryptor_for(recipients: &[String]) -> Result<age::Encryptor> {
    let recipients = recipients
        .iter()
        .map(|text| {
            x25519::Recipient::from_str(text.trim()).map_err(|why| {
                // It may be a secret key by mistake: not quoted.
                Error::new(ErrorKind::Usage, "a recipient is no age public key")
                    .detail(format!("age: {why}."))
                    .hint("A public key starts with age1; age-keygen prints it as \"Public key\".")
            })
        })
        .collect::<Result<Vec<_>>>()?;
    age::Encryptor::with_recipients(recipients.iter().map(|r| r as &dyn age::Recipient)).map_err(
        |e| {
            Error::new(ErrorKind::Usage, "could not encrypt to the recipients")
                .detail(format!("age: {e}."))
        },
    )
}

impl<W: Write> EncryptingWriter<W> {
    /// Writes the last chunk and gives the sink back.
    ///
    /// # Errors
    /// Whatever the sink may meet.
    pub fn finish(self) -> Result<W> {
        match self.0 {
            Sealing::Plain(sink) => Ok(sink),
            Sealing::Age(writer) => writer
                .finish()
                .map_err(|e| Error::io("could not write the end of an encrypted file", e)),
        }
    }
}

impl<W: Write> Write for EncryptingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Sealing::Plain(sink) => sink.write(bytes),
            Sealing::Age(writer) => writer.write(bytes),
        }
    }

    /// A chunk that is not full cannot be sealed yet: it stays here.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Sealing::Plain(sink) => sink.flush(),
            Sealing::Age(writer) => writer.flush(),
        }
    }
}

/// The plain text of an encrypted file, readable at any offset. A file that does not start like one is given back
/// as it is.
///
/// Blocks: it reads the header and the last chunk, and a passphrase takes about a second on purpose.
///
/// # Errors
/// `Usage` if it is encrypted and `identity` does not open it; `Damaged` if it was cut or altered;
/// `NotFound`, `Io` for the files of `identity`.
pub fn decrypt(source: Box<dyn Source>, identity: &Identity) -> Result<Box<dyn Source>> {
    if !is_encrypted(source.as_ref())? {
        return Ok(source);
    }
    let identities = read_identities(identity)?;
    Ok(Box::new(PlainText::open(source, &identities)?))
}

fn is_encrypted(source: &dyn Source) -> Result<bool> {
    if source.len() < MAGIC.len() as u64 {
        return Ok(false);
    }
    let mut start = [0; MAGIC.len()];
    source
        .read_at(0, &mut start)
        .map_err(|e| Error::io("could not read the start of a stored file", e))?;
    Ok(start == *MAGIC)
}

/// Whether a file that starts so is encrypted.
pub(crate) fn starts_encrypted(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// All versions of the format begin so.
const MAGIC: &[u8; 22] = b"age-encryption.org/v1\n";

fn read_identities(identity: &Identity) -> Result<Vec<Box<dyn age::Identity>>> {
    match identity {
        Identity::None => Err(Error::new(
            ErrorKind::Usage,
            "the backup is encrypted and no key was given",
        )
        .hint("Give the file with the secret key (AGE-SECRET-KEY-1...) or the passphrase file.")),
        Identity::Files(paths) => {
            let mut identities = Vec::new();
            for path in paths {
                identities.extend(read_identity_file(path)?);
            }
            Ok(identities)
        }
        Identity::PassphraseFile(path) => {
            let identity = scrypt::Identity::new(read_passphrase(path)?);
            Ok(vec![Box::new(identity)])
        }
    }
}

fn read_identity_file(path: &Path) -> Result<Vec<Box<dyn age::Identity>>> {
    let shown = path.display();
    let text = std::fs::read(path)
        .map_err(|e| Error::io(format!("could not read identity file {shown}"), e))?;
    let text = SecretString::from(String::from_utf8(text).map_err(|_| no_identity(path))?);
    let mut identities: Vec<Box<dyn age::Identity>> = Vec::new();
    for line in text.expose_secret().lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let identity = x25519::Identity::from_str(line).map_err(|_| no_identity(path))?;
        identities.push(Box::new(identity));
    }
    if identities.is_empty() {
        return Err(no_identity(path));
    }
    Ok(identities)
}

fn no_identity(path: &Path) -> Error {
    Error::new(
        ErrorKind::Usage,
        format!("{} is no file of age secret keys", path.display()),
    )
    .hint("Each line is a key AGE-SECRET-KEY-1..., empty or a comment, as age-keygen writes it. Is it itself encrypted?")
}

/// The first line without its end.
fn read_passphrase(path: &Path) -> Result<SecretString> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::io(format!("could not read passphrase file {shown}"), e))?;
    let text = SecretString::from(text);
    match text.expose_secret().lines().next() {
        None | Some("") => Err(Error::new(
            ErrorKind::Usage,
            format!("the first line of passphrase file {shown} is empty"),
        )),
        Some(line) => Ok(SecretString::from(line.to_owned())),
    }
}

fn refused(error: &DecryptError) -> Error {
    match error {
        DecryptError::NoMatchingKeys | DecryptError::DecryptionFailed => Error::new(
            ErrorKind::Usage,
            "the key or passphrase does not open the backup",
        )
        .detail(format!("age: {error}."))
        .hint("Was it encrypted to another key? The passphrase is the first line of its file."),
        DecryptError::KeyDecryptionFailed | DecryptError::ExcessiveWork { .. } => Error::new(
            ErrorKind::Usage,
            "the key or passphrase does not open the backup",
        )
        .detail(format!("age: {error}.")),
        DecryptError::Io(_) => Error::new(
            ErrorKind::Io,
            "could not read the header of an encrypted backup",
        )
        .detail(format!("{error}.")),
        DecryptError::InvalidHeader | DecryptError::InvalidMac | DecryptError::UnknownFormat => {
            damaged(format!("Its header, age: {error}."))
        }
    }
}

fn damaged(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::Damaged, "the encrypted backup is damaged")
        .detail(detail)
        .hint("Do not restore from it. Is there another copy or an older backup?")
}

/// Read ahead of what is asked for: a request to a store costs as much as some hundred KiB.
const READ_AHEAD: usize = 1 << 20;

/// An encrypted file's payload as plain bytes. Its one reader is shared: opening a chunk is faster than decompressing it.
struct PlainText {
    reader: Mutex<StreamReader<BufReader<Cursor>>>,
    len: u64,
}

impl PlainText {
    fn open(source: Box<dyn Source>, identities: &[Box<dyn age::Identity>]) -> Result<Self> {
        let stored = BufReader::with_capacity(READ_AHEAD, Cursor { source, offset: 0 });
        let mut reader = Decryptor::new_buffered(stored)
            .and_then(|decryptor| decryptor.decrypt(identities.iter().map(AsRef::as_ref)))
            .map_err(|e| refused(&e))?;
        // This opens the last chunk, and only the true last one opens as such.
        let len = reader.seek(SeekFrom::End(0)).map_err(|e| match e.kind() {
            io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::UnexpectedEof => damaged("Its end is cut off or altered."),
            _ => Error::io("could not read an encrypted backup", e),
        })?;
        Ok(PlainText {
            reader: Mutex::new(reader),
            len,
        })
    }
}

impl Source for PlainText {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.seek(SeekFrom::Start(offset))?;
        reader.read_exact(buffer)
    }
}

/// A source as a stream.
struct Cursor {
    source: Box<dyn Source>,
    offset: u64,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.source.len().saturating_sub(self.offset);
        let length = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        self.source.read_at(self.offset, &mut buffer[..length])?;
        self.offset += length as u64;
        Ok(length)
    }
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let offset = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(by) => self.offset.checked_add_signed(by),
            SeekFrom::End(by) => self.source.len().checked_add_signed(by),
        };
        self.offset = offset.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.offset)
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::cast_possible_truncation,
        reason = "tests"
    )]

    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Of plain text in a chunk, and of what is stored of it.
    const CHUNK: u64 = 64 * 1024;
    const SEALED_CHUNK: u64 = CHUNK + 16;

    struct Bytes {
        bytes: Vec<u8>,
        reads: Arc<AtomicUsize>,
    }

    impl Source for Bytes {
        fn len(&self) -> u64 {
            self.bytes.len() as u64
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            let offset = offset as usize;
            let bytes = self
                .bytes
                .get(offset..offset + buffer.len())
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            buffer.copy_from_slice(bytes);
            Ok(())
        }
    }

    fn source(bytes: &[u8]) -> Box<dyn Source> {
        Box::new(Bytes {
            bytes: bytes.to_vec(),
            reads: Arc::default(),
        })
    }

    /// Public key, and a file with the secret one.
    fn key_pair() -> (String, tempfile::NamedTempFile) {
        let identity = x25519::Identity::generate();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(
            file,
            "# a comment\n{}",
            identity.to_string().expose_secret()
        )
        .unwrap();
        (identity.to_public().to_string(), file)
    }

    fn identity_of(file: &tempfile::NamedTempFile) -> Identity {
        Identity::Files(vec![file.path().to_owned()])
    }

    fn sealed(encryption: &Encryption, plain: &[u8]) -> Vec<u8> {
        let mut writer = encrypt(encryption, Vec::new()).unwrap();
        writer.write_all(plain).unwrap();
        writer.finish().unwrap()
    }

    fn text(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * 31 % 251) as u8).collect()
    }

    #[test]
    fn every_length_around_a_chunk_is_read_back_at_every_border() {
        let (recipient, file) = key_pair();
        let encryption = Encryption::Recipients(vec![recipient]);
        let chunk = CHUNK as usize;
        for length in [0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 5 * chunk + 17] {
            let plain = text(length);
            let opened =
                decrypt(source(&sealed(&encryption, &plain)), &identity_of(&file)).unwrap();
            assert_eq!(opened.len(), length as u64);
            let borders = [
                0,
                1,
                chunk - 1,
                chunk,
                chunk + 1,
                2 * chunk,
                length / 2,
                length,
            ];
            for from in borders.into_iter().filter(|&from| from <= length) {
                for to in borders
                    .into_iter()
                    .filter(|&to| (from..=length).contains(&to))
                {
                    let mut buffer = vec![0; to - from];
                    opened.read_at(from as u64, &mut buffer).unwrap();
                    assert_eq!(buffer, plain[from..to], "{length}: {from}..{to}");
                }
            }
            let beyond = opened.read_at(length as u64, &mut [0]).unwrap_err();
            assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn age_reads_what_we_wrote_and_we_read_what_age_wrote() {
        let (recipient, file) = key_pair();
        let plain = text(200_000);
        let ours = sealed(&Encryption::Recipients(vec![recipient.clone()]), &plain);
        let secret = std::fs::read_to_string(file.path()).unwrap();
        let identity = x25519::Identity::from_str(secret.lines().last().unwrap()).unwrap();
        assert_eq!(age::decrypt(&identity, &ours).unwrap(), plain);
        let recipient = x25519::Recipient::from_str(&recipient).unwrap();
        let theirs = age::encrypt(&recipient, &plain).unwrap();
        let opened = decrypt(source(&theirs), &identity_of(&file)).unwrap();
        let mut buffer = vec![0; plain.len()];
        opened.read_at(0, &mut buffer).unwrap();
        assert_eq!(buffer, plain);
    }

    #[test]
    fn passphrase_opens_and_another_one_does_not() {
        let mut right = tempfile::NamedTempFile::new().unwrap();
        writeln!(right, "open sesame\nsecond line").unwrap();
        let mut wrong = tempfile::NamedTempFile::new().unwrap();
        writeln!(wrong, "open barley").unwrap();
        let sealed = sealed(&Encryption::PassphraseFile(right.path().to_owned()), b"x");
        let opened = decrypt(
            source(&sealed),
            &Identity::PassphraseFile(right.path().to_owned()),
        );
        assert_eq!(opened.unwrap().len(), 1);
        let refused = decrypt(
            source(&sealed),
            &Identity::PassphraseFile(wrong.path().to_owned()),
        );
        let error = refused.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(!error.to_string().contains("barley"));
    }

    #[test]
    fn wrong_key_is_told_from_damage() {
        let (recipient, _) = key_pair();
        let (_, other) = key_pair();
        let sealed = sealed(&Encryption::Recipients(vec![recipient]), b"x");
        let error = decrypt(source(&sealed), &identity_of(&other))
            .err()
            .unwrap();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert_eq!(
            error.message(),
            "the key or passphrase does not open the backup"
        );
        let error = decrypt(source(&sealed), &Identity::None).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Usage);
    }

    #[test]
    fn every_cut_and_every_altered_chunk_is_noticed() {
        let (recipient, file) = key_pair();
        let plain = text(3 * CHUNK as usize);
        let sealed = sealed(&Encryption::Recipients(vec![recipient]), &plain);
        let header = sealed.len() - 3 * SEALED_CHUNK as usize;
        for cut in [
            1,
            15,
            16,
            17,
            SEALED_CHUNK as usize,
            2 * SEALED_CHUNK as usize,
            sealed.len() - header,
        ] {
            let error = decrypt(source(&sealed[..sealed.len() - cut]), &identity_of(&file));
            assert_eq!(error.err().unwrap().kind(), ErrorKind::Damaged, "{cut}");
        }
        let mut altered = sealed;
        altered[header + SEALED_CHUNK as usize + 5] ^= 1;
        let opened = decrypt(source(&altered), &identity_of(&file)).unwrap();
        opened.read_at(0, &mut [0; CHUNK as usize]).unwrap();
        let error = opened.read_at(CHUNK, &mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn large_range_takes_few_reads_of_the_store() {
        let (recipient, file) = key_pair();
        let plain = text(100 * CHUNK as usize);
        let reads = Arc::new(AtomicUsize::new(0));
        let stored = Bytes {
            bytes: sealed(&Encryption::Recipients(vec![recipient]), &plain),
            reads: Arc::clone(&reads),
        };
        let opened = decrypt(Box::new(stored), &identity_of(&file)).unwrap();
        reads.store(0, Ordering::Relaxed);
        let mut buffer = vec![0; plain.len()];
        opened.read_at(0, &mut buffer).unwrap();
        assert_eq!(buffer, plain);
        assert!(reads.load(Ordering::Relaxed) <= 8);
    }

    #[test]
    fn plain_file_stays_plain() {
        assert_eq!(sealed(&Encryption::None, b"abc"), b"abc");
        let opened = decrypt(source(b"abc"), &Identity::None).unwrap();
        assert_eq!(opened.len(), 3);
    }

    #[test]
    fn secret_key_given_as_a_recipient_is_not_repeated() {
        let secret = x25519::Identity::generate().to_string();
        let wrong = Encryption::Recipients(vec![secret.expose_secret().to_owned()]);
        let error = encrypt(&wrong, Vec::new()).err().unwrap();
        assert!(!error.to_string().contains(secret.expose_secret()));
    }
}
