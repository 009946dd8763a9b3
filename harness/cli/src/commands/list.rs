//! `ordeal list`: what there is. Reads the same tables as everything else.

use std::fmt::Write;

use ordeal_nemesis::{Group, Severity};

use crate::args::{ListArgs, Listed};
use crate::exit::{Exit, print};

pub(crate) fn main(args: &ListArgs) -> anyhow::Result<Exit> {
    let all = [
        Listed::Targets,
        Listed::Workloads,
        Listed::Faults,
        Listed::Checkers,
        Listed::Bugs,
        Listed::Violations,
    ];
    let listed: &[Listed] = match &args.what {
        Some(one) => std::slice::from_ref(one),
        None => &all,
    };
    let mut out = String::new();
    for (i, what) in listed.iter().enumerate() {
        if listed.len() > 1 {
            let gap = if i > 0 { "\n" } else { "" };
            writeln!(out, "{gap}{}:", format!("{what:?}").to_lowercase())?;
        }
        write_list(&mut out, *what)?;
    }
    print(&out);
    Ok(Exit::Valid)
}

fn write_list(out: &mut String, what: Listed) -> std::fmt::Result {
    match what {
        Listed::Targets => {
            for target in ordeal_targets::TARGETS {
                row(out, target.name, target.about)?;
                for option in target.options {
                    row(out, &format!("    -o {}={}", option.name, option.default), option.about)?;
                }
            }
        }
        Listed::Workloads => {
            for workload in ordeal_workloads::WORKLOADS {
                row(out, workload.name, workload.about)?;
            }
        }
        Listed::Faults => {
            for group in Group::ALL {
                for fault in ordeal_nemesis::all().iter().filter(|fault| fault.group == group) {
                    let note = match fault.severity {
                        Severity::Survivable => "",
                        Severity::Damaging => " (not in `all`: few systems promise to survive it)",
                        Severity::OnRequest => " (not in `all`: needs arguments)",
                    };
                    row(out, &format!("{} {}", group.name(), fault.name), &format!("{}{note}", fault.about))?;
                }
            }
        }
        Listed::Checkers => {
            for checker in ordeal_checkers::CHECKERS {
                row(out, checker.name, checker.about)?;
            }
            for model in ordeal_checkers::MODELS.iter().chain(ordeal_checkers::JUDGES) {
                row(out, &format!("--model {}", model.about.name), model.about.about)?;
            }
        }
        Listed::Bugs => {
            for target in ordeal_targets::TARGETS {
                for bug in target.bugs {
                    row(out, &format!("{} --bug {}", target.name, bug.name), bug.about)?;
                    row(
                        out,
                        &format!("    --faults {}", bug.faults),
                        &format!("seen as {}", bug.anomalies.join(", ")),
                    )?;
                }
            }
        }
        Listed::Violations => {
            for object in ordeal_simulator::OBJECTS {
                row(out, &format!("generate {}", object.name), object.about)?;
                for violation in object.violations.iter().map(|violation| violation.entry()) {
                    row(out, &format!("    --violation {}", violation.name), violation.about)?;
                }
            }
        }
    }
    Ok(())
}

fn row(out: &mut String, name: &str, about: &str) -> std::fmt::Result {
    writeln!(out, "  {name:<44} {about}")
}
