use aws_lc_rs::hmac;
use portcullis_events::Origin;
use portcullis_store::{Tx, accounts::Account, factors};
use portcullis_types::{Secret, random_array};

use crate::{Identity, IdentityError, recovery::notice, service::actor};

/// Codes in a set.
const CODES: usize = 10;
/// Digits of a code: 80 bits, so that nobody guesses one from its hash.
const CODE_DIGITS: usize = 16;
/// Crockford's base 32: no letters that look alike.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl Identity {
    /// Puts new recovery codes in the place of the old ones.
    pub async fn renew_recovery_codes(
        &self,
        account: &Account,
        origin: &Origin,
    ) -> Result<Vec<Secret<String>>, IdentityError> {
        let (codes, hashes) = &self.fresh_recovery_codes(account);
        let now = self.now();
        self.db
            .write(|tx| async move {
                let totp = factors::totp(&tx, &self.tenant, account.id).await?;
                if totp.is_none_or(|totp| totp.confirmed_at.is_none()) {
                    return Err(IdentityError::NotFound);
                }
                factors::replace_recovery_codes(&tx, &self.tenant, account.id, hashes, now).await?;
                let mail = notice(account, "You have new recovery codes", &self.issuer);
                mail.queue(&tx, &self.tenant, &self.sealer, &self.entropy, now).await?;
                let user = actor(account);
                tx.emit(self.changed(origin, "recovery_codes_renewed", user.clone(), user)).await?;
                Ok(())
            })
            .await?;
        Ok(codes.clone())
    }

    /// A set of codes, and what is stored of them.
    pub(crate) fn fresh_recovery_codes(
        &self,
        account: &Account,
    ) -> (Vec<Secret<String>>, Vec<Vec<u8>>) {
        let code = |_| {
            let bytes = random_array::<CODE_DIGITS>(&*self.entropy);
            bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect()
        };
        let codes: Vec<String> = (0..CODES).map(code).collect();
        let hashes = codes.iter().map(|code| self.recovery_hash(account, code)).collect();
        let shown = |code: &String| {
            let groups: Vec<&str> = (0..4).filter_map(|n| code.get(n * 4..n * 4 + 4)).collect();
            Secret::new(groups.join("-"))
        };
        (codes.iter().map(shown).collect(), hashes)
    }

    /// Uses a code that somebody typed, with or without its dashes.
    pub(crate) async fn use_recovery_code(
        &self,
        tx: &Tx,
        account: &Account,
        typed: &str,
    ) -> Result<bool, IdentityError> {
        let code: String =
            typed.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        if code.len() != CODE_DIGITS {
            return Ok(false);
        }
        let hash = self.recovery_hash(account, &code);
        Ok(factors::use_recovery_code(tx, &self.tenant, account.id, &hash, self.now()).await?)
    }

    fn recovery_hash(&self, account: &Account, code: &str) -> Vec<u8> {
        let text = format!("recovery code {} {code}", account.id);
        hmac::sign(&self.inner().pseudonym, text.as_bytes()).as_ref().to_vec()
    }
}
