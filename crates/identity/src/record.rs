//! What the audit log says, for administrators who ask.

use portcullis_audit::{Filter, LogError, Logs, Proven};
use portcullis_events::{Actor, AdminChange, Kind, Origin, Outcome, opened_entry, sealed_of};
use portcullis_store::{accounts, idv::evidence::LogProof};
use portcullis_types::{Id, Timestamp, tags};
use serde_json::{Value, json};

use crate::{Identity, IdentityError};

/// One question looks at so much of the log; whoever wants more asks again from where it ended.
const MOST_BYTES: u64 = 256 * 1024 * 1024;

/// What was found.
#[derive(Debug)]
pub struct LogPage {
    /// Index and entry, in the order that was asked for. Personal fields of people whose keys exist are readable.
    pub items: Vec<(u64, Value)>,
    /// The index at which to go on, unless the whole log was looked at.
    pub next: Option<u64>,
}

/// One entry, and that it is in the log.
#[derive(Debug)]
pub struct LogEntry {
    /// As it is stored, byte for byte, with its proof and the key that checks it.
    pub proven: LogProof,
    /// What it says. Personal fields of people whose keys exist are readable.
    pub event: Value,
}

impl Identity {
    /// Searches the log of this node. That somebody did is an event itself: what is found may be
    /// personal.
    pub async fn search_log(
        &self,
        mut filter: Filter,
        newest_first: bool,
        by: &Actor,
        origin: &Origin,
    ) -> Result<LogPage, IdentityError> {
        // A name is in no entry; whose it is, the database knows.
        let typed = filter.subjects.first().cloned();
        let named = match &typed {
            Some(name) => accounts::by_username(&self.db, &self.tenant, name).await?,
            None => None,
        };
        let id = named.map(|account| account.id.to_string());
        if let Some(addr) = filter.addr {
            filter.addr_tags = self.log_keys.tags(&self.db, addr).await?;
        }
        // Nothing that says in the clear of whom it was asked: it would outlive their erasure.
        let about = id.clone().or_else(|| typed.map(|typed| self.without_name(&typed)));
        let asked = json!({
            "subject": about,
            "addr_tag": filter.addr_tags.last(),
            "network": filter.network.map(|network| network.to_string()),
            "kind": filter.kind,
            "request_id": filter.request_id,
            "from": filter.from.map(|from| from.to_rfc3339()),
            "until": filter.until.map(|until| until.to_rfc3339()),
            "from_index": filter.from_index,
            "before": filter.before,
        });
        filter.subjects.extend(id);
        let change = AdminChange {
            action: "search",
            object_type: "audit_log",
            object: "entries".into(),
            before: None,
            after: Some(asked),
        };
        let event = self.event(origin, by.clone(), Outcome::Success, Kind::Admin(change));
        self.audit.append(vec![event]).await?;
        filter.most_bytes = Some(MOST_BYTES);
        let _turn = self.inner().searches.acquire().await.map_err(|_| IdentityError::Busy)?;
        let page = self.read_log(move |log| match newest_first {
            true => log.search_back(&filter),
            false => log.search_page(&filter),
        });
        let page = page.await?;
        let mut items = Vec::new();
        for found in page.found {
            items.extend(self.readable(found.entry).await.map(|entry| (found.index, entry)));
        }
        Ok(LogPage { items, next: page.next })
    }

    /// The proof that entry `index` is in the log, as a `.tlog-proof`.
    pub async fn prove_entry(&self, index: u64) -> Result<String, IdentityError> {
        let proof = self.read_log(move |log| log.prove(index));
        Ok(proof.await?.ok_or(IdentityError::NotFound)?.to_text())
    }

    /// Entry `index` with its proof. That somebody read it is an event itself.
    pub async fn log_entry(
        &self,
        index: u64,
        by: &Actor,
        origin: &Origin,
    ) -> Result<LogEntry, IdentityError> {
        let _turn = self.inner().searches.acquire().await.map_err(|_| IdentityError::Busy)?;
        if self.read_log(|log| Ok(log.size())).await? <= index {
            return Err(IdentityError::NotFound);
        }
        let change = AdminChange {
            action: "read",
            object_type: "audit_log",
            object: index.to_string(),
            before: None,
            after: None,
        };
        let event = self.event(origin, by.clone(), Outcome::Success, Kind::Admin(change));
        self.audit.append(vec![event]).await?;
        let mut found = self.read_log(move |log| log.proven(index)).await?;
        if found.is_none() {
            // What was written just now is covered by the next checkpoint.
            self.audit.checkpoint().await?;
            found = self.read_log(move |log| log.proven(index)).await?;
        }
        let found = found.ok_or(IdentityError::NotFound)?;
        let event = self.readable(found.entry.clone()).await.ok_or(IdentityError::Busy)?;
        Ok(LogEntry { proven: told(found)?, event })
    }

    /// The proof that the event `id`, which happened at `at`, is in the log of this node; `None` if it is not.
    /// Busy if somebody else is looking for one: what is not there takes long to find out, and nobody queues up
    /// for that.
    pub async fn prove_event(
        &self,
        id: Id<tags::Event>,
        at: Timestamp,
    ) -> Result<Option<LogProof>, IdentityError> {
        let _turn = self.inner().proofs.try_acquire().map_err(|_| IdentityError::Busy)?;
        let before = self.audit.newest_checkpoint();
        if let Some(found) = self.find_event(id, at).await? {
            return Ok(Some(found));
        }
        // What was written just now is covered by the next checkpoint.
        self.audit.checkpoint().await?;
        if self.audit.newest_checkpoint() == before {
            return Ok(None);
        }
        self.find_event(id, at).await
    }

    /// The same for somebody who is alone and comes again.
    pub async fn find_event(
        &self,
        id: Id<tags::Event>,
        at: Timestamp,
    ) -> Result<Option<LogProof>, IdentityError> {
        let id = id.to_string();
        let found = self.read_log(move |log| log.prove_event(&id, at)).await?;
        found.map(told).transpose()
    }

    /// An id as it is, anything else as what stands for a name that no account has.
    fn without_name(&self, typed: &str) -> String {
        let is_id = typed.split_once('_').is_some_and(|(kind, digits)| {
            kind.len() == 3
                && digits.len() == 26
                && digits.bytes().all(|b| b.is_ascii_alphanumeric())
        });
        match self.unknown(typed) {
            Actor::UnknownUser { pseudonym } if !is_id => format!("unknown:{pseudonym}"),
            _ => typed.to_owned(),
        }
    }

    async fn readable(&self, entry: Vec<u8>) -> Option<Value> {
        let entry = match sealed_of(&entry) {
            Some(sealed) => {
                let fields = self.log_keys.open(&self.db, &sealed).await;
                opened_entry(&entry, |_| fields)
            }
            None => entry,
        };
        serde_json::from_slice(&entry).ok()
    }

    async fn read_log<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Logs) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, IdentityError> {
        let dir = self.log_dir.clone();
        let read = move || Logs::open(&dir).and_then(|log| what(&log));
        let result = tokio::task::spawn_blocking(read).await.map_err(|_| IdentityError::Busy)?;
        result.map_err(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the audit log could not be read"
            );
            IdentityError::Busy
        })
    }
}

fn told(found: Proven) -> Result<LogProof, IdentityError> {
    let entry = String::from_utf8(found.entry).map_err(|_| IdentityError::Busy)?;
    Ok(LogProof { entry, proof: found.proof.to_text(), log_key: found.vkey })
}
