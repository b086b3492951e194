//! Makes an index on several threads while its entities still come.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use super::build::{IndexBuilder, Place};
use crate::entity::Entity;

/// Entities that one thread takes at once.
const BLOCK_MAX_ENTITIES: usize = 1_024;

/// Bytes of the text of those entities, about.
const BLOCK_MAX_BYTES: usize = 1 << 20;

type Block = Vec<(Entity, Place)>;

/// An index that is being made, on several threads once there is enough to do. It is the one that an
/// [`IndexBuilder`] makes of the same entities, and is written on as many threads.
pub struct Builders {
    threads: usize,
    block: Block,
    bytes: usize,
    sent: usize,
    workers: Option<Workers>,
}

struct Workers {
    blocks: SyncSender<(usize, Block)>,
    threads: Vec<JoinHandle<()>>,
    whole: Arc<Mutex<Whole>>,
}

/// What was made of the first blocks, and of others that are to come behind it.
#[derive(Default)]
struct Whole {
    first: IndexBuilder,
    count: usize,
    later: BTreeMap<usize, IndexBuilder>,
}

impl Builders {
    /// Nothing yet, to be made on so many threads.
    pub fn new(threads: usize) -> Self {
        Self { threads: threads.max(1), block: Vec::new(), bytes: 0, sent: 0, workers: None }
    }

    /// One more entity, as [`IndexBuilder::add`] takes it. Waits where the threads are behind.
    pub fn add(&mut self, entity: Entity, place: Place) -> io::Result<()> {
        self.bytes = self.bytes.saturating_add(place.length as usize);
        self.block.push((entity, place));
        if self.block.len() < BLOCK_MAX_ENTITIES && self.bytes < BLOCK_MAX_BYTES {
            return Ok(());
        }
        let workers = match &self.workers {
            Some(workers) => workers,
            None => self.workers.insert(Workers::start(self.threads)?),
        };
        let block = (self.sent, std::mem::take(&mut self.block));
        (self.sent, self.bytes) = (self.sent + 1, 0);
        // One that takes no more has failed: the end tells.
        drop(workers.blocks.send(block));
        Ok(())
    }

    /// All of it.
    pub fn finish(self) -> IndexBuilder {
        let last = made(&self.block);
        match self.workers {
            None => last,
            Some(workers) => {
                let mut whole = workers.finish();
                whole.append(last);
                whole.helpers = self.threads - 1;
                whole
            }
        }
    }
}

impl Workers {
    fn start(count: usize) -> io::Result<Self> {
        let (blocks, received) = sync_channel(count);
        let received = Arc::new(Mutex::new(received));
        let whole = Arc::<Mutex<Whole>>::default();
        let start = |_| {
            let (received, whole) = (received.clone(), whole.clone());
            thread::Builder::new()
                .name("list-index".to_owned())
                .spawn(move || work(&received, &whole))
        };
        let threads = (0..count).map(start).collect::<io::Result<_>>()?;
        Ok(Self { blocks, threads, whole })
    }

    fn finish(self) -> IndexBuilder {
        drop(self.blocks);
        for thread in self.threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut whole.first)
    }
}

fn work(received: &Mutex<Receiver<(usize, Block)>>, whole: &Mutex<Whole>) {
    let next = || received.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok((number, block)) = next() {
        let made = made(&block);
        whole.lock().unwrap_or_else(PoisonError::into_inner).add(number, made);
    }
}

fn made(block: &Block) -> IndexBuilder {
    let mut builder = IndexBuilder::new();
    block.iter().for_each(|(entity, place)| builder.add(entity, *place));
    builder
}

impl Whole {
    fn add(&mut self, number: usize, builder: IndexBuilder) {
        self.later.insert(number, builder);
        while let Some(next) = self.later.remove(&self.count) {
            self.first.append(next);
            self.count += 1;
        }
    }
}
