use std::{path::PathBuf, sync::Arc};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::{Mechanism, aead::GcmParams},
    object::{Attribute, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::{AuthPin, Ulong},
};
use portcullis_types::{Entropy, Secret, random_array};

use crate::{KmsError, PURPOSE};

const NONCE_BYTES: usize = 12;
const TAG_BITS: u64 = 128;
/// AES-256.
const KEY_BYTES: u64 = 32;

/// Which token, and which key in it.
#[derive(Debug, Clone)]
pub struct HsmSettings {
    /// The module of the token's maker, a shared library.
    pub module: PathBuf,
    /// The label of the token.
    pub token_label: String,
    /// The label of the AES-256 key.
    pub key_label: String,
    /// The user's PIN.
    pub pin: Secret<String>,
}

/// A key in a token behind PKCS#11. It is used with AES-GCM and cannot be read out.
#[derive(Clone)]
pub struct Hsm(Arc<Inner>);

struct Inner {
    settings: HsmSettings,
    module: Pkcs11,
}

fn failed(doing: &'static str) -> impl FnOnce(Error) -> KmsError {
    move |source| KmsError::Module { doing, source }
}

impl Hsm {
    /// Loads the module. The token is opened for each use.
    pub fn new(settings: HsmSettings) -> Result<Self, KmsError> {
        let module = Pkcs11::new(&settings.module).map_err(failed("load"))?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another part of this process uses the same module.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(source) => return Err(KmsError::Module { doing: "begin", source }),
        }
        Ok(Self(Arc::new(Inner { settings, module })))
    }

    pub(crate) async fn wrap(
        &self,
        key: &Secret<Vec<u8>>,
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, KmsError> {
        let nonce = random_array::<NONCE_BYTES>(entropy);
        let key = key.clone();
        self.work(move |inner| inner.wrap(&key, nonce)).await
    }

    pub(crate) async fn unwrap(&self, wrapped: &[u8]) -> Result<Secret<Vec<u8>>, KmsError> {
        let wrapped = wrapped.to_vec();
        self.work(move |inner| inner.unwrap(&wrapped)).await
    }

    /// Modules block, some for seconds.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, KmsError> + Send + 'static,
    ) -> Result<T, KmsError> {
        let inner = self.0.clone();
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.unwrap_or(Err(KmsError::Settings("the PKCS#11 module panicked")))
    }
}

impl Inner {
    fn wrap(&self, key: &Secret<Vec<u8>>, nonce: [u8; NONCE_BYTES]) -> Result<Vec<u8>, KmsError> {
        let session = self.session()?;
        let wrapping = match self.find(&session)? {
            Some(found) => found,
            None => self.make(&session)?,
        };
        let mut iv = nonce;
        let parameters =
            GcmParams::new(&mut iv, PURPOSE, Ulong::from(TAG_BITS)).map_err(failed("encrypt"))?;
        let mechanism = Mechanism::AesGcm(parameters);
        let wrapped =
            session.encrypt(&mechanism, wrapping, key.expose()).map_err(failed("encrypt"))?;
        drop(mechanism);
        // Some tokens choose the nonce themselves and write it back.
        Ok([iv.as_slice(), &wrapped].concat())
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<Secret<Vec<u8>>, KmsError> {
        let session = self.session()?;
        let wrapping = self.find(&session)?.ok_or(KmsError::Label("key"))?;
        let (nonce, ciphertext) =
            wrapped.split_first_chunk::<NONCE_BYTES>().ok_or(KmsError::Unwrap)?;
        let mut iv = *nonce;
        let parameters =
            GcmParams::new(&mut iv, PURPOSE, Ulong::from(TAG_BITS)).map_err(failed("decrypt"))?;
        let opened = session.decrypt(&Mechanism::AesGcm(parameters), wrapping, ciphertext);
        opened.map(Secret::new).map_err(|_| KmsError::Unwrap)
    }

    fn session(&self) -> Result<Session, KmsError> {
        let session =
            self.module.open_rw_session(self.slot()?).map_err(failed("open a session"))?;
        let pin = AuthPin::from(self.settings.pin.expose().trim().to_owned());
        match session.login(UserType::User, Some(&pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(source) => Err(KmsError::Module { doing: "log in", source }),
        }
    }

    fn slot(&self) -> Result<Slot, KmsError> {
        let slots =
            self.module.get_slots_with_initialized_token().map_err(failed("list tokens"))?;
        let mut named = slots.into_iter().filter(|slot| {
            let info = self.module.get_token_info(*slot);
            info.is_ok_and(|info| info.label() == self.settings.token_label)
        });
        match (named.next(), named.next()) {
            (Some(slot), None) => Ok(slot),
            _ => Err(KmsError::Label("token")),
        }
    }

    fn find(&self, session: &Session) -> Result<Option<ObjectHandle>, KmsError> {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Label(self.settings.key_label.clone().into_bytes()),
        ];
        let found = session.find_objects(&template).map_err(failed("find the key"))?;
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            _ => Err(KmsError::Label("key")),
        }
    }

    fn make(&self, session: &Session) -> Result<ObjectHandle, KmsError> {
        let template = [
            Attribute::Label(self.settings.key_label.clone().into_bytes()),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::ValueLen(Ulong::from(KEY_BYTES)),
        ];
        session.generate_key(&Mechanism::AesKeyGen, &template).map_err(failed("make the key"))
    }
}

impl std::fmt::Debug for Hsm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Hsm").field(&self.0.settings.module).finish()
    }
}
