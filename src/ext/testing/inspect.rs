//! The simulated disk: what a test sees of it and changes on it, past all faults.

use super::SimDisk;
use super::content::{Content, check_end};
use super::tree::{File, Node, Tree};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Looking at what the disk holds and changing it, past all faults and counters.
///
/// What is changed here is durable at once, and so are the file with all it holds, and the names in
/// the directories that lead to it.
impl SimDisk {
    /// A file's bytes, as a call would read them.
    ///
    /// # Errors
    ///
    /// As reading it: [`NotFound`](io::ErrorKind::NotFound), or that it is no file.
    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        self.with(|state| {
            let id = state.tree.find(path.as_ref())?;
            Ok(state.tree.file(id)?.now.to_vec())
        })
    }

    /// Gives a file these bytes; creates it, and the directories above it, if need be.
    ///
    /// ```
    /// use anabranch::testing::SimDisk;
    ///
    /// let disk = SimDisk::new();
    /// disk.write("data/manifest", b"nonsense")?;
    /// assert_eq!(disk.power_cut_seeded(1).read("data/manifest")?, b"nonsense");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the path is not that of a file, or leads through one.
    pub fn write(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let mut content = Content::default();
        content.write(bytes.as_ref(), 0);
        self.with(|state| {
            let path = path.as_ref();
            let tree = Arc::make_mut(&mut state.tree);
            tree.create_dirs(path.parent().unwrap_or(path))?;
            let place = tree.place(path)?;
            let plain = Arc::clone(&place.path);
            let id = match tree.at(&place) {
                Some(id) => id,
                None => tree.create_file(place),
            };
            *tree.file_mut(id)? = File::settled(content, &plain);
            settle_names(tree, path)
        })
    }

    /// Puts something there that is neither file nor directory, as a link or a device would be.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists), or that the path leads through a file.
    pub fn write_other(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.with(|state| {
            let path = path.as_ref();
            let tree = Arc::make_mut(&mut state.tree);
            tree.create_dirs(path.parent().unwrap_or(path))?;
            let place = tree.place(path)?;
            if tree.at(&place).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            tree.create(place, Node::Other);
            settle_names(tree, path)
        })
    }

    /// Cuts a file, or extends it with zeros.
    ///
    /// # Errors
    ///
    /// If there is no such file, or the length is more than 16 GiB.
    pub fn truncate(&self, path: impl AsRef<Path>, bytes: u64) -> io::Result<()> {
        check_end(0, bytes)?;
        self.edit(path.as_ref(), |content| {
            content.set_len(bytes);
            Ok(())
        })
    }

    /// Turns one bit of a file over: bit 0 to 7 of the byte at a position.
    ///
    /// # Errors
    ///
    /// If there is no such file, or it ends before that byte.
    ///
    /// # Panics
    ///
    /// If `bit` is above 7.
    pub fn flip_bit(&self, path: impl AsRef<Path>, byte: u64, bit: u8) -> io::Result<()> {
        assert!(bit < 8, "a byte has no bit {bit}");
        self.edit(path.as_ref(), |content| {
            let mut found = [0];
            if content.read(&mut found, byte) == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            content.write(&[found[0] ^ (1 << bit)], byte);
            Ok(())
        })
    }

    fn edit(
        &self,
        path: &Path,
        change: impl FnOnce(&mut Content) -> io::Result<()>,
    ) -> io::Result<()> {
        self.with(|state| {
            let tree = Arc::make_mut(&mut state.tree);
            let id = tree.find(path)?;
            let file = tree.file_mut(id)?;
            change(&mut file.now)?;
            file.settle();
            settle_names(tree, path)
        })
    }

    /// Removes a file, or a directory with all that is in it.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound).
    pub fn remove(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.with(|state| {
            let path = path.as_ref();
            let tree = Arc::make_mut(&mut state.tree);
            tree.find(path)?;
            let place = tree.place(path)?;
            tree.remove(place);
            settle_names(tree, path)
        })
    }

    /// Makes everything durable.
    pub fn settle(&self) {
        self.with(|state| {
            let tree = Arc::make_mut(&mut state.tree);
            for node in tree.nodes.values_mut() {
                if let Node::File(file) = node
                    && !file.is_settled()
                {
                    Arc::make_mut(file).settle();
                }
            }
            let dirs = tree.nodes.keys().copied().filter(|id| tree.dir(*id).is_ok());
            for dir in dirs.collect::<Vec<_>>() {
                tree.sync_dir(dir);
            }
        });
    }

    /// All files, in order, with their lengths.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        self.each_file(|file| file.now.len())
    }

    /// All files with their bytes: to show that something changed none of them.
    ///
    /// ```
    /// use anabranch::testing::SimDisk;
    ///
    /// let disk = SimDisk::new();
    /// disk.write("data/a", b"x")?;
    /// let before = disk.contents();
    /// disk.kill().flip_bit("data/a", 0, 7)?;
    /// assert_eq!(disk.contents(), before);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        self.each_file(|file| file.now.to_vec()).into_iter().collect()
    }

    fn each_file<T>(&self, look: impl Fn(&File) -> T) -> Vec<(PathBuf, T)> {
        let tree = self.with(|state| Arc::clone(&state.tree));
        let found = tree.walk().into_iter();
        found.filter_map(|(path, id)| Some((path, look(tree.file(id).ok()?)))).collect()
    }
}

/// Makes the names durable of all directories that lead to a path.
fn settle_names(tree: &mut Tree, path: &Path) -> io::Result<()> {
    for dir in path.ancestors().skip(1) {
        let dir = tree.find_dir(dir)?;
        tree.sync_dir(dir);
    }
    Ok(())
}
