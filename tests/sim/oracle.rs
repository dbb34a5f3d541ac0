//! What must hold, told by what was asked, answered, sent and received: never by the daemon's own ids.
//!
//! The oracle keeps its own small picture of who is linked to whom, moved only by answers. Where an ask
//! is still without an answer it allows for both.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use amadare::model::{ScenarioId, StepId, What};
use amadare::scenario::{Hours, Scenario};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::book::{self, Book, Drawn, Start, Taken};
use crate::daemon::{Answered, Ask, Daemon, Outcome, Request, instant, user_text};
use crate::history::{DAY, HOUR, MEMBERS, MINUTE, SECOND, USERS, Whom};
use crate::scenarios::{self, Told, told};

/// How long a multicast may be repeated, by true time: ten minutes, and what a clock may be wrong by unseen.
const REPLAYED: i64 = 13 * 60 * SECOND;

/// Between the decision to attempt and the first byte: a courier looks again after three seconds.
const SLACK: i64 = 5 * SECOND;

/// An invariant that does not hold.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) invariant: &'static str,
    pub(crate) detail: String,
}

impl Broken {
    pub(crate) fn new(invariant: &'static str, detail: impl Into<String>) -> Broken {
        Broken { invariant, detail: detail.into() }
    }
}

/// One event of an `Enter`, as it may be sent several times.
type EventId = String;

/// The runs that one serial may have started with one holder: a member, or a friend nobody is linked to.
#[derive(Clone, Debug)]
struct Home {
    /// The number of the newest ask for it.
    asked: u64,
    /// An acknowledged event has ended them.
    ended: bool,
    /// The event has surely come to this holder.
    sure: bool,
}

#[derive(Clone, Debug)]
struct Serial {
    scenario: &'static str,
    homes: BTreeMap<Whom, Home>,
    ever: BTreeSet<Whom>,
    /// How often each of its texts may be received, by all people together.
    allowed: u32,
    /// The anchor by move, and the first and the newest ask for that move.
    anchors: BTreeMap<u32, (i64, u64, u64)>,
    /// The move that was acknowledged last.
    moved_to: u32,
}

#[derive(Clone, Copy, Debug)]
struct Friendship {
    blocked: bool,
    at: i64,
}

/// What keeps the clock from starting scenarios, or makes it hard to say whether it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disturbed {
    Files,
    /// The reload that was asked for is done.
    Reloaded,
    Clock,
    Down,
    Up,
    Restored,
}

/// A message that a holder has received.
#[derive(Clone, Copy, Debug)]
struct Receipt {
    /// When its request was handed out first, by true time; none if a process before may have queued it.
    released: Option<i64>,
    at: i64,
    exempt: bool,
    /// How far the clock was ahead.
    offset: i64,
    to: u8,
}

/// A run that no event of the world has a serial for: scenario, entry, and the date of one by a date.
type Unnamed = (String, String, String);

/// How long the clock may take to start a scenario for everybody while nothing is in the way.
const SWEPT: i64 = HOUR;

#[derive(Clone, Debug)]
pub(crate) struct Oracle {
    book: Arc<Book>,
    variant: usize,
    asks: u64,
    link_of: HashMap<u8, u8>,
    owner: HashMap<u8, u8>,
    /// Links that were asked for and not answered, by ticket.
    pending: BTreeMap<u64, (u8, u8)>,
    /// Erasures that were asked for and not answered: the member, and the first ask.
    erasing: BTreeMap<u64, (u8, u64)>,
    /// Follows that were told and not answered.
    following: BTreeMap<u64, u8>,
    /// When each ask was made last, by ticket.
    numbers: HashMap<u64, u64>,
    told: HashMap<u8, Friendship>,
    serials: BTreeMap<u32, Serial>,
    seen: HashMap<Whom, BTreeSet<EventId>>,
    sent: BTreeSet<EventId>,
    /// Those that a daemon which was restored knows nothing of.
    lost: BTreeSet<EventId>,
    /// Moves that were answered.
    moved: BTreeSet<EventId>,
    settled: BTreeSet<u128>,
    received: BTreeMap<(u32, String, u32), BTreeMap<u8, u32>>,
    /// The furthest step that has left, by serial, move, LINE user and reload: what a reload does to the
    /// order of steps is not judged.
    order: HashMap<(u32, u32, u8, u32), u32>,
    reloads: u32,
    /// Requests that were handed out, and since when one in them should not get them any more.
    handed_out: HashMap<u128, HandedOut>,
    /// How often an operator has asked for a text to be sent again.
    again: BTreeMap<(u32, String, u32), u32>,
    /// An operator has stopped all sends, and was told so.
    is_held: bool,
    /// The number of the newest ask for a release.
    released_at: u64,
    counts: Counts,
    /// What holders want no more, as it was acknowledged; `""` is everything.
    opted_out: BTreeMap<Whom, BTreeSet<&'static str>>,
    /// Opt-outs and opt-ins that were asked for and not answered: of whom they may be.
    opting: BTreeMap<u64, BTreeSet<Whom>>,
    /// Everybody who was ever the same as a holder.
    same: BTreeMap<Whom, BTreeSet<Whom>>,
    /// As `order`, of runs without a serial.
    unnamed_order: HashMap<(String, u8, u32), u32>,
    /// How often a text without a serial was received by a holder, and how often it may be beside what
    /// its trigger tells.
    unnamed: BTreeMap<(Unnamed, String, Whom), (u32, u32)>,
    /// Which arms runs have taken: by serial, or by run and holder.
    taken: BTreeMap<(u32, Unnamed, Option<Whom>), Taken>,
    /// How often each date was told of a member, as it was written.
    days: BTreeMap<(u8, String), u32>,
    /// How often a member was loudly told to have a tag.
    tagged: BTreeMap<(u8, &'static str), u32>,
    /// How often something was told of a member.
    told_of: BTreeMap<u8, u32>,
    /// Members of whom something was told that a restored store knows nothing of: their runs take other ways.
    altered: BTreeSet<u8>,
    receipts: BTreeMap<Whom, Vec<Receipt>>,
    disturbed: Vec<(i64, Disturbed, usize)>,
    /// Since when a member is surely known, and since when its tags are what they are.
    known: BTreeMap<u8, i64>,
    tags: BTreeMap<u8, (i64, Option<BTreeSet<&'static str>>)>,
    telling: BTreeMap<u64, u8>,
    began: i64,
}

/// A request that was handed out.
#[derive(Clone, Debug, Default)]
struct HandedOut {
    /// Since when one in it should not get it any more.
    fallen: Option<i64>,
    /// When it was handed out first; an inner none if a process before may have queued it.
    first: Option<Option<i64>>,
    /// An attempt may have been accepted.
    ambiguous: bool,
    /// Whose runs it was for when it was handed out first, by recipient, if that is sure.
    holders: Vec<Option<Whom>>,
}

/// What is compared with the journals at the end.
#[derive(Clone, Debug, Default)]
struct Counts {
    /// Events that entered for sure, and those that may have, by holder and scenario.
    entered: BTreeMap<(Whom, &'static str), BTreeSet<EventId>>,
    maybe: BTreeMap<(Whom, &'static str), usize>,
    /// Pushes that LINE has taken, by holder, scenario and step.
    taken: BTreeMap<(Whom, String, String), u32>,
    /// Holders that were merged into others.
    merged: BTreeMap<Whom, BTreeSet<Whom>>,
    /// Those that were erased, or of whom it is not known what they were linked to.
    unsure: BTreeSet<Whom>,
    /// Those of whom one got a push while links were in doubt.
    doubtful: BTreeSet<Whom>,
}

impl Oracle {
    pub(crate) fn new(book: &Arc<Book>, now: i64) -> Oracle {
        Oracle {
            book: Arc::clone(book),
            variant: 0,
            asks: 0,
            link_of: HashMap::new(),
            owner: HashMap::new(),
            pending: BTreeMap::new(),
            erasing: BTreeMap::new(),
            following: BTreeMap::new(),
            numbers: HashMap::new(),
            told: HashMap::new(),
            serials: BTreeMap::new(),
            seen: HashMap::new(),
            sent: BTreeSet::new(),
            lost: BTreeSet::new(),
            moved: BTreeSet::new(),
            settled: BTreeSet::new(),
            received: BTreeMap::new(),
            order: HashMap::new(),
            reloads: 0,
            handed_out: HashMap::new(),
            again: BTreeMap::new(),
            is_held: false,
            released_at: 0,
            counts: Counts::default(),
            opted_out: BTreeMap::new(),
            opting: BTreeMap::new(),
            same: BTreeMap::new(),
            unnamed_order: HashMap::new(),
            unnamed: BTreeMap::new(),
            taken: BTreeMap::new(),
            days: BTreeMap::new(),
            tagged: BTreeMap::new(),
            told_of: BTreeMap::new(),
            altered: BTreeSet::new(),
            receipts: BTreeMap::new(),
            disturbed: vec![(now, Disturbed::Up, 0)],
            known: BTreeMap::new(),
            tags: BTreeMap::new(),
            telling: BTreeMap::new(),
            began: now,
        }
    }

    fn resolve(&self, whom: Whom) -> Whom {
        match whom {
            Whom::User(user) => self.owner.get(&user).map_or(whom, |member| Whom::Member(*member)),
            member => member,
        }
    }

    /// True if nothing that is asked for and not answered can change who is who.
    fn is_sure(&self) -> bool {
        self.pending.is_empty() && self.erasing.is_empty()
    }

    /// Everybody that an ask about `whom` may come to concern.
    fn candidates(&self, whom: Whom) -> BTreeSet<Whom> {
        let mut all = BTreeSet::from([self.resolve(whom)]);
        let Whom::User(user) = whom else { return all };
        for (member, asked) in self.pending.values() {
            if *asked == user || self.link_of.get(member) == Some(&user) {
                all.insert(whom);
                all.insert(Whom::Member(*member));
            }
        }
        if self.erasing.values().any(|(member, _)| self.link_of.get(member) == Some(&user)) {
            all.insert(whom);
        }
        all
    }

    fn has(&self, scenario: &str) -> bool {
        let id = amadare::model::ScenarioId::new(scenario).unwrap();
        self.book.set(self.variant).get(&id).is_some()
    }

    fn scenario(&self, id: &str, variant: usize) -> Option<&Arc<Scenario>> {
        self.book.set(variant).get(&ScenarioId::new(id).unwrap())
    }

    /// Something is asked, for the first time or again.
    pub(crate) fn asks(&mut self, ticket: u64, ask: &Ask, now: i64) {
        self.asks += 1;
        let number = self.asks;
        self.numbers.insert(ticket, number);
        match ask {
            Ask::Opt { whom, .. } => {
                let candidates = self.candidates(*whom);
                self.opting.entry(ticket).or_default().extend(candidates);
            }
            Ask::Tell { member, attributes, tags, silent } => {
                *self.told_of.entry(*member).or_default() += 1;
                if let Some(day) = attributes.get("day").and_then(|day| day.as_str()) {
                    *self.days.entry((*member, day.to_owned())).or_default() += 1;
                }
                for tag in tags.iter().flatten().filter(|_| !silent) {
                    *self.tagged.entry((*member, *tag)).or_default() += 1;
                }
                if tags.is_some() {
                    self.telling.insert(ticket, *member);
                    self.tags.insert(*member, (now, None));
                }
            }
            Ask::Event { id, whom, data, .. } | Ask::Enroll { id, whom, data, .. } => {
                let name = &match ask {
                    Ask::Event { name, .. } => *name,
                    Ask::Enroll { scenario, .. } => *scenario,
                    _ => unreachable!("it is one of them"),
                };
                let Some(serial) = data.get("n").and_then(|n| n.as_u64()).map(|n| n as u32) else { return };
                if *name == "moved" {
                    if let Some(entered) = self.serials.get_mut(&serial) {
                        let version = data["v"].as_u64().unwrap() as u32;
                        if !self.moved.contains(id) {
                            let anchor = (anchor_of(data), number, number);
                            entered.anchors.entry(version).or_insert(anchor).2 = number;
                        }
                    }
                    return;
                }
                let candidates = self.candidates(*whom);
                let entered = self.serials.entry(serial).or_insert_with(|| Serial {
                    scenario: scenario_of(name),
                    homes: BTreeMap::new(),
                    ever: BTreeSet::new(),
                    allowed: 0,
                    anchors: BTreeMap::new(),
                    moved_to: 0,
                });
                if *name == "booked" {
                    entered.anchors.entry(0).or_insert((anchor_of(data), number, number)).2 = number;
                }
                for holder in &candidates {
                    let home = Home { asked: number, ended: false, sure: false };
                    entered.homes.entry(*holder).or_insert(home).asked = number;
                    entered.ever.insert(*holder);
                    *self.counts.maybe.entry((*holder, entered.scenario)).or_default() += 1;
                }
                let holder = *candidates.first().unwrap();
                let is_first =
                    candidates.len() == 1 && !self.seen.get(&holder).is_some_and(|s| s.contains(id));
                // a wish has no time of its own: after a restore it is a new one
                let is_anew = matches!(ask, Ask::Enroll { .. }) && self.lost.remove(id);
                if is_first || is_anew || candidates.len() > 1 {
                    entered.allowed += 1;
                }
                self.sent.insert(id.clone());
                for holder in candidates {
                    self.seen.entry(holder).or_default().insert(id.clone());
                }
            }
            Ask::Link { member, user, .. } => {
                let is_again = self.pending.insert(ticket, (*member, *user)).is_some();
                if is_again {
                    self.asks_for_a_link_again(*member, *user);
                }
            }
            Ask::Erase { member } => {
                self.erasing.entry(ticket).or_insert((*member, number));
                self.forget(*member);
            }
            Ask::Webhook { user, blocked: false, .. } => {
                self.following.insert(ticket, *user);
            }
            Ask::Attempted { key, outcome: Outcome::Ambiguous } => {
                self.handed_out.entry(*key).or_default().ambiguous = true;
            }
            Ask::Release => {
                self.is_held = false;
                self.released_at = number;
            }
            _ => {}
        }
    }

    /// The link may have been made the first time, and undone by another that was made as well: the friend's
    /// runs may be with either.
    fn asks_for_a_link_again(&mut self, member: u8, user: u8) {
        let (holder, stub) = (Whom::Member(member), Whom::User(user));
        for entered in self.serials.values_mut() {
            if let Some(home) = entered.homes.get(&stub).cloned() {
                entered.homes.entry(holder).or_insert(Home { sure: false, ended: false, ..home });
                entered.ever.insert(holder);
            }
        }
        let owner = self.owner.get(&user).map(|owner| Whom::Member(*owner));
        self.opted_out.remove(&stub);
        self.same.entry(holder).or_default().insert(stub);
        self.counts.unsure.extend([holder, stub].into_iter().chain(owner));
    }

    /// What an erased member is no longer known by.
    fn forget(&mut self, member: u8) {
        let mut holders = vec![Whom::Member(member)];
        let user = self.link_of.get(&member).copied();
        let pending = self.pending.values().filter(|(m, _)| *m == member).map(|(_, user)| *user);
        for user in user.into_iter().chain(pending).collect::<Vec<_>>() {
            holders.push(Whom::User(user));
            // a friend again for all that is known; what is older stays older
            if let Some(told) = self.told.get_mut(&user) {
                told.blocked = false;
            }
        }
        for holder in holders {
            self.seen.remove(&holder);
            self.counts.unsure.insert(holder);
            self.opted_out.remove(&holder);
            self.receipts.remove(&holder);
        }
        self.known.remove(&member);
    }

    pub(crate) fn answered(&mut self, ticket: u64, ask: &Ask, answered: Answered, now: i64) {
        let number = self.numbers.get(&ticket).copied().unwrap_or(0);
        if let Ask::Event { whom: Whom::Member(member), .. }
        | Ask::Name { member, .. }
        | Ask::Tell { member, .. }
        | Ask::Link { member, .. } = ask
            && answered == Answered::Done
        {
            self.known.entry(*member).or_insert(now);
        }
        match ask {
            Ask::Opt { topic, out, .. } => {
                let candidates = self.opting.remove(&ticket).unwrap_or_default();
                for holder in &candidates {
                    let wants = self.opted_out.entry(*holder).or_default();
                    match (topic, out) {
                        // where it is not sure whose it was, nothing is expected of it
                        (_, true) if candidates.len() > 1 || !self.pending.is_empty() => {}
                        _ if answered != Answered::Done => {}
                        (topic, true) => drop(wants.insert(topic.unwrap_or(""))),
                        (None, false) => wants.clear(),
                        (Some(topic), false) => drop(wants.remove(topic)),
                    }
                }
            }
            Ask::Tell { member, tags: Some(tags), .. } => {
                self.telling.remove(&ticket);
                let is_sure = !self.telling.values().any(|other| other == member);
                let tags = is_sure.then(|| tags.iter().copied().collect());
                self.tags.insert(*member, (now, tags));
            }
            Ask::Event { id, name, .. } if *name == "moved" => {
                let is_first = answered != Answered::Refused && self.moved.insert(id.clone());
                if is_first {
                    self.moved(ask, number);
                }
            }
            Ask::Event { name, .. } if matches!(*name, "cancelled" | "stop" | "buy" | "quit") => {
                let is_first = answered == Answered::Done;
                if is_first {
                    self.ended(ask, number);
                }
            }
            Ask::Event { id, whom, data, .. } | Ask::Enroll { id, whom, data, .. } => {
                let Some(serial) = data.get("n").and_then(|n| n.as_u64()).map(|n| n as u32) else { return };
                let holder = self.resolve(*whom);
                let has = self.has(self.serials[&serial].scenario);
                let entered = self.serials.get_mut(&serial).unwrap();
                let home = Home { asked: number, ended: false, sure: false };
                entered.homes.entry(holder).or_insert(home).sure |= answered == Answered::Done;
                entered.ever.insert(holder);
                if answered == Answered::Done && has {
                    self.counts.entered.entry((holder, entered.scenario)).or_default().insert(id.clone());
                }
            }
            Ask::Webhook { user, blocked, at, .. } => {
                self.following.remove(&ticket);
                if self.told.get(user).is_none_or(|told| told.at <= *at) {
                    self.told.insert(*user, Friendship { blocked: *blocked, at: *at });
                }
            }
            Ask::Link { member, user, .. } => {
                self.pending.remove(&ticket);
                if answered == Answered::Done {
                    self.linked(*member, *user, number);
                }
            }
            Ask::Erase { .. } => {
                let (member, first) = self.erasing.remove(&ticket).expect("it was asked");
                self.erased(member, first);
            }
            Ask::Reload { variant } => {
                self.reloaded(*variant);
                self.is_disturbed(now, Disturbed::Reloaded);
            }
            Ask::Hold => self.is_held = self.released_at < number,
            Ask::Attempted { key, outcome } => {
                if matches!(outcome, Outcome::Accepted | Outcome::Refused) {
                    self.settled.insert(*key);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn variant(&self) -> usize {
        self.variant
    }

    /// From now on the scenarios are those of `variant`.
    pub(crate) fn reloaded(&mut self, variant: usize) {
        self.reloads += u32::from(variant != self.variant);
        self.variant = variant;
    }

    fn moved(&mut self, ask: &Ask, number: u64) {
        let Ask::Event { whom, data, .. } = ask else { return };
        let (serial, version) = (data["n"].as_u64().unwrap() as u32, data["v"].as_u64().unwrap() as u32);
        let holder = self.resolve(*whom);
        if !self.has("interview") || !self.is_sure() {
            return;
        }
        let Some(entered) = self.serials.get_mut(&serial) else { return };
        if entered.homes.get(&holder).is_some_and(|home| home.sure && home.asked < number) {
            entered.moved_to = version;
        }
    }

    fn ended(&mut self, ask: &Ask, number: u64) {
        let Ask::Event { name, whom, data, .. } = ask else { return };
        let holder = self.resolve(*whom);
        if !self.is_sure() {
            return;
        }
        let of = data.get("booking").and_then(|n| n.as_str()).map(str::to_owned);
        let has_all = self.book.has_quit && self.book.drawn.iter().all(|drawn| self.has(drawn.id));
        let has: Vec<&str> = ["interview", "again-exit", "again-pause", "again-never"]
            .into_iter()
            .filter(|s| self.has(s))
            .collect();
        for (serial, entered) in &mut self.serials {
            let is_meant = match *name {
                "cancelled" => entered.scenario == "interview" && of.as_deref() == Some(&booking(*serial)),
                "quit" => has_all && entered.scenario.starts_with("gen-"),
                "stop" => entered.scenario.starts_with("again-"),
                _ => entered.scenario == "again-never",
            };
            if is_meant
                && (has.contains(&entered.scenario) || *name == "quit")
                && let Some(home) = entered.homes.get_mut(&holder)
                && home.sure
                && home.asked < number
            {
                home.ended = true;
            }
        }
    }

    fn linked(&mut self, member: u8, user: u8, number: u64) {
        let (holder, stub) = (Whom::Member(member), Whom::User(user));
        match self.owner.insert(user, member) {
            Some(former) if former != member => {
                self.link_of.remove(&former);
            }
            Some(_) => {}
            None => {
                for entered in self.serials.values_mut() {
                    if let Some(home) = entered.homes.remove(&stub) {
                        // one that was asked for after the link may be of whoever the friend is by then
                        if home.asked > number {
                            entered.homes.insert(stub, Home { sure: false, ..home.clone() });
                        }
                        let own = entered.homes.entry(holder).or_insert(home.clone());
                        own.asked = own.asked.max(home.asked);
                        own.ended &= home.ended;
                        own.sure |= home.sure;
                        entered.ever.insert(holder);
                    }
                }
                let seen = self.seen.remove(&stub).unwrap_or_default();
                self.seen.entry(holder).or_default().extend(seen);
                self.counts.merged.entry(holder).or_default().insert(stub);
                self.merge(holder, stub);
            }
        }
        if let Some(before) = self.link_of.insert(member, user).filter(|before| *before != user) {
            self.owner.remove(&before);
            let seen = self.seen.get(&holder).cloned().unwrap_or_default();
            self.seen.insert(Whom::User(before), seen);
        }
    }

    /// What a friend had is the member's now.
    fn merge(&mut self, holder: Whom, stub: Whom) {
        self.same.entry(holder).or_default().insert(stub);
        let wants = self.opted_out.remove(&stub).unwrap_or_default();
        self.opted_out.entry(holder).or_default().extend(wants);
        // what both have received counts for one of them only from now on
        if let Some(receipts) = self.receipts.remove(&stub) {
            match self.receipts.get(&holder).is_none_or(Vec::is_empty) {
                true => drop(self.receipts.insert(holder, receipts)),
                false => drop(self.receipts.remove(&holder)),
            }
        }
        let of_both = |(.., whose): &&(Unnamed, String, Whom)| [stub, holder].contains(whose);
        let had: BTreeSet<_> = self.unnamed.keys().filter(of_both).cloned().collect();
        for (run, step, whose) in had {
            let (count, more) = self.unnamed.remove(&(run.clone(), step.clone(), whose)).unwrap();
            let own = self.unnamed.entry((run, step, holder)).or_insert((0, 0));
            // the run that had it may be over, and the other's is not
            *own = (own.0 + count, own.1 + more + u32::from(count > 0));
        }
        self.taken.retain(|(.., whose), _| *whose != Some(stub) && *whose != Some(holder));
    }

    /// True if a date was told of a member.
    pub(crate) fn has_day(&self, member: u8) -> bool {
        self.days.keys().any(|(of, _)| *of == member)
    }

    pub(crate) fn is_disturbed(&mut self, now: i64, what: Disturbed) {
        self.disturbed.push((now, what, self.variant));
    }

    fn erased(&mut self, member: u8, number: u64) {
        let mut holders = vec![Whom::Member(member)];
        holders.extend(self.link_of.get(&member).map(|user| Whom::User(*user)));
        for entered in self.serials.values_mut() {
            for holder in &holders {
                match entered.homes.get_mut(holder) {
                    Some(home) if home.asked < number => drop(entered.homes.remove(holder)),
                    Some(home) => home.ended = false,
                    None => {}
                }
            }
        }
        self.forget(member);
        self.tags.remove(&member);
        if let Some(user) = self.link_of.remove(&member) {
            self.owner.remove(&user);
        }
    }

    /// The daemon hands out a request: the world as it has acknowledged it must allow it.
    ///
    /// A multicast that was handed out before may go out again unchanged for a while, whoever has fallen
    /// out of it.
    pub(crate) fn released(
        &mut self,
        to: &[u8],
        text: &str,
        request: &Request,
        (now, wall): (i64, i64),
    ) -> Result<(), Broken> {
        let key = request.key;
        if self.settled.contains(&key) {
            return Err(Broken::new("settled stays settled", text));
        }
        let is_replay = to.len() > 1 && (request.is_recovered || self.handed_out.contains_key(&key));
        let before = self.handed_out.get(&key);
        let ambiguous = request.is_recovered || before.is_some_and(|before| before.ambiguous);
        let stopped = self.is_stopped(text, wall, ambiguous).err();
        let fallen = stopped.or_else(|| to.iter().find_map(|to| self.may_get(*to, text).err()));
        let handed_out = self.handed_out.entry(key).or_default();
        handed_out.first.get_or_insert((!request.is_recovered).then_some(now));
        match fallen {
            Some(broken) if !is_replay => Err(broken),
            Some(broken) => match now - *handed_out.fallen.get_or_insert(now) > REPLAYED {
                true => Err(broken),
                false => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// No send while an operator has stopped them.
    pub(crate) fn may_leave(&self, text: &str) -> Result<(), Broken> {
        match self.is_held {
            true => Err(Broken::new("hold", text)),
            false => Ok(()),
        }
    }

    /// An operator wants a text sent again.
    pub(crate) fn may_be_sent_again(&mut self, step: &str, serial: u32, version: u32) {
        *self.again.entry((serial, step.to_owned(), version)).or_insert(0) += 1;
    }

    /// The daemon knows what it knew at the backup; what people have received since, they have.
    pub(crate) fn restored(&mut self, known: Oracle) {
        let mut now = std::mem::replace(self, known);
        let members = (0..MEMBERS).map(Whom::Member).chain((0..USERS).map(Whom::User));
        now.counts.unsure.extend(members);
        for (number, mut serial) in now.serials {
            // what the daemon has heard of since it has forgotten
            serial.homes.clear();
            serial.moved_to = 0;
            if let Some(before) = self.serials.get(&number) {
                serial.homes.clone_from(&before.homes);
                serial.moved_to = before.moved_to;
            }
            for holder in &serial.ever {
                let home = Home { asked: 0, ended: false, sure: false };
                serial.homes.entry(*holder).or_insert(home);
            }
            self.serials.insert(number, serial);
        }
        for (holder, seen) in now.seen {
            self.seen.entry(holder).or_default().extend(seen);
        }
        self.pending.clear();
        self.erasing.clear();
        self.following.clear();
        self.is_held = false;
        // what was acknowledged since may be unknown to the daemon
        self.moved.clear();
        self.order.clear();
        self.asks = now.asks;
        self.numbers = now.numbers;
        self.lost = now.sent.difference(&self.sent).cloned().collect();
        self.lost.extend(now.lost);
        self.sent = now.sent;
        self.settled = now.settled;
        self.received = now.received;
        self.reloads = now.reloads + 1;
        self.handed_out = now.handed_out;
        self.opting.clear();
        self.telling.clear();
        self.receipts.clear();
        self.taken.clear();
        self.unnamed_order.clear();
        self.known.clear();
        self.tags.clear();
        self.altered = now.altered;
        let altered = now.told_of.iter().filter(|(member, told)| self.told_of.get(member) != Some(told));
        self.altered.extend(altered.map(|(member, _)| *member));
        self.told_of = now.told_of;
        self.unnamed = now.unnamed;
        self.days = now.days;
        self.tagged = now.tagged;
        self.same = now.same;
        self.disturbed = now.disturbed;
        self.again = now.again;
        self.counts = now.counts;
    }

    /// Whether a scenario sends at all; what may have been sent before goes on while it is paused.
    fn is_stopped(&self, text: &str, wall: i64, ambiguous: bool) -> Result<(), Broken> {
        let Told { scenario: id, entered, .. } = told(text);
        let Some(scenario) = self.scenario(id, self.variant) else {
            return Err(Broken::new("removed scenario", text));
        };
        if scenario.paused && !ambiguous {
            return Err(Broken::new("paused scenario", text));
        }
        let Some(drawn) = self.book.get(id) else { return Ok(()) };
        if drawn.ends.is_some_and(|ends| wall - SLACK >= ends.as_millisecond()) {
            return Err(Broken::new("ended scenario", format!("`{text}` at {}", instant(wall))));
        }
        // a run by a date is entered by the date; what comes before it may come before the start
        let entry = match drawn.start {
            Start::Date { .. } if entered != "-" => entered.parse::<Timestamp>().unwrap().as_millisecond(),
            // an event may be five minutes ahead
            _ => wall + 5 * MINUTE,
        };
        if drawn.starts.is_some_and(|starts| entry < starts.as_millisecond()) && !ambiguous {
            return Err(Broken::new("scenario to come", format!("`{text}` at {}", instant(wall))));
        }
        Ok(())
    }

    /// Whether the person wants it, and whether it is one who is kept for comparison.
    fn is_wanted(&self, to: u8, text: &str) -> Result<(), Broken> {
        let Told { scenario: id, serial, member, .. } = told(text);
        let holder = self.resolve(Whom::User(to));
        let topic = self.scenario(id, self.variant).and_then(|scenario| scenario.topic.clone());
        let opted_out = self.opted_out.get(&holder).is_some_and(|wants| {
            wants.contains("") || topic.as_deref().is_some_and(|topic| wants.contains(topic))
        });
        let is_pending = self.opting.values().any(|of| of.contains(&holder));
        if opted_out && !is_pending && self.is_sure() {
            return Err(Broken::new("opted out", format!("{holder:?} gets `{text}`")));
        }
        let Some(drawn) = self.book.get(id).filter(|drawn| drawn.holdout > 0) else { return Ok(()) };
        let mut holders: BTreeSet<Whom> = match (self.serials.get(&serial), whom_of(member)) {
            (Some(entered), _) => entered.ever.clone(),
            (None, Some(whom)) => BTreeSet::from([whom]),
            (None, None) if self.is_sure() => BTreeSet::from([holder]),
            _ => return Ok(()),
        };
        let same: Vec<Whom> =
            holders.iter().flat_map(|holder| self.same.get(holder)).flatten().copied().collect();
        holders.extend(same);
        if holders.iter().all(|holder| is_held_out(drawn, *holder)) {
            return Err(Broken::new("held out", format!("{holders:?}: `{text}`")));
        }
        Ok(())
    }

    fn may_get(&self, to: u8, text: &str) -> Result<(), Broken> {
        let Told { scenario, step, serial, version, .. } = told(text);
        self.is_wanted(to, text)?;
        let is_blocked = self.told.get(&to).is_some_and(|told| told.blocked);
        if is_blocked && self.is_sure() && !self.following.values().any(|user| *user == to) {
            return Err(Broken::new("blocked", format!("{} gets `{text}`", user_text(to))));
        }
        if serial == 0 {
            return self.may_get_unnamed(to, text);
        }
        let Some(entered) = self.serials.get(&serial) else {
            return Err(Broken::new("whole", format!("`{text}` comes from an event nobody sent")));
        };
        debug_assert!(entered.scenario == scenario || scenario.starts_with("gen-"));
        // what an operator asks for again is of a run that may have ended since
        let is_again = self.again.contains_key(&(serial, step.to_owned(), version));
        if self.is_sure() {
            let holder = self.resolve(Whom::User(to));
            match entered.homes.get(&holder) {
                None => {
                    let detail =
                        format!("`{text}` goes to {holder:?}, and its runs are of {:?}", entered.homes);
                    return Err(Broken::new("right person", detail));
                }
                Some(home) if home.ended && !is_again => {
                    return Err(Broken::new("exit", format!("`{text}` to {holder:?}")));
                }
                Some(_) => {}
            }
        }
        if let (Some((anchor, _, asked)), Some((newest, newer, _))) =
            (entered.anchors.get(&version), entered.anchors.get(&entered.moved_to))
            && entered.moved_to > 0
            && entered.homes.len() == 1
            && asked < newer
            && anchor != newest
            && !is_again
        {
            let detail = format!("`{text}`, and the anchor has moved to that of {}", entered.moved_to);
            return Err(Broken::new("moved anchor", detail));
        }
        debug_assert!(!step.is_empty());
        Ok(())
    }

    /// A text of a run that the clock or a change of the member has started.
    fn may_get_unnamed(&self, to: u8, text: &str) -> Result<(), Broken> {
        let Told { member, .. } = told(text);
        let Some(whose) = whom_of(member).filter(|_| self.is_sure()) else { return Ok(()) };
        let (whose, holder) = (self.resolve(whose), self.resolve(Whom::User(to)));
        match whose == holder {
            true => Ok(()),
            false => Err(Broken::new("right person", format!("`{text}` goes to {holder:?}"))),
        }
    }

    /// A request leaves, at this instant of the daemon's clock.
    pub(crate) fn leaves(&mut self, to: u8, text: &str, wall: i64, variant: usize) -> Result<(), Broken> {
        let Told { scenario, step, serial, version, entered: entry, member, .. } = told(text);
        if let Some(of) = self.scenario(scenario, variant)
            && let Some(hours) = closed(of, step, wall)
            && closed(of, step, wall - SLACK).is_some()
        {
            return Err(Broken::new("send hours", format!("`{text}` at {}, {hours}", instant(wall))));
        }
        // one that an edit has taken away has no place in the order
        let has_place = [variant, self.variant].into_iter().all(|variant| {
            self.scenario(scenario, variant).is_some_and(|of| of.step(&StepId::new(step).unwrap()).is_some())
        });
        if serial == 0 {
            return match has_place {
                true => self.leaves_unnamed(to, text, (scenario, step, entry, member)),
                false => Ok(()),
            };
        }
        let entered = &self.serials[&serial];
        if scenarios::is_reminder(step)
            && let Some((anchor, ..)) = entered.anchors.get(&version)
            && wall - SLACK >= *anchor
        {
            let detail = format!("`{text}` at {}, for {}", instant(wall), instant(*anchor));
            return Err(Broken::new("not after the anchor", detail));
        }
        let is_again = self.again.keys().any(|(of, ..)| *of == serial);
        if let Some(rank) = scenarios::rank(step).or_else(|| Book::rank(step))
            && entered.allowed == 1
            && !is_again
            && has_place
        {
            let sub = u32::from(entered.scenario != scenario) * 1_000;
            let furthest = self.order.entry((serial, version + sub, to, self.reloads)).or_insert(0);
            if rank < *furthest {
                return Err(Broken::new("order", format!("`{text}` after a later step of the same run")));
            }
            *furthest = rank;
        }
        Ok(())
    }

    fn leaves_unnamed(
        &mut self,
        to: u8,
        text: &str,
        (scenario, step, entry, member): (&str, &str, &str, &str),
    ) -> Result<(), Broken> {
        let is_again = self.again.keys().any(|(serial, ..)| *serial == 0);
        let is_one = !matches!(
            self.book.get(scenario).map(|drawn| &drawn.start),
            Some(Start::Date { .. } | Start::Segment(_))
        );
        if let Some(rank) = Book::rank(step)
            && is_one
            && member != "-"
            && !is_again
        {
            let run = (format!("{scenario} {entry} {member}"), to, self.reloads);
            let furthest = self.unnamed_order.entry(run).or_insert(0);
            if rank < *furthest {
                return Err(Broken::new("order", format!("`{text}` after a later step of the same run")));
            }
            *furthest = rank;
        }
        Ok(())
    }

    /// A person receives a text.
    pub(crate) fn receives(
        &mut self,
        (to, text): (u8, &str),
        holder: Option<Whom>,
        (key, variant): (u128, usize),
        (now, offset): (i64, i64),
    ) -> Result<(), Broken> {
        let Told { scenario, step, serial, version, .. } = told(text);
        if let Some(holder) = holder {
            let exempt = match self.scenario(scenario, variant) {
                Some(scenario) => scenario.caps == amadare::scenario::CapRule::Exempt,
                None => true,
            };
            let released = self.handed_out.get(&key).and_then(|request| request.first).flatten();
            self.receipts.entry(holder).or_default().push(Receipt { released, at: now, exempt, offset, to });
        }
        self.takes_arm(text, holder, variant)?;
        if serial == 0 {
            match holder {
                Some(holder) => {
                    let key = (holder, scenario.to_owned(), step.to_owned());
                    *self.counts.taken.entry(key).or_insert(0) += 1;
                }
                None => {
                    let all = (0..MEMBERS).map(Whom::Member).chain((0..USERS).map(Whom::User));
                    self.counts.doubtful.extend(all);
                }
            }
            return self.receives_unnamed(text, holder);
        }
        // another scenario that a step has started with the same event
        let is_sub = self.serials[&serial].scenario != scenario;
        let of = if is_sub { format!("{scenario}/{step}") } else { step.to_owned() };
        let people = self.received.entry((serial, of, version)).or_default();
        *people.entry(to).or_insert(0) += 1;
        let (all, own): (u32, u32) = (people.values().sum(), people[&to]);
        let entered = &self.serials[&serial];
        let again = self.again.get(&(serial, step.to_owned(), version)).copied().unwrap_or(0);
        let holders = if scenario == "news" { entered.ever.len() as u32 } else { entered.allowed };
        if all > entered.allowed + again || own > holders.min(entered.allowed) + again {
            let detail = format!("`{text}`: {people:?}, allowed {} and {again} again", entered.allowed);
            return Err(Broken::new("once", detail));
        }
        match holder {
            Some(holder) => {
                let key = (holder, scenario.to_owned(), step.to_owned());
                *self.counts.taken.entry(key).or_insert(0) += 1;
            }
            None => self.counts.doubtful.extend(entered.ever.iter().copied()),
        }
        Ok(())
    }

    /// Of two arms of a container, a run has taken one.
    fn takes_arm(&mut self, text: &str, holder: Option<Whom>, variant: usize) -> Result<(), Broken> {
        let Told { scenario, step, serial, entered, member, .. } = told(text);
        let Some(drawn) = self.book.get(scenario) else { return Ok(()) };
        if self.serials.get(&serial).is_some_and(|entered| entered.allowed != 1) {
            return Ok(());
        }
        if serial == 0 && matches!(drawn.start, Start::Segment(_)) {
            return Ok(());
        }
        let whose = match serial {
            0 => match whom_of(member).map(|whom| self.resolve(whom)).or(holder) {
                None => return Ok(()),
                whose => whose,
            },
            _ => None,
        };
        let variant = book_variant(drawn, variant);
        let run = (scenario.to_owned(), entered.to_owned(), String::new());
        let taken = self.taken.entry((serial, run, whose)).or_default();
        taken.receives(step, variant).map_err(|detail| Broken::new("one arm", format!("`{text}`: {detail}")))
    }

    fn receives_unnamed(&mut self, text: &str, holder: Option<Whom>) -> Result<(), Broken> {
        let Told { scenario, step, entered, anchor, member, .. } = told(text);
        let Some(drawn) = self.book.get(scenario) else { return Ok(()) };
        let Some(handed_to) = holder.or_else(|| whom_of(member).map(|whom| self.resolve(whom))) else {
            return Ok(());
        };
        // what was on its way to a friend who has been linked since may come beside the member's own
        let owner = self.same.iter().find(|(_, same)| same.contains(&handed_to)).map(|(owner, _)| *owner);
        let whose = owner.unwrap_or(handed_to);
        if matches!(whose, Whom::Member(member) if self.altered.contains(&member)) {
            return Ok(());
        }
        let was_friend =
            owner.is_some() || matches!((whom_of(member), whose), (Some(Whom::User(_)), Whom::Member(_)));
        let dated = matches!(drawn.start, Start::Date { .. });
        let run = match dated {
            true => (scenario.to_owned(), String::new(), anchor.to_owned()),
            false => (scenario.to_owned(), entered.to_owned(), String::new()),
        };
        let of_trigger = match (&drawn.start, whose) {
            (Start::Date { yearly }, Whom::Member(member)) => {
                let fits = |day: &str| is_day(day, anchor, drawn, *yearly);
                self.days
                    .iter()
                    .filter(|((of, day), _)| *of == member && fits(day))
                    .map(|(_, count)| count)
                    .sum()
            }
            // two loud changes at one instant are two runs
            (Start::Segment(tag), Whom::Member(member)) if !self.book.sets_tags => {
                self.tagged.get(&(member, *tag)).copied().unwrap_or(0)
            }
            (Start::Date { .. } | Start::Segment(_), _) => return Ok(()),
            // a friend's run may have started it as well as the member's own
            (Start::Manual, _) => 1 + self.same.get(&whose).map_or(0, |same| same.len() as u32),
            (Start::Event | Start::Every(..), _) => 1,
        };
        let again = self.again.get(&(0, step.to_owned(), 0)).copied().unwrap_or(0);
        let (count, more) = self.unnamed.entry((run, step.to_owned(), whose)).or_insert((0, 0));
        *count += 1;
        *more += u32::from(was_friend);
        if *count > of_trigger + *more + again {
            let detail = format!(
                "{whose:?} has `{text}` {count} times, allowed {of_trigger} and {more} and {again} again"
            );
            return Err(Broken::new("once", detail));
        }
        Ok(())
    }

    /// No more messages in any window than a cap lets out, while the clock stands still: all that are not
    /// exempt, and those of exempt scenarios that had left before the last of the others was handed out.
    fn check_caps(&self) -> Result<(), Broken> {
        for (holder, receipts) in &self.receipts {
            for cap in &self.book.caps {
                // what became unknown counts from then, and a request that is under way may arrive a little later
                let per = i64::try_from(cap.per.as_millis()).unwrap() - MINUTE;
                for first in receipts {
                    // what a friend was about to be sent when it turned out to be the member comes beside
                    // the member's own
                    let within: Vec<&Receipt> = receipts
                        .iter()
                        .filter(|r| r.to == first.to && (first.at..first.at + per).contains(&r.at))
                        .collect();
                    let last = within.iter().filter(|r| !r.exempt).filter_map(|r| r.released).max();
                    let clock_stands = {
                        let from = within.iter().map(|r| r.released.unwrap_or(i64::MIN)).min().unwrap();
                        let until = within.iter().map(|r| r.at).max().unwrap();
                        !self.disturbed.iter().any(|(at, what, _)| {
                            matches!(what, Disturbed::Clock | Disturbed::Restored)
                                && (from..=until).contains(at)
                        }) && within.iter().all(|r| r.offset == first.offset)
                    };
                    let is_earlier = |r: &Receipt| match (r.released, last) {
                        (Some(released), Some(last)) => released + 10 * SECOND < last,
                        _ => false,
                    };
                    let counts = within.iter().filter(|r| !r.exempt || is_earlier(r)).count();
                    if clock_stands && counts > cap.max as usize {
                        let times: Vec<String> = within
                            .iter()
                            .map(|r| {
                                let left = r.released.map(|at| instant(at).to_string());
                                let exempt = if r.exempt { ", exempt" } else { "" };
                                format!("{} (left {}{exempt})", instant(r.at), left.unwrap_or_default())
                            })
                            .collect();
                        return Err(Broken::new("caps", format!("{holder:?}, {cap:?}: {times:?}")));
                    }
                }
            }
        }
        Ok(())
    }

    /// Each moment of the clock that nothing was in the way of has started its scenario for every member
    /// that was there all along.
    fn check_ticks(&self, daemon: &Daemon) -> Result<(), Broken> {
        for drawn in &self.book.drawn {
            let Start::Every(_, tag) = drawn.start else { continue };
            if drawn.again != "always" || drawn.also_event {
                continue;
            }
            let ticks = self.sure_ticks(drawn);
            for member in 0..MEMBERS {
                let holder = Whom::Member(member);
                if self.counts.unsure.contains(&holder) {
                    continue;
                }
                let Some(known) = self.known.get(&member) else { continue };
                let matches_since = match tag {
                    None => *known,
                    Some(_) if self.book.sets_tags || self.counts.merged.contains_key(&holder) => continue,
                    Some(tag) => match self.tags.get(&member) {
                        Some((since, Some(tags))) if tags.contains(tag) => *since,
                        _ => continue,
                    },
                };
                let sure = ticks.iter().filter(|tick| **tick > matches_since).count();
                let entries = daemon.journal(holder);
                let entries = entries.iter().filter(|r| {
                    r.scenario == drawn.id && matches!(r.what, What::Enrolled | What::NotEnrolled)
                });
                let entries = entries.count();
                if entries < sure {
                    let newest = ticks.iter().map(|tick| instant(*tick).to_string()).collect::<Vec<_>>();
                    let detail =
                        format!("{holder:?}, {}: {entries} entries for the ticks {newest:?}", drawn.id);
                    return Err(Broken::new("every tick", detail));
                }
            }
        }
        Ok(())
    }

    /// The ticks of a scenario that must have been handled: of files that were there before and stayed,
    /// by a clock that was never set, and in time after a start.
    fn sure_ticks(&self, drawn: &Drawn) -> Vec<i64> {
        let mut sure = Vec::new();
        // the files that hold for sure, and since when
        let mut stretch = Some((self.began, 0));
        let mut reloads = 0;
        for (index, (at, what, variant)) in self.disturbed.iter().enumerate() {
            match what {
                Disturbed::Down => {}
                Disturbed::Up => {
                    reloads = 0;
                    stretch = stretch.or(Some((*at, *variant)));
                }
                Disturbed::Reloaded => {
                    reloads -= 1;
                    if reloads == 0 {
                        stretch = Some((*at, *variant));
                    }
                }
                Disturbed::Files | Disturbed::Clock | Disturbed::Restored => {
                    if let Some((since, variant)) = stretch.take() {
                        self.ticks_of(drawn, variant, (since, *at), &self.disturbed[..index], &mut sure);
                    }
                    reloads += 1;
                    if *what != Disturbed::Files {
                        break;
                    }
                }
            }
        }
        sure
    }

    /// Those of one stretch of time in which the files stood as they were.
    fn ticks_of(
        &self,
        drawn: &Drawn,
        variant: usize,
        (since, until): (i64, i64),
        disturbed: &[(i64, Disturbed, usize)],
        sure: &mut Vec<i64>,
    ) {
        let own = book_variant(drawn, variant);
        let Some(pattern) = own.pattern.filter(|_| !own.is_missing() && !own.paused) else { return };
        if variant >= book::VARIANTS {
            return;
        }
        let late = drawn.late.map_or(DAY, |late| i64::try_from(late.as_millis()).unwrap());
        let pattern = amadare::scenario::cron::cron(pattern).unwrap();
        let mut tick = instant(since);
        while let Some(next) = pattern.next_after(tick, &drawn.zone) {
            tick = next;
            let at = tick.as_millisecond();
            if at + SWEPT > until {
                break;
            }
            let downs = disturbed.iter().filter(|(_, what, _)| *what == Disturbed::Down).map(|(at, ..)| *at);
            let downs: Vec<i64> = downs.collect();
            let is_up = disturbed
                .iter()
                .rfind(|(then, what, _)| *then <= at && matches!(what, Disturbed::Up | Disturbed::Down));
            let is_up = is_up.is_none_or(|(_, what, _)| *what == Disturbed::Up);
            let ups = disturbed.iter().filter(|(then, what, _)| *then > at && *what == Disturbed::Up);
            let starts = is_up.then_some(at).into_iter().chain(ups.map(|(then, ..)| *then));
            let is_handled = starts.into_iter().any(|up| {
                let stays = !downs.iter().any(|down| (up..=up + SWEPT).contains(down));
                let is_of_its_time = drawn.ends.is_none_or(|ends| up + MINUTE < ends.as_millisecond());
                stays && up + SWEPT <= until && up - at < late - MINUTE && is_of_its_time
            });
            let has_begun = drawn.starts.is_none_or(|starts| tick >= starts);
            if is_handled && has_begun {
                sure.push(at);
            }
        }
    }

    /// Whose runs a request that was just released is for, by recipient, if that is sure. Those of a
    /// multicast stay what they were.
    pub(crate) fn holders(&mut self, to: &[u8], request: &Request) -> Vec<Option<Whom>> {
        let known = self.handed_out.get(&request.key).map(|before| before.holders.clone());
        if to.len() > 1
            && let Some(known) = known.filter(|known| !known.is_empty())
        {
            return known;
        }
        let is_sure = self.is_sure() && (to.len() == 1 || !request.is_recovered);
        let holders: Vec<_> = to.iter().map(|to| is_sure.then(|| self.resolve(Whom::User(*to)))).collect();
        self.handed_out.entry(request.key).or_default().holders.clone_from(&holders);
        holders
    }

    /// Nothing is left to do: everything acknowledged has had its effect.
    pub(crate) fn at_the_end(&self, daemon: &Daemon) -> Result<(), Broken> {
        let leftovers = daemon.leftovers();
        if !leftovers.is_empty() {
            return Err(Broken::new("nothing stuck", leftovers.join("; ")));
        }
        self.check_caps()?;
        self.check_ticks(daemon)?;
        let all = (0..MEMBERS).map(Whom::Member).chain((0..USERS).map(Whom::User));
        let mut parts: Vec<BTreeSet<Whom>> = all.map(|holder| BTreeSet::from([holder])).collect();
        for (holder, stubs) in &self.counts.merged {
            for stub in stubs {
                let (joined, rest): (Vec<_>, Vec<_>) =
                    parts.into_iter().partition(|part| part.contains(holder) || part.contains(stub));
                parts = rest;
                parts.push(joined.into_iter().flatten().collect());
            }
        }
        let is_lost = |holder: &Whom| self.counts.unsure.contains(holder);
        parts
            .iter()
            .filter(|part| !part.iter().any(is_lost))
            .try_for_each(|part| self.check_journal(daemon, part))
    }

    /// The journals of holders that were merged into one another, and of which none was erased, tell all
    /// that was acknowledged.
    fn check_journal(&self, daemon: &Daemon, holders: &BTreeSet<Whom>) -> Result<(), Broken> {
        let journal: Vec<_> = holders.iter().flat_map(|holder| daemon.journal(*holder)).collect();
        let count = |scenario: &str, step: Option<&str>, whats: &[What]| {
            let same = |r: &&crate::daemon::Recorded| {
                r.scenario == scenario && r.step.as_deref() == step && whats.contains(&r.what) && !r.by_hand
            };
            journal.iter().filter(same).count()
        };
        let drawn = self.book.drawn.iter().map(|drawn| drawn.id);
        for scenario in scenarios::ALL.into_iter().chain(drawn) {
            let by_serial = self.book.get(scenario).is_none_or(|drawn| {
                matches!(drawn.start, Start::Event | Start::Manual) && drawn.id != "gen-sub"
            });
            let entries = count(scenario, None, &[What::Enrolled, What::NotEnrolled]);
            let of = |holder: &Whom| (*holder, scenario);
            let entered = holders.iter().filter_map(|holder| self.counts.entered.get(&of(holder)));
            let sure: usize = entered.map(BTreeSet::len).sum();
            // the same event can come to two holders, if a friend changes hands in between
            let most: usize = holders.iter().filter_map(|holder| self.counts.maybe.get(&of(holder))).sum();
            if by_serial && !(sure..=most).contains(&entries) {
                let detail = format!(
                    "{holders:?}, {scenario}: {entries} entries recorded, {sure} to {most} asked for"
                );
                return Err(Broken::new("acknowledged has its effect", detail));
            }
            let begun = count(scenario, None, &[What::Enrolled]);
            let completed = count(scenario, None, &[What::Completed]);
            let ended = completed + count(scenario, None, &[What::Exited]);
            // a run that was over goes on once its date moves on
            let moved = count(scenario, None, &[What::Moved]);
            // of two runs that a merge made one, one ends
            if begun + moved < ended || (begun > ended && holders.len() == 1) {
                let detail = format!("{holders:?}, {scenario}: {begun} runs begun, {ended} ended");
                return Err(Broken::new("every run ends", detail));
            }
            const ENDS: [What; 5] =
                [What::Accepted, What::Skipped, What::Rejected, What::Unknown, What::Expired];
            for (_, step) in scenarios::PERMANENT.iter().filter(|(of, _)| *of == scenario) {
                let ends = count(scenario, Some(step), &ENDS);
                if ends < completed && holders.len() == 1 {
                    let detail = format!(
                        "{holders:?}, {scenario}/{step}: {completed} runs completed, {ends} ends of the step"
                    );
                    return Err(Broken::new("every step ends", detail));
                }
            }
            let is_drawn = scenario.starts_with("gen-");
            let steps = scenarios::STEPS.into_iter().filter(|_| !is_drawn);
            for step in steps.chain(Book::steps().iter().map(String::as_str).filter(|_| is_drawn)) {
                let accepted = count(scenario, Some(step), &[What::Accepted]) as u32;
                let unknown = count(scenario, Some(step), &[What::Unknown]) as u32;
                let key = |holder: &Whom| (*holder, scenario.to_owned(), step.to_owned());
                let taken: u32 =
                    holders.iter().filter_map(|holder| self.counts.taken.get(&key(holder))).sum();
                let is_sure = holders.is_disjoint(&self.counts.doubtful);
                if is_sure && !(accepted..=accepted + unknown).contains(&taken) {
                    let detail = format!(
                        "{holders:?}, {scenario}/{step}: LINE has {taken}, recorded {accepted} accepted and {unknown} unknown"
                    );
                    return Err(Broken::new("accepted is what LINE has", detail));
                }
            }
        }
        Ok(())
    }
}

pub(crate) fn booking(serial: u32) -> String {
    format!("b{serial}")
}

fn anchor_of(data: &amadare::model::Attributes) -> i64 {
    data["starts_at"].as_str().unwrap().parse::<Timestamp>().unwrap().as_millisecond()
}

fn scenario_of(event: &str) -> &'static str {
    let all = scenarios::ALL.into_iter().chain(book::IDS);
    all.into_iter().find(|scenario| *scenario == event).unwrap_or("interview")
}

fn whom_of(member: &str) -> Option<Whom> {
    if let Some(user) = member.strip_prefix("line:U") {
        return u8::from_str_radix(user.trim_start_matches('0'), 16)
            .map_or(Some(Whom::User(0)), |u| Some(Whom::User(u)));
    }
    member.strip_prefix('m').and_then(|member| member.parse().ok()).map(Whom::Member)
}

fn book_variant(drawn: &Drawn, variant: usize) -> &book::Variant {
    let own = &drawn.variants[variant % book::VARIANTS];
    if variant >= book::VARIANTS && own.is_missing() { &drawn.variants[0] } else { own }
}

/// True for one of the members that a scenario keeps for comparison, told by a hash of the id.
fn is_held_out(drawn: &Drawn, holder: Whom) -> bool {
    let member = match holder {
        Whom::Member(member) => format!("m{member}"),
        Whom::User(user) => format!("line:{}", user_text(user)),
    };
    let mut hash = Sha256::new();
    for word in ["holdout", drawn.id, &member] {
        hash.update((word.len() as u64).to_be_bytes());
        hash.update(word);
    }
    u64::from_be_bytes(hash.finalize()[..8].try_into().unwrap()) % 10_000 < drawn.holdout
}

/// True if a date as it was told is this anchor, in its year or in any.
fn is_day(day: &str, anchor: &str, drawn: &Drawn, yearly: bool) -> bool {
    let anchor = drawn.zone.to_datetime(anchor.parse().unwrap());
    let told = match day.parse::<Timestamp>() {
        Ok(told) => drawn.zone.to_datetime(told),
        Err(_) => day.parse::<jiff::civil::Date>().unwrap().to_datetime(jiff::civil::Time::midnight()),
    };
    if !yearly {
        return told == anchor;
    }
    let is_leap_day = |at: jiff::civil::DateTime| (at.month(), at.day()) == (2, 29);
    let day = |at: jiff::civil::DateTime| if is_leap_day(at) { (2, 28) } else { (at.month(), at.day()) };
    day(told) == day(anchor) && told.time() == anchor.time()
}

/// The send hours or days, if it is outside of them.
fn closed(scenario: &Scenario, step: &str, wall: i64) -> Option<String> {
    let step = scenario.step(&StepId::new(step).unwrap());
    let there = scenario.zone.to_datetime(Timestamp::from_millisecond(wall).unwrap());
    if let Some(days) = step.map(|step| step.days) {
        let is_on = days.on.is_none_or(|on| on.contains(there.weekday()));
        use jiff::civil::Weekday;
        let working =
            [Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday, Weekday::Friday];
        // a step of which no day is right keeps its moment
        let is_never =
            days.workdays && days.on.is_some_and(|on| !working.iter().any(|day| on.contains(*day)));
        if is_never {
        } else if !is_on || (days.workdays && !scenario.workdays.is_workday(there.date())) {
            return Some(format!("{} is none of its days", there.date()));
        }
    }
    let own = step.and_then(|step| step.hours);
    let Hours { start_minute, end_minute } = own.or(scenario.hours)?;
    let minute = there.hour() as u16 * 60 + there.minute() as u16;
    let is_open = match start_minute < end_minute {
        true => (start_minute..end_minute).contains(&minute),
        false => minute >= start_minute || minute < end_minute,
    };
    (!is_open).then(|| {
        format!("{minute} is not in {start_minute}..{end_minute} of {:?}", scenario.zone.iana_name())
    })
}
