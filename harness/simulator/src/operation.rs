//! One simulated operation: what was asked, what was answered, and when.

/// What can be asked of the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// Reads a register.
    Read,
    /// Writes a register.
    Write,
    /// Compares and sets a register.
    Cas,
    /// Reads a text.
    Get,
    /// Sets a text.
    Put,
    /// Appends to a text.
    AppendText,
    /// Adds to a queue.
    Enqueue,
    /// Takes from a queue.
    Dequeue,
    /// Adds to a stack.
    Push,
    /// Takes from a stack.
    Pop,
    /// Adds to a priority queue.
    Insert,
    /// Takes the greatest.
    Poll,
    /// Looks at the greatest.
    Peek,
    /// Adds to a set that only grows.
    Add,
    /// Adds to a set, and says whether it was not there.
    AddNew,
    /// Removes from a set, and says whether it was there.
    Remove,
    /// Asks whether a set has it.
    Contains,
    /// Reads a whole set.
    Members,
    /// Adds to a counter.
    Increment,
    /// Reads a counter.
    Count,
    /// Appends to a list.
    Append,
    /// Reads a list.
    Elements,
    /// Asks for a lock, and is refused if it is taken; answers with a token that grows.
    Acquire,
    /// Gives a lock back.
    Release,
    /// Moves money, and is refused if there is not enough.
    Transfer,
    /// Reads all accounts.
    Balances,
    /// Several steps at once.
    Transaction,
}

impl Function {
    /// The name by which histories know it.
    pub fn name(self) -> &'static str {
        match self {
            Function::Read | Function::Members | Function::Count => "read",
            Function::Elements | Function::Balances => "read",
            Function::Write => "write",
            Function::Cas => "cas",
            Function::Get => "get",
            Function::Put => "put",
            Function::AppendText | Function::Append => "append",
            Function::Enqueue => "enqueue",
            Function::Dequeue => "dequeue",
            Function::Push => "push",
            Function::Pop => "pop",
            Function::Insert => "insert",
            Function::Poll => "poll",
            Function::Peek => "peek",
            Function::Add | Function::AddNew | Function::Increment => "add",
            Function::Remove => "remove",
            Function::Contains => "contains",
            Function::Acquire => "acquire",
            Function::Release => "release",
            Function::Transfer => "transfer",
            Function::Transaction => "txn",
        }
    }

    /// Whether it puts an element into something.
    pub fn gives(self) -> bool {
        use Function::{Add, AddNew, Append, Enqueue, Insert, Push};
        matches!(self, Enqueue | Push | Insert | Add | AddNew | Append)
    }

    /// Whether its answer is yes (1) or no (0).
    pub fn answers_yes_or_no(self) -> bool {
        matches!(self, Function::AddNew | Function::Remove | Function::Contains)
    }

    /// Whether it takes an element out of something and answers with it.
    pub fn takes(self) -> bool {
        matches!(self, Function::Dequeue | Function::Pop | Function::Poll)
    }
}

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The object it is about.
    pub key: u64,
    /// What it does.
    pub what: What,
}

/// What a step does, with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Appends to a list.
    Append(i64),
    /// Reads a list.
    List(Vec<i64>),
    /// Writes a register.
    Write(i64),
    /// Reads a register; 0 was never written.
    Value(i64),
}

/// What an object answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// Nothing to say, or not known.
    #[default]
    Silent,
    /// A number. 0 is nothing: never written, empty, or no; a counter answers with it as it is.
    Number(i64),
    /// How often a register was written, and what it holds.
    Versioned(u64, i64),
    /// All elements.
    List(Vec<i64>),
    /// A text, by its parts; `None` if there is none.
    Text(Option<Vec<i64>>),
    /// What each account holds.
    Accounts(Vec<i64>),
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It took effect.
    Ok,
    /// It had no effect.
    Fail,
    /// Nobody knows.
    Open,
}

/// One operation of a simulated history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulated {
    /// Its place among all operations, in order of their beginning, from 0.
    pub number: u64,
    /// The client. One whose operation stays open goes on under a new number.
    pub process: u64,
    /// The object.
    pub key: u64,
    /// What is asked.
    pub function: Function,
    /// The arguments; unused ones are 0.
    pub args: [i64; 3],
    /// The steps of a transaction.
    pub steps: Vec<Step>,
    /// What was answered.
    pub answer: Answer,
    /// How it ended.
    pub ended: Ended,
    /// Its place among the beginnings and ends of all operations, from 0.
    pub call: u64,
    /// The place of its end; `None` if it is open.
    pub ret: Option<u64>,
    /// When it began, in ticks.
    pub called_at: u64,
    /// When it ended, or when its client gave up waiting.
    pub returned_at: u64,
}

impl Simulated {
    /// Whether it took effect for certain.
    pub fn is_ok(&self) -> bool {
        self.ended == Ended::Ok
    }

    /// Whether it certainly ended before another began.
    pub fn precedes(&self, other: &Simulated) -> bool {
        self.ret.is_some_and(|ret| ret < other.call)
    }

    /// The element it put or took, if it certainly did.
    pub(crate) fn taken(&self) -> Option<i64> {
        match self.answer {
            Answer::Number(value) if value != 0 && self.is_ok() && self.function.takes() => Some(value),
            _ => None,
        }
    }
}
