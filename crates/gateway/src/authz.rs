//! Whether whoever is calling may pass: the SPIFFE ids and scopes of the route, how sure and how fresh
//! the login was, and what the policies say.

use http::{Method, StatusCode, header};
use portcullis_events::{PolicyDecision, Stage};
use portcullis_pki::PeerCertificate;
use portcullis_policy as policy;
use portcullis_types::{ClientAddr, Timestamp};

use crate::{
    answer::Refusal,
    authn::{DPOP, Principal, REALM},
    guard::Head,
    issuers::OWN_TOKENS,
    snapshot::{Route, Snapshot, StepUp, Target, without_port},
};

/// The sorts of policies that events name.
const CEDAR: &str = "cedar";
const SCOPE: &str = "scope";
const STEP_UP: &str = "step_up";

/// What is asked.
pub(crate) struct Question<'a> {
    pub snapshot: &'a Snapshot,
    pub route: &'a Route,
    pub who: &'a Principal,
    pub head: &'a Head,
    pub addr: ClientAddr,
    pub now: Timestamp,
    pub peer: Option<&'a PeerCertificate>,
}

/// Returns what made it so, for the log.
pub(crate) fn authorise(
    question: &Question<'_>,
    method: &Method,
) -> Result<Vec<PolicyDecision>, Refusal> {
    let mut decided = by_route(question.route, question.who, question.now)?;
    let policies = question.snapshot.policies.as_deref();
    let Some(policies) = policies.filter(|_| question.route.policies) else {
        return Ok(decided);
    };
    let said = decide(policies, question, method);
    for error in &said.errors {
        tracing::warn!(error, route = question.route.name, "a policy could not be evaluated");
    }
    let none = said.policies.is_empty();
    let named = |name| PolicyDecision { allows: said.allowed, kind: CEDAR, name };
    decided.extend(said.policies.into_iter().map(named));
    if said.allowed {
        return Ok(decided);
    }
    if none {
        decided.push(PolicyDecision::denies(CEDAR, "no policy permits it"));
    }
    Err(Refusal { policies: decided, ..forbidden("policy", "this is not permitted") })
}

fn decide(
    policies: &policy::Policies,
    question: &Question<'_>,
    method: &Method,
) -> policy::Decision {
    let Question { route, who, head, addr, now, peer, .. } = question;
    let scopes = who.scopes();
    let principal = match who {
        Principal::Anonymous => policy::Principal::Anonymous,
        Principal::ApiKey(key) => policy::Principal::ApiKey { id: &key.id, scopes: &scopes },
        Principal::Workload(id) => {
            policy::Principal::Workload { id: id.as_str(), trust_domain: id.trust_domain() }
        }
        Principal::Token(claims) => {
            // Names from other issuers begin with theirs.
            let own = claims.iss == question.snapshot.minter.issuer;
            let issuer = claims.sub.split_once(':').filter(|_| !own);
            let issuer = issuer.map_or(OWN_TOKENS, |(issuer, _)| issuer);
            let (roles, groups) = (claims.roles.as_slice(), claims.groups.as_slice());
            if claims.sub == claims.client_id {
                policy::Principal::Client {
                    id: &claims.sub,
                    issuer,
                    scopes: &scopes,
                    roles,
                    groups,
                }
            } else {
                let age = claims.auth_time.map(|at| now.secs().saturating_sub(at));
                policy::Principal::User {
                    id: &claims.sub,
                    client: &claims.client_id,
                    issuer,
                    scopes: &scopes,
                    roles,
                    groups,
                    acr: claims.acr.as_deref(),
                    login_age: age,
                    username: claims.preferred_username.as_deref(),
                    actor: claims.act.as_ref().map(|act| act.sub.as_str()),
                }
            }
        }
    };
    policies.decide(&policy::Question {
        principal,
        method: method.as_str(),
        route: &route.name,
        upstream: match &route.target {
            Target::Upstream(upstream) => &upstream.name,
            Target::Elsewhere { audience } => audience,
            Target::Local(_) => OWN_TOKENS,
        },
        path: &head.path,
        host: without_port(&head.host),
        ip: addr.ip(),
        time: *now,
        mutual_tls: peer.is_some_and(|peer| peer.workload().is_some()),
    })
}

fn by_route(
    route: &Route,
    who: &Principal,
    now: Timestamp,
) -> Result<Vec<PolicyDecision>, Refusal> {
    const SPIFFE_ID: &str = "spiffe_id";
    if let Principal::Workload(id) = who {
        if route.any_workload || route.spiffe_ids.contains(id) {
            return Ok(vec![PolicyDecision::allows(SPIFFE_ID, id.to_string())]);
        }
        let detail = "this service may not use this route";
        return Err(forbidden(SPIFFE_ID, detail).because(SPIFFE_ID, id.to_string()));
    }
    let mut decided = Vec::new();
    if let Some(step_up) = &route.step_up {
        proven_enough(step_up, who, now)?;
        decided.push(PolicyDecision::allows(STEP_UP, asked(step_up)));
    }
    if matches!(who, Principal::Anonymous) || route.scopes.is_empty() {
        return Ok(decided);
    }
    let own = who.scopes();
    let needed = route.scopes.join(" ");
    if route.scopes.iter().all(|scope| own.contains(&scope.as_str())) {
        decided.push(PolicyDecision::allows(SCOPE, needed));
        return Ok(decided);
    }
    decided.push(PolicyDecision::denies(SCOPE, needed.as_str()));
    let bound = matches!(who, Principal::Token(claims)
        if claims.cnf.as_ref().is_some_and(|cnf| cnf.jkt.is_some()));
    let scheme = if bound { DPOP } else { REALM };
    let challenge = format!(r#"{scheme}, error="insufficient_scope", scope="{needed}""#);
    let detail = format!("this route needs the scope {needed}");
    let refusal = forbidden("insufficient_scope", &detail);
    Err(Refusal { policies: decided, ..refusal.with(header::WWW_AUTHENTICATE, &challenge) })
}

/// What a route asks of the login, in words.
fn asked(step_up: &StepUp) -> String {
    let acr = (!step_up.acr_values.is_empty())
        .then(|| format!("acr {}", step_up.acr_values.join(" or ")));
    let age = step_up.max_age.map(|most| format!("max_age {} s", most.as_secs()));
    acr.into_iter().chain(age).collect::<Vec<_>>().join(", ")
}

/// RFC 9470, section 3: the token is good, the login behind it is not good enough.
pub(crate) fn proven_enough(
    step_up: &StepUp,
    who: &Principal,
    now: Timestamp,
) -> Result<(), Refusal> {
    let (acr, auth_time, bound) = match who {
        Principal::Token(claims) => {
            let bound = claims.cnf.as_ref().is_some_and(|cnf| cnf.jkt.is_some());
            (claims.acr.as_deref(), claims.auth_time, bound)
        }
        _ => (None, None, false),
    };
    let strong = step_up.acr_values.is_empty()
        || acr.is_some_and(|acr| step_up.acr_values.iter().any(|known| known == acr));
    let fresh = step_up.max_age.is_none_or(|most| {
        let age = auth_time.map(|at| now.since(Timestamp::from_secs(at)));
        age.is_some_and(|age| age <= most)
    });
    if strong && fresh {
        return Ok(());
    }
    let scheme = if bound { DPOP } else { REALM };
    let detail = if strong { "the login is too old" } else { "the login does not prove enough" };
    let mut challenge = format!(
        r#"{scheme}, error="insufficient_user_authentication", error_description="{detail}""#
    );
    if let Some(acr) = step_up.acr_values.first() {
        challenge.push_str(&format!(r#", acr_values="{acr}""#));
    }
    if let Some(most) = step_up.max_age {
        challenge.push_str(&format!(r#", max_age="{}""#, most.as_secs()));
    }
    let refusal = Refusal::new(
        Stage::Authorise,
        StatusCode::UNAUTHORIZED,
        "insufficient_user_authentication",
        detail,
    );
    Err(refusal.with(header::WWW_AUTHENTICATE, &challenge).because(STEP_UP, asked(step_up)))
}

fn forbidden(reason: &'static str, detail: &str) -> Refusal {
    Refusal::new(Stage::Authorise, StatusCode::FORBIDDEN, reason, detail)
}
