//! `ordeal generate`: a simulated history.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use ordeal_core::EventKind;
use ordeal_simulator::suite::Row;
use ordeal_simulator::{
    Events, History, Object, Parameters, Planted, Spread, Violation, simulate, write_edn, write_interval,
};

use crate::args::{GenerateArgs, HistoryFormat, KeyDistribution};
use crate::exit::{Exit, UsageError, eprint, usage};

pub(crate) fn main(args: &GenerateArgs) -> anyhow::Result<Exit> {
    let parameters = parameters(args)?;
    let object = parameters.object;
    if args.format == HistoryFormat::Intervals && !object.has_intervals() {
        return usage(format!("the interval format has no words for a `{}`", object.entry().name));
    }
    let history = simulate(&parameters).map_err(|e| UsageError(e.to_string()))?;
    let planted = history.planted().cloned();
    let cited = match write(args, &parameters, history, planted.as_ref()) {
        Err(e) if is_broken_pipe(&e) => return Ok(Exit::Valid),
        written => written?,
    };
    if let Some(initial) = object.initial() {
        eprint(&format!("ordeal: judge it with --model {} --initial '{initial}'", object.entry().name));
    }
    if let Some(planted) = planted {
        let name = planted.violation.entry().name;
        let at = if args.format == HistoryFormat::Intervals { "on lines" } else { "begun by events" };
        eprint(&format!("ordeal: planted {name}: {}", planted.what));
        eprint(&format!("ordeal: these operations are {at} {}", numbers(&cited)));
    }
    Ok(Exit::Valid)
}

fn parameters(args: &GenerateArgs) -> anyhow::Result<Parameters> {
    if let Some(id) = &args.suite {
        let row = Row::named(id);
        return Ok(row.ok_or_else(|| UsageError(format!("the suite has no row `{id}`")))?.parameters);
    }
    let name = args.model.as_deref().unwrap_or_default();
    let Some(object) = Object::named(name) else {
        let known: Vec<_> = ordeal_simulator::OBJECTS.iter().map(|o| o.name).collect();
        return usage(format!("no `{name}` can be simulated; there are: {}", known.join(", ")));
    };
    let violation = match &args.violation {
        None => None,
        Some(name) => Some(Violation::named(name).ok_or_else(|| {
            let known: Vec<_> = object.entry().violations.iter().map(|v| v.entry().name).collect();
            UsageError(format!("there is no violation `{name}`; there are: {}", known.join(", ")))
        })?),
    };
    Ok(Parameters {
        operations: args.operations,
        clients: args.clients,
        keys: args.keys,
        spread: match args.key_distribution {
            KeyDistribution::Uniform => Spread::Uniform,
            KeyDistribution::Zipf => Spread::Zipf,
            KeyDistribution::Hot => Spread::Hot,
        },
        values: args.values,
        read_percent: args.reads / 10_000,
        open_per_million: args.open,
        fail_per_million: args.fail,
        latency: args.latency,
        tail_per_million: args.tail,
        gap: args.gap,
        violation,
        at_percent: args.at / 10_000,
        seed: args.seed,
        ..Parameters::new(object)
    })
}

/// Writes the history to where it belongs; a file that could not be written is not left behind.
fn write(
    args: &GenerateArgs,
    parameters: &Parameters,
    history: History,
    planted: Option<&Planted>,
) -> anyhow::Result<Vec<u64>> {
    let path: &Path = &args.output;
    if path.as_os_str() == "-" {
        let mut out = BufWriter::new(io::stdout().lock());
        let cited = write_history(&mut out, args.format, parameters, history, planted)?;
        out.flush()?;
        return Ok(cited);
    }
    let file = File::create_new(path).map_err(|e| UsageError(format!("{}: {e}", path.display())))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let written = if path.extension().is_some_and(|extension| extension == "gz") {
        let mut packed = GzEncoder::new(&mut out, Compression::default());
        write_history(&mut packed, args.format, parameters, history, planted)
            .and_then(|cited| packed.finish().map(|_| cited))
    } else {
        write_history(&mut out, args.format, parameters, history, planted)
    };
    let written = written.and_then(|cited| out.flush().map(|()| cited));
    written
        .inspect_err(|_| {
            let _ = std::fs::remove_file(path);
        })
        .with_context(|| path.display().to_string())
}

/// Writes the history; the lines, or the first events, of the operations that a violation is made of.
fn write_history(
    out: &mut dyn Write,
    format: HistoryFormat,
    parameters: &Parameters,
    history: History,
    planted: Option<&Planted>,
) -> io::Result<Vec<u64>> {
    let operations = planted.map_or(&[][..], |planted| &planted.operations);
    let mut text = String::new();
    if format == HistoryFormat::Intervals {
        for op in history {
            text.clear();
            write_interval(&mut text, &op);
            out.write_all(text.as_bytes())?;
        }
        return Ok(operations.iter().map(|number| number + 1).collect());
    }
    // With many objects, Jepsen's values are pairs of an object and a value.
    let object = parameters.object;
    let keyed = object.is_keyed() && (parameters.keys > 1 || object == Object::List);
    let mut cited = vec![0; operations.len()];
    let mut begun = 0;
    for event in Events::new(object, history) {
        if event.kind == EventKind::Invoke {
            if let Some(at) = operations.iter().position(|&number| number == begun) {
                cited[at] = event.index;
            }
            begun += 1;
        }
        if format == HistoryFormat::Edn {
            text.clear();
            write_edn(&mut text, &event, keyed);
            out.write_all(text.as_bytes())?;
        } else {
            serde_json::to_writer(&mut *out, &event)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(cited)
}

fn numbers(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

/// A reader that went away (`| head`) is not an error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind =
        |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<io::Error>().map(io::Error::kind);
    error.chain().any(|cause| kind(cause) == Some(io::ErrorKind::BrokenPipe))
}
