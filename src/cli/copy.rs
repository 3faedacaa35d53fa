//! `pgstow copy`: sets in another repository.

use super::place::{PlaceArgs, check_exists, warn_of_unreadable};
use super::until_signal;
use crate::backup::{Copied, Repository, copy_set};
use crate::storage::{Encryption, Identity, Location};
use crate::{Error, ErrorKind, Result};

/// Copy backup sets to another repository
///
/// The bytes are copied as they are stored and read back before the copy counts. A set that is there already is left alone.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Ids, `latest` or `latest:KIND`
    #[arg(value_name = "ID", required_unless_present = "all")]
    ids: Vec<String>,
    /// All sets
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// The other repository: a directory, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX
    #[arg(long, value_name = "DIR|URL")]
    to: String,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    #[command(flatten)]
    progress: super::progress::ProgressArgs,
}

/// Copies, the oldest first.
///
/// # Errors
/// Those of [`copy_set`], with what was copied before.
pub(super) async fn run(args: Args) -> Result<()> {
    let from = args.place.profile()?.repository()?;
    check_exists(from.storage())?;
    let location: Location = args.to.parse()?;
    if &location == from.storage().location() {
        return Err(Error::new(
            ErrorKind::Usage,
            "the other repository is the same one",
        ));
    }
    let to = Repository::open(&location, Encryption::None, Identity::None)?;
    let mut sets = Vec::new();
    if args.all {
        let listing = from.list().await?;
        warn_of_unreadable(&listing.unreadable);
        sets = listing.sets;
        sets.reverse();
    }
    for id in &args.ids {
        sets.push(from.find(id).await?);
    }
    let events = args.progress.events();
    for set in &sets {
        match until_signal(copy_set(&from, set, &to, &events)).await? {
            Copied::Made => eprintln!("copied {} to {location} and read it back", set.name.id),
            Copied::Present => eprintln!("{} is in {location} already", set.name.id),
        }
    }
    Ok(())
}
