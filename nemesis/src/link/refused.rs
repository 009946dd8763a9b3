//! How many packets an end's kernel has refused because their content did not fit their checksum.
//!
//! From `/proc/net/snmp` of its network namespace (RFC 4113 and 4022 with Linux's own counters).

use ordeal_core::End;

use crate::netns::Namespaces;

/// The sum over IP headers, TCP and UDP.
pub(crate) fn refused(namespaces: &Namespaces, end: End) -> Result<u64, String> {
    namespaces.inside(end, || {
        let path = "/proc/thread-self/net/snmp";
        let text = std::fs::read_to_string(path).map_err(|e| format!("cannot read {path}: {e}"))?;
        Ok(count(&text))
    })
}

/// Each protocol has a line of names and a line of numbers.
fn count(text: &str) -> u64 {
    let lines: Vec<&str> = text.lines().collect();
    let pairs = lines.chunks_exact(2).flat_map(|pair| pair[0].split(' ').zip(pair[1].split(' ')));
    pairs
        .filter(|(name, _)| ["InCsumErrors", "InHdrErrors"].contains(name))
        .filter_map(|(_, number)| number.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_are_found_by_name() {
        let text = "Ip: Forwarding InHdrErrors\nIp: 1 2\nTcp: InErrs InCsumErrors\nTcp: 50 30\n\
                    Udp: InCsumErrors MemErrors\nUdp: 400 7\n";
        assert_eq!(count(text), 432);
        let own = std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
        assert!(own.contains("InCsumErrors"), "this kernel counts them: {own}");
    }
}
