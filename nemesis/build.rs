//! Builds the library that is loaded into nodes whose clocks are skewed (preload/clock.rs), to be embedded.
//!
//! It is a library without a standard library, built by the compiler at hand: nothing else is needed. Where
//! it cannot be built the file is empty, and the reason beside it.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=preload/clock.rs");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    let out = std::env::var("OUT_DIR").expect("cargo sets it");
    let library = Path::new(&out).join("clock-preload.so");
    let missing = match build(&library) {
        Ok(()) => String::new(),
        Err(why) => {
            std::fs::write(&library, []).expect("OUT_DIR is writable");
            why
        }
    };
    std::fs::write(Path::new(&out).join("clock-preload.missing"), missing).expect("OUT_DIR is writable");
}

fn build(library: &Path) -> Result<(), String> {
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    let (arch, os) = (var("CARGO_CFG_TARGET_ARCH"), var("CARGO_CFG_TARGET_OS"));
    if (arch.as_str(), os.as_str()) != ("x86_64", "linux") {
        return Err(format!("there is none for {arch} {os}"));
    }
    // Also a harness that is linked with musl audits programs of glibc: the library links with neither.
    let mut rustc = Command::new(var("RUSTC"));
    rustc.args(["--crate-name", "ordeal_clock", "--crate-type", "cdylib", "--edition", "2024"]);
    rustc.args(["--target", "x86_64-unknown-linux-gnu"]);
    rustc.args(["-C", "panic=abort", "-C", "opt-level=3", "-C", "lto=fat", "-C", "codegen-units=1"]);
    rustc.args(["-C", "link-arg=-nostdlib", "-C", "link-arg=-nostartfiles", "-C", "strip=symbols"]);
    if let Ok(linker) = std::env::var("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={linker}"));
    }
    rustc.arg("-o").arg(library).arg("preload/clock.rs");
    let output = rustc.output().map_err(|e| format!("{rustc:?}: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
