//! Step messages for LINE Official Accounts: each due push goes out once, on time, and explained.
//!
//! A tour, from the inside out. [`model`] has the nouns: a member's file, its enrollments, deliveries and
//! the retry keys that are derived from them. [`scenario`] turns YAML into compiled scenarios, or into
//! every problem with its line. [`engine`] is the pure core: a member's file and an input give a changed
//! file, what happened, and what is to be pushed. [`store`] keeps records behind one trait, with sled made
//! safe against power loss. [`line`] makes one HTTP attempt and says what came of it. [`dispatch`] is the
//! protocol: turns that load, decide and commit, an outbox of parcels, couriers. [`http`] reads requests
//! into commands and answers once they are durable. [`cli`] puts it together; [`config`] is the only
//! reader of the environment, [`clock`] the only reader of the time, [`sandbox`] stands in for LINE, and [`page`]
//! shows messages as members see them.
//!
//! Each uses only what is named before it; a test holds that. ARCHITECTURE.md tells the rest.

pub mod mutation;

pub mod model;

pub mod scenario;

pub mod engine;

pub mod clock;

pub mod store;

pub mod line;

pub mod call;

pub mod dispatch;

pub mod config;

pub mod http;

pub mod sandbox;

pub mod page;

pub mod cli;
