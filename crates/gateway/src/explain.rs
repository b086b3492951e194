//! What the gate would say to a request, stage by stage, without sending or counting anything.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use portcullis_events::{PolicyDecision, Stage};
use portcullis_pki::PeerCertificate;
use portcullis_types::ClientAddr;

use crate::{
    answer::Refusal,
    guard,
    listener::ListenerKind,
    pipeline::{Caller, Gateway},
    record::Trail,
    snapshot::Snapshot,
};

/// A request that somebody wants to know about.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// The target: path and query.
    pub target: String,
    /// The host, with its port if it has one.
    pub host: String,
    /// Further header fields.
    pub headers: Vec<(String, String)>,
    /// Where it comes from.
    pub addr: IpAddr,
    /// The door.
    pub listener: ListenerKind,
    /// The certificate of the connection.
    pub certificate: Option<Arc<PeerCertificate>>,
}

/// What one stage says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The stage.
    pub stage: Stage,
    /// The status and the reason of the refusal, if it is one.
    pub refused: Option<(u16, &'static str)>,
    /// The same in words, with what only operators may know.
    pub said: String,
}

impl Gateway {
    /// Every stage up to the first that refuses.
    pub async fn explain(&self, asked: &Asked) -> Vec<Step> {
        let snapshot = self.snapshot.load_full();
        let mut trail = Trail { steps: Some(Vec::new()), ..Trail::default() };
        let refused = self.try_stages(&snapshot, asked, &mut trail).await.err();
        let mut steps = trail.steps.unwrap_or_default();
        steps.extend(refused.map(|refusal| Step {
            stage: refusal.stage,
            refused: Some((refusal.status.as_u16(), refusal.reason)),
            said: told(&refusal),
        }));
        steps
    }

    async fn try_stages(
        &self,
        snapshot: &Snapshot,
        asked: &Asked,
        trail: &mut Trail,
    ) -> Result<(), Refusal> {
        let request = request(asked)?;
        let head = guard::check(&request)?;
        trail.step(Stage::Guard, || format!("{} {} at {}", request.method(), head.path, head.host));
        let addr = ClientAddr::new(asked.addr);
        let certificate = asked.certificate.as_ref();
        let caller = Caller { listener: asked.listener, addr, certificate };
        let now = self.now();
        let (route, _) = self.admit(snapshot, &request, &head, caller, now, trail).await?;
        if let Some(contract) = &route.contract {
            let query = request.uri().query().unwrap_or_default();
            let checked =
                contract.check_head(request.method(), &head.path, query, request.headers());
            checked.map_err(|(status, violations)| {
                let told = violations.iter().map(|v| format!("{}: {}", v.pointer, v.message));
                let detail = told.collect::<Vec<_>>().join("; ");
                Refusal::new(Stage::Validate, status, "contract", detail)
            })?;
            trail.step(Stage::Validate, || "fits the contract, as far as the head tells".into());
        }
        trail.step(Stage::Forward, || format!("goes on to {:?}", route.target));
        Ok(())
    }
}

fn request(asked: &Asked) -> Result<Request<()>, Refusal> {
    let wrong = |what: &str| {
        let detail = format!("the {what} is malformed");
        Refusal::new(Stage::Guard, http::StatusCode::BAD_REQUEST, "malformed", detail)
    };
    let mut request = Request::new(());
    *request.method_mut() =
        Method::from_bytes(asked.method.as_bytes()).map_err(|_| wrong("method"))?;
    *request.uri_mut() = asked.target.parse::<Uri>().map_err(|_| wrong("target"))?;
    for (name, value) in &asked.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("header name"))?;
        let value = HeaderValue::from_str(value).map_err(|_| wrong("header value"))?;
        request.headers_mut().append(name, value);
    }
    let host = HeaderValue::from_str(&asked.host).map_err(|_| wrong("host"))?;
    request.headers_mut().insert(header::HOST, host);
    Ok(request)
}

fn told(refusal: &Refusal) -> String {
    let refusing = refusal.policies.iter().filter(|said| !said.allows);
    match in_words(refusing, "") {
        policies if policies.is_empty() => refusal.detail.clone(),
        policies => format!("{} ({policies})", refusal.detail),
    }
}

/// `scope read; cedar people read`; `none` if there are none.
pub(crate) fn in_words<'a>(
    policies: impl Iterator<Item = &'a PolicyDecision>,
    none: &str,
) -> String {
    let words: Vec<_> = policies.map(|said| format!("{} {}", said.kind, said.name)).collect();
    if words.is_empty() { none.to_owned() } else { words.join("; ") }
}
