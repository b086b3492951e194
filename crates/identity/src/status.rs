//! Where tokens stand in the status list.
//!
//! A token's place follows from its grant, so that revoking the grant is one mark, whoever issued
//! how many tokens from it. Tokens of a client that acts for itself spread over a block of the
//! client's own: one can be revoked alone, or all at once. Places meet by chance; who comes later
//! moves on to the next epoch, and so does whoever's place was marked but lives on.

use aws_lc_rs::digest::{SHA256, digest};
use portcullis_cluster::Place;
use portcullis_store::{
    Tx, clients,
    grants::{self, Revocation},
};
use portcullis_types::Timestamp;

use crate::{Identity, IdentityError};

/// How far somebody looks for a place that is free.
const TRIES: i64 = 16;

impl Identity {
    /// The place of tokens from a grant whose epoch is `epoch`, and the epoch it is of.
    pub fn place_of_grant(&self, grant: &str, epoch: i64, now: Timestamp) -> (u32, i64) {
        // As `iat` will have it.
        let now = Timestamp::from_secs(now.secs());
        let free = |epoch: &i64| !self.revocations.places.is_marked(in_grant(grant, *epoch), now);
        let epoch = (epoch..epoch.saturating_add(TRIES)).find(free).unwrap_or(epoch);
        (in_grant(grant, epoch), epoch)
    }

    /// The block of a client's own tokens, and the epoch it is of.
    pub fn block_of_client(&self, client: &str, epoch: i64, now: Timestamp) -> (u16, i64) {
        let block = |epoch: i64| block_of_client(client, epoch);
        let free = |epoch: &i64| !self.revocations.places.is_block_marked(block(*epoch), now);
        let epoch = (epoch..epoch.saturating_add(TRIES)).find(free).unwrap_or(epoch);
        (block(epoch), epoch)
    }

    /// The place of a client's own token in its block.
    pub fn place_in_block(block: u16, token: &str) -> u32 {
        let spread = digest(&SHA256, token.as_bytes()).as_ref()[0];
        u32::from(block) << 8 | u32::from(spread)
    }

    /// Marks the place of one token. Tokens that come from its grant later get another. Call
    /// [`Identity::apply`] with the result after the commit.
    pub async fn mark_token(
        &self,
        tx: &Tx,
        place: u32,
        grant: Option<&str>,
        now: Timestamp,
    ) -> Result<Revocation, IdentityError> {
        let grant = match grant {
            Some(id) => grants::by_id(tx, &self.tenant, id).await?,
            None => None,
        };
        if let Some(grant) = grant {
            let id = grant.id.to_string();
            if in_grant(&id, grant.status_epoch) == place {
                let next = grant.status_epoch + 1;
                grants::set_status_epoch(tx, &self.tenant, &id, next).await?;
            }
        }
        self.mark(tx, Place::One(place), now).await
    }

    /// Marks the block of a client's own tokens. Those that it gets later are in another. Call
    /// [`Identity::apply`] with the result after the commit.
    pub async fn mark_client(
        &self,
        tx: &Tx,
        client: &str,
        now: Timestamp,
    ) -> Result<Option<Revocation>, IdentityError> {
        let Some(row) = clients::by_id(tx, &self.tenant, client).await? else { return Ok(None) };
        let next = row.status_epoch + 1;
        clients::set_status_epoch(tx, &self.tenant, client, next).await?;
        let block = Place::Block(block_of_client(client, row.status_epoch));
        self.mark(tx, block, now).await.map(Some)
    }
}

/// The place of a grant's tokens.
pub(crate) fn in_grant(grant: &str, epoch: i64) -> u32 {
    let [a, b, c] = hashed("grant", grant, epoch);
    u32::from_be_bytes([0, a, b, c])
}

/// The block of a client's own tokens.
fn block_of_client(client: &str, epoch: i64) -> u16 {
    let [a, b, _] = hashed("client", client, epoch);
    u16::from_be_bytes([a, b])
}

fn hashed(kind: &str, id: &str, epoch: i64) -> [u8; 3] {
    let hash = digest(&SHA256, format!("{kind}\0{id}\0{epoch}").as_bytes());
    let bytes = hash.as_ref();
    [bytes[0], bytes[1], bytes[2]]
}
