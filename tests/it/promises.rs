//! What a daemon has acknowledged, and whether it keeps it: asked of the daemon by the same ids again, and
//! counted at LINE's end by what people received.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use amadare::clock::Clock;
use amadare::sandbox::{Sandbox, Settings};

use crate::process::{Daemon, until};

/// One push for each event, and its text says which.
pub(crate) const SCENARIO: (&str, &str) = (
    "promise.yaml",
    "scenario: promise\nenter: { on: go, key: event.id }\n\
     steps: [{ step: only, push: '{{ member.name }} {{ event.id }}' }]\n",
);

/// Events of one member. It can have 50 runs that have not ended, and its file remembers 200 ids: those that
/// are asked for again must be among them.
pub(crate) const EVENTS_OF_A_MEMBER: usize = 40;

/// An event by its member and its number there.
type Event = (String, usize);

/// Members, their events, and the LINE that pushes go to.
pub(crate) struct Promises {
    pub(crate) sandbox: Sandbox,
    pub(crate) line: String,
    members: usize,
    /// Answered with success.
    pub(crate) acknowledged: BTreeSet<Event>,
    /// Sent to the daemon, whatever it answered.
    asked: BTreeSet<Event>,
}

fn body((member, number): &Event) -> String {
    format!(
        r#"{{"id":"{member}-{number}","name":"go","member":"{member}","data":{{"id":"{member}-{number}"}}}}"#
    )
}

fn text((member, number): &Event) -> String {
    format!("{member} {member}-{number}")
}

fn array(events: &[Event]) -> String {
    format!("[{}]", events.iter().map(body).collect::<Vec<_>>().join(","))
}

impl Promises {
    pub(crate) async fn new() -> Promises {
        let sandbox = Sandbox::new(Settings::default(), Clock::system()).unwrap();
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let line = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(sandbox.clone().serve(listener, std::future::pending()));
        Promises { sandbox, line, members: 0, acknowledged: BTreeSet::new(), asked: BTreeSet::new() }
    }

    /// Has the daemon take in a new member, linked.
    pub(crate) async fn member(&mut self, daemon: &Daemon) -> reqwest::Result<String> {
        let (id, user) = (format!("m{}", self.members), format!("U{:032x}", self.members));
        self.members += 1;
        let body = format!(r#"{{"id":"{id}","attributes":{{"name":"{id}"}},"line_user_id":"{user}"}}"#);
        daemon.post("/v1/members", body).await.map(|_| id)
    }

    /// Sends events in one request; they are acknowledged together or not at all.
    pub(crate) async fn events(&mut self, daemon: &Daemon, events: &[Event]) -> reqwest::Result<()> {
        self.asked.extend(events.iter().cloned());
        let body = match events {
            [one] => body(one),
            many => array(many),
        };
        let answer = daemon.post("/v1/events", body).await?;
        assert_eq!(answer["accepted"], events.len(), "{answer}");
        self.acknowledged.extend(events.iter().cloned());
        Ok(())
    }

    /// How many of these acknowledged events the daemon does not know any more. It knows them again after.
    pub(crate) async fn lost(&self, daemon: &Daemon, events: impl IntoIterator<Item = &Event>) -> usize {
        self.try_lost(daemon, events).await.unwrap()
    }

    /// # Errors
    /// The daemon does not take them.
    pub(crate) async fn try_lost(
        &self,
        daemon: &Daemon,
        events: impl IntoIterator<Item = &Event>,
    ) -> reqwest::Result<usize> {
        let events: Vec<Event> = events.into_iter().cloned().collect();
        let mut lost = 0;
        for some in events.chunks(1_000) {
            let answer = daemon.post("/v1/events", array(some)).await?;
            lost += some.len() - answer["duplicates"].as_u64().unwrap() as usize;
        }
        Ok(lost)
    }

    /// Of events that were asked one at a time: those that were refused have not been sent.
    pub(crate) fn only_acknowledged_has_arrived(&self) {
        let acknowledged: BTreeSet<String> = self.acknowledged.iter().map(text).collect();
        for text in self.texts() {
            assert!(acknowledged.contains(&text), "{text} was sent and not acknowledged");
        }
    }

    fn texts(&self) -> Vec<String> {
        let receipts = self.sandbox.received(0);
        let messages = receipts.iter().map(|receipt| receipt.messages.as_ref().unwrap()[0]["text"].clone());
        messages.map(|text| text.as_str().unwrap().to_owned()).collect()
    }

    /// How many texts have arrived more than once.
    pub(crate) fn twice(&self) -> usize {
        let texts = self.texts();
        texts.len() - texts.iter().collect::<BTreeSet<_>>().len()
    }

    /// Waits until all that was acknowledged has arrived and nothing is under way, and checks what came.
    pub(crate) async fn arrive_once(&self, daemon: &Daemon) {
        let expected: BTreeSet<String> = self.acknowledged.iter().map(text).collect();
        until("everything that was acknowledged", async || {
            let received: BTreeSet<String> = self.texts().into_iter().collect();
            expected.is_subset(&received).then_some(())
        })
        .await;
        until("an empty outbox", async || {
            let ready = daemon.get("/readyz").await;
            (ready["components"]["outbox"]["detail"]["parcels"] == 0).then_some(())
        })
        .await;
        assert_eq!(self.twice(), 0, "something was sent twice");
        assert_eq!(self.sandbox.stats().duplicates, 0);
        assert_eq!(self.sandbox.stats().key_reused_with_other_bytes, 0);
        let asked: BTreeSet<String> = self.asked.iter().map(text).collect();
        for text in self.texts() {
            assert!(asked.contains(&text), "{text} was never asked for");
        }
    }
}
