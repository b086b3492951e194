use std::time::Duration;

use data_encoding::HEXLOWER;
use portcullis_documents::{
    DATA_GROUP_MAX_BYTES, GROUPS, Hash, SOD_MAX_BYTES,
    chip::{Active, CHALLENGE_BYTES, Chain, Files, Passive, active, passive},
    finding::{Code, Finding},
    zone::{self, Day, Expected},
};
use portcullis_events::{Actor, Origin};
use portcullis_store::idv::challenges::{self, Used};
use portcullis_types::Timestamp;
use portcullis_workflow::Assurance;

use super::{
    CheckError, Checks, Report,
    service::{By, held},
};

/// How long a chip may take to answer a challenge.
pub const CHALLENGE_TTL: Duration = Duration::from_secs(5 * 60);

/// What a reader got from a chip, and what it is held against.
#[derive(Clone, Default)]
pub struct EmrtdAsked {
    /// The files.
    pub files: Files,
    /// A challenge that was issued here, and what the chip answered.
    pub answer: Option<(Vec<u8>, Vec<u8>)>,
    /// The zone that is printed on the document.
    pub printed: Option<String>,
    /// What else is known about the holder.
    pub expected: Expected,
}

/// What a chip proves.
#[derive(Debug, Clone)]
pub struct EmrtdReport {
    /// Who wrote it.
    pub passive: Passive,
    /// Whether it is no copy.
    pub active: Active,
    /// Whether the challenge that it answered was made here, for this.
    pub is_fresh: bool,
}

impl Checks {
    /// A challenge for a chip, good for one answer, and until when.
    pub async fn challenge(&self) -> Result<(Vec<u8>, Timestamp), CheckError> {
        let mut challenge = vec![0; CHALLENGE_BYTES];
        self.entropy.fill(&mut challenge);
        let until = self.clock.now().plus(CHALLENGE_TTL);
        let digest = &digest(&challenge);
        self.db
            .write(|tx| async move {
                challenges::insert(&tx, &self.tenant, digest, until).await?;
                Ok::<_, CheckError>(())
            })
            .await?;
        Ok((challenge, until))
    }

    /// Verifies a chip: passive authentication, and active if it answered a challenge.
    pub async fn emrtd(
        &self,
        asked: EmrtdAsked,
        actor: &Actor,
        origin: &Origin,
    ) -> Result<Report<EmrtdReport>, CheckError> {
        limits(&asked)?;
        let files = &asked.files;
        let numbers: Vec<[u8; 1]> = files.groups.keys().map(|number| [*number]).collect();
        let mut pieces: Vec<&[u8]> = vec![&files.sod];
        for (number, file) in numbers.iter().zip(files.groups.values()) {
            pieces.extend([&number[..], &file[..]]);
        }
        let held = held(&asked.expected, asked.printed.as_deref());
        pieces.push(held.as_bytes());
        if let Some((challenge, response)) = &asked.answer {
            pieces.extend([&challenge[..], &response[..]]);
        }
        let begun = self.begin("emrtd", &pieces);
        let loaded = self.trust().await?;
        let challenge = match &asked.answer {
            // Used up before anything is looked at, so that it cannot be tried again.
            Some((challenge, _)) => self.take(challenge).await?,
            None => Used::Fresh,
        };
        let used = loaded.used.clone();
        let now = self.clock.now().micros().div_euclid(1_000_000);
        let (found, findings) = self
            .on_core(move || {
                let passive = passive(&asked.files, &loaded.trust, now);
                let answer = asked.answer.as_ref().map(|(one, other)| (&one[..], &other[..]));
                let active = match challenge {
                    // Whoever knew an answer before proves nothing.
                    Used::Spent => Active::Failed(Code::ChallengeSpent.into()),
                    Used::Fresh | Used::Foreign => active(&asked.files, &passive, answer),
                };
                let mut findings = judge(&asked, &passive, &active, now);
                if challenge == Used::Foreign {
                    findings.push(Code::ChallengeForeign.into());
                }
                let is_fresh = challenge == Used::Fresh;
                (EmrtdReport { passive, active, is_fresh }, findings)
            })
            .await?;
        let assurance = match found.passive.chain {
            Chain::Verified => Assurance::Cryptographic,
            Chain::Unverified | Chain::Broken => Assurance::SelfAsserted,
        };
        let by = By { actor, origin };
        self.finish(begun, &by, (assurance, findings), Some(used), found).await
    }

    async fn take(&self, challenge: &[u8]) -> Result<Used, CheckError> {
        let (digest, now) = (&digest(challenge), self.clock.now());
        let forget_at = now.plus(CHALLENGE_TTL);
        self.db
            .write(|tx| async move {
                Ok(challenges::take(&tx, &self.tenant, digest, now, forget_at).await?)
            })
            .await
    }
}

fn digest(challenge: &[u8]) -> String {
    HEXLOWER.encode(&Hash::Sha256.of(&[challenge]))
}

fn limits(asked: &EmrtdAsked) -> Result<(), CheckError> {
    let invalid = |field, must: String| Err(CheckError::Invalid(field, must));
    if asked.files.sod.len() > SOD_MAX_BYTES {
        return invalid("sod", format!("must be at most {SOD_MAX_BYTES} bytes"));
    }
    if asked.files.groups.keys().any(|number| !GROUPS.contains(number)) {
        return invalid("data_groups", "must have numbers from 1 to 16".to_owned());
    }
    if asked.files.groups.values().any(|file| file.len() > DATA_GROUP_MAX_BYTES) {
        return invalid(
            "data_groups",
            format!("must each be at most {DATA_GROUP_MAX_BYTES} bytes"),
        );
    }
    let long = asked.printed.as_ref().is_some_and(|text| text.len() > zone::TEXT_MAX_BYTES);
    if long {
        return invalid("mrz", format!("must be at most {} bytes", zone::TEXT_MAX_BYTES));
    }
    Ok(())
}

/// Everything that was found out.
fn judge(asked: &EmrtdAsked, passive: &Passive, active: &Active, now: i64) -> Vec<Finding> {
    let mut findings = [&passive.findings[..], &passive.zone_findings].concat();
    match active {
        Active::Failed(finding) | Active::NotPerformed(finding) => findings.push(finding.clone()),
        Active::Passed { .. } => {}
    }
    let Some(zone) = &passive.zone else {
        let some =
            [("expected", asked.expected != Expected::default()), ("mrz", asked.printed.is_some())];
        let asked_for = some.iter().filter(|(_, is_some)| *is_some);
        findings.extend(asked_for.map(|(what, _)| Finding::of(Code::NotCompared, *what)));
        return findings;
    };
    findings.extend(zone.compare(&asked.expected));
    if let Some(text) = &asked.printed {
        match zone::read(text, Day::at(now)) {
            Ok(printed) if printed.lines == zone.lines => {}
            Ok(_) => findings.push(Code::PrintedDiffers.into()),
            Err(finding) => findings.push(finding),
        }
    }
    findings
}
