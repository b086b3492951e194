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
use serde::Serialize;
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
    /// Who signed master lists.
    pub signers: Vec<MasterListSigner>,
}

/// Who signed a master list.
#[derive(Debug, Serialize)]
pub struct MasterListSigner {
    /// SHA-256 of the certificate, hexadecimal.
    pub fingerprint: String,
    /// Its name.
    pub subject: String,
    /// Whether the certificate is in force now.
    pub in_force: bool,
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

    /// Takes up what is in files: master lists, or certificates and revocation lists as DER or PEM, each file with
    /// its name. What is refused is told; the rest is taken up as a whole or not at all.
    pub async fn import(
        &self,
        files: &[(String, Vec<u8>)],
        now: Timestamp,
        dry: bool,
    ) -> Result<Imported, CheckError> {
        loop {
            let version = trust::version(self.db, self.tenant).await?;
            let rows = self.all().await?;
            let mut imported = Imported::default();
            let mut found = Vec::new();
            for (name, file) in files {
                found.extend(items(name, file, now, &mut imported)?);
            }
            let (mut accepted, gone) = admit(&rows, found, now, &mut imported);
            accepted.iter_mut().for_each(|row| row.imported_at = now.micros());
            if dry || accepted.is_empty() {
                return Ok(imported);
            }
            let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
            let change = json!({
                "certificates": imported.certificates,
                "crls": imported.crls,
                "fingerprints": accepted.iter().map(|row| &row.fingerprint).collect::<Vec<_>>(),
                "replaced": gone,
                "signers": imported.signers,
            });
            let event = self.changed("import", &names.join(", "), None, Some(change));
            if self.replace(version, &gone, &accepted, &event).await? {
                return Ok(imported);
            }
            // Somebody else changed it meanwhile: what was vouched for may not be now.
        }
    }

    /// Trusts somebody no longer, by the fingerprint: every certificate of that key, and whom nobody else vouches
    /// for. What went.
    pub async fn remove(&self, fingerprint: &str) -> Result<Vec<Trusted>, CheckError> {
        loop {
            let version = trust::version(self.db, self.tenant).await?;
            let rows = self.all().await?;
            let Some(row) = rows.iter().find(|row| row.fingerprint == fingerprint) else {
                return Ok(Vec::new());
            };
            let gone = without(&rows, row);
            let names: Vec<&String> = gone.iter().map(|row| &row.fingerprint).collect();
            let before = json!({
                "kind": row.kind,
                "subject": row.subject,
                "country": row.country,
                "fingerprints": names,
            });
            let event = self.changed("remove", fingerprint, Some(before), None);
            let fingerprints: Vec<String> = names.into_iter().cloned().collect();
            if self.replace(version, &fingerprints, &[], &event).await? {
                return Ok(gone);
            }
        }
    }

    /// Changes what is there, if nobody else has since a version.
    async fn replace(
        &self,
        version: i64,
        gone: &[String],
        new: &[TrustRow],
        event: &Event,
    ) -> Result<bool, CheckError> {
        self.db
            .write(|tx| async move {
                if trust::version(&tx, self.tenant).await? != version {
                    return Ok(false);
                }
                for fingerprint in gone {
                    trust::remove(&tx, self.tenant, fingerprint).await?;
                }
                for row in new {
                    trust::insert(&tx, self.tenant, row).await?;
                }
                trust::changed(&tx, self.tenant).await?;
                tx.emit(event.clone()).await?;
                Ok(true)
            })
            .await
    }

    fn changed(
        &self,
        action: &'static str,
        object: &str,
        before: Option<Value>,
        after: Option<Value>,
    ) -> Event {
        (self.event)(Kind::Admin(AdminChange {
            action,
            object_type: "idv_trust",
            object: object.to_owned(),
            before,
            after,
        }))
    }
}

impl Checks {
    /// The authorities as they are now.
    pub(super) async fn trust(&self) -> Result<Arc<Loaded>, CheckError> {
        let version = trust::version(&self.db, &self.tenant).await?;
        if let Some(loaded) = self.loaded(version) {
            return Ok(loaded);
        }
        let _loading = self.inner().loading.lock().await;
        let mut version = trust::version(&self.db, &self.tenant).await?;
        if let Some(loaded) = self.loaded(version) {
            return Ok(loaded);
        }
        let rows = loop {
            let rows = trust::all(&self.db, &self.tenant).await?;
            let after = trust::version(&self.db, &self.tenant).await?;
            if after == version {
                break rows;
            }
            version = after;
        };
        let loaded = tokio::task::spawn_blocking(move || Arc::new(load(&rows, version))).await;
        let loaded = loaded.map_err(|_| CheckError::Busy)?;
        self.inner().loaded.store(Some(loaded.clone()));
        Ok(loaded)
    }

    fn loaded(&self, version: i64) -> Option<Arc<Loaded>> {
        self.inner().loaded.load_full().filter(|loaded| loaded.used.version == version)
    }

    /// Whom the next check depends on.
    pub async fn trust_used(&self) -> Result<TrustUsed, CheckError> {
        Ok(self.trust().await?.used.clone())
    }
}

fn load(rows: &[TrustRow], version: i64) -> Loaded {
    let trust = restore(rows);
    let authorities = trust.anchors().iter().map(Certificate::fingerprint);
    let mut fingerprints: Vec<String> = authorities
        .chain(trust.crls().map(Crl::fingerprint))
        .map(|one| HEXLOWER.encode(&one))
        .collect();
    fingerprints.sort_unstable();
    let used = TrustUsed {
        version,
        digest: HEXLOWER.encode(&Hash::Sha256.of(&[fingerprints.join("\n").as_bytes()])),
        authorities: trust.anchors().len(),
        crls: trust.crls().count(),
    };
    Loaded { trust, used }
}

/// What was vouched for when it was imported needs nobody to vouch for it again. A row that cannot be read any
/// more, by another version of this program, is left out and told of.
fn restore(rows: &[TrustRow]) -> Trust {
    let (mut certificates, mut crls) = (Vec::new(), Vec::new());
    for item in rows.iter().filter_map(read) {
        match item {
            Item::Certificate(certificate) => certificates.push(certificate),
            Item::Crl(crl) => crls.push(crl),
        }
    }
    Trust::of_known(certificates, crls)
}

fn read(row: &TrustRow) -> Option<Item> {
    let read = match row.kind.as_str() {
        "crl" => Crl::read(&row.der).map(Item::Crl),
        _ => Certificate::read(&row.der).map(Item::Certificate),
    };
    if let Err(Malformed(why)) = &read {
        tracing::error!(fingerprint = row.fingerprint, why, "what was imported cannot be read");
    }
    read.ok()
}

/// What goes with a row: certificates of the same key, and whom nobody who is left vouches for.
fn without(rows: &[TrustRow], row: &TrustRow) -> Vec<TrustRow> {
    let key = match read(row) {
        Some(Item::Certificate(certificate)) => certificate.key_hash,
        _ => return vec![row.clone()],
    };
    let left = rows.iter().filter_map(read).filter(|item| match item {
        Item::Certificate(certificate) => certificate.key_hash != key,
        Item::Crl(_) => true,
    });
    let left = left.map(|item| (item, String::new())).collect();
    let (accepted, _) =
        admit(&[], left, Timestamp::from_micros(i64::MAX), &mut Imported::default());
    let stays = |row: &&TrustRow| !accepted.iter().any(|one| one.fingerprint == row.fingerprint);
    rows.iter().filter(stays).cloned().collect()
}

/// Admits what is vouched for by those of the rows, as often as somebody new may vouch for others. What came new,
/// and the fingerprints of rows that say nothing any more.
fn admit(
    rows: &[TrustRow],
    items: Vec<(Item, String)>,
    now: Timestamp,
    imported: &mut Imported,
) -> (Vec<TrustRow>, Vec<String>) {
    /// Certificates that vouch for each other in a row.
    const CHAIN_MAX: usize = 6;
    let mut trust = restore(rows);
    let seconds = now.micros().div_euclid(1_000_000);
    let (mut accepted, mut waiting) = (Vec::new(), items);
    for pass in 0..CHAIN_MAX {
        let (mut left, mut progress) = (Vec::new(), false);
        for (item, source) in waiting {
            let admitted = match &item {
                Item::Certificate(certificate) => trust.admit(certificate.clone()),
                Item::Crl(crl) => trust.admit_crl(crl.clone(), seconds),
            };
            match admitted {
                Ok(true) => {
                    progress = true;
                    accepted.push(TrustRow { source, ..row(&item) });
                }
                Ok(false) => imported.known += 1,
                Err(why) => left.push((item, source, why)),
            }
        }
        if !progress || left.is_empty() || pass + 1 == CHAIN_MAX {
            imported.refused.extend(left.iter().map(|(item, _, why)| refused(item, *why)));
            break;
        }
        waiting = left.into_iter().map(|(item, source, _)| (item, source)).collect();
    }
    let live: Vec<String> = trust.crls().map(|crl| HEXLOWER.encode(&crl.fingerprint())).collect();
    // Of two lists of one authority in the same file, one went again.
    accepted.retain(|row| row.kind == "certificate" || live.contains(&row.fingerprint));
    imported.certificates = accepted.iter().filter(|row| row.kind == "certificate").count();
    imported.crls = accepted.len() - imported.certificates;
    let dead = |row: &&TrustRow| row.kind == "crl" && !live.contains(&row.fingerprint);
    (accepted, rows.iter().filter(dead).map(|row| row.fingerprint.clone()).collect())
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
fn items(
    name: &str,
    file: &[u8],
    now: Timestamp,
    imported: &mut Imported,
) -> Result<Vec<(Item, String)>, CheckError> {
    let mut items = Vec::new();
    let refuse = |why: Malformed| RefusedItem { whose: name.to_owned(), why: why.to_string() };
    for der in pieces(file)? {
        if MasterList::looks_like(&der) {
            let list = MasterList::read(&der)
                .map_err(|why| CheckError::Invalid("file", format!("is refused: {why}")))?;
            let signer = &list.signer;
            let in_force = signer.is_valid_at(now.micros().div_euclid(1_000_000));
            imported.signers.push(MasterListSigner {
                fingerprint: HEXLOWER.encode(&signer.fingerprint()),
                subject: signer.subject_text.clone(),
                in_force,
            });
            for certificate in list.certificates {
                match certificate {
                    Ok(certificate) => {
                        items.push((Item::Certificate(certificate), name.to_owned()));
                    }
                    Err(why) => imported.refused.push(refuse(why)),
                }
            }
            continue;
        }
        match (Certificate::read(&der), Crl::read(&der)) {
            (Ok(certificate), _) => items.push((Item::Certificate(certificate), name.to_owned())),
            (_, Ok(crl)) => items.push((Item::Crl(crl), name.to_owned())),
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
