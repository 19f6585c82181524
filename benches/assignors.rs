//! How long does an assignment take, of a new group and of one that changes, and how does that
//! compare with Kafka's assignors on the same input?
//!
//! `cargo bench --bench assignors` runs every row, `-- --quick` only those of up to 20,000
//! partitions, `-- Halves` those whose name contains the word. The inputs and Kafka's times (best of several sessions, a warm JVM, milliseconds) are
//! described in `tests/data/kafka/README.md`. Only the call is timed. First assignment and
//! reassignment take turns, so that a noisy moment meets both.

use anabranch::assignor::{
    Assignment, Assignor, CooperativeStickyAssignor, Member, RangeAssignor, RoundRobinAssignor,
    StickyAssignor, TopicLayout,
};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Who subscribes to what.
#[derive(Clone, Copy, Debug)]
enum Subscriptions {
    /// Everybody to everything.
    Uniform,
    /// As uniform, but the last member only to the first topic.
    Nonequal,
    /// Every fourth member to the first half of the topics, the others to the second half.
    Halves,
    /// To each topic with probability 1/4.
    Random,
    /// The first member to one topic, each next one to one more.
    Nested,
    /// Every member to two topics, one of them shared with the next member.
    Chain,
}

/// What happens between the first assignment and the second.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// Everybody but the first member reports what it owns.
    Forget,
    /// The member in the middle is gone.
    Leave,
    /// Nothing.
    Same,
    /// Everybody reports partitions that are scattered over the members, balanced or not.
    Scatter,
}

use Event::{Forget, Leave, Same, Scatter};
use Subscriptions::{Chain, Halves, Nested, Nonequal, Random, Uniform};

/// Topics, partitions of each, members.
type Size = (u32, u32, u32);

struct Row {
    assignor: &'static dyn Assignor,
    subscriptions: Subscriptions,
    size: Size,
    event: Event,
    /// Kafka's assignor of the same name, best: first assignment (warm) and reassignment. None for
    /// groups that are only there to be hard.
    kafka: Option<(f64, f64)>,
    /// Kafka's server-side `uniform` assignor on the same input.
    server: Option<(f64, f64)>,
}

const MILLION: Size = (500, 2000, 2000);

#[rustfmt::skip]
fn rows() -> Vec<Row> {
    let sticky: &dyn Assignor = &StickyAssignor;
    let cooperative: &dyn Assignor = &CooperativeStickyAssignor;
    let row = |assignor, subscriptions, size, event, first, again| {
        let server = server(subscriptions, size, event);
        Row { assignor, subscriptions, size, event, kafka: Some((first, again)), server }
    };
    let hard = |subscriptions, size, event| {
        Row { assignor: sticky, subscriptions, size, event, kafka: None, server: None }
    };
    vec![
        row(sticky, Uniform, MILLION, Forget, 42.0, 2253.0),
        row(sticky, Uniform, MILLION, Leave, 42.0, 2498.0),
        row(sticky, Nonequal, MILLION, Forget, 4003.0, 6759.0),
        row(sticky, Nonequal, MILLION, Leave, 4669.0, 7538.0),
        row(sticky, Halves, (100, 200, 500), Forget, 1953.0, 1682.0),
        row(sticky, Halves, (100, 200, 500), Leave, 1908.0, 1648.0),
        row(sticky, Random, (100, 50, 100), Leave, 393.0, 1077.0),
        row(sticky, Random, (100, 50, 100), Same, 809.0, 10.7),
        row(sticky, Random, (100, 100, 200), Leave, 2372.0, 18.0),
        row(sticky, Uniform, (100, 100, 1000), Leave, 5.3, 14.9),
        row(sticky, Uniform, (20, 50, 40), Leave, 0.5, 1.2),
        row(sticky, Random, (20, 50, 40), Leave, 20.0, 13.5),
        row(cooperative, Uniform, MILLION, Forget, 40.0, 1187.0),
        row(cooperative, Uniform, MILLION, Leave, 40.0, 1383.0),
        row(cooperative, Nonequal, MILLION, Forget, 5094.0, 4462.0),
        row(cooperative, Nonequal, MILLION, Leave, 6924.0, 5406.0),
        row(cooperative, Halves, (100, 200, 500), Forget, 2134.0, 1619.0),
        row(cooperative, Halves, (100, 200, 500), Leave, 2486.0, 2047.0),
        row(cooperative, Random, (100, 50, 100), Leave, 455.0, 990.0),
        row(cooperative, Random, (100, 100, 200), Leave, 3108.0, 27.0),
        row(cooperative, Uniform, (100, 100, 1000), Leave, 5.0, 12.8),
        row(cooperative, Uniform, (20, 50, 40), Leave, 0.5, 1.1),
        row(cooperative, Random, (20, 50, 40), Leave, 22.0, 14.0),
        row(&RangeAssignor, Uniform, MILLION, Same, 471.0, 642.0),
        row(&RoundRobinAssignor, Uniform, MILLION, Same, 446.0, 454.0),
        hard(Random, (500, 200, 2000), Leave),
        hard(Nested, (300, 100, 300), Leave),
        hard(Nested, (300, 100, 300), Scatter),
        hard(Chain, (2001, 10, 2000), Leave),
    ]
}

/// What Kafka's server-side assignor takes where it was measured.
fn server(subscriptions: Subscriptions, size: Size, event: Event) -> Option<(f64, f64)> {
    match (subscriptions, size, event) {
        (Uniform, MILLION, Leave) => Some((64.0, 26.0)),
        (Nonequal, MILLION, Leave) => Some((207.0, 116.0)),
        (Halves, _, Leave) => Some((3.4, 4.9)),
        (Random, (100, 50, 100), Leave) => Some((2.9, 2.1)),
        (Random, (100, 100, 200), Leave) => Some((2.2, 1.9)),
        (Uniform, (100, 100, 1000), Leave) => Some((1.2, 1.0)),
        (Uniform, (20, 50, 40), Leave) => Some((0.3, 0.1)),
        (Random, (20, 50, 40), Leave) => Some((0.7, 0.5)),
        _ => None,
    }
}

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let filter: Option<String> =
        std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    println!(
        "milliseconds: ours best / median, Kafka's best (ours is x times as fast); f first, r reassign"
    );
    for row in rows() {
        let (topics, partitions, members) = row.size;
        let partitions_total = topics * partitions;
        if is_quick && partitions_total > 20_000 {
            continue;
        }
        let repetitions = if partitions_total > 100_000 { 21 } else { 301 };
        let name = format!(
            "{} {:?} {topics}x{partitions}x{members} {:?}",
            row.assignor.name(),
            row.subscriptions,
            row.event
        );
        if filter.as_ref().is_some_and(|word| !name.contains(word.as_str())) {
            continue;
        }
        let (first, again) = row.measure(repetitions);
        print!(
            "{name:52} f {:7.2} / {:7.2}  r {:7.2} / {:7.2}",
            first.0, first.1, again.0, again.1
        );
        for (whose, times) in [("Kafka", row.kafka), ("server", row.server)] {
            if let Some(times) = times {
                let (faster, faster_again) = (times.0 / first.0, times.1 / again.0);
                print!(" | {whose} f {:7.1} ({faster:6.1}x)", times.0);
                print!("  r {:7.1} ({faster_again:6.1}x)", times.1);
            }
        }
        println!();
    }
}

impl Row {
    /// Times both assignments: (best, median) of each.
    fn measure(&self, repetitions: usize) -> ((f64, f64), (f64, f64)) {
        let (topics, members) = self.input();
        let changed = self.change(&members, &self.assignor.assign(&members, &topics));
        let (mut first, mut again) = (Vec::new(), Vec::new());
        // A group holds its assignment until the next one is there, and so does this.
        let mut current = Assignment::default();
        for _ in 0..repetitions {
            first.push(time(self.assignor, &members, &topics, &mut current));
            again.push(time(self.assignor, &changed, &topics, &mut current));
        }
        (summary(first), summary(again))
    }

    fn input(&self) -> (Vec<TopicLayout>, Vec<Member>) {
        let (topics, partitions, members) = self.size;
        let width = |count: u32| (count - 1).to_string().len();
        let (topic_width, member_width) = (width(topics), width(members));
        let names: Vec<String> = (0..topics).map(|t| format!("t{t:0topic_width$}")).collect();
        let layouts = names.iter().map(|name| TopicLayout::new(name, partitions)).collect();
        let member = |index: u32| {
            let wanted = names.iter().zip(self.wants(index)).filter(|(_, wants)| *wants);
            Member::new(format!("c{index:0member_width$}")).subscribe(wanted.map(|(name, _)| name))
        };
        (layouts, (0..members).map(member).collect())
    }

    /// For each topic, whether a member subscribes to it.
    fn wants(&self, member: u32) -> Vec<bool> {
        let (topics, _, members) = self.size;
        let mut random = JavaRandom::new(1000 + u64::from(member));
        let mut wants: Vec<bool> = (0..topics)
            .map(|topic| match self.subscriptions {
                Uniform => true,
                Nonequal => member + 1 < members || topic == 0,
                Halves => member.is_multiple_of(4) == (topic < topics / 2),
                Random => random.next_two_bits() == 0,
                Nested => topic <= member,
                Chain => topic == member || topic == member + 1,
            })
            .collect();
        if !wants.contains(&true) {
            wants[0] = true;
        }
        wants
    }

    fn change(&self, members: &[Member], assignment: &Assignment) -> Vec<Member> {
        let gone = members[members.len() / 2].id.clone();
        let forgetful = members[0].id.clone();
        let mut changed = members.to_vec();
        if matches!(self.event, Scatter) {
            scatter(assignment, &mut changed);
            return changed;
        }
        for member in &mut changed {
            if !matches!(self.event, Forget) || member.id != forgetful {
                member.owned = assignment.0[&member.id].clone();
                member.generation = Some(1);
            }
        }
        changed.retain(|member| !matches!(self.event, Leave) || member.id != gone);
        changed
    }
}

fn time(
    assignor: &dyn Assignor,
    members: &[Member],
    topics: &[TopicLayout],
    current: &mut Assignment,
) -> Duration {
    let start = Instant::now();
    let assignment = assignor.assign(black_box(members), black_box(topics));
    let elapsed = start.elapsed();
    *current = black_box(assignment);
    elapsed
}

fn summary(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort_unstable();
    let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
    (millis(times[0]), millis(times[times.len() / 2]))
}

/// Lets every partition be reported by some member, as good as at random.
fn scatter(assignment: &Assignment, members: &mut [Member]) {
    let count = members.len();
    for (index, partition) in assignment.0.values().flatten().enumerate() {
        members[index.wrapping_mul(7_919) % 104_729 % count].owned.push(partition.clone());
    }
}

/// `java.util.Random`, so that the random subscriptions are those that Kafka was timed with.
struct JavaRandom(u64);

impl JavaRandom {
    const MASK: u64 = (1 << 48) - 1;

    fn new(seed: u64) -> Self {
        JavaRandom((seed ^ 0x5_DEEC_E66D) & Self::MASK)
    }

    /// `nextInt(4)`: the upper two bits of the state.
    fn next_two_bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(0x5_DEEC_E66D).wrapping_add(0xB) & Self::MASK;
        self.0 >> 46
    }
}
