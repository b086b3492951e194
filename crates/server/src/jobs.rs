//! What happens beside requests: checkpoints, outboxes, mails, retention.

use std::{
    collections::HashSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, anyhow};
use portcullis_audit::{Filter, Logs, MAX_RESULTS};
use portcullis_events::{Actor, Event, Kind, Lifecycle, Outcome, search_fields};
use portcullis_gateway::LimitBlock;
use portcullis_identity::Mail;
use portcullis_store::{
    outbox::{self, MessageKind, PendingEvent, PendingMessage},
    retention,
};
use portcullis_types::{Id, Timestamp};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    app::{App, Queues},
    certificates, checks,
    mailer::Mailer,
    measures, quotas,
    record::audit_dir,
    screening,
    system::SteadyClock,
    texts::{Texting, Texts},
};

const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
const OUTBOX_EVERY: Duration = Duration::from_secs(1);
const CLOCK_EVERY: Duration = Duration::from_secs(1);
const CLOCK_STEP_MILLIS: i64 = 1_000;
/// What was used of quotas is stored this often.
const QUOTAS_EVERY: Duration = Duration::from_millis(500);
/// What happened is stored for charts this often; a crash loses as much of them.
const MEASURES_EVERY: Duration = Duration::from_secs(2);
const LOGOUT_EVERY: Duration = Duration::from_millis(500);
const MAIL_EVERY: Duration = Duration::from_millis(250);
const SMS_EVERY: Duration = Duration::from_millis(250);
/// Memory of password hashes that nobody needed for so long is given back.
const RELEASE_MEMORY_EVERY: Duration = Duration::from_secs(2);
/// The files of the configuration are looked at this often.
const FILES_EVERY: Duration = Duration::from_secs(1);
/// Certificates are looked after this often.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(5);
/// What strangers can have stored goes soon after it has expired.
const RETENTION_EVERY: Duration = Duration::from_secs(60);
/// Decisions whose proofs a stop or a crash left are looked for so often.
const LEFT_EVERY: Duration = Duration::from_secs(30);
/// Workflows are taken further; between, they wait for something to happen.
const WORKFLOWS_EVERY: Duration = Duration::from_millis(20);
/// Faces that are kept no more are taken out of memory so often, if no search has met them before.
const FACES_EVERY: Duration = Duration::from_secs(300);
/// Whether a year began in which the log must go on, and what of it is old enough, is looked at so often.
const LOG_EVERY: Duration = Duration::from_secs(30);
/// Lists that were imported are taken over, and whoever is monitored compared with them, so soon.
const LISTS_EVERY: Duration = Duration::from_secs(2);
/// Whoever took a mail has so long to send it; then it is somebody else's.
const MAIL_LEASE: Duration = Duration::from_secs(120);
/// A mail server that takes longer does not take it.
const MAIL_PATIENCE: Duration = Duration::from_secs(60);
/// A mail is given up after this many attempts: some two days.
const MAIL_ATTEMPTS: i64 = 13;
/// Clocks may have been set back between the event and the search for it.
const REPLAY_SLACK: Duration = Duration::from_secs(120);

/// So many events are looked for one by one.
const FEW_EVENTS: usize = 16;

/// Starts every job. They end when `closing` turns true.
pub fn start(
    app: &Arc<App>,
    queues: Queues,
    (mailer, texts): (Mailer, Option<Texts>),
    closing: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    app.gate.load().watch(None);
    let mailer = Arc::new(mailer);
    vec![
        every(
            app,
            CHECKPOINT_EVERY,
            closing,
            "checkpoint",
            |app| async move { checkpoint(&app).await },
        ),
        every(app, OUTBOX_EVERY, closing, "outbox", |app| async move { sync(&app).await }),
        every(app, CLOCK_EVERY, closing, "clock", {
            let watched = Arc::new(ClockWatch::new(app.clock.now()));
            move |app| {
                let watched = watched.clone();
                async move { watched.look(&app).await }
            }
        }),
        every(app, QUOTAS_EVERY, closing, "quotas", |app| async move { quotas::store(&app).await }),
        every(app, MEASURES_EVERY, closing, "measures", |app| async move {
            measures::store(&app).await
        }),
        every(app, RELEASE_MEMORY_EVERY, closing, "memory", |app| async move {
            app.identity.hasher.release_idle_memory();
            Ok(())
        }),
        every(app, LOGOUT_EVERY, closing, "logout", |app| async move {
            Ok(app.provider.send_logout_notices().await?)
        }),
        every(app, FILES_EVERY, closing, "files", {
            let last = Arc::<std::sync::Mutex<_>>::default();
            move |app| {
                let last = last.clone();
                async move { app.follow_files(&last).await }
            }
        }),
        every(app, CERTIFICATES_EVERY, closing, "certificates", |app| async move {
            Ok(app.ca.tend().await?)
        }),
        every(app, LISTS_EVERY, closing, "lists", |app| async move {
            screening::take_over(&app.aml, &app.data).await
        }),
        every(app, LISTS_EVERY, closing, "monitoring", |app| async move {
            app.aml.monitor().await?;
            Ok(())
        }),
        every(app, WORKFLOWS_EVERY, closing, "workflows", |app| async move {
            checks::run_workflows(&app.verification).await
        }),
        every(app, WORKFLOWS_EVERY, closing, "providers", {
            let asking = Arc::<checks::Asking>::default();
            move |app| {
                let asking = asking.clone();
                async move { checks::ask_providers(&app.verification, &asking).await }
            }
        }),
        every(app, WORKFLOWS_EVERY, closing, "webhooks", {
            let telling = Arc::<checks::Telling>::default();
            move |app| {
                let telling = telling.clone();
                async move { checks::run_webhooks(&app.verification.webhooks, &telling).await }
            }
        }),
        every(app, CHECKPOINT_EVERY, closing, "evidence", |app| async move {
            checks::prove_decisions(&app.verification, &app.identity).await
        }),
        every(app, LEFT_EVERY, closing, "evidence left", {
            let from = Arc::new(tokio::sync::Mutex::new(Timestamp::from_micros(i64::MIN)));
            move |app| {
                let from = from.clone();
                async move { checks::prove_what_is_left(&app.verification, &app.identity, &from).await }
            }
        }),
        every(app, FACES_EVERY, closing, "faces", |app| async move {
            Ok(app.verification.sweep_faces().await?)
        }),
        every(app, LOG_EVERY, closing, "log", |app| async move { app.tend_log().await }),
        every(app, RETENTION_EVERY, closing, "retention", |app| async move {
            if retention::run(&app.identity.db, app.clock.now()).await? > 0 {
                app.identity.db.overwrite_remnants().await;
            }
            Ok(())
        }),
        every(app, MAIL_EVERY, closing, "mail", move |app| {
            let mailer = mailer.clone();
            async move { send_mails(&app, &mailer).await }
        }),
        every(app, SMS_EVERY, closing, "text messages", {
            let texting = Arc::new(Texting::new(texts));
            move |app| {
                let texting = texting.clone();
                async move { texting.hand_over_due(&app).await }
            }
        }),
        tokio::spawn(store_blocks(app.clone(), queues.limit_blocks)),
    ]
}

/// Runs `job` again and again. A job that fails is tried at the next tick.
fn every<F, Fut>(
    app: &Arc<App>,
    period: Duration,
    closing: &watch::Receiver<bool>,
    name: &'static str,
    job: F,
) -> JoinHandle<()>
where
    F: Fn(Arc<App>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<()>> + Send,
{
    let (app, mut closing) = (app.clone(), closing.clone());
    tokio::spawn(async move {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = closed(&mut closing) => return,
            }
            if let Err(error) = job(app.clone()).await {
                tracing::error!(job = name, error = format!("{error:#}"), "a job failed");
            }
        }
    })
}

async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

async fn checkpoint(app: &App) -> Result<()> {
    let lost = app.audit.take_lost();
    // Also when nothing was lost: only an entry that is written shows that the log works again.
    if lost > 0 || !app.audit.is_healthy() {
        let recorded = app.audit.append(vec![lifecycle(app, Lifecycle::Gap { lost })]).await;
        if recorded.is_err() {
            app.audit.give_back_lost(lost);
        }
        recorded?;
    }
    app.audit.checkpoint().await?;
    app.anchor().await
}

/// Notices that the clock of the machine is set. The order of the log is that of its indices; its times
/// are only as good as the clock, so whoever reads it must learn where they jump.
struct ClockWatch {
    steady: SteadyClock,
    off_millis: AtomicI64,
}

impl ClockWatch {
    fn new(now: Timestamp) -> Self {
        Self { steady: SteadyClock::new(now), off_millis: AtomicI64::new(0) }
    }

    async fn look(&self, app: &App) -> Result<()> {
        let off = app.clock.now().millis() - self.steady.now().millis();
        let millis = off - self.off_millis.load(Ordering::Relaxed);
        // What a time service corrects little by little is no step.
        if millis.abs() > CLOCK_STEP_MILLIS {
            tracing::warn!(millis, "the clock was set");
            app.audit.append(vec![lifecycle(app, Lifecycle::ClockStep { millis })]).await?;
        }
        self.off_millis.store(off, Ordering::Relaxed);
        Ok(())
    }
}

/// An event of Portcullis itself.
pub fn lifecycle(app: &App, step: Lifecycle) -> Event {
    let now = app.clock.now();
    let id = Id::new(now, &*app.entropy);
    Event::new(id, now, None, Actor::System, Outcome::Success, Kind::Lifecycle(step))
}

/// Brings in what others wrote to the database: events of the command line, lifted blocks.
async fn sync(app: &App) -> Result<()> {
    // One that fails must not keep the others from following: each closes a door.
    let followed = [
        take_events(app).await,
        app.reload_revocations().await,
        app.refresh_keys().await,
        certificates::follow(app).await,
        app.identity.follow_api_keys().await.map_err(anyhow::Error::from),
        app.provider.reload_resource_servers().await.map_err(anyhow::Error::from),
        app.identity.reload_blocks().await.map_err(anyhow::Error::from),
    ];
    followed.into_iter().collect()
}

/// Records the events that wait in the database and that nobody is recording.
async fn take_events(app: &App) -> Result<()> {
    let stranded = outbox::stranded_events(&app.identity.db).await?;
    let ids: Vec<String> = stranded.iter().map(|row| row.event_id.clone()).collect();
    let leaves = unrecorded(app, stranded).await?;
    if !leaves.is_empty() {
        app.audit.append_leaves(leaves).await?;
    }
    if !ids.is_empty() {
        // Should the rows outlive the next statement, they must not be recorded again.
        app.identity.db.mark_ids_recorded(&ids);
    }
    Ok(outbox::clear_events(&app.identity.db, &ids).await?)
}

/// The entries of events that waited in the database and that the log has not: of those that were put there with the
/// key of the installation, since whoever can write the database must not be able to write the log. A row that was
/// kept and put there again is one that the log has, or had before it was old enough to be removed.
async fn unrecorded(app: &App, stranded: Vec<PendingEvent>) -> Result<Vec<Vec<u8>>> {
    let (ours, others): (Vec<_>, Vec<_>) = stranded.into_iter().partition(|row| is_ours(app, row));
    for row in &others {
        tracing::error!(event = row.event_id, "an event in the outbox is none of ours");
    }
    let Some(oldest) = ours.iter().map(|row| row.created_at).min() else { return Ok(Vec::new()) };
    // What was handed over before this is written by then.
    app.audit.checkpoint().await?;
    let (dir, since) = (audit_dir(&app.data), oldest.minus(REPLAY_SLACK));
    let wanted: Vec<String> = ours.iter().map(|row| row.event_id.clone()).collect();
    let known = tokio::task::spawn_blocking(move || logged_since(&dir, since, &wanted)).await??;
    let missing = ours.into_iter().filter(|row| !known.contains(&row.event_id));
    Ok(missing.map(|row| row.leaf).collect())
}

/// What the log says of itself never waits in the database, nor does what it would have forgotten by now.
fn is_ours(app: &App, row: &PendingEvent) -> bool {
    let vouched = app.identity.db.vouches_for(row);
    let of_log =
        || search_fields(&row.leaf).is_none_or(|fields| fields.code.starts_with("sys_log_"));
    let kept = app.gate.load().config.audit.entries;
    let forgotten = || kept.is_some_and(|kept| row.created_at < app.clock.now().minus(kept));
    vouched && !of_log() && !forgotten()
}

/// Before the first request: events that committed but did not reach the log before a crash. What
/// did reach it is told apart by its id.
pub async fn replay_outbox(app: &App) -> Result<()> {
    loop {
        let stranded = outbox::stranded_events(&app.identity.db).await?;
        if stranded.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = stranded.iter().map(|row| row.event_id.clone()).collect();
        let leaves = unrecorded(app, stranded).await?;
        if !leaves.is_empty() {
            tracing::info!(events = leaves.len(), "recording events from before the stop");
            app.audit.append_leaves(leaves).await?;
        }
        outbox::clear_events(&app.identity.db, &ids).await?;
    }
}

/// Which of these ids are those of entries since then. A few are looked for as bytes, of many every entry is read.
fn logged_since(dir: &Path, from: Timestamp, wanted: &[String]) -> Result<HashSet<String>> {
    let log = Logs::open(dir)?;
    let mut known = HashSet::new();
    let few = if wanted.len() <= FEW_EVENTS { wanted } else { &[] };
    let texts: Vec<Option<String>> = match few {
        [] => vec![None],
        few => few.iter().cloned().map(Some).collect(),
    };
    for text in texts {
        let mut filter = Filter { from: Some(from), text, limit: MAX_RESULTS, ..Filter::default() };
        loop {
            let found = log.search_page(&filter)?.found;
            known.extend(found.iter().filter_map(|hit| search_fields(&hit.entry)).map(|f| f.uid));
            match found.last() {
                Some(last) if found.len() == MAX_RESULTS => filter.from_index = last.index + 1,
                _ => break,
            }
        }
    }
    Ok(known)
}

async fn send_mails(app: &App, mailer: &Mailer) -> Result<()> {
    let db = &app.identity.db;
    while outbox::has_message(db, MessageKind::Mail, app.clock.now()).await? {
        let now = app.clock.now();
        let until = now.plus(MAIL_LEASE);
        let terms = (now, until, 1);
        let taken = db
            .write(|tx| async move { outbox::take_messages(&tx, MessageKind::Mail, terms).await });
        for pending in taken.await? {
            send_mail(app, mailer, &pending).await?;
        }
    }
    Ok(())
}

async fn send_mail(app: &App, mailer: &Mailer, row: &PendingMessage) -> Result<()> {
    let db = &app.identity.db;
    let sent = match Mail::open(&app.identity.sealer, &row.sealed) {
        Some(mail) => match timeout(MAIL_PATIENCE, mailer.send(&row.id, &mail)).await {
            Ok(sent) => sent,
            Err(_) => Err(anyhow!("the mail server takes too long")),
        },
        None => {
            tracing::error!(mail = row.id, "a queued mail cannot be opened");
            Ok(())
        }
    };
    match sent {
        Err(error) if row.attempts < MAIL_ATTEMPTS => {
            tracing::warn!(mail = row.id, error = format!("{error:#}"), "a mail was not sent");
            let wait = Duration::from_secs(30 << row.attempts.clamp(1, 12));
            let next = app.clock.now().plus(wait);
            db.write(|tx| async move { outbox::retry_message(&tx, row, next).await }).await?;
        }
        _ => db.write(|tx| async move { outbox::remove_message(&tx, row).await }).await?,
    }
    Ok(())
}

async fn store_blocks(app: Arc<App>, mut blocks: mpsc::Receiver<LimitBlock>) {
    while let Some(block) = blocks.recv().await {
        let LimitBlock { limit, addr, until } = block;
        if let Err(error) = app.identity.record_limit_block(&limit, addr, until).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a block could not be stored; it holds in memory"
            );
        }
    }
}
