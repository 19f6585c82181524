//! Topics in a directory: what survives, and what they have in common with topics in memory.

mod files {
    pub mod gate;
    pub mod support;

    mod broker;
    mod closing;
    mod reading;
    mod refusals;
    mod retention;
    mod settling;
}
