//! The secrets of the installation.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result};
use portcullis_store::{Db, DbError, LogKeys, Sealer, secrets};
use portcullis_types::{DEFAULT_TENANT, Secret, SharedEntropy, random_array};

use crate::{config::Config, kek::Kek};

/// The secrets an installation cannot do without, all sealed in the database.
pub struct Vault {
    pub sealer: Arc<Sealer>,
    db: Db,
    entropy: SharedEntropy,
}

impl Vault {
    /// Opens the data key, wherever its key-encryption key is.
    pub async fn open(
        config: &Config,
        data: &Path,
        db: Db,
        entropy: SharedEntropy,
    ) -> Result<Self> {
        let kek = Kek::open(config, data, &entropy)?;
        let sealer = Sealer::new(kek.data_key(&db, &entropy).await?.expose())?;
        Ok(Self { sealer: Arc::new(sealer), db, entropy })
    }

    /// The secret called `name`; made by `make` at the first start.
    pub async fn secret(
        &self,
        name: &'static str,
        make: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<Secret<Vec<u8>>> {
        let stored = secrets::get(&self.db, DEFAULT_TENANT, name).await?;
        let sealed = match stored {
            Some(sealed) => sealed,
            None => {
                let sealed = &self.sealer.seal(name, &make()?, &*self.entropy)?;
                let put = self.db.write(|tx| async move {
                    secrets::put_if_absent(&tx, DEFAULT_TENANT, name, sealed).await?;
                    // Another node may have been first; its secret is the one that counts.
                    secrets::get(&tx, DEFAULT_TENANT, name).await
                });
                put.await?.ok_or(DbError::Stored("secret"))?
            }
        };
        let opened = self
            .sealer
            .open(name, &sealed)
            .with_context(|| format!("the secret {name} was sealed with another data key"))?;
        Ok(Secret::new(opened))
    }

    /// The value called `name`, if there is one.
    pub async fn look(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let sealed = secrets::get(&self.db, DEFAULT_TENANT, name).await?;
        Ok(sealed.map(|sealed| self.sealer.open(name, &sealed)).transpose()?)
    }

    /// Whether any node sharing the database has sealed what a log says of people.
    pub async fn has_month_keys(&self) -> Result<bool> {
        Ok(LogKeys::any_month(&self.db, DEFAULT_TENANT).await?)
    }

    /// Whether the database is of one node alone.
    pub fn is_of_one_node(&self) -> bool {
        self.db.is_sqlite()
    }

    /// From now on the events that the database keeps for the log are known to be ours.
    pub async fn vouch_for_events(&self) -> Result<()> {
        let key = self.random("outbox_key").await?;
        self.db.vouch_for_events(key.expose());
        Ok(())
    }

    /// 32 random bytes, the same at every start.
    pub async fn random(&self, name: &'static str) -> Result<Secret<Vec<u8>>> {
        let entropy = self.entropy.clone();
        self.secret(name, || Ok(random_array::<32>(&*entropy).to_vec())).await
    }
}
