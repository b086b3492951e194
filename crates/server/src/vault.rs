//! The key-encryption key and the secrets of the installation.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use anyhow::{Context, Result};
use data_encoding::BASE64URL_NOPAD;
use portcullis_pki::{Authority, AuthorityMaterial};
use portcullis_store::{Db, DbError, KEY_BYTES, Sealer, secrets};
use portcullis_types::{DEFAULT_TENANT, Secret, SharedClock, SharedEntropy, random_array};

use crate::system;

/// The key-encryption key may come from here instead of the file.
const KEY_VARIABLE: &str = "PORTCULLIS_KEK";
const KEY_FILE: &str = "kek";

/// The secrets an installation cannot do without, all sealed in the database.
pub struct Vault {
    pub sealer: Arc<Sealer>,
    db: Db,
    entropy: SharedEntropy,
}

impl Vault {
    /// Takes the key-encryption key from the environment, or from a file in the data directory that
    /// the first start makes.
    pub fn open(data: &Path, db: Db, entropy: SharedEntropy) -> Result<Self> {
        let key = match system::variable(KEY_VARIABLE) {
            Some(text) => text,
            None => key_file(&data.join(KEY_FILE), &entropy)?,
        };
        let key = BASE64URL_NOPAD
            .decode(key.trim().as_bytes())
            .ok()
            .filter(|key| key.len() == KEY_BYTES)
            .context("the key-encryption key must be 32 bytes in base64url without padding")?;
        let sealer = Arc::new(Sealer::new(&key)?);
        Ok(Self { sealer, db, entropy })
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
        let opened = self.sealer.open(name, &sealed).with_context(|| {
            format!("the secret {name} was sealed with another key-encryption key")
        })?;
        Ok(Secret::new(opened))
    }

    /// The value called `name`, if there is one.
    pub async fn look(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let sealed = secrets::get(&self.db, DEFAULT_TENANT, name).await?;
        Ok(sealed.map(|sealed| self.sealer.open(name, &sealed)).transpose()?)
    }

    /// 32 random bytes, the same at every start.
    pub async fn random(&self, name: &'static str) -> Result<Secret<Vec<u8>>> {
        let entropy = self.entropy.clone();
        self.secret(name, || Ok(random_array::<32>(&*entropy).to_vec())).await
    }

    /// The built-in certificate authority.
    pub async fn authority(&self, clock: &SharedClock) -> Result<Authority> {
        let made = self.secret("certificate_authority", || {
            let made = Authority::create("Portcullis local CA", clock.now())?;
            let text = [made.certificate_pem, made.key_pem.expose().clone()];
            Ok(serde_json::to_vec(&text)?)
        });
        let [certificate_pem, key_pem]: [String; 2] = serde_json::from_slice(made.await?.expose())?;
        let material = AuthorityMaterial { certificate_pem, key_pem: Secret::new(key_pem) };
        Ok(Authority::load(&material)?)
    }
}

/// Reads the key file. The first start makes it under another name and moves it into its place when
/// it is durable, so that a crash never leaves half a key.
fn key_file(path: &Path, entropy: &SharedEntropy) -> Result<String> {
    let name = path.display();
    if !path.exists() {
        let temporary = path.with_extension("new");
        let key = BASE64URL_NOPAD.encode(&random_array::<KEY_BYTES>(&**entropy));
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary);
        file.and_then(|mut file| file.write_all(key.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&temporary, path))
            .and_then(|()| File::open(path.parent().unwrap_or(Path::new("."))))
            .and_then(|dir| dir.sync_all())
            .with_context(|| format!("create {name}"))?;
    }
    let mut key = String::new();
    let file = File::open(path).and_then(|file| file.take(256).read_to_string(&mut key));
    file.with_context(|| format!("read {name}"))?;
    Ok(key)
}
