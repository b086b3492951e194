//! Identity verification: whether somebody is who they say, and whether one may do business with them.
//!
//! [`Aml`] screens subjects against lists of sanctions, politically exposed persons and the like, keeps what
//! people decide about hits, and compares whoever is monitored with each new version of a list. How names are
//! compared is the matter of `portcullis-screening`; where lists come from, of the server, which hands them
//! in as [`ScreeningList`]s.

mod aml;
mod checks;
mod presentations;
mod providers;
mod sessions;
mod webhooks;

pub use aml::{
    ALLOW_MAX, Aml, AmlError, AmlParts, Asked, AskedTerms, Changes, HITS_MAX, ListError, ListHit,
    ListVersion, Lists, NOTE_MAX_CHARS, REFERENCE_MAX_BYTES, Resolution, Reviewer, STATES,
    Screened, ScreenedHit, ScreeningList, Settings, Shown, State, THRESHOLD_MIN, Terms, Used,
    Wanted,
};
pub use checks::{
    Barcode, BarcodeAsked, BarcodeReport, CHALLENGE_TTL, CheckError, CheckParts, Checks, Consent,
    EmrtdAsked, EmrtdReport, FaceReport, Imported, MasterListSigner, PictureReport, Quality,
    RefusedItem, Report, TrustStore, TrustUsed, Trusted, ZoneAsked, ZoneReport,
};
pub use portcullis_biometrics::{ModelUsed, Models};
pub use portcullis_workflow::{Assurance, CheckStatus, Values, is_trust_framework};
pub use presentations::{
    CredentialAsked, CredentialReport, IssuerTrust, OwnIssuer, PresentationAnswered,
    PresentationAsked, PresentationError, PresentationParts, PresentationResponse,
    PresentationStatus, PresentationView, Presentations, REQUEST_TYP, ShownCredential,
};
pub use providers::{
    CheckProvider, Document, ProviderAsked, ProviderReport, Providers, Room, SUBJECT,
    provider_outcome,
};
pub use sessions::{
    AddressFacts, AddressSources, Addresses, Answer, Answered, Asked as AskedStep, Backtested,
    Begin, Begun, BrowserFacts, Change, Channel, CodeAnswer, Decided, Diff, Differing,
    EVIDENCE_SALT_BYTES, EVIDENCE_SCHEMA, EVIDENCE_TYP, Entry as ListedEntry, Erasure, Evidence,
    FaceFound, FaceSearch, Given, Identifiers, Known, ListKind, Listed, MATCHES_MAX, MailHosts,
    Needed, Note, Open, Owner, ReportViews, Reviewed, SessionError, SessionParts, SessionPicture,
    Sessions, SignalAsked, SignalReport, SmsTerms, Step, Told, ToldDevice, ToldKey, UNSUPPORTED,
    VerifiedIdentity, evidence_digest,
};
pub use webhooks::{
    Attempt, Keeper, RETRIES, Receiver, Secrets, TYPES, USUAL_TYPES, WEBHOOK_CALLS, WebhookParts,
    Webhooks,
};
