use portcullis_documents::{aamva::Licence, zone::Expected, zone::Zone};
use portcullis_screening::{Entity, Schema};
use serde::{Deserialize, Serialize};

/// What is known about somebody and their document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Known {
    /// As documents have it, or as the person writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surname: Option<String>,
    /// The same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_names: Option<String>,
    /// `YYYY-MM-DD`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_of_birth: Option<String>,
    /// `YYYY-MM-DD`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_of_expiry: Option<String>,
    /// Of the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document_number: Option<String>,
    /// Three letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nationality: Option<String>,
    /// Further ones, three letters each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_nationalities: Vec<String>,
    /// Three letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuing_state: Option<String>,
    /// `M`, `F`, `X`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sex: Option<String>,
    /// The machine readable zone, where it was one that told this.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mrz: Vec<String>,
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl Known {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What others are compared with.
    pub(super) fn expected(&self) -> Expected {
        Expected {
            surname: self.surname.clone(),
            given_names: self.given_names.clone(),
            date_of_birth: self.date_of_birth.clone(),
            date_of_expiry: self.date_of_expiry.clone(),
            document_number: self.document_number.clone(),
            nationality: self.nationality.clone(),
            issuing_state: self.issuing_state.clone(),
        }
    }

    /// Whom lists are searched for; `None` without a name.
    pub(super) fn entity(&self) -> Option<Entity> {
        let (surname, given) = (self.surname.as_deref(), self.given_names.as_deref());
        let name = [given, surname].into_iter().flatten().collect::<Vec<_>>().join(" ");
        if name.trim().is_empty() {
            return None;
        }
        let mut entity = Entity::new(Schema::Person);
        entity.add("name", &name);
        let parts = [
            ("lastName", surname),
            ("firstName", given),
            ("birthDate", self.date_of_birth.as_deref()),
            ("gender", self.sex.as_deref().and_then(gender)),
        ];
        for (property, value) in parts {
            entity.add(property, value.unwrap_or_default());
        }
        Some(entity)
    }
}

fn gender(sex: &str) -> Option<&'static str> {
    match sex {
        "M" => Some("male"),
        "F" => Some("female"),
        _ => None,
    }
}

impl From<Expected> for Known {
    fn from(expected: Expected) -> Self {
        Self {
            surname: expected.surname,
            given_names: expected.given_names,
            date_of_birth: expected.date_of_birth,
            date_of_expiry: expected.date_of_expiry,
            document_number: expected.document_number,
            nationality: expected.nationality,
            issuing_state: expected.issuing_state,
            sex: None,
            other_nationalities: Vec::new(),
            mrz: Vec::new(),
        }
    }
}

impl From<&Zone> for Known {
    fn from(zone: &Zone) -> Self {
        let day = |text: &str| (text.len() == 10).then(|| text.to_owned());
        Self {
            surname: some(&zone.surname),
            given_names: some(&zone.given_names),
            date_of_birth: day(&zone.date_of_birth),
            date_of_expiry: day(&zone.date_of_expiry),
            document_number: some(&zone.document_number),
            nationality: some(&zone.nationality),
            issuing_state: some(&zone.issuing_state),
            sex: some(zone.sex),
            other_nationalities: Vec::new(),
            mrz: zone.lines.clone(),
        }
    }
}

impl From<&Licence> for Known {
    fn from(licence: &Licence) -> Self {
        Self {
            surname: some(&licence.family_name),
            given_names: some(&licence.given_names),
            date_of_birth: licence.date_of_birth.map(|day| day.to_string()),
            date_of_expiry: licence.date_of_expiry.map(|day| day.to_string()),
            document_number: some(&licence.document_number),
            nationality: None,
            issuing_state: some(licence.country),
            sex: some(licence.sex),
            other_nationalities: Vec::new(),
            mrz: Vec::new(),
        }
    }
}
