//! Times at which nothing may go out, and messages that are too late whenever it is their turn.

use jiff::civil::Time;
use jiff::{SignedDuration, Timestamp};

use super::{View, shortest};
use crate::scenario::finding::Finding;
use crate::scenario::yaml::Node;
use crate::scenario::{Act, Hours, Offset, Step, Timing, Trigger, Within};

/// How far behind a message may go out where nothing else is said, as the engine has it.
pub(in crate::scenario::load) const DEFAULT_LATE: SignedDuration = SignedDuration::from_hours(24);

/// How many ticks of a clock are looked at for the earliest in a day: more than a day of quarters of an hour.
const TICKS: usize = 100;

impl View<'_> {
    /// Warns of times of day at which nothing may go out.
    pub(super) fn outside_hours(&self, tree: &Node, doubts: &mut Vec<Finding>) {
        for (_, step) in self.pushes() {
            let (Some(at), Some(hours)) = (time_of_day(&step.timing), step.hours.or(self.scenario.hours))
            else {
                continue;
            };
            let minute = minute_of(at);
            if is_inside(minute, hours) {
                continue;
            }
            let whose = match step.hours.is_some() || tree.entry("hours").is_some() {
                true => "",
                false => " of the configuration",
            };
            let (start, end) = (clock(hours.start_minute), clock(hours.end_minute));
            let next_day = if minute >= hours.start_minute { " of the next day" } else { "" };
            let message = format!(
                "{} is outside the send hours{whose} ({start}-{end}), so the message waits until {start}{next_day}",
                clock(minute)
            );
            let help = "write a time inside them, or give the step `hours` of its own";
            doubts.extend(self.doubt(step, "at", "outside-hours", message, help));
        }
    }

    /// Warnings of messages that are too late whenever it is their turn.
    pub(super) fn never_sent(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        // before an anchor, runs begin at any moment, and what is late is known only then
        if !self.scenario.anchored {
            self.too_late(None, None, SignedDuration::ZERO, &mut found);
        }
        self.before_the_tick(&mut found);
        found
    }

    /// Warns of steps in a list that is reached no sooner than so long after the entry, behind that step.
    fn too_late(
        &self,
        within: Option<Within>,
        before: Option<&Step>,
        reached: SignedDuration,
        found: &mut Vec<Finding>,
    ) {
        let (mut before, mut reached) = (before, reached);
        for (index, step) in self.list(within) {
            let own = span_of(&step.timing);
            if let (Some((_, latest)), Some(before)) = (own, before) {
                let late = step.late.unwrap_or(DEFAULT_LATE);
                // a day more for send hours
                let until = latest + late + SignedDuration::from_hours(24);
                if step.messages().is_some() && step.days.is_any() && reached > until {
                    let message = format!(
                        "step `{}` is never sent: by the time that `{}` in front of it is done it is too late",
                        step.id, before.id
                    );
                    let help = "steps run in file order; move it up";
                    found.extend(self.doubt(step, "step", "never-sent", message, help));
                }
            }
            reached = match &step.timing {
                Timing::Wait { offset } => reached + shortest(offset),
                timing => span_of(timing).map_or(reached, |(earliest, _)| reached.max(earliest)),
            };
            for arm in 0..step.arms.len() {
                let waited = match &step.act {
                    Act::WaitFor(awaited) if arm == 1 => shortest(&awaited.within),
                    _ => SignedDuration::ZERO,
                };
                self.too_late(Some(Within { container: index, arm }), Some(step), reached + waited, found);
            }
            // a step with a condition may be passed over, but not before its moment
            before = Some(step);
        }
    }

    /// Warns of messages whose time of day has always passed when the clock starts the scenario.
    fn before_the_tick(&self, found: &mut Vec<Finding>) {
        let mut earliest: Option<u16> = None;
        for enter in &self.scenario.enter {
            let Trigger::Every(cron) = &enter.trigger else { return };
            let midnight = jiff::civil::date(2026, 1, 1).to_zoned_datetime(self.scenario.zone.clone());
            let Ok(midnight) = midnight else { return };
            let next = |after: &Timestamp| cron.next_after(*after, &self.scenario.zone);
            let first = midnight.timestamp().checked_sub(SignedDuration::from_secs(1)).ok();
            let ticks = std::iter::successors(first.as_ref().and_then(next), next).take(TICKS);
            let minutes = ticks.map(|tick| minute_of(self.scenario.zone.to_datetime(tick).time()));
            earliest = earliest.into_iter().chain(minutes).min();
        }
        let Some(tick) = earliest else { return };
        for (_, step) in self.pushes() {
            let (Timing::Day { days: 0, at: Some(at) }, Some(late)) = (&step.timing, step.late) else {
                continue;
            };
            let behind = SignedDuration::from_mins(i64::from(tick) - i64::from(minute_of(*at)));
            let opens =
                step.hours.or(self.scenario.hours).is_none_or(|hours| is_inside(minute_of(*at), hours));
            if behind > late && step.days.is_any() && opens {
                let message = format!(
                    "step `{}` is never sent: the scenario starts at {} or later, and by then it is too late",
                    step.id,
                    clock(tick)
                );
                let help = "name a later time, or let `every` tick earlier";
                found.extend(self.doubt(step, "at", "never-sent", message, help));
            }
        }
    }
}

fn time_of_day(timing: &Timing) -> Option<Time> {
    match timing {
        Timing::Day { at, .. } | Timing::After { at, .. } | Timing::Before { at, .. } => *at,
        Timing::Wait { .. } | Timing::AtOnce => None,
    }
}

fn minute_of(time: Time) -> u16 {
    u16::try_from(i32::from(time.hour()) * 60 + i32::from(time.minute())).expect("a day has 1440 minutes")
}

fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

fn is_inside(minute: u16, hours: Hours) -> bool {
    let Hours { start_minute, end_minute } = hours;
    if start_minute < end_minute {
        (start_minute..end_minute).contains(&minute)
    } else {
        minute >= start_minute || minute < end_minute
    }
}

/// The most that an offset can be.
fn longest(offset: &Offset) -> SignedDuration {
    match offset {
        Offset::Exact(duration) => *duration,
        Offset::Civil(span) => {
            let days = i64::from(span.get_days()) + i64::from(span.get_weeks()) * 7;
            let days = days + i64::from(span.get_months()) * 31 + i64::from(span.get_years()) * 366;
            SignedDuration::from_hours(days * 24 + 1)
        }
    }
}

/// When a timing is after the entry: no sooner than this, no later than that. None for one that counts from the
/// step in front.
fn span_of(timing: &Timing) -> Option<(SignedDuration, SignedDuration)> {
    let day = SignedDuration::from_hours(24);
    let within = |offset: &Offset, at: &Option<Time>| match at {
        None => (shortest(offset), longest(offset)),
        Some(_) => ((shortest(offset) - day).max(SignedDuration::ZERO), longest(offset) + day),
    };
    match timing {
        Timing::Day { days, at } => Some(within(&Offset::Civil(jiff::Span::new().days(*days)), at)),
        Timing::After { offset, at } => Some(within(offset, at)),
        Timing::Before { .. } | Timing::Wait { .. } | Timing::AtOnce => None,
    }
}
