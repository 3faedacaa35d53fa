//! Bars as SVG, for light and for dark pages.

use std::fmt::Write as _;

/// Which page a chart stands on.
#[derive(Clone, Copy)]
pub(crate) enum Theme {
    Light,
    Dark,
}

impl Theme {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    fn colors(self) -> Colors {
        match self {
            Theme::Light => Colors {
                text: "#1f2328",
                ours: "#2563eb",
                floor: "#a3b8cc",
                others: "#8c959f",
            },
            Theme::Dark => Colors {
                text: "#e6edf3",
                ours: "#60a5fa",
                floor: "#3d4f63",
                others: "#6e7681",
            },
        }
    }
}

struct Colors {
    text: &'static str,
    ours: &'static str,
    floor: &'static str,
    others: &'static str,
}

/// One contender.
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) seconds: f64,
    pub(crate) ratio: f64,
}

const WIDTH: f64 = 760.0;
/// Where bars begin.
const LEFT: f64 = 330.0;
/// Room for the figures behind the longest bar.
const RIGHT: f64 = 110.0;
const TOP: f64 = 40.0;
const PITCH: f64 = 26.0;

/// Shorter is better; the first bar's time is 1.00.
pub(crate) fn chart(title: &str, bars: &[Bar], theme: Theme) -> String {
    let colors = theme.colors();
    let longest = bars.iter().map(|bar| bar.seconds).fold(0.0, f64::max);
    #[allow(clippy::cast_precision_loss, reason = "a dozen bars")]
    let height = TOP + PITCH * bars.len() as f64 + 8.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"{}\" role=\"img\">\n\
         <title>{title}</title>\n<text x=\"0\" y=\"18\" font-size=\"15\" font-weight=\"600\">{title}, seconds (less is better)</text>\n",
        colors.text,
        title = escaped(title),
    );
    let mut y = TOP;
    for bar in bars {
        let width = (bar.seconds / longest * (WIDTH - LEFT - RIGHT)).max(1.0);
        let color = match bar.label.as_str() {
            label if label.ends_with("(floor)") => colors.floor,
            label if label.starts_with("pgstow") => colors.ours,
            _ => colors.others,
        };
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"18\" rx=\"2\" fill=\"{color}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{:.2} s · {:.2}</text>",
            LEFT - 8.0,
            y + 14.0,
            escaped(&bar.label),
            LEFT + width + 6.0,
            y + 14.0,
            bar.seconds,
            bar.ratio,
        );
        y += PITCH;
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
