//! What clients know people by (OpenID Connect Core, section 8).

use std::collections::BTreeSet;

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use portcullis_identity::FieldError;
use portcullis_types::{Id, tags};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{Client, ClientError, ClientSpec, Provider};

/// Whether all clients know a person by one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectType {
    /// They do.
    Public,
    /// Each sector has its own, so that two of them cannot compare notes.
    Pairwise,
}

impl SubjectType {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Public, Self::Pairwise];

    /// The registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Pairwise => "pairwise",
        }
    }

    /// Reads a registered name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl Provider {
    /// What `client` knows an account by.
    pub(crate) fn subject(&self, client: &Client, account: Id<tags::User>) -> String {
        let settings = &client.settings;
        let Some(sector) = settings.sector_identifier.as_deref().filter(|_| settings.is_pairwise())
        else {
            return account.to_string();
        };
        let mut context = hmac::Context::with_key(&self.pairwise_key);
        context.update(&u64::try_from(sector.len()).unwrap_or(0).to_be_bytes());
        context.update(sector.as_bytes());
        context.update(account.to_string().as_bytes());
        BASE64URL_NOPAD.encode(context.sign().as_ref())
    }

    /// The sector of a client (section 8.1): the host of its redirect URIs, or of the document that
    /// lists them.
    pub(crate) async fn sector(
        &self,
        spec: &ClientSpec,
        client_id: &str,
    ) -> Result<Option<String>, ClientError> {
        if !spec.settings.is_pairwise() {
            return Ok(None);
        }
        let host = |uri: &str| Url::parse(uri).ok()?.host_str().map(str::to_owned);
        if let Some(uri) = &spec.settings.sector_identifier_uri {
            let wrong = |text| invalid("sector_identifier_uri", text);
            let fetched = self.egress.get(uri).await;
            let answer = fetched.map_err(|error| {
                tracing::info!(%error, "a sector identifier was not fetched");
                wrong("cannot be fetched")
            })?;
            let listed: Option<Vec<String>> = Some(answer)
                .filter(|answer| answer.status.as_u16() == 200)
                .and_then(|answer| portcullis_jose::from_slice_strict(&answer.body).ok());
            let listed = listed.ok_or_else(|| wrong("must be a JSON array of strings"))?;
            if !spec.redirect_uris.iter().all(|uri| listed.contains(uri)) {
                return Err(wrong("must list every redirect URI"));
            }
            return Ok(host(uri));
        }
        let hosts: BTreeSet<_> = spec.redirect_uris.iter().map(|uri| host(uri)).collect();
        match hosts.len() {
            0 => Ok(Some(client_id.to_owned())),
            1 => Ok(hosts.into_iter().next().flatten().or(Some(client_id.to_owned()))),
            _ => Err(invalid(
                "sector_identifier_uri",
                "is needed: the redirect URIs have several hosts",
            )),
        }
    }
}

fn invalid(field: &'static str, message: &str) -> ClientError {
    ClientError::Invalid(vec![FieldError { field, message: message.to_owned() }])
}
