//! Asking servers whether they are well, and comparing them with each other.

use std::{
    sync::{Weak, atomic::Ordering},
    time::Duration,
};

use http::Request;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{Server, Upstream, outlier::odd_ones, server::Sender};
use crate::body::empty;

/// Servers are compared with each other this often.
const COMPARE_EVERY: Duration = Duration::from_secs(10);

/// Where and how often to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// Asked with GET; a 2xx answer means well.
    pub path: String,
    /// How often.
    pub every: Duration,
    /// It answers in this time.
    pub timeout: Duration,
    /// So many bad answers in a row make a server ill.
    pub unhealthy_after: u32,
    /// And so many good ones well again.
    pub healthy_after: u32,
}

/// Watches the servers of an upstream for as long as anybody else holds it.
pub async fn watch_health(upstream: Weak<Upstream>) {
    let check = upstream.upgrade().and_then(|upstream| upstream.settings.health.clone());
    match check {
        Some(check) => {
            tokio::join!(ask(upstream.clone(), check), compare(upstream));
        }
        None => compare(upstream).await,
    }
}

async fn ask(upstream: Weak<Upstream>, check: HealthCheck) {
    let mut ticks = interval(check.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(upstream) = upstream.upgrade() else { return };
        let mut answers = Vec::new();
        for server in upstream.servers.load_full().iter().cloned() {
            let (path, patience) = (check.path.clone(), check.timeout);
            // All at once: one that hangs must not hide what became of the others.
            answers.push(tokio::spawn(async move {
                let well = matches!(timeout(patience, probe(&server, &path)).await, Ok(Some(true)));
                (server, well)
            }));
        }
        for answer in answers {
            if let Ok((server, well)) = answer.await {
                judge(&upstream, &server, well, &check);
            }
        }
    }
}

/// A change needs several answers in a row, so that one lost packet closes nothing.
fn judge(upstream: &Upstream, server: &Server, well: bool, check: &HealthCheck) {
    let was = server.healthy.load(Ordering::Relaxed);
    if well == was {
        server.checks.store(0, Ordering::Relaxed);
        return;
    }
    let needed = if well { check.healthy_after } else { check.unhealthy_after };
    if server.checks.fetch_add(1, Ordering::Relaxed) + 1 >= needed {
        server.checks.store(0, Ordering::Relaxed);
        server.healthy.store(well, Ordering::Relaxed);
        if well {
            // It comes back like one that was left alone: by and by.
            server.record.eject(Duration::ZERO, upstream.now());
        }
        tracing::warn!(upstream = upstream.name, ?server, well, "health changed");
    }
}

async fn probe(server: &Server, path: &str) -> Option<bool> {
    let mut request = Request::get(path).body(empty()).ok()?;
    server.address(&mut request);
    let response = match server.connect().await.ok()? {
        Sender::Http1(mut line) => line.sender.send_request(request).await,
        Sender::Http2(mut sender) => sender.send_request(request).await,
    };
    Some(response.ok()?.status().is_success())
}

async fn compare(upstream: Weak<Upstream>) {
    let mut ticks = interval(COMPARE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(upstream) = upstream.upgrade() else { return };
        if upstream.settings.eject_after == 0 {
            continue;
        }
        let (servers, now) = (upstream.servers.load_full(), upstream.now());
        let taken: Vec<_> = servers.iter().map(|server| server.record.take(now)).collect();
        for place in odd_ones(&taken) {
            upstream.eject(&servers[place], now);
        }
    }
}
