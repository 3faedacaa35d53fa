//! Who holds a lock, in words for whoever finds it taken.

/// A line about this process for people, and one by which the same host can tell whether it still lives.
pub(super) fn describe() -> String {
    let pid = std::process::id();
    let life = life_of(pid).map_or_else(String::new, |life| format!("{LIFE}{pid} {life}\n"));
    format!(
        "{PREFIX}, process {pid} on host {}, since {}\n{life}",
        host(),
        jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC")
    )
}

/// Whether the process that wrote this is certainly gone: it ran on this host, in this boot and container, and no process has
/// its number and start any more. Of other hosts nobody here can tell.
pub(super) fn is_known_dead(text: &str) -> bool {
    let line = text.lines().find_map(|line| line.strip_prefix(LIFE));
    let Some((pid, then)) = line.and_then(|line| line.split_once(' ')) else {
        return false;
    };
    let (Ok(pid), Some(place)) = (pid.parse(), place()) else {
        return false;
    };
    then.starts_with(&place) && life_of(pid).as_deref() != Some(then)
}

/// Boot, container and start of a process; `None` if it is not there.
fn life_of(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the start is the 20th field behind it (manual: "proc_pid_stat").
    let start = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?;
    Some(format!("{}{start}", place()?))
}

/// What numbers of processes are unique in.
fn place() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let container = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {} ", boot.trim(), container.display()))
}

/// Whether a lock file was written by [`describe`]: other programs' files are none of our business.
pub(super) fn is_ours(text: &str) -> bool {
    text.starts_with(PREFIX)
}

pub(super) fn host() -> String {
    whoami::hostname().unwrap_or_else(|_| "unknown".to_owned())
}

const PREFIX: &str = "pgstow";
const LIFE: &str = "alive: ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_certainly_died_is_known_dead() {
        let ours = describe();
        assert!(is_ours(&ours) && !is_known_dead(&ours));
        let mut child = std::process::Command::new("true").spawn().expect("it runs");
        let pid = child.id();
        let gone = ours.replace(
            &format!("{LIFE}{} ", std::process::id()),
            &format!("{LIFE}{pid} "),
        );
        child.wait().expect("it ends");
        assert!(is_known_dead(&gone), "{gone}");
        let boot = place().expect("this is Linux");
        assert!(!is_known_dead(&gone.replace(&boot, "another boot ")));
        assert!(!is_known_dead("pgstow, process 1 on host h, since then\n"));
        assert!(!is_known_dead("alive: x y\n"));
    }
}
