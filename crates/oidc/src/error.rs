use http::StatusCode;
use serde::Serialize;

/// The error codes of RFC 6749, RFC 6750, RFC 7009, RFC 8707, RFC 9126, RFC 9449 and OpenID Connect
/// Core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// A parameter is missing, repeated or malformed.
    InvalidRequest,
    /// The client could not be authenticated.
    InvalidClient,
    /// The code or refresh token is wrong, used, expired, or another client's.
    InvalidGrant,
    /// The client may not use this grant.
    UnauthorizedClient,
    /// The grant type is not known here.
    UnsupportedGrantType,
    /// The response type is not known here.
    UnsupportedResponseType,
    /// A scope is unknown or beyond what the client may ask for.
    InvalidScope,
    /// A resource is unknown or beyond what the client may ask for.
    InvalidTarget,
    /// The person said no.
    AccessDenied,
    /// Nobody is logged in, and `prompt=none` forbids asking.
    LoginRequired,
    /// Consent is needed, and `prompt=none` forbids asking.
    ConsentRequired,
    /// The person has to do something else first, and `prompt=none` forbids asking.
    InteractionRequired,
    /// The person cannot prove as much as was asked for (OpenID Connect Core Error Code
    /// unmet_authentication_requirements 1.0).
    UnmetAuthenticationRequirements,
    /// The pushed request is unknown, another client's, used or expired (RFC 9101, section 6.2).
    InvalidRequestUri,
    /// Request objects are not supported (OpenID Connect Core, section 3.1.2.6).
    RequestNotSupported,
    /// Only request URIs of our own are supported.
    RequestUriNotSupported,
    /// A registration parameter in a request is not supported.
    RegistrationNotSupported,
    /// The DPoP proof does not hold (RFC 9449, section 5).
    InvalidDpopProof,
    /// The DPoP proof must carry a nonce of ours (RFC 9449, section 8).
    UseDpopNonce,
    /// Nobody has decided about the device yet (RFC 8628, section 3.5).
    AuthorizationPending,
    /// The device asks too often.
    SlowDown,
    /// The device code has expired.
    ExpiredToken,
    /// The token type hint is not one we know.
    UnsupportedTokenType,
    /// A part we depend on did not answer.
    TemporarilyUnavailable,
    /// A defect of ours.
    ServerError,
}

impl ErrorCode {
    /// The code as it goes over the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::AccessDenied => "access_denied",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::InteractionRequired => "interaction_required",
            Self::UnmetAuthenticationRequirements => "unmet_authentication_requirements",
            Self::InvalidRequestUri => "invalid_request_uri",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::RegistrationNotSupported => "registration_not_supported",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }

    /// The status at the token endpoint (RFC 6749, section 5.2).
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidClient => StatusCode::UNAUTHORIZED,
            Self::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// An error as a client sees it. The description is ours, never an echo of the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{error_description}")]
pub struct OAuthError {
    /// The code.
    pub error: ErrorCode,
    /// What to change.
    pub error_description: &'static str,
}

impl OAuthError {
    /// An error with its description.
    pub fn new(error: ErrorCode, error_description: &'static str) -> Self {
        Self { error, error_description }
    }

    /// `invalid_request`.
    pub fn request(description: &'static str) -> Self {
        Self::new(ErrorCode::InvalidRequest, description)
    }

    /// `invalid_grant`.
    pub fn grant(description: &'static str) -> Self {
        Self::new(ErrorCode::InvalidGrant, description)
    }

    /// `invalid_client`.
    pub fn client() -> Self {
        Self::new(ErrorCode::InvalidClient, "client authentication failed")
    }
}
