//! The list of a directory's topics and their settings: the small file `manifest`.
//!
//! ```text
//!  anabranch manifest 1
//!  topic orders partitions=6 durability=synced cleanup=delete segment_bytes=1073741824 …
//!  deleting clicks partitions=12
//!  crc32 5d41402a
//! ```
//!
//! 1. A topic is listed once the directories of all its partitions are there, durably.
//! 2. One that is being deleted is listed as such until the last of its directories is gone.
//! 3. Clocks are code, not settings: they are not listed.

use crate::error::OpenError;
use crate::ids::TopicName;
use crate::log::disk::Disk;
use crate::log::small_file::{self, SmallFileError};
use crate::record::TimestampType;
use crate::topic::{Cleanup, Durability, TopicConfig};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// The name of the file.
pub(super) const MANIFEST_FILE: &str = "manifest";

const KIND: &str = "manifest";
const VERSION: u32 = 1;

/// What the file says.
#[derive(Clone, Debug, Default)]
pub(super) struct Manifest {
    pub(super) topics: BTreeMap<TopicName, TopicConfig>,
    /// Topics that are being deleted, and how many partitions they had.
    pub(super) deleting: BTreeMap<TopicName, u32>,
}

impl Manifest {
    /// Reads the list; `None` if there is none, as in a directory that is new.
    pub(super) fn load(disk: &dyn Disk, root: &Path) -> Result<Option<Manifest>, OpenError> {
        let path = root.join(MANIFEST_FILE);
        let damaged = |what: String| OpenError::Manifest { path: path.clone(), what };
        match small_file::read(disk, &path, KIND, VERSION) {
            Ok(None) => Ok(None),
            Ok(Some(lines)) => Manifest::decode(&lines).map(Some).map_err(damaged),
            Err(SmallFileError::Disk(error)) => Err(error.into()),
            Err(SmallFileError::Damaged(what)) => Err(damaged(what.to_owned())),
            Err(SmallFileError::Version { found }) => {
                Err(OpenError::Version { path: path.clone(), found, known: VERSION })
            }
        }
    }

    /// Replaces the list, durably.
    pub(super) fn store(
        &self,
        disk: &dyn Disk,
        root: &Path,
    ) -> Result<(), crate::error::DiskError> {
        small_file::write(disk, &root.join(MANIFEST_FILE), KIND, VERSION, &self.encode())
    }

    fn encode(&self) -> String {
        let mut lines = String::new();
        for (name, config) in &self.topics {
            lines.push_str("topic ");
            lines.push_str(name);
            for (setting, value) in settings(config) {
                write!(lines, " {setting}={value}").expect("a string takes what it is given");
            }
            lines.push('\n');
        }
        for (name, partitions) in &self.deleting {
            writeln!(lines, "deleting {name} partitions={partitions}")
                .expect("a string takes what it is given");
        }
        lines
    }

    fn decode(lines: &str) -> Result<Manifest, String> {
        let mut manifest = Manifest::default();
        for line in lines.lines() {
            let mut words = line.split(' ');
            let (kind, name) = (words.next().unwrap_or_default(), words.next());
            let name =
                TopicName::from(name.ok_or_else(|| format!("line {line:?} names no topic"))?);
            let is_known =
                manifest.topics.contains_key(&name) || manifest.deleting.contains_key(&name);
            if is_known {
                return Err(format!("topic {name} is listed twice"));
            }
            let mut config = TopicConfig::new();
            for word in words {
                let (setting, value) =
                    word.split_once('=').ok_or_else(|| format!("{word:?} is no setting"))?;
                set(&mut config, setting, value)
                    .ok_or_else(|| format!("setting {word:?} of topic {name} is not known"))?;
            }
            config.check(&name).map_err(|error| error.to_string())?;
            match kind {
                "topic" => drop(manifest.topics.insert(name, config)),
                "deleting" => drop(manifest.deleting.insert(name, config.partitions)),
                _ => return Err(format!("line {line:?} is of no known kind")),
            }
        }
        Ok(manifest)
    }
}

/// The settings of a topic by name, those that are not without limit.
pub(super) fn settings(config: &TopicConfig) -> Vec<(&'static str, String)> {
    let millis = |span: Duration| span.as_millis().to_string();
    let durability = match config.durability_on_disk() {
        Durability::Memory => "memory",
        Durability::Written => "written",
        Durability::Synced => "synced",
    };
    let cleanup = match config.cleanup {
        Cleanup::Delete => "delete",
        Cleanup::Compact => "compact",
        Cleanup::Both => "both",
    };
    let timestamps = match config.timestamp_type {
        TimestampType::CreateTime => "create",
        TimestampType::LogAppendTime => "append",
    };
    let optional = [
        ("retention_bytes", config.retention_bytes.map(|bytes| bytes.to_string())),
        ("retention_time", config.retention_time.map(millis)),
        ("flush_interval", config.flush_interval.map(millis)),
    ];
    let mut all = vec![
        ("partitions", config.partitions.to_string()),
        ("durability", durability.to_owned()),
        ("cleanup", cleanup.to_owned()),
        ("timestamps", timestamps.to_owned()),
        ("segment_bytes", config.segment_bytes.to_string()),
        ("max_batch_bytes", config.max_batch_bytes.to_string()),
        ("cache_bytes", config.cache_bytes.to_string()),
        ("min_compaction_lag", millis(config.min_compaction_lag)),
        ("delete_retention", millis(config.delete_retention)),
        ("min_cleanable_ratio", config.min_cleanable_ratio.to_string()),
    ];
    all.extend(optional.into_iter().filter_map(|(setting, value)| Some((setting, value?))));
    if config.flush_interval.is_none() {
        all.push(("flush_interval", "none".to_owned()));
    }
    all
}

/// Sets one of them; `None` if it is not known, or its value is not one of its values.
fn set(config: &mut TopicConfig, setting: &str, value: &str) -> Option<()> {
    fn number<N: FromStr>(value: &str) -> Option<N> {
        value.parse().ok()
    }
    let millis = |value| Some(Duration::from_millis(number(value)?));
    match setting {
        "partitions" => config.partitions = number(value)?,
        "segment_bytes" => config.segment_bytes = number(value)?,
        "max_batch_bytes" => config.max_batch_bytes = number(value)?,
        "cache_bytes" => config.cache_bytes = number(value)?,
        "retention_bytes" => config.retention_bytes = Some(number(value)?),
        "retention_time" => config.retention_time = Some(millis(value)?),
        "flush_interval" if value == "none" => config.flush_interval = None,
        "flush_interval" => config.flush_interval = Some(millis(value)?),
        "min_compaction_lag" => config.min_compaction_lag = millis(value)?,
        "delete_retention" => config.delete_retention = millis(value)?,
        "min_cleanable_ratio" => config.min_cleanable_ratio = number(value)?,
        "durability" => {
            config.durability = Some(match value {
                "memory" => Durability::Memory,
                "written" => Durability::Written,
                "synced" => Durability::Synced,
                _ => return None,
            });
        }
        "cleanup" => {
            config.cleanup = match value {
                "delete" => Cleanup::Delete,
                "compact" => Cleanup::Compact,
                "both" => Cleanup::Both,
                _ => return None,
            };
        }
        "timestamps" => {
            config.timestamp_type = match value {
                "create" => TimestampType::CreateTime,
                "append" => TimestampType::LogAppendTime,
                _ => return None,
            };
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_settings() -> TopicConfig {
        TopicConfig::new()
            .partitions(7)
            .durability(Durability::Synced)
            .cleanup(Cleanup::Both)
            .timestamp_type(TimestampType::LogAppendTime)
            .segment_bytes(1_001)
            .max_batch_bytes(1_002)
            .cache_bytes(1_003)
            .retention_bytes(1_004)
            .retention_time(Duration::from_millis(1_005))
            .flush_interval(None)
            .min_compaction_lag(Duration::from_millis(1_006))
            .delete_retention(Duration::from_millis(1_007))
            .min_cleanable_ratio(0.125)
    }

    #[test]
    fn settings_come_back_as_they_were() {
        let mut manifest = Manifest::default();
        manifest.topics.insert("all".into(), all_settings());
        manifest.topics.insert("none".into(), TopicConfig::new());
        manifest.deleting.insert("gone".into(), 3);
        let read = Manifest::decode(&manifest.encode()).expect("it was just written");
        assert_eq!(read.deleting, manifest.deleting);
        for (name, config) in &manifest.topics {
            assert_eq!(settings(config), settings(&read.topics[name]));
        }
        let all = &read.topics["all"];
        assert_eq!(all.retention_time, Some(Duration::from_millis(1_005)));
        assert_eq!(read.topics["none"].retention_bytes, None);
        assert_eq!(read.topics["none"].flush_interval, Some(Duration::from_secs(5)));
    }

    #[test]
    fn what_is_not_known_is_refused_and_named() {
        for (lines, named) in [
            ("topic", "names no topic"),
            ("topic a\ntopic a", "listed twice"),
            ("topic a\ndeleting a", "listed twice"),
            ("topic a/b", "a/b"),
            ("topic a color=red", "color=red"),
            ("topic a partitions=x", "partitions=x"),
            ("topic a partitions=0", "0 partitions"),
            ("topic a partitions", "no setting"),
            ("topic a durability=none", "durability=none"),
            ("river a", "no known kind"),
        ] {
            let refused = Manifest::decode(lines).expect_err(lines);
            assert!(refused.contains(named), "{lines}: {refused}");
        }
    }
}
