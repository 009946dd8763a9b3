//! What can be said about any shape of partition in addition, beside it in the plan.
//!
//! `"one_way": "in"` or `"out"`: only packets towards, or from, the smaller side vanish. `"reject": true`:
//! packets are answered by a reset or "unreachable" in place of silence. `"clients": true`: clients are cut
//! off from the smaller side as well. `"style": "swizzle"`: nodes are cut off one by one, in the order of
//! `"turns"`, and come back one by one, in that of `"back"`; `"flap"`: cut, mended and cut again.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::whom;

const EXPECTED: &str = r#"expected beside the shape, each only if wanted: "one_way": "in" or "out", "reject": true, "clients": true, "style": "swizzle" or "flap", with a swizzle "turns": [0,2,1] and "back": [2,1,0]"#;
/// The fields of a [`Variant`]; all others are the shape's.
const FIELDS: [&str; 6] = ["one_way", "reject", "clients", "style", "turns", "back"];

/// In which direction packets vanish, seen from the smaller side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OneWay {
    In,
    Out,
}

/// How a partition comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Style {
    /// One node after another; Jepsen's and FoundationDB's word for it.
    Swizzle,
    /// More than once.
    Flap,
}

/// What is said in addition to the shape.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Variant {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) one_way: Option<OneWay>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) reject: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) clients: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) style: Option<Style>,
    /// The order in which nodes are cut off; who is not named comes last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) turns: Vec<usize>,
    /// The order in which they come back; who is not named comes last, highest number first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) back: Vec<usize>,
}

impl Variant {
    /// Takes the fields that are not the shape's out of the arguments; what is left is the shape.
    pub(crate) fn split(args: &Value) -> Result<(Self, Value), String> {
        let mut shape = args.clone();
        let mut own = Map::new();
        if let Some(object) = shape.as_object_mut() {
            for field in FIELDS {
                own.extend(object.remove(field).map(|value| (field.to_owned(), value)));
            }
        }
        let names = own.keys().cloned().collect::<Vec<_>>().join(", ");
        let variant = Variant::deserialize(Value::Object(own))
            .map_err(|e| format!("{e} in {names}; {EXPECTED}; found {args}"))?;
        if variant.style != Some(Style::Swizzle) && !(variant.turns.is_empty() && variant.back.is_empty()) {
            return Err(format!("`turns` and `back` are for a swizzle; {EXPECTED}; found {args}"));
        }
        Ok((variant, shape))
    }

    /// Puts the fields beside the shape's.
    pub(crate) fn join(&self, mut shape: Value) -> Value {
        // Words, numbers and lists of them: nothing in a variant can fail to be JSON.
        let own = serde_json::to_value(self).unwrap_or_default();
        if let (Some(object), Value::Object(own)) = (shape.as_object_mut(), own) {
            object.extend(own);
        }
        shape
    }

    /// The orders in which these nodes are cut off and come back.
    pub(crate) fn orders(&self, nodes: usize) -> Result<(Vec<usize>, Vec<usize>), String> {
        let complete = |named: &[usize], rest: &mut dyn Iterator<Item = usize>| {
            if !named.is_empty() {
                whom::checked(named, nodes)?;
            }
            let mut order: Vec<usize> = Vec::new();
            for node in named.iter().copied().chain(rest) {
                if !order.contains(&node) {
                    order.push(node);
                }
            }
            Ok::<_, String>(order)
        };
        Ok((complete(&self.turns, &mut (0..nodes))?, complete(&self.back, &mut (0..nodes).rev())?))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_variant_stands_beside_its_shape() {
        let args = json!({"shape": "one", "node": 1, "one_way": "in", "style": "swizzle", "turns": [2, 0]});
        let (variant, shape) = Variant::split(&args).unwrap();
        assert_eq!(shape, json!({"shape": "one", "node": 1}));
        assert_eq!(variant.join(shape), args);
        assert_eq!(variant.orders(4), Ok((vec![2, 0, 1, 3], vec![3, 2, 1, 0])));
        assert!(variant.orders(2).is_err(), "there is no third node");
        let plain = json!({"shape": "primary"});
        assert_eq!(Variant::split(&plain), Ok((Variant::default(), plain.clone())));
        assert_eq!(Variant::default().join(plain.clone()), plain);
        for bad in [json!({"one_way": true}), json!({"reject": 1}), json!({"style": "slow"})] {
            assert!(Variant::split(&bad).unwrap_err().contains("expected beside the shape"), "{bad}");
        }
    }
}
