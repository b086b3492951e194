use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use portcullis_types::{Secret, SharedEntropy, random_array};
use tokio::sync::Semaphore;

use crate::password::normalised;

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

/// Hashes passwords with argon2id on a bounded number of blocking threads, so that logins can
/// neither exhaust memory nor starve the rest.
#[derive(Clone)]
pub struct Hasher {
    argon: Argon2<'static>,
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    entropy: SharedEntropy,
    /// Checked where there is no account, so that the answer takes as long.
    decoy: Arc<str>,
}

impl Hasher {
    /// A hasher at the given cost.
    pub fn new(parameters: HashParameters, entropy: SharedEntropy) -> Result<Self, HashError> {
        let params = Params::new(parameters.memory_kib, parameters.passes, 1, None)
            .map_err(|_| HashError::Failed)?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let decoy = hash(&argon, "decoy", &random_array::<SALT_BYTES>(&*entropy))?.into();
        let running = Arc::new(Semaphore::new(parameters.concurrency.max(1)));
        Ok(Self { argon, running, waiting: Arc::new(Semaphore::new(MAX_WAITING)), entropy, decoy })
    }

    /// The PHC string of `password`.
    pub async fn hash(&self, password: &Secret<String>) -> Result<String, HashError> {
        let (argon, password) = (self.argon.clone(), password.clone());
        let salt = random_array::<SALT_BYTES>(&*self.entropy);
        self.run(move || hash(&argon, &normalised(password.expose()), &salt)).await
    }

    /// Whether `password` is the one that was hashed. Without a hash it does the same work and
    /// says no.
    pub async fn verify(
        &self,
        password: &Secret<String>,
        stored: Option<&str>,
    ) -> Result<bool, HashError> {
        let (argon, password) = (self.argon.clone(), password.clone());
        let exists = stored.is_some();
        let stored: Arc<str> = stored.map_or_else(|| self.decoy.clone(), Arc::from);
        let matches = move || {
            let parsed = PasswordHash::new(&stored).map_err(|_| HashError::Failed)?;
            let password = normalised(password.expose());
            Ok(argon.verify_password(password.as_bytes(), &parsed).is_ok())
        };
        Ok(self.run(matches).await? && exists)
    }

    /// Whether a stored hash was made at another cost and should be made anew at the next login.
    pub fn is_outdated(&self, stored: &str) -> bool {
        let own = self.argon.params();
        let parsed = PasswordHash::new(stored).ok().and_then(|hash| Params::try_from(&hash).ok());
        parsed
            .is_none_or(|params| (params.m_cost(), params.t_cost()) != (own.m_cost(), own.t_cost()))
    }

    /// Runs work that an attacker can make expensive on the bounded threads, in its turn.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, HashError> {
        let _place = self.waiting.try_acquire().map_err(|_| HashError::Busy)?;
        let turn = self.running.clone().acquire_owned().await.map_err(|_| HashError::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|_| HashError::Failed)?
    }
}

fn hash(argon: &Argon2<'_>, password: &str, salt: &[u8]) -> Result<String, HashError> {
    let hash = argon.hash_password_with_salt(password.as_bytes(), salt);
    hash.map(|hash| hash.to_string()).map_err(|_| HashError::Failed)
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hasher").field("params", self.argon.params()).finish_non_exhaustive()
    }
}
