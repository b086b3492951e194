//! Values of `acr` that a verification of the person stands for (OpenID Connect Core, section 2; RFC 9470).
//!
//! Whether it was done is a row that the approval of a workflow wrote. It is looked at whenever tokens are made, so
//! that what was taken back since is said by no new token.

use std::{sync::Arc, time::Duration};

use portcullis_events::{Actor, Origin, Outcome, TokenOperation};
use portcullis_identity::{Assurance, Methods};
use portcullis_store::{
    DbError,
    accounts::Account,
    consents,
    grants::Grant,
    idv::proofs::{self, ProofRow},
    sessions::Session,
};
use portcullis_types::{Id, tags};

use crate::{AuthorizationRequest, Provider, ProviderError};

/// A value of `acr`, and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofRule {
    /// As clients ask for it and tokens say it.
    pub acr: String,
    /// The name of the workflow that has to have approved the person.
    pub workflow: String,
    /// How long ago at most.
    pub max_age: Option<Duration>,
    /// Whether it must have been by the version that is current.
    pub current_version: bool,
    /// Whether it must rest on a screening that goes on and has found nothing since.
    pub current_screening: bool,
    /// How long somebody who was declined waits before they can try again.
    pub retry_after: Duration,
    /// How the person has to log in besides.
    pub login: Assurance,
    /// Whether it has to be by the passkey by which the person was logged in who was approved.
    pub passkey: bool,
}

/// What somebody still has to do for a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Log in with a passkey, before anything else.
    Passkey,
    /// Log in with the passkey that they were verified with, or be verified again with the one that they have used.
    OtherPasskey,
    /// Be verified.
    Verification,
}

/// What a request says of proofs.
#[derive(Debug, Clone, Default)]
pub(crate) struct WantedProof {
    /// Any of these will do, the first one best.
    pub rules: Vec<Arc<ProofRule>>,
    /// Whether nothing else will do.
    pub is_needed: bool,
}

impl Provider {
    /// What the person has to be verified for before the request can be granted, if anything.
    pub async fn unproven(
        &self,
        request: &AuthorizationRequest,
        session: &Session,
    ) -> Result<Option<(Arc<ProofRule>, Missing)>, DbError> {
        let wanted = request.proof();
        if !wanted.is_needed || !self.proven_acr(request, session).await?.is_empty() {
            return Ok(None);
        }
        let methods = Methods::from_row(&session.methods);
        let mut rules = wanted.rules.iter();
        // The login was looked at before: there is one that it is enough for.
        let Some(rule) = rules.find(|rule| methods.assurance() >= rule.login) else {
            return Ok(None);
        };
        let missing = self.missing(rule, session.account_id, &methods).await?;
        Ok(missing.map(|missing| (rule.clone(), missing)))
    }

    /// Remembers what the person has allowed, before they do what takes longer.
    pub async fn remember_consent(
        &self,
        request: &AuthorizationRequest,
        account: &Account,
        origin: &Origin,
    ) -> Result<(), ProviderError> {
        let (client, now) = (&request.client.id, self.now());
        let consent = &request.disclosed(account).join(" ");
        let who = Actor::User { id: account.id.to_string(), username: account.username.clone() };
        let operation = TokenOperation {
            operation: "consent",
            client: client.clone(),
            grant_type: "authorization_code".into(),
            scope: consent.clone(),
            token_id: None,
            grant: None,
        };
        let event = &self.token_event(origin, who, Outcome::Success, operation);
        let remembered = self.identity.db.write(|tx| async move {
            consents::consent(&tx, self.tenant(), account.id, client, consent, now).await?;
            Ok::<_, ProviderError>(tx.emit(event.clone()).await?)
        });
        remembered.await
    }

    /// The value that a new grant has of its own; empty if there is none.
    pub(crate) async fn proven_acr(
        &self,
        request: &AuthorizationRequest,
        session: &Session,
    ) -> Result<String, DbError> {
        for rule in &request.proof().rules {
            if self.holds(rule, session.account_id, &session.methods).await? {
                return Ok(rule.acr.clone());
            }
        }
        Ok(String::new())
    }

    /// The value that a grant still has of its own.
    pub(crate) async fn acr_of(&self, grant: &Grant) -> Result<Option<String>, DbError> {
        let Some(rule) = self.proof_of(&grant.acr) else { return Ok(None) };
        let holds = self.holds(rule, grant.account_id, &grant.methods).await?;
        Ok(holds.then(|| rule.acr.clone()))
    }

    /// The rule of a value.
    pub fn proof_of(&self, acr: &str) -> Option<&ProofRule> {
        self.settings.proofs.iter().find(|rule| rule.acr == acr).map(|rule| &**rule)
    }

    /// Whether somebody who has logged in by these methods may be said to be verified: the value says both.
    async fn holds(
        &self,
        rule: &ProofRule,
        account: Id<tags::User>,
        methods: &str,
    ) -> Result<bool, DbError> {
        let methods = Methods::from_row(methods);
        let enough = methods.assurance() >= rule.login;
        Ok(enough && self.missing(rule, account, &methods).await?.is_none())
    }

    /// What the person still has to do, however they had to log in besides.
    async fn missing(
        &self,
        rule: &ProofRule,
        account: Id<tags::User>,
        methods: &Methods,
    ) -> Result<Option<Missing>, DbError> {
        let db = &self.identity.db;
        let row = proofs::of_account(db, self.tenant(), account, &rule.workflow).await?;
        let age = |row: &ProofRow| self.now().since(row.decided_at);
        let counts = |row: &ProofRow| {
            let is_current = row.current_version == Some(row.workflow_version);
            row.is_proven
                && rule.max_age.is_none_or(|most| age(row) <= most)
                && (is_current || !rule.current_version)
                && (row.is_clear || !rule.current_screening)
        };
        let counts = row.filter(counts);
        let used = match (rule.passkey, methods.passkey()) {
            (false, _) => return Ok(counts.is_none().then_some(Missing::Verification)),
            (true, None) => return Ok(Some(Missing::Passkey)),
            (true, Some(used)) => used.to_string(),
        };
        let bound = counts.and_then(|row| row.passkey_id);
        Ok(match bound {
            None => Some(Missing::Verification),
            Some(bound) => (bound != used).then_some(Missing::OtherPasskey),
        })
    }
}
