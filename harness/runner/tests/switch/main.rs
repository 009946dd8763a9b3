//! The switch for real: sockets of real kernels' namespaces, through every rule that a link can have.
//!
//! This program is its own harness and runs itself again for every case, as `tests/sandbox.rs` does. Where
//! the kernel refuses namespaces it says so in one line and passes.
//!
//! Lower bounds of times are strict. Upper bounds are loose: the machine may be busy.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program is its own test harness")]

mod cases;
mod net;
mod recorded;

use std::process::{Command, ExitCode};

use ordeal_runner::sandbox::{self, Entered};

type Case = fn();

macro_rules! cases {
    ($($module:ident::$case:ident,)*) => { &[$((stringify!($case), $module::$case)),*] };
}

const CASES: &[(&str, Case)] = cases![
    cases::everything_passes_untouched_without_rules,
    cases::streams_survive_everything_that_tcp_can_mend,
    cases::delays_add_to_the_round_trip_and_keep_the_order,
    cases::jitter_scatters_delays,
    cases::the_asked_share_is_lost,
    cases::the_same_seed_loses_the_same_datagrams,
    cases::duplicates_arrive_twice,
    cases::reordering_lets_some_overtake,
    cases::detected_corruption_never_reaches_the_application,
    cases::undetected_corruption_does,
    cases::a_limited_rate_limits_and_drops_the_tail,
    cases::a_reset_ends_the_connection_at_both_ends,
    cases::a_flapping_link_goes_down_and_up,
    cases::owners_add_up_and_are_cleared_apart,
    cases::rules_are_one_way_and_spare_other_links,
    cases::a_cut_stalls_connections_and_mending_revives_them,
    cases::wrong_rules_and_fabrics_without_a_switch_are_refused,
    recorded::every_packet_is_captured_once,
    recorded::a_capture_that_cannot_be_made_is_an_error,
    recorded::nothing_is_left_of_a_dropped_network,
];

fn main() -> ExitCode {
    let argv: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    match words[1..] {
        ["case", name] => inside(name),
        ["--list", ..] => ExitCode::SUCCESS,
        _ => all_cases(words[1..].iter().find(|word| !word.starts_with('-')).copied()),
    }
}

fn all_cases(filter: Option<&str>) -> ExitCode {
    let this = |name: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["case", name]);
        command
    };
    let probe = this("probe").output().unwrap();
    if !probe.status.success() {
        let why = String::from_utf8_lossy(&probe.stderr);
        println!("switch tests: skipped, no namespaces here: {}", why.trim());
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<&str> =
        CASES.iter().map(|(name, _)| *name).filter(|name| filter.is_none_or(|f| name.contains(f))).collect();
    let failed = chosen.iter().filter(|name| {
        let good = this(name).status().unwrap().success();
        println!("test {name} ... {}", if good { "ok" } else { "FAILED" });
        !good
    });
    let failed = failed.count();
    let (result, passed) = (if failed == 0 { "ok" } else { "FAILED" }, chosen.len() - failed);
    println!(
        "\ntest result: {result}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn inside(name: &str) -> ExitCode {
    match sandbox::enter() {
        Ok(Entered::Inside) => {}
        Ok(Entered::Outside(Ok(code))) => return ExitCode::from(code as u8),
        Ok(Entered::Outside(Err(signal))) => {
            eprintln!("killed by {signal}");
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    if let Some((_, case)) = CASES.iter().find(|(known, _)| *known == name) {
        case();
    }
    ExitCode::SUCCESS
}
