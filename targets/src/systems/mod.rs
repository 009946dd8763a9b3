//! Third-party systems, run from their own binaries.

pub mod etcd;
