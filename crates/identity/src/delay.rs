//! The mildest answer to guessing: whoever guesses waits before each password is looked at. People
//! behind the same address lose seconds, and devices that an account knows lose nothing.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use portcullis_cluster::Blocks;
use portcullis_types::{AddrKey, ClientAddr, Timestamp};

/// How long an attempt waits.
pub(crate) const DELAY: Duration = Duration::from_secs(2);
/// So many attempts of one address wait at once; others are told to come back.
const MOST_OF_ONE: u32 = 4;
/// And so many of all.
const MOST: u32 = 1_024;

/// Networks whose attempts wait, and how many do.
#[derive(Debug, Default)]
pub struct Delays {
    /// The networks.
    pub networks: Blocks,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    of: HashMap<AddrKey, u32>,
    all: u32,
}

/// One that waits; it does no longer when this is dropped, also if its client has gone.
pub(crate) struct Turn<'a> {
    delays: &'a Delays,
    addr: AddrKey,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut waiting = self.delays.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.all -= 1;
        if let Some(count) = waiting.of.get_mut(&self.addr) {
            *count -= 1;
            if *count == 0 {
                waiting.of.remove(&self.addr);
            }
        }
    }
}

impl Delays {
    /// Whether attempts from `addr` wait: `None` if they do not, an error if too many do already.
    pub(crate) fn begin(
        &self,
        addr: ClientAddr,
        now: Timestamp,
    ) -> Option<Result<Turn<'_>, Duration>> {
        self.networks.find(addr, now)?;
        let addr = addr.key();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = waiting.of.get(&addr).copied().unwrap_or_default();
        if of_one >= MOST_OF_ONE || waiting.all >= MOST {
            return Some(Err(DELAY));
        }
        waiting.all += 1;
        waiting.of.insert(addr, of_one + 1);
        Some(Ok(Turn { delays: self, addr }))
    }
}

#[cfg(test)]
mod tests {
    use portcullis_cluster::Block;
    use portcullis_types::Prefix;

    use super::*;

    #[test]
    fn few_wait_at_once_and_make_room_when_they_leave() {
        let delays = Delays::default();
        let now = Timestamp::from_secs(1);
        let block = |id: &str| Block { id: id.into(), until: Timestamp::from_secs(9) };
        let addr = |text: &str| ClientAddr::new(text.parse().unwrap());
        delays.networks.insert(Prefix::parse("10.0.0.0/16").unwrap(), &block("b"));
        assert!(delays.begin(addr("10.1.0.1"), now).is_none());
        assert!(delays.begin(addr("10.0.1.1"), Timestamp::from_secs(9)).is_none(), "it ended");
        let four: Vec<_> = (0..4).map(|_| delays.begin(addr("10.0.1.1"), now).unwrap()).collect();
        assert!(four.iter().all(Result::is_ok));
        assert!(delays.begin(addr("10.0.1.1"), now).unwrap().is_err());
        assert!(delays.begin(addr("10.0.1.2"), now).unwrap().is_ok(), "a neighbour has its own");
        drop(four);
        assert!(delays.begin(addr("10.0.1.1"), now).unwrap().is_ok());
        let many: Vec<_> = (0..256)
            .flat_map(|host| vec![host; 4])
            .map(|host| delays.begin(addr(&format!("10.0.2.{host}")), now).unwrap())
            .collect();
        assert!(many.iter().all(Result::is_ok));
        assert!(delays.begin(addr("10.0.3.1"), now).unwrap().is_err(), "all places are taken");
        drop(many);
        assert_eq!(delays.waiting.lock().unwrap().of.len(), 0);
    }
}
