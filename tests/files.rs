//! Topics in a directory: what survives, and what they have in common with topics in memory.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, end with what is wrong")]

mod files {
    pub mod support;

    mod broker;
    mod inspecting;
    mod reading;
    mod retention;
    mod salvaging;
    mod settling;
}
