//! The event of a request.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Request, StatusCode, Version};
use portcullis_events::{
    Actor, Event, Kind, Origin, Outcome, PolicyDecision, RequestSeen, Span, Stage, clean,
};
use portcullis_types::Id;
use tokio::time::Instant;

use crate::{
    authn::Principal,
    contract::ContractViolation,
    explain::Step,
    limits::Passed,
    snapshot::{Route, Shared, Target},
    trace_context::{Traced, span_name},
};

/// What the log says of a request whose client was gone before the answer: nginx's word for it.
const CLIENT_GONE: u16 = 499;

/// What is found out on the way, for the event at the end.
#[derive(Default)]
pub(crate) struct Trail {
    pub path: Option<String>,
    pub route: Option<Arc<Route>>,
    pub principal: Option<Principal>,
    pub policies: Vec<PolicyDecision>,
    pub passed: Passed,
    /// What of the request or its answer did not fit the contract, and was not refused.
    pub violations: Vec<String>,
    /// The trace it is part of, if any are made.
    pub traced: Option<Traced>,
    /// Cookies that the answer sets.
    pub cookies: Vec<HeaderValue>,
    /// The method that is asked about, where it is not the request's own.
    pub method: Option<String>,
    /// What each stage said, where somebody wants to know; nothing is counted then.
    pub steps: Option<Vec<Step>>,
}

impl Trail {
    /// What a contract would have refused, were it not still learned.
    pub fn learned(&mut self, violations: Vec<ContractViolation>) {
        let told = violations.into_iter().map(|v| format!("{} {}", v.pointer, v.code));
        self.violations.extend(told);
    }

    /// What was taken out of an answer.
    pub fn removed(&mut self, pointers: &[String]) {
        self.violations.extend(pointers.iter().map(|pointer| format!("response {pointer}")));
    }

    /// A stage was passed.
    pub fn step(&mut self, stage: Stage, said: impl FnOnce() -> String) {
        if let Some(steps) = &mut self.steps {
            steps.push(Step { stage, refused: None, said: said() });
        }
    }
}

/// A request that is being answered. It is recorded once: when its answer is known, or when this is
/// dropped before.
pub(crate) struct Record<'a> {
    shared: &'a Shared,
    begun: Instant,
    method: String,
    version: &'static str,
    pub origin: Origin,
    pub trail: Trail,
    bytes: Option<u64>,
    closed: bool,
}

impl<'a> Record<'a> {
    pub fn new<B>(
        shared: &'a Shared,
        request: &Request<B>,
        origin: Origin,
        traced: Option<Traced>,
    ) -> Self {
        Self {
            shared,
            begun: Instant::now(),
            method: clean(request.method().as_str()),
            version: if request.version() == Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" },
            origin,
            trail: Trail { traced, ..Trail::default() },
            bytes: None,
            closed: false,
        }
    }

    /// The request was answered like this, and refused at a stage for a reason if it was.
    /// `bytes` is how long the answer's content is, where that is known.
    pub fn close(
        mut self,
        status: StatusCode,
        refused: Option<(Stage, &'static str)>,
        bytes: Option<u64>,
    ) {
        self.bytes = bytes;
        self.write(status.as_u16(), refused);
    }

    fn write(&mut self, status: u16, refused: Option<(Stage, &'static str)>) {
        self.closed = true;
        let trail = std::mem::take(&mut self.trail);
        let origin = std::mem::take(&mut self.origin);
        let traced = trail.traced.as_ref().filter(|traced| traced.sampled);
        let took = self.begun.elapsed();
        if let (Some(traced), Some(tracing)) = (traced, &self.shared.tracing) {
            (tracing.sink)(span(traced, &self.method, &trail, &origin, (status, refused), took));
        }
        let seen = RequestSeen {
            trace: traced.map(|traced| traced.ids),
            method: trail.method.unwrap_or_else(|| std::mem::take(&mut self.method)),
            path: clean(trail.path.as_deref().unwrap_or("-")),
            route: trail.route.as_ref().map(|route| route.name.clone()),
            upstream: trail.route.as_ref().and_then(|route| match &route.target {
                Target::Upstream(upstream) => Some(upstream.name.clone()),
                Target::Elsewhere { audience } => Some(audience.clone()),
                Target::Local(_) => None,
            }),
            status,
            latency: took,
            refused_at: refused.map(|(stage, _)| stage),
            policies: trail.policies,
            version: self.version,
            violations: trail.violations,
            session: trail.principal.as_ref().and_then(Principal::session).map(str::to_owned),
            bytes: self.bytes,
        };
        let outcome = match (status, refused) {
            (_, Some((_, reason))) => Outcome::Failure(reason),
            (CLIENT_GONE, None) => Outcome::Failure("client_gone"),
            _ => Outcome::Success,
        };
        let actor = match trail.principal.as_ref().map(Principal::actor) {
            // A built-in service may have found out who it was.
            None | Some(Actor::Anonymous) => origin.whose().cloned().unwrap_or_default(),
            Some(known) => known,
        };
        let done = self.shared.clock.now();
        let id = Id::new(done, &*self.shared.entropy);
        let event = Event::new(id, done, Some(origin), actor, outcome, Kind::Request(seen));
        (self.shared.record)(event);
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        if !self.closed {
            self.write(CLIENT_GONE, None);
        }
    }
}

/// The span of the whole request, by OpenTelemetry's conventions for HTTP servers. Where it came from is
/// personal and stays in the log.
fn span(
    traced: &Traced,
    method: &str,
    trail: &Trail,
    origin: &Origin,
    (status, refused): (u16, Option<(Stage, &'static str)>),
    took: Duration,
) -> Span {
    let mut attributes = vec![
        ("http.request.method", method.into()),
        ("http.response.status_code", status.into()),
        ("portcullis.request_id", (*origin.request_id).into()),
    ];
    if let Some(route) = &trail.route {
        attributes.push(("http.route", (*route.path).into()));
    }
    if let Some((stage, _)) = refused {
        attributes.push(("portcullis.refused_at", stage.as_str().into()));
    }
    let reason = refused.map(|(_, reason)| reason.to_owned());
    let failed = (status >= 500).then(|| reason.unwrap_or_else(|| status.to_string()));
    let path = trail.route.as_ref().map_or("-", |route| &route.path);
    Span {
        ids: traced.ids,
        parent: traced.parent,
        asked_another: false,
        name: span_name(method, path),
        begun: traced.begun,
        took,
        attributes,
        error: failed,
    }
}
