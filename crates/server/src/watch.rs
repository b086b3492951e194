//! The thread that looks for attacks, and the task that answers what it finds.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use portcullis_events::{Event, Kind};
use portcullis_identity::{Answering, RuleAlert};
use portcullis_threat::{Finding, Mode, Watch};
use tokio::sync::{Semaphore, mpsc};

use crate::{app::App, baselines, config::Config, sigma::Work, system::SteadyClock};

/// Events that may wait. Beyond that the newest are not looked at, and counted: a request must not
/// wait for a detector.
const WAITING_EVENTS: usize = 65_536;
/// Requests are looked at together, so that not each of them wakes a thread.
const HOLD: Duration = Duration::from_millis(3);
/// Where nothing comes, the detectors look at the clock so often.
const TICK: Duration = Duration::from_secs(15);
const ANSWERS_AT_ONCE: usize = 8;
/// Findings that may wait for an answer.
const WAITING_FINDINGS: usize = 1_024;
/// Alerts of rules that may wait.
const WAITING_ALERTS: usize = 256;

/// Where events wait for the detectors.
#[derive(Default)]
pub struct Feed {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    /// Events that were looked at.
    pub observed: AtomicU64,
    /// Events that were not, because too many waited.
    pub dropped: AtomicU64,
    /// What was found.
    pub findings: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    events: Vec<Arc<Event>>,
    urgent: bool,
    closed: bool,
}

impl Feed {
    /// Takes an event, without waiting.
    pub fn push(&self, event: &Arc<Event>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.events.len() >= WAITING_EVENTS {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let urgent = !matches!(event.kind, Kind::Request(_)) && !waiting.urgent;
        waiting.urgent |= urgent;
        waiting.events.push(event.clone());
        let first = waiting.events.len() == 1;
        drop(waiting);
        if first || urgent {
            self.wake.notify_one();
        }
    }

    /// Ends the thread when it has looked at what waits.
    pub fn close(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.wake.notify_one();
    }

    /// Waits for events, for a while, and takes them all. `false` when there will be no more.
    fn take(&self, into: &mut Vec<Arc<Event>>) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let nothing = |waiting: &mut Waiting| waiting.events.is_empty() && !waiting.closed;
        let woken = self.wake.wait_timeout_while(waiting, TICK, nothing);
        let (waiting, late) = woken.unwrap_or_else(PoisonError::into_inner);
        if late.timed_out() && waiting.events.is_empty() && !waiting.closed {
            return true;
        }
        let calm = |waiting: &mut Waiting| !waiting.urgent && !waiting.closed;
        let held = self.wake.wait_timeout_while(waiting, HOLD, calm);
        let (mut waiting, _) = held.unwrap_or_else(PoisonError::into_inner);
        waiting.urgent = false;
        std::mem::swap(&mut waiting.events, into);
        !(into.is_empty() && waiting.closed)
    }
}

/// Starts the thread and the task.
pub fn start(app: &Arc<App>) -> Result<tokio::task::JoinHandle<()>> {
    let (send, findings) = mpsc::channel(WAITING_FINDINGS);
    let (tell, mut alerts) = mpsc::channel(WAITING_ALERTS);
    let (watched, feed) = (app.clone(), app.feed.clone());
    thread::Builder::new()
        .name("watch".into())
        .spawn(move || look(&watched, &feed, &send, &tell))
        .context("start the thread of the detectors")?;
    let teller = app.clone();
    // A queue of their own: what only tells must not hold up what answers.
    tokio::spawn(async move {
        while let Some(alert) = alerts.recv().await {
            tell_of(&teller, &alert).await;
        }
    });
    Ok(tokio::spawn(answer(app.clone(), findings)))
}

fn look(
    app: &App,
    feed: &Feed,
    findings: &mpsc::Sender<Finding>,
    alerts: &mpsc::Sender<RuleAlert>,
) {
    let mut rules = app.gate.load().config.detect.rules;
    let mut watch = Watch::new(rules, &*app.entropy);
    let clock = SteadyClock::new(app.clock.now());
    watch.resume(baselines::read(&app.data), clock.now());
    let mut due = baselines::Due::after(clock.now());
    let mut rules_at_work = Work::new(app);
    let (mut events, mut found) = (Vec::new(), Vec::new());
    while feed.take(&mut events) {
        app.traffic.count(&events);
        // As of the last reload.
        let (current, mode) = {
            let gate = app.gate.load();
            (gate.config.detect.rules, gate.config.detect.mode)
        };
        if mode == Mode::Off {
            watch.missed();
            events.clear();
            continue;
        }
        if current != rules {
            rules = current;
            watch.set_rules(rules);
        }
        rules_at_work.follow(app);
        if due.now(clock.now()) {
            let (data, learned) = (app.data.clone(), watch.learned());
            // A disk that hangs must not hold up detection.
            let write = move || baselines::write(&data, &learned);
            let started = thread::Builder::new().name("baselines".into()).spawn(write);
            if let Err(error) = started {
                tracing::warn!(%error, "what is usual could not be kept");
            }
        }
        let places = app.places.load();
        feed.observed.fetch_add(events.len() as u64, Ordering::Relaxed);
        if events.is_empty() {
            watch.turn(clock.now(), &mut found);
            hand_over(&mut found, findings, feed);
        }
        for event in events.drain(..) {
            // Read for each: what was held back did not arrive at once.
            let (now, places) = (clock.now(), &**places);
            let seen = AssertUnwindSafe(|| watch.observe(&event, places, now, &mut found));
            if catch_unwind(seen).is_err() {
                // An event that no detector can take must not end detection.
                tracing::error!(event = %event.id, "a detector failed; all begin anew");
                feed.dropped.fetch_add(1, Ordering::Relaxed);
                let learned = watch.learned();
                watch = Watch::new(rules, &*app.entropy);
                watch.resume(learned, now);
            }
            // At once: rules cost more than detectors, and an answer must not wait for them.
            hand_over(&mut found, findings, feed);
            let ruled = AssertUnwindSafe(|| {
                rules_at_work.look(&event, now, |alert| alerts.try_send(alert).is_ok());
            });
            if catch_unwind(ruled).is_err() {
                // A rule that somebody wrote must not cost the detectors what they know.
                tracing::error!(event = %event.id, "a rule failed; all rules begin anew");
                rules_at_work = Work::new(app);
            }
        }
    }
    baselines::write(&app.data, &watch.learned());
}

fn hand_over(found: &mut Vec<Finding>, findings: &mpsc::Sender<Finding>, feed: &Feed) {
    feed.findings.fetch_add(found.len() as u64, Ordering::Relaxed);
    for finding in found.drain(..) {
        if findings.try_send(finding).is_err() {
            feed.dropped.fetch_add(1, Ordering::Relaxed);
            tracing::error!("a finding was not answered: too many wait");
        }
    }
}

/// Answers them side by side: one that waits for the database must not hold up a block. Not all at
/// once, though: who logs in waits for the same database.
async fn answer(app: Arc<App>, mut findings: mpsc::Receiver<Finding>) {
    let turns = Arc::new(Semaphore::new(ANSWERS_AT_ONCE));
    while let Some(finding) = findings.recv().await {
        let Ok(turn) = turns.clone().acquire_owned().await else { return };
        let app = app.clone();
        tokio::spawn(async move {
            respond(&app, finding).await;
            drop(turn);
        });
    }
}

async fn respond(app: &App, finding: Finding) {
    let how = answering(&app.gate.load().config, &finding);
    let rule = finding.rule.id;
    match app.identity.respond(&finding, &how).await {
        Ok(alert) => {
            tracing::warn!(%alert, rule, description = finding.description, "an attack was found");
        }
        Err(error) => tracing::error!(
            error = &error as &dyn std::error::Error,
            rule,
            "an attack could not be answered in full"
        ),
    }
}

async fn tell_of(app: &App, found: &RuleAlert) {
    let (most, mail) = {
        let detect = &app.gate.load().config.detect;
        (detect.max_answers_per_minute, detect.alert_mail())
    };
    let rule = &found.rule;
    match app.identity.raise_alert(found, most, &mail).await {
        Ok(Some(alert)) => {
            tracing::warn!(%alert, rule, description = found.description, "a rule found something");
        }
        Ok(None) => {
            tracing::error!(rule, "a rule found something, and nobody was told: too many do");
        }
        Err(error) => tracing::error!(
            error = &error as &dyn std::error::Error,
            rule,
            "a rule found something, and nobody could be told"
        ),
    }
}

fn answering(config: &Config, finding: &Finding) -> Answering {
    let detect = &config.detect;
    Answering {
        block: detect.block,
        step_up: detect.step_up,
        delay: detect.delay,
        allow: detect.allowed(),
        most_per_minute: detect.max_answers_per_minute,
        observe: !detect.responds(finding.rule.id),
        mail: detect.alert_mail(),
    }
}
