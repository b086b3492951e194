use std::time::Duration;

use portcullis_events::Origin;
use portcullis_store::{
    accounts::{self, Account},
    passkeys::{self, Passkey as Row},
};
use portcullis_types::{Id, Timestamp, tags};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;
use webauthn_rs::prelude::{
    AttestedPasskeyRegistration, CreationChallengeResponse, DiscoverableAuthentication,
    DiscoverableKey, Passkey, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, RequestChallengeResponse,
};
use webauthn_rs_proto::ResidentKeyRequirement;

use crate::{
    Browser, Identity, IdentityError, LoggedIn, LoginError, Method, Methods, Recent, StaffDevices,
    attestation::is_staff, recovery::notice, sealed::Opened, service::actor,
};

/// A browser answers within this time.
const CEREMONY_LIFETIME: Duration = Duration::from_secs(300);
/// Passkeys of one account.
const MAX_PASSKEYS: usize = 20;
/// A passkey's name, in characters.
const MAX_NAME_CHARS: usize = 60;

/// What a browser is asked to do, and what it must bring back with the answer.
#[derive(Debug, Serialize)]
pub struct Ceremony<T> {
    /// For `navigator.credentials`.
    #[serde(flatten)]
    pub options: T,
    /// The challenge and its conditions, sealed: nothing is stored for strangers.
    pub ceremony: String,
}

/// Under which challenges are sealed.
const REGISTER: &str = "passkey register";
const LOGIN: &str = "passkey login";

impl Identity {
    /// Asks the browser to make a passkey (Web Authentication Level 3, section 7.1). It must be
    /// discoverable and its device must check who uses it.
    pub async fn begin_passkey(
        &self,
        who: &Recent,
    ) -> Result<Ceremony<CreationChallengeResponse>, IdentityError> {
        let account = who.account();
        let webauthn = self.webauthn()?;
        let rows = passkeys::of_account(&self.db, &self.tenant, account.id).await?;
        if rows.len() >= MAX_PASSKEYS {
            return Err(IdentityError::field("passkey", "is one too many"));
        }
        let known = rows.into_iter().map(|row| row.credential_id).collect();
        let handle = Uuid::from_u128(account.id.bits());
        let shown = Some(account.display_name.as_str())
            .filter(|n| !n.is_empty())
            .unwrap_or(&account.username);
        let name = &account.username;
        let begun = match self.devices_of(account) {
            Some(devices) => webauthn
                .start_attested_passkey_registration(
                    handle,
                    name,
                    shown,
                    Some(known),
                    devices.list(),
                    None,
                )
                .map(|(options, state)| (options, Registering::Attested(Box::new(state)))),
            None => webauthn
                .start_passkey_registration(handle, name, shown, Some(known))
                .map(|(options, state)| (options, Registering::Any(Box::new(state)))),
        };
        let (mut options, state) = begun.map_err(|_| IdentityError::Passkey)?;
        if let Some(selection) = &mut options.public_key.authenticator_selection {
            selection.resident_key = Some(ResidentKeyRequirement::Required);
            selection.require_resident_key = true;
        }
        let bound = (state, account.id.to_string());
        let ceremony = self.seal_state(REGISTER, bound, CEREMONY_LIFETIME)?;
        Ok(Ceremony { options, ceremony })
    }

    /// Keeps the passkey that the browser made.
    pub async fn add_passkey(
        &self,
        who: &Recent,
        name: &str,
        ceremony: &str,
        answer: Value,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let name = passkey_name(name)?;
        let account = who.account();
        let answer: RegisterPublicKeyCredential = read(answer)?;
        let opened = self.open_state::<(Registering, String)>(REGISTER, ceremony);
        let opened = &opened
            .filter(|opened| opened.state.1 == account.id.to_string())
            .ok_or(IdentityError::Passkey)?;
        let webauthn = self.webauthn()?;
        let attested = matches!(opened.state.0, Registering::Attested(_));
        let made = match &opened.state.0 {
            Registering::Any(state) => webauthn.finish_passkey_registration(&answer, state),
            Registering::Attested(state) => {
                webauthn.finish_attested_passkey_registration(&answer, state).map(Passkey::from)
            }
        };
        let made = made.map_err(|error| {
            tracing::debug!(%error, "a new passkey was refused");
            IdentityError::Passkey
        })?;
        let now = self.now();
        let row = &Row {
            id: Id::new(now, &*self.entropy),
            account_id: account.id,
            credential_id: made.cred_id().to_vec(),
            name: name.to_owned(),
            credential: serde_json::to_string(&made).map_err(|_| IdentityError::Passkey)?,
            attested,
            created_at: now.micros(),
            last_used_at: None,
        };
        let added = self.db.write(|tx| async move {
            let stored = accounts::by_id(&tx, &self.tenant, account.id).await?;
            let stored = stored.ok_or(IdentityError::NotFound)?;
            if !passkeys::answer(&tx, &self.tenant, &opened.hash, opened.until).await? {
                return Err(IdentityError::Passkey);
            }
            passkeys::insert(&tx, &self.tenant, row).await?;
            let subject = "A passkey was added to your account";
            let mail = notice(&stored, subject, &self.issuer);
            mail.queue(&tx, &self.tenant, &self.sealer, &self.entropy, now).await?;
            let user = actor(account);
            tx.emit(self.changed(origin, "passkey_added", user.clone(), user)).await?;
            Ok(())
        });
        added.await.map_err(|error| match error {
            IdentityError::Db(error) if error.constraint().is_some() => IdentityError::Passkey,
            other => other,
        })
    }

    /// Asks the browser for any passkey it has for us: who it is, it says itself.
    pub fn ask_for_passkey(&self) -> Result<Ceremony<RequestChallengeResponse>, IdentityError> {
        let begun = self.webauthn()?.start_discoverable_authentication();
        let (options, state) = begun.map_err(|_| IdentityError::Passkey)?;
        Ok(Ceremony { options, ceremony: self.seal_state(LOGIN, state, CEREMONY_LIFETIME)? })
    }

    /// Logs in whoever owns the passkey that signed (Web Authentication Level 3, section 7.2).
    pub async fn login_by_passkey(
        &self,
        ceremony: &str,
        answer: Value,
        browser: Browser<'_>,
        origin: &Origin,
    ) -> Result<LoggedIn, LoginError> {
        let (account, row, signed) = match self.check_passkey(ceremony, answer).await {
            Ok(checked) => checked,
            Err(LoginError::Credentials) => {
                let nobody = portcullis_events::Actor::Anonymous;
                let refused =
                    self.refused(Method::Passkey, "login", origin, nobody, "bad_passkey", None);
                refused.await?;
                return Err(LoginError::Credentials);
            }
            Err(error) => return Err(error),
        };
        let methods = &Methods::by_passkey(row.id);
        let (used, now) = (&signed.challenge, self.now());
        let (account, row, credential) = (&account, &row, &signed.credential);
        let entered = self.db.write(|tx| async move {
            if !passkeys::answer(&tx, &self.tenant, used, signed.until).await? {
                return Err(LoginError::Expired);
            }
            // It may have been removed a moment ago.
            if !passkeys::used(&tx, &self.tenant, row.id, credential, now).await? {
                return Err(LoginError::Credentials);
            }
            let entered = self.enter(&tx, account, methods, Method::Passkey, browser, origin);
            entered.await.map_err(|error| match error {
                IdentityError::NotFound => LoginError::Credentials,
                other => LoginError::Failed(other),
            })
        });
        let entered = entered.await?;
        self.leave_other(&entered, browser, origin).await?;
        Ok(entered)
    }

    async fn check_passkey(
        &self,
        ceremony: &str,
        answer: Value,
    ) -> Result<(Account, Row, Signed), LoginError> {
        let answer: PublicKeyCredential = read(answer).map_err(|_| LoginError::Credentials)?;
        let opened: Opened<DiscoverableAuthentication> =
            self.open_state(LOGIN, ceremony).ok_or(LoginError::Expired)?;
        let webauthn = self.webauthn()?;
        let (handle, credential) = webauthn
            .identify_discoverable_authentication(&answer)
            .map_err(|_| LoginError::Credentials)?;
        let owner = Id::<tags::User>::from_bits(handle.as_u128());
        let rows = passkeys::of_account(&self.db, &self.tenant, owner).await?;
        let row = rows.into_iter().find(|row| row.credential_id == credential);
        let account = accounts::by_id(&self.db, &self.tenant, owner).await?;
        let account = account.filter(|account| account.disabled_at.is_none());
        let (Some(row), Some(account)) = (row, account) else {
            return Err(LoginError::Credentials);
        };
        // It may be from before its owner was staff, or before staff had to.
        if self.devices_of(&account).is_some() && !row.attested {
            return Err(LoginError::Credentials);
        }
        let mut passkey: Passkey =
            serde_json::from_str(&row.credential).map_err(|_| IdentityError::Passkey)?;
        let key = [DiscoverableKey::from(&passkey)];
        #[expect(deprecated, reason = "its successor wants the internals of the credential")]
        let finished = webauthn.finish_discoverable_authentication(&answer, opened.state, &key);
        let result = finished.map_err(|error| {
            tracing::debug!(%error, "a passkey was refused");
            LoginError::Credentials
        })?;
        passkey.update_credential(&result);
        let credential = serde_json::to_string(&passkey).map_err(|_| IdentityError::Passkey)?;
        let signed = Signed { credential, challenge: opened.hash, until: opened.until };
        Ok((account, row, signed))
    }

    /// The passkeys of an account, oldest first.
    pub async fn passkeys(&self, account: &Account) -> Result<Vec<Row>, IdentityError> {
        self.passkeys_of(account.id).await
    }

    /// The same, by the id of the account.
    pub async fn passkeys_of(&self, account: Id<tags::User>) -> Result<Vec<Row>, IdentityError> {
        Ok(passkeys::of_account(&self.db, &self.tenant, account).await?)
    }

    /// Gives a passkey another name.
    pub async fn rename_passkey(
        &self,
        account: &Account,
        id: Id<tags::Passkey>,
        name: &str,
    ) -> Result<(), IdentityError> {
        let name = passkey_name(name)?;
        let renamed = self.db.write(|tx| async move {
            Ok::<_, IdentityError>(passkeys::rename(&tx, &self.tenant, account.id, id, name).await?)
        });
        if renamed.await? { Ok(()) } else { Err(IdentityError::NotFound) }
    }

    /// The devices whose passkeys an account may have; `None` for any.
    fn devices_of(&self, account: &Account) -> Option<&StaffDevices> {
        self.staff_devices.as_ref().filter(|_| is_staff(account))
    }

    fn webauthn(&self) -> Result<&webauthn_rs::Webauthn, IdentityError> {
        self.inner().webauthn.as_ref().ok_or(IdentityError::Passkey)
    }
}

/// The state of a registration.
#[derive(Serialize, Deserialize)]
enum Registering {
    Any(Box<PasskeyRegistration>),
    Attested(Box<AttestedPasskeyRegistration>),
}

struct Signed {
    credential: String,
    /// Stands for the challenge, which is answered once.
    challenge: Vec<u8>,
    until: Timestamp,
}

fn read<T: DeserializeOwned>(answer: Value) -> Result<T, IdentityError> {
    serde_json::from_value(answer).map_err(|_| IdentityError::Passkey)
}

fn passkey_name(name: &str) -> Result<&str, IdentityError> {
    let name = name.trim();
    let plain = !name.is_empty()
        && name.chars().count() <= MAX_NAME_CHARS
        && !name.chars().any(char::is_control);
    plain.then_some(name).ok_or_else(|| {
        IdentityError::field("name", format!("must have 1 to {MAX_NAME_CHARS} characters"))
    })
}
