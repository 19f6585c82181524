//! What is in the directory, as tables.

use crate::table::{Cell, Table};
use anabranch::inspect::{Directory, PartitionFiles};
use std::error::Error;

fn partitions_of(directory: &Directory) -> impl Iterator<Item = &PartitionFiles> {
    directory.topics.iter().flat_map(|topic| &topic.partitions)
}

fn name(partition: &PartitionFiles) -> Cell {
    Cell::Text(partition.partition.to_string())
}

/// How many offsets a partition spans: its records, if compaction has not been over it.
fn offsets(partition: &PartitionFiles) -> u64 {
    partition.log_end_offset.saturating_sub(partition.log_start_offset)
}

pub(crate) fn topics(directory: &Directory) -> Table {
    let columns = ["topic", "partitions", "offsets", "size", "durability", "cleanup", "damaged"];
    let mut table = Table::new(&columns);
    for topic in &directory.topics {
        let setting = |name: &str| {
            let setting = topic.settings.iter().find(|(setting, _)| *setting == name);
            Cell::from(setting.map(|(_, value)| value.as_str()))
        };
        let damaged = topic.partitions.iter().filter(|partition| !partition.damage.is_empty());
        table.row([
            Cell::from(&*topic.name),
            topic.partitions.len().into(),
            topic.partitions.iter().map(offsets).sum::<u64>().into(),
            Cell::Bytes(topic.partitions.iter().map(PartitionFiles::bytes).sum()),
            setting("durability"),
            setting("cleanup"),
            damaged.count().into(),
        ]);
    }
    table
}

pub(crate) fn partitions(directory: &Directory) -> Table {
    let columns =
        ["partition", "start", "end", "synced", "epoch", "segments", "size", "first damage"];
    let mut table = Table::new(&columns);
    for partition in partitions_of(directory) {
        let epoch = partition.leader_epochs.last().map(|(epoch, _)| epoch.unsigned_abs().into());
        let damage = partition.damage.first().map(|damage| Cell::Text(damage.to_string()));
        table.row([
            name(partition),
            partition.log_start_offset.into(),
            partition.log_end_offset.into(),
            partition.synced_offset.into(),
            epoch.map_or(Cell::Nothing, Cell::Number),
            partition.segments.len().into(),
            Cell::Bytes(partition.bytes()),
            damage.into(),
        ]);
    }
    table
}

pub(crate) fn segments(directory: &Directory) -> Table {
    let columns =
        ["partition", "base", "end", "size", "file size", "sealed", "compacted", "crc", "file"];
    let mut table = Table::new(&columns);
    for partition in partitions_of(directory) {
        for segment in &partition.segments {
            let file = segment.file.strip_prefix(&directory.path).unwrap_or(&segment.file);
            table.row([
                name(partition),
                segment.base_offset.into(),
                segment.end_offset.into(),
                Cell::Bytes(segment.bytes),
                Cell::Bytes(segment.file_bytes),
                Cell::Flag(segment.is_sealed),
                Cell::Flag(segment.is_compacted),
                segment.crc.map(|crc| Cell::Text(format!("{crc:08x}"))).into(),
                Cell::Text(file.display().to_string()),
            ]);
        }
    }
    table
}

pub(crate) fn groups(directory: &Directory) -> Table {
    let mut table = Table::new(&["group", "partition", "committed", "end", "lag", "metadata"]);
    for group in &directory.groups {
        for offset in &group.offsets {
            let end = directory.partition(&offset.partition).map(|files| files.log_end_offset);
            let metadata = Some(offset.committed.metadata.as_str()).filter(|text| !text.is_empty());
            table.row([
                Cell::from(&*group.group),
                Cell::Text(offset.partition.to_string()),
                offset.committed.offset.into(),
                end.into(),
                offset.lag.into(),
                metadata.into(),
            ]);
        }
    }
    table
}

/// A row for each partition and for each damaged file; says whether there is none.
pub(crate) fn verify(directory: &Directory) -> Result<(Table, bool), Box<dyn Error>> {
    let columns = [
        "partition",
        "batches",
        "records",
        "size",
        "torn",
        "verdict",
        "file",
        "position",
        "offset",
    ];
    let (mut table, mut is_good) = (Table::new(&columns), true);
    for partition in partitions_of(directory) {
        let found = partition.verify()?;
        is_good &= found.is_good();
        let torn = found.torn.map(|torn| Cell::Bytes(torn.bytes));
        let counts = [
            name(partition),
            found.batches.into(),
            found.records.into(),
            Cell::Bytes(found.bytes),
            torn.into(),
        ];
        if found.is_good() {
            let verdict = ["good".into(), Cell::Nothing, Cell::Nothing, Cell::Nothing];
            table.row(counts.iter().cloned().chain(verdict));
        }
        for damage in &found.damage {
            let file = damage.file.strip_prefix(&directory.path).unwrap_or(&damage.file);
            let place = [
                Cell::Text(damage.reason.to_string()),
                Cell::Text(file.display().to_string()),
                damage.position.into(),
                damage.offset.into(),
            ];
            table.row(counts.iter().cloned().chain(place));
        }
    }
    Ok((table, is_good))
}
