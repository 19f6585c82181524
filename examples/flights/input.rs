//! Flights out of a CSV file, whatever the order of its columns.
//!
//! A flight travels as the line it was read from, and is parsed where it is consumed. Fields may be
//! quoted; a quoted field does not span lines.

use std::borrow::Cow;
use std::fmt;

/// Where the columns are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Columns([usize; NAMES.len()]);

const NAMES: [&str; 5] = ["date", "delay", "distance", "origin", "destination"];

/// One flight, as its line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flight<'a> {
    pub(crate) origin: Cow<'a, str>,
    /// Minutes on arrival; negative is early.
    pub(crate) delay: i64,
}

/// What is wrong with a file, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InputError {
    line: usize,
    what: String,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// A file whose every line was checked.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) columns: Columns,
    /// The lines with flights, in the file's order.
    pub(crate) lines: Vec<String>,
}

impl Input {
    /// Checks a whole file. Line ends may be LF or CRLF; empty lines are passed over.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Input, InputError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
            InputError { line, what: "is not UTF-8".to_owned() }
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut numbered = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let Some((line, header)) = numbered.next() else {
            return Err(InputError {
                line: 1,
                what: "the file is empty, a header is missing".into(),
            });
        };
        let columns = Columns::parse(header).map_err(|what| InputError { line, what })?;
        let mut lines = Vec::new();
        for (line, text) in numbered {
            columns.flight(text).map_err(|what| InputError { line, what })?;
            lines.push(text.to_owned());
        }
        if lines.is_empty() {
            let what = "no flights follow the header".to_owned();
            return Err(InputError { line, what });
        }
        Ok(Input { columns, lines })
    }
}

impl Columns {
    fn parse(header: &str) -> Result<Columns, String> {
        let fields = split(header)?;
        let mut places = [0; NAMES.len()];
        for (place, name) in places.iter_mut().zip(NAMES) {
            let is_it = |field: &Cow<'_, str>| field.trim().eq_ignore_ascii_case(name);
            *place = fields.iter().position(is_it).ok_or_else(|| {
                format!("column {name} is missing, the header has {}", fields.join(", "))
            })?;
        }
        Ok(Columns(places))
    }

    /// Reads a line. An error names the column.
    pub(crate) fn flight<'a>(&self, line: &'a str) -> Result<Flight<'a>, String> {
        let mut fields = split(line)?;
        let count = fields.len();
        let mut field = |index: usize| {
            let (name, place) = (NAMES[index], self.0[index]);
            let field = fields.get_mut(place).map(std::mem::take);
            match field.map(trimmed) {
                None => Err(format!("column {name} is missing, the line has {count} fields")),
                Some(text) if text.is_empty() => Err(format!("column {name} is empty")),
                Some(text) => Ok(text),
            }
        };
        field(0)?;
        let delay = whole(NAMES[1], &field(1)?)?;
        whole(NAMES[2], &field(2)?)?;
        let origin = field(3)?;
        field(4)?;
        Ok(Flight { origin, delay })
    }
}

/// A whole number that sums cannot overflow with.
fn whole(name: &str, text: &str) -> Result<i64, String> {
    let number = text.parse::<i32>().map(i64::from);
    number.map_err(|_| format!("column {name} must be a whole number, got {text:?}"))
}

fn trimmed(field: Cow<'_, str>) -> Cow<'_, str> {
    match field {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// The fields of a line; `"` quotes a field, `""` within is one `"`.
fn split(line: &str) -> Result<Vec<Cow<'_, str>>, String> {
    if !line.contains('"') {
        return Ok(line.split(',').map(Cow::Borrowed).collect());
    }
    let mut fields = vec![String::new()];
    let mut is_quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(char) = chars.next() {
        let field = fields.last_mut().expect("it starts with one and never shrinks");
        match char {
            '"' if is_quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    if is_quoted {
        return Err("a quote is not closed".to_owned());
    }
    Ok(fields.into_iter().map(Cow::Owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "date,delay,distance,origin,destination";

    fn refused(text: &str) -> String {
        Input::parse(text.as_bytes()).expect_err(text).to_string()
    }

    fn flights(text: &str) -> Vec<(String, i64)> {
        let input = Input::parse(text.as_bytes()).expect(text);
        let flight = |line: &String| {
            let Flight { origin, delay } = input.columns.flight(line).expect("it was checked");
            (origin.into_owned(), delay)
        };
        input.lines.iter().map(flight).collect()
    }

    #[test]
    fn columns_are_found_by_name_in_any_order() {
        let expected = [("BNA".to_owned(), -8)];
        assert_eq!(flights(&format!("{HEADER}\n2001/01/01 06:20,-8,491,BNA,MCI\n")), expected);
        let text = "carrier,Destination,ORIGIN, delay ,date,distance\nWN,MCI,BNA,-8,2001,491\n";
        assert_eq!(flights(text), expected);
    }

    #[test]
    fn line_ends_marks_quotes_and_empty_lines_do_not_matter() {
        let text = format!(
            "\u{feff}{HEADER}\r\n\r\nx,+3,1, BNA ,MCI\r\n\"1 a, \"\"b\"\"\",-8,1,\"BNA\",MCI"
        );
        assert_eq!(flights(&text), [("BNA".to_owned(), 3), ("BNA".to_owned(), -8)]);
    }

    #[test]
    fn a_bad_file_is_answered_with_line_and_column() {
        assert_eq!(refused(""), "line 1: the file is empty, a header is missing");
        assert_eq!(refused(&format!("\n{HEADER}\n\n")), "line 2: no flights follow the header");
        let missing = "line 1: column origin is missing, the header has date, delay, distance";
        assert_eq!(refused("date,delay,distance\n"), missing);
        for (line, message) in [
            ("x,late,1,BNA,MCI", "column delay must be a whole number, got \"late\""),
            ("x,1.5,1,BNA,MCI", "column delay must be a whole number, got \"1.5\""),
            ("x,99999999999,1,BNA,MCI", "column delay must be a whole number, got \"99999999999\""),
            ("x,1,far,BNA,MCI", "column distance must be a whole number, got \"far\""),
            ("x,1,1,,MCI", "column origin is empty"),
            ("x,1,1,BNA", "column destination is missing, the line has 4 fields"),
            ("x,1,1,\"BNA,MCI", "a quote is not closed"),
        ] {
            let text = format!("{HEADER}\nx,1,1,BNA,MCI\n{line}\n");
            assert_eq!(refused(&text), format!("line 3: {message}"));
        }
        let bytes = [HEADER.as_bytes(), b"\nx,1,1,\xff,MCI\n"].concat();
        let error = Input::parse(&bytes).expect_err("it is not UTF-8");
        assert_eq!(error.to_string(), "line 2: is not UTF-8");
    }
}
