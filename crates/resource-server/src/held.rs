//! Something of the issuer's that is fetched, kept, and fetched again.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use portcullis_types::{SharedClock, Timestamp};
use tokio::sync::Mutex;

use crate::FetchError;

/// After a failure nobody tries for this long.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The newest that was fetched.
pub(crate) struct Held<T> {
    newest: ArcSwapOption<Fetched<T>>,
    /// When fetching failed last, if it did. Held while somebody fetches.
    failed: Mutex<Option<Timestamp>>,
    clock: SharedClock,
}

/// Something with the time when it was asked for.
pub(crate) struct Fetched<T> {
    pub value: T,
    at: Timestamp,
}

impl<T> Held<T> {
    pub fn new(clock: SharedClock) -> Self {
        Self { newest: ArcSwapOption::empty(), failed: Mutex::new(None), clock }
    }

    /// What there is, however old.
    pub fn newest(&self) -> Option<Arc<Fetched<T>>> {
        self.newest.load_full()
    }

    /// What there is, if it was asked for within `age`.
    pub fn within(&self, age: Duration) -> Option<Arc<Fetched<T>>> {
        let newest = self.newest.load_full()?;
        let now = self.clock.now();
        // A clock that was set back makes everything old.
        (newest.at <= now && now.since(newest.at) <= age).then_some(newest)
    }

    /// The same, fetched if it is older; whoever comes while somebody fetches waits for that.
    pub async fn fresh(
        &self,
        age: Duration,
        fetch: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<Arc<Fetched<T>>, FetchError> {
        if let Some(held) = self.within(age) {
            return Ok(held);
        }
        let mut failed = self.failed.lock().await;
        if let Some(held) = self.within(age) {
            return Ok(held);
        }
        let at = self.clock.now();
        if is_recent(*failed, at) {
            return Err(FetchError::Recently);
        }
        match fetch.await {
            Ok(value) => {
                *failed = None;
                let fetched = Arc::new(Fetched { value, at });
                self.newest.store(Some(fetched.clone()));
                Ok(fetched)
            }
            Err(error) => {
                *failed = Some(self.clock.now());
                Err(error)
            }
        }
    }

    /// Whether nobody fetches at this moment, nor failed to a moment ago.
    pub fn may_fetch(&self) -> bool {
        self.failed.try_lock().is_ok_and(|failed| !is_recent(*failed, self.clock.now()))
    }
}

fn is_recent(failed: Option<Timestamp>, now: Timestamp) -> bool {
    failed.is_some_and(|failed| failed <= now && now.since(failed) < RETRY_AFTER)
}
