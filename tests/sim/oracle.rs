//! What must hold, told by what was asked, answered, sent and received: never by the daemon's own ids.
//!
//! The oracle keeps its own small picture of who is linked to whom, moved only by answers. Where an ask
//! is still without an answer it allows for both.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use amadare::model::What;
use amadare::scenario::Hours;
use jiff::Timestamp;

use crate::daemon::{Answered, Ask, Daemon, Outcome, Request, instant, user_text};
use crate::history::{MEMBERS, SECOND, USERS, Whom};
use crate::scenarios::{self, Told, rank, told};

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

#[derive(Clone, Debug, Default)]
pub(crate) struct Oracle {
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
}

/// A request that was handed out.
#[derive(Clone, Debug, Default)]
struct HandedOut {
    /// Since when one in it should not get it any more.
    fallen: Option<i64>,
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
        scenarios::set(self.variant).get(&id).is_some()
    }

    /// Something is asked, for the first time or again.
    pub(crate) fn asks(&mut self, ticket: u64, ask: &Ask) {
        self.asks += 1;
        let number = self.asks;
        self.numbers.insert(ticket, number);
        match ask {
            Ask::Event { id, name, whom, data, .. } => {
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
                if is_first || candidates.len() > 1 {
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
        self.counts.unsure.extend([holder, stub].into_iter().chain(owner));
    }

    /// What an erased member is no longer known by.
    fn forget(&mut self, member: u8) {
        let mut holders = vec![Whom::Member(member)];
        let user = self.link_of.get(&member).copied();
        let pending = self.pending.values().filter(|(m, _)| *m == member).map(|(_, user)| *user);
        for user in user.into_iter().chain(pending).collect::<Vec<_>>() {
            holders.push(Whom::User(user));
            self.told.remove(&user);
        }
        for holder in holders {
            self.seen.remove(&holder);
            self.counts.unsure.insert(holder);
        }
    }

    pub(crate) fn answered(&mut self, ticket: u64, ask: &Ask, answered: Answered) {
        let number = self.numbers.get(&ticket).copied().unwrap_or(0);
        match ask {
            Ask::Event { id, name, .. } if *name == "moved" => {
                let is_first = answered != Answered::Refused && self.moved.insert(id.clone());
                if is_first {
                    self.moved(ask, number);
                }
            }
            Ask::Event { name, .. } if matches!(*name, "cancelled" | "stop" | "buy") => {
                let is_first = answered == Answered::Done;
                if is_first {
                    self.ended(ask, number);
                }
            }
            Ask::Event { id, whom, data, .. } => {
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
            Ask::Reload { variant } => self.reloaded(*variant),
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
        let has: Vec<&str> = ["interview", "again-exit", "again-pause", "again-never"]
            .into_iter()
            .filter(|s| self.has(s))
            .collect();
        for (serial, entered) in &mut self.serials {
            let is_meant = match *name {
                "cancelled" => entered.scenario == "interview" && of.as_deref() == Some(&booking(*serial)),
                "stop" => entered.scenario.starts_with("again-"),
                _ => entered.scenario == "again-never",
            };
            if is_meant
                && has.contains(&entered.scenario)
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
            }
        }
        if let Some(before) = self.link_of.insert(member, user).filter(|before| *before != user) {
            self.owner.remove(&before);
            let seen = self.seen.get(&holder).cloned().unwrap_or_default();
            self.seen.insert(Whom::User(before), seen);
        }
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
        now: i64,
    ) -> Result<(), Broken> {
        let key = request.key;
        if self.settled.contains(&key) {
            return Err(Broken::new("settled stays settled", text));
        }
        let is_replay = to.len() > 1 && (request.is_recovered || self.handed_out.contains_key(&key));
        let fallen = to.iter().find_map(|to| self.may_get(*to, text).err());
        let handed_out = self.handed_out.entry(key).or_default();
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
        self.sent = now.sent;
        self.settled = now.settled;
        self.received = now.received;
        self.reloads = now.reloads + 1;
        self.handed_out = now.handed_out;
        self.again = now.again;
        self.counts = now.counts;
    }

    fn may_get(&self, to: u8, text: &str) -> Result<(), Broken> {
        let Told { scenario, step, serial, version } = told(text);
        let is_blocked = self.told.get(&to).is_some_and(|told| told.blocked);
        if is_blocked && self.is_sure() && !self.following.values().any(|user| *user == to) {
            return Err(Broken::new("blocked", format!("{} gets `{text}`", user_text(to))));
        }
        let Some(entered) = self.serials.get(&serial) else {
            return Err(Broken::new("whole", format!("`{text}` comes from an event nobody sent")));
        };
        debug_assert_eq!(entered.scenario, scenario);
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

    /// A request leaves, at this instant of the daemon's clock.
    pub(crate) fn leaves(&mut self, to: u8, text: &str, wall: i64, variant: usize) -> Result<(), Broken> {
        let Told { scenario, step, serial, version } = told(text);
        if let Some(hours) = closed(scenario, step, wall, variant)
            && closed(scenario, step, wall - SLACK, variant).is_some()
        {
            return Err(Broken::new("send hours", format!("`{text}` at {}, {hours}", instant(wall))));
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
        if let Some(rank) = rank(step)
            && entered.allowed == 1
            && !is_again
        {
            let furthest = self.order.entry((serial, version, to, self.reloads)).or_insert(0);
            if rank < *furthest {
                return Err(Broken::new("order", format!("`{text}` after a later step of the same run")));
            }
            *furthest = rank;
        }
        Ok(())
    }

    /// A person receives a text.
    pub(crate) fn receives(&mut self, to: u8, text: &str, holder: Option<Whom>) -> Result<(), Broken> {
        let Told { scenario, step, serial, version } = told(text);
        let people = self.received.entry((serial, step.to_owned(), version)).or_default();
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
        for scenario in scenarios::ALL {
            let entries = count(scenario, None, &[What::Enrolled, What::NotEnrolled]);
            let of = |holder: &Whom| (*holder, scenario);
            let entered = holders.iter().filter_map(|holder| self.counts.entered.get(&of(holder)));
            let sure: usize = entered.map(BTreeSet::len).sum();
            // the same event can come to two holders, if a friend changes hands in between
            let most: usize = holders.iter().filter_map(|holder| self.counts.maybe.get(&of(holder))).sum();
            if !(sure..=most).contains(&entries) {
                let detail = format!(
                    "{holders:?}, {scenario}: {entries} entries recorded, {sure} to {most} asked for"
                );
                return Err(Broken::new("acknowledged has its effect", detail));
            }
            let begun = count(scenario, None, &[What::Enrolled]);
            let completed = count(scenario, None, &[What::Completed]);
            let ended = completed + count(scenario, None, &[What::Exited]);
            // of two runs that a merge made one, one ends
            if begun < ended || (begun > ended && holders.len() == 1) {
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
            for step in scenarios::STEPS {
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
    scenarios::ALL.into_iter().find(|scenario| *scenario == event).unwrap_or("interview")
}

/// The send hours, if it is outside of them.
fn closed(scenario: &str, step: &str, wall: i64, variant: usize) -> Option<String> {
    let set = scenarios::set(variant);
    let scenario = set.get(&amadare::model::ScenarioId::new(scenario).unwrap())?;
    let own = scenario.step(&amadare::model::StepId::new(step).unwrap()).and_then(|step| step.hours);
    let Hours { start_minute, end_minute } = own.or(scenario.hours)?;
    let time = scenario.zone.to_datetime(Timestamp::from_millisecond(wall).unwrap()).time();
    let minute = time.hour() as u16 * 60 + time.minute() as u16;
    let is_open = match start_minute < end_minute {
        true => (start_minute..end_minute).contains(&minute),
        false => minute >= start_minute || minute < end_minute,
    };
    (!is_open).then(|| {
        format!("{minute} is not in {start_minute}..{end_minute} of {:?}", scenario.zone.iana_name())
    })
}
