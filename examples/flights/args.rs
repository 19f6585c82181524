//! What the command line asks for; every mistake is answered by name.

use std::path::PathBuf;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Streams flights, keyed by airport, through a topic to a group of consumers, moves partitions while it
runs, and verifies that every flight was counted once and in order.

Usage: cargo run --release --example flights -- [OPTIONS]

  --input FILE      CSV with the columns date, delay, distance, origin, destination, in any order
                    [default: 20,000 flights of 2001 that come with the example]
  --partitions N    partitions of the topic, 1 to 1000 [default: 8]
  --members N       members of the group at the start, 1 to 100; one joins and one leaves
                    meanwhile [default: 3]
  --repeat N        how often to send the file, 1 to 1000; some 200 bytes of memory per flight
                    [default: 1]
  --rate N|max      flights per second that both senders send together [default: 10000]
  --no-commit       members never commit: shows what is delivered again when partitions move; the
                    verification then fails, as it should
  -h, --help        this text

Colour is for terminals, unless NO_COLOR is set. Exit code: 0 verified, 1 not, 2 bad arguments or input.
";

/// What to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    /// The file to read; `None` is the one that comes with the example.
    pub(crate) input: Option<PathBuf>,
    pub(crate) partitions: u32,
    pub(crate) members: usize,
    pub(crate) repeat: usize,
    /// Flights per second; `None` is as fast as it goes.
    pub(crate) rate: Option<u32>,
    pub(crate) commits: bool,
}

/// What the command line comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Help,
    Run(Args),
}

/// Reads the arguments; an error is one line that names the argument.
pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Request, String> {
    let mut args = Args {
        input: None,
        partitions: 8,
        members: 3,
        repeat: 1,
        rate: Some(10_000),
        commits: true,
    };
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        // Both `--repeat 2` and `--repeat=2`.
        let (name, mut inline) = match argument.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (argument.as_str(), None),
        };
        let mut value = |what: &str| {
            let value = inline.take().or_else(|| arguments.next());
            value.filter(|value| !value.is_empty()).ok_or_else(|| format!("{name} needs {what}"))
        };
        match name {
            "--input" => args.input = Some(value("a file")?.into()),
            "--partitions" => args.partitions = number(name, &value("a number")?, 1_000)?,
            "--members" => args.members = number(name, &value("a number")?, 100)? as usize,
            "--repeat" => args.repeat = number(name, &value("a number")?, 1_000)? as usize,
            "--rate" => {
                args.rate = match value("a number or max")?.as_str() {
                    "max" => None,
                    rate => Some(number(name, rate, 1_000_000_000)?),
                }
            }
            "--no-commit" => args.commits = false,
            "-h" | "--help" => return Ok(Request::Help),
            _ => return Err(format!("unknown argument {name:?}")),
        }
        if let Some(value) = inline {
            return Err(format!("{name} takes no value, got {value:?}"));
        }
    }
    Ok(Request::Run(args))
}

fn number(name: &str, value: &str, max: u32) -> Result<u32, String> {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    match value.parse() {
        Ok(number) if is_number && (1..=max).contains(&number) => Ok(number),
        _ if is_number => Err(format!("{name} must be 1 to {max}, got {value}")),
        _ => Err(format!("{name} must be a number from 1 to {max}, got {value:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    fn run(line: &str) -> Args {
        match parsed(line) {
            Ok(Request::Run(args)) => args,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn every_option_is_understood_in_both_spellings() {
        assert_eq!(run("").rate, Some(10_000));
        let spaced =
            run("--input f.csv --partitions 3 --members 4 --repeat 5 --rate 6 --no-commit");
        let joined =
            run("--input=f.csv --partitions=3 --members=4 --repeat=5 --rate=6 --no-commit");
        assert_eq!(spaced, joined);
        assert_eq!((spaced.partitions, spaced.members, spaced.repeat), (3, 4, 5));
        assert_eq!((spaced.rate, spaced.commits), (Some(6), false));
        assert_eq!(run("--rate max").rate, None);
        assert_eq!(parsed("--repeat 2 -h"), Ok(Request::Help));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, message) in [
            ("--repeat 0", "--repeat must be 1 to 1000, got 0"),
            ("--members 101", "--members must be 1 to 100, got 101"),
            ("--partitions 99999999999", "--partitions must be 1 to 1000, got 99999999999"),
            ("--partitions many", "--partitions must be a number from 1 to 1000, got \"many\""),
            ("--partitions +3", "--partitions must be a number from 1 to 1000, got \"+3\""),
            ("--members -1", "--members must be a number from 1 to 100, got \"-1\""),
            ("--rate=", "--rate needs a number or max"),
            ("--input", "--input needs a file"),
            ("--no-commit=yes", "--no-commit takes no value, got \"yes\""),
            ("--speed 3", "unknown argument \"--speed\""),
            ("flights.csv", "unknown argument \"flights.csv\""),
        ] {
            assert_eq!(parsed(line), Err(message.to_owned()), "{line}");
        }
    }
}
