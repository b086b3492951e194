//! Values of `acr` that a verification of the person stands for (OpenID Connect Core, section 2; RFC 9470).
//!
//! Whether it was done is a row that the approval of a workflow wrote. It is looked at whenever tokens are made, so
//! that what was taken back since is said by no new token.

use std::{sync::Arc, time::Duration};

use portcullis_events::{Actor, Origin, Outcome, TokenOperation};
use portcullis_identity::{Assurance, Methods};
use portcullis_store::{
    DbError, accounts::Account, consents, grants::Grant, idv::proofs, sessions::Session,
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
    /// How long somebody who was declined waits before they can try again.
    pub retry_after: Duration,
    /// How the person has to log in besides.
    pub login: Assurance,
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
    ) -> Result<Option<Arc<ProofRule>>, DbError> {
        let wanted = request.proof();
        if !wanted.is_needed || !self.proven_acr(request, session).await?.is_empty() {
            return Ok(None);
        }
        let login = Methods::from_row(&session.methods).assurance();
        let mut rules = wanted.rules.iter();
        // The login was looked at before: there is one that it is enough for.
        Ok(rules.find(|rule| login >= rule.login).cloned())
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
    pub(crate) fn proof_of(&self, acr: &str) -> Option<&ProofRule> {
        self.settings.proofs.iter().find(|rule| rule.acr == acr).map(|rule| &**rule)
    }

    /// Whether somebody who has logged in by these methods may be said to be verified: the value says both.
    async fn holds(
        &self,
        rule: &ProofRule,
        account: Id<tags::User>,
        methods: &str,
    ) -> Result<bool, DbError> {
        let login = Methods::from_row(methods).assurance();
        Ok(login >= rule.login && self.is_proven(rule, account).await?)
    }

    async fn is_proven(&self, rule: &ProofRule, account: Id<tags::User>) -> Result<bool, DbError> {
        let db = &self.identity.db;
        let row = proofs::of_account(db, self.tenant(), account, &rule.workflow).await?;
        Ok(row.is_some_and(|row| {
            let age = self.now().since(row.decided_at);
            let is_current = row.current_version == Some(row.workflow_version);
            row.is_proven
                && rule.max_age.is_none_or(|most| age <= most)
                && (is_current || !rule.current_version)
        }))
    }
}
