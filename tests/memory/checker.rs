//! What must be true of a history of sends and polls, whoever did what when.
//!
//! The statements are those of Jepsen's Kafka workload, and some that only an embedded log can check.
//! Every sent value is unique. A checker that cannot fail proves nothing: the tests below plant one
//! mistake for each statement into a history that is otherwise sound.

use anabranch::{Offset, PartitionId};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) type Value = u64;

/// A place of a record: the partition, and the offset in it.
pub(crate) type Spot = (PartitionId, Offset);

#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// What each process sent and was acknowledged, call by call, in the order of the calls.
    pub(crate) sends: BTreeMap<usize, Vec<Vec<(Spot, Value)>>>,
    /// Values whose send was refused.
    pub(crate) refused: BTreeSet<Value>,
    /// What each process polled, in order.
    pub(crate) polls: BTreeMap<usize, Vec<Polled>>,
    /// What can be read of each partition when all is over, from its start on.
    pub(crate) finals: BTreeMap<PartitionId, (Offset, Vec<(Offset, Value)>)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Polled {
    pub(crate) records: Vec<(Spot, Value)>,
    /// Partitions whose position was moved before this poll, by choice or after `OutOfRange`.
    pub(crate) moved: BTreeSet<PartitionId>,
    /// What was acknowledged to anybody before the call, of the partitions read.
    pub(crate) promised: BTreeMap<PartitionId, Offset>,
    /// Where the reader stood once it had caught up, or given up.
    pub(crate) reached: BTreeMap<PartitionId, Offset>,
}

/// The statement that a history violates, and where.
pub(crate) type Violation = (&'static str, String);

impl History {
    pub(crate) fn check(&self) -> Result<(), Violation> {
        self.check_places()?;
        self.check_losses()?;
        self.check_polls()?;
        self.check_sends()
    }

    fn acknowledged(&self) -> impl Iterator<Item = (Spot, Value)> {
        self.sends.values().flatten().flatten().copied()
    }

    fn read(&self) -> impl Iterator<Item = (Spot, Value)> {
        let polled = self.polls.values().flatten().flat_map(|poll| poll.records.iter().copied());
        let finals = self.finals.iter().flat_map(|(id, (_, records))| {
            records.iter().map(|(offset, value)| ((*id, *offset), *value))
        });
        polled.chain(finals)
    }

    /// A1 inconsistent offsets, A2 duplicate, A3 and B14 trace of a refused send.
    fn check_places(&self) -> Result<(), Violation> {
        let (mut at, mut of) = (BTreeMap::new(), BTreeMap::new());
        for (spot, value) in self.acknowledged().chain(self.read()) {
            let other = *at.entry(spot).or_insert(value);
            if other != value {
                return violated("A1", format!("{other:x} and {value:x} at {spot:?}"));
            }
            let other = *of.entry(value).or_insert(spot);
            if other != spot {
                return violated("A2", format!("{value:x} at {other:?} and {spot:?}"));
            }
            if self.refused.contains(&value) {
                return violated("B14", format!("{value:x} at {spot:?} was refused"));
            }
        }
        Ok(())
    }

    /// A5 lost write, A6 unseen: what was acknowledged is there unless retention or deletion took it.
    fn check_losses(&self) -> Result<(), Violation> {
        let seen: BTreeMap<Spot, Value> = self.read().collect();
        for (spot, value) in self.acknowledged().filter(|(spot, _)| !seen.contains_key(spot)) {
            let (start, records) = &self.finals[&spot.0];
            if spot.1 < *start {
                continue;
            }
            let is_below = records.last().is_some_and(|(last, _)| spot.1 < *last);
            return violated(if is_below { "A5" } else { "A6" }, format!("{value:x} at {spot:?}"));
        }
        Ok(())
    }

    /// A7 skip, A8 nonmonotonic poll across polls; A9, A10 the same inside one; A17 real-time lag.
    fn check_polls(&self) -> Result<(), Violation> {
        for (process, polls) in &self.polls {
            let mut next: BTreeMap<PartitionId, Offset> = BTreeMap::new();
            for poll in polls {
                next.retain(|id, _| !poll.moved.contains(id));
                let mut inside = BTreeSet::new();
                for ((id, offset), _) in &poll.records {
                    let expected = *next.get(id).unwrap_or(offset);
                    if *offset != expected {
                        let names = if inside.contains(id) { ["A9", "A10"] } else { ["A7", "A8"] };
                        let name = names[usize::from(*offset < expected)];
                        let what = format!("process {process}: {offset} of {id}, not {expected}");
                        return violated(name, what);
                    }
                    inside.insert(*id);
                    next.insert(*id, offset + 1);
                }
                for (id, reached) in &poll.reached {
                    let promised = poll.promised.get(id).copied().unwrap_or(0);
                    if *reached < promised {
                        let what = format!("process {process}: {reached} of {id}, not {promised}");
                        return violated("A17", what);
                    }
                }
            }
        }
        Ok(())
    }

    /// A11 nonmonotonic send across calls, A12 inside one; A13 a send that another one splits.
    fn check_sends(&self) -> Result<(), Violation> {
        for (process, calls) in &self.sends {
            let mut last: BTreeMap<PartitionId, Offset> = BTreeMap::new();
            for call in calls {
                let mut inside = BTreeSet::new();
                for ((id, offset), value) in call {
                    let before = last.insert(*id, *offset);
                    let is_first = inside.insert(*id);
                    let what = || format!("process {process}: {value:x} at {offset} of {id}");
                    match before {
                        Some(before) if before >= *offset => {
                            return violated(if is_first { "A11" } else { "A12" }, what());
                        }
                        Some(before) if !is_first && before + 1 < *offset => {
                            return violated("A13", what());
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }
}

fn violated(name: &'static str, what: String) -> Result<(), Violation> {
    Err((name, what))
}

/// Two processes, two partitions; sound.
fn sound() -> History {
    let sends = [
        (0, vec![vec![((0, 0), 10)], vec![((0, 1), 11), ((1, 0), 12), ((0, 2), 13)]]),
        (1, vec![vec![((1, 1), 20)], vec![((1, 2), 21), ((1, 3), 22)]]),
    ];
    let polled =
        |records: &[(Spot, Value)]| Polled { records: records.into(), ..Polled::default() };
    let first = polled(&[((0, 0), 10), ((0, 1), 11)]);
    let second = Polled {
        promised: [(0, 2), (1, 2)].into(),
        reached: [(0, 3), (1, 2)].into(),
        ..polled(&[((1, 0), 12), ((1, 1), 20), ((0, 2), 13)])
    };
    let finals =
        [(0, (1, vec![(1, 11), (2, 13)])), (1, (0, vec![(0, 12), (1, 20), (2, 21), (3, 22)]))];
    History {
        sends: sends.into(),
        refused: [99].into(),
        polls: [(0, vec![first, second])].into(),
        finals: finals.into(),
    }
}

#[test]
fn a_sound_history_is_accepted() {
    assert_eq!(sound().check(), Ok(()));
}

#[test]
fn each_statement_is_found_violated_where_it_is() {
    type Mistake = fn(&mut History);
    let mistakes: [(&str, Mistake); 12] = [
        ("A1", |of| of.polls.get_mut(&0).unwrap()[0].records[1].1 = 77),
        ("A2", |of| of.finals.get_mut(&1).unwrap().1.push((4, 20))),
        ("B14", |of| of.finals.get_mut(&1).unwrap().1.push((4, 99))),
        ("A5", |of| {
            of.finals.get_mut(&1).unwrap().1.remove(2);
        }),
        ("A6", |of| {
            of.finals.get_mut(&1).unwrap().1.pop();
        }),
        ("A7", |of| {
            of.polls.get_mut(&0).unwrap()[0].records.pop();
        }),
        ("A8", |of| of.polls.get_mut(&0).unwrap()[1].records.insert(0, ((0, 0), 10))),
        ("A9", |of| {
            let read = ((1, 3), 22);
            of.polls.get_mut(&0).unwrap()[1].records.push(read);
        }),
        ("A10", |of| of.polls.get_mut(&0).unwrap()[1].records.swap(0, 1)),
        ("A11", |of| of.sends.get_mut(&1).unwrap().swap(0, 1)),
        ("A12", |of| of.sends.get_mut(&0).unwrap()[1].swap(0, 2)),
        ("A17", |of| {
            of.polls.get_mut(&0).unwrap()[1].promised.insert(1, 3);
        }),
    ];
    for (name, mistake) in mistakes {
        let mut history = sound();
        mistake(&mut history);
        let found = history.check().unwrap_err();
        assert_eq!(found.0, name, "{}", found.1);
    }
    let mut split = sound();
    split.sends.get_mut(&1).unwrap()[1] = vec![((1, 2), 21), ((1, 4), 22)];
    split.finals.get_mut(&1).unwrap().1[3] = (4, 22);
    assert_eq!(split.check().unwrap_err().0, "A13");
}

#[test]
fn a_position_that_was_moved_is_no_skip() {
    let mut history = sound();
    let polls = history.polls.get_mut(&0).unwrap();
    polls[0].records.pop();
    polls[1].moved.insert(0);
    assert_eq!(history.check(), Ok(()));
}
