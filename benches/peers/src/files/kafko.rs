//! `kafko`: `send` and `send_batch` return when the record is in the page cache.
//!
//! Its log is a task of its own. Its documentation runs it under `#[tokio::main]`, where the sender and
//! that task wake each other across threads. Under a runtime of one thread they take turns, which is
//! faster for one sender and of no use to more.

use crate::payload::Payloads;
use bytes::Bytes;
use kafko::{Kafko, Producer};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

const TOPIC: &str = "bench";

/// What runs its tasks.
#[derive(Clone, Copy)]
pub(crate) enum Under {
    /// What `#[tokio::main]` makes.
    TokioMain,
    OneThread,
}

impl Under {
    fn runtime(self) -> Runtime {
        let mut builder = match self {
            Under::TokioMain => Builder::new_multi_thread(),
            Under::OneThread => Builder::new_current_thread(),
        };
        builder.enable_all().build().expect("a runtime can be made")
    }
}

async fn producer(broker: &Kafko) -> Producer {
    broker.create_topic(TOPIC).await.expect("kafko creates a topic");
    broker.producer_for(TOPIC).await.expect("kafko has the topic")
}

async fn close(broker: Kafko, producer: Producer) {
    drop(producer);
    broker.shutdown().await.expect("kafko shuts down");
}

pub(crate) fn send_batches(dir: &Path, records: u64, batch: u64, under: Under) -> Duration {
    let payloads = Payloads::new();
    under.runtime().block_on(async {
        let broker = Kafko::open(dir).await.expect("kafko opens");
        let producer = producer(&broker).await;
        let began = Instant::now();
        for base in (0..records).step_by(batch as usize) {
            let values = (base..base + batch).map(|i| Bytes::copy_from_slice(payloads.get(i)));
            let batch = values.map(|value| (None, value)).collect();
            producer.send_batch(batch).await.expect("kafko sends");
        }
        let took = began.elapsed();
        close(broker, producer).await;
        took
    })
}

/// Sends records one by one, from as many tasks as are asked for.
pub(crate) fn send_each(dir: &Path, records: u64, senders: u64, under: Under) -> Duration {
    let payloads = Payloads::new();
    under.runtime().block_on(async {
        let broker = Kafko::open(dir).await.expect("kafko opens");
        let producer = producer(&broker).await;
        let began = Instant::now();
        let send = |indexes: std::ops::Range<u64>| {
            let producer = producer.clone();
            async move {
                for i in indexes {
                    let value = Bytes::copy_from_slice(payloads.get(i));
                    producer.send(None, value).await.expect("kafko sends");
                }
            }
        };
        if senders == 1 {
            send(0..records).await;
        } else {
            let tasks = (0..senders).map(|_| tokio::spawn(send(0..records / senders)));
            for task in tasks.collect::<Vec<_>>() {
                task.await.expect("a sender does not panic");
            }
        }
        let took = began.elapsed();
        close(broker, producer).await;
        took
    })
}

/// Opens what [`send_batches`] has left and reads a tenth of it, 100 records in each 1,000: for each
/// record it reads all that comes behind in the segment, so that the places must be spread evenly.
/// Returns how many records were read.
pub(crate) fn replay_tenth(dir: &Path, records: u64) -> (u64, Duration) {
    let payloads = Payloads::new();
    Under::OneThread.runtime().block_on(async {
        let began = Instant::now();
        let broker = Kafko::open(dir).await.expect("kafko opens");
        let mut consumer = broker.consumer_for(TOPIC).await.expect("kafko has the topic");
        let mut count = 0;
        for start in (0..records).step_by(1_000) {
            consumer.seek_all(start);
            for i in start..start + 100 {
                let record = consumer.next_record().await.expect("kafko reads");
                assert_eq!(&record.value()[..], payloads.get(i));
                count += 1;
            }
        }
        let took = began.elapsed();
        drop(consumer);
        broker.shutdown().await.expect("kafko shuts down");
        (count, took)
    })
}
