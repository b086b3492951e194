//! Whom a block would hit besides whoever it is meant for.

use std::collections::BTreeMap;

use portcullis_store::{defence, sessions};
use portcullis_types::{ClientAddr, Prefix, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    call::Call,
    endpoint::{Api, Reply, ok},
};

/// Logins that are looked at; a network from which more people are logged in is no attacker's.
const MOST_LOGINS: i64 = 10_000;
/// Accounts that are named.
const NAMED: usize = 20;

/// What a block would be on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BlockPreviewInput {
    /// An address or a network, as for a block.
    addr: String,
}

/// Whom it would hit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BlockPreviewView {
    /// What would be blocked.
    addr: String,
    /// Whether whoever asks comes from there.
    contains_you: bool,
    /// Logins from there that still hold.
    logins: usize,
    /// Whether there are more than were looked at.
    more: bool,
    /// The accounts behind them, those that were used last first; at most 20.
    accounts: Vec<AccountHit>,
    /// How many accounts there are.
    account_count: usize,
    /// Blocks in force that overlap with it.
    overlaps: Vec<String>,
    /// Findings of the last 24 hours about addresses in it.
    alerts: usize,
}

/// An account that somebody logged in to from there.
#[derive(Debug, Serialize, ToSchema)]
struct AccountHit {
    id: String,
    /// From which address that login began.
    addr: String,
    last_seen_at: String,
}

const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

pub(crate) async fn preview(api: Api, call: Call) -> Reply {
    let input: BlockPreviewInput = call.json()?;
    let network = crate::admin_access::blockable(&input.addr)?;
    let (db, tenant, now) = (&api.identity.db, &api.identity.tenant, api.identity.now());
    let found =
        sessions::live_from(db, tenant, &beginning(network), (now, MOST_LOGINS + 1)).await?;
    let more = i64::try_from(found.len()).is_ok_and(|found| found > MOST_LOGINS);
    let within = |addr: &str| addr.parse().is_ok_and(|ip| network.contains(ClientAddr::new(ip)));
    let mut accounts: BTreeMap<String, (String, Timestamp)> = BTreeMap::new();
    let mut logins = 0;
    for login in found.into_iter().filter(|login| within(&login.addr)) {
        logins += 1;
        let seen = (login.addr, login.last_seen_at);
        let known = accounts.entry(login.account_id.to_string()).or_insert_with(|| seen.clone());
        if known.1 < seen.1 {
            *known = seen;
        }
    }
    let account_count = accounts.len();
    let mut accounts: Vec<_> = accounts.into_iter().collect();
    accounts.sort_by_key(|(_, (_, seen))| std::cmp::Reverse(*seen));
    let accounts = accounts.into_iter().take(NAMED).map(|(id, (addr, seen))| AccountHit {
        id,
        addr,
        last_seen_at: seen.to_rfc3339(),
    });
    let overlaps = |other: &str| {
        Prefix::parse(other).is_some_and(|other| {
            network.contains(ClientAddr::new(other.ip()))
                || other.contains(ClientAddr::new(network.ip()))
        })
    };
    let blocks = defence::live_blocks(db, tenant, now).await?;
    let alerts = defence::alerts_since(db, tenant, now.minus(DAY)).await?;
    let about = |addr: &Option<String>| addr.as_deref().is_some_and(&overlaps);
    ok(BlockPreviewView {
        addr: network.to_string(),
        contains_you: network.contains(call.origin.addr),
        logins,
        more,
        accounts: accounts.collect(),
        account_count,
        overlaps: blocks
            .into_iter()
            .map(|block| block.addr)
            .filter(|addr| overlaps(addr))
            .collect(),
        alerts: alerts.iter().filter(|(addr,)| about(addr)).count(),
    })
}

/// What the text of every address in a network begins with.
fn beginning(network: Prefix) -> String {
    match network.ip() {
        std::net::IpAddr::V4(ip) => {
            let whole = usize::from(network.length() / 8);
            let octets: Vec<String> =
                ip.octets().iter().take(whole).map(ToString::to_string).collect();
            let end = if whole < 4 { "." } else { "" };
            format!("{}{end}", octets.join("."))
        }
        // Groups up to the first that may be hidden in `::`.
        std::net::IpAddr::V6(ip) => {
            let whole = usize::from(network.length() / 16);
            let shown = ip.segments().into_iter().take(whole).take_while(|group| *group != 0);
            shown.map(|group| format!("{group:x}:")).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_is_never_narrower_than_the_network() {
        for (network, text) in [
            ("192.0.2.0/24", "192.0.2."),
            ("192.0.2.7/32", "192.0.2.7"),
            ("192.0.0.0/18", "192.0."),
            ("2001:db8::/32", "2001:db8:"),
            ("2001:db8:1::/48", "2001:db8:1:"),
            ("2001:db8:0:1::/64", "2001:db8:"),
            ("::/32", ""),
        ] {
            assert_eq!(Prefix::parse(network).map(beginning).as_deref(), Some(text), "{network}");
        }
    }
}
