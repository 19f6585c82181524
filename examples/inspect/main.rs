//! Shows what a broker's directory holds, and verifies it, also while a process has it open.
//!
//! `cargo run --release --example inspect -- DIR`, and with `--help` what can be asked. Without arguments
//! it makes a small directory, shows itself on it, and takes it away again.
//!
//! | File | Its one job |
//! |---|---|
//! | `args.rs` | The command line. |
//! | `views.rs` | What is in the directory, as tables. |
//! | `dump.rs` | Records, one a line. |
//! | `table.rs` | A table as text, or as JSON. |
//! | `tour.rs` | What is shown without arguments. |

mod args;
mod dump;
mod table;
mod tour;
mod views;

use anabranch::inspect::Directory;
use args::{Args, Command, Request};
use std::error::Error;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    let arguments = std::env::args().skip(1);
    let done = match args::parse(arguments) {
        Ok(Request::Help) => {
            out.write_all(args::HELP.as_bytes()).map(|()| true).map_err(Into::into)
        }
        Ok(Request::Tour) => tour::run(&mut out).map(|()| true),
        Ok(Request::Show(args)) => show(&args, &mut out),
        Err(wrong) => Err(format!("{wrong}; --help shows what there is").into()),
    };
    match done.and_then(|is_good| out.flush().map(|()| is_good).map_err(Into::into)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        // Whoever read the output, `head` for one, has seen enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("inspect: {error}");
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Answers one question; says whether nothing is damaged, as far as that was asked.
fn show(args: &Args, out: &mut dyn Write) -> Result<bool, Box<dyn Error>> {
    let directory = Directory::read(&args.dir)?;
    let (table, is_good) = match &args.command {
        Command::Topics => (views::topics(&directory), true),
        Command::Partitions => (views::partitions(&directory), true),
        Command::Segments => (views::segments(&directory), true),
        Command::Groups => (views::groups(&directory), true),
        Command::Verify => views::verify(&directory)?,
        Command::Dump(wanted) => {
            dump::dump(&directory, wanted, args.is_json, out)?;
            return Ok(true);
        }
    };
    if args.is_json {
        writeln!(out, "{:#}", table.to_json())?;
    } else {
        write!(out, "{table}")?;
    }
    Ok(is_good)
}
