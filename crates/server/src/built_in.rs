//! The routes of what is built in.

use std::{sync::Arc, time::Duration};

use http::Method;
use portcullis_api::Permission;
use portcullis_cluster::Rate;
use portcullis_gateway::{
    AuthKind, Cookies, Cors, Counted, LimitKey, LimitKind, LimitRule, ListenerKind, LocalService,
    OWN_TOKENS, Priority, Route, SessionKind, Target,
};

use crate::{
    config::Config,
    gate::Gate,
    routes::{BuiltIn, local, protect, watching},
};

/// A form or JSON body of a built-in service is at most this long.
const BUILT_IN_BODY: u64 = 256 * 1024;
/// A picture of a document, and what else a form has.
const CAPTURE_BODY: u64 = 13 << 20;
/// A batch of subjects to screen is at most this long. It is answered line by line and never held as a whole.
const BATCH_BODY: u64 = 1 << 30;
/// Queries of a client of yente's API.
const MATCH_BODY: u64 = 8 << 20;

/// Every route of ours.
pub fn all(gate: &Gate, built_in: BuiltIn) -> Vec<Route> {
    let mut routes = certificate_routes(gate, &local(built_in.pki.clone()));
    routes.extend(log_routes(&built_in.log));
    if gate.config.aml.match_api {
        routes.extend(match_routes(&gate.config, &local(built_in.matches.clone())));
    }
    if gate.config.console.enabled {
        routes.extend(console_routes(&gate.config, &local(built_in.console.clone())));
    }
    routes.append(&mut built_in_routes(&gate.config, built_in));
    routes
}

/// The console's pages for whoever is logged in; what they are made of tells nothing.
fn console_routes(config: &Config, service: &LocalService) -> Vec<Route> {
    let at_home = |path| Route {
        hosts: config.console.host.iter().cloned().collect(),
        priority: Priority::High,
        ..built_in_route(service, Method::GET, path, vec![])
    };
    let console = AuthKind::Session(SessionKind::Console);
    let page = |path| Route { authenticate: vec![console], ..at_home(path) };
    let mut routes: Vec<Route> = portcullis_console::PAGES.map(page).into();
    // Whoever is logged in gets them where their address is blocked as well.
    let assets = at_home(portcullis_console::ASSETS);
    routes.push(Route { authenticate: vec![AuthKind::Anyone, console], ..assets });
    routes
}

/// The API of yente, for whoever may screen.
fn match_routes(config: &Config, service: &LocalService) -> Vec<Route> {
    let route = |(method, path): (Method, &str)| Route {
        authenticate: vec![AuthKind::Bearer, AuthKind::ApiKey],
        scopes: vec![Permission::Aml.scope().to_owned()],
        max_body: MATCH_BODY,
        ..built_in_route(service, method, path, protect(config, "aml"))
    };
    let health = |path| built_in_route(service, Method::GET, path, vec![]);
    let mut routes: Vec<Route> = portcullis_api::MATCH_PATHS.map(route).into();
    routes.extend(portcullis_api::MATCH_HEALTH_PATHS.map(health));
    routes
}

fn built_in_routes(config: &Config, built_in: BuiltIn) -> Vec<Route> {
    let (oidc, pages, api) = (local(built_in.oidc), local(built_in.pages), local(built_in.api));
    let wallets = local(built_in.wallets);
    let limits = |door| protect(config, door);
    let login = || limits("login");
    // Doors that take a password close with the login, though they do not count as attempts.
    let with_login = |door| [limits(door), watching(login())].concat();
    let open = |service: &LocalService, method, path: &str, limits| {
        built_in_route(service, method, path, limits)
    };
    let of_lists = vec![a_minute("credential-status", LimitKey::Ip, 600)];
    let mut routes = vec![
        for_pages(open(&oidc, Method::GET, "/.well-known/openid-configuration", vec![])),
        for_pages(open(&oidc, Method::GET, "/.well-known/oauth-authorization-server", vec![])),
        for_pages(open(&oidc, Method::GET, "/oauth2/jwks", vec![])),
        for_pages(open(&oidc, Method::GET, "/oauth2/status-list", vec![])),
        for_pages(open(&oidc, Method::POST, "/oauth2/par", limits("token"))),
        for_pages(open(&oidc, Method::POST, "/oauth2/device_authorization", limits("token"))),
        for_pages(open(&oidc, Method::POST, "/oauth2/token", limits("token"))),
        for_pages(open(&oidc, Method::GET, "/.well-known/openid-credential-issuer", vec![])),
        for_pages(open(&oidc, Method::GET, "/.well-known/jwt-vc-issuer", vec![])),
        for_pages(open(&oidc, Method::GET, "/credentials/status/{list}", of_lists)),
        for_pages(open(&oidc, Method::POST, "/credentials/nonce", limits("token"))),
        for_pages(open(&oidc, Method::POST, "/credentials/issue", limits("token"))),
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
    routes.push(open(&pages, Method::POST, "/verify", limits("verify")));
    routes.push(Route {
        max_body: CAPTURE_BODY,
        ..open(&pages, Method::POST, "/verify/{id}", limits("verify"))
    });
    routes.push(open(&pages, Method::POST, "/verify/{id}/device", limits("verify")));
    for (method, path) in [
        (Method::GET, "/presentations/{id}/request"),
        (Method::POST, "/presentations/{id}/response"),
    ] {
        routes.push(for_pages(open(&wallets, method, path, limits("verify"))));
    }
    for path in ["/verify", "/verify/{id}", "/verify/{id}/state"] {
        routes.push(open(&pages, Method::GET, path, limits("verify")));
    }
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
        "/account/wallet",
        "/account/wallet/revoke",
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
        "/assets/verify.js",
        "/assets/theme.css",
        "/assets/logo",
        "/language",
        "/account/security",
        "/account/wallet",
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
        let limits = match endpoint.permission {
            Permission::Aml => protect(config, "aml"),
            Permission::Idv => protect(config, "idv"),
            _ if takes_password => login(),
            _ => vec![],
        };
        let mut authenticate = vec![AuthKind::Bearer, AuthKind::ApiKey];
        // Of an account the console may know whose it is, and no more.
        let reads_own =
            endpoint.permission == Permission::Account && endpoint.method == Method::GET;
        if config.console.enabled && (endpoint.permission != Permission::Account || reads_own) {
            authenticate.push(AuthKind::Session(SessionKind::Console));
        }
        let max_body = u64::try_from(endpoint.max_body()).unwrap_or(BUILT_IN_BODY);
        let max_body = if endpoint.is_streaming() { BATCH_BODY } else { max_body };
        routes.push(Route {
            max_body,
            authenticate,
            fresh_session: endpoint.is_dangerous().then_some(config.console.reauthenticate),
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
        fresh_session: None,
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
