use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use argon2::{
    Algorithm, Argon2, Block, Params, PasswordHash, Version,
    password_hash::phc::{Output, ParamsString, Salt},
};
use portcullis_types::{Secret, SharedEntropy, random_array};
use tokio::sync::{Semaphore, oneshot};

use crate::{foreign_hash::ForeignHash, hash_threads::HashThreads, password::normalised};

/// Requests that may wait for a free hashing thread before newcomers are turned away.
const MAX_WAITING: usize = 256;
const SALT_BYTES: usize = 16;

/// The cost of argon2id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashParameters {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Hashes computed at once; each takes a thread and the memory.
    pub concurrency: usize,
}

impl Default for HashParameters {
    /// 19 MiB and two passes, the first choice of the OWASP cheat sheet.
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2, concurrency: 2 }
    }
}

/// A password could not be hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// Too many people are waiting.
    #[error("too many password checks are waiting")]
    Busy,
    /// The parameters are out of range, or a stored hash is malformed.
    #[error("password hashing failed")]
    Failed,
}

/// Hashes passwords with argon2id on a bounded number of threads, so that logins can neither
/// exhaust memory nor starve the rest.
#[derive(Clone)]
pub struct Hasher {
    argon: Argon2<'static>,
    threads: Arc<HashThreads>,
    waiting: Arc<Semaphore>,
    entropy: SharedEntropy,
    memory: Arc<Memory>,
    /// Checked where there is no account, so that the answer takes as long.
    decoy: Arc<str>,
}

/// The memory of hashes that are done, kept for the next one: fresh memory costs as much time as
/// the hash itself, one page fault after another.
#[derive(Default)]
struct Memory {
    free: Mutex<Vec<Vec<Block>>>,
    used: AtomicBool,
    /// Blocks of one of our own hashes. A hash of another system may take more, for once.
    kept_blocks: usize,
}

impl Hasher {
    /// A hasher at the given cost.
    pub fn new(parameters: HashParameters, entropy: SharedEntropy) -> Result<Self, HashError> {
        let params = Params::new(parameters.memory_kib, parameters.passes, 1, None)
            .map_err(|_| HashError::Failed)?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let kept_blocks = argon.params().block_count();
        let memory = Arc::new(Memory { kept_blocks, ..Memory::default() });
        let salt = random_array::<SALT_BYTES>(&*entropy);
        let decoy = hash(&argon, &memory, "decoy", &salt)?.into();
        let threads = HashThreads::start(parameters.concurrency).map_err(|_| HashError::Failed)?;
        let threads = Arc::new(threads);
        let waiting = Arc::new(Semaphore::new(MAX_WAITING));
        Ok(Self { argon, threads, waiting, entropy, memory, decoy })
    }

    /// Gives memory back that no hash used since the last call. To be called now and then.
    pub fn release_idle_memory(&self) {
        if !self.memory.used.swap(false, Ordering::Relaxed) {
            self.memory.free().clear();
        }
    }

    /// The PHC string of `password`.
    pub async fn hash(&self, password: &Secret<String>) -> Result<String, HashError> {
        let (argon, memory, password) = (self.argon.clone(), self.memory.clone(), password.clone());
        let salt = random_array::<SALT_BYTES>(&*self.entropy);
        self.run(move || hash(&argon, &memory, &normalised(password.expose()), &salt)).await
    }

    /// Whether `password` is the one that was hashed. Without a hash it does the same work and
    /// says no.
    pub async fn verify(
        &self,
        password: &Secret<String>,
        stored: Option<&str>,
    ) -> Result<bool, HashError> {
        let (memory, password) = (self.memory.clone(), password.clone());
        let exists = stored.is_some();
        let stored: Arc<str> = stored.map_or_else(|| self.decoy.clone(), Arc::from);
        let work = move || {
            // The other system hashed what was typed, in whatever form.
            if let Ok(foreign) = ForeignHash::parse(&stored) {
                return foreign.matches(password.expose());
            }
            let parsed = PasswordHash::new(&stored).map_err(|_| HashError::Failed)?;
            matches(&memory, &normalised(password.expose()), &parsed)
        };
        Ok(self.run(work).await? && exists)
    }

    /// Whether a stored hash was made at another cost, or by another system, and should be made
    /// anew from the password that was just shown.
    pub fn is_outdated(&self, stored: &str, password: &Secret<String>) -> bool {
        let own = self.argon.params();
        let foreign = || ForeignHash::parse(stored);
        let Ok(parsed) = PasswordHash::new(stored) else {
            return foreign().is_ok_and(|hash| hash.is_of_all(password.expose()));
        };
        let id = parsed.algorithm == Algorithm::Argon2id.ident();
        let params = Params::try_from(&parsed).ok().filter(|_| id);
        params.is_none_or(|params| {
            (params.m_cost(), params.t_cost(), params.p_cost())
                != (own.m_cost(), own.t_cost(), own.p_cost())
        })
    }

    /// Runs work that an attacker can make expensive on the bounded threads, in its turn.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, HashError> {
        let _place = self.waiting.try_acquire().map_err(|_| HashError::Busy)?;
        let (done, result) = oneshot::channel();
        self.threads.submit(move || {
            // Whoever asked may have gone.
            if !done.is_closed() {
                let _ = done.send(work());
            }
        });
        result.await.map_err(|_| HashError::Failed)?
    }
}

/// The PHC string of a password.
fn hash(
    argon: &Argon2<'_>,
    memory: &Memory,
    password: &str,
    salt: &[u8],
) -> Result<String, HashError> {
    let mut tag = [0; Params::DEFAULT_OUTPUT_LEN];
    memory.hash(argon, password, salt, &mut tag)?;
    let params = ParamsString::try_from(argon.params()).map_err(|_| HashError::Failed)?;
    let made = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params,
        salt: Some(Salt::new(salt).map_err(|_| HashError::Failed)?),
        hash: Some(Output::new(&tag).map_err(|_| HashError::Failed)?),
    };
    Ok(made.to_string())
}

/// Whether `password` is the one of `stored`, at the cost that is written there. The comparison
/// takes the same time wherever they differ.
fn matches(memory: &Memory, password: &str, stored: &PasswordHash) -> Result<bool, HashError> {
    let (Some(salt), Some(expected)) = (stored.salt, stored.hash) else {
        return Err(HashError::Failed);
    };
    let algorithm =
        Algorithm::try_from(stored.algorithm.as_str()).map_err(|_| HashError::Failed)?;
    let version = stored.version.map_or(Ok(Version::default()), Version::try_from);
    let params = Params::try_from(stored).map_err(|_| HashError::Failed)?;
    let argon = Argon2::new(algorithm, version.map_err(|_| HashError::Failed)?, params);
    let mut tag = [0; Output::MAX_LENGTH];
    let tag = tag.get_mut(..expected.len()).ok_or(HashError::Failed)?;
    memory.hash(&argon, password, &salt, tag)?;
    Ok(Output::new(tag).map_err(|_| HashError::Failed)? == expected)
}

impl Memory {
    fn hash(
        &self,
        argon: &Argon2<'_>,
        password: &str,
        salt: &[u8],
        tag: &mut [u8],
    ) -> Result<(), HashError> {
        let mut blocks = self.free().pop().unwrap_or_default();
        blocks.resize(argon.params().block_count(), Block::default());
        let hashed =
            argon.hash_password_into_with_memory(password.as_bytes(), salt, tag, &mut blocks);
        self.used.store(true, Ordering::Relaxed);
        if blocks.len() <= self.kept_blocks {
            self.free().push(blocks);
        }
        hashed.map_err(|_| HashError::Failed)
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Vec<Block>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hasher").field("params", self.argon.params()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use argon2::{PasswordHasher, PasswordVerifier};

    use super::*;

    fn argon(memory_kib: u32, passes: u32) -> Argon2<'static> {
        let params = Params::new(memory_kib, passes, 1, None).unwrap();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
    }

    /// What was hashed in memory that another hash left behind is what the library alone makes.
    #[test]
    fn kept_memory_changes_no_hash() {
        let memory = Memory { kept_blocks: 1 << 20, ..Memory::default() };
        for (kib, passes) in [(64, 1), (16, 3), (256, 2), (8, 1)] {
            let argon = argon(kib, passes);
            let made = hash(&argon, &memory, "correct horse", b"0123456789abcdef").unwrap();
            let expected = argon.hash_password_with_salt(b"correct horse", b"0123456789abcdef");
            assert_eq!(made, expected.unwrap().to_string());
            assert!(argon.verify_password(b"correct horse", made.as_str()).is_ok());
            let stored = PasswordHash::new(&made).unwrap();
            assert!(matches(&memory, "correct horse", &stored).unwrap());
            assert!(!matches(&memory, "correct horsf", &stored).unwrap());
        }
        assert_eq!(memory.free().len(), 1);
    }

    #[test]
    fn a_malformed_hash_is_an_error_and_not_a_no() {
        let memory = Memory::default();
        for stored in
            ["$argon2id$v=19$m=8,t=1,p=1", "$scrypt$ln=4$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA"]
        {
            let stored = PasswordHash::new(stored).unwrap();
            assert!(matches!(matches(&memory, "x", &stored), Err(HashError::Failed)));
        }
    }

    #[test]
    fn memory_goes_back_when_nobody_needs_it() {
        let parameters = HashParameters { memory_kib: 8, passes: 1, concurrency: 1 };
        let entropy = portcullis_testkit::SeededEntropy::new(1);
        let hasher = Hasher::new(parameters, entropy).unwrap();
        hasher.release_idle_memory();
        assert_eq!(hasher.memory.free().len(), 1);
        hasher.release_idle_memory();
        assert_eq!(hasher.memory.free().len(), 0);
    }
}
