//! Services behind the gate, and who may reach them.

use std::{path::PathBuf, time::Duration};

use portcullis_cluster::Rate;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{optional_span, rate, rate_schema, span, span_schema, thirty_seconds};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// Letters, digits, - and _; 1 to 64.
    pub name: String,
    /// `http://HOST:PORT` or `https://HOST:PORT`, one or more.
    pub servers: Vec<String>,
    /// The audience of the tokens it gets; its name if left out.
    pub audience: Option<String>,
    /// How long it may take to answer.
    #[serde(default = "thirty_seconds", deserialize_with = "span")]
    #[schemars(schema_with = "span_schema")]
    pub timeout: Duration,
    /// How servers are watched; without it, only by their answers.
    pub health: Option<Health>,
    /// Whom to trust and what to show over https.
    #[serde(default)]
    pub tls: UpstreamTls,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamTls {
    /// Whom to trust, PEM; the built-in authority if left out.
    pub ca: Option<PathBuf>,
    /// Show a certificate of the built-in authority with this id.
    pub spiffe_id: Option<String>,
    /// Or show this certificate, PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Asked with GET; a 2xx answer means healthy.
    pub path: String,
    /// How often.
    #[serde(deserialize_with = "span")]
    #[schemars(schema_with = "span_schema")]
    pub every: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// Letters, digits, - and _; 1 to 64.
    pub name: String,
    /// The listener it belongs to.
    #[serde(default)]
    pub listen: Door,
    /// Begins with /; `{name}` stands for a segment, `{*name}` for the rest.
    pub path: String,
    /// Upper-case methods; all if left out.
    #[serde(default)]
    pub methods: Vec<String>,
    /// The name of an upstream.
    pub upstream: String,
    /// Any of these ways to prove who one is; never empty.
    pub authenticate: Vec<Authenticate>,
    /// All of these scopes are needed.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// How a person must have proved who they are: `urn:portcullis:acr:multi-factor` or `phr`.
    /// Whoever proved less is told to ask for it (RFC 9470). Only with `bearer`.
    pub acr: Option<String>,
    /// How long ago at most, such as `5min`. Only with `bearer`.
    #[serde(default, deserialize_with = "optional_span")]
    #[schemars(schema_with = "span_schema")]
    pub max_age: Option<Duration>,
    /// Workloads that may pass with `mtls`.
    #[serde(default)]
    pub spiffe_ids: Vec<String>,
    /// What may pass at most.
    #[serde(default)]
    pub limits: Vec<Limit>,
    /// An OpenAPI document that requests must fit.
    pub openapi: Option<PathBuf>,
    /// The longest body in bytes; 1 MiB if left out.
    pub max_body: Option<u64>,
    /// Pages of which other origins may use the route (CORS). Without it the service answers for
    /// itself.
    pub cors: Option<CorsConfig>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorsConfig {
    /// Such as `https://app.example`, each spelled as browsers send it.
    pub origins: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// The public listener.
    #[default]
    Public,
    /// The mutual TLS listener.
    Mesh,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Authenticate {
    /// An access token of ours.
    Bearer,
    /// An API key of ours in `X-API-Key`.
    ApiKey,
    /// A client certificate; for the mesh listener.
    Mtls,
    /// A browser's session. Not available in this version.
    Session,
    /// Nothing.
    None,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// What is counted by.
    pub key: Key,
    /// `5/min`: so many in such a time; 1 to 1000000 per s, min, h or d.
    #[serde(deserialize_with = "rate")]
    #[schemars(schema_with = "rate_schema")]
    pub rate: Rate,
    /// How long whoever goes beyond it stays out; only until it is over if left out.
    #[serde(default, deserialize_with = "optional_span")]
    #[schemars(schema_with = "span_schema")]
    pub block: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Key {
    /// The client's address, or its IPv6 /64.
    Ip,
    /// Whoever the credential belongs to.
    Subject,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Protect {
    /// They stand instead of the built-in ones.
    pub limits: Vec<Limit>,
}
