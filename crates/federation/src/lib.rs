//! The other side of OpenID Connect: people prove who they are at another provider, and this is how
//! we ask it (Core, section 3.1) and how we check what it says.
//!
//! The code flow with PKCE, state and nonce; the issuer of the answer is held against the one that
//! was asked (RFC 9207); everything is fetched through egress. What an identity here means for an
//! account is decided elsewhere.

mod flow;
mod issuer;
mod metadata;

pub use flow::{Attempt, Returned, UpstreamPerson};
pub use issuer::{IntrospectionSettings, IssuerClient};

use std::sync::Mutex;

use portcullis_egress::{Egress, EgressError};
use portcullis_jose::VerifyError;
use portcullis_types::Secret;

use metadata::Known;

/// A provider that people may log in with.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    /// Its name in addresses and in the database.
    pub name: String,
    /// What people see on the button.
    pub label: String,
    /// Its issuer; metadata is below it.
    pub issuer: String,
    /// What we are called there.
    pub client_id: String,
    /// How we prove it.
    pub client_secret: Secret<String>,
    /// What we ask for; contains `openid`.
    pub scopes: Vec<String>,
    /// Whether an address that it calls verified counts as proven here.
    pub trust_email: bool,
}

/// It could not be asked, or its answer does not hold.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// It did not answer.
    #[error("the provider could not be reached")]
    Unreachable(#[from] EgressError),
    /// It answered with something else than the standard says.
    #[error("the provider's answer at {0} is not usable")]
    Answer(&'static str),
    /// It refused: the person said no, or the registration is wrong.
    #[error("the provider refused")]
    Refused,
    /// The answer belongs to another request, another browser, or another provider.
    #[error("the answer does not belong to the request")]
    Mismatch,
    /// The person had to prove anew who they are, and the provider does not say that they did.
    #[error("the provider does not say that the person logged in just now")]
    NotFresh,
    /// The ID token does not hold.
    #[error("the ID token does not hold")]
    Token(#[from] VerifyError),
}

/// One provider, with what it says of itself.
#[derive(Debug)]
pub struct UpstreamProvider {
    /// What the operator wrote.
    pub settings: ProviderSettings,
    egress: Egress,
    known: Mutex<Option<Known>>,
}

impl UpstreamProvider {
    /// Nothing is fetched before somebody wants to log in.
    pub fn new(settings: ProviderSettings, egress: Egress) -> Self {
        Self { settings, egress, known: Mutex::default() }
    }
}
