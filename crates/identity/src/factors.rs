use portcullis_events::Origin;
use portcullis_store::{
    accounts::{self, Account},
    factors, passkeys,
};
use portcullis_types::{Id, tags};

use crate::{Assurance, Identity, IdentityError, Recent, recovery::notice, service::actor};

/// What an account can prove itself with, besides its mail.
#[derive(Debug, Clone, Copy)]
pub struct Factors {
    /// It has a password.
    pub password: bool,
    /// It has an authenticator app.
    pub totp: bool,
    /// It has passkeys.
    pub passkeys: bool,
    /// Recovery codes that were not used.
    pub recovery_codes: i64,
}

impl Factors {
    /// The most that a login to the account can prove.
    pub fn strongest(&self) -> Assurance {
        match self {
            Self { passkeys: true, .. } => Assurance::PhishingResistant,
            Self { totp: true, .. } => Assurance::Multi,
            _ => Assurance::Single,
        }
    }
}

impl Identity {
    /// What an account has.
    pub async fn factors(&self, account: &Account) -> Result<Factors, IdentityError> {
        let totp = factors::totp(&self.db, &self.tenant, account.id).await?;
        let passkeys = passkeys::of_account(&self.db, &self.tenant, account.id).await?;
        Ok(Factors {
            password: !account.password_hash.is_empty(),
            totp: totp.is_some_and(|totp| totp.confirmed_at.is_some()),
            passkeys: !passkeys.is_empty(),
            recovery_codes: factors::recovery_codes_left(&self.db, &self.tenant, account.id)
                .await?,
        })
    }

    /// Whether an account has a password at this moment.
    pub async fn has_password(&self, account: &Account) -> Result<bool, IdentityError> {
        let stored = accounts::by_id(&self.db, &self.tenant, account.id).await?;
        Ok(stored.is_some_and(|stored| !stored.password_hash.is_empty()))
    }

    /// Takes the authenticator app off an account, with the recovery codes that stand for it.
    pub async fn remove_totp(&self, who: &Recent, origin: &Origin) -> Result<(), IdentityError> {
        let (account, now) = (who.account(), self.now());
        self.db
            .write(|tx| async move {
                if !factors::remove_totp(&tx, &self.tenant, account.id).await? {
                    return Err(IdentityError::NotFound);
                }
                factors::replace_recovery_codes(&tx, &self.tenant, account.id, &[], now).await?;
                let subject = "The authenticator app was removed from your account";
                let mail = notice(account, subject, &self.issuer);
                mail.queue(&tx, &self.tenant, &self.sealer, &self.entropy, now).await?;
                let user = actor(account);
                tx.emit(self.changed(origin, "totp_removed", user.clone(), user)).await?;
                Ok(())
            })
            .await
    }

    /// Takes a passkey off an account. The last one stays while there is no password: a mailbox
    /// alone would be a step back that nobody asked for.
    pub async fn remove_passkey(
        &self,
        who: &Recent,
        id: Id<tags::Passkey>,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let (account, now) = (who.account(), self.now());
        self.db
            .write(|tx| async move {
                if !passkeys::remove(&tx, &self.tenant, account.id, id).await? {
                    return Err(IdentityError::NotFound);
                }
                let stored = accounts::by_id(&tx, &self.tenant, account.id).await?;
                let stored = stored.ok_or(IdentityError::NotFound)?;
                let left = passkeys::of_account(&tx, &self.tenant, account.id).await?;
                if stored.password_hash.is_empty() && left.is_empty() {
                    let text = "is the last one, and there is no password";
                    return Err(IdentityError::field("passkey", text));
                }
                let subject = "A passkey was removed from your account";
                let mail = notice(&stored, subject, &self.issuer);
                mail.queue(&tx, &self.tenant, &self.sealer, &self.entropy, now).await?;
                let user = actor(account);
                tx.emit(self.changed(origin, "passkey_removed", user.clone(), user)).await?;
                Ok(())
            })
            .await
    }

    /// Takes the password off an account that has a passkey.
    pub async fn remove_password(
        &self,
        who: &Recent,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let (account, now) = (who.account(), self.now());
        self.db
            .write(|tx| async move {
                let stored = accounts::by_id(&tx, &self.tenant, account.id).await?;
                let stored = stored.ok_or(IdentityError::NotFound)?;
                let left = passkeys::of_account(&tx, &self.tenant, account.id).await?;
                if left.is_empty() {
                    let text = "is needed until there is a passkey";
                    return Err(IdentityError::field("password", text));
                }
                let stored = stored.with_password(String::new(), now);
                accounts::update(&tx, &self.tenant, &stored).await?;
                let subject = "The password was removed from your account";
                let mail = notice(&stored, subject, &self.issuer);
                mail.queue(&tx, &self.tenant, &self.sealer, &self.entropy, now).await?;
                let user = actor(account);
                tx.emit(self.changed(origin, "password_removed", user.clone(), user)).await?;
                Ok(())
            })
            .await
    }

    /// Takes every second factor and passkey off an account whose owner lost them. For
    /// administrators; the sessions of the account end.
    pub async fn reset_factors(
        &self,
        by: &portcullis_events::Actor,
        id: Id<tags::User>,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let now = self.now();
        let revoked = self
            .db
            .write(|tx| async move {
                let account = accounts::by_id(&tx, &self.tenant, id).await?;
                let account = account.ok_or(IdentityError::NotFound)?;
                factors::remove_totp(&tx, &self.tenant, id).await?;
                factors::replace_recovery_codes(&tx, &self.tenant, id, &[], now).await?;
                for passkey in passkeys::of_account(&tx, &self.tenant, id).await? {
                    passkeys::remove(&tx, &self.tenant, id, passkey.id).await?;
                }
                let revoked = self.end_everything(&tx, id, None, "factors_reset", now).await?;
                let subject = "An administrator removed the second factors of your account";
                let mail = notice(&account, subject, &self.issuer);
                mail.queue(&tx, &self.tenant, &self.sealer, &self.entropy, now).await?;
                tx.emit(self.changed(origin, "factors_reset", by.clone(), actor(&account))).await?;
                Ok::<_, IdentityError>(revoked)
            })
            .await?;
        self.apply(&revoked, now);
        Ok(())
    }
}
