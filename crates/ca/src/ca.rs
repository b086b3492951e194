use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use portcullis_events::{Actor, AdminChange, Event, Kind, Origin, Outcome};
use portcullis_pki::{Authority, Issued, Subject, Trust, spiffe_bundle};
use portcullis_store::{
    Db, DbError, Sealer, Tx,
    certificates::{self, AuthorityRow, CertificateRow, State},
};
use portcullis_types::{DEFAULT_TENANT, Id, Secret, SharedClock, SharedEntropy, Timestamp};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{
    CaError, How, Identities,
    authorities::{Authorities, AuthorityStatus, der, pem_file},
    identities::Unrecorded,
    rotation::{self, Maker},
};

/// Others look for a changed bundle after this many seconds.
const REFRESH_HINT: u64 = 300;

/// What is revoked stays in the list for so long after its end: in one list at least that was made
/// after it (RFC 5280, section 3.3).
pub(crate) const LISTED_AFTER: Duration = Duration::from_secs(5 * 3600);

/// How an authority works.
#[derive(Debug, Clone)]
pub struct CaSettings {
    /// The name in every SPIFFE id that is issued.
    pub trust_domain: String,
    /// Where the public endpoints are: the issuer's URL.
    pub url: String,
    /// How long certificates live that can renew themselves.
    pub lifetime: Duration,
    /// How long a new root is published before anything is signed under it.
    pub publish_root_first: Duration,
}

impl CaSettings {
    pub(crate) fn crl_base(&self) -> String {
        format!("{}/pki/v1/crl/", self.url)
    }
}

/// The authority of an installation.
pub struct Ca {
    pub(crate) db: Db,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) clock: SharedClock,
    pub(crate) entropy: SharedEntropy,
    /// How it works.
    pub settings: CaSettings,
    /// The certificates of this process.
    pub identities: Identities,
    pub(crate) known: ArcSwap<Known>,
    /// The newest revocation lists by authority.
    pub(crate) lists: ArcSwap<BTreeMap<String, Bytes>>,
    /// What was read first must not be taken in last.
    following: Mutex<()>,
}

/// What was read from the database.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub authorities: Authorities,
    pub revoked: Vec<CertificateRow>,
    pub seen: State,
    /// Of the one that signs.
    pub signing: String,
    pub roots: Vec<Vec<u8>>,
    /// The same in PEM.
    pub bundle_pem: Bytes,
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ca")
    }
}

impl Ca {
    /// The authority of the installation; the first start makes it.
    pub async fn open(
        db: Db,
        sealer: Arc<Sealer>,
        clock: SharedClock,
        entropy: SharedEntropy,
        settings: CaSettings,
    ) -> Result<Arc<Self>, CaError> {
        let now = clock.now();
        let maker = Maker { sealer: &sealer, entropy: &*entropy, settings: &settings, now };
        rotation::begin(&db, &maker).await?;
        let known = read(&db, now).await?;
        let signer = known.authorities.signing(now).ok_or(CaError::NoAuthority)?;
        let signer = unseal(signer, &sealer, &settings)?;
        let trust = Trust::new(&der(&known.roots))?;
        trust.change(&der(&known.roots), known.distrusted()?)?;
        let identities =
            Identities::new(signer, trust, settings.lifetime, clock.clone(), entropy.clone());
        let lists = ArcSwap::default();
        let known = ArcSwap::from_pointee(known);
        let following = Mutex::default();
        let ca = Self { db, sealer, clock, entropy, settings, identities, known, lists, following };
        ca.make_lists().await?;
        Ok(Arc::new(ca))
    }

    /// Takes in what this or another node changed, and what the time changes: who signs, who is
    /// trusted, what is revoked. Cheap when there is nothing.
    pub async fn follow(&self) -> Result<(), CaError> {
        let _alone = self.following.lock().await;
        let now = self.clock.now();
        let known = self.known.load_full();
        let same = certificates::state(&self.db, DEFAULT_TENANT).await? == known.seen;
        let signing = known.authorities.signing(now).map(|row| row.id.as_str());
        if same && signing == Some(&known.signing) && known.authorities.roots(now) == known.roots {
            return Ok(());
        }
        let known = read(&self.db, now).await?;
        let signer = known.authorities.signing(now).ok_or(CaError::NoAuthority)?;
        let signer = unseal(signer, &self.sealer, &self.settings)?;
        self.identities.trust().change(&der(&known.roots), known.distrusted()?)?;
        self.identities.signer.store(Arc::new(signer));
        let known = Arc::new(known);
        self.known.store(known.clone());
        self.identities.renew(now, &known.revoked)?;
        self.make_lists().await
    }

    /// What is to be done from time to time: new authorities before the old ones end, old ones out of
    /// the bundle, fresh revocation lists, fresh certificates for the gate, and the record of them.
    pub async fn tend(&self) -> Result<(), CaError> {
        rotation::tend(self).await?;
        self.follow().await?;
        self.identities.renew(self.clock.now(), &self.known.load().revoked)?;
        self.record_own().await?;
        self.make_lists().await
    }

    /// The roots that are trusted, in PEM.
    pub fn bundle_pem(&self) -> Bytes {
        self.known.load().bundle_pem.clone()
    }

    /// The same as SPIFFE has it.
    pub fn bundle(&self) -> Result<Value, CaError> {
        let known = self.known.load();
        Ok(spiffe_bundle(&known.roots, known.authorities.sequence(), REFRESH_HINT)?)
    }

    /// What each authority does.
    pub fn status(&self) -> Vec<AuthorityStatus> {
        self.known.load().authorities.status(self.clock.now())
    }

    /// The newest revocation list of an authority, DER.
    pub fn revocation_list(&self, authority: &str) -> Option<Bytes> {
        self.lists.load().get(authority).cloned()
    }

    async fn record_own(&self) -> Result<(), CaError> {
        let new = self.identities.unrecorded();
        if new.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let row = |one: &Unrecorded| row(&one.subject, &one.issued, &one.authority, How::Own, now);
        let rows: &Vec<CertificateRow> = &new.iter().map(row).collect();
        let written = self.db.write(|tx| async move {
            for row in rows {
                self.record(&tx, row, Actor::System, None).await?;
            }
            Ok::<_, CaError>(())
        });
        written.await?;
        let serials: Vec<String> = rows.iter().map(|row| row.serial.clone()).collect();
        self.identities.were_recorded(&serials);
        Ok(())
    }

    pub(crate) async fn record(
        &self,
        tx: &Tx,
        row: &CertificateRow,
        actor: Actor,
        origin: Option<Origin>,
    ) -> Result<(), DbError> {
        certificates::insert(tx, DEFAULT_TENANT, row).await?;
        tx.emit(self.event("create", "certificate", &row.serial, facts(row), actor, origin)).await
    }

    pub(crate) fn event(
        &self,
        action: &'static str,
        object_type: &'static str,
        object: &str,
        after: Value,
        actor: Actor,
        origin: Option<Origin>,
    ) -> Event {
        let now = self.clock.now();
        let object = object.to_owned();
        let change = AdminChange { action, object_type, object, before: None, after: Some(after) };
        let id = Id::new(now, &*self.entropy);
        Event::new(id, now, origin, actor, Outcome::Success, Kind::Admin(change))
    }

    pub(crate) fn maker(&self) -> Maker<'_> {
        let Self { sealer, settings, .. } = self;
        Maker { sealer, entropy: &*self.entropy, settings, now: self.clock.now() }
    }
}

impl Known {
    /// Serial numbers that are not trusted although a root vouches for them.
    fn distrusted(&self) -> Result<HashSet<String>, CaError> {
        let mut serials: HashSet<String> = self.authorities.retired()?.into_iter().collect();
        serials.extend(self.revoked.iter().map(|row| row.serial.clone()));
        Ok(serials)
    }
}

/// A certificate as the database keeps it.
pub(crate) fn row(
    subject: &Subject,
    issued: &Issued,
    authority: &str,
    how: How,
    now: Timestamp,
) -> CertificateRow {
    CertificateRow {
        serial: issued.serial.clone(),
        authority: authority.to_owned(),
        spiffe_id: subject.workload.as_ref().map(ToString::to_string),
        names: subject.names.join(" "),
        how: how.as_str().into(),
        created_at: now.micros(),
        expires_at: issued.not_after.micros(),
        revoked_at: None,
        compromised: false,
    }
}

/// What the record says of a certificate.
pub(crate) fn facts(row: &CertificateRow) -> Value {
    json!({
        "spiffe_id": row.spiffe_id,
        "names": row.names,
        "how": row.how,
        "authority": row.authority,
        "not_after": Timestamp::from_micros(row.expires_at).to_rfc3339(),
    })
}

async fn read(db: &Db, now: Timestamp) -> Result<Known, CaError> {
    // First: what changes meanwhile is looked at again.
    let seen = certificates::state(db, DEFAULT_TENANT).await?;
    let authorities = Authorities(certificates::authorities(db, DEFAULT_TENANT).await?);
    let revoked = certificates::revoked(db, DEFAULT_TENANT, None, now.minus(LISTED_AFTER)).await?;
    let signing = authorities.signing(now).map(|row| row.id.clone()).unwrap_or_default();
    let roots = authorities.roots(now);
    let bundle_pem = pem_file(&roots).into();
    Ok(Known { authorities, revoked, seen, signing, roots, bundle_pem })
}

pub(crate) fn unseal(
    row: &AuthorityRow,
    sealer: &Sealer,
    settings: &CaSettings,
) -> Result<Authority, CaError> {
    let key = sealer.open(&key_purpose(&row.id), &row.sealed_key)?;
    let key = String::from_utf8(key).map_err(|_| DbError::Stored("key of an authority"))?;
    let base = settings.crl_base();
    Ok(Authority::load(&row.certificate, &Secret::new(key), Some(&base))?)
}

/// What a sealed key is sealed for: it cannot be put in the place of another.
pub(crate) fn key_purpose(id: &str) -> String {
    format!("authority {id}")
}
