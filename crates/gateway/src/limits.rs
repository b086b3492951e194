//! How much may pass: rates, quotas, and how many at once; by address, by whoever is calling, by a
//! header field, or by several together.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header::RETRY_AFTER};
use ipnet::IpNet;
use portcullis_cluster::{
    Allowance, Concurrency, ConcurrencyPlace, Decision, Limiter, Period, Quotas, addr_limit_key,
};
use portcullis_events::Stage;
use portcullis_types::{AddrKey, ClientAddr, Timestamp};

use crate::{answer::Refusal, authn::Principal, body::GateBody};

/// A header value counts up to this length.
const MAX_HEADER_KEY: usize = 128;

/// What a limit counts by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitKey {
    /// The address, or the IPv6 /64.
    Ip,
    /// The IPv6 /56; IPv4 as above.
    Ip56,
    /// The IPv6 /48; IPv4 as above.
    Ip48,
    /// The person, client, key or workload. Counted after authentication, like the next three;
    /// whoever has none is counted by address.
    Subject,
    /// The client that a token was issued to.
    Client,
    /// The API key.
    ApiKey,
    /// The tenant.
    Tenant,
    /// The value of a header field.
    Header(HeaderName),
    /// The route, if the limit is shared by several.
    Route,
    /// Nothing: everybody together.
    Everyone,
}

impl LimitKey {
    /// Whether it needs to be known who is calling.
    fn needs_caller(&self) -> bool {
        matches!(self, Self::Subject | Self::Client | Self::ApiKey)
    }
}

/// How much may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitKind {
    /// So much in such a time.
    Rate {
        /// The rate, what may come at once, and what one request counts for.
        allowance: Allowance,
        /// How long whoever exceeds it stays out.
        block: Option<Duration>,
    },
    /// So much in a calendar day or month.
    Quota {
        /// How much.
        most: u64,
        /// In which period.
        period: Period,
        /// What one request counts for.
        cost: u64,
    },
    /// So many at once.
    Concurrency {
        /// How many.
        most: usize,
        /// How many more may wait.
        queue: usize,
        /// For how long.
        wait: Duration,
    },
}

/// Which requests count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// All of them.
    Requests,
    /// Those that were answered with a status of 400 or more, by whomever.
    Failures,
    /// None. The limit only closes to whoever is blocked.
    Nothing,
}

/// One limit of a route. Routes that name the same limit share its counters.
#[derive(Debug, Clone)]
pub struct LimitRule {
    /// Its name, in counters and header fields.
    pub name: String,
    /// What it counts by, all of them together.
    pub keys: Vec<LimitKey>,
    /// How much may pass.
    pub kind: LimitKind,
    /// Which requests count.
    pub counted: Counted,
    /// Networks that it does not hold for.
    pub except: Vec<IpNet>,
}

impl LimitRule {
    /// Whether it needs to be known who is calling.
    pub(crate) fn needs_caller(&self) -> bool {
        self.keys.iter().any(LimitKey::needs_caller)
    }
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

/// The tables that limits count in.
#[derive(Debug, Clone)]
pub struct Counters {
    /// Rates.
    pub limiter: Arc<Limiter>,
    /// Quotas.
    pub quotas: Arc<Quotas>,
    /// Requests on their way.
    pub concurrency: Arc<Concurrency>,
}

/// What the limits found out about a request that passed them.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    fields: Vec<(HeaderName, HeaderValue)>,
    /// Limits that counted it and take that back if it succeeds, and whether nothing is left of
    /// them. Counting afterwards would let pass as many as come side by side.
    after: Vec<(Arc<LimitRule>, Key, bool)>,
    /// Places that it takes while it is on its way.
    pub places: Vec<ConcurrencyPlace>,
    /// How many were looked at.
    pub looked: usize,
}

/// What a limit counts somebody by: its name, then in pairs what it counts by and whom.
pub(crate) type Key = Vec<Vec<u8>>;

impl Passed {
    /// The fields of the IETF draft "RateLimit header fields for HTTP".
    pub fn announce(&self, response: &mut Response<GateBody>) {
        for (field, value) in &self.fields {
            response.headers_mut().append(field, value.clone());
        }
    }

    /// Counts an answer where only failures count.
    pub fn settle(
        &self,
        counters: &Counters,
        status: u16,
        addr: ClientAddr,
        now: Timestamp,
        blocked: &dyn Fn(LimitBlock),
    ) {
        for (rule, key, last) in &self.after {
            let LimitKind::Rate { allowance, block } = rule.kind else { continue };
            let parts = slices(key);
            if status < 400 {
                counters.limiter.give_back(&parts, allowance, now);
            } else if let (true, Some(block)) = (*last, block) {
                let until = now.plus(block);
                counters.limiter.restore_block(&parts, until, now);
                if rule.keys == [LimitKey::Ip] {
                    blocked(LimitBlock { limit: rule.name.clone(), addr: addr.key(), until });
                }
            }
        }
    }
}

/// A request as limits see it.
#[derive(Clone, Copy)]
pub(crate) struct Countable<'a> {
    pub rules: &'a [Arc<LimitRule>],
    pub route: &'a str,
    pub headers: &'a HeaderMap,
    pub addr: ClientAddr,
    /// Who is calling, once that is known.
    pub who: Option<&'a Principal>,
    pub now: Timestamp,
    /// Whether it counts, or somebody only wants to know.
    pub counts: bool,
}

/// Counts a request against the rules that can be looked at now: those that need to know who is
/// calling if that is known, the others if it is not.
pub(crate) async fn count(
    counters: &Counters,
    request: Countable<'_>,
    passed: &mut Passed,
    blocked: &(dyn Fn(LimitBlock) + Sync),
) -> Result<(), Refusal> {
    let Countable { rules, addr, who, now, counts, .. } = request;
    for rule in rules.iter().filter(|rule| rule.needs_caller() == who.is_some()) {
        if rule.except.iter().any(|net| net.contains(&addr.ip())) {
            continue;
        }
        passed.looked += 1;
        let key = key_of(rule, &request.known());
        let parts = slices(&key);
        match rule.kind {
            LimitKind::Rate { allowance, block } => {
                if rule.counted == Counted::Nothing {
                    match counters.limiter.blocked_for(&parts, now) {
                        Some(left) => return Err(too_many(rule, left)),
                        None => continue,
                    }
                }
                let failures = rule.counted == Counted::Failures;
                let said = if counts {
                    let block = block.filter(|_| !failures);
                    counters.limiter.count(&parts, allowance, block, now)
                } else {
                    counters.limiter.look(&parts, allowance, now)
                };
                match said {
                    Decision::Allowed { remaining, reset } => {
                        passed.fields.extend(fields(rule, u64::from(remaining), reset));
                        if counts && failures {
                            passed.after.push((rule.clone(), key, remaining < allowance.cost));
                        }
                    }
                    Decision::Refused { retry_after, block_began } => {
                        if block_began && rule.keys == [LimitKey::Ip] {
                            let until = now.plus(retry_after);
                            let limit = rule.name.clone();
                            blocked(LimitBlock { limit, addr: addr.key(), until });
                        }
                        return Err(too_many(rule, retry_after));
                    }
                }
            }
            LimitKind::Quota { most, period, cost } => {
                let said = counters.quotas.take(&parts, most, period, cost, counts, now);
                if !said.allowed {
                    return Err(too_many(rule, said.reset));
                }
                passed.fields.extend(fields(rule, said.remaining, said.reset));
            }
            LimitKind::Concurrency { most, queue, wait } => {
                if !counts {
                    continue;
                }
                let place = counters.concurrency.enter(&parts, most, queue, wait).await;
                passed.places.push(place.map_err(|_| busy(rule))?);
            }
        }
    }
    Ok(())
}

/// What a limit can know of a request.
#[derive(Clone, Copy, Default)]
pub(crate) struct Known<'a> {
    pub route: &'a str,
    pub addr: Option<ClientAddr>,
    pub headers: Option<&'a HeaderMap>,
    /// Whoever is calling, the client of their token, and the API key.
    pub id: Option<&'a str>,
    pub client: Option<&'a str>,
    pub api_key: Option<&'a str>,
}

impl<'a> Countable<'a> {
    fn known(&self) -> Known<'a> {
        let (client, api_key) = match self.who {
            Some(Principal::Token(claims)) => (Some(&*claims.client_id), None),
            Some(Principal::ApiKey(key)) => (None, Some(&*key.id)),
            _ => (None, None),
        };
        let (route, headers) = (self.route, Some(self.headers));
        let id = self.who.and_then(Principal::id);
        Known { route, addr: Some(self.addr), headers, id, client, api_key }
    }
}

/// What a rule counts a request by: its name first, so that rules do not meet.
pub(crate) fn key_of(rule: &LimitRule, request: &Known<'_>) -> Key {
    let addr = request.addr.unwrap_or_else(|| ClientAddr::new(Ipv6Addr::UNSPECIFIED.into()));
    let by_address = || addr_limit_key(&rule.name, addr.key());
    if rule.keys == [LimitKey::Ip] {
        return by_address();
    }
    let mut key = vec![rule.name.as_bytes().to_vec()];
    for one in &rule.keys {
        let part = match (one, request.client, request.api_key) {
            (LimitKey::Ip, ..) => ("ip", addr.key().octets().to_vec()),
            (LimitKey::Ip56, ..) => ("ip56", prefix(addr, 56)),
            (LimitKey::Ip48, ..) => ("ip48", prefix(addr, 48)),
            (LimitKey::Tenant, ..) => ("tenant", portcullis_types::DEFAULT_TENANT.into()),
            (LimitKey::Header(name), ..) => {
                let value = request.headers.and_then(|headers| headers.get(name));
                let value = value.map_or(&[][..], HeaderValue::as_bytes);
                ("header", value[..value.len().min(MAX_HEADER_KEY)].to_vec())
            }
            (LimitKey::Route, ..) => ("route", request.route.into()),
            (LimitKey::Everyone, ..) => ("everyone", Vec::new()),
            (LimitKey::Client, Some(client), _) => ("client", client.as_bytes().to_vec()),
            (LimitKey::ApiKey, _, Some(key)) => ("api-key", key.as_bytes().to_vec()),
            // Somebody unknown counts by address, so that an anonymous route still has a limit.
            _ => match request.id {
                Some(id) => ("subject", id.as_bytes().to_vec()),
                None => ("ip", addr.key().octets().to_vec()),
            },
        };
        key.push(part.0.as_bytes().to_vec());
        key.push(part.1);
    }
    key
}

/// The network of an IPv6 address; an IPv4 address as it is.
fn prefix(addr: ClientAddr, bits: u32) -> Vec<u8> {
    match addr.ip() {
        IpAddr::V4(_) => addr.key().octets().to_vec(),
        IpAddr::V6(ip) => (u128::from(ip) & (u128::MAX << (128 - bits))).to_be_bytes().to_vec(),
    }
}

pub(crate) fn slices(key: &[Vec<u8>]) -> Vec<&[u8]> {
    key.iter().map(Vec::as_slice).collect()
}

fn fields(
    rule: &LimitRule,
    remaining: u64,
    reset: Duration,
) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let name = &rule.name;
    let (most, window) = match rule.kind {
        LimitKind::Rate { allowance, .. } => {
            (u64::from(allowance.rate.count), allowance.rate.per.as_secs())
        }
        LimitKind::Quota { most, period: Period::Day, .. } => (most, 86_400),
        LimitKind::Quota { most, period: Period::Month, .. } => (most, 30 * 86_400),
        LimitKind::Concurrency { most, .. } => (most as u64, 0),
    };
    let policy = format!("\"{name}\";q={most};w={window}");
    let limit = format!("\"{name}\";r={remaining};t={}", seconds(reset));
    let named = [("ratelimit-policy", policy), ("ratelimit", limit)];
    named.into_iter().filter_map(|(field, text)| {
        Some((HeaderName::from_static(field), HeaderValue::from_str(&text).ok()?))
    })
}

fn too_many(rule: &LimitRule, wait: Duration) -> Refusal {
    let detail = format!("too many requests; try again in {} s", seconds(wait));
    let mut refusal =
        Refusal::new(Stage::Limits, StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail)
            .with(RETRY_AFTER, &seconds(wait).to_string());
    refusal.headers.extend(fields(rule, 0, wait));
    refusal.because("limit", &*rule.name)
}

fn busy(rule: &LimitRule) -> Refusal {
    let detail = "too many requests at once; try again when one is answered";
    Refusal::new(Stage::Limits, StatusCode::TOO_MANY_REQUESTS, "too_many_at_once", detail)
        .with(RETRY_AFTER, "1")
        .because("limit", &*rule.name)
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
    trusted: &[IpNet],
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
