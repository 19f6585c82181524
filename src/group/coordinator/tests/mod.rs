//! The coordinator under test: Kafka's traces, product rules one by one, wrong assignors, generated
//! events with every invariant checked after each, and planted bugs that the checker must find.

mod assignors;
mod checker;
mod eager;
mod generated;
mod planted_bugs;
mod reconciliation_cases;
mod rules;
mod speed;
mod static_members;
mod support;
mod traces;
