//! Health and metrics, in plain HTTP on an address that is kept private.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use portcullis_store::{accounts, outbox};
use portcullis_types::DEFAULT_TENANT;
use tokio::{net::TcpListener, sync::watch};

use crate::app::App;

/// Out of file descriptors, most likely: give others time to close theirs.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// Answers until `closing` turns true. Readiness ends first, so that others stop sending.
pub async fn serve(listener: TcpListener, app: Arc<App>, closing: watch::Receiver<bool>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (app, closing) = (app.clone(), closing.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (app, closing) = (app.clone(), *closing.borrow());
                async move { Ok::<_, Infallible>(answer(&app, closing, &request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            let _ = connection.await;
        });
    }
}

async fn answer(app: &App, closing: bool, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, text) = match request.uri().path() {
        "/healthz" => (StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => ready(app, closing).await,
        "/metrics" => (StatusCode::OK, metrics(app).await),
        _ => (StatusCode::NOT_FOUND, "try /healthz, /readyz or /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

async fn ready(app: &App, closing: bool) -> (StatusCode, String) {
    let unavailable = |text: &str| (StatusCode::SERVICE_UNAVAILABLE, format!("{text}\n"));
    if closing {
        return unavailable("closing");
    }
    if !app.audit.is_healthy() {
        return unavailable("the audit log cannot be written");
    }
    match accounts::any(&app.identity.db, DEFAULT_TENANT).await {
        Ok(_) => (StatusCode::OK, "ready\n".to_owned()),
        Err(_) => unavailable("the database does not answer"),
    }
}

async fn metrics(app: &App) -> String {
    let stranded = outbox::stranded_events(&app.identity.db).await;
    let stranded = stranded.map_or_else(|_| "NaN".to_owned(), |rows| rows.len().to_string());
    let healthy = u8::from(app.audit.is_healthy());
    let seen = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (observed, dropped) = (seen(&app.feed.observed), seen(&app.feed.dropped));
    let findings = seen(&app.feed.findings);
    let maps = app.places.load();
    let maps = maps.built().map(|(map, built)| {
        format!("portcullis_map_built_timestamp_seconds{{map=\"{map}\"}} {built}\n")
    });
    let maps: String = maps.collect();
    let now = u64::try_from(app.clock.now().millis()).unwrap_or_default();
    let sinks = app.sinks.metrics(now);
    let traffic = app.traffic.metrics();
    let spans = app.spans.metrics();
    let aml = crate::screening::metrics(app);

    format!(
        "# HELP portcullis_audit_healthy Whether the audit log accepts entries.\n\
         # TYPE portcullis_audit_healthy gauge\nportcullis_audit_healthy {healthy}\n\
         # HELP portcullis_blocks Addresses on the block list.\n\
         # TYPE portcullis_blocks gauge\nportcullis_blocks {}\n\
         # HELP portcullis_suspects Networks from which a password alone is not enough.\n\
         # TYPE portcullis_suspects gauge\nportcullis_suspects {}\n\
         # HELP portcullis_watch_events_total Events that the detectors looked at.\n\
         # TYPE portcullis_watch_events_total counter\nportcullis_watch_events_total {observed}\n\
         # HELP portcullis_watch_dropped_total Events that they did not, since too many waited.\n\
         # TYPE portcullis_watch_dropped_total counter\nportcullis_watch_dropped_total {dropped}\n\
         # HELP portcullis_findings_total What they found.\n\
         # TYPE portcullis_findings_total counter\nportcullis_findings_total {findings}\n\
         # HELP portcullis_map_built_timestamp_seconds When the maps of addresses were built.\n\
         # TYPE portcullis_map_built_timestamp_seconds gauge\n{maps}\
         # HELP portcullis_overload Requests of normal priority that are refused, in thousandths.\n\
         # TYPE portcullis_overload gauge\nportcullis_overload {}\n\
         # HELP portcullis_outbox_events Events that wait for the audit log.\n\
         # TYPE portcullis_outbox_events gauge\nportcullis_outbox_events {stranded}\n\
         {sinks}{traffic}{spans}{aml}",
        app.identity.blocks.len(),
        app.identity.suspects.len(),
        app.overload.level(),
    )
}
