//! Kafka's unit test of one reconciliation step, as data: 17 cases.

use super::super::reconcile::{Goal, Held, Index, MemberState, contains, step};
use super::support::kafka_data;
use serde_json::Value;

/// t1/3 is 103, t2/4 is 204: dense enough for a list.
fn indices(list: &Value) -> Vec<Index> {
    let index = |p: &Value| {
        let topic: Index = p[0].as_str().unwrap().strip_prefix('t').unwrap().parse().unwrap();
        topic * 100 + Index::try_from(p[1].as_u64().unwrap()).unwrap()
    };
    list.as_array().unwrap().iter().map(index).collect()
}

fn held(member: &Value, state: MemberState) -> Held {
    let epoch = |field: &str| member[field].as_u64().unwrap().try_into().unwrap();
    Held {
        state,
        epoch: epoch("epoch"),
        previous_epoch: epoch("previous_epoch"),
        assigned: indices(&member["assigned"]),
        pending: indices(&member["pending_revocation"]),
    }
}

fn state(member: &Value) -> Option<MemberState> {
    match member["state"].as_str().unwrap() {
        "stable" => Some(MemberState::Stable),
        "unrevoked_partitions" => Some(MemberState::Unrevoked),
        "unreleased_partitions" => Some(MemberState::Unreleased),
        // A stored state written by newer software. Ours is stored nowhere.
        "unknown" => None,
        other => panic!("unknown state {other}"),
    }
}

/// 15 cases are followed; two are about a stored state that the software does not understand,
/// which a coordinator that lives and dies with its members never meets.
#[test]
fn kafka_s_reconciliation_cases_are_followed() {
    let data = kafka_data("reconciliation_cases.json");
    let (mut followed, mut not_applicable) = (0, 0);
    for case in data["cases"].as_array().unwrap() {
        let (member, expect) = (&case["member"], &case["expect"]);
        let Some(from) = state(member) else {
            not_applicable += 1;
            continue;
        };
        let before = held(member, from);
        let target = indices(&case["target"]);
        let epoch = case["target_epoch"].as_u64().unwrap().try_into().unwrap();
        let goal = Goal { epoch, target: &target, keeps: true };
        let owned = case["reported_owned"].is_array().then(|| indices(&case["reported_owned"]));
        let others = indices(&case["partitions_in_use"]);
        let is_free = |p| {
            !contains(&others, p) && !contains(&before.assigned, p) && !contains(&before.pending, p)
        };
        let after = step(&before, goal, owned.as_deref(), is_free).unwrap_or(before.clone());
        assert_eq!(after, held(expect, state(expect).unwrap()), "{}", case["id"]);
        followed += 1;
    }
    assert_eq!((followed, not_applicable), (15, 2));
}
