use data_encoding::BASE64;
use http::{HeaderName, HeaderValue, Method};
use portcullis_egress::{Answer, Call, Egress, Resolve, Settings};
use portcullis_types::Secret;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{KmsError, PURPOSE};

/// Words of Vault that are passed on are at most this long.
const MAX_REASON_CHARS: usize = 200;
/// A wrapped data key is at most this long.
const MAX_WRAPPED_BYTES: usize = 4_096;

/// Where the transit engine is and how to get in.
#[derive(Debug, Clone)]
pub struct TransitSettings {
    /// `https://HOST:PORT`.
    pub address: String,
    /// The path of the engine, such as `transit`.
    pub mount: String,
    /// The name of the key.
    pub key: String,
    /// The namespace, where there are several.
    pub namespace: Option<String>,
    /// The token; its policy must allow `update` on `MOUNT/encrypt/KEY` and `MOUNT/decrypt/KEY`.
    pub token: Secret<String>,
    /// The authority of its certificate besides those of the web, PEM.
    pub ca_pem: Option<String>,
}

/// A key in the transit engine of Vault or OpenBao.
#[derive(Debug)]
pub struct Transit {
    settings: TransitSettings,
    headers: Vec<(HeaderName, HeaderValue)>,
    egress: Egress,
}

#[derive(Deserialize)]
struct Reply<T> {
    data: T,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    plaintext: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Refusal {
    errors: Vec<String>,
}

impl Transit {
    /// Prepares calls; nothing is called yet.
    pub fn new(settings: TransitSettings, resolve: Resolve) -> Result<Self, KmsError> {
        let is_name = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                && !text.contains("..")
        };
        if !is_name(&settings.key) || !settings.mount.split('/').all(is_name) {
            return Err(KmsError::Settings("mount and key are names of letters, digits, - and _"));
        }
        let secret = |text: &str| {
            let mut value = HeaderValue::from_str(text.trim())
                .map_err(|_| KmsError::Settings("the token or namespace is no header value"))?;
            value.set_sensitive(true);
            Ok::<_, KmsError>(value)
        };
        let mut headers = vec![
            (HeaderName::from_static("x-vault-token"), secret(settings.token.expose())?),
            (HeaderName::from_static("x-vault-request"), HeaderValue::from_static("true")),
        ];
        if let Some(namespace) = &settings.namespace {
            headers.push((HeaderName::from_static("x-vault-namespace"), secret(namespace)?));
        }
        // The operator chose the address, so it may be anywhere.
        let allow = ["0.0.0.0/0", "::/0"].iter().filter_map(|network| network.parse().ok());
        let egress = Settings { allow: allow.collect(), ca_pem: settings.ca_pem.clone() };
        Ok(Self { settings, headers, egress: Egress::new(egress, resolve)? })
    }

    pub(crate) async fn wrap(&self, key: &Secret<Vec<u8>>) -> Result<Vec<u8>, KmsError> {
        let plaintext = BASE64.encode(key.expose());
        let reply: Reply<Encrypted> =
            self.ask("encrypt", &json!({ "plaintext": plaintext })).await?;
        let ciphertext = reply.data.ciphertext;
        if ciphertext.is_empty() || ciphertext.len() > MAX_WRAPPED_BYTES {
            return Err(KmsError::Answer);
        }
        Ok(ciphertext.into_bytes())
    }

    pub(crate) async fn unwrap(&self, wrapped: &[u8]) -> Result<Secret<Vec<u8>>, KmsError> {
        let ciphertext = std::str::from_utf8(wrapped).map_err(|_| KmsError::Unwrap)?;
        let reply: Reply<Decrypted> =
            self.ask("decrypt", &json!({ "ciphertext": ciphertext })).await?;
        let plaintext = Secret::new(reply.data.plaintext);
        let key = BASE64.decode(plaintext.expose().as_bytes()).map_err(|_| KmsError::Answer)?;
        Ok(Secret::new(key))
    }

    async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        operation: &str,
        input: &Value,
    ) -> Result<T, KmsError> {
        let TransitSettings { address, mount, key, .. } = &self.settings;
        let url = format!("{}/v1/{mount}/{operation}/{key}", address.trim_end_matches('/'));
        let mut input = input.clone();
        input["associated_data"] = BASE64.encode(PURPOSE).into();
        let body = Some((HeaderValue::from_static("application/json"), input.to_string()));
        let call = Call { method: Method::POST, url: &url, headers: &self.headers, body };
        let answer = self.egress.call(call).await?;
        if !answer.status.is_success() {
            return Err(refusal(&answer));
        }
        serde_json::from_slice(&answer.body).map_err(|_| KmsError::Answer)
    }
}

fn refusal(answer: &Answer) -> KmsError {
    let refusal: Refusal = serde_json::from_slice(&answer.body).unwrap_or_default();
    let reason = refusal.errors.join("; ");
    let reason = reason.chars().filter(|c| !c.is_control()).take(MAX_REASON_CHARS).collect();
    KmsError::Refused { status: answer.status.as_u16(), reason }
}
