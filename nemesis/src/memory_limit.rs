//! `memory-limit`: nodes get no more memory than they have, and a little: allocations fail, and a node may
//! end of that.
//!
//! Mechanism: the limit on the address space, for each process what it has now and `headroom_mb` in addition;
//! proof: see [`crate::limits`]. What is limited is addresses and not pages, as without control groups
//! nothing else can be; runtimes that reserve much beforehand (Go, Java) have that already and feel it late.
//! Args: [`whom`] and `"headroom_mb": 16`.

use ordeal_core::Words;
use ordeal_core::words::log_between;

use crate::limits::{Resource, Sort};

const HEADROOM_MB_MAX: u64 = 1_000_000;
const MB: u64 = 1 << 20;

pub(crate) static SORT: Sort = Sort {
    name: "memory-limit",
    about: "let nodes have no more memory than they have now, and a little",
    resource: Resource::AddressSpace,
    expected: r#"{"nodes": …, "headroom_mb": 0 to 1000000}"#,
    words: "headroom=16mb",
    key: "headroom_mb",
    most: HEADROOM_MB_MAX,
    draw: |rng| log_between(rng, 1, 64),
    take,
    limit: |pid, headroom_mb| Some(Resource::AddressSpace.used(pid)? + headroom_mb * MB),
};

fn take(words: &mut Words) -> Result<Option<u64>, String> {
    words.value("headroom", "megabytes, e.g. 16mb", |text| {
        text.strip_suffix("mb")?.trim().parse().ok().filter(|&mb| mb <= HEADROOM_MB_MAX)
    })
}
