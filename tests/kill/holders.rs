//! Two processes and one directory.

use super::child::{Dir, spawn};
use anabranch::{Broker, OpenError};
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

#[test]
fn the_second_process_is_refused_at_once_and_comes_in_when_the_first_is_dead() {
    let dir = Dir::new("hold");
    for round in 0..3 {
        let mut holder = spawn(&dir.0, "hold");
        let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "@holds"), "the child came to hold it");

        let start = Instant::now();
        let refused = Broker::open(&dir.0).unwrap_err();
        assert_eq!(refused, OpenError::Locked { path: dir.0.clone() });
        assert!(start.elapsed() < Duration::from_secs(5), "it waits: {:?}", start.elapsed());

        holder.kill().unwrap();
        holder.wait().unwrap();
        let broker = Broker::open(&dir.0).unwrap();
        let partition = broker.topic("synced").unwrap().partition(0).unwrap();
        assert_eq!(partition.high_watermark(), round + 1, "what it wrote is there");
        // Now this process holds it, and a child is refused.
        let mut second = spawn(&dir.0, "hold");
        let output = BufReader::new(second.stdout.take().unwrap()).lines();
        let said: Vec<String> = output.map(|line| line.unwrap()).collect();
        assert!(!said.iter().any(|line| line == "@holds"), "{said:?}");
        assert!(!second.wait().unwrap().success());
        broker.close().unwrap();
    }
}
