//! `pgstow serve` as its clients meet it: the built binary, HTTP by hand, curl as an outsider.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::harness::pgstow::finish;
use crate::harness::{Database, Host, on_newest, wait_until, wait_while_running};

/// A running service. Its log gathers in memory.
struct Service {
    child: Child,
    address: String,
    log: Arc<Mutex<String>>,
}

/// An answer.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.text());
        self
    }
}

impl Service {
    fn start(host: &Host, arguments: &[&str]) -> Service {
        let mut child = host
            .command()
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert_ne!(
                stderr.read_line(&mut line).unwrap(),
                0,
                "{}",
                log.lock().unwrap()
            );
            log.lock().unwrap().push_str(&line);
            if let Some((_, rest)) = line.split_once("listening on http://") {
                break rest.split(',').next().unwrap().to_owned();
            }
        };
        let gathered = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                gathered.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        Service {
            child,
            address,
            log,
        }
    }

    /// A request with its headers as lines.
    fn send(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        if !headers.iter().any(|line| line.starts_with("Host:")) {
            head.push_str(&format!("Host: {}\r\n", self.address));
        }
        for line in headers {
            head.push_str(&format!("{line}\r\n"));
        }
        socket.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        // A body that is too large may be refused before all of it is read.
        let _ = socket.write_all(body);
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .expect("a whole head");
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let mut body = answer[end + 4..].to_vec();
        if head.to_lowercase().contains("transfer-encoding: chunked") {
            body = unchunked(&body);
        }
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body,
        }
    }

    fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    fn post(&self, path: &str, json: &str) -> Answer {
        let headers: &[&str] = if json.is_empty() {
            &[]
        } else {
            &["Content-Type: application/json"]
        };
        self.send("POST", path, headers, json.as_bytes())
    }

    /// Ends it by a signal and gives its exit status.
    fn stop(&mut self) -> i32 {
        let pid = self.child.id().to_string();
        finish(std::process::Command::new("kill").arg(pid)).expect_status(0);
        self.child.wait().unwrap().code().unwrap()
    }

    /// Its log, once a line with that text is in it: lines reach us a moment later than answers.
    fn logged(&self, text: &str) -> String {
        let log = || self.log.lock().unwrap().clone();
        wait_until(&format!("it logs {text:?}"), || log().contains(text));
        log()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("{}", self.log.lock().unwrap());
        }
    }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return body;
        }
        body.extend(&rest[end + 2..end + 2 + length]);
        rest = &rest[end + 4 + length..];
    }
}

const TABLE: &str = "CREATE TABLE t AS SELECT n, md5(n::text) AS m FROM generate_series(1, 2000) n";

#[test]
fn backups_are_made_listed_downloaded_and_proved_over_http() {
    on_newest(|server| {
        let source = Database::filled(server, TABLE);
        let host = Host::of(&source);
        let mut service = Service::start(&host, &[]);
        // The guide's own words.
        let url = format!(
            "http://{}",
            service.address.replace("127.0.0.1", "localhost")
        );
        let started = finish(host.program("curl").args([
            "-sf",
            "-X",
            "POST",
            &format!("{url}/api/backup/create"),
        ]))
        .expect_status(0);
        let job: Value = serde_json::from_str(&started.stdout()).unwrap();
        let id = job["id"].as_str().unwrap();
        let events = service
            .get(&format!("/api/jobs/{id}/events"))
            .expect(200)
            .text();
        let last = events
            .trim_end()
            .lines()
            .last()
            .unwrap()
            .strip_prefix("data: ")
            .unwrap();
        let last: Value = serde_json::from_str(last).unwrap();
        assert_eq!(
            (&last["state"], &last["rows"]),
            (&"done".into(), &2000.into()),
            "{events}"
        );
        assert_eq!(
            service.get(&format!("/api/jobs/{id}")).json()["state"],
            "done"
        );
        let listed = finish(
            host.program("curl")
                .args(["-sf", &format!("{url}/api/backup/list")]),
        )
        .expect_status(0);
        let listed: Vec<Value> = serde_json::from_str(&listed.stdout()).unwrap();
        assert_eq!(listed, host.list());

        let set = last["set"].as_str().unwrap();
        let kind = r#"{"kind": "weekly", "database": "jarvis"}"#;
        let weekly = service
            .post("/api/backup/create?wait=true", kind)
            .expect(200)
            .json();
        assert_eq!(
            service
                .get(&format!("/api/backup/{}", weekly["set"].as_str().unwrap()))
                .json()["kind"],
            "weekly"
        );

        let file = host.backups().join(format!("{set}.sql.gz"));
        let bytes = std::fs::read(&file).unwrap();
        let path = format!("/api/backup/{set}/download");
        assert_eq!(service.get(&path).expect(200).body, bytes);
        let part = service
            .send("GET", &path, &["Range: bytes=100-199"], b"")
            .expect(206);
        assert_eq!(part.body, bytes[100..200]);
        assert!(
            part.head
                .contains(&format!("bytes 100-199/{}", bytes.len()))
        );
        service
            .send("GET", &path, &["Range: bytes=999999999-"], b"")
            .expect(416);

        let post = |what: &str, body: &str| {
            service.post(&format!("/api/backup/{set}/{what}?wait=true"), body)
        };
        assert_eq!(post("verify", "").expect(200).json()["state"], "done");
        assert_eq!(post("drill", "").expect(200).json()["state"], "done");
        assert_eq!(post("pin", "").expect(200).json()["pinned"], true);
        assert_eq!(
            post("pin", r#"{"pinned": false}"#).expect(200).json()["pinned"],
            false
        );
        let preview = service
            .post("/api/backup/cleanup", r#"{"dry_run": true}"#)
            .expect(200)
            .json();
        assert_eq!(preview["delete"].as_array().unwrap().len(), 0);
        service
            .post("/api/backup/cleanup?wait=true", "")
            .expect(200);
        post("restore", &format!(r#"{{"confirm": "{}"}}"#, source.name)).expect(403);

        let metrics = service.get("/metrics").expect(200).text();
        let created: jiff::Timestamp = host.list()[0]["created"].as_str().unwrap().parse().unwrap();
        for line in [
            format!(
                "pgstow_last_good_backup_timestamp_seconds{{database=\"jarvis\"}} {}",
                created.as_second()
            ),
            "pgstow_last_backup_rows{database=\"jarvis\"} 2000".to_owned(),
            "pgstow_backups{database=\"jarvis\",kind=\"weekly\"} 1".to_owned(),
            "pgstow_jobs_total{database=\"jarvis\",work=\"create\",outcome=\"done\"} 2".to_owned(),
        ] {
            assert!(metrics.lines().any(|it| it == line), "{line}\n{metrics}");
        }
        assert!(!metrics.contains("pgstow_last_drilled_timestamp_seconds{database=\"jarvis\"} 0"));
        assert_eq!(service.get("/healthz").expect(200).text(), "ok\n");
        assert_eq!(service.stop(), 0);
        service.logged("stopped");
    });
}

#[test]
fn of_fifty_creates_at_once_one_runs() {
    on_newest(|server| {
        let source = Database::filled(server, TABLE);
        // The one that runs waits for all the others to be told.
        let host = Host::of(&source).with(
            "PGSTOW_HOOKS_BEFORE",
            "while [ ! -e gate ]; do sleep 0.05; done",
        );
        let service = Service::start(&host, &["--no-schedule"]);
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let posts: Vec<_> = (0..50)
                .map(|_| scope.spawn(|| service.post("/api/backup/create", "")))
                .collect();
            let answers = posts.into_iter().map(|post| post.join().unwrap());
            answers
                .map(|answer| {
                    if answer.status == 409 {
                        let refused = answer.json();
                        assert_eq!(refused["job"]["state"], "running");
                        assert!(refused["error"].as_str().unwrap().contains("busy"));
                    }
                    answer.status
                })
                .collect()
        });
        let count = |status: u16| statuses.iter().filter(|it| **it == status).count();
        assert_eq!((count(202), count(409)), (1, 49));
        // The command line knows of it, too.
        host.run(["create"]).expect_status(11);
        std::fs::write(host.dir().join("gate"), "").unwrap();
        // The set is there a moment before its job has ended.
        let mut status = 409;
        wait_until("another create is let in", || {
            status = service.post("/api/backup/create?wait=true", "").status;
            status != 409
        });
        assert_eq!(status, 200);
        assert_eq!(host.ids().len(), 2);
    });
}

#[test]
fn what_is_not_ours_is_refused() {
    on_newest(|server| {
        let source = Database::filled(server, TABLE);
        let host = Host::of(&source);
        let id = host.create("manual");
        let service = Service::start(&host, &["--no-schedule"]);
        service
            .send("GET", "/api/backup/list", &["Host: evil.example"], b"")
            .expect(403);
        let own = format!("Host: {}", service.address);
        service
            .send(
                "POST",
                "/api/backup/create",
                &[&own, "Origin: http://evil.example"],
                b"",
            )
            .expect(403);
        service
            .send(
                "POST",
                "/api/backup/create",
                &[&own, &format!("Origin: http://{}", service.address)],
                b"",
            )
            .expect(202);
        for path in [
            "/api/backup/..%2f..%2fetc%2fpasswd",
            "/api/backup/%2e%2e%2fsecret/download",
            "/api/backup/jarvis-backup-20260114-020000%00/download",
            "/api/backup/jarvis/download",
            "/api/backup/.hidden-backup-20260114-020000",
        ] {
            service.get(path).expect(400);
        }
        for path in [
            "/api/backup/jarvis-backup-20200114-020000",
            "/api/backup/other-backup-20260114-020000",
            "/api/jobs/nonesuch",
            "/nonesuch",
        ] {
            service.get(path).expect(404);
        }
        service.get("/api/backup/create").expect(405);
        service
            .send("DELETE", &format!("/api/backup/{id}"), &[], b"")
            .expect(405);
        service
            .post("/api/backup/create", r#"{"database": "nonesuch"}"#)
            .expect(404);
        service
            .post(
                "/api/backup/create",
                r#"{"url": "postgresql://me:sesame@h/d"}"#,
            )
            .expect(400);
        service.post("/api/backup/create", "{").expect(400);
        service
            .send(
                "POST",
                "/api/backup/create",
                &["Content-Type: text/plain"],
                b"{}",
            )
            .expect(415);
        let large = vec![b' '; 100 << 10];
        service
            .send(
                "POST",
                "/api/backup/create",
                &["Content-Type: application/json"],
                &large,
            )
            .expect(413);
        let refused = service.get("/nonesuch").json();
        let log = service.logged(refused["request_id"].as_str().unwrap());
        assert!(!log.contains("sesame"), "{log}");
    });
}

#[test]
fn a_token_is_needed_beyond_loopback_and_checked() {
    on_newest(|server| {
        let source = Database::filled(server, TABLE);
        let host = Host::of(&source);
        host.run(["serve", "--listen", "0.0.0.0:0"])
            .expect_status(2);
        let file = host.dir().join("token");
        std::fs::write(&file, "sesame-token\n").unwrap();
        let path = file.to_str().unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
        host.run(["serve", "--token-file", path]).expect_status(2);
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        let service = Service::start(&host, &["--no-schedule", "--token-file", path]);
        for page in ["/api/backup/list", "/metrics", "/api/openapi.json"] {
            let refused = service.get(page).expect(401);
            assert!(
                refused
                    .head
                    .to_lowercase()
                    .contains("www-authenticate: bearer")
            );
            service
                .send("GET", page, &["Authorization: Bearer wrong"], b"")
                .expect(401);
            service
                .send(
                    "GET",
                    page,
                    &["Authorization: Bearer sesame-token", "Host: backup.example"],
                    b"",
                )
                .expect(200);
        }
        service.get("/healthz").expect(200);
        let log = service.logged("/healthz");
        assert!(!log.contains("sesame"), "{log}");
    });
}

#[test]
fn a_restore_needs_leave_and_the_name() {
    on_newest(|server| {
        let source = Database::filled(server, TABLE);
        let host = Host::of(&source);
        let id = host.create("manual");
        source.sql("DELETE FROM t");
        let service = Service::start(&host, &["--no-schedule", "--allow-restore"]);
        let path = format!("/api/backup/{id}/restore?wait=true");
        service.post(&path, "").expect(400);
        service.post(&path, r#"{"confirm": "jarvis"}"#).expect(400);
        assert_eq!(source.sql("SELECT count(*) FROM t"), "0\n");
        let done = service
            .post(&path, &format!(r#"{{"confirm": "{}"}}"#, source.name))
            .expect(200)
            .json();
        assert_eq!(done["state"], "done");
        assert_eq!(source.sql("SELECT count(*) FROM t"), "2000\n");
    });
}

#[test]
fn what_fails_is_told_without_secrets() {
    on_newest(|server| {
        let source = Database::filled(server, TABLE);
        let host = Host::of(&source).with("DATABASE_URL", "postgresql://me:sesame@127.0.0.1:1/x");
        let service = Service::start(&host, &["--no-schedule"]);
        let failed = service
            .post("/api/backup/create?wait=true", "")
            .expect(500)
            .json();
        assert_eq!(
            (&failed["state"], &failed["exit_status"]),
            (&"failed".into(), &20.into())
        );
        assert!(!failed.to_string().contains("sesame"));
        let metrics = service.get("/metrics").text();
        assert!(metrics.contains("outcome=\"failed\"} 1"), "{metrics}");
        let log = service.logged("create failed");
        assert!(!log.contains("sesame"), "{log}");
        assert_eq!(host.files(), [""; 0]);
    });
}

#[test]
fn a_service_that_stops_leaves_nothing_half_done() {
    on_newest(|server| {
        let source = Database::filled(server, TABLE);
        let host = Host::of(&source).with("PGSTOW_HOOKS_ON_ERROR", "echo $PGSTOW_ERROR > told");
        let mut blocker = source.hold("BEGIN; LOCK TABLE t");
        let mut service = Service::start(&host, &["--no-schedule"]);
        let job = service.post("/api/backup/create", "").expect(202).json();
        let id = job["id"].as_str().unwrap();
        wait_until("the job is at work", || {
            let job = service.get(&format!("/api/jobs/{id}")).json();
            assert_eq!(job["state"], "running", "{job}");
            job["phase"] != Value::Null
        });
        assert_eq!(service.stop(), 0);
        blocker.release();
        assert_eq!(host.files(), [""; 0]);
        let told = std::fs::read_to_string(host.dir().join("told")).unwrap();
        assert!(told.contains("the service stops"), "{told}");
    });
}

#[test]
fn missed_runs_are_caught_up_when_the_service_starts() {
    on_newest(|server| {
        let source = Database::filled(server, "CREATE TABLE t (n int)");
        let host = Host::of(&source);
        host.age(&host.create("daily"), 3);
        let mut service = Service::start(&host, &[]);
        // One daily set for three days; the week and the month may have passed as well.
        let of_kind = |kind: &str| host.list().iter().filter(|set| set["kind"] == kind).count();
        wait_while_running(&mut service.child, "a daily set is made", || {
            of_kind("daily") >= 2
        });
        service.logged("cleanup done");
        assert_eq!(of_kind("daily"), 2);
        assert!(of_kind("weekly") <= 1 && of_kind("monthly") <= 1);
        assert_eq!(service.stop(), 0);
    });
}

#[test]
fn the_openapi_document_is_the_golden_one() {
    let path = format!("{}/docs/openapi.json", env!("CARGO_MANIFEST_DIR"));
    let served = pgstow::service::openapi_json();
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::write(&path, &served).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        served == golden,
        "docs/openapi.json is not what is served; UPDATE_FIXTURES=1 rewrites it"
    );
}
