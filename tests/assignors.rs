//! What the assignors promise, held against Kafka's own results and against an optimum computed
//! independently.
//!
//! The data in `data/kafka/` was obtained by running Kafka; see its README for where it is from and
//! what was left out.

#[path = "assignors/cases.rs"]
mod cases;
#[path = "assignors/data.rs"]
mod data;
#[path = "assignors/edges.rs"]
mod edges;
#[path = "assignors/large.rs"]
mod large;
#[path = "assignors/measure.rs"]
mod measure;
#[path = "assignors/optimum.rs"]
mod optimum;
#[path = "assignors/random.rs"]
mod random;
#[path = "assignors/search.rs"]
mod search;
