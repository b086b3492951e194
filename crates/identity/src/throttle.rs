use std::time::Duration;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use data_encoding::BASE64URL_NOPAD;
use portcullis_cluster::{Decision, Rate};
use portcullis_store::accounts::Account;
use portcullis_types::random_token;

use crate::Identity;

/// Wrong passwords for one account from everybody who is no known device of it. NIST SP 800-63B-4,
/// section 3.2.2, allows a hundred in a row.
const STRANGERS: Rate = Rate { count: 50, per: HOUR };
/// Wrong passwords for one account from one of its known devices.
const KNOWN_DEVICE: Rate = Rate { count: 20, per: HOUR };
/// Wrong second factors: whoever types them has the first.
const SECOND_FACTOR: Rate = Rate { count: 10, per: Duration::from_secs(15 * 60) };
/// Mails with a link or code to one account.
const MAILS: Rate = Rate { count: 5, per: Duration::from_secs(15 * 60) };
/// How long whoever exceeded one of these waits.
const PAUSE: Duration = Duration::from_secs(15 * 60);
const HOUR: Duration = Duration::from_secs(3600);

const KEY_LABEL: &[u8] = b"known device";

/// What is counted, each for itself: a storm on the password must not cost the owner the code.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counter {
    Password,
    Confirmation,
    SecondFactor,
    Mail,
    /// Mails after a right password, which strangers cannot cause.
    StepUpMail,
}

/// Who is being tried, and from where: strangers share a counter, known devices have their own.
pub(crate) struct Throttle {
    counter: Counter,
    account: String,
    device: Option<String>,
}

impl Identity {
    /// The throttle of an account, by its id: every spelling of its name shares it. Names without
    /// an account are counted alike, so that the answer does not tell them apart.
    pub(crate) fn throttle(
        &self,
        counter: Counter,
        account: Option<&Account>,
        name: &str,
        device: Option<&str>,
    ) -> Throttle {
        let (account, device) = match account {
            Some(account) => {
                let known = device.and_then(|device| self.known_device(device, account));
                (account.id.to_string(), known)
            }
            None => (name.trim().to_lowercase(), None),
        };
        Throttle { counter, account, device }
    }

    /// How long to wait before the next attempt.
    pub(crate) fn must_wait(&self, throttle: &Throttle) -> Option<Duration> {
        self.limiter.blocked_for(&throttle.key(), self.now())
    }

    /// Counts a failure, or a mail.
    pub(crate) fn count(&self, throttle: &Throttle) -> Decision {
        self.limiter.count(&throttle.key(), throttle.rate(), Some(PAUSE), self.now())
    }

    /// What a device keeps that somebody has logged in with: which account, since when, and our word
    /// for it.
    pub(crate) fn device_token(&self, account: &Account) -> String {
        let since = self.now().micros();
        let named = format!("{}.{since}.{}", account.id, random_token(&*self.entropy));
        format!("{named}.{}", BASE64URL_NOPAD.encode(self.device_tag(&named).as_ref()))
    }

    fn device_tag(&self, named: &str) -> hmac::Tag {
        let key = hmac::sign(&self.inner().pseudonym, KEY_LABEL);
        hmac::sign(&hmac::Key::new(HMAC_SHA256, key.as_ref()), named.as_bytes())
    }

    /// Whether the account was logged in to with this device before. While the account is under
    /// suspicion, devices that came since are not known: one of them may be whom it is about.
    pub(crate) fn is_known_device(&self, device: Option<&str>, account: &Account) -> bool {
        let Some(named) = device.and_then(|device| self.known_device(device, account)) else {
            return false;
        };
        let since = named.split('.').nth(1).and_then(|since| since.parse::<i64>().ok());
        let suspect = account.step_up_until.is_some_and(|until| until > self.now().micros());
        let from = account.step_up_from.filter(|_| suspect).unwrap_or(i64::MAX);
        since.is_some_and(|since| since < from)
    }

    /// The name of the device, if the account was logged in to with it.
    fn known_device(&self, token: &str, account: &Account) -> Option<String> {
        let (named, tag) = token.rsplit_once('.').filter(|_| token.len() <= 256)?;
        let (of, _) = named.split_once('.')?;
        let tag = BASE64URL_NOPAD.decode(tag.as_bytes()).ok()?;
        let ours = self.device_tag(named);
        let known = portcullis_types::same_secret(ours.as_ref(), &tag);
        (known && of == account.id.to_string()).then(|| named.to_owned())
    }
}

impl Throttle {
    fn key(&self) -> [&[u8]; 4] {
        let counter: &[u8] = match self.counter {
            Counter::Password => b"password",
            Counter::Confirmation => b"confirmation",
            Counter::SecondFactor => b"second factor",
            Counter::Mail => b"login mail",
            Counter::StepUpMail => b"step-up mail",
        };
        let device = self.device.as_deref().unwrap_or_default();
        [b"throttle", counter, self.account.as_bytes(), device.as_bytes()]
    }

    fn rate(&self) -> Rate {
        match (self.counter, &self.device) {
            (Counter::Password, None) => STRANGERS,
            (Counter::Password, Some(_)) | (Counter::Confirmation, _) => KNOWN_DEVICE,
            (Counter::SecondFactor, _) => SECOND_FACTOR,
            (Counter::Mail | Counter::StepUpMail, _) => MAILS,
        }
    }
}
