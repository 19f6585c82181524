//! Streams 20,000 real flights through a topic to a group of consumers, while one joins and one leaves.
//!
//! `cargo run --release --example flights`, and with `-- --help` what can be changed.
//!
//! | File | Its one job |
//! |---|---|
//! | `send.rs` | The senders: flights in, keyed by airport. |
//! | `member.rs` | A member of the group: flights out, and commits. |
//! | `run.rs` | Who starts, joins and leaves when. |
//! | `verify.rs` | Whether every flight was counted once, in order. |
//! | `screen.rs`, `report.rs` | What is shown meanwhile, and in the end. |
//! | `args.rs`, `input.rs` | The command line, and the file. |

mod args;
mod input;
mod member;
mod report;
mod run;
mod screen;
mod send;
mod verify;

use args::{Args, Request};
use input::Input;
use run::{Outcome, Run};
use screen::{Screen, grouped};
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

/// The flights that come with the example; `data/README.md` says where they are from.
const FLIGHTS: &[u8] = include_bytes!("../data/flights.csv");

fn main() -> ExitCode {
    let done = match args::parse(std::env::args().skip(1)) {
        Ok(Request::Help) => io::stdout().write_all(args::HELP.as_bytes()).map_err(Into::into),
        Ok(Request::Run(args)) => match show(&args) {
            Ok(false) => {
                eprintln!("flights: the verification failed");
                return ExitCode::from(1);
            }
            done => done.map(drop),
        },
        Err(wrong) => Err(format!("{wrong}; --help shows what there is").into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output, `head` for one, has seen enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flights: {error}");
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Runs, reports, and says whether the claims hold.
fn show(args: &Args) -> Result<bool, Box<dyn Error>> {
    let input = match &args.input {
        None => {
            Input::parse(FLIGHTS).map_err(|error| format!("the example's own file: {error}"))?
        }
        Some(path) => {
            let name = path.display();
            let bytes = std::fs::read(path).map_err(|error| format!("{name}: {error}"))?;
            Input::parse(&bytes).map_err(|error| format!("{name}: {error}"))?
        }
    };
    let run = Run::new(args, &input)?;
    let mut screen = Screen::new(run.total);
    screen.line(&format!(
        "{} flights, {} senders, {} partitions, a group of {}",
        grouped(run.total),
        send::SENDERS,
        args.partitions,
        args.members,
    ))?;
    screen.line("")?;
    screen.rebalance_head(args.partitions as usize, args.members + 1)?;
    let Outcome { tallies, lag } = run.conduct(&mut screen)?;

    let airports = verify::merge(&tallies);
    let mut seen: Vec<_> = tallies.iter().flat_map(|tally| &tally.seen).copied().collect();
    seen.sort_unstable_by_key(|delivery| delivery.order);
    report::airports(&mut screen, &airports)?;
    report::shares(&mut screen, args.partitions, &seen, &tallies)?;
    report::speed(&mut screen, &seen, args.rate)?;
    let checks = verify::verify(&run.flights, args.repeat, &seen, &airports, lag);
    report::verdict(&mut screen, &checks)?;
    Ok(checks.iter().all(|check| check.holds))
}
