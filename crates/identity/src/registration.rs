use portcullis_events::{Actor, Origin};
use portcullis_store::{
    accounts::{self, Account},
    recovery::{self, PendingRegistration},
};
use portcullis_texts::{t, tf};
use portcullis_types::{Id, Secret};

use crate::{
    Email, EmailError, FieldError, Identity, IdentityError, Mail, Username,
    link::{fresh, hash_of},
    recovery::EMAIL_LINK_LIFETIME,
    service::actor,
};

/// What a stranger types to get an account. There is no field for anything that must be proven.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The user name.
    pub username: String,
    /// The e-mail address.
    pub email: String,
    /// The password; empty for an account without one.
    pub password: Secret<String>,
}

/// What following a registration link came to.
#[derive(Debug)]
pub enum Confirmed {
    /// The account exists now.
    Created(Box<Account>),
    /// The address is proven, but somebody else took the name meanwhile: ask for another one and
    /// call again with it. The link still works.
    NameTaken {
        /// The name that is taken.
        username: String,
    },
}

struct Checked {
    username: Username,
    email: Email,
}

impl Identity {
    /// Takes a registration and sends a link to the address.
    ///
    /// The answer, and the work behind it, are the same whether the name or the address have an
    /// account: in that case the mail says so to the owner of the address, who alone may know.
    pub async fn register(
        &self,
        registration: &Registration,
        origin: &Origin,
    ) -> Result<(), IdentityError> {
        let Checked { username, email } = &self.check(registration).await?;
        let password_hash = &match registration.password.expose().is_empty() {
            true => String::new(),
            false => self.hasher.hash(&registration.password).await?,
        };
        let now = self.now();
        let (token, token_hash) = &fresh(&*self.entropy);
        self.db
            .write(|tx| async move {
                let owner = accounts::by_email(&tx, &self.tenant, email.as_str()).await?;
                let pending = PendingRegistration {
                    username: username.to_string(),
                    email: email.to_string(),
                    password_hash: password_hash.clone(),
                };
                let mail = match owner {
                    Some(_) => already_registered(email, &self.issuer),
                    None => {
                        let expires = now.plus(EMAIL_LINK_LIFETIME);
                        recovery::insert_registration(
                            &tx,
                            &self.tenant,
                            token_hash,
                            &pending,
                            now,
                            expires,
                        )
                        .await?;
                        confirm_address(email, &self.link("verify-email", token))
                    }
                };
                mail.queue(&tx, &self.tenant, &self.sealer, &self.entropy, now).await?;
                let user = self.unknown(username.as_str());
                tx.emit(self.changed(origin, "registration_requested", Actor::Anonymous, user))
                    .await?;
                Ok(())
            })
            .await
    }

    async fn check(&self, registration: &Registration) -> Result<Checked, IdentityError> {
        let mut problems = Vec::new();
        let username = Username::for_registration(&registration.username)
            .map_err(|error| problems.push(problem("username", &error)));
        let email = registration
            .email
            .parse::<Email>()
            .map_err(|error: EmailError| problems.push(problem("email", &error)));
        let context = [registration.username.as_str(), registration.email.as_str()];
        // Whoever chooses none logs in with a passkey, or by mail.
        if !registration.password.expose().is_empty()
            && let Err(error) = self.check_rules(&registration.password, &context).await?
        {
            problems.push(problem("password", &error));
        }
        match (username, email) {
            (Ok(username), Ok(email)) if problems.is_empty() => Ok(Checked { username, email }),
            _ => Err(IdentityError::Invalid(problems)),
        }
    }

    /// Follows a registration link. `alternative` replaces the name if it is taken.
    pub async fn confirm_registration(
        &self,
        token: &str,
        alternative: Option<&str>,
        origin: &Origin,
    ) -> Result<Confirmed, IdentityError> {
        let hash = &hash_of(token);
        let now = self.now();
        let alternative = &alternative
            .map(|name| {
                Username::for_registration(name).map_err(|e| IdentityError::field("username", e))
            })
            .transpose()?;
        self.db
            .write(|tx| async move {
                let pending = recovery::registration(&tx, &self.tenant, hash, now)
                    .await?
                    .ok_or(IdentityError::Link)?;
                let username = alternative.as_ref().map_or(pending.username, Username::to_string);
                if accounts::by_email(&tx, &self.tenant, &pending.email).await?.is_some() {
                    return Err(IdentityError::Link);
                }
                if accounts::by_username(&tx, &self.tenant, &username).await?.is_some() {
                    return Ok(Confirmed::NameTaken { username });
                }
                if !recovery::consume_registration(&tx, &self.tenant, hash, now).await? {
                    return Err(IdentityError::Link);
                }
                let id = Id::new(now, &*self.entropy);
                let account = Account {
                    password_hash: pending.password_hash,
                    locale: portcullis_texts::current().tag().to_owned(),
                    ..Account::new(id, &username, &pending.email, now)
                };
                accounts::insert(&tx, &self.tenant, &account).await?;
                tx.emit(self.changed(origin, "registered", actor(&account), actor(&account)))
                    .await?;
                Ok(Confirmed::Created(Box::new(account)))
            })
            .await
    }
}

pub(crate) fn problem(field: &'static str, error: &dyn std::error::Error) -> FieldError {
    FieldError { field, message: error.to_string() }
}

fn confirm_address(email: &Email, link: &str) -> Mail {
    Mail {
        to: email.to_string(),
        subject: t("Confirm your e-mail address").to_owned(),
        text: tf(
            "Welcome!\n\nFollow this link to confirm your address and finish your registration. It \
             works once, within an hour:\n\n{0}\n\nIf you did not register, ignore this mail: \
             no account is made without the link.\n",
            &[link],
        ),
    }
}

fn already_registered(email: &Email, issuer: &str) -> Mail {
    Mail {
        to: email.to_string(),
        subject: t("You already have an account").to_owned(),
        text: tf(
            "Somebody, probably you, tried to register with this address. There is an account for \
             it already.\n\nLog in: {0}/login\nForgot the password: {0}/forgot-password\n\n\
             If it was not you, ignore this mail: nothing was changed.\n",
            &[issuer],
        ),
    }
}
