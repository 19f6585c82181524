//! How does anabranch compare with what else a Rust program would use for the same job?
//!
//! Every case runs its contenders in turn within one process, round after round, each round in
//! another order, after one round that is not counted: what disturbs the machine disturbs them all.
//! Everybody copies the same 100 bytes in, and every consumer touches every value and is checked
//! for count and content.
//!
//! ```text
//! cargo run --release -- [--case NAME]… [--rounds 5] [--scale 1.0] [--smoke] [--list]
//! ```
//!
//! `--scale` multiplies the records of every case; `--smoke` runs each case once and tiny, to show
//! that it works.

mod cases;
mod contest;
mod ours;
mod pace;
mod payload;
mod stats;

use contest::Size;
use std::process::ExitCode;

const USAGE: &str =
    "usage: anabranch-peers [--case NAME]... [--rounds N] [--scale F] [--smoke] [--list]";

struct Options {
    cases: Vec<String>,
    rounds: usize,
    size: Size,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, records] = args.as_slice()
        && flag == cases::memory::CHILD_FLAG
    {
        cases::memory::child(name, records.parse().expect("the parent passes a number"));
        return ExitCode::SUCCESS;
    }
    match options(&args) {
        Ok(Some(options)) => {
            run(&options);
            ExitCode::SUCCESS
        }
        Ok(None) => {
            cases::ALL.iter().for_each(|case| println!("{:10} {}", case.name, case.question));
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
    let mut options = Options { cases: Vec::new(), rounds: 5, size: Size::default() };
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or(format!("{flag} needs a value"));
        match flag.as_str() {
            "--list" => return Ok(None),
            "--smoke" => {
                options.size = Size::smoke();
                options.rounds = 1;
            }
            "--case" => {
                let name = value()?;
                if !cases::ALL.iter().any(|case| case.name == name) {
                    return Err(format!("there is no case {name:?}, see --list"));
                }
                options.cases.push(name.clone());
            }
            "--rounds" => {
                options.rounds = value()?.parse().map_err(|e| format!("--rounds: {e}"))?;
            }
            "--scale" => {
                options.size.scale = value()?.parse().map_err(|e| format!("--scale: {e}"))?;
            }
            _ => return Err(format!("unknown argument {flag:?}")),
        }
    }
    options.rounds = options.rounds.max(1);
    Ok(Some(options))
}

fn run(options: &Options) {
    println!("{}\n", stats::machine());
    let is_chosen =
        |name: &str| options.cases.is_empty() || options.cases.iter().any(|n| n == name);
    for case in cases::ALL.iter().filter(|case| is_chosen(case.name)) {
        println!("## {}\n\n{}\n", case.name, case.question);
        let results = contest::run((case.contenders)(&options.size), options.rounds);
        println!("{}", stats::table(&results));
    }
}
