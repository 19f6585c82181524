//! Rust source as the rules of the house see it: no comments, no strings, paths spelled out.
//!
//! A [`Source`] is a file cut into words and marks. Comments, strings and characters are gone, so
//! a rule cannot trip over prose; `use a::{b, c::d}` and a path in the middle of an expression both
//! come out as full [`Path`]s. Each piece knows its line and whether it is test code: inside an
//! item under `#[cfg(test)]`, or in a file that such an item names.

use std::fs;
use std::path::{Path as FilePath, PathBuf};

/// A word (`crate`, `Mutex`) or a mark (`::`, `{`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
    pub(crate) is_test: bool,
    /// How many inline `mod x { … }` of the file enclose it.
    pub(crate) inline_mods: usize,
}

/// A path as it would be written without groups: `use a::{b, c::d}` is `a::b` and `a::c::d`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    pub(crate) is_test: bool,
    pub(crate) inline_mods: usize,
}

impl Path {
    /// Whether the path begins with these segments; `std::sync::Mutex` begins with `std::sync`.
    pub(crate) fn starts_with(&self, prefix: &str) -> bool {
        let prefix: Vec<&str> = prefix.split("::").collect();
        self.segments.len() >= prefix.len()
            && self.segments.iter().zip(&prefix).all(|(a, b)| a == b)
    }

    /// Whether these segments stand anywhere in the path.
    pub(crate) fn contains(&self, part: &str) -> bool {
        let part: Vec<&str> = part.split("::").collect();
        self.segments.windows(part.len()).any(|window| window == part)
    }
}

/// One file of the project.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the crate, with `/` between folders: `src/log/chunk.rs`.
    pub(crate) file: String,
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
    pub(crate) paths: Vec<Path>,
}

impl Source {
    /// Reads a source from a string, as if it were in `file`.
    pub(crate) fn new(file: &str, text: &str) -> Self {
        let mut tokens = tokens(text);
        mark_tests(&mut tokens);
        count_inline_mods(&mut tokens);
        let paths = paths(&tokens);
        Source { file: file.to_owned(), text: text.to_owned(), tokens, paths }
    }

    /// Every `.rs` file below `folder`, sorted; files that only tests use are marked as test code.
    pub(crate) fn all_below(folder: &str) -> Vec<Source> {
        let mut sources: Vec<Source> = files_below(folder, &["target"])
            .iter()
            .filter(|file| file.ends_with(".rs"))
            .map(|file| Source::new(file, &read(file).expect("a source file is UTF-8")))
            .collect();
        mark_test_files(&mut sources);
        sources
    }
}

/// The crate's folder.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of the project, unless it is not text.
pub(crate) fn read(file: &str) -> Option<String> {
    String::from_utf8(fs::read(root().join(file)).expect("a listed file can be read")).ok()
}

/// Every file below `folder` (`""` for the project), sorted, without the folders in `skipped`.
pub(crate) fn files_below(folder: &str, skipped: &[&str]) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("a folder can be listed").path();
            let name = relative(&path);
            let is_skipped = skipped.iter().any(|s| name == *s || name.ends_with(&format!("/{s}")));
            match path.is_dir() {
                _ if is_skipped => {}
                true => folders.push(path),
                false => files.push(name),
            }
        }
    }
    files.sort();
    files
}

fn relative(path: &FilePath) -> String {
    let inside = path.strip_prefix(root()).expect("only files of the project are listed");
    let parts: Vec<_> = inside.components().map(|c| c.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

/// Cuts source into words and marks, dropping comments and literals.
fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut tokens: Vec<Token> = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        let rest = &text[at..];
        let skipped = literal_or_comment(rest);
        if skipped > 0 {
            line += rest[..skipped].matches('\n').count();
            at += skipped;
            continue;
        }
        let first = rest.chars().next().expect("there is a rest");
        let len = match first {
            c if c.is_alphanumeric() || c == '_' => {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
            }
            ':' if rest.starts_with("::") => 2,
            c => c.len_utf8(),
        };
        if !first.is_whitespace() {
            let text = rest[..len].to_owned();
            tokens.push(Token { text, line, is_test: false, inline_mods: 0 });
        }
        line += usize::from(first == '\n');
        at += len;
    }
    tokens
}

/// How many bytes of a comment, string or character stand at the start of `rest`; 0 if none does.
fn literal_or_comment(rest: &str) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    // Raw strings: r"…", r#"…"#, br#"…"#, cr"…". A word before the quote is its prefix.
    for prefix in ["r", "br", "cr"] {
        let Some(after) = rest.strip_prefix(prefix) else { continue };
        let hashes = after.len() - after.trim_start_matches('#').len();
        if after[hashes..].starts_with('"') {
            let open = prefix.len() + hashes + 1;
            let close = format!("\"{}", "#".repeat(hashes));
            return rest[open..].find(&close).map_or(rest.len(), |i| open + i + close.len());
        }
    }
    for prefix in ["", "b", "c"] {
        let open = prefix.len() + 1;
        if rest.strip_prefix(prefix).is_some_and(|after| after.starts_with('"')) {
            return quoted(rest, open, '"');
        }
    }
    for prefix in ["", "b"] {
        let open = prefix.len() + 1;
        if rest.strip_prefix(prefix).is_some_and(|after| after.starts_with('\'')) {
            let mut inside = rest[open..].chars();
            // 'a' and '\n' are characters, 'a and 'static are lifetimes.
            let is_char =
                matches!((inside.next(), inside.next()), (Some('\\'), _) | (Some(_), Some('\'')));
            if is_char {
                return quoted(rest, open, '\'');
            }
        }
    }
    0
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let here = &rest[at..];
        at += match here {
            _ if here.starts_with("/*") => {
                depth += 1;
                2
            }
            _ if here.starts_with("*/") => {
                depth -= 1;
                2
            }
            _ => here.chars().next().map_or(1, char::len_utf8),
        };
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &str, open: usize, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest[open..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return open + at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// The index after the bracket that closes the one at `open`.
fn after_closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "{" | "[" | "(" => depth += 1,
            "}" | "]" | ")" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

/// The index after the item that starts at `start`: its closing brace or its semicolon.
fn after_item(tokens: &[Token], start: usize) -> usize {
    let mut index = start;
    while index < tokens.len() {
        match tokens[index].text.as_str() {
            "{" => return after_closing(tokens, index),
            "[" | "(" => index = after_closing(tokens, index),
            ";" => return index + 1,
            _ => index += 1,
        }
    }
    index
}

/// Whether an attribute's words say that what follows is only there for tests.
fn is_test_attribute(words: &[Token]) -> bool {
    let words: Vec<&str> = words.iter().map(|t| t.text.as_str()).collect();
    match words.as_slice() {
        ["cfg", "(", "test", ")"] => true,
        ["cfg", "(", "all", "(", rest @ ..] => {
            rest.first() == Some(&"test") || rest.windows(2).any(|pair| pair == [",", "test"])
        }
        _ => false,
    }
}

/// Where each item under `#[cfg(test)]` or `#[cfg(all(test, …))]` starts and ends.
fn test_items(tokens: &[Token]) -> Vec<(usize, usize)> {
    let mut items = Vec::new();
    let mut index = 0;
    while index + 1 < tokens.len() {
        if tokens[index].text == "#" && tokens[index + 1].text == "[" {
            let end = after_closing(tokens, index + 1);
            if is_test_attribute(&tokens[index + 2..end - 1]) {
                items.push((index, after_item(tokens, end)));
            }
        }
        index += 1;
    }
    items
}

fn mark_tests(tokens: &mut [Token]) {
    for (start, end) in test_items(tokens) {
        for token in &mut tokens[start..end] {
            token.is_test = true;
        }
    }
}

/// A file is test code if `#[cfg(test)] mod name;` in its parent names it.
fn mark_test_files(sources: &mut [Source]) {
    let mut stems = Vec::new();
    for source in sources.iter() {
        let folder = module_folder(&source.file);
        for (start, end) in test_items(&source.tokens) {
            if let [.., a, name, b] = &source.tokens[start..end]
                && a.text == "mod"
                && b.text == ";"
            {
                stems.push(format!("{folder}/{}", name.text));
            }
        }
    }
    for source in sources {
        let is_below = |stem: &String| {
            source
                .file
                .strip_prefix(stem.as_str())
                .is_some_and(|r| r == ".rs" || r.starts_with('/'))
        };
        if stems.iter().any(is_below) {
            source.tokens.iter_mut().for_each(|token| token.is_test = true);
            source.paths.iter_mut().for_each(|path| path.is_test = true);
        }
    }
}

/// The folder in which the children of a file's module live.
fn module_folder(file: &str) -> &str {
    let stem = file.trim_end_matches(".rs");
    ["/mod", "/lib", "/main"].iter().find_map(|name| stem.strip_suffix(name)).unwrap_or(stem)
}

fn count_inline_mods(tokens: &mut [Token]) {
    for index in 2..tokens.len() {
        if tokens[index - 2].text == "mod" && tokens[index].text == "{" {
            let end = after_closing(tokens, index);
            tokens[index..end].iter_mut().for_each(|token| token.inline_mods += 1);
        }
    }
}

fn is_word(token: &Token) -> bool {
    token.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Every path of two segments or more, and every `use` of one.
fn paths(tokens: &[Token]) -> Vec<Path> {
    let mut paths = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let is_use = index > 0 && tokens[index - 1].text == "use";
        let has_tail = tokens.get(index + 1).is_some_and(|next| next.text == "::");
        if is_word(&tokens[index]) && (is_use || has_tail) {
            index = expand(tokens, index, &[], &mut paths).max(index + 1);
        } else {
            index += 1;
        }
    }
    paths
}

/// Follows one path from `index`, group by group; returns the index after it.
fn expand(tokens: &[Token], mut index: usize, prefix: &[String], paths: &mut Vec<Path>) -> usize {
    let mut segments = prefix.to_vec();
    let first = index;
    loop {
        match tokens.get(index) {
            Some(token) if token.text == "{" && !segments.is_empty() => {
                let end = after_closing(tokens, index);
                index += 1;
                while index + 1 < end {
                    let after = expand(tokens, index, &segments, paths);
                    // Over `as name` and the comma.
                    index = after.max(index + 1);
                    while index + 1 < end && tokens[index].text != "," {
                        index += 1;
                    }
                    index += 1;
                }
                return end;
            }
            Some(token) if is_word(token) || token.text == "*" => {
                if token.text != "self" || segments.is_empty() {
                    segments.push(token.text.clone());
                }
                index += 1;
            }
            _ => break,
        }
        match tokens.get(index) {
            Some(token) if token.text == "::" => index += 1,
            _ => break,
        }
    }
    if index > first && !segments.is_empty() {
        let Token { line, is_test, inline_mods, .. } = tokens[first];
        paths.push(Path { segments, line, is_test, inline_mods });
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(text: &str) -> Vec<String> {
        Source::new("src/x.rs", text).paths.iter().map(|p| p.segments.join("::")).collect()
    }

    #[test]
    fn groups_are_spelled_out_and_expressions_are_read() {
        assert_eq!(
            spelled("use a::{b, c::{self, d as e}, f::*};"),
            ["a::b", "a::c", "a::c::d", "a::f::*"]
        );
        assert_eq!(
            spelled("fn f() -> crate::x::Y { std::fs::read(1) }"),
            ["crate::x::Y", "std::fs::read"]
        );
        assert_eq!(spelled("let x = Vec::<a::B>::new();"), ["Vec", "a::B"]);
        assert_eq!(spelled("use parking_lot;"), ["parking_lot"]);
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        let text = "// a::b\n/* a::b /* a::b */ a::b */ \"a::b \\\" a::b\" r#\"a::b \" a::b\"# '\"' b'\\'' 'x: c::d";
        assert_eq!(spelled(text), ["c::d"]);
        assert_eq!(spelled("fn f<'a>(x: &'a str) { '\u{e9}'; c::d }"), ["c::d"]);
    }

    #[test]
    fn lines_survive_what_is_dropped() {
        let source = Source::new("src/x.rs", "/* 1\n2 */ \"\n\"\n c::d");
        assert_eq!(source.paths[0].line, 4);
    }

    #[test]
    fn test_code_is_known_as_such() {
        let text = "a::b; #[cfg(test)] mod tests { c::d } #[cfg(not(test))] mod x { e::f } g::h";
        let source = Source::new("src/x.rs", text);
        let test: Vec<_> = source.paths.iter().map(|p| p.is_test).collect();
        assert_eq!(test, [false, true, false, false]);
        assert_eq!(source.paths[1].inline_mods, 1);
        assert_eq!(source.paths[3].inline_mods, 0);
    }

    #[test]
    fn a_file_that_a_test_module_names_is_test_code() {
        let mut sources = vec![
            Source::new("src/log/mod.rs", "#[cfg(test)]\nmod tests;\nmod chunk;"),
            Source::new("src/log/tests.rs", "a::b"),
            Source::new("src/log/chunk.rs", "a::b"),
        ];
        mark_test_files(&mut sources);
        assert!(sources[1].paths[0].is_test);
        assert!(!sources[2].paths[0].is_test);
    }
}
