//! What is shown without arguments: every command, on a directory made for it.

use crate::args::{self, Request};
use anabranch::{Broker, Durability, Producer, Record, TopicConfig};
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, process};

/// A directory that goes when it is dropped.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn run(out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let dir = Scratch(env::temp_dir().join(format!("anabranch-inspect-{}", process::id())));
    let broker = fill(&dir.0)?;
    // The broker has the directory open all the while.
    for command in ["topics", "partitions", "segments", "groups", "verify"] {
        assert!(ask(&dir.0, command, out)?, "nothing is damaged yet");
    }
    ask(&dir.0, "dump orders 1 --from 2 --max 3", out)?;
    ask(&dir.0, "groups --json", out)?;
    broker.close()?;

    let log = dir.0.join("orders-1").join("00000000000000000000.log");
    let mut bytes = fs::read(&log)?;
    bytes[200] ^= 1;
    fs::write(&log, bytes)?;
    writeln!(out, "One bit of a file is changed.\n")?;
    assert!(!ask(&dir.0, "verify", out)?, "the damage was not seen");
    Ok(())
}

/// Runs a command as the command line would, and says whether what it shows is good.
fn ask(dir: &Path, command: &str, out: &mut dyn Write) -> Result<bool, Box<dyn Error>> {
    writeln!(out, "$ inspect DIR {command}")?;
    let words = command.split(' ').map(str::to_owned);
    let Request::Show(args) = args::parse([dir.display().to_string()].into_iter().chain(words))?
    else {
        return Err(format!("{command:?} shows nothing").into());
    };
    let is_good = crate::show(&args, out)?;
    writeln!(out)?;
    Ok(is_good)
}

fn fill(dir: &Path) -> Result<Broker, Box<dyn Error>> {
    let broker = Broker::open(dir)?;
    let config = TopicConfig::new().durability(Durability::Synced).segment_bytes(2_000);
    let orders = broker.create_topic("orders", config.partitions(2))?;
    let producer = Producer::new(&orders);
    for number in 0..60 {
        let (key, value) = (format!("customer-{}", number % 7), format!("order {number}"));
        producer.send(Record::new(&value).with_key(&key))?;
    }
    let billing = broker.consumer_group("billing").topic(&orders).build()?;
    let mut consumer = billing.join("worker-1")?;
    assert!(!consumer.poll(Duration::from_secs(1))?.is_empty());
    consumer.commit()?;
    for number in 60..65 {
        producer.send(Record::new(&format!("order {number}")).to_partition(0))?;
    }
    Ok(broker)
}
