//! What do the numbers of several rounds say together?

use crate::contest::{Metric, Series};
use std::fmt::Write;

/// How the names of our side begin.
const US: &str = "anabranch";

/// The value below which `share` of the values lie, by the nearest rank.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    values[rank.clamp(1, values.len()) - 1]
}

/// The middle value, or the mean of the two in the middle.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
        _ => sorted[middle],
    }
}

/// How many times better `ours` is than `theirs`: above 1 we are ahead.
fn ahead(metric: Metric, ours: f64, theirs: f64) -> f64 {
    if metric.is_more_better { ours / theirs } else { theirs / ours }
}

/// A markdown table: per metric, the contenders and how far the first is ahead of each.
pub(crate) fn table(all: &[Series]) -> String {
    let mut text = String::new();
    let mut metrics: Vec<Metric> = Vec::new();
    for series in all {
        if !metrics.contains(&series.metric) {
            metrics.push(series.metric);
        }
    }
    for metric in metrics {
        let rows: Vec<&Series> = all.iter().filter(|series| series.metric == metric).collect();
        let first = rows[0];
        // What is wanted is wanted of us: not of a peer that is first because we were left out.
        let has_wanted =
            first.contender.starts_with(US) && rows.iter().any(|row| row.wanted.is_some());
        let (wanted, rule) = if has_wanted { (" wanted |", "--:|") } else { ("", "") };
        let _ = writeln!(
            text,
            "| {} | median | min | max | {} ahead, medians | by round |{wanted}\n\
            |---|--:|--:|--:|--:|--:|{rule}",
            metric.name, first.contender
        );
        for row in &rows {
            let min = row.values.iter().copied().fold(f64::INFINITY, f64::min);
            let max = row.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let _ = write!(
                text,
                "| {} | {} | {} | {} |",
                row.contender,
                digits(median(&row.values)),
                digits(min),
                digits(max)
            );
            if std::ptr::eq(*row, first) {
                text.push_str(if has_wanted { " | | |\n" } else { " | |\n" });
                continue;
            }
            let pairs = first.values.iter().zip(&row.values);
            let by_round: Vec<f64> = pairs.map(|(a, b)| ahead(metric, *a, *b)).collect();
            let medians = ahead(metric, median(&first.values), median(&row.values));
            let _ = write!(text, " {} × | {} × |", digits(medians), digits(median(&by_round)));
            let _ = match row.wanted.filter(|_| has_wanted) {
                Some(wanted) => {
                    writeln!(text, " {} {} × |", verdict(medians, wanted), digits(wanted))
                }
                None => writeln!(text, "{}", if has_wanted { " |" } else { "" }),
            };
        }
        text.push('\n');
    }
    text
}

fn verdict(ahead: f64, wanted: f64) -> &'static str {
    if ahead >= wanted { "✓" } else { "✗" }
}

/// Three digits that matter.
fn digits(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 || v == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// The machine a table is from, and how to get it again.
pub(crate) fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |line| line.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let release = read("/proc/sys/kernel/osrelease");
    let args: Vec<String> = std::env::args().skip(1).collect();
    format!(
        "{model}, {cores} cores, {} {}; `cargo run --release -- {}`",
        std::env::consts::OS,
        release.trim(),
        args.join(" ")
    )
}
