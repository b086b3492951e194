//! The data key that seals the installation's secrets, and the key-encryption key that wraps it.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use data_encoding::BASE64URL_NOPAD;
use portcullis_egress::system_resolver;
use portcullis_kms::{Hsm, HsmSettings, Kms, Transit, TransitSettings};
use portcullis_store::{Db, DbError, KEY_BYTES, Sealer, Tx, secrets};
use portcullis_types::{DEFAULT_TENANT, Secret, SharedEntropy, random_array};

use crate::{
    config::{Config, KeyEncryption},
    system,
};

/// The local key-encryption key may come from here instead of the file.
const KEY_VARIABLE: &str = "PORTCULLIS_KEK";
const KEY_FILE: &str = "kek";
/// Under this name the database holds the wrapped data key; it is also its purpose.
const DATA_KEY: &str = "data_key";
/// Keys, tokens and PINs in files are at most this long.
const MAX_SECRET_BYTES: u64 = 4_096;

/// The key-encryption key, wherever it is.
pub enum Kek {
    Local(Sealer),
    Kms(Kms),
}

impl Kek {
    /// As the configuration says.
    pub fn open(config: &Config, data: &Path, entropy: &SharedEntropy) -> Result<Self> {
        let read = |path: &PathBuf| read_secret(&config.path(path));
        match &config.key_encryption {
            KeyEncryption::Local { file } => {
                let text = match (file, system::variable(KEY_VARIABLE)) {
                    (Some(file), _) => key_file(&config.path(file), entropy)?,
                    (None, Some(text)) => text,
                    (None, None) => key_file(&data.join(KEY_FILE), entropy)?,
                };
                let key =
                    Secret::new(BASE64URL_NOPAD.decode(text.trim().as_bytes()).unwrap_or_default());
                ensure!(
                    key.expose().len() == KEY_BYTES,
                    "the key-encryption key must be 32 bytes in base64url without padding"
                );
                Ok(Self::Local(Sealer::new(key.expose())?))
            }
            KeyEncryption::Transit { address, mount, key, namespace, token_file, ca } => {
                let token = secret(token_file.as_ref(), "VAULT_TOKEN", read)?;
                let ca_pem = ca.as_ref().map(|path| std::fs::read_to_string(config.path(path)));
                let settings = TransitSettings {
                    address: address.clone(),
                    mount: mount.clone(),
                    key: key.clone(),
                    namespace: namespace.clone(),
                    token,
                    ca_pem: ca_pem.transpose().context("read key_encryption.ca")?,
                };
                Ok(Self::Kms(Kms::Transit(Transit::new(settings, system_resolver())?)))
            }
            KeyEncryption::Pkcs11 { module, token_label, key_label, pin_file } => {
                let pin = secret(pin_file.as_ref(), "PORTCULLIS_PKCS11_PIN", read)?;
                let settings = HsmSettings {
                    module: config.path(module),
                    token_label: token_label.clone(),
                    key_label: key_label.clone(),
                    pin,
                };
                Ok(Self::Kms(Kms::Hsm(Hsm::new(settings)?)))
            }
        }
    }

    /// Whether [`Kek::open`] would find a key, and not make one.
    pub fn exists(config: &Config, data: &Path) -> bool {
        match &config.key_encryption {
            KeyEncryption::Local { file: Some(file) } => config.path(file).exists(),
            KeyEncryption::Local { file: None } => {
                system::variable(KEY_VARIABLE).is_some() || data.join(KEY_FILE).exists()
            }
            _ => true,
        }
    }

    /// Whether something is wrapped by one already.
    pub async fn is_used(db: &Db) -> Result<bool> {
        Ok(secrets::get(db, DEFAULT_TENANT, DATA_KEY).await?.is_some())
    }

    /// What the wrapped form begins with, so that a key from elsewhere is told apart.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
            Self::Kms(Kms::Transit(_)) => "transit",
            Self::Kms(Kms::Hsm(_)) => "pkcs11",
        }
    }

    async fn wrap(&self, key: &Secret<Vec<u8>>, entropy: &SharedEntropy) -> Result<Vec<u8>> {
        let wrapped = match self {
            Self::Local(sealer) => sealer.seal(DATA_KEY, key.expose(), &**entropy)?,
            Self::Kms(kms) => kms.wrap(key, &**entropy).await?,
        };
        Ok([self.name().as_bytes(), b":", &wrapped].concat())
    }

    async fn unwrap(&self, wrapped: &[u8]) -> Result<Secret<Vec<u8>>> {
        let colon = wrapped.iter().position(|byte| *byte == b':').unwrap_or(wrapped.len());
        let (name, rest) = wrapped.split_at(colon);
        if name != self.name().as_bytes() {
            bail!(
                "the secrets are sealed by a key of the provider {}, but key_encryption says {}",
                String::from_utf8_lossy(name).escape_debug(),
                self.name()
            );
        }
        let wrapped = rest.get(1..).unwrap_or_default();
        let key = match self {
            Self::Local(sealer) => Secret::new(sealer.open(DATA_KEY, wrapped)?),
            Self::Kms(kms) => kms.unwrap(wrapped).await?,
        };
        ensure!(key.expose().len() == KEY_BYTES, "the data key has the wrong length");
        Ok(key)
    }

    /// The data key of the installation; the first start makes it.
    pub async fn data_key(&self, db: &Db, entropy: &SharedEntropy) -> Result<Secret<Vec<u8>>> {
        let stored = match secrets::get(db, DEFAULT_TENANT, DATA_KEY).await? {
            Some(stored) => stored,
            None => {
                let fresh = Secret::new(random_array::<KEY_BYTES>(&**entropy).to_vec());
                let wrapped = &self.wrap(&fresh, entropy).await?;
                let put = db.write(|tx| async move {
                    secrets::put_if_absent(&tx, DEFAULT_TENANT, DATA_KEY, wrapped).await?;
                    // Another node may have been first; its key is the one that counts.
                    secrets::get(&tx, DEFAULT_TENANT, DATA_KEY).await
                });
                put.await?.ok_or(DbError::Stored("secret"))?
            }
        };
        self.unwrap(&stored).await.context("open the installation's data key")
    }

    /// The data key wrapped by this key-encryption key, and proven to come out of it again.
    pub async fn rewrap(&self, key: &Secret<Vec<u8>>, entropy: &SharedEntropy) -> Result<Vec<u8>> {
        let wrapped = self.wrap(key, entropy).await?;
        let again = self.unwrap(&wrapped).await?;
        ensure!(again.expose() == key.expose(), "the new key-encryption key does not work");
        Ok(wrapped)
    }
}

/// Puts another wrapped form in the place of the one before.
pub async fn store(tx: &Tx, wrapped: &[u8]) -> Result<(), DbError> {
    secrets::put(tx, DEFAULT_TENANT, DATA_KEY, wrapped).await
}

fn secret(
    file: Option<&PathBuf>,
    variable: &str,
    read: impl Fn(&PathBuf) -> Result<String>,
) -> Result<Secret<String>> {
    let text = match file {
        Some(file) => Some(read(file)?),
        None => system::variable(variable),
    };
    let text = text.with_context(|| format!("neither a file nor {variable} is given"))?;
    Ok(Secret::new(text.trim().to_owned()))
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
    read_secret(path)
}

fn read_secret(path: &Path) -> Result<String> {
    let mut text = String::new();
    let file =
        File::open(path).and_then(|file| file.take(MAX_SECRET_BYTES).read_to_string(&mut text));
    file.with_context(|| format!("read {}", path.display()))?;
    Ok(text)
}
