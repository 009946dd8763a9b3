//! Makes the core of a violation smaller with the monitor that found it.

/// Removes from `core` what is not needed for `contradicts` to hold: ever smaller chunks (Zeller &
/// Hildebrandt 2002, delta debugging). Asks at most `tries` times, so the result need not be minimal.
pub(super) fn shrink(
    mut core: Vec<u32>,
    mut tries: usize,
    mut contradicts: impl FnMut(&[u32]) -> bool,
) -> Vec<u32> {
    let mut chunk = core.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        while at < core.len() {
            if tries == 0 {
                return core;
            }
            tries -= 1;
            let end = (at + chunk).min(core.len());
            let fewer = [&core[..at], &core[end..]].concat();
            if contradicts(&fewer) {
                core = fewer;
            } else {
                at = end;
            }
        }
        chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
    }
    core
}
