//! Passing on what may pass: to a service behind the gate or to one in this process.

use std::{sync::Arc, time::Duration};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use portcullis_events::{Origin, SpanValue, Stage};
use portcullis_pki::PeerCertificate;
use portcullis_types::{Timestamp, random_array};
use tokio::time::Instant;

use crate::{
    Gateway,
    answer::Refusal,
    authn::Principal,
    bearer::still_admitted,
    body::{Bounded, GateBody},
    forward::{Passage, Stands, forward, strip_hop_by_hop, target},
    guard::Head,
    snapshot::{Route, Snapshot, Target},
    trace_context::{Traced, span_name},
};

/// A local service reads its request's body within this time between two pieces.
pub(crate) const LOCAL_PATIENCE: Duration = Duration::from_secs(30);
/// And the whole of it within this time, or at this rate where it may be long.
pub(crate) const LOCAL_TOTAL: Duration = Duration::from_secs(60);
const LOCAL_LEAST_BYTES_A_SECOND: u64 = 16 * 1024;

/// Whom the stages let through.
#[derive(Clone, Copy)]
pub(crate) struct Admitted<'a> {
    pub who: &'a Principal,
    pub origin: &'a Origin,
    pub certificate: Option<&'a Arc<PeerCertificate>>,
    pub traced: Option<&'a Traced>,
}

impl Gateway {
    /// A token that says to a service who is calling.
    pub(crate) fn mint(
        &self,
        snapshot: &Snapshot,
        who: &Principal,
        audience: &str,
        now: Timestamp,
    ) -> Result<Option<Arc<str>>, Refusal> {
        let entropy = &self.shared.entropy;
        snapshot.minter.mint(who, audience, now, entropy, &snapshot.tokens).map_err(|_| {
            let detail = "the request could not be completed";
            Refusal::new(Stage::Forward, StatusCode::INTERNAL_SERVER_ERROR, "mint", detail)
        })
    }

    /// Whether what somebody was admitted by still holds.
    fn standing(&self, who: &Principal, certificate: Option<&Arc<PeerCertificate>>) -> Stands {
        let (shared, who, certificate) = (self.shared.clone(), who.clone(), certificate.cloned());
        Arc::new(move || still_admitted(&shared, &who, certificate.as_deref()))
    }

    /// Hands a request on that may pass, to whoever answers it.
    pub(crate) async fn pass_on(
        &self,
        snapshot: &Snapshot,
        route: &Route,
        mut request: Request<GateBody>,
        head: &Head,
        admitted: Admitted<'_>,
        now: Timestamp,
    ) -> Result<Response<GateBody>, Refusal> {
        let Admitted { who, origin, certificate, traced } = admitted;
        match &route.target {
            Target::Upstream(upstream) => {
                let token = self.mint(snapshot, who, &upstream.audience, now)?;
                let passage = Passage {
                    stands: head.upgrade.then(|| self.standing(who, certificate)),
                    head,
                    client: origin.addr.to_string(),
                    request_id: &origin.request_id,
                    token,
                    max_body: route.max_body,
                    cookies: route.cookies,
                };
                let Some(traced) = traced else {
                    return forward(upstream, request, &passage).await;
                };
                let span = random_array(&*self.shared.entropy);
                traced.pass_on(span, request.headers_mut());
                let name = span_name(request.method().as_str(), &route.path);
                let begun = self.shared.clock.now();
                let since = Instant::now();
                let answered = forward(upstream, request, &passage).await;
                let took = (begun, since.elapsed());
                self.tell(traced, span, name, took, &upstream.name, &answered);
                answered
            }
            Target::Elsewhere { .. } => {
                let detail = "there is nothing here";
                Err(Refusal::new(Stage::Route, StatusCode::NOT_FOUND, "no_route", detail))
            }
            Target::Local(service) => {
                let mut request = local(request, head, route.max_body)?;
                request.extensions_mut().insert(origin.clone());
                request.extensions_mut().insert(who.clone());
                if let Some(certificate) = certificate {
                    request.extensions_mut().insert(certificate.clone());
                }
                // A task of its own: a client that hangs up must not stop a change half-way between
                // its commit and its effect.
                let answered = tokio::spawn(service(request)).await.map_err(|error| {
                    tracing::error!(%error, "a request failed");
                    let status = StatusCode::INTERNAL_SERVER_ERROR;
                    let detail = "the request could not be completed";
                    Refusal::new(Stage::Forward, status, "internal", detail)
                });
                let mut response = answered?;
                strip_hop_by_hop(response.headers_mut());
                Ok(response)
            }
        }
    }

    /// The span of asking an upstream, for whoever collects them.
    fn tell(
        &self,
        traced: &Traced,
        span: [u8; 8],
        name: String,
        took: (Timestamp, Duration),
        upstream: &str,
        answered: &Result<Response<GateBody>, Refusal>,
    ) {
        let Some(tracing) = self.shared.tracing.as_ref().filter(|_| traced.sampled) else { return };
        let mut attributes = vec![("server.address", SpanValue::from(upstream))];
        let error = match answered {
            Ok(response) => {
                let status = response.status();
                attributes.push(("http.response.status_code", status.as_u16().into()));
                // OpenTelemetry's conventions: whoever asked wrongly has failed, too.
                (status.as_u16() >= 400).then(|| status.as_u16().to_string())
            }
            Err(refusal) => Some(refusal.reason.to_owned()),
        };
        (tracing.sink)(traced.asking(span, name, took, attributes, error));
    }
}

/// A request for a service in this process: the canonical path, and a body with an end.
fn local(
    mut request: Request<GateBody>,
    head: &Head,
    max_body: u64,
) -> Result<Request<GateBody>, Refusal> {
    *request.uri_mut() = target(request.uri(), &head.path)?;
    strip_hop_by_hop(request.headers_mut());
    let total = LOCAL_TOTAL.max(Duration::from_secs(max_body / LOCAL_LEAST_BYTES_A_SECOND));
    Ok(request.map(|body| Bounded::new(body, max_body, LOCAL_PATIENCE, total).boxed_unsync()))
}
