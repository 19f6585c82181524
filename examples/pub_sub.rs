//! Tells several parties about the same events: each group gets every record, at its own pace.

use anabranch::{ConsumerGroup, OffsetReset, Producer, Record, Topic, TopicConfig};
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let orders = Topic::in_memory("orders", TopicConfig::new().partitions(3))?;
    let producer = Producer::new(&orders);
    producer.send(Record::new("2 espresso").with_key("customer-42"))?;
    producer.send(Record::new("1 water").with_key("customer-7"))?;

    // A group without commits starts at the first record that is there; an alarm wants only news.
    let billing = ConsumerGroup::builder("billing").topic(&orders).build()?;
    let kitchen = ConsumerGroup::builder("kitchen").topic(&orders).build()?;
    let alarm =
        ConsumerGroup::builder("alarm").topic(&orders).offset_reset(OffsetReset::Latest).build()?;

    let mut bill = billing.join("cashier")?;
    let mut cook = kitchen.join("cook")?;
    let mut bell = alarm.join("bell")?;
    assert_eq!(bill.poll(Duration::ZERO)?.len(), 2);
    assert_eq!(cook.poll(Duration::ZERO)?.len(), 2);
    assert!(bell.poll(Duration::ZERO)?.is_empty());
    bill.commit()?;
    cook.commit()?;
    bell.commit()?;

    producer.send(Record::new("1 cake").with_key("customer-42"))?;
    assert_eq!(bell.poll(Duration::from_secs(1))?.len(), 1);
    assert_eq!(cook.poll(Duration::from_secs(1))?.len(), 1);
    bell.commit()?;
    cook.commit()?;

    // Billing has not looked yet: that holds up nobody, and nothing is lost to it.
    for group in [&billing, &kitchen, &alarm] {
        println!("{}: {} to go", group.id(), group.total_lag());
    }
    assert_eq!([&billing, &kitchen, &alarm].map(ConsumerGroup::total_lag), [1, 0, 0]);
    assert_eq!(bill.poll(Duration::ZERO)?.len(), 1);
    Ok(())
}
