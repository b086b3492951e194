//! What a person sees of the clients that act in their name, and how they end it.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_events::{Actor, Origin, Outcome, TokenOperation};
use portcullis_identity::IdentityError;
use portcullis_store::{accounts::Account, applications, grants, wallet};
use portcullis_types::Timestamp;

use crate::{Provider, claims::RequestedClaims};

/// A client that a person let in.
#[derive(Debug)]
pub struct Application {
    /// The client.
    pub client_id: String,
    /// What it calls itself.
    pub name: String,
    /// What it may do, of all that was granted to it.
    pub scopes: BTreeSet<String>,
    /// Grants in use: one for each login or device. With none, only the consent is remembered.
    pub grants: usize,
    /// When it was last let in.
    pub last: Timestamp,
}

impl Provider {
    /// The clients that hold grants of `account` or have its consent, by name.
    pub async fn applications(&self, account: &Account) -> Result<Vec<Application>, IdentityError> {
        let (db, tenant) = (&self.identity.db, self.tenant());
        let in_use = applications::in_use(db, tenant, account.id, self.now()).await?;
        let consented = applications::consented(db, tenant, account.id).await?;
        let mut found = BTreeMap::new();
        let rows = in_use.into_iter().map(|row| (row, 1));
        for (row, grants) in rows.chain(consented.into_iter().map(|row| (row, 0))) {
            let application = found.entry(row.client_id).or_insert_with_key(|id| Application {
                client_id: id.clone(),
                name: row.name,
                scopes: BTreeSet::new(),
                grants: 0,
                last: row.at,
            });
            application.scopes.extend(row.scope.split(' ').map(str::to_owned));
            // What was asked for by name is told as well.
            let named = RequestedClaims::from_row(row.claims.as_deref());
            application.scopes.extend(named.scopes().into_iter().map(str::to_owned));
            application.grants += grants;
            application.last = application.last.max(row.at);
        }
        let mut found: Vec<_> = found.into_values().collect();
        found.sort_by(|a, b| (&a.name, &a.client_id).cmp(&(&b.name, &b.client_id)));
        Ok(found)
    }

    /// Ends all that `client` holds of `account`, and forgets the consent; `false` if there was
    /// nothing. Logins at the client itself are its own; it is asked for consent when it comes again.
    pub async fn end_application(
        &self,
        account: &Account,
        client: &str,
        origin: &Origin,
    ) -> Result<bool, IdentityError> {
        let (now, tenant) = (self.now(), self.tenant());
        let ended = self
            .identity
            .db
            .write(|tx| async move {
                let waiting = grants::Of::Application(account.id, client);
                grants::revoke_unredeemed(&tx, tenant, waiting, "ended", now).await?;
                let live = grants::beyond(&tx, tenant, account.id, client, 0).await?;
                let revoked = self.identity.revoke_grants(&tx, live, "ended", now).await?;
                let forgotten =
                    applications::forget_consent(&tx, tenant, account.id, client).await?;
                let held = wallet::Of::Wallet(account.id, client);
                let taken_back = wallet::revoke_all(&tx, tenant, held, now).await?;
                if revoked.is_empty() && !forgotten && taken_back == 0 {
                    return Ok(None);
                }
                let operation = TokenOperation {
                    operation: "revoke",
                    client: client.to_owned(),
                    grant_type: String::new(),
                    scope: String::new(),
                    token_id: None,
                    grant: None,
                };
                let who =
                    Actor::User { id: account.id.to_string(), username: account.username.clone() };
                tx.emit(self.token_event(origin, who, Outcome::Success, operation)).await?;
                Ok::<_, IdentityError>(Some(revoked))
            })
            .await?;
        if let Some(revoked) = &ended {
            self.identity.apply(revoked, now);
        }
        Ok(ended.is_some())
    }
}
