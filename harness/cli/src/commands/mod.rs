//! One file a command.

pub(crate) mod audit;
pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod doctor;
pub(crate) mod fault;
pub(crate) mod generate;
pub(crate) mod list;
pub(crate) mod node;
pub(crate) mod run;
pub(crate) mod show;
