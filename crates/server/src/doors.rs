//! The certificates that the listeners show, and whom they trust.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use portcullis_gateway::Door;
use portcullis_pki::{Authority, mesh_config, public_config, roots};
use portcullis_types::SharedClock;

use crate::config::{Config, TlsMode};

/// A certificate of the local authority lives this long; every start makes a new one.
const SERVER_CERTIFICATE: Duration = Duration::from_secs(397 * 24 * 3600);

/// What each listener shows to new connections. Those that are open keep what they have.
pub struct Doors {
    pub public: Arc<ArcSwap<Door>>,
    pub mesh: Arc<ArcSwap<Door>>,
}

impl Doors {
    pub fn open(config: &Config, authority: &Authority, clock: &SharedClock) -> Result<Self> {
        let (public, mesh) = doors(config, authority, clock)?;
        let shared = |door| Arc::new(ArcSwap::from_pointee(door));
        Ok(Self { public: shared(public), mesh: shared(mesh) })
    }

    /// Takes over what `other` shows.
    pub fn follow(&self, other: &Self) {
        self.public.store(other.public.load_full());
        self.mesh.store(other.mesh.load_full());
    }
}

fn doors(config: &Config, authority: &Authority, clock: &SharedClock) -> Result<(Door, Door)> {
    let issuer = url::Url::parse(&config.issuer)?;
    let host = issuer.host_str().unwrap_or("localhost").trim_matches(['[', ']']).to_owned();
    let mut names = vec![host];
    for name in ["localhost", "127.0.0.1", "::1"] {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    let own = authority.issue_server(&names, clock.now(), SERVER_CERTIFICATE)?;
    let clients = roots(authority.certificate_pem())?;
    let (mesh, trust) =
        mesh_config(&own.chain_pem, own.key_pem.expose(), clients, config.tls.self_signed_clients)?;
    let public = match (config.tls.mode, &config.tls.certificate, &config.tls.key) {
        (TlsMode::Files, Some(certificate), Some(key)) => {
            let read = |path: &PathBuf| {
                let path = config.path(path);
                std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
            };
            public_config(&read(certificate)?, &read(key)?).context("tls")?
        }
        _ => public_config(&own.chain_pem, own.key_pem.expose())?,
    };
    let public = Door { tls: Arc::new(public), trust: None };
    Ok((public, Door { tls: Arc::new(mesh), trust: Some(trust) }))
}
