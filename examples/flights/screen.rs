//! What is shown while it runs: rebalances as they happen, and how far things are.
//!
//! Results go to stdout. Progress goes to stderr, as a bar that overwrites itself if that is a
//! terminal, else as a line per quarter.

use std::io::{self, IsTerminal, Write, stderr, stdout};
use std::time::{Duration, Instant};

/// How wide the partitions of a row may be together.
const CELLS_WIDTH: usize = 48;

/// How often the bar is drawn.
const FRAME: Duration = Duration::from_millis(50);

const BAR_WIDTH: usize = 40;

/// Colours, where there are any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    has_colour: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Paint {
    Strong,
    Faint,
    Good,
    Bad,
    Amber,
    /// Each member has a colour of its own.
    Member(usize),
}

impl Style {
    /// Colour is for terminals whose user did not say no (<https://no-color.org>).
    fn of(is_terminal: bool) -> Style {
        let says_no = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Style { has_colour: is_terminal && !says_no && !is_dumb() }
    }

    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Strong => 1,
            Paint::Faint => 2,
            Paint::Good => 32,
            Paint::Bad => 31,
            Paint::Amber => 33,
            Paint::Member(member) => [36, 33, 35, 32, 34, 31][member.saturating_sub(1) % 6],
        };
        if self.has_colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

pub(crate) struct Screen {
    pub(crate) style: Style,
    total: u64,
    has_bar: bool,
    /// When the bar was drawn last; `None` if there is none to wipe.
    drawn: Option<Instant>,
    /// How wide a partition is in the table of rebalances.
    cell_width: usize,
    /// How many quarters were told.
    quarters: u64,
}

impl Screen {
    pub(crate) fn new(total: u64) -> Screen {
        Screen {
            style: Style::of(stdout().is_terminal()),
            total,
            has_bar: stderr().is_terminal() && !is_dumb(),
            drawn: None,
            cell_width: 3,
            quarters: 0,
        }
    }

    /// Prints a line to stdout.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        self.wipe()?;
        writeln!(stdout(), "{}", text.trim_end())
    }

    /// The head of the table that `rebalance` adds rows to; members are numbered up to `members`.
    pub(crate) fn rebalance_head(&mut self, partitions: usize, members: usize) -> io::Result<()> {
        self.cell_width = 2 + members.to_string().len();
        let title = self.style.paint(Paint::Strong, "Which member reads each partition");
        self.line(&format!("{title} (* has just moved)"))?;
        let ids = self.cells(partitions, |id| (id.to_string(), Paint::Faint));
        let head = self.style.paint(Paint::Faint, &format!("{:>8} {:>11}  ", "time", "consumed"));
        self.line(&(head + &ids))
    }

    /// A row: who has what after a rebalance, and what moved.
    pub(crate) fn rebalance(
        &mut self,
        at: Duration,
        consumed: u64,
        before: &[Option<usize>],
        after: &[Option<usize>],
        what: &str,
    ) -> io::Result<()> {
        let has_moved = |id: &usize| before[*id].is_some() && before[*id] != after[*id];
        let cells = self.cells(after.len(), |id| {
            let star = if has_moved(&id) { "*" } else { "" };
            let owner = after[id].map_or("-".to_owned(), |owner| owner.to_string());
            (star.to_owned() + &owner, Paint::Member(after[id].unwrap_or(0)))
        });
        let moved = match (0..after.len()).filter(has_moved).count() {
            _ if before.iter().all(Option::is_none) => String::new(),
            moved => format!(", {moved} of {} moved", after.len()),
        };
        let (seconds, consumed) = (at.as_secs_f64(), grouped(consumed));
        self.line(&format!("{seconds:>6.2} s {consumed:>11}  {cells}  {what}{moved}"))
    }

    /// A cell for each partition, as many as fit.
    fn cells(&self, partitions: usize, cell: impl Fn(usize) -> (String, Paint)) -> String {
        let (width, fit) = (self.cell_width, CELLS_WIDTH / self.cell_width);
        let paint = |id| {
            let (text, paint) = cell(id);
            self.style.paint(paint, &format!("{text:>width$}"))
        };
        let cells: String = (0..partitions.min(fit)).map(paint).collect();
        cells + if partitions > fit { "  …" } else { "" }
    }

    /// Shows how far things are, at most every `FRAME`.
    pub(crate) fn progress(&mut self, done: u64, elapsed: Duration) -> io::Result<()> {
        let quarter = done * 4 / self.total;
        if !self.has_bar {
            if quarter > self.quarters {
                self.quarters = quarter;
                let (done, total) = (grouped(done), grouped(self.total));
                writeln!(stderr(), "{done} of {total} flights consumed")?;
            }
            return Ok(());
        }
        if self.drawn.is_some_and(|drawn| drawn.elapsed() < FRAME) {
            return Ok(());
        }
        let share = done as f64 / self.total as f64;
        let bar = bar(share, BAR_WIDTH);
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let rate = grouped(per_second(done, nanos));
        write!(stderr(), "\r\x1b[2K{bar:·<BAR_WIDTH$} {:>3.0} %  {rate} flights/s", share * 100.0)?;
        stderr().flush()?;
        self.drawn = Some(Instant::now());
        Ok(())
    }

    /// Takes the bar away.
    pub(crate) fn wipe(&mut self) -> io::Result<()> {
        if self.drawn.take().is_some() {
            write!(stderr(), "\r\x1b[2K")?;
            stderr().flush()?;
        }
        Ok(())
    }
}

/// An error that ends the run is not to follow half a bar.
impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.wipe();
    }
}

/// A bar of `share` times `width` columns, exact to an eighth; something is never nothing.
pub(crate) fn bar(share: f64, width: usize) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "a bar has some hundred eighths")]
    let eighths = (share.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    let eighths = eighths.max(usize::from(share > 0.0));
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    "█".repeat(eighths / 8) + rest
}

/// How many there were per second.
pub(crate) fn per_second(count: u64, nanos: u64) -> u64 {
    let rate = u128::from(count) * 1_000_000_000 / u128::from(nanos.max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let cases = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")];
        assert_eq!(cases.map(|(number, _)| grouped(number)), cases.map(|(_, text)| text));
    }

    #[test]
    fn bars_are_exact_to_an_eighth_and_stay_within_their_width() {
        let cases = [(0.0, ""), (0.001, "▏"), (0.5, "█"), (0.8, "█▋"), (1.0, "██"), (7.0, "██")];
        assert_eq!(cases.map(|(share, _)| bar(share, 2)), cases.map(|(_, text)| text));
    }
}
