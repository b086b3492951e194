//! An event as detectors look at it: keyed hashes in the place of names.

use std::{net::IpAddr, time::Duration};

use portcullis_events::{Actor, Event};
use portcullis_types::{ClientAddr, HashKey, Prefix, Timestamp};

use crate::recent::Seen;

/// One address, and the networks around it that one person may own. Each step outwards must see
/// more of an attack before it counts.
pub(crate) const LEVELS: usize = 3;

/// A network that an event came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level {
    pub network: Prefix,
    pub key: u64,
    /// Thresholds are multiplied by this.
    pub factor: usize,
}

/// Whom an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Who {
    /// The keyed hash of the id, or of what stands for a name that no account has.
    pub key: u64,
    /// The bits of the account's id; zero where there is no account.
    pub id: u128,
}

pub(crate) struct Sight<'a> {
    pub event: &'a Event,
    pub id: u128,
    pub now: Timestamp,
    pub key: &'a HashKey,
}

impl<'a> Sight<'a> {
    pub fn new(event: &'a Event, now: Timestamp, key: &'a HashKey) -> Self {
        Self { event, id: event.id.bits(), now, key }
    }

    /// The keyed hash of a text; never zero, which stands for nothing.
    pub fn text(&self, kind: u8, text: &str) -> u64 {
        hash(self.key, kind, [0, 0], text.as_bytes())
    }

    /// The keyed hash of two numbers.
    pub fn numbers(&self, kind: u8, numbers: [u64; 2]) -> u64 {
        hash(self.key, kind, numbers, b"")
    }

    /// The keyed hash of a number and a text.
    pub fn both(&self, kind: u8, number: u64, text: &str) -> u64 {
        hash(self.key, kind, [number, 0], text.as_bytes())
    }

    pub fn addr(&self) -> Option<ClientAddr> {
        self.event.origin.as_ref().map(|origin| origin.addr)
    }

    /// The keyed hash of the browser's name; zero if it said none.
    pub fn agent(&self) -> u64 {
        let agent = self.event.origin.as_ref().and_then(|origin| origin.user_agent.as_deref());
        agent.map_or(0, |agent| self.text(b'a', agent))
    }

    /// The person or client that the event is about.
    pub fn who(&self, actor: &Actor) -> Option<Who> {
        match actor {
            Actor::User { id, .. } => {
                let bits = id
                    .parse()
                    .map_or(0, portcullis_types::Id::<portcullis_types::tags::User>::bits);
                Some(Who { key: self.text(b'u', id), id: bits })
            }
            Actor::UnknownUser { pseudonym } => {
                Some(Who { key: self.text(b'n', pseudonym), id: 0 })
            }
            Actor::Client { id } | Actor::ApiKey { id } => {
                Some(Who { key: self.text(b'c', id), id: 0 })
            }
            Actor::Workload { spiffe_id } => Some(Who { key: self.text(b'w', spiffe_id), id: 0 }),
            Actor::Anonymous | Actor::System | Actor::Operator => None,
        }
    }

    /// The address and the networks around it: IPv4 /32 and /24, IPv6 /64, /56 and /48.
    pub fn levels(&self, addr: ClientAddr) -> impl Iterator<Item = Level> + use<> {
        let lengths: [(u8, usize); LEVELS] = match addr.ip() {
            IpAddr::V4(_) => [(32, 1), (24, 4), (0, 0)],
            IpAddr::V6(_) => [(64, 1), (56, 2), (48, 4)],
        };
        let key = self.key.clone();
        lengths.into_iter().filter(|(_, factor)| *factor > 0).map(move |(length, factor)| {
            let network = Prefix::new(addr.ip(), length);
            Level { network, key: hash(&key, b'p', [0, 0], &network.octets()), factor }
        })
    }

    /// The keyed hash of a network.
    pub fn network(&self, network: Prefix) -> u64 {
        hash(self.key, b'p', [0, 0], &network.octets())
    }

    /// This event as one of several of `who`.
    pub fn seen(&self, who: Who, tag: u64) -> Seen {
        Seen { key: who.key, tag, id: who.id, event: self.id, ..Seen::default() }
    }

    pub fn ago(&self, window: Duration) -> Timestamp {
        self.now.minus(window)
    }
}

/// The keyed hash of some numbers and a text; never zero, which stands for nothing.
pub(crate) fn hash(key: &HashKey, kind: u8, [a, b]: [u64; 2], text: &[u8]) -> u64 {
    key.hash(&[u64::from(kind), a, b], text).max(1)
}

/// A number of 128 bits as two of 64.
#[expect(clippy::cast_possible_truncation, reason = "these are the halves")]
pub(crate) fn halves(bits: u128) -> [u64; 2] {
    [(bits >> 64) as u64, bits as u64]
}
