//! The authorities that the operator trusts: imported, removed, and read by every node as soon as they change.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use portcullis_documents::{Certificate, Crl, Hash, Malformed, MasterList, Refused, Trust};
use portcullis_events::{AdminChange, Event, Kind};
use portcullis_store::{
    Db,
    idv::trust::{self, TrustRow},
};
use portcullis_types::Timestamp;
use serde_json::{Value, json};

use super::{CheckError, Checks, TrustUsed};

/// Authorities as they were read from the database.
pub(super) struct Loaded {
    pub trust: Trust,
    pub used: TrustUsed,
}

/// Whom an import took up.
#[derive(Debug, Default)]
pub struct Imported {
    /// Certificates that were not there.
    pub certificates: usize,
    /// Revocation lists that were not there.
    pub crls: usize,
    /// What was there already.
    pub known: usize,
    /// What was not taken up.
    pub refused: Vec<RefusedItem>,
    /// Who signed a master list: its name, and SHA-256 of its certificate, hexadecimal.
    pub signers: Vec<(String, String)>,
}

/// Something in a file that was not taken up.
#[derive(Debug)]
pub struct RefusedItem {
    /// Whose it is, as far as that could be read.
    pub whose: String,
    /// Why.
    pub why: String,
}

/// Somebody or something that is trusted, for people.
pub type Trusted = TrustRow;

/// Where authorities are kept, for those who change them.
pub struct TrustStore<'a> {
    /// The database.
    pub db: &'a Db,
    /// Whose they are.
    pub tenant: &'a str,
    /// Makes the events that stand for what they changed.
    pub event: &'a (dyn Fn(Kind) -> Event + Send + Sync),
}

enum Item {
    Certificate(Certificate),
    Crl(Crl),
}

impl TrustStore<'_> {
    /// Everybody and everything.
    pub async fn all(&self) -> Result<Vec<Trusted>, CheckError> {
        Ok(trust::all(self.db, self.tenant).await?)
    }

    /// Takes up what is in a file: a master list, or certificates and revocation lists as DER or PEM. What is
    /// refused is told; the rest is taken up as a whole or not at all.
    pub async fn import(
        &self,
        source: &str,
        file: &[u8],
        now: Timestamp,
    ) -> Result<Imported, CheckError> {
        let mut imported = Imported::default();
        let items = items(file, &mut imported)?;
        let rows = self.all().await?;
        let (before, items) = (rows.clone(), items);
        let (mut accepted, gone) = admit(restore(&rows)?, items, now, &mut imported);
        for row in &mut accepted {
            row.source = source.to_owned();
            row.imported_at = now.micros();
        }
        if accepted.is_empty() {
            return Ok(imported);
        }
        let gone: Vec<&str> = before
            .iter()
            .map(|row| row.fingerprint.as_str())
            .filter(|fingerprint| gone.iter().any(|other| other == fingerprint))
            .collect();
        let (accepted, gone) = (&accepted, &gone);
        let change = json!({
            "certificates": imported.certificates,
            "crls": imported.crls,
            "fingerprints": accepted.iter().map(|row| &row.fingerprint).collect::<Vec<_>>(),
            "replaced": gone,
            "signers": imported.signers,
        });
        let event = &self.changed("import", source, change);
        self.db
            .write(|tx| async move {
                for fingerprint in gone {
                    trust::remove(&tx, self.tenant, fingerprint).await?;
                }
                for row in accepted {
                    trust::insert(&tx, self.tenant, row).await?;
                }
                trust::changed(&tx, self.tenant).await?;
                Ok::<_, CheckError>(tx.emit(event.clone()).await?)
            })
            .await?;
        Ok(imported)
    }

    /// Trusts somebody no longer, by the fingerprint; whether that is so.
    pub async fn remove(&self, fingerprint: &str) -> Result<bool, CheckError> {
        let event = &self.changed("remove", fingerprint, Value::Null);
        self.db
            .write(|tx| async move {
                let removed = trust::remove(&tx, self.tenant, fingerprint).await?;
                if removed {
                    trust::changed(&tx, self.tenant).await?;
                    tx.emit(event.clone()).await?;
                }
                Ok(removed)
            })
            .await
    }

    fn changed(&self, action: &'static str, object: &str, after: Value) -> Event {
        (self.event)(Kind::Admin(AdminChange {
            action,
            object_type: "idv_trust",
            object: object.to_owned(),
            before: None,
            after: Some(after),
        }))
    }
}

impl Checks {
    /// The authorities as they are now.
    pub(super) async fn trust(&self) -> Result<Arc<Loaded>, CheckError> {
        let version = trust::version(&self.db, &self.tenant).await?;
        let loaded = self.inner().loaded.load_full();
        if let Some(loaded) = loaded.filter(|loaded| loaded.used.version == version) {
            return Ok(loaded);
        }
        let rows = trust::all(&self.db, &self.tenant).await?;
        let loaded = Arc::new(self.on_core(move || load(&rows, version)).await??);
        self.inner().loaded.store(Some(loaded.clone()));
        Ok(loaded)
    }

    /// Whom the next check depends on.
    pub async fn trust_used(&self) -> Result<TrustUsed, CheckError> {
        Ok(self.trust().await?.used.clone())
    }
}

fn load(rows: &[TrustRow], version: i64) -> Result<Loaded, CheckError> {
    let trust = restore(rows)?;
    let mut fingerprints: Vec<&str> = rows.iter().map(|row| row.fingerprint.as_str()).collect();
    fingerprints.sort_unstable();
    let used = TrustUsed {
        version,
        digest: HEXLOWER.encode(&Hash::Sha256.of(&[fingerprints.join("\n").as_bytes()])),
        authorities: trust.anchors().len(),
        crls: trust.crls().count(),
    };
    Ok(Loaded { trust, used })
}

/// What was vouched for when it was imported needs nobody to vouch for it again.
fn restore(rows: &[TrustRow]) -> Result<Trust, CheckError> {
    let (mut certificates, mut crls) = (Vec::new(), Vec::new());
    for row in rows {
        let unreadable = |Malformed(why)| CheckError::Trust(why);
        if row.kind == "crl" {
            crls.push(Crl::read(&row.der).map_err(unreadable)?);
        } else {
            certificates.push(Certificate::read(&row.der).map_err(unreadable)?);
        }
    }
    Ok(Trust::of_known(certificates, crls))
}

/// Admits what is vouched for, as often as somebody new may vouch for others. What came new, and the
/// fingerprints of lists that it replaces.
fn admit(
    mut trust: Trust,
    items: Vec<Item>,
    now: Timestamp,
    imported: &mut Imported,
) -> (Vec<TrustRow>, Vec<String>) {
    let before: Vec<String> = trust.crls().map(|crl| HEXLOWER.encode(&crl.fingerprint())).collect();
    let seconds = now.micros().div_euclid(1_000_000);
    let (mut accepted, mut waiting) = (Vec::new(), items);
    loop {
        let (mut left, mut progress) = (Vec::new(), false);
        for item in waiting {
            let admitted = match &item {
                Item::Certificate(certificate) => trust.admit(certificate.clone()),
                Item::Crl(crl) => trust.admit_crl(crl.clone(), seconds),
            };
            match admitted {
                Ok(true) => {
                    progress = true;
                    accepted.push(row(&item));
                }
                Ok(false) => imported.known += 1,
                Err(why) => left.push((item, why)),
            }
        }
        if !progress || left.is_empty() {
            imported.refused.extend(left.iter().map(|(item, why)| refused(item, *why)));
            break;
        }
        waiting = left.into_iter().map(|(item, _)| item).collect();
    }
    let kept = |fingerprint: &String| {
        trust.crls().any(|crl| HEXLOWER.encode(&crl.fingerprint()) == *fingerprint)
    };
    // Of two lists of one authority in the same file, one went again.
    accepted.retain(|row| row.kind == "certificate" || kept(&row.fingerprint));
    imported.certificates = accepted.iter().filter(|row| row.kind == "certificate").count();
    imported.crls = accepted.len() - imported.certificates;
    let gone = before.into_iter().filter(|fingerprint| !kept(fingerprint)).collect();
    (accepted, gone)
}

fn refused(item: &Item, why: Refused) -> RefusedItem {
    RefusedItem { whose: row(item).subject, why: why.to_string() }
}

fn row(item: &Item) -> TrustRow {
    const SECOND: i64 = 1_000_000;
    match item {
        Item::Certificate(certificate) => TrustRow {
            fingerprint: HEXLOWER.encode(&certificate.fingerprint()),
            kind: "certificate".to_owned(),
            country: certificate.country.clone(),
            subject: certificate.subject_text.clone(),
            valid_from: certificate.not_before.saturating_mul(SECOND),
            valid_until: Some(certificate.not_after.saturating_mul(SECOND)),
            der: certificate.der().to_vec(),
            source: String::new(),
            imported_at: 0,
        },
        Item::Crl(crl) => TrustRow {
            fingerprint: HEXLOWER.encode(&crl.fingerprint()),
            kind: "crl".to_owned(),
            country: crl.country.clone(),
            subject: crl.issuer_text.clone(),
            valid_from: crl.this_update.saturating_mul(SECOND),
            valid_until: crl.next_update.map(|next| next.saturating_mul(SECOND)),
            der: crl.der().to_vec(),
            source: String::new(),
            imported_at: 0,
        },
    }
}

/// What is in a file.
fn items(file: &[u8], imported: &mut Imported) -> Result<Vec<Item>, CheckError> {
    let mut items = Vec::new();
    let refuse = |why: Malformed| RefusedItem { whose: "unknown".to_owned(), why: why.to_string() };
    for der in pieces(file)? {
        if MasterList::looks_like(&der) {
            let list = MasterList::read(&der)
                .map_err(|why| CheckError::Invalid("file", why.to_string()))?;
            let signer = &list.signer;
            let fingerprint = HEXLOWER.encode(&signer.fingerprint());
            imported.signers.push((signer.subject_text.clone(), fingerprint));
            for certificate in list.certificates {
                match certificate {
                    Ok(certificate) => items.push(Item::Certificate(certificate)),
                    Err(why) => imported.refused.push(refuse(why)),
                }
            }
            continue;
        }
        match (Certificate::read(&der), Crl::read(&der)) {
            (Ok(certificate), _) => items.push(Item::Certificate(certificate)),
            (_, Ok(crl)) => items.push(Item::Crl(crl)),
            (Err(why), Err(other)) => {
                // Each names what it tried; the one that got further knows more.
                let crl = other != Malformed("a revocation list cannot be read");
                imported.refused.push(refuse(if crl { other } else { why }));
            }
        }
    }
    Ok(items)
}

/// The pieces of a PEM file (RFC 7468), or the file itself.
fn pieces(file: &[u8]) -> Result<Vec<Vec<u8>>, CheckError> {
    let invalid = |why: &str| CheckError::Invalid("file", why.to_owned());
    if file.len() > portcullis_documents::MASTER_LIST_MAX_BYTES {
        return Err(invalid("must be at most 32 MiB"));
    }
    if file.first() == Some(&0x30) {
        return Ok(vec![file.to_vec()]);
    }
    let text = std::str::from_utf8(file).map_err(|_| invalid("is neither DER nor PEM"))?;
    let mut pieces = Vec::new();
    for block in text.split("-----BEGIN ").skip(1) {
        let inside = block.split_once("-----").map(|(_, rest)| rest);
        let inside = inside.and_then(|rest| rest.split_once("-----END ")).map(|(inside, _)| inside);
        let inside = inside.ok_or_else(|| invalid("has a block without an end"))?;
        let letters: String = inside.chars().filter(|letter| !letter.is_whitespace()).collect();
        let der = data_encoding::BASE64.decode(letters.as_bytes());
        pieces.push(der.map_err(|_| invalid("has a block that is not PEM"))?);
    }
    if pieces.is_empty() { Err(invalid("is neither DER nor PEM")) } else { Ok(pieces) }
}
