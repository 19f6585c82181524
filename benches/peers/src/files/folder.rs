//! Where do the files go? Everybody's onto the same file system, each run's into a folder of its own.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::OnceLock;
use tempfile::TempDir;

static BASE: OnceLock<PathBuf> = OnceLock::new();

/// Files go below this; to be said before the first is made.
pub(crate) fn choose(base: PathBuf) {
    BASE.set(base).expect("the folder is chosen once");
}

/// A folder that goes when the value does, on a disk that has nothing left to do: what the contender
/// before has left to be written back would be written on this one's time.
pub(crate) fn fresh() -> TempDir {
    let base = BASE.get_or_init(beside_the_program);
    std::fs::create_dir_all(base).expect("the folder for files can be made");
    let folder = tempfile::tempdir_in(base).expect("a folder can be made");
    settle();
    folder
}

/// Waits until the file system has written what it was given.
pub(crate) fn settle() {
    let base = BASE.get_or_init(beside_the_program);
    let folder = std::fs::File::open(base).expect("the folder for files is there");
    rustix::fs::syncfs(&folder).expect("the file system can be synced");
}

/// A folder that is filled once, by whoever needs it first.
pub(crate) struct Filled {
    folder: OnceCell<TempDir>,
    fill: Box<dyn Fn(&Path)>,
}

impl Filled {
    pub(crate) fn by(fill: impl Fn(&Path) + 'static) -> Rc<Filled> {
        Rc::new(Filled { folder: OnceCell::new(), fill: Box::new(fill) })
    }

    pub(crate) fn path(&self) -> &Path {
        let filled = self.folder.get_or_init(|| {
            let folder = fresh();
            (self.fill)(folder.path());
            settle();
            folder
        });
        filled.path()
    }
}

/// `target/peers-files` if the program is `target/release/anabranch-peers`.
fn beside_the_program() -> PathBuf {
    let program = std::env::current_exe().expect("the program is on disk");
    let target = program.ancestors().nth(2).expect("it lies in the target folder");
    target.join("peers-files")
}
