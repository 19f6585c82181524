//! Kafka's own coordinator, event by event: 48 recorded traces of the KIP-848 protocol.
//!
//! The roster is the literal part of the coordinator, so it is what is driven. A heartbeat is one
//! request there and several calls here; the adapter maps one to the other, in the order in
//! which Kafka looks at it. What cannot be said to the roster, because its calls have no place for
//! it, is answered by the adapter and listed in [`NotSaid`]; the state after it is compared all the
//! same.

use super::super::roster::Roster;
use super::super::*;
use super::support::{ModAssignor, kafka_data};
use crate::group::assignor::{Assignor, RebalanceProtocol};
use crate::group::coordinator::describe::MemberSnapshot;
use crate::group::coordinator::reconcile::MemberState;
use crate::group::coordinator::seat::Timer;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Why an answer is the adapter's and not the roster's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum NotSaid {
    /// K-1: a request with fields missing or contradictory. Calls with typed arguments have none.
    InvalidRequest,
    /// K-2, K-3: a group nobody created. Members are made by a handle to the group.
    UnknownGroup,
    /// K-2, K-5, K-7: a member id nobody has, or not with that instance id. Members are spoken to by
    /// keys, and nobody has such a key; what becomes of an outlived key is tested in `rules.rs`.
    UnknownMember,
    /// O-2: a commit from an epoch below the member's. Kafka of that day refused all of these; the
    /// newer rule, ours, looks at when each partition was assigned.
    OlderCommit,
    /// O-2: a commit of a member without partitions. Our rule is about partitions.
    CommitOfNothing,
}

type Answer = Result<Result<Value, &'static str>, NotSaid>;

struct Adapter {
    roster: Roster,
    exists: bool,
}

impl Adapter {
    fn new(config: &Value) -> Self {
        let topics = config["topics"].as_object().unwrap();
        let layouts: Vec<TopicLayout> = topics
            .iter()
            .map(|(name, count)| TopicLayout::new(name, number(count).try_into().unwrap()))
            .collect();
        let max = config["max_size"].as_u64().map(|max| usize::try_from(max).unwrap());
        let config = Config {
            protocol: RebalanceProtocol::Cooperative,
            session_timeout: Duration::from_millis(number(&config["session_timeout_ms"])),
            sessions: Sessions::Always,
            max_poll_interval: Duration::MAX,
            member_count_max: max,
        };
        Adapter { roster: Roster::new(config, &layouts), exists: false }
    }

    fn heartbeat(&mut self, request: &Value, now: Duration) -> Answer {
        let epoch = request["epoch"].as_i64().unwrap();
        let id = request["member"].as_str().unwrap();
        let instance = request["instance_id"].as_str();
        if is_invalid(request) {
            return Err(NotSaid::InvalidRequest);
        }
        if !self.exists && epoch != 0 {
            return Err(NotSaid::UnknownGroup);
        }
        self.exists = true;
        if epoch < 0 {
            let seat = self.identify(id, instance)?;
            match epoch {
                -1 => self.roster.remove(seat),
                _ => self.roster.send_away(seat, now),
            }
            return Ok(Ok(json!({"member": id, "epoch": epoch, "assignment": null})));
        }
        if self.roster.seat_of(id).is_none() && self.roster.is_full() {
            return Ok(Err("GROUP_MAX_SIZE_REACHED"));
        }
        let owned = request["owned"].as_array().map(|list| self.indices(list));
        let is_known = self.roster.seat_of(id).is_some();
        let seat = if epoch == 0 && (instance.is_some() || !is_known) {
            match self.roster.join(profile(request), now) {
                Ok(seat) => seat,
                Err(JoinRefused::InstanceInUse { .. }) => return Ok(Err("UNRELEASED_INSTANCE_ID")),
                Err(refused) => panic!("{refused:?}"),
            }
        } else {
            let seat = self.identify(id, instance)?;
            let epoch = Epoch::try_from(epoch).unwrap();
            if !self.roster.accepts(seat, epoch, owned.as_deref()) {
                return Ok(Err("FENCED_MEMBER_EPOCH"));
            }
            if let Some(timeout) = request["rebalance_timeout_ms"].as_u64() {
                self.roster.seat_mut(seat).profile.rebalance_timeout =
                    Duration::from_millis(timeout);
            }
            if request["subscription"].is_array() {
                self.roster.subscribe(seat, profile(request).topics);
            }
            self.roster.renew(seat, now);
            seat
        };
        if self.roster.needs_target() {
            let AssignmentRequest { epoch, members, topics } = self.roster.request();
            let assignment = ModAssignor.assign(&members, &topics);
            assert_eq!(self.roster.install(epoch, &assignment), Ok(Installed::Done));
        }
        let had = self.roster.seat(seat).held.assigned.clone();
        self.roster.reconcile(seat, owned.as_deref(), now);
        let held = &self.roster.seat(seat).held;
        let is_full =
            ["rebalance_timeout_ms", "subscription", "owned"].iter().all(|f| !request[f].is_null());
        let assignment = (epoch == 0 || is_full || held.assigned != had)
            .then(|| partitions(&self.roster.names(&held.assigned)));
        Ok(Ok(json!({"member": id, "epoch": held.epoch, "assignment": assignment})))
    }

    /// The seat that a request is about, by names.
    fn identify(&self, id: &str, instance: Option<&str>) -> Result<u32, NotSaid> {
        let seat = self.roster.seat_of(id);
        let seat = match instance {
            Some(instance) => seat.filter(|_| self.roster.seat_of_instance(instance) == seat),
            None => seat,
        };
        seat.ok_or(NotSaid::UnknownMember)
    }

    fn commit(&self, member: &str, epoch: i64) -> Answer {
        let seat = self.roster.seat_of(member).ok_or(NotSaid::UnknownMember)?;
        let held = &self.roster.seat(seat).held;
        let Ok(epoch) = Epoch::try_from(epoch) else { return Err(NotSaid::OlderCommit) };
        if epoch < held.epoch {
            return Err(NotSaid::OlderCommit);
        }
        if held.is_empty() {
            return Err(NotSaid::CommitOfNothing);
        }
        let all = self.roster.names(&[&held.assigned[..], &held.pending[..]].concat());
        let refused = self.roster.refused_commits(seat, epoch, &all);
        if refused.is_empty() {
            return Ok(Ok(json!("ok")));
        }
        assert_eq!(refused.len(), all.len(), "an epoch ahead is ahead for every partition");
        assert!(refused.iter().all(|r| matches!(r.reason, CommitFault::Ahead { .. })));
        Ok(Err("STALE_MEMBER_EPOCH"))
    }

    /// Lets time pass; who was given up, as the trace lists it.
    fn sleep(&mut self, now: Duration) -> Vec<Value> {
        let mut expired = Vec::new();
        while let Some(due) = self.roster.next_deadline().filter(|&due| due <= now) {
            expired.extend(self.roster.expire(due).into_iter().map(|expired| {
                let timer = match expired.timer {
                    Timer::Session => "session",
                    Timer::Revocation => "rebalance",
                    Timer::Poll => "poll",
                };
                let at = u64::try_from(expired.at.as_millis()).unwrap();
                json!({"timer": timer, "member": expired.member.as_str(), "at_ms": at})
            }));
        }
        expired
    }

    fn indices(&self, list: &[Value]) -> Vec<Index> {
        let name = |p: &Value| {
            let partition = number(&p[1]).try_into().unwrap();
            TopicPartition::new(p[0].as_str().unwrap(), partition)
        };
        list.iter().map(|p| self.roster.partitions.index(&name(p))).collect()
    }

    fn snapshot(&self) -> Value {
        if !self.exists {
            return json!({"group_state": "none"});
        }
        let group = self.roster.describe(None);
        let members: BTreeMap<&str, Value> = group
            .members
            .iter()
            .map(|member| (member.id.as_str(), member_snapshot(member)))
            .collect();
        json!({"group_state": format!("{:?}", group.state), "group_epoch": group.epoch,
               "assignment_epoch": group.assignment_epoch, "members": members})
    }
}

fn member_snapshot(member: &MemberSnapshot) -> Value {
    let state = match member.state {
        MemberState::Stable => "stable",
        MemberState::Unrevoked => "unrevoked_partitions",
        MemberState::Unreleased => "unreleased_partitions",
    };
    let epoch = if member.is_away { -2 } else { i64::from(member.epoch) };
    let mut snapshot = json!({"state": state, "epoch": epoch, "previous_epoch": member.previous_epoch,
        "assigned": partitions(&member.assigned), "target": partitions(&member.target)});
    if !member.pending.is_empty() {
        snapshot["pending_revocation"] = partitions(&member.pending);
    }
    if let Some(instance_id) = &member.instance_id {
        snapshot["instance_id"] = json!(instance_id);
    }
    snapshot
}

fn partitions(list: &[TopicPartition]) -> Value {
    list.iter().map(|p| json!([p.topic.as_str(), p.partition])).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn profile(request: &Value) -> Profile {
    let topics = request["subscription"].as_array().unwrap();
    Profile {
        id: request["member"].as_str().unwrap().into(),
        instance_id: request["instance_id"].as_str().map(str::to_owned),
        rack: None,
        weight: 1,
        topics: topics.iter().map(|name| name.as_str().unwrap().into()).collect(),
        rebalance_timeout: Duration::from_millis(
            request["rebalance_timeout_ms"].as_u64().unwrap_or_default(),
        ),
    }
}

/// K-1.
fn is_invalid(request: &Value) -> bool {
    let is_empty = |field: &str| request[field].as_str().is_none_or(str::is_empty);
    let list = |field: &str| request[field].as_array().map(Vec::len);
    match request["epoch"].as_i64().unwrap() {
        _ if is_empty("group") => true,
        0 => {
            request["rebalance_timeout_ms"].is_null()
                || list("subscription").is_none_or(|len| len == 0)
                || list("owned") != Some(0)
        }
        -2 => is_empty("member") || is_empty("instance_id"),
        epoch => epoch < -2 || is_empty("member"),
    }
}

/// What the adapter may have answered in the roster's place.
fn is_fitting(reason: NotSaid, error: &str) -> bool {
    match reason {
        NotSaid::InvalidRequest => error == "INVALID_REQUEST",
        NotSaid::UnknownGroup => error == "GROUP_ID_NOT_FOUND",
        NotSaid::UnknownMember => matches!(error, "UNKNOWN_MEMBER_ID" | "FENCED_INSTANCE_ID"),
        NotSaid::OlderCommit => error == "STALE_MEMBER_EPOCH",
        NotSaid::CommitOfNothing => matches!(error, "STALE_MEMBER_EPOCH" | "ok"),
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    traces: usize,
    /// Events after which the whole state was compared.
    events: usize,
    /// Of those: heartbeats and commits whose answer was the roster's, and was compared.
    answers: usize,
    /// Members given up by a timer, at the same time and for the same reason as Kafka's.
    expired: usize,
    not_said: BTreeMap<NotSaid, usize>,
}

fn replay(trace: &Value, count: &mut Count) {
    let mut adapter = Adapter::new(&trace["config"]);
    for (i, event) in trace["events"].as_array().unwrap().iter().enumerate() {
        let place = format!("{} event {i}: {event}", trace["id"]);
        let at = number(&event["at_ms"]);
        let now = Duration::from_millis(at);
        let answer = match event["op"].as_str().unwrap() {
            "heartbeat" => adapter.heartbeat(&event["request"], now),
            "commit_check" => {
                adapter.commit(event["member"].as_str().unwrap(), event["epoch"].as_i64().unwrap())
            }
            "sleep" => {
                let expired = adapter.sleep(Duration::from_millis(at + number(&event["ms"])));
                // Kafka lists timers of replaced ids too, which did nothing.
                let fired = event["expired"].as_array().into_iter().flatten();
                let fired: Vec<Value> = fired
                    .filter(|timer| timer["fenced"] == true)
                    .map(|t| json!({"timer": t["timer"], "member": t["member"], "at_ms": t["at_ms"]}))
                    .collect();
                assert_eq!(expired, fired, "{place}");
                count.expired += expired.len();
                Ok(Ok(Value::Null))
            }
            op => panic!("unknown operation {op}"),
        };
        let error = event["error"].as_str().or(event["result"].as_str().filter(|r| *r != "ok"));
        match &answer {
            Ok(Ok(ours)) if event["op"] == "heartbeat" => {
                assert_eq!(*ours, event["response"], "{place}");
            }
            Ok(Ok(_)) => assert_eq!(error, None, "{place}"),
            Ok(Err(ours)) => assert_eq!(Some(*ours), error, "{place}"),
            Err(reason) => {
                assert!(is_fitting(*reason, error.unwrap_or("ok")), "{reason:?}: {place}");
                *count.not_said.entry(*reason).or_default() += 1;
            }
        }
        count.answers += usize::from(answer.is_ok() && event["op"] != "sleep");
        let mut after = event["after"].clone();
        after.as_object_mut().unwrap().remove("now_ms");
        assert_eq!(adapter.snapshot(), after, "{place}");
        count.events += 1;
    }
    count.traces += 1;
}

/// Every event of every trace leaves the roster in the state that Kafka's coordinator was in.
#[test]
fn kafka_s_traces_are_followed_event_by_event() {
    let data = kafka_data("group_traces_public.json.gz");
    let mut count = Count::default();
    for trace in data["traces"].as_array().unwrap().iter().filter(|t| t["protocol"] == "consumer") {
        replay(trace, &mut count);
    }
    let not_said = [
        (NotSaid::InvalidRequest, 51),
        (NotSaid::UnknownGroup, 15),
        (NotSaid::UnknownMember, 213),
        (NotSaid::OlderCommit, 12),
        (NotSaid::CommitOfNothing, 11),
    ];
    let expected =
        Count { traces: 48, events: 2363, answers: 1917, expired: 106, not_said: not_said.into() };
    assert_eq!(count, expected);
}
