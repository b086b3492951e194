//! Screening in the service: which policies there are, and lists as they are imported while it runs.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, ensure};

use portcullis_screening::Policy;
use portcullis_store::{CommitSink, Db};
use portcullis_types::{DEFAULT_TENANT, SharedClock, SharedEntropy};
use portcullis_verification::{Aml, AmlParts, ListError, ScreeningList, Settings};

use crate::{app::App, config::Config, list_index::IndexedList, lists::Lists, vault::Vault};

/// The policies of the configuration.
pub fn settings(config: &Config) -> Result<Settings> {
    let aml = &config.aml;
    let mut policies = vec![Policy::balanced(), Policy::strict()];
    for file in &aml.policies {
        let path = config.path(file);
        let policy = read_policy(&path)?;
        let taken = policies.iter().any(|known| known.name == policy.name);
        ensure!(!taken, "{}: another policy is called {} already", path.display(), policy.name);
        policy.check().with_context(|| path.display().to_string())?;
        policies.push(policy);
    }
    let known = policies.iter().any(|policy| policy.name == aml.policy);
    ensure!(known, "aml.policy: there is no policy {}", aml.policy);
    Ok(Settings { policies, policy: aml.policy.clone(), four_eyes: aml.four_eyes })
}

/// A policy of one's own.
pub fn read_policy(path: &Path) -> Result<Policy> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("read {shown}"))?;
    let mut value: serde_json::Value =
        serde_json::from_str(&text).with_context(|| format!("{shown} is not JSON"))?;
    if let Some(object) = value.as_object_mut() {
        // One of one's own is not called like one of ours.
        object.entry("name").or_insert_with(|| "custom".into());
    }
    serde_json::from_value(value).with_context(|| format!("{shown} is not a policy"))
}

/// The service, with the lists that are there.
pub async fn open(
    config: &Config,
    data: &Path,
    vault: &Vault,
    (db, sink): (Db, Arc<dyn CommitSink>),
    clock: &SharedClock,
    entropy: &SharedEntropy,
) -> Result<Aml> {
    let aml = Aml::new(AmlParts {
        tenant: DEFAULT_TENANT.to_owned(),
        db,
        sink,

        sealer: vault.sealer.clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
        digest_key: vault.random("aml_digest_key").await?.expose().clone(),
        cores: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
        settings: settings(config)?,
    });
    // Screened under another policy than was agreed on, somebody could slip through.
    let unknown = aml.unknown_policies().await?.join(", ");
    ensure!(
        unknown.is_empty(),
        "aml.policies: subjects are screened under {unknown}, which is gone"
    );
    let data = data.to_owned();
    let none = portcullis_verification::Lists::default();
    aml.set_lists(tokio::task::spawn_blocking(move || load(&data, &none)).await?);
    Ok(aml)
}

/// Takes over lists that were imported since the last look, and compares with them whoever is monitored.
pub async fn tend(app: &App) -> Result<()> {
    let (data, now) = (app.data.clone(), app.aml.lists());
    let lists = tokio::task::spawn_blocking(move || load(&data, &now)).await?;
    app.aml.set_lists(lists);
    app.aml.monitor().await?;
    Ok(())
}

/// The lists as they are now. One that was read before and has not changed is used on; so is one whose new
/// version cannot be read, since the version before is better than none.
fn load(data: &Path, before: &portcullis_verification::Lists) -> portcullis_verification::Lists {
    let (lists, mut now) = (Lists::of(data), portcullis_verification::Lists::default());
    let names = match lists.names() {
        Ok(names) => names,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the lists cannot be read");
            return before.clone();
        }
    };
    for name in names {
        let known = before.named(&name);
        match current(&lists, &name, known) {
            Ok(list) => now.ready.push(list),
            Err(error) => {
                let why = format!("{error:#}");
                let told = before.broken.iter().any(|(old, had)| *old == name && had.0 == why);
                if !told {
                    tracing::error!(list = name, error = why, "a list cannot be used");
                }
                match known {
                    Some(list) => now.ready.push(list.clone()),
                    None => now.broken.push((name, ListError(why))),
                }
            }
        }
    }
    now
}

fn current(
    lists: &Lists,
    name: &str,
    known: Option<&Arc<dyn ScreeningList>>,
) -> Result<Arc<dyn ScreeningList>> {
    let info =
        lists.current(name)?.context("its files are there, but no version is the current one")?;
    match known {
        Some(list) if list.version().used.version == info.version => Ok(list.clone()),
        _ => Ok(Arc::new(IndexedList::open(lists, info)?)),
    }
}
