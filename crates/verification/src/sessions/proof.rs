//! Verifying the owner of an account while they log in.

use std::{collections::BTreeSet, time::Duration};

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
    /// Whether the approval is bound to the passkey by which they are logged in: then nobody else goes on with what they
    /// have begun.
    pub is_bound: bool,
}

/// The owner of an account, who is to be verified.
#[derive(Debug, Clone)]
pub struct Owner {
    /// The account; they are logged in to it.
    pub account: Id<tags::User>,
    /// Their language.
    pub locale: Option<String>,
    /// The passkey by which they are logged in, if it was one.
    pub passkey: Option<Id<tags::Passkey>>,
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
        let Needed { workflow, retry_after, is_watched, is_bound } = needed;
        let passkey = &owner.passkey.map(|id| id.to_string()).unwrap_or_default();
        let found = self
            .db
            .write(|tx| async move {
                let found = workflows::by_name(&tx, &self.tenant, workflow).await?;
                let found = found.ok_or(SessionError::NotPublished)?;
                let (tenant, account) = (&self.tenant[..], owner.account);
                let last = proofs::of_account(&tx, tenant, account, workflow).await?;
                let is_own = |with: &Option<String>| with.as_deref() == Some(&passkey[..]);
                // Whoever is not logged in by the passkey that stands for the person gets nothing that others have begun.
                let stands = last.as_ref().and_then(|last| last.passkey_id.clone());
                let also = !is_bound && (stands.is_none() || is_own(&stands));
                let refused = last.and_then(|last| {
                    // Once more would come to the same, for whoever came to it.
                    let is_same = last.is_proven
                        && last.current_version == Some(last.workflow_version)
                        && is_own(&last.decided_with);
                    if is_watched && !last.is_watched && is_same {
                        tracing::warn!(workflow, "approves people whom nobody monitors");
                        return Some(last.decided_at);
                    }
                    if is_bound && !last.was_bound && is_same {
                        tracing::warn!(
                            workflow,
                            "approves people and does not tell when they were born"
                        );
                        return Some(last.decided_at);
                    }
                    // Whoever tries and is logged in some other way has nobody wait but themselves.
                    if is_bound && last.refused_with.is_some() && !is_own(&last.refused_with) {
                        return None;
                    }
                    last.refused_at.map(Timestamp::from_micros)
                });
                let waits = |at: &Timestamp| at.plus(retry_after) > self.now();
                let refused = refused.filter(waits);
                // Whoever is logged in some other way goes on with something else, whatever is asked for.
                let with = (&passkey[..], also);
                let going = sessions::going_about(&tx, tenant, account, found.id, with).await?;
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
                    passkey: Some(passkey.clone()),
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
        let persons: BTreeSet<String> =
            told.iter().flatten().map(|born| self.person(account, born)).collect();
        let person = persons.first().filter(|_| persons.len() == 1).map(|person| &person[..]);
        // What a passkey stands for is one person, whoever is logged in and whichever workflow asks.
        let known = proofs::persons(tx, &self.tenant, account).await?;
        let is_known = known.iter().all(|known| Some(&known[..]) == person);
        let is_somebody_else = !told.is_empty() && !is_known;
        let is_proven = decision.verdict == Verdict::Approved
            && verified != Some(OTHER_PERSON)
            && !is_other
            && !is_somebody_else;
        if is_other || is_somebody_else {
            self.tell_of_proof(tx, open, ("other_person", None)).await?;
        }
        let workflow = open.row.workflow_id;
        let before = proofs::by_workflow(tx, &self.tenant, account, workflow).await?;
        let bound = before.as_ref().filter(|before| before.is_proven);
        let bound = bound.and_then(|before| before.passkey_id.as_deref());
        let with = open.row.passkey_id.as_deref();
        let is_theirs = with.is_some() && with != bound;
        if bound.is_some() && is_theirs && !is_proven {
            // Whoever logs in some other way takes nothing away from the person who has the passkey. It was a try.
            proofs::refuse(tx, &self.tenant, account, workflow, (decision.at, with)).await?;
            return Ok(());
        }
        // Where nobody says who it is, no passkey can stand for them.
        let own = with.filter(|id| !id.is_empty() && person.is_some());
        let passkey = own.or(bound).filter(|_| is_proven);
        let person = person.filter(|_| passkey.is_some()).unwrap_or_default();
        self.put_proof(tx, open, account, (is_proven, decision.at), (passkey, person)).await?;
        match passkey {
            Some(passkey) => self.tell_of_proof(tx, open, ("passkey_bound", Some(passkey))).await,
            None => Ok(()),
        }
    }

    async fn tell_of_proof(
        &self,
        tx: &Tx,
        open: &Open,
        (change, reason): (&'static str, Option<&str>),
    ) -> Result<(), SessionError> {
        let reason = reason.map(str::to_owned);
        let told = Verification { change, reason, ..Verification::default() };
        let kind = Kind::Verification(open.about(told));
        Ok(tx.emit(self.event(&Actor::System, None, kind)).await?)
    }

    /// Who the owner of an account is, as far as it takes to know them again.
    pub(super) fn person(&self, account: Id<tags::User>, born: &str) -> String {
        self.hex_digest(&[b"proof_person", account.to_string().as_bytes(), born.as_bytes()])
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
        let with = open.row.passkey_id.as_deref();
        if proofs::refuse(tx, &self.tenant, account, workflow, (at, with)).await? {
            return Ok(());
        }
        self.put_proof(tx, open, account, (false, at), (None, "")).await
    }

    async fn put_proof(
        &self,
        tx: &Tx,
        open: &Open,
        account: Id<tags::User>,
        (is_proven, at): (bool, Timestamp),
        (passkey, person): (Option<&str>, &str),
    ) -> Result<(), SessionError> {
        if accounts::by_id(tx, &self.tenant, account).await?.is_none() {
            return Ok(());
        }
        let (workflow, version) = (open.row.workflow_id, open.row.workflow_version);
        let session = open.row.id;
        let watched = open.watched().filter(|_| is_proven);
        let proof = proofs::Proof {
            account,
            workflow,
            version,
            is_proven,
            session,
            at,
            watched,
            passkey,
            person,
            with: open.row.passkey_id.as_deref(),
        };
        Ok(proofs::put(tx, &self.tenant, &proof).await?)
    }
}
