//! What happens to a member, in a person's words: English and Japanese, times and weekdays in both.
//!
//! Every word that a decision can give as its reason stands in [`REASONS`]; a test holds it
//! against the sources of the engine and the delivery.

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::http::HappenedView;
use crate::model::{Happening, What};
use crate::page::weekday;

/// The language of what a command says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lang {
    En,
    Ja,
}

/// The option that chooses it.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Language {
    /// The language of the answer [default: that of LC_ALL, LC_MESSAGES or LANG]
    #[arg(long, value_enum)]
    lang: Option<Lang>,
}

impl Language {
    /// What was asked for, or what the environment says; English if neither names Japanese.
    pub(super) fn lang(self) -> Lang {
        self.lang.unwrap_or_else(|| lang_of(&crate::config::locale()))
    }
}

/// `ja`, `ja_JP.UTF-8` and the like are Japanese.
fn lang_of(locale: &str) -> Lang {
    match locale.split(['_', '.', '@', '-']).next() {
        Some("ja") => Lang::Ja,
        _ => Lang::En,
    }
}

/// Columns of the widest time in Japanese: 2026年12月31日(木) 23:59.
const JAPANESE_TIME_COLUMNS: usize = 24;

/// A word that a decision gives as its reason, in both languages; `{}` stands for its object.
struct Reason {
    word: &'static str,
    /// A clause: `it was skipped: …`.
    en: &'static str,
    /// A clause that ends in 「ため」, so that a sentence can go on behind it.
    ja: &'static str,
}

const fn reason(word: &'static str, en: &'static str, ja: &'static str) -> Reason {
    Reason { word, en, ja }
}

/// Sorted by word.
const REASONS: &[Reason] = &[
    reason(
        "again",
        "it has been entered before, and `again` does not allow it now",
        "以前に始まったことがあり、`again` の決まりで今は始められないため",
    ),
    reason(
        "anchor",
        "the date it counts from moved or passed",
        "基準の日時（アンカー）が変わったか、過ぎたため",
    ),
    reason("blocked", "the member has blocked the account", "会員がアカウントをブロックしているため"),
    reason("bound", "it would pass a limit: {}", "上限を超える（{}）ため"),
    reason("by_date", "only a date of the member starts it", "会員の日付だけで始まるシナリオのため"),
    reason("bytes", "the stored request had changed", "保存したリクエストの内容が変わっていたため"),
    reason(
        "cap",
        "the member has had as many messages as a frequency cap allows",
        "会員への配信数が上限（`caps`）に達しているため",
    ),
    reason("date", "the member has that date no more", "会員のその日付がなくなったため"),
    reason("dropped", "an operator dropped it", "運用者が送らないと決めたため"),
    reason("ended", "the scenario has ended", "シナリオの期間（`ends`）が終わったため"),
    reason("erased", "the member was erased while it was on its way", "送信の途中で会員が削除されたため"),
    reason("error", "it could not be told: {}", "値を求められなかった（{}）ため"),
    reason("event", "the event `{}` ended it", "イベント `{}` が届いたため"),
    reason("exited", "the run had ended", "進行がすでに終わっていたため"),
    reason("goal", "it reached its goal", "目標を達成したため"),
    reason("holdout", "the member is kept for comparison", "比較のために配信しない会員（`holdout`）のため"),
    reason("hours", "it is outside the send hours", "配信時間外のため"),
    reason(
        "http",
        "the server that it calls answered with status {}",
        "呼び出し先がステータス{}を返したため",
    ),
    reason(
        "late",
        "its moment had passed by more than `late` allows",
        "予定の時刻から `late` で許した以上に遅れたため",
    ),
    reason("line", "LINE refused it: {}", "LINEに拒否された（{}）ため"),
    reason("link", "the member's LINE user had changed", "会員のLINEユーザーが変わったため"),
    reason("missing", "`{}` has no value", "`{}` に値がないため"),
    reason(
        "multicast",
        "it was in one request with others, and one of them should not get it any more",
        "同じリクエストに、もう送ってはいけない相手が含まれていたため",
    ),
    reason("no_room", "the member has no room for another run", "会員の進行の数が上限に達しているため"),
    reason(
        "not_started",
        "the scenario had not started yet",
        "シナリオの開始日時（`starts`）より前だったため",
    ),
    reason("nothing_sent", "nothing was sent in it", "1通も送られなかったため"),
    reason("opted_out", "the member has opted out", "会員が配信停止を希望しているため"),
    reason("paused", "the scenario is paused", "シナリオが一時停止中（`paused`）のため"),
    reason("quota", "the month's quota was used up", "今月の配信数の上限に達したため"),
    reason(
        "refused",
        "LINE refused the request after an attempt that it may have taken",
        "届いたかもしれない送信のあとで、LINEがリクエストを拒否したため",
    ),
    reason("removed", "it was removed from the scenario files", "シナリオファイルから削除されたため"),
    reason("render", "the message could not be made: {}", "メッセージを作れなかった（{}）ため"),
    reason("resend", "an operator wants it sent again", "運用者が再送を指示したため"),
    reason(
        "restored",
        "the store was restored, and the daemon before may have sent it",
        "バックアップから復元され、その前に送信済みかもしれないため",
    ),
    reason("segment", "a change of the member ended it", "会員の情報が変わり、終了の条件を満たしたため"),
    reason("settled", "an operator said that it had been sent", "運用者が送信済みと判断したため"),
    reason(
        "silent",
        "the change that asks for it came as an import, without `notify`",
        "`notify` のない変更（インポートなど）だったため",
    ),
    reason("step", "a step ended it", "ステップの `exit` で終わったため"),
    reason(
        "superseded",
        "a later step was due as well, and is more useful now",
        "後のステップも送る時刻になっていて、そちらを優先したため",
    ),
    reason(
        "too_many_at_once",
        "too many runs would have started each other",
        "ステップから一度に始められる進行の数を超えたため",
    ),
    reason(
        "unanswered",
        "the server that it calls did not answer for a day",
        "呼び出し先から1日の間、応答がなかったため",
    ),
    reason("unlinked", "no LINE user is linked to the member", "会員にLINEユーザーが連携されていないため"),
    reason("when", "its condition `when` was false", "条件 `when` に合わなかったため"),
    reason("where", "its condition `where` was false", "条件 `where` に合わなかったため"),
    reason(
        "window",
        "LINE did not answer for 23 hours, after which a retry could send twice",
        "23時間の間LINEから応答がなく、これ以上の再試行では二重に届くおそれがあるため",
    ),
];

/// What can begin a run, as [`REASONS`]; in Japanese to go on behind.
const CAUSES: &[Reason] = &[
    reason("clock", "by its time on the clock", "決まった時刻が来て"),
    reason("date", "by a date of the member", "会員の日付により"),
    reason("event", "by the event `{}`", "イベント `{}` により"),
    reason("hand", "by hand, over the API or the command line", "手動（APIまたはコマンド）で"),
    reason("segment", "by a change of the member", "会員の情報が変わり"),
    reason("step", "by a step of `{}`", "`{}` のステップにより"),
];

/// All kinds of happenings.
const WHATS: [What; 20] = [
    What::Enrolled,
    What::NotEnrolled,
    What::Moved,
    What::Accepted,
    What::Done,
    What::Deferred,
    What::Skipped,
    What::Rejected,
    What::Withdrawn,
    What::Expired,
    What::Unknown,
    What::Converted,
    What::Exited,
    What::Completed,
    What::Linked,
    What::Unlinked,
    What::Blocked,
    What::Unblocked,
    What::OptedOut,
    What::OptedIn,
];

/// A happening as a sentence needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    /// None for a kind that a newer daemon knows.
    pub(crate) what: Option<What>,
    pub(crate) word: &'a str,
    pub(crate) at: Timestamp,
    pub(crate) scenario: Option<&'a str>,
    pub(crate) step: Option<&'a str>,
    pub(crate) reason: &'a str,
    pub(crate) until: Option<Timestamp>,
    pub(crate) cause: &'a str,
}

impl<'a> From<&'a Happening> for Told<'a> {
    fn from(happening: &'a Happening) -> Told<'a> {
        Told {
            what: Some(happening.what),
            word: happening.what.word(),
            at: happening.at,
            scenario: happening.scenario.as_ref().map(|id| id.as_str()),
            step: happening.step.as_ref().map(|id| id.as_str()),
            reason: happening.reason.as_deref().unwrap_or_default(),
            until: happening.until,
            cause: happening.cause.as_deref().unwrap_or_default(),
        }
    }
}

impl<'a> From<&'a HappenedView> for Told<'a> {
    fn from(happened: &'a HappenedView) -> Told<'a> {
        Told {
            what: WHATS.into_iter().find(|what| what.word() == happened.what),
            word: &happened.what,
            at: happened.at,
            scenario: happened.scenario.as_deref(),
            step: happened.step.as_deref(),
            reason: happened.reason.as_deref().unwrap_or_default(),
            until: happened.until,
            cause: happened.cause.as_deref().unwrap_or_default(),
        }
    }
}

/// Says things in one language, with times of one zone.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    pub(crate) lang: Lang,
    pub(crate) zone: TimeZone,
    /// The name of the zone behind each time, where it is not the one that a reader takes for granted.
    zone_name: String,
}

impl Words {
    pub(crate) fn new(lang: Lang, zone: TimeZone) -> Words {
        Words { lang, zone, zone_name: String::new() }
    }

    /// The same words with times of another zone, which is named where it is another.
    pub(crate) fn in_zone(&self, zone: TimeZone) -> Words {
        let zone_name = match zone == self.zone {
            true => self.zone_name.clone(),
            false => format!(" {}", zone.iana_name().unwrap_or_default()),
        };
        Words { lang: self.lang, zone, zone_name }
    }

    /// A civil time with its weekday and year: `2026-03-02 Mon 21:50`, `2026年3月2日(月) 21:50`.
    pub(crate) fn time(&self, at: Timestamp) -> String {
        let civil = at.to_zoned_datetime(self.zone.clone());
        let time = match self.lang {
            Lang::En => civil.strftime("%Y-%m-%d %a %H:%M").to_string(),
            Lang::Ja => {
                let day = weekday(civil.weekday());
                civil.strftime(&format!("%Y年%-m月%-d日({day}) %H:%M")).to_string()
            }
        };
        time + &self.zone_name
    }

    /// As [`Words::time`], in columns that stand under each other.
    pub(crate) fn time_column(&self, at: Timestamp) -> String {
        let time = self.time(at);
        let columns: usize = time.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
        let widest = if self.lang == Lang::Ja { JAPANESE_TIME_COLUMNS } else { columns };
        format!("{time}{}", " ".repeat(widest.saturating_sub(columns)))
    }

    /// As [`Words::time`]; in Japanese without the year where it is that of `near`: `3月2日(月) 21:50`.
    pub(crate) fn time_near(&self, at: Timestamp, near: Timestamp) -> String {
        let year = |at: Timestamp| at.to_zoned_datetime(self.zone.clone()).year();
        let time = self.time(at);
        match time.split_once('年') {
            Some((_, rest)) if year(at) == year(near) => rest.to_owned(),
            _ => time,
        }
    }

    /// What happened, as a sentence without its time.
    pub(crate) fn sentence<'a>(&self, told: impl Into<Told<'a>>) -> String {
        let told = told.into();
        match self.lang {
            Lang::En => self.in_english(&told),
            Lang::Ja => self.in_japanese(&told),
        }
    }

    fn in_english(&self, told: &Told<'_>) -> String {
        let Told { reason, .. } = *told;
        let place = told.place();
        let because = || because(Lang::En, reason);
        let until = told.until.map(|until| self.time_near(until, told.at)).unwrap_or_default();
        let (word, object) = parts(reason);
        let Some(what) = told.what else { return format!("{place} {} {reason}", told.word) };
        match what {
            What::Enrolled if told.cause.is_empty() => format!("entered {place}"),
            What::Enrolled => format!("entered {place} {}", by(Lang::En, told.cause)),
            What::NotEnrolled => format!("did not enter {place}: {}", because()),
            What::Moved if told.until.is_none() => format!("{place} kept its date: {}", because()),
            What::Moved => format!("{place} now counts from {until}"),
            What::Accepted if word == "settled" => format!("{place} was accepted, by an operator's word"),
            What::Accepted if told.until.is_none() => format!("{place} was accepted by LINE"),
            What::Accepted => format!("{place} was accepted by LINE (it was due {until})"),
            What::Done => match word {
                "took" => format!("{place} was done, and `{object}` follows"),
                "none" => format!("{place} was done, and none of its steps follow"),
                "came" => format!("{place} was done: the event came"),
                "timed_out" => format!("{place} was done: the event did not come in time"),
                _ => format!("{place} was done"),
            },
            What::Deferred => format!("{place} waits until {until}: {}", because()),
            What::Skipped => format!("{place} was skipped: {}", because()),
            What::Rejected => format!("{place} could not be sent: {}", because()),
            What::Expired => format!("{place} was not sent and will not be: {}", because()),
            What::Withdrawn if word == "resend" => {
                format!("{place} is to be sent again, by an operator's word")
            }
            What::Withdrawn => format!("{place} was taken back before it left: {}", because()),
            What::Unknown => format!("{place} may or may not have been sent: {}", because()),
            What::Converted if word == "value" => format!("{place} reached its goal, worth {object}"),
            What::Converted => format!("{place} reached its goal"),
            What::Exited => format!("left {place}: {}", because()),
            What::Completed => match word {
                "holdout" => format!("completed {place}, kept for comparison"),
                "nothing_sent" => format!("completed {place} without having been sent anything"),
                _ => format!("completed {place}"),
            },
            What::Linked => "was linked to a LINE user".into(),
            What::Unlinked => "is no longer linked to a LINE user".into(),
            What::Blocked => "blocked the account".into(),
            What::Unblocked => "unblocked the account".into(),
            What::OptedOut if word == "topic" => format!("opted out of `{object}`"),
            What::OptedOut => "opted out of everything".into(),
            What::OptedIn if word == "topic" => format!("opted in to `{object}` again"),
            What::OptedIn => "opted in to everything again".into(),
        }
    }

    fn in_japanese(&self, told: &Told<'_>) -> String {
        let Told { reason, .. } = *told;
        let place = told.place();
        let because = || because(Lang::Ja, reason);
        let until = told.until.map(|until| self.time_near(until, told.at)).unwrap_or_default();
        let (word, object) = parts(reason);
        let Some(what) = told.what else { return format!("{place}：{} {reason}", told.word) };
        match what {
            What::Enrolled if told.cause.is_empty() => format!("{place} が始まりました"),
            What::Enrolled => format!("{}、{place} が始まりました", by(Lang::Ja, told.cause)),
            What::NotEnrolled => format!("{place} は、{}、始まりませんでした", because()),
            What::Moved if told.until.is_none() => {
                format!("{place} は、{}、基準の日時を変えませんでした", because())
            }
            What::Moved => format!("{place} の基準の日時が{until}に変わりました"),
            What::Accepted if word == "settled" => {
                format!("{place} は、運用者の判断により、送信済みになりました")
            }
            What::Accepted if told.until.is_none() => format!("{place} をLINEが受け付けました"),
            What::Accepted => format!("{place} をLINEが受け付けました（予定は{until}）"),
            What::Done => match word {
                "took" => format!("{place} を行いました。次は `{object}` に進みます"),
                "none" => format!("{place} を行いました。当てはまるステップはありません"),
                "came" => format!("{place} で待っていたイベントが届きました"),
                "timed_out" => format!("{place} で待っていたイベントは、期限までに届きませんでした"),
                _ => format!("{place} を行いました"),
            },
            What::Deferred => format!("{place} は、{}、{until}まで待ちます", because()),
            What::Skipped => format!("{place} は、{}、飛ばしました", because()),
            What::Rejected => format!("{place} は、{}、送れませんでした", because()),
            What::Expired => format!("{place} は、{}、送らないまま終わりました", because()),
            What::Withdrawn if word == "resend" => {
                format!("{place} は、運用者の指示により、もう一度送ります")
            }
            What::Withdrawn => format!("{place} は、{}、送る前に取り下げました", because()),
            What::Unknown => format!("{place} は、{}、送られたかどうか分かりません", because()),
            What::Converted if word == "value" => format!("{place} の目標を達成しました（値 {object}）"),
            What::Converted => format!("{place} の目標を達成しました"),
            What::Exited => format!("{place} は、{}、途中で終わりました", because()),
            What::Completed => match word {
                "holdout" => format!("{place} は、配信しないまま最後まで進みました（比較のための会員）"),
                "nothing_sent" => format!("{place} は、1通も送らないまま最後まで進みました"),
                _ => format!("{place} は、最後まで進みました"),
            },
            What::Linked => "LINEユーザーと連携しました".into(),
            What::Unlinked => "LINEユーザーとの連携がなくなりました".into(),
            What::Blocked => "アカウントをブロックしました".into(),
            What::Unblocked => "アカウントのブロックを解除しました".into(),
            What::OptedOut if word == "topic" => format!("`{object}` の配信停止を希望しました"),
            What::OptedOut => "すべての配信停止を希望しました".into(),
            What::OptedIn if word == "topic" => format!("`{object}` の配信の再開を希望しました"),
            What::OptedIn => "すべての配信の再開を希望しました".into(),
        }
    }
}

impl Told<'_> {
    fn place(&self) -> String {
        match (self.scenario, self.step) {
            (Some(scenario), Some(step)) => format!("{scenario}/{step}"),
            (Some(scenario), None) => scenario.to_owned(),
            (None, _) => String::new(),
        }
    }
}

/// A reason as a clause, in Japanese with 「ため」 at its end; one that is not known stands for itself.
pub(crate) fn because(lang: Lang, reason: &str) -> String {
    let (word, object) = parts(reason);
    let Ok(place) = REASONS.binary_search_by(|known| known.word.cmp(word)) else {
        return match lang {
            Lang::En => reason.to_owned(),
            Lang::Ja => format!("{reason} のため"),
        };
    };
    let clause = match lang {
        Lang::En => REASONS[place].en,
        Lang::Ja => REASONS[place].ja,
    };
    let object = match parts(object).0 {
        // why a message cannot be made is a reason of its own
        "missing" | "error" if word == "render" => because(lang, object).trim_end_matches("ため").to_owned(),
        _ => object.to_owned(),
    };
    clause.replace("{}", &object)
}

/// What began a run; one that is not known stands for itself.
fn by(lang: Lang, cause: &str) -> String {
    let (word, object) = parts(cause);
    match (CAUSES.iter().find(|known| known.word == word), lang) {
        (Some(known), Lang::En) => known.en.replace("{}", object),
        (Some(known), Lang::Ja) => known.ja.replace("{}", object),
        (None, Lang::En) => format!("by {cause}"),
        (None, Lang::Ja) => format!("{cause} により"),
    }
}

/// A reason's word and its object.
fn parts(reason: &str) -> (&str, &str) {
    match reason.split_once('(') {
        Some((word, rest)) => (word, rest.strip_suffix(')').unwrap_or(rest)),
        None => (reason, ""),
    }
}

mod why;

#[cfg(test)]
mod tests;
