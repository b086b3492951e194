//! Offers: the owner of an account scans a code with their wallet, and types the number that comes by mail (OpenID
//! for Verifiable Credential Issuance 1.0, section 4.1).

use std::time::Duration;

use aws_lc_rs::hmac;
use portcullis_events::{Actor, Kind, Origin, Outcome, TokenOperation};
use portcullis_identity::IdentityError;
use portcullis_store::{
    DbError, Mail, MailError,
    accounts::{self, Account},
    grants::{self, Grant},
    sessions::{self, Session},
    token_hash,
    wallet::{self, OfferRow},
};
use portcullis_texts::{Lang, speaking_now, t, tf};
use portcullis_types::{Id, random_array, random_token, same_secret, tags};
use serde_json::json;

use super::CONFIGURATION;
use crate::{
    ErrorCode, GrantType, OAuthError, Params, Provider, ProviderError,
    claims::RequestedClaims,
    issue::TokenResponse,
    token::{TokenCall, opaque_hash},
};

/// An offer works so long.
const OFFER_LIFETIME: Duration = Duration::from_secs(600);
/// Transaction codes that may be tried for one: one in 200,000 guesses it.
const TRIES_MAX: i64 = 5;
/// Offers to one account in an hour: each is a mail.
const OFFERS_MAX: i64 = 6;
const HOUR: Duration = Duration::from_secs(3_600);

/// An offer, for one wallet.
#[derive(Debug, Clone)]
pub struct Offer {
    /// What the wallet is given: `openid-credential-offer://?credential_offer=…`.
    pub uri: String,
    /// Until when it works.
    pub expires_at: portcullis_types::Timestamp,
}

/// No offer was made.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// There are no credentials here.
    #[error("this installation issues no credentials")]
    Off,
    /// Nothing is known of the person that could be in one.
    #[error("nobody has verified who you are")]
    NotVerified,
    /// There were many just before.
    #[error("there were many offers in the last hour; try again later")]
    TooMany,
    /// Something failed.
    #[error(transparent)]
    Failed(#[from] ProviderError),
}

impl From<DbError> for OfferError {
    fn from(error: DbError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<MailError> for OfferError {
    fn from(error: MailError) -> Self {
        Self::Failed(IdentityError::from(error).into())
    }
}

impl portcullis_store::RaceCheck for OfferError {
    fn is_race(&self) -> bool {
        matches!(self, Self::Failed(error) if error.is_race())
    }
}

impl Provider {
    /// Whether credentials are issued here.
    pub fn issues_credentials(&self) -> bool {
        self.settings.credentials.is_some()
    }

    /// Makes an offer to whoever is logged in, and sends them the code that their wallet asks for. The one before it
    /// works no longer.
    pub async fn offer_credential(
        &self,
        account: &Account,
        session: &Session,
        origin: &Origin,
    ) -> Result<Offer, OfferError> {
        if !self.issues_credentials() {
            return Err(OfferError::Off);
        }
        if self.told_by_us(account.id).await?.is_none() {
            return Err(OfferError::NotVerified);
        }
        let (now, entropy) = (self.now(), &*self.identity.entropy);
        let code = random_token(entropy);
        let hash = token_hash(&code);
        let number = u64::from_be_bytes(random_array(entropy)) % 1_000_000;
        let tx_code = format!("{number:06}");
        let row = &OfferRow {
            tx_code: self.tx_code(&hash, &tx_code),
            code_hash: hash,
            account_id: account.id,
            session_id: session.id.to_string(),
            tries: 0,
            methods: session.methods.clone(),
            auth_time: session.authenticated_at,
            created_at: now,
            expires_at: now.plus(OFFER_LIFETIME),
            consumed_at: None,
            grant_id: None,
        };
        let lang = Lang::of_tag(&account.locale).unwrap_or_else(portcullis_texts::current);
        let mail = &speaking_now(lang, || Mail {
            to: account.email.clone(),
            subject: t("The code for your wallet").to_owned(),
            text: tf(
                "{0} is the code that your wallet asks for. It works for ten minutes. If you did not ask for it, \
                 somebody else is logged in as you: change your password.\n",
                &[&tx_code],
            ),
        });
        let who = Actor::User { id: account.id.to_string(), username: account.username.clone() };
        let operation = operation("offer", String::new());
        let event = &self.identity.event(origin, who, Outcome::Success, Kind::Token(operation));
        let made = self.identity.db.write(|tx| async move {
            let before =
                wallet::offers_since(&tx, self.tenant(), account.id, now.minus(HOUR)).await?;
            if before >= OFFERS_MAX {
                return Err(OfferError::TooMany);
            }
            wallet::void_offers(&tx, self.tenant(), account.id, now).await?;
            wallet::insert_offer(&tx, self.tenant(), row).await?;
            let sealer = &self.identity.sealer;
            mail.queue(&tx, self.tenant(), sealer, &self.identity.entropy, now).await?;
            Ok(tx.emit(event.clone()).await?)
        });
        made.await?;
        let offer = json!({
            "credential_issuer": self.settings.issuer,
            "credential_configuration_ids": [CONFIGURATION],
            "grants": { GrantType::PreAuthorizedCode.as_str(): {
                "pre-authorized_code": code,
                "tx_code": { "input_mode": "numeric", "length": 6 },
            } },
        });
        let query = Params::default().with("credential_offer", &offer.to_string()).to_query();
        Ok(Offer { uri: format!("openid-credential-offer://?{query}"), expires_at: row.expires_at })
    }

    /// The token request of a wallet that was made an offer (section 6.1).
    pub(crate) async fn redeem_offer(
        &self,
        call: TokenCall<'_>,
    ) -> Result<TokenResponse, ProviderError> {
        let TokenCall { client, params, origin, .. } = call;
        let (now, db, tenant) = (self.now(), &self.identity.db, self.tenant());
        if !self.issues_credentials() {
            let text = "this installation issues no credentials";
            return Err(OAuthError::new(ErrorCode::UnsupportedGrantType, text).into());
        }
        if !client.scopes.contains(CONFIGURATION) {
            let text = "the client is not registered for the scope verified_person";
            return Err(OAuthError::new(ErrorCode::InvalidScope, text).into());
        }
        let invalid = || OAuthError::grant("the code is not valid");
        let code = params.get("pre-authorized_code");
        let hash = &opaque_hash(code.ok_or(OAuthError::request("pre-authorized_code is missing"))?);
        let tx_code = params.get("tx_code").ok_or(OAuthError::request("tx_code is missing"))?;
        let offer = wallet::offer(db, tenant, hash).await?.ok_or_else(invalid)?;
        let kind = GrantType::PreAuthorizedCode;
        // Whoever saw the offer of somebody else and knows nothing more can do nothing about it.
        self.try_tx_code(&offer, tx_code, call).await?;
        if let Some(grant) = offer.grant_id.as_deref().and_then(|id| id.parse().ok()) {
            return self.replayed(grant, client, kind.as_str(), origin).await;
        }
        let session = sessions::live_by_id(db, tenant, &offer.session_id, now).await?;
        if offer.expires_at <= now || session.is_none() {
            return Err(invalid().into());
        }
        let account = accounts::by_id(db, tenant, offer.account_id).await?;
        let account = account.filter(|account| account.disabled_at.is_none());
        let account = account.ok_or_else(invalid)?;
        let grant = &Grant {
            id: Id::new(now, &*self.identity.entropy),
            client_id: client.id.clone(),
            account_id: account.id,
            // It belongs to no session: the wallet is ended by its owner, as an application.
            session_id: Id::<tags::Session>::new(now, &*self.identity.entropy).to_string(),
            scope: CONFIGURATION.to_owned(),
            claims: None,
            resources: None,
            methods: offer.methods.clone(),
            acr: String::new(),
            auth_time: offer.auth_time,
            created_at: now,
            expires_at: now.plus(OFFER_LIFETIME),
            redeemed_at: None,
            status_epoch: 0,
            revoked_at: None,
        };
        let named = RequestedClaims::default();
        let person = self.person(account, &named, CONFIGURATION).await?;
        let prepared = self.prepare(call, grant, &person, CONFIGURATION, None)?;
        let event = self.issued(call, kind, "issue", &person.account, &prepared, grant);
        let consumed = self
            .store(&prepared, event, |tx| async move {
                if !wallet::consume_offer(&tx, tenant, hash, grant.id, now).await? {
                    return Ok(false);
                }
                grants::insert(&tx, tenant, grant).await?;
                Ok(true)
            })
            .await?;
        if consumed { Ok(prepared.response) } else { Err(invalid().into()) }
    }

    /// Each code that is tried is counted before it is looked at, so that nobody gains by trying many at once.
    async fn try_tx_code(
        &self,
        offer: &OfferRow,
        given: &str,
        call: TokenCall<'_>,
    ) -> Result<(), ProviderError> {
        let hash = &offer.code_hash;
        let is_right = same_secret(&self.tx_code(hash, given), &offer.tx_code);
        let actor = Actor::Client { id: call.client.id.clone() };
        let operation = operation("issue", call.client.id.clone());
        let outcome = Outcome::Failure("tx_code_wrong");
        let event = &self.token_event(call.origin, actor, outcome, operation);
        let counted = self.identity.db.write(|tx| async move {
            let counted = wallet::count_try(&tx, self.tenant(), hash, TRIES_MAX).await?;
            if !is_right {
                tx.emit(event.clone()).await?;
            }
            Ok::<_, ProviderError>(counted)
        });
        match counted.await? {
            true if is_right => Ok(()),
            _ => Err(OAuthError::grant("the transaction code is not right").into()),
        }
    }

    fn tx_code(&self, code_hash: &[u8], tx_code: &str) -> Vec<u8> {
        let said = [b"tx_code", code_hash, tx_code.as_bytes()].concat();
        hmac::sign(&self.pairwise_key, &said).as_ref().to_vec()
    }
}

fn operation(operation: &'static str, client: String) -> TokenOperation {
    TokenOperation {
        operation,
        client,
        grant_type: GrantType::PreAuthorizedCode.as_str().into(),
        scope: CONFIGURATION.into(),
        token_id: None,
        grant: None,
    }
}
