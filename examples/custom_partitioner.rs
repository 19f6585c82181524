//! Decides which partition gets a record: large customers have one to themselves, others share.

use anabranch::partitioner::{DefaultPartitioner, Partitioner, TopicView};
use anabranch::{PartitionId, Producer, Record, Topic, TopicConfig};
use std::error::Error;

/// Gives the `n`th large customer partition `n`, and spreads the others over the rest.
struct LargeFirst {
    large: Vec<&'static str>,
    others: DefaultPartitioner,
}

impl Partitioner for LargeFirst {
    fn partition(&self, record: &Record<'_>, topic: &TopicView<'_>) -> PartitionId {
        let is_it = |name: &&str| record.key == Some(name.as_bytes());
        if let Some(own) = (0..).zip(&self.large).find_map(|(id, name)| is_it(name).then_some(id)) {
            return own;
        }
        let reserved = PartitionId::try_from(self.large.len()).expect("there are but a few");
        let rest = TopicView::new(topic.name(), topic.partition_count() - reserved);
        reserved + self.others.partition(record, &rest)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let orders = Topic::in_memory("orders", TopicConfig::new().partitions(6))?;
    let partitioner =
        LargeFirst { large: vec!["railway", "airport"], others: DefaultPartitioner::default() };
    let producer = Producer::builder(&orders).partitioner(partitioner).build()?;

    for round in 0..100 {
        for large in ["railway", "airport"] {
            producer.send(Record::new("200 espresso").with_key(large))?;
        }
        let small = format!("customer-{round}");
        let sent = producer.send(Record::new("2 espresso").with_key(&small))?;
        assert!(sent.partition >= 2, "{small} went to partition {}", sent.partition);
    }

    let counts: Vec<_> =
        orders.stats().partitions.iter().map(|partition| partition.records).collect();
    println!("records per partition: {counts:?}");
    assert_eq!(counts[..2], [100, 100]);
    assert_eq!(counts[2..].iter().sum::<u64>(), 100);
    assert!(counts[2..].iter().all(|&count| count > 0));
    Ok(())
}
