//! How workloads come to certificates: with a token that is good for one, with the one they have, or
//! with a token of an issuer that vouches for them.

use std::time::Duration;

use portcullis_events::{Actor, AdminChange, Event, Kind, Origin, Outcome};
use portcullis_pki::{
    CertificateRequest, Issued, MAX_NAMES, PeerCertificate, PkiError, SpiffeId, Subject,
    is_certificate_name,
};
use portcullis_store::{
    Credential, ENROLMENT_PREFIX,
    certificates::{self, EnrolmentRow, EnrolmentUse},
    is_well_formed, token_hash,
};
use portcullis_types::{DEFAULT_TENANT, Id, Secret, Timestamp, tags};
use rcgen::PublicKeyData;
use serde_json::json;

use crate::{Ca, CaError, ca::row};

/// A certificate can be used to get so many others: answers are lost, but not for ever.
const MAX_RENEWALS: i64 = 16;
/// A token with the key that it was used for gets the same answer for so long.
const SAME_ANSWER: Duration = Duration::from_secs(600);

/// Why a certificate is issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// With an enrolment token.
    Enrolment,
    /// With the certificate before.
    Renewal,
    /// With a token of an issuer.
    Token,
    /// By whoever runs the installation.
    Operator,
    /// For the gate itself.
    Own,
}

impl How {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Enrolment => "enrolment",
            Self::Renewal => "renewal",
            Self::Token => "token",
            Self::Operator => "operator",
            Self::Own => "own",
        }
    }
}

/// What must hold in the moment in which a certificate is issued.
#[derive(Clone, Copy)]
enum After<'a> {
    Nothing,
    /// The token is not used up; with SHA-256 of the key that it is for.
    Enrolment(&'a EnrolmentRow, &'a [u8; 32]),
    /// The certificate with this serial number is good.
    Renewal(&'a str),
}

/// A token that is good for one certificate.
#[derive(Debug)]
pub struct EnrolmentToken {
    /// Its id.
    pub id: String,
    /// The token, shown once.
    pub text: Secret<String>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What is granted to whom.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Whom the certificate is for.
    pub subject: Subject,
    /// Why.
    pub how: How,
    /// Who asked.
    pub actor: Actor,
    /// From where.
    pub origin: Option<Origin>,
    /// How long it lives; as configured if left out.
    pub lifetime: Option<Duration>,
}

impl Ca {
    /// A subject of this trust domain with names that certificates can hold.
    pub fn subject(&self, id: &SpiffeId, names: &[String]) -> Result<Subject, CaError> {
        let domain = &self.settings.trust_domain;
        if id.trust_domain() != domain {
            return Err(CaError::TrustDomain(id.to_string(), domain.clone()));
        }
        if names.len() > MAX_NAMES {
            return Err(PkiError::Names.into());
        }
        if let Some(own) = names.iter().find(|name| is_own_name(&self.settings.url, name)) {
            return Err(CaError::OwnName(own.clone()));
        }
        if let Some(wrong) = names.iter().find(|name| !is_certificate_name(name)) {
            return Err(PkiError::Name(wrong.escape_debug().to_string()).into());
        }
        Ok(Subject { workload: Some(id.clone()), names: names.to_vec() })
    }

    /// Makes a token that is good for one certificate for `subject`.
    pub async fn make_token(
        &self,
        id: &SpiffeId,
        names: &[String],
        lifetime: Duration,
        actor: &Actor,
        origin: Option<&Origin>,
    ) -> Result<EnrolmentToken, CaError> {
        let subject = self.subject(id, names)?;
        let now = self.clock.now();
        let expires_at = now.plus(lifetime);
        let credential = Credential::new(ENROLMENT_PREFIX, &*self.entropy);
        let row = &EnrolmentRow {
            id: Id::<tags::Enrolment>::new(now, &*self.entropy).to_string(),
            hash: credential.hash,
            hint: credential.hint,
            spiffe_id: id.to_string(),
            names: subject.names.join(" "),
            created_at: now.micros(),
            expires_at: expires_at.micros(),
            used_at: None,
        };
        let written = self.db.write(|tx| async move {
            certificates::insert_enrolment(&tx, DEFAULT_TENANT, row).await?;
            let after = json!({
                "spiffe_id": row.spiffe_id, "names": row.names, "hint": row.hint,
                "expires_at": expires_at.to_rfc3339(),
            });
            let (actor, origin) = (actor.clone(), origin.cloned());
            tx.emit(self.event("create", "enrolment", &row.id, after, actor, origin)).await?;
            Ok::<_, CaError>(())
        });
        written.await?;
        Ok(EnrolmentToken { id: row.id.clone(), text: credential.text, expires_at })
    }

    /// Redeems an enrolment token. A request that is refused does not use it up, and one that comes
    /// again with the same key soon after, because the answer was lost, gets the same certificate.
    pub async fn enrol(
        &self,
        token: &str,
        request: &[u8],
        origin: Origin,
    ) -> Result<String, CaError> {
        if !is_well_formed(ENROLMENT_PREFIX, token) {
            return Err(CaError::Token);
        }
        let hash = token_hash(token);
        let found = certificates::enrolment(&self.db, DEFAULT_TENANT, &hash).await?;
        let row = &found.ok_or(CaError::Token)?;
        if row.used_at.is_some() {
            return self.once_more(row, request, &origin).await;
        }
        if row.expires_at <= self.clock.now().micros() {
            // Too late, which is no sign that somebody else has it.
            return Err(CaError::Token);
        }
        let id: SpiffeId = row.spiffe_id.parse().map_err(|_| CaError::Token)?;
        let names = words(&row.names);
        let subject = self.subject(&id, &names)?;
        let request = CertificateRequest::parse(request)?;
        request.fits(&subject)?;
        let grant = Grant {
            subject,
            how: How::Enrolment,
            actor: Actor::Workload { spiffe_id: id.to_string() },
            origin: Some(origin.clone()),
            lifetime: None,
        };
        let after = After::Enrolment(row, request.key_hash());
        match self.issue_after(&grant, &request.key, after).await {
            Ok(issued) => Ok(issued.chain_pem()),
            Err(CaError::Token) => {
                // Somebody else was faster.
                self.tell_reuse(row, &origin).await?;
                Err(CaError::Token)
            }
            Err(error) => Err(error),
        }
    }

    /// A token that was used: by the same key a moment ago, or stolen and used before its owner, or
    /// stolen after.
    async fn once_more(
        &self,
        row: &EnrolmentRow,
        request: &[u8],
        origin: &Origin,
    ) -> Result<String, CaError> {
        let now = self.clock.now();
        let used_at = Timestamp::from_micros(row.used_at.unwrap_or_default());
        let request = CertificateRequest::parse(request)?;
        let made = certificates::enrolment_use(&self.db, DEFAULT_TENANT, &row.id).await?;
        let same = made.filter(|made| made.key_hash == request.key_hash());
        if let Some(made) = same.filter(|_| now.since(used_at) < SAME_ANSWER) {
            return Ok(made.chain);
        }
        self.tell_reuse(row, origin).await?;
        Err(CaError::Token)
    }

    /// Renews the certificate that a connection has shown, for the same names.
    pub async fn renew(
        &self,
        shown: &PeerCertificate,
        request: &[u8],
        origin: Origin,
    ) -> Result<Issued, CaError> {
        let now = self.clock.now();
        let id = shown.workload().filter(|_| shown.still_stands(now));
        let id = id.ok_or(CaError::Renewal("it is not one of this authority, or not any more"))?;
        let serial = shown.serial().unwrap_or_default();
        let row = certificates::by_serial(&self.db, DEFAULT_TENANT, &serial).await?;
        let row = row.ok_or(CaError::Renewal("this authority did not issue it"))?;
        if row.how == How::Token.as_str() {
            // Whether it may have another is for the issuer to say.
            return Err(CaError::Renewal("it was issued for a token; bring another token"));
        }
        let subject = self.subject(id, &words(&row.names))?;
        let grant = Grant {
            subject,
            how: How::Renewal,
            actor: Actor::Workload { spiffe_id: id.to_string() },
            origin: Some(origin),
            lifetime: None,
        };
        let request = CertificateRequest::parse(request)?;
        request.fits(&grant.subject)?;
        self.issue_after(&grant, &request.key, After::Renewal(&serial)).await
    }

    /// Signs a request for what is granted.
    pub async fn sign(&self, grant: &Grant, request: &[u8]) -> Result<Issued, CaError> {
        let request = CertificateRequest::parse(request)?;
        request.fits(&grant.subject)?;
        self.issue_after(grant, &request.key, After::Nothing).await
    }

    /// Issues a certificate for a key that the caller holds.
    pub async fn issue(&self, grant: &Grant, key: &impl PublicKeyData) -> Result<Issued, CaError> {
        self.issue_after(grant, key, After::Nothing).await
    }

    async fn issue_after(
        &self,
        grant: &Grant,
        key: &impl PublicKeyData,
        after: After<'_>,
    ) -> Result<Issued, CaError> {
        let now = self.clock.now();
        let signer = self.identities.signer.load_full();
        let lifetime = grant.lifetime.unwrap_or(self.settings.lifetime);
        let issued = signer.issue(&grant.subject, key, now, lifetime, &*self.entropy)?;
        let row = &row(&grant.subject, &issued, &signer.id, grant.how, now);
        let chain = &issued.chain_pem();
        let written = self.db.write(|tx| async move {
            match after {
                After::Nothing => {}
                After::Enrolment(EnrolmentRow { id, .. }, key_hash) => {
                    let (serial, key_hash) = (row.serial.clone(), key_hash.to_vec());
                    let made = &EnrolmentUse { serial, key_hash, chain: chain.clone() };
                    if !certificates::consume_enrolment(&tx, DEFAULT_TENANT, id, made, now).await? {
                        return Err(CaError::Token);
                    }
                }
                After::Renewal(serial) => {
                    // Here, where a revocation at the same time is seen or makes this run again.
                    let most = MAX_RENEWALS;
                    if !certificates::count_renewal(&tx, DEFAULT_TENANT, serial, now, most).await? {
                        let why = "it was revoked, is over, or was renewed too often";
                        return Err(CaError::Renewal(why));
                    }
                }
            }
            self.record(&tx, row, grant.actor.clone(), grant.origin.clone()).await?;
            Ok::<_, CaError>(())
        });
        written.await?;
        Ok(issued)
    }

    async fn tell_reuse(&self, row: &EnrolmentRow, origin: &Origin) -> Result<(), CaError> {
        let change = AdminChange {
            action: "create",
            object_type: "certificate",
            object: row.id.clone(),
            before: None,
            after: Some(json!({ "spiffe_id": row.spiffe_id, "hint": row.hint })),
        };
        let (now, outcome) = (self.clock.now(), Outcome::Failure("enrolment_token_reused"));
        let (id, origin) = (Id::new(now, &*self.entropy), Some(origin.clone()));
        let event = &Event::new(id, now, origin, Actor::Anonymous, outcome, Kind::Admin(change));
        let written = self.db.write(|tx| async move {
            tx.emit(event.clone()).await?;
            Ok::<_, CaError>(())
        });
        written.await
    }
}

/// Whether this is the name of the gate at `url`: whoever has a certificate for it is the gate to its
/// clients. On the machine itself everybody is `localhost`.
pub fn is_own_name(url: &str, name: &str) -> bool {
    let url = url::Url::parse(url);
    let host = url.as_ref().ok().and_then(url::Url::host_str).unwrap_or_default();
    let host = host.trim_matches(['[', ']']);
    name.eq_ignore_ascii_case(host) && !["localhost", "127.0.0.1", "::1"].contains(&host)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
