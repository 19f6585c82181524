//! The real disk, in a temporary directory.

use super::*;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of its own for each test, removed when the test is over.
struct TempDir(PathBuf);

impl TempDir {
    fn new() -> TempDir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("anabranch-disk-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        TempDir(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn bytes_are_written_and_read_by_position() {
    let dir = TempDir::new();
    let file = FileDisk.open(&dir.at("x"), OpenMode::Create).unwrap();
    assert_eq!(file.write_at(b"world", 6).unwrap(), 5);
    assert_eq!(file.write_at(b"hello", 0).unwrap(), 5);
    assert_eq!(file.len().unwrap(), 11);
    let mut buffer = [1; 16];
    assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 11);
    assert_eq!(&buffer[..11], b"hello\0world");
    assert_eq!(file.read_at(&mut buffer, 11).unwrap(), 0);
    assert_eq!(file.read_at(&mut buffer, 1 << 40).unwrap(), 0);
    file.set_len(4).unwrap();
    file.set_len(6).unwrap();
    file.sync_data().unwrap();
    assert_eq!(fs::read(dir.at("x")).unwrap(), b"hell\0\0");
}

#[test]
fn a_mode_decides_about_what_is_there() {
    let dir = TempDir::new();
    let path = dir.at("x");
    assert_eq!(kind(FileDisk.open(&path, OpenMode::Read)), Some(io::ErrorKind::NotFound));
    assert_eq!(kind(FileDisk.open(&path, OpenMode::Write)), Some(io::ErrorKind::NotFound));
    FileDisk.open(&path, OpenMode::Create).unwrap().write_at(b"one", 0).unwrap();
    assert_eq!(kind(FileDisk.open(&path, OpenMode::Create)), Some(io::ErrorKind::AlreadyExists));
    let reader = FileDisk.open(&path, OpenMode::Read).unwrap();
    assert!(reader.write_at(b"x", 0).is_err());
    assert_eq!(FileDisk.open(&path, OpenMode::Write).unwrap().len().unwrap(), 3);
    assert_eq!(FileDisk.open(&path, OpenMode::Replace).unwrap().len().unwrap(), 0);
    assert_eq!(reader.len().unwrap(), 0, "the same file, emptied");
}

#[test]
fn names_are_created_listed_renamed_and_removed() {
    let dir = TempDir::new();
    FileDisk.create_dir(&dir.at("a/b")).unwrap();
    FileDisk.create_dir(&dir.at("a/b")).unwrap();
    FileDisk.open(&dir.at("a/x"), OpenMode::Create).unwrap().write_at(b"12", 0).unwrap();
    FileDisk.open(&dir.at("a/y"), OpenMode::Create).unwrap();
    FileDisk.rename(&dir.at("a/x"), &dir.at("a/y")).unwrap();
    FileDisk.sync_dir(&dir.at("a")).unwrap();

    let mut entries = FileDisk.entries(&dir.at("a")).unwrap();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let sub = DiskEntry { name: "b".to_owned(), kind: EntryKind::Dir, bytes: 0 };
    let file = DiskEntry { name: "y".to_owned(), kind: EntryKind::File, bytes: 2 };
    assert_eq!(entries, [sub, file]);

    assert_eq!(kind(FileDisk.remove_dir(&dir.at("a"))), Some(io::ErrorKind::DirectoryNotEmpty));
    FileDisk.remove_file(&dir.at("a/y")).unwrap();
    assert_eq!(kind(FileDisk.remove_file(&dir.at("a/y"))), Some(io::ErrorKind::NotFound));
    FileDisk.remove_dir(&dir.at("a/b")).unwrap();
    FileDisk.remove_dir(&dir.at("a")).unwrap();
    assert_eq!(kind(FileDisk.entries(&dir.at("a"))), Some(io::ErrorKind::NotFound));
}

#[test]
fn a_lock_is_refused_while_somebody_has_it() {
    let dir = TempDir::new();
    let held = FileDisk.lock(&dir.at("LOCK")).unwrap();
    assert_eq!(kind(FileDisk.lock(&dir.at("LOCK"))), Some(io::ErrorKind::WouldBlock));
    drop(held);
    FileDisk.lock(&dir.at("LOCK")).unwrap();
}

#[test]
fn a_lock_leaves_what_the_file_holds() {
    let dir = TempDir::new();
    fs::write(dir.at("LOCK"), b"mine").unwrap();
    FileDisk.lock(&dir.at("LOCK")).unwrap();
    assert_eq!(fs::read(dir.at("LOCK")).unwrap(), b"mine");
}

#[test]
fn a_directory_is_not_opened_as_a_file() {
    let dir = TempDir::new();
    for mode in [OpenMode::Read, OpenMode::Write, OpenMode::Replace] {
        assert_eq!(kind(FileDisk.open(&dir.0, mode)), Some(io::ErrorKind::InvalidInput));
    }
}

#[cfg(unix)]
#[test]
fn links_are_listed_as_such_and_refused() {
    use std::os::unix::fs::symlink;
    let dir = TempDir::new();
    fs::write(dir.at("target"), b"precious").unwrap();
    symlink(dir.at("target"), dir.at("link")).unwrap();
    symlink(dir.at("nowhere"), dir.at("dangling")).unwrap();
    for name in ["link", "dangling"] {
        for mode in [OpenMode::Read, OpenMode::Write, OpenMode::Create, OpenMode::Replace] {
            let refused = FileDisk.open(&dir.at(name), mode).unwrap_err().kind();
            assert_eq!(refused, io::ErrorKind::InvalidInput, "{name} {mode:?}");
        }
        assert_eq!(kind(FileDisk.lock(&dir.at(name))), Some(io::ErrorKind::InvalidInput));
    }
    assert_eq!(fs::read(dir.at("target")).unwrap(), b"precious");
    assert!(!dir.at("nowhere").exists());
    let entries = FileDisk.entries(&dir.0).unwrap();
    let others = entries.iter().filter(|entry| entry.kind == EntryKind::Other && entry.bytes == 0);
    assert_eq!(others.count(), 2);
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_no_text_is_listed_as_nothing_of_ours() {
    use std::os::unix::ffi::OsStrExt;
    let dir = TempDir::new();
    fs::write(dir.0.join(std::ffi::OsStr::from_bytes(b"\xff.log")), b"x").unwrap();
    assert_eq!(FileDisk.entries(&dir.0).unwrap()[0].kind, EntryKind::Other);
}
