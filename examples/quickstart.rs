//! Sends an order and processes it: a topic, a producer and a consumer group in one process.

use anabranch::{ConsumerGroup, Producer, Record, Topic, TopicConfig};
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let orders = Topic::in_memory("orders", TopicConfig::new().partitions(6))?;

    // Records of one key go to one partition, and stay in order there.
    let producer = Producer::new(&orders);
    let sent = producer.send(Record::new("2 espresso").with_key("customer-42"))?;
    let then = producer.send(Record::new("1 water").with_key("customer-42"))?;
    println!("sent to partition {} at offset {}", sent.partition, sent.offset);
    assert_eq!((then.partition, then.offset), (sent.partition, sent.offset + 1));

    // The members of a group share the partitions; this group has one, which reads all six.
    let billing = ConsumerGroup::builder("billing").topic(&orders).build()?;
    let mut consumer = billing.join("worker-1")?;
    let mut values = Vec::new();
    for record in &consumer.poll(Duration::from_secs(1))? {
        let value = String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned();
        println!("{}@{}: {value}", record.partition(), record.offset());
        values.push(value);
    }
    assert_eq!(values, ["2 espresso", "1 water"]);

    // What is committed is not seen again, whoever comes next.
    consumer.commit()?;
    consumer.leave()?;
    assert_eq!(billing.total_lag(), 0);
    assert!(billing.join("worker-2")?.poll(Duration::ZERO)?.is_empty());
    Ok(())
}
