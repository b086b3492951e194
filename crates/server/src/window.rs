//! What the API may see of the running process, and ask of it.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use portcullis_api::{
    ActivityView, ApiError, AuthoritiesView, AuthorityView, CertificatesOf, CheckedView,
    ConfigurationStatus, ControlsView, EnrolmentView, ExplainInput, GatewayView, Process,
    ServerView, SinkTestView, SinkView, StageView, Told, UpstreamView,
};
use portcullis_ca::{AuthorityStatus, CaError, EnrolmentToken, Which};
use portcullis_events::{Actor, Origin};
use portcullis_gateway::{Asked, ListenerKind, ServerState};
use portcullis_pki::{PkiError, SpiffeId};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::{app::App, compliance, sink_view, trial, upstreams::Service};

/// The way to the application, once there is one.
#[derive(Clone)]
pub struct Window {
    app: Arc<OnceLock<Weak<App>>>,
    /// One configuration is tried out at a time: it takes as much memory and time as a start.
    trials: Arc<Semaphore>,
}

impl Default for Window {
    fn default() -> Self {
        Self { app: Arc::default(), trials: Arc::new(Semaphore::new(1)) }
    }
}

impl Window {
    /// Tells where it is.
    pub fn open(&self, app: &Arc<App>) {
        let _ = self.app.set(Arc::downgrade(app));
    }

    fn app(&self) -> Option<Arc<App>> {
        self.app.get().and_then(Weak::upgrade)
    }
}

impl Process for Window {
    fn configuration(&self, again: bool) -> Told<ConfigurationStatus> {
        let app = self.app();
        Box::pin(async move {
            let app = app?;
            if again {
                let _ = app.reload().await;
            }
            Some(app.reload.status())
        })
    }

    fn check(&self, text: String) -> Told<CheckedView> {
        let (app, trials) = (self.app(), self.trials.clone());
        Box::pin(async move {
            let turn = trials.acquire_owned().await.ok()?;
            let gate = app?.gate.load_full();
            let tried = tokio::task::spawn_blocking(move || {
                // Whoever asked may be gone before it is done.
                let _turn = turn;
                trial::inspect(&text, &gate.config)
            });
            tried.await.inspect_err(|error| tracing::error!(%error, "a trial")).ok()
        })
    }

    fn authorities(&self) -> Option<AuthoritiesView> {
        let app = self.app()?;
        let one = |own: AuthorityStatus| AuthorityView {
            id: own.id,
            root: own.root,
            phase: own.phase.as_str().to_owned(),
            active_at: own.active_at.to_rfc3339(),
            expires_at: own.expires_at.to_rfc3339(),
        };
        Some(AuthoritiesView {
            trust_domain: app.gate.load().config.certificates.trust_domain.clone(),
            authorities: app.ca.status().into_iter().map(one).collect(),
            listeners: app.doors.look(&app.gate.load().config),
        })
    }

    fn revoke_certificates(
        &self,
        which: CertificatesOf,
        compromised: bool,
        (actor, origin): (Actor, Origin),
    ) -> Told<Result<u64, ApiError>> {
        let app = self.app();
        Box::pin(async move {
            let app = app?;
            let which = match which {
                CertificatesOf::Serial(serial) => Which::Serial(serial),
                CertificatesOf::Workload(id) => match id.parse() {
                    Ok(id) => Which::Workload(id),
                    Err(error) => return Some(Err(refused_name(&error))),
                },
            };
            let revoked = app.ca.revoke(&which, compromised, &actor, Some(&origin)).await;
            Some(revoked.map_err(|error| refused(&error)))
        })
    }

    fn enrol(
        &self,
        spiffe_id: String,
        names: Vec<String>,
        lifetime: Duration,
        (actor, origin): (Actor, Origin),
    ) -> Told<Result<EnrolmentView, ApiError>> {
        let app = self.app();
        Box::pin(async move {
            let app = app?;
            let id: SpiffeId = match spiffe_id.parse() {
                Ok(id) => id,
                Err(error) => return Some(Err(refused_name(&error))),
            };
            let made = app.ca.make_token(&id, &names, lifetime, &actor, Some(&origin)).await;
            let view = |made: EnrolmentToken| EnrolmentView {
                id: made.id,
                token: made.text.expose().clone(),
                expires_at: made.expires_at.to_rfc3339(),
            };
            Some(made.map(view).map_err(|error| refused(&error)))
        })
    }

    fn sinks(&self) -> Option<Vec<SinkView>> {
        Some(sink_view::look(&*self.app()?))
    }

    fn try_sink(&self, name: String, actor: Actor, origin: Origin) -> Told<Option<SinkTestView>> {
        let app = self.app();
        Box::pin(async move {
            let tried = app?.try_sink(&name, actor, origin).await;
            tried.inspect_err(|error| tracing::error!(%error, name, "a sink was tried out")).ok()
        })
    }

    fn closing(&self) -> Told<()> {
        let closing = self.app().and_then(|app| app.closing.get().cloned());
        Box::pin(async move { closing?.wait_for(|closing| *closing).await.is_ok().then_some(()) })
    }

    fn controls(&self) -> Told<ControlsView> {
        let app = self.app();
        Box::pin(async move { compliance::look(&*app?).await })
    }

    fn log_keeps(&self) -> (String, String) {
        self.app().map(|app| compliance::log_keeps(&app.gate.load().config)).unwrap_or_default()
    }

    fn gateway(&self) -> Option<GatewayView> {
        let app = self.app()?;
        let gate = app.gate.load();
        let routes = gate.config.text.get("route").and_then(toml::Value::as_array);
        let routes =
            routes.into_iter().flatten().flat_map(serde_json::to_value).collect::<Vec<Value>>();
        Some(GatewayView { routes, upstreams: gate.services.iter().map(upstream).collect() })
    }

    fn activity(&self) -> Option<ActivityView> {
        let app = self.app()?;
        Some(app.traffic.activity.view(app.gateway.counters(), app.clock.now()))
    }

    fn explain(&self, input: ExplainInput) -> Told<Vec<StageView>> {
        let app = self.app();
        Box::pin(async move {
            let app = app?;
            let asked = Asked {
                method: input.method,
                target: input.path,
                host: input.host.unwrap_or_else(|| app.config.authority()),
                headers: input.headers.into_iter().map(|field| (field.name, field.value)).collect(),
                addr: input.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                listener: ListenerKind::Public,
                certificate: None,
            };
            let steps = app.gateway.explain(&asked).await.into_iter().map(|step| StageView {
                stage: step.stage.as_str().to_owned(),
                said: step.said,
                status: step.refused.map(|(status, _)| status),
                reason: step.refused.map(|(_, reason)| reason.to_owned()),
            });
            Some(steps.collect())
        })
    }
}

fn refused_name(error: &impl ToString) -> ApiError {
    ApiError::field("spiffe_id", error.to_string())
}

/// What an authority does not do.
fn refused(error: &CaError) -> ApiError {
    let wrong = |field, error: &CaError| ApiError::field(field, error.to_string());
    match error {
        CaError::Nothing => ApiError::NotFound,
        CaError::TrustDomain(..) => wrong("spiffe_id", error),
        CaError::OwnName(_) | CaError::Pki(PkiError::Name(_) | PkiError::Names) => {
            wrong("names", error)
        }
        CaError::Raced => ApiError::Stale,
        _ => {
            tracing::error!(%error, "the certificate authority");
            ApiError::Busy
        }
    }
}

fn upstream(service: &Service) -> UpstreamView {
    let server = |ServerState { server, healthy, ejected, active }| ServerView {
        server,
        healthy,
        ejected,
        active,
    };
    let upstream = &service.upstream;
    UpstreamView {
        name: upstream.name.clone(),
        servers: upstream.servers().into_iter().map(server).collect(),
    }
}
