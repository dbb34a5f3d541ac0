//! The API over real connections, before real turns on a store in memory and a LINE that accepts.

mod access;
mod daemon;
mod deliveries;
mod enrollments;
mod events;
mod failures;
mod members;
mod monitor;
mod openapi;
mod optouts;
mod plans;
mod scenarios;
mod streams;
mod webhook;
