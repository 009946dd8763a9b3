//! A null of every trait: does nothing, harms nothing, and never pretends to have judged anything.

use serde_json::{Value, json};

use crate::{
    Ask, BoxFuture, Checker, Client, Cluster, ClusterSpec, Fault, FaultStep, Finding, Generator, History,
    Launch, Model, Next, NodeSpec, Op, Operation, Outcome, Plan, Probe, Rng, Target, TargetError, Verdict,
    Words, Workload,
};

/// A target without processes that answers every operation with its own argument.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullTarget;

impl Target for NullTarget {
    fn name(&self) -> &str {
        "null"
    }

    fn workloads(&self) -> &[&'static str] {
        &["null"]
    }

    fn launch(&self, _node: &NodeSpec, _cluster: &ClusterSpec) -> Result<Option<Launch>, TargetError> {
        Ok(None)
    }

    fn ready<'a>(&'a self, _node: &'a NodeSpec) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(true))
    }

    fn client(&self, _workload: &str, _node: &NodeSpec) -> Result<Box<dyn Client>, TargetError> {
        Ok(Box::new(NullClient))
    }
}

/// Echoes.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullClient;

impl Client for NullClient {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> BoxFuture<'a, Outcome> {
        Box::pin(std::future::ready(Outcome::Ok(op.value.clone())))
    }
}

/// A workload that asks nothing and has no judges: a run of it is vacuous.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullWorkload;

impl Workload for NullWorkload {
    fn name(&self) -> &'static str {
        "null"
    }

    fn about(&self) -> &'static str {
        "asks nothing"
    }

    fn generator(&self, _plan: &Plan) -> Box<dyn Generator> {
        Box::new(NullGenerator)
    }

    fn final_generator(&self, _plan: &Plan) -> Box<dyn Generator> {
        Box::new(NullGenerator)
    }

    fn checkers(&self, _plan: &Plan) -> Vec<Box<dyn Checker>> {
        vec![Box::new(NullChecker)]
    }

    fn mutates(&self, _f: &str) -> bool {
        true
    }
}

/// Has nothing to ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullGenerator;

impl Generator for NullGenerator {
    fn next(&mut self, _ask: Ask) -> Next {
        Next::Exhausted
    }
}

/// Judges nothing, and says so.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullChecker;

impl Checker for NullChecker {
    fn name(&self) -> String {
        "null".to_owned()
    }

    fn check(&self, _history: &History) -> Finding {
        Finding::new("null", Verdict::Vacuous, "judged nothing")
    }
}

/// Allows everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullModel;

impl Model for NullModel {
    type State = ();
    type Call = ();
    type Next = Option<()>;

    fn name(&self) -> &'static str {
        "null"
    }

    fn init(&self) {}

    fn call(&self, _op: &Operation<'_>) -> Result<Option<()>, String> {
        Ok(Some(()))
    }

    fn step(&self, _state: &(), _call: &()) -> Option<()> {
        Some(())
    }

    fn describe(&self, _call: &()) -> String {
        "anything".to_owned()
    }
}

/// Breaks nothing, so it never proves to have bitten.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullFault;

impl Fault for NullFault {
    fn name(&self) -> &'static str {
        "null"
    }

    fn about(&self) -> &'static str {
        "breaks nothing"
    }

    fn draw(&self, _rng: &mut Rng, _nodes: usize, _has_primary: bool) -> Value {
        Value::Null
    }

    fn read(&self, words: Words, _rng: &mut Rng, _nodes: usize, _has_primary: bool) -> Result<Value, String> {
        words.finish("nothing").map(|()| Value::Null)
    }

    fn inject<'a>(
        &'a self,
        _cluster: &'a dyn Cluster,
        _step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(std::future::ready(Ok(Value::Null)))
    }

    fn probe<'a>(&'a self, _cluster: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        Box::pin(std::future::ready(Probe { proved: false, seen: json!("nothing to see") }))
    }

    fn heal<'a>(&'a self, _cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>> {
        Box::pin(std::future::ready(Ok(Probe { proved: true, seen: json!("nothing to heal") })))
    }
}
