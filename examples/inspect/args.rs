//! What the command line asks for; every mistake is answered by name.

use anabranch::TopicPartition;
use std::path::PathBuf;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Shows what a directory of anabranch holds. Nothing is changed and no lock is taken, so a process may have
the directory open.

Usage: cargo run --release --example inspect -- DIR [COMMAND] [--json]

  topics            topics and their settings [default]
  partitions        each partition's offsets, epoch and size
  segments          each segment's file
  groups            what groups have committed, and how far they are behind
  dump TOPIC PARTITION [--from OFFSET] [--max COUNT]
                    records, one a line
  verify            reads everything and compares it with all checksums

  --json            JSON: an array of objects; of `dump`, an object a line
  -h, --help        this text

Without arguments it makes a small directory and shows itself on it. Exit code: 0 well, 1 `verify` found
damage, 2 bad arguments, or a directory that cannot be read.
";

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) dir: PathBuf,
    pub(crate) command: Command,
    pub(crate) is_json: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Topics,
    Partitions,
    Segments,
    Groups,
    Verify,
    Dump(Wanted),
}

/// Which records to show.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) partition: TopicPartition,
    pub(crate) from: u64,
    pub(crate) max: usize,
}

/// What the command line comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Help,
    Tour,
    Show(Args),
}

/// Reads the arguments; an error is one line that names the argument.
pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Request, String> {
    let (mut words, mut from, mut max, mut is_json) = (Vec::new(), None, None, false);
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let mut value = |name| number(name, &arguments.next().unwrap_or_default());
        match argument.as_str() {
            "-h" | "--help" => return Ok(Request::Help),
            "--json" => is_json = true,
            "--from" => from = Some(value("--from")?),
            "--max" => max = Some(value("--max")?),
            name if name.starts_with('-') => return Err(format!("unknown argument {name:?}")),
            _ => words.push(argument),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [dir, command @ ..] = words.as_slice() else {
        return if is_json { Err("a directory is missing".into()) } else { Ok(Request::Tour) };
    };
    let command = match command {
        [] | ["topics"] => Command::Topics,
        ["partitions"] => Command::Partitions,
        ["segments"] => Command::Segments,
        ["groups"] => Command::Groups,
        ["verify"] => Command::Verify,
        ["dump", topic, partition] => {
            let partition = number("PARTITION", partition)?;
            let partition = u32::try_from(partition).map_err(|_| "PARTITION is too large")?;
            let max =
                max.take().map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
            let partition = TopicPartition::new(*topic, partition);
            Command::Dump(Wanted { partition, from: from.take().unwrap_or(0), max })
        }
        ["dump", ..] => return Err("dump needs a topic and a partition".into()),
        [first, ..] => return Err(format!("unknown command {first:?}, or too many words")),
    };
    if from.is_some() || max.is_some() {
        return Err("--from and --max belong to dump".into());
    }
    Ok(Request::Show(Args { dir: dir.into(), command, is_json }))
}

fn number(name: &str, value: &str) -> Result<u64, String> {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value.parse().ok().filter(|_| is_number);
    number.ok_or_else(|| format!("{name} must be a number, got {value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    fn command(line: &str) -> Command {
        match parsed(line) {
            Ok(Request::Show(args)) => args.command,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn every_command_is_understood() {
        assert_eq!(parsed(""), Ok(Request::Tour));
        assert_eq!(parsed("data verify -h"), Ok(Request::Help));
        assert_eq!(command("data"), Command::Topics);
        assert_eq!(command("data segments --json"), Command::Segments);
        let partition = TopicPartition::new("orders", 3);
        let wanted = Wanted { partition, from: 7, max: 2 };
        assert_eq!(command("--from 7 data dump orders 3 --max 2"), Command::Dump(wanted));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, named) in [
            ("--json", "directory"),
            ("data rivers", "\"rivers\""),
            ("data topics orders", "too many words"),
            ("data dump orders", "a topic and a partition"),
            ("data dump orders x", "PARTITION must be a number, got \"x\""),
            ("data dump orders 0 --from", "--from must be a number"),
            ("data verify --max 3", "belong to dump"),
            ("data --fast", "\"--fast\""),
        ] {
            let wrong = parsed(line).unwrap_err();
            assert!(wrong.contains(named), "{line}: {wrong}");
        }
    }
}
