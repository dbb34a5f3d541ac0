//! Step messages for LINE Official Accounts: each due push goes out once, on time, and explained.

pub mod model;

pub mod scenario;

pub mod engine;

pub mod clock;

pub mod store;

pub mod line;

pub mod dispatch;

pub mod config;

pub mod http;

pub mod sandbox;
