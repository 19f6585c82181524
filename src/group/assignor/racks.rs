//! Racks: which members are close to a replica of which partition.
//!
//! Rack names are interned, each partition keeps the sorted numbers of its racks. A member without
//! a rack is close to everything.
//!
//! Racks matter only if they can make a difference: some member is on a rack that holds replicas,
//! and not every partition is on all of the racks. Range asks this of each topic and its
//! subscribers, the sticky assignors of the group as a whole.

use super::roster::{Roster, Topic};
use crate::ids::Map;

/// The racks of one call.
pub(super) struct RackMap {
    /// By member; `None` is close to everything.
    member_racks: Vec<Option<u32>>,
    /// By slot, ascending, without duplicates.
    slot_racks: Vec<Vec<u32>>,
}

impl RackMap {
    /// Collects the racks of members and partitions.
    pub(super) fn new(roster: &Roster<'_>) -> Self {
        let mut numbers: Map<String, u32> = Map::default();
        let mut number = |rack: &String| {
            let next = u32::try_from(numbers.len()).expect("rack names do not fill the memory");
            *numbers.entry(rack.clone()).or_insert(next)
        };
        let member_racks =
            roster.members.iter().map(|member| member.rack.as_ref().map(&mut number)).collect();
        let mut slot_racks = vec![Vec::new(); roster.slot_count()];
        for topic in &roster.topics {
            for partition in &topic.layout.partitions {
                let Some(slot) = topic.slot(partition.id) else { continue };
                let racks: &mut Vec<u32> = &mut slot_racks[slot as usize];
                racks.extend(partition.racks.iter().map(&mut number));
                racks.sort_unstable();
                racks.dedup();
            }
        }
        RackMap { member_racks, slot_racks }
    }

    /// Whether the member may take the partition without leaving its rack.
    pub(super) fn matches(&self, member: u32, slot: u32) -> bool {
        let racks = &self.slot_racks[slot as usize];
        self.member_racks[member as usize].is_none_or(|rack| racks.binary_search(&rack).is_ok())
    }

    /// Whether racks can make a difference to anybody.
    pub(super) fn matter_at_all(&self) -> bool {
        make_a_difference(self.member_racks.iter().copied().flatten(), &self.slot_racks)
    }

    /// The member's rack.
    pub(super) fn of_member(&self, member: u32) -> Option<u32> {
        self.member_racks[member as usize]
    }

    /// The racks that hold a replica, ascending.
    pub(super) fn of_slot(&self, slot: u32) -> &[u32] {
        &self.slot_racks[slot as usize]
    }

    /// Whether racks can make a difference for a topic and its subscribers.
    pub(super) fn matter(&self, topic: &Topic<'_>, subscribers: &[u32]) -> bool {
        let partitions = &self.slot_racks[topic.first as usize..topic.end as usize];
        let members = subscribers.iter().filter_map(|&member| self.member_racks[member as usize]);
        make_a_difference(members, partitions)
    }
}

fn make_a_difference(members: impl IntoIterator<Item = u32>, partitions: &[Vec<u32>]) -> bool {
    let mut all: Vec<u32> = Vec::new();
    for racks in partitions {
        if *racks != all {
            all.extend(racks);
            all.sort_unstable();
            all.dedup();
        }
    }
    let reachable = members.into_iter().any(|rack| all.binary_search(&rack).is_ok());
    reachable && partitions.iter().any(|racks| *racks != all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn racks_matter_only_if_a_member_can_be_closer_to_some_partitions_than_to_others() {
        let everywhere = vec![vec![0, 1, 2]; 3];
        let spread = vec![vec![0], vec![1], vec![2]];
        assert!(!make_a_difference([], &[]));
        assert!(!make_a_difference([], &spread), "no member has a rack");
        assert!(!make_a_difference([0, 1], &[]), "no partition has a rack");
        assert!(!make_a_difference([3], &spread), "no member is where a replica is");
        assert!(!make_a_difference([0, 1], &everywhere), "all racks are alike");
        assert!(make_a_difference([0, 3], &spread));
        assert!(make_a_difference([2], &[vec![0, 1], vec![1, 2], vec![0, 2]]));
    }

    /// Kafka's unit test of this rule. Some of it sets a switch that only Kafka's tests can set, and
    /// that makes racks matter even where they cannot change anything; we have no such switch.
    #[test]
    fn racks_matter_where_they_do_to_kafka() {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/kafka/assignor_cases_public.json.gz");
        let file = std::fs::File::open(path).expect(path);
        let data: serde_json::Value =
            serde_json::from_reader(flate2::read::GzDecoder::new(file)).expect(path);
        let number = |rack: &serde_json::Value| u32::from(rack.as_str().unwrap().as_bytes()[0]);
        let numbers = |racks: &serde_json::Value| -> Vec<u32> {
            racks.as_array().unwrap().iter().map(number).collect()
        };
        let mut ran = 0;
        for case in data["cases"].as_array().unwrap() {
            if case["kind"] != "use_rack_aware" {
                continue;
            }
            let members = numbers(&case["consumer_racks"]);
            let partitions = case["racks_per_partition"].as_array().unwrap().iter();
            let partitions: Vec<Vec<u32>> = partitions.map(numbers).collect();
            let expected = case["expect"]["use_rack_aware"].as_bool().unwrap();
            let ours = make_a_difference(members, &partitions);
            let is_forced = case["rack_aware_forced"] == true;
            assert!(ours == expected || is_forced && expected, "{}", case["id"]);
            ran += 1;
        }
        assert_eq!(ran, 18);
    }
}
