//! `pgstow serve`: schedules and the HTTP API.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

use super::place::PlaceArgs;
use super::stop_signal;
use crate::config::{Config, ConnectSource, DatabaseSettings, ServiceSettings, Valued};
use crate::conn::ConnectArgs;
use crate::service::scheduler::{SystemClock, run_schedule};
use crate::service::{Api, Backend, Guards, Metrics, Scheduled, serve, stopped};
use crate::{Error, ErrorKind, Result};

/// How long jobs may take to stop cleanly.
const GRACE: Duration = Duration::from_secs(30);

/// Make backups by schedule, and offer an HTTP API
///
/// By default: daily at 02:00 (kept 30 days), weekly on Sundays at 03:00 (12 weeks), monthly on the 1st at 04:00 (12 months),
/// cleanup daily at 05:00. What was missed is caught up once. Log lines go to standard error unless --log-file says otherwise.
/// SIGTERM and SIGINT stop running jobs cleanly: a backup that is not finished leaves nothing behind.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(super) struct Args {
    /// Database, connection URI or keyword string; else DATABASE_URL or the databases of the configuration file
    #[arg(value_name = "DB|URL")]
    source: Option<String>,
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    /// Address and port [default: 127.0.0.1:3000]. Any but a loopback address needs a token
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// A file whose first line clients must show: Authorization: Bearer TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Let clients restore a backup into its configured database
    #[arg(long)]
    allow_restore: bool,
    /// The HTTP API alone
    #[arg(long)]
    no_schedule: bool,
    /// Print help
    #[arg(short = '?', long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

impl Args {
    fn config(&self) -> Result<Config> {
        let source = ConnectSource {
            args: self.connect.clone(),
            positional: self.source.clone(),
        };
        let service = ServiceSettings {
            listen: self.listen.map(|it| Valued::flag("--listen", it)),
            token_file: self
                .token_file
                .clone()
                .map(|path| Valued::flag("--token-file", path)),
            allow_restore: self
                .allow_restore
                .then(|| Valued::flag("--allow-restore", true)),
        };
        self.place
            .resolve_all(source, DatabaseSettings::default(), service)
    }
}

/// Runs until a signal comes.
///
/// # Errors
/// `Usage` for what is configured wrongly; `Io` if the address is taken.
pub(super) async fn run(args: Args) -> Result<()> {
    let config = args.config()?;
    let service = &config.service;
    let listen = service
        .listen
        .as_ref()
        .map(|it| it.value)
        .ok_or_else(|| Error::internal("the service has a default address"))?;
    let token_file = service.token_file.as_ref().map(|it| it.value.as_path());
    let guards = Guards::new(listen, token_file)?;
    let backend = Backend::new(config.profiles.clone(), Metrics::default())?;
    let (stop_sender, stop) = watch::channel(None);
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .map_err(|e| Error::io(format!("could not listen on {listen}"), e))?;
    let bound = listener
        .local_addr()
        .map_err(|e| Error::io("could not listen", e))?;
    let api = Api {
        backend: backend.clone(),
        guards,
        allow_restore: service.allow_restore.as_ref().is_some_and(|it| it.value),
        stop: stop.clone(),
    };
    let mut schedules = tokio::task::JoinSet::new();
    if !args.no_schedule {
        for database in backend.databases() {
            let stop = stop.clone();
            let runner = Scheduled {
                database: database.clone(),
                backend: backend.clone(),
                stop: move || stopped(stop.clone()),
            };
            schedules.spawn(schedule(runner));
        }
    }
    let names: Vec<&str> = backend
        .databases()
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    tracing::info!("listening on http://{bound}, serving {}", names.join(", "));
    tokio::spawn(async move {
        let signal = stop_signal().await;
        tracing::info!("stopping: signal {signal}");
        let _ = stop_sender.send(Some(signal));
    });
    let until = stopped(stop.clone());
    let serving = serve(listener, api, async { drop(until.await) });
    let outcome = tokio::select! {
        outcome = serving => outcome,
        () = async {
            drop(stopped(stop).await);
            tokio::time::sleep(GRACE).await;
        } => {
            tracing::warn!("some requests or jobs did not end in {} s", GRACE.as_secs());
            Ok(())
        }
    };
    schedules.shutdown().await;
    tracing::info!("stopped");
    outcome
}

/// Runs one database's schedule for ever.
async fn schedule<S, F>(runner: Scheduled<S>)
where
    S: Fn() -> F + Send + Sync,
    F: Future<Output = Error> + Send,
{
    let name = runner.database.name.clone();
    let schedule = runner.database.profile.schedule();
    let zone = runner.database.profile.zone();
    for (task, cron) in &schedule {
        tracing::info!(database = name, "schedule: {task:?} at {}", cron.as_str());
    }
    let warn = |error: &Error| {
        tracing::warn!(database = name, "could not read the backups: {error}");
    };
    let run = run_schedule(&schedule, &zone, &SystemClock, &runner, warn);
    if let Err(error) = run.await
        && error.kind() != ErrorKind::Internal
    {
        tracing::error!(database = name, "the schedule stopped: {error}");
    }
}
