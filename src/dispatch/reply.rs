//! Answers that wait for the flush of what they tell of.

use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::Refused;

/// What became of a command. Told only once it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    /// It had been done before; nothing has changed.
    Duplicate,
    Refused(Refused),
}

/// Where an answer goes. Dropped without one, the caller learns that the command did not happen.
#[derive(Debug)]
pub enum Reply {
    One(oneshot::Sender<Answer>),
    Many { of: Arc<Many>, index: usize },
}

impl Reply {
    pub fn one() -> (Reply, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        (Reply::One(sender), receiver)
    }

    /// `count` replies whose answers arrive together, in order, with the last of them.
    pub fn many(count: usize) -> (Vec<Reply>, oneshot::Receiver<Vec<Answer>>) {
        let (sender, receiver) = oneshot::channel();
        let answers = vec![Answer::Done; count];
        let of = Arc::new(Many(Mutex::new(Gathering { answers, left: count, sender: Some(sender) })));
        let replies = (0..count).map(|index| Reply::Many { of: Arc::clone(&of), index }).collect();
        (replies, receiver)
    }

    pub fn answer(self, answer: Answer) {
        match self {
            // a caller that has gone away does not need its answer
            Reply::One(sender) => drop(sender.send(answer)),
            Reply::Many { of, index } => of.answer(index, answer),
        }
    }
}

/// Answers to commands that came together.
#[derive(Debug)]
pub struct Many(Mutex<Gathering>);

#[derive(Debug)]
struct Gathering {
    answers: Vec<Answer>,
    left: usize,
    sender: Option<oneshot::Sender<Vec<Answer>>>,
}

impl Many {
    fn answer(&self, index: usize, answer: Answer) {
        let mut gathering = self.0.lock().expect("no holder of this lock panics");
        gathering.answers[index] = answer;
        gathering.left -= 1;
        if gathering.left == 0
            && let Some(sender) = gathering.sender.take()
        {
            // a caller that has gone away does not need its answers
            drop(sender.send(std::mem::take(&mut gathering.answers)));
        }
    }
}
