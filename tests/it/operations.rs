//! The guide in docs/operations.md, line by line, against the built binary and a real server.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Stdio;

use pgstow::archive::{ArchiveReader, ArchiveWriter, Compression, MemberEncoder};
use serde_json::Value;

use crate::harness::pgstow::{command, finish};
use crate::harness::{
    Database, Host, Server, Snapshot, differences, on_newest, wait_while_running,
};

const SHOP: &str = "
    CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL);
    INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 3000) n;
    CREATE TABLE orders (id serial PRIMARY KEY, user_id int NOT NULL REFERENCES users, total numeric);
    INSERT INTO orders (user_id, total) SELECT n % 3000 + 1, n / 7.0 FROM generate_series(1, 5000) n;
    CREATE VIEW totals AS SELECT user_id, sum(total) AS total FROM orders GROUP BY user_id;
    CREATE MATERIALIZED VIEW top AS SELECT * FROM totals ORDER BY total DESC LIMIT 10;
    CREATE INDEX ON orders (user_id);";

fn shop(server: &'static Server) -> Database {
    Database::filled(server, SHOP)
}

fn script(name: &str) -> String {
    format!("{}/scripts/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn expect_equal(one: &Database, other: &Database) {
    let (one, other) = (Snapshot::of(one).unwrap(), Snapshot::of(other).unwrap());
    if let Some(difference) = differences(&one, &other) {
        panic!("{difference}");
    }
}

#[test]
fn a_set_is_made_listed_checked_and_restored_by_outsiders() {
    on_newest(|server| {
        let source = shop(server);
        let host = Host::of(&source);
        let id = host.create("manual");
        let set = format!("{id}.sql.gz");
        assert_eq!(
            host.files(),
            [set.clone(), format!("{set}.meta"), format!("{set}.sha256")]
        );
        finish(
            host.program("sha256sum")
                .current_dir(host.backups())
                .args(["-c", &format!("{set}.sha256")]),
        )
        .expect_status(0);
        let replayed = Database::empty(server);
        replayed.replay(&host.backups().join(&set)).unwrap();
        expect_equal(&source, &replayed);

        let listed = &host.list()[0];
        assert_eq!(listed["id"], id.as_str());
        assert_eq!(
            (&listed["kind"], &listed["rows"]),
            (&"manual".into(), &8000.into())
        );
        assert_eq!(listed["verified"], Value::Null);
        host.run(["verify", "latest", "--quick"]).expect_status(0);
        assert_eq!(host.list()[0]["verified"]["how"], "quick");
        host.run(["verify", "--all"]).expect_status(0);
        let verified = host.list()[0]["verified"].clone();
        assert_eq!(
            (&verified["how"], &verified["intact"]),
            (&"read-data".into(), &true.into())
        );
        // A quick look does not take the place of a thorough one.
        host.run(["verify", "latest", "--quick"]).expect_status(0);
        assert_eq!(host.list()[0]["verified"], verified);
        host.run(["show", "latest"]).expect_status(0);
        host.run(["report"]).expect_status(0);
    });
}

#[test]
fn the_scripts_back_up_and_restore() {
    on_newest(|server| {
        let source = shop(server);
        let host = Host::of(&source);
        finish(host.program(script("backup-db.sh")).arg("daily")).expect_status(0);
        let set = host.list()[0].clone();
        assert_eq!(set["kind"], "daily");
        let file = host.backups().join(set["file"].as_str().unwrap());
        let before = Snapshot::of(&source).unwrap();
        source.sql("DROP MATERIALIZED VIEW top; DELETE FROM orders; UPDATE users SET name = 'x'");

        // Nobody there to confirm: nothing happens.
        let restore = |arguments: &[&str]| {
            finish(
                host.program(script("restore-db.sh"))
                    .arg(&file)
                    .args(arguments),
            )
        };
        restore(&[]).expect_status(2);
        assert_eq!(source.sql("SELECT count(*) FROM orders"), "0\n");
        let restored = restore(&["--yes"]).expect_status(0);
        assert!(
            restored.stdout().contains("is intact"),
            "{}",
            restored.stdout()
        );
        let after = Snapshot::of(&source).unwrap();
        assert_eq!(differences(&before, &after), None);

        finish(
            host.program(script("restore-db.sh"))
                .arg("/nonexistent.sql.gz"),
        )
        .expect_status(5);
        finish(&mut host.program(script("restore-db.sh"))).expect_status(2);
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let damaged = restore(&["--yes"]).expect_status(4);
        assert!(damaged.stderr().contains("damaged"), "{}", damaged.stderr());
        // A set that was found damaged is no backup any more.
        assert_eq!(host.list()[0]["verified"]["intact"], false);
        host.run(["show", "latest"]).expect_status(5);
    });
}

#[test]
fn the_name_is_typed_to_confirm_a_restore() {
    on_newest(|server| {
        let source = shop(server);
        let host = Host::of(&source);
        host.create("manual");
        source.sql("DELETE FROM orders");
        // `script` gives it a terminal.
        let answer = |text: &str| {
            let call = format!("{} latest --progress none", "pgstow restore");
            let mut child = host
                .program("script")
                .args(["-qefc", &call, "/dev/null"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            child
                .stdin
                .take()
                .unwrap()
                .write_all(format!("{text}\n").as_bytes())
                .unwrap();
            child.wait_with_output().unwrap().status.code().unwrap()
        };
        assert_eq!(answer("something"), 1);
        assert_eq!(source.sql("SELECT count(*) FROM orders"), "0\n");
        assert_eq!(answer(&source.name), 0);
        assert_eq!(source.sql("SELECT count(*) FROM orders"), "5000\n");
    });
}

#[test]
fn one_run_per_name_at_a_time() {
    on_newest(|server| {
        let source = Database::filled(server, "CREATE TABLE t (n int)");
        let host = Host::of(&source);
        // The first run waits in its hook.
        let gate = host.dir().join("gate");
        let mut first = host
            .command()
            .env(
                "PGSTOW_HOOKS_BEFORE",
                format!(
                    "touch waits; while [ ! -e {} ]; do sleep 0.05; done",
                    gate.display()
                ),
            )
            .arg("create")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_while_running(&mut first, "it waits in its hook", || {
            host.dir().join("waits").exists()
        });
        let refused = host.run(["create"]).expect_status(11);
        assert!(refused.stderr().contains("in use"), "{}", refused.stderr());
        // Another name is another backup.
        host.run(["create", "--name", "other"]).expect_status(0);
        std::fs::write(gate, "").unwrap();
        assert!(first.wait().unwrap().success());
        // BACKUP_NAME is set: the other one is another's.
        assert_eq!(host.ids().len(), 1);
        let ambiguous = host
            .command()
            .env_remove("BACKUP_NAME")
            .args(["show", "latest"])
            .output();
        assert_eq!(ambiguous.unwrap().status.code(), Some(2));
        host.run(["show", "latest"]).expect_status(0);
    });
}

#[test]
fn latest_of_a_kind_is_found() {
    on_newest(|server| {
        let source = Database::filled(server, "CREATE TABLE t (n int)");
        let host = Host::of(&source);
        let weekly = host.create("weekly");
        let daily = host.create("daily");
        let shown = |wanted: &str| host.run(["verify", wanted]).expect_status(0).stdout();
        assert!(shown("latest").contains(&daily));
        assert!(shown("latest:weekly").contains(&weekly));
        host.run(["verify", "latest:monthly"]).expect_status(5);
        host.run(["verify", "latest:hourly"]).expect_status(2);
        // Definitions alone are not the latest backup.
        host.run(["create", "-s"]).expect_status(0);
        assert!(shown("latest").contains(&daily));
    });
}

#[test]
fn cleanup_deletes_what_no_rule_keeps_and_says_why() {
    on_newest(|server| {
        let source = Database::filled(server, "CREATE TABLE t (n int)");
        let host = Host::of(&source);
        let aged = |kind: &str, days: i64| host.age(&host.create(kind), days);
        let old = aged("daily", 100);
        let pinned = aged("daily", 90);
        let month = aged("manual", 45);
        let manual = aged("manual", 20);
        let newest = host.create("daily");
        host.run(["pin", &pinned]).expect_status(0);
        let foreign = host.backups().join("notes.txt");
        std::fs::write(&foreign, "mine").unwrap();

        // The usual rules keep 30 days of daily sets that have one, and all that hands made.
        let shown = host.run(["cleanup", "--dry-run"]).expect_status(0).stdout();
        assert!(!shown.contains("would delete"), "{shown}");
        let last = ["cleanup", "--keep-last", "2", "--dry-run", "--json"];
        let shown: Value = serde_json::from_str(&host.run(last).expect_status(0).stdout()).unwrap();
        let kept: Vec<&str> = shown["sets"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|set| set["keep"] == true)
            .map(|set| set["id"].as_str().unwrap())
            .collect();
        assert_eq!(kept, [&newest, &manual, &pinned]);
        assert_eq!(host.ids().len(), 5, "a dry run deletes nothing");

        let days = |days: &str| {
            finish(
                host.command()
                    .env("BACKUP_RETENTION_DAYS", days)
                    .arg("cleanup"),
            )
            .expect_status(0)
        };
        days("60");
        assert_eq!(
            host.ids(),
            [&newest, &manual, &month, &pinned].map(String::as_str)
        );
        assert!(!host.files().iter().any(|name| name.contains(&old)));
        days("1");
        assert_eq!(host.ids(), [&newest, &pinned].map(String::as_str));
        host.run(["unpin", &pinned]).expect_status(0);
        host.run(["cleanup", "--keep-last", "1"]).expect_status(0);
        assert_eq!(host.ids(), [newest.as_str()]);
        assert!(foreign.exists());
        host.run(["cleanup", "--keep-last", "0"]).expect_status(2);
        host.run(["cleanup", "--keep-within=-30d"]).expect_status(2);
    });
}

#[test]
fn a_set_that_is_restored_is_not_deleted() {
    on_newest(|server| {
        let source = shop(server);
        let host = Host::of(&source);
        let old = host.age(&host.create("manual"), 50);
        host.create("manual");
        // The restore waits for a lock on a table that it drops.
        let target = shop(server);
        let mut holder = target.hold("BEGIN; LOCK TABLE users");
        let mut restore = host
            .command()
            .args(["restore", &old, &target.url(), "--yes"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        wait_while_running(&mut restore, "it waits for the lock", || {
            target.sql(waits) != "0\n"
        });
        let cleaned = host.run(["cleanup", "--keep-last", "1"]).expect_status(0);
        assert!(cleaned.stdout().contains("in use"), "{}", cleaned.stdout());
        assert_eq!(host.ids().len(), 2);
        holder.release();
        assert!(restore.wait().unwrap().success());
        host.run(["cleanup", "--keep-last", "1"]).expect_status(0);
        assert_eq!(host.ids().len(), 1);
    });
}

#[test]
fn a_drill_proves_a_set_and_touches_nothing_else() {
    on_newest(|server| {
        let source = shop(server);
        let host = Host::of(&source);
        let id = host.create("manual");
        let is_left = || {
            source.sql("SELECT count(*) FROM pg_database WHERE datname = 'pgstow_drill_dead_1'")
                == "1\n"
        };
        source.sql("DELETE FROM orders");
        // One that a dead drill left.
        source.sql("CREATE DATABASE pgstow_drill_dead_1");
        let drilled = host.run(["drill", "--json"]).expect_status(0);
        let drilled: Value = serde_json::from_str(&drilled.stdout()).unwrap();
        assert_eq!(
            (&drilled["tables"], &drilled["rows"]),
            (&2.into(), &8000.into())
        );
        // While drills of other tests run nobody can know that it is dead.
        for _ in 0..50 {
            if is_left() {
                host.run(["drill"]).expect_status(0);
            }
        }
        assert!(!is_left());
        assert_eq!(source.sql("SELECT count(*) FROM orders"), "0\n");
        let meta = host.meta(&id);
        assert_eq!(meta["drilled"]["rows"], 8000);
        assert_eq!(meta["verified"]["how"], "restore");
        host.run(["verify", &id, "--restore"]).expect_status(0);

        let rows_alone = host
            .run(["create", "-a", "--json"])
            .expect_status(0)
            .stdout();
        let rows_alone: Value = serde_json::from_str(&rows_alone).unwrap();
        host.run(["drill", rows_alone["file"].as_str().unwrap()])
            .expect_status(2);
        host.run(["drill", "/nonexistent.sql.gz"]).expect_status(5);
    });
}

/// The same archive with an index that claims other rows for its tables; whole in every other respect.
fn with_other_digests(archive: &Path) -> Vec<u8> {
    let reader = ArchiveReader::open(archive).unwrap();
    let index = reader.index();
    let compression = Compression::Gzip(1);
    let (mut writer, mut encoder) = (
        ArchiveWriter::new(Vec::new(), compression),
        MemberEncoder::new(compression),
    );
    for (id, member) in index.numbered_members() {
        let text = reader.read_member(id).unwrap();
        let (role, section) = (member.role, member.section);
        let encoded = encoder.encode(role, section, &text, member.entry, member.rows);
        writer.append(encoded.unwrap()).unwrap();
    }
    let mut entries = index.entries.clone();
    for rows in entries.iter_mut().filter_map(|entry| entry.rows.as_mut()) {
        rows.digest = "0".repeat(32);
    }
    writer.finish(index.header.clone(), entries).unwrap().sink
}

#[test]
fn a_drill_finds_rows_that_are_not_those_of_the_index() {
    on_newest(|server| {
        let source = Database::filled(server, "CREATE TABLE t AS SELECT 1 AS n");
        let host = Host::of(&source);
        let id = host.create("manual");
        let file = host.backups().join(format!("{id}.sql.gz"));
        let lying = with_other_digests(&file);
        std::fs::write(&file, &lying).unwrap();
        let sum = finish(host.program("sha256sum").arg(&file))
            .expect_status(0)
            .stdout();
        let sum = sum.split(' ').next().unwrap();
        std::fs::write(
            file.with_extension("gz.sha256"),
            format!("{sum}  {id}.sql.gz\n"),
        )
        .unwrap();
        let mut meta = host.meta(&id);
        meta["size"] = lying.len().into();
        meta["sha256"] = sum.into();
        std::fs::write(file.with_extension("gz.meta"), meta.to_string()).unwrap();

        let drilled = host.run(["drill", &id]).expect_status(4);
        assert!(
            drilled.stderr().contains("public.t have other contents"),
            "{}",
            drilled.stderr()
        );
        let meta = host.meta(&id);
        assert_eq!(meta["verified"]["intact"], false);
        assert_eq!(meta["drilled"], Value::Null);
        host.run(["drill"]).expect_status(5);
    });
}

#[test]
fn encrypted_sets_are_read_with_their_key_alone() {
    on_newest(|server| {
        let source = shop(server);
        let host = Host::of(&source);
        // A key pair that age-keygen made for these tests alone.
        let key = host.dir().join("key.txt");
        let secret = age::x25519::Identity::generate();
        use age::secrecy::ExposeSecret;
        std::fs::write(&key, secret.to_string().expose_secret()).unwrap();
        let recipient = secret.to_public().to_string();
        host.run(["create", "--recipient", &recipient])
            .expect_status(0);
        let set = host.list()[0].clone();
        let file = set["file"].as_str().unwrap();
        assert!(file.ends_with(".sql.gz.age") && set["encrypted"] == true);
        finish(
            host.program("sha256sum")
                .current_dir(host.backups())
                .args(["-c", &format!("{file}.sha256")]),
        )
        .expect_status(0);
        let bytes = std::fs::read(host.backups().join(file)).unwrap();
        let mut plain = age::Decryptor::new(&bytes[..])
            .unwrap()
            .decrypt(std::iter::once(&secret as &dyn age::Identity))
            .unwrap();
        let opened = host.dir().join("plain.sql.gz");
        std::io::copy(&mut plain, &mut std::fs::File::create(&opened).unwrap()).unwrap();
        let replayed = Database::empty(server);
        replayed.replay(&opened).unwrap();
        expect_equal(&source, &replayed);

        let keyless = host.run(["verify", "latest"]).expect_status(2);
        assert!(
            keyless.stderr().contains("no key was given"),
            "{}",
            keyless.stderr()
        );
        let key = key.to_str().unwrap();
        let other = host.dir().join("other.txt");
        std::fs::write(
            &other,
            age::x25519::Identity::generate()
                .to_string()
                .expose_secret(),
        )
        .unwrap();
        host.run(["show", "latest", "--identity", other.to_str().unwrap()])
            .expect_status(2);
        host.run(["verify", "latest", "--identity", key])
            .expect_status(0);
        host.run(["drill", "latest", "--identity", key])
            .expect_status(0);
        let target = Database::empty(server);
        host.run([
            "restore",
            "latest",
            &target.url(),
            "--yes",
            "--identity",
            key,
        ])
        .expect_status(0);
        expect_equal(&source, &target);

        let phrase = host.dir().join("phrase");
        std::fs::write(&phrase, "sesame open\n").unwrap();
        let phrase = phrase.to_str().unwrap();
        host.run(["create", "--passphrase-file", phrase])
            .expect_status(0);
        host.run(["verify", "latest", "--passphrase-file", phrase])
            .expect_status(0);
        host.run(["verify", "latest", "--identity", key])
            .expect_status(2);
    });
}

#[test]
fn hooks_are_told_and_cannot_fail_a_backup() {
    on_newest(|server| {
        let source = shop(server);
        let log = "echo $PGSTOW_EVENT $PGSTOW_NAME $PGSTOW_KIND ${PGSTOW_ID:-} ${PGSTOW_ROWS:-} ${PGSTOW_EXIT_STATUS:-} ${DATABASE_URL:-} >> log";
        let host = Host::of(&source)
            .with("PGSTOW_HOOKS_BEFORE", log)
            .with("PGSTOW_HOOKS_AFTER", log)
            .with("PGSTOW_HOOKS_ON_ERROR", log);
        let id = host.create("daily");
        finish(
            host.command()
                .env("DATABASE_URL", "postgresql://127.0.0.1:1/x")
                .arg("create"),
        )
        .expect_status(20);
        let told = std::fs::read_to_string(host.dir().join("log")).unwrap();
        let expected = format!(
            "before jarvis daily\nafter jarvis daily {id} 8000\nbefore jarvis manual\non_error jarvis manual 20\n"
        );
        assert_eq!(told.replace("  ", " ").replace(" \n", "\n"), expected);
        let failing = finish(
            host.command()
                .env("PGSTOW_HOOKS_AFTER", "exit 7")
                .arg("create"),
        )
        .expect_status(3);
        assert!(
            failing
                .stderr()
                .contains("hook after ended with exit status 7"),
            "{}",
            failing.stderr()
        );
        assert_eq!(host.ids().len(), 2);
        let slow = finish(
            host.command()
                .env("PGSTOW_HOOKS_BEFORE", "sleep 100")
                .env("PGSTOW_HOOKS_TIME_LIMIT", "1s")
                .arg("create"),
        )
        .expect_status(3);
        assert!(
            slow.stderr().contains("took longer than 1 s"),
            "{}",
            slow.stderr()
        );
        assert_eq!(host.ids().len(), 3);
    });
}

#[test]
fn pings_and_the_webhook_are_told() {
    on_newest(|server| {
        let source = Database::filled(server, "CREATE TABLE t (n int)");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let host = Host::of(&source)
            .with("PGSTOW_PING_START", &format!("{url}/start"))
            .with("PGSTOW_PING_SUCCESS", &format!("{url}/success"))
            .with("PGSTOW_PING_FAIL", &format!("{url}/fail"))
            .with("PGSTOW_WEBHOOK", &format!("{url}/hook"));
        // Answers the first request with an error, all others well.
        let requests = std::thread::spawn(move || {
            let mut seen: Vec<(String, String)> = Vec::new();
            while seen.len() < 9 {
                let (socket, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(socket.try_clone().unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    assert_ne!(reader.read_line(&mut head).unwrap(), 0);
                }
                let length = head
                    .to_lowercase()
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned));
                let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
                reader.read_exact(&mut body).unwrap();
                let status = if seen.is_empty() { "500 No" } else { "200 OK" };
                let answer =
                    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                (&socket).write_all(answer.as_bytes()).unwrap();
                let request = head.lines().next().unwrap().to_owned();
                seen.push((request, String::from_utf8(body).unwrap()));
            }
            seen
        });
        let id = host.create("daily");
        finish(
            host.command()
                .env("DATABASE_URL", "postgresql://me:sesame@127.0.0.1:1/x")
                .arg("create"),
        )
        .expect_status(20);
        let seen = requests.join().unwrap();
        let count = |what: &str| {
            seen.iter()
                .filter(|(request, _)| request.contains(what))
                .count()
        };
        assert_eq!((count("GET /success"), count("GET /fail")), (1, 1));
        // One of the first two was asked twice.
        assert_eq!(count("GET /start") + count("POST /hook"), 7);
        let told: Vec<Value> = seen
            .iter()
            .filter(|(request, _)| request.contains("POST /hook"))
            .map(|(_, body)| serde_json::from_str(body).unwrap())
            .collect();
        let done = told.iter().find(|it| it["event"] == "succeeded").unwrap();
        assert_eq!(
            (&done["set_id"], &done["kind"]),
            (&id.as_str().into(), &"daily".into())
        );
        let failed = told.iter().find(|it| it["event"] == "failed").unwrap();
        assert_eq!(failed["exit_status"], 20);
        assert!(!format!("{seen:?}").contains("sesame"));
    });
}

#[test]
fn a_backup_that_fell_sharply_is_made_and_marked() {
    on_newest(|server| {
        let source = shop(server);
        let host = Host::of(&source);
        host.create("daily");
        source.sql("DROP MATERIALIZED VIEW top; DELETE FROM orders WHERE id > 1000");
        // Another kind has nothing before it.
        host.create("weekly");
        let marked = host.run(["create", "--kind", "daily"]).expect_status(3);
        assert!(
            marked
                .stderr()
                .contains("public.orders: 1000 rows, 5000 before"),
            "{}",
            marked.stderr()
        );
        assert_eq!(host.list()[0]["anomalies"].as_array().unwrap().len(), 1);
        let listed = host.run(["list"]).expect_status(0).stdout();
        assert!(listed.contains("ANOMALY"), "{listed}");
        // That is how it is now.
        host.create("daily");
        source.sql("DELETE FROM orders WHERE id > 700");
        host.create("daily");
    });
}

#[test]
fn config_tells_where_values_come_from_and_masks_secrets() {
    on_newest(|server| {
        let source = Database::empty(server);
        let host = Host::of(&source).with("PGSTOW_PING_FAIL", "https://hc.example/sesame");
        let file = host.dir().join("pgstow.toml");
        std::fs::write(&file, "[defaults]\njobs = 3\n[database.shop]\nurl = \"postgresql://me:sesame@h/shop\"\n[database.chat]\nurl = \"postgresql://me:sesame@h/chat\"\njobs = 5\n").unwrap();
        let shown = host.run(["config"]).expect_status(0).stdout();
        assert!(!shown.contains("sesame"), "{shown}");
        for expected in [
            "postgresql://me:***@h/shop",
            "pgstow.toml line 2",
            "pgstow.toml line 7",
            "https://hc.example/***",
            "environment variable PGSTOW_PING_FAIL",
            "default",
        ] {
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
        let several = host.run(["create"]).expect_status(2);
        assert!(
            several.stderr().contains("chat, shop"),
            "{}",
            several.stderr()
        );
        host.run(["create", "--profile", "nonesuch"])
            .expect_status(2);
        std::fs::write(&file, "[defaults]\njbos = 3\n").unwrap();
        let wrong = host.run(["list"]).expect_status(2);
        assert!(
            wrong.stderr().contains("pgstow.toml line 2"),
            "{}",
            wrong.stderr()
        );
    });
}

#[test]
fn the_guides_example_of_a_configuration_holds() {
    let guide = format!("{}/docs/operations.md", env!("CARGO_MANIFEST_DIR"));
    let guide = std::fs::read_to_string(guide).unwrap();
    let (_, example) = guide.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pgstow.toml");
    std::fs::write(&file, example).unwrap();
    let shown = finish(command().args(["config", "--config", file.to_str().unwrap()]))
        .expect_status(0)
        .stdout();
    for expected in [
        "[database.jarvis]",
        "[database.shop]",
        "Europe/Berlin",
        "retention.keep_days",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
}

#[test]
fn several_databases_are_backed_up_listed_and_cleaned() {
    on_newest(|server| {
        let (shop, chat) = (
            shop(server),
            Database::filled(server, "CREATE TABLE t (n int)"),
        );
        let host = Host::of(&shop);
        let text = format!(
            "[defaults]\nrepository = \"{}/{{name}}\"\n[database.shop]\nurl = \"{}\"\n[database.chat]\nurl = \"{}\"\n",
            host.dir().display(),
            shop.url(),
            chat.url()
        );
        std::fs::write(host.dir().join("pgstow.toml"), text).unwrap();
        for name in ["shop", "chat"] {
            host.run(["create", "--profile", name]).expect_status(0);
            assert!(host.dir().join(name).is_dir());
        }
        let listed = host.list();
        let names: Vec<&str> = listed
            .iter()
            .map(|set| set["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["chat", "shop"]);
        host.run(["cleanup"]).expect_status(0);
        host.run(["verify", "--all"]).expect_status(0);
        host.run(["verify", "latest"]).expect_status(2);
        host.run(["verify", "latest", "--profile", "shop"])
            .expect_status(0);
    });
}

#[test]
fn doctor_answers_what_is_wrong() {
    on_newest(|server| {
        let source = shop(server);
        let host = Host::of(&source);
        let checks = |host: &Host, status: i32| -> Vec<(String, String)> {
            let printed = host
                .run(["doctor", "--json"])
                .expect_status(status)
                .stdout();
            let checks: Vec<Value> = serde_json::from_str(&printed).unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            checks
                .iter()
                .map(|check| (text(&check["check"]), text(&check["status"])))
                .collect()
        };
        let has = |checks: &[(String, String)], check: &str, status: &str| {
            assert!(
                checks.contains(&(check.to_owned(), status.to_owned())),
                "{check} {status}: {checks:?}"
            );
        };
        let new = checks(&host, 0);
        has(&new, "PostgreSQL", "ok");
        has(&new, "repository", "warn");
        has(&new, "last backup", "warn");
        host.create("daily");
        host.run(["drill"]).expect_status(0);
        let good = checks(&host, 0);
        for check in [
            "connection",
            "rights",
            "repository",
            "disk space",
            "last backup",
            "verified",
            "restore proved",
        ] {
            has(&good, check, "ok");
        }
        assert_eq!(
            host.files().len(),
            3,
            "doctor leaves nothing: {:?}",
            host.files()
        );
        let unreachable = host.with("DATABASE_URL", "postgresql://me:sesame@127.0.0.1:1/x");
        let printed = unreachable.run(["doctor"]).expect_status(1);
        assert!(
            printed.stdout().contains("FAIL  PostgreSQL") && !printed.stdout().contains("sesame")
        );
        let role = format!("reader_{}", source.name);
        source.sql(&format!(
            "CREATE ROLE {role} LOGIN; GRANT SELECT ON users TO {role}"
        ));
        let poor = Host::of(&source).with(
            "DATABASE_URL",
            &source.url().replace("postgres@", &format!("{role}@")),
        );
        let rights = checks(&poor, 1);
        has(&rights, "rights", "fail");
        source.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    });
}

#[test]
fn logs_go_to_a_file_and_hold_no_secret() {
    on_newest(|server| {
        let source = Database::filled(server, "CREATE TABLE t (n int)");
        let host = Host::of(&source);
        let log = host.dir().join("log");
        let log = log.to_str().unwrap();
        host.run(["create", "--log-file", log, "--log-format", "json"])
            .expect_status(0);
        finish(
            host.command()
                .env("DATABASE_URL", "postgresql://me:sesame@127.0.0.1:1/x")
                .args(["create", "--log-file", log]),
        )
        .expect_status(20);
        let text = std::fs::read_to_string(Path::new(log)).unwrap();
        let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(first["fields"]["message"], "pgstow create starts");
        assert!(
            text.contains("pgstow create failed") && !text.contains("sesame"),
            "{text}"
        );
        host.run(["create", "--log-format", "xml"]).expect_status(2);
    });
}
