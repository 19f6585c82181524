//! The data as it is in the files, and how an input becomes a call.

use anabranch::assignor::{
    Assignor, CooperativeStickyAssignor, Member, PartitionLayout, RangeAssignor,
    RoundRobinAssignor, StickyAssignor, TopicLayout,
};
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

/// A partition as the data writes it.
pub(crate) type Partition = (String, u32);
/// Who has what.
pub(crate) type Owners = BTreeMap<String, Vec<Partition>>;

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Input {
    pub(crate) topics: BTreeMap<String, u32>,
    pub(crate) members: Vec<MemberInput>,
    /// By topic, by partition: where the replicas are.
    #[serde(default)]
    pub(crate) partition_racks: BTreeMap<String, Vec<Vec<String>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct MemberInput {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack: Option<String>,
    pub(crate) subscription: Vec<String>,
    #[serde(default)]
    pub(crate) owned: Vec<Partition>,
    /// Kafka's -1 is "unknown", as is none.
    pub(crate) generation: Option<i64>,
    pub(crate) owned_from_step: Option<usize>,
}

#[derive(Deserialize)]
pub(crate) struct CaseFile {
    pub(crate) count: usize,
    pub(crate) cases: Vec<Case>,
}

#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) assignor: String,
    #[serde(default)]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) steps: Vec<Step>,
    pub(crate) generator: Option<serde_json::Value>,
    pub(crate) kafka_test_time_limit_s: Option<u64>,
    // The two kinds of cases that ask for a rule rather than for an assignment.
    #[serde(default)]
    pub(crate) members: Vec<MemberInput>,
    #[serde(default)]
    pub(crate) expect: Expect,
}

#[derive(Deserialize)]
pub(crate) struct Step {
    #[serde(flatten)]
    pub(crate) input: Input,
    #[serde(default)]
    pub(crate) expect: Expect,
    #[serde(default)]
    pub(crate) kafka: Outcome,
    pub(crate) optimal: Option<Optimal>,
}

/// What must hold. An unknown key is an error, so that none is overlooked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Expect {
    pub(crate) exact: Option<Owners>,
    pub(crate) ordered: bool,
    pub(crate) exact_partial: Option<Owners>,
    pub(crate) properties: Vec<String>,
    pub(crate) derived_properties: Vec<String>,
    pub(crate) sizes: Option<BTreeMap<String, usize>>,
    pub(crate) sizes_any_order: Option<Vec<usize>>,
    pub(crate) each_size_between: Option<(usize, usize)>,
    pub(crate) total_assigned: Option<usize>,
    pub(crate) per_topic_count_each: Option<BTreeMap<String, usize>>,
    pub(crate) superset_of: BTreeMap<String, usize>,
    pub(crate) subset_of_step: BTreeMap<String, usize>,
    pub(crate) subset_of_owned: Vec<String>,
    pub(crate) intersects: Vec<Intersection>,
    pub(crate) transferring: Option<Vec<(String, u32, String)>>,
    pub(crate) transferring_count: Option<usize>,
    pub(crate) rack_mismatches: Option<usize>,
    pub(crate) order: Option<Vec<String>>,
    // Of assignors that the crate does not offer, and of a rule that has its own unit test.
    exact_name_order: Option<serde_json::Value>,
    error: Option<serde_json::Value>,
    use_rack_aware: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Intersection {
    pub(crate) member: String,
    pub(crate) of_step: usize,
    pub(crate) of_member: String,
}

/// What Kafka did.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Outcome {
    pub(crate) assignment: Owners,
    pub(crate) valid: Option<bool>,
    pub(crate) throws: Option<String>,
    pub(crate) balance_score: Option<u64>,
    pub(crate) moved: Option<usize>,
    pub(crate) withheld: Option<usize>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Optimal {
    pub(crate) loads_sorted: Vec<usize>,
    pub(crate) balance_score: u64,
    pub(crate) moves: usize,
}

#[derive(Deserialize)]
pub(crate) struct ScenarioFile {
    pub(crate) count: usize,
    pub(crate) scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
pub(crate) struct Scenario {
    pub(crate) id: String,
    pub(crate) assignor: String,
    #[serde(flatten)]
    pub(crate) input: Input,
    #[serde(default)]
    pub(crate) expect: Expect,
    #[serde(default)]
    pub(crate) kafka: Outcome,
    pub(crate) optimal: Option<Optimal>,
    #[serde(default)]
    pub(crate) tradeoff: bool,
}

/// Reads a data file.
pub(crate) fn read<T: DeserializeOwned>(name: &str) -> T {
    let path = format!("{}/tests/data/kafka/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    let mut file = GzDecoder::new(File::open(&path).expect(&path));
    std::io::Read::read_to_string(&mut file, &mut text).expect(&path);
    serde_json::from_str(&text).expect(&path)
}

/// The crate's assignor of that name; none for those that it does not offer.
pub(crate) fn assignor(name: &str) -> Option<Box<dyn Assignor>> {
    let all: [Box<dyn Assignor>; 4] = [
        Box::new(RangeAssignor),
        Box::new(RoundRobinAssignor),
        Box::new(StickyAssignor),
        Box::new(CooperativeStickyAssignor),
    ];
    all.into_iter().find(|assignor| assignor.name() == name)
}

impl Input {
    pub(crate) fn assign(&self, assignor: &dyn Assignor) -> Owners {
        let members: Vec<Member> = self.members.iter().map(MemberInput::to_member).collect();
        let assignment = assignor.assign(&members, &self.layouts());
        let ids: BTreeSet<&str> = self.members.iter().map(|m| m.id.as_str()).collect();
        let named: BTreeSet<&str> = assignment.0.keys().map(|id| id.as_str()).collect();
        assert_eq!(named, ids, "the members of the assignment are those of the group");
        let plain = |p: &anabranch::TopicPartition| (p.topic.to_string(), p.partition);
        assignment
            .0
            .iter()
            .map(|(id, list)| (id.to_string(), list.iter().map(plain).collect()))
            .collect()
    }

    pub(crate) fn layouts(&self) -> Vec<TopicLayout> {
        let layout = |(name, &count): (&String, &u32)| {
            let mut layout = TopicLayout::new(name, count);
            for (partition, racks) in layout
                .partitions
                .iter_mut()
                .zip(self.partition_racks.get(name).into_iter().flatten())
            {
                partition.racks.clone_from(racks);
            }
            let _: &[PartitionLayout] = &layout.partitions;
            layout
        };
        self.topics.iter().map(layout).collect()
    }

    /// The same group, where everybody reports `owners` as owned, in one generation.
    pub(crate) fn follow_up(&self, owners: &Owners) -> Input {
        let mut next = self.clone();
        for member in &mut next.members {
            member.owned = owners.get(&member.id).cloned().unwrap_or_default();
            member.generation = Some(1);
        }
        next
    }
}

impl MemberInput {
    fn to_member(&self) -> Member {
        let mut member = Member::new(&self.id).subscribe(&self.subscription);
        for (topic, partition) in &self.owned {
            member = member.own(topic, [*partition]);
        }
        if let Some(rack) = &self.rack {
            member = member.rack(rack);
        }
        if let Some(instance_id) = &self.instance_id {
            member = member.instance_id(instance_id);
        }
        match self.generation.map(u32::try_from) {
            Some(Ok(generation)) => member.generation(generation),
            _ => member,
        }
    }
}
