//! Answers for other proxies: they ask whether a request may pass, and forward it themselves. nginx
//! (`auth_request`), Traefik (ForwardAuth) and Caddy (`forward_auth`) ask in the same way but for the
//! names of fields and what they make of an answer.

use std::borrow::Cow;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use portcullis_events::{Origin, Stage};
use portcullis_types::Timestamp;

use crate::{
    answer::Refusal,
    authn::Principal,
    body::{GateBody, empty},
    forward::{strip_hop_by_hop, strip_names},
    guard::{self, Head},
    listener::ListenerKind,
    pipeline::{Caller, Gateway, Peer},
    record::Trail,
    snapshot::{Snapshot, Target},
};

/// Where others ask.
const PATH: &str = "/authz";
/// The same for nginx, which takes any refusal but 401 and 403 for a failure of ours.
const PATH_NGINX: &str = "/authz/nginx";
/// Says to nginx what the refusal would have been.
const STATUS: HeaderName = HeaderName::from_static("x-portcullis-status");

/// Fields that say what the request was, the first that is there.
const METHODS: [&str; 2] = ["x-forwarded-method", "x-original-method"];
const TARGETS: [&str; 3] = ["x-forwarded-uri", "x-original-uri", "x-original-url"];
const HOSTS: [&str; 2] = ["x-forwarded-host", "x-original-host"];

/// Whether a request is such a question.
pub(crate) fn is_asked(peer: &Peer, head: &Head) -> bool {
    peer.listener == ListenerKind::Public && (head.path == PATH || head.path == PATH_NGINX)
}

impl Gateway {
    /// Whether the request that a proxy holds may pass, and as whom.
    #[expect(clippy::too_many_arguments, reason = "the stages' own state, passed on as it is")]
    pub(crate) async fn answer_other<B>(
        &self,
        snapshot: &Snapshot,
        request: &Request<B>,
        peer: &Peer,
        head: &Head,
        origin: &Origin,
        now: Timestamp,
        trail: &mut Trail,
    ) -> Result<Response<GateBody>, Refusal> {
        let asker = peer.addr.ip().to_canonical();
        // Whoever may ask learns what opens what, and speaks for any address.
        if !snapshot.trusted_proxies.iter().any(|net| net.contains(&asker)) {
            let detail = "only the proxies of client_address.trusted_proxies may ask";
            return Err(refuse(StatusCode::FORBIDDEN, detail));
        }
        let answered = self.decide(snapshot, request, origin, now, trail).await;
        if head.path == PATH_NGINX { answered.map_err(for_nginx) } else { answered }
    }

    async fn decide<B>(
        &self,
        snapshot: &Snapshot,
        request: &Request<B>,
        origin: &Origin,
        now: Timestamp,
        trail: &mut Trail,
    ) -> Result<Response<GateBody>, Refusal> {
        let asked = asked(request.headers())?;
        let head = guard::check(&asked)?;
        trail.path = Some(head.path.clone());
        trail.method = Some(asked.method().to_string());
        let caller =
            Caller { listener: ListenerKind::Elsewhere, addr: origin.addr, certificate: None };
        let (route, who) = self.admit(snapshot, &asked, &head, caller, now, trail).await?;
        let Target::Elsewhere { audience } = &route.target else {
            return Err(refuse(StatusCode::NOT_FOUND, "there is nothing here"));
        };
        let token = self.mint(snapshot, &who, audience, now)?;
        Ok(allowed(&who, token.as_deref()))
    }
}

/// The request that the proxy holds, without what the proxy said of it.
fn asked(headers: &HeaderMap) -> Result<Request<()>, Refusal> {
    let lacking = |names: &[&str]| {
        let detail = format!("the proxy must say {}", names.join(" or "));
        refuse(StatusCode::BAD_REQUEST, detail)
    };
    let method = only(headers, &METHODS)?.ok_or_else(|| lacking(&METHODS))?;
    let target = only(headers, &TARGETS)?.ok_or_else(|| lacking(&TARGETS))?;
    let host = only(headers, &HOSTS)?.ok_or_else(|| lacking(&HOSTS))?;
    let wrong = |_| refuse(StatusCode::BAD_REQUEST, "the request that is asked about is malformed");
    // Traefik gives the target, Ingress the whole URL.
    let uri: Uri = target.parse().map_err(|_| wrong(()))?;
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method.as_bytes()).map_err(|_| wrong(()))?;
    *request.uri_mut() = uri;
    let mut own = headers.clone();
    strip_hop_by_hop(&mut own);
    let said = METHODS.iter().chain(&TARGETS).chain(&HOSTS).copied();
    strip_names(&mut own, said.chain(["x-forwarded-for", "x-forwarded-proto", "x-forwarded-port"]));
    own.remove(header::CONTENT_LENGTH);
    let host = HeaderValue::from_str(&host).map_err(|_| wrong(()))?;
    own.insert(header::HOST, host);
    *request.headers_mut() = own;
    Ok(request)
}

/// The one value of these fields. Proxies differ in which they set, and pass on what the client said
/// in the others: where there is more than one, nobody knows whose word it is.
fn only<'a>(headers: &'a HeaderMap, names: &[&str]) -> Result<Option<Cow<'a, str>>, Refusal> {
    let mut values = names.iter().flat_map(|name| headers.get_all(*name));
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let text = text.ok_or_else(|| {
        let detail = format!("only one of {} may be given, once", names.join(", "));
        refuse(StatusCode::BAD_REQUEST, detail)
    })?;
    Ok(Some(text.into()))
}

/// What the proxy copies into the request.
fn allowed(who: &Principal, token: Option<&str>) -> Response<GateBody> {
    let mut response = Response::new(empty());
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    };
    if let Some(token) = token {
        set("authorization", &format!("Bearer {token}"));
    }
    // Empty where there is nothing to say: a proxy that copies a field must not leave the caller's.
    set("x-portcullis-subject", who.id().unwrap_or_default());
    set("x-portcullis-scopes", &who.scopes().join(" "));
    if let Principal::Token(claims) = who {
        set("x-portcullis-client", &claims.client_id);
        set("x-portcullis-username", claims.preferred_username.as_deref().unwrap_or_default());
        set("x-portcullis-roles", &claims.roles.join(" "));
        set("x-portcullis-groups", &claims.groups.join(" "));
    } else {
        for name in ["x-portcullis-client", "x-portcullis-username"] {
            set(name, "");
        }
        for name in ["x-portcullis-roles", "x-portcullis-groups"] {
            set(name, "");
        }
    }
    response
}

fn for_nginx(refusal: Refusal) -> Refusal {
    let status = refusal.status;
    let known = status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN;
    let refusal = refusal.with(STATUS, status.as_str());
    if known { refusal } else { Refusal { status: StatusCode::FORBIDDEN, ..refusal } }
}

fn refuse(status: StatusCode, detail: impl Into<String>) -> Refusal {
    Refusal::new(Stage::Guard, status, "forward_auth", detail)
}
