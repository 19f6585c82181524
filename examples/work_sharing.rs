//! Spreads work over threads: each record is processed by one member of a group, and by one only.

use anabranch::{ConsumerGroup, Producer, Record, Topic, TopicConfig};
use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

const IMAGES: u32 = 3_000;

type Failure = Box<dyn Error + Send + Sync>;

/// Works until all images are done, whoever did them; returns how many were its own.
fn work(group: &ConsumerGroup, name: &str, done: &AtomicU32) -> Result<u32, Failure> {
    let mut worker = group.join(name)?;
    let mut own = 0;
    while done.load(Ordering::SeqCst) < IMAGES {
        for _image in &worker.poll(Duration::from_millis(20))? {
            own += 1;
            done.fetch_add(1, Ordering::SeqCst);
        }
        // Before the next poll: that may hand partitions over, and who gets them starts from here.
        worker.commit()?;
    }
    worker.leave()?;
    Ok(own)
}

fn main() -> Result<(), Failure> {
    // More partitions than workers, so that there is something to give to one that comes later.
    let images = Topic::in_memory("images", TopicConfig::new().partitions(12))?;
    let resizers = ConsumerGroup::builder("resizers").topic(&images).build()?;
    let done = AtomicU32::new(0);

    let shares = thread::scope(|scope| {
        let worker = |name| {
            scope.spawn({
                let (resizers, done) = (&resizers, &done);
                move || work(resizers, name, done)
            })
        };
        let workers = ["worker-1", "worker-2", "worker-3"].map(worker);
        let producer = Producer::new(&images);
        for image in 0..IMAGES {
            let name = format!("holiday-{image}.jpg");
            producer.send(Record::new("raw pixels").with_key(&name))?;
        }
        let joined = workers.map(|worker| worker.join().expect("a worker does not panic"));
        joined.into_iter().collect::<Result<Vec<u32>, Failure>>()
    })?;

    println!("images per worker: {shares:?}");
    assert_eq!(shares.iter().sum::<u32>(), IMAGES);
    assert_eq!(resizers.total_lag(), 0);
    Ok(())
}
