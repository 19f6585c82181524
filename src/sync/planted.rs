//! Bugs on request: proof that a model, or a test, can fail.
//!
//! A model that never fails proves nothing. Beside each model stands a test that plants the bug it
//! is there to catch and expects the checker to object. The places where a bug can be planted read
//! `planted(Bug::X)`; that is the constant `false` and the branch is not there, except in the model
//! builds and behind the feature `planted`, which is for this crate's own tests.

/// A mistake that can be planted, and that a model or a test is shown to catch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(
    not(feature = "planted"),
    expect(unreachable_pub, reason = "it is reached through the feature alone")
)]
pub enum Bug {
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
    /// Who reads files that retention has just dropped goes on at what is in memory.
    PassOvertaken,
    /// Retention drops a chunk and leaves the log's start where it was.
    ForgetStart,
    /// Records wait in an open batch, and readers are not told that there is one.
    HideOpen,
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
    /// A flight lands without waking those who sleep.
    ForgetSleepers,
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
    /// A record is acknowledged without being written.
    AckBeforeWrite,
    /// A record is acknowledged without the sync that it is to wait for.
    AckBeforeSync,
    /// A sync that failed is made again, and believed.
    RetrySync,
    /// A log goes on after a sync that failed.
    ForgetPoison,
    /// A new segment's name is not made durable.
    SkipDirSync,
    /// The name of a broker's new directory is not made durable.
    SkipRootSync,
    /// A segment that was rolled is not synced with the one behind it.
    SkipRolledSync,
    /// A closed segment's file is cut to its length, and that is not made durable.
    SkipTrimSync,
    /// The mark moves before the sync of what lies below it.
    MarkBeforeSync,
    /// A log is cut at the first bad byte, wherever that is.
    CutBelowMark,
    /// What is torn stays at the end of the log.
    KeepTornTail,
    /// What was found behind the mark is not written again before it is taken to be on disk.
    SkipRewrite,
    /// What a refused write has left in the files stays there.
    KeepHalfWritten,
    /// A chunk of which everything was given up is shown with what its successor holds.
    KeepEmptyChunk,
    /// What a short write has written is written again behind itself.
    RepeatShortWrite,
    /// The leader epoch does not rise after an unclean opening.
    KeepEpoch,
    /// The note of a directory closed in good order stays while it is appended to.
    KeepCleanNote,
    /// An index is believed whatever its checksum, and the batch that it leads to whatever its offset.
    TrustIndex,
    /// A partition whose files are damaged is opened as one that is empty.
    SilentOffline,
    /// A directory with a partition that is damaged counts as closed in good order.
    NoteOverDamage,
    /// What is read back is not compared with its checksum.
    SkipReadCrc,
    /// Retention removes segments before the list forgets them.
    RemoveBeforeList,
    /// What is left of segments below the start is kept if the mark's segment was among them.
    BlameOldMark,
    /// A compacted segment takes its place before the list names it.
    SwapBeforeList,
    /// A small file is written over instead of replaced.
    ReplaceInPlace,
    /// A topic is listed before its partitions' directories are there.
    ListBeforeDirs,
    /// A directory is used although another handle has it locked.
    SkipLock,
    /// A committed offset is seen by others before it is as durable as it is to be.
    ShowInFlight,
    /// A commit carries the epoch that is to come, although nothing was appended in it.
    CommitComingEpoch,
    /// An epoch is taken to end where the next one began, although the log was cut before that.
    EndBehindLog,
    /// Where the log ends is looked at behind the epochs, of which an append may have begun another meanwhile.
    EndAfterEpochs,
    /// A commit that is to be on disk is acknowledged without the sync.
    CommitUnsynced,
}

#[cfg(not(any(loom, shuttle, feature = "planted")))]
pub(crate) const fn planted(_bug: Bug) -> bool {
    false
}

#[cfg(any(loom, shuttle, feature = "planted"))]
mod model {
    use super::Bug;
    use std::cell::Cell;

    // Both checkers run all threads of a model on the one that started it.
    thread_local!(static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) });

    pub(crate) fn planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Runs `f` with a bug in place: on this thread, and until `f` returns or panics.
    ///
    /// ```
    /// use anabranch::testing::{Bug, SimDisk, with_planted};
    /// use anabranch::{Broker, Housekeeping};
    ///
    /// let disk = SimDisk::new();
    /// let open = || Broker::builder().housekeeping(Housekeeping::Manual).disk(disk.clone()).open("data");
    /// let _first = open()?;
    /// assert!(open().is_err());
    /// assert!(with_planted(Bug::SkipLock, open).is_ok());
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    #[cfg(feature = "planted")]
    pub fn with_planted<T>(bug: Bug, f: impl FnOnce() -> T) -> T {
        struct Before(Option<Bug>);
        impl Drop for Before {
            fn drop(&mut self) {
                PLANTED.set(self.0);
            }
        }
        let _before = Before(PLANTED.replace(Some(bug)));
        f()
    }

    /// Runs `model` with `bug` in place and returns whether the checker objected.
    ///
    /// It runs in a process of its own, which is this test started anew: a checker that gives up
    /// in the middle of a model unwinds its threads outside of it, which may well abort.
    #[cfg(all(test, any(loom, shuttle)))]
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
#[cfg(any(loom, shuttle, feature = "planted"))]
pub(crate) use model::planted;
#[cfg(feature = "planted")]
pub use model::with_planted;
