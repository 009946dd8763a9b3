//! The client of the `scores` contract (`openapi.yaml`).

use std::net::SocketAddr;

use ordeal_core::{BoxFuture, Client, Op, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Score, ScoreOp};
use crate::http::{Effect, Failure, HttpClient, HttpError, Method, Reply, judge, outcome, result};

/// Pages of one stream that are asked for.
const PAGES_MAX: usize = 10_000;
/// Every so many-th goal is sent a second time, though it was answered.
const TWICE: usize = 8;

/// A client of the node at `base`.
pub fn client(base: SocketAddr) -> Box<dyn Client> {
    Box::new(ScoresClient { http: HttpClient::new(base) })
}

struct ScoresClient {
    http: HttpClient,
}

#[derive(Serialize)]
struct NewScore<'a> {
    request_id: &'a str,
    home: u32,
    away: u32,
    event: &'a str,
}

/// A score in an answer.
#[derive(Deserialize)]
struct Told {
    home: u32,
    away: u32,
    event: String,
}

impl From<Told> for Score {
    fn from(told: Told) -> Score {
        Score(told.home, told.away, told.event)
    }
}

#[derive(Deserialize)]
struct Written {
    sequence: u64,
    score: Told,
}

#[derive(Deserialize)]
struct Standing {
    sequence: u64,
    /// Null before the first goal; a body without the field is not an answer.
    #[serde(deserialize_with = "Option::deserialize")]
    score: Option<Told>,
    hit: bool,
}

#[derive(Deserialize)]
struct Page {
    events: Vec<Event>,
    #[serde(deserialize_with = "Option::deserialize")]
    next: Option<u64>,
}

#[derive(Deserialize)]
struct Event {
    sequence: u64,
    request_id: String,
    #[serde(flatten)]
    score: Told,
}

impl ScoresClient {
    async fn ask(&mut self, of: &str, op: ScoreOp) -> Outcome {
        match op {
            ScoreOp::Goal(score) => self.tell(of, &score).await,
            ScoreOp::Read => standing(self.http.get(&format!("/matches/{of}")).await),
            ScoreOp::ReadDatabase => standing(self.http.get(&format!("/matches/{of}?from=database")).await),
            ScoreOp::Events(from) => self.events(of, from).await.map_or_else(|failed| failed, Outcome::Ok),
        }
    }

    /// A goal. One whose end is unknown is sent once more, and now and then one that was answered too: with the same
    /// request id it has one effect.
    async fn tell(&mut self, of: &str, score: &Score) -> Outcome {
        let path = format!("/matches/{of}/score");
        let body = NewScore { request_id: &score.2, home: score.0, away: score.1, event: &score.2 };
        let judged = match self.send(&path, &body).await {
            // If the second one was certainly not done, nothing more is known of the first.
            Err(unknown @ Failure::Unknown(_)) => self.send(&path, &body).await.map_err(|_| unknown),
            known => known,
        };
        let written = result(Effect::Mutation, judged, |body| serde_json::from_slice(body));
        let Written { sequence, score: told } = match written {
            Ok(written) => written,
            Err(outcome) => return outcome,
        };
        if number(&score.2).is_some_and(|n| n % TWICE == 0) {
            // What it is answered is in the stream, if anything.
            let _ = self.send(&path, &body).await;
        }
        Outcome::Ok(json!([sequence, Score::from(told)]))
    }

    async fn send(&mut self, path: &str, body: &NewScore<'_>) -> Result<Reply, Failure> {
        judge(self.http.json(Method::PUT, path, body).await)
    }

    /// The stream from this number on, page by page.
    async fn events(&mut self, of: &str, first: u64) -> Result<Value, Outcome> {
        let mut events = Vec::new();
        let mut from = first;
        for _ in 0..PAGES_MAX {
            let answer = self.http.get(&format!("/matches/{of}/events?from={from}")).await;
            let page: Page = result(Effect::Read, judge(answer), |body| serde_json::from_slice(body))?;
            for Event { sequence, request_id, score } in page.events {
                events.push(json!([sequence, Score::from(score), request_id]));
            }
            match page.next {
                Some(next) => from = next,
                None => return Ok(Value::Array(events)),
            }
        }
        Err(Outcome::Fail(format!("there are more than {PAGES_MAX} pages of events")))
    }
}

/// The number of a goal.
fn number(goal: &str) -> Option<usize> {
    goal.strip_prefix('g')?.parse().ok()
}

fn standing(answer: Result<Reply, HttpError>) -> Outcome {
    outcome(Effect::Read, answer, |body| {
        let Standing { sequence, score, hit } = serde_json::from_slice(body)?;
        Ok(json!([sequence, score.map(Score::from), hit]))
    })
}

impl Client for ScoresClient {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            match ScoreOp::read(op) {
                Ok((of, asked)) => self.ask(of, asked).await,
                Err(e) => Outcome::Fail(e.to_string()),
            }
        })
    }
}

#[cfg(test)]
mod tests;
