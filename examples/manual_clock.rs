//! Tests what happens after five minutes without waiting five minutes: the clock is an argument.
//!
//! The case: a worker hangs, and its work must go to somebody else.

use anabranch::{CommitError, ConsumerGroup, ManualClock, Producer, Record, Topic, TopicConfig};
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let clock = ManualClock::new();
    let orders = Topic::in_memory("orders", TopicConfig::new().clock(clock.clone()))?;
    let billing = ConsumerGroup::builder("billing")
        .topic(&orders)
        .max_poll_interval(Duration::from_secs(300))
        .clock(clock.clone())
        .build()?;

    // Records are stamped by the same clock.
    clock.advance(Duration::from_secs(1));
    let sent = Producer::new(&orders).send(Record::new("2 espresso"))?;
    assert_eq!(sent.timestamp.as_millis(), 1_000);

    // The first worker takes the order and hangs before it has committed.
    let mut hung = billing.join("hung")?;
    assert_eq!(hung.poll(Duration::ZERO)?.len(), 1);
    let mut spare = billing.join("spare")?;
    clock.advance(Duration::from_secs(200));
    assert!(spare.poll(Duration::ZERO)?.is_empty(), "it still has time");

    // 301 seconds after its last poll it is given up, and the order goes to the other one.
    clock.advance(Duration::from_secs(101));
    assert_eq!(spare.poll(Duration::ZERO)?.len(), 1);
    spare.commit()?;

    // Should it come back to life, it cannot commit over the other one's head.
    let refused = hung.commit().expect_err("it was given up");
    println!("refused: {refused}");
    assert!(matches!(refused, CommitError::NotMember { .. }));
    assert_eq!(billing.total_lag(), 0);
    Ok(())
}
