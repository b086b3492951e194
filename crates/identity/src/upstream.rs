//! Logins at other providers, and the accounts that they open.
//!
//! An identity opens an account only after both sides were proven: it by a login there, the account
//! by a login here, or by its address, which the provider proved and is trusted to. An address
//! alone, which anybody may write into a profile elsewhere, links nothing.

use portcullis_events::{Actor, Origin};
use portcullis_federation::UpstreamPerson;
use portcullis_store::{
    accounts::{self, Account},
    upstream::{self, UpstreamIdentity},
};
use portcullis_types::{Id, Timestamp};

use crate::{
    Browser, Email, Identity, IdentityError, LoggedIn, Login, LoginError, Method, Methods, Opened,
    Recent, Username, profile::taken, recovery::notice, registration::problem, service::actor,
};

/// Identities of one account.
const MAX_IDENTITIES: usize = 20;

/// What a login at another provider leads to.
#[derive(Debug)]
pub enum UpstreamLogin {
    /// The account it opens, or its second factor.
    Known(Login),
    /// It is linked to no account.
    Unknown,
}

impl Identity {
    /// Logs in whoever the provider says it is. `answer` stands for the request that was answered,
    /// which happens once (rule R6).
    pub async fn login_upstream(
        &self,
        person: &UpstreamPerson,
        answer: (&[u8], Timestamp),
        browser: Browser<'_>,
        origin: &Origin,
    ) -> Result<UpstreamLogin, LoginError> {
        self.use_answer(answer).await?;
        let (provider, subject) = (person.provider(), person.subject());
        let linked = upstream::find(&self.db, &self.tenant, provider, subject).await?;
        let Some(linked) = linked else { return Ok(UpstreamLogin::Unknown) };
        let account = accounts::by_id(&self.db, &self.tenant, linked.account_id).await?;
        let Some(account) = account.filter(|account| account.disabled_at.is_none()) else {
            let who = Actor::Anonymous;
            let reason = "account_disabled";
            self.refused(Method::Upstream, "login", origin, who, reason, None).await?;
            return Err(LoginError::Credentials);
        };
        let now = self.now();
        self.db
            .write(|tx| async move {
                upstream::used(&tx, &self.tenant, provider, subject, now).await?;
                Ok::<_, LoginError>(())
            })
            .await?;
        let login = self.first_factor(&account, Method::Upstream, browser, origin, None).await?;
        Ok(UpstreamLogin::Known(login))
    }

    /// Uses up the answer to a request that was not a login.
    pub async fn use_answer(&self, (hash, until): (&[u8], Timestamp)) -> Result<(), LoginError> {
        let fresh = self.db.write(|tx| async move {
            Ok::<_, LoginError>(upstream::answer(&tx, &self.tenant, hash, until).await?)
        });
        if fresh.await? { Ok(()) } else { Err(LoginError::Expired) }
    }

    /// Links an identity that was proven a moment ago to the account that was, too.
    pub async fn link_upstream(
        &self,
        who: &Recent,
        person: &Opened<UpstreamPerson>,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let (account, now) = (who.account(), self.now());
        let linked = self.db.write(|tx| async move {
            let stored = self.stored(&tx, account.id).await?;
            if !upstream::answer(&tx, &self.tenant, &person.hash, person.until).await? {
                return Err(IdentityError::Link);
            }
            let own = upstream::of_account(&tx, &self.tenant, account.id).await?;
            if own.len() >= MAX_IDENTITIES {
                return Err(IdentityError::field("provider", "is one too many"));
            }
            let row = row(&person.state, &stored, now);
            upstream::insert(&tx, &self.tenant, &row).await?;
            let subject = "A way to log in was added to your account";
            let mail = notice(&stored, subject, &self.issuer);
            mail.queue(&tx, &self.tenant, &self.sealer, &self.entropy, now).await?;
            let user = actor(&stored);
            tx.emit(self.changed(origin, "identity_linked", user.clone(), user)).await?;
            Ok(())
        });
        linked.await.map_err(linked_already)
    }

    /// Makes an account for somebody whose address a trusted provider has proven.
    pub async fn register_upstream(
        &self,
        person: &Opened<UpstreamPerson>,
        username: &str,
        browser: Browser<'_>,
        origin: &Origin,
    ) -> Result<LoggedIn, IdentityError> {
        let email = person.state.email().filter(|_| person.state.email_proven());
        let email = email.and_then(|email| email.parse::<Email>().ok());
        let email = &email.ok_or(IdentityError::NotFound)?;
        let username = Username::for_registration(username)
            .map_err(|error| IdentityError::Invalid(vec![problem("username", &error)]))?;
        let (username, now) = (&username, self.now());
        let made = self.db.write(|tx| async move {
            if !upstream::answer(&tx, &self.tenant, &person.hash, person.until).await? {
                return Err(IdentityError::Link);
            }
            let id = Id::new(now, &*self.entropy);
            let account = Account {
                locale: portcullis_texts::current().tag().to_owned(),
                ..Account::new(id, username.as_str(), email.as_str(), now)
            };
            accounts::insert(&tx, &self.tenant, &account).await?;
            upstream::insert(&tx, &self.tenant, &row(&person.state, &account, now)).await?;
            let user = actor(&account);
            tx.emit(self.changed(origin, "registered", user.clone(), user)).await?;
            let methods = Methods::one(Method::Upstream);
            self.enter(&tx, &account, &methods, Method::Upstream, browser, origin).await
        });
        made.await.map_err(|error| taken(linked_already(error)))
    }

    /// Takes an identity off an account.
    pub async fn unlink_upstream(
        &self,
        who: &Recent,
        provider: &str,
        subject: &str,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let (account, now) = (who.account(), self.now());
        self.db
            .write(|tx| async move {
                let id = account.id;
                if !upstream::remove(&tx, &self.tenant, id, provider, subject).await? {
                    return Err(IdentityError::NotFound);
                }
                let subject = "A way to log in was removed from your account";
                let mail = notice(account, subject, &self.issuer);
                mail.queue(&tx, &self.tenant, &self.sealer, &self.entropy, now).await?;
                let user = actor(account);
                tx.emit(self.changed(origin, "identity_unlinked", user.clone(), user)).await?;
                Ok(())
            })
            .await
    }

    /// The identities of an account, oldest first.
    pub async fn upstream_identities(
        &self,
        account: &Account,
    ) -> Result<Vec<UpstreamIdentity>, IdentityError> {
        Ok(upstream::of_account(&self.db, &self.tenant, account.id).await?)
    }
}

fn row(person: &UpstreamPerson, account: &Account, now: Timestamp) -> UpstreamIdentity {
    UpstreamIdentity {
        provider: person.provider().to_owned(),
        subject: person.subject().to_owned(),
        account_id: account.id,
        email: portcullis_events::clean(person.email().unwrap_or_default()),
        created_at: now,
        last_used_at: None,
    }
}

fn linked_already(error: IdentityError) -> IdentityError {
    let IdentityError::Db(db) = &error else { return error };
    match db.constraint() {
        Some(c) if c.is("upstream_identity_once", "upstream_identity.subject") => {
            IdentityError::field("provider", "is linked to an account already")
        }
        _ => error,
    }
}
