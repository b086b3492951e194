use std::{net::IpAddr, time::Duration};

use http::{HeaderName, HeaderValue, Response, StatusCode, header::RETRY_AFTER};
use portcullis_cluster::{Decision, Limiter, Rate, addr_limit_key};
use portcullis_events::Stage;
use portcullis_types::{AddrKey, ClientAddr, Timestamp};

use crate::{answer::Refusal, authn::Principal, body::GateBody};

/// What a limit counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKey {
    /// The address, or the IPv6 /64.
    Ip,
    /// The person, client, key or workload. Counted after authentication.
    Subject,
}

/// One limit of a route. Routes that name the same limit share its counters.
#[derive(Debug, Clone)]
pub struct LimitRule {
    /// Its name, in counters and header fields.
    pub name: String,
    /// What it counts by.
    pub key: LimitKey,
    /// How much may pass.
    pub rate: Rate,
    /// How long whoever exceeds it stays out.
    pub block: Option<Duration>,
    /// Whether a request counts. If not, the route is only closed to whoever is blocked.
    pub counts: bool,
}

/// A limit that blocked an address, for whoever keeps the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitBlock {
    /// The name of the limit.
    pub limit: String,
    /// The address.
    pub addr: AddrKey,
    /// When the block ends.
    pub until: Timestamp,
}

/// What the limits that passed will say in the answer.
#[derive(Debug, Default)]
pub(crate) struct Passed(Vec<(String, Rate, u32, Duration)>);

impl Passed {
    /// The fields of the IETF draft "RateLimit header fields for HTTP".
    pub fn announce(&self, response: &mut Response<GateBody>) {
        for (name, rate, remaining, reset) in &self.0 {
            for (field, value) in fields(name, *rate, *remaining, *reset) {
                response.headers_mut().append(field, value);
            }
        }
    }
}

fn fields(
    name: &str,
    rate: Rate,
    remaining: u32,
    reset: Duration,
) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let policy = format!("\"{name}\";q={};w={}", rate.count, rate.per.as_secs());
    let limit = format!("\"{name}\";r={remaining};t={}", seconds(reset));
    let named = [("ratelimit-policy", policy), ("ratelimit", limit)];
    named.into_iter().filter_map(|(field, text)| {
        Some((HeaderName::from_static(field), HeaderValue::from_str(&text).ok()?))
    })
}

/// Counts the request against the rules that go by `address` (before authentication) or by subject
/// (after it).
pub(crate) fn count(
    limiter: &Limiter,
    rules: &[LimitRule],
    addr: ClientAddr,
    subject: Option<&Principal>,
    now: Timestamp,
    passed: &mut Passed,
    blocked: &dyn Fn(LimitBlock),
) -> Result<(), Refusal> {
    for rule in rules {
        let key = match (rule.key, subject) {
            (LimitKey::Ip, None) => addr_limit_key(&rule.name, addr.key()),
            (LimitKey::Subject, Some(subject)) => subject_key(&rule.name, subject, addr),
            _ => continue,
        };
        let parts: Vec<&[u8]> = key.iter().map(Vec::as_slice).collect();
        if !rule.counts {
            match limiter.blocked_for(&parts, now) {
                Some(left) => return Err(too_many(rule, left)),
                None => continue,
            }
        }
        match limiter.count(&parts, rule.rate, rule.block, now) {
            Decision::Allowed { remaining, reset } => {
                passed.0.push((rule.name.clone(), rule.rate, remaining, reset));
            }
            Decision::Refused { retry_after, block_began } => {
                if block_began && rule.key == LimitKey::Ip {
                    let until = now.plus(retry_after);
                    blocked(LimitBlock { limit: rule.name.clone(), addr: addr.key(), until });
                }
                return Err(too_many(rule, retry_after));
            }
        }
    }
    Ok(())
}

/// Somebody unknown counts by address, so that an anonymous route still has a limit.
fn subject_key(name: &str, subject: &Principal, addr: ClientAddr) -> Vec<Vec<u8>> {
    match subject.id() {
        Some(id) => vec![name.as_bytes().to_vec(), b"subject".to_vec(), id.as_bytes().to_vec()],
        None => addr_limit_key(name, addr.key()),
    }
}

fn too_many(rule: &LimitRule, wait: Duration) -> Refusal {
    let detail = format!("too many requests; try again in {} s", seconds(wait));
    let mut refusal =
        Refusal::new(Stage::Limits, StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail)
            .with(RETRY_AFTER, &seconds(wait).to_string());
    refusal.headers.extend(fields(&rule.name, rule.rate, 0, wait));
    refusal
}

/// The answer to an address on the block list. A block ends by itself, and says when.
pub(crate) fn blocked(until: Timestamp, now: Timestamp) -> Refusal {
    let wait = until.since(now);
    let detail = format!("requests from this address are blocked for {} s", seconds(wait));
    Refusal::new(Stage::BlockList, StatusCode::TOO_MANY_REQUESTS, "address_blocked", detail)
        .with(RETRY_AFTER, &seconds(wait).to_string())
}

/// Whole seconds, rounded up: whoever waits that long is let in.
fn seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

/// The client's address: the peer's, or what trusted proxies say of it.
///
/// `X-Forwarded-For` is read from the right; the first address that is not a trusted proxy is the
/// client. Anything malformed on the way ends the search at the last trusted hop.
pub(crate) fn client_address(
    peer: IpAddr,
    forwarded: Option<&str>,
    trusted: &[ipnet::IpNet],
) -> ClientAddr {
    let trusts = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
    let mut client = peer.to_canonical();
    let mut hops = forwarded.unwrap_or_default().rsplit(',').map(str::trim);
    while trusts(client) {
        match hops.next().and_then(|hop| hop.parse::<IpAddr>().ok()) {
            Some(hop) => client = hop.to_canonical(),
            None => break,
        }
    }
    ClientAddr::new(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule R15: forwarding fields count only from listed proxies.
    #[test]
    fn r15_forwarded_addresses_count_only_from_trusted_proxies() {
        let address = |peer: &str, forwarded: Option<&str>, trusted: &[&str]| {
            let trusted: Vec<_> = trusted.iter().map(|net| net.parse().unwrap()).collect();
            client_address(peer.parse().unwrap(), forwarded, &trusted).to_string()
        };
        assert_eq!(address("198.51.100.9", Some("192.0.2.1"), &[]), "198.51.100.9");
        assert_eq!(address("10.0.0.1", Some("192.0.2.1"), &["10.0.0.0/8"]), "192.0.2.1");
        let spoofed = Some("1.1.1.1, 192.0.2.1, 10.0.0.2");
        assert_eq!(address("10.0.0.1", spoofed, &["10.0.0.0/8"]), "192.0.2.1");
        assert_eq!(address("10.0.0.1", Some("evil"), &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(address("10.0.0.1", None, &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(address("::ffff:10.0.0.1", Some("2001:db8::1"), &["10.0.0.0/8"]), "2001:db8::1");
    }
}
