use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use portcullis_types::{Entropy, HashKey};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// How many requests of each key are on their way. A key is known only while one is, so there are
/// never more of them than requests.
#[derive(Debug)]
pub struct Concurrency {
    key: HashKey,
    keys: Mutex<HashMap<u128, Weak<Slot>>>,
}

#[derive(Debug)]
struct Slot {
    fingerprint: u128,
    free: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    keys: Weak<Concurrency>,
}

/// A place among those on their way, until it is dropped.
#[derive(Debug)]
pub struct Place {
    permit: Option<OwnedSemaphorePermit>,
    slot: Arc<Slot>,
}

/// There is no place, and none became free in time.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

impl Concurrency {
    /// Nobody is on the way.
    pub fn new(entropy: &dyn Entropy) -> Arc<Self> {
        Arc::new(Self { key: HashKey::new(entropy), keys: Mutex::default() })
    }

    /// Takes one of `most` places of a key. If all are taken and fewer than `queue` wait, waits for
    /// one, in the order of arrival, for as long as `wait`.
    pub async fn enter(
        self: &Arc<Self>,
        key: &[&[u8]],
        most: usize,
        queue: usize,
        wait: Duration,
    ) -> Result<Place, Full> {
        let slot = self.slot(self.key.fingerprint(key), most, queue);
        if let Ok(permit) = slot.free.clone().try_acquire_owned() {
            return Ok(Place { permit: Some(permit), slot });
        }
        let _waiting = slot.waiting.clone().try_acquire_owned().map_err(|_| Full)?;
        let acquired = timeout(wait, slot.free.clone().acquire_owned()).await;
        let permit = acquired.map_err(|_| Full)?.map_err(|_| Full)?;
        Ok(Place { permit: Some(permit), slot })
    }

    fn slot(self: &Arc<Self>, fingerprint: u128, most: usize, queue: usize) -> Arc<Slot> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = keys.get(&fingerprint).and_then(Weak::upgrade) {
            return slot;
        }
        let (free, waiting) = (Arc::new(Semaphore::new(most)), Arc::new(Semaphore::new(queue)));
        let slot = Arc::new(Slot { fingerprint, free, waiting, keys: Arc::downgrade(self) });
        keys.insert(fingerprint, Arc::downgrade(&slot));
        slot
    }

    /// How many places of a key are free; nothing if nobody is on the way.
    pub fn free(&self, key: &[&[u8]]) -> Option<usize> {
        let fingerprint = self.key.fingerprint(key);
        // A slot that ends here takes the lock: it must be open again.
        let slot = {
            let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            keys.get(&fingerprint).and_then(Weak::upgrade)
        };
        slot.map(|slot| slot.free.available_permits())
    }

    /// How many keys are known.
    pub fn len(&self) -> usize {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nobody is on the way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(all) = self.keys.upgrade() else { return };
        let mut keys = all.keys.lock().unwrap_or_else(PoisonError::into_inner);
        // Another may stand in its place already.
        if keys.get(&self.fingerprint).is_some_and(|known| known.strong_count() == 0) {
            keys.remove(&self.fingerprint);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Whoever waits gets it before the slot can go.
        self.permit = None;
        let _ = &self.slot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed;
    impl Entropy for Fixed {
        fn fill(&self, out: &mut [u8]) {
            out.fill(1);
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn places_are_taken_waited_for_and_given_back() {
        let all = Concurrency::new(&Fixed);
        let enter = |queue| {
            let all = all.clone();
            async move { all.enter(&[b"k"], 2, queue, SECOND).await }
        };
        let (one, two) = (enter(1).await.unwrap(), enter(1).await.unwrap());
        assert!(all.enter(&[b"other"], 2, 0, SECOND).await.is_ok());
        let waiting = tokio::spawn(enter(1));
        tokio::task::yield_now().await;
        assert_eq!(enter(1).await.unwrap_err(), Full, "the queue is full");
        drop(one);
        let three = waiting.await.unwrap().unwrap();
        assert_eq!(enter(1).await.unwrap_err(), Full, "nobody left in time");
        drop((two, three));
        assert!(all.is_empty());
        assert!(enter(1).await.is_ok());
    }
}
