//! Whether domains take mail: records of the DNS.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use hickory_resolver::{
    TokioResolver,
    config::ResolveHosts,
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::RData,
};
use portcullis_verification::MailHosts;
use tokio::{sync::Semaphore, time::timeout};

use crate::{config::MailResolver, discovery};

/// Whoever types an address waits for it.
const PATIENCE: Duration = Duration::from_secs(3);
/// Domains that are looked up at once; what comes on top of them is not known.
const AT_ONCE: usize = 32;

/// By the servers that the operator names.
pub fn mail_hosts(own: &MailResolver) -> Result<MailHosts> {
    let mut builder = match own.address() {
        None => TokioResolver::builder_tokio().context("read the system's DNS servers")?,
        Some(addr) => {
            let config = discovery::only(addr);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    builder.options_mut().timeout = PATIENCE / 2;
    builder.options_mut().attempts = 1;
    // Names of this machine are nobody's business.
    builder.options_mut().use_hosts_file = ResolveHosts::Never;
    let resolver = Arc::new(builder.build().context("DNS")?);
    let places = Arc::new(Semaphore::new(AT_ONCE));
    Ok(Arc::new(move |domain| {
        let (resolver, places) = (resolver.clone(), places.clone());
        Box::pin(async move {
            let _place = places.try_acquire().ok()?;
            timeout(PATIENCE, takes_mail(&resolver, &domain)).await.ok().flatten()
        })
    }))
}

/// A domain without MX takes mail at its own address (RFC 5321, section 5.1); one with an MX of no name takes none
/// (RFC 7505).
async fn takes_mail(resolver: &TokioResolver, domain: &str) -> Option<bool> {
    // No search in domains of ours.
    let name = format!("{domain}.");
    match resolver.mx_lookup(name.clone()).await {
        Ok(found) => Some(found.answers().iter().any(|record| match &record.data {
            RData::MX(mx) => !mx.exchange.is_root(),
            _ => false,
        })),
        Err(error) if error.is_no_records_found() => {
            let (four, six) =
                tokio::join!(resolver.ipv4_lookup(name.clone()), resolver.ipv6_lookup(name));
            let (four, six) = (has_records(&four), has_records(&six));
            // One that does not answer may have had some.
            match (four, six) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            }
        }
        Err(_) => None,
    }
}

fn has_records<T>(found: &Result<T, NetError>) -> Option<bool> {
    match found {
        Ok(_) => Some(true),
        Err(error) => error.is_no_records_found().then_some(false),
    }
}
