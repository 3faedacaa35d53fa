//! `pgstow pin` and `pgstow unpin`: what retention leaves alone.

use super::place::PlaceArgs;
use crate::Result;

/// Keep backup sets whatever the rules say
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Ids, or `latest`
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
}

/// Pins or unpins. All sets are found before the first is changed.
///
/// # Errors
/// `NotFound`, `Usage` if an id means no set or several; `Io`.
pub(super) async fn run(args: Args, pinned: bool) -> Result<()> {
    let repository = args.place.profile()?.repository()?;
    let mut sets = Vec::new();
    for id in &args.ids {
        sets.push(repository.find(id).await?);
    }
    for set in sets {
        repository
            .update_meta(&set, |meta| meta.pinned = pinned)
            .await?;
        let what = if pinned { "pinned" } else { "no longer pinned" };
        eprintln!("{} is {what}", set.name.id);
    }
    Ok(())
}
