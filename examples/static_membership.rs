//! Restarts a worker without moving its partitions: a static member has its place kept for a while.

use anabranch::{ConsumerGroup, ManualClock, Topic, TopicConfig};
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let clock = ManualClock::new(); // so that nobody has to wait for the session to end
    let orders = Topic::in_memory("orders", TopicConfig::new().partitions(4))?;
    let billing = ConsumerGroup::builder("billing")
        .topic(&orders)
        .session_timeout(Duration::from_secs(45))
        .clock(clock.clone())
        .build()?;

    let mut one = billing.member("one").instance_id("host-1").join()?;
    let mut two = billing.member("two").instance_id("host-2").join()?;
    one.poll(Duration::ZERO)?;
    two.poll(Duration::ZERO)?;
    let (kept, generation) = (one.assignment().to_vec(), billing.describe().generation);
    assert_eq!((kept.len(), two.assignment().len()), (2, 2));

    // Host 1 restarts. Its partitions wait for it: the other one goes on with its own.
    one.leave()?;
    two.poll(Duration::ZERO)?;
    assert_eq!(two.assignment().len(), 2);

    // It is back after 30 of 45 seconds, under any name, and has what it had: nothing moved.
    clock.advance(Duration::from_secs(30));
    let mut one = billing.member("one-restarted").instance_id("host-1").join()?;
    one.poll(Duration::ZERO)?;
    assert_eq!(one.assignment(), kept);
    assert_eq!(billing.describe().generation, generation);

    // This time it stays away. When its session has ended, the other one takes over.
    one.leave()?;
    clock.advance(Duration::from_secs(46));
    two.poll(Duration::ZERO)?;
    println!("two reads {} partitions", two.assignment().len());
    assert_eq!(two.assignment().len(), 4);
    assert!(billing.describe().generation > generation);
    Ok(())
}
