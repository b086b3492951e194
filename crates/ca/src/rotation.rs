//! New authorities in time, and old ones out of trust when nothing of them is left.

use std::time::Duration;

use portcullis_events::{Actor, AdminChange, Event, Kind, Outcome};
use portcullis_pki::{Authority, AuthorityFacts, AuthorityMaterial};
use portcullis_store::{
    Db, Sealer,
    certificates::{self, AuthorityRow},
};
use portcullis_types::{DEFAULT_TENANT, Entropy, Id, Timestamp, random_array};
use serde_json::json;

use crate::{
    AuthorityStatus, Ca, CaError, CaSettings,
    authorities::{Authorities, is_trusted},
    ca::{key_purpose, unseal},
};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Roots live this long.
const ROOT: Duration = Duration::from_secs(3_650 * 24 * 3600);
/// A root is followed by another when this much of its life is left: its intermediates live long.
const ROOT_LEFT: Duration = Duration::from_secs(4 * 365 * 24 * 3600);
/// Intermediates live this long.
const INTERMEDIATE: Duration = Duration::from_secs(3 * 365 * 24 * 3600);
/// An intermediate is followed by another when this much of its life is left: more than any
/// certificate lives.
const INTERMEDIATE_LEFT: Duration = Duration::from_secs(2 * 365 * 24 * 3600);
/// What signs no more is trusted this much longer, for clocks that differ.
const GRACE: Duration = DAY;

/// What it takes to make authorities.
pub(crate) struct Maker<'a> {
    pub sealer: &'a Sealer,
    pub entropy: &'a dyn Entropy,
    pub settings: &'a CaSettings,
    pub now: Timestamp,
}

impl Maker<'_> {
    fn root(&self, active_at: Timestamp) -> Result<AuthorityRow, CaError> {
        let made = Authority::create_root(&self.name("root"), self.now, ROOT)?;
        self.row(made, None, active_at)
    }

    fn intermediate(
        &self,
        root: &AuthorityRow,
        active_at: Timestamp,
    ) -> Result<AuthorityRow, CaError> {
        let signer = unseal(root, self.sealer, self.settings)?;
        let made = signer.create_intermediate(
            &self.name("issuing"),
            self.now,
            INTERMEDIATE,
            self.entropy,
        )?;
        self.row(made, Some(root.id.clone()), active_at)
    }

    /// No two authorities have one name.
    fn name(&self, kind: &str) -> String {
        let date = self.now.to_rfc3339().get(..10).unwrap_or_default().to_owned();
        let [a, b, c] = random_array::<3>(self.entropy);
        let domain = self.settings.trust_domain.get(..30).unwrap_or(&self.settings.trust_domain);
        format!("{domain} {kind} {date} {a:02x}{b:02x}{c:02x}")
    }

    fn row(
        &self,
        made: AuthorityMaterial,
        root: Option<String>,
        active_at: Timestamp,
    ) -> Result<AuthorityRow, CaError> {
        let AuthorityFacts { id, not_after, .. } = AuthorityFacts::read(&made.certificate)?;
        let key = made.key_pem.expose().as_bytes();
        Ok(AuthorityRow {
            sealed_key: self.sealer.seal(&key_purpose(&id), key, self.entropy)?,
            id,
            root,
            certificate: made.certificate,
            created_at: self.now.micros(),
            active_at: active_at.micros(),
            expires_at: not_after.micros(),
            retired_at: None,
            compromised: false,
        })
    }
}

/// Makes the first authorities, unless another node was first.
pub(crate) async fn begin(db: &Db, maker: &Maker<'_>) -> Result<(), CaError> {
    if !certificates::authorities(db, DEFAULT_TENANT).await?.is_empty() {
        return Ok(());
    }
    let root = &maker.root(maker.now)?;
    let intermediate = &maker.intermediate(root, maker.now)?;
    db.write(|tx| async move {
        if certificates::authorities(&tx, DEFAULT_TENANT).await?.is_empty() {
            for row in [root, intermediate] {
                certificates::insert_authority(&tx, DEFAULT_TENANT, row).await?;
                let change = AdminChange {
                    action: "create",
                    object_type: "certificate_authority",
                    object: row.id.clone(),
                    before: None,
                    after: Some(json!({ "root": row.root })),
                };
                let id = Id::new(maker.now, maker.entropy);
                let (outcome, kind) = (Outcome::Success, Kind::Admin(change));
                tx.emit(Event::new(id, maker.now, None, Actor::System, outcome, kind)).await?;
            }
        }
        Ok(())
    })
    .await
}

impl Ca {
    /// Makes a new intermediate that signs from now on, or with `root` a new root that is published
    /// first and signs later. If the old one is in other hands, `compromised`, the new one signs at
    /// once and nothing of the old one is trusted any more.
    pub async fn rotate(
        &self,
        root: bool,
        compromised: bool,
        actor: &Actor,
    ) -> Result<AuthorityStatus, CaError> {
        self.follow().await?;
        let now = self.clock.now();
        let known = self.known.load_full();
        let old = &known.authorities;
        let maker = self.maker();
        let new = match (root, compromised) {
            (true, false) => maker.root(now.plus(self.settings.publish_root_first))?,
            (true, true) => maker.root(now)?,
            (false, _) => {
                let root = old.signing_root(now).or(old.newest_root(now));
                root.ok_or(CaError::NoAuthority)?.clone()
            }
        };
        let active_at = Timestamp::from_micros(new.active_at).max(now);
        let intermediate = maker.intermediate(&new, active_at)?;
        let gone: Vec<&AuthorityRow> = old
            .0
            .iter()
            .filter(|row| compromised && is_trusted(row, now))
            .filter(|row| root || row.root.as_ref() == Some(&new.id))
            .collect();
        let (new, intermediate, gone) = (&new, &intermediate, &gone);
        let written = self.db.write(|tx| async move {
            if certificates::authorities(&tx, DEFAULT_TENANT).await?.len() != old.0.len() {
                // Somebody else was faster; whoever asked should look again.
                return Err(CaError::Raced);
            }
            if root {
                certificates::insert_authority(&tx, DEFAULT_TENANT, new).await?;
            }
            certificates::insert_authority(&tx, DEFAULT_TENANT, intermediate).await?;
            for row in gone {
                certificates::retire_authority(&tx, DEFAULT_TENANT, &row.id, now, true).await?;
            }
            let after = json!({
                "root": intermediate.root,
                "active_at": active_at.to_rfc3339(),
                "compromised": compromised,
                "not_trusted_any_more": gone.iter().map(|row| &row.id).collect::<Vec<_>>(),
            });
            let id = &intermediate.id;
            let event =
                self.event("rotate", "certificate_authority", id, after, actor.clone(), None);
            tx.emit(event).await?;
            Ok(())
        });
        written.await?;
        self.follow().await?;
        let made = if root { &new.id } else { &intermediate.id };
        self.status().into_iter().find(|one| one.id == *made).ok_or(CaError::NoAuthority)
    }
}

/// Follows up on what the time brings.
pub(crate) async fn tend(ca: &Ca) -> Result<(), CaError> {
    let now = ca.clock.now();
    let known = ca.known.load_full();
    let all = &known.authorities;
    let left = |row: &AuthorityRow| Timestamp::from_micros(row.expires_at).since(now);
    if all.newest_root(now).is_none_or(|root| left(root) < ROOT_LEFT) {
        ca.rotate(true, false, &Actor::System).await?;
        return Ok(());
    }
    let waiting = all.0.iter().any(|row| row.root.is_some() && row.active_at > now.micros());
    if !waiting && all.signing(now).is_none_or(|one| left(one) < INTERMEDIATE_LEFT) {
        ca.rotate(false, false, &Actor::System).await?;
        return Ok(());
    }
    for row in outlived(all, now) {
        if !is_used(ca, all, row, now).await? {
            retire(ca, row, now).await?;
        }
    }
    Ok(())
}

/// Those that sign no more, intermediates before their roots.
fn outlived(all: &Authorities, now: Timestamp) -> Vec<&AuthorityRow> {
    let Some((signing, root)) = all.signing(now).zip(all.signing_root(now)) else {
        return Vec::new();
    };
    let since = Timestamp::from_micros(signing.active_at).plus(GRACE);
    let old = |row: &&AuthorityRow| {
        is_trusted(row, now)
            && row.id != signing.id
            && row.id != root.id
            && row.active_at <= signing.active_at
            && now >= since
    };
    let mut rows: Vec<&AuthorityRow> = all.0.iter().filter(old).collect();
    rows.sort_by_key(|row| row.root.is_none());
    rows
}

/// Whether anything that leads to it is still good.
async fn is_used(
    ca: &Ca,
    all: &Authorities,
    row: &AuthorityRow,
    now: Timestamp,
) -> Result<bool, CaError> {
    if row.root.is_none() {
        let below = |one: &AuthorityRow| one.root.as_ref() == Some(&row.id) && is_trusted(one, now);
        return Ok(all.0.iter().any(below));
    }
    let at = now.minus(GRACE);
    Ok(certificates::has_live(&ca.db, DEFAULT_TENANT, &row.id, at).await?)
}

async fn retire(ca: &Ca, row: &AuthorityRow, now: Timestamp) -> Result<(), CaError> {
    let written = ca.db.write(|tx| async move {
        if certificates::retire_authority(&tx, DEFAULT_TENANT, &row.id, now, false).await? {
            let kind = "certificate_authority";
            let after = json!({ "root": row.root });
            tx.emit(ca.event("disable", kind, &row.id, after, Actor::System, None)).await?;
        }
        Ok::<_, CaError>(())
    });
    written.await
}
