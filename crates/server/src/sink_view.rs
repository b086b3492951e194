//! What people see of sinks, and trying one out: an entry of the log is sent to the receiver beside what is on its
//! way there, and what came of it is told.

use std::{
    path::Path,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context, Result};
use portcullis_api::{SinkFailureView, SinkTestView, SinkView};
use portcullis_audit::{Entry, Logs};
use portcullis_events::{Actor, AdminChange, Event, Kind, Origin, Outcome};
use portcullis_export::{Progress, Record, Taken};
use portcullis_types::{Id, Timestamp};
use tokio::time::timeout;

use crate::{
    app::App,
    config::{Personal, SinkConfig},
    record::audit_dir,
    sinks::{Sinks, opening, plan_one},
};

/// A receiver that is tried out gets this long for all of it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Each as the configuration in force has it, and how far it is.
pub fn look(app: &App) -> Vec<SinkView> {
    let now = app.clock.now();
    let gate = app.gate.load();
    let one = |config: &SinkConfig| {
        let progress = app.sinks.progress(&config.name).unwrap_or_default();
        view(config, &progress, now)
    };
    gate.config.sinks.iter().map(one).collect()
}

impl Sinks {
    fn progress(&self, name: &str) -> Option<Arc<Progress>> {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(running.get(name)?.progress.clone())
    }
}

fn view(config: &SinkConfig, progress: &Progress, now: Timestamp) -> SinkView {
    let (kind, to) = receiver(config);
    let read = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
    let now_millis = u64::try_from(now.micros() / 1_000).unwrap_or_default();
    let behind_seconds = match read(&progress.waiting_since) {
        0 => 0,
        since => now_millis.saturating_sub(since) / 1_000,
    };
    let last = progress.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
    SinkView {
        name: config.name.clone(),
        kind: kind.to_owned(),
        to,
        kinds: config.kinds.clone(),
        personal: if config.personal == Personal::Open { "open" } else { "sealed" }.to_owned(),
        behind_entries: read(&progress.size).saturating_sub(read(&progress.next)),
        behind_seconds,
        delivered: read(&progress.delivered),
        refused: read(&progress.refused),
        missed: read(&progress.missed),
        failures: read(&progress.failures),
        failing: progress.failing.load(Ordering::Relaxed),
        last_failure: last.map(|(at, said)| SinkFailureView { at: at.to_rfc3339(), said }),
    }
}

/// What it is, and where: never more of an address than host and port, since what follows may be a secret.
fn receiver(config: &SinkConfig) -> (&'static str, Option<String>) {
    let host = |url: &str| {
        let url = url::Url::parse(url).ok()?;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{}{port}", url.host_str()?))
    };
    if let Some(own) = &config.syslog {
        return ("syslog", Some(own.address.clone()));
    }
    let all = [
        ("splunk", config.splunk.as_ref().map(|own| &own.url)),
        ("elastic", config.elastic.as_ref().map(|own| &own.url)),
        ("otlp", config.otlp.as_ref().map(|own| &own.url)),
        ("webhook", config.webhook.as_ref().map(|own| &own.url)),
    ];
    let found = all.into_iter().find_map(|(kind, url)| Some((kind, host(url?))));
    found.unwrap_or(("slack", None))
}

impl App {
    /// Sends an entry of the log, which says that this was asked for, to a sink. Nothing if there is none of that name.
    pub async fn try_sink(
        &self,
        name: &str,
        actor: Actor,
        origin: Origin,
    ) -> Result<Option<SinkTestView>> {
        let gate = self.gate.load_full();
        let Some(own) = gate.config.sinks.iter().find(|own| own.name == name) else {
            return Ok(None);
        };
        let log = audit_dir(&self.data);
        let before = self.reading(&log, |log| Ok(log.size())).await?;
        let now = self.clock.now();
        let id = Id::new(now, &*self.entropy);
        let change = AdminChange {
            action: "test",
            object_type: "sink",
            object: name.to_owned(),
            before: None,
            after: None,
        };
        let kind = Kind::Admin(change);
        let event = Event::new(id, now, Some(origin), actor, Outcome::Success, kind);
        let uid = event.id.to_string();
        self.audit.append(vec![event]).await?;
        let found = self.reading(&log, move |log| find(log, before, &uid)).await?;
        let mut entry = found.context("the entry is not in the log")?;
        let asked = self.clock.now();
        let sent = timeout(PATIENCE, async {
            if own.personal == Personal::Open {
                let opened = opening(&self.identity)(entry.bytes).await;
                entry.bytes = opened.ok_or("what is sealed cannot be opened now")?;
            }
            let record = Record::read(&entry).ok_or("the entry is not an event")?;
            // A receiver that knows documents by where they come from must not take it for the one that comes by the
            // usual way, which may say what came before it.
            let origin = format!("{}/test", self.record.prefix);
            let planned = plan_one(&gate.config, own, &origin, &self.clock, &self.entropy);
            let mut sink = planned.map_err(|error| format!("{error:#}"))?;
            sink.send(&[record]).await.map_err(|error| error.to_string())
        });
        let sent = sent.await.unwrap_or_else(|_| Err("it took too long".to_owned()));
        Ok(Some(told(sent, self.clock.now().since(asked))))
    }

    /// Reads the log on a thread that may wait.
    async fn reading<T: Send + 'static>(
        &self,
        dir: &Path,
        read: impl FnOnce(&Logs) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let dir = dir.to_owned();
        tokio::task::spawn_blocking(move || read(&Logs::open(&dir)?)).await?
    }
}

/// The entry of an event that was appended after the log had `from` entries.
fn find(log: &Logs, from: u64, uid: &str) -> Result<Option<Entry>> {
    let has = |bytes: &[u8]| bytes.windows(uid.len()).any(|part| part == uid.as_bytes());
    let mut next = from;
    loop {
        let bundle = log.bundle_from(next)?;
        let Some(last) = bundle.last() else { return Ok(None) };
        next = last.position + 1;
        let found = bundle.into_iter().find(|entry| has(&entry.bytes));
        if found.is_some() {
            return Ok(found);
        }
    }
}

fn told(sent: Result<Taken, String>, took: Duration) -> SinkTestView {
    let said = match &sent {
        Ok(taken) => taken.refused.first().map(|refused| refused.why.clone()),
        Err(why) => Some(why.clone()),
    };
    SinkTestView {
        delivered: said.is_none(),
        confirmed: sent.is_ok_and(|taken| taken.confirmed),
        said,
        took_millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    }
}
