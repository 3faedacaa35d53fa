//! The built binary.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use super::Failure;

/// A call of the built `pgstow` that is not touched by the caller's settings.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgstow"));
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        let settings = ["PG", "BACKUP_", "AWS_", "DATABASE_URL"];
        if settings.iter().any(|prefix| name_text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs `pgstow` with arguments.
pub(crate) fn pgstow<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Outcome {
    finish(command().args(arguments))
}

/// Sends a signal, such as `-INT`, to a program that may just have ended.
pub(crate) fn signal(child: &std::process::Child, signal: &str) {
    let _ = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .stderr(Stdio::null())
        .status();
}

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command) -> Outcome {
    let output = command.output().expect("the program runs");
    Outcome {
        call: format!("{command:?}"),
        output,
    }
}

/// What a process said on standard error until its end, which must be with this status.
#[track_caller]
pub(crate) fn ended_with(status: i32, child: std::process::Child) -> String {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{said}");
    said
}

/// A call that is listened to while it runs.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    said: String,
}

impl Running {
    /// Nobody takes what it writes to standard output.
    pub(crate) fn start(command: &mut Command) -> Running {
        let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Running {
            lines: BufReader::new(child.stderr.take().unwrap()).lines(),
            child,
            said: String::new(),
        }
    }

    /// What it said on standard error as far as it was read.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Reads on until it says this.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str) {
        while self.read_line() {
            if self.said.lines().last().unwrap().contains(what) {
                return;
            }
        }
        panic!("it never said {what}:\n{}", self.said);
    }

    /// Reads to its end. What it said.
    #[track_caller]
    pub(crate) fn ended_with(mut self, status: i32) -> String {
        while self.read_line() {}
        let ended = self.child.wait().unwrap();
        assert_eq!(ended.code(), Some(status), "{}", self.said);
        self.said
    }

    fn read_line(&mut self) -> bool {
        let Some(line) = self.lines.next() else {
            return false;
        };
        self.said.push_str(&line.unwrap());
        self.said.push('\n');
        true
    }
}

/// An archive of a database, in a directory that goes with the first of both.
pub(crate) fn archive_of(source: &super::Database) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.sql.gz").to_str().unwrap().to_owned();
    pgstow(["create", &source.url(), "-o", &file]).expect_status(0);
    (dir, file)
}

/// What came of a call.
pub(crate) struct Outcome {
    call: String,
    output: Output,
}

impl Outcome {
    /// Its exit status; 128 and more if a signal ended it.
    pub(crate) fn status(&self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        let status = self.output.status;
        status
            .code()
            .or(status.signal().map(|signal| 128 + signal))
            .expect("it has ended")
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    pub(crate) fn stdout_bytes(&self) -> &[u8] {
        &self.output.stdout
    }

    /// Itself, if the exit status is that one.
    pub(crate) fn check_status(self, expected: i32) -> Result<Outcome, Failure> {
        if self.status() == expected {
            return Ok(self);
        }
        Err(format!(
            "{}: exit status {} instead of {expected}\n{}{}",
            self.call,
            self.status(),
            super::compare::shortened(&self.stdout()),
            super::compare::shortened(&self.stderr()),
        ))
    }

    /// Fails the test unless the exit status is that one.
    #[track_caller]
    pub(crate) fn expect_status(self, expected: i32) -> Outcome {
        match self.check_status(expected) {
            Ok(outcome) => outcome,
            Err(failure) => panic!("{failure}"),
        }
    }
}
