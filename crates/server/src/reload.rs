//! Reading the configuration again while requests pass: everything is built and checked beside what
//! runs, and then swapped; what is broken changes nothing and says why.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use anyhow::{Context, Result, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use portcullis_api::{ConfigurationStatus, Reload};
use portcullis_events::{Actor, Event, Kind, Lifecycle, Outcome};
use portcullis_types::{Id, Timestamp};
use tokio::runtime::Handle;

use crate::{
    app::App, config::Config, doors::Doors, gate::Gate, places::Maps, sessions, window::Window,
};

/// When which configuration was taken, and how the last attempt ended.
pub struct ReloadStatus {
    now: Mutex<ConfigurationStatus>,
    /// What the files looked like when they were last read.
    seen: Mutex<Fingerprint>,
    /// The way of the API to the application.
    pub handle: Reload,
    window: Window,
}

/// Which files there are, how long they are and when they were changed.
type Fingerprint = Vec<(PathBuf, Option<(u64, SystemTime)>)>;

impl ReloadStatus {
    pub fn new(config: &Config, now: Timestamp) -> Self {
        let window = Window::default();
        let handle = Reload::new(window.clone());
        let status = ConfigurationStatus {
            digest: fingerprint_text(config),
            loaded_at: now.to_rfc3339(),
            error: None,
            failed_at: None,
        };
        let seen = Mutex::new(fingerprint(&config.files()));
        Self { now: Mutex::new(status), seen, handle, window }
    }

    /// Tells the API where the application is.
    pub fn connect(&self, app: &Arc<App>) {
        self.window.open(app);
    }

    fn see(&self, files: Fingerprint) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = files;
    }

    pub fn status(&self) -> ConfigurationStatus {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl App {
    /// Reads the configuration again. If any of it cannot be used, nothing changes.
    pub async fn reload(self: &Arc<Self>) -> Result<()> {
        let _swapping = self.swapping.lock().await;
        // Files are read and policies compiled: the thread that does it serves nobody meanwhile, and the overload
        // control would take that for too much to do.
        let building = || Handle::current().block_on(self.build_and_swap());
        let result = tokio::task::block_in_place(building);
        let now = self.clock.now();
        let outcome = match &result {
            Ok(()) => {
                tracing::info!("the configuration was loaded again");
                Outcome::Success
            }
            Err(error) => {
                let text = format!("{error:#}");
                tracing::error!(
                    error = text,
                    "the configuration was not loaded; the old one stays"
                );
                let mut status = self.reload.now.lock().unwrap_or_else(PoisonError::into_inner);
                (status.error, status.failed_at) = (Some(text), Some(now.to_rfc3339()));
                Outcome::Failure("configuration")
            }
        };
        let id = Id::new(now, &*self.entropy);
        let kind = Kind::Lifecycle(Lifecycle::Reloaded);
        let recorded =
            self.audit.append(vec![Event::new(id, now, None, Actor::System, outcome, kind)]);
        recorded.await?;
        result
    }

    async fn build_and_swap(&self) -> Result<()> {
        let before = self.gate.load_full();
        let file = before.config.file.as_deref().context("there is no file to read again")?;
        // Before the files are read: what changes meanwhile is seen at the next look.
        let known = fingerprint(&before.config.files());
        self.reload.see(known.clone());
        let config = Config::load(file)?;
        // Those that it names anew are read from here on.
        let mut read = fingerprint(&config.files());
        for (path, look) in &mut read {
            if let Some((_, first)) = known.iter().find(|(known, _)| known == path) {
                *look = *first;
            }
        }
        let fixed = config.needs_restart(&self.config);
        ensure!(fixed.is_empty(), "only a restart can change {}", fixed.join(", "));
        let status = ConfigurationStatus {
            digest: fingerprint_text(&config),
            loaded_at: self.clock.now().to_rfc3339(),
            error: None,
            failed_at: None,
        };
        let gate =
            Gate::build(config, &self.ca.identities, &self.entropy, &self.egress, Some(&before))?;
        let doors = Doors::open(&gate.config, &self.ca.identities)?;
        let snapshot = self.snapshot(&gate)?;
        sessions::register(self, &gate.config).await?;
        let places = Maps::open(&gate.config)?;
        let sigma = crate::sigma::load(&gate.config, Some(&self.sigma.load()))?;
        let sinks = self.plan_sinks(&gate.config)?;
        // From here on nothing can fail.
        self.places.store(Arc::new(places));
        self.doors.follow(&doors);
        self.follow_sinks(sinks);
        self.sigma.store(sigma);
        self.gateway.swap(snapshot);
        self.traffic.activity.follow(self.gateway.snapshot().routes());
        gate.watch(Some(&before));
        self.reload.see(read);
        self.gate.store(Arc::new(gate));
        *self.reload.now.lock().unwrap_or_else(PoisonError::into_inner) = status;
        Ok(())
    }

    /// Reads the configuration again if one of its files changed and then stayed as it is for one
    /// look: whoever writes it in several steps should be done.
    pub async fn follow_files(self: &Arc<Self>, last: &Mutex<Fingerprint>) -> Result<()> {
        let now = fingerprint(&self.gate.load().config.files());
        let settled = {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *last, now.clone()) == now
        };
        let seen = self.reload.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if settled && now != seen {
            // How it ended is traced, recorded, and kept for whoever asks.
            let _ = self.reload().await;
        }
        Ok(())
    }
}

pub fn fingerprint(files: &[PathBuf]) -> Fingerprint {
    let look = |path: &PathBuf| {
        let known = std::fs::metadata(path).ok();
        (path.clone(), known.and_then(|known| Some((known.len(), known.modified().ok()?))))
    };
    files.iter().map(look).collect()
}

/// A digest of the file, so that whoever deploys it can tell which one runs.
fn fingerprint_text(config: &Config) -> String {
    let text = config.file.as_deref().map(Path::to_owned).and_then(|path| std::fs::read(path).ok());
    HEXLOWER.encode(digest(&SHA256, &text.unwrap_or_default()).as_ref())
}
