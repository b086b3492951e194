//! From the configuration, and from what is built in, to the routes of the gate.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use http::{Method, Request};
use http_body_util::BodyExt;
use portcullis_api::{Caller, Permission};
use portcullis_ca::TokenHolder;
use portcullis_cluster::{Allowance, Rate};
use portcullis_gateway::{
    AuthKind, Contract, Cookies, Cors, Counted, DEFAULT_BODY_LIMIT, GateBody, LimitKey, LimitKind,
    LimitRule, ListenerKind, LocalService, OWN_TOKENS, Principal, Priority, Route, StepUp, Target,
};
use portcullis_identity::Assurance;
use portcullis_pki::SpiffeId;
use tower::ServiceExt;

use crate::{
    config::{
        Authenticate, Config, ContractMode, ContractResponses, CookieMode, CountedRequests, Door,
        Importance, JsonBodies, Limit, RouteConfig,
    },
    gate::Gate,
};

/// A form or JSON body of a built-in service is at most this long.
const BUILT_IN_BODY: u64 = 256 * 1024;

/// The services in this process.
pub struct BuiltIn {
    pub oidc: axum::Router,
    pub pages: axum::Router,
    pub api: axum::Router,
    pub pki: axum::Router,
    /// The audit log, and what it is called below `/audit/`.
    pub log: (axum::Router, String),
}

/// Makes a router callable by the gate, and tells it who is calling.
pub fn local(router: axum::Router) -> LocalService {
    Arc::new(move |mut request: Request<GateBody>| {
        let router = router.clone();
        let who = request.extensions().get::<Principal>();
        let (caller, holder) = (who.and_then(caller), who.and_then(holder));
        caller.and_then(|caller| request.extensions_mut().insert(caller));
        holder.and_then(|holder| request.extensions_mut().insert(holder));
        Box::pin(async move {
            let answered = router.oneshot(request.map(axum::body::Body::new)).await;
            let response = match answered {
                Ok(response) => response,
                Err(never) => match never {},
            };
            response.map(|body| body.map_err(Into::into).boxed_unsync())
        })
    })
}

fn caller(who: &Principal) -> Option<Caller> {
    let id = who.id()?.to_owned();
    let scopes = who.scopes().into_iter().map(str::to_owned).collect();
    Some(Caller { actor: who.actor(), id, scopes })
}

fn holder(who: &Principal) -> Option<TokenHolder> {
    let Principal::Token(claims) = who else { return None };
    let (issuer, subject) = (claims.iss.clone(), claims.sub.clone());
    Some(TokenHolder { issuer, subject, actor: who.actor() })
}

/// Every route: built in first, then those of the file.
pub fn all(gate: &Gate, built_in: BuiltIn) -> Result<Vec<Route>> {
    let mut routes = certificate_routes(gate, &local(built_in.pki.clone()));
    routes.extend(log_routes(&built_in.log));
    routes.append(&mut built_in_routes(&gate.config, built_in));
    for route in &gate.config.routes {
        routes.push(configured(gate, route).with_context(|| format!("route {}", route.name))?);
    }
    Ok(routes)
}

fn built_in_routes(config: &Config, built_in: BuiltIn) -> Vec<Route> {
    let (oidc, pages, api) = (local(built_in.oidc), local(built_in.pages), local(built_in.api));
    let limits = |door| protect(config, door);
    let login = || limits("login");
    // Doors that take a password close with the login, though they do not count as attempts.
    let with_login = |door| [limits(door), watching(login())].concat();
    let open = |service: &LocalService, method, path: &str, limits| {
        built_in_route(service, method, path, limits)
    };
    let mut routes = vec![
        for_pages(open(&oidc, Method::GET, "/.well-known/openid-configuration", vec![])),
        for_pages(open(&oidc, Method::GET, "/.well-known/oauth-authorization-server", vec![])),
        for_pages(open(&oidc, Method::GET, "/oauth2/jwks", vec![])),
        for_pages(open(&oidc, Method::GET, "/oauth2/status-list", vec![])),
        for_pages(open(&oidc, Method::POST, "/oauth2/par", limits("token"))),
        for_pages(open(&oidc, Method::POST, "/oauth2/device_authorization", limits("token"))),
        for_pages(open(&oidc, Method::POST, "/oauth2/token", limits("token"))),
        open(&oidc, Method::POST, "/oauth2/introspect", limits("token")),
        for_pages(open(&oidc, Method::POST, "/oauth2/revoke", limits("token"))),
        for_pages(open(&oidc, Method::GET, "/oauth2/userinfo", vec![])),
        for_pages(open(&oidc, Method::POST, "/oauth2/userinfo", vec![])),
        open(&api, Method::GET, "/api/openapi.json", vec![]),
        open(&pages, Method::POST, "/login", login()),
        open(&pages, Method::POST, "/login/second", limits("second")),
        open(&pages, Method::POST, "/login/passkey/begin", limits("second")),
        open(&pages, Method::POST, "/login/passkey", limits("second")),
        open(&pages, Method::POST, "/login/mail/code", limits("second")),
        open(&pages, Method::POST, "/login/mail", limits("recovery")),
        open(&pages, Method::POST, "/login/link", limits("recovery")),
        open(&pages, Method::POST, "/login/upstream/{name}", limits("second")),
        open(&pages, Method::POST, "/account/export", limits("recovery")),
        open(&pages, Method::POST, "/login/upstream/new", limits("second")),
        open(&pages, Method::POST, "/login/upstream/link", limits("second")),
        open(&pages, Method::POST, "/account/upstream/{name}", limits("second")),
        open(&pages, Method::POST, "/account/password", login()),
        open(&pages, Method::POST, "/account/email", login()),
        open(&pages, Method::POST, "/register", with_login("register")),
        open(&pages, Method::POST, "/invitation", with_login("register")),
        open(&pages, Method::POST, "/reset-password", with_login("recovery")),
        open(&pages, Method::POST, "/forgot-password", limits("recovery")),
    ];
    for path in ["/verify-email", "/confirm-email", "/device"] {
        routes.push(open(&pages, Method::POST, path, limits("recovery")));
    }
    for path in [
        "/account/profile",
        "/account/delete",
        "/account/sessions/end",
        "/account/applications/end",
        "/account/totp/begin",
        "/account/totp/confirm",
        "/account/totp/remove",
        "/account/recovery-codes",
        "/account/passkeys/begin",
        "/account/passkeys",
        "/account/passkeys/rename",
        "/account/passkeys/remove",
        "/account/password/remove",
        "/account/upstream/remove",
        "/logout",
    ] {
        routes.push(open(&pages, Method::POST, path, vec![]));
    }
    routes.push(for_pages(open(&oidc, Method::POST, "/oauth2/register", limits("register"))));
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        routes.push(for_pages(open(&oidc, method, "/oauth2/register/{id}", limits("register"))));
    }
    // Clients with certificates (RFC 8705, section 5).
    for path in [
        "/oauth2/par",
        "/oauth2/device_authorization",
        "/oauth2/token",
        "/oauth2/introspect",
        "/oauth2/revoke",
        "/oauth2/userinfo",
    ] {
        routes.push(on_mesh(open(&oidc, Method::POST, path, limits("token"))));
    }
    routes.push(on_mesh(open(&oidc, Method::GET, "/oauth2/userinfo", vec![])));
    let back = open(&pages, Method::GET, "/login/upstream/callback/{name}", limits("second"));
    routes.push(Route { get_has_effects: true, ..back });
    for path in ["/oauth2/authorize", "/oauth2/logout"] {
        let get = open(&pages, Method::GET, path, limits("authorize"));
        routes.push(Route { get_has_effects: true, ..get });
        routes.push(open(&pages, Method::POST, path, limits("authorize")));
    }
    routes.push(open(&pages, Method::POST, "/oauth2/consent", limits("authorize")));
    for path in [
        "/",
        "/assets/style.css",
        "/assets/passkey.js",
        "/assets/theme.css",
        "/assets/logo",
        "/language",
        "/account/security",
        "/account/delete",
        "/login",
        "/login/second",
        "/login/mail",
        "/login/mail/code",
        "/login/link",
        "/register",
        "/invitation",
        "/verify-email",
        "/forgot-password",
        "/reset-password",
        "/confirm-email",
        "/logged-out",
        "/login/upstream/new",
        "/login/upstream/link",
        "/device",
        "/account",
    ] {
        routes.push(open(&pages, Method::GET, path, vec![]));
    }
    for endpoint in portcullis_api::endpoints() {
        let takes_password =
            ["/me/password", "/me/email"].iter().any(|end| endpoint.path.ends_with(end));
        let limits = if takes_password { login() } else { vec![] };
        routes.push(Route {
            authenticate: vec![AuthKind::Bearer, AuthKind::ApiKey],
            scopes: vec![endpoint.permission.scope().to_owned()],
            cors: (endpoint.permission == Permission::Account).then_some(Cors::Anywhere),
            ..built_in_route(&api, endpoint.method, endpoint.path, limits)
        });
    }
    routes
}

/// The doors of the certificate authority.
fn certificate_routes(gate: &Gate, pki: &LocalService) -> Vec<Route> {
    let limits = || protect(&gate.config, "enrol");
    let open = |path| built_in_route(pki, Method::GET, path, limits());
    let post = |path| built_in_route(pki, Method::POST, path, limits());
    let mut routes =
        ["/pki/v1", "/pki/v1/bundle", "/pki/v1/ca.pem", "/pki/v1/crl/{list}"].map(open).to_vec();
    routes.push(post("/pki/v1/certificates"));
    // Counted by who it is: strangers at the same address must not keep anybody from renewing.
    routes.push(on_mesh(Route {
        authenticate: vec![AuthKind::Mtls],
        any_workload: true,
        limits: vec![a_minute("renewal", LimitKey::Subject, 60)],
        ..post("/pki/v1/certificates/renewal")
    }));
    let vouching = |name: &str| gate.config.workloads.iter().any(|own| own.issuer == name);
    let issuers = gate.issuers.iter().filter(|known| vouching(&known.issuer.rules.name));
    routes.push(Route {
        authenticate: vec![AuthKind::Bearer],
        own_tokens: vouching(OWN_TOKENS),
        issuers: issuers.map(|known| known.issuer.clone()).collect(),
        ..post("/pki/v1/certificates/workload")
    });
    routes
}

/// A limit of so many requests in a minute, by what they are counted.
fn a_minute(name: &str, key: LimitKey, count: u32) -> Arc<LimitRule> {
    let allowance = Rate { count, per: Duration::from_secs(60) }.into();
    Arc::new(LimitRule {
        name: name.into(),
        keys: vec![key],
        kind: LimitKind::Rate { allowance, block: None },
        counted: Counted::Requests,
        except: vec![],
    })
}

/// The audit log for everybody who wants to check it, its entries for auditors.
fn log_routes((router, name): &(axum::Router, String)) -> [Route; 4] {
    let service = local(router.clone());
    let limit = a_minute("log", LimitKey::Ip, 1_200);
    let open = |path: &str| {
        let path = format!("/audit/{name}/{path}");
        built_in_route(&service, Method::GET, &path, vec![limit.clone()])
    };
    let entries = Route {
        authenticate: vec![AuthKind::Bearer, AuthKind::ApiKey],
        scopes: vec![Permission::Admin.scope().to_owned()],
        ..open("{year}/tile/entries/{*rest}")
    };
    [open("checkpoint"), open("{year}/checkpoint"), open("{year}/tile/{*rest}"), entries]
}

/// The same on the listener for certificates.
fn on_mesh(route: Route) -> Route {
    let name = route.name.replacen("portcullis", "portcullis-mesh", 1);
    Route { name, listener: ListenerKind::Mesh, ..route }
}

fn built_in_route(
    service: &LocalService,
    method: Method,
    path: &str,
    limits: Vec<Arc<LimitRule>>,
) -> Route {
    Route {
        name: format!("portcullis{path}"),
        listener: ListenerKind::Public,
        hosts: vec![],
        path: path.to_owned(),
        methods: vec![method],
        get_has_effects: false,
        target: Target::Local(service.clone()),
        authenticate: vec![AuthKind::Anyone],
        own_tokens: true,
        issuers: vec![],
        scopes: vec![],
        step_up: None,
        policies: false,
        spiffe_ids: vec![],
        any_workload: false,
        // People log in, out and on whatever else has to wait.
        priority: Priority::High,
        limits,
        max_body: BUILT_IN_BODY,
        contract: None,
        learning: false,
        checks_responses: false,
        // Endpoints of ours read strictly themselves.
        checks_json: false,
        cookies: Cookies::Pass,
        max_response: 0,
        cors: None,
    }
}

/// The same for pages from anywhere: what proves who they are is in the request, never a cookie.
fn for_pages(route: Route) -> Route {
    Route { cors: Some(Cors::Anywhere), ..route }
}

/// The limits of a door of our own: those of the file, or the default.
pub fn protect(config: &Config, door: &'static str) -> Vec<Arc<LimitRule>> {
    if let Some(protect) = config.protect.get(door) {
        return rules(door, &protect.limits);
    }
    let minute = Duration::from_secs(60);
    let (count, block) = match door {
        "login" => (5, Some(Duration::from_secs(900))),
        "register" => (30, None),
        "recovery" => (10, None),
        "second" => (60, None),
        _ => (600, None),
    };
    let allowance = Rate { count, per: minute }.into();
    let rule = LimitRule {
        name: door.into(),
        keys: vec![LimitKey::Ip],
        kind: LimitKind::Rate { allowance, block },
        counted: Counted::Requests,
        except: vec![],
    };
    vec![Arc::new(rule)]
}

fn watching(rules: Vec<Arc<LimitRule>>) -> Vec<Arc<LimitRule>> {
    let watch = |rule: Arc<LimitRule>| {
        Arc::new(LimitRule { counted: Counted::Nothing, ..LimitRule::clone(&rule) })
    };
    rules.into_iter().map(watch).collect()
}

fn rules(name: &str, limits: &[Limit]) -> Vec<Arc<LimitRule>> {
    let name_of = |place: usize| {
        if place == 0 { name.into() } else { format!("{name}-{place}") }
    };
    let rule = |(place, limit): (usize, &Limit)| {
        let kind = match (limit.rate, limit.quota, limit.concurrency) {
            (Some(rate), ..) => {
                let burst = limit.burst.unwrap_or(rate.count);
                let allowance = Allowance { rate, burst, cost: limit.cost };
                LimitKind::Rate { allowance, block: limit.block }
            }
            (_, Some((most, period)), _) => {
                LimitKind::Quota { most, period, cost: limit.cost.into() }
            }
            (.., most) => LimitKind::Concurrency {
                most: most.unwrap_or(1),
                queue: limit.queue,
                wait: limit.wait,
            },
        };
        Arc::new(LimitRule {
            name: limit.name.clone().unwrap_or_else(|| name_of(place)),
            keys: limit.key.clone(),
            kind,
            counted: match limit.count {
                CountedRequests::Requests => Counted::Requests,
                CountedRequests::Failures => Counted::Failures,
            },
            except: limit.except.clone(),
        })
    };
    limits.iter().enumerate().map(rule).collect()
}

fn configured(gate: &Gate, route: &RouteConfig) -> Result<Route> {
    let config = &gate.config;
    let target = match &route.upstream {
        None => {
            let audience = route.audience.clone().unwrap_or_else(|| route.name.clone());
            Target::Elsewhere { audience }
        }
        Some(name) => {
            Target::Upstream(gate.upstream(name).context("there is no such upstream")?.clone())
        }
    };
    let methods: Result<Vec<Method>, _> =
        route.methods.iter().map(|method| method.parse()).collect();
    let ids: Result<Vec<SpiffeId>, _> = route.spiffe_ids.iter().map(|id| id.parse()).collect();
    let ways = route.authenticate.iter().map(|way| match way {
        Authenticate::Bearer => AuthKind::Bearer,
        Authenticate::ApiKey => AuthKind::ApiKey,
        Authenticate::Mtls => AuthKind::Mtls,
        Authenticate::None => AuthKind::Anyone,
        Authenticate::Session => AuthKind::Session,
    });
    let contract = route.openapi.as_ref().map(|path| {
        let path = config.path(path);
        let read = std::fs::read_to_string(&path).map_err(anyhow::Error::from);
        let parsed = read.and_then(|text| Ok(Contract::parse(&text)?));
        parsed.map(Arc::new).with_context(|| format!("openapi {}", path.display()))
    });
    let contract = contract.transpose()?;
    let named = route.issuers.as_ref();
    let issuers = named.into_iter().flatten().filter_map(|name| gate.issuer(name));
    Ok(Route {
        name: route.name.clone(),
        listener: match route.listen {
            Door::Public => ListenerKind::Public,
            Door::Mesh => ListenerKind::Mesh,
            Door::ForwardAuth => ListenerKind::Elsewhere,
        },
        hosts: route.hosts.clone(),
        path: route.path.clone(),
        methods: methods?,
        get_has_effects: false,
        target,
        authenticate: ways.collect(),
        own_tokens: named.is_none_or(|named| named.iter().any(|name| name == OWN_TOKENS)),
        issuers: issuers.cloned().collect(),
        scopes: route.scopes.clone(),
        step_up: step_up(route)?,
        policies: route.policy,
        spiffe_ids: ids?,
        any_workload: false,
        priority: match route.priority {
            Importance::Low => Priority::Low,
            Importance::Normal => Priority::Normal,
            Importance::High => Priority::High,
        },
        limits: rules(&route.name, &route.limits),
        max_body: route.max_body.unwrap_or(DEFAULT_BODY_LIMIT),
        checks_responses: contract.is_some()
            && route.openapi_responses == ContractResponses::Redact,
        contract,
        checks_json: route.json == JsonBodies::Strict,
        cookies: match route.cookies {
            CookieMode::Pass => Cookies::Pass,
            CookieMode::Secure => Cookies::Secure,
            CookieMode::Strict => Cookies::Strict,
        },
        learning: route.openapi_mode == ContractMode::Learn,
        max_response: route.max_response.unwrap_or(DEFAULT_BODY_LIMIT),
        cors: route.cors.as_ref().map(|cors| Cors::From(cors.origins.clone())),
    })
}

/// What a login must have proven; a stronger proof is as good.
fn step_up(route: &RouteConfig) -> Result<Option<StepUp>> {
    if route.acr.is_none() && route.max_age.is_none() {
        return Ok(None);
    }
    ensure!(
        route.authenticate == [Authenticate::Bearer],
        "acr and max_age need authenticate = [\"bearer\"]: nobody else has logged in"
    );
    let known = Assurance::ALL.map(Assurance::acr).join(", ");
    let least = route
        .acr
        .as_deref()
        .map(|acr| Assurance::of_acr(acr).with_context(|| format!("acr must be one of {known}")));
    let least = least.transpose()?;
    let enough = |least| Assurance::ALL.into_iter().filter(move |one| *one >= least);
    let acr_values = least.into_iter().flat_map(enough).map(|one| one.acr().to_owned());
    Ok(Some(StepUp { acr_values: acr_values.collect(), max_age: route.max_age }))
}

/// Whether the routes can stand beside each other.
pub fn check_table(routes: Vec<Route>) -> Result<()> {
    use portcullis_gateway::{Minter, Snapshot, SnapshotParts};
    use portcullis_jose::{Alg, SigningKey, Verifier};
    let (key, _) = SigningKey::generate(Alg::EdDsa)?;
    let minter = Minter { issuer: String::new(), key: Arc::new(key) };
    let verifier = Verifier::new("", "", "at+jwt", &[]);
    Snapshot::new(SnapshotParts {
        routes,
        verifier,
        keys: Vec::new(),
        minter,
        trusted_proxies: Vec::new(),
        proxy_protocol: false,
        hosts: Vec::new(),
        remembered_tokens: 0,
        policies: None,
        sessions: None,
    })?;
    Ok(())
}
