//! Bills orders, one invoice each, and can be killed at any time: run again, it goes on where it was.
//!
//! `cargo run --example durable -- DIR` keeps its state in that directory: stop it with Ctrl-C or
//! `kill -9`, and run it again. Without arguments it starts itself so, kills that, and shows what is left.

use anabranch::{Broker, Durability, Producer, Reader, Record, TopicConfig};
use std::env::{args_os, current_exe, temp_dir};
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Takes `count` more orders and bills what is not billed; then checks the books.
fn work(dir: &Path, count: u64) -> Result<u64, Box<dyn Error>> {
    let broker = Broker::open(dir)?;
    let synced = TopicConfig::new().durability(Durability::Synced);
    let orders = broker.topic_or_create("orders", synced.clone())?;
    let invoices = broker.topic_or_create("invoices", synced)?;
    let (order_to, invoice_to) = (Producer::new(&orders), Producer::new(&invoices));
    let billing = broker.consumer_group("billing").topic(&orders).build()?;
    let mut consumer = billing.join("biller")?;

    // The invoice of order n has offset n, so the invoices themselves say how far billing is.
    let placed = orders.partition(0).map_or(0, |partition| partition.log_end_offset());
    let mut billed = invoices.partition(0).map_or(0, |partition| partition.log_end_offset());
    println!("{placed} orders, {billed} billed");
    for number in placed..placed + count {
        order_to.send(Record::new(&format!("{number} espresso")))?;
        // An order whose invoice was written, and not yet committed, when the process ended comes again.
        while billed <= number {
            for order in &consumer.poll(Duration::from_secs(1))? {
                if order.offset() >= billed {
                    let order = String::from_utf8_lossy(order.value().unwrap_or_default());
                    let sent = invoice_to.send(Record::new(&format!("invoice for {order}")))?;
                    billed = sent.offset + 1;
                    println!("billed order {}", sent.offset);
                }
            }
        }
        consumer.commit()?;
    }

    let mut reader = Reader::new(invoices.partitions().map(|partition| (partition, 0)));
    let mut checked = 0;
    while checked < billed {
        for invoice in &reader.poll(Duration::ZERO)? {
            let expected = format!("invoice for {checked} espresso");
            assert_eq!(invoice.value(), Some(expected.as_bytes()));
            checked += 1;
        }
    }
    drop(consumer);
    broker.close()?;
    Ok(billed)
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(dir) = args_os().nth(1) {
        work(Path::new(&dir), 1_000)?;
        return Ok(());
    }
    let dir = temp_dir().join(format!("anabranch-durable-{}", std::process::id()));
    for _ in 0..3 {
        let mut child = Command::new(current_exe()?).arg(&dir).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("it was to be piped")?).lines();
        let told: Vec<String> = lines.by_ref().take(20).collect::<Result<_, _>>()?;
        child.kill()?; // It cannot clean up, sync or say good-bye.
        child.wait()?;
        println!("killed after {:?}", told.last().ok_or("it said nothing")?);
    }
    let billed = work(&dir, 1)?;
    println!("{billed} orders were placed, and each was billed once");
    assert!(billed > 3 * 19, "every invoice that was told of is there, and one more");
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
