//! `portcullis.toml`: read and checked as a whole. Unknown keys are errors.

mod aml;
mod audit;

mod certificates;
mod check;
mod console;
mod detect;
mod gate;
mod issuer;
mod keys;
mod limit;
mod load;
mod login;
mod place;
mod sink;
mod traces;
mod verification;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema, schema_for};
use serde::{Deserialize, Deserializer};

pub use aml::AmlConfig;
pub use audit::AuditConfig;
pub use certificates::{Certificates, WorkloadConfig};
pub use console::ConsoleConfig;
pub use detect::Detect;
pub use gate::{
    Authenticate, ContractMode, ContractResponses, CookieMode, Discover, Door, Importance,
    JsonBodies, PolicyConfig, Protect, RouteConfig, Spoken, UpstreamConfig, UpstreamTls,
};
pub use issuer::TokenIssuer;
pub use keys::{KeyEncryption, Keys};
pub use limit::{CountedRequests, Limit};
pub use login::{LoginProvider, PasskeysConfig, ThemeConfig};
pub use place::Mistake;
pub use sink::{Beginning, OcsfVersion, Personal, SinkConfig, SyslogFormat};
pub use traces::TracingConfig;
pub use verification::{MailResolver, ProviderConfig, VerificationConfig};

/// The whole configuration.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The only source of our own URLs; never the Host header.
    pub issuer: String,
    /// Where connections are accepted.
    pub listen: Listen,
    /// The certificate of the public listener.
    #[serde(default)]
    pub tls: Tls,
    /// Where accounts, clients and sessions are kept.
    pub database: Database,
    /// What several nodes share.
    pub cluster: Option<Cluster>,
    /// How the address of a client is found out.
    #[serde(default)]
    pub client_address: ClientAddress,
    /// How long tokens live.
    #[serde(default)]
    pub tokens: Tokens,
    /// What tokens are signed with, and when keys follow each other.
    #[serde(default)]
    pub keys: Keys,
    /// Where the key is that the installation's secrets are sealed with.
    #[serde(default)]
    pub key_encryption: KeyEncryption,
    /// The look of the pages.
    #[serde(default)]
    pub theme: ThemeConfig,
    /// Other providers that people may log in with.
    #[serde(default, rename = "login_provider")]
    pub login_providers: Vec<LoginProvider>,
    /// Password rules and the cost of argon2id.
    #[serde(default)]
    pub passwords: Passwords,
    /// Which devices passkeys may be on.
    #[serde(default)]
    pub passkeys: PasskeysConfig,
    /// How mails leave.
    #[serde(default)]
    pub mail: Mail,
    /// Calls to addresses that clients name: key sets, sector identifiers, logouts.
    #[serde(default)]
    pub egress: EgressConfig,
    /// Clients that register themselves (RFC 7591).
    #[serde(default)]
    pub registration: RegistrationConfig,
    /// What happens to addresses that attack.
    #[serde(default)]
    pub detect: Detect,
    /// How long the audit log keeps what.
    #[serde(default)]
    pub audit: AuditConfig,
    /// How subjects are screened against lists.
    #[serde(default)]
    pub aml: AmlConfig,
    /// Identity verification.
    #[serde(default)]
    pub verification: VerificationConfig,
    /// The pages for the people who run this.
    #[serde(default)]
    pub console: ConsoleConfig,
    /// Where traces of requests are collected; none are if it is left out.
    pub tracing: Option<TracingConfig>,
    /// Who gets the record besides us.
    #[serde(default, rename = "sink")]
    pub sinks: Vec<SinkConfig>,
    /// Who may do what, beside what routes say.
    pub policy: Option<PolicyConfig>,
    /// The certificate authority.
    #[serde(default)]
    pub certificates: Certificates,
    /// Workloads that get certificates with tokens of issuers.
    #[serde(default, rename = "workload")]
    pub workloads: Vec<WorkloadConfig>,
    /// Others whose access tokens routes may accept.
    #[serde(default, rename = "token_issuer")]
    pub token_issuers: Vec<TokenIssuer>,
    /// Services behind the gate.
    #[serde(default, rename = "upstream")]
    pub upstreams: Vec<UpstreamConfig>,
    /// Who may go where.
    #[serde(default, rename = "route")]
    pub routes: Vec<RouteConfig>,
    /// Limits of the product's own doors: `login`, `register`, `recovery`, `second`, `token`, `authorize`,
    /// `enrol`, `aml`.

    #[serde(default)]
    pub protect: BTreeMap<String, Protect>,
    /// Where relative paths begin: the directory of the file.
    #[serde(skip)]
    pub base: PathBuf,
    /// The file itself, if there is one.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// What it says, to see what changed.
    #[serde(skip)]
    pub text: toml::Table,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// TLS for everyone: `ADDRESS:PORT`.
    pub public: SocketAddr,
    /// Mutual TLS for services.
    pub mesh: Option<SocketAddr>,
    /// Further names, with port unless it is 443, under which clients reach the gate: proofs of
    /// possession must be for one of them. The issuer's and the mesh listener's are known.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Where clients reach the mesh listener, such as `https://mtls.example.org`; the host of the
    /// issuer and the listener's port if left out.
    pub mesh_url: Option<String>,
    /// `/healthz`, `/readyz` and `/metrics` over plain HTTP; keep it on loopback.
    pub operations: Option<SocketAddr>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Where the certificate comes from.
    #[serde(default)]
    pub mode: TlsMode,
    /// The certificate and those that sign it, PEM; for mode `files`.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// Whether the mesh listener takes certificates that vouch for themselves, for clients that
    /// are registered with `self_signed_tls_client_auth`. They open nothing else.
    #[serde(default)]
    pub self_signed_clients: bool,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EgressConfig {
    /// Networks that may be called although they are not public, such as `10.1.0.0/16`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub allow: Vec<IpNet>,
    /// Authorities that are trusted besides those of the web, PEM.
    pub ca: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RegistrationConfig {
    /// Who may register clients.
    pub mode: Registration,
    /// The scopes that such clients may have.
    pub scopes: Vec<String>,
    /// Resource servers that such clients may ask tokens for (`resource`, RFC 8707).
    pub audiences: Vec<String>,
    /// Whether confidential ones rely on the nonce of their ID tokens and may leave PKCE out.
    pub nonce_instead_of_pkce: bool,
}

impl Default for RegistrationConfig {
    fn default() -> Self {
        Self {
            mode: Registration::Off,
            scopes: ["openid", "profile", "email"].map(str::to_owned).to_vec(),
            audiences: Vec::new(),
            nonce_instead_of_pkce: false,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Registration {
    /// Administrators only.
    #[default]
    Off,
    /// Whoever has an access token with the scope `client_registration`.
    Token,
    /// Everybody, for clients that act for people and ask for consent.
    Open,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// The built-in authority, made at the first start.
    #[default]
    LocalCa,
    /// The files `certificate` and `key`, PEM.
    Files,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `sqlite:FILE` (relative to the data directory) or `postgres://USER:PASSWORD@HOST/NAME`.
    pub url: String,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// `valkey://HOST:PORT`. Not available in this version.
    pub url: String,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientAddress {
    #[serde(default)]
    /// Networks of proxies whose `X-Forwarded-For` counts, such as `10.0.0.0/8`.
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpNet>,
    /// Whether connections of these proxies begin with the PROXY protocol, version 1 or 2. Those of
    /// others never do.
    #[serde(default)]
    pub proxy_protocol: bool,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tokens {
    /// At most 1h.
    #[serde(deserialize_with = "portcullis_types::span")]
    #[schemars(schema_with = "span_schema")]
    pub access_token_lifetime: Duration,
    /// How long a refresh token may stay unused.
    #[serde(deserialize_with = "portcullis_types::span")]
    #[schemars(schema_with = "span_schema")]
    pub refresh_token_lifetime: Duration,
    /// Services that check tokens themselves learn of a revocation within this time; 3s to 1h.
    #[serde(deserialize_with = "portcullis_types::span")]
    #[schemars(schema_with = "span_schema")]
    pub status_list_lifetime: Duration,
    /// Tokens whose signature the gate remembers, some 1 KiB each; 0 for none.
    pub remembered: usize,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            access_token_lifetime: Duration::from_secs(300),
            refresh_token_lifetime: Duration::from_secs(24 * 3600),
            status_list_lifetime: Duration::from_secs(15),
            remembered: 8_192,
        }
    }
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Passwords {
    /// More known passwords, one a line.
    pub blocklist: Option<PathBuf>,
    /// Memory of a hash in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub passes: u32,
    /// Hashes computed at once; 0 means one for each core.
    pub concurrency: usize,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { blocklist: None, memory_kib: 19 * 1024, passes: 2, concurrency: 0 }
    }
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mail {
    /// The sender of every mail.
    pub from: Option<String>,
    /// `smtps://user:password@host:465`, or `smtp://…?tls=required` for STARTTLS.
    pub smtp: Option<String>,
    /// Mails are written here as `.eml` files when there is no server.
    pub directory: Option<PathBuf>,
}

/// The doors of the product itself whose limits can be set.
pub const PROTECTED: [&str; 10] = [
    "login",
    "register",
    "recovery",
    "second",
    "authorize",
    "token",
    "enrol",
    "aml",
    "idv",
    "verify",
];

/// A time, as [`portcullis_types::read_span`] reads it.
fn span_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9]+(ms|s|min|h|d)$", "examples": ["15min"] })
}

/// A rate, as [`Rate`] reads it.
fn rate_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9]+/(s|sec|min|h|hour|d|day)$", "examples": ["5/min"] })
}

/// What editors and other tools can hold a configuration against.
pub fn schema() -> String {
    format!("{:#}\n", schema_for!(Config).as_value())
}

fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}

fn optional_span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    portcullis_types::span(deserializer).map(Some)
}
