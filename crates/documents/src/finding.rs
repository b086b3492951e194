//! What was found out about a document, in codes that do not change.

/// How much it matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Good to know.
    Information,
    /// A person should look.
    Doubt,
    /// The check fails.
    Failure,
}

impl Severity {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Information => "information",
            Self::Doubt => "doubt",
            Self::Failure => "failure",
        }
    }
}

/// One thing that was found out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What.
    pub code: Code,
    /// Of what, for a developer or an operator; empty where the code says it all. Nothing of the holder.
    pub detail: String,
}

impl Finding {
    /// With what it is about.
    pub fn of(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

impl From<Code> for Finding {
    fn from(code: Code) -> Self {
        Self::of(code, "")
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $severity:ident;)*) => {
        /// What may be found out.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// As it is written.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// How much it matters.
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }
        }
    };
}

codes! {
    /// No machine readable zone can be read.
    ZoneUnreadable = "zone_unreadable", Failure;
    /// A check digit is wrong; the detail is the field.
    CheckDigitWrong = "check_digit_wrong", Failure;
    /// A date is none; the detail is the field.
    DateImpossible = "date_impossible", Failure;
    /// The birth is not known to the day, which issuers may leave so.
    BirthIncomplete = "birth_incomplete", Information;
    /// The day of expiry is past.
    DocumentExpired = "document_expired", Failure;
    /// Somebody is born after the document expires.
    DatesContradict = "dates_contradict", Failure;
    /// A code of a state or organisation is none of ICAO's; the detail is the field.
    StateUnknown = "state_unknown", Doubt;
    /// A field is not what was expected; the detail is the field.
    FieldDiffers = "field_differs", Failure;
    /// A name cannot be written in the letters of a zone, so it was not compared; the detail is the field.
    NameNotCompared = "name_not_compared", Doubt;
    /// Something was to be compared, and there was no zone to compare it with; the detail is what.
    NotCompared = "not_compared", Doubt;
    /// Letters of the text were read as others that look alike, so that the check digits are right.
    ZoneRepaired = "zone_repaired", Doubt;
    /// A document of nowhere: the specimens of ICAO.
    Specimen = "specimen", Doubt;

    /// The barcode cannot be read, or is none of a licence; the detail says why.
    BarcodeUnreadable = "barcode_unreadable", Failure;
    /// No barcode is found in the picture.
    BarcodeNotFound = "barcode_not_found", Failure;
    /// A field is not there that each has; the detail is the field.
    FieldMissing = "field_missing", Doubt;
    /// The number of the issuer is none that is known; the detail is it.
    IssuerUnknown = "issuer_unknown", Doubt;
    /// A name did not fit and was cut; the detail is the field.
    NameTruncated = "name_truncated", Information;

    /// The picture cannot be decoded; the detail says why.
    PictureUnusable = "picture_unusable", Failure;
    /// The picture has too few pixels to be read.
    PictureTooSmall = "picture_too_small", Doubt;
    /// The picture has no steep edges: it is out of focus, or was moved.
    PictureBlurred = "picture_blurred", Doubt;
    /// The picture is too dark.
    PictureDark = "picture_dark", Doubt;
    /// The picture is too bright.
    PictureBright = "picture_bright", Doubt;
    /// Much of the picture is white beyond reading: a reflection, or white paper.
    PictureSaturated = "picture_saturated", Information;

    /// The operator has no model for it, so nothing was looked at; the detail is the kind.
    ModelMissing = "no_model", Information;
    /// A model did not say numbers, so nothing is known.
    ModelFailed = "model_failed", Doubt;
    /// There is no face in the picture.
    FaceNotFound = "face_not_found", Failure;
    /// There is more than one face in the picture.
    SeveralFaces = "several_faces", Failure;
    /// The face has too few pixels.
    FaceTooSmall = "face_too_small", Doubt;
    /// The face does not look into the camera.
    FaceTurned = "face_turned", Doubt;
    /// No face is found in the portrait, or it cannot be decoded.
    PortraitUnusable = "portrait_unusable", Doubt;
    /// The faces are of two people.
    FaceDiffers = "face_differs", Failure;
    /// The faces may be of two people.
    FaceUncertain = "face_uncertain", Doubt;
    /// Nobody was in front of the camera: it is a picture of a picture, or the like.
    NotLive = "not_live", Failure;
    /// It is not certain that somebody was in front of the camera.
    LivenessUncertain = "liveness_uncertain", Doubt;
    /// The face looks much older or younger than the person is said to be.
    AgeDiffers = "age_differs", Doubt;
    /// The face is on a list of those who are blocked.
    FaceBlocked = "face_blocked", Failure;
    /// The face is on another list.
    FaceListed = "face_listed", Information;
    /// Faces of lists were made by another model and cannot be compared; the detail is the lists.
    ListedFacesUncompared = "listed_faces_uncompared", Doubt;
    /// Faces of others were made by another model and cannot be compared.
    FacesUncompared = "faces_uncompared", Information;
    /// Somebody else looks the same.
    FaceKnown = "face_known", Doubt;

    /// The security object cannot be read; the detail says why.
    SodUnreadable = "sod_unreadable", Failure;
    /// The certificate of the signer is not in the security object.
    SignerMissing = "signer_missing", Failure;
    /// The certificate of the signer cannot be read; the detail says why.
    SignerUnreadable = "signer_unreadable", Failure;
    /// The security object is not what was signed.
    SodContentForged = "sod_content_forged", Failure;
    /// The signature of the security object does not hold.
    SodSignatureWrong = "sod_signature_wrong", Failure;
    /// The signer must not sign documents: it is an authority, or its key is for something else.
    SignerUsageWrong = "signer_usage_wrong", Failure;
    /// The certificate of the signer was not in force yet.
    SignerNotYetValid = "signer_not_yet_valid", Failure;
    /// The certificate of the signer was not in force any more.
    SignerExpired = "signer_expired", Failure;
    /// It was in force at the time that the signature names, and is not any more.
    SignerExpiredSince = "signer_expired_since", Information;
    /// The certificate of the authority is not in force any more; it was when it signed the signer.
    AuthorityExpiredSince = "authority_expired_since", Information;
    /// The signature names a time that is not yet.
    SignedInFuture = "signed_in_future", Failure;
    /// No authority that is trusted signed the signer.
    AuthorityUnknown = "authority_unknown", Doubt;
    /// The authority was not in force when it signed the signer.
    AuthorityNotInForce = "authority_not_in_force", Failure;
    /// The signer is revoked.
    SignerRevoked = "signer_revoked", Failure;
    /// No revocation list of the authority is there.
    CrlMissing = "crl_missing", Information;
    /// The revocation list should have been replaced; the detail is the day.
    CrlOverdue = "crl_overdue", Information;
    /// The signer is of another country than the document.
    StateDiffers = "state_differs", Failure;
    /// The signer does not sign documents of this kind.
    DocumentTypeNotAllowed = "document_type_not_allowed", Failure;
    /// A data group is not what was signed; the detail is its number.
    GroupDiffers = "group_differs", Failure;
    /// A data group was given that was not signed; the detail is its number.
    GroupNotSigned = "group_not_signed", Failure;
    /// A data group that every document has was not given; the detail is its number.
    GroupMissing = "group_missing", Doubt;
    /// A data group cannot be read; the detail is its number and why.
    GroupUnreadable = "group_unreadable", Failure;
    /// The zone of the chip has a fault that its issuer signed; the detail is the field.
    ZoneOdd = "zone_odd", Doubt;
    /// SHA-1 holds the document together, which is broken where an attacker may choose both sides.
    WeakHash = "weak_hash", Information;

    /// The chip answered the challenge with another key, or not this challenge.
    ActiveAuthenticationWrong = "active_authentication_wrong", Failure;
    /// The challenge was used before, or is too old.
    ChallengeSpent = "challenge_spent", Failure;
    /// The challenge was not made here, so the chip may have answered it at any time.
    ChallengeForeign = "challenge_foreign", Doubt;
    /// The zone that is printed on the document is not that of the chip.
    PrintedDiffers = "printed_differs", Failure;
    /// The chip has a key to prove that it is no copy, and was not asked.
    CopyNotExcluded = "copy_not_excluded", Information;
    /// The chip has no key to prove that it is no copy.
    ActiveAuthenticationUnsupported = "active_authentication_unsupported", Information;
}

/// How grave the gravest is.
pub fn gravest(findings: &[Finding]) -> Option<Severity> {
    findings.iter().map(|finding| finding.code.severity()).max()
}
