//! Turns on a thread of their own, with group commit.
//!
//! One thread takes turns: it is the writer. Another flushes: while it does, the next turns are decided,
//! and one flush covers all that were committed before it began. The effects of a turn are released
//! after its flush. When either fails, nothing of what was not flushed is told to anybody, and both end.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc as std_mpsc};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::courier::{Dispatcher, Gate};
use super::turns::{CounterBook, Effect, Effects};
use super::{Action, Answer, Attempted, Command, Happened, Hold, Reply, Turns};
use crate::clock::{Clock, Monotonic};
use crate::model::RetryKey;
use crate::store::{Store, StoreError};

/// Commands that wait at most; whoever brings more waits for room, and is refused after [`ROOM_WAIT`].
pub const MAX_QUEUE: usize = 16_384;

/// How long a caller waits for room in the queue.
pub const ROOM_WAIT: Duration = Duration::from_secs(5);

/// Turns decided on top of ones that are not flushed yet.
const MAX_UNFLUSHED: usize = 4;

/// The longest that the turn thread rests: it must beat for the watchdog.
const LONGEST_REST: Duration = Duration::from_millis(500);

/// Commands moved from the channel into the turn thread's own queue at once.
const MAX_AT_HAND: usize = 2_048;

/// What others see of the turns.
#[derive(Debug, Default)]
pub struct Status {
    /// Milliseconds of [`Status::since`] at the last beat of the turn loop.
    beat_ms: AtomicU64,
    outbox: AtomicUsize,
    due_lag_ms: AtomicI64,
    failed: Mutex<Option<String>>,
    holds: Mutex<BTreeSet<Hold>>,
    unknown: AtomicU64,
    counters: Mutex<Arc<CounterBook>>,
}

impl Status {
    /// What the store failed with; the daemon takes nothing any more and sends nothing.
    pub fn failure(&self) -> Option<String> {
        self.failed.lock().expect("no holder of this lock panics").clone()
    }

    /// Why nothing is sent; empty while sends are open.
    pub fn holds(&self) -> BTreeSet<Hold> {
        self.holds.lock().expect("no holder of this lock panics").clone()
    }

    /// Deliveries whose fate is unknown and that nobody has settled.
    pub fn unknown(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }

    /// Parcels that are not settled.
    pub fn outbox(&self) -> usize {
        self.outbox.load(Ordering::Relaxed)
    }

    /// How far behind the most overdue member is.
    pub fn due_lag(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.due_lag_ms.load(Ordering::Relaxed)).unwrap_or(0))
    }

    /// What has happened, by scenario; a second old at most.
    pub fn counters(&self) -> Arc<CounterBook> {
        Arc::clone(&self.counters.lock().expect("no holder of this lock panics"))
    }

    fn fail(&self, error: &StoreError) {
        tracing::error!(%error, "the store failed; nothing more is taken in or sent");
        self.failed.lock().expect("no holder of this lock panics").get_or_insert(error.to_string());
    }
}

/// The way in: commands to the turns. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Desk {
    sender: std_mpsc::Sender<Submission>,
    room: Arc<Semaphore>,
    status: Arc<Status>,
    started: Monotonic,
}

/// Commands that came together, and their places in the queue.
#[derive(Debug)]
struct Submission {
    commands: VecDeque<Command>,
    room: Option<OwnedSemaphorePermit>,
}

/// Why a command got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    #[error("the queue is full; try again in a moment")]
    Full,
    #[error("the daemon is stopping or its store has failed; the command did not happen")]
    Stopped,
}

impl Desk {
    /// Hands in one command and waits until what became of it is durable.
    ///
    /// # Errors
    /// [`Unanswered`]: it did not happen, or, where the store failed, it may be lost.
    pub async fn ask(&self, what: Action) -> Result<Answer, Unanswered> {
        let (reply, answer) = Reply::one();
        self.submit(vec![Command { what, reply: Some(reply) }]).await?;
        answer.await.map_err(|_| Unanswered::Stopped)
    }

    /// Hands in commands that belong together, and waits for all.
    ///
    /// # Errors
    /// As [`Desk::ask`]; some of them may have happened.
    pub async fn ask_all(&self, actions: Vec<Action>) -> Result<Vec<Answer>, Unanswered> {
        if actions.is_empty() {
            return Ok(Vec::new());
        }
        let (replies, answers) = Reply::many(actions.len());
        let commands = actions.into_iter().zip(replies);
        let commands = commands.map(|(what, reply)| Command { what, reply: Some(reply) }).collect::<Vec<_>>();
        self.submit(commands).await?;
        answers.await.map_err(|_| Unanswered::Stopped)
    }

    async fn submit(&self, commands: Vec<Command>) -> Result<(), Unanswered> {
        let places = u32::try_from(commands.len().min(MAX_QUEUE)).expect("the queue's bound is small");
        let room = Arc::clone(&self.room).acquire_many_owned(places);
        let room = tokio::time::timeout(ROOM_WAIT, room).await.map_err(|_| Unanswered::Full)?;
        let room = Some(room.map_err(|_| Unanswered::Stopped)?);
        self.sender.send(Submission { commands: commands.into(), room }).map_err(|_| Unanswered::Stopped)
    }

    /// Hands in a command of the daemon's own, which needs no room.
    pub fn tell(&self, what: Action) {
        let commands = VecDeque::from([Command { what, reply: None }]);
        // when the turns have ended, nobody is left to be told
        drop(self.sender.send(Submission { commands, room: None }));
    }

    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// How long ago the turn loop last beat.
    pub fn since_beat(&self) -> Duration {
        let beat = Duration::from_millis(self.status.beat_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(beat)
    }

    /// Commands that wait.
    pub fn queue_len(&self) -> usize {
        MAX_QUEUE - self.room.available_permits().min(MAX_QUEUE)
    }
}

/// Where couriers report. They never wait for room: their number is bounded by the outbox.
#[derive(Clone, Debug)]
pub struct Outcomes {
    desk: Desk,
    observed: Arc<dyn Observe>,
}

impl Outcomes {
    pub fn new(desk: Desk, observed: Arc<dyn Observe>) -> Outcomes {
        Outcomes { desk, observed }
    }

    pub(super) fn report(&self, retry_key: RetryKey, attempted: Attempted, took: Duration) {
        self.observed.attempted(&attempted, took);
        self.desk.tell(Action::Attempted { retry_key, attempted });
    }
}

/// Who watches: logs and metrics.
pub trait Observe: Send + Sync + std::fmt::Debug {
    /// Something happened to a member, and is durable.
    fn happened(&self, what: &Happened);
    fn attempted(&self, attempted: &Attempted, took: Duration);
    /// One flush, and how many turns it covered.
    fn flushed(&self, turns: usize, took: Duration);
}

/// Where effects go beside the callers.
#[derive(Debug)]
pub struct Outlets {
    pub errands: Dispatcher,
    /// Told when the quota is to be asked for.
    pub confirm_quota: mpsc::UnboundedSender<()>,
    pub gate: Gate,
    pub observe: Arc<dyn Observe>,
}

/// The two threads.
#[derive(Debug)]
pub struct Running {
    pub desk: Desk,
    stop: Arc<AtomicBool>,
    drain: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// Lets nothing new be queued, while commands are still taken.
    pub fn drain(&self) {
        self.drain.store(true, Ordering::SeqCst);
    }

    /// Ends both threads after what is at hand, and waits for them. Parcels that are in flight stay in
    /// the outbox and are taken up by the next start.
    pub fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.desk.room.close();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the turns has panicked");
            }
        }
    }
}

/// Starts taking turns.
///
/// # Errors
/// The system gives no thread.
pub fn start(
    turns: Turns,
    store: Arc<dyn Store>,
    clock: Clock,
    make_outlets: impl FnOnce(&Desk) -> Outlets,
) -> std::io::Result<Running> {
    let (sender, receiver) = std_mpsc::channel();
    let (flushes, to_flush) = std_mpsc::sync_channel(MAX_UNFLUSHED);
    let status = Arc::new(Status::default());
    let (stop, drain) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let started = Monotonic::now();
    let room = Arc::new(Semaphore::new(MAX_QUEUE));
    let desk = Desk { sender, room, status: Arc::clone(&status), started };
    let outlets = make_outlets(&desk);
    outlets.gate.hold(!turns.holds().is_empty());
    status.holds.lock().expect("no holder of this lock panics").clone_from(turns.holds());
    let gate = outlets.gate.clone();

    let flusher = {
        let (status, store) = (Arc::clone(&status), Arc::clone(&store));
        Builder::new().name("flush".into()).spawn(move || flush_all(&to_flush, &*store, &status, &outlets))?
    };
    let taker = {
        let (stop, drain) = (Arc::clone(&stop), Arc::clone(&drain));
        let loop_ = TurnLoop {
            turns,
            clock,
            receiver,
            flushes,
            gate,
            status,
            started,
            stop,
            drain,
            queue: VecDeque::new(),
            rooms: VecDeque::new(),
            counted: None,
        };
        Builder::new().name("turns".into()).spawn(move || loop_.run())?
    };
    Ok(Running { desk, stop, drain, threads: vec![taker, flusher] })
}

struct TurnLoop {
    turns: Turns,
    clock: Clock,
    receiver: std_mpsc::Receiver<Submission>,
    flushes: std_mpsc::SyncSender<Effects>,
    gate: Gate,
    status: Arc<Status>,
    started: Monotonic,
    stop: Arc<AtomicBool>,
    drain: Arc<AtomicBool>,
    queue: VecDeque<Command>,
    /// For each submission in the queue: how many of its commands are left, and the room they take.
    rooms: VecDeque<(usize, Option<OwnedSemaphorePermit>)>,
    counted: Option<Monotonic>,
}

impl TurnLoop {
    fn run(mut self) {
        loop {
            self.beat();
            self.gather();
            if self.stop.load(Ordering::SeqCst) && self.queue.is_empty() {
                return;
            }
            if self.status.failure().is_some() {
                return;
            }
            if self.drain.load(Ordering::SeqCst) {
                self.turns.drain();
            }
            let waiting = self.queue.len();
            let effects = match self.turns.take(&mut self.queue, self.clock.moment()) {
                Ok(effects) => effects,
                Err(error) => {
                    // nobody is left to record what LINE would answer
                    self.gate.shut();
                    return self.status.fail(&error);
                }
            };
            self.give_back_room(waiting - self.queue.len());
            // an empty turn has nothing to release
            if !effects.is_empty() && self.flushes.send(effects).is_err() {
                return;
            }
        }
    }

    /// Takes over what has come, and rests while there is nothing to do.
    fn gather(&mut self) {
        while self.queue.len() < MAX_AT_HAND {
            match self.receiver.try_recv() {
                Ok(submission) => self.accept(submission),
                Err(_) => break,
            }
        }
        if !self.queue.is_empty() || self.stop.load(Ordering::SeqCst) {
            return;
        }
        let rest = match self.turns.wake() {
            Some(wake) => self.clock.until(wake).min(LONGEST_REST),
            None => LONGEST_REST,
        };
        if rest.is_zero() {
            return;
        }
        match self.receiver.recv_timeout(rest) {
            Ok(submission) => self.accept(submission),
            Err(std_mpsc::RecvTimeoutError::Timeout) => {}
            // nobody is left who could ask for anything
            Err(std_mpsc::RecvTimeoutError::Disconnected) => self.stop.store(true, Ordering::SeqCst),
        }
    }

    fn accept(&mut self, submission: Submission) {
        self.rooms.push_back((submission.commands.len(), submission.room));
        self.queue.extend(submission.commands);
    }

    fn give_back_room(&mut self, mut taken: usize) {
        while taken > 0
            && let Some((left, room)) = self.rooms.front_mut()
        {
            let now = taken.min(*left);
            *left -= now;
            taken -= now;
            if let Some(room) = room {
                drop(room.split(now));
            }
            if *left == 0 {
                self.rooms.pop_front();
            }
        }
    }

    fn beat(&mut self) {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.status.beat_ms.store(now_ms, Ordering::Relaxed);
        self.status.outbox.store(self.turns.outbox_len(), Ordering::Relaxed);
        self.status.unknown.store(self.turns.unknown(), Ordering::Relaxed);
        let lag = self.turns.due_lag(self.clock.now()).as_millis();
        self.status.due_lag_ms.store(i64::try_from(lag).unwrap_or(i64::MAX), Ordering::Relaxed);
        if self.counted.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
            self.counted = Some(Monotonic::now());
            let counters = Arc::new(self.turns.counters().clone());
            *self.status.counters.lock().expect("no holder of this lock panics") = counters;
        }
    }
}

/// Flushes as long as turns come, as many at once as have come.
fn flush_all(turns: &std_mpsc::Receiver<Effects>, store: &dyn Store, status: &Status, outlets: &Outlets) {
    while let Ok(first) = turns.recv() {
        let mut ready = vec![first];
        ready.extend(turns.try_iter());
        let began = Monotonic::now();
        if let Err(error) = store.flush() {
            outlets.gate.shut();
            status.fail(&error);
            // what was committed on top is dropped as well, and its callers learn that it did not happen
            return;
        }
        outlets.observe.flushed(ready.len(), began.elapsed());
        for effect in ready.into_iter().flat_map(|effects| effects.0) {
            release(effect, status, outlets);
        }
    }
}

fn release(effect: Effect, status: &Status, outlets: &Outlets) {
    match effect {
        Effect::Answer(reply, answer) => reply.answer(answer),
        // when the couriers have ended, the parcel stays in the outbox for the next start
        Effect::Attempt(parcel) => {
            outlets.errands.send(parcel);
        }
        Effect::Happened(what) => outlets.observe.happened(&what),
        Effect::ConfirmQuota => drop(outlets.confirm_quota.send(())),
        Effect::Holds(holds) => {
            match holds.is_empty() {
                true => tracing::info!("sends are no longer on hold"),
                false => {
                    for hold in &holds {
                        let (reason, remedy) = (hold.word(), hold.remedy());
                        tracing::error!(reason, remedy, "all sends are on hold");
                    }
                }
            }
            outlets.gate.hold(!holds.is_empty());
            *status.holds.lock().expect("no holder of this lock panics") = holds;
        }
    }
}
