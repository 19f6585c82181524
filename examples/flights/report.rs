//! What is shown at the end: delays, skew, speed, and whether the claims hold.

use super::member::{Delays, Seen, Tally};
use super::screen::{Paint, Screen, bar, grouped, per_second};
use super::verify::Check;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// How many airports are shown.
const AIRPORTS_MAX: usize = 10;

/// How many partitions and members are shown.
const ROWS_MAX: usize = 8;

const BAR_WIDTH: usize = 32;

/// The busiest airports, with their mean delays.
pub(crate) fn airports(screen: &mut Screen, airports: &BTreeMap<String, Delays>) -> io::Result<()> {
    let mut busiest: Vec<_> = airports.iter().collect();
    busiest.sort_by_key(|(_, delays)| std::cmp::Reverse(delays.flights));
    busiest.truncate(AIRPORTS_MAX);
    let mean = |delays: &Delays| delays.minutes as f64 / delays.flights as f64;
    let longest = busiest.iter().map(|(_, delays)| mean(delays)).fold(1.0, f64::max);
    title(
        screen,
        "Mean delay on arrival",
        &format!("(the {} busiest of {}; late is over 15 min)", busiest.len(), airports.len()),
    )?;
    let width = busiest.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, delays) in busiest {
        let (flights, mean) = (grouped(delays.flights), mean(delays));
        let late = 100.0 * delays.late as f64 / delays.flights as f64;
        let bar = screen.style.paint(Paint::Amber, &bar(mean / longest, BAR_WIDTH));
        screen.line(&format!(
            "  {name:<width$} {flights:>10} flights  {late:>3.0} % late  {mean:>+6.1} min  {bar}"
        ))?;
    }
    Ok(())
}

/// Who had how much of the work.
pub(crate) fn shares(
    screen: &mut Screen,
    partitions: u32,
    seen: &[Seen],
    tallies: &[Tally],
) -> io::Result<()> {
    let mut by_partition = vec![0_u64; partitions as usize];
    for delivery in seen {
        by_partition[delivery.partition as usize] += 1;
    }
    let even = seen.len() as u64 / u64::from(partitions);
    title(screen, "Records per partition", &format!("({} would be even)", grouped(even)))?;
    rows(screen, (0..).zip(by_partition).map(|(id, count)| (id, count, Paint::Strong)).collect())?;
    title(screen, "Records per member", "")?;
    let count =
        |tally: &Tally| (tally.member, tally.seen.len() as u64, Paint::Member(tally.member));
    rows(screen, tallies.iter().map(count).collect())
}

fn rows(screen: &mut Screen, rows: Vec<(usize, u64, Paint)>) -> io::Result<()> {
    let total: u64 = rows.iter().map(|(_, count, _)| count).sum();
    let most = rows.iter().map(|(_, count, _)| *count).max().unwrap_or(0).max(1);
    for (name, count, paint) in rows.iter().take(ROWS_MAX) {
        let share = 100.0 * *count as f64 / total.max(1) as f64;
        let bar = bar(*count as f64 / most as f64, BAR_WIDTH);
        let (count, bar) = (grouped(*count), screen.style.paint(*paint, &bar));
        screen.line(&format!("  {name:>3} {count:>10} {share:>5.1} %  {bar}"))?;
    }
    if let Some(rest) = rows.get(ROWS_MAX..).filter(|rest| !rest.is_empty()) {
        let sum = grouped(rest.iter().map(|(_, count, _)| count).sum());
        screen.line(&format!("    … {sum:>10} in {} more", rest.len()))?;
    }
    Ok(())
}

/// How fast it went. `seen` is not empty.
pub(crate) fn speed(screen: &mut Screen, seen: &[Seen], rate: Option<u32>) -> io::Result<()> {
    let first = seen.iter().map(|delivery| delivery.sent).min().unwrap_or(0);
    let last = seen.iter().map(|delivery| delivery.consumed).max().unwrap_or(0);
    let nanos = last.saturating_sub(first);
    let (per_second, took) = (grouped(per_second(seen.len() as u64, nanos)), span(nanos));
    let asked =
        rate.map_or(String::new(), |rate| format!(", senders paced to {}/s", grouped(rate.into())));
    title(screen, "End to end", "")?;
    screen.line(&format!("  throughput  {per_second} flights/s for {took}{asked}"))?;

    let mut latencies: Vec<u64> =
        seen.iter().map(|delivery| delivery.consumed.saturating_sub(delivery.sent)).collect();
    latencies.sort_unstable();
    let at = |per_mille: usize| span(latencies[(latencies.len() - 1) * per_mille / 1_000]);
    let [p50, p99, p999, max] = [500, 990, 999, 1_000].map(at);
    screen.line(&format!("  latency     p50 {p50}   p99 {p99}   p99.9 {p999}   max {max}"))
}

fn span(nanos: u64) -> String {
    let span = Duration::from_nanos(nanos).as_secs_f64();
    match nanos {
        0..1_000_000 => format!("{:.0} µs", span * 1e6),
        1_000_000..1_000_000_000 => format!("{:.1} ms", span * 1e3),
        _ => format!("{span:.2} s"),
    }
}

/// Which claims hold.
pub(crate) fn verdict(screen: &mut Screen, checks: &[Check]) -> io::Result<()> {
    title(screen, "Verified", "")?;
    for check in checks {
        let (paint, mark) =
            if check.holds { (Paint::Good, "ok    ") } else { (Paint::Bad, "FAILED") };
        let mark = screen.style.paint(paint, mark);
        screen.line(&format!("  {mark}  {}", check.found))?;
    }
    Ok(())
}

fn title(screen: &mut Screen, title: &str, aside: &str) -> io::Result<()> {
    screen.line("")?;
    let title = screen.style.paint(Paint::Strong, title);
    screen.line(&format!("{title} {aside}"))
}
