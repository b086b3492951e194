//! The OpenID provider: OAuth 2.1 core with PKCE, OpenID Connect Core, discovery (OIDC and
//! RFC 8414), RFC 7009, RFC 7662, RFC 8628, RFC 9068, RFC 9126, RFC 9207, RFC 9449 and RP-initiated logout.
//!
//! Protocol first, HTTP last: [`Provider`] holds the operations, [`router`] puts those of machines
//! on HTTP. What people see (login, consent) is in `pages`, which calls [`Provider`] as well.

mod applications;
mod authorize;
mod backchannel;
mod claims;
mod client;
mod client_admin;
mod client_auth;
mod client_check;
mod client_keys;
mod device;
mod discovery;
mod dpop;
mod error;
mod exchange;
mod fapi;
mod http_api;
mod interaction;
mod introspect;
mod issue;
mod keys;
mod known_clients;
mod logout;
mod params;
mod proof;
mod provider;
mod pushed;
mod registration;
mod registration_api;
mod resources;
mod status_list;
mod subject;
mod token;
mod userinfo;
mod verified;
mod wallet;

pub use applications::Application;
pub use authorize::VERIFIED_LOGIN;
pub use authorize::{AuthorizationRequest, AuthorizeError, CODE_LIFETIME};
pub use claims::check_claims_parameter;
pub use client::{AuthMethod, Client, ClientSettings, GrantType, is_redirect_uri};
pub use client_admin::{CONSOLE_CLIENT, ClientError, ClientSpec, GATE_CLIENT, is_of_gate};
pub use client_keys::ClientKeys;
pub use device::DeviceQuestion;
pub use dpop::{Dpop, proof_lifetime};
pub use error::{ErrorCode, OAuthError};
pub use fapi::SecurityProfile;
pub use http_api::router;
pub use interaction::{Need, Prompt};
pub use keys::{
    CREDENTIAL_LIFETIME_MAX, KeyChangedBy, KeyRing, KeyRingError, KeySchedule, KeyUse, Keys,
};
pub use logout::{LogoutError, LogoutRequest};
pub use params::{Params, ParamsError};
pub use proof::{Missing, ProofRule};
pub use provider::{Provider, ProviderError, Settings};
pub use registration::{RegistrationMode, RegistrationPolicy};
pub use resources::{ResourceKeys, ResourceServerSpec};
pub use subject::SubjectType;
pub use wallet::{
    CredentialSettings, HeldCredential, Offer, OfferError, PATH as WALLET_LISTS, VCT as WALLET_VCT,
};
