//! Topics in a directory: what survives, and what they have in common with topics in memory.

mod files {
    pub mod support;

    mod broker;
    mod inspecting;
    mod reading;
    mod retention;
    mod salvaging;
    mod settling;
}
