//! Bugs on request: proof that a model can fail.
//!
//! A model that never fails proves nothing. Beside each model stands a test that plants the bug it
//! is there to catch and expects the checker to object. The places where a bug can be planted read
//! `planted(Bug::X)`; outside of the model builds that is the constant `false` and the branch is
//! not there.

/// The mistakes that models are shown to catch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A chunk's new length is published without Release.
    RelaxedPublish,
    /// A chunk's memory goes back to the pool while a reader may still hold it.
    EarlyRecycle,
    /// A chunk is sealed before its successor is in the chain.
    SealBeforeChain,
    /// A watcher is armed without looking once more for records.
    ArmWithoutCheck,
    /// Tokens are put into mailboxes after the lock is open under which their owners were armed.
    PutAfterUnlock,
    /// A mailbox takes a letter without waking its sleeping owner.
    SilentDelivery,
    /// A sleeper looks for letters before it has the lock that deliveries are made under.
    UnlockedDelivery,
    /// A mailbox takes a letter without calling the waker that was left with it.
    ForgetWaker,
    /// A shelf's new length is published without Release.
    RelaxedGrowth,
    /// A shelf's new length is published before the value that it covers.
    LengthBeforeValue,
    /// Records are deleted without telling the readers that are inside their chunk.
    ForgetFloor,
    /// Retention drops a chunk and leaves the log's start where it was.
    ForgetStart,
    /// A record bypasses the queue while others wait in it.
    OvertakeQueued,
    /// The appender of a queue leaves without looking for an open batch.
    ForgetOpen,
    /// A record that is appended at once does not wait for those queued before it.
    ForgetQueued,
    /// Who flushes does not wait for what another thread is appending.
    ImpatientFlush,
    /// The place of a record in its batch does not count.
    ForgetIndex,
    /// A queued batch is appended twice.
    AppendTwice,
    /// Buffer space is given back without waking who waits for it.
    SilentRoom,
    /// Records linger on while somebody waits for the room that they take.
    LingerOn,
    /// A chunk's bytes are published before its count of records.
    TornPublish,
    /// Whoever is done with a write asks nobody to do the next.
    ForgetLeader,
    /// Whoever is done with a write leaves the partition marked as being at work.
    StayBusy,
    /// Who writes because there is enough of it does not look whether another has begun.
    LeadUnasked,
    /// Those who boarded while a write was refused are told nothing.
    ForgetBoarded,
    /// Who asks for a ticket takes a partition that nobody is at work on for a flight that has landed.
    TicketAhead,
    /// Records are shown before they are written.
    ShowUnwritten,
    /// A chunk that lost all it held is kept beside the one that has its base offset now.
    ShowGivenUp,
    /// A chunk that was cut is not sealed when it has a successor.
    LeaveCutOpen,
    /// What has been written is shown without waking who waits for it.
    SilentShow,
    /// A sync fails without waking who waits for records.
    SilentPoison,
    /// A sync is tried again after one that failed.
    SyncAgain,
    /// A chunk goes from memory before it is written.
    EvictUnwritten,
    /// A partition is closed without waiting for what was appended to be written.
    CloseUnwritten,
    /// Readers are told that nothing will come before the last records are shown.
    EndTooSoon,
    /// Records are appended to a partition that was closed.
    AppendClosed,
    /// A change of a group rings nobody.
    SkipAlarm,
    /// A consumer sleeps although an alarm came with the tokens it has collected.
    ForgetAlarm,
    /// A member says that it let go of partitions before its listener was told.
    LetGoBeforeRevoked,
    /// A member takes a partition on while a commit of its former owner is in flight.
    StartUnsettled,
    /// A commit is stored whoever it comes from.
    CommitUnchecked,
    /// A position is committed that was sought beyond the end.
    CommitBeyondEnd,
    /// A partition that came is read from its start, whatever is committed.
    PositionFromStart,
    /// Records that went while a consumer was sent to the new start are not counted as lost.
    LossUncounted,
    /// A group counts its topics' partitions before it watches them grow.
    CountBeforeWatch,
}

#[cfg(not(any(loom, shuttle)))]
pub(crate) const fn planted(_bug: Bug) -> bool {
    false
}

#[cfg(any(loom, shuttle))]
mod model {
    use super::Bug;
    use std::cell::Cell;

    // Both checkers run all threads of a model on the one that started it.
    thread_local!(static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) });

    pub(crate) fn planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Runs `model` with `bug` in place and returns whether the checker objected.
    ///
    /// It runs in a process of its own, which is this test started anew: a checker that gives up
    /// in the middle of a model unwinds its threads outside of it, which may well abort.
    #[cfg(test)]
    pub(crate) fn caught(bug: Bug, model: impl FnOnce()) -> bool {
        const VARIABLE: &str = "ANABRANCH_PLANTED";
        let name = format!("{bug:?}");
        match std::env::var(VARIABLE) {
            Ok(wanted) if wanted == name => {
                PLANTED.set(Some(bug));
                model();
                std::process::exit(0);
            }
            Ok(_) => return true, // another bug of the same test is meant
            Err(_) => {}
        }
        let test = std::thread::current().name().expect("a test's thread is named").to_owned();
        let child = std::process::Command::new(std::env::current_exe().expect("this runs"))
            .args([&test, "--exact", "--nocapture", "--test-threads=1"])
            .env(VARIABLE, &name)
            .env("RUST_BACKTRACE", "0")
            .output()
            .expect("a test can start itself");
        let text = String::from_utf8_lossy(&child.stderr);
        let objection = text.lines().skip_while(|line| !line.contains("panicked at")).nth(1);
        println!("{name}: {}", objection.unwrap_or("no objection"));
        objection.is_some() && !child.status.success()
    }
}

#[cfg(all(test, any(loom, shuttle)))]
pub(crate) use model::caught;
#[cfg(any(loom, shuttle))]
pub(crate) use model::planted;
