use std::time::Duration;

use portcullis_events::{Actor, Event, Kind, LoginAttempt, Origin, Outcome, clean};
use portcullis_store::{
    accounts::{self, Account},
    grants,
    sessions::{self, Session},
    token_hash,
};
use portcullis_types::{Id, Secret, Timestamp, random_token, tags};

use crate::{Email, Identity, IdentityError, Username, hasher::HashError, service::actor};

/// A session ends by itself after this time.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// A session's last use is written at most this often.
const SEEN_EVERY: Duration = Duration::from_secs(60);
/// Longer inputs are refused before any work is done with them.
const MAX_INPUT_CHARS: usize = 1_024;

/// Why nobody was logged in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The name, the password or both are wrong, or the account is disabled. It is not said which.
    #[error("the user name or the password is not right")]
    Credentials,
    /// Something else.
    #[error(transparent)]
    Failed(#[from] IdentityError),
}

/// A session that began.
#[derive(Debug)]
pub struct LoggedIn {
    /// Who.
    pub account: Account,
    /// The session.
    pub session: Session,
    /// The secret of the session, for the cookie. Only its hash is stored.
    pub token: Secret<String>,
}

impl Identity {
    /// Checks a password and begins a session.
    ///
    /// Every refusal does the same work and leaves the same kind of event; the event is durable
    /// before the answer.
    pub async fn login(
        &self,
        name: &str,
        password: &Secret<String>,
        origin: &Origin,
    ) -> Result<LoggedIn, LoginError> {
        let account = self.check_password("login", name, password, origin).await?;
        Ok(self.begin_session(account, origin).await?)
    }

    /// Checks the password of `name` (a user name or an e-mail address) at the door called `door`.
    pub(crate) async fn check_password(
        &self,
        door: &'static str,
        name: &str,
        password: &Secret<String>,
        origin: &Origin,
    ) -> Result<Account, LoginError> {
        let account = self.find(name).await.map_err(IdentityError::from)?;
        let stored = account.as_ref().map(|account| account.password_hash.as_str());
        let too_long = password.expose().len() > MAX_INPUT_CHARS;
        let right =
            !too_long && self.hasher.verify(password, stored).await.map_err(IdentityError::from)?;
        let (actor, outcome) = match &account {
            None => (self.unknown(name), Outcome::Failure("unknown_account")),
            Some(account) if !right => (actor(account), Outcome::Failure("bad_password")),
            Some(account) if account.disabled_at.is_some() => {
                (actor(account), Outcome::Failure("account_disabled"))
            }
            Some(account) => (actor(account), Outcome::Success),
        };
        if let (Some(account), Outcome::Success) = (account, &outcome) {
            return Ok(account);
        }
        let fingerprint = Some(self.password_fingerprint(password.expose()));
        let event = self.attempt(door, origin, actor, outcome, fingerprint, None);
        self.audit.append(vec![event]).await.map_err(IdentityError::from)?;
        Err(LoginError::Credentials)
    }

    async fn find(&self, name: &str) -> Result<Option<Account>, portcullis_store::DbError> {
        if name.len() > MAX_INPUT_CHARS {
            return Ok(None);
        }
        if let Ok(email) = name.parse::<Email>() {
            return accounts::by_email(&self.db, &self.tenant, email.as_str()).await;
        }
        match name.trim_matches(' ').parse::<Username>() {
            Ok(name) => accounts::by_username(&self.db, &self.tenant, name.as_str()).await,
            Err(_) => Ok(None),
        }
    }

    fn attempt(
        &self,
        door: &'static str,
        origin: &Origin,
        actor: Actor,
        outcome: Outcome,
        password_fingerprint: Option<u128>,
        session: Option<String>,
    ) -> Event {
        let attempt = LoginAttempt { factor: "password", door, session, password_fingerprint };
        self.event(origin, actor, outcome, Kind::Login(attempt))
    }

    async fn begin_session(
        &self,
        mut account: Account,
        origin: &Origin,
    ) -> Result<LoggedIn, IdentityError> {
        let now = self.now();
        let token = Secret::new(random_token(&*self.entropy));
        let session = Session {
            id: Id::new(now, &*self.entropy),
            account_id: account.id,
            created_at: now,
            last_seen_at: now,
            expires_at: now.plus(SESSION_LIFETIME),
            ended_at: None,
            addr: origin.addr.to_string(),
            user_agent: clean(origin.user_agent.as_deref().unwrap_or_default()),
        };
        let hash = &token_hash(token.expose());
        let (session_ref, account_ref) = (&session, &account);
        let fresh = self
            .db
            .write(|tx| async move {
                // The account may have been disabled while its password was being hashed.
                let fresh = accounts::by_id(&tx, &self.tenant, account_ref.id)
                    .await?
                    .filter(|fresh| {
                        fresh.disabled_at.is_none()
                            && fresh.password_hash == account_ref.password_hash
                    })
                    .ok_or(IdentityError::NotFound)?;
                sessions::insert(&tx, &self.tenant, session_ref, hash).await?;
                let id = Some(session_ref.id.to_string());
                let who = actor(&fresh);
                tx.emit(self.attempt("login", origin, who, Outcome::Success, None, id)).await?;
                Ok::<_, IdentityError>(fresh)
            })
            .await?;
        account = fresh;
        Ok(LoggedIn { account, session, token })
    }

    /// Hashes the password anew if it was hashed at another cost. Called after the answer.
    pub async fn refresh_hash(
        &self,
        account: &Account,
        password: &Secret<String>,
    ) -> Result<(), IdentityError> {
        if !self.hasher.is_outdated(&account.password_hash) {
            return Ok(());
        }
        let hash = &match self.hasher.hash(password).await {
            Ok(hash) => hash,
            Err(HashError::Busy) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        self.db
            .write(|tx| async move {
                let stored = accounts::by_id(&tx, &self.tenant, account.id).await?;
                match stored.filter(|stored| stored.password_hash == account.password_hash) {
                    Some(stored) => {
                        let stored = Account { password_hash: hash.clone(), ..stored };
                        Ok(accounts::update(&tx, &self.tenant, &stored).await?)
                    }
                    None => Ok(()),
                }
            })
            .await
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
                if !sessions::end(&tx, &self.tenant, account.id, session, now).await? {
                    return Err(IdentityError::NotFound);
                }
                let of_session =
                    grants::live_of_session(&tx, &self.tenant, &session.to_string()).await?;
                let revoked = self.revoke_grants(&tx, of_session, "logout", now).await?;
                let kind = Kind::Logout { session: session.to_string() };
                tx.emit(self.event(origin, actor(account), Outcome::Success, kind)).await?;
                Ok(revoked)
            })
            .await?;
        self.apply(&revoked, now);
        Ok(())
    }

    /// The live sessions of `account`, newest first.
    pub async fn sessions(&self, account: &Account) -> Result<Vec<Session>, IdentityError> {
        Ok(sessions::live_of(&self.db, &self.tenant, account.id, self.now()).await?)
    }
}
