use std::time::Duration;

use portcullis_cluster::Decision;
use portcullis_events::{Actor, Event, Kind, LoginAttempt, Origin, Outcome};
use portcullis_store::{
    Tx,
    accounts::{self, Account},
    factors::{self, PendingLogin},
};
use portcullis_types::{Secret, Timestamp};

use crate::{
    Browser, Email, Identity, IdentityError, LoggedIn, Method, Methods, Username,
    delay::DELAY,
    hasher::HashError,
    link::{fresh, hash_of},
    service::actor,
    throttle::{Counter, Throttle},
};

/// Longer inputs are refused before any work is done with them.
pub(crate) const MAX_INPUT_CHARS: usize = 1_024;
/// A second factor must follow the first within this time.
const SECOND_FACTOR_WAITS: Duration = Duration::from_secs(600);

/// Why nobody was logged in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// What was shown is wrong, or the account is disabled. It is not said which.
    #[error("what was shown is not right")]
    Credentials,
    /// There were too many failures; this is when it is worth trying again.
    #[error("too many attempts failed")]
    Throttled(Duration),
    /// The first step, or what was to be signed, is too old, used or unknown.
    #[error("the login has to begin anew")]
    Expired,
    /// Something else.
    #[error(transparent)]
    Failed(#[from] IdentityError),
}

impl From<portcullis_store::DbError> for LoginError {
    fn from(error: portcullis_store::DbError) -> Self {
        Self::Failed(error.into())
    }
}

impl portcullis_store::RaceCheck for LoginError {
    fn is_race(&self) -> bool {
        matches!(self, Self::Failed(error) if error.is_race())
    }
}

/// What the first step of a login leads to.
#[derive(Debug)]
pub enum Login {
    /// A session.
    In(Box<LoggedIn>),
    /// The account wants a second factor; this secret says that the first was right.
    SecondFactor(Secret<String>),
    /// A code was sent by mail, since a password alone is not enough for this one; with what the
    /// browser keeps until it shows it.
    MailCode(Secret<String>),
}

impl Identity {
    /// Checks a password and begins a session, or asks for the second factor.
    ///
    /// Every refusal does the same work and leaves the same kind of event; the event is durable
    /// before the answer.
    pub async fn login(
        &self,
        name: &str,
        password: &Secret<String>,
        browser: Browser<'_>,
        origin: &Origin,
    ) -> Result<(Login, Account), LoginError> {
        let account = self.check_password("login", name, password, browser.device, origin).await?;
        if self.needs_more(&account, browser, origin).await? {
            let who = actor(&account);
            self.refused(Method::Password, "login", origin, who, "step_up_required", None).await?;
            let (to, counter) = (Some(account.clone()), Counter::StepUpMail);
            let asked = self.send_login_to(to, &account.username, counter, origin).await?;
            return Ok((Login::MailCode(asked), account));
        }
        let login = self
            .first_factor(&account, (Method::Password, self.now()), browser, origin, None)
            .await;
        if let Err(LoginError::Expired) = login {
            let who = actor(&account);
            self.refused(Method::Password, "login", origin, who, "account_changed", None).await?;
        }
        Ok((login?, account))
    }

    /// Whether a password alone is not enough: the account or the network is under suspicion, the
    /// device is new, and there is no second factor that will be asked for anyway.
    async fn needs_more(
        &self,
        account: &Account,
        browser: Browser<'_>,
        origin: &Origin,
    ) -> Result<bool, IdentityError> {
        let now = self.now();
        let suspect = account.step_up_until.is_some_and(|until| until > now.micros())
            || self.suspects.find(origin.addr, now).is_some();
        if !suspect || self.is_known_device(browser.device, account) {
            return Ok(false);
        }
        let totp = factors::totp(&self.db, &self.tenant, account.id).await?;
        Ok(totp.is_none_or(|totp| totp.confirmed_at.is_none()))
    }

    /// What follows a first factor, with when it was proven. `link` is consumed with it, if it was a link.
    pub(crate) async fn first_factor(
        &self,
        account: &Account,
        (by, proven_at): (Method, Timestamp),
        browser: Browser<'_>,
        origin: &Origin,
        link: Option<&[u8]>,
    ) -> Result<Login, LoginError> {
        let now = self.now();
        let methods = &Methods::one(by);
        let login = self.db.write(|tx| async move {
            if let Some(link) = link
                && !portcullis_store::mail_login::consume(&tx, &self.tenant, link, now).await?
            {
                return Err(LoginError::Expired);
            }
            let totp = factors::totp(&tx, &self.tenant, account.id).await?;
            if totp.is_none_or(|totp| totp.confirmed_at.is_none()) {
                let proof = (methods, by, proven_at);
                let entered = self.enter_proven(&tx, account, proof, browser, origin).await;
                return Ok(Login::In(Box::new(entered.map_err(gone)?)));
            }
            let (token, hash) = fresh(&*self.entropy);
            let pending = PendingLogin {
                account_id: account.id,
                methods: methods.to_row(),
                password_epoch: account.password_epoch,
            };
            let until = now.plus(SECOND_FACTOR_WAITS);
            factors::insert_pending_login(&tx, &self.tenant, &hash, &pending, now, until).await?;
            Ok::<_, LoginError>(Login::SecondFactor(Secret::new(token)))
        });
        let login = login.await?;
        if let Login::In(entered) = &login {
            self.leave_other(entered, browser, origin).await?;
        }
        Ok(login)
    }

    /// Checks the second factor of a login that waits: a code of the app, or a recovery code.
    pub async fn second_factor(
        &self,
        waiting: &str,
        code: &str,
        browser: Browser<'_>,
        origin: &Origin,
    ) -> Result<LoggedIn, LoginError> {
        let now = self.now();
        let hash = &hash_of(waiting);
        let pending = factors::pending_login(&self.db, &self.tenant, hash, now).await?;
        let pending = &pending.ok_or(LoginError::Expired)?;
        let account = accounts::by_id(&self.db, &self.tenant, pending.account_id).await?;
        let unchanged = account.filter(|account| account.password_epoch == pending.password_epoch);
        let account = &unchanged.ok_or(LoginError::Expired)?;
        let throttle = self.throttle(Counter::SecondFactor, Some(account), "", browser.device);
        self.may_try(&throttle, Method::Totp, "login", account, origin).await?;
        let entered = self.db.write(|tx| async move {
            let by = self.use_code(&tx, account, code).await?;
            if !factors::consume_pending_login(&tx, &self.tenant, hash, now).await? {
                return Err(LoginError::Expired);
            }
            let methods = &Methods::from_row(&pending.methods).with(by);
            self.enter(&tx, account, methods, by, browser, origin).await.map_err(gone)
        });
        let entered = self.settled(entered.await, &throttle, account, "login", origin).await?;
        self.leave_other(&entered, browser, origin).await?;
        Ok(entered)
    }

    /// Adds the second factor to a session that was begun without.
    pub async fn add_factor(
        &self,
        current: &(portcullis_store::sessions::Session, Account),
        code: &str,
        device: Option<&str>,
        origin: &Origin,
    ) -> Result<LoggedIn, LoginError> {
        let account = &current.1;
        let throttle = self.throttle(Counter::SecondFactor, Some(account), "", device);
        self.may_try(&throttle, Method::Totp, "step_up", account, origin).await?;
        let entered = self.db.write(|tx| async move {
            let confirmed = factors::totp(&tx, &self.tenant, account.id).await?;
            if confirmed.is_none_or(|totp| totp.confirmed_at.is_none()) {
                return Err(LoginError::Expired);
            }
            let by = self.use_code(&tx, account, code).await?;
            self.step_up(&tx, current, by, origin).await.map_err(gone)
        });
        self.settled(entered.await, &throttle, account, "step_up", origin).await
    }

    /// Uses up what somebody typed as second factor.
    async fn use_code(&self, tx: &Tx, account: &Account, code: &str) -> Result<Method, LoginError> {
        let code = code.trim();
        if code.len() > MAX_INPUT_CHARS {
            return Err(LoginError::Credentials);
        }
        // Apps show the code in two groups.
        let digits: String = code.chars().filter(|c| *c != ' ').collect();
        if self.use_totp(tx, account, &digits).await? {
            return Ok(Method::Totp);
        }
        if self.use_recovery_code(tx, account, code).await? {
            return Ok(Method::RecoveryCode);
        }
        Err(LoginError::Credentials)
    }

    /// Refuses whoever failed too often, with an event.
    pub(crate) async fn may_try(
        &self,
        throttle: &Throttle,
        method: Method,
        door: &'static str,
        account: &Account,
        origin: &Origin,
    ) -> Result<(), LoginError> {
        let Some(wait) = self.must_wait(throttle) else { return Ok(()) };
        self.refused(method, door, origin, actor(account), "throttled", None).await?;
        Err(LoginError::Throttled(wait))
    }

    /// Counts and records a wrong second factor.
    async fn settled(
        &self,
        result: Result<LoggedIn, LoginError>,
        throttle: &Throttle,
        account: &Account,
        door: &'static str,
        origin: &Origin,
    ) -> Result<LoggedIn, LoginError> {
        if let Err(LoginError::Credentials) = result {
            self.count(throttle);
            self.refused(Method::Totp, door, origin, actor(account), "bad_code", None).await?;
        }
        result
    }

    /// Checks the password of `name` (a user name or an e-mail address) at the door called `door`.
    pub(crate) async fn check_password(
        &self,
        door: &'static str,
        name: &str,
        password: &Secret<String>,
        device: Option<&str>,
        origin: &Origin,
    ) -> Result<Account, LoginError> {
        let mut account = self.find(name).await.map_err(IdentityError::from)?;
        let known = account.as_ref().is_some_and(|own| self.is_known_device(device, own));
        // What strangers do must not slow down who is logged in.
        let turn = if known || door != "login" {
            None
        } else {
            self.delays.begin(origin.addr, self.now())
        };
        let delayed = match turn {
            None => false,
            Some(Ok(_turn)) => {
                tokio::time::sleep(DELAY).await;
                // Much may have happened to it.
                account = self.find(name).await.map_err(IdentityError::from)?;
                true
            }
            Some(Err(wait)) => {
                let who = account.as_ref().map_or_else(|| self.unknown(name), actor);
                self.refused(Method::Password, door, origin, who, "delayed", None).await?;
                return Err(LoginError::Throttled(wait));
            }
        };
        // Whoever confirms a change is logged in: what strangers do must not lock them out.
        let counter = if door == "login" { Counter::Password } else { Counter::Confirmation };
        let throttle = self.throttle(counter, account.as_ref(), name, device);
        let who = || account.as_ref().map_or_else(|| self.unknown(name), actor);
        if let Some(wait) = self.must_wait(&throttle) {
            self.refused(Method::Password, door, origin, who(), "throttled", None).await?;
            return Err(LoginError::Throttled(wait));
        }
        let stored = account.as_ref().map(|account| account.password_hash.as_str());
        // Without a password there is nothing that could be right.
        let stored = stored.filter(|hash| !hash.is_empty());
        let too_long = password.expose().len() > MAX_INPUT_CHARS;
        let right =
            !too_long && self.hasher.verify(password, stored).await.map_err(IdentityError::from)?;
        let reason = match &account {
            None => "unknown_account",
            Some(_) if !right => "bad_password",
            Some(account) if account.disabled_at.is_some() => "account_disabled",
            Some(account) => return Ok(account.clone()),
        };
        let _: Decision = self.count(&throttle);
        let fingerprint = Some(self.password_fingerprint(password.expose()));
        let outcome = Outcome::Failure(reason);
        let mut event = self.attempted(Method::Password, door, origin, who(), outcome);
        if let Kind::Login(attempt) = &mut event.kind {
            attempt.password_fingerprint = fingerprint;
            attempt.delayed = delayed.then_some(DELAY);
        }
        self.audit.append(vec![event]).await.map_err(IdentityError::from)?;
        Err(LoginError::Credentials)
    }

    pub(crate) async fn find(
        &self,
        name: &str,
    ) -> Result<Option<Account>, portcullis_store::DbError> {
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

    pub(crate) async fn refused(
        &self,
        method: Method,
        door: &'static str,
        origin: &Origin,
        who: Actor,
        reason: &'static str,
        fingerprint: Option<u128>,
    ) -> Result<(), IdentityError> {
        let mut event = self.attempted(method, door, origin, who, Outcome::Failure(reason));
        if let Kind::Login(attempt) = &mut event.kind {
            attempt.password_fingerprint = fingerprint;
        }
        Ok(self.audit.append(vec![event]).await?)
    }

    pub(crate) fn attempted(
        &self,
        method: Method,
        door: &'static str,
        origin: &Origin,
        who: Actor,
        outcome: Outcome,
    ) -> Event {
        let factor = match method {
            Method::Password => "password",
            other => other.as_str(),
        };
        let attempt = LoginAttempt { factor, door, ..LoginAttempt::default() };
        self.event(origin, who, outcome, Kind::Login(attempt))
    }

    /// Hashes the password anew if it was hashed at another cost. Called after the answer.
    pub async fn refresh_hash(
        &self,
        account: &Account,
        password: &Secret<String>,
    ) -> Result<(), IdentityError> {
        if !self.hasher.is_outdated(&account.password_hash, password) {
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
}

/// An account that changed under a login is as good as a wrong proof.
fn gone(error: IdentityError) -> LoginError {
    match error {
        IdentityError::NotFound => LoginError::Expired,
        other => LoginError::Failed(other),
    }
}
