//! Figures as text for the terminal, and as `REPORT.md` with charts.

use std::fmt::Write as _;
use std::path::Path;

use crate::bench::Bench;
use crate::chart::{Bar, Theme, chart};
use crate::measure::{Run, median, median_run};

/// One table of the report.
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) about: String,
    pub(crate) head: &'static [&'static str],
    pub(crate) rows: Vec<Vec<String>>,
    /// What was to be reached, and whether it was: sentences.
    pub(crate) goals: Vec<String>,
    /// Drawn, if there are any.
    pub(crate) bars: Vec<Bar>,
}

/// Contenders that did the same job in turns.
pub(crate) struct Comparison {
    title: String,
    about: String,
    /// Name and runs, of as many rounds each. Ratios are of the first.
    contenders: Vec<(String, Vec<Run>)>,
    goals: Vec<Goal>,
}

/// What one contender should take at most, as a part of another.
struct Goal {
    contender: String,
    against: String,
    figure: Figure,
    at_most: f64,
}

/// A figure that goals are about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    Time,
    Size,
}

impl Comparison {
    pub(crate) fn new(title: &str, about: String, contenders: Vec<(String, Vec<Run>)>) -> Self {
        Comparison {
            title: title.to_owned(),
            about,
            contenders,
            goals: Vec::new(),
        }
    }

    /// Adds a goal.
    pub(crate) fn goal(
        mut self,
        contender: &str,
        against: &str,
        figure: Figure,
        at_most: f64,
    ) -> Self {
        self.goals.push(Goal {
            contender: contender.to_owned(),
            against: against.to_owned(),
            figure,
            at_most,
        });
        self
    }

    fn runs(&self, name: &str) -> &[Run] {
        let mut contenders = self.contenders.iter();
        let found = contenders.find(|(its_name, _)| its_name == name);
        &found
            .unwrap_or_else(|| panic!("{name} does not take part in {}", self.title))
            .1
    }

    fn is_met(&self, goal: &Goal) -> (f64, bool) {
        let reached = ratio_of_rounds(
            self.runs(&goal.contender),
            self.runs(&goal.against),
            goal.figure,
        );
        // As it is printed.
        (reached, (reached * 100.0).round() <= goal.at_most * 100.0)
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let first = &self.contenders[0].1;
        let rows = self.contenders.iter().map(|(name, runs)| {
            let run = median_run(runs);
            let has_bytes = run.bytes > 0 && first[0].bytes > 0;
            vec![
                name.trim().to_owned(),
                format!("{:.2}", run.seconds),
                format!("{:.2}", ratio_of_rounds(runs, first, Figure::Time)),
                or_dash(run.bytes > 0, as_ratio(run.bytes, 1_000_000), 1),
                or_dash(has_bytes, ratio_of_rounds(runs, first, Figure::Size), 2),
                format!("{:.0}", as_ratio(run.peak_bytes, 1 << 20)),
                format!("{:.1}", run.client_cpu),
                or_dash(run.server_cpu > 0.0, run.server_cpu, 1),
            ]
        });
        rows.collect()
    }

    fn sentence(&self, goal: &Goal) -> String {
        let (reached, is_met) = self.is_met(goal);
        format!(
            "{}: `{}`, {} of `{}`: {reached:.2}, goal {}",
            if is_met { "reached" } else { "NOT reached" },
            goal.contender,
            match goal.figure {
                Figure::Time => "time",
                Figure::Size => "size",
            },
            goal.against,
            goal.at_most
        )
    }

    fn bars(&self) -> Vec<Bar> {
        let first = &self.contenders[0].1;
        let bars = self.contenders.iter().map(|(name, runs)| Bar {
            label: name.trim().to_owned(),
            seconds: median_run(runs).seconds,
            ratio: ratio_of_rounds(runs, first, Figure::Time),
        });
        bars.collect()
    }
}

impl From<Comparison> for Section {
    fn from(comparison: Comparison) -> Section {
        let goals = comparison.goals.iter();
        Section {
            goals: goals.map(|goal| comparison.sentence(goal)).collect(),
            rows: comparison.rows(),
            bars: comparison.bars(),
            about: format!(
                "{}, {}",
                comparison.about,
                medians_of(comparison.contenders[0].1.len())
            ),
            title: comparison.title,
            head: &[
                "",
                "seconds",
                "ratio",
                "MB out",
                "ratio",
                "peak MiB",
                "client CPU",
                "server CPU",
            ],
        }
    }
}

/// `medians of 3 rounds`
pub(crate) fn medians_of(rounds: usize) -> String {
    match rounds {
        1 => "one round".to_owned(),
        rounds => format!("medians of {rounds} rounds"),
    }
}

impl Section {
    fn print(&self) {
        println!("\n{}: {}", self.title, self.about);
        let width = self.head.iter().map(|name| name.len()).max().unwrap() + 3;
        let head = self.head.iter().map(ToString::to_string).collect();
        for row in std::iter::once(&head).chain(&self.rows) {
            print!("  {:<52}", row[0]);
            row[1..].iter().for_each(|cell| print!("{cell:>width$}"));
            println!();
        }
        for goal in &self.goals {
            println!("  {goal}");
        }
    }

    /// The first column is code.
    fn markdown(&self, name: &str) -> String {
        let mut text = format!("\n## {}\n\n{}.\n\n", self.title, self.about);
        let _ = writeln!(text, "| {} |", self.head.join(" | "));
        let _ = writeln!(text, "|{}", "---|".repeat(self.head.len()));
        for row in &self.rows {
            let first = row[0].replace('|', "\\|");
            let _ = writeln!(text, "| `{first}` | {} |", row[1..].join(" | "));
        }
        if !self.goals.is_empty() {
            text.push('\n');
        }
        for goal in &self.goals {
            let _ = writeln!(text, "- {goal}");
        }
        if !self.bars.is_empty() {
            let _ = writeln!(text, "\n{}", picture(name, &self.title, "charts/"));
        }
        text
    }
}

/// All that was measured.
#[derive(Default)]
pub(crate) struct Report {
    /// File name and section.
    sections: Vec<(String, Section)>,
}

impl Report {
    /// Adds what a case found, and prints it.
    pub(crate) fn add(&mut self, case: &str, sections: Vec<Section>) {
        let is_alone = sections.len() == 1;
        for (number, section) in sections.into_iter().enumerate() {
            section.print();
            let name = match is_alone {
                true => case.to_owned(),
                false => format!("{case}_{}", number + 1),
            };
            self.sections.push((name, section));
        }
    }

    /// Writes `REPORT.md` and the charts.
    pub(crate) fn write(&self, dir: &Path, bench: &Bench) {
        let charts = dir.join("charts");
        std::fs::create_dir_all(&charts).unwrap();
        let mut text = self.introduction(bench);
        for (name, section) in &self.sections {
            text.push_str(&section.markdown(name));
            if section.bars.is_empty() {
                continue;
            }
            for theme in [Theme::Light, Theme::Dark] {
                let file = charts.join(format!("{name}-{}.svg", theme.as_str()));
                std::fs::write(file, chart(&section.title, &section.bars, theme)).unwrap();
            }
        }
        std::fs::write(dir.join("REPORT.md"), text).unwrap();
    }

    fn introduction(&self, bench: &Bench) -> String {
        let mut text = format!(
            "# Benchmarks\n\nMade by `scripts/bench.sh` on {}, medians of rounds in which contenders take turns, forwards and \
             backwards. Ratios are of the first line of each table, of the same round. Memory is the highest sum of resident memory \
             of a contender's processes; CPU is in seconds. A floor is what the server alone takes to send or take the rows. \
             What stands in the way of goals that are not reached: [PROFILE.md](PROFILE.md).\n\n",
            jiff::Zoned::now().date()
        );
        for line in machine().into_iter().chain(bench.versions()) {
            let _ = writeln!(text, "- {line}");
        }
        let goals = self.sections.iter().flat_map(|(_, section)| {
            let goals = section.goals.iter();
            goals.map(|goal| format!("{}: {goal}", section.title))
        });
        text.push_str("\n## Goals\n\n");
        for goal in goals {
            let _ = writeln!(text, "- {goal}");
        }
        text
    }
}

/// A picture for light pages and for dark ones.
fn picture(name: &str, title: &str, dir: &str) -> String {
    format!(
        "<picture><source media=\"(prefers-color-scheme: dark)\" srcset=\"{dir}{name}-dark.svg\">\
         <img alt=\"{title}\" src=\"{dir}{name}-light.svg\"></picture>"
    )
}

/// What the machine is.
fn machine() -> Vec<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let after = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    vec![
        format!(
            "machine: {cores} cores of {}, {} of memory, Linux {}",
            after(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
            after(&read("/proc/meminfo"), "MemTotal").unwrap_or_else(|| "unknown".into()),
            read("/proc/sys/kernel/osrelease").trim()
        ),
        "the server is on the same machine, fsync off, shared_buffers 256 MB".to_owned(),
    ]
}

/// The median of what the rounds say.
fn ratio_of_rounds(runs: &[Run], against: &[Run], figure: Figure) -> f64 {
    let ratio = |(run, other): (&Run, &Run)| match figure {
        Figure::Time => run.seconds / other.seconds,
        Figure::Size => as_ratio(run.bytes, other.bytes),
    };
    median(runs.iter().zip(against).map(ratio).collect())
}

#[allow(clippy::cast_precision_loss, reason = "three digits are printed")]
fn as_ratio(value: u64, of: u64) -> f64 {
    value as f64 / of as f64
}

pub(crate) fn or_dash(is_known: bool, value: f64, digits: usize) -> String {
    match is_known {
        true => format!("{value:.digits$}"),
        false => "-".into(),
    }
}
