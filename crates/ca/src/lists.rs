//! Taking certificates back, and the lists that say so (RFC 5280, section 5).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use portcullis_events::{Actor, Origin};
use portcullis_pki::{AuthorityFacts, Revoked, SpiffeId};
use portcullis_store::certificates::{self, AuthorityRow, CertificateRow, RevocationListRow};
use portcullis_types::{DEFAULT_TENANT, Timestamp};
use serde_json::json;

use crate::{
    Ca, CaError,
    authorities::is_trusted,
    ca::{Known, facts, unseal},
};

/// A list is good this long.
const LIST_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// It is made anew after this time, whether anything changed or not.
const LIST_EVERY: Duration = Duration::from_secs(4 * 3600);
/// Certificates of one workload that can be revoked at once.
const MOST: i64 = 10_000;

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
            let (found, ended) = match which {
                Which::Serial(serial) => {
                    let serial = serial.to_ascii_lowercase().replace(':', "");
                    let one = certificates::by_serial(&tx, DEFAULT_TENANT, &serial).await?;
                    (one.into_iter().collect(), 0)
                }
                Which::Workload(id) => {
                    let id = id.as_str();
                    let ended = certificates::end_enrolments(&tx, DEFAULT_TENANT, id, now).await?;
                    let of = Some(id);
                    (certificates::live(&tx, DEFAULT_TENANT, of, now, MOST).await?, ended)
                }
            };
            let mut count = 0;
            let is_over = |row: &CertificateRow| row.expires_at <= now.micros();
            for row in found.iter().filter(|row| !is_over(row)) {
                let CertificateRow { serial, .. } = row;
                if !certificates::revoke(&tx, DEFAULT_TENANT, serial, now, compromised).await? {
                    continue;
                }
                let mut after = facts(row);
                after["compromised"] = json!(compromised);
                let (actor, origin) = (actor.clone(), origin.cloned());
                tx.emit(self.event("revoke", "certificate", serial, after, actor, origin)).await?;
                count += 1;
            }
            if count == 0 && ended == 0 { Err(CaError::Nothing) } else { Ok(count) }
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
    ) -> Result<Vec<u8>, CaError> {
        let revoked = match row.root {
            Some(_) => known.revoked_by(&row.id),
            None => known.retired_under(&row.id)?,
        };
        let basis: Vec<&str> = revoked.iter().map(|one| one.serial.as_str()).collect();
        let basis = basis.join(" ");
        let db = &self.db;
        let stored = certificates::revocation_list(db, DEFAULT_TENANT, &row.id).await?;
        let number = stored.as_ref().map_or(1, |stored| stored.number + 1);
        if let Some(stored) = stored {
            let age = now.since(Timestamp::from_micros(stored.created_at));
            if stored.basis == basis && age < LIST_EVERY {
                return Ok(stored.list);
            }
        }
        let signer = unseal(row, &self.sealer, &self.settings)?;
        let next = now.plus(LIST_LIFETIME);
        let list =
            signer.revocation_list(u64::try_from(number).unwrap_or(1), now, next, &revoked)?;
        let authority = row.id.clone();
        let new = &RevocationListRow { authority, number, basis, list, created_at: now.micros() };
        let put = db.write(|tx| async move {
            certificates::put_revocation_list(&tx, DEFAULT_TENANT, new).await
        });
        if !put.await? {
            // Another node made one at the same time.
            let theirs = certificates::revocation_list(db, DEFAULT_TENANT, &row.id).await?;
            return Ok(theirs.map_or_else(Vec::new, |theirs| theirs.list));
        }
        Ok(new.list.clone())
    }
}

impl Known {
    fn revoked_by(&self, authority: &str) -> Vec<Revoked> {
        let own = self.revoked.iter().filter(|row| row.authority == authority);
        own.map(|row| Revoked {
            serial: row.serial.clone(),
            at: Timestamp::from_micros(row.revoked_at.unwrap_or_default()),
            compromised: row.compromised,
        })
        .collect()
    }

    fn retired_under(&self, root: &str) -> Result<Vec<Revoked>, CaError> {
        let below = self.authorities.0.iter().filter(|row| row.root.as_deref() == Some(root));
        below
            .filter_map(|row| Some((row, row.retired_at?)))
            .map(|(row, at)| {
                Ok(Revoked {
                    serial: AuthorityFacts::read(&row.certificate)?.serial,
                    at: Timestamp::from_micros(at),
                    compromised: false,
                })
            })
            .collect()
    }
}
