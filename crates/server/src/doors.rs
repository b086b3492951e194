//! The certificates that the listeners show, and whom they trust.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use portcullis_api::ListenerView;
use portcullis_ca::Identities;
use portcullis_gateway::Door;
use portcullis_pki::{Identity, Shown, Subject, mesh_config, public_config};

use crate::config::{Config, TlsMode};

/// What each listener shows to new connections. Those that are open keep what they have.
pub struct Doors {
    pub public: Arc<ArcSwap<Door>>,
    pub mesh: Arc<ArcSwap<Door>>,
    shown: ArcSwap<Certificates>,
}

/// The certificates behind them.
#[derive(Clone)]
struct Certificates {
    public: Arc<Identity>,
    mesh: Arc<Identity>,
}

impl Doors {
    pub fn open(config: &Config, identities: &Identities) -> Result<Self> {
        let (public, mesh, shown) = doors(config, identities)?;
        let shared = |door| Arc::new(ArcSwap::from_pointee(door));
        let shown = ArcSwap::from_pointee(shown);
        Ok(Self { public: shared(public), mesh: shared(mesh), shown })
    }

    /// What they show, for people: those of `config`.
    pub fn look(&self, config: &Config) -> Vec<ListenerView> {
        let Certificates { public, mesh } = &**self.shown.load();
        let one = |(listener, identity, renewed): (&str, &Arc<Identity>, bool)| {
            let Shown { serial, names, not_after } = identity.shown()?;
            let (listener, expires_at) = (listener.to_owned(), not_after.to_rfc3339());
            Some(ListenerView { listener, names, serial, expires_at, renewed })
        };
        let own = config.tls.mode == TlsMode::LocalCa;
        let mesh = config.listen.mesh.map(|_| ("mesh", mesh, true));
        [Some(("public", public, own)), mesh].into_iter().flatten().filter_map(one).collect()
    }

    /// Takes over what `other` shows.
    pub fn follow(&self, other: &Self) {
        self.public.store(other.public.load_full());
        self.mesh.store(other.mesh.load_full());
        self.shown.store(other.shown.load_full());
    }
}

fn doors(config: &Config, identities: &Identities) -> Result<(Door, Door, Certificates)> {
    let issuer = url::Url::parse(&config.issuer)?;
    let host = issuer.host_str().unwrap_or("localhost").trim_matches(['[', ']']).to_owned();
    let mut names = vec![host];
    for name in ["localhost", "127.0.0.1", "::1"] {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    let own = identities.get(&Subject { workload: None, names })?;
    let trust = identities.trust();
    let mesh = mesh_config(own.clone(), trust.clone(), config.tls.self_signed_clients)?;
    let public = match (config.tls.mode, &config.tls.certificate, &config.tls.key) {
        (TlsMode::Files, Some(certificate), Some(key)) => {
            let read = |path: &PathBuf| {
                let path = config.path(path);
                std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
            };
            Identity::from_pem(&read(certificate)?, &read(key)?).context("tls")?
        }
        _ => own.clone(),
    };
    let shown = Certificates { public: public.clone(), mesh: own };
    let public = Door { tls: Arc::new(public_config(public)?), trust: None };
    Ok((public, Door { tls: Arc::new(mesh), trust: Some(trust.clone()) }, shown))
}
