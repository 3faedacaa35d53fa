//! Does anything make backups by itself: cron, systemd, `pgstow serve`? And where does it write its logs?

use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Check;
use crate::config::Config;
use crate::storage::http_client;

/// How long a service on this host may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// As much of a log's end is looked at.
const TAIL_BYTES: u64 = 64 << 10;

/// Files that may hold crontab lines, and directories of them.
const CRONTABS: [&str; 4] = [
    "etc/crontab",
    "etc/cron.d",
    "var/spool/cron/crontabs",
    "var/spool/cron",
];

/// Directories of systemd units.
const UNITS: [&str; 3] = [
    "etc/systemd/system",
    "lib/systemd/system",
    "usr/lib/systemd/system",
];

/// The checks of the host below `root`.
pub(super) async fn checks(config: &Config, root: &Path) -> Vec<Check> {
    let mut checks = Vec::new();
    let lines = cron_lines(root);
    let mut logs: Vec<PathBuf> = lines.iter().filter_map(|line| log_of(line)).collect();
    for line in &lines {
        checks.push(Check::ok("cron", format!("\"{}\"", line.trim())));
        checks.extend(scripts(line).iter().filter_map(|path| script(root, path)));
    }
    if !lines.is_empty() && !is_running(root, &["cron", "crond"]) {
        checks.push(
            Check::fail("cron", "there are entries, but no cron daemon runs")
                .hint("Start it: systemctl enable --now cron"),
        );
    }
    let units = units(root);
    for unit in &units {
        checks.push(Check::ok("systemd", unit.display().to_string()));
    }
    let service = service(config).await;
    let nothing = lines.is_empty() && units.is_empty() && service.is_none();
    checks.extend(service);
    if nothing {
        checks.push(
            Check::warn("schedule", "nothing makes backups by itself")
                .hint("Run pgstow serve, or see scripts/backup-cron.txt and packaging/systemd/."),
        );
    }
    logs.extend(config.log.file.as_ref().map(|file| file.value.clone()));
    logs.sort();
    logs.dedup();
    checks.extend(logs.iter().map(|path| log(&below(root, path))));
    let zone = config.profiles.first().map(|profile| profile.zone());
    if let Some(zone) = zone {
        let now = jiff::Timestamp::now().to_zoned(zone);
        checks.push(Check::ok(
            "clock",
            now.strftime("%Y-%m-%d %H:%M %Z").to_string(),
        ));
    }
    checks
}

/// An absolute path as it lies below another root.
fn below(root: &Path, path: &Path) -> PathBuf {
    match path.strip_prefix("/") {
        Ok(relative) => root.join(relative),
        Err(_) => path.to_owned(),
    }
}

/// Lines of crontabs that have to do with pgstow, without comments. What cannot be read is not ours.
fn cron_lines(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for place in CRONTABS {
        let path = root.join(place);
        match std::fs::read_dir(&path) {
            Ok(entries) => files.extend(entries.flatten().map(|entry| entry.path())),
            Err(_) => files.push(path),
        }
    }
    files.sort();
    files.dedup();
    let texts = files
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok());
    let mut lines: Vec<String> = Vec::new();
    for text in texts {
        let ours = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            // An assignment such as BACKUP_DIR=... is no entry.
            .filter(|line| {
                line.trim_start().starts_with(['@', '*'])
                    || line.trim_start().starts_with(|c: char| c.is_ascii_digit())
            })
            .filter(|line| line.contains("pgstow") || line.contains("backup-db.sh"));
        lines.extend(ours.map(str::to_owned));
    }
    lines
}

/// Absolute paths of scripts and programs that a line runs.
fn scripts(line: &str) -> Vec<PathBuf> {
    line.split_ascii_whitespace()
        .filter(|word| word.starts_with('/'))
        .filter(|word| word.ends_with(".sh") || word.ends_with("/pgstow"))
        .map(PathBuf::from)
        .collect()
}

fn script(root: &Path, path: &Path) -> Option<Check> {
    let shown = path.display();
    match std::fs::metadata(below(root, path)) {
        Err(e) => Some(Check::fail("script", format!("{shown}: {e}"))),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => Some(
            Check::fail("script", format!("{shown} is not executable"))
                .hint(format!("Run: chmod +x {shown}")),
        ),
        Ok(_) => None,
    }
}

/// The file behind `>>` or `>`.
fn log_of(line: &str) -> Option<PathBuf> {
    let (_, behind) = line.split_once('>')?;
    let word = behind
        .trim_start_matches('>')
        .split_ascii_whitespace()
        .next()?;
    word.starts_with('/').then(|| PathBuf::from(word))
}

fn log(path: &Path) -> Check {
    let shown = path.display();
    let text = match tail(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Check::ok("log", format!("{shown}: nothing written yet"));
        }
        Err(e) => return Check::fail("log", format!("{shown}: {e}")),
    };
    let is_error = |line: &&str| line.contains("ERROR") || line.starts_with("error:");
    match text.lines().rev().find(is_error) {
        None => Check::ok("log", format!("{shown}: no errors at its end")),
        Some(line) => Check::warn("log", format!("{shown}: last error: {}", line.trim())),
    }
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn is_running(root: &Path, names: &[&str]) -> bool {
    let Ok(processes) = std::fs::read_dir(root.join("proc")) else {
        return false;
    };
    processes.flatten().any(|process| {
        std::fs::read_to_string(process.path().join("comm"))
            .is_ok_and(|name| names.contains(&name.trim()))
    })
}

/// Units whose names say that they are ours.
fn units(root: &Path) -> Vec<PathBuf> {
    let mut units = Vec::new();
    for place in UNITS {
        let entries = std::fs::read_dir(root.join(place)).into_iter().flatten();
        units.extend(entries.flatten().map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| {
                name.starts_with("pgstow")
                    && (name.ends_with(".timer") || name.ends_with(".service"))
            })
        }));
    }
    units.sort();
    units
}

/// Whether a service answers where it would listen.
async fn service(config: &Config) -> Option<Check> {
    let listen = config.service.listen.as_ref()?.value;
    let address = match listen.ip().is_unspecified() {
        true => std::net::SocketAddr::from(([127, 0, 0, 1], listen.port())),
        false => listen,
    };
    let client = http_client(ANSWER).ok()?;
    let answer = client.get(format!("http://{address}/healthz")).send().await;
    let body = answer.ok()?.text().await.ok()?;
    (body.trim() == "ok")
        .then(|| Check::ok("service", format!("pgstow serve answers on {address}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::Status;
    use super::*;

    fn host(files: &[(&str, &str, u32)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text, mode) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(*mode)).unwrap();
        }
        dir
    }

    #[test]
    fn cron_lines_are_found_wherever_crontabs_are() {
        let host = host(&[
            (
                "etc/crontab",
                "# pgstow\n0 2 * * * root /opt/backup-db.sh daily >> /var/log/b.log 2>&1\n",
                0o644,
            ),
            (
                "etc/cron.d/pgstow",
                "BACKUP_DIR=/pgstow\n@daily root pgstow cleanup\n",
                0o644,
            ),
            ("var/spool/cron/crontabs/me", "5 4 * * * other\n", 0o600),
        ]);
        let lines = cron_lines(host.path());
        assert_eq!(lines.len(), 2, "{lines:?}");
        let line = lines
            .iter()
            .find(|line| line.contains("backup-db"))
            .unwrap();
        assert_eq!(log_of(line), Some(PathBuf::from("/var/log/b.log")));
        assert_eq!(scripts(line), [PathBuf::from("/opt/backup-db.sh")]);
    }

    #[test]
    fn our_own_crontab_is_understood() {
        let ours = include_str!("../../scripts/backup-cron.txt");
        let host = host(&[("var/spool/cron/crontabs/root", ours, 0o600)]);
        let lines = cron_lines(host.path());
        assert_eq!(lines.len(), 5, "{lines:?}");
        let log = Some(PathBuf::from("/var/log/pgstow-cron.log"));
        assert!(lines.iter().all(|line| log_of(line) == log), "{lines:?}");
        assert_eq!(lines.iter().flat_map(|line| scripts(line)).count(), 3);
    }

    #[test]
    fn scripts_must_be_there_and_executable() {
        let host = host(&[("opt/a.sh", "", 0o755), ("opt/b.sh", "", 0o644)]);
        let status = |path: &str| script(host.path(), Path::new(path)).map(|check| check.status);
        assert_eq!(status("/opt/a.sh"), None);
        assert_eq!(status("/opt/b.sh"), Some(Status::Fail));
        assert_eq!(status("/opt/c.sh"), Some(Status::Fail));
    }

    #[test]
    fn the_last_error_of_a_log_is_told_without_secrets() {
        let host = host(&[("log", "x\nERROR postgresql://me:sesame@h/db\ny\n", 0o600)]);
        let check = log(&host.path().join("log"));
        assert_eq!(check.status, Status::Warn);
        assert!(check.found.contains("me:***@h") && !check.found.contains("sesame"));
        assert_eq!(log(&host.path().join("none")).status, Status::Ok);
    }
}
