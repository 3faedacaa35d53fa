//! Whoever wants to know of a backup: commands, pings, a webhook. None of them can make a backup fail.
//!
//! # Commands
//! Run by `/bin/sh -c` with these variables beside pgstow's own environment, of which `PGPASSWORD`, `DATABASE_URL` and
//! `PGSTOW_PASSPHRASE_FILE` are taken away:
//!
//! | Variable | What it is | `before` | `after` | `on_error` |
//! |---|---|---|---|---|
//! | `PGSTOW_EVENT` | `before`, `after`, `on_error` | yes | yes | yes |
//! | `PGSTOW_NAME` | NAME of the files | yes | yes | yes |
//! | `PGSTOW_KIND` | `manual`, `daily`, `weekly`, `monthly` | yes | yes | yes |
//! | `PGSTOW_DATABASE` | the database | yes | yes | yes |
//! | `PGSTOW_REPOSITORY` | directory or URL | yes | yes | yes |
//! | `PGSTOW_ID` | the set's id | | yes | |
//! | `PGSTOW_FILE` | its data file, a path or URL | | yes | |
//! | `PGSTOW_SIZE` | its bytes | | yes | |
//! | `PGSTOW_ROWS` | its rows | | yes | |
//! | `PGSTOW_ANOMALIES` | what fell sharply, a line each; empty for nothing | | yes | |
//! | `PGSTOW_ERROR` | what went wrong | | | yes |
//! | `PGSTOW_EXIT_STATUS` | the exit status of `pgstow create` | | | yes |
//! | `PGSTOW_ELAPSED_MS` | since the start | | yes | yes |
//!
//! A command that takes too long is ended with all that it started. Its output goes to standard error.
//!
//! # Pings and webhook
//! Pings are GET requests, as healthchecks.io and its like take them. The webhook gets a POST with a JSON document: `event`
//! (`started`, `succeeded`, `failed`) and the fields of [`HookFacts`]. Each is tried three times. A URL is a secret: errors
//! tell its host alone.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use reqwest::Url;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Serialize;

use crate::backup::Kind;
use crate::storage::http_client;

/// How long a ping or the webhook may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two attempts of a request.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// Between asking a command to end and ending it.
const GRACE: Duration = Duration::from_secs(5);

/// Variables that commands do not see.
const SECRETS: [&str; 3] = ["PGPASSWORD", "DATABASE_URL", "PGSTOW_PASSPHRASE_FILE"];

/// Who wants to know.
#[derive(Clone)]
pub struct Hooks {
    /// Run before a backup.
    pub before: Option<String>,
    /// Run after a good backup.
    pub after: Option<String>,
    /// Run after a failed backup.
    pub on_error: Option<String>,
    /// How long each of these may take.
    pub time_limit: Duration,
    /// Asked when a backup starts.
    pub ping_start: Option<Url>,
    /// Asked when a backup is done.
    pub ping_success: Option<Url>,
    /// Asked when a backup failed.
    pub ping_fail: Option<Url>,
    /// Told of all three.
    pub webhook: Option<Url>,
}

impl Default for Hooks {
    /// Nobody. A command may take ten minutes: long enough to mount something, short enough to be noticed before the next run.
    fn default() -> Self {
        Hooks {
            before: None,
            after: None,
            on_error: None,
            time_limit: Duration::from_secs(600),
            ping_start: None,
            ping_success: None,
            ping_fail: None,
            webhook: None,
        }
    }
}

impl std::fmt::Debug for Hooks {
    /// Commands and URLs may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooks")
    }
}

/// What is known of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct HookFacts {
    /// NAME of the files.
    pub name: String,
    /// What makes the backup.
    pub kind: Kind,
    /// The database.
    pub database: String,
    /// Directory or URL; holds no secret.
    pub repository: String,
    /// The set's id.
    pub set_id: Option<String>,
    /// Its data file, a path or URL.
    pub file: Option<String>,
    /// Its bytes.
    pub size: Option<u64>,
    /// Its rows.
    pub rows: Option<u64>,
    /// What fell sharply against the set before.
    pub anomalies: Vec<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// The exit status of `pgstow create`.
    pub exit_status: Option<u8>,
    /// Since the start.
    pub elapsed_ms: Option<u64>,
}

impl Hooks {
    /// Tells that a backup starts. Gives a line for each that failed.
    pub async fn started(&self, facts: &HookFacts) -> Vec<String> {
        let told = self.tell("started", self.ping_start.as_ref(), facts).await;
        self.with_command(told, "before", self.before.as_deref(), facts)
            .await
    }

    /// Tells that a backup is made. Gives a line for each that failed.
    pub async fn succeeded(&self, facts: &HookFacts) -> Vec<String> {
        let told = self
            .tell("succeeded", self.ping_success.as_ref(), facts)
            .await;
        self.with_command(told, "after", self.after.as_deref(), facts)
            .await
    }

    /// Tells that a backup failed. Gives a line for each that failed.
    pub async fn failed(&self, facts: &HookFacts) -> Vec<String> {
        let told = self.tell("failed", self.ping_fail.as_ref(), facts).await;
        self.with_command(told, "on_error", self.on_error.as_deref(), facts)
            .await
    }

    async fn with_command(
        &self,
        mut failures: Vec<String>,
        event: &str,
        command: Option<&str>,
        facts: &HookFacts,
    ) -> Vec<String> {
        if let Some(command) = command
            && let Err(why) = run_command(command, event, facts, self.time_limit).await
        {
            failures.push(format!("hook {event} {why}"));
        }
        failures
    }

    /// Ping and webhook at the same time.
    async fn tell(&self, event: &str, ping: Option<&Url>, facts: &HookFacts) -> Vec<String> {
        #[derive(Serialize)]
        struct Document<'a> {
            event: &'a str,
            #[serde(flatten)]
            facts: &'a HookFacts,
        }
        let ping = async {
            let url = ping?;
            let asked = request(url, |client| client.get(url.clone())).await;
            asked.err().map(|why| format!("ping ({event}) {why}"))
        };
        let webhook = async {
            let url = self.webhook.as_ref()?;
            let document = Document { event, facts };
            let posted = request(url, |client| client.post(url.clone()).json(&document)).await;
            posted.err().map(|why| format!("webhook ({event}) {why}"))
        };
        let (ping, webhook) = futures::join!(ping, webhook);
        ping.into_iter().chain(webhook).collect()
    }
}

/// Sends a request until it succeeds or there is no more to try. The error is the end of a sentence.
async fn request(
    url: &Url,
    build: impl Fn(&reqwest::Client) -> reqwest::RequestBuilder,
) -> Result<(), String> {
    let host = url.host_str().unwrap_or("?");
    let client = http_client(REQUEST_TIMEOUT).map_err(|e| format!("to {host}: {}", e.message()))?;
    let mut pauses = RETRY_PAUSES.into_iter();
    loop {
        let answer = build(&client).send().await;
        let why = match answer {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => format!("status {}", answer.status().as_u16()),
            Err(e) if e.is_timeout() => "no answer in time".to_owned(),
            Err(e) if e.is_connect() => "no connection".to_owned(),
            // The error's own text tells the whole URL.
            Err(_) => "the request failed".to_owned(),
        };
        match pauses.next() {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(format!("to {host}: {why}")),
        }
    }
}

/// Runs a command in a process group of its own. The error is the end of a sentence.
async fn run_command(
    command: &str,
    event: &str,
    facts: &HookFacts,
    time_limit: Duration,
) -> Result<(), String> {
    let mut shell = tokio::process::Command::new("/bin/sh");
    shell
        .arg("-c")
        .arg(command)
        .envs(variables(event, facts))
        .stdin(Stdio::null())
        // Standard output may carry our report.
        .stdout(std::io::stderr())
        .process_group(0);
    for secret in SECRETS {
        shell.env_remove(secret);
    }
    let mut child = shell.spawn().map_err(|e| format!("did not start: {e}"))?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    let mut group = Group(pid.and_then(Pid::from_raw));
    match tokio::time::timeout(time_limit, child.wait()).await {
        Ok(ended) => {
            // What it left running on purpose goes on.
            group.0 = None;
            match ended {
                Ok(status) if status.success() => Ok(()),
                Ok(status) => Err(describe(status)),
                Err(e) => Err(format!("was lost: {e}")),
            }
        }
        Err(_) => {
            end_group(group.0, Signal::TERM);
            // What does not heed it, and what the shell started and outlived it, is ended when the group is dropped.
            let _ = tokio::time::timeout(GRACE, child.wait()).await;
            drop(group);
            let _ = child.wait().await;
            Err(format!("took longer than {} s", time_limit.as_secs()))
        }
    }
}

/// A command's processes, ended when this is dropped: also when nobody waits for the command any more.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        end_group(self.0, Signal::KILL);
    }
}

fn end_group(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        // It may be gone already.
        let _ = kill_process_group(group, signal);
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

fn variables(event: &str, facts: &HookFacts) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("PGSTOW_EVENT", event.to_owned()),
        ("PGSTOW_NAME", facts.name.clone()),
        ("PGSTOW_KIND", facts.kind.to_string()),
        ("PGSTOW_DATABASE", facts.database.clone()),
        ("PGSTOW_REPOSITORY", facts.repository.clone()),
    ];
    let text = |number: Option<u64>| number.map(|number| number.to_string());
    let known = [
        ("PGSTOW_ID", facts.set_id.clone()),
        ("PGSTOW_FILE", facts.file.clone()),
        ("PGSTOW_SIZE", text(facts.size)),
        ("PGSTOW_ROWS", text(facts.rows)),
        (
            "PGSTOW_ANOMALIES",
            facts.set_id.as_ref().map(|_| facts.anomalies.join("\n")),
        ),
        ("PGSTOW_ERROR", facts.error.clone()),
        (
            "PGSTOW_EXIT_STATUS",
            facts.exit_status.map(|status| status.to_string()),
        ),
        ("PGSTOW_ELAPSED_MS", text(facts.elapsed_ms)),
    ];
    variables.extend(known.into_iter().filter_map(|(name, value)| {
        // No variable can hold a zero byte.
        Some((name, value?.replace('\0', " ")))
    }));
    variables
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    fn run(command: &str, facts: &HookFacts, limit: Duration) -> Result<(), String> {
        runtime().block_on(run_command(command, "after", facts, limit))
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn commands_see_the_facts() {
        let facts = HookFacts {
            name: "shop".to_owned(),
            set_id: Some("id".to_owned()),
            size: Some(7),
            ..HookFacts::default()
        };
        let check = "test \"$PGSTOW_EVENT/$PGSTOW_NAME/$PGSTOW_ID/$PGSTOW_SIZE/$PGSTOW_KIND\" = after/shop/id/7/manual \
                     && test -z \"${PGSTOW_ERROR+x}\"";
        assert_eq!(run(check, &facts, LONG), Ok(()));
    }

    #[test]
    fn failures_are_told_by_their_status() {
        let facts = HookFacts::default();
        assert_eq!(
            run("exit 7", &facts, LONG),
            Err("ended with exit status 7".to_owned())
        );
        assert_eq!(
            run("kill -9 $$", &facts, LONG),
            Err("was ended by signal 9".to_owned())
        );
    }

    #[test]
    fn a_command_that_takes_too_long_is_ended_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let command = format!("sleep 300 & echo $! > {}; wait", pid.display());
        let why = run(&command, &HookFacts::default(), Duration::from_secs(1)).unwrap_err();
        assert_eq!(why, "took longer than 1 s");
        let child: u32 = std::fs::read_to_string(pid)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        // Gone, or dead and waiting for whoever adopts orphans here; a kernel that is busy needs a moment for it.
        let lives = || {
            let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            !state.is_empty() && !state.contains(") Z ")
        };
        let patience = std::time::Instant::now() + Duration::from_secs(10);
        while lives() {
            assert!(std::time::Instant::now() < patience, "it lives on");
            std::thread::yield_now();
        }
    }

    #[test]
    fn errors_of_requests_tell_no_more_than_the_host() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let hooks = Hooks {
            ping_fail: Some(format!("http://127.0.0.1:{port}/sesame").parse().unwrap()),
            ..Hooks::default()
        };
        let failures = runtime().block_on(hooks.failed(&HookFacts::default()));
        assert_eq!(failures, ["ping (failed) to 127.0.0.1: no connection"]);
        assert!(!format!("{hooks:?}").contains("sesame"));
    }
}
