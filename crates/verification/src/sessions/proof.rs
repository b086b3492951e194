//! Verifying the owner of an account while they log in.

use std::time::Duration;

use portcullis_events::{Actor, Origin};
use portcullis_store::{
    Tx, accounts,
    idv::{proofs, sessions, workflows},
};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_workflow::{Decision, Status, Verdict};
use serde_json::Value;

use super::{Begin, Known, Open, SessionError, Sessions, identity::OTHER_PERSON};

/// The owner of an account, who is to be verified.
#[derive(Debug, Clone)]
pub struct Owner {
    /// The account; they are logged in to it.
    pub account: Id<tags::User>,
    /// Their language.
    pub locale: Option<String>,
}

impl Sessions {
    /// The session in which the owner of an account goes through the workflow of this name: one that goes on, or a
    /// new one. None for whoever was declined less than `retry_after` ago.
    pub async fn for_owner(
        &self,
        owner: &Owner,
        workflow: &str,
        retry_after: Duration,
        by: (&Actor, &Origin),
    ) -> Result<Option<Open>, SessionError> {
        let found = workflows::by_name(&self.db, &self.tenant, workflow).await?;
        let found = found.ok_or(SessionError::NotPublished)?;
        let last = sessions::last_about(&self.db, &self.tenant, owner.account, found.id).await?;
        if let Some(row) = last {
            if row.ended_at.is_none() {
                return Ok(Some(self.read(row.id).await?));
            }
            let ended = row.ended_at.map(Timestamp::from_micros);
            let waits = ended.is_some_and(|ended| ended.plus(retry_after) > self.now());
            if row.status == Status::Declined.as_str() && waits {
                return Ok(None);
            }
        }
        let asked = Begin {
            workflow: found.id.to_string(),
            // Screening knows somebody under this name, whichever workflow asks.
            reference: Some(owner.account.to_string()),
            account: Some(owner.account),
            expected: self.expected_of(owner.account).await?,
            locale: owner.locale.clone(),
            metadata: Value::Null,
            ..Begin::default()
        };
        Ok(Some(self.begin(asked, by.0, by.1).await?.open))
    }

    /// People change their names, and not when they were born.
    async fn expected_of(&self, account: Id<tags::User>) -> Result<Known, SessionError> {
        let known = self.identities(account).await?.into_iter().next();
        let born = known
            .and_then(|known| known.verified["claims"]["birthdate"].as_str().map(str::to_owned));
        Ok(Known { date_of_birth: born, ..Known::default() })
    }

    /// Keeps that the owner of the account was approved, or takes it back: the last decision counts.
    pub(super) async fn keep_proof(
        &self,
        tx: &Tx,
        open: &Open,
        decision: &Decision,
        verified: Option<&str>,
    ) -> Result<(), SessionError> {
        let Some(account) = open.row.account() else { return Ok(()) };
        let workflow = open.row.workflow_id;
        if accounts::by_id(tx, &self.tenant, account).await?.is_none() {
            return Ok(());
        }
        if decision.verdict != Verdict::Approved || verified == Some(OTHER_PERSON) {
            return Ok(proofs::remove(tx, &self.tenant, account, workflow).await?);
        }
        let proof = proofs::Proof {
            account,
            workflow,
            version: open.row.workflow_version,
            session: open.row.id,
            at: decision.at,
        };
        Ok(proofs::put(tx, &self.tenant, &proof).await?)
    }
}
