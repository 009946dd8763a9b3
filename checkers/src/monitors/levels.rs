//! Calls whose place in every order is known up to a level: is there an order that also keeps to real time?
//!
//! Where results fix which calls come before which, up to calls that commute, each call gets a level. An
//! order by level keeps to real time if and only if no call ended before one of a lower level began.
//! Necessary: the two would have to be swapped. Sufficient: sort by level, then by beginning; whoever comes
//! earlier then began before everyone later ended (within a level since beginnings rise and no call ends
//! before it begins).

use ordeal_core::Timed;

/// Puts calls, given as (level, position), in order. The calls are sorted by their beginning.
///
/// # Errors
/// A call that ended before another of a lower level, named second, began.
pub(super) fn arrange<C>(calls: &[Timed<C>], mut levels: Vec<(u32, u32)>) -> Result<Vec<u32>, (u32, u32)> {
    levels.sort_unstable();
    // Of all lower levels the call that began last.
    let (mut latest, mut latest_of_level): (Option<u32>, Option<u32>) = (None, None);
    let start_of = |at: Option<u32>| at.map(|at| calls[at as usize].start);
    let mut now = 0;
    for &(level, at) in &levels {
        if level != now {
            now = level;
            if start_of(latest_of_level) > start_of(latest) {
                latest = latest_of_level;
            }
        }
        if let Some(before) = latest
            && calls[at as usize].end < calls[before as usize].start
        {
            return Err((at, before));
        }
        latest_of_level = Some(at); // Positions rise within a level, and beginnings with them.
    }
    Ok(levels.into_iter().map(|(_, at)| at).collect())
}
