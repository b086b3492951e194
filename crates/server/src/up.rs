//! `portcullis up`: from a configuration to a service that answers, and down again.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use portcullis_events::Lifecycle;
use portcullis_gateway::{Door, Listener, ListenerKind, serve};
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{
    app::App, checks, config::Config, control, demo, jobs, mailer::Mailer, measures, ops, parts,
    quotas,
};

/// The demo waits this long for the sample services before it says that they are missing.
const DEMO_PATIENCE: Duration = Duration::from_secs(20);
/// Connections of one listener, however many files may be open.
const MAX_CONNECTIONS: usize = 16_384;
/// Files that are asked for.
const MOST_FILES: u64 = 65_536;
/// And of them kept for other things than connections.
const KEPT_FILES: usize = 256;
const SIGXFSZ: i32 = 25;
/// Jobs have this long to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs until SIGINT or SIGTERM.
pub async fn run(config: Config, data: &Path, is_demo: bool) -> Result<()> {
    prepare_data(data)?;
    // A file that may not grow is an error to report, not a reason to die (setrlimit(2)).
    let _file_limit = signal(SignalKind::from_raw(SIGXFSZ))?;
    if is_demo {
        demo::announce_nothing(data);
    }
    let mail_dir = config.mail.directory.as_ref().map(|path| config.path(path));
    let mail_dir = mail_dir.unwrap_or_else(|| data.join("mail"));
    let mailer = Mailer::new(&config.mail, &mail_dir)?;
    let texts = parts::texts(&config)?;
    let (app, queues) = App::build(config, data).await?;
    let app = Arc::new(app);
    app.reload.connect(&app);
    jobs::replay_outbox(&app).await?;
    let (close, closing) = watch::channel(false);
    let _ = app.closing.set(closing.clone());
    let mut tasks = jobs::start(&app, queues, (mailer, texts), &closing);
    tasks.push(crate::watch::start(&app)?);
    app.follow_sinks(app.plan_sinks(&app.config)?);
    let doors = open_doors(&app, &closing).await?;
    app.audit
        .append(vec![jobs::lifecycle(
            &app,
            Lifecycle::Started { version: env!("CARGO_PKG_VERSION") },
        )])
        .await?;
    reload_on_hangup(&app)?;
    control::serve(&app);
    let mut stop = std::pin::pin!(stop_signal()?);
    let announced = tokio::select! {
        announced = announce(&app, data, is_demo, &mail_dir) => Some(announced?),
        () = stop.as_mut() => None,
    };
    if announced.is_some() {
        stop.await;
    }
    tracing::info!("closing");
    let _ = close.send(true);
    for door in doors {
        let _ = door.await;
    }
    app.feed.close();
    app.sinks.close();
    for task in tasks {
        task.abort();
        let _ = tokio::time::timeout(STOP_TIMEOUT, task).await;
    }
    // Numbers must not keep the log from being closed.
    for stored in [quotas::store(&app).await, measures::store(&app).await] {
        if let Err(error) = stored {
            tracing::error!(error = format!("{error:#}"), "what was counted last is lost");
        }
    }
    app.audit.append(vec![jobs::lifecycle(&app, Lifecycle::Stopped)]).await?;
    app.audit.close().await;
    // The last checkpoint covers the last decisions.
    checks::prove_decisions(&app.verification, &app.identity).await?;
    // The last seconds are remembered as well.
    app.anchor().await
}

fn prepare_data(data: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .with_context(|| format!("create {}", data.display()))
}

async fn open_doors(
    app: &Arc<App>,
    closing: &watch::Receiver<bool>,
) -> Result<Vec<tokio::task::JoinHandle<()>>> {
    let listen = &app.config.listen;
    let max_connections = max_connections();
    let shown = &app.doors;
    let mut doors = vec![(ListenerKind::Public, bind(listen.public).await?, &shown.public)];
    if let Some(addr) = listen.mesh {
        doors.push((ListenerKind::Mesh, bind(addr).await?, &shown.mesh));
    }
    if let Some(addr) = listen.operations {
        tokio::spawn(ops::serve(bind(addr).await?, app.clone(), closing.clone()));
    }
    let open = |(kind, socket, door): (_, _, &Arc<ArcSwap<Door>>)| {
        let listener = Listener { kind, socket, door: door.clone(), max_connections };
        tokio::spawn(serve(listener, app.gateway.clone(), closing.clone()))
    };
    Ok(doors.into_iter().map(open).collect())
}

/// Connections that a listener may have at once. What most systems allow a process is far below what
/// it could have, so it asks for all of that. A quarter is left for connections to services, and some
/// files for the database, the log and the operators.
fn max_connections() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(MOST_FILES).min(MOST_FILES);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the number of open files stays as it is");
        }
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(MOST_FILES).min(MOST_FILES);
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    (files.saturating_sub(KEPT_FILES) / 4 * 3).clamp(16, MAX_CONNECTIONS)
}

async fn bind(addr: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(addr).await.with_context(|| format!("listen on {addr}"))
}

/// Says what runs where, and for the demo what to try.
async fn announce(app: &App, data: &Path, is_demo: bool, mail_dir: &Path) -> Result<()> {
    let listen = &app.config.listen;
    say(&format!("Portcullis {} answers at {}", env!("CARGO_PKG_VERSION"), app.config.issuer));
    say(&format!("  public      https on {}", listen.public));
    if let Some(addr) = listen.mesh {
        say(&format!("  mesh        mutual TLS on {addr}"));
    }
    if let Some(addr) = listen.operations {
        say(&format!("  operations  http on {addr} (/healthz, /readyz, /metrics)"));
    }
    for service in &app.gate.load().services {
        let upstream = &service.upstream;
        say(&format!("  upstream    {} at {}", upstream.name, upstream.describe()));
    }
    say(&format!("  data        {}\n", data.display()));
    if is_demo {
        let demo = demo::prepare(app, mail_dir).await?;
        wait_for_services(app).await;
        demo::announce(data, &demo)?;
        say(&demo::commands(&demo, data));
    }
    Ok(())
}

/// The sample services are other processes and may be a moment later.
async fn wait_for_services(app: &App) {
    let mut waiting: Vec<String> =
        app.config.upstreams.iter().flat_map(|u| u.servers.clone()).collect();
    let patience = async {
        loop {
            let mut left = Vec::new();
            for server in waiting.drain(..) {
                let host = server.trim_start_matches("http://").to_owned();
                if TcpStream::connect(&host).await.is_err() {
                    left.push(server);
                }
            }
            waiting = left;
            if waiting.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(DEMO_PATIENCE, patience).await.is_err() {
        say("A sample service does not answer yet; `cargo xtask up` starts them.\n");
    }
}

#[expect(clippy::print_stdout, reason = "this is what the command is asked to tell")]
fn say(text: &str) {
    println!("{text}");
}

/// SIGHUP reads the configuration again.
fn reload_on_hangup(app: &Arc<App>) -> Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let app = Arc::downgrade(app);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let Some(app) = app.upgrade() else { return };
            // How it ended is traced, recorded, and kept for whoever asks.
            let _ = app.reload().await;
        }
    });
    Ok(())
}

fn stop_signal() -> Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
