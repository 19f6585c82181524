//! A good directory, and the tools to forge its files so that every checksum is right.

use anabranch::{
    Broker, Cleanup, Disk, DiskEntry, DiskFile, DiskLock, Durability, FileDisk, Housekeeping,
    ManualClock, OpenError, OpenMode, Record, Timestamp, TopicConfig,
};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// A directory of its own, with another one beside it that nobody may touch.
pub struct Place {
    base: PathBuf,
}

impl Place {
    pub fn new() -> Place {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("anabranch-hostile-{}-{number}", std::process::id());
        let base = std::env::temp_dir().join(name);
        std::fs::create_dir_all(base.join("outside/inner")).unwrap();
        for name in ["precious", "00000000000000000000.log", "mark", "inner/precious"] {
            std::fs::write(base.join("outside").join(name), b"precious").unwrap();
        }
        Place { base }
    }

    /// With two topics, several segments, and committed offsets: made once, then copied.
    pub fn with_topics() -> Place {
        static FILES: OnceLock<Vec<(PathBuf, Vec<u8>)>> = OnceLock::new();
        let place = Place::new();
        for (path, bytes) in FILES.get_or_init(make_topics) {
            let path = place.root().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        place
    }

    pub fn root(&self) -> PathBuf {
        self.base.join("data")
    }

    pub fn outside(&self) -> PathBuf {
        self.base.join("outside")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    pub fn open(&self) -> Result<Broker, OpenError> {
        let clock = ManualClock::at(Timestamp::from_millis(5_000));
        let builder = Broker::builder().housekeeping(Housekeeping::Manual).clock(clock);
        builder.disk(Hasty(FileDisk)).open(self.root())
    }

    /// What stands outside, with its bytes.
    pub fn contents_outside(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        collect(&self.outside(), &mut found);
        found.sort();
        found
    }

    /// How many bytes the files of the directory have, and how many names there are.
    pub fn extent(&self) -> (u64, usize) {
        let (mut bytes, mut names, mut open) = (0, 0, vec![self.root()]);
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(dir).into_iter().flatten() {
                let entry = entry.unwrap();
                let metadata = entry.metadata().unwrap();
                names += 1;
                if metadata.is_dir() {
                    open.push(entry.path());
                } else if metadata.is_file() {
                    bytes += metadata.len();
                }
            }
        }
        (bytes, names)
    }

    pub fn replace(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// Writes a small file of this crate's with a checksum that is right.
    pub fn forge(&self, name: &str, kind: &str, lines: &str) {
        let text = format!("anabranch {kind} 1\n{lines}");
        let text = format!("{text}crc32 {:08x}\n", crc32(text.as_bytes()));
        self.replace(name, text.as_bytes());
    }

    /// Writes a mark whose first slot is as given, with a checksum that is right.
    pub fn forge_mark(&self, name: &str, numbers: [u64; 5], epoch: i32, rest: (u32, u32, u64)) {
        let mut slot = [0; 1024];
        slot[..4].copy_from_slice(b"abmk");
        slot[4..8].copy_from_slice(&1_u32.to_be_bytes());
        for (index, number) in numbers.into_iter().enumerate() {
            slot[8 + index * 8..][..8].copy_from_slice(&number.to_be_bytes());
        }
        slot[48..52].copy_from_slice(&epoch.to_be_bytes());
        slot[52..56].copy_from_slice(&rest.0.to_be_bytes());
        slot[56..60].copy_from_slice(&rest.1.to_be_bytes());
        slot[60..68].copy_from_slice(&rest.2.to_be_bytes());
        let crc = crc32(&slot[..508]);
        slot[508..512].copy_from_slice(&crc.to_be_bytes());
        self.replace(name, &slot);
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }
}

fn make_topics() -> Vec<(PathBuf, Vec<u8>)> {
    let place = Place::new();
    let broker = place.open().unwrap();
    let orders = TopicConfig::new().segment_bytes(600).durability(Durability::Written);
    let keys = orders.clone().cleanup(Cleanup::Compact);
    for (name, config) in [("keys", keys), ("orders", orders)] {
        let topic = broker.create_topic(name, config).unwrap();
        let partition = topic.partition(0).unwrap();
        for value in 0..20_u32 {
            let value = value.to_string();
            partition.append(&[Record::new(&value).with_key(&value)]).unwrap();
        }
        let group = broker.consumer_group("billing").topic(&topic).build().unwrap();
        let mut member = group.join("member").unwrap();
        member.poll(std::time::Duration::ZERO).unwrap();
        member.commit().unwrap();
    }
    broker.close().unwrap();
    let mut files = Vec::new();
    collect(&place.root(), &mut files);
    let below = |(path, bytes): (PathBuf, Vec<u8>)| {
        (path.strip_prefix(place.root()).unwrap().to_owned(), bytes)
    };
    files.into_iter().map(below).collect()
}

fn collect(dir: &Path, into: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            into.push((path, bytes));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.base);
    }
}

/// CRC-32, bit by bit: independent of the one under test.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc: u32, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// The real disk, without the syncs: nobody cuts the power here.
#[derive(Debug)]
struct Hasty(FileDisk);

#[derive(Debug)]
struct HastyFile(Arc<dyn DiskFile>);

impl Disk for Hasty {
    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(HastyFile(self.0.open(path, mode)?)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir(path)
    }

    fn entries(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        self.0.entries(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.0.remove_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.0.lock(path)
    }
}

impl DiskFile for HastyFile {
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buffer, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        self.0.write_at(bytes, position)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}
