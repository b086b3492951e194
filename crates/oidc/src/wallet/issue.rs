//! The credential endpoint (OpenID for Verifiable Credential Issuance 1.0, section 8).

use std::{collections::BTreeSet, time::Duration};

use portcullis_credentials::{Draft, KeyProof};
use portcullis_events::{Actor, Kind, Origin, Outcome, TokenOperation};
use portcullis_identity::IdentityError;
use portcullis_jose::{Alg, Jwk, access_token::AccessClaims};
use portcullis_store::{
    Mail,
    accounts::{self, Account},
    grants,
    wallet::{self, IssuedRow},
};
use portcullis_texts::{Lang, speaking_now, t, tf};
use portcullis_types::{Id, Timestamp, random_array, tags};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{BATCH_MAX, CONFIGURATION, VCT};
use crate::{ErrorCode, KeyUse, OAuthError, Provider, ProviderError};

/// Times in credentials are those of the hour, so that they do not tell one from the other.
const HOUR: Duration = Duration::from_secs(3_600);
/// Ages that somebody may want to know without the date of birth.
const AGES: [u32; 6] = [12, 14, 16, 18, 21, 65];
/// Digests in a credential, however much is known.
const DIGESTS: usize = 8;
/// A place that is taken is drawn again this often.
const DRAWS: usize = 64;
/// Credentials of one person that count, in one wallet.
const HELD_MAX: i64 = 100;
/// Credentials that somebody is shown: those that count come first.
const SHOWN_MAX: i64 = 500;

/// A credential request.
#[derive(Debug, Deserialize)]
pub(crate) struct CredentialRequest {
    credential_configuration_id: Option<String>,
    credential_identifier: Option<String>,
    proofs: Option<Proofs>,
    /// Encryption of the answer, which is not offered.
    credential_response_encryption: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Proofs {
    jwt: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct CredentialResponse {
    credentials: Vec<Wrapped>,
}

#[derive(Debug, Serialize)]
struct Wrapped {
    credential: String,
}

/// Why no credential is issued (section 8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Refused {
    pub error: &'static str,
    pub error_description: &'static str,
}

/// Either of both, or a failure of ours.
pub(crate) type Answered = Result<Result<CredentialResponse, Refused>, ProviderError>;

fn refused<T>(
    error: &'static str,
    error_description: &'static str,
) -> Result<Result<T, Refused>, ProviderError> {
    Ok(Err(Refused { error, error_description }))
}

/// A credential that somebody holds, for them to see.
#[derive(Debug, Clone)]
pub struct HeldCredential {
    /// Its id.
    pub id: Id<tags::Credential>,
    /// The wallet.
    pub client_id: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Whether it was revoked.
    pub is_revoked: bool,
}

impl Provider {
    /// What is told of whom an account belongs to, by the newest rules that are ours.
    pub(super) async fn told_by_us(
        &self,
        account: Id<tags::User>,
    ) -> Result<Option<Value>, ProviderError> {
        let ours = |one: &Value| {
            let framework = one["verification"]["trust_framework"].as_str().unwrap_or_default();
            self.settings.trust_frameworks.iter().any(|own| own == framework)
        };
        Ok(self.identity.verified(account).await?.into_iter().find(ours))
    }

    /// Issues credentials to a wallet with a token for them.
    pub(crate) async fn issue_credentials(
        &self,
        token: &AccessClaims,
        request: CredentialRequest,
        origin: &Origin,
    ) -> Answered {
        let Some(settings) = &self.settings.credentials else {
            return refused("credential_request_denied", "this installation issues no credentials");
        };
        if request.credential_identifier.is_some() {
            let text = "there are no credential identifiers; ask by credential_configuration_id";
            return refused("unknown_credential_identifier", text);
        }
        if request.credential_response_encryption.is_some() {
            return refused("invalid_encryption_parameters", "answers are not encrypted here");
        }
        match request.credential_configuration_id.as_deref() {
            Some(CONFIGURATION) => {}
            Some(_) => return refused("unknown_credential_configuration", "there is no such one"),
            None => {
                let text = "credential_configuration_id is missing";
                return refused("invalid_credential_request", text);
            }
        }
        let keys = match self.proven_keys(token, request.proofs) {
            Ok(keys) => keys,
            Err(why) => return Ok(Err(why)),
        };
        let (now, db, tenant) = (self.now(), &self.identity.db, self.tenant());
        // A token that somebody got for somebody else is none for a proof of who they are.
        let grant = match token.grant_id.as_ref().filter(|_| token.act.is_none()) {
            Some(grant) => grants::by_id(db, tenant, grant).await?,
            None => None,
        };
        let live = grant.filter(|grant| grant.revoked_at.is_none() && grant.expires_at > now);
        let account = match &live {
            Some(grant) => accounts::by_id(db, tenant, grant.account_id).await?,
            None => None,
        };
        let account = account.filter(|account| account.disabled_at.is_none());
        let Some((grant, account)) = live.zip(account) else {
            let text = "the token is not one of a person who logged in themselves";
            return refused("credential_request_denied", text);
        };
        let Some(known) = self.told_by_us(account.id).await? else {
            let text = "nobody has verified who this person is";
            return refused("credential_request_denied", text);
        };
        let session = known["verification"]["verification_process"].as_str();
        let Some(session) = session.and_then(|id| id.parse().ok()) else {
            return refused("credential_request_denied", "what is known has no session");
        };
        let issued_at = Timestamp::from_secs(now.secs() - now.secs().rem_euclid(3_600));
        let expires_at = issued_at.plus(settings.lifetime.max(HOUR));
        let row = &IssuedRow {
            list: 0,
            place: 0,
            id: Id::new(now, &*self.identity.entropy),
            account_id: account.id,
            session_id: session,
            client_id: token.client_id.clone(),
            grant_id: grant.id.to_string(),
            issued_at: now,
            expires_at,
            revoked_at: None,
        };
        let rows = self.take_places(row, keys.len(), &account, origin).await?;
        let rows = match rows {
            Ok(rows) => rows,
            Err(why) => return refused("credential_request_denied", why),
        };
        let each = keys.iter().zip(&rows);
        let made = each.map(|(key, row)| self.credential(&known, key, row, (issued_at, now)));
        let credentials = made.collect::<Result<_, _>>()?;
        Ok(Ok(CredentialResponse { credentials }))
    }

    /// The keys that the wallet proved to hold, each once, all with one nonce of ours (appendix F.1).
    fn proven_keys(
        &self,
        token: &AccessClaims,
        proofs: Option<Proofs>,
    ) -> Result<Vec<Jwk>, Refused> {
        let invalid = |error_description| Refused { error: "invalid_proof", error_description };
        let proofs = proofs.ok_or(invalid("proofs is missing"))?.jwt;
        if !(1..=BATCH_MAX).contains(&proofs.len()) {
            return Err(invalid("proofs must have 1 to 10 of type jwt"));
        }
        let (mut keys, mut seen, mut nonces) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for proof in &proofs {
            let (issuer, client) = (&self.settings.issuer, &token.client_id);
            let proof = KeyProof::open(proof, issuer, client, self.now());
            let proof = proof.map_err(|error| invalid(error.says()))?;
            if !seen.insert(proof.jkt) {
                return Err(invalid("two proofs are of the same key"));
            }
            keys.push(Jwk { kid: None, alg: None, use_: None, ..proof.key });
            nonces.extend(proof.nonce.or_else(|| Some(String::new())));
        }
        let mut nonces = nonces.into_iter();
        let fresh = match (nonces.next(), nonces.next()) {
            (Some(nonce), None) => self.nonces.used_once(&nonce, self.now()),
            _ => false,
        };
        let text = "the proofs must carry one c_nonce of the nonce endpoint, which works once";
        if fresh {
            Ok(keys)
        } else {
            Err(Refused { error: "invalid_nonce", error_description: text })
        }
    }

    /// Places of the status list for `n` credentials as `row`, or why there are none. The first that a wallet gets
    /// under a grant is told to the owner of the account: it may not have been them.
    async fn take_places(
        &self,
        row: &IssuedRow,
        n: usize,
        account: &Account,
        origin: &Origin,
    ) -> Result<Result<Vec<IssuedRow>, &'static str>, ProviderError> {
        let (now, tenant, entropy) = (self.now(), self.tenant(), &*self.identity.entropy);
        let actor = Actor::User { id: account.id.to_string(), username: account.username.clone() };
        let full = || OAuthError::new(ErrorCode::TemporarilyUnavailable, "no place is free");
        let (actor, grant, wallet) = (&actor, &row.grant_id, self.client(&row.client_id).await?);
        let wallet = wallet.map_or(row.client_id.clone(), |client| client.name.clone());
        let mail = &received(account, &wallet);
        let many = i64::try_from(n).unwrap_or(1);
        let taken = self.identity.db.write(|tx| async move {
            let live = grants::by_id(&tx, tenant, grant).await?;
            if live.is_none_or(|live| live.revoked_at.is_some()) {
                return Ok(Err("the grant was revoked"));
            }
            let whose = (account.id, &row.client_id[..], &grant[..]);
            let (held, of_grant) = wallet::held(&tx, tenant, whose, now).await?;
            if held + many > HELD_MAX {
                return Ok(Err("the wallet holds as many as it may; end some"));
            }
            if of_grant == 0 {
                let (sealer, entropy) = (&self.identity.sealer, &self.identity.entropy);
                let queued = mail.queue(&tx, tenant, sealer, entropy, now).await;
                queued.map_err(IdentityError::from)?;
            }
            let list = wallet::take_places(&tx, tenant, many).await?;
            let mut rows = Vec::with_capacity(n);
            for _ in 0..n {
                let mut row = IssuedRow { list, id: Id::new(now, entropy), ..row.clone() };
                let mut draws = 0;
                loop {
                    let chance = u32::from_be_bytes(random_array(entropy));
                    row.place = i64::from(chance % wallet::PLACES);
                    if wallet::insert_issued(&tx, tenant, &row).await? {
                        break;
                    }
                    draws += 1;
                    if draws == DRAWS {
                        return Err(full().into());
                    }
                }
                let operation = TokenOperation {
                    operation: "issue",
                    client: row.client_id.clone(),
                    grant_type: "credential".into(),
                    scope: CONFIGURATION.into(),
                    token_id: Some(row.id.to_string()),
                    grant: Some(grant.clone()),
                };
                let kind = Kind::Token(operation);
                tx.emit(self.identity.event(origin, actor.clone(), Outcome::Success, kind)).await?;
                rows.push(row);
            }
            Ok::<_, ProviderError>(Ok(rows))
        });
        taken.await
    }

    /// What is known of somebody, for the key of a wallet.
    fn credential(
        &self,
        known: &Value,
        key: &Jwk,
        row: &IssuedRow,
        (issued_at, now): (Timestamp, Timestamp),
    ) -> Result<Wrapped, ProviderError> {
        let told = |name| known["verification"].get(name).map(|value| (name, value.clone()));
        let rules = ["trust_framework", "assurance_level"].into_iter().filter_map(told);
        let rules: Map<_, _> = rules.map(|(name, value)| (name.to_owned(), value)).collect();
        let plain = json!({
            "iss": self.settings.issuer,
            "vct": VCT,
            "iat": issued_at.secs(),
            "exp": row.expires_at.secs(),
            "cnf": { "jwk": key },
            "status": { "status_list": { "idx": row.place, "uri": self.credential_list_url(row.list) } },
            // By which rules, without which the rest says nothing.
            "verification": rules,
        });
        let Value::Object(plain) = plain else {
            return Err(OAuthError::new(ErrorCode::ServerError, "no credential").into());
        };
        let mut draft = Draft::new(plain, &*self.identity.entropy);
        let claims = &known["claims"];
        for name in ["given_name", "family_name", "birthdate"] {
            if let Some(value) = claims.get(name) {
                draft.hide(name, value);
            }
        }
        if let Some(Value::Array(nationalities)) = claims.get("nationalities") {
            draft.hide_elements("nationalities", nationalities.clone());
        }
        if let Some(ages) = claims["birthdate"].as_str().and_then(|born| ages(born, now)) {
            draft.hide_members("age_equal_or_over", ages);
        }
        if let Some((_, time)) = told("time") {
            draft.hide("verified_at", &time);
        }
        // What tells one verification from another, such as the id of a check, stays here.
        let evidence = &known["verification"]["evidence"][0];
        if let Some(Value::Object(document)) = evidence.get("document_details") {
            draft.hide_members("document", document.clone());
        }
        let methods = evidence["check_details"].as_array().into_iter().flatten();
        let methods: Vec<_> = methods.filter_map(|check| check.get("check_method")).collect();
        if !methods.is_empty() {
            draft.hide("check_methods", &json!(methods));
        }
        let keys = self.keys.current();
        let missing = || OAuthError::new(ErrorCode::ServerError, "no key for credentials");
        let key = keys.signing(KeyUse::Credential, Alg::Es256).ok_or_else(missing)?;
        Ok(Wrapped { credential: draft.sign(key, DIGESTS)? })
    }

    /// The credentials that wallets hold about an account.
    pub async fn held_credentials(
        &self,
        account: Id<tags::User>,
    ) -> Result<Vec<HeldCredential>, IdentityError> {
        let limits = (self.now(), SHOWN_MAX);
        let rows = wallet::of_account(&self.identity.db, self.tenant(), account, limits).await?;
        let held = |row: IssuedRow| HeldCredential {
            id: row.id,
            client_id: row.client_id,
            issued_at: row.issued_at,
            expires_at: row.expires_at,
            is_revoked: row.revoked_at.is_some(),
        };
        Ok(rows.into_iter().map(held).collect())
    }

    /// Revokes a credential about an account; `false` if there is none that is good.
    pub async fn revoke_credential(
        &self,
        account: &Account,
        id: Id<tags::Credential>,
        origin: &Origin,
    ) -> Result<bool, IdentityError> {
        let (now, actor) = (
            self.now(),
            Actor::User { id: account.id.to_string(), username: account.username.clone() },
        );
        let operation = TokenOperation {
            operation: "revoke",
            client: String::new(),
            grant_type: "credential".into(),
            scope: CONFIGURATION.into(),
            token_id: Some(id.to_string()),
            grant: None,
        };
        let event = &self.token_event(origin, actor, Outcome::Success, operation);
        let revoked = self.identity.db.write(|tx| async move {
            if !wallet::revoke(&tx, self.tenant(), account.id, id, now).await? {
                return Ok(false);
            }
            tx.emit(event.clone()).await?;
            Ok::<_, IdentityError>(true)
        });
        revoked.await
    }
}

/// That a wallet has received a proof, to the owner of the account.
fn received(account: &Account, wallet: &str) -> Mail {
    let lang = Lang::of_tag(&account.locale).unwrap_or_else(portcullis_texts::current);
    speaking_now(lang, || Mail {
        to: account.email.clone(),
        subject: t("A proof of who you are was put into a wallet").to_owned(),
        text: tf(
            "{0} has received a proof of who you are. If that was not you, end it on the page \"Proofs in wallets\" \
             of your account, and change your password.\n",
            &[wallet],
        ),
    })
}

/// Which ages somebody has reached who was born on a day; nothing if the day is not known whole.
fn ages(born: &str, now: Timestamp) -> Option<Map<String, Value>> {
    let today = now.to_rfc3339();
    let split = |day: &str| Some((day.get(..4)?.parse::<u32>().ok()?, day.get(5..10)?.to_owned()));
    let ((year, day), (this_year, this_day)) = (split(born)?, split(&today)?);
    let whole = day.bytes().enumerate().all(|(at, byte)| (at == 2) == (byte == b'-'))
        && day.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let age = this_year.checked_sub(year)?.checked_sub(u32::from(this_day < day))?;
    let each = AGES.map(|least| (least.to_string(), Value::Bool(age >= least)));
    whole.then(|| each.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_reached_on_the_birthday() {
        let at = |day: &str| Timestamp::parse_rfc3339(&format!("{day}T12:00:00Z")).unwrap();
        let adult = |born, day| ages(born, at(day)).map(|ages| ages["18"] == Value::Bool(true));
        assert_eq!(adult("2008-11-29", "2026-11-28"), Some(false));
        assert_eq!(adult("2008-11-29", "2026-11-29"), Some(true));
        assert_eq!(adult("2008-02-29", "2026-02-28"), Some(false));
        assert_eq!(adult("2008-02-29", "2026-03-01"), Some(true));
        for unknown in ["", "2008", "2008-11", "2008-XX-XX", "2026-11-30", "20081129"] {
            assert_eq!(adult(unknown, "2026-11-29"), None, "{unknown}");
        }
    }
}
