//! What every image of a disk must come to: it opens, holds what was promised, and can be used.

use super::model::{Ending, Model};
use super::world::{Op, World, clock};
use anabranch::testing::{Fate, SimDisk};

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

/// Opens an image that a session left which ended like this, checks it, goes on, and checks again.
/// Returns how many images were opened.
pub(crate) fn check_image(
    image: &SimDisk,
    models: &[Model],
    after: Ending,
    depth: Depth,
) -> Result<u64, String> {
    let mut count = 1;
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
            count += check_image(&crashed.kill(), models, after, deeper)
                .map_err(|what| format!("killed in recovery, call {call}: {what}"))?;
            for cut in crashed.crash_images(depth.cuts) {
                count += check_image(&cut, models, Ending::Cut, deeper)
                    .map_err(|what| format!("power cut in recovery, call {call}: {what}"))?;
            }
        }
    }
    if depth.is_glance {
        goes(&mut world, 0, Op::Small)?;
        world.abandon();
        return Ok(count);
    }
    // The log takes more, which is as good as what was before.
    for lane in 0..world.lanes.len() {
        goes(&mut world, lane, Op::Small)?;
    }
    world.check()?;
    let cut = world.disk.power_cut(|_| Fate::Absent);
    let mut again = World::open(cut, clock(), &world.models())
        .map_err(|what| format!("went on, then power cut: {what}"))?;
    again.check_opened(Ending::Cut).map_err(|what| format!("went on, then power cut: {what}"))?;
    again.abandon();
    goes(&mut world, 0, Op::Close)?;
    if !world.broker.recovery().was_clean {
        return Err("closed in good order, and was not found so".into());
    }
    for lane in 0..world.lanes.len() {
        goes(&mut world, lane, Op::Large)?;
    }
    world.check()?;
    world.abandon();
    Ok(count + 2)
}

/// Makes a call that nothing stands in the way of.
pub(crate) fn goes(world: &mut World, lane: usize, op: Op) -> Result<(), String> {
    match world.apply(lane, op)? {
        None => Ok(()),
        Some(failed) => Err(format!("{op:?} failed: {failed:?}")),
    }
}
