//! Screening in the service: which policies there are, and lists as they are imported while it runs.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, ensure};
use portcullis_screening::Policy;
use portcullis_store::{CommitSink, Db, aml::ListRow};
use portcullis_types::{DEFAULT_TENANT, SharedClock, SharedEntropy, Timestamp};
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
    take_over(&aml, data).await?;
    Ok(aml)
}

/// Takes over lists that were imported since the last look, and what was retired.
pub async fn take_over(aml: &Aml, data: &Path) -> Result<()> {
    let lists = Lists::of(data);
    for row in aml.known_lists().await? {
        let (name, here) = (&row.list, lists.retired_at(&row.list));
        match (row.retired_at.map(Timestamp::from_micros), here) {
            (None, Some(at)) => {
                let counts = aml.retire(name, at).await?;
                if !counts {
                    lists.forget_retired(name)?;
                }
            }
            // Somebody imported it since.
            (Some(since), None) if lists.imported_since(name, since) => {
                aml.reinstate(name).await?;
            }
            _ => {}
        }
    }
    let known = aml.known_lists().await?;
    let (data, before) = (data.to_owned(), aml.lists());
    let load = move || load(&data, &before, &known);
    aml.take_over(tokio::task::spawn_blocking(load).await?).await?;
    Ok(())
}

/// The lists as they are now. One that was read before and has not changed is used on; so is one whose new
/// version cannot be read, since the version before is better than none. One that was here, or that people
/// are monitored against, and is not here any more is missed, unless somebody said that it is not used.
fn load(
    data: &Path,
    before: &portcullis_verification::Lists,
    known: &[ListRow],
) -> portcullis_verification::Lists {
    let (lists, mut now) = (Lists::of(data), portcullis_verification::Lists::default());
    let (mut names, unreadable) = match lists.names() {
        Ok(names) => (names, None),
        Err(error) => (Vec::new(), Some(format!("{error:#}"))),
    };
    names.extend(before.ready.iter().map(|list| list.version().used.name.clone()));
    names.extend(before.broken.iter().map(|(name, _)| name.clone()));
    names.extend(known.iter().map(|row| row.list.clone()));
    let retired =
        |name: &String| known.iter().any(|row| row.list == *name && row.retired_at.is_some());
    // What the database does not know of counts for nothing: a broken file must not take a list out of use.
    names.retain(|name| !retired(name));
    names.sort();
    names.dedup();
    for name in names {
        let known = before.named(&name);
        match current(&lists, &name, known) {
            Ok(list) => now.ready.push(list),
            Err(error) => {
                let why = unreadable.clone().unwrap_or_else(|| format!("{error:#}"));
                let told = before.broken.iter().any(|(old, had)| *old == name && had.0 == why);
                if !told {
                    tracing::error!(list = name, error = why, "a list cannot be used");
                }
                match known.filter(|_| lists.is_there(&name)) {
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
    let info = lists
        .current(name)?
        .context("it is not there, or no version is the current one: import it, or retire it")?;
    match known {
        Some(list) if list.version().used.version == info.version => Ok(list.clone()),
        _ => Ok(Arc::new(IndexedList::open(lists, info)?)),
    }
}

/// What is screened and against what, in the text format of Prometheus.
pub fn metrics(app: &App) -> String {
    let ((screenings, matches), known) = (app.aml.counts(), app.aml.lists());
    let lists = Lists::of(&app.data);
    let (mut usable, mut entities, mut imported) = (String::new(), String::new(), String::new());
    for list in &known.ready {
        let version = list.version();
        let name = &version.used.name;
        usable += &format!("portcullis_aml_list_usable{{list=\"{name}\"}} 1\n");
        let count = version.entities;
        entities += &format!("portcullis_aml_list_entities{{list=\"{name}\"}} {count}\n");
        let checked = lists.checked(name).unwrap_or_else(|| version.imported.clone());
        if let Ok(at) = Timestamp::parse_rfc3339(&checked) {
            let metric = "portcullis_aml_list_imported_timestamp_seconds";
            imported += &format!("{metric}{{list=\"{name}\"}} {}\n", at.millis() / 1_000);
        }
    }
    for (name, _) in &known.broken {
        usable += &format!("portcullis_aml_list_usable{{list=\"{name}\"}} 0\n");
    }
    format!(
        "# HELP portcullis_aml_screenings_total Subjects that were screened on request.\n\
         # TYPE portcullis_aml_screenings_total counter\nportcullis_aml_screenings_total {screenings}\n\
         # HELP portcullis_aml_matches_total Those that were a match.\n\
         # TYPE portcullis_aml_matches_total counter\nportcullis_aml_matches_total {matches}\n\
         # HELP portcullis_aml_list_usable Whether a list can be searched.\n\
         # TYPE portcullis_aml_list_usable gauge\n{usable}\
         # HELP portcullis_aml_list_entities Entities of a list.\n\
         # TYPE portcullis_aml_list_entities gauge\n{entities}\
         # HELP portcullis_aml_list_imported_timestamp_seconds When it was imported last, also if nothing had changed.\n\
         # TYPE portcullis_aml_list_imported_timestamp_seconds gauge\n{imported}"
    )
}
