//! The world around the daemon: time, disk, network, callers. Plays a history and asks the oracle.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use amadare::dispatch::Hold;
use amadare::model::Attributes;
use amadare::store::MemoryStore;
use serde_json::json;

use crate::book::{self, Book};
use crate::daemon::{Answered, Ask, Clocks, Daemon, How, Out, Outcome, Request, instant, restored};
use crate::history::{Act, DAY, HOUR, History, MINUTE, Rng, SECOND, Weather, What, Whom};
use crate::line::{Fate, Line, Said, Verdict};
use crate::oracle::{Broken, Disturbed, Oracle, booking};

/// How wrong the clock may be without a word: a difference to LINE's and a jump that are both let pass.
const MOST_WRONG: i64 = 7 * MINUTE;

/// The smallest steps after which something must be going round in circles.
const MAX_STEPS: u64 = 250_000;

/// Rounds of settling what is in doubt at the end.
const MAX_SETTLED: usize = 9;

/// No run of these scenarios takes longer.
const LONGEST: i64 = 120 * DAY;

/// What is to happen at an instant of true time.
#[derive(Debug)]
enum Timed {
    /// A courier opens the connection.
    Leaves(Errand),
    Arrives(Errand, Fate),
    /// The daemon hears what its attempt came to.
    Heard(u128, Outcome),
    /// Somebody asks LINE about the token or the quota while sends are on hold.
    Probe,
}

/// A request that was handed out, and what held when it was.
#[derive(Debug)]
struct Errand {
    request: Request,
    /// Whose run it is for, by recipient, if that is sure.
    holders: Vec<Option<Whom>>,
    variant: usize,
    /// How far the clock was ahead: what it is set to afterwards does not call it back.
    offset: i64,
}

pub(crate) struct World {
    book: Arc<Book>,
    daemon: Option<Daemon>,
    line: Line,
    oracle: Oracle,
    /// True time.
    now: i64,
    /// How far the machine's clock is ahead of it.
    offset: i64,
    /// Which start of the machine this is.
    boot: u64,
    /// How wrong the clock was whenever an operator took it for right.
    confirmed: Vec<i64>,
    /// What LINE's clock has told the daemon of it last.
    told_offset: i64,
    /// Effects that were decided before the clock was set and nobody has seen yet: how many, and by what
    /// clock.
    stale: VecDeque<(usize, i64)>,
    /// The newest backup, when it was taken by the wall clock, and what was known then.
    backup: Option<(Arc<MemoryStore>, i64, Oracle)>,
    /// The clock was set in this history: backups and clocks that are wrong are two different stories.
    was_set: bool,
    was_restored: bool,
    rng: Rng,
    timed: BTreeMap<(i64, u64), Timed>,
    tickets: u64,
    /// Asks without an answer, by ticket.
    waiting: BTreeMap<u64, Ask>,
    /// What was sent under each serial.
    sent: HashMap<u32, Vec<Ask>>,
    /// The variant whose files are on the disk.
    variant: usize,
    weather: (Weather, i64, u64),
    /// What is to go wrong after so many steps.
    trouble: Option<(u32, Trouble)>,
    /// Whether couriers hold parcels back.
    gate_is_shut: bool,
    probing: bool,
    steps: u64,
    trace: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Kill { down: i64 },
    PowerCut { down: i64 },
    Restore { down: i64 },
    DiskFull { lasts: u32 },
    DiskMended,
}

/// What a history came to.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) broken: Option<Broken>,
    pub(crate) trace: Vec<String>,
    pub(crate) steps: u64,
}

pub(crate) fn play(history: &History, traced: bool) -> Played {
    let acts = &history.acts;
    let book = book::book(history.book);
    let start = acts.first().map_or(0, |act| act.at);
    let mut world = World {
        daemon: Some(Daemon::open(
            Arc::new(MemoryStore::new()),
            &book,
            0,
            Clocks { wall: start, boot: 1, uptime: start },
            Some(0),
        )),
        line: Line::default(),
        oracle: Oracle::new(&book, start),
        book,
        now: start,
        offset: 0,
        boot: 1,
        confirmed: vec![0],
        told_offset: 0,
        stale: VecDeque::new(),
        backup: None,
        was_set: false,
        was_restored: false,
        rng: Rng::new(0),
        timed: BTreeMap::new(),
        tickets: 0,
        waiting: BTreeMap::new(),
        sent: HashMap::new(),
        variant: 0,
        weather: (Weather::Clear, 0, 0),
        trouble: None,
        gate_is_shut: false,
        probing: false,
        steps: 0,
        trace: traced.then(Vec::new),
    };
    let broken = world.play(acts).err();
    Played { broken, trace: world.trace.unwrap_or_default(), steps: world.steps }
}

impl World {
    fn play(&mut self, acts: &[Act]) -> Result<(), Broken> {
        // the first reading of the clock is a right one
        self.run_until(self.now)?;
        for act in acts {
            self.rng = Rng::new(act.seed);
            let mut at = act.at.max(self.now);
            self.run_until(at - 1)?;
            if let Some(snap) = act.snap
                && let Some(wake) = self.next_wake()
                && (at..at + 2 * DAY).contains(&wake.saturating_add(snap))
            {
                at = wake + snap;
                self.run_until(at - 1)?;
            }
            self.now = self.now.max(at);
            self.act(act);
            for _ in 0..act.pump {
                self.step()?;
            }
        }
        // the weather clears, and time runs until nothing is left
        self.rng = Rng::new(1);
        self.weather = (Weather::Clear, 0, 0);
        self.trouble = None;
        self.daemon().set_failing(false);
        self.set_clock(-self.offset);
        self.ask(Ask::Release);
        self.probe_in(SECOND);
        if self.book.drawn.is_empty() {
            self.run_until(self.now + LONGEST)?;
        }
        if !self.book.drawn.is_empty() {
            // the clock and dates start nothing more, and what was paused or taken away goes on
            self.run_until(self.now + 3 * HOUR)?;
            for member in 0..crate::history::MEMBERS {
                if self.oracle.has_day(member) {
                    let attributes = object(json!({ "day": null }));
                    self.ask(Ask::Tell { member, attributes, tags: None, silent: false });
                }
            }
            self.reload(self.variant + book::VARIANTS);
            self.run_until(self.now + LONGEST)?;
        }
        for _ in 0..MAX_SETTLED {
            if self.daemon().in_doubt().is_empty() {
                break;
            }
            self.settle_some(100);
            self.run_until(self.now + LONGEST)?;
        }
        let daemon = self.daemon.as_ref().expect("it is open");
        self.oracle.at_the_end(daemon)
    }

    fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("it is opened again as soon as it has died")
    }

    fn wall(&self) -> i64 {
        self.now + self.offset
    }

    fn clocks(&self) -> Clocks {
        Clocks { wall: self.wall(), boot: self.boot, uptime: self.now }
    }

    /// Sets the machine's clock.
    fn set_clock(&mut self, by: i64) {
        let known: usize = self.stale.iter().map(|(count, _)| count).sum();
        let fresh = self.daemon().unseen().saturating_sub(known);
        self.stale.push_back((fresh, self.offset));
        self.offset += by;
        if by != 0 {
            self.oracle.is_disturbed(self.now, Disturbed::Clock);
        }
        // LINE's word from before is under way, and counts until the next one
        let is_told = |ask: &Ask| matches!(ask, Ask::LineClock { .. });
        if self.waiting.values().any(is_told) {
            self.confirmed.push(self.offset);
        }
        self.was_set |= by != 0;
    }

    /// An operator settles some of what is in doubt, by what they were told or by what they think.
    fn settle_some(&mut self, percent: u64) {
        for doubt in self.daemon().in_doubt() {
            if self.rng.percent(percent) {
                let how = self.rng.pick(&[How::Accepted, How::Dropped, How::Resend]);
                if how == How::Resend
                    && let Some((step, serial, version)) = &doubt.text
                {
                    self.oracle.may_be_sent_again(step, *serial, *version);
                }
                self.ask(Ask::Settle { delivery: doubt.id, how });
                // what cannot be sent again is asked for once more the other way
                if how == How::Resend && percent == 100 {
                    self.ask(Ask::Settle { delivery: doubt.id, how: How::Dropped });
                }
            }
        }
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:.3}  {}", instant(now), line()));
        }
    }

    fn weather(&self) -> Weather {
        let (weather, until, _) = self.weather;
        if self.now < until { weather } else { Weather::Clear }
    }

    fn next_wake(&mut self) -> Option<i64> {
        let offset = self.offset;
        self.daemon().wake().map(|wake| wake.saturating_sub(offset))
    }

    fn act(&mut self, act: &Act) {
        self.note(|| format!("== {:?}", act.what));
        let wall = self.wall();
        match &act.what {
            What::Enter { serial, scenario, whoms, key, anchor_in, age } => {
                let (name, data) = match *scenario {
                    "interview" => ("booked", anchored(*serial, 0, wall + anchor_in)),
                    name => {
                        let key = format!("k{key}");
                        (name, object(json!({ "n": serial, "key": key })))
                    }
                };
                for whom in whoms {
                    let (id, data) = (format!("e{serial}{whom:?}"), data.clone());
                    let ask = Ask::Event { id, name, whom: *whom, at: wall - age, data };
                    self.send(*serial, ask);
                }
            }
            What::Move { serial, version, whom, anchor_in } => {
                let data = anchored(*serial, *version, wall + anchor_in);
                let id = format!("e{serial}v{version}");
                let ask = Ask::Event { id, name: "moved", whom: *whom, at: wall, data };
                self.send(*version, ask);
            }
            What::Cancel { serial, whom } => {
                let id = format!("c{serial}-{}", act.seed);
                let data = object(json!({ "booking": booking(*serial) }));
                self.ask(Ask::Event { id, name: "cancelled", whom: *whom, at: wall, data });
            }
            What::Stop { serial, whom } => {
                let id = format!("s{serial}");
                self.ask(Ask::Event { id, name: "stop", whom: *whom, at: wall, data: Attributes::new() });
            }
            What::Buy { serial, whom } => {
                let id = format!("s{serial}");
                self.ask(Ask::Event { id, name: "buy", whom: *whom, at: wall, data: Attributes::new() });
            }
            What::Duplicate { serial } => {
                // its id is remembered for thirty days
                let again = self.sent.get(serial).cloned().unwrap_or_default();
                for ask in again {
                    if matches!(&ask, Ask::Event { at, .. } | Ask::Enroll { at, .. } if wall - at < 20 * DAY)
                    {
                        self.ask(ask);
                    }
                }
            }
            What::Enroll { serial, scenario, whom, key } => {
                let data = object(json!({ "n": serial, "key": format!("k{key}") }));
                let ask = Ask::Enroll { id: format!("h{serial}"), scenario, whom: *whom, at: wall, data };
                self.send(*serial, ask);
            }
            What::Ping { serial, whom } => {
                let id = format!("s{serial}");
                self.ask(Ask::Event { id, name: "ping", whom: *whom, at: wall, data: Attributes::new() });
            }
            What::Quit { serial, whom } => {
                let id = format!("s{serial}");
                self.ask(Ask::Event { id, name: "quit", whom: *whom, at: wall, data: Attributes::new() });
            }
            What::Tags { member, tags, silent } => {
                let (tags, attributes) = (Some(tags.clone()), Attributes::new());
                self.ask(Ask::Tell { member: *member, attributes, tags, silent: *silent });
            }
            What::Mark { member, is_set, silent } => {
                let attributes = object(json!({ "x": if *is_set { json!(true) } else { json!(null) } }));
                self.ask(Ask::Tell { member: *member, attributes, tags: None, silent: *silent });
            }
            What::Day { member, in_days, whole, silent } => {
                let day = in_days.map(|days| {
                    // every other day, so that a date comes again
                    let at =
                        instant((wall + days * DAY).div_euclid(2 * DAY) * 2 * DAY + 15 * HOUR).to_string();
                    if *whole { at[..10].to_owned() } else { at }
                });
                let attributes = object(json!({ "day": day }));
                self.ask(Ask::Tell { member: *member, attributes, tags: None, silent: *silent });
            }
            What::Opt { whom, topic, out } => {
                self.ask(Ask::Opt { whom: *whom, topic: *topic, out: *out });
            }
            What::Follow { serial, user, age } | What::Unfollow { serial, user, age } => {
                let blocked = matches!(act.what, What::Unfollow { .. });
                self.ask(Ask::Webhook { id: format!("w{serial}"), user: *user, blocked, at: wall - age });
            }
            What::Name { member } => {
                let name = format!("name{}", act.seed % 1000);
                self.ask(Ask::Name { member: *member, name });
            }
            What::Link { member, user, takes } => {
                self.ask(Ask::Link { member: *member, user: *user, takes: *takes });
            }
            What::Erase { member } => self.ask(Ask::Erase { member: *member }),
            // what an edit makes of moments from before a restore, nobody can say
            What::Reload { .. } if self.backup.is_some() => {}
            What::Reload { variant } => self.reload(*variant),
            What::Weather { weather, lasts } => self.weather = (*weather, self.now + lasts, act.seed),
            What::Kill { after, down } => self.trouble = Some((*after, Trouble::Kill { down: *down })),
            What::PowerCut { after, down } => {
                self.trouble = Some((*after, Trouble::PowerCut { down: *down }))
            }
            What::DiskFull { after, lasts } => {
                self.trouble = Some((*after, Trouble::DiskFull { lasts: *lasts }));
            }
            What::ClockStep { by } if !self.was_restored => self.set_clock(*by),
            What::ClockStep { .. } => {}
            What::Hold => self.ask(Ask::Hold),
            What::Release => self.ask(Ask::Release),
            What::Settle => self.settle_some(60),
            // one whose asks are all answered, so that what it holds is known
            What::Backup if !self.was_set && self.waiting.is_empty() => {
                self.backup = Some((self.daemon().backup(), self.wall(), self.oracle.clone()));
            }
            What::Restore { down } if self.backup.is_some() && !self.was_set => {
                self.trouble = Some((0, Trouble::Restore { down: *down }));
            }
            What::Backup | What::Restore { .. } => {}
            What::Pass => {}
        }
    }

    fn reload(&mut self, variant: usize) {
        self.variant = variant;
        self.oracle.is_disturbed(self.now, Disturbed::Files);
        self.ask(Ask::Reload { variant });
    }

    fn send(&mut self, serial: u32, ask: Ask) {
        self.sent.entry(serial).or_default().push(ask.clone());
        self.ask(ask);
    }

    fn ask(&mut self, ask: Ask) {
        self.tickets += 1;
        let ticket = self.tickets;
        self.oracle.asks(ticket, &ask, self.now);
        self.daemon().ask(ticket, &ask);
        self.waiting.insert(ticket, ask);
    }

    fn at(&mut self, at: i64, what: Timed) {
        self.tickets += 1;
        self.timed.insert((at, self.tickets), what);
    }

    /// Everything that happens up to and including an instant.
    fn run_until(&mut self, until: i64) -> Result<(), Broken> {
        loop {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return Err(Broken::new("comes to rest", "there is always something to do"));
            }
            let next = self.timed.first_key_value().map(|((at, _), _)| *at);
            if next.is_some_and(|at| at <= self.now) {
                let (_, timed) = self.timed.pop_first().expect("there is one");
                self.happens(timed)?;
                continue;
            }
            let daemon = self.daemon.as_ref().expect("it is open");
            let wake = daemon.wake().map(|wake| wake.saturating_sub(self.offset));
            if daemon.has_released() || daemon.can_flush() || wake.is_some_and(|wake| wake <= self.now) {
                if self.now > until {
                    return Ok(());
                }
                self.step()?;
                continue;
            }
            let wake = wake.map(|wake| self.rounded(wake));
            match next.into_iter().chain(wake).min() {
                Some(at) if at <= until => self.now = at,
                _ => break,
            }
        }
        self.now = self.now.max(until);
        Ok(())
    }

    /// In long bad weather the daemon is woken a little late, so that what it does in vain costs less.
    fn rounded(&self, wake: i64) -> i64 {
        let (_, until, _) = self.weather;
        if wake > self.now && until - self.now > 2 * HOUR && self.weather() != Weather::Flaky {
            let grid = 10 * MINUTE;
            return ((wake + grid - 1) / grid * grid).min(until).max(wake);
        }
        wake
    }

    /// One of the daemon's smallest steps: a turn, a flush, or one effect.
    fn step(&mut self) -> Result<(), Broken> {
        if let Some((after, trouble)) = self.trouble {
            match after.checked_sub(1) {
                Some(left) => self.trouble = Some((left, trouble)),
                None => {
                    self.trouble = None;
                    match trouble {
                        Trouble::Kill { down } => {
                            let all = self.daemon().unflushed_batches();
                            return self.dies(all, down);
                        }
                        Trouble::PowerCut { down } => {
                            let batches = self.daemon().unflushed_batches() as u64;
                            let survivors = self.rng.below(batches + 1) as usize;
                            self.boot += 1;
                            return self.dies(survivors, down);
                        }
                        Trouble::Restore { down } => return self.restores(down),
                        Trouble::DiskFull { lasts } => {
                            self.trouble = Some((lasts, Trouble::DiskMended));
                            self.daemon().set_failing(true);
                        }
                        Trouble::DiskMended => self.daemon().set_failing(false),
                    }
                }
            }
        }
        let (wall, clocks) = (self.wall(), self.clocks());
        let draw = self.rng.below(100);
        let daemon = self.daemon();
        let wants_turn = daemon.wake().is_some_and(|wake| wake <= wall);
        if daemon.has_released() && (draw < 70 || !wants_turn) {
            let out = daemon.release().expect("there is one");
            return self.out(out);
        }
        if daemon.must_flush() || (daemon.can_flush() && (draw < 50 || !wants_turn)) {
            if !daemon.flush() {
                return self.dies_of_the_disk();
            }
            self.now += (draw % 4) as i64;
        } else if wants_turn {
            if !daemon.turn(clocks) {
                return self.dies_of_the_disk();
            }
            if self.daemon().held().contains(&Hold::Clock) {
                self.probe_in(5 * SECOND);
            }
            let len = self.daemon().outbox_len();
            if len > amadare::dispatch::MAX_OUTBOX {
                return Err(Broken::new("bounded outbox", format!("{len} parcels")));
            }
        }
        Ok(())
    }

    fn dies_of_the_disk(&mut self) -> Result<(), Broken> {
        self.note(|| "-- the disk is full".into());
        self.trouble = None;
        let batches = self.daemon().unflushed_batches() as u64;
        let survivors = self.rng.below(batches + 1) as usize;
        let down = self.rng.range(0, 20 * MINUTE);
        self.dies(survivors, down)
    }

    /// The process dies, and another one starts after a while.
    fn dies(&mut self, survivors: usize, down: i64) -> Result<(), Broken> {
        self.note(|| format!("-- dies; {survivors} unflushed turns survive; down for {} s", down / SECOND));
        let store = self.daemon.take().expect("it was open").die(survivors);
        self.opens_again(store, down)
    }

    /// The machine is lost, and another is set up from the backup.
    fn restores(&mut self, down: i64) -> Result<(), Broken> {
        let Some((backup, backup_at, known)) = self.backup.clone() else { return Ok(()) };
        self.note(|| {
            format!("-- restored from the backup of {}; down for {} s", instant(backup_at), down / SECOND)
        });
        self.daemon.take().expect("it was open").die(0);
        self.boot += 1;
        self.was_restored = true;
        let now = self.wall();
        self.oracle.restored(known);
        self.oracle.is_disturbed(self.now, Disturbed::Restored);
        self.opens_again(restored(&backup, self.boot as u8, backup_at, now), down)
    }

    fn opens_again(&mut self, store: Arc<MemoryStore>, down: i64) -> Result<(), Broken> {
        self.oracle.is_disturbed(self.now, Disturbed::Down);
        self.stale.clear();
        for (at, timed) in std::mem::take(&mut self.timed) {
            match timed {
                // what is on its way may still arrive
                Timed::Arrives(..) if self.rng.percent(50) => drop(self.timed.insert(at, timed)),
                Timed::Arrives(..) | Timed::Leaves(_) | Timed::Heard(..) | Timed::Probe => {}
            }
        }
        self.probing = false;
        let open_at = self.now + down;
        while let Some(((at, _), _)) = self.timed.first_key_value()
            && *at <= open_at
        {
            self.now = self.now.max(*at);
            let (_, timed) = self.timed.pop_first().expect("there is one");
            self.happens(timed)?;
        }
        self.now = open_at;
        let is_held = self.rng.percent(50);
        let clocks = self.clocks();
        self.daemon =
            Some(Daemon::open(store, &self.book, self.variant, clocks, (!is_held).then_some(-self.offset)));
        self.oracle.reloaded(self.variant);
        self.oracle.is_disturbed(self.now, Disturbed::Up);
        // its first reading of the clock follows at once on LINE's
        if !self.daemon().turn(clocks) {
            return self.dies_of_the_disk();
        }
        let holds = self.daemon().held();
        self.gate_is_shut = !holds.is_empty();
        self.note(|| format!("-- opens, held {holds:?}"));
        self.probe_in(SECOND);
        // callers without an answer ask again, but for some who sent an event and give up
        for (ticket, ask) in std::mem::take(&mut self.waiting) {
            let gives_up = match &ask {
                Ask::Event { .. } | Ask::Enroll { .. } => self.rng.percent(20),
                Ask::Reload { .. }
                | Ask::Attempted { .. }
                | Ask::LetGo
                | Ask::Quota { .. }
                | Ask::LineClock { .. }
                | Ask::Hold
                | Ask::Settle { .. } => true,
                _ => false,
            };
            if !gives_up {
                self.oracle.asks(ticket, &ask, self.now);
                self.daemon().ask(ticket, &ask);
                self.waiting.insert(ticket, ask);
            }
        }
        Ok(())
    }

    /// How far the clock was ahead when the next effect was decided.
    fn offset_of_the_next(&mut self) -> i64 {
        while let Some((count, offset)) = self.stale.front_mut() {
            if *count > 0 {
                *count -= 1;
                return *offset;
            }
            self.stale.pop_front();
        }
        self.offset
    }

    fn out(&mut self, out: Out) -> Result<(), Broken> {
        let offset = self.offset_of_the_next();
        let is_stale = offset != self.offset;
        match out {
            Out::Answer(ticket, answered) => {
                let ask = self.waiting.remove(&ticket).expect("it was asked");
                if !matches!(ask, Ask::Attempted { .. }) || answered != Answered::Done {
                    self.note(|| format!("answered {answered:?}: {ask:?}"));
                }
                if ask == Ask::Release {
                    self.confirmed.push(offset);
                }
                self.oracle.answered(ticket, &ask, answered, self.now);
            }
            Out::Attempt(request) => {
                let (to, text) = addressed(&request.bytes);
                let is_near = |confirmed: &i64| (self.offset - confirmed).abs() <= MOST_WRONG;
                if !is_stale && !self.confirmed.iter().any(is_near) {
                    let hours = self.offset as f64 / HOUR as f64;
                    return Err(Broken::new(
                        "clock",
                        format!("`{text}` while the clock is {hours:.1} h wrong"),
                    ));
                }
                self.oracle.released(&to, &text, &request, (self.now, self.now + offset))?;
                let holders = self.oracle.holders(&to, &request);
                let errand = Errand { request, holders, variant: self.oracle.variant(), offset };
                let wait = if self.rng.percent(80) { 0 } else { self.rng.range(0, 3 * SECOND) };
                self.at(self.now + wait, Timed::Leaves(errand));
            }
            Out::Happened(what) => self.note(|| what),
            Out::ConfirmQuota => self.probe_in(SECOND),
            Out::Held(held) => {
                self.note(|| format!("held {held:?}"));
                self.gate_is_shut = !held.is_empty();
                if self.gate_is_shut {
                    self.probe_in(5 * SECOND);
                }
            }
        }
        Ok(())
    }

    fn probe_in(&mut self, wait: i64) {
        if !self.probing {
            self.probing = true;
            self.at(self.now + wait, Timed::Probe);
        }
    }

    fn happens(&mut self, timed: Timed) -> Result<(), Broken> {
        match timed {
            Timed::Leaves(errand) => {
                let request = &errand.request;
                let (to, text) = addressed(&request.bytes);
                if self.gate_is_shut {
                    let key = request.key;
                    self.ask(Ask::Attempted { key, outcome: Outcome::NotTried });
                    return Ok(());
                }
                let wall = self.now + errand.offset;
                self.note(|| format!("attempt {:08x} to {to:?} `{text}`", request.key >> 96));
                self.oracle.may_leave(&text)?;
                self.line.leaves(request.key, &request.bytes, self.now)?;
                for to in &to {
                    self.oracle.leaves(*to, &text, wall, errand.variant)?;
                }
                let fate =
                    self.line.fate((&to, &text), request.key, self.now, self.weather(), self.weather.2);
                let key = request.key;
                match fate.arrives {
                    Some(at) => {
                        if !fate.is_answer {
                            self.at(fate.heard, Timed::Heard(key, Outcome::Ambiguous));
                        }
                        self.at(at, Timed::Arrives(errand, fate));
                    }
                    None => self.at(fate.heard, Timed::Heard(key, Outcome::NotSent)),
                }
            }
            Timed::Arrives(Errand { request, holders, variant, offset }, fate) => {
                let key = request.key;
                let (to, text) = addressed(&request.bytes);
                let said = self.line.arrives(request.key, self.now, fate.verdict);
                self.note(|| format!("LINE {said:?} {:08x} `{text}`", request.key >> 96));
                if said == Said::Taken {
                    for (to, holder) in to.iter().zip(holders) {
                        self.oracle.receives((*to, &text), holder, (key, variant), (self.now, offset))?;
                    }
                }
                if fate.is_answer && self.daemon.is_some() {
                    let outcome = match said {
                        Said::Taken | Said::Earlier => Outcome::Accepted,
                        Said::Refused => Outcome::Refused,
                        Said::RefusedFor(_) if to.len() == 1 => Outcome::Refused,
                        Said::RefusedFor(place) if fate.heard % 2 == 0 => Outcome::RefusedFor(place),
                        Said::RefusedFor(_) => Outcome::RefusedForSomebody,
                        Said::Rate => Outcome::Throttled,
                        Said::Monthly => Outcome::OverQuota,
                        Said::Unauthorized => Outcome::Unauthorized,
                        Said::Error => Outcome::Ambiguous,
                    };
                    debug_assert!(fate.verdict != Verdict::Process || outcome == Outcome::Accepted);
                    self.at(fate.heard, Timed::Heard(request.key, outcome));
                }
            }
            Timed::Heard(key, outcome) => {
                self.note(|| format!("heard {outcome:?} of {:08x}", key >> 96));
                self.ask(Ask::Attempted { key, outcome });
                if !matches!(outcome, Outcome::NotSent | Outcome::NotTried | Outcome::Ambiguous)
                    && self.offset != self.told_offset
                {
                    self.told_offset = self.offset;
                    self.ask(Ask::LineClock { ahead: -self.offset });
                }
            }
            Timed::Probe => self.probe(),
        }
        Ok(())
    }

    /// Asks LINE about the token or the quota, until sends go on.
    fn probe(&mut self) {
        self.probing = false;
        let weather = self.weather();
        let mut again = None;
        for hold in self.daemon().held() {
            again = match hold {
                // a person ends these
                Hold::Operator | Hold::Restored => again,
                Hold::Token => {
                    if !matches!(weather, Weather::Unauthorized | Weather::Down) {
                        self.ask(Ask::LineClock { ahead: -self.offset });
                        self.ask(Ask::LetGo);
                    }
                    Some(5 * SECOND)
                }
                Hold::Clock => {
                    if weather != Weather::Down {
                        self.ask(Ask::LineClock { ahead: -self.offset });
                    }
                    // an operator sees to it, sooner or later
                    Some(HOUR)
                }
                Hold::Quota => {
                    let used = if weather == Weather::QuotaUsed { 200 } else { 20 };
                    self.ask(Ask::Quota { limit: 200, used });
                    Some(HOUR)
                }
            };
        }
        let Some(again) = again else { return };
        let end = if weather == Weather::Clear { 0 } else { self.weather.1 - self.now };
        self.probe_in(again.max(end));
    }
}

/// Whom a request is for, and the text that they get.
fn addressed(bytes: &[u8]) -> (Vec<u8>, String) {
    let body: serde_json::Value = serde_json::from_slice(bytes).expect("a request is JSON");
    let user = |id: &serde_json::Value| {
        let id = id.as_str().expect("an id is a text");
        id[1..].parse().expect("the users of a history are few")
    };
    let to = match &body["to"] {
        serde_json::Value::Array(ids) => ids.iter().map(user).collect(),
        id => vec![user(id)],
    };
    (to, body["messages"][0]["text"].as_str().expect("every message is a text").to_owned())
}

fn anchored(serial: u32, version: u32, starts_at: i64) -> Attributes {
    // an hour's quarters, as people book
    let starts_at = instant(starts_at / (15 * MINUTE) * 15 * MINUTE).to_string();
    object(json!({ "n": serial, "v": version, "booking": booking(serial), "starts_at": starts_at }))
}

fn object(value: serde_json::Value) -> Attributes {
    match value {
        serde_json::Value::Object(object) => object,
        _ => unreachable!("it is written as an object"),
    }
}
