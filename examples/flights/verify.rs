//! Holds what the members counted against the file.
//!
//! Deliveries are told apart by partition and offset: a record that came twice is one that its old
//! owner counted and did not commit. What was counted is then held against a plain loop.

use super::input::Flight;
use super::member::{Delays, Seen, Tally};
use super::screen::grouped;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A claim, and whether it holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) holds: bool,
    /// What was found, either way.
    pub(crate) found: String,
}

/// The delays of all members together.
pub(crate) fn merge(tallies: &[Tally]) -> BTreeMap<String, Delays> {
    let mut merged: BTreeMap<String, Delays> = BTreeMap::new();
    for (origin, delays) in tallies.iter().flat_map(|tally| &tally.airports) {
        merged.entry(origin.clone()).or_default().add(*delays);
    }
    merged
}

/// All that the example claims. `seen` is in the order of delivery; `flights` were sent `repeat`
/// times.
pub(crate) fn verify(
    flights: &[Flight<'_>],
    repeat: usize,
    seen: &[Seen],
    airports: &BTreeMap<String, Delays>,
    lag: u64,
) -> Vec<Check> {
    vec![
        once(flights.len() * repeat, seen),
        order(flights, seen),
        sums(flights, repeat, airports),
        committed(lag),
    ]
}

/// Each flight was delivered, in one record, one time.
fn once(total: usize, seen: &[Seen]) -> Check {
    let mut records = HashSet::with_capacity(seen.len());
    let mut numbers = vec![0_u32; total];
    let (mut again, mut strangers) = (0, 0);
    for delivery in seen {
        if !records.insert((delivery.partition, delivery.offset)) {
            again += 1;
        } else {
            match usize::try_from(delivery.number).ok().and_then(|at| numbers.get_mut(at)) {
                Some(count) => *count += 1,
                None => strangers += 1,
            }
        }
    }
    let missing = numbers.iter().filter(|&&count| count == 0).count();
    let doubled = numbers.iter().filter(|&&count| count > 1).count();
    let holds = (missing, doubled, strangers, again) == (0, 0, 0, 0);
    let found = if holds {
        format!(
            "{} of {} flights were counted once, none was delivered again",
            grouped(total as u64),
            grouped(total as u64)
        )
    } else {
        format!(
            "of {total} flights {missing} are missing, {doubled} are in the topic twice, {strangers} \
             were never sent; {again} deliveries were repetitions"
        )
    };
    Check { holds, found }
}

/// The flights of an airport were consumed in the order in which they were sent, across members.
fn order(flights: &[Flight<'_>], seen: &[Seen]) -> Check {
    let mut last: HashMap<&str, u64> = HashMap::new();
    let mut broken = Vec::new();
    for delivery in seen {
        let number = delivery.number;
        let origin = &*flights[usize::try_from(number).unwrap_or(0) % flights.len()].origin;
        if let Some(before) = last.insert(origin, number).filter(|&before| before >= number) {
            broken.push(format!("{origin}: flight {} after {}", number + 1, before + 1));
        }
    }
    let found = match broken.first() {
        None => format!("{0} of {0} airports kept the order of their flights", last.len()),
        Some(first) => format!("order was broken {} times, first at {first}", broken.len()),
    };
    Check { holds: broken.is_empty(), found }
}

/// The sums are those of a plain loop.
fn sums(flights: &[Flight<'_>], repeat: usize, airports: &BTreeMap<String, Delays>) -> Check {
    let mut expected: BTreeMap<&str, Delays> = BTreeMap::new();
    for flight in (0..repeat).flat_map(|_| flights) {
        expected.entry(&flight.origin).or_default().count(flight.delay);
    }
    let names = expected.keys().copied().chain(airports.keys().map(String::as_str));
    let wrong = names.into_iter().find(|name| expected.get(name) != airports.get(*name));
    let found = match wrong {
        None => {
            format!("{0} of {0} airports have the delays that a plain loop counts", expected.len())
        }
        Some(name) => {
            let [counted, plain] = [airports.get(name), expected.get(name)]
                .map(|delays| delays.copied().unwrap_or_default())
                .map(|delays| format!("{} flights, {} minutes", delays.flights, delays.minutes));
            format!("{name}: the members counted {counted}, a plain loop {plain}")
        }
    };
    Check { holds: wrong.is_none(), found }
}

/// Whoever comes next would start at the end.
fn committed(lag: u64) -> Check {
    let found = match lag {
        0 => "all that was counted is committed".to_owned(),
        _ => format!("{} flights are not committed", grouped(lag)),
    };
    Check { holds: lag == 0, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flights of two airports in turn, 1 minute late each, and a faultless delivery of them.
    fn faultless() -> (Vec<Flight<'static>>, Vec<Seen>, BTreeMap<String, Delays>) {
        let flight = |at: usize| Flight { origin: ["PHX", "LAX"][at % 2].into(), delay: 1 };
        let flights: Vec<_> = (0..6).map(flight).collect();
        let seen = |number: u32| Seen {
            partition: number % 2,
            offset: u64::from(number / 2),
            number: number.into(),
            order: number.into(),
            sent: 0,
            consumed: 0,
        };
        let delays = Delays { flights: 3, minutes: 3, late: 0 };
        let airports = ["LAX", "PHX"].map(|name| (name.to_owned(), delays));
        (flights, (0..6).map(seen).collect(), airports.into())
    }

    fn found(
        change: impl Fn(&mut Vec<Seen>, &mut BTreeMap<String, Delays>, &mut u64),
    ) -> Vec<Check> {
        let (flights, mut seen, mut airports) = faultless();
        let mut lag = 0;
        change(&mut seen, &mut airports, &mut lag);
        verify(&flights, 1, &seen, &airports, lag)
    }

    fn holds(checks: &[Check]) -> Vec<bool> {
        checks.iter().map(|check| check.holds).collect()
    }

    #[test]
    fn a_faultless_run_holds() {
        assert_eq!(holds(&found(|_, _, _| {})), [true; 4]);
    }

    #[test]
    fn each_fault_is_found_by_its_check() {
        let missing = found(|seen, _, _| {
            seen.remove(2);
        });
        assert_eq!(holds(&missing), [false, true, true, true]);
        assert!(missing[0].found.contains("1 are missing"), "{}", missing[0].found);

        let again = found(|seen, _, _| seen.push(seen[5]));
        assert_eq!(holds(&again), [false, false, true, true]);
        assert!(again[0].found.contains("1 deliveries were repetitions"), "{}", again[0].found);

        let doubled = found(|seen, _, _| seen[4].number = 2);
        assert_eq!(holds(&doubled), [false, false, true, true]);
        assert!(doubled[0].found.contains("1 are in the topic twice"), "{}", doubled[0].found);

        let swapped = found(|seen, _, _| seen.swap(1, 3));
        assert_eq!(holds(&swapped), [true, false, true, true]);
        assert!(swapped[1].found.ends_with("LAX: flight 2 after 4"), "{}", swapped[1].found);

        let sums = found(|_, airports, _| airports.values_mut().for_each(|d| d.minutes += 1));
        assert_eq!(holds(&sums), [true, true, false, true]);
        let stranger = found(|_, airports, _| {
            airports.insert("SFO".into(), Delays::default());
        });
        assert_eq!(holds(&stranger), [true, true, false, true]);

        assert_eq!(holds(&found(|_, _, lag| *lag = 1)), [true, true, true, false]);
    }
}
