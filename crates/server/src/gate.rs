//! What a configuration makes of the gate: the part that a reload replaces.

use std::sync::Arc;

use anyhow::Result;
use portcullis_gateway::Upstream;
use portcullis_pki::Authority;
use portcullis_types::SharedClock;

use crate::{config::Config, routes};

/// A configuration and what was built from it.
pub struct Gate {
    pub config: Config,
    pub upstreams: Vec<Arc<Upstream>>,
}

impl Gate {
    /// Builds everything, or nothing. What did not change since `before` is taken over with its
    /// connections and what is known of its health.
    pub fn build(
        config: Config,
        authority: &Authority,
        clock: &SharedClock,
        before: Option<&Self>,
    ) -> Result<Self> {
        let upstreams = routes::upstreams(&config, authority, clock, before)?;
        Ok(Self { config, upstreams })
    }
}
