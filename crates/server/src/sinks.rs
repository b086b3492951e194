//! The sinks that run, as the configuration has them.

use std::{
    collections::HashMap,
    fmt::Write as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use anyhow::{Context, Result, anyhow};
use http::{HeaderMap, HeaderValue, header};
use portcullis_egress::webhook::Secret;
use portcullis_events::{opened_entry, sealed_of};
use portcullis_export::{
    Begin, Elastic, Exporter, Format, HttpClient, HttpSettings, Open, Otlp, Progress, Sink, Slack,
    Splunk, Syslog, SyslogSettings, TlsSettings, Webhook,
};
use portcullis_identity::Identity;
use portcullis_types::{SharedClock, SharedEntropy, random_array};
use tokio::task::JoinHandle;

use crate::{
    app::App,
    config::{Beginning, Config, OcsfVersion, Personal, SinkConfig, SyslogFormat},
    record::audit_dir,
    system,
};

/// Sinks, and how far each is.
#[derive(Default)]
pub struct Sinks(pub(crate) Mutex<HashMap<String, Running>>);

pub(crate) struct Running {
    config: SinkConfig,
    /// What its files and its variable had, so that a new secret begins it anew.
    made_of: Parts,
    pub(crate) progress: Arc<Progress>,
    task: JoinHandle<()>,
}

/// A sink that can be started.
pub struct Planned {
    config: SinkConfig,
    parts: Parts,
    sink: Sink,
}

/// What a sink's files have.
#[derive(Clone, PartialEq, Eq)]
struct Parts {
    tls: (Option<String>, Option<(String, String)>),
    secret: Option<String>,
}

/// Reads and checks everything that the sinks need.
pub fn plan(
    config: &Config,
    origin: &str,
    clock: &SharedClock,
    entropy: &SharedEntropy,
) -> Result<Vec<Planned>> {
    let one = |own: &SinkConfig| {
        let parts = Parts::read(config, own)?;
        let sink = sink(config, own, &parts, origin, clock, entropy)?;
        anyhow::Ok(Planned { config: own.clone(), parts, sink })
    };
    let all = config.sinks.iter();
    all.map(|own| one(own).with_context(|| format!("sink {}", own.name))).collect()
}

/// One sink alone, to try it out.
pub fn plan_one(
    config: &Config,
    own: &SinkConfig,
    origin: &str,
    clock: &SharedClock,
    entropy: &SharedEntropy,
) -> Result<Sink> {
    sink(config, own, &Parts::read(config, own)?, origin, clock, entropy)
}

/// Makes what is personal in an entry readable.
pub fn opening(identity: &Identity) -> Open {
    let identity = identity.clone();
    Arc::new(move |entry| {
        let identity = identity.clone();
        Box::pin(async move {
            let Some(sealed) = sealed_of(&entry) else { return Some(entry) };
            let fields = identity.log_keys.try_open(&identity.db, &sealed).await;
            // A database that does not answer is no key that was destroyed.
            let fields = fields.ok()?;
            Some(opened_entry(&entry, |_| fields))
        })
    })
}

impl Parts {
    fn read(config: &Config, own: &SinkConfig) -> Result<Self> {
        let read = |path: &PathBuf| {
            let path = config.path(path);
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
        };
        let ca = own.ca.as_ref().map(read).transpose()?;
        let identity = match (&own.certificate, &own.key) {
            (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
            _ => None,
        };
        let secret = match &own.secret_file {
            Some(path) => Some(read(path)?),
            None => system::variable(&own.variable()),
        };
        let secret = secret.map(|secret| secret.trim().to_owned());
        Ok(Self { tls: (ca, identity), secret })
    }

    fn tls(&self) -> TlsSettings {
        let (ca_pem, identity) = self.tls.clone();
        TlsSettings { ca_pem, identity }
    }

    fn secret(&self, own: &SinkConfig) -> Result<&str> {
        let secret = self.secret.as_deref().filter(|secret| !secret.is_empty());
        secret.with_context(|| format!("there is no secret_file and no {}", own.variable()))
    }

    /// A client whose requests say who we are, if `authorization` does.
    fn client(&self, url: &str, authorization: Option<&str>) -> Result<HttpClient> {
        let mut headers = HeaderMap::new();
        if let Some(text) = authorization {
            let mut value = HeaderValue::from_str(text).context("the secret is not a field")?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let settings = HttpSettings { url: url.to_owned(), headers, tls: self.tls() };
        HttpClient::new(settings).map_err(|why| anyhow!(why))
    }
}

fn sink(
    config: &Config,
    own: &SinkConfig,
    parts: &Parts,
    origin: &str,
    clock: &SharedClock,
    entropy: &SharedEntropy,
) -> Result<Sink> {
    let issuer = url::Url::parse(&config.issuer).ok();
    let hostname = issuer.as_ref().and_then(url::Url::host_str).unwrap_or_default().to_owned();
    if let Some(syslog) = &own.syslog {
        let settings = SyslogSettings {
            address: syslog.address.clone(),
            tls: parts.tls(),
            format: match syslog.format {
                SyslogFormat::Ocsf => Format::Ocsf,
                SyslogFormat::Cef => Format::Cef,
            },
            hostname,
            max_message: syslog.max_message,
        };
        return Ok(Sink::Syslog(Syslog::new(settings).map_err(|why| anyhow!(why))?));
    }
    if let Some(splunk) = &own.splunk {
        let token = format!("Splunk {}", parts.secret(own)?);
        let client = parts.client(&splunk.url, Some(&token))?;
        let channel = splunk.acknowledge.then(|| random_array::<16>(&**entropy));
        return Ok(Sink::Splunk(Splunk::new(client, hostname, splunk.index.clone(), channel)));
    }
    if let Some(elastic) = &own.elastic {
        let client = parts.client(&elastic.url, parts.secret.as_deref())?;
        let sink = Elastic::new(client, &elastic.index, origin).map_err(|why| anyhow!(why))?;
        return Ok(Sink::Elastic(sink));
    }
    if let Some(otlp) = &own.otlp {
        let client = parts.client(&otlp.url, parts.secret.as_deref())?;
        return Ok(Sink::Otlp(Otlp::new(client, origin)));
    }
    if let Some(webhook) = &own.webhook {
        let secrets = parts.secret(own)?.lines().map(|line| {
            Secret::read(line).context("a secret is whsec_ and 24 to 64 bytes in base64")
        });
        let secrets = secrets.collect::<Result<Vec<_>>>()?;
        let client = parts.client(&webhook.url, None)?;
        return Ok(Sink::Webhook(Webhook::new(client, secrets, clock.clone())));
    }
    let client = parts.client(parts.secret(own)?, None)?;
    Ok(Sink::Slack(Slack::new(client)))
}

impl App {
    /// Reads and checks everything that the sinks of `config` need.
    pub fn plan_sinks(&self, config: &Config) -> Result<Vec<Planned>> {
        plan(config, &self.record.prefix, &self.clock, &self.entropy)
    }

    /// Starts what is new, ends what is gone, and leaves the rest alone.
    pub fn follow_sinks(&self, planned: Vec<Planned>) {
        let mut running = self.sinks.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |running: &Running, planned: &Planned| {
            running.config == planned.config && running.made_of == planned.parts
        };
        running.retain(|name, running| {
            let stays = planned.iter().any(|one| one.config.name == *name && same(running, one));
            if !stays {
                running.task.abort();
            }
            stays
        });
        for Planned { config, parts, sink } in planned {
            let name = config.name.clone();
            if running.contains_key(&name) {
                continue;
            }
            let progress = Arc::<Progress>::default();
            let task = tokio::spawn(self.exporter(&config, sink, progress.clone()).run());
            running.insert(name, Running { config, made_of: parts, progress, task });
        }
    }

    fn exporter(&self, config: &SinkConfig, sink: Sink, progress: Arc<Progress>) -> Exporter {
        let record = self.record.clone();
        Exporter {
            verifier: Arc::new(move |year| record.verifier(year)),
            name: config.name.clone(),
            dir: self.data.join("sinks").join(&config.name),
            log: audit_dir(&self.data),
            origin: self.record.prefix.clone(),
            kinds: config.kinds.clone(),
            begin: match config.begin {
                Beginning::Oldest => Begin::Oldest,
                Beginning::Newest => Begin::Newest,
            },
            integrity: config.ocsf_version == OcsfVersion::V1_9,
            open: (config.personal == Personal::Open).then(|| opening(&self.identity)),
            sink,
            clock: self.clock.clone(),
            progress,
        }
    }
}

impl Sinks {
    /// Ends them all; each goes on where it stopped.
    pub fn close(&self) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.drain().for_each(|(_, running)| running.task.abort());
    }

    /// How far each is, for Prometheus.
    pub fn metrics(&self, now_millis: u64) -> String {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<_> = running.keys().collect();
        names.sort();
        let mut text = String::new();
        for (metric, kind, help, of) in METRICS {
            let metric = format!("portcullis_sink_{metric}");
            let _ = writeln!(text, "# HELP {metric} {help}\n# TYPE {metric} {kind}");
            for name in &names {
                let own = &running[*name];
                if own.task.is_finished() {
                    // It never ends by itself.
                    own.progress.failing.store(true, Ordering::Relaxed);
                }
                let value = of(&own.progress, now_millis);
                let _ = writeln!(text, "{metric}{{sink=\"{name}\"}} {value}");
            }
        }
        text
    }
}

type Metric = (&'static str, &'static str, &'static str, fn(&Progress, u64) -> f64);

const METRICS: [Metric; 8] = [
    ("position", "gauge", "The entry of the log that it goes on with.", |p, _| {
        count(p.next.load(Ordering::Relaxed))
    }),
    (
        "behind_entries",
        "gauge",
        "Entries of the log that are not known to be delivered.",
        |p, _| {
            let (size, next) = (p.size.load(Ordering::Relaxed), p.next.load(Ordering::Relaxed));
            count(size.saturating_sub(next))
        },
    ),
    ("behind_seconds", "gauge", "How old the oldest event is that waits.", |p, now| {
        match p.waiting_since.load(Ordering::Relaxed) {
            0 => 0.0,
            since => count(now.saturating_sub(since)) / 1_000.0,
        }
    }),
    ("delivered_total", "counter", "Events that the receiver was given.", |p, _| {
        count(p.delivered.load(Ordering::Relaxed))
    }),
    (
        "refused_total",
        "counter",
        "Events that it refused for good; see the dead letters.",
        |p, _| count(p.refused.load(Ordering::Relaxed)),
    ),
    (
        "missed_total",
        "counter",
        "Events that were removed from the log, their time over, before they were delivered.",
        |p, _| count(p.missed.load(Ordering::Relaxed)),
    ),
    ("failures_total", "counter", "Deliveries that failed and came again.", |p, _| {
        count(p.failures.load(Ordering::Relaxed))
    }),
    ("failing", "gauge", "Whether the last delivery failed.", |p, _| {
        f64::from(u8::from(p.failing.load(Ordering::Relaxed)))
    }),
];

#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
fn count(number: u64) -> f64 {
    number as f64
}
