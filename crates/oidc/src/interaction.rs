//! What must happen between a request and its code: login, a further factor, consent.

use std::{sync::Arc, time::Duration};

use portcullis_identity::{Assurance, Factors, Methods};
use portcullis_store::{accounts::Account, consents, sessions::Session};

use crate::{
    AuthorizationRequest, AuthorizeError, Client, OAuthError, Params, Provider,
    claims::RequestedClaims,
    proof::{ProofRule, WantedProof},
    wallet,
};

/// What a client wants to be asked or not asked (OpenID Connect Core, section 3.1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// Do not show anything.
    None,
    /// Ask for the password even if somebody is logged in.
    Login,
    /// Ask for consent even if it was given.
    Consent,
}

/// How sure the client wants to be of who the person is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// The least that will do, as far as we know the names.
    assurance: Option<Assurance>,
    /// Without it, an error is better than a code (OpenID Connect Core, section 5.5.1.1).
    essential: bool,
    /// What a verification stands for, and whether nothing else will do.
    proof: WantedProof,
}

impl Wanted {
    /// From `acr_values`, the claim `acr`, or what the client is registered for.
    pub fn read(
        rules: &[Arc<ProofRule>],
        params: &Params,
        claims: &RequestedClaims,
        client: &Client,
    ) -> Self {
        let (named, essential) = &claims.acr;
        if !named.is_empty() {
            // An essential value that we have never heard of is one that nobody can have.
            let nobody = || Self {
                assurance: essential.then_some(Assurance::PhishingResistant),
                ..Self::default()
            };
            let known = Self::of(rules, named.iter().map(String::as_str));
            return Self { essential: *essential, ..known.unwrap_or_else(nobody) };
        }
        let asked = params.get("acr_values").unwrap_or_default();
        let default = &client.settings.default_acr_values;
        Self::of(rules, asked.split(' '))
            .or_else(|| Self::of(rules, default.iter().map(String::as_str)))
            .unwrap_or_default()
    }

    /// Any of the values will do, the first one best; `None` if none is known. The person is sent through a
    /// verification only if every other value says less than the client can do with.
    fn of<'a>(
        rules: &[Arc<ProofRule>],
        acrs: impl Iterator<Item = &'a str> + Clone,
    ) -> Option<Self> {
        let login = acrs.clone().filter_map(Assurance::of_acr).min();
        let proofs = acrs.filter_map(|acr| rules.iter().find(|rule| rule.acr == acr));
        let rules: Vec<_> = proofs.cloned().collect();
        let assurance = login.or(rules.iter().map(|rule| rule.login).min())?;
        let proof = WantedProof { rules, is_needed: login.is_none() };
        Some(Self { assurance: Some(assurance), essential: false, proof })
    }
}

/// What the person must do first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// Log in.
    Login,
    /// Prove more than this session does.
    Factor {
        /// Only a passkey will do.
        passkey: bool,
    },
    /// What the client cannot do without, the account cannot prove.
    Unmet,
}

impl AuthorizationRequest {
    pub(crate) fn proof(&self) -> &WantedProof {
        &self.wanted.proof
    }
}

impl Provider {
    /// Whether this session will do, or what is missing. `factors` are those of its account.
    pub fn needs(
        &self,
        request: &AuthorizationRequest,
        session: Option<(&Session, &Factors)>,
    ) -> Need {
        let Some((session, factors)) = session else { return Need::Login };
        if self.is_too_old(request, session) {
            return Need::Login;
        }
        let Wanted { assurance: Some(wanted), essential, ref proof } = request.wanted else {
            return Need::Nothing;
        };
        // A verification whose login did not do stands for nothing.
        let essential = essential || proof.is_needed;
        if Methods::from_row(&session.methods).assurance() >= wanted {
            return Need::Nothing;
        }
        if factors.strongest() >= wanted {
            return Need::Factor { passkey: wanted == Assurance::PhishingResistant };
        }
        if essential { Need::Unmet } else { Need::Nothing }
    }

    fn is_too_old(&self, request: &AuthorizationRequest, session: &Session) -> bool {
        let account = self.subject(&request.client, session.account_id);
        if request.subject.as_ref().is_some_and(|subject| *subject != account) {
            return true;
        }
        // A pushed request cannot be changed, so a login since a browser came with it counts.
        let begun = request.pushed.as_ref().map(|pushed| pushed.begun_at);
        let anew = begun.is_some_and(|begun| session.authenticated_at >= begun);
        let age = self.now().since(session.authenticated_at).as_secs();
        let too_old = |most: Duration| if most.is_zero() { !anew } else { age > most.as_secs() };
        (request.prompt.contains(&Prompt::Login) && !anew) || request.max_age.is_some_and(too_old)
    }

    /// Whether the person must be asked. Clients of our own are trusted unless they ask to ask.
    pub async fn needs_consent(
        &self,
        request: &AuthorizationRequest,
        account: &Account,
    ) -> Result<bool, AuthorizeError> {
        let to_wallet = request.scopes.iter().any(|scope| scope == wallet::CONFIGURATION);
        if to_wallet || request.prompt.contains(&Prompt::Consent) {
            return Ok(true);
        }
        // Any program of the machine can listen on another port, so the person is asked again.
        let exact = request.client.redirect_uris.contains(&request.redirect_uri);
        if exact && request.client.first_party {
            return Ok(false);
        }
        if !exact {
            return Ok(true);
        }
        let (db, client) = (&self.identity.db, &request.client.id);
        let given = consents::consented(db, self.tenant(), account.id, client).await?;
        let given = given.unwrap_or_default();
        let granted: Vec<&str> = given.split(' ').collect();
        let allowed = request.disclosed(account);
        Ok(given.is_empty() || allowed.iter().any(|scope| !granted.contains(scope)))
    }
}

pub(crate) fn read_prompt(text: &str) -> Result<Vec<Prompt>, OAuthError> {
    let mut prompts = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        prompts.push(match word {
            "none" => Prompt::None,
            "login" => Prompt::Login,
            "consent" => Prompt::Consent,
            // There is one account a session, so choosing it is logging in.
            "select_account" => Prompt::Login,
            _ => return Err(OAuthError::request("prompt is not known")),
        });
    }
    if prompts.len() > 1 && prompts.contains(&Prompt::None) {
        return Err(OAuthError::request("prompt=none excludes every other prompt"));
    }
    Ok(prompts)
}

pub(crate) fn read_max_age(text: Option<&str>) -> Result<Option<Duration>, OAuthError> {
    let malformed = OAuthError::request("max_age must be a number of seconds");
    text.map(|text| {
        let digits = text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
        let seconds = text.parse().ok().filter(|_| digits);
        seconds.map(Duration::from_secs).ok_or(malformed)
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_verification_is_needed_unless_a_login_will_do() {
        let rule = |acr: &str, login| {
            Arc::new(ProofRule {
                acr: acr.to_owned(),
                workflow: "kyc".to_owned(),
                max_age: None,
                current_version: false,
                current_screening: false,
                retry_after: Duration::ZERO,
                login,
                passkey: false,
            })
        };
        let rules = [rule("urn:a", Assurance::Single), rule("urn:b", Assurance::Multi)];
        let of = |acrs: &str| {
            let wanted = Wanted::of(&rules, acrs.split(' '))?;
            let rule = wanted.proof.rules.first().map(|rule| rule.acr.clone());
            Some((wanted.assurance?, rule, wanted.proof.is_needed))
        };
        let named = |acr: &str| Some(acr.to_owned());
        assert_eq!(of("urn:b"), Some((Assurance::Multi, named("urn:b"), true)));
        // Any will do, so that the least login is asked for.
        assert_eq!(of("urn:b urn:a"), Some((Assurance::Single, named("urn:b"), true)));
        assert_eq!(of("urn:x urn:a"), Some((Assurance::Single, named("urn:a"), true)));
        assert_eq!(of("urn:a phr"), Some((Assurance::PhishingResistant, named("urn:a"), false)));
        assert_eq!(of("phr"), Some((Assurance::PhishingResistant, None, false)));
        assert_eq!(of("urn:x "), None);
    }
}
