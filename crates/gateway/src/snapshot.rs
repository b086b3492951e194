use std::{collections::HashSet, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use http::{Method, Request, Response};
use ipnet::IpNet;
use portcullis_cluster::{ApiKeys, Blocks, Limiter, Replays, Revocations};
use portcullis_events::Event;
use portcullis_jose::{
    Audience, JwsError, SigningKey, Verifier, VerifyingKey,
    access_token::{self, AccessClaims},
    sign,
};
use portcullis_pki::SpiffeId;
use portcullis_types::{Id, SharedClock, SharedEntropy, Timestamp, tags};

use crate::{
    authn::{AuthKind, Principal},
    body::GateBody,
    contract::Contract,
    cors::Cors,
    issuers::Issuer,
    limits::{LimitBlock, LimitRule},
    listener::ListenerKind,
    token_cache::TokenCache,
    upstream::Upstream,
};

/// A request's body is at most this long, unless the route says otherwise.
pub const DEFAULT_BODY_LIMIT: u64 = 1024 * 1024;

/// A service in this process.
pub type LocalService = Arc<
    dyn Fn(Request<GateBody>) -> Pin<Box<dyn Future<Output = Response<GateBody>> + Send>>
        + Send
        + Sync,
>;

/// Where a route leads.
#[derive(Clone)]
pub enum Target {
    /// Servers behind the gate.
    Upstream(Arc<Upstream>),
    /// A built-in service, which checks credentials of its own kind itself.
    Local(LocalService),
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(upstream) => write!(f, "Upstream({})", upstream.name),
            Self::Local(_) => f.write_str("Local"),
        }
    }
}

/// One rule of who may go where.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its name, in events and limits.
    pub name: String,
    /// The door it belongs to.
    pub listener: ListenerKind,
    /// The path, with `{name}` for a segment and `{*name}` for the rest.
    pub path: String,
    /// The methods; empty means all.
    pub methods: Vec<Method>,
    /// GET is more than reading: HEAD is not answered in its place.
    pub get_has_effects: bool,
    /// Where it leads.
    pub target: Target,
    /// Any of these ways to prove who one is.
    pub authenticate: Vec<AuthKind>,
    /// Whether tokens of ours are accepted.
    pub own_tokens: bool,
    /// Whose tokens are accepted besides.
    pub issuers: Vec<Arc<Issuer>>,
    /// All of these scopes are needed.
    pub scopes: Vec<String>,
    /// How, and how long ago, a person must have proved who they are.
    pub step_up: Option<StepUp>,
    /// Workloads that may pass.
    pub spiffe_ids: Vec<SpiffeId>,
    /// What may pass at most.
    pub limits: Vec<LimitRule>,
    /// The longest body.
    pub max_body: u64,
    /// What requests must fit.
    pub contract: Option<Arc<Contract>>,
    /// Pages of which other origins may use it.
    pub cors: Option<Cors>,
}

impl Route {
    /// Whether tokens of this issuer are accepted; `None` stands for ours. Issuers are told apart by
    /// identity: what a former configuration let one say does not count.
    pub(crate) fn accepts(&self, issuer: Option<&Arc<Issuer>>) -> bool {
        match issuer {
            None => self.own_tokens,
            Some(issuer) => self.issuers.iter().any(|known| Arc::ptr_eq(known, issuer)),
        }
    }
}

/// What a token must say of the login behind it (RFC 9470).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepUp {
    /// Any of these values of `acr` will do; empty means all. The first is what clients are told
    /// to ask for.
    pub acr_values: Vec<String>,
    /// The login may be at most this old.
    pub max_age: Option<Duration>,
}

/// Routes that contradict each other.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The path is not a pattern, or overlaps with another.
    #[error("route {route}: {source}")]
    Path {
        /// The route.
        route: String,
        /// What is wrong.
        #[source]
        source: matchit::InsertError,
    },
    /// Two routes answer the same path and method.
    #[error("routes {first} and {second} have the same path and method")]
    Twice {
        /// The first.
        first: String,
        /// The second.
        second: String,
    },
}

/// Routes of one listener.
#[derive(Default)]
struct Table(matchit::Router<Vec<Arc<Route>>>);

/// Everything that the configuration decides, immutable. A request loads it once.
pub struct Snapshot {
    public: Table,
    mesh: Table,
    /// Checks our access tokens for the gate's audience.
    pub verifier: Verifier,
    /// The keys it checks them with.
    pub keys: Vec<VerifyingKey>,
    /// Signs tokens for upstreams.
    pub minter: Minter,
    /// Proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// The gate's own names, with ports.
    hosts: HashSet<String>,
    /// What was checked and signed under it.
    pub(crate) tokens: TokenCache,
}

/// What a path led to.
pub(crate) enum Found {
    Route(Arc<Route>),
    /// The path is known, but not with this method.
    Methods(Vec<Method>),
    Nothing,
}

impl Snapshot {
    /// Checks the routes and builds the tables.
    pub fn new(
        routes: Vec<Route>,
        verifier: Verifier,
        keys: Vec<VerifyingKey>,
        minter: Minter,
        trusted_proxies: Vec<IpNet>,
        hosts: &[String],
        remembered_tokens: usize,
    ) -> Result<Self, SnapshotError> {
        let (mut public, mut mesh) = (Table::default(), Table::default());
        for route in routes {
            match route.listener {
                ListenerKind::Public => public.add(route)?,
                ListenerKind::Mesh => mesh.add(route)?,
            }
        }
        let tokens = TokenCache::new(remembered_tokens);
        let hosts = hosts.iter().map(|host| with_port(&host.to_ascii_lowercase())).collect();
        Ok(Self { public, mesh, verifier, keys, minter, trusted_proxies, hosts, tokens })
    }

    /// Whether `host`, lower case and perhaps with a port, is one of the gate's own names. What a
    /// request says of itself is no proof of where its sender meant it to go.
    pub(crate) fn is_own_host(&self, host: &str) -> bool {
        self.hosts.contains(&with_port(host))
    }

    pub(crate) fn find(&self, listener: ListenerKind, method: &Method, path: &str) -> Found {
        let table = match listener {
            ListenerKind::Public => &self.public,
            ListenerKind::Mesh => &self.mesh,
        };
        let Ok(found) = table.0.at(path) else {
            return Found::Nothing;
        };
        let accepts = |route: &&Arc<Route>| {
            // A service that answers GET answers HEAD (RFC 9110, section 9.3.2), unless its GET
            // does something that a HEAD must not.
            let head = *method == Method::HEAD && !route.get_has_effects;
            let method = if head { &Method::GET } else { method };
            route.methods.is_empty() || route.methods.contains(method)
        };
        match found.value.iter().find(accepts) {
            Some(route) => Found::Route(route.clone()),
            None => {
                let methods = found.value.iter().flat_map(|route| route.methods.clone());
                Found::Methods(methods.collect())
            }
        }
    }
}

/// A host with the port that https stands for, unless it names one.
fn with_port(host: &str) -> String {
    let bare = host.rsplit_once(']').map_or(host, |(_, rest)| rest);
    if bare.contains(':') { host.to_owned() } else { format!("{host}:443") }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snapshot")
    }
}

impl Table {
    fn add(&mut self, route: Route) -> Result<(), SnapshotError> {
        let path = route.path.clone();
        let name = route.name.clone();
        let route = Arc::new(route);
        // `matchit` tells an exact duplicate apart only by failing, so look first.
        if let Ok(known) = self.0.at_mut(&sample(&path)) {
            let same = known.value.iter().all(|other| other.path == path);
            if same && !known.value.is_empty() {
                if let Some(other) = known.value.iter().find(|other| overlap(other, &route)) {
                    let first = other.name.clone();
                    return Err(SnapshotError::Twice { first, second: name });
                }
                known.value.push(route);
                return Ok(());
            }
        }
        let inserted = self.0.insert(path, vec![route]);
        inserted.map_err(|source| SnapshotError::Path { route: name, source })
    }
}

fn overlap(left: &Route, right: &Route) -> bool {
    left.methods.is_empty()
        || right.methods.is_empty()
        || left.methods.iter().any(|method| right.methods.contains(method))
}

/// A path that the pattern matches and that no other pattern is likely to name.
fn sample(pattern: &str) -> String {
    let segment = |segment: &str| {
        if segment.starts_with('{') { "\u{1}".to_owned() } else { segment.to_owned() }
    };
    pattern.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// Signs tokens for the audience of an upstream, so that a service never holds one that opens
/// another door. A caller's requests share one for half of its life.
#[derive(Debug, Clone)]
pub struct Minter {
    /// The issuer.
    pub issuer: String,
    /// The key.
    pub key: Arc<SigningKey>,
}

/// A token for an upstream lives this long: every request has half of it before it.
const MINTED_LIFETIME: Duration = Duration::from_secs(60);

impl Minter {
    pub(crate) fn mint(
        &self,
        who: &Principal,
        audience: &str,
        now: Timestamp,
        entropy: &SharedEntropy,
        tokens: &TokenCache,
    ) -> Result<Option<Arc<str>>, JwsError> {
        let claims = |subject: &str, client: &str, scope: String| AccessClaims {
            iss: self.issuer.clone(),
            sub: subject.to_owned(),
            aud: Audience::One(audience.to_owned()),
            exp: now.plus(MINTED_LIFETIME).secs(),
            iat: now.secs(),
            jti: Id::<tags::Token>::new(now, &**entropy).to_string(),
            client_id: client.to_owned(),
            scope,
            auth_time: None,
            acr: None,
            groups: Vec::new(),
            roles: Vec::new(),
            act: None,
            sid: None,
            grant_id: None,
            preferred_username: None,
            cnf: None,
            status: None,
        };
        let claims = || match who {
            Principal::Anonymous => None,
            Principal::Token(own) => Some(AccessClaims {
                auth_time: own.auth_time,
                acr: own.acr.clone(),
                act: own.act.clone(),
                status: own.status.clone(),
                preferred_username: own.preferred_username.clone(),
                groups: own.groups.clone(),
                roles: own.roles.clone(),
                ..claims(&own.sub, &own.client_id, own.scope.clone())
            }),
            Principal::ApiKey(key) => Some(claims(&key.id, &key.id, key.scopes.join(" "))),
            Principal::Workload(id) => Some(claims(id.as_str(), id.as_str(), String::new())),
        };
        let sign = || {
            let signed = claims().map(|claims| sign(&self.key, access_token::TYP, &claims));
            let token = signed.transpose()?;
            Ok(token.map(|token| (token, now.plus(MINTED_LIFETIME / 2))))
        };
        tokens.minted(who, audience, now, sign)
    }
}

/// What changes while requests pass: counters, blocks, revocations, and the ways out.
#[derive(Clone)]
pub struct Shared {
    /// Rate counters.
    pub limiter: Arc<Limiter>,
    /// Addresses that may not enter.
    pub blocks: Arc<Blocks>,
    /// Tokens that are void.
    pub revocations: Arc<Revocations>,
    /// DPoP proofs that were used.
    pub replays: Arc<Replays>,
    /// API keys that work.
    pub api_keys: Arc<ApiKeys>,
    /// The time.
    pub clock: SharedClock,
    /// Randomness.
    pub entropy: SharedEntropy,
    /// Where events go. Must not block.
    pub record: Arc<dyn Fn(Event) + Send + Sync>,
    /// Who is told when a limit blocks an address. Must not block.
    pub limit_blocked: Arc<dyn Fn(LimitBlock) + Send + Sync>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}
