//! What is given for the steps of a session.

use std::collections::BTreeMap;

use portcullis_verification::{Answer, Channel, CodeAnswer, Consent};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    emrtd::EmrtdInput,
    input::{bytes, invalid},
    mrz::ZoneInput,
    picture::{BarcodeInput, DocumentInput, PictureInput},
};
use crate::ApiError;

/// What is given for a step: one member, named like its check, or `unsupported`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GivenInput {
    pub node: String,
    /// Without `expected`: that is given when the session begins.
    mrz: Option<ZoneInput>,
    emrtd: Option<EmrtdInput>,
    barcode: Option<BarcodeInput>,
    image: Option<PictureInput>,
    selfie: Option<SelfieInput>,
    proof_of_address: Option<DocumentInput>,
    email: Option<MailInput>,
    phone: Option<PhoneInput>,
    /// Answers by the ids of the questions.
    questionnaire: Option<BTreeMap<String, String>>,
    /// An empty object: the report has the `url` for the wallet, and the step goes on when it has answered.
    credential: Option<CredentialInput>,
    /// Instead of all that: why the person cannot. `no_chip`, `no_nfc`, `no_camera`, `no_document`, `damaged`,
    /// `lost`, `refused`, `other`
    unsupported: Option<String>,
}

/// A picture of the person.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SelfieInput {
    /// JPEG or PNG, base64, at most 12 MiB.
    image: String,
    /// Whether the person agreed that their face is measured and compared. It is asked on our page; whoever calls this
    /// has asked them.
    consent: bool,
}

impl SelfieInput {
    fn read(self) -> Result<Answer, ApiError> {
        if !self.consent {
            return Err(invalid("consent", "must be true: nobody's face is measured without it"));
        }
        Ok(Answer::Selfie(bytes("image", &self.image)?, Consent::ByCaller))
    }
}

/// That a wallet is to be asked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CredentialInput {}

/// First where a code is sent, then the code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MailInput {
    /// The address; left out if one is known of the person.
    address: Option<String>,
    /// The six digits that came.
    code: Option<String>,
}

impl MailInput {
    fn read(self) -> Result<Answer, ApiError> {
        Ok(Answer::Code(Channel::Email, code_answer(self.address, self.code)?))
    }
}

/// First where a code is sent, then the code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PhoneInput {
    /// The number, with + and the code of its country; left out if one is known of the person.
    number: Option<String>,
    /// The six digits that came.
    code: Option<String>,
}

impl PhoneInput {
    fn read(self) -> Result<Answer, ApiError> {
        Ok(Answer::Code(Channel::Phone, code_answer(self.number, self.code)?))
    }
}

fn code_answer(to: Option<String>, code: Option<String>) -> Result<CodeAnswer, ApiError> {
    match (to, code) {
        (to, None) => Ok(CodeAnswer::Send(to)),
        (None, Some(code)) => Ok(CodeAnswer::Code(code)),
        _ => Err(invalid("code", "stands alone")),
    }
}

impl GivenInput {
    /// Whether it asks for a credential and nothing else.
    pub fn is_for_wallet(&self) -> bool {
        let Self {
            mrz, emrtd, barcode, image, proof_of_address, email, phone, unsupported, ..
        } = self;
        let others = [
            self.selfie.is_some(),
            self.questionnaire.is_some(),
            mrz.is_some(),
            emrtd.is_some(),
            barcode.is_some(),
            image.is_some(),
            proof_of_address.is_some(),
            email.is_some(),
            phone.is_some(),
            unsupported.is_some(),
        ];
        self.credential.is_some() && !others.contains(&true)
    }

    pub fn read(self) -> Result<Answer, ApiError> {
        let Self {
            mrz, emrtd, barcode, image, proof_of_address, email, phone, unsupported, ..
        } = self;
        let alone = unsupported.is_some();
        if self.credential.is_some() {
            return Err(invalid("credential", "stands alone"));
        }
        let given = [
            mrz.map(|zone| zone.read().map(Answer::Zone)),
            emrtd.map(|chip| chip.read().map(Answer::Chip)),
            barcode.map(|barcode| barcode.read().map(Answer::Barcode)),
            image.map(|picture| picture.read().map(Answer::Picture)),
            self.selfie.map(SelfieInput::read),
            proof_of_address.map(|file| file.read().map(Answer::Document)),
            email.map(MailInput::read),
            phone.map(PhoneInput::read),
            self.questionnaire.map(|said| Ok(Answer::Questionnaire(said))),
            unsupported.map(|why| Ok(Answer::Unsupported(why))),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(one), None) => one,
            (Some(_), Some(_)) if alone => Err(invalid("unsupported", "stands alone")),
            _ => Err(invalid("node", "must come with what its check takes, or with unsupported")),
        }
    }
}
