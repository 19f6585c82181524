//! Processes what happened since a point in time once more, after a bug in the processing was fixed.

use anabranch::{
    ConsumerGroup, GroupError, Producer, Record, ResetTo, Timestamp, Topic, TopicConfig,
};
use std::error::Error;
use std::time::Duration;

const DAYS: [&str; 5] = ["monday", "tuesday", "wednesday", "thursday", "friday"];
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn main() -> Result<(), Box<dyn Error>> {
    let monday = Timestamp::from_millis(1_700_438_400_000);
    let sales = Topic::in_memory("sales", TopicConfig::new())?;
    let producer = Producer::new(&sales);
    for (day, name) in (0..).zip(DAYS) {
        producer.send(Record::new(name).with_timestamp(monday.saturating_add(DAY * day)))?;
    }

    let reports = ConsumerGroup::builder("reports").topic(&sales).build()?;
    let mut reporter = reports.join("reporter")?;
    assert_eq!(reporter.poll(Duration::ZERO)?.len(), 5);
    reporter.commit()?;

    // Everything since Wednesday was wrong. A member goes back by itself, within what it reads now …
    let wednesday = monday.saturating_add(DAY * 2);
    reporter.seek_to_timestamp(&[], wednesday)?;
    assert_eq!(reporter.poll(Duration::ZERO)?.len(), 3);
    reporter.commit()?;

    // … or the whole group is sent back, for which nobody may be at work.
    let reset = reports.reset_offsets(ResetTo::Timestamp(wednesday));
    assert!(matches!(reset, Err(GroupError::NotEmpty { members: 1, .. })));
    reporter.leave()?;
    reports.reset_offsets(ResetTo::Timestamp(wednesday))?;
    assert_eq!(reports.total_lag(), 3);

    let mut reporter = reports.join("reporter")?;
    let mut again = Vec::new();
    for record in &reporter.poll(Duration::ZERO)? {
        again.push(String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned());
    }
    println!("processed again: {again:?}");
    assert_eq!(again, DAYS[2..]);
    Ok(())
}
