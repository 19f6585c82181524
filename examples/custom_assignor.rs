//! Decides which member gets which partition: by the work that waits there, and by what each member
//! can do. An answer that is wrong is refused, and the group goes on as it was.

use anabranch::assignor::{Assignment, Assignor, Member, TopicLayout};
use anabranch::{ConsumerGroup, PollError, Producer, Record, Topic, TopicConfig, TopicPartition};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Evens out lag per weight: the partition with the most lag goes first, to whoever would then have
/// the least to do for its weight.
#[derive(Default)]
struct LagPerWeight {
    /// Planted, to see what becomes of a wrong answer.
    forgets_one: Arc<AtomicBool>,
}

impl Assignor for LagPerWeight {
    fn name(&self) -> &str {
        "lag-per-weight"
    }

    fn assign(&self, members: &[Member], topics: &[TopicLayout]) -> Assignment {
        let mut assignment = Assignment::default();
        let mut loads = vec![0; members.len()];
        let mut partitions: Vec<_> = topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|p| (&topic.name, p)))
            .collect();
        partitions.sort_by_key(|(_, partition)| std::cmp::Reverse(partition.lag));
        partitions
            .truncate(partitions.len() - usize::from(self.forgets_one.load(Ordering::SeqCst)));
        for (topic, partition) in partitions {
            let work = partition.lag + 1; // so that partitions without lag are spread as well
            let subscribers =
                (0..members.len()).filter(|&i| members[i].subscription.contains(topic));
            let per_weight =
                |i: usize| (loads[i] + work) * 1_000 / u64::from(members[i].weight.max(1));
            let Some(least) = subscribers.min_by_key(|&i| per_weight(i)) else { continue };
            loads[least] += work;
            let own = assignment.0.entry(members[least].id.clone()).or_default();
            own.push(TopicPartition::new(topic, partition.id));
        }
        assignment
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let orders = Topic::in_memory("orders", TopicConfig::new().partitions(4))?;
    let producer = Producer::new(&orders);
    for (partition, lag) in [(0, 60), (1, 20), (2, 10), (3, 30)] {
        producer.send_batch((0..lag).map(|_| Record::new("order").to_partition(partition)))?;
    }

    let assignor = LagPerWeight::default();
    let forgets_one = Arc::clone(&assignor.forgets_one);
    let billing = ConsumerGroup::builder("billing").topic(&orders).assignor(assignor).build()?;
    let mut small = billing.member("small").join()?;
    let mut large = billing.member("large").weight(2).join()?;
    large.poll(Duration::ZERO)?;
    small.poll(Duration::ZERO)?;

    // 80 of the 120 records wait where the member of weight 2 reads, 40 where the other one does.
    let ids = |own: &[TopicPartition]| own.iter().map(|of| of.partition).collect::<Vec<_>>();
    println!(
        "large reads {:?}, small reads {:?}",
        ids(large.assignment()),
        ids(small.assignment())
    );
    assert_eq!(ids(large.assignment()), [0, 1]);
    assert_eq!(ids(small.assignment()), [2, 3]);

    // From now on the assignor forgets a partition. The next to poll after a change is told what is
    // wrong; everybody keeps what they have, and the newcomer waits.
    forgets_one.store(true, Ordering::SeqCst);
    let mut third = billing.join("third")?;
    let refused = third.poll(Duration::ZERO).expect_err("a partition was left out");
    let PollError::Assignment { reason, .. } = &refused else { return Err(refused.into()) };
    println!("{refused}: {reason}");
    assert_eq!(billing.describe().refused.as_ref(), Some(reason));
    large.poll(Duration::ZERO)?;
    small.poll(Duration::ZERO)?;
    assert_eq!(ids(large.assignment()), [0, 1]);
    assert_eq!(ids(small.assignment()), [2, 3]);
    assert!(third.assignment().is_empty());
    Ok(())
}
