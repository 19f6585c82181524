//! How does anabranch compare with what else a Rust program would use for the same job?
//!
//! Every case runs its contenders in turn within one process, round after round, each round in
//! another order, after one round that is not counted: what disturbs the machine disturbs them all.
//! Everybody copies the same 100 bytes in, and every consumer touches every value and is checked
//! for count and content.
//!
//! ```text
//! cargo run --release -- [memory|files|all] [--case NAME]… [--only PART]… [--rounds 5]
//!                        [--scale 1.0] [--small] [--smoke] [--dir PATH] [--list]
//! ```
//!
//! Without a group or a case it is the cases in memory. `--only` keeps the contenders whose name has
//! `PART` in it: `perf stat -e syscalls:sys_enter_fdatasync` then counts one's syncs, over all rounds
//! (`strace` slows the threads so much that fewer share a sync). `--scale` multiplies the records of
//! every case; `--small` makes one gigabyte of ten where a case is about opening that much; `--smoke`
//! runs each case of both groups once and tiny, to show that it works. Files go below `--dir`, or the
//! target folder.

mod cases;
mod contest;
mod files;
mod ours;
mod ours_files;
mod pace;
mod payload;
mod stats;

use cases::{Case, Group};
use contest::Size;
use std::process::ExitCode;

const USAGE: &str = "usage: anabranch-peers [memory|files|all] [--case NAME]... [--only PART]... \
    [--rounds N] [--scale F] [--small] [--smoke] [--dir PATH] [--list]";

struct Options {
    /// None: whatever group it is in.
    group: Option<Group>,
    cases: Vec<String>,
    only: Vec<String>,
    rounds: usize,
    size: Size,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some((flag, args)) = args.split_first()
        && cases::child(flag, args)
    {
        return ExitCode::SUCCESS;
    }
    match options(&args) {
        Ok(Some(options)) => {
            run(&options);
            ExitCode::SUCCESS
        }
        Ok(None) => {
            for case in cases::all() {
                println!("{:6} {:16} {}", case.group.name(), case.name, case.question);
            }
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

/// What was asked for; nothing if only the list of cases was.
fn options(args: &[String]) -> Result<Option<Options>, String> {
    let mut group = None;
    let (mut cases, mut only) = (Vec::new(), Vec::new());
    let (mut rounds, mut size, mut is_smoke) = (5, Size::default(), false);
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or(format!("{flag} needs a value"));
        match flag.as_str() {
            "--list" => return Ok(None),
            "memory" => group = Some(Some(Group::Memory)),
            "files" => group = Some(Some(Group::Files)),
            "all" => group = Some(None),
            "--smoke" => {
                is_smoke = true;
                size = Size::smoke();
                rounds = 1;
            }
            "--case" => {
                let name = value()?;
                if !cases::all().any(|case| case.name == name) {
                    return Err(format!("there is no case {name:?}, see --list"));
                }
                cases.push(name.clone());
            }
            "--only" => only.push(value()?.clone()),
            "--rounds" => rounds = value()?.parse().map_err(|e| format!("--rounds: {e}"))?,
            "--scale" => size.scale = value()?.parse().map_err(|e| format!("--scale: {e}"))?,
            "--small" => size.is_small = true,
            "--dir" => files::folder::choose(value()?.into()),
            _ => return Err(format!("unknown argument {flag:?}")),
        }
    }
    let usual = if is_smoke || !cases.is_empty() { None } else { Some(Group::Memory) };
    let group = group.unwrap_or(usual);
    Ok(Some(Options { group, cases, only, rounds: rounds.max(1), size }))
}

fn run(options: &Options) {
    println!("{}\n", stats::machine());
    let is_chosen = |case: &&Case| {
        options.group.is_none_or(|group| group == case.group)
            && (options.cases.is_empty() || options.cases.iter().any(|name| name == case.name))
    };
    let is_kept =
        |name: &str| options.only.is_empty() || options.only.iter().any(|part| name.contains(part));
    for case in cases::all().filter(is_chosen) {
        println!("## {}\n\n{}\n", case.name, case.question);
        let mut contenders = (case.contenders)(&options.size);
        contenders.retain(|contender| is_kept(contender.name));
        println!("{}", stats::table(&contest::run(contenders, options.rounds)));
    }
}
