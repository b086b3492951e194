//! The certificates of the gate itself: for its listeners and for its way to services.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use arc_swap::ArcSwap;
use portcullis_pki::{Authority, Identity, Issued, Subject, Trust, new_key};
use portcullis_store::certificates::CertificateRow;
use portcullis_types::{SharedClock, SharedEntropy, Timestamp};
use rustls::pki_types::CertificateDer;

use crate::CaError;

/// Issues certificates to this process and renews them while somebody holds them. Their keys never
/// leave it.
#[derive(Debug)]
pub struct Identities {
    /// Who signs now.
    pub(crate) signer: ArcSwap<Authority>,
    trust: Arc<Trust>,
    lifetime: Duration,
    clock: SharedClock,
    entropy: SharedEntropy,
    known: Mutex<Vec<Known>>,
}

#[derive(Debug)]
struct Known {
    subject: Subject,
    shown: Weak<Identity>,
    issued: Issued,
    /// The authority that signed it.
    authority: String,
    recorded: bool,
}

/// A certificate that no database knows of yet.
pub(crate) struct Unrecorded {
    pub subject: Subject,
    pub issued: Issued,
    pub authority: String,
}

impl Identities {
    pub(crate) fn new(
        signer: Authority,
        trust: Arc<Trust>,
        lifetime: Duration,
        clock: SharedClock,
        entropy: SharedEntropy,
    ) -> Self {
        let signer = ArcSwap::from_pointee(signer);
        Self { signer, trust, lifetime, clock, entropy, known: Mutex::default() }
    }

    /// With an authority that nobody else knows and that is gone with it, to try a configuration.
    pub fn ephemeral(clock: SharedClock, entropy: SharedEntropy) -> Result<Self, CaError> {
        let (now, day) = (clock.now(), Duration::from_secs(24 * 3600));
        let made = Authority::create_root("ephemeral", now, day)?;
        let signer = Authority::load(&made.certificate, &made.key_pem, None)?;
        let trust = Trust::new(&[CertificateDer::from(made.certificate)])?;
        Ok(Self::new(signer, trust, day, clock, entropy))
    }

    /// Whom the gate trusts: certificates of the authority.
    pub fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// The certificate for `subject`, which stays fresh for as long as it is held.
    pub fn get(&self, subject: &Subject) -> Result<Arc<Identity>, CaError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|one| one.shown.strong_count() > 0 || !one.recorded);
        let held = known.iter().filter(|one| one.subject == *subject);
        if let Some(shown) = held.filter_map(|one| one.shown.upgrade()).next() {
            return Ok(shown);
        }
        let signer = self.signer.load_full();
        let (key, pem) = new_key()?;
        let issued =
            signer.issue(subject, &key, self.clock.now(), self.lifetime, &*self.entropy)?;
        let shown = Identity::new(issued.chain.clone(), &pem)?;
        known.push(Known {
            subject: subject.clone(),
            shown: Arc::downgrade(&shown),
            issued,
            authority: signer.id.clone(),
            recorded: false,
        });
        Ok(shown)
    }

    /// Renews what has passed two thirds of its life, was revoked, or was signed by another than who
    /// signs now.
    pub(crate) fn renew(&self, now: Timestamp, revoked: &[CertificateRow]) -> Result<(), CaError> {
        let signer = self.signer.load_full();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for one in known.iter_mut() {
            let Some(shown) = one.shown.upgrade() else { continue };
            let is_revoked = revoked.iter().any(|row| row.serial == one.issued.serial);
            if one.authority == signer.id && !is_due(&one.issued, now) && !is_revoked {
                continue;
            }
            let (key, pem) = new_key()?;
            let issued = signer.issue(&one.subject, &key, now, self.lifetime, &*self.entropy)?;
            shown.change(issued.chain.clone(), &pem)?;
            (one.issued, one.authority, one.recorded) = (issued, signer.id.clone(), false);
        }
        Ok(())
    }

    pub(crate) fn unrecorded(&self) -> Vec<Unrecorded> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let new = known.iter().filter(|one| !one.recorded).map(|one| Unrecorded {
            subject: one.subject.clone(),
            issued: one.issued.clone(),
            authority: one.authority.clone(),
        });
        new.collect()
    }

    pub(crate) fn were_recorded(&self, serials: &[String]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for one in known.iter_mut().filter(|one| serials.contains(&one.issued.serial)) {
            one.recorded = true;
        }
    }
}

/// Past two thirds of its life.
fn is_due(issued: &Issued, now: Timestamp) -> bool {
    now >= issued.not_after.minus(issued.not_after.since(issued.issued_at) / 3)
}
