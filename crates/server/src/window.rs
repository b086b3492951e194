//! What the API may see of the running process, and ask of it.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, OnceLock, Weak},
};

use portcullis_api::{
    ConfigurationStatus, ControlsView, ExplainInput, GatewayView, Process, ServerView, StageView,
    Told, UpstreamView,
};
use portcullis_gateway::{Asked, ListenerKind, ServerState};
use serde_json::Value;

use crate::{app::App, compliance, upstreams::Service};

/// The way to the application, once there is one.
#[derive(Clone, Default)]
pub struct Window(Arc<OnceLock<Weak<App>>>);

impl Window {
    /// Tells where it is.
    pub fn open(&self, app: &Arc<App>) {
        let _ = self.0.set(Arc::downgrade(app));
    }

    fn app(&self) -> Option<Arc<App>> {
        self.0.get().and_then(Weak::upgrade)
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
