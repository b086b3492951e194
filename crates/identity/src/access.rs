//! Taking access away: sessions, grants, and the tokens that descend from them.

use std::time::Duration;

use portcullis_cluster::{Place, Revoked};
use portcullis_store::{
    Tx,
    grants::{self, Grant, Revocation},
    logout_notices, sessions,
};
use portcullis_types::{Id, Timestamp, tags};

use crate::{Identity, IdentityError, status};

/// No access token lives longer; revocations are remembered for this long.
pub const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

impl Identity {
    /// Revokes `grants` with their refresh tokens, and voids the access tokens that came from
    /// them. Call [`Identity::apply`] with the result after the commit.
    pub async fn revoke_grants(
        &self,
        tx: &Tx,
        grants: Vec<Grant>,
        reason: &str,
        now: Timestamp,
    ) -> Result<Vec<Revocation>, IdentityError> {
        let mut revoked = Vec::new();
        for grant in grants {
            let id = grant.id.to_string();
            if let Some(epoch) = grants::revoke(tx, &self.tenant, &id, reason, now).await? {
                revoked.push(self.revocation(tx, Revoked::Grant(&id), now).await?);
                let place = Place::One(status::in_grant(&id, epoch));
                revoked.push(self.mark(tx, place, now).await?);
            }
        }
        Ok(revoked)
    }

    /// Ends every session of an account but `keep`, and revokes every grant made in another.
    pub(crate) async fn end_everything(
        &self,
        tx: &Tx,
        account: Id<tags::User>,
        keep: Option<Id<tags::Session>>,
        reason: &str,
        now: Timestamp,
    ) -> Result<Vec<Revocation>, IdentityError> {
        logout_notices::of_account(tx, &self.tenant, account, keep, now).await?;
        sessions::end_all(tx, &self.tenant, account, keep, now).await?;
        // A code that waits in the session that stays is lost as well; it lives a minute.
        let waiting = grants::Of::Account(account);
        grants::revoke_unredeemed(tx, &self.tenant, waiting, reason, now).await?;
        let kept = keep.map(|id| id.to_string());
        let mut grants = grants::live_of_account(tx, &self.tenant, account).await?;
        grants.retain(|grant| Some(&grant.session_id) != kept.as_ref());
        let mut revoked = self.revoke_grants(tx, grants, reason, now).await?;
        revoked.push(self.as_others(tx, account, now).await?);
        Ok(revoked)
    }

    /// Voids what administrators hold as this account.
    pub(crate) async fn as_others(
        &self,
        tx: &Tx,
        account: Id<tags::User>,
        now: Timestamp,
    ) -> Result<Revocation, IdentityError> {
        self.revocation(tx, Revoked::Impersonated(&account.to_string()), now).await
    }

    /// Voids tokens of `what` issued until now.
    pub async fn revocation(
        &self,
        tx: &Tx,
        what: Revoked<'_>,
        now: Timestamp,
    ) -> Result<Revocation, IdentityError> {
        // A grant or token never comes back, so whatever is issued from it while this commits is
        // void as well. A client may be enabled again: its next second is its own.
        let issued_within = match what {
            Revoked::Grant(_) | Revoked::Token(_) => MAX_TOKEN_LIFETIME,
            Revoked::Client(_) | Revoked::Subject(_) | Revoked::Impersonated(_) => {
                Duration::from_secs(1)
            }
        };
        self.remember(tx, what.kind(), what.value().to_owned(), issued_within, now).await
    }

    /// Marks a place in the status list until no token that holds it can be alive. Call
    /// [`Identity::apply`] with the result after the commit.
    pub(crate) async fn mark(
        &self,
        tx: &Tx,
        place: Place,
        now: Timestamp,
    ) -> Result<Revocation, IdentityError> {
        self.remember(tx, place.kind(), place.value(), MAX_TOKEN_LIFETIME, now).await
    }

    async fn remember(
        &self,
        tx: &Tx,
        kind: &str,
        value: String,
        issued_within: Duration,
        now: Timestamp,
    ) -> Result<Revocation, IdentityError> {
        let row = Revocation {
            kind: kind.to_owned(),
            value,
            issued_until: now.plus(issued_within),
            expires_at: now.plus(MAX_TOKEN_LIFETIME),
        };
        grants::insert_revocation(tx, &self.tenant, &row).await?;
        Ok(row)
    }

    /// Tells the gate of this process about revocations that committed.
    pub fn apply(&self, rows: &[Revocation], now: Timestamp) {
        for row in rows {
            if let Some(what) = Revoked::from_row(&row.kind, &row.value) {
                self.revocations.add(what, row.issued_until, row.expires_at, now);
            } else if let Some(place) = Place::from_row(&row.kind, &row.value) {
                self.revocations.places.mark(place, row.expires_at, now);
            }
        }
    }
}
