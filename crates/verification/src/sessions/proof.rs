//! Verifying the owner of an account while they log in.

use std::time::Duration;

use portcullis_events::{Actor, Kind, Origin, Verification};
use portcullis_store::{
    Source, Tx, accounts,
    idv::{identities, proofs, sessions, workflows},
};
use portcullis_types::{Id, Timestamp, tags};
use portcullis_workflow::{Decision, Event, Status, Verdict};
use serde_json::Value;

use super::{Begin, Known, Open, SessionError, Sessions, identity::OTHER_PERSON};

/// How the owner of an account has to be verified.
#[derive(Debug, Clone, Copy)]
pub struct Needed<'a> {
    /// The name of the workflow.
    pub workflow: &'a str,
    /// How long somebody who was declined waits before they can try again.
    pub retry_after: Duration,
    /// Whether an approval has to rest on a screening that goes on.
    pub is_watched: bool,
}

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
    /// new one. None for whoever was refused less than `retry_after` ago, unless somebody has begun another session
    /// for them since.
    ///
    /// It is looked for and begun in one transaction: however often they ask at once, there is one.
    pub async fn for_owner(
        &self,
        owner: &Owner,
        needed: Needed<'_>,
        by: (&Actor, &Origin),
    ) -> Result<Option<Open>, SessionError> {
        let Needed { workflow, retry_after, is_watched } = needed;
        let found = self
            .db
            .write(|tx| async move {
                let found = workflows::by_name(&tx, &self.tenant, workflow).await?;
                let found = found.ok_or(SessionError::NotPublished)?;
                let (tenant, account) = (&self.tenant[..], owner.account);
                let last = proofs::of_account(&tx, tenant, account, workflow).await?;
                let refused = last.and_then(|last| {
                    // Once more would come to the same.
                    if is_watched && last.is_proven && !last.is_watched {
                        tracing::warn!(workflow, "approves people whom nobody monitors");
                        return Some(last.decided_at);
                    }
                    last.refused_at.map(Timestamp::from_micros)
                });
                let waits = |at: &Timestamp| at.plus(retry_after) > self.now();
                let refused = refused.filter(waits);
                let going = sessions::going_about(&tx, tenant, account, found.id).await?;
                let going =
                    going.filter(|going| refused.is_none_or(|refused| going.created_at > refused));
                if let Some(going) = going {
                    return Ok(Some(self.open(&tx, going.id).await?));
                }
                if refused.is_some() {
                    return Ok(None);
                }
                let asked = Begin {
                    workflow: found.id.to_string(),
                    // Screening knows somebody under this name, whichever workflow asks.
                    reference: Some(account.to_string()),
                    account: Some(account),
                    // People change their names, and not when they were born.
                    expected: Known {
                        date_of_birth: self.born(&tx, account).await?,
                        ..Known::default()
                    },
                    locale: owner.locale.clone(),
                    metadata: Value::Null,
                    ..Begin::default()
                };
                Ok::<_, SessionError>(Some(self.begin_in(&tx, &asked, by).await?))
            })
            .await?;
        if let Some(open) = &found {
            self.done(open);
        }
        Ok(found)
    }

    /// Binds a passkey of its owner to an approval of the last `within`, once: from then on that one stands for the person
    /// who was approved. `false` if there is no such approval, or a passkey is bound to it.
    pub async fn bind_passkey(
        &self,
        session: Id<tags::IdvSession>,
        account: Id<tags::User>,
        passkey: Id<tags::Passkey>,
        within: Duration,
        by: (&Actor, &Origin),
    ) -> Result<bool, SessionError> {
        let since = Timestamp::from_micros(
            self.now().micros().saturating_sub(i64::try_from(within.as_micros()).unwrap_or(0)),
        );
        let bound = self.db.write(|tx| async move {
            let whose = (account, session);
            if !proofs::bind(&tx, &self.tenant, whose, passkey, since).await? {
                return Ok(false);
            }
            let open = self.open(&tx, session).await?;
            let bound = Verification {
                change: "passkey_bound",
                reason: Some(passkey.to_string()),
                ..Verification::default()
            };
            let event = self.event(by.0, Some(by.1), Kind::Verification(open.about(bound)));
            tx.emit(event).await?;
            Ok(true)
        });
        bound.await
    }

    /// When the owner of an account was born, as a chip told.
    async fn born(
        &self,
        source: impl Source,
        account: Id<tags::User>,
    ) -> Result<Option<String>, SessionError> {
        let known = identities::of_account(source, &self.tenant, account).await?;
        let Some(known) = known.first() else { return Ok(None) };
        let known = known.open(&self.sealer)?;
        Ok(known["claims"]["birthdate"].as_str().map(str::to_owned))
    }

    /// Keeps what was decided about the owner of the account: the last decision counts. An approval of somebody who
    /// was born on another day is none of them.
    pub(super) async fn keep_proof(
        &self,
        tx: &Tx,
        open: &Open,
        decision: &Decision,
        verified: Option<&str>,
    ) -> Result<(), SessionError> {
        let Some(account) = open.row.account() else { return Ok(()) };
        let born = self.born(tx, account).await?;
        let told = open.state.done.keys().filter_map(|node| open.known_by(node));
        let told: Vec<_> = told.map(|known| known.date_of_birth).collect();
        // A document that does not say it whole is not known to be of the same person.
        let is_same =
            told.contains(&born) && told.iter().flatten().all(|said| Some(said) == born.as_ref());
        let is_other = born.is_some() && !told.is_empty() && !is_same;
        let is_proven =
            decision.verdict == Verdict::Approved && verified != Some(OTHER_PERSON) && !is_other;
        self.put_proof(tx, open, account, (is_proven, decision.at)).await
    }

    /// Whoever let the time run out after a step that failed was not approved either.
    pub(super) async fn keep_failure(
        &self,
        tx: &Tx,
        open: &Open,
        (event, at): (&Event, Timestamp),
    ) -> Result<(), SessionError> {
        let Some(account) = open.row.account() else { return Ok(()) };
        let is_over = matches!(event, Event::Expired) && open.state.status == Status::Expired;
        if !is_over || !open.has_failed {
            return Ok(());
        }
        // That is no decision, and takes none back; but it was a try.
        let workflow = open.row.workflow_id;
        if proofs::refuse(tx, &self.tenant, account, workflow, at).await? {
            return Ok(());
        }
        self.put_proof(tx, open, account, (false, at)).await
    }

    async fn put_proof(
        &self,
        tx: &Tx,
        open: &Open,
        account: Id<tags::User>,
        (is_proven, at): (bool, Timestamp),
    ) -> Result<(), SessionError> {
        if accounts::by_id(tx, &self.tenant, account).await?.is_none() {
            return Ok(());
        }
        let (workflow, version) = (open.row.workflow_id, open.row.workflow_version);
        let session = open.row.id;
        let watched = open.watched().filter(|_| is_proven);
        let proof = proofs::Proof { account, workflow, version, is_proven, session, at, watched };
        Ok(proofs::put(tx, &self.tenant, &proof).await?)
    }
}
