//! A login with the crate `openidconnect`: discovery, code flow with PKCE and nonce, the ID token
//! with `at_hash`, userinfo, and a refresh. Prints where to send the browser, reads where the
//! browser was sent to, and prints what it learned.
//!
//! Arguments: issuer, client id, redirect URI, file with the authority to trust.

use std::{collections::HashMap, env, error::Error, fs, io};

use openidconnect::{
    AccessTokenHash, AuthorizationCode, ClientId, CsrfToken, HttpRequest, HttpResponse, IssuerUrl,
    Nonce, OAuth2TokenResponse, PkceCodeChallenge, RedirectUrl, Scope, TokenResponse,
    core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata, CoreUserInfoClaims},
    url::Url,
};
use portcullis_egress::{Call, Egress, EgressError, Settings, system_resolver};
use serde_json::json;

async fn call(egress: Egress, request: HttpRequest) -> Result<HttpResponse, EgressError> {
    let (parts, body) = request.into_parts();
    let url = parts.uri.to_string();
    let kind = parts.headers.get(http::header::CONTENT_TYPE).cloned();
    let headers: Vec<_> = parts
        .headers
        .iter()
        .filter(|(name, _)| *name != http::header::CONTENT_TYPE)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let body = kind.map(|kind| (kind, String::from_utf8_lossy(&body).into_owned()));
    let body = body.filter(|(_, text)| !text.is_empty());
    let answer =
        egress.call(Call { method: parts.method, url: &url, headers: &headers, body }).await?;
    let mut response = HttpResponse::new(answer.body.to_vec());
    *response.status_mut() = answer.status;
    if let Some(kind) = answer.content_type.and_then(|kind| kind.parse().ok()) {
        response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    }
    Ok(response)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [issuer, client_id, redirect_uri, authority] = arguments.as_slice() else {
        return Err("issuer, client id, redirect URI and authority".into());
    };
    let settings = Settings {
        allow: vec!["127.0.0.0/8".parse()?],
        ca_pem: Some(fs::read_to_string(authority)?),
    };
    let egress = Egress::new(settings, system_resolver())?;
    let http = move |request: HttpRequest| call(egress.clone(), request);

    let metadata =
        CoreProviderMetadata::discover_async(IssuerUrl::new(issuer.clone())?, &http).await?;
    let client =
        CoreClient::from_provider_metadata(metadata, ClientId::new(client_id.clone()), None)
            .set_redirect_uri(RedirectUrl::new(redirect_uri.clone())?);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state, nonce) = client
        .authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        )
        .add_scopes(["profile", "email"].map(|scope| Scope::new(scope.to_owned())))
        .set_pkce_challenge(challenge)
        .url();
    println!("{url}");

    let mut back = String::new();
    io::stdin().read_line(&mut back)?;
    let back = Url::parse(back.trim())?;
    let answer: HashMap<String, String> = back.query_pairs().into_owned().collect();
    assert_eq!(answer["state"], *state.secret());
    assert_eq!(answer["iss"], *issuer);
    let code = AuthorizationCode::new(answer["code"].clone());
    let tokens =
        client.exchange_code(code)?.set_pkce_verifier(verifier).request_async(&http).await?;

    let id_token = tokens.id_token().ok_or("no ID token")?;
    let id_verifier = client.id_token_verifier();
    let claims = id_token.claims(&id_verifier, &nonce)?;
    let hash = AccessTokenHash::from_token(
        tokens.access_token(),
        id_token.signing_alg()?,
        id_token.signing_key(&id_verifier)?,
    )?;
    assert_eq!(claims.access_token_hash(), Some(&hash));
    let other = id_token.claims(&id_verifier, &Nonce::new("other".to_owned()));
    assert!(other.is_err(), "the nonce is looked at");

    let info: CoreUserInfoClaims = client
        .user_info(tokens.access_token().to_owned(), Some(claims.subject().clone()))?
        .request_async(&http)
        .await?;
    let refresh = tokens.refresh_token().ok_or("no refresh token")?;
    let again = client.exchange_refresh_token(refresh)?.request_async(&http).await?;
    let learned = json!({
        "subject": claims.subject().as_str(),
        "name": info.preferred_username().map(|name| name.as_str()),
        "email": info.email().map(|email| email.as_str()),
        "algorithm": format!("{:?}", id_token.signing_alg()?),
        "refreshed": again.access_token().secret() != tokens.access_token().secret(),
    });
    println!("{learned}");
    Ok(())
}
