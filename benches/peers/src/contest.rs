//! How do contenders take turns so that the comparison is fair?
//!
//! One round that is not counted, then `rounds` that are; each round starts with the next
//! contender, so that nobody always runs after the same neighbour.

use std::io::IsTerminal;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// What a number means and which way is better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) is_more_better: bool,
}

impl Metric {
    pub(crate) const fn more(name: &'static str) -> Self {
        Metric { name, is_more_better: true }
    }

    pub(crate) const fn less(name: &'static str) -> Self {
        Metric { name, is_more_better: false }
    }
}

/// Records a second, in millions: what most cases count.
pub(crate) const MILLIONS: Metric = Metric::more("million records/s");

/// One number of one run.
pub(crate) struct Reading {
    pub(crate) metric: Metric,
    pub(crate) value: f64,
}

impl Reading {
    pub(crate) fn new(metric: Metric, value: f64) -> Self {
        Reading { metric, value }
    }

    /// The rate of a run.
    pub(crate) fn rate(records: u64, took: Duration) -> Vec<Reading> {
        vec![Reading::new(MILLIONS, records as f64 / took.as_secs_f64() / 1e6)]
    }
}

/// Somebody who can do what the case asks. The first of a case is whom the others are compared with.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) run: Box<dyn FnMut() -> Vec<Reading>>,
    /// How far the first should be ahead of this one at least.
    wanted: Vec<(Metric, f64)>,
}

impl Contender {
    pub(crate) fn new(
        name: &'static str,
        run: impl FnMut() -> Vec<Reading> + 'static,
    ) -> Contender {
        Contender { name, run: Box::new(run), wanted: Vec::new() }
    }

    /// Says that in this metric the first should do at least `ratio` times as well.
    pub(crate) fn wanted(mut self, metric: Metric, ratio: f64) -> Contender {
        self.wanted.push((metric, ratio));
        self
    }
}

/// A contender's values of one metric, one per round.
pub(crate) struct Series {
    pub(crate) contender: &'static str,
    pub(crate) metric: Metric,
    pub(crate) values: Vec<f64>,
    pub(crate) wanted: Option<f64>,
}

/// How much is to be done.
pub(crate) struct Size {
    pub(crate) scale: f64,
    /// What takes ten gigabytes takes one.
    pub(crate) is_small: bool,
}

impl Default for Size {
    fn default() -> Self {
        Size { scale: 1.0, is_small: false }
    }
}

impl Size {
    /// Enough to show that everything works.
    pub(crate) fn smoke() -> Self {
        Size { scale: 0.001, is_small: true }
    }

    /// `full` records, scaled; a multiple of 1,024, so that batches and partitions come out even.
    pub(crate) fn records(&self, full: u64) -> u64 {
        ((full as f64 * self.scale) as u64).next_multiple_of(1_024).max(1_024)
    }

    /// `full` records, scaled; a multiple of 1,000, so that batches of 100 and of 1,000 come out even.
    pub(crate) fn thousands(&self, full: u64) -> u64 {
        ((full as f64 * self.scale) as u64).next_multiple_of(1_000).max(1_000)
    }

    /// `full` of something that is not records, scaled.
    pub(crate) fn count(&self, full: u64) -> u64 {
        ((full as f64 * self.scale) as u64).max(4)
    }
}

/// Runs every contender once in every round.
pub(crate) fn run(mut contenders: Vec<Contender>, rounds: usize) -> Vec<Series> {
    let mut series: Vec<Vec<Series>> = contenders.iter().map(|_| Vec::new()).collect();
    let is_watched = std::io::stderr().is_terminal();
    for round in 0..=rounds {
        for turn in 0..contenders.len() {
            let index = (round + turn) % contenders.len();
            let contender = &mut contenders[index];
            if is_watched {
                eprint!("\rround {round} of {rounds}: {:40}", contender.name);
            }
            let readings = (contender.run)();
            if round > 0 {
                add(&mut series[index], contender, readings);
            }
        }
    }
    if is_watched {
        eprint!("\r{:70}\r", "");
    }
    series.into_iter().flatten().collect()
}

fn add(series: &mut Vec<Series>, contender: &Contender, readings: Vec<Reading>) {
    for Reading { metric, value } in readings {
        if let Some(known) = series.iter_mut().find(|known| known.metric == metric) {
            known.values.push(value);
            continue;
        }
        let wanted = contender.wanted.iter().find(|(of, _)| *of == metric).map(|(_, ratio)| *ratio);
        series.push(Series { contender: contender.name, metric, values: vec![value], wanted });
    }
}

/// One thread's part in a run.
pub(crate) type Side<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Lets all sides go at once, each on its own thread; the time from the first to start to the last
/// to be done. Each takes its own times: with fewer cores than threads, nobody else may be there.
pub(crate) fn race(sides: Vec<Side<'_>>) -> Duration {
    let start = &Barrier::new(sides.len());
    let times: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
        let timed = |side: Side<'_>| {
            start.wait();
            let began = Instant::now();
            side();
            (began, Instant::now())
        };
        let threads: Vec<_> =
            sides.into_iter().map(|side| scope.spawn(move || timed(side))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a side does not panic")).collect()
    });
    let began = times.iter().map(|(began, _)| *began).min().expect("there are sides");
    let ended = times.iter().map(|(_, ended)| *ended).max().expect("there are sides");
    ended - began
}
