//! Taking certificates back, and the lists that say so (RFC 5280, section 5).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use portcullis_events::{Actor, Origin};
use portcullis_pki::{AuthorityFacts, Revoked, SpiffeId};
use portcullis_store::{
    certificates::{self, AuthorityRow, CertificateRow, RevocationListRow},
    token_hash,
};
use portcullis_types::{DEFAULT_TENANT, Timestamp};
use serde_json::json;

use crate::{
    Ca, CaError,
    authorities::{Authorities, is_trusted},
    ca::{Known, LISTED_AFTER, facts, unseal},
};

/// A list is good this long.
const LIST_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// It is made anew after this time, whether anything changed or not.
const LIST_EVERY: Duration = Duration::from_secs(4 * 3600);
/// Certificates that the record names when all of a workload are taken back; the newest.
const NAMED: i64 = 100;

/// What is to be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// One certificate, by its serial number in hexadecimal.
    Serial(String),
    /// All of a workload, and its unused enrolment tokens.
    Workload(SpiffeId),
}

impl Ca {
    /// Takes certificates back and tells how many. They are refused at once by this process, by
    /// other nodes within a second, and by others when they read the list.
    pub async fn revoke(
        &self,
        which: &Which,
        compromised: bool,
        actor: &Actor,
        origin: Option<&Origin>,
    ) -> Result<u64, CaError> {
        let now = self.clock.now();
        let written = self.db.write(|tx| async move {
            let event = |object: &str, after| {
                let (actor, origin) = (actor.clone(), origin.cloned());
                self.event("revoke", "certificate", object, after, actor, origin)
            };
            match which {
                Which::Serial(serial) => {
                    let serial = serial.to_ascii_lowercase().replace(':', "");
                    let row = certificates::by_serial(&tx, DEFAULT_TENANT, &serial).await?;
                    let row = row.filter(|row| row.expires_at > now.micros());
                    let row = row.ok_or(CaError::Nothing)?;
                    if !certificates::revoke(&tx, DEFAULT_TENANT, &serial, now, compromised).await?
                    {
                        return Err(CaError::Nothing);
                    }
                    let mut after = facts(&row);
                    after["compromised"] = json!(compromised);
                    tx.emit(event(&serial, after)).await?;
                    Ok(1)
                }
                Which::Workload(id) => {
                    let id = id.as_str();
                    let newest = certificates::live(&tx, DEFAULT_TENANT, Some(id), now, NAMED);
                    let named = newest.await?.into_iter().filter(|row| row.revoked_at.is_none());
                    let serials: Vec<String> = named.map(|row| row.serial).collect();
                    let tokens = certificates::end_enrolments(&tx, DEFAULT_TENANT, id, now).await?;
                    let count =
                        certificates::revoke_all(&tx, DEFAULT_TENANT, id, now, compromised).await?;
                    if count == 0 && tokens == 0 {
                        return Err(CaError::Nothing);
                    }
                    let after = json!({
                        "certificates": count, "serials": serials, "enrolment_tokens": tokens,
                        "compromised": compromised,
                    });
                    tx.emit(event(id, after)).await?;
                    Ok(count)
                }
            }
        });
        let count = written.await?;
        self.follow().await?;
        Ok(count)
    }

    /// The newest certificates, of one workload or of all.
    pub async fn issued(
        &self,
        workload: Option<&SpiffeId>,
        limit: i64,
    ) -> Result<Vec<CertificateRow>, CaError> {
        let workload = workload.map(SpiffeId::as_str);
        let now = self.clock.now();
        Ok(certificates::live(&self.db, DEFAULT_TENANT, workload, now, limit).await?)
    }

    /// Makes lists anew that are old or do not say what is known; takes over what other nodes made.
    pub(crate) async fn make_lists(&self) -> Result<(), CaError> {
        let (known, now) = (self.known.load_full(), self.clock.now());
        let mut lists = BTreeMap::new();
        // Also of intermediates that are retired: whoever has a certificate of one may ask.
        let listed = |row: &&AuthorityRow| row.root.is_some() || is_trusted(row, now);
        for row in known.authorities.0.iter().filter(listed) {
            lists.insert(row.id.clone(), self.list_of(&known, row, now).await?);
        }
        self.lists.store(Arc::new(lists));
        Ok(())
    }

    async fn list_of(
        &self,
        known: &Known,
        row: &AuthorityRow,
        now: Timestamp,
    ) -> Result<Bytes, CaError> {
        let is_good = |stored: &RevocationListRow, basis: &str| {
            let age = now.since(Timestamp::from_micros(stored.created_at));
            stored.basis == basis && age < LIST_EVERY
        };
        let (db, id) = (&self.db, row.id.as_str());
        let stored = certificates::revocation_list(db, DEFAULT_TENANT, id).await?;
        let known = basis(&known.revoked_by(row)?);
        if let Some(stored) = stored.filter(|stored| is_good(stored, &known)) {
            return Ok(stored.list.into());
        }
        let signer = unseal(row, &self.sealer, &self.settings)?;
        let signer = &signer;
        let written = db.write(|tx| async move {
            // In one transaction: a list with a higher number must not know less.
            let after = now.minus(LISTED_AFTER);
            let revoked = match row.root {
                Some(_) => certificates::revoked(&tx, DEFAULT_TENANT, Some(id), after).await?,
                None => Vec::new(),
            };
            let authorities = certificates::authorities(&tx, DEFAULT_TENANT).await?;
            let authorities = Authorities(authorities);
            let revoked = Known { authorities, revoked, ..Known::default() }.revoked_by(row)?;
            let basis = basis(&revoked);
            let stored = certificates::revocation_list(&tx, DEFAULT_TENANT, id).await?;
            let number = stored.as_ref().map_or(1, |stored| stored.number + 1);
            if let Some(stored) = stored.filter(|stored| is_good(stored, &basis)) {
                return Ok(stored.list);
            }
            let next = now.plus(LIST_LIFETIME);
            let list =
                signer.revocation_list(u64::try_from(number).unwrap_or(1), now, next, &revoked)?;
            let (authority, created_at) = (id.to_owned(), now.micros());
            let new = RevocationListRow { authority, number, basis, list, created_at };
            certificates::put_revocation_list(&tx, DEFAULT_TENANT, &new).await?;
            Ok::<_, CaError>(new.list)
        });
        Ok(written.await?.into())
    }
}

/// What a list is made of.
fn basis(revoked: &[Revoked]) -> String {
    let serials: Vec<&str> = revoked.iter().map(|one| one.serial.as_str()).collect();
    HEXLOWER.encode(&token_hash(&serials.join(" ")))
}

impl Known {
    /// Certificates of an intermediate, or intermediates of a root, that are not good any more.
    fn revoked_by(&self, authority: &AuthorityRow) -> Result<Vec<Revoked>, CaError> {
        let id = &authority.id;
        if authority.root.is_some() {
            let own = self.revoked.iter().filter(|row| row.authority == *id);
            let revoked = own.map(|row| Revoked {
                serial: row.serial.clone(),
                at: Timestamp::from_micros(row.revoked_at.unwrap_or_default()),
                compromised: row.compromised,
            });
            return Ok(revoked.collect());
        }
        let below = self.authorities.0.iter().filter(|row| row.root.as_ref() == Some(id));
        let retired = below.filter_map(|row| Some((row, row.retired_at?)));
        let revoked = retired.map(|(row, at)| {
            Ok(Revoked {
                serial: AuthorityFacts::read(&row.certificate)?.serial,
                at: Timestamp::from_micros(at),
                compromised: row.compromised,
            })
        });
        revoked.collect()
    }
}
