//! Directories that somebody has laid out to do harm: links, devices, huge numbers, odd names. They are
//! refused with an error that says what is wrong, or they do no harm; nobody panics, nothing outside of
//! the directory is touched, and opening takes no more memory than the files have bytes, and a fixed
//! budget.
//!
//! A binary of its own, because the allocator is one for all, and one test function, because what other
//! tests allocate meanwhile would be counted too.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(unreachable_pub, reason = "the files of one test")]
#![allow(unsafe_code, reason = "an allocator is unsafe to write; this one only counts")]

mod hostile {
    pub mod cases;
    pub mod counting;
    pub mod forge;
}

use hostile::{cases, counting};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

#[test]
fn a_hostile_directory_does_no_harm() {
    cases::planted_mistakes_are_seen();
    cases::what_is_no_file_is_refused();
    cases::links_are_not_followed();
    cases::names_and_empty_files_are_harmless();
    cases::a_bad_manifest_is_refused();
    cases::huge_numbers_are_harmless();
    cases::long_files_cost_no_more_than_their_length();
}
