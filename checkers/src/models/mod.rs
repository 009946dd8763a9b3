//! Sequential specifications that come with the crate.
//!
//! The names of the functions they judge can be set, so that one model serves systems that call the same
//! thing differently; operations with any other function are left out.

pub mod grow_set;
pub mod register;
mod register_calls;
mod value;
pub mod versioned_register;

pub use grow_set::GrowSet;
pub use register::Register;
pub use register_calls::{RegisterAction, RegisterCall, RegisterNames};
pub use value::Atom;
pub use versioned_register::VersionedRegister;
