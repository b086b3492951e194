use std::time::Duration;

use portcullis_types::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Alg, Compact, JwsError, VerifyingKey, from_slice_strict};

/// Clocks of issuer and verifier may differ by this much for `nbf` and `iat`. `exp` gets none.
pub const CLOCK_SKEW: Duration = Duration::from_secs(30);

/// Why a token was refused. The text is safe to show: it never repeats what was in the token.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is not a compact JWS of an accepted algorithm.
    #[error("the token is malformed")]
    Malformed(#[source] JwsError),
    /// The algorithm is not one this verifier accepts.
    #[error("the token's algorithm is not accepted here")]
    Algorithm,
    /// The `typ` is of another kind of token.
    #[error("the token is of another type")]
    Type,
    /// No key with this `kid` and algorithm is known.
    #[error("the token's key is unknown")]
    UnknownKey,
    /// The signature does not match.
    #[error("the token's signature is not valid")]
    Signature,
    /// A claim is missing or of the wrong JSON type.
    #[error("the token's claims are malformed")]
    Claims,
    /// Issued by somebody else.
    #[error("the token is from another issuer")]
    Issuer,
    /// Meant for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
}

/// The `aud` claim: one string or a list (RFC 7519, section 4.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One audience.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Audience {
    /// Whether `audience` is among them.
    pub fn contains(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}

/// The registered claims every token must carry. `exp` and the others are integers; a token that
/// writes them as text or fractions is refused.
#[derive(Debug, Clone, Deserialize)]
pub struct Registered {
    /// Who issued it.
    pub iss: String,
    /// Whom it is for.
    pub aud: Audience,
    /// When it ends, in seconds since the epoch.
    pub exp: i64,
    /// When it begins.
    pub nbf: Option<i64>,
    /// When it was issued.
    pub iat: Option<i64>,
}

/// Where keys come from, by the key id and algorithm of a token.
pub trait KeySource {
    /// The key called `kid` for `alg`; a token without `kid` matches only an unambiguous key.
    fn find(&self, kid: Option<&str>, alg: Alg) -> Option<&VerifyingKey>;
}

impl KeySource for [VerifyingKey] {
    fn find(&self, kid: Option<&str>, alg: Alg) -> Option<&VerifyingKey> {
        let mut fitting = self
            .iter()
            .filter(|key| key.alg() == alg && kid.is_none_or(|kid| key.kid() == Some(kid)));
        let first = fitting.next()?;
        fitting.next().is_none().then_some(first)
    }
}

/// RFC 7515, section 4.1.9: case-insensitive, `application/` may be left out.
pub(crate) fn is_type(typ: &str, known: &str) -> bool {
    let bare = typ
        .get(..12)
        .filter(|prefix| prefix.eq_ignore_ascii_case("application/"))
        .map_or(typ, |_| &typ[12..]);
    bare.eq_ignore_ascii_case(known)
}

/// Whether one of `keys` signed it with one of `algs`.
pub(crate) fn check_signature(
    token: &Compact<'_>,
    algs: &[Alg],
    keys: &(impl KeySource + ?Sized),
) -> Result<(), VerifyError> {
    if !algs.contains(&token.alg) {
        return Err(VerifyError::Algorithm);
    }
    let key = keys.find(token.kid.as_deref(), token.alg).ok_or(VerifyError::UnknownKey)?;
    if key.verify(token.signed, &token.signature) { Ok(()) } else { Err(VerifyError::Signature) }
}

/// Checks tokens of one issuer for one audience. There is no way to build one without both.
#[derive(Debug, Clone)]
pub struct Verifier {
    issuer: String,
    audiences: Vec<String>,
    types: Vec<&'static str>,
    untyped: bool,
    algs: Vec<Alg>,
}

impl Verifier {
    /// Tokens of media type `typ` from `issuer` for `audience`, signed with one of `algs`.
    pub fn new(
        issuer: impl Into<String>,
        audience: impl Into<String>,
        typ: &'static str,
        algs: &[Alg],
    ) -> Self {
        Self {
            issuer: issuer.into(),
            audiences: vec![audience.into()],
            types: vec![typ],
            untyped: false,
            algs: algs.to_vec(),
        }
    }

    /// Accepts a further type.
    #[must_use]
    pub fn or_type(mut self, typ: &'static str) -> Self {
        self.types.push(typ);
        self
    }

    /// Accepts tokens that name no type, as most client assertions do (RFC 7523).
    #[must_use]
    pub fn or_untyped(mut self) -> Self {
        self.untyped = true;
        self
    }

    /// Accepts a further audience.
    #[must_use]
    pub fn or_audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Checks everything and returns the claims as `T`.
    pub fn verify<T: DeserializeOwned>(
        &self,
        token: &str,
        keys: &(impl KeySource + ?Sized),
        now: Timestamp,
    ) -> Result<T, VerifyError> {
        let token = Compact::parse(token).map_err(VerifyError::Malformed)?;
        let typed = |typ: &str| self.types.iter().any(|known| is_type(typ, known));
        if !token.typ.as_deref().map_or(self.untyped, typed) {
            return Err(VerifyError::Type);
        }
        check_signature(&token, &self.algs, keys)?;
        let claims: Value = from_slice_strict(&token.payload).map_err(|_| VerifyError::Claims)?;
        self.check_claims(&claims, now)?;
        T::deserialize(claims).map_err(|_| VerifyError::Claims)
    }

    fn check_claims(&self, claims: &Value, now: Timestamp) -> Result<(), VerifyError> {
        let claims = Registered::deserialize(claims).map_err(|_| VerifyError::Claims)?;
        if claims.iss != self.issuer {
            return Err(VerifyError::Issuer);
        }
        if !self.audiences.iter().any(|audience| claims.aud.contains(audience)) {
            return Err(VerifyError::Audience);
        }
        if now.secs() >= claims.exp {
            return Err(VerifyError::Expired);
        }
        let soon = now.plus(CLOCK_SKEW).secs();
        if [claims.nbf, claims.iat].into_iter().flatten().any(|from| from > soon) {
            return Err(VerifyError::NotYetValid);
        }
        Ok(())
    }
}
