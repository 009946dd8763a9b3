//! When a machine is slowed and shut down. Pure, and without floating point: every node must come to the same
//! state from the same readings, so a value is a whole number of thousandths.
//!
//! The numbers are the contract's (`x-thresholds` in the `openapi.yaml` of the workload `iot`); a test compares.

use serde::{Deserialize, Serialize};

/// Thousandths in one unit of a reading.
const MILLI: f64 = 1_000.0;
/// The largest value of a reading, either way, in its own unit.
const VALUE_MAX: f64 = 1e6;

/// What a sensor measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Degrees Celsius.
    Temperature,
    /// Millimetres a second.
    Vibration,
    /// Kilowatts.
    Energy,
}

/// From where on readings of a kind count, in thousandths of its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Thresholds {
    /// From here on a reading takes the machine one step on.
    pub(crate) alert: i64,
    /// From here on it shuts the machine down at once.
    pub(crate) shutdown: i64,
}

impl Kind {
    /// The thresholds of this kind.
    pub(crate) fn thresholds(self) -> Thresholds {
        match self {
            Kind::Temperature => Thresholds { alert: 80_000, shutdown: 120_000 },
            Kind::Vibration => Thresholds { alert: 7_000, shutdown: 11_000 },
            Kind::Energy => Thresholds { alert: 50_000, shutdown: 80_000 },
        }
    }
}

/// What a machine does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// All is well.
    #[default]
    Running,
    /// Somebody should look.
    Alert,
    /// It runs slowly.
    Slowed,
    /// It stands still.
    Shutdown,
}

impl State {
    /// The state after a reading of this many thousandths. Only an operator's reset leads back.
    pub(crate) fn after_reading(self, kind: Kind, value: i64) -> State {
        let Thresholds { alert, shutdown } = kind.thresholds();
        match self {
            same if value < alert => same,
            _ if value >= shutdown => State::Shutdown,
            State::Running => State::Alert,
            State::Alert => State::Slowed,
            State::Slowed | State::Shutdown => State::Shutdown,
        }
    }
}

/// A value as it comes from outside in whole thousandths.
///
/// # Errors
/// If it has more than three decimals, or is beyond all measure.
pub(crate) fn thousandths(value: f64) -> Result<i64, String> {
    let scaled = (value * MILLI).round();
    if value.abs() > VALUE_MAX || scaled / MILLI != value {
        return Err(format!("a value has at most three decimals and is at most {VALUE_MAX}, not {value}"));
    }
    Ok(scaled as i64)
}

/// The value of so many thousandths.
pub(crate) fn value(thousandths: i64) -> f64 {
    thousandths as f64 / MILLI
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_escalate_step_by_step_and_never_back() {
        let mut state = State::Running;
        for (value, expected) in [
            (79_999, State::Running),
            (80_000, State::Alert),
            (20_000, State::Alert),
            (119_999, State::Slowed),
            (80_000, State::Shutdown),
            (0, State::Shutdown),
        ] {
            state = state.after_reading(Kind::Temperature, value);
            assert_eq!(state, expected, "{value}");
        }
    }

    #[test]
    fn a_reading_beyond_the_second_threshold_shuts_down_from_every_state() {
        for kind in [Kind::Temperature, Kind::Vibration, Kind::Energy] {
            for state in [State::Running, State::Alert, State::Slowed, State::Shutdown] {
                assert_eq!(state.after_reading(kind, kind.thresholds().shutdown), State::Shutdown);
                assert_eq!(state.after_reading(kind, kind.thresholds().alert - 1), state);
            }
        }
    }

    #[test]
    fn values_are_whole_thousandths_or_refused() {
        for (text, expected) in [(80.0, 80_000), (79.999, 79_999), (-3.5, -3_500), (0.001, 1)] {
            assert_eq!(thousandths(text), Ok(expected));
            assert_eq!(value(expected), text);
        }
        for bad in [79.9999, 1e9, f64::NAN, f64::INFINITY] {
            assert!(thousandths(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_thresholds_are_those_of_the_contract() {
        let contract = include_str!("../../../../workloads/src/iot/openapi.yaml");
        for (name, kind) in
            [("temperature", Kind::Temperature), ("vibration", Kind::Vibration), ("energy", Kind::Energy)]
        {
            let Thresholds { alert, shutdown } = kind.thresholds();
            let line = format!("{name}: {{alert: {}, shutdown: {}}}", value(alert), value(shutdown));
            assert!(contract.contains(&line), "{line}");
        }
    }
}
