//! Why a step is when it is, what keeps messages back, and how a scenario begins.

use serde_json::Value;

use super::{Lang, Words, because, by};
use crate::cli::access::STOPPED;
use crate::http::{
    ConditionView, ObstacleView, PlannedView, RuleView, RunView, ScenarioView, StepView, TimingView, WhyView,
};
use crate::model::Attributes;

/// Columns of a value in an explanation; what is longer is cut.
const MAX_VALUE_CHARS: usize = 40;

/// Values of an event that are shown.
const MAX_VALUES: usize = 6;

impl Words {
    /// What is still to come, as a sentence without its time.
    pub(crate) fn plan_sentence(&self, planned: &PlannedView) -> String {
        let key = planned.key.as_deref().map(|key| self.key(key)).unwrap_or_default();
        let place = format!("{}/{}{key}", planned.scenario, planned.step);
        let mut said = match (planned.state.as_str(), self.lang) {
            ("in_flight", Lang::En) => format!("{place} is with LINE; its answer is awaited"),
            ("in_flight", Lang::Ja) => format!("{place} はLINEに送信中で、応答を待っています"),
            ("if_taken", Lang::En) => format!("{place} follows if its arm is taken"),
            ("if_taken", Lang::Ja) => format!("{place} は、その枝に進んだときに行います"),
            ("after_the_one_before", Lang::En) => format!("{place} follows the step before it"),
            ("after_the_one_before", Lang::Ja) => format!("{place} は、前のステップの後に行います"),
            (_, Lang::En) => format!("{place} is planned"),
            (_, Lang::Ja) if key.is_empty() => format!("{place} の予定です"),
            (_, Lang::Ja) => format!("{place}の予定です"),
        };
        if let Some(why) = &planned.why {
            said += &match self.lang {
                Lang::En => format!(": {}", self.why(why)),
                Lang::Ja => format!("（{}）", self.why(why)),
            };
        }
        if let Some(condition) = &planned.condition {
            said += &match self.lang {
                Lang::En => format!("; only if {}", self.condition(condition)),
                Lang::Ja => format!("。条件は {}", self.condition(condition)),
            };
        }
        said
    }

    /// The key of a run, behind its scenario.
    fn key(&self, key: &str) -> String {
        match self.lang {
            Lang::En => format!(" ({key})"),
            Lang::Ja => format!("（{key}）"),
        }
    }

    /// Why a step is when it is.
    fn why(&self, why: &WhyView) -> String {
        let from_at = self.time_near(why.from_at, why.from_at);
        let mut said = match (why.from.as_str(), self.lang) {
            ("resend", Lang::En) => format!("an operator asked for it again at {from_at}"),
            ("resend", Lang::Ja) => format!("運用者が{from_at}に再送を指示しました"),
            (from, _) => {
                let timing = self.timing(&why.timing, from, why.workdays);
                match (&why.timing, self.lang) {
                    // the moment itself stands in front already
                    (TimingView::AtOnce | TimingView::Day { days: 0, at: None }, _) => timing,
                    (_, Lang::En) => format!("{timing} ({from_at})"),
                    (_, Lang::Ja) => format!("{from_at}から数えて、{timing}"),
                }
            }
        };
        for (moved, en, ja) in [
            (why.moved_to_its_days, "moved to the nearest day that it may be done on", "行えない日のため"),
            (why.moved_by_hours, "moved into the send hours", "配信時間外のため"),
        ] {
            let Some(moved) = moved else { continue };
            let to = self.time_near(moved, why.from_at);
            said += &match self.lang {
                Lang::En => format!(", {en}: {to}"),
                Lang::Ja => format!("。{ja}、{to}に移しました"),
            };
        }
        said
    }

    /// When a step is to be done, as its file has it.
    fn timing(&self, timing: &TimingView, from: &str, in_workdays: bool) -> String {
        let noun = match (from, self.lang) {
            ("anchor", Lang::En) => "the anchor",
            ("anchor", Lang::Ja) => "基準の日時",
            ("step", Lang::En) => "the step before it",
            ("step", Lang::Ja) => "前のステップ",
            (_, Lang::En) => "the entry",
            (_, Lang::Ja) => "開始",
        };
        let at = |at: &Option<String>| match (at, self.lang) {
            (Some(at), Lang::En) => format!(" at {at}"),
            (Some(at), Lang::Ja) => format!("の{at}"),
            (None, _) => String::new(),
        };
        let length = |text: &str| self.length(text, in_workdays);
        let days_of = |days: i32| self.length(&format!("{days}d"), in_workdays);
        match (timing, self.lang) {
            (TimingView::Day { days: 0, at: None }, Lang::En) => format!("at {noun}"),
            (TimingView::Day { days: 0, at: None }, Lang::Ja) => format!("{noun}と同時"),
            (TimingView::Day { days, at: time }, Lang::En) if *days < 0 => {
                format!("{} before {noun}{}", days_of(-days), at(time))
            }
            (TimingView::Day { days, at: time }, Lang::Ja) if *days < 0 => {
                format!("{noun}の{}前{}", days_of(-days), at(time))
            }
            (TimingView::Day { days: 0, at: time }, Lang::En) => format!("on the day of {noun}{}", at(time)),
            (TimingView::Day { days: 0, at: time }, Lang::Ja) => format!("{noun}の当日{}", at(time)),
            (TimingView::Day { days, at: time }, Lang::En) => {
                format!("{} after {noun}{}", days_of(*days), at(time))
            }
            (TimingView::Day { days, at: time }, Lang::Ja) => {
                format!("{noun}の{}後{}", days_of(*days), at(time))
            }
            (TimingView::After { offset, at: time }, Lang::En) => {
                format!("{} after {noun}{}", length(offset), at(time))
            }
            (TimingView::After { offset, at: time }, Lang::Ja) => {
                format!("{noun}の{}後{}", length(offset), at(time))
            }
            (TimingView::Before { offset, at: time }, Lang::En) => {
                format!("{} before {noun}{}", length(offset), at(time))
            }
            (TimingView::Before { offset, at: time }, Lang::Ja) => {
                format!("{noun}の{}前{}", length(offset), at(time))
            }
            (TimingView::Wait { offset }, Lang::En) => format!("{} after {noun}", length(offset)),
            (TimingView::Wait { offset }, Lang::Ja) => format!("{noun}の{}後", length(offset)),
            (TimingView::AtOnce, Lang::En) => format!("right after {noun}"),
            (TimingView::AtOnce, Lang::Ja) => format!("{noun}のすぐ後"),
        }
    }

    /// `1h 30m` in words; days are workdays where they are counted so.
    fn length(&self, text: &str, in_workdays: bool) -> String {
        let word = |part: &str| {
            let (number, unit) =
                part.split_at(part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len()));
            let (en, ja) = match unit {
                "y" => ("year", "年"),
                "mo" => ("month", "か月"),
                "w" => ("week", "週間"),
                "d" if in_workdays => ("workday", "営業日"),
                "d" => ("day", "日"),
                "h" => ("hour", "時間"),
                "m" => ("minute", "分"),
                "s" => ("second", "秒"),
                other => (other, other),
            };
            match self.lang {
                Lang::En if number == "1" => format!("{number} {en}"),
                Lang::En => format!("{number} {en}s"),
                Lang::Ja => format!("{number}{ja}"),
            }
        };
        let words: Vec<String> = text.split_whitespace().map(word).collect();
        words.join(if self.lang == Lang::En { " " } else { "" })
    }

    /// A condition as written, what it says now, and by which values.
    pub(crate) fn condition(&self, condition: &ConditionView) -> String {
        let mut about = Vec::new();
        about.extend(condition.now.as_deref().map(|now| match (now, self.lang) {
            ("true", Lang::En) => "true now".to_owned(),
            ("true", Lang::Ja) => "今は満たしています".to_owned(),
            ("false", Lang::En) => "false now".to_owned(),
            ("false", Lang::Ja) => "今は満たしていません".to_owned(),
            (other, Lang::En) => format!("cannot be told now: {}", because(Lang::En, other)),
            (other, Lang::Ja) => {
                format!("{}、今は判断できません", because(Lang::Ja, other))
            }
        }));
        // what is missing has been named
        let missing = condition.now.as_deref().and_then(|now| now.strip_prefix("missing("));
        let missing = missing.and_then(|rest| rest.strip_suffix(')'));
        let values = condition.values.iter().filter(|(name, _)| missing != Some(name.as_str()));
        for (name, value) in values.take(MAX_VALUES) {
            about.push(match (value, self.lang) {
                (Value::Null, Lang::En) => format!("{name} has no value"),
                (Value::Null, Lang::Ja) => format!("{name} は値なし"),
                (value, _) => format!("{name} = {}", shortened(value)),
            });
        }
        let written = &condition.written;
        match (about.is_empty(), self.lang) {
            (true, _) => format!("`{written}`"),
            (false, Lang::En) => format!("`{written}` ({})", about.join("; ")),
            (false, Lang::Ja) => format!("`{written}`（{}）", about.join("、")),
        }
    }

    /// What keeps messages from the member now.
    pub(crate) fn obstacle(&self, obstacle: &ObstacleView) -> String {
        let held = obstacle.reason.strip_prefix("hold(").and_then(|rest| rest.strip_suffix(')'));
        let scenario = obstacle.scenario.as_deref();
        let remedy = obstacle.remedy.as_deref().unwrap_or_default();
        if obstacle.reason == STOPPED {
            return match self.lang {
                Lang::En => "no daemon runs, so nothing is sent to anybody".into(),
                Lang::Ja => "デーモンが動いていないため、誰にも配信されません".into(),
            };
        }
        match (held, scenario, self.lang) {
            (Some(hold), _, Lang::En) => format!("sends are on hold ({hold}): {remedy}"),
            (Some(hold), _, Lang::Ja) => {
                let (why, remedy) = match hold {
                    "operator" => ("運用者の指示", "`amadare release` で再開します"),
                    "restored" => (
                        "バックアップからの復元",
                        "`amadare deliveries list` を確かめてから `amadare release`",
                    ),
                    "clock" => ("時計の疑い", "時計を直すか、正しければ `amadare release`"),
                    "token" => ("アクセストークン", "LINEが受け付けるトークンを渡して再読み込みしてください"),
                    "quota" => ("今月の配信数の上限", "プランの上限を上げるか、来月まで待ちます"),
                    other => (other, remedy),
                };
                format!("配信が止まっています（{why}）：{remedy}")
            }
            (None, Some(scenario), Lang::En) => {
                format!("{scenario} sends nothing to the member: {}", because(Lang::En, &obstacle.reason))
            }
            (None, Some(scenario), Lang::Ja) => {
                format!("{scenario} は、{}、この会員に配信しません", because(Lang::Ja, &obstacle.reason))
            }
            (None, None, Lang::En) => {
                format!("nothing can be sent to the member: {}", because(Lang::En, &obstacle.reason))
            }
            (None, None, Lang::Ja) => {
                format!("{}、この会員には配信できません", because(Lang::Ja, &obstacle.reason))
            }
        }
    }

    /// A run that lives.
    pub(crate) fn run(&self, run: &RunView) -> String {
        let RunView { scenario, key, entered_at, anchor, event } = run;
        let since = self.time_near(*entered_at, *entered_at);
        let event = self.event(event);
        let key = key.as_deref().map(|key| self.key(key)).unwrap_or_default();
        match self.lang {
            Lang::En => {
                let counts = match anchor == entered_at {
                    true => String::new(),
                    false => format!(", counting from the anchor, {}", self.time(*anchor)),
                };
                let event = if event.is_empty() { event } else { format!("; event: {event}") };
                format!("in {scenario}{key} since {since}{counts}{event}")
            }
            Lang::Ja => {
                let counts = match anchor == entered_at {
                    true => String::new(),
                    false => format!("。基準の日時は{}", self.time_near(*anchor, *entered_at)),
                };
                let event = if event.is_empty() { event } else { format!("。イベント：{event}") };
                let gap = if key.is_empty() { " " } else { "" };
                format!("{scenario}{key}{gap}が進行中（{since}から）{counts}{event}")
            }
        }
    }

    fn event(&self, event: &Attributes) -> String {
        let shown =
            event.iter().take(MAX_VALUES).map(|(name, value)| format!("{name} = {}", shortened(value)));
        let mut shown: Vec<String> = shown.collect();
        if event.len() > MAX_VALUES {
            shown.push("…".into());
        }
        shown.join(", ")
    }

    /// How a scenario begins: a rule of its `enter`.
    pub(crate) fn rule(&self, rule: &RuleView) -> String {
        let of = rule.of.as_deref().unwrap_or_default();
        let begins = match (rule.by.as_str(), self.lang) {
            ("on", Lang::En) => format!("on the event `{of}`"),
            ("on", Lang::Ja) => format!("イベント `{of}` で始まります"),
            ("segment", Lang::En) => format!("when a change of the member makes `{of}` true"),
            ("segment", Lang::Ja) => format!("会員の情報が変わって `{of}` を満たしたときに始まります"),
            ("date", Lang::En) => format!("by the member's date `{of}`"),
            ("date", Lang::Ja) => format!("会員の日付 `{of}` で始まります"),
            ("every", Lang::En) => format!("on the clock, at `{of}`"),
            ("every", Lang::Ja) => format!("決まった時刻（`{of}`）に始まります"),
            (_, Lang::En) => "by hand, or by a step of another scenario".to_owned(),
            (_, Lang::Ja) => "手動か、ほかのシナリオのステップで始まります".to_owned(),
        };
        match (&rule.condition, self.lang) {
            (None, _) => begins,
            (Some(condition), Lang::En) => format!("{begins}, where {}", self.condition(condition)),
            (Some(condition), Lang::Ja) => format!("{begins}。条件は {}", self.condition(condition)),
        }
    }

    /// What began a run of a scenario that has but one way, which its file tells.
    pub(crate) fn only_way(&self, scenario: &ScenarioView) -> Option<String> {
        let [rule] = scenario.enter.as_slice() else { return None };
        let cause = match (rule.by.as_str(), &rule.of) {
            ("on", Some(event)) => format!("event({event})"),
            ("segment", _) => "segment".to_owned(),
            ("date", _) => "date".to_owned(),
            ("every", _) => "clock".to_owned(),
            _ => "hand".to_owned(),
        };
        Some(by(self.lang, &cause))
    }

    /// What moved the days of a run, where a scenario has but one event that can.
    pub(crate) fn moved_by(&self, scenario: &ScenarioView) -> Option<String> {
        let [event] = scenario.update.as_slice() else { return None };
        let is_dated = scenario.enter.iter().any(|rule| rule.by == "date");
        (!is_dated).then(|| by(self.lang, &format!("event({event})")))
    }

    /// What `again` of a scenario says, and when the member entered it last.
    pub(crate) fn again(&self, scenario: &ScenarioView) -> String {
        let mut rules: Vec<&str> = scenario.enter.iter().map(|rule| rule.again.as_str()).collect();
        rules.dedup();
        let rules = rules.join(", ");
        let entered = scenario.entered.map(|entered| self.time(entered));
        match (entered, self.lang) {
            (Some(entered), Lang::En) => format!("again: {rules}; the member entered it last at {entered}"),
            (Some(entered), Lang::Ja) => format!("again: {rules}。最後に始まったのは{entered}です"),
            (None, _) => format!("again: {rules}"),
        }
    }

    /// A step as its file has it now, a line each.
    pub(crate) fn step(&self, step: &StepView) -> Vec<String> {
        let from = match step.timing {
            TimingView::Wait { .. } | TimingView::AtOnce => "step",
            _ => &step.counts_from,
        };
        let timing = self.timing(&step.timing, from, step.workdays);
        let mut lines = vec![match (step.does.as_str(), self.lang) {
            ("push", Lang::En) => format!("sends a message {timing}"),
            ("push", Lang::Ja) => format!("{timing}にメッセージを送ります"),
            (does, Lang::En) => format!("does its `{does}` {timing}"),
            (does, Lang::Ja) => format!("{timing}に `{does}` を行います"),
        }];
        if let Some(condition) = &step.condition {
            lines.push(match self.lang {
                Lang::En => format!("only if `{condition}`"),
                Lang::Ja => format!("条件は `{condition}`"),
            });
        }
        if let Some(hours) = &step.hours {
            lines.push(match self.lang {
                Lang::En => format!("between {}", hours.replace('-', " and ")),
                Lang::Ja => format!("{}の間だけ", hours.replace('-', "から")),
            });
        }
        if !step.on_days.is_empty() {
            let ja = |day: &str| match day {
                "mon" => "月",
                "tue" => "火",
                "wed" => "水",
                "thu" => "木",
                "fri" => "金",
                "sat" => "土",
                _ => "日",
            };
            lines.push(match self.lang {
                Lang::En => format!("only on {}", step.on_days.join(", ")),
                Lang::Ja => {
                    let days: Vec<&str> = step.on_days.iter().map(|day| ja(day)).collect();
                    format!("{}曜日だけ", days.join("・"))
                }
            });
        }
        if step.workdays {
            lines.push(match self.lang {
                Lang::En => "only on workdays".into(),
                Lang::Ja => "営業日だけ".into(),
            });
        }
        lines
    }
}

fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_VALUE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
