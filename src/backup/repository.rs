//! The backup sets of one place. There is no index and no state: names and `.meta` files say it all.

use std::collections::HashMap;

use serde::Deserialize;

use super::name::{SetName, parse_set_name};
use super::{META_FORMAT, Meta};
use crate::objects::quote::one_line;
use crate::storage::Storage;
use crate::{Error, ErrorKind, Result};

/// A place with backup sets.
#[derive(Clone, Debug)]
pub struct Repository {
    storage: Storage,
}

/// A whole set: data, `.sha256` and `.meta` are there.
#[derive(Clone, Debug)]
pub struct BackupSet {
    /// What its name says.
    pub name: SetName,
    /// Its data file.
    pub file: String,
    /// What its `.meta` says.
    pub meta: Meta,
}

/// All sets of a place.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The newest first.
    pub sets: Vec<BackupSet>,
    /// Files that look like a set's and are none that can be trusted, with the reason.
    pub unreadable: Vec<(String, String)>,
}

impl Repository {
    /// The sets in `storage`.
    pub fn new(storage: Storage) -> Repository {
        Repository { storage }
    }

    /// Reads all sets. Data without `.meta` is no set: it is not mentioned, for its run may be at work.
    ///
    /// # Errors
    /// `Io`.
    pub async fn list(&self) -> Result<Listing> {
        let files = self.storage.list().await?;
        let sizes: HashMap<&str, u64> = files
            .iter()
            .map(|file| (file.name.as_str(), file.size_bytes))
            .collect();
        let mut listing = Listing::default();
        for file in &files {
            let Some(data) = file.name.strip_suffix(".meta") else {
                continue;
            };
            let Some(name) = parse_set_name(data) else {
                continue;
            };
            match self.read_set(name, data, &sizes).await? {
                Ok(set) => listing.sets.push(set),
                Err(why) => listing.unreadable.push((data.to_owned(), why)),
            }
        }
        let age = |set: &BackupSet| (set.name.created, set.name.attempt, set.name.id.clone());
        listing.sets.sort_by_key(|set| std::cmp::Reverse(age(set)));
        Ok(listing)
    }

    /// The set, or why its files are none.
    async fn read_set(
        &self,
        name: SetName,
        data: &str,
        sizes: &HashMap<&str, u64>,
    ) -> Result<std::result::Result<BackupSet, String>> {
        let text = match self.storage.read(&format!("{data}.meta")).await {
            // Deleted since it was listed.
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Ok(Err("its .meta is gone".to_owned()));
            }
            text => text?,
        };
        let meta = match read_meta(&text) {
            Ok(meta) => meta,
            Err(why) => return Ok(Err(why)),
        };
        let missing = match sizes.get(data) {
            None => Some("its data is missing".to_owned()),
            Some(&size) if size != meta.size => Some(format!(
                "its data has {size} bytes, its .meta says {}",
                meta.size
            )),
            Some(_) if meta.file != data => Some("its .meta is that of another file".to_owned()),
            Some(_) if !sizes.contains_key(format!("{data}.sha256").as_str()) => {
                Some("its .sha256 is missing".to_owned())
            }
            Some(_) => None,
        };
        Ok(match missing {
            Some(why) => Err(why),
            None => Ok(BackupSet {
                name,
                file: data.to_owned(),
                meta,
            }),
        })
    }

    /// The set that a user means: `latest` for the newest of a whole database, its id, or the beginning of its id if no other begins so.
    ///
    /// # Errors
    /// `NotFound`; `Usage` if several begin so; `Io`.
    pub async fn find(&self, wanted: &str) -> Result<BackupSet> {
        let Listing { sets, unreadable } = self.list().await?;
        let place = self.storage.location().to_string();
        let shown = one_line(wanted);
        if wanted == "latest" {
            // Who asks for the latest backup wants all of it.
            let latest = sets.into_iter().find(|set| set.meta.partial.is_empty());
            return latest.ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    format!("there is no backup set of a whole database in {place}"),
                )
            });
        }
        let exact = |set: &&BackupSet| set.name.id == wanted || set.file == wanted;
        if let Some(set) = sets.iter().find(exact) {
            return Ok(set.clone());
        }
        let mut matching = sets.iter().filter(|set| set.name.id.starts_with(wanted));
        match (matching.next(), matching.count()) {
            (Some(set), 0) => Ok(set.clone()),
            (Some(set), others) => Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "{} backup sets in {place} begin with \"{shown}\"",
                    others + 1
                ),
            )
            .hint(format!("The newest of them is {}.", set.name.id))),
            (None, _) => {
                let error = Error::new(
                    ErrorKind::NotFound,
                    format!("there is no file and no backup set \"{shown}\" in {place}"),
                );
                Err(unreadable
                    .into_iter()
                    .filter(|(file, _)| file.starts_with(wanted))
                    .fold(error, |error, (file, why)| {
                        error.detail(format!("{file}: {why}."))
                    }))
            }
        }
    }
}

fn read_meta(text: &[u8]) -> std::result::Result<Meta, String> {
    #[derive(Deserialize)]
    struct Format {
        meta_format: u32,
    }
    match serde_json::from_slice(text) {
        Ok(Format { meta_format }) if meta_format > META_FORMAT => Err(format!(
            "its .meta has format {meta_format}, a newer pgstow wrote it"
        )),
        Ok(_) => serde_json::from_slice(text).map_err(|e| format!("its .meta cannot be read: {e}")),
        Err(e) => Err(format!("its .meta cannot be read: {e}")),
    }
}
