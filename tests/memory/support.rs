//! Small topics, and user code that blocks, panics or counts when it is told to.

use anabranch::{
    Clock, ManualClock, Offset, Partition, Record, Records, Timestamp, Topic, TopicConfig,
};
use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

/// How long anything may take before it counts as hung. Never a measured time.
pub(crate) const GUARD: Duration = Duration::from_secs(20);

/// Chunks of about three small records.
pub(crate) fn tiny() -> TopicConfig {
    TopicConfig::new().segment_bytes(250)
}

pub(crate) fn topic(config: TopicConfig) -> Topic {
    Topic::in_memory("orders", config).unwrap()
}

/// A topic's first partition; the topic lives on behind it.
pub(crate) fn partition(config: TopicConfig) -> Partition {
    topic(config).partition(0).unwrap()
}

pub(crate) fn millis(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Appends these numbers, a batch each.
pub(crate) fn append_numbers(to: &Partition, numbers: Range<u64>) {
    for number in numbers {
        to.append(&[Record::new(&number.to_string())]).unwrap();
    }
}

pub(crate) fn values(records: &Records) -> Vec<String> {
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
    records.iter().map(|record| text(record.value())).collect()
}

pub(crate) fn offsets(records: &Records) -> Vec<Offset> {
    records.iter().map(|record| record.offset()).collect()
}

/// Everything that is retained.
pub(crate) fn all(of: &Partition) -> Records {
    of.read(of.log_start_offset(), usize::MAX).unwrap()
}

/// Does the work in another thread, and fails if it hangs.
pub(crate) fn guarded<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, outcome) = mpsc::channel();
    let thread = std::thread::spawn(move || done.send(work()));
    match outcome.recv_timeout(GUARD) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("hung"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().unwrap_err())
        }
    }
}

/// What a panic said.
pub(crate) fn panic_message(work: impl FnOnce()) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_err();
    panic.downcast_ref::<&str>().map_or_else(String::new, |text| (*text).to_owned())
}

/// Holds up one thread that passes, until it is released.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Debug, Default, PartialEq)]
enum GateState {
    #[default]
    Open,
    HoldsNext,
    Holding,
}

impl Gate {
    pub(crate) fn hold_next(&self) {
        *self.0.0.lock().unwrap() = GateState::HoldsNext;
    }

    /// Also after a test has failed: it is called while that unwinds.
    pub(crate) fn release(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = GateState::Open;
        self.0.1.notify_all();
    }

    /// Returns once a thread is held.
    pub(crate) fn await_held(&self) {
        let is_held = |state: &mut GateState| *state != GateState::Holding;
        let guard = self.0.0.lock().unwrap();
        let (_guard, wait) = self.0.1.wait_timeout_while(guard, GUARD, is_held).unwrap();
        assert!(!wait.timed_out(), "nobody came to the gate");
    }

    pub(crate) fn pass(&self) {
        let mut state = self.0.0.lock().unwrap();
        if *state == GateState::HoldsNext {
            *state = GateState::Holding;
            self.0.1.notify_all();
            let is_holding = |state: &mut GateState| *state == GateState::Holding;
            // Longer than what waits for this thread: that is what should fail.
            let wait = self.0.1.wait_timeout_while(state, 2 * GUARD, is_holding).unwrap();
            assert!(!wait.1.timed_out(), "the gate was never opened");
        }
    }
}

/// Releases the gate when a test ends, also when it fails.
pub(crate) struct Released<'a>(pub(crate) &'a Gate);

impl Drop for Released<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// A clock of the user's: passes a gate, and panics at a call chosen beforehand.
#[derive(Clone, Debug, Default)]
pub(crate) struct UserClock {
    pub(crate) time: ManualClock,
    pub(crate) gate: Gate,
    /// How many more calls succeed before one panics; negative for all.
    fuse: Arc<AtomicI64>,
}

impl UserClock {
    pub(crate) fn new() -> UserClock {
        let clock = UserClock::default();
        clock.never_panic();
        clock
    }

    pub(crate) fn panic_after(&self, calls: i64) {
        self.fuse.store(calls, Ordering::SeqCst);
    }

    pub(crate) fn never_panic(&self) {
        self.fuse.store(i64::MIN, Ordering::SeqCst);
    }

    fn ask(&self) {
        self.gate.pass();
        assert!(self.fuse.fetch_sub(1, Ordering::SeqCst) != 0, "the clock is broken");
    }
}

impl Clock for UserClock {
    fn now(&self) -> Timestamp {
        self.ask();
        self.time.now()
    }

    fn elapsed(&self) -> Duration {
        self.ask();
        self.time.elapsed()
    }
}

/// A waker that counts, and does what else it is told.
pub(crate) struct UserWaker {
    wakes: AtomicUsize,
    then: Box<dyn Fn() + Send + Sync>,
}

impl UserWaker {
    pub(crate) fn counting() -> Arc<UserWaker> {
        UserWaker::doing(|| ())
    }

    pub(crate) fn doing(then: impl Fn() + Send + Sync + 'static) -> Arc<UserWaker> {
        Arc::new(UserWaker { wakes: AtomicUsize::new(0), then: Box::new(then) })
    }

    pub(crate) fn wakes(&self) -> usize {
        self.wakes.load(Ordering::SeqCst)
    }

    /// Polls once for a task that this wakes.
    pub(crate) fn poll(
        self: &Arc<Self>,
        reader: &mut anabranch::Reader,
    ) -> std::task::Poll<Result<Records, anabranch::ReadError>> {
        let waker = Waker::from(Arc::clone(self));
        reader.poll_next(&mut Context::from_waker(&waker))
    }
}

impl Wake for UserWaker {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        (self.then)();
    }
}

/// Random numbers from a seed that a failing test prints.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// SplitMix64.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
