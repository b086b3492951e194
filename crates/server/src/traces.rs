//! Spans on their way to whoever collects them. They are a help and no record: where the collector is
//! away they are dropped, and counted.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use http::{HeaderMap, HeaderValue, header};
use portcullis_events::Span;
use portcullis_export::{HttpClient, HttpSettings, OtlpTraces, SinkError, TlsSettings};
use portcullis_gateway::Tracing;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::config::Config;

/// Spans that may wait.
const WAITING: usize = 8_192;
/// Spans handed in at once, and how often.
const BATCH: usize = 512;
const EVERY: Duration = Duration::from_secs(1);
/// A batch is tried so often, after pauses of one second and more.
const TRIES: u32 = 4;

/// What became of spans.
#[derive(Default)]
pub struct Spans {
    sent: AtomicU64,
    dropped: AtomicU64,
}

/// The way to the collector, if the configuration names one.
pub fn client(config: &Config) -> Result<Option<HttpClient>> {
    let Some(own) = &config.tracing else { return Ok(None) };
    let read = |path: &std::path::PathBuf| {
        let path = config.path(path);
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    let mut headers = HeaderMap::new();
    if let Some(secret) = own.secret_file.as_ref().map(read).transpose()? {
        let mut value =
            HeaderValue::from_str(secret.trim()).context("the secret is not a field")?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    let tls = TlsSettings { ca_pem: own.ca.as_ref().map(read).transpose()?, identity: None };
    let settings = HttpSettings { url: own.otlp.clone(), headers, tls };
    HttpClient::new(settings).map(Some).map_err(|why| anyhow!("tracing: {why}"))
}

/// Starts handing in spans, if the configuration says where.
pub fn start(config: &Config, node: &str) -> Result<(Option<Arc<Tracing>>, Arc<Spans>)> {
    let counts = Arc::<Spans>::default();
    let (Some(client), Some(own)) = (client(config)?, &config.tracing) else {
        return Ok((None, counts));
    };
    let (send, spans) = mpsc::channel(WAITING);
    tokio::spawn(hand_in(OtlpTraces::new(client, node), spans, counts.clone()));
    let full = counts.clone();
    let sink = move |span| {
        if send.try_send(span).is_err() {
            full.dropped.fetch_add(1, Ordering::Relaxed);
        }
    };
    Ok((Some(Arc::new(Tracing { share: own.out_of_all(), sink: Arc::new(sink) })), counts))
}

async fn hand_in(mut traces: OtlpTraces, mut spans: mpsc::Receiver<Span>, counts: Arc<Spans>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut batch = Vec::with_capacity(BATCH);
    while spans.recv_many(&mut batch, BATCH).await > 0 {
        // What comes within a second goes together.
        ticks.tick().await;
        while batch.len() < BATCH
            && let Ok(span) = spans.try_recv()
        {
            batch.push(span);
        }
        let sent = deliver(&mut traces, &batch).await;
        counts.sent.fetch_add(sent, Ordering::Relaxed);
        counts.dropped.fetch_add((batch.len() as u64).saturating_sub(sent), Ordering::Relaxed);
        batch.clear();
    }
}

async fn deliver(traces: &mut OtlpTraces, batch: &[Span]) -> u64 {
    for tried in 0..TRIES {
        match traces.send(batch).await {
            Ok(sent) => return sent,
            Err(error) => {
                tracing::warn!(%error, spans = batch.len(), "spans were not taken");
                let SinkError::Later { .. } = error else { return 0 };
                sleep(Duration::from_secs(1 << tried)).await;
            }
        }
    }
    0
}

impl Spans {
    /// For Prometheus.
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        for (name, help, count) in [
            ("sent", "Spans that the collector took.", &self.sent),
            ("dropped", "Spans that it did not take, or that were too many.", &self.dropped),
        ] {
            let count = count.load(Ordering::Relaxed);
            let name = format!("portcullis_spans_{name}_total");
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {count}");
        }
        text
    }
}
