//! The checks there are, with what each takes and tells. A node of the builder, a condition and the report of a
//! check all go by this.

use crate::value::{Assurance, CheckStatus, Kind};

/// Who gives a check what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The person, or a service for them.
    Person,
    /// What is known already.
    Session,
}

/// A field that a condition can look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldSpec {
    /// After the dot.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
}

/// A check.
#[derive(Debug, Clone, Copy)]
pub struct CheckSpec {
    /// As it stands in a graph.
    pub name: &'static str,
    /// Who gives it what it needs.
    pub input: Input,
    /// Whether it tells who somebody is.
    pub tells_person: bool,
    /// Whether it needs to know who somebody is.
    pub needs_person: bool,
    /// Whether it looks at whatever is known of somebody, and needs nothing of it.
    pub gathers: bool,
    /// Whether it can be held against what another check read.
    pub compares: bool,
    /// Whether somebody else does it, whom the graph names.
    pub calls: bool,
    /// Whether it looks at the picture of the person that another check took.
    pub needs_selfie: bool,
    /// Parts of it that a graph can insist on.
    pub parts: &'static [&'static str],
    /// Codes after which the person may try again: not the document is wrong, but how it was captured.
    pub retake: &'static [&'static str],
    /// What it tells, beside what each check does.
    pub fields: &'static [FieldSpec],
}

const fn field(name: &'static str, kind: Kind) -> FieldSpec {
    FieldSpec { name, kind }
}

/// What every check tells.
const COMMON: [FieldSpec; 3] = [
    field("status", Kind::Choice(&CheckStatus::ALL)),
    field("assurance", Kind::Choice(&Assurance::ALL)),
    field("codes", Kind::Texts),
];

/// What is known of each session.
pub const SESSION_FIELDS: [FieldSpec; 3] = [
    // From 0 to 99, always the same for one session: to send some of them another way.
    field("bucket", Kind::Number),
    field("locale", Kind::Text),
    field("has_expected", Kind::Flag),
];

const PART: Kind = Kind::Choice(&["passed", "failed", "not_performed", "unverified", "review"]);
const SEX: Kind = Kind::Choice(&["M", "F", "X"]);

const MAILED: [FieldSpec; 2] = [
    // What is behind the @.
    field("domain", Kind::Text),
    // Whether it is one of those that anybody has for ten minutes; unknown without a list of them.
    field("is_disposable", Kind::Flag),
];

const TEXTED: [FieldSpec; 3] = [
    // Of the number, with two letters; unknown for one of no country.
    field("country", Kind::Text),
    // What the number was given out for.
    field("kind", Kind::Choice(&["mobile", "fixed_line_or_mobile", "voip"])),
    // From every country of the documents.
    field("country_differs", Kind::Flag),
];

/// What somebody else tells of a check.
const PROVIDED: [FieldSpec; 2] = [
    // From 0 to 1.
    field("score", Kind::Number),
    field("outcome", Kind::Text),
];

/// One that the person gives something for, and that does nothing else.
const OF_PERSON: CheckSpec = CheckSpec {
    name: "",
    input: Input::Person,
    tells_person: false,
    needs_person: false,
    gathers: false,
    compares: false,
    calls: false,
    needs_selfie: false,
    parts: &[],
    retake: &[],
    fields: &[],
};

/// One that looks at what is known already.
const OF_SESSION: CheckSpec = CheckSpec { input: Input::Session, ..OF_PERSON };

/// Every check there is.
pub const CATALOGUE: &[CheckSpec] = &[
    CheckSpec {
        name: "mrz",
        tells_person: true,
        retake: &["zone_unreadable", "check_digit_wrong", "date_impossible"],
        fields: &[
            field("document_code", Kind::Text),
            field("issuing_state", Kind::Text),
            field("nationality", Kind::Text),
            field("sex", SEX),
            field("date_of_birth", Kind::Day),
            field("date_of_expiry", Kind::Day),
            field("age", Kind::Number),
        ],
        ..OF_PERSON
    },
    CheckSpec {
        name: "emrtd",
        tells_person: true,
        compares: true,
        parts: &["passive", "active"],
        fields: &[
            field("passive", PART),
            field("active", PART),
            field("chain", Kind::Choice(&["verified", "unverified", "broken"])),
            field("document_code", Kind::Text),
            field("issuing_state", Kind::Text),
            field("nationality", Kind::Text),
            field("sex", SEX),
            field("date_of_birth", Kind::Day),
            field("date_of_expiry", Kind::Day),
            field("age", Kind::Number),
        ],
        ..OF_PERSON
    },
    CheckSpec {
        name: "barcode",
        tells_person: true,
        retake: &["barcode_not_found", "barcode_unreadable", "picture_unusable"],
        fields: &[
            field("country", Kind::Text),
            field("jurisdiction", Kind::Text),
            field("sex", SEX),
            field("date_of_birth", Kind::Day),
            field("date_of_expiry", Kind::Day),
            field("age", Kind::Number),
        ],
        ..OF_PERSON
    },
    CheckSpec {
        name: "image",
        retake: &[
            "picture_unusable",
            "picture_too_small",
            "picture_blurred",
            "picture_dark",
            "picture_bright",
        ],
        fields: &[
            field("width", Kind::Number),
            field("height", Kind::Number),
            field("sharpness", Kind::Number),
            field("brightness", Kind::Number),
        ],
        ..OF_PERSON
    },
    CheckSpec {
        name: "selfie",
        retake: &[
            "picture_unusable",
            "face_not_found",
            "several_faces",
            "face_too_small",
            "face_turned",
            "picture_blurred",
            "picture_dark",
            "picture_bright",
        ],
        fields: &[field("faces", Kind::Number), field("sharpness", Kind::Number)],
        ..OF_PERSON
    },
    CheckSpec {
        name: "face_match",
        compares: true,
        needs_selfie: true,
        fields: &[
            // The cosine of two faces, -1 to 1.
            field("score", Kind::Number),
        ],
        ..OF_SESSION
    },
    CheckSpec {
        name: "liveness",
        needs_selfie: true,
        fields: &[
            // 0 to 1.
            field("score", Kind::Number),
        ],
        ..OF_SESSION
    },
    CheckSpec {
        name: "age_estimation",
        needs_selfie: true,
        fields: &[
            field("years", Kind::Number),
            // From what the documents say; unknown where none does.
            field("difference", Kind::Number),
        ],
        ..OF_SESSION
    },
    CheckSpec {
        name: "face_search",
        needs_selfie: true,
        fields: &[
            field("blocked", Kind::Flag),
            // Others who look so, each counted once.
            field("people", Kind::Number),
            // The nearest of them and of the lists, 0 if there is none.
            field("score", Kind::Number),
            field("lists", Kind::Texts),
        ],
        ..OF_SESSION
    },
    CheckSpec {
        name: "aml",
        needs_person: true,
        fields: &[
            field("hits", Kind::Number),
            // From 0 to 1; 0 where there is no hit.
            field("score", Kind::Number),
            field("topics", Kind::Texts),
        ],
        ..OF_SESSION
    },
    CheckSpec {
        name: "lists",
        gathers: true,
        fields: &[
            field("blocked", Kind::Flag),
            field("allowed", Kind::Flag),
            // The names of those on which something is.
            field("lists", Kind::Texts),
            field("kinds", Kind::Texts),
        ],
        ..OF_SESSION
    },
    CheckSpec {
        name: "ip",
        gathers: true,
        fields: &[
            // Of the newest address, with two letters.
            field("country", Kind::Text),
            field("countries", Kind::Texts),
            field("asn", Kind::Number),
            field("addresses", Kind::Number),
            field("is_tor", Kind::Flag),
            field("is_hosting", Kind::Flag),
            field("is_proxy", Kind::Flag),
            // From every country of the documents.
            field("country_differs", Kind::Flag),
        ],
        ..OF_SESSION
    },
    CheckSpec {
        name: "device",
        gathers: true,
        fields: &[
            // That were proven.
            field("keys", Kind::Number),
            field("is_automated", Kind::Flag),
            field("contradicts", Kind::Flag),
            field("contradictions", Kind::Texts),
            field("ja4", Kind::Texts),
            // More browsers, keys or tellings than somebody has.
            field("is_many", Kind::Flag),
            // By which clocks go, in the IANA database.
            field("time_zones", Kind::Texts),
            // From every country of the addresses.
            field("time_zone_differs", Kind::Flag),
            // From every country of the documents.
            field("time_zone_of_others", Kind::Flag),
            // From those of both.
            field("languages_differ", Kind::Flag),
            // From those of browsers.
            field("tls_differs", Kind::Flag),
        ],
        ..OF_SESSION
    },
    CheckSpec {
        name: "risk",
        gathers: true,
        fields: &[
            // Of a hundred.
            field("score", Kind::Number),
            field("level", Kind::Choice(&["low", "medium", "high"])),
            field("parts", Kind::Texts),
            // Nodes that could not be weighed.
            field("missing", Kind::Texts),
        ],
        ..OF_SESSION
    },
    CheckSpec {
        name: "velocity",
        gathers: true,
        fields: &[
            // Other sessions with the same document, address or number, whichever has the most.
            field("sessions_day", Kind::Number),
            field("sessions_month", Kind::Number),
            field("declined", Kind::Number),
            // Others who are known by what is one's own, and by what.
            field("people", Kind::Number),
            field("shared", Kind::Texts),
            // Others with the same browser, which a family or a branch may share.
            field("people_by_device", Kind::Number),
        ],
        ..OF_SESSION
    },
    CheckSpec { name: "email", fields: &MAILED, ..OF_PERSON },
    CheckSpec { name: "phone", fields: &TEXTED, ..OF_PERSON },
    CheckSpec {
        name: "credential",
        tells_person: true,
        fields: &[
            field("issuer", Kind::Text),
            field("vct", Kind::Text),
            field("trust_framework", Kind::Text),
            field("assurance_level", Kind::Text),
            field("nationality", Kind::Text),
            field("date_of_birth", Kind::Day),
            field("age", Kind::Number),
        ],
        ..OF_PERSON
    },
    CheckSpec {
        name: "questionnaire",
        // `question=answer` of those with answers to choose from.
        fields: &[field("answers", Kind::Texts)],
        ..OF_PERSON
    },
    CheckSpec {
        name: "database",
        needs_person: true,
        calls: true,
        fields: &PROVIDED,
        ..OF_SESSION
    },
    CheckSpec {
        name: "proof_of_address",
        calls: true,
        retake: &["document_unreadable", "picture_blurred", "picture_dark", "picture_too_small"],
        fields: &PROVIDED,
        ..OF_PERSON
    },
];

/// A check by its name.
pub fn check_spec(name: &str) -> Option<&'static CheckSpec> {
    CATALOGUE.iter().find(|spec| spec.name == name)
}

impl CheckSpec {
    /// A field by its name, those of every check among them.
    pub fn field(&self, name: &str) -> Option<FieldSpec> {
        self.all_fields().find(|field| field.name == name)
    }

    /// Everything it tells.
    pub fn all_fields(&self) -> impl Iterator<Item = FieldSpec> + use<> {
        COMMON.into_iter().chain(self.fields.iter().copied())
    }
}
