//! From the configuration to the services behind the gate.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context, Result, anyhow, ensure};
use data_encoding::BASE64;
use portcullis_ca::Identities;
use portcullis_gateway::{HealthCheck, Protocol, Server, ServerTls, Upstream, UpstreamSettings};
use portcullis_pki::{Identity, ServerIdentity, Subject, Trust, client_config};
use portcullis_types::SharedEntropy;

use crate::{
    config::{Config, Discover, Spoken, UpstreamConfig, UpstreamTls},
    discovery::{self, Follow},
    gate::Gate,
};

/// An upstream, and how its servers are found if they are.
pub struct Service {
    pub upstream: Arc<Upstream>,
    pub follow: Option<Arc<Follow>>,
}

/// The upstreams of the file. What did not change is taken over from `before`.
pub fn all(
    config: &Config,
    identities: &Identities,
    entropy: &SharedEntropy,
    before: Option<&Gate>,
) -> Result<Vec<Service>> {
    let one = |upstream: &UpstreamConfig| {
        // Files may have changed under the same names.
        let kept = before.filter(|_| upstream.tls == UpstreamTls::default());
        let same = kept.and_then(|before| {
            let place = before.config.upstreams.iter().position(|known| known == upstream);
            before.services.get(place?)
        });
        if let Some(Service { upstream, follow }) = same {
            return Ok(Service { upstream: upstream.clone(), follow: follow.clone() });
        }
        build(config, upstream, identities, entropy)
            .with_context(|| format!("upstream {}", upstream.name))
    };
    config.upstreams.iter().map(one).collect()
}

fn build(
    config: &Config,
    own: &UpstreamConfig,
    identities: &Identities,
    entropy: &SharedEntropy,
) -> Result<Service> {
    let discovered = own.discover.as_ref().is_some_and(|discover| discover.scheme == "https");
    let secure = discovered || own.servers.iter().any(|server| server.starts_with("https://"));
    let tls = secure.then(|| tls(config, own, identities)).transpose()?;
    let protocol = match own.protocol {
        Spoken::Http1 => Protocol::Http1,
        Spoken::Http2 => Protocol::Http2,
    };
    let connect_timeout = own.connect_timeout;
    let server = |url: &str| Server::new(url, protocol, connect_timeout, tls.clone());
    let servers: Option<Vec<Server>> = own.servers.iter().map(|url| server(url)).collect();
    let settings = UpstreamSettings {
        timeout: own.timeout,
        try_timeout: own.try_timeout.unwrap_or(own.timeout),
        retries: own.retries,
        max_requests: own.max_requests,
        slow_start: own.slow_start,
        reuse_after_body: own.reuse_after_body,
        eject_after: own.outlier.failures,
        eject_for: own.outlier.eject,
        health: own.health.as_ref().map(|health| HealthCheck {
            path: health.path.clone(),
            every: health.every,
            timeout: health.timeout,
            unhealthy_after: health.unhealthy_after.max(1),
            healthy_after: health.healthy_after.max(1),
        }),
    };
    let upstream = Arc::new(Upstream::new(
        own.name.clone(),
        own.audience.clone().unwrap_or_else(|| own.name.clone()),
        protocol,
        settings,
        servers.context("a server must be http://host:port or https://host:port")?,
        &**entropy,
    ));
    let follow = own.discover.as_ref().map(|discover| {
        let Discover { scheme, .. } = discover;
        let scheme = scheme.clone();
        let make = move |name: &str, addr: SocketAddr| {
            let url = format!("{scheme}://{name}:{}", addr.port());
            Some(Server::new(&url, protocol, connect_timeout, tls.clone())?.at(addr))
        };
        discovery::follow(discover, Box::new(make)).map(Arc::new)
    });
    Ok(Service { upstream, follow: follow.transpose()? })
}

/// Whom to trust, and what to show.
fn tls(config: &Config, own: &UpstreamConfig, identities: &Identities) -> Result<ServerTls> {
    let read = |path: &Path| {
        let path = config.path(path);
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    let trusted = match &own.tls.ca {
        Some(path) => Trust::from_pem(&read(path)?)?,
        None => identities.trust().clone(),
    };
    let shown = match (&own.tls.certificate, &own.tls.key, &own.tls.spiffe_id) {
        (Some(chain), Some(key), None) => Some(Identity::from_pem(&read(chain)?, &read(key)?)?),
        (None, None, Some(id)) => {
            let workload = Some(id.parse()?);
            Some(identities.get(&Subject { workload, names: Vec::new() })?)
        }
        (None, None, None) => None,
        _ => return Err(anyhow!("tls: give certificate and key, or spiffe_id, or none")),
    };
    let pins: Result<Vec<[u8; 32]>> = own.tls.pins.iter().map(|pin| read_pin(pin)).collect();
    let server_id = own.tls.server_spiffe_id.as_ref().map(|id| id.parse()).transpose()?;
    let server = ServerIdentity { spiffe_id: server_id, pins: pins?, no_workload: false };
    let alpn: &[u8] = match own.protocol {
        Spoken::Http1 => b"http/1.1",
        Spoken::Http2 => b"h2",
    };
    let config = Arc::new(client_config(trusted.clone(), shown, server, alpn)?);
    Ok(ServerTls { config, trust: trusted })
}

fn read_pin(pin: &str) -> Result<[u8; 32]> {
    let bytes = BASE64.decode(pin.as_bytes()).unwrap_or_default();
    ensure!(bytes.len() == 32, "tls.pins: {pin:?} is not a SHA-256 digest in base64");
    bytes.try_into().map_err(|_| anyhow!("tls.pins"))
}
