//! Shows the engine's events: bars on a terminal, plain lines, JSON lines, or nothing. Always on stderr.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{HumanBytes, HumanCount, MultiProgress, ProgressBar, ProgressStyle};

use crate::event::{Event, Events, Phase};
use crate::objects::quote::one_line;

/// Between two plain lines.
const PLAIN_INTERVAL: Duration = Duration::from_secs(2);

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressMode {
    /// Bars if stderr is a terminal, else nothing
    Auto,
    /// A line every two seconds
    Plain,
    /// One JSON document per event
    Json,
    /// Nothing
    None,
}

/// Options of every command that takes a while.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ProgressArgs {
    /// How to show progress
    #[arg(long, value_enum, default_value = "auto", value_name = "MODE")]
    progress: ProgressMode,
    /// Tell more
    #[arg(short, long)]
    verbose: bool,
}

impl ProgressArgs {
    /// Where the engine's events go. Warnings are always printed, notes with `--verbose`.
    pub(crate) fn events(&self) -> Events {
        let verbose = self.verbose;
        match self.progress {
            ProgressMode::Json => Events::new(print_json),
            ProgressMode::Plain => watch(verbose, Plain::new()),
            ProgressMode::Auto if std::io::stderr().is_terminal() => watch(verbose, Bars::new()),
            ProgressMode::Auto | ProgressMode::None => watch(verbose, Quiet),
        }
    }
}

/// Renders progress; texts that must be printed go through it so that they do not tear its bars.
trait Watcher: Send + 'static {
    fn see(&mut self, event: &Event);
    fn print(&mut self, line: &str) {
        eprintln!("{line}");
    }
}

fn watch(verbose: bool, watcher: impl Watcher) -> Events {
    let watcher = Mutex::new(watcher);
    Events::new(move |event| {
        log(&event);
        let mut watcher = watcher.lock().unwrap_or_else(PoisonError::into_inner);
        match &event {
            Event::Warning { message } => watcher.print(&format!("warning: {}", one_line(message))),
            Event::Note { message } if verbose => watcher.print(&one_line(message)),
            _ => watcher.see(&event),
        }
    })
}

/// The log, if there is one, gets what is worth a line.
fn log(event: &Event) {
    match event {
        Event::PhaseStarted { phase } => tracing::debug!("phase {phase:?}"),
        Event::Warning { message } => tracing::warn!("{}", one_line(message)),
        Event::Note { message } => tracing::debug!("{}", one_line(message)),
        _ => {}
    }
}

fn print_json(event: Event) {
    log(&event);
    match serde_json::to_string(&event) {
        Ok(line) => eprintln!("{line}"),
        Err(error) => eprintln!("warning: an event is no JSON: {error}"),
    }
}

struct Quiet;

impl Watcher for Quiet {
    fn see(&mut self, _event: &Event) {}
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Connect => "connecting",
        Phase::Catalog => "reading catalogs",
        Phase::PreData => "pre-data",
        Phase::Data => "data",
        Phase::PostData => "post-data",
        Phase::Finish => "finishing",
        Phase::Verify => "verifying",
        Phase::Clean => "dropping",
    }
}

/// Totals of the current phase.
struct Totals {
    phase: Phase,
    since: Instant,
    rows: u64,
    bytes: u64,
    planned_bytes: u64,
    stored: u64,
}

impl Totals {
    fn new() -> Self {
        Totals {
            phase: Phase::Connect,
            since: Instant::now(),
            rows: 0,
            bytes: 0,
            planned_bytes: 0,
            stored: 0,
        }
    }

    fn add(&mut self, event: &Event) {
        match event {
            Event::PhaseStarted { phase } => {
                self.phase = *phase;
                self.since = Instant::now();
                (self.rows, self.bytes) = (0, 0);
            }
            Event::Planned { bytes, .. } => self.planned_bytes = *bytes,
            Event::WorkerAdvanced { rows, bytes, .. } => {
                self.rows += rows;
                self.bytes += bytes;
            }
            Event::Stored { bytes } => self.stored += bytes,
            Event::WorkerStarted { .. }
            | Event::WorkerFinished { .. }
            | Event::Warning { .. }
            | Event::Note { .. } => {}
        }
    }

    fn bytes_per_second(&self) -> u64 {
        let milliseconds = self.since.elapsed().as_millis().max(1);
        u64::try_from(u128::from(self.bytes) * 1000 / milliseconds).unwrap_or(u64::MAX)
    }

    /// `7 MiB/s, ETA 8 s, 5 MiB of about 6 MiB, 34 rows`: a narrow terminal cuts the end off. The plan of a
    /// dump is an estimate.
    fn describe(&self) -> String {
        let rate = self.bytes_per_second();
        let eta = self
            .planned_bytes
            .saturating_sub(self.bytes)
            .checked_div(rate)
            .map(|seconds| format!("ETA {seconds} s, "));
        let stored = (self.stored > 0).then(|| format!(", stored {}", HumanBytes(self.stored)));
        format!(
            "{}/s, {}{} of about {}, {} rows{}",
            HumanBytes(rate),
            eta.unwrap_or_default(),
            HumanBytes(self.bytes),
            HumanBytes(self.planned_bytes.max(self.bytes)),
            HumanCount(self.rows),
            stored.unwrap_or_default(),
        )
    }
}

struct Plain {
    totals: Totals,
    printed: Instant,
}

impl Plain {
    fn new() -> Self {
        Plain {
            totals: Totals::new(),
            printed: Instant::now(),
        }
    }
}

impl Watcher for Plain {
    fn see(&mut self, event: &Event) {
        self.totals.add(event);
        let phase = phase_name(self.totals.phase);
        match event {
            Event::PhaseStarted { .. } => eprintln!("{phase}"),
            Event::WorkerAdvanced { .. } if self.printed.elapsed() >= PLAIN_INTERVAL => {
                self.printed = Instant::now();
                eprintln!("{phase}: {}", self.totals.describe());
            }
            _ => {}
        }
    }
}

struct WorkerLine {
    bar: ProgressBar,
    item: String,
    bytes: u64,
}

/// A total bar, and a line for each worker.
struct Bars {
    totals: Totals,
    screen: MultiProgress,
    total: ProgressBar,
    /// By their number, so that their lines stay in order.
    workers: Vec<WorkerLine>,
}

impl Bars {
    fn new() -> Self {
        let screen = MultiProgress::new();
        let total = screen.add(ProgressBar::new(0));
        total.set_style(style("{prefix:16} [{bar:20}] {percent:>3}% {wide_msg}"));
        total.enable_steady_tick(Duration::from_millis(200));
        Bars {
            totals: Totals::new(),
            screen,
            total,
            workers: Vec::new(),
        }
    }

    fn worker(&mut self, worker: usize) -> &mut WorkerLine {
        while self.workers.len() <= worker {
            let bar = self.screen.add(ProgressBar::new_spinner());
            bar.set_style(style("  {prefix} {wide_msg}"));
            bar.set_prefix(format!("{:>2}", self.workers.len() + 1));
            bar.set_message("idle");
            self.workers.push(WorkerLine {
                bar,
                item: String::new(),
                bytes: 0,
            });
        }
        &mut self.workers[worker]
    }

    fn show_worker(&mut self, worker: usize, item: Option<&str>, bytes: u64) {
        let line = self.worker(worker);
        match item {
            Some(item) => (line.item, line.bytes) = (item.to_owned(), 0),
            None => line.bytes += bytes,
        }
        let message = format!("{}  {}", line.item, HumanBytes(line.bytes));
        line.bar.set_message(message);
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

impl Watcher for Bars {
    fn see(&mut self, event: &Event) {
        self.totals.add(event);
        match event {
            Event::PhaseStarted { phase } => {
                self.total.set_prefix(phase_name(*phase));
                for line in self.workers.drain(..) {
                    line.bar.finish_and_clear();
                }
            }
            Event::WorkerStarted { worker, item } => self.show_worker(*worker, Some(item), 0),
            Event::WorkerAdvanced { worker, bytes, .. } => self.show_worker(*worker, None, *bytes),
            Event::WorkerFinished { worker } => self.worker(*worker).bar.set_message("idle"),
            Event::Planned { .. } | Event::Stored { .. } => {}
            Event::Warning { .. } | Event::Note { .. } => {}
        }
        // Nothing of nothing would count as everything.
        let length = self.totals.planned_bytes.max(self.totals.bytes).max(1);
        self.total.set_length(length);
        self.total.set_position(self.totals.bytes);
        self.total.set_message(self.totals.describe());
    }

    fn print(&mut self, line: &str) {
        self.screen.suspend(|| eprintln!("{line}"));
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        for line in &self.workers {
            line.bar.finish_and_clear();
        }
        self.total.finish_and_clear();
    }
}
