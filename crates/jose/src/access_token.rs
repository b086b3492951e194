//! The JWT profile for access tokens (RFC 9068).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Audience, status_list::Status};

/// The media type of an access token (RFC 9068, section 2.1).
pub const TYP: &str = "at+jwt";

/// The claims of an access token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessClaims {
    /// The issuer.
    pub iss: String,
    /// The person, or the client itself where nobody logged in.
    pub sub: String,
    /// The resource servers it is for.
    pub aud: Audience,
    /// When it ends, in seconds since the epoch.
    pub exp: i64,
    /// When it was issued.
    pub iat: i64,
    /// Its id.
    pub jti: String,
    /// The client it was issued to.
    pub client_id: String,
    /// The scopes, separated by spaces.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// When the person proved who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// How sure we were of who the person is (RFC 9470, section 6.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// The session it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// The grant it came from; revoking the grant ends the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_id: Option<String>,
    /// The user name, for services that show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_username: Option<String>,
    /// Names of the person's groups, with the scope `groups` (RFC 9068, section 2.2.3.1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The person's roles, with the scope `roles`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Who acts for the subject (RFC 8693, section 4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<ActClaim>,
    /// The key that whoever uses the token must prove to hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// Where it says whether the token was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

/// Somebody who acts for somebody else, and who acted before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActClaim {
    /// The client or person that acts.
    pub sub: String,
    /// The one that acted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<ActClaim>>,
}

impl ActClaim {
    /// How many act, one after the other.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        let mut earlier = self.act.as_deref();
        let mut count = 1;
        while let Some(actor) = earlier {
            count += 1;
            earlier = actor.act.as_deref();
        }
        count
    }
}

/// What a token is bound to (RFC 7800), all of which must be shown. A member that is not known
/// here, or none, refuses the token: it must not pass as one that is bound to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "Members")]
pub struct Confirmation {
    /// The thumbprint of a key for DPoP (RFC 9449, section 6.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jkt: Option<String>,
    /// The thumbprint of a certificate for mutual TLS (RFC 8705, section 3.1).
    #[serde(rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    pub x5t_s256: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    jkt: Option<String>,
    #[serde(rename = "x5t#S256")]
    x5t_s256: Option<String>,
}

impl TryFrom<Members> for Confirmation {
    type Error = &'static str;

    fn try_from(members: Members) -> Result<Self, Self::Error> {
        let Members { jkt, x5t_s256 } = members;
        Self::of(jkt, x5t_s256).ok_or("cnf must name a key or a certificate")
    }
}

impl Confirmation {
    /// Bound to these; `None` if there is nothing to bind to.
    pub fn of(jkt: Option<String>, x5t_s256: Option<String>) -> Option<Self> {
        let bound = jkt.is_some() || x5t_s256.is_some();
        bound.then_some(Self { jkt, x5t_s256 })
    }
}

impl AccessClaims {
    /// Its place in the status list.
    pub fn place(&self) -> Option<u32> {
        self.status.as_ref().map(|status| status.status_list.idx)
    }

    /// The scopes as a set.
    pub fn scopes(&self) -> BTreeSet<&str> {
        self.scope.split(' ').filter(|scope| !scope.is_empty()).collect()
    }
}
