use std::{sync::Arc, time::Duration};

use aws_lc_rs::hmac;
use portcullis_cluster::TokenFacts;
use portcullis_egress::Egress;
use portcullis_events::{Actor, Event, Kind, Origin, Outcome, TokenOperation};
use portcullis_identity::{Identity, IdentityError};
use portcullis_jose::{Alg, Audience, Verifier, access_token};
use portcullis_pki::PeerCertificate;
use portcullis_store::DbError;
use portcullis_types::{DEFAULT_TENANT, Timestamp};

use crate::{
    ClientKeys, Dpop, ErrorCode, KeyRing, KeyRingError, KeyUse, OAuthError, ProofRule,
    RegistrationPolicy, ResourceKeys,
    known_clients::KnownClients,
    status_list::Published,
    wallet::{self, CredentialSettings, Nonces},
};

/// What operators set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The issuer, without a slash at the end; the only source of our own URLs.
    pub issuer: String,
    /// How long access tokens live.
    pub access_token_lifetime: Duration,
    /// How long a refresh token waits to be used.
    pub refresh_token_lifetime: Duration,
    /// How long a grant lives however often it is refreshed.
    pub grant_lifetime: Duration,
    /// Where clients show certificates, without a slash at the end (RFC 8705, section 5).
    pub mesh_url: Option<String>,
    /// Whether a certificate may vouch for itself there.
    pub self_signed_clients: bool,
    /// Whether and how clients register themselves.
    pub registration: RegistrationPolicy,
    /// By whose rules whom accounts belong to may have been verified; nothing is told of it if there are none.
    pub trust_frameworks: Vec<String>,
    /// Values of `acr` that a verification of the person stands for.
    pub proofs: Vec<Arc<ProofRule>>,
    /// How credentials are issued to wallets; none are if nothing is said.
    pub credentials: Option<CredentialSettings>,
    /// Elsewhere than at the gate, a revoked token stops working within this time.
    pub status_list_lifetime: Duration,
}

impl Settings {
    /// The defaults for an issuer: five minutes, a day, thirty days, fifteen seconds.
    pub fn new(issuer: &str) -> Self {
        Self {
            issuer: issuer.trim_end_matches('/').to_owned(),
            access_token_lifetime: Duration::from_secs(300),
            refresh_token_lifetime: Duration::from_secs(24 * 3600),
            grant_lifetime: Duration::from_secs(30 * 24 * 3600),
            mesh_url: None,
            self_signed_clients: false,
            registration: RegistrationPolicy::default(),
            trust_frameworks: Vec::new(),
            proofs: Vec::new(),
            credentials: None,
            status_list_lifetime: Duration::from_secs(15),
        }
    }
}

/// Something failed that is not the client's fault, or an error for the client.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The client is told.
    #[error(transparent)]
    OAuth(#[from] OAuthError),
    /// The database.
    #[error("the database failed")]
    Db(#[from] DbError),
    /// The identity services.
    #[error("the identity services failed")]
    Identity(#[from] IdentityError),
    /// The keys.
    #[error("the signing keys failed")]
    Keys(#[from] KeyRingError),
    /// A token could not be signed.
    #[error("signing failed")]
    Sign(#[from] portcullis_jose::JwsError),
    /// A token could not be encrypted.
    #[error("encryption failed")]
    Encrypt(#[from] portcullis_jose::JweError),
}

impl ProviderError {
    /// What the client is told: its own error, or that we failed.
    pub fn public(&self) -> OAuthError {
        match self {
            Self::OAuth(error) => error.clone(),
            Self::Db(_) | Self::Identity(_) => OAuthError::new(
                ErrorCode::TemporarilyUnavailable,
                "the request could not be completed now",
            ),
            _ => OAuthError::new(ErrorCode::ServerError, "the request could not be completed"),
        }
    }
}

impl portcullis_store::RaceCheck for ProviderError {
    fn is_race(&self) -> bool {
        match self {
            Self::Db(error) => error.is_race(),
            Self::Identity(error) => error.is_race(),
            _ => false,
        }
    }
}

/// The provider. Cheap to clone.
#[derive(Clone)]
pub struct Provider(Arc<Inner>);

/// Its parts.
pub struct Inner {
    /// What operators set.
    pub settings: Settings,
    /// Accounts, sessions, the database, the log, time and randomness.
    pub identity: Identity,
    /// The signing keys.
    pub keys: KeyRing,
    /// Proofs of possession.
    pub dpop: Dpop,
    /// The way out to addresses that clients name.
    pub egress: Egress,
    /// Makes the subjects of pairwise clients.
    pub pairwise_key: hmac::Key,
    /// Keys that clients publish elsewhere.
    pub client_keys: ClientKeys,
    /// Clients that were read a moment ago.
    pub known_clients: KnownClients,
    /// Keys that tokens are encrypted to.
    pub resource_keys: ResourceKeys,
    /// The status list as it was last made.
    pub(crate) published: Published,
    /// Nonces for the keys of wallets.
    pub(crate) nonces: Nonces,
    /// The status lists of credentials as they were last made.
    pub(crate) credential_lists: wallet::Published,
}

impl std::ops::Deref for Provider {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Provider {
    /// A provider over its parts.
    pub fn new(
        settings: Settings,
        identity: Identity,
        keys: KeyRing,
        dpop: Dpop,
        egress: Egress,
        pairwise_key: &[u8],
    ) -> Self {
        let resource_keys = ResourceKeys::default();
        let pairwise_key = hmac::Key::new(hmac::HMAC_SHA256, pairwise_key);
        let nonces = Nonces::new(pairwise_key.clone(), &*identity.entropy);
        Self(Arc::new(Inner {
            settings,
            identity,
            keys,
            dpop,
            egress,
            pairwise_key,
            client_keys: ClientKeys::default(),
            known_clients: KnownClients::default(),
            resource_keys,
            published: Published::default(),
            nonces,
            credential_lists: wallet::Published::default(),
        }))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.identity.now()
    }

    pub(crate) fn tenant(&self) -> &str {
        &self.identity.tenant
    }

    /// The URL of an endpoint.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.settings.issuer)
    }

    /// The URL of an endpoint as a client reaches it that shows a certificate, or does not.
    pub(crate) fn url_for(&self, certificate: Option<&PeerCertificate>, path: &str) -> String {
        match (&self.settings.mesh_url, certificate) {
            (Some(base), Some(_)) => format!("{base}{path}"),
            _ => self.url(path),
        }
    }

    /// Checks one of our access tokens for use at our own endpoints: signature, times, audience
    /// and revocation. There is no other way to decide whether a token is active.
    pub fn active(&self, token: &str) -> Option<access_token::AccessClaims> {
        self.active_for(token, &self.settings.issuer)
    }

    /// The same for a token for whomever: introspection and exchange are asked about tokens for
    /// anybody, so the check is told to expect what the token claims.
    pub(crate) fn active_any(&self, token: &str) -> Option<access_token::AccessClaims> {
        #[derive(serde::Deserialize)]
        struct Claimed {
            aud: Audience,
        }
        let compact = portcullis_jose::Compact::parse(token).ok()?;
        let claimed: Claimed = portcullis_jose::from_slice_strict(&compact.payload).ok()?;
        let audience = match claimed.aud {
            Audience::One(one) => one,
            Audience::Many(many) => many.into_iter().next()?,
        };
        self.active_for(token, &audience)
    }

    /// The same for a token whose audience is `audience`.
    pub(crate) fn active_for(
        &self,
        token: &str,
        audience: &str,
    ) -> Option<access_token::AccessClaims> {
        let issuer = self.settings.issuer.as_str();
        let verifier = Verifier::new(issuer, audience, access_token::TYP, &Alg::SIGNING);
        let keys = self.keys.current();
        let claims: access_token::AccessClaims =
            verifier.verify(token, keys.verifying(KeyUse::AccessToken), self.now()).ok()?;
        let void = self.identity.revocations.is_void(&TokenFacts {
            token: &claims.jti,
            grant: claims.grant_id.as_deref(),
            subject: &claims.sub,
            client: &claims.client_id,
            acted: claims.act.is_some(),
            place: claims.place(),
            issued_at: claims.iat,
        });
        (!void).then_some(claims)
    }

    pub(crate) fn token_event(
        &self,
        origin: &Origin,
        actor: Actor,
        outcome: Outcome,
        operation: TokenOperation,
    ) -> Event {
        self.identity.event(origin, actor, outcome, Kind::Token(operation))
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Provider({} for {DEFAULT_TENANT})", self.settings.issuer)
    }
}
