use std::time::Duration;

use aws_lc_rs::hmac;
use portcullis_cluster::Decision;
use portcullis_events::{Actor, Origin};
use portcullis_store::{
    accounts::{self, Account},
    mail_login,
};
use portcullis_texts::{speaking_now, t, tf};
use portcullis_types::{Secret, random_array, same_secret};

use crate::{
    Browser, Email, Identity, IdentityError, Login, LoginError, Mail, Method,
    link::{fresh, hash_of},
    recovery::language,
    service::actor,
    throttle::Counter,
};

/// A link or code sent by mail works this long.
const MAIL_LOGIN_LIFETIME: Duration = Duration::from_secs(600);
/// So often may a code be typed: one in 200,000 guesses it.
const MAX_ATTEMPTS: i64 = 5;

impl Identity {
    /// Sends a link and a code to whoever owns `name`. What comes back is for the browser that
    /// asked: only with it does the code work. The answer is the same if there is no account.
    pub async fn send_login(
        &self,
        name: &str,
        origin: &Origin,
    ) -> Result<Secret<String>, IdentityError> {
        let account = self.find(name).await?;
        let account = account.filter(|account| account.disabled_at.is_none());
        self.send_login_to(account, name, Counter::Mail, origin).await
    }

    /// The same for an account that was found, counted by `counter`.
    pub(crate) async fn send_login_to(
        &self,
        account: Option<Account>,
        name: &str,
        counter: Counter,
        origin: &Origin,
    ) -> Result<Secret<String>, IdentityError> {
        let throttle = self.throttle(counter, account.as_ref(), name, None);
        let allowed = self.must_wait(&throttle).is_none()
            && matches!(self.count(&throttle), Decision::Allowed { .. });
        let now = self.now();
        let (link, link_hash) = fresh(&*self.entropy);
        let (browser, browser_hash) = fresh(&*self.entropy);
        let number = u64::from_be_bytes(random_array(&*self.entropy)) % 1_000_000;
        let code = format!("{number:06}");
        let row = &mail_login::MailLogin {
            link_hash,
            code_hash: self.code_hash(&browser_hash, &code),
            browser_hash,
            account_id: account.as_ref().map(|account| account.id.to_string()),
        };
        let to = account.as_ref().map(|account| Email::stored(&account.email).to_string());
        let lang = account.as_ref().map_or_else(portcullis_texts::current, language);
        let link = self.link("login/link", &link);
        let mail = &speaking_now(lang, || login_mail(to.unwrap_or_default(), &link, &code));
        let account = &account;
        self.db
            .write(|tx| async move {
                let until = now.plus(MAIL_LOGIN_LIFETIME);
                mail_login::insert(&tx, &self.tenant, row, now, until).await?;
                let user = match account {
                    Some(account) if allowed => {
                        mail.queue(&tx, &self.tenant, &self.sealer, &self.entropy, now).await?;
                        actor(account)
                    }
                    other => {
                        mail.discard(&tx, &self.sealer, &self.entropy).await?;
                        other.as_ref().map_or_else(|| self.unknown(name), actor)
                    }
                };
                tx.emit(self.changed(origin, "login_mail_requested", Actor::Anonymous, user))
                    .await?;
                Ok::<_, IdentityError>(())
            })
            .await?;
        Ok(Secret::new(browser))
    }

    /// Whether a link still works, for the page that asks before it logs in: mail scanners follow
    /// links, and must not use them up.
    pub async fn login_link_works(&self, token: &str) -> Result<bool, IdentityError> {
        let hash = hash_of(token);
        Ok(mail_login::by_link(&self.db, &self.tenant, &hash, self.now()).await?.is_some())
    }

    /// Logs in by the link.
    pub async fn login_by_link(
        &self,
        token: &str,
        browser: Browser<'_>,
        origin: &Origin,
    ) -> Result<Login, LoginError> {
        let hash = hash_of(token);
        let row = mail_login::by_link(&self.db, &self.tenant, &hash, self.now()).await?;
        let row = row.ok_or(LoginError::Expired)?;
        let account = self.mailed(&row).await?.ok_or(LoginError::Expired)?;
        let proof = (Method::Mail, self.now());
        self.first_factor(&account, proof, browser, origin, Some(&row.link_hash)).await
    }

    /// Logs in by the code, in the browser that asked for it.
    pub async fn login_by_code(
        &self,
        asked: &str,
        code: &str,
        browser: Browser<'_>,
        origin: &Origin,
    ) -> Result<Login, LoginError> {
        let hash = &hash_of(asked);
        let row = mail_login::by_browser(&self.db, &self.tenant, hash, self.now()).await?;
        let row = row.ok_or(LoginError::Expired)?;
        // Counted before it is compared: many at once are no more than one after the other.
        let counted = self.db.write(|tx| async move {
            mail_login::attempt(&tx, &self.tenant, hash, MAX_ATTEMPTS).await
        });
        if !counted.await? {
            return Err(LoginError::Expired);
        }
        let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        let right = same_secret(&self.code_hash(hash, &code), &row.code_hash);
        match self.mailed(&row).await?.filter(|_| right) {
            Some(account) => {
                let link = Some(row.link_hash.as_slice());
                let proof = (Method::Mail, self.now());
                self.first_factor(&account, proof, browser, origin, link).await
            }
            None => {
                let account = self.mailed(&row).await?;
                let who = account.as_ref().map_or(Actor::Anonymous, actor);
                self.refused(Method::Mail, "login", origin, who, "bad_code", None).await?;
                Err(LoginError::Credentials)
            }
        }
    }

    async fn mailed(&self, row: &mail_login::MailLogin) -> Result<Option<Account>, LoginError> {
        let Some(id) = row.account() else { return Ok(None) };
        let account = accounts::by_id(&self.db, &self.tenant, id).await?;
        Ok(account.filter(|account| account.disabled_at.is_none()))
    }

    /// Six digits are guessed from a plain hash at once, so the key of the pseudonyms is in it.
    fn code_hash(&self, browser_hash: &[u8], code: &str) -> Vec<u8> {
        let text = [b"login code".as_slice(), browser_hash, code.as_bytes()].concat();
        hmac::sign(&self.inner().pseudonym, &text).as_ref().to_vec()
    }
}

fn login_mail(to: String, link: &str, code: &str) -> Mail {
    Mail {
        to,
        subject: t("Log in").to_owned(),
        text: tf(
            "Your code is {0}\n\nType it where you asked for it, or follow this link. Both work \
             once, within ten minutes:\n\n{1}\n\nIf you did not ask for it, ignore this mail, and \
             never tell anybody the code.\n",
            &[code, link],
        ),
    }
}
