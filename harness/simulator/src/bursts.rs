//! Bursts: rounds in which all clients write one register at once, and one client then reads what any of
//! them wrote. Every order of the writes is possible until the read is seen.

use crate::draws::Draws;
use crate::operation::{Answer, Ended, Function, Simulated};
use crate::parameters::Parameters;

/// Yields the operations in order of their beginning.
pub(crate) struct Bursts {
    parameters: Parameters,
    draws: Draws,
    begun: u64,
    position: u64,
    fresh: i64,
    /// The rest of the round.
    round: std::vec::IntoIter<Simulated>,
}

impl Bursts {
    pub(crate) fn new(parameters: &Parameters) -> Self {
        Bursts {
            draws: Draws::new(parameters.seed),
            parameters: parameters.clone(),
            begun: 0,
            position: 0,
            fresh: 0,
            round: Vec::new().into_iter(),
        }
    }

    fn round(&mut self) -> Vec<Simulated> {
        let clients = self.parameters.clients;
        let mut round: Vec<Simulated> = (0..clients).map(|process| self.write(process)).collect();
        let mut order: Vec<usize> = (0..round.len()).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, self.draws.below(last as u64 + 1) as usize);
        }
        for ended in order {
            self.end(&mut round[ended]);
        }
        let seen = round[self.draws.below(clients) as usize].args[0];
        let mut read = self.begin(0, Function::Read);
        read.answer = Answer::Number(seen);
        self.end(&mut read);
        round.push(read);
        round
    }

    fn write(&mut self, process: u64) -> Simulated {
        self.fresh += 1;
        let mut write = self.begin(process, Function::Write);
        write.args[0] = match self.parameters.values {
            0 => self.fresh,
            values => 1 + self.draws.below(values) as i64,
        };
        write
    }

    fn begin(&mut self, process: u64, function: Function) -> Simulated {
        let at = self.position;
        self.position += 1;
        self.begun += 1;
        Simulated {
            number: self.begun - 1,
            process,
            key: 0,
            function,
            args: [0; 3],
            steps: Vec::new(),
            answer: Answer::Silent,
            ended: Ended::Ok,
            call: at,
            ret: None,
            called_at: at,
            returned_at: at,
        }
    }

    fn end(&mut self, op: &mut Simulated) {
        op.ret = Some(self.position);
        op.returned_at = self.position;
        self.position += 1;
    }
}

impl Iterator for Bursts {
    type Item = Simulated;

    fn next(&mut self) -> Option<Simulated> {
        if let Some(op) = self.round.next() {
            return Some(op);
        }
        if self.begun + self.parameters.clients + 1 > self.parameters.operations {
            return None;
        }
        self.round = self.round().into_iter();
        self.round.next()
    }
}
