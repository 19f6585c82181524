//! Records, one a line.

use crate::args::Wanted;
use anabranch::OwnedRecord;
use anabranch::inspect::Directory;
use serde_json::{Value, json};
use std::error::Error;
use std::io::Write;

/// Prints the records that are wanted and can be read; what is skipped goes to stderr.
pub(crate) fn dump(
    directory: &Directory,
    wanted: &Wanted,
    is_json: bool,
    out: &mut dyn Write,
) -> Result<(), Box<dyn Error>> {
    let of = &wanted.partition;
    let partition = directory.partition(of).ok_or_else(|| format!("there is no partition {of}"))?;
    let mut records = partition.records_from(wanted.from);
    for record in (&mut records).take(wanted.max) {
        if is_json {
            writeln!(out, "{}", object(&record))?;
        } else {
            writeln!(out, "{}", line(&record))?;
        }
    }
    for skipped in &records.report().skipped {
        eprintln!("skipped: {skipped}");
    }
    Ok(())
}

fn line(record: &OwnedRecord) -> String {
    let OwnedRecord { offset, timestamp, .. } = record;
    let headers: Vec<String> = record
        .headers
        .iter()
        .map(|header| format!("{}={}", header.name, text(header.value.as_deref())))
        .collect();
    let (key, value) = (text(record.key.as_deref()), text(record.value.as_deref()));
    format!("{offset}\t{}\t{key}\t{value}\t{}", timestamp.as_millis(), headers.join(","))
}

/// Readable, on one line, and without what a terminal would take for orders.
fn text(bytes: Option<&[u8]>) -> String {
    match bytes {
        Some(bytes) => String::from_utf8_lossy(bytes).escape_debug().to_string(),
        None => "null".to_owned(),
    }
}

fn object(record: &OwnedRecord) -> Value {
    let header = |header: &anabranch::OwnedHeader| json!({ "name": header.name, "value": value(header.value.as_deref()) });
    json!({
        "offset": record.offset,
        "timestamp": record.timestamp.as_millis(),
        "key": value(record.key.as_deref()),
        "value": value(record.value.as_deref()),
        "headers": record.headers.iter().map(header).collect::<Vec<_>>(),
    })
}

/// Text, if it is; else an array of bytes.
fn value(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.into(),
    })
}
