//! The run: senders, members, and a conductor that lets one member join and one leave meanwhile.
//!
//! ```text
//!  sent     0 ──────────── 1/2 ┤gate├ ─────────── 5/6 ┤gate├ ─── all
//!  consumed 0 ───── 1/3 ─────────────── 2/3 ────────────────── all
//!                    └ member joins      └ member leaves
//! ```
//!
//! A gate opens when its rebalance is through. At the default rate it is open long before a sender
//! comes to it; at full speed it makes sure that there are flights left to send after each
//! rebalance, however short the file: both gates are before the last one.

use super::args::Args;
use super::input::{Flight, Input};
use super::member::{Event, Listener, Tally, work};
use super::screen::Screen;
use super::send::{SENDERS, send};
use anabranch::{ConsumerGroup, GroupState, PartitionId, Producer, Topic, TopicConfig};
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Scope, ScopedJoinHandle, scope};
use std::time::{Duration, Instant};

/// How often the conductor looks at how far things are.
const LOOK: Duration = Duration::from_millis(1);

/// What all threads share.
pub(crate) struct Run<'a> {
    pub(crate) args: &'a Args,
    pub(crate) input: &'a Input,
    /// The file's flights, parsed: what the result is held against.
    pub(crate) flights: Vec<Flight<'a>>,
    /// How many flights are sent in all.
    pub(crate) total: u64,
    pub(crate) start: Instant,
    /// Flights from this number on wait.
    pub(crate) gate: AtomicU64,
    /// Set when everything is consumed, or something failed: all threads end.
    pub(crate) is_over: AtomicBool,
    /// Which members are to leave.
    pub(crate) leaves: Vec<AtomicBool>,
    /// Counts deliveries, to all members.
    pub(crate) deliveries: AtomicU64,
    /// How far each partition was consumed.
    pub(crate) reached: Vec<AtomicU64>,
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) tallies: Vec<Tally>,
    /// What was not committed in the end.
    pub(crate) lag: u64,
}

impl<'a> Run<'a> {
    pub(crate) fn new(args: &'a Args, input: &'a Input) -> Result<Run<'a>, String> {
        let flights: Vec<_> =
            input.lines.iter().map(|line| input.columns.flight(line)).collect::<Result<_, _>>()?;
        Ok(Run {
            total: flights.len() as u64 * args.repeat as u64,
            flights,
            args,
            input,
            start: Instant::now(),
            gate: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            leaves: (0..=args.members).map(|_| AtomicBool::new(false)).collect(),
            deliveries: AtomicU64::new(0),
            reached: (0..args.partitions).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// Nanoseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).expect("it does not run for centuries")
    }

    /// How many records were consumed, those that were delivered again counted once.
    pub(crate) fn consumed(&self) -> u64 {
        self.reached.iter().map(|reached| reached.load(Ordering::SeqCst)).sum()
    }

    /// Does it all.
    pub(crate) fn conduct(&self, screen: &mut Screen) -> Result<Outcome, Box<dyn Error>> {
        let topic =
            Topic::in_memory("flights", TopicConfig::new().partitions(self.args.partitions))?;
        let group = ConsumerGroup::builder("delays").topic(&topic).build()?;
        let producer = Producer::new(&topic);
        let (events, heard) = channel();
        let owners = vec![None; self.reached.len()];
        let tallies = scope(|scope| {
            let mut conductor = Conductor { run: self, group: &group, screen, heard, owners };
            let outcome = conductor.play(scope, &events, &producer);
            self.is_over.store(true, Ordering::SeqCst);
            let mut tallies = Vec::new();
            for member in outcome? {
                tallies.push(member.join().expect("members do not panic")?);
            }
            Ok::<_, Box<dyn Error>>(tallies)
        })?;
        Ok(Outcome { tallies, lag: group.total_lag() })
    }
}

type Member<'s> = ScopedJoinHandle<'s, Result<Tally, String>>;

struct Conductor<'r> {
    run: &'r Run<'r>,
    group: &'r ConsumerGroup,
    screen: &'r mut Screen,
    heard: Receiver<Event>,
    /// Who has each partition, by what the members' listeners were told.
    owners: Vec<Option<usize>>,
}

impl<'r> Conductor<'r> {
    /// Start, join at a third, leave at two thirds, end.
    fn play<'s>(
        &mut self,
        scope: &'s Scope<'s, 'r>,
        events: &Sender<Event>,
        producer: &'r Producer,
    ) -> Result<Vec<Member<'s>>, Box<dyn Error>> {
        let (run, count, total) = (self.run, self.run.args.members, self.run.total);
        // All are in before the first polls, so that the first assignment is the only one.
        let consumers: Vec<_> =
            (1..=count).map(|member| self.join(member, events)).collect::<Result<_, _>>()?;
        let mut members: Vec<_> = (1..)
            .zip(consumers)
            .map(|(member, consumer)| spawn(scope, run, member, consumer, events.clone()))
            .collect();
        self.settle(count, &format!("{count} member{} start", if count == 1 { "" } else { "s" }))?;

        for sender in 0..SENDERS {
            let events = events.clone();
            scope.spawn(move || {
                if let Err(error) = send(run, sender, producer) {
                    let _ = events.send(Event::Failed(error.to_string()));
                }
            });
        }

        run.gate.store(total / 2, Ordering::SeqCst);
        self.wait_for(total / 3)?;
        let newcomer = self.join(count + 1, events)?;
        members.push(spawn(scope, run, count + 1, newcomer, events.clone()));
        self.settle(count + 1, &format!("member {} joins", count + 1))?;

        run.gate.store(total * 5 / 6, Ordering::SeqCst);
        self.wait_for(total * 2 / 3)?;
        run.leaves[0].store(true, Ordering::SeqCst);
        self.settle(count, "member 1 leaves")?;

        run.gate.store(u64::MAX, Ordering::SeqCst);
        self.wait_for(total)?;
        self.screen.wipe()?;
        Ok(members)
    }

    fn join(
        &self,
        member: usize,
        events: &Sender<Event>,
    ) -> Result<anabranch::Consumer, anabranch::GroupError> {
        let listener = Listener { member, commits: self.run.args.commits, events: events.clone() };
        self.group.member(format!("member-{member}")).listener(listener).join()
    }

    /// Waits until that many records are consumed.
    fn wait_for(&mut self, consumed: u64) -> Result<(), Box<dyn Error>> {
        while self.run.consumed() < consumed {
            self.look()?;
        }
        Ok(())
    }

    /// Waits until the group has so many members and all have what they are to have, and shows it.
    fn settle(&mut self, members: usize, what: &str) -> Result<(), Box<dyn Error>> {
        let before = self.owners.clone();
        while !self.is_settled(members) {
            self.look()?;
        }
        let (at, consumed) = (self.run.start.elapsed(), self.run.consumed());
        self.screen.rebalance(at, consumed, &before, &self.owners, what)?;
        Ok(())
    }

    fn is_settled(&self, members: usize) -> bool {
        let group = self.group.describe();
        let has = |member: &anabranch::MemberDescription, id: PartitionId| {
            member.assignment.iter().any(|of| of.partition == id)
        };
        let names: Vec<_> = group.members.iter().map(|member| member.id.as_str()).collect();
        // The group knows before the listener does; the row shows what the listeners were told.
        group.state == GroupState::Stable
            && group.members.len() == members
            && (0..).zip(&self.owners).all(|(id, owner)| {
                let name = owner.map(|owner| format!("member-{owner}"));
                let at = names.iter().position(|known| Some(*known) == name.as_deref());
                at.is_some_and(|at| has(&group.members[at], id))
            })
    }

    /// Hears what happened, and shows how far things are.
    fn look(&mut self) -> Result<(), Box<dyn Error>> {
        match self.heard.recv_timeout(LOOK) {
            Ok(Event::Assigned { member, partitions }) => {
                partitions.iter().for_each(|&id| self.owners[id as usize] = Some(member));
            }
            Ok(Event::Revoked { member, partitions }) => {
                for id in partitions {
                    let owner = &mut self.owners[id as usize];
                    *owner = owner.filter(|&other| other != member);
                }
            }
            Ok(Event::Failed(error)) => return Err(error.into()),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        self.screen.progress(self.run.consumed(), self.run.start.elapsed())?;
        Ok(())
    }
}

fn spawn<'s, 'r>(
    scope: &'s Scope<'s, 'r>,
    run: &'r Run<'r>,
    member: usize,
    consumer: anabranch::Consumer,
    events: Sender<Event>,
) -> Member<'s> {
    scope.spawn(move || {
        let tally = work(run, member, consumer).map_err(|error| error.to_string());
        if let Err(error) = &tally {
            let _ = events.send(Event::Failed(format!("member {member}: {error}")));
        }
        tally
    })
}
