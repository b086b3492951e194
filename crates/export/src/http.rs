use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use url::{Host, Url};

use crate::{
    sink::SinkError,
    tls::{Tls, TlsSettings},
};

/// An answer is at most this long.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// The receiver answers in this time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// What a receiver says is quoted up to this many characters.
const MAX_QUOTE: usize = 300;
/// Words of so many characters are secrets, where secrets are.
const SECRET: usize = 4;
/// The longest rest that a receiver can ask for.
const MAX_REST: u64 = 3_600;

/// Where and how records are posted.
#[derive(Debug, Clone, Default)]
pub struct HttpSettings {
    /// `https://…`, or `http://…` on this machine.
    pub url: String,
    /// Fields of every request, such as `Authorization`.
    pub headers: HeaderMap,
    /// Whom to trust.
    pub tls: TlsSettings,
}

/// A receiver that is spoken to over one connection, kept open.
#[derive(Debug)]
pub struct HttpClient {
    url: Url,
    host: String,
    headers: HeaderMap,
    /// What must not be quoted, whatever a receiver repeats of it.
    hidden: Vec<String>,
    tls: Tls,
    open: Option<SendRequest<Full<Bytes>>>,
}

/// What it answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl HttpClient {
    /// # Errors
    /// In words, if the URL or what TLS needs cannot be used.
    pub fn new(settings: HttpSettings) -> Result<Self, String> {
        let url = Url::parse(&settings.url).map_err(|error| format!("url: {error}"))?;
        let plain = url.scheme() == "http";
        let local = match url.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        if !(url.scheme() == "https" || plain && local) {
            return Err("url: expected https, or http on this machine".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err("url: no user, password or fragment belongs in it".to_owned());
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let tls = Tls::new(&settings.tls)?;
        let values = settings.headers.values().filter_map(|value| value.to_str().ok());
        let words = values.filter_map(|value| value.rsplit(' ').next());
        let hidden = words.filter(|word| word.len() >= SECRET).map(str::to_owned).collect();
        Ok(Self { url, host, headers: settings.headers, hidden, tls, open: None })
    }

    /// The same for a URL that is a secret.
    pub fn hiding_its_path(mut self) -> Self {
        let parts = self.target();
        let parts = parts.split(['/', '?', '&', '=']).filter(|part| part.len() >= SECRET);
        self.hidden.extend(parts.map(str::to_owned));
        self
    }

    /// The path of the URL, without a slash at its end.
    pub(crate) fn path(&self) -> &str {
        self.url.path().trim_end_matches('/')
    }

    /// The path and query of the URL, as they are.
    pub(crate) fn target(&self) -> String {
        self.url[url::Position::BeforePath..url::Position::AfterQuery].to_owned()
    }

    /// Posts a body to a path of the receiver.
    pub(crate) async fn post(
        &mut self,
        target: &str,
        more: &[(HeaderName, HeaderValue)],
        kind: &'static str,
        body: Bytes,
    ) -> Result<Reply, SinkError> {
        let authority = &self.url[url::Position::BeforeHost..url::Position::AfterPort];
        let mut request = Request::post(target)
            .header(header::HOST, authority)
            .header(header::CONTENT_TYPE, kind)
            .header(header::ACCEPT, "application/json, */*;q=0.1")
            .header(header::USER_AGENT, "portcullis")
            .body(Full::new(body))
            .map_err(|error| SinkError::later(error.to_string()))?;
        request.headers_mut().extend(self.headers.clone());
        request.headers_mut().extend(more.iter().cloned());
        let answered = timeout(ANSWER_TIMEOUT, self.exchange(request)).await;
        let Ok(answered) = answered else {
            self.open = None;
            let why = "there was no answer in time".to_owned();
            return Err(SinkError::Later { why, after: None, slow: true });
        };
        if answered.is_err() {
            self.open = None;
        }
        let mut reply = answered.map_err(SinkError::later)?;
        if !reply.status.is_success() {
            let mut text = String::from_utf8_lossy(&reply.body).into_owned();
            for secret in &self.hidden {
                text = text.replace(secret, "[secret]");
            }
            reply.body = text.into();
        }
        Ok(reply)
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Reply, String> {
        let ready = match &mut self.open {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        let mut sender = match self.open.take().filter(|_| ready) {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let words = |error: hyper::Error| error.to_string();
        let response = sender.send_request(request).await.map_err(words)?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        self.open = Some(sender);
        Ok(Reply { status: parts.status, headers: parts.headers, body })
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let port = self.url.port_or_known_default().unwrap_or(443);
        let stream = self.tls.connect(&self.host, port, self.url.scheme() == "http").await;
        let stream = stream.map_err(|error| error.to_string())?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // Ends with the sender.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }
}

impl Reply {
    /// What is wrong, for answers that say nothing about single records.
    pub fn trouble(&self) -> SinkError {
        if self.status == StatusCode::PAYLOAD_TOO_LARGE {
            return SinkError::Divide(self.quote());
        }
        let after = self.headers.get(header::RETRY_AFTER);
        let after = after.and_then(|value| value.to_str().ok()?.parse().ok());
        let after = after.map(|seconds: u64| Duration::from_secs(seconds.min(MAX_REST)));
        SinkError::Later { why: self.quote(), after, slow: false }
    }

    /// The status and the beginning of the answer.
    pub fn quote(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let text: String = text.chars().take(MAX_QUOTE).collect();
        let text = portcullis_events::clean(text.trim());
        format!("the receiver answered {}: {text}", self.status.as_u16())
    }
}
