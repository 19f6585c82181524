//! What every image of a disk must come to: it opens, holds what was promised, and can be used.

use super::model::{Ending, Model};
use super::world::{Op, World, clock};
use anabranch::testing::{Fate, SimDisk};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How far an image is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Depth {
    /// How often a crash during recovery is followed by another one.
    pub(crate) recoveries: usize,
    /// How many images a power cut during recovery may leave.
    pub(crate) cuts: usize,
    /// Whether one opening and one append are enough.
    pub(crate) is_glance: bool,
}

pub(crate) const SHALLOW: Depth = Depth { recoveries: 0, cuts: 0, is_glance: false };
pub(crate) const GLANCE: Depth = Depth { is_glance: true, ..SHALLOW };

/// The states that were looked at. A state is what is on the disk: two images that are alike count once,
/// and are opened twice only if not the same must be on them.
#[derive(Debug, Default)]
pub(crate) struct States {
    disks: HashSet<u64>,
    checked: HashSet<u64>,
}

impl States {
    /// How many disks were opened that differ from each other.
    pub(crate) fn count(&self) -> u64 {
        self.disks.len() as u64
    }

    /// How often a disk was opened and compared with what must be on it.
    pub(crate) fn checks(&self) -> u64 {
        self.checked.len() as u64
    }

    /// Whether nobody has asked yet what is left of these models on this disk.
    fn is_new(&mut self, image: &SimDisk, models: &[Model], after: Ending) -> bool {
        let disk = image.fingerprint();
        self.disks.insert(disk);
        let mut hasher = DefaultHasher::new();
        (disk, models, after).hash(&mut hasher);
        self.checked.insert(hasher.finish())
    }

    /// Opens an image that a session left which ended like this, checks it, goes on, and checks again;
    /// unless that has been done before.
    pub(crate) fn check(
        &mut self,
        image: &SimDisk,
        models: &[Model],
        after: Ending,
        depth: Depth,
    ) -> Result<(), String> {
        if !self.is_new(image, models, after) {
            return Ok(());
        }
        if depth.recoveries > 0 {
            image.record();
        }
        let mut world = World::open(image.clone(), clock(), models)?;
        if let Err(what) = world.check_opened(after) {
            world.abandon();
            return Err(what);
        }
        if depth.recoveries > 0 {
            let deeper = Depth { recoveries: depth.recoveries - 1, ..depth };
            for (call, crashed) in image.recorded().skip(1) {
                self.check(&crashed.kill(), models, after, deeper)
                    .map_err(|what| format!("killed in recovery, call {call}: {what}"))?;
                for cut in crashed.crash_images(depth.cuts) {
                    self.check(&cut, models, Ending::Cut, deeper)
                        .map_err(|what| format!("power cut in recovery, call {call}: {what}"))?;
                }
            }
        }
        if depth.is_glance {
            goes(&mut world, 0, Op::Small)?;
            world.abandon();
            return Ok(());
        }
        self.go_on(world)
    }

    /// The log takes more, which is as good as what was before.
    fn go_on(&mut self, mut world: World) -> Result<(), String> {
        for lane in 0..world.lanes.len() {
            goes(&mut world, lane, Op::Small)?;
        }
        world.check()?;
        let cut = world.disk.power_cut(|_| Fate::Absent);
        self.check(&cut, &world.models(), Ending::Cut, GLANCE)
            .map_err(|what| format!("went on, then power cut: {what}"))?;
        goes(&mut world, 0, Op::Close)?;
        if !world.broker.recovery().was_clean {
            return Err("closed in good order, and was not found so".into());
        }
        for lane in 0..world.lanes.len() {
            goes(&mut world, lane, Op::Large)?;
        }
        world.check()?;
        world.abandon();
        Ok(())
    }
}

/// Checks one image, as nobody has before. Returns how many states that took.
pub(crate) fn check_image(
    image: &SimDisk,
    models: &[Model],
    after: Ending,
    depth: Depth,
) -> Result<u64, String> {
    let mut states = States::default();
    states.check(image, models, after, depth)?;
    Ok(states.count())
}

/// Makes a call that nothing stands in the way of.
pub(crate) fn goes(world: &mut World, lane: usize, op: Op) -> Result<(), String> {
    match world.apply(lane, op)? {
        None => Ok(()),
        Some(failed) => Err(format!("{op:?} failed: {failed:?}")),
    }
}
