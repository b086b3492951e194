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
    certificates::{self, CertificateRow, EnrolmentRow},
    is_well_formed, token_hash,
};
use portcullis_types::{DEFAULT_TENANT, Id, Secret, Timestamp, tags};
use rcgen::PublicKeyData;
use serde_json::json;

use crate::{Ca, CaError};

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
}

impl How {
    fn as_str(self) -> &'static str {
        match self {
            Self::Enrolment => "enrolment",
            Self::Renewal => "renewal",
            Self::Token => "token",
            Self::Operator => "operator",
        }
    }
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

    /// Redeems an enrolment token. A request that is refused does not use it up.
    pub async fn enrol(
        &self,
        token: &str,
        request: &[u8],
        origin: Origin,
    ) -> Result<Issued, CaError> {
        if !is_well_formed(ENROLMENT_PREFIX, token) {
            return Err(CaError::Token);
        }
        let hash = token_hash(token);
        let found = certificates::enrolment(&self.db, DEFAULT_TENANT, &hash).await?;
        let row = &found.ok_or(CaError::Token)?;
        if row.used_at.is_some() {
            // Either it was stolen and used before its owner, or it was stolen after.
            self.tell_reuse(row, &origin).await?;
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
            origin: Some(origin),
            lifetime: None,
        };
        self.issue_after(&grant, &request.key, Some(row)).await
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
        // What the process knows may be a second old.
        if row.revoked_at.is_some() {
            return Err(CaError::Renewal("it was revoked"));
        }
        let subject = self.subject(id, &words(&row.names))?;
        let grant = Grant {
            subject,
            how: How::Renewal,
            actor: Actor::Workload { spiffe_id: id.to_string() },
            origin: Some(origin),
            lifetime: None,
        };
        self.sign(&grant, request).await
    }

    /// Signs a request for what is granted.
    pub async fn sign(&self, grant: &Grant, request: &[u8]) -> Result<Issued, CaError> {
        let request = CertificateRequest::parse(request)?;
        request.fits(&grant.subject)?;
        self.issue_after(grant, &request.key, None).await
    }

    /// Issues a certificate for a key that the caller holds.
    pub async fn issue(&self, grant: &Grant, key: &impl PublicKeyData) -> Result<Issued, CaError> {
        self.issue_after(grant, key, None).await
    }

    async fn issue_after(
        &self,
        grant: &Grant,
        key: &impl PublicKeyData,
        enrolment: Option<&EnrolmentRow>,
    ) -> Result<Issued, CaError> {
        let now = self.clock.now();
        let signer = self.identities.signer.load_full();
        let lifetime = grant.lifetime.unwrap_or(self.settings.lifetime);
        let issued = signer.issue(&grant.subject, key, now, lifetime, &*self.entropy)?;
        let row = &CertificateRow {
            serial: issued.serial.clone(),
            authority: signer.id.clone(),
            spiffe_id: grant.subject.workload.as_ref().map(ToString::to_string),
            names: grant.subject.names.join(" "),
            how: grant.how.as_str().into(),
            created_at: now.micros(),
            expires_at: issued.not_after.micros(),
            revoked_at: None,
            compromised: false,
        };
        let written = self.db.write(|tx| async move {
            if let Some(EnrolmentRow { id, .. }) = enrolment {
                let serial = &row.serial;
                if !certificates::consume_enrolment(&tx, DEFAULT_TENANT, id, serial, now).await? {
                    return Err(CaError::Token);
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

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
