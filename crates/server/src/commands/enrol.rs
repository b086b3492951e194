//! The workload's side: getting a certificate and keeping it fresh. It needs neither configuration
//! nor database, only the way to the authority. Whatever the authority sends is looked at before it
//! is kept.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use portcullis_pki::{
    Identity, PeerCertificate, ServerIdentity, Trust, certificate_pem, certificates, client_config,
    key_of, lifetime, new_key, request_pem,
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
        keep::{Held, Keep},
        say,
    },
    system,
};

/// An answer of the authority is at most this long.
const MAX_ANSWER: usize = 256 * 1024;
/// It answers in this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// The command of `--then` ends in this time.
const THEN_PATIENCE: Duration = Duration::from_secs(60);
/// Nothing is asked twice within this time; after failures it is doubled.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The roots are looked at this often, and a failure is not waited after for longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The variable that may hold the token.
const TOKEN_VARIABLE: &str = "PORTCULLIS_ENROLMENT_TOKEN";

#[derive(Args)]
pub struct EnrolArguments {
    /// The address of the installation: its issuer
    #[arg(long)]
    url: String,
    /// Whom to trust, PEM: what `ca show` prints, and whoever vouches for the address if that is
    /// somebody else
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// A file with the enrolment token; the variable PORTCULLIS_ENROLMENT_TOKEN if left out
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A file with a token of an issuer that vouches for this workload, instead; read every time
    #[arg(long, value_name = "FILE", conflicts_with = "token_file")]
    workload_token_file: Option<PathBuf>,
    /// A directory of its own for cert.pem, key.pem and ca.pem
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Go on running, renew it after two thirds of its life, and follow the roots
    #[arg(long)]
    watch: bool,
    /// Get another one although the one that is there is good
    #[arg(long)]
    force: bool,
    /// What to run after each new certificate, such as "systemctl reload nginx"
    #[arg(long, value_name = "COMMAND")]
    then: Option<String>,
}

#[derive(Deserialize)]
struct Directory {
    renewal: Option<String>,
}

/// Why there is to be another certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// There is none, or it is not good.
    None,
    /// Its time comes.
    Due,
}

pub async fn run(arguments: EnrolArguments) -> Result<()> {
    let keep = Keep::open(&arguments.out)?;
    let (mut pause, mut force) = (FIRST_PAUSE, arguments.force);
    loop {
        let held = keep.held();
        let why = match held.as_ref() {
            None => Some(Why::None),
            Some(_) if force => Some(Why::None),
            Some(held) => (due(held) <= system::clock().now()).then_some(Why::Due),
        };
        let out = arguments.out.display();
        let done = match why {
            Some(why) => get(&arguments, &keep, held.as_ref(), why).await.map(Some),
            None => follow_roots(&arguments, &keep, held.as_ref()).await.map(|()| None),
        };
        match done {
            Ok(until) => {
                if let Some(until) = until {
                    say(&format!("{out} holds a certificate until {}", until.to_rfc3339()));
                    then(&arguments).await?;
                    force = false;
                }
                pause = FIRST_PAUSE;
            }
            Err(error) if arguments.watch => {
                tracing::warn!(error = format!("{error:#}"), "the certificate is not renewed");
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(error) => return Err(error),
        }
        if !arguments.watch {
            if let (None, Some(held)) = (why, held) {
                let until = held.not_after.to_rfc3339();
                say(&format!("{out} holds a certificate until {until}; --force gets another"));
            }
            return Ok(());
        }
        let left = keep.held().map(|held| due(&held).since(system::clock().now()));
        let wait = left.unwrap_or_default().clamp(pause, LONGEST_PAUSE);
        sleep(spread(wait)).await;
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

/// Whom to trust on the way to the authority: what was given, and what it publishes.
fn trust(arguments: &EnrolArguments, keep: &Keep) -> Result<Arc<Trust>> {
    let given = std::fs::read_to_string(&arguments.ca)
        .with_context(|| format!("read {}", arguments.ca.display()))?;
    let known = keep.roots().unwrap_or_default();
    Ok(Trust::from_pem(&format!("{given}\n{known}"))?)
}

fn at(arguments: &EnrolArguments, path: &str) -> String {
    format!("{}/pki/v1{path}", arguments.url.trim_end_matches('/'))
}

/// The roots as the authority has them now, and nothing else that may be in the answer.
async fn roots(arguments: &EnrolArguments, trust: &Arc<Trust>) -> Result<String> {
    let said = call(trust, None, Method::GET, &at(arguments, "/ca.pem"), None, "").await?;
    let roots = certificates(&said).context("read the roots")?;
    Ok(roots.iter().map(|root| certificate_pem(root)).collect())
}

/// Between two certificates: keeps the roots as they are published.
async fn follow_roots(arguments: &EnrolArguments, keep: &Keep, held: Option<&Held>) -> Result<()> {
    let (Some(held), true) = (held, arguments.watch) else { return Ok(()) };
    let roots = roots(arguments, &trust(arguments, keep)?).await?;
    if roots == held.roots {
        return Ok(());
    }
    keep.store(&held.chain, &Secret::new(held.key.clone()), &roots)?;
    then(arguments).await
}

async fn get(
    arguments: &EnrolArguments,
    keep: &Keep,
    held: Option<&Held>,
    why: Why,
) -> Result<Timestamp> {
    let trust = trust(arguments, keep)?;
    let roots = roots(arguments, &trust).await?;
    let renewed = match held.filter(|_| why == Why::Due && !arguments.by_issuer()) {
        Some(held) => Some(renew(arguments, &trust, held).await),
        None => None,
    };
    let (chain, pem) = match renewed {
        Some(Ok(renewed)) => renewed,
        // It was revoked, or its authority is not trusted any more: a token may still help.
        Some(Err(error)) => match arguments.token()? {
            None => return Err(error),
            Some(token) => {
                let enrolled = enrol(arguments, keep, &trust, token).await;
                enrolled.with_context(|| format!("it is not renewed ({error:#})"))?
            }
        },
        None => {
            let token = arguments.token()?;
            let token =
                token.with_context(|| format!("neither --token-file nor {TOKEN_VARIABLE}"))?;
            enrol(arguments, keep, &trust, token).await?
        }
    };
    let chain = certificates(&chain).context("read the certificate")?;
    let chain_pem: String = chain.iter().map(|one| certificate_pem(one)).collect();
    Identity::from_pem(&chain_pem, pem.expose()).context("the certificate is for another key")?;
    let (own, now) = (Trust::from_pem(&roots)?, system::clock().now());
    let peer = PeerCertificate::new(&chain, Some(&own), now).context("there is no certificate")?;
    ensure!(peer.workload().is_some(), "the published roots do not vouch for the certificate");
    let (_, until) = lifetime(&chain_pem).context("read the certificate")?;
    keep.store(&chain_pem, &pem, &roots)?;
    Ok(until)
}

impl EnrolArguments {
    fn by_issuer(&self) -> bool {
        self.workload_token_file.is_some()
    }

    fn token(&self) -> Result<Option<Secret<String>>> {
        let read = |path: &Path| {
            let text = std::fs::read_to_string(path);
            let text = text.with_context(|| format!("read {}", path.display()))?;
            anyhow::Ok(Secret::new(text.trim().to_owned()))
        };
        match self.workload_token_file.as_ref().or(self.token_file.as_ref()) {
            Some(path) => Ok(Some(read(path)?)),
            None => Ok(system::variable(TOKEN_VARIABLE).map(Secret::new)),
        }
    }
}

async fn renew(
    arguments: &EnrolArguments,
    trust: &Arc<Trust>,
    held: &Held,
) -> Result<(String, Secret<String>)> {
    let found = call(trust, None, Method::GET, &at(arguments, ""), None, "").await?;
    let directory: Directory = serde_json::from_str(&found).context("read what is at /pki/v1")?;
    let url = directory.renewal.context("the installation has no listener for mutual TLS")?;
    let (key, pem) = new_key()?;
    let shown = Identity::from_pem(&held.chain, &held.key)?;
    let request = request_pem(&key)?;
    Ok((call(trust, Some(shown), Method::POST, &url, None, &request).await?, pem))
}

/// With a token, which is sent to the address that was given and to no other.
async fn enrol(
    arguments: &EnrolArguments,
    keep: &Keep,
    trust: &Arc<Trust>,
    token: Secret<String>,
) -> Result<(String, Secret<String>)> {
    // The same key as before if there was no answer: the token may be used up for it.
    let pending = keep.pending().and_then(|pem| Some((key_of(&pem)?, pem)));
    let (key, pem) = match pending {
        Some(pending) => pending,
        None => new_key()?,
    };
    keep.set_pending(&pem)?;
    let path = if arguments.by_issuer() { "/certificates/workload" } else { "/certificates" };
    let (url, request) = (at(arguments, path), request_pem(&key)?);
    Ok((call(trust, None, Method::POST, &url, Some(token), &request).await?, pem))
}

async fn then(arguments: &EnrolArguments) -> Result<()> {
    let Some(command) = &arguments.then else { return Ok(()) };
    let mut child = tokio::process::Command::new("sh");
    child.arg("-c").arg(command).env_remove(TOKEN_VARIABLE).stdin(Stdio::null());
    let status = timeout(THEN_PATIENCE, child.kill_on_drop(true).status()).await;
    let said = match status {
        Ok(status) => {
            let status = status.context("run the command of --then")?;
            if status.success() {
                return Ok(());
            }
            format!("the command of --then ended with {status}")
        }
        Err(_) => format!("the command of --then took more than {} s", THEN_PATIENCE.as_secs()),
    };
    ensure!(arguments.watch, "{said}");
    tracing::warn!(said);
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
        let expected = ServerIdentity { no_workload: true, ..ServerIdentity::default() };
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
