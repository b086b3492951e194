use aws_lc_rs::digest::{SHA256, SHA512, digest};
use data_encoding::BASE64URL_NOPAD;
use portcullis_identity::Methods;
use portcullis_jose::{
    Alg, ContentType, Enc, KeyManagement,
    access_token::{self, AccessClaims, Confirmation},
    sign,
};
use portcullis_store::{
    grants::{Grant, Refresh},
    token_hash,
};
use portcullis_types::{Id, Secret, random_token, tags};
use serde::Serialize;
use serde_json::json;

use crate::{
    AuthMethod, Client, ErrorCode, GrantType, KeyUse, OAuthError, Provider, ProviderError,
    claims::{Person, RequestedClaims, disclose},
    resources,
    token::TokenCall,
    verified,
};

/// The answer of the token endpoint (RFC 6749, section 5.1).
#[derive(Debug, Serialize)]
pub(crate) struct TokenResponse {
    pub access_token: String,
    pub token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_token_type: Option<&'static str>,
    pub expires_in: u64,
    pub scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
}

/// Tokens that are signed but count only when their artefacts are stored.
pub(crate) struct Prepared {
    pub response: TokenResponse,
    pub token_id: String,
    pub grant: String,
    pub refresh: Option<(Vec<u8>, Refresh)>,
    /// The epoch of its place in the status list.
    pub status_epoch: i64,
    /// That of its grant when the tokens were made.
    pub grant_epoch: i64,
}

impl Provider {
    /// Signs everything before the transaction begins: a signature must not hold up other writers.
    pub(crate) fn prepare(
        &self,
        call: TokenCall<'_>,
        grant: &Grant,
        person: &Person,
        scope: &str,
        nonce: Option<&str>,
    ) -> Result<Prepared, ProviderError> {
        let TokenCall { client, params, key, .. } = call;
        // A client that keeps its refresh token gets no other.
        let refreshing = params.get("grant_type") == Some(GrantType::RefreshToken.as_str());
        let kept = refreshing && client.settings.keeps_refresh_tokens();
        let (now, Person { account, memberships, .. }) = (self.now(), person);
        let may = |wanted: &str| scope.split(' ').any(|scope| scope == wanted);
        let granted = resources::from_row(grant.resources.as_deref())?;
        let id = grant.id.to_string();
        let (place, status_epoch) = self.identity.place_of_grant(&id, grant.status_epoch, now);
        let claims = AccessClaims {
            status: Some(self.status_at(place)),
            auth_time: Some(grant.auth_time.secs()),
            acr: Some(acr(grant, person)),
            sid: Some(grant.session_id.clone()),
            grant_id: Some(id.clone()),
            preferred_username: Some(account.username.clone()),
            groups: if may("groups") { memberships.groups.clone() } else { Vec::new() },
            roles: match may("roles") {
                true => memberships.roles.iter().cloned().collect(),
                false => Vec::new(),
            },
            ..self.access_claims(call, &self.subject(client, account.id), scope, Some(&granted))?
        };
        let access_token = self.access_token(client, &claims)?;
        let id_token = may("openid")
            .then(|| self.id_token(client, grant, person, (&access_token, scope), nonce))
            .transpose()?;
        let fresh = client.grant_types.contains(&GrantType::RefreshToken) && !kept;
        let refresh = fresh.then(|| {
            let token = Secret::new(random_token(&*self.identity.entropy));
            let row = Refresh {
                grant_id: grant.id,
                // A confidential client proves itself with its own credential at every refresh.
                dpop_jkt: key.filter(|_| client.auth_method == AuthMethod::None).map(str::to_owned),
                created_at: now,
                expires_at: now
                    .plus(self.settings.refresh_token_lifetime)
                    .min(self.end_of(grant, now)),
                consumed_at: None,
            };
            (token, row)
        });
        let response = TokenResponse {
            access_token,
            token_type: call.token_type(),
            issued_token_type: None,
            expires_in: self.settings.access_token_lifetime.as_secs(),
            scope: scope.to_owned(),
            refresh_token: refresh.as_ref().map(|(token, _)| token.expose().clone()),
            id_token,
        };
        let refresh = refresh.map(|(token, row)| (token_hash(token.expose()), row));
        Ok(Prepared {
            response,
            token_id: claims.jti,
            grant: id,
            refresh,
            status_epoch,
            grant_epoch: grant.status_epoch,
        })
    }

    pub(crate) fn access_claims(
        &self,
        call: TokenCall<'_>,
        subject: &str,
        scope: &str,
        granted: Option<&[String]>,
    ) -> Result<AccessClaims, ProviderError> {
        let TokenCall { client, params, key, certificate, .. } = call;
        let to_certificate = client.settings.tls_client_certificate_bound_access_tokens;
        let certificate = certificate.filter(|_| to_certificate);
        let now = self.now();
        Ok(AccessClaims {
            iss: self.settings.issuer.clone(),
            sub: subject.to_owned(),
            aud: self.audience(client, granted, &resources::asked(params)?)?,
            exp: now.plus(self.settings.access_token_lifetime).secs(),
            iat: now.secs(),
            jti: Id::<tags::Token>::new(now, &*self.identity.entropy).to_string(),
            client_id: client.id.clone(),
            scope: scope.to_owned(),
            auth_time: None,
            acr: None,
            groups: Vec::new(),
            roles: Vec::new(),
            act: None,
            sid: None,
            grant_id: None,
            preferred_username: None,
            cnf: Confirmation::of(
                key.map(str::to_owned),
                certificate.map(|own| own.thumbprint().to_owned()),
            ),
            status: None,
        })
    }

    /// Signed, and encrypted if its reader wants it so.
    pub(crate) fn access_token(
        &self,
        client: &Client,
        claims: &AccessClaims,
    ) -> Result<String, ProviderError> {
        let signed = self.sign(KeyUse::AccessToken, client.token_alg, access_token::TYP, claims)?;
        self.for_its_reader(&claims.aud, signed)
    }

    /// Signs what the house says about something else than a login, as a JWT of type `typ` with its issuer and
    /// time. Whoever takes it for an ID token finds no audience in it.
    pub fn sign_statement(
        &self,
        typ: &str,
        claims: serde_json::Value,
    ) -> Result<String, ProviderError> {
        let mut claims = claims;
        claims["iss"] = json!(self.settings.issuer);
        claims["iat"] = json!(self.now().secs());
        self.sign(KeyUse::IdToken, self.keys.schedule().preferred(), typ, &claims)
    }

    pub(crate) fn sign(
        &self,
        key_use: KeyUse,
        alg: Alg,
        typ: &str,
        claims: &impl Serialize,
    ) -> Result<String, ProviderError> {
        let keys = self.keys.current();
        let missing = OAuthError::new(ErrorCode::ServerError, "no key for the algorithm");
        Ok(sign(keys.signing(key_use, alg).ok_or(missing)?, typ, claims)?)
    }

    /// OpenID Connect Core, section 2.
    fn id_token(
        &self,
        client: &Client,
        grant: &Grant,
        person: &Person,
        (access_token, scope): (&str, &str),
        nonce: Option<&str>,
    ) -> Result<String, ProviderError> {
        let now = self.now();
        let methods = Methods::from_row(&grant.methods);
        let mut claims = json!({
            "iss": self.settings.issuer,
            "sub": self.subject(client, person.account.id),
            "aud": client.id,
            "exp": now.plus(self.settings.access_token_lifetime).secs(),
            "iat": now.secs(),
            "auth_time": grant.auth_time.secs(),
            "acr": acr(grant, person),
            "amr": methods.amr(),
            "sid": grant.session_id,
            "at_hash": at_hash(client.token_alg, access_token),
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        let named = RequestedClaims::from_row(grant.claims.as_deref());
        // What else a scope stands for is at userinfo (section 5.4). Groups and roles decide what
        // somebody may do, and many clients look for them here.
        let here = ["groups", "roles"];
        let scopes = scope.split(' ').filter(|scope| here.contains(scope)).collect();
        disclose(&mut claims, person, &scopes, &named.id_token);
        if let Some(told) = named.verified_id_token.answer(&person.verified, now) {
            claims[verified::SCOPE] = told;
        }
        let signed = self.sign(KeyUse::IdToken, client.token_alg, "JWT", &claims)?;
        let settings = &client.settings;
        self.for_client(
            client,
            settings.id_token_encrypted_response_alg,
            settings.id_token_enc(),
            signed,
        )
    }

    /// Encrypts a token to a key of its client, if it is registered to have it so (OpenID Connect
    /// Registration, section 2).
    pub(crate) fn for_client(
        &self,
        client: &Client,
        alg: Option<KeyManagement>,
        enc: Enc,
        signed: String,
    ) -> Result<String, ProviderError> {
        let Some(alg) = alg else { return Ok(signed) };
        let key = client.jwks.as_ref().and_then(|jwks| jwks.encryption_key(alg));
        let missing =
            OAuthError::new(ErrorCode::ServerError, "the client has no key for the algorithm");
        let content = ContentType { typ: None, cty: Some("JWT") };
        let entropy = &*self.identity.entropy;
        Ok(key.ok_or(missing)?.encrypt(enc, content, signed.as_bytes(), entropy)?)
    }
}

/// The left half of the hash that belongs to the algorithm (OpenID Connect Core, section 3.1.3.6);
/// for Ed25519 that is SHA-512.
fn at_hash(alg: Alg, access_token: &str) -> String {
    let algorithm = if alg == Alg::EdDsa { &SHA512 } else { &SHA256 };
    let hash = digest(algorithm, access_token.as_bytes());
    BASE64URL_NOPAD.encode(&hash.as_ref()[..hash.as_ref().len() / 2])
}

/// What the login proved: a verification of the person, or else how they logged in.
fn acr(grant: &Grant, person: &Person) -> String {
    let login = || Methods::from_row(&grant.methods).assurance().acr().to_owned();
    person.acr.clone().unwrap_or_else(login)
}
