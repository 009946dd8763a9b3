//! Judges against every order, with histories made of the fuzzer's bytes.

#![no_main]

#[path = "../compare.rs"]
mod compare;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    compare::compare(bytes);
});
