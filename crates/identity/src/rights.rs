//! What a person may ask of whoever keeps data about them: all of it, and to forget it.

use std::{collections::VecDeque, path::Path};

use portcullis_audit::{Filter, Logs};
use portcullis_events::{
    AccountChange, Actor, AdminChange, Event, Kind, Origin, Outcome, opened_entry, sealed_of,
};
use portcullis_store::{
    accounts::{self, Account},
    applications, factors,
    idv::{identities, proofs},
    passkeys, subject_requests, upstream, wallet,
};
use portcullis_texts::{speaking_now, t};
use portcullis_types::{Id, Timestamp, tags};
use serde_json::{Value, json};

use crate::{Email, Identity, IdentityError, Mail, Recent, recovery::language};

/// Entries of the log in an export, the newest.
pub const MAX_EXPORTED_ENTRIES: usize = 10_000;

impl Identity {
    /// The same for somebody who cannot log in to ask for it; who got it is in the log.
    pub async fn export_for(
        &self,
        id: Id<tags::User>,
        by: &Actor,
        origin: &Origin,
    ) -> Result<Value, IdentityError> {
        let account = accounts::by_id(&self.db, &self.tenant, id).await?;
        let account = account.ok_or(IdentityError::NotFound)?;
        let change = AdminChange {
            action: "export",
            object_type: "user",
            object: id.to_string(),
            before: None,
            after: None,
        };
        let event = self.event(origin, by.clone(), Outcome::Success, Kind::Admin(change));
        self.audit.append(vec![event]).await?;
        self.export(&account).await
    }

    /// Everything that is kept about a person, as JSON. Secrets are named and not shown: they prove
    /// who somebody is, and say nothing about them.
    pub async fn export(&self, account: &Account) -> Result<Value, IdentityError> {
        let (db, tenant, id) = (&self.db, self.tenant.as_str(), account.id);
        let memberships = self.memberships(db, account).await?;
        let sessions = self.sessions(account).await?;
        let keys = passkeys::of_account(db, tenant, id).await?;
        let factors = self.factors(account).await?;
        let app = factors::totp(db, tenant, id).await?.and_then(|totp| totp.confirmed_at);
        let identities = upstream::of_account(db, tenant, id).await?;
        let in_use = applications::in_use(db, tenant, id, self.now()).await?;
        let consents = applications::consented(db, tenant, id).await?;
        let verified = self.verified(id).await?;
        let proofs = proofs::all_of_account(db, tenant, id).await?;
        let in_wallets = wallet::of_account(db, tenant, id, (self.now(), i64::MAX)).await?;
        let requests = subject_requests::of_account(db, tenant, id).await?;
        let entries = self.entries_about(account).await?;
        let day = |micros: i64| Timestamp::from_micros(micros).to_rfc3339();
        Ok(json!({
            "exported_at": self.now().to_rfc3339(),
            "account": {
                "id": id.to_string(),
                "username": account.username,
                "email": account.email,
                "display_name": account.display_name,
                "locale": account.locale,
                "roles": memberships.roles,
                "groups": memberships.groups,
                "created_at": day(account.created_at),
                "updated_at": day(account.updated_at),
                "flagged": account.flag_reason,
            },
            "credentials": {
                "password": !account.password_hash.is_empty(),
                "authenticator_app_since": app.map(day),
                "recovery_codes_left": factors.recovery_codes,
                "passkeys": keys.iter().map(|key| json!({
                    "name": key.name,
                    "created_at": day(key.created_at),
                    "last_used_at": key.last_used_at.map(day),
                })).collect::<Vec<_>>(),
                "identities": identities.iter().map(|own| json!({
                    "provider": own.provider,
                    "subject": own.subject,
                    "email": own.email,
                    "created_at": own.created_at.to_rfc3339(),
                    "last_used_at": own.last_used_at.map(day),
                })).collect::<Vec<_>>(),
            },
            "requests": requests.iter().map(|request| json!({
                "kind": request.kind,
                "requester": request.requester,
                "note": request.note,
                "received_at": request.received_at.to_rfc3339(),
                "due_at": request.due_at.to_rfc3339(),
                "outcome": request.outcome,
            })).collect::<Vec<_>>(),
            "sessions": sessions.iter().map(|session| json!({
                "id": session.id.to_string(),
                "address": session.addr,
                "user_agent": session.user_agent,
                "created_at": session.created_at.to_rfc3339(),
                "last_seen_at": session.last_seen_at.to_rfc3339(),
                "expires_at": session.expires_at.to_rfc3339(),
            })).collect::<Vec<_>>(),
            "applications": {
                "in_use": in_use.iter().map(access).collect::<Vec<_>>(),
                "consents": consents.iter().map(access).collect::<Vec<_>>(),
            },
            "credentials_in_wallets": in_wallets.iter().map(|held| json!({
                "id": held.id.to_string(),
                "client_id": held.client_id,
                "issued_at": held.issued_at.to_rfc3339(),
                "expires_at": held.expires_at.to_rfc3339(),
                "revoked_at": held.revoked_at.map(day),
            })).collect::<Vec<_>>(),
            "verified_claims": verified,
            "verified_by": proofs.iter().map(|proof| json!({
                "workflow": proof.name,
                "version": proof.workflow_version,
                "approved": proof.is_proven,
                "at": proof.decided_at.to_rfc3339(),
            })).collect::<Vec<_>>(),
            "audit_log": entries,
        }))
    }

    /// Whom the account belongs to by verification: elements of `verified_claims` (OpenID Connect for Identity
    /// Assurance 1.0) with everything there is.
    pub async fn verified(&self, account: Id<tags::User>) -> Result<Vec<Value>, IdentityError> {
        let rows = identities::of_account(&self.db, &self.tenant, account).await?;
        Ok(rows.iter().map(|row| row.open(&self.sealer)).collect::<Result<_, _>>()?)
    }

    /// What the log says about somebody since their account began, oldest first. One at a time:
    /// the log may be long, and everybody may ask.
    async fn entries_about(&self, account: &Account) -> Result<Vec<Value>, IdentityError> {
        let _turn = self.inner().exports.acquire().await.map_err(|_| IdentityError::Busy)?;
        let (dir, subject) = (self.log_dir.clone(), account.id.to_string());
        let from = Timestamp::from_micros(account.created_at);
        let read = tokio::task::spawn_blocking(move || entries_since(&dir, subject, from));
        let mut entries = Vec::new();
        for entry in read.await.unwrap_or_default() {
            // What is sealed under somebody else's key is about them.
            let own = sealed_of(&entry).filter(|sealed| sealed.subject == account.id.to_string());
            let fields = match own {
                Some(sealed) => self.log_keys.open(&self.db, &sealed).await,
                None => None,
            };
            let opened = opened_entry(&entry, |_| fields);
            entries.extend(serde_json::from_slice(&opened).ok());
        }
        Ok(entries)
    }

    /// Removes the account of whoever asks, with everything that hangs on it. The name must be
    /// typed: a button alone is pressed too soon.
    pub async fn erase(
        &self,
        who: &Recent,
        typed: &str,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        if typed.trim() != who.account().username {
            return Err(IdentityError::field("username", "is not yours"));
        }
        let (id, now) = (who.account().id, self.now());
        let revoked = self
            .db
            .write(|tx| async move {
                let before = self.stored(&tx, id).await?;
                let revoked = self.end_everything(&tx, id, None, "account_erased", now).await?;
                self.erasure_is_done(&tx, id, origin).await?;
                accounts::delete(&tx, &self.tenant, id).await?;
                self.after_admin(&tx, &before, &Actor::System, origin).await?;
                let mail = erased(&before);
                mail.queue(&tx, &self.tenant, &self.sealer, &self.entropy, now).await?;
                tx.emit(self.receipt(&id.to_string(), origin)).await?;
                Ok::<_, IdentityError>(revoked)
            })
            .await?;
        self.log_keys.forget(&id.to_string());
        self.db.overwrite_remnants().await;
        self.apply(&revoked, now);
        Ok(())
    }

    /// That somebody was erased, without who it was: the id leads to nobody any more.
    fn receipt(&self, id: &str, origin: &Origin) -> Event {
        let nobody = || Actor::User { id: id.to_owned(), username: String::new() };
        let kind =
            Kind::Account(AccountChange { change: "erased", user: nobody(), provider: None });
        let origin = Origin { user_agent: None, ..origin.clone() };
        self.event(&origin, nobody(), Outcome::Success, kind)
    }
}

fn entries_since(dir: &Path, subject: String, from: Timestamp) -> Vec<Vec<u8>> {
    let Ok(log) = Logs::open(dir) else { return Vec::new() };
    let mut filter = Filter {
        from: Some(from),
        subjects: vec![subject],
        limit: portcullis_audit::MAX_RESULTS,
        ..Filter::default()
    };
    let mut newest = VecDeque::new();
    while let Ok(page) = log.search_page(&filter) {
        let found = page.found;
        let Some(last) = found.last().map(|hit| hit.index) else { break };
        for hit in found {
            if newest.len() >= MAX_EXPORTED_ENTRIES {
                newest.pop_front();
            }
            newest.push_back(hit.entry);
        }
        filter.from_index = last + 1;
    }
    newest.into()
}

fn access(access: &applications::Access) -> Value {
    json!({
        "client": access.client_id,
        "name": access.name,
        "scope": access.scope,
        "claims": access.claims,
        "at": access.at.to_rfc3339(),
    })
}

fn erased(account: &Account) -> Mail {
    speaking_now(language(account), || Mail {
        to: Email::stored(&account.email).to_string(),
        subject: t("Your account is deleted.").trim_end_matches('.').to_owned(),
        text: format!("{}\n", t("Your account is deleted.")),
    })
}
