//! Logins at other providers, and the accounts that they open.
//!
//! An identity opens an account only after both sides were proven: it by a login there, the account
//! by a login here, or by its address, which the provider proved and is trusted to. An address
//! alone, which anybody may write into a profile elsewhere, links nothing.

use std::time::Duration;

use portcullis_events::{AccountChange, Actor, Event, Kind, Origin, Outcome};
use portcullis_federation::UpstreamPerson;
use portcullis_store::{
    accounts::{self, Account},
    upstream::{self, UpstreamIdentity},
};
use portcullis_types::{Id, Timestamp};

use crate::{
    Browser, Email, Identity, IdentityError, LoggedIn, Login, LoginError, Method, Methods, Opened,
    Recent, Username, profile::taken, recovery::notice, registration::problem, service::actor,
    session::RECENT,
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
    /// Logs in whoever the provider says it is. The request that it answered was used up before
    /// ([`Identity::use_answer`]).
    pub async fn login_upstream(
        &self,
        person: &UpstreamPerson,
        browser: Browser<'_>,
        origin: &Origin,
    ) -> Result<UpstreamLogin, LoginError> {
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
        let proof = (Method::Upstream, self.proven_at(person));
        let login = self.first_factor(&account, proof, browser, origin, None).await?;
        Ok(UpstreamLogin::Known(login))
    }

    /// When a person proved there who they are. A provider that does not say may have looked at
    /// nothing but a cookie: that is too long ago to change credentials.
    fn proven_at(&self, person: &UpstreamPerson) -> Timestamp {
        let unknown = || self.now().minus(RECENT).minus(Duration::from_secs(1));
        person.auth_time().map_or_else(unknown, Timestamp::from_secs)
    }

    /// Records that a login at another provider came to nothing.
    pub async fn upstream_failed(
        &self,
        reason: &'static str,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        self.refused(Method::Upstream, "login", origin, Actor::Anonymous, reason, None).await
    }

    /// Uses up the request that an answer belongs to, which happens once (rule R6), before anything
    /// is done with the answer.
    pub async fn use_answer(&self, (hash, until): (&[u8], Timestamp)) -> Result<(), LoginError> {
        let fresh = self.db.write(|tx| async move {
            Ok::<_, LoginError>(upstream::answer(&tx, &self.tenant, hash, until).await?)
        });
        if fresh.await? { Ok(()) } else { Err(LoginError::Expired) }
    }

    /// Links an identity that was proven a moment ago to the account that was, too. `answer` is used
    /// up with it, if it was not before.
    pub async fn link_upstream(
        &self,
        who: &Recent,
        person: &UpstreamPerson,
        answer: Option<(&[u8], Timestamp)>,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let (account, now) = (who.account(), self.now());
        let linked = self.db.write(|tx| async move {
            let stored = self.stored(&tx, account.id).await?;
            if let Some((hash, until)) = answer
                && !upstream::answer(&tx, &self.tenant, hash, until).await?
            {
                return Err(IdentityError::Link);
            }
            let own = upstream::of_account(&tx, &self.tenant, account.id).await?;
            if own.len() >= MAX_IDENTITIES {
                return Err(IdentityError::field("provider", "is one too many"));
            }
            let row = row(person, &stored, now);
            upstream::insert(&tx, &self.tenant, &row).await?;
            let subject = "A way to log in was added to your account";
            let mail = notice(&stored, subject, &self.issuer);
            mail.queue(&tx, &self.tenant, &self.sealer, &self.entropy, now).await?;
            let user = actor(&stored);
            tx.emit(self.linking(origin, "identity_linked", user, &row.provider)).await?;
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
            let proof = (&methods, Method::Upstream, self.proven_at(&person.state));
            self.enter_proven(&tx, &account, proof, browser, origin).await
        });
        let entered = made.await.map_err(|error| taken(linked_already(error)))?;
        self.leave_other(&entered, browser, origin).await?;
        Ok(entered)
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
                tx.emit(self.linking(origin, "identity_unlinked", user, provider)).await?;
                Ok(())
            })
            .await
    }

    /// Who somebody is there is theirs alone; which provider it was may be known.
    fn linking(&self, origin: &Origin, change: &'static str, user: Actor, provider: &str) -> Event {
        let provider = Some(provider.to_owned());
        let change = AccountChange { change, user: user.clone(), provider };
        self.event(origin, user, Outcome::Success, Kind::Account(change))
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
