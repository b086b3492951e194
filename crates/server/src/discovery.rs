//! Finding the servers of an upstream in the DNS, and following it as its records expire.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Weak,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::rr::RData,
};
use portcullis_gateway::{Server, Upstream};
use tokio::time::{Instant, sleep};

use crate::config::Discover;

/// Records are trusted for at least and at most this long, whatever they say.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// After a failure it is tried again; until then the servers stay as they were.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// An upstream has at most as many servers.
const MAX_SERVERS: usize = 256;

type Make = Box<dyn Fn(&str, SocketAddr) -> Option<Server> + Send + Sync>;

/// What to look up, and what to make of it.
pub struct Follow {
    resolver: TokioResolver,
    what: What,
    make: Make,
}

enum What {
    Host(String, u16),
    Srv(String),
}

/// One server and no other.
pub fn only(addr: SocketAddr) -> ResolverConfig {
    let connection = |mut connection: ConnectionConfig| {
        connection.port = addr.port();
        connection
    };
    let ways = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(connection);
    let server = NameServerConfig::new(addr.ip(), true, ways.to_vec());
    ResolverConfig::from_parts(None, Vec::new(), vec![server])
}

/// Prepares to follow a name.
pub fn follow(discover: &Discover, make: Make) -> Result<Follow> {
    let mut builder = match discover.resolver {
        None => TokioResolver::builder_tokio().context("read the system's DNS servers")?,
        Some(addr) => {
            TokioResolver::builder_with_config(only(addr), TokioRuntimeProvider::default())
        }
    };
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    let what = match (&discover.host, discover.port, &discover.srv) {
        (Some(host), Some(port), None) => What::Host(host.clone(), port),
        (None, None, Some(srv)) => What::Srv(srv.clone()),
        _ => bail!("discover needs host and port, or srv"),
    };
    Ok(Follow { resolver: builder.build().context("DNS")?, what, make })
}

impl Follow {
    /// Keeps the servers of an upstream as the DNS has them, for as long as anybody holds it.
    pub async fn run(&self, upstream: Weak<Upstream>) {
        loop {
            let found = self.find().await;
            let Some(upstream) = upstream.upgrade() else { return };
            let wait = match found {
                Ok((places, until)) => {
                    let places = places.iter().take(MAX_SERVERS);
                    let servers = places.filter_map(|(name, addr)| (self.make)(name, *addr));
                    let before = upstream.describe();
                    upstream.set_servers(servers.collect());
                    let servers = upstream.describe();
                    if servers != before {
                        tracing::info!(upstream = upstream.name, servers, "servers were found");
                    }
                    until.saturating_duration_since(Instant::now()).clamp(SHORTEST, LONGEST)
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(upstream = upstream.name, error, "servers were not found");
                    AFTER_FAILURE
                }
            };
            drop(upstream);
            sleep(wait).await;
        }
    }

    /// The servers, in order, and until when they are known.
    async fn find(&self) -> Result<(BTreeSet<(String, SocketAddr)>, Instant)> {
        match &self.what {
            What::Host(host, port) => {
                let (addrs, until) = self.addresses(host).await?;
                let places = addrs.into_iter().map(|ip| (host.clone(), (ip, *port).into()));
                Ok((places.collect(), until))
            }
            What::Srv(name) => self.services(name).await,
        }
    }

    async fn addresses(&self, host: &str) -> Result<(Vec<IpAddr>, Instant)> {
        let found = self.resolver.lookup_ip(host).await.with_context(|| host.to_owned())?;
        Ok((found.iter().collect(), found.valid_until().into()))
    }

    /// Those of the best priority (RFC 2782). Weights are left to what the servers show they can do.
    async fn services(&self, name: &str) -> Result<(BTreeSet<(String, SocketAddr)>, Instant)> {
        let found = self.resolver.srv_lookup(name).await.with_context(|| name.to_owned())?;
        let mut until: Instant = found.valid_until().into();
        let records: Vec<_> = found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) => Some(srv.clone()),
                _ => None,
            })
            .collect();
        let best = records.iter().map(|srv| srv.priority).min().context("there are no records")?;
        let mut places = BTreeSet::new();
        for srv in records.iter().filter(|srv| srv.priority == best).take(MAX_SERVERS) {
            let host = srv.target.to_utf8().trim_end_matches('.').to_owned();
            let (addrs, known) = self.addresses(&host).await?;
            until = until.min(known);
            places.extend(addrs.into_iter().map(|ip| (host.clone(), (ip, srv.port).into())));
        }
        Ok((places, until))
    }
}
