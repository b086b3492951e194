use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};
use portcullis_documents::zone::{Day, Expected};
use portcullis_identity::FieldError;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::ApiError;

/// Characters of a field that is compared.
const FIELD_MAX_CHARS: usize = 200;

/// What else is known about the holder; what is left out is not compared.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedInput {
    /// In any writing that ICAO 9303-3 brings into capital letters.
    surname: Option<String>,
    /// The same; a zone may have cut them.
    given_names: Option<String>,
    /// `YYYY-MM-DD`
    date_of_birth: Option<String>,
    /// `YYYY-MM-DD`
    date_of_expiry: Option<String>,
    document_number: Option<String>,
    /// Three letters, `DEU`.
    nationality: Option<String>,
    /// Three letters, `DEU`.
    issuing_state: Option<String>,
}

impl ExpectedInput {
    pub fn read(self) -> Result<Expected, ApiError> {
        let days = [
            ("expected/date_of_birth", &self.date_of_birth),
            ("expected/date_of_expiry", &self.date_of_expiry),
        ];
        for (field, day) in days {
            if day.as_deref().is_some_and(|day| Day::parse(day).is_none()) {
                return Err(invalid(field, "must be a day, YYYY-MM-DD"));
            }
        }
        let texts = [
            &self.surname,
            &self.given_names,
            &self.document_number,
            &self.nationality,
            &self.issuing_state,
        ];
        let long = |text: &str| text.chars().count() > FIELD_MAX_CHARS || text.trim().is_empty();
        if texts.into_iter().flatten().any(|text| long(text)) {
            return Err(invalid("expected", "must have fields of 1 to 200 characters"));
        }
        Ok(Expected {
            surname: self.surname,
            given_names: self.given_names,
            date_of_birth: self.date_of_birth,
            date_of_expiry: self.date_of_expiry,
            document_number: self.document_number,
            nationality: self.nationality,
            issuing_state: self.issuing_state,
        })
    }
}

/// Base64 of either alphabet, with its end or without.
pub(crate) fn bytes(field: &'static str, text: &str) -> Result<Vec<u8>, ApiError> {
    let text = text.trim().as_bytes();
    [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD]
        .iter()
        .find_map(|encoding| encoding.decode(text).ok())
        .ok_or_else(|| invalid(field, "must be base64"))
}

pub(crate) fn invalid(field: &'static str, message: &str) -> ApiError {
    ApiError::Invalid(vec![FieldError { field, message: message.to_owned() }])
}
