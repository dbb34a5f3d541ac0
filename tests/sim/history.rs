//! What happens in one history, as data: acts with absolute times, drawn from a seed.
//!
//! Every act has a seed of its own for whatever is drawn while it is played, so that leaving out others
//! does not change it.

use std::fmt;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::book::{self, Book, Start};

pub(crate) const MEMBERS: u8 = 3;
pub(crate) const USERS: u8 = 4;

pub(crate) const SECOND: i64 = 1_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// One that depends on all the parts, and on nothing drawn before.
    pub(crate) fn of(parts: &[u64]) -> Rng {
        let mut rng = Rng(0x5151);
        for part in parts {
            rng.0 ^= *part;
            rng.next();
        }
        rng
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// In `[from, to]`.
    pub(crate) fn range(&mut self, from: i64, to: i64) -> i64 {
        from + self.below((to - from + 1) as u64) as i64
    }

    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Whom {
    Member(u8),
    User(u8),
}

/// Acts are referred to by the serial of what they sent, so that one can be left out.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// An event that may start runs of `scenario`, for each of `whoms`.
    Enter {
        serial: u32,
        scenario: &'static str,
        whoms: Vec<Whom>,
        key: u8,
        anchor_in: i64,
        age: i64,
    },
    /// Moves the anchor of the run that `serial` started.
    Move {
        serial: u32,
        version: u32,
        whom: Whom,
        anchor_in: i64,
    },
    Cancel {
        serial: u32,
        whom: Whom,
    },
    /// Ends all runs of the `again-` scenarios.
    Stop {
        serial: u32,
        whom: Whom,
    },
    /// Reaches the goal of `again-never`.
    Buy {
        serial: u32,
        whom: Whom,
    },
    /// Somebody wishes that one enters a drawn scenario.
    Enroll {
        serial: u32,
        scenario: &'static str,
        whom: Whom,
        key: u8,
    },
    /// An event that runs may wait for.
    Ping {
        serial: u32,
        whom: Whom,
    },
    /// Ends all runs of the drawn scenarios, if the book has it so.
    Quit {
        serial: u32,
        whom: Whom,
    },
    /// All tags that a member has from now on.
    Tags {
        member: u8,
        tags: Vec<&'static str>,
        silent: bool,
    },
    /// An attribute that conditions look at.
    Mark {
        member: u8,
        is_set: bool,
        silent: bool,
    },
    /// The date that scenarios by a date look at; none takes it away.
    Day {
        member: u8,
        in_days: Option<i64>,
        whole: bool,
        silent: bool,
    },
    /// A topic, or all.
    Opt {
        whom: Whom,
        topic: Option<&'static str>,
        out: bool,
    },
    /// What was sent as `serial`, once more.
    Duplicate {
        serial: u32,
    },
    Follow {
        serial: u32,
        user: u8,
        age: i64,
    },
    Unfollow {
        serial: u32,
        user: u8,
        age: i64,
    },
    Name {
        member: u8,
    },
    Link {
        member: u8,
        user: u8,
        takes: bool,
    },
    Erase {
        member: u8,
    },
    Reload {
        variant: usize,
    },
    Weather {
        weather: Weather,
        lasts: i64,
    },
    /// The process dies after so many of its smallest steps.
    Kill {
        after: u32,
        down: i64,
    },
    /// As `Kill`, and what was not flushed is lost but for a prefix.
    PowerCut {
        after: u32,
        down: i64,
    },
    /// Every commit and flush fails from the `after`-th step on, for so many steps.
    DiskFull {
        after: u32,
        lasts: u32,
    },
    ClockStep {
        by: i64,
    },
    /// An operator stops all sends.
    Hold,
    /// An operator lets them go on, whatever a person may end.
    Release,
    /// An operator looks at some of what is in doubt.
    Settle,
    Backup,
    /// The process dies, and another starts on the newest backup.
    Restore {
        down: i64,
    },
    Pass,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Clear,
    /// A mixture of everything.
    Flaky,
    /// No connection can be made.
    Down,
    /// 5xx, before or after the push was taken.
    Errors,
    /// The push is taken, and no answer comes.
    Silent,
    /// A proxy answers with HTML, whatever LINE did.
    Proxy,
    Slow,
    RateLimited,
    Unauthorized,
    QuotaUsed,
    /// 429 although quota is left: another delivery has reserved it.
    QuotaReserved,
}

#[derive(Clone, Debug)]
pub(crate) struct Act {
    /// True time, milliseconds since 1970.
    pub(crate) at: i64,
    /// Moves it to so many milliseconds from the daemon's next wake, if that is within two days.
    pub(crate) snap: Option<i64>,
    /// How many of the daemon's smallest steps are taken before the next act of the same instant.
    pub(crate) pump: u32,
    pub(crate) seed: u64,
    pub(crate) what: What,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Timestamp::from_millisecond(self.at).map_err(|_| fmt::Error)?;
        write!(f, "{at:.3}  {:?}", self.what)?;
        if let Some(snap) = self.snap {
            write!(f, "  {snap:+} ms from the next wake")?;
        }
        if self.pump > 0 {
            write!(f, "  pump {}", self.pump)?;
        }
        Ok(())
    }
}

/// Instants around which histories start: clocks go forward and back in New York and in Berlin, a leap
/// day, ends of months and of a year, midnight.
const STARTS: [&str; 10] = [
    "2026-03-07T20:00:00Z",
    "2026-10-31T18:00:00Z",
    "2026-03-28T12:00:00Z",
    "2026-10-24T14:00:00Z",
    "2028-02-28T03:00:00Z",
    "2027-02-27T05:00:00Z",
    "2026-01-30T23:00:00Z",
    "2026-12-31T13:00:00Z",
    "2026-05-30T14:58:00Z",
    "2026-07-14T00:00:00Z",
];

/// When histories with a book start, to a day.
pub(crate) fn start_of_book(number: u64) -> i64 {
    let start: Timestamp = STARTS[(number % STARTS.len() as u64) as usize].parse().unwrap();
    start.as_millisecond()
}

/// Acts, and the book of scenario files that they are played with.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) book: u64,
    pub(crate) acts: Vec<Act>,
}

pub(crate) fn draw(seed: u64) -> History {
    let mut rng = Rng::of(&[seed, 1]);
    let number = book::number_of(seed);
    let drawn_start: Timestamp = rng.pick(&STARTS).parse().unwrap();
    let start = if number == 0 { drawn_start.as_millisecond() } else { start_of_book(number) };
    let mut drawing = Drawing {
        now: start + rng.range(0, 20 * HOUR),
        book: book::book(number),
        acts: Vec::new(),
        serial: 0,
        entered: Vec::new(),
        sent: Vec::new(),
        rng,
    };
    for user in 0..2 {
        if drawing.rng.percent(80) {
            drawing.add(What::Link { member: user, user, takes: false });
        }
    }
    let count = drawing.rng.range(8, 45);
    for _ in 0..count {
        drawing.time_passes();
        let what = drawing.what();
        drawing.add(what);
    }
    History { book: number, acts: drawing.acts }
}

struct Drawing {
    rng: Rng,
    book: Arc<Book>,
    now: i64,
    acts: Vec<Act>,
    serial: u32,
    /// Bookings, which can be moved and cancelled.
    entered: Vec<(u32, Whom)>,
    sent: Vec<u32>,
}

impl Drawing {
    fn add(&mut self, what: What) {
        let rng = &mut self.rng;
        let snap = rng.percent(12).then(|| rng.pick(&[-1, 0, 0, 1, 40, 2_000]));
        let pump = if rng.percent(50) { 0 } else { rng.range(0, 6) as u32 };
        self.acts.push(Act { at: self.now, snap, pump, seed: rng.next(), what });
    }

    fn time_passes(&mut self) {
        let rng = &mut self.rng;
        let gap = match rng.below(100) {
            0..30 => 0,
            30..45 => rng.range(1, 500),
            45..60 => rng.range(1, 120) * SECOND,
            60..75 => rng.range(2, 90) * MINUTE,
            75..90 => rng.range(1, 26) * HOUR,
            _ => rng.range(1, 9) * DAY + rng.range(0, HOUR),
        };
        self.now += gap;
        if gap > MINUTE && rng.percent(40) {
            return self.until_a_tick();
        }
        let rng = &mut self.rng;
        if gap > MINUTE && rng.percent(30) {
            let zone = rng.pick(&["America/New_York", "Asia/Tokyo", "Europe/Berlin"]);
            let hour = rng.pick(&[0, 2, 8, 9, 10, 18, 21]);
            let around = rng.pick(&[-2_000, -1, 0, 0, 1, 1_000]);
            let zone = TimeZone::get(zone).unwrap();
            let now = Timestamp::from_millisecond(self.now).unwrap().to_zoned_datetime(zone.clone());
            let next = now.date().at(hour, 0, 0, 0).to_zoned_datetime(zone).unwrap().timestamp();
            let next = if next < now.timestamp() { next + SignedDuration::from_hours(24) } else { next };
            self.now = (next.as_millisecond() + around).max(self.now);
        }
    }

    /// To about the next moment at which the clock starts a scenario, if one is started so.
    fn until_a_tick(&mut self) {
        let now = Timestamp::from_millisecond(self.now).unwrap();
        let ticks: Vec<i64> = (self.book.drawn.iter())
            .filter_map(|drawn| match &drawn.start {
                Start::Every(pattern, _) => {
                    let tick = amadare::scenario::cron::cron(pattern).unwrap().next_after(now, &drawn.zone);
                    tick.map(Timestamp::as_millisecond)
                }
                _ => None,
            })
            .filter(|tick| tick - self.now < 4 * DAY)
            .collect();
        if !ticks.is_empty() {
            let around = self.rng.pick(&[-2_000, -1, 0, 0, 0, 1, 3, 1_000]);
            self.now = (self.rng.pick(&ticks) + around).max(self.now);
        }
    }

    fn member(&mut self) -> u8 {
        self.rng.below(u64::from(MEMBERS)) as u8
    }

    fn user(&mut self) -> u8 {
        self.rng.below(u64::from(USERS)) as u8
    }

    fn whom(&mut self) -> Whom {
        if self.rng.percent(65) { Whom::Member(self.member()) } else { Whom::User(self.user()) }
    }

    fn what(&mut self) -> What {
        let serial = self.serial + 1;
        self.serial = serial;
        let age = if self.rng.percent(80) { 0 } else { self.rng.range(0, 3 * DAY) };
        if !self.book.drawn.is_empty() && self.rng.percent(45) {
            return self.of_the_book(serial, age);
        }
        match self.rng.below(100) {
            0..30 => {
                let scenario = self.rng.pick(&[
                    "course-ny",
                    "course-ny",
                    "course-tk",
                    "news",
                    "interview",
                    "interview",
                    "again-exit",
                    "again-pause",
                    "again-never",
                ]);
                let mut whoms = vec![self.whom()];
                if scenario == "news" {
                    whoms = vec![Whom::Member(0), Whom::Member(1), Whom::Member(2), Whom::User(3)];
                }
                if scenario == "interview" {
                    self.entered.push((serial, whoms[0]));
                }
                self.sent.push(serial);
                let anchor_in = self.anchor_in();
                let key = self.rng.below(2) as u8;
                What::Enter { serial, scenario, whoms, key, anchor_in, age }
            }
            30..38 if !self.entered.is_empty() => {
                let (booking, whom) = self.booking();
                self.sent.push(serial);
                let anchor_in = self.anchor_in();
                What::Move { serial: booking, version: serial, whom, anchor_in }
            }
            38..41 if !self.entered.is_empty() => {
                let (serial, whom) = self.booking();
                What::Cancel { serial, whom }
            }
            41..43 => What::Stop { serial, whom: self.whom() },
            43..45 => What::Buy { serial, whom: self.whom() },
            45..50 if !self.sent.is_empty() => {
                let back = self.rng.below(self.sent.len().min(6) as u64) as usize;
                What::Duplicate { serial: self.sent[self.sent.len() - 1 - back] }
            }
            50..54 => What::Unfollow { serial, user: self.user(), age: age.min(HOUR) },
            54..58 => What::Follow { serial, user: self.user(), age: age.min(HOUR) },
            58..60 => What::Name { member: self.member() },
            60..67 => What::Link { member: self.member(), user: self.user(), takes: self.rng.percent(70) },
            67..70 => What::Erase { member: self.member() },
            70..74 => What::Reload { variant: self.rng.below(crate::scenarios::VARIANTS as u64) as usize },
            74..86 => self.weather(),
            86..89 => {
                let down = self.down();
                What::Kill { after: self.rng.below(9) as u32, down }
            }
            89..95 => {
                let down = self.down();
                What::PowerCut { after: self.rng.below(9) as u32, down }
            }
            95..97 => {
                let lasts = self.rng.range(1, 6) as u32;
                What::DiskFull { after: self.rng.below(5) as u32, lasts }
            }
            97..98 => What::Settle,
            _ => self.operation(),
        }
    }

    /// What the drawn scenarios react to.
    fn of_the_book(&mut self, serial: u32, age: i64) -> What {
        let silent = self.rng.percent(20);
        match self.rng.below(100) {
            0..22 => {
                let index = self.rng.below(self.book.drawn.len() as u64) as usize;
                let drawn = &self.book.drawn[index];
                let (scenario, by_event) = (drawn.id, drawn.start == Start::Event || drawn.also_event);
                if !by_event && !matches!(drawn.start, Start::Event | Start::Manual) {
                    return What::Ping { serial, whom: self.whom() };
                }
                self.sent.push(serial);
                let key = self.rng.below(2) as u8;
                let whom = self.whom();
                if by_event && self.rng.percent(75) {
                    return What::Enter { serial, scenario, whoms: vec![whom], key, anchor_in: 0, age };
                }
                What::Enroll { serial, scenario, whom, key }
            }
            22..42 => {
                let tags = book::TAGS.into_iter().filter(|_| self.rng.percent(55)).collect();
                What::Tags { member: self.member(), tags, silent }
            }
            42..47 => What::Mark { member: self.member(), is_set: self.rng.percent(70), silent },
            47..62 => {
                let in_days = self.rng.percent(82).then(|| match self.rng.below(4) {
                    0 => self.rng.range(-3, 1),
                    // so that a date is moved back to one that it was
                    1 => 3,
                    _ => self.rng.range(0, 12),
                });
                What::Day { member: self.member(), in_days, whole: self.rng.percent(50), silent }
            }
            62..72 => What::Ping { serial, whom: self.whom() },
            72..75 => What::Quit { serial, whom: self.whom() },
            75..85 => {
                let topic = self.rng.percent(55).then(|| self.rng.pick(&book::TOPICS));
                What::Opt { whom: self.whom(), topic, out: self.rng.percent(60) }
            }
            85..93 => What::Reload { variant: self.rng.below(book::VARIANTS as u64) as usize },
            93..97 => {
                let down = self.down();
                What::Kill { after: self.rng.below(160) as u32, down }
            }
            _ => {
                let down = self.down();
                What::PowerCut { after: self.rng.below(160) as u32, down }
            }
        }
    }

    /// What is rare in a history, or leads up to something.
    fn operation(&mut self) -> What {
        match self.rng.below(10) {
            0..4 => {
                let most = self.rng.pick(&[3 * MINUTE, HOUR, 22 * HOUR, 3 * DAY]);
                let by = self.rng.range(-most, most);
                self.add(What::ClockStep { by });
                self.time_passes();
                // the operator may be wrong
                if self.rng.percent(50) { What::Release } else { What::ClockStep { by: -by } }
            }
            4..6 => {
                self.add(What::Hold);
                self.time_passes();
                What::Release
            }
            6 => What::Hold,
            7..9 => {
                self.add(What::Backup);
                for _ in 0..self.rng.below(6) {
                    self.time_passes();
                    let what = self.what();
                    self.add(what);
                }
                self.time_passes();
                let down = self.down();
                self.add(What::Restore { down });
                self.time_passes();
                What::Release
            }
            _ => What::Pass,
        }
    }

    fn booking(&mut self) -> (u32, Whom) {
        let index = self.rng.below(self.entered.len() as u64) as usize;
        self.entered[index]
    }

    fn anchor_in(&mut self) -> i64 {
        match self.rng.below(10) {
            0 => self.rng.range(-2 * HOUR, 2 * HOUR),
            1..4 => self.rng.range(1, 30) * HOUR,
            _ => self.rng.range(1, 6) * DAY + self.rng.range(0, 24) * HOUR,
        }
    }

    fn weather(&mut self) -> What {
        use Weather::*;
        let weather = self.rng.pick(&[
            Flaky,
            Flaky,
            Flaky,
            Down,
            Errors,
            Errors,
            Silent,
            Silent,
            Proxy,
            Slow,
            Slow,
            RateLimited,
            Unauthorized,
            QuotaUsed,
            QuotaReserved,
            Clear,
        ]);
        let lasts = match self.rng.below(100) {
            0..45 => self.rng.range(1, 120) * SECOND,
            45..75 => self.rng.range(2, 180) * MINUTE,
            75..90 => self.rng.range(3, 20) * HOUR,
            _ => self.rng.range(22, 64) * HOUR,
        };
        What::Weather { weather, lasts }
    }

    fn down(&mut self) -> i64 {
        match self.rng.below(100) {
            0..50 => self.rng.range(0, 5) * SECOND,
            50..75 => self.rng.range(1, 60) * MINUTE,
            75..93 => self.rng.range(1, 20) * HOUR,
            _ => self.rng.range(22, 50) * HOUR,
        }
    }
}
