//! The reference targets: each starts nodes of one pattern, run by the harness's own binary.

pub(crate) mod reference;

pub mod consistent_core;
pub mod fixed_partitions;
pub mod lease_coordination;
pub mod quorum_reads_writes;
pub mod request_waiting_list;
pub mod shard_rebalancing;
pub mod state_machine_replication;
pub mod temporal_decoupling;
pub mod version_vectors;
pub mod write_through_cache;
