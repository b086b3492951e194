use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use data_encoding::BASE32_NOPAD;
use portcullis_events::Origin;
use portcullis_store::{
    accounts::{self, Account},
    factors,
};
use portcullis_types::{Secret, Timestamp, random_array, same_secret};

use crate::{Identity, IdentityError, recovery::notice, service::actor};

/// RFC 4226, section 4, recommends 160 bits; every app reads SHA-1, six digits, 30 seconds.
const SECRET_BYTES: usize = 20;
const STEP_SECS: i64 = 30;
const DIGITS: u32 = 1_000_000;
/// Clocks of phones may be this many steps off (RFC 6238, section 5.2).
const SKEW_STEPS: i64 = 1;
/// The purpose under which secrets are sealed; the account is part of it.
const PURPOSE: &str = "totp";

/// A secret that waits for its first code.
#[derive(Debug)]
pub struct TotpSetup {
    /// Base 32, to type.
    pub secret: Secret<String>,
    /// `otpauth://` for the camera.
    pub uri: Secret<String>,
}

impl Identity {
    /// Makes a secret for an authenticator app. It opens nothing until a code of it was shown.
    pub async fn begin_totp(&self, account: &Account) -> Result<TotpSetup, IdentityError> {
        let bytes = random_array::<SECRET_BYTES>(&*self.entropy);
        let sealed = &self.sealer.seal(&purpose(account), &bytes, &*self.entropy)?;
        let now = self.now();
        let put = self.db.write(|tx| async move {
            let put = factors::put_totp(&tx, &self.tenant, account.id, sealed, now).await?;
            if put { Ok(()) } else { Err(IdentityError::field("totp", "is set up already")) }
        });
        put.await?;
        Ok(self.setup(account, &bytes))
    }

    /// The secret that waits, for the page that failed to confirm it.
    pub async fn waiting_totp(&self, account: &Account) -> Result<TotpSetup, IdentityError> {
        let row = factors::totp(&self.db, &self.tenant, account.id).await?;
        let row = row.filter(|row| row.confirmed_at.is_none()).ok_or(IdentityError::NotFound)?;
        Ok(self.setup(account, &self.sealer.open(&purpose(account), &row.secret)?))
    }

    fn setup(&self, account: &Account, bytes: &[u8]) -> TotpSetup {
        let secret = BASE32_NOPAD.encode(bytes);
        let name = self.site_name();
        let label = format!("{name}:{}", account.username);
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("secret", &secret).append_pair("issuer", &name);
        let label: String = url::form_urlencoded::byte_serialize(label.as_bytes()).collect();
        // Apps read `+` as itself.
        let uri = format!("otpauth://totp/{label}?{}", query.finish()).replace('+', "%20");
        TotpSetup { secret: Secret::new(secret), uri: Secret::new(uri) }
    }

    /// Confirms the secret with its first code, and hands out recovery codes. `None` if the code is
    /// not right.
    pub async fn confirm_totp(
        &self,
        account: &Account,
        code: &str,
        origin: &Origin,
    ) -> Result<Option<Vec<Secret<String>>>, IdentityError> {
        let (codes, hashes) = &self.fresh_recovery_codes(account);
        let now = self.now();
        let confirmed = self
            .db
            .write(|tx| async move {
                let row = factors::totp(&tx, &self.tenant, account.id).await?;
                let waiting = row.is_some_and(|row| row.confirmed_at.is_none());
                if !waiting || !self.use_totp(&tx, account, code).await? {
                    return Ok(false);
                }
                factors::replace_recovery_codes(&tx, &self.tenant, account.id, hashes, now).await?;
                let stored = accounts::by_id(&tx, &self.tenant, account.id).await?;
                let stored = stored.ok_or(IdentityError::NotFound)?;
                let subject = "An authenticator app was added to your account";
                let mail = notice(&stored, subject, &self.issuer);
                mail.queue(&tx, &self.tenant, &self.sealer, &self.entropy, now).await?;
                let user = actor(account);
                tx.emit(self.changed(origin, "totp_added", user.clone(), user)).await?;
                Ok::<_, IdentityError>(true)
            })
            .await?;
        Ok(confirmed.then(|| codes.clone()))
    }

    /// Checks a code and uses its time step up.
    pub(crate) async fn use_totp(
        &self,
        tx: &portcullis_store::Tx,
        account: &Account,
        code: &str,
    ) -> Result<bool, IdentityError> {
        let Some(row) = factors::totp(tx, &self.tenant, account.id).await? else {
            return Ok(false);
        };
        let secret = self.sealer.open(&purpose(account), &row.secret)?;
        let now = self.now();
        match matching_step(&secret, code, now) {
            Some(step) => {
                Ok(factors::use_totp_step(tx, &self.tenant, account.id, step, now).await?)
            }
            None => Ok(false),
        }
    }
}

fn purpose(account: &Account) -> String {
    format!("{PURPOSE} {}", account.id)
}

/// The step whose code this is, of those that may be shown now. All are compared, so that the time
/// tells nothing.
fn matching_step(secret: &[u8], code: &str, now: Timestamp) -> Option<i64> {
    let current = now.secs().div_euclid(STEP_SECS);
    let steps = current - SKEW_STEPS..=current + SKEW_STEPS;
    let fits = |step: &i64| same_secret(code_at(secret, *step).as_bytes(), code.as_bytes());
    steps.filter(fits).fold(None, |_, step| Some(step))
}

/// RFC 6238, section 4, over RFC 4226, section 5.3.
fn code_at(secret: &[u8], step: i64) -> String {
    let tag = sign(&Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret), &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag[tag.len() - 1] & 15);
    let word = u32::from_be_bytes([tag[offset], tag[offset + 1], tag[offset + 2], tag[offset + 3]]);
    format!("{:06}", (word & 0x7fff_ffff) % DIGITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B, cut to six digits.
    #[test]
    fn codes_are_those_of_the_rfc() {
        let secret = b"12345678901234567890";
        for (secs, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let now = Timestamp::from_secs(secs);
            assert_eq!(matching_step(secret, code, now), Some(secs / 30), "{secs}");
            let late = Timestamp::from_secs(secs + 30);
            assert_eq!(matching_step(secret, code, late), Some(secs / 30));
            let too_late = Timestamp::from_secs(secs + 61);
            assert_eq!(matching_step(secret, code, too_late), None);
        }
        assert_eq!(matching_step(secret, "", Timestamp::from_secs(59)), None);
        assert_eq!(matching_step(secret, "2870820", Timestamp::from_secs(59)), None);
    }
}
