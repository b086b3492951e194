use std::time::Duration;

use portcullis_events::{Actor, Origin};
use portcullis_store::{
    accounts::{self, Account},
    recovery::{self, EmailChange},
};
use portcullis_texts::{Lang, speaking_now, t, tf};
use portcullis_types::{Id, Secret, tags};

use crate::{
    Email, Identity, IdentityError, Mail,
    link::{fresh, hash_of},
    service::actor,
};

/// Links sent by mail work this long.
pub const EMAIL_LINK_LIFETIME: Duration = Duration::from_secs(3600);

/// Proof that somebody reads the mail of this account. Only a reset link that was looked up makes
/// one, and only with one can a password be set without the old one.
struct EmailProven {
    account: Account,
    token_hash: Vec<u8>,
}

impl Identity {
    /// Sends a reset link to the address, if there is an account for it. The answer and the work
    /// are the same if there is none.
    pub async fn request_reset(&self, email: &str, origin: &Origin) -> Result<(), IdentityError> {
        let email = &email.parse::<Email>().map_err(|e| IdentityError::field("email", e))?;
        let now = self.now();
        let (token, hash) = &fresh(&*self.entropy);
        self.db
            .write(|tx| async move {
                let account = accounts::by_email(&tx, &self.tenant, email.as_str())
                    .await?
                    .filter(|account| account.disabled_at.is_none());
                let user = match &account {
                    Some(account) => {
                        let expires = now.plus(EMAIL_LINK_LIFETIME);
                        recovery::insert_reset(&tx, &self.tenant, hash, account.id, now, expires)
                            .await?;
                        let mail = reset_mail(email, &self.link("reset-password", token));
                        mail.queue(&tx, &self.tenant, &self.sealer, &self.entropy, now).await?;
                        actor(account)
                    }
                    None => {
                        // As many statements and as much sealing as above, to no effect.
                        let mail = reset_mail(email, &self.link("reset-password", token));
                        recovery::consume_reset(&tx, &self.tenant, hash, now).await?;
                        mail.discard(&tx, &self.sealer, &self.entropy).await?;
                        self.unknown(email.as_str())
                    }
                };
                tx.emit(self.changed(origin, "reset_requested", Actor::Anonymous, user)).await?;
                Ok(())
            })
            .await
    }

    /// Whether a reset link still works, for the page that asks for the new password.
    pub async fn reset_link_works(&self, token: &str) -> Result<bool, IdentityError> {
        match self.prove(token).await {
            Ok(_) => Ok(true),
            Err(IdentityError::Link) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sets a new password by a reset link. Every session ends and every token is void.
    pub async fn reset_password(
        &self,
        token: &str,
        password: &Secret<String>,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let proof = self.prove(token).await?;
        self.check_new_password(&proof.account, password).await?;
        let hash = self.hasher.hash(password).await?;
        self.set_proven_password(&proof, &hash, origin).await
    }

    async fn prove(&self, token: &str) -> Result<EmailProven, IdentityError> {
        let token_hash = hash_of(token);
        let owner = recovery::reset_owner(&self.db, &self.tenant, &token_hash, self.now()).await?;
        let owner = owner.ok_or(IdentityError::Link)?;
        let account = accounts::by_id(&self.db, &self.tenant, owner).await?;
        let account = account.filter(|account| account.disabled_at.is_none());
        Ok(EmailProven { account: account.ok_or(IdentityError::Link)?, token_hash })
    }

    async fn set_proven_password(
        &self,
        proof: &EmailProven,
        hash: &str,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let now = self.now();
        let revoked = self
            .db
            .write(|tx| async move {
                if !recovery::consume_reset(&tx, &self.tenant, &proof.token_hash, now).await? {
                    return Err(IdentityError::Link);
                }
                let account = accounts::by_id(&tx, &self.tenant, proof.account.id)
                    .await?
                    .ok_or(IdentityError::Link)?;
                let account = account.with_password(hash.to_owned(), now);
                accounts::update(&tx, &self.tenant, &account).await?;
                recovery::void_all_of(&tx, &self.tenant, account.id, now).await?;
                let revoked =
                    self.end_everything(&tx, account.id, None, "password_reset", now).await?;
                let mail = notice(&account, "Your password was reset", &self.issuer);
                mail.queue(&tx, &self.tenant, &self.sealer, &self.entropy, now).await?;
                let user = actor(&account);
                tx.emit(self.changed(origin, "password_reset", user.clone(), user)).await?;
                Ok::<_, IdentityError>(revoked)
            })
            .await?;
        self.apply(&revoked, now);
        Ok(())
    }

    /// Changes the password of somebody who knows the current one. Other sessions end.
    pub async fn change_password(
        &self,
        account: &Account,
        keep: Option<Id<tags::Session>>,
        current: &Secret<String>,
        new: &Secret<String>,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        self.confirm_password(account, current, origin).await?;
        self.check_new_password(account, new).await?;
        let hash = &self.hasher.hash(new).await?;
        let now = self.now();
        let revoked = self
            .db
            .write(|tx| async move {
                let stored = self.unchanged(&tx, account).await?;
                let stored = stored.with_password(hash.clone(), now);
                accounts::update(&tx, &self.tenant, &stored).await?;
                recovery::void_all_of(&tx, &self.tenant, account.id, now).await?;
                let revoked =
                    self.end_everything(&tx, account.id, keep, "password_changed", now).await?;
                let mail = notice(&stored, "Your password was changed", &self.issuer);
                mail.queue(&tx, &self.tenant, &self.sealer, &self.entropy, now).await?;
                let user = actor(&stored);
                tx.emit(self.changed(origin, "password_changed", user.clone(), user)).await?;
                Ok::<_, IdentityError>(revoked)
            })
            .await?;
        self.apply(&revoked, now);
        Ok(())
    }

    /// Sends a link to a new address of somebody who knows the current password. If the address
    /// has an account already, its owner is told instead and the answer is the same.
    pub async fn request_email_change(
        &self,
        account: &Account,
        current: &Secret<String>,
        email: &str,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let email = &email.parse::<Email>().map_err(|e| IdentityError::field("email", e))?;
        self.confirm_password(account, current, origin).await?;
        let now = self.now();
        let (token, hash) = &fresh(&*self.entropy);
        self.db
            .write(|tx| async move {
                self.unchanged(&tx, account).await?;
                let taken = accounts::by_email(&tx, &self.tenant, email.as_str()).await?.is_some();
                let mail = if taken {
                    address_in_use(email)
                } else {
                    let change = EmailChange { account_id: account.id, email: email.to_string() };
                    let expires = now.plus(EMAIL_LINK_LIFETIME);
                    recovery::insert_email_change(&tx, &self.tenant, hash, &change, now, expires)
                        .await?;
                    change_mail(email, &self.link("confirm-email", token))
                };
                mail.queue(&tx, &self.tenant, &self.sealer, &self.entropy, now).await?;
                let user = actor(account);
                tx.emit(self.changed(origin, "email_change_requested", user.clone(), user)).await?;
                Ok(())
            })
            .await
    }

    /// Follows the link of a change of address. The old address is told.
    pub async fn confirm_email_change(
        &self,
        token: &str,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let hash = &hash_of(token);
        let now = self.now();
        self.db
            .write(|tx| async move {
                let change = recovery::email_change(&tx, &self.tenant, hash, now)
                    .await?
                    .ok_or(IdentityError::Link)?;
                if !recovery::consume_email_change(&tx, &self.tenant, hash, now).await?
                    || accounts::by_email(&tx, &self.tenant, &change.email).await?.is_some()
                {
                    return Err(IdentityError::Link);
                }
                let account = accounts::by_id(&tx, &self.tenant, change.account_id)
                    .await?
                    .ok_or(IdentityError::Link)?;
                let mail = notice(&account, "Your e-mail address was changed", &self.issuer);
                mail.queue(&tx, &self.tenant, &self.sealer, &self.entropy, now).await?;
                let account = Account { email: change.email, updated_at: now.micros(), ..account };
                accounts::update(&tx, &self.tenant, &account).await?;
                recovery::void_all_of(&tx, &self.tenant, account.id, now).await?;
                let user = actor(&account);
                tx.emit(self.changed(origin, "email_changed", user.clone(), user)).await?;
                Ok(())
            })
            .await
    }

    async fn confirm_password(
        &self,
        account: &Account,
        current: &Secret<String>,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let checked =
            self.check_password("account", &account.username, current, None, origin).await;
        match checked {
            Ok(_) => Ok(()),
            Err(crate::LoginError::Credentials) => Err(IdentityError::CurrentPassword),
            Err(crate::LoginError::Throttled(wait)) => Err(IdentityError::Throttled(wait)),
            Err(crate::LoginError::Expired) => Err(IdentityError::NotFound),
            Err(crate::LoginError::Failed(error)) => Err(error),
        }
    }

    async fn check_new_password(
        &self,
        account: &Account,
        password: &Secret<String>,
    ) -> Result<(), IdentityError> {
        let context = [account.username.as_str(), account.email.as_str()];
        self.check_rules(password, &context)
            .await?
            .map_err(|error| IdentityError::field("password", error))
    }

    /// The account as it is stored now, if its password is still the one that was checked.
    async fn unchanged(
        &self,
        tx: &portcullis_store::Tx,
        account: &Account,
    ) -> Result<Account, IdentityError> {
        let stored = accounts::by_id(tx, &self.tenant, account.id).await?;
        let stored = stored.filter(|stored| {
            stored.disabled_at.is_none() && stored.password_epoch == account.password_epoch
        });
        stored.ok_or(IdentityError::CurrentPassword)
    }
}

fn reset_mail(email: &Email, link: &str) -> Mail {
    Mail {
        to: email.to_string(),
        subject: t("Reset your password").to_owned(),
        text: tf(
            "Follow this link to choose a new password. It works once, within an hour:\n\n{0}\n\n\
             If you did not ask for it, ignore this mail: your password stays as it is.\n",
            &[link],
        ),
    }
}

fn change_mail(email: &Email, link: &str) -> Mail {
    Mail {
        to: email.to_string(),
        subject: t("Confirm your new e-mail address").to_owned(),
        text: tf(
            "Follow this link to make this the address of your account. It works once, within an \
             hour:\n\n{0}\n\nIf you did not ask for it, ignore this mail.\n",
            &[link],
        ),
    }
}

fn address_in_use(email: &Email) -> Mail {
    Mail {
        to: email.to_string(),
        subject: t("This address already has an account").to_owned(),
        text: t(
            "Somebody tried to make this the address of another account. There is an account for \
             it already, so nothing was changed.\n",
        )
        .to_owned(),
    }
}

/// Tells a person about a change that they should know of even if it was not theirs, in their own
/// language: whoever did it may read another.
pub(crate) fn notice(account: &Account, subject: &str, issuer: &str) -> Mail {
    speaking_now(language(account), || Mail {
        to: Email::stored(&account.email).to_string(),
        subject: t(subject).to_owned(),
        text: tf(
            "{0}.\n\nIf it was not you, reset your password now: {1}/forgot-password\nThen remove \
             what you do not know from the ways to log in: {1}/account/security\n",
            &[t(subject), issuer],
        ),
    })
}

/// What somebody reads: what they chose, or what the request is in.
pub(crate) fn language(account: &Account) -> Lang {
    Lang::of_tag(&account.locale).unwrap_or_else(portcullis_texts::current)
}
