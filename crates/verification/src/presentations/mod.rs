//! Credentials that people show (OpenID for Verifiable Presentations 1.0): a request that is signed and asks for so
//! much, an answer that is checked up to whom we trust, and what came of it.
//!
//! A request is made and signed once and stored as it is, so that each node serves the same one. An answer counts
//! once. One that is refused uses up a try and nothing else: whoever saw the code of somebody else cannot have them
//! declined.

mod alone;
mod answer;
mod issuers;
mod step;

use std::{sync::Arc, time::Duration};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use portcullis_credentials::dcql::Query;
use portcullis_egress::Egress;
use portcullis_events::{Actor, Check, Event, Kind, Origin, Outcome};
use portcullis_jose::VerifyingKey;
use portcullis_pki::Identity;
use portcullis_store::{
    Db, DbError, MailError, RaceCheck, SealError, Sealer,
    idv::presentations::{self, PresentationRow},
};
use portcullis_types::{Id, SharedClock, SharedEntropy, Timestamp, random_token, tags};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::{SessionError, Sessions};
pub use alone::{CredentialAsked, CredentialReport};
pub use answer::{Answered as PresentationAnswered, Response as PresentationResponse};
use issuers::Issuers;
pub use issuers::{IssuerTrust, OwnIssuer};

/// The media type of a request (RFC 9101, section 10.8).
pub const REQUEST_TYP: &str = "oauth-authz-req+jwt";
/// Whom a request is for: nobody knows which wallet scans it (OpenID4VP 1.0, section 5.8).
const ANY_WALLET: &str = "https://self-issued.me/v2";
/// How long a request can be answered, and the limits of that.
const TTL: Duration = Duration::from_secs(600);
const TTL_MIN: Duration = Duration::from_secs(60);
const TTL_MAX: Duration = Duration::from_secs(3_600);
/// How long what was shown is kept.
const KEPT: Duration = Duration::from_secs(24 * 3_600);
/// Answers to one request that may be refused.
const TRIES_MAX: i64 = 5;

/// What the service is made of.
pub struct PresentationParts {
    /// Whose requests these are.
    pub tenant: String,
    /// Where they are kept.
    pub db: Db,
    /// Seals what was shown.
    pub sealer: Arc<Sealer>,
    /// The time.
    pub clock: SharedClock,
    /// Chance.
    pub entropy: SharedEntropy,
    /// Where wallets reach us, without a slash at the end.
    pub issuer: String,
    /// The certificate that requests are signed with.
    pub identity: Arc<Identity>,
    /// Our own credentials, if we issue some.
    pub own: Option<OwnIssuer>,
    /// Whose credentials count.
    pub trusted: Vec<IssuerTrust>,
    /// The way out to issuers.
    pub egress: Egress,
    /// The sessions whose steps wait for credentials.
    pub sessions: Sessions,
}

/// Requests to show credentials. Cheap to clone.
#[derive(Clone)]
pub struct Presentations(Arc<Inner>);

pub(crate) struct Inner {
    parts: PresentationParts,
    issuers: Issuers,
}

impl std::ops::Deref for Presentations {
    type Target = PresentationParts;

    fn deref(&self) -> &PresentationParts {
        &self.0.parts
    }
}

impl std::fmt::Debug for Presentations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Presentations")
    }
}

/// A request cannot be made or answered.
#[derive(Debug, thiserror::Error)]
pub enum PresentationError {
    /// A value cannot be accepted: where it is, as a JSON pointer, and what it must be.
    #[error("{0} {1}")]
    Invalid(String, String),
    /// There is no such request.
    #[error("there is no such request")]
    NotFound,
    /// No issuer is trusted.
    #[error("no issuer of credentials is trusted here")]
    NoIssuers,
    /// A session cannot be taken further.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// What is stored cannot be opened, or nothing can be signed.
    #[error("a stored request cannot be read, or none be signed")]
    Sealed,
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<SealError> for PresentationError {
    fn from(_: SealError) -> Self {
        Self::Sealed
    }
}

impl From<MailError> for PresentationError {
    fn from(error: MailError) -> Self {
        Self::Session(error.into())
    }
}

impl RaceCheck for PresentationError {
    fn is_race(&self) -> bool {
        match self {
            Self::Db(error) => error.is_race(),
            Self::Session(error) => error.is_race(),
            _ => false,
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct PresentationAsked {
    /// The credentials and claims.
    pub query: Query,
    /// How long it can be answered; ten minutes if nothing is said.
    pub ttl: Option<Duration>,
}

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PresentationStatus {
    /// Nobody has answered it.
    Pending,
    /// What was asked for was shown.
    Answered,
    /// Nobody has answered it in time, or too many answers were refused.
    Expired,
}

/// A credential that was shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShownCredential {
    /// The credential query that it answers.
    pub query: String,
    /// Who issued it.
    pub issuer: String,
    /// What it is.
    pub vct: String,
    /// What it says, as far as that was asked for.
    pub claims: Value,
}

/// A request, and what came of it.
#[derive(Debug, Clone)]
pub struct PresentationView {
    /// The row.
    pub row: PresentationRow,
    /// Where it is.
    pub status: PresentationStatus,
    /// What was shown.
    pub shown: Vec<ShownCredential>,
    /// What the wallet is given.
    pub url: String,
}

impl Presentations {
    /// The service.
    pub fn new(parts: PresentationParts) -> Self {
        let issuers = Issuers::new(&parts.trusted);
        Self(Arc::new(Inner { parts, issuers }))
    }

    pub(crate) fn issuers(&self) -> &Issuers {
        &self.0.issuers
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether anybody's credentials count.
    pub fn is_on(&self) -> bool {
        !self.trusted.is_empty() || self.own.is_some()
    }

    /// Makes a request.
    pub async fn ask(
        &self,
        asked: PresentationAsked,
        by: &Actor,
        origin: &Origin,
    ) -> Result<PresentationView, PresentationError> {
        if !self.is_on() {
            return Err(PresentationError::NoIssuers);
        }
        let invalid = |pointer: &str, must: &str| {
            PresentationError::Invalid(pointer.to_owned(), must.to_owned())
        };
        if let Some(problem) = asked.query.problem() {
            let pointer = format!("/dcql_query{}", problem.pointer);
            return Err(PresentationError::Invalid(pointer, problem.must.to_owned()));
        }
        let ttl = asked.ttl.unwrap_or(TTL);
        if !(TTL_MIN..=TTL_MAX).contains(&ttl) {
            return Err(invalid("/ttl_seconds", "must be 60 to 3600"));
        }
        let row = self.request(&asked.query, ttl, (None, 0))?;
        let event = self.event(&row, "asked", &[], by, Some(origin));
        let (row, event) = (&row, &event);
        let made = self.db.write(|tx| async move {
            presentations::insert(&tx, &self.tenant, row).await?;
            Ok::<_, PresentationError>(tx.emit(event.clone()).await?)
        });
        made.await?;
        self.view(row.clone())
    }

    /// A request, signed.
    fn request(
        &self,
        query: &Query,
        ttl: Duration,
        (session, task): (Option<Id<tags::IdvSession>>, u32),
    ) -> Result<PresentationRow, PresentationError> {
        let (now, entropy) = (self.now(), &*self.entropy);
        let id: Id<tags::Presentation> = Id::new(now, entropy);
        let (nonce, expires_at) = (random_token(entropy), now.plus(ttl));
        let mut audience = String::new();
        let made = |chain: &[&[u8]]| {
            let leaf = chain.first().copied().unwrap_or_default();
            audience = format!("x509_hash:{}", sha256(leaf));
            let x5c: Vec<_> = chain.iter().map(|one| BASE64.encode(one)).collect();
            let header = json!({ "alg": "ES256", "typ": REQUEST_TYP, "x5c": x5c });
            let said = json!({
                "aud": ANY_WALLET,
                "iat": now.secs(),
                "exp": expires_at.secs(),
                "client_id": audience,
                "response_type": "vp_token",
                "response_mode": "direct_post",
                "response_uri": format!("{}/presentations/{id}/response", self.issuer),
                "nonce": nonce,
                "state": id.to_string(),
                "dcql_query": query,
                "client_metadata": { "vp_formats_supported": { "dc+sd-jwt": {
                    "sd-jwt_alg_values": ["ES256", "EdDSA", "Ed25519", "PS256"],
                    "kb-jwt_alg_values": ["ES256", "EdDSA", "Ed25519", "PS256"],
                } } },
            });
            let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
            format!("{}.{}", part(&header), part(&said))
        };
        let (signed, signature) =
            self.identity.sign_es256(made).ok_or(PresentationError::Sealed)?;
        Ok(PresentationRow {
            id,
            session_id: session.map(|id| id.to_string()),
            task: i64::from(task),
            audience,
            nonce,
            query: json!(query).to_string(),
            request: format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature)),
            tries: 0,
            created_at: now,
            expires_at,
            answered_at: None,
            refused: None,
            sealed: Vec::new(),
            ends_at: expires_at.plus(KEPT),
        })
    }

    /// The signed request, for whichever wallet fetches it, as long as it can be answered.
    pub async fn signed_request(
        &self,
        id: Id<tags::Presentation>,
    ) -> Result<String, PresentationError> {
        let row = presentations::by_id(&self.db, &self.tenant, id).await?;
        let row = row.filter(|row| self.status(row) == PresentationStatus::Pending);
        row.map(|row| row.request).ok_or(PresentationError::NotFound)
    }

    /// A request of our caller, and what came of it.
    pub async fn show(
        &self,
        id: Id<tags::Presentation>,
    ) -> Result<PresentationView, PresentationError> {
        let row = presentations::by_id(&self.db, &self.tenant, id).await?;
        let row = row.filter(|row| row.session_id.is_none() && row.ends_at > self.now());
        self.view(row.ok_or(PresentationError::NotFound)?)
    }

    /// Forgets a request, with what was shown.
    pub async fn forget(
        &self,
        id: Id<tags::Presentation>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<(), PresentationError> {
        let row = self.show(id).await?.row;
        let event = &self.event(&row, "erased", &[], by, Some(origin));
        let gone = self.db.write(|tx| async move {
            if !presentations::remove(&tx, &self.tenant, id).await? {
                return Err(PresentationError::NotFound);
            }
            Ok(tx.emit(event.clone()).await?)
        });
        gone.await?;
        self.db.overwrite_remnants().await;
        Ok(())
    }

    fn status(&self, row: &PresentationRow) -> PresentationStatus {
        match row.answered_at {
            Some(_) => PresentationStatus::Answered,
            None if row.expires_at <= self.now() || row.tries >= TRIES_MAX => {
                PresentationStatus::Expired
            }
            None => PresentationStatus::Pending,
        }
    }

    fn view(&self, row: PresentationRow) -> Result<PresentationView, PresentationError> {
        let shown = if row.sealed.is_empty() {
            Vec::new()
        } else {
            let text = self.sealer.open(&purpose(row.id), &row.sealed)?;
            serde_json::from_slice(&text).map_err(|_| PresentationError::Sealed)?
        };
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("client_id", &row.audience);
        let request = format!("{}/presentations/{}/request", self.issuer, row.id);
        query.append_pair("request_uri", &request);
        let url = format!("openid4vp://?{}", query.finish());
        Ok(PresentationView { status: self.status(&row), shown, url, row })
    }

    /// What the log has of it: which request, and what came of it; never what was shown.
    fn event(
        &self,
        row: &PresentationRow,
        status: &'static str,
        codes: &[&'static str],
        by: &Actor,
        origin: Option<&Origin>,
    ) -> Event {
        let check = Check {
            report: row.id.to_string(),
            check: "credential",
            status,
            assurance: "cryptographic",
            codes: codes.to_vec(),
            inputs_hash: String::new(),
            trust: None,
        };
        let (now, kind) = (self.now(), Kind::Check(check));
        let id = Id::new(now, &*self.entropy);
        Event::new(id, now, origin.cloned(), by.clone(), Outcome::Success, kind)
    }
}

fn purpose(id: Id<tags::Presentation>) -> String {
    format!("presentation:{id}")
}

fn sha256(bytes: &[u8]) -> String {
    use aws_lc_rs::digest::{SHA256, digest};
    BASE64URL_NOPAD.encode(digest(&SHA256, bytes).as_ref())
}

/// The keys of our own issuer.
pub type OwnKeys = Arc<dyn Fn() -> Vec<VerifyingKey> + Send + Sync>;
