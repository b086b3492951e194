use std::collections::BTreeSet;

use portcullis_identity::Memberships;
use portcullis_jose::from_slice_strict;
use portcullis_store::accounts::Account;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    OAuthError,
    verified::{self, VerifiedRequest},
};

/// What we can say about a person (OpenID Connect Core, section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Claim {
    Name,
    PreferredUsername,
    UpdatedAt,
    Email,
    EmailVerified,
    Locale,
    Groups,
    Roles,
}

/// Somebody whom tokens are about.
#[derive(Debug)]
pub(crate) struct Person {
    pub account: Account,
    /// Empty unless somebody may know.
    pub memberships: Memberships,
    /// Whom the account belongs to, each by other rules. Empty unless somebody asks for it by name.
    pub verified: Vec<Value>,
    /// What their verification stands for as `acr`, where the grant is for that.
    pub acr: Option<String>,
}

impl Claim {
    pub const ALL: [Self; 8] = [
        Self::Name,
        Self::PreferredUsername,
        Self::UpdatedAt,
        Self::Email,
        Self::EmailVerified,
        Self::Locale,
        Self::Groups,
        Self::Roles,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::PreferredUsername => "preferred_username",
            Self::UpdatedAt => "updated_at",
            Self::Email => "email",
            Self::EmailVerified => "email_verified",
            Self::Locale => "locale",
            Self::Groups => "groups",
            Self::Roles => "roles",
        }
    }

    /// The scope that stands for it (section 5.4). Whoever asks for the claim by name must be
    /// allowed the scope, and the person is asked for it in the same words.
    pub fn scope(self) -> &'static str {
        match self {
            Self::Name | Self::PreferredUsername | Self::UpdatedAt | Self::Locale => "profile",
            Self::Email | Self::EmailVerified => "email",
            Self::Groups => "groups",
            Self::Roles => "roles",
        }
    }

    fn of(self, person: &Person) -> Value {
        let Person { account, memberships, .. } = person;
        match self {
            Self::Locale => account.locale.as_str().into(),
            Self::Groups => memberships.groups.clone().into(),
            Self::Roles => memberships.roles.iter().cloned().collect::<Vec<_>>().into(),
            Self::Name => account.display_name.as_str().into(),
            Self::PreferredUsername => account.username.as_str().into(),
            Self::UpdatedAt => (account.updated_at / 1_000_000).into(),
            Self::Email => account.email.as_str().into(),
            // An account exists only for an address that was proven.
            Self::EmailVerified => true.into(),
        }
    }
}

/// Claims that were asked for by name (section 5.5). Stored with the grant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RequestedClaims {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub userinfo: BTreeSet<Claim>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub id_token: BTreeSet<Claim>,
    /// Whom the account belongs to, for userinfo.
    #[serde(skip_serializing_if = "VerifiedRequest::is_empty")]
    pub verified_userinfo: VerifiedRequest,
    /// The same for the ID token.
    #[serde(skip_serializing_if = "VerifiedRequest::is_empty")]
    pub verified_id_token: VerifiedRequest,
    /// The person that the ID token must be about.
    #[serde(skip)]
    pub subject: Option<String>,
    /// The `acr` that the ID token must or should have, and whether it must.
    #[serde(skip)]
    pub acr: (Vec<String>, bool),
}

impl RequestedClaims {
    /// Reads the parameter `claims`. What we do not know is passed over, as section 5.5 asks.
    pub fn parse(text: &str) -> Result<Self, OAuthError> {
        let malformed = || OAuthError::request("claims must be a JSON object of objects");
        let asked: Map<String, Value> =
            from_slice_strict(text.as_bytes()).map_err(|_| malformed())?;
        let part = |name: &str| match asked.get(name) {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(members)) => Ok(members.clone()),
            Some(_) => Err(malformed()),
        };
        let (userinfo, id_token) = (part("userinfo")?, part("id_token")?);
        let mut members = userinfo.iter().chain(&id_token);
        if !members
            .all(|(name, member)| name == verified::SCOPE || member.is_null() || member.is_object())
        {
            return Err(malformed());
        }
        let verified = |part: &Map<String, Value>| {
            let text =
                "verified_claims must name a trust_framework and claims, and say values rightly";
            let asked = VerifiedRequest::read(part.get(verified::SCOPE));
            asked.ok_or_else(|| OAuthError::request(text))
        };
        let (verified_userinfo, verified_id_token) = (verified(&userinfo)?, verified(&id_token)?);
        let subject = id_token.get("sub").and_then(|sub| sub.get("value"));
        let subject = match subject {
            None => None,
            Some(Value::String(subject)) => Some(subject.clone()),
            Some(_) => return Err(malformed()),
        };
        let acr = read_acr(id_token.get("acr")).ok_or_else(malformed)?;
        let known = |asked: &Map<String, Value>| {
            Claim::ALL.into_iter().filter(|claim| asked.contains_key(claim.as_str())).collect()
        };
        Ok(Self {
            userinfo: known(&userinfo),
            id_token: known(&id_token),
            verified_userinfo,
            verified_id_token,
            subject,
            acr,
        })
    }

    /// Only the claims whose scope is one of `allowed`.
    #[must_use]
    pub fn within(mut self, allowed: &BTreeSet<String>) -> Self {
        let may = |claim: &Claim| allowed.contains(claim.scope());
        self.userinfo.retain(may);
        self.id_token.retain(may);
        if !allowed.contains(verified::SCOPE) {
            (self.verified_userinfo, self.verified_id_token) = Default::default();
        }
        self
    }

    /// The scopes that stand for what was asked for.
    pub fn scopes(&self) -> BTreeSet<&'static str> {
        let verified = self.wants_verified().then_some(verified::SCOPE);
        let named = self.userinfo.iter().chain(&self.id_token).map(|claim| claim.scope());
        named.chain(verified).collect()
    }

    /// Whether somebody wants to know whom the account belongs to.
    pub fn wants_verified(&self) -> bool {
        !self.verified_userinfo.is_empty() || !self.verified_id_token.is_empty()
    }

    /// Whether somebody may know the groups or roles of the person.
    pub fn wants_memberships(&self, scope: &str) -> bool {
        let wanted = ["groups", "roles"];
        scope.split(' ').chain(self.scopes()).any(|scope| wanted.contains(&scope))
    }

    /// For the row of the grant; nothing for nothing.
    pub fn to_row(&self) -> Option<String> {
        let empty = self.userinfo.is_empty() && self.id_token.is_empty() && !self.wants_verified();
        if empty { None } else { serde_json::to_string(self).ok() }
    }

    /// From the row of a grant.
    pub fn from_row(row: Option<&str>) -> Self {
        row.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }
}

/// The values of a request for the claim `acr`, and whether it is essential.
fn read_acr(member: Option<&Value>) -> Option<(Vec<String>, bool)> {
    let Some(member) = member.filter(|member| !member.is_null()) else {
        return Some((Vec::new(), false));
    };
    let essential = match member.get("essential") {
        None => false,
        Some(essential) => essential.as_bool()?,
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let values = match (member.get("value"), member.get("values")) {
        (Some(value), None) => vec![text(value)?],
        (None, Some(values)) => values.as_array()?.iter().map(text).collect::<Option<_>>()?,
        (None, None) => Vec::new(),
        (Some(_), Some(_)) => return None,
    };
    Some((values, essential))
}

/// Whether the parameter `claims` of a request can be read.
pub fn check_claims_parameter(text: &str) -> Result<(), OAuthError> {
    RequestedClaims::parse(text).map(drop)
}

/// The claims that `scopes` and `named` allow, with their values, added to `into`.
pub(crate) fn disclose(
    into: &mut Value,
    person: &Person,
    scopes: &BTreeSet<&str>,
    named: &BTreeSet<Claim>,
) {
    for claim in Claim::ALL {
        if scopes.contains(claim.scope()) || named.contains(&claim) {
            let value = claim.of(person);
            // What we do not know is left out (section 5.3.2).
            if value != Value::String(String::new()) {
                into[claim.as_str()] = value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_read_and_the_rest_passed_over() {
        let text = r#"{"userinfo":{"email":{"essential":true},"phone_number":null,"sub":null},
            "id_token":{"name":null,"auth_time":{"essential":true},"sub":{"value":"usr_1"}},"x":1}"#;
        let asked = RequestedClaims::parse(text).unwrap();
        assert_eq!(asked.userinfo, BTreeSet::from([Claim::Email]));
        assert_eq!(asked.id_token, BTreeSet::from([Claim::Name]));
        assert_eq!(asked.subject.as_deref(), Some("usr_1"));
        let again = RequestedClaims::from_row(asked.to_row().as_deref());
        assert_eq!(
            (again.userinfo, again.id_token),
            (asked.userinfo.clone(), asked.id_token.clone())
        );
        let few = asked.within(&BTreeSet::from(["profile".to_owned()]));
        assert!(few.userinfo.is_empty() && few.scopes() == BTreeSet::from(["profile"]));
        assert_eq!(RequestedClaims::parse("{}").unwrap().to_row(), None);
    }

    #[test]
    fn other_shapes_are_refused() {
        for bad in [
            "",
            "[]",
            r#"{"userinfo":[]}"#,
            r#"{"userinfo":{"email":true}}"#,
            r#"{"id_token":{"sub":{"value":7}}}"#,
            r#"{"userinfo":{"email":null,"email":null}}"#,
            r#"{"userinfo":null,"userinfo":{}}"#,
        ] {
            assert!(RequestedClaims::parse(bad).is_err(), "{bad}");
        }
    }
}
