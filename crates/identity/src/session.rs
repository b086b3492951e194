use std::time::Duration;

use portcullis_events::{Kind, Origin, Outcome, clean};
use portcullis_store::{
    Tx,
    accounts::{self, Account},
    grants::{self, Revocation},
    logout_notices,
    sessions::{self, Session},
    token_hash,
};
use portcullis_types::{Id, Secret, Timestamp, random_token, tags};

use crate::{
    Assurance, Identity, IdentityError, Method, Methods, login::MAX_INPUT_CHARS, service::actor,
};

/// A session ends by itself after this time.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// A session's last use is written at most this often.
const SEEN_EVERY: Duration = Duration::from_secs(60);
/// Whoever changes credentials must have proven who they are within this time.
pub const RECENT: Duration = Duration::from_secs(600);

/// What a browser shows of itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Browser<'a> {
    /// The live session it has, and whose it is.
    pub session: Option<&'a (Session, Account)>,
    /// What it kept from an earlier login.
    pub device: Option<&'a str>,
}

/// A session that began, or was renewed.
#[derive(Debug)]
pub struct LoggedIn {
    /// Who.
    pub account: Account,
    /// The session.
    pub session: Session,
    /// The secret of the session, for the cookie. Only its hash is stored.
    pub token: Secret<String>,
    /// What the browser keeps from now on, to be known again.
    pub device: Option<String>,
}

/// Somebody who proved a moment ago who they are, in the session they are in.
#[derive(Debug)]
pub struct Recent {
    account: Account,
    session: Session,
}

impl Recent {
    /// Who.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// In which session.
    pub fn session(&self) -> &Session {
        &self.session
    }
}

impl Identity {
    /// Begins a session, together with whatever `tx` consumes for it. A browser that is logged in
    /// to the same account keeps its session, under another secret; that of another account ends.
    pub(crate) async fn enter(
        &self,
        tx: &Tx,
        account: &Account,
        methods: &Methods,
        by: Method,
        browser: Browser<'_>,
        origin: &Origin,
    ) -> Result<LoggedIn, IdentityError> {
        self.enter_proven(tx, account, (methods, by, self.now()), browser, origin).await
    }

    /// The same for a proof that was given earlier, at another provider.
    pub(crate) async fn enter_proven(
        &self,
        tx: &Tx,
        account: &Account,
        (methods, by, proven_at): (&Methods, Method, Timestamp),
        browser: Browser<'_>,
        origin: &Origin,
    ) -> Result<LoggedIn, IdentityError> {
        let now = self.now();
        // It may have been disabled, or its password changed, while the proof was looked at.
        let account = accounts::by_id(tx, &self.tenant, account.id)
            .await?
            .filter(|fresh| {
                fresh.disabled_at.is_none() && fresh.password_epoch == account.password_epoch
            })
            .ok_or(IdentityError::NotFound)?;
        let token = Secret::new(random_token(&*self.entropy));
        let hash = token_hash(token.expose());
        let kept = browser.session.filter(|(_, whose)| whose.id == account.id);
        let fresh = Session {
            id: Id::new(now, &*self.entropy),
            account_id: account.id,
            methods: methods.to_row(),
            authenticated_at: proven_at.min(now),
            created_at: now,
            last_seen_at: now,
            expires_at: now.plus(SESSION_LIFETIME),
            ended_at: None,
            addr: origin.addr.to_string(),
            user_agent: clean(origin.user_agent.as_deref().unwrap_or_default()),
        };
        let renewed = kept.map(|(kept, _)| Session {
            methods: fresh.methods.clone(),
            authenticated_at: fresh.authenticated_at,
            expires_at: fresh.expires_at,
            ..kept.clone()
        });
        let session = match renewed {
            Some(renewed) if sessions::renew(tx, &self.tenant, &renewed, &hash).await? => renewed,
            _ => {
                sessions::insert(tx, &self.tenant, &fresh, &hash).await?;
                fresh
            }
        };
        let event = self.attempted(by, "login", origin, actor(&account), Outcome::Success);
        let known = self.is_known_device(browser.device, &account);
        let mut event = with_session(event, &session);
        if let Kind::Login(attempt) = &mut event.kind {
            attempt.known_device = Some(known);
        }
        tx.emit(event).await?;
        // One that is known stays as old as it is.
        let kept = browser.device.filter(|_| known).map(str::to_owned);
        let device = kept.unwrap_or_else(|| self.device_token(&account));
        Ok(LoggedIn { account, session, token, device: Some(device) })
    }

    /// Adds a second factor to a session that has the first. The time of the first stays.
    pub(crate) async fn step_up(
        &self,
        tx: &Tx,
        current: &(Session, Account),
        by: Method,
        origin: &Origin,
    ) -> Result<LoggedIn, IdentityError> {
        let (session, account) = current;
        let token = Secret::new(random_token(&*self.entropy));
        let methods = Methods::from_row(&session.methods).with(by).to_row();
        let session = Session { methods, ..session.clone() };
        if !sessions::renew(tx, &self.tenant, &session, &token_hash(token.expose())).await? {
            return Err(IdentityError::NotFound);
        }
        let event = self.attempted(by, "step_up", origin, actor(account), Outcome::Success);
        tx.emit(with_session(event, &session)).await?;
        Ok(LoggedIn { account: account.clone(), session, token, device: None })
    }

    /// After a login: the session of somebody else that the browser had ends.
    pub(crate) async fn leave_other(
        &self,
        entered: &LoggedIn,
        browser: Browser<'_>,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        match browser.session {
            Some((session, account)) if session.id != entered.session.id => {
                match self.end_session(account, session.id, origin).await {
                    Ok(()) | Err(IdentityError::NotFound) => Ok(()),
                    Err(error) => Err(error),
                }
            }
            _ => Ok(()),
        }
    }

    /// The session as that of somebody who may change credentials, if the proof is fresh.
    pub fn recent(&self, session: &Session, account: &Account) -> Option<Recent> {
        let fresh = self.now().since(session.authenticated_at) <= RECENT;
        fresh.then(|| Recent { account: account.clone(), session: session.clone() })
    }

    /// The live session behind a cookie, with its account; `None` if either is gone.
    pub async fn session(&self, token: &str) -> Result<Option<(Session, Account)>, IdentityError> {
        if token.len() > MAX_INPUT_CHARS {
            return Ok(None);
        }
        let now = self.now();
        let hash = token_hash(token);
        let session = sessions::live_by_token(&self.db, &self.tenant, &hash, now).await?;
        let Some(session) = session else {
            return Ok(None);
        };
        let account = accounts::by_id(&self.db, &self.tenant, session.account_id).await?;
        let Some(account) = account.filter(|account| account.disabled_at.is_none()) else {
            return Ok(None);
        };
        if now.since(session.last_seen_at) >= SEEN_EVERY {
            self.touch(&session, now).await?;
        }
        Ok(Some((session, account)))
    }

    async fn touch(&self, session: &Session, now: Timestamp) -> Result<(), IdentityError> {
        self.db
            .write(
                |tx| async move { Ok(sessions::touch(&tx, &self.tenant, session.id, now).await?) },
            )
            .await
    }

    /// Ends one session of `account` with every grant made in it; also the way to log out.
    pub async fn end_session(
        &self,
        account: &Account,
        session: Id<tags::Session>,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let now = self.now();
        let revoked = self
            .db
            .write(|tx| async move {
                let ended = self.end_session_in(&tx, account.id, session, "logout", now).await?;
                let revoked = ended.ok_or(IdentityError::NotFound)?;
                let kind = Kind::Logout { session: session.to_string() };
                tx.emit(self.event(origin, actor(account), Outcome::Success, kind)).await?;
                Ok::<_, IdentityError>(revoked)
            })
            .await?;
        self.apply(&revoked, now);
        Ok(())
    }

    /// Ends one session with every grant made in it, and what is revoked with it; `None` if there is
    /// no such session any more.
    pub(crate) async fn end_session_in(
        &self,
        tx: &Tx,
        account: Id<tags::User>,
        session: Id<tags::Session>,
        reason: &str,
        now: Timestamp,
    ) -> Result<Option<Vec<Revocation>>, IdentityError> {
        if !sessions::end(tx, &self.tenant, account, session, now).await? {
            return Ok(None);
        }
        let id = session.to_string();
        logout_notices::of_session(tx, &self.tenant, &id, now).await?;
        let waiting = grants::Of::Session(&id);
        grants::revoke_unredeemed(tx, &self.tenant, waiting, reason, now).await?;
        let of_session = grants::live_of_session(tx, &self.tenant, &id).await?;
        self.revoke_grants(tx, of_session, reason, now).await.map(Some)
    }

    /// The live sessions of `account`, newest first.
    pub async fn sessions(&self, account: &Account) -> Result<Vec<Session>, IdentityError> {
        Ok(sessions::live_of(&self.db, &self.tenant, account.id, self.now()).await?)
    }
}

fn with_session(
    mut event: portcullis_events::Event,
    session: &Session,
) -> portcullis_events::Event {
    if let Kind::Login(attempt) = &mut event.kind {
        attempt.session = Some(session.id.to_string());
        attempt.is_mfa = Methods::from_row(&session.methods).assurance() >= Assurance::Multi;
    }
    event
}
