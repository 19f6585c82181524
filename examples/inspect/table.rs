//! A table, for eyes or for programs.

use serde_json::{Map, Value};
use std::fmt;

/// What stands in a row under a column.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Text(String),
    Number(u64),
    /// A number of bytes, which eyes get in round numbers.
    Bytes(u64),
    Flag(bool),
    Nothing,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Cell {
        Cell::Number(number)
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Cell {
        Cell::Number(number as u64)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(cell: Option<T>) -> Cell {
        cell.map_or(Cell::Nothing, Into::into)
    }
}

impl Cell {
    fn to_json(&self) -> Value {
        match self {
            Cell::Text(text) => text.as_str().into(),
            Cell::Number(number) | Cell::Bytes(number) => (*number).into(),
            Cell::Flag(flag) => (*flag).into(),
            Cell::Nothing => Value::Null,
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Cell::Number(_) | Cell::Bytes(_))
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Text(text) => f.write_str(text),
            Cell::Number(number) => write!(f, "{number}"),
            Cell::Bytes(bytes) => f.write_str(&round(*bytes)),
            Cell::Flag(true) => f.write_str("yes"),
            Cell::Flag(false) => f.write_str("no"),
            Cell::Nothing => f.write_str("-"),
        }
    }
}

/// `1536` is 1.5 KiB.
fn round(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let (mut tenths, mut unit) = (bytes.saturating_mul(10), "B");
    for larger in units {
        if tenths < 10_240 {
            break;
        }
        (tenths, unit) = (tenths / 1_024, larger);
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ => format!("{}.{} {unit}", tenths / 10, tenths % 10),
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(columns: &[&'static str]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells: Vec<Cell> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows.push(cells);
    }

    pub(crate) fn to_json(&self) -> Value {
        let object = |row: &Vec<Cell>| -> Value {
            let pairs = self.columns.iter().zip(row);
            let pairs = pairs.map(|(name, cell)| (name.replace(' ', "_"), cell.to_json()));
            Value::Object(pairs.collect::<Map<String, Value>>())
        };
        self.rows.iter().map(object).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(Cell::to_string).collect()).collect();
        let width = |column: usize| {
            let cells = text.iter().map(|row| row[column].chars().count());
            cells.chain([self.columns[column].len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let is_number = |column: usize| self.rows.iter().any(|row| row[column].is_number());
        let mut line = |cells: &[String]| {
            let mut line = String::new();
            for (column, cell) in cells.iter().enumerate() {
                let pad = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
                match is_number(column) {
                    true => line.extend([&pad, cell, "  "]),
                    false => line.extend([cell, &pad, "  "]),
                }
            }
            writeln!(f, "{}", line.trim_end())
        };
        let head: Vec<String> = self.columns.iter().map(|name| name.to_uppercase()).collect();
        line(&head)?;
        text.iter().try_for_each(|row| line(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_words_left() {
        let mut table = Table::new(&["topic", "log end", "size"]);
        table.row(["orders".into(), 7_u64.into(), Cell::Bytes(1_536)]);
        table.row(["a".into(), 12_345_u64.into(), Cell::Nothing]);
        let text = "TOPIC   LOG END     SIZE\norders        7  1.5 KiB\na         12345        -\n";
        assert_eq!(table.to_string(), text);
        let json = table.to_json();
        assert_eq!((&json[0]["size"], &json[1]["log_end"]), (&1_536.into(), &12_345.into()));
        assert!(json[1]["size"].is_null());
    }

    #[test]
    fn bytes_are_rounded_down() {
        for (bytes, text) in
            [(0, "0 B"), (1_023, "1023 B"), (1_024, "1.0 KiB"), (1 << 30, "1.0 GiB")]
        {
            assert_eq!(round(bytes), text);
        }
        assert_eq!(round(u64::MAX), "1677721.5 TiB");
    }
}
