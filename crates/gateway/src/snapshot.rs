use std::{
    collections::{HashMap, HashSet},
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use http::{Method, Request, Response};
use ipnet::IpNet;
use portcullis_cluster::{ApiKeys, Blocks, Replays, Revocations};
use portcullis_events::Event;
use portcullis_jose::{Verifier, VerifyingKey};
use portcullis_pki::SpiffeId;
use portcullis_policy::Policies;
use portcullis_types::{SharedClock, SharedEntropy};

use crate::{
    authn::AuthKind,
    body::GateBody,
    contract::Contract,
    cookies::Cookies,
    cors::Cors,
    issuers::Issuer,
    limits::{Counters, LimitBlock, LimitRule},
    listener::ListenerKind,
    minter::Minter,
    overload::{Overload, Priority},
    session::Sessions,
    token_cache::TokenCache,
    trace_context::Tracing,
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
    /// A service behind another proxy, which asks here and forwards itself. Its tokens are for this
    /// audience.
    Elsewhere {
        /// The audience.
        audience: String,
    },
    /// A built-in service, which checks credentials of its own kind itself.
    Local(LocalService),
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(upstream) => write!(f, "Upstream({})", upstream.name),
            Self::Elsewhere { audience } => write!(f, "Elsewhere({audience})"),
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
    /// The hosts it is for, lower case, without ports; empty means all.
    pub hosts: Vec<String>,
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
    /// How long ago somebody whom a browser's session speaks for must have proved who they are.
    pub fresh_session: Option<Duration>,
    /// Whether the policies decide as well, where there are any.
    pub policies: bool,
    /// Workloads that may pass.
    pub spiffe_ids: Vec<SpiffeId>,
    /// Whether every workload may pass.
    pub any_workload: bool,
    /// How much it matters when there is too much to do.
    pub priority: Priority,
    /// What may pass at most.
    pub limits: Vec<Arc<LimitRule>>,
    /// The longest body.
    pub max_body: u64,
    /// What requests must fit.
    pub contract: Option<Arc<Contract>>,
    /// Whether what does not fit is only reported.
    pub learning: bool,
    /// Whether answers are held against the contract, and lose what it does not declare.
    pub checks_responses: bool,
    /// Whether JSON that no contract holds is read before it goes on.
    pub checks_json: bool,
    /// What happens to cookies that a service sets.
    pub cookies: Cookies,
    /// The longest answer that is looked at.
    pub max_response: u64,
    /// Pages of which other origins may use it.
    pub cors: Option<Cors>,
}

impl Route {
    /// `/a` and `/a/` for `/a/{*rest}`.
    fn bare(&self) -> Vec<Self> {
        let Some((before, _)) = self.path.split_once("/{*") else { return Vec::new() };
        let paths = [before.to_owned(), format!("{before}/")];
        let paths = paths.into_iter().filter(|path| !path.is_empty());
        paths.map(|path| Self { path, ..self.clone() }).collect()
    }

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

/// Routes of one listener: those of particular hosts, and those of all others.
#[derive(Default)]
struct Tables {
    hosts: HashMap<String, Table>,
    all: Table,
    count: usize,
}

#[derive(Default)]
struct Table(matchit::Router<Vec<Arc<Route>>>);

/// Everything that the configuration decides, immutable. A request loads it once.
pub struct Snapshot {
    /// Every one, for people who look at them.
    routes: Vec<Arc<Route>>,
    public: Tables,
    mesh: Tables,
    elsewhere: Tables,
    /// Browsers that log in, if any route wants them.
    pub(crate) sessions: Vec<Sessions>,
    /// Decide beside scopes, if there are any.
    pub(crate) policies: Option<Arc<Policies>>,
    /// Checks our access tokens for the gate's audience.
    pub verifier: Verifier,
    /// The keys it checks them with.
    pub keys: Vec<VerifyingKey>,
    /// Signs tokens for upstreams.
    pub minter: Minter,
    /// Proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether their connections begin with the PROXY protocol.
    pub proxy_protocol: bool,
    /// The gate's own names, with ports.
    hosts: HashSet<String>,
    /// What was checked and signed under it.
    pub(crate) tokens: TokenCache,
}

/// What a snapshot is made of.
pub struct SnapshotParts {
    /// Who may go where.
    pub routes: Vec<Route>,
    /// Checks our access tokens for the gate's audience.
    pub verifier: Verifier,
    /// The keys it checks them with.
    pub keys: Vec<VerifyingKey>,
    /// Signs tokens for upstreams.
    pub minter: Minter,
    /// Proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether their connections begin with the PROXY protocol.
    pub proxy_protocol: bool,
    /// The gate's own names, with ports.
    pub hosts: Vec<String>,
    /// Tokens whose signature is remembered.
    pub remembered_tokens: usize,
    /// What decides beside scopes.
    pub policies: Option<Arc<Policies>>,
    /// How the gate is a client of the provider; one of each kind at most.
    pub sessions: Vec<Sessions>,
}

impl fmt::Debug for SnapshotParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SnapshotParts")
    }
}

/// What a path led to.
pub(crate) enum Found {
    Route(Arc<Route>),
    /// The path is known, but not with this method.
    Methods(Vec<Method>),
    Nothing,
}

impl Snapshot {
    /// The routes, as they were given.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// Checks the routes and builds the tables.
    pub fn new(parts: SnapshotParts) -> Result<Self, SnapshotError> {
        let SnapshotParts {
            routes,
            verifier,
            keys,
            minter,
            trusted_proxies,
            proxy_protocol,
            hosts,
            remembered_tokens,
            policies,
            sessions,
        } = parts;
        let (mut public, mut mesh, mut elsewhere) = <(Tables, Tables, Tables)>::default();
        let routes: Vec<Arc<Route>> = routes.into_iter().map(Arc::new).collect();
        let (exact, rest): (Vec<_>, Vec<_>) =
            routes.iter().cloned().partition(|route| !route.path.contains("/{*"));
        // What a route says of everything below a path holds for the path itself, unless another
        // says something of exactly that.
        let bare = rest.iter().flat_map(|route| route.bare()).map(Arc::new).collect::<Vec<_>>();
        for route in exact.into_iter().chain(rest) {
            match route.listener {
                ListenerKind::Public => public.add(route)?,
                ListenerKind::Mesh => mesh.add(route)?,
                ListenerKind::Elsewhere => elsewhere.add(route)?,
            }
        }
        for route in bare {
            let _ = match route.listener {
                ListenerKind::Public => public.add(route),
                ListenerKind::Mesh => mesh.add(route),
                ListenerKind::Elsewhere => elsewhere.add(route),
            };
        }
        let tokens = TokenCache::new(remembered_tokens);
        let hosts = hosts.iter().map(|host| with_port(&host.to_ascii_lowercase())).collect();
        Ok(Self {
            routes,
            public,
            mesh,
            elsewhere,
            policies,
            sessions,
            verifier,
            keys,
            minter,
            trusted_proxies,
            proxy_protocol,
            hosts,
            tokens,
        })
    }

    /// Whether `host`, lower case and perhaps with a port, is one of the gate's own names. What a
    /// request says of itself is no proof of where its sender meant it to go.
    pub(crate) fn is_own_host(&self, host: &str) -> bool {
        self.hosts.contains(&with_port(host))
    }

    /// Whether other proxies may ask here.
    pub(crate) fn answers_others(&self) -> bool {
        !self.elsewhere.is_empty()
    }

    /// The route for a request. `host` may have a port.
    pub(crate) fn find(
        &self,
        listener: ListenerKind,
        host: &str,
        method: &Method,
        path: &str,
    ) -> Found {
        let tables = match listener {
            ListenerKind::Public => &self.public,
            ListenerKind::Mesh => &self.mesh,
            ListenerKind::Elsewhere => &self.elsewhere,
        };
        let own = tables.hosts.get(without_port(host));
        match own.map(|table| table.find(method, path)) {
            None | Some(Found::Nothing) => tables.all.find(method, path),
            Some(found) => found,
        }
    }
}

/// The host alone.
pub(crate) fn without_port(host: &str) -> &str {
    let end = host.rfind(']').map_or(0, |at| at + 1);
    host[end..].find(':').map_or(host, |colon| &host[..end + colon])
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

impl Tables {
    fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn add(&mut self, route: Arc<Route>) -> Result<(), SnapshotError> {
        self.count += 1;
        if route.hosts.is_empty() {
            return self.all.add(route);
        }
        for host in &route.hosts {
            self.hosts.entry(host.clone()).or_default().add(route.clone())?;
        }
        Ok(())
    }
}

impl Table {
    fn find(&self, method: &Method, path: &str) -> Found {
        let Ok(found) = self.0.at(path) else {
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

    fn add(&mut self, route: Arc<Route>) -> Result<(), SnapshotError> {
        let path = route.path.clone();
        let name = route.name.clone();
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

/// What changes while requests pass: counters, blocks, revocations, and the ways out.
#[derive(Clone)]
pub struct Shared {
    /// What limits count in.
    pub counters: Counters,
    /// Whether there is too much to do.
    pub overload: Arc<Overload>,
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
    /// Which requests are traced, if any are.
    pub tracing: Option<Arc<Tracing>>,
    /// Who is told when a limit blocks an address. Must not block.
    pub limit_blocked: Arc<dyn Fn(LimitBlock) + Send + Sync>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}
