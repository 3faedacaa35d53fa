//! Where files lie, as operators write it: a directory or a URL.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::{Error, ErrorKind, Result};

/// A place for files. Holds no secret, so it may be printed: credentials come from the environment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// A directory of this host.
    Directory(PathBuf),
    /// A bucket (or container) of an object store.
    Object {
        /// Which store.
        scheme: Scheme,
        /// Bucket or container.
        bucket: String,
        /// What stands before each name, without slashes at either end; may be empty.
        prefix: String,
    },
}

/// The object stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Amazon S3 and all that speak its protocol.
    S3,
    /// Google Cloud Storage.
    Gs,
    /// Azure Blob Storage.
    Az,
}

impl Scheme {
    /// As in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::S3 => "s3",
            Scheme::Gs => "gs",
            Scheme::Az => "az",
        }
    }
}

impl FromStr for Location {
    type Err = Error;

    /// Takes `/path`, `path`, `file:///path`, `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`.
    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "a storage location is empty"));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Location::Directory(PathBuf::from(text)));
        };
        match scheme {
            "file" => parse_file(rest),
            "s3" => parse_object(Scheme::S3, rest),
            "gs" => parse_object(Scheme::Gs, rest),
            "az" => parse_object(Scheme::Az, rest),
            _ => Err(
                Error::new(ErrorKind::Usage, "a storage location has an unknown scheme")
                    .hint("Give a directory, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX."),
            ),
        }
    }
}

fn parse_file(rest: &str) -> Result<Location> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err(
            Error::new(ErrorKind::Usage, "a file:// location has no absolute path")
                .hint("Write file:///var/backups/NAME."),
        );
    }
    let path = percent_encoding::percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| Error::new(ErrorKind::Usage, "a file:// location is no UTF-8"))?;
    Ok(Location::Directory(PathBuf::from(path.into_owned())))
}

/// The text may hold a secret by mistake (`s3://KEY:SECRET@bucket`): it is never quoted.
fn parse_object(scheme: Scheme, rest: &str) -> Result<Location> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let name = scheme.as_str();
    if bucket.is_empty() || !bucket.chars().all(is_of_bucket) {
        return Err(Error::new(
            ErrorKind::Usage,
            format!("an {name}:// location has no valid bucket name"),
        )
        .hint(format!(
            "Write {name}://BUCKET/PREFIX. Credentials and endpoint come from the environment."
        )));
    }
    if prefix.contains(['?', '#']) {
        return Err(Error::new(
            ErrorKind::Usage,
            format!("an {name}:// location has parameters"),
        )
        .hint("Credentials and endpoint come from the environment."));
    }
    let prefix = prefix.trim_matches('/').to_owned();
    object_store::path::Path::parse(&prefix).map_err(|_| {
        Error::new(
            ErrorKind::Usage,
            format!("the prefix of an {name}:// location is no valid path"),
        )
    })?;
    Ok(Location::Object {
        scheme,
        bucket: bucket.to_owned(),
        prefix,
    })
}

/// `$` is for Azure's `$root` and `$web`.
fn is_of_bucket(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._$".contains(c)
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Directory(path) => path.display().fmt(f),
            Location::Object {
                scheme,
                bucket,
                prefix,
            } => {
                let slash = if prefix.is_empty() { "" } else { "/" };
                write!(f, "{}://{bucket}{slash}{prefix}", scheme.as_str())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn location_reads_what_it_writes() {
        for text in [
            "/var/backups/shop",
            "backups",
            "s3://bucket",
            "s3://bucket/a/b",
            "gs://bucket/x",
            "az://container/x",
        ] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), text);
        }
        let trimmed: Location = "s3://bucket//a/b/".parse().unwrap();
        assert_eq!(trimmed.to_string(), "s3://bucket/a/b");
        let file: Location = "file:///var/a%20b".parse().unwrap();
        assert_eq!(file, Location::Directory(PathBuf::from("/var/a b")));
    }

    #[test]
    fn wrong_location_is_refused_without_repeating_a_secret() {
        for text in [
            "",
            "ftp://sesame/x",
            "s3:///sesame",
            "s3://key:sesame@bucket/x",
            "s3://bucket/x?secret=sesame",
            "s3://bucket/../sesame",
            "file://sesame/x",
        ] {
            let error = text.parse::<Location>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{text}");
            assert!(!error.to_string().contains("sesame"), "{text}");
        }
    }
}
