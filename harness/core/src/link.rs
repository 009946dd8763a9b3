//! Links: what can be done to the packets on their way from one end to another.

/// One end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// A node, by its index.
    Node(usize),
    /// The harness's clients.
    Clients,
}

/// How delays scatter around their mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distribution {
    /// Anything between mean minus jitter and mean plus jitter, equally likely.
    #[default]
    Uniform,
    /// A normal distribution with the jitter as its standard deviation, cut off at zero.
    Normal,
    /// Mostly little more than mean minus jitter, now and then many times the jitter: the long tail of a
    /// congested network.
    Pareto,
}

/// What happens to the packets of one directed link. The default lets everything pass untouched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkRule {
    /// Nothing arrives.
    pub cut: bool,
    /// The mean delay of a packet, in microseconds.
    pub delay_us: u64,
    /// How far single delays lie from the mean, in microseconds.
    pub jitter_us: u64,
    /// How they scatter.
    pub distribution: Distribution,
    /// The share of packets that vanish, 0 to 1.
    pub loss: f64,
    /// The share of packets that arrive twice.
    pub duplicate: f64,
    /// The share of packets that overtake those sent before: they are held up by nothing, while all others
    /// wait at least [`LinkRule::reorder_us`].
    pub reorder: f64,
    /// How long those wait that are overtaken, in microseconds.
    pub reorder_us: u64,
    /// The share of packets in which a bit flips.
    pub corrupt: f64,
    /// Whether the flipped bit gets past the receiver's checksum and reaches the application. Otherwise the
    /// receiver's kernel drops the packet.
    pub corrupt_undetected: bool,
    /// Bits per second at most; a packet that would have to queue for over 200 ms is dropped.
    pub rate_bps: Option<u64>,
    /// The rate begins at a hundredth and grows to its full value over this time, in microseconds: a slow
    /// start. 0: full at once.
    pub ramp_us: u64,
    /// The link is up and down in turns, each for so long, in microseconds; it begins by going down.
    pub flap_us: Option<u64>,
    /// The share of TCP segments with data in place of which both ends get a reset.
    pub reset: f64,
}

/// What became of the packets of one directed link since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Packets that came in.
    pub packets: u64,
    /// Of those, how many were dropped, for whatever reason.
    pub dropped: u64,
    /// How many were sent out later than they came.
    pub delayed: u64,
    /// Copies that were sent in addition.
    pub duplicated: u64,
    /// Packets in which a bit was flipped.
    pub corrupted: u64,
    /// Segments in place of which resets were sent.
    pub reset: u64,
}

/// The links between nodes, and between clients and nodes.
pub trait Fabric: Send + Sync {
    /// Makes every packet from one node to another vanish. Works on every fabric; independent of
    /// [`Fabric::set`].
    ///
    /// # Errors
    /// What the kernel said.
    fn cut(&self, from: usize, to: usize) -> Result<(), String>;

    /// Mends what [`Fabric::cut`] cut; fine if nothing was.
    ///
    /// # Errors
    /// What the kernel said.
    fn mend(&self, from: usize, to: usize) -> Result<(), String>;

    /// Sets what happens on a directed link, on behalf of one fault, in place of what that fault had set
    /// there before. Rules of several faults on one link add up.
    ///
    /// # Errors
    /// When this fabric has no switch: see [`crate::Fault::needs_switch`].
    fn set(&self, owner: &'static str, from: End, to: End, rule: LinkRule) -> Result<(), String>;

    /// Takes back everything that one fault set; fine if there is nothing. Packets on their way still
    /// arrive as they were meant to.
    ///
    /// # Errors
    /// What went wrong.
    fn clear(&self, owner: &'static str) -> Result<(), String>;

    /// What became of the packets of a directed link; `None` without a switch.
    fn counters(&self, from: End, to: End) -> Option<LinkCounters>;
}
