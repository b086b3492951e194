use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use portcullis_types::{AddrKey, ClientAddr, Prefix, Timestamp};

use crate::Limiter;

/// An address that may not enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its id, for the answer and the event.
    pub id: String,
    /// When it ends.
    pub until: Timestamp,
}

/// Networks of which something holds, such as that nobody may enter from there, as an immutable map
/// that is swapped as a whole: a request reads it without a lock, and looks once for each length of
/// network there is.
#[derive(Debug, Default)]
pub struct Blocks(ArcSwap<Networks>);

#[derive(Debug, Default, Clone)]
struct Networks {
    blocks: HashMap<Prefix, Block>,
    /// The lengths that occur, of IPv4 and of IPv6.
    lengths: [Vec<u8>; 2],
}

impl Networks {
    fn insert(&mut self, network: Prefix, block: Block) {
        let lengths = &mut self.lengths[usize::from(network.ip().is_ipv6())];
        if !lengths.contains(&network.length()) {
            lengths.push(network.length());
        }
        self.blocks.insert(network, block);
    }
}

impl Blocks {
    /// The block on the network of `addr` in force at `now`.
    pub fn find(&self, addr: ClientAddr, now: Timestamp) -> Option<Block> {
        let networks = self.0.load();
        let lengths = &networks.lengths[usize::from(addr.ip().is_ipv6())];
        let mut blocks = lengths.iter().filter_map(|length| {
            networks.blocks.get(&Prefix::new(addr.ip(), *length)).filter(|block| block.until > now)
        });
        blocks.next().cloned()
    }

    /// Adds or replaces one block.
    pub fn insert(&self, network: Prefix, block: &Block) {
        self.0.rcu(|networks| {
            let mut next = Networks::clone(networks);
            next.insert(network, block.clone());
            Arc::new(next)
        });
    }

    /// Replaces all blocks, as the database has them.
    pub fn replace(&self, blocks: HashMap<Prefix, Block>) {
        let mut next = Networks::default();
        blocks.into_iter().for_each(|(network, block)| next.insert(network, block));
        self.0.store(Arc::new(next));
    }

    /// How many blocks there are, ended ones included.
    pub fn len(&self) -> usize {
        self.0.load().blocks.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The key under which the limiter counts `addr` for the limit called `name`.
pub fn addr_limit_key(name: &str, addr: AddrKey) -> Vec<Vec<u8>> {
    vec![name.as_bytes().to_vec(), b"ip".to_vec(), addr.octets().to_vec()]
}

/// Blocks that a single limit set, as the database has them. Keeps the limiter in step with it:
/// blocks come back after a restart, and one that was lifted is forgotten.
#[derive(Debug, Default)]
pub struct LimitBlocks(Mutex<HashMap<(String, AddrKey), Timestamp>>);

impl LimitBlocks {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes over the blocks in force.
    pub fn replace(
        &self,
        next: HashMap<(String, AddrKey), Timestamp>,
        limiter: &Limiter,
        now: Timestamp,
    ) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ((name, addr), until) in known.iter() {
            if *until > now && !next.contains_key(&(name.clone(), *addr)) {
                limiter.forget(&parts(&addr_limit_key(name, *addr)));
            }
        }
        for ((name, addr), until) in &next {
            if !known.contains_key(&(name.clone(), *addr)) {
                limiter.restore_block(&parts(&addr_limit_key(name, *addr)), *until, now);
            }
        }
        *known = next;
    }
}

fn parts(key: &[Vec<u8>]) -> Vec<&[u8]> {
    key.iter().map(Vec::as_slice).collect()
}
