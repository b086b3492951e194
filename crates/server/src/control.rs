//! The way of the command line to the running process: a socket in the data directory, which only its
//! owner can reach.

use std::{
    convert::Infallible,
    net::IpAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail, ensure};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    body::{Bytes, Incoming},
    client, server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use portcullis_gateway::{Asked, ListenerKind};
use portcullis_pki::{PeerCertificate, certificates};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::net::{UnixListener, UnixStream};

use crate::app::App;

/// What is asked is at most this long.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// A request to explain.
#[derive(Debug, Serialize, Deserialize)]
pub struct Explain {
    pub method: String,
    pub target: String,
    pub host: Option<String>,
    pub headers: Vec<(String, String)>,
    pub address: IpAddr,
    pub listener: Where,
    /// The chain of a client's certificate, PEM.
    pub certificate: Option<String>,
}

/// Where a request arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Where {
    /// The public listener
    Public,
    /// The mutual TLS listener
    Mesh,
    /// At another proxy, which asks here
    ForwardAuth,
}

/// What a stage says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Verdict {
    pub stage: String,
    /// The status and reason of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<(u16, String)>,
    pub said: String,
}

fn socket(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// Answers for as long as the process runs. Without the socket everything else works.
pub fn serve(app: &Arc<App>) {
    let listener = match open(&app.data) {
        Ok(listener) => listener,
        Err(error) => {
            let error = format!("{error:#}");
            tracing::warn!(error, "the command line cannot reach this process");
            return;
        }
    };
    let app = Arc::downgrade(app);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Some(app) = app.upgrade() else { return };
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let app = app.clone();
                    async move { Ok::<_, Infallible>(answer(&app, request).await) }
                });
                let builder = server::conn::http1::Builder::new();
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}

fn open(data: &Path) -> Result<UnixListener> {
    let path = socket(data);
    // What a process that was killed left behind.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).with_context(|| format!("open {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn answer(app: &Arc<App>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let body = Limited::new(request.into_body(), MAX_BODY_BYTES).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let done = match path.as_str() {
        "/reload" => app.reload().await.map(|()| "{}".into()),
        "/explain" => explain(app, &body).await,
        _ => Err(anyhow::anyhow!("there is nothing at {path}")),
    };
    let (status, text) = match done {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{error:#}")),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

async fn explain(app: &App, body: &[u8]) -> Result<String> {
    let asked: Explain = serde_json::from_slice(body)?;
    let certificate = asked.certificate.as_deref().map(|pem| peer(app, pem)).transpose()?;
    let asked = Asked {
        method: asked.method,
        target: asked.target,
        host: asked.host.unwrap_or_else(|| app.config.authority()),
        headers: asked.headers,
        addr: asked.address,
        listener: match asked.listener {
            Where::Public => ListenerKind::Public,
            Where::Mesh => ListenerKind::Mesh,
            Where::ForwardAuth => ListenerKind::Elsewhere,
        },
        certificate,
    };
    let verdicts = app.gateway.explain(&asked).await.into_iter().map(|step| Verdict {
        stage: step.stage.as_str().to_owned(),
        refused: step.refused.map(|(status, reason)| (status, reason.to_owned())),
        said: step.said,
    });
    Ok(serde_json::to_string(&verdicts.collect::<Vec<_>>())?)
}

/// A client's certificate as the mesh listener would take it.
fn peer(app: &App, pem: &str) -> Result<Arc<PeerCertificate>> {
    let (trust, now) = (app.ca.identities.trust(), app.clock.now());
    let chain = certificates(pem)?;
    ensure!(trust.vouches_for(&chain, now), "the authority does not vouch for the certificate");
    let own = PeerCertificate::new(&chain, Some(trust), now).context("there is no certificate")?;
    Ok(Arc::new(own))
}

/// Asks the process that runs in a data directory.
pub async fn ask<T: DeserializeOwned>(data: &Path, path: &str, what: &impl Serialize) -> Result<T> {
    let socket = socket(data);
    let stream = UnixStream::connect(&socket)
        .await
        .with_context(|| format!("reach {}; is Portcullis running there?", socket.display()))?;
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let body = Full::new(Bytes::from(serde_json::to_vec(what)?));
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse()?;
    request.headers_mut().insert(http::header::HOST, http::HeaderValue::from_static("control"));
    let response = sender.send_request(request).await?;
    let status = response.status();
    let text = response.into_body().collect().await?.to_bytes();
    if !status.is_success() {
        bail!("{}", String::from_utf8_lossy(&text));
    }
    serde_json::from_slice(&text).context("read the answer")
}
