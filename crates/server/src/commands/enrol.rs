//! The workload's side: getting a certificate and keeping it fresh. It needs neither configuration
//! nor database, only the way to the authority.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use portcullis_pki::{
    Identity, ServerIdentity, Trust, certificates, client_config, lifetime, new_key, request_pem,
};
use portcullis_types::{Secret, Timestamp, random_array};
use serde::Deserialize;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

use crate::{
    commands::{
        ca::{create, write},
        say,
    },
    system,
};

/// An answer of the authority is at most this long.
const MAX_ANSWER: usize = 256 * 1024;
/// It answers in this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// After a failure the next try comes after this time, then after twice of it, and so on.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The variable that may hold the token.
const TOKEN_VARIABLE: &str = "PORTCULLIS_ENROLMENT_TOKEN";
/// The link to what is in force. What is read through it fits together.
const CURRENT: &str = "..current";

#[derive(Args)]
pub struct EnrolArguments {
    /// The address of the installation: its issuer
    #[arg(long)]
    url: String,
    /// Whom to trust at first, PEM: what `ca show` prints
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// A file with the enrolment token; the variable PORTCULLIS_ENROLMENT_TOKEN if left out
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A file with a token of an issuer that vouches for this workload, instead; read every time
    #[arg(long, value_name = "FILE", conflicts_with = "token_file")]
    workload_token_file: Option<PathBuf>,
    /// Where to write cert.pem, key.pem and ca.pem
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Go on running, and renew it after two thirds of its life
    #[arg(long)]
    watch: bool,
    /// What to run after each new certificate, such as "systemctl reload nginx"
    #[arg(long, value_name = "COMMAND")]
    then: Option<String>,
}

#[derive(Deserialize)]
struct Directory {
    certificates: String,
    workload_certificates: String,
    renewal: Option<String>,
    roots: String,
}

/// What is in the directory.
struct Held {
    chain: String,
    key: String,
    issued_at: Timestamp,
    not_after: Timestamp,
}

pub async fn run(arguments: EnrolArguments) -> Result<()> {
    let mut pause = FIRST_PAUSE;
    loop {
        let held = held(&arguments.out);
        let due = held.as_ref().map(due);
        let now = system::clock().now();
        if due.is_none_or(|due| due <= now) {
            match get(&arguments, held.as_ref()).await {
                Ok(until) => {
                    let out = arguments.out.display();
                    say(&format!("{out} holds a certificate until {}", until.to_rfc3339()));
                    pause = FIRST_PAUSE;
                    then(&arguments).await?;
                }
                Err(error) if arguments.watch && held.is_some() => {
                    tracing::warn!(error = format!("{error:#}"), "the certificate is not renewed");
                    sleep(spread(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(error),
            }
        } else if let Some(due) = due.filter(|_| arguments.watch) {
            // Clocks may be set; nobody should sleep through that.
            sleep(spread(due.since(now)).min(LONGEST_PAUSE)).await;
        }
        if !arguments.watch {
            return Ok(());
        }
    }
}

/// After two thirds of its life.
fn due(held: &Held) -> Timestamp {
    held.not_after.minus(held.not_after.since(held.issued_at) / 3)
}

/// Up to a tenth more, so that a fleet that started together does not come back together.
fn spread(span: Duration) -> Duration {
    let part = u32::from(random_array::<1>(&*system::entropy())[0]);
    span + span / 10 * part / 256
}

fn held(out: &Path) -> Option<Held> {
    let read = |name| std::fs::read_to_string(out.join(CURRENT).join(name)).ok();
    let (chain, key) = (read("cert.pem")?, read("key.pem")?);
    let (issued_at, not_after) = lifetime(&chain)?;
    (not_after > system::clock().now()).then_some(Held { chain, key, issued_at, not_after })
}

async fn get(arguments: &EnrolArguments, held: Option<&Held>) -> Result<Timestamp> {
    let url = arguments.url.trim_end_matches('/');
    let trust = trust(arguments)?;
    let found = call(&trust, None, Method::GET, &format!("{url}/pki/v1"), None, "").await?;
    let directory: Directory = serde_json::from_str(&found).context("read what is at /pki/v1")?;
    let roots = call(&trust, None, Method::GET, &directory.roots, None, "").await?;
    certificates(&roots).context("read the roots")?;
    let (key, pem) = new_key()?;
    let request = request_pem(&key)?;
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("read {}", path.display()))?;
        anyhow::Ok(Secret::new(text.trim().to_owned()))
    };
    let chain = match (held, &directory.renewal, &arguments.workload_token_file) {
        (_, _, Some(path)) => {
            let token = Some(read(path)?);
            let url = &directory.workload_certificates;
            call(&trust, None, Method::POST, url, token, &request).await?
        }
        (Some(held), Some(url), None) => {
            let shown = Identity::from_pem(&held.chain, &held.key)?;
            call(&trust, Some(shown), Method::POST, url, None, &request).await?
        }
        (Some(_), None, None) => {
            bail!("the installation has no listener for mutual TLS, where certificates are renewed")
        }
        (None, _, None) => {
            let token = match &arguments.token_file {
                Some(path) => read(path)?,
                None => Secret::new(
                    system::variable(TOKEN_VARIABLE)
                        .with_context(|| format!("neither --token-file nor {TOKEN_VARIABLE}"))?,
                ),
            };
            let url = &directory.certificates;
            call(&trust, None, Method::POST, url, Some(token), &request).await?
        }
    };
    let (_, until) = lifetime(&chain).context("read the certificate")?;
    store(&arguments.out, &chain, &pem, &roots)?;
    Ok(until)
}

/// The roots of the last time, which follow those of the authority, or the first ones.
fn trust(arguments: &EnrolArguments) -> Result<Arc<Trust>> {
    let known = std::fs::read_to_string(arguments.out.join(CURRENT).join("ca.pem"));
    let pem = match known {
        Ok(pem) => pem,
        Err(_) => std::fs::read_to_string(&arguments.ca)
            .with_context(|| format!("read {}", arguments.ca.display()))?,
    };
    Ok(Trust::from_pem(&pem)?)
}

/// Puts the files into a directory of their own, and then one link to it in the place of another:
/// whoever reads sees the old ones or the new ones, also after a crash.
fn store(out: &Path, chain: &str, key: &Secret<String>, roots: &str) -> Result<()> {
    let name =
        format!("..{}", data_encoding::HEXLOWER.encode(&random_array::<8>(&*system::entropy())));
    let (dir, current) = (out.join(&name), out.join(CURRENT));
    create(&dir)?;
    write(&dir.join("key.pem"), key.expose().as_bytes(), 0o600)?;
    write(&dir.join("cert.pem"), chain.as_bytes(), 0o644)?;
    write(&dir.join("ca.pem"), roots.as_bytes(), 0o644)?;
    let old = std::fs::read_link(&current).ok();
    let temporary = out.join(format!("{name}.link"));
    let linked = symlink(&name, &temporary).and_then(|()| std::fs::rename(&temporary, &current));
    linked.with_context(|| format!("write {}", current.display()))?;
    for file in ["key.pem", "cert.pem", "ca.pem"] {
        let link = out.join(file);
        if !link.is_symlink() {
            symlink(Path::new(CURRENT).join(file), &link)
                .with_context(|| format!("write {}", link.display()))?;
        }
    }
    if let Some(old) = old.filter(|old| old.components().count() == 1) {
        // What stays behind is only in the way.
        let _ = std::fs::remove_dir_all(out.join(old));
    }
    Ok(())
}

async fn then(arguments: &EnrolArguments) -> Result<()> {
    let Some(command) = &arguments.then else { return Ok(()) };
    let status = tokio::process::Command::new("sh").arg("-c").arg(command).status().await;
    let status = status.context("run the command of --then")?;
    if status.success() {
        return Ok(());
    }
    ensure!(arguments.watch, "the command of --then ended with {status}");
    tracing::warn!(%status, "the command of --then failed");
    Ok(())
}

async fn call(
    trust: &Arc<Trust>,
    shown: Option<Arc<Identity>>,
    method: Method,
    url: &str,
    token: Option<Secret<String>>,
    body: &str,
) -> Result<String> {
    let work = async {
        let parsed = url::Url::parse(url)?;
        ensure!(parsed.scheme() == "https", "an https URL is needed");
        let host = parsed.host_str().context("there is no host in it")?;
        let port = parsed.port_or_known_default().unwrap_or(443);
        let name = host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((name, port)).await?;
        let expected = ServerIdentity::default();
        let tls = client_config(trust.clone(), shown, expected, b"http/1.1")?;
        let server = rustls::pki_types::ServerName::try_from(name.to_owned())?;
        let stream = TlsConnector::from(Arc::new(tls)).connect(server, stream).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(parsed.path())
            .header(header::HOST, format!("{host}:{port}"));
        if let Some(token) = &token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/pkcs10");
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned())))?;
        let answer: Response<_> = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        ensure!(
            status == StatusCode::OK || status == StatusCode::CREATED,
            "{status}: {}",
            reason(&text)
        );
        Ok(text)
    };
    let done = timeout(PATIENCE, work).await.context("it does not answer").and_then(|done| done);
    done.with_context(|| format!("ask {url}"))
}

/// What a problem document says (RFC 9457).
fn reason(text: &str) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
    detail.unwrap_or(text).escape_debug().take(300).collect()
}
