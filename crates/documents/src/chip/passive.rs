//! Passive authentication (ICAO 9303-11, 5.1): the data groups are what somebody signed who may sign documents of
//! this country.

use super::Files;
use crate::{
    Certificate, Hash, Malformed, Trust,
    certificate::usage,
    cms::{Fault, SignedData, Signer},
    finding::{Code, Finding, Severity, gravest},
    lds::{self, SECURITY_OBJECT, SecurityObject},
    states::may_sign,
    zone::{self, Day, Zone},
};

/// What passive authentication found out.
#[derive(Clone, Debug)]
pub struct Passive {
    /// What is wrong, and what is good to know.
    pub findings: Vec<Finding>,
    /// The same of the zone, which its issuer signed as it is: a document whose day is past is genuine all the same.
    pub zone_findings: Vec<Finding>,
    /// Whether an authority that is trusted stands behind.
    pub chain: Chain,
    /// Each data group that was signed or given.
    pub groups: Vec<(u8, GroupState)>,
    /// How the digests were made.
    pub hash: Option<Hash>,
    /// Who signed the document.
    pub signer: Option<Summary>,
    /// Who signed the signer.
    pub authority: Option<Summary>,
    /// When the signature says that it was made, in seconds since 1970.
    pub signing_time: Option<i64>,
    /// What data group 1 says, if it is what was signed.
    pub zone: Option<Zone>,
    /// Whether the signature of the security object holds, whoever made it.
    pub holds: bool,
}

/// Whether an authority that is trusted stands behind a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chain {
    /// It does.
    Verified,
    /// None that is known; nothing is wrong with what could be verified.
    Unverified,
    /// It could not be told, since something is wrong before.
    Broken,
}

impl Chain {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Unverified => "unverified",
            Self::Broken => "broken",
        }
    }
}

/// What is known of a data group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroupState {
    /// It is what was signed.
    Matches,
    /// It is not what was signed.
    Differs,
    /// It was given and not signed.
    NotSigned,
    /// It was signed and not given.
    NotGiven,
}

impl GroupState {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Matches => "matches",
            Self::Differs => "differs",
            Self::NotSigned => "not_signed",
            Self::NotGiven => "not_given",
        }
    }
}

/// A fault in a zone that was signed is its issuer's, and no sign of a forger.
fn odd(finding: Finding) -> Finding {
    match finding.code {
        Code::CheckDigitWrong | Code::DateImpossible | Code::ZoneUnreadable => {
            Finding::of(Code::ZoneOdd, finding.detail)
        }
        _ => finding,
    }
}

/// A certificate for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Its name.
    pub subject: String,
    /// Two letters.
    pub country: String,
    /// Its number.
    pub serial: Vec<u8>,
    /// SHA-256 of the whole.
    pub fingerprint: Vec<u8>,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
    /// Kind and size of its key.
    pub key: String,
    /// How it signed what it signed.
    pub signature: String,
}

impl Summary {
    /// Of a certificate that signed something in this way.
    fn of(certificate: &Certificate, signature: String) -> Self {
        Self {
            subject: certificate.subject_text.clone(),
            country: certificate.country.clone(),
            serial: certificate.serial.clone(),
            fingerprint: certificate.fingerprint(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            key: certificate.key.describe(),
            signature,
        }
    }
}

/// Verifies what a reader got against the authorities that are trusted. `now` is in seconds since 1970.
pub fn passive(files: &Files, trust: &Trust, now: i64) -> Passive {
    let mut passive = Passive {
        findings: Vec::new(),
        zone_findings: Vec::new(),
        chain: Chain::Broken,
        groups: Vec::new(),
        hash: None,
        signer: None,
        authority: None,
        signing_time: None,
        zone: None,
        holds: false,
    };
    if let Err(Malformed(why)) = passive.verify(files, trust, now) {
        passive.findings.push(Finding::of(Code::SodUnreadable, why));
    }
    if passive.failed() {
        // An authority may stand behind the signer, but not behind this.
        passive.chain = Chain::Broken;
    }
    if !passive.holds {
        passive.zone = None;
        passive.zone_findings.clear();
    }
    passive
}

impl Passive {
    /// Whether anything is wrong.
    pub fn failed(&self) -> bool {
        gravest(&self.findings) == Some(Severity::Failure)
    }

    /// Whether a data group is what was signed.
    pub fn is_signed(&self, number: u8) -> bool {
        self.holds && self.matches(number)
    }

    /// Whether a data group is what the security object says.
    fn matches(&self, number: u8) -> bool {
        self.groups.contains(&(number, GroupState::Matches))
    }

    fn found(&mut self, finding: impl Into<Finding>) {
        self.findings.push(finding.into());
    }

    fn verify(&mut self, files: &Files, trust: &Trust, now: i64) -> Result<(), Malformed> {
        let data = SignedData::read(lds::signed_data(&files.sod)?)?;
        if data.content_type != SECURITY_OBJECT {
            return Err(Malformed("what was signed is no security object"));
        }
        let object = SecurityObject::read(data.content)?;
        self.hash = Some(object.hash);
        self.compare_groups(files, &object);
        self.read_zone(files, now);
        // ICAO 9303-10, 4.6.2.2: there is one signer.
        let [signer] = data.signers.as_slice() else {
            return Err(Malformed("a security object has one signer"));
        };
        self.signing_time = signer.signing_time;
        let Some(certificate) = self.signer_of(&data, signer) else { return Ok(()) };
        self.signer = Some(Summary::of(&certificate, signer.scheme().describe()));
        let weak = signer.is_weak() || certificate.scheme().hash() == Hash::Sha1;
        if weak || object.hash == Hash::Sha1 {
            self.found(Code::WeakHash);
        }
        match signer.verify(&data, &certificate) {
            Ok(()) => self.holds = true,
            Err(Fault::Content) => self.found(Code::SodContentForged),
            Err(Fault::Signature) => self.found(Code::SodSignatureWrong),
        }
        self.judge_signer(&certificate, now);
        self.judge_authority(&certificate, trust, now);
        Ok(())
    }

    fn signer_of(&mut self, data: &SignedData<'_>, signer: &Signer<'_>) -> Option<Certificate> {
        let (mut read, mut unreadable) = (Vec::new(), None);
        for der in &data.certificates {
            match Certificate::read(der) {
                Ok(certificate) => read.push(certificate),
                Err(Malformed(why)) => unreadable = Some(why),
            }
        }
        // Names are written in several ways, so the number will do: what counts is whether its key signed.
        let signed = |one: &Certificate| signer.verify(data, one).is_ok();
        let named = read.iter().position(|certificate| signer.is(certificate));
        let named = named
            .or_else(|| read.iter().position(|one| signer.has_serial_of(one) && signed(one)))
            .or_else(|| read.iter().position(|one| signer.has_serial_of(one)));
        if let Some(at) = named {
            return Some(read.swap_remove(at));
        }
        match unreadable {
            Some(why) => self.found(Finding::of(Code::SignerUnreadable, why)),
            None => self.found(Code::SignerMissing),
        }
        None
    }

    /// Whether the signer may sign documents, and could when it did.
    fn judge_signer(&mut self, signer: &Certificate, now: i64) {
        // A signer of documents has no other purpose: one for servers or for master lists must not sign them.
        if signer.is_authority || !signer.may(usage::SIGN) || !signer.purposes.is_empty() {
            self.found(Code::SignerUsageWrong);
        }
        // Without a time in the signature, what counts is that the certificate outlives the documents.
        let signed = self.signing_time.unwrap_or(now);
        if signed > now {
            self.found(Code::SignedInFuture);
        } else if signed < signer.not_before {
            self.found(Code::SignerNotYetValid);
        } else if signed > signer.not_after {
            self.found(Code::SignerExpired);
        } else if now > signer.not_after {
            self.found(Code::SignerExpiredSince);
        }
        let Some(zone) = &self.zone else { return };
        let kind = zone.document_code.clone();
        // `P` stands for all passports, `ID` for that kind of cards alone.
        let allowed = |allowed: &String| {
            let allowed = allowed.replace('<', "");
            kind == allowed || (allowed.len() == 1 && kind.starts_with(&allowed))
        };
        let issuing = zone.issuing_state.clone();
        if !signer.document_types.is_empty() && !signer.document_types.iter().any(allowed) {
            self.found(Finding::of(Code::DocumentTypeNotAllowed, kind));
        }
        if may_sign(&signer.country, &issuing) == Some(false) {
            let detail = format!("{issuing}, signed by {}", signer.country);
            self.found(Finding::of(Code::StateDiffers, detail));
        }
    }

    fn judge_authority(&mut self, signer: &Certificate, trust: &Trust, now: i64) {
        let Some(authority) = trust.issuer_of(signer) else {
            self.chain = Chain::Unverified;
            self.found(Finding::of(Code::AuthorityUnknown, signer.country.clone()));
            return;
        };
        self.chain = Chain::Verified;
        self.authority = Some(Summary::of(authority, signer.scheme().describe()));
        // It signs as long as its own key is in use; what it signed outlives that.
        if !authority.is_valid_at(signer.not_before) {
            self.found(Code::AuthorityNotInForce);
        } else if now > authority.not_after {
            self.found(Code::AuthorityExpiredSince);
        }
        if authority.country != signer.country {
            let detail = format!("{}, signed by {}", signer.country, authority.country);
            self.found(Finding::of(Code::StateDiffers, detail));
        }
        if trust.is_revoked(signer, authority) {
            self.found(Code::SignerRevoked);
        }
        match trust.crls_of(authority).max_by_key(|crl| crl.this_update) {
            None => self.found(Finding::of(Code::CrlMissing, authority.country.clone())),
            Some(crl) => {
                if let Some(next) = crl.next_update.filter(|next| *next < now) {
                    self.found(Finding::of(Code::CrlOverdue, Day::at(next).to_string()));
                }
            }
        }
    }

    fn compare_groups(&mut self, files: &Files, object: &SecurityObject<'_>) {
        for number in lds::GROUPS {
            let state = match (object.digest(number), files.groups.get(&number)) {
                (None, None) => continue,
                (Some(digest), Some(file)) if object.hash.of(&[file]) == digest => {
                    GroupState::Matches
                }
                (Some(_), Some(_)) => GroupState::Differs,
                (None, Some(_)) => GroupState::NotSigned,
                (Some(_), None) => GroupState::NotGiven,
            };
            self.groups.push((number, state));
            let finding = match state {
                GroupState::Differs => Code::GroupDiffers,
                GroupState::NotSigned => Code::GroupNotSigned,
                _ => continue,
            };
            self.found(Finding::of(finding, number.to_string()));
        }
        // Without the zone it is not known whose document it is.
        if !files.groups.contains_key(&1) {
            self.found(Finding::of(Code::GroupMissing, "1"));
        }
    }

    fn read_zone(&mut self, files: &Files, now: i64) {
        let Some(file) = files.groups.get(&1).filter(|_| self.matches(1)) else { return };
        let today = Day::at(now);
        let zone = lds::zone(file)
            .map_err(|Malformed(why)| Finding::of(Code::ZoneUnreadable, why))
            .and_then(|letters| zone::from_chip(letters, today));
        match zone {
            Ok(zone) => {
                self.zone_findings.extend(zone.findings(today).into_iter().map(odd));
                // A code that is not known leaves open whose document it is.
                if may_sign("", &zone.issuing_state).is_none() {
                    self.zone_findings.push(Finding::of(Code::StateUnknown, "issuing_state"));
                }
                self.zone = Some(zone);
            }
            Err(finding) => self.zone_findings.push(odd(finding)),
        }
    }
}
