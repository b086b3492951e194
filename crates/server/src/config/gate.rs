//! Services behind the gate, and who may reach them.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Limit, optional_span, span_schema, thirty_seconds};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// Letters, digits, - and _; 1 to 64.
    pub name: String,
    /// `http://HOST:PORT` or `https://HOST:PORT`, one or more, unless `discover` finds them.
    #[serde(default)]
    pub servers: Vec<String>,
    /// Finds the servers in the DNS, and follows it.
    pub discover: Option<Discover>,
    /// The audience of the tokens it gets; its name if left out.
    pub audience: Option<String>,
    /// What is spoken with it; gRPC needs `http2`.
    #[serde(default)]
    pub protocol: Spoken,
    /// How long it may take to answer, counted from the end of the request.
    #[serde(default = "thirty_seconds", deserialize_with = "portcullis_types::span")]
    #[schemars(schema_with = "span_schema")]
    pub timeout: Duration,
    /// How long one server may take of that; all of it if left out.
    #[serde(default, deserialize_with = "optional_span")]
    #[schemars(schema_with = "span_schema")]
    pub try_timeout: Option<Duration>,
    /// How long a new connection may take, TLS included.
    #[serde(default = "two_seconds", deserialize_with = "portcullis_types::span")]
    #[schemars(schema_with = "span_schema")]
    pub connect_timeout: Duration,
    /// How often a GET, HEAD, OPTIONS, PUT or DELETE without a body is tried again at most, within
    /// a budget of a fifth of all requests. What was not sent yet is always tried elsewhere.
    #[serde(default = "two")]
    pub retries: u32,
    /// Whether a connection is used again after a request with a body. A service that answers before
    /// it has read the body would take the rest of it for the next request: set this to false for it.
    #[serde(default = "yes")]
    pub reuse_after_body: bool,
    /// Requests on their way at once; beyond that callers get 503.
    #[serde(default = "many_requests")]
    pub max_requests: usize,
    /// A server that comes back gets its share by and by, over this time.
    #[serde(default = "ten_seconds", deserialize_with = "portcullis_types::span")]
    #[schemars(schema_with = "span_schema")]
    pub slow_start: Duration,
    /// Servers that fail are left alone for a while, never more than half of them.
    #[serde(default)]
    pub outlier: OutlierConfig,
    /// How servers are watched; without it, only by their answers.
    pub health: Option<Health>,
    /// Whom to trust and what to show over https.
    #[serde(default)]
    pub tls: UpstreamTls,
}

/// What is spoken with an upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Spoken {
    /// HTTP/1.1; WebSockets need it.
    #[default]
    Http1,
    /// HTTP/2; over plain TCP with prior knowledge.
    Http2,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Discover {
    /// A name with A and AAAA records; needs `port`.
    pub host: Option<String>,
    /// The port of the servers.
    pub port: Option<u16>,
    /// Or the name of SRV records, such as `_http._tcp.profile.internal`.
    pub srv: Option<String>,
    /// `http` or `https`.
    #[serde(default = "plain_http")]
    pub scheme: String,
    /// Which DNS server to ask, `ADDRESS:PORT`; those of the system if left out.
    pub resolver: Option<SocketAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutlierConfig {
    /// After so many failures in a row; 0 for never.
    pub failures: u32,
    /// For so long the first time, longer every time, 5 minutes at most.
    #[serde(deserialize_with = "portcullis_types::span")]
    #[schemars(schema_with = "span_schema")]
    pub eject: Duration,
}

impl Default for OutlierConfig {
    fn default() -> Self {
        Self { failures: 5, eject: Duration::from_secs(30) }
    }
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
    /// Who the server must be: a SPIFFE id in its certificate, instead of its name.
    pub server_spiffe_id: Option<String>,
    /// Which keys the server may have: SHA-256 of its public key (SubjectPublicKeyInfo), base64, as
    /// RFC 7469 has them. Besides what else is asked of the certificate.
    pub pins: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Asked with GET; a 2xx answer means healthy.
    pub path: String,
    /// How often.
    #[serde(deserialize_with = "portcullis_types::span")]
    #[schemars(schema_with = "span_schema")]
    pub every: Duration,
    /// It answers in this time.
    #[serde(default = "two_seconds", deserialize_with = "portcullis_types::span")]
    #[schemars(schema_with = "span_schema")]
    pub timeout: Duration,
    /// So many bad answers in a row make a server ill.
    #[serde(default = "two")]
    pub unhealthy_after: u32,
    /// And so many good ones well again.
    #[serde(default = "one")]
    pub healthy_after: u32,
}

fn yes() -> bool {
    true
}

fn two_seconds() -> Duration {
    Duration::from_secs(2)
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

fn one() -> u32 {
    1
}

fn two() -> u32 {
    2
}

fn many_requests() -> usize {
    1024
}

fn plain_http() -> String {
    "http".to_owned()
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// Letters, digits, - and _; 1 to 64.
    pub name: String,
    /// The listener it belongs to.
    #[serde(default)]
    pub listen: Door,
    /// The hosts it is for, without ports; every host if left out. Routes that name a host come
    /// before those that name none.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Begins with /; `{name}` stands for a segment, `{*name}` for the rest.
    pub path: String,
    /// Upper-case methods; all if left out.
    #[serde(default)]
    pub methods: Vec<String>,
    /// The name of an upstream. None for `listen = "forward-auth"`.
    pub upstream: Option<String>,
    /// The audience of the token that another proxy gets, for `listen = "forward-auth"`; the name of
    /// the route if left out.
    pub audience: Option<String>,
    /// Any of these ways to prove who one is; never empty.
    pub authenticate: Vec<Authenticate>,
    /// Whose tokens are accepted: names of `token_issuer`, and `portcullis` for our own, which is
    /// what holds if left out.
    pub issuers: Option<Vec<String>>,
    /// All of these scopes are needed.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// How a person must have proved who they are: `urn:portcullis:acr:multi-factor`, `phr`, or a value of
    /// `[[verification.acr]]`.
    /// Whoever proved less is told to ask for it (RFC 9470). Only with `bearer`.
    pub acr: Option<String>,
    /// How long ago at most, such as `5min`. Only with `bearer`.
    #[serde(default, deserialize_with = "optional_span")]
    #[schemars(schema_with = "span_schema")]
    pub max_age: Option<Duration>,
    /// Whether the Cedar policies decide as well, where there are any.
    #[serde(default = "yes")]
    pub policy: bool,
    /// Workloads that may pass with `mtls`.
    #[serde(default)]
    pub spiffe_ids: Vec<String>,
    /// How much it matters when there is too much to do.
    #[serde(default)]
    pub priority: Importance,
    /// What may pass at most.
    #[serde(default)]
    pub limits: Vec<Limit>,
    /// An OpenAPI document that requests must fit.
    pub openapi: Option<PathBuf>,
    /// What becomes of requests that do not fit it.
    #[serde(default)]
    pub openapi_mode: ContractMode,
    /// What becomes of answers that say more than the document declares.
    #[serde(default)]
    pub openapi_responses: ContractResponses,
    /// The longest answer in bytes that is held against the document; 1 MiB if left out.
    pub max_response: Option<u64>,
    /// What becomes of JSON bodies that no document holds.
    #[serde(default)]
    pub json: JsonBodies,
    /// What becomes of cookies that the service sets.
    #[serde(default)]
    pub cookies: CookieMode,
    /// The longest body in bytes, unpacked; 1 MiB if left out.
    pub max_body: Option<u64>,
    /// Pages of which other origins may use the route (CORS). Without it the service answers for
    /// itself.
    pub cors: Option<CorsConfig>,
}

/// What becomes of JSON bodies that no document holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JsonBodies {
    /// They are read whole before they go on; names that are repeated, deep nesting, numbers beyond a
    /// double and other encodings than UTF-8 are refused. gzip and deflate are unpacked.
    #[default]
    Strict,
    /// They stream, whatever is in them.
    Pass,
}

/// What becomes of cookies that the service sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CookieMode {
    /// They stay as they are.
    Pass,
    /// `Secure` is added, and `SameSite=Lax` where the service does not say.
    #[default]
    Secure,
    /// The same, `HttpOnly` is added, and `Domain` taken away.
    Strict,
}

/// What becomes of requests that do not fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ContractMode {
    /// They are refused.
    #[default]
    Refuse,
    /// They pass, and what does not fit is in their event (`unmapped.violations`).
    Learn,
}

/// What becomes of answers that say more than was declared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ContractResponses {
    /// What was not declared is taken out; what does not fit even then is not passed on.
    #[default]
    Redact,
    /// Answers are not looked at.
    Off,
}

/// How much a route matters when not all requests can be answered. Our own always do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Importance {
    /// Its requests are refused first.
    Low,
    /// When what is low is refused already.
    #[default]
    Normal,
    /// They are never refused for that.
    High,
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
    /// No listener of ours: another proxy holds the request, asks at `/authz`, and forwards it.
    ForwardAuth,
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
    /// A browser whose user has logged in at this installation: the gate does it all, and the
    /// service needs to know nothing of it.
    Session,
    /// Nothing.
    None,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Protect {
    /// They stand instead of the built-in ones.
    pub limits: Vec<Limit>,
}

/// Cedar policies. Where there are any, every route of the file is refused unless one permits it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// Files with policies.
    pub files: Vec<PathBuf>,
    /// Another schema than the built-in one, which `portcullis policy schema` prints.
    pub schema: Option<PathBuf>,
}
