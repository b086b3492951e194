//! From the configuration, and from what is built in, to the routes of the gate.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use http::{Method, Request};
use http_body_util::BodyExt;
use portcullis_api::Caller;
use portcullis_ca::TokenHolder;
use portcullis_cluster::{Allowance, Rate};
use portcullis_gateway::{
    AuthKind, Contract, Cookies, Cors, Counted, DEFAULT_BODY_LIMIT, GateBody, LimitKey, LimitKind,
    LimitRule, ListenerKind, LocalService, OWN_TOKENS, Principal, Priority, Route, SessionKind,
    StepUp, Target,
};
use portcullis_identity::Assurance;
use portcullis_oidc::ProofRule;
use portcullis_pki::SpiffeId;
use tower::ServiceExt;

use crate::{
    built_in,
    config::{
        Authenticate, Config, ContractMode, ContractResponses, CookieMode, CountedRequests, Door,
        Importance, JsonBodies, Limit, RouteConfig, VerificationConfig,
    },
    gate::Gate,
};

/// The services in this process.
pub struct BuiltIn {
    pub oidc: axum::Router,
    pub pages: axum::Router,
    pub api: axum::Router,
    /// The API of yente.
    pub matches: axum::Router,
    /// What wallets call that show credentials.
    pub wallets: axum::Router,

    /// The console's pages.
    pub console: axum::Router,
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
    let acted = matches!(who, Principal::Token(claims) if claims.act.is_some());
    Some(Caller { actor: who.actor(), id, scopes, acted })
}

fn holder(who: &Principal) -> Option<TokenHolder> {
    let Principal::Token(claims) = who else { return None };
    let (issuer, subject) = (claims.iss.clone(), claims.sub.clone());
    Some(TokenHolder { issuer, subject, actor: who.actor() })
}

/// Every route: built in first, then those of the file.
pub fn all(gate: &Gate, built_in: BuiltIn) -> Result<Vec<Route>> {
    let mut routes = built_in::all(gate, built_in);
    for route in &gate.config.routes {
        routes.push(configured(gate, route).with_context(|| format!("route {}", route.name))?);
    }
    Ok(routes)
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
        // Machines ask here, for each of their customers.
        "aml" | "idv" => (60_000, None),
        _ => (600, None),
    };
    let allowance = Rate { count, per: minute }.into();
    let key = if matches!(door, "aml" | "idv") { LimitKey::Subject } else { LimitKey::Ip };
    let rule = LimitRule {
        name: door.into(),
        keys: vec![key],
        kind: LimitKind::Rate { allowance, block },
        counted: Counted::Requests,
        except: vec![],
    };
    vec![Arc::new(rule)]
}

pub fn watching(rules: Vec<Arc<LimitRule>>) -> Vec<Arc<LimitRule>> {
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
        Authenticate::Session => AuthKind::Session(SessionKind::Services),
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
        step_up: step_up(route, &gate.config.verification)?,
        fresh_session: None,
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

/// What a login must have proven; a stronger proof is as good, and a verification as good as the login it needs.
fn step_up(route: &RouteConfig, verification: &VerificationConfig) -> Result<Option<StepUp>> {
    if route.acr.is_none() && route.max_age.is_none() {
        return Ok(None);
    }
    ensure!(
        route.authenticate == [Authenticate::Bearer],
        "acr and max_age need authenticate = [\"bearer\"]: nobody else has logged in"
    );
    let proofs = verification.proofs()?;
    if let Some(proof) = proofs.iter().find(|proof| route.acr.as_ref() == Some(&proof.acr)) {
        let acr_values = vec![proof.acr.clone()];
        return Ok(Some(StepUp { acr_values, max_age: route.max_age }));
    }
    let known = Assurance::ALL
        .map(Assurance::acr)
        .into_iter()
        .chain(proofs.iter().map(|proof| &proof.acr[..]));
    let known = known.collect::<Vec<_>>().join(", ");
    let least = route
        .acr
        .as_deref()
        .map(|acr| Assurance::of_acr(acr).with_context(|| format!("acr must be one of {known}")));
    let least = least.transpose()?;
    let enough = |least| Assurance::ALL.into_iter().filter(move |one| *one >= least);
    let acr_values = least.into_iter().flat_map(enough).map(|one| one.acr().to_owned());
    // What others call so may be something else.
    let ours = route.issuers.as_ref().is_none_or(|issuers| *issuers == [OWN_TOKENS]);
    let as_good = |proof: &&Arc<ProofRule>| ours && least.is_some_and(|least| proof.login >= least);
    let acr_values = acr_values.chain(proofs.iter().filter(as_good).map(|proof| proof.acr.clone()));
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
        sessions: Vec::new(),
    })?;
    Ok(())
}
