//! From the files of policies to what decides.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result};
use portcullis_policy::{Policies, Source};

use crate::config::Config;

/// The policies of the configuration, if it has any.
pub fn load(config: &Config) -> Result<Option<Arc<Policies>>> {
    let Some(own) = &config.policy else { return Ok(None) };
    let read = |path: &Path| {
        let full = config.path(path);
        let text = std::fs::read_to_string(&full);
        text.with_context(|| format!("policy: read {}", full.display()))
            .map(|text| (path.display().to_string(), text))
    };
    let files = own.files.iter().map(|path| read(path)).collect::<Result<Vec<_>>>()?;
    let schema = own.schema.as_deref().map(read).transpose()?;
    let sources: Vec<Source<'_>> = files.iter().map(|(name, text)| Source { name, text }).collect();
    let schema = schema.as_ref().map(|(name, text)| Source { name, text });
    Ok(Some(Arc::new(Policies::load(&sources, schema).context("policy")?)))
}
