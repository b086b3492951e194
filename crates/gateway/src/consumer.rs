//! Who uses up which limit, for people who look at it. Nothing here is on the way of a request: what a limit
//! counted somebody by is made again from the event of the request.

use std::{net::Ipv6Addr, sync::Arc, time::Duration};

use portcullis_cluster::{Decision, Period};
use portcullis_events::{Actor, Stage};
use portcullis_types::{ClientAddr, Timestamp};

use crate::limits::{
    Counted, Counters, Key, Known, LimitKey, LimitKind, LimitRule, key_of, slices,
};

/// A request that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The route that it matched.
    pub route: &'a str,
    /// Where it came from.
    pub addr: ClientAddr,
    /// Who asked.
    pub actor: &'a Actor,
    /// Where it was refused, if it was.
    pub refused_at: Option<Stage>,
    /// The limit that refused it, if one did.
    pub limit: Option<&'a str>,
}

/// Somebody whom a limit counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Consumer(Key);

/// What is left to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests that may still pass now.
    pub left: u64,
    /// Until there is more; until nothing is used any more, where something is left.
    pub wait: Duration,
    /// Whether they are kept out for longer than the limit alone would.
    pub blocked: bool,
}

impl Consumer {
    /// By what they are counted, and who it is. Values of header fields are made readable.
    pub fn told(&self) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let pairs = self.0.get(1..).unwrap_or_default().chunks_exact(2);
        let told = pairs.map(|pair| {
            let by = text(&pair[0]);
            let addr = <[u8; 16]>::try_from(&pair[1][..]).ok().filter(|_| by.starts_with("ip"));
            let value = match addr.map(|octets| ClientAddr::new(Ipv6Addr::from(octets).into())) {
                Some(addr) if addr.ip().is_ipv4() || by == "ip" => addr.key().to_string(),
                Some(addr) => format!("{}/{}", addr.ip(), by.trim_start_matches("ip")),
                None => text(&pair[1]),
            };
            (by, value)
        });
        told.collect()
    }
}

impl LimitRule {
    /// How much it lets pass.
    pub fn told(&self) -> String {
        match self.kind {
            LimitKind::Rate { allowance, block } => {
                let (count, per) = (allowance.rate.count, allowance.rate.per.as_secs());
                let block = block.map(|block| format!(", then out for {} s", block.as_secs()));
                format!("{count} in {per} s{}", block.unwrap_or_default())
            }
            LimitKind::Quota { most, period: Period::Day, .. } => format!("{most} in a day"),
            LimitKind::Quota { most, period: Period::Month, .. } => format!("{most} in a month"),
            LimitKind::Concurrency { most, .. } => format!("{most} at once"),
        }
    }

    /// Whether an event tells whom it counted.
    pub fn tells_apart(&self) -> bool {
        !self.keys.iter().any(|key| matches!(key, LimitKey::Header(_) | LimitKey::Client))
    }

    /// Those of a route that counted a request, in the order in which they did. They are asked one after the other
    /// until one refuses, and those that need to know who is calling come after authentication.
    pub fn that_counted<'r>(rules: &'r [Arc<Self>], seen: Seen<'_>) -> Vec<&'r Self> {
        let (at_door, by_caller): (Vec<&Self>, Vec<&Self>) =
            rules.iter().map(|rule| &**rule).partition(|rule| !rule.needs_caller());
        let all = || at_door.iter().chain(&by_caller).copied();
        match (seen.refused_at, seen.limit) {
            (Some(Stage::Guard | Stage::Route), _) => Vec::new(),
            // Whoever is on the block list and got as far as a route had shown a credential that did not hold.
            (Some(Stage::BlockList | Stage::Authenticate | Stage::Authorise), _) => at_door,
            (Some(Stage::Limits), Some(refusing)) => {
                let last = all().position(|rule| rule.name == refusing);
                all().take(last.map_or(0, |last| last + 1)).collect()
            }
            // There was too much to do, and nothing was counted.
            (Some(Stage::Limits), None) => Vec::new(),
            _ => all().collect(),
        }
    }

    /// Whom it counts a request for; nothing if nobody, or if that cannot be told any more.
    pub fn consumer(&self, seen: Seen<'_>) -> Option<Consumer> {
        let excepted = self.except.iter().any(|net| net.contains(&seen.addr.ip()));
        if excepted || self.counted == Counted::Nothing || !self.tells_apart() {
            return None;
        }
        let (id, api_key) = match seen.actor {
            Actor::User { id, .. } | Actor::Client { id } => (Some(&**id), None),
            Actor::ApiKey { id } => (Some(&**id), Some(&**id)),
            Actor::Workload { spiffe_id } => (Some(&**spiffe_id), None),
            Actor::Anonymous | Actor::UnknownUser { .. } | Actor::System | Actor::Operator => {
                (None, None)
            }
        };
        let addr = Some(seen.addr);
        let known = Known { route: seen.route, addr, id, api_key, ..Known::default() };
        Some(Consumer(key_of(self, &known)))
    }

    /// How somebody stands with it. Nothing is counted.
    pub fn standing(&self, counters: &Counters, consumer: &Consumer, now: Timestamp) -> Standing {
        let parts = slices(&consumer.0);
        match self.kind {
            LimitKind::Rate { allowance, .. } => {
                if let Some(wait) = counters.limiter.blocked_for(&parts, now) {
                    return Standing { left: 0, wait, blocked: true };
                }
                // It says what would be left after one more.
                match counters.limiter.look(&parts, allowance, now) {
                    Decision::Allowed { remaining, reset } => {
                        let left = u64::from(remaining) + u64::from(allowance.cost);
                        let left = left.min(allowance.burst.into());
                        let left = left / u64::from(allowance.cost.max(1));
                        let whole = allowance.rate.per / allowance.rate.count.max(1);
                        let wait = reset.saturating_sub(whole * allowance.cost);
                        Standing { left, wait, blocked: false }
                    }
                    Decision::Refused { retry_after, .. } => {
                        Standing { left: 0, wait: retry_after, blocked: false }
                    }
                }
            }
            LimitKind::Quota { most, period, cost } => {
                let said = counters.quotas.take(&parts, most, period, 0, false, now);
                let left = said.remaining / cost.max(1);
                Standing { left, wait: said.reset, blocked: false }
            }
            LimitKind::Concurrency { most, .. } => {
                let left = counters.concurrency.free(&parts).unwrap_or(most) as u64;
                Standing { left, wait: Duration::ZERO, blocked: false }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_cluster::{Allowance, Concurrency, Limiter, Quotas, Rate};
    use portcullis_testkit::SeededEntropy;
    use portcullis_types::HashKey;

    use super::*;
    use crate::limits::{Countable, Passed, count};

    fn counters() -> Counters {
        let entropy = SeededEntropy::new(1);
        Counters {
            limiter: Arc::new(Limiter::new(&*entropy)),
            quotas: Arc::new(Quotas::new(HashKey::new(&*entropy))),
            concurrency: Concurrency::new(&*entropy),
        }
    }

    fn rule(keys: &[LimitKey], kind: LimitKind) -> Arc<LimitRule> {
        let (name, keys) = ("door".to_owned(), keys.to_vec());
        Arc::new(LimitRule { name, keys, kind, counted: Counted::Requests, except: vec![] })
    }

    fn rate(count: u32, block: Option<Duration>) -> LimitKind {
        let rate = Rate { count, per: Duration::from_secs(60) };
        LimitKind::Rate { allowance: Allowance::from(rate), block }
    }

    async fn ask(counters: &Counters, rule: &Arc<LimitRule>, addr: ClientAddr, now: Timestamp) {
        let headers = http::HeaderMap::new();
        let rules = std::slice::from_ref(rule);
        let (route, who) = ("route", None);
        let request = Countable { rules, route, headers: &headers, addr, who, now, counts: true };
        let _ = count(counters, request, &mut Passed::default(), &|_| {}).await;
    }

    /// What the gate counted is found again from the event of the request.
    #[tokio::test]
    async fn an_event_leads_to_the_counter_that_the_request_was_counted_in() {
        let (counters, now) = (counters(), Timestamp::from_secs(1_000_000));
        let addr = ClientAddr::new("2001:db8:0:1::5".parse().unwrap());
        let (route, actor, refused_at, limit) = ("route", &Actor::Anonymous, None, None);
        let seen = Seen { route, addr, actor, refused_at, limit };
        for keys in [
            vec![LimitKey::Ip],
            vec![LimitKey::Ip48],
            vec![LimitKey::Ip56, LimitKey::Route],
            vec![LimitKey::Everyone],
            vec![LimitKey::Tenant],
        ] {
            let rule = rule(&keys, rate(5, None));
            let consumer = rule.consumer(seen).unwrap();
            assert_eq!(rule.standing(&counters, &consumer, now).left, 5, "{keys:?}");
            ask(&counters, &rule, addr, now).await;
            ask(&counters, &rule, addr, now).await;
            let standing = rule.standing(&counters, &consumer, now);
            assert_eq!((standing.left, standing.wait), (3, Duration::from_secs(24)), "{keys:?}");
        }
        let told = |keys: &[LimitKey]| rule(keys, rate(5, None)).consumer(seen).unwrap().told();
        let pair = |by: &str, value: &str| (by.to_owned(), value.to_owned());
        assert_eq!(told(&[LimitKey::Ip]), [pair("ip", "2001:db8:0:1::/64")]);
        assert_eq!(
            told(&[LimitKey::Ip48, LimitKey::Route]),
            [pair("ip48", "2001:db8::/48"), pair("route", "route")]
        );
        // Nobody is calling: by address.
        assert_eq!(told(&[LimitKey::Subject]), [pair("ip", "2001:db8:0:1::/64")]);
    }

    #[tokio::test]
    async fn blocks_quotas_and_places_are_told_as_they_are() {
        let (counters, now) = (counters(), Timestamp::from_secs(1_000_000));
        let addr = ClientAddr::new("192.0.2.1".parse().unwrap());
        let (route, actor, refused_at, limit) = ("route", &Actor::Anonymous, None, None);
        let seen = Seen { route, addr, actor, refused_at, limit };
        let hour = Duration::from_secs(3_600);
        let limited = rule(&[LimitKey::Ip], rate(1, Some(hour)));
        ask(&counters, &limited, addr, now).await;
        ask(&counters, &limited, addr, now).await;
        let consumer = limited.consumer(seen).unwrap();
        let standing = limited.standing(&counters, &consumer, now);
        assert_eq!(standing, Standing { left: 0, wait: hour, blocked: true });

        let quota = LimitKind::Quota { most: 10, period: Period::Day, cost: 4 };
        let quota = rule(&[LimitKey::Everyone], quota);
        ask(&counters, &quota, addr, now).await;
        let consumer = quota.consumer(seen).unwrap();
        assert_eq!(quota.standing(&counters, &consumer, now).left, 1, "4 of 6 make one");

        let places = LimitKind::Concurrency { most: 3, queue: 0, wait: Duration::ZERO };
        let places = rule(&[LimitKey::Tenant], places);
        let consumer = places.consumer(seen).unwrap();
        assert_eq!(places.standing(&counters, &consumer, now).left, 3);
        let key = slices(&consumer.0);
        let taken = counters.concurrency.enter(&key, 3, 0, Duration::ZERO).await.unwrap();
        assert_eq!(places.standing(&counters, &consumer, now).left, 2);
        drop(taken);
        assert_eq!(places.standing(&counters, &consumer, now).left, 3);
    }

    #[test]
    fn whoever_was_not_counted_is_not_told_of() {
        let addr = ClientAddr::new("192.0.2.1".parse().unwrap());
        let actor = Actor::User { id: "u1".into(), username: "jo".into() };
        let at =
            |refused_at, limit| Seen { route: "route", addr, actor: &actor, refused_at, limit };
        let subject = rule(&[LimitKey::Subject], rate(5, None));
        let seen = at(None, None);
        assert_eq!(subject.consumer(seen).unwrap().told(), [("subject".into(), "u1".into())]);
        let named = |name: &str, keys: &[LimitKey]| {
            Arc::new(LimitRule {
                name: name.into(),
                ..LimitRule::clone(&rule(keys, rate(5, None)))
            })
        };
        let rules = [
            named("who", &[LimitKey::Subject]),
            named("where", &[LimitKey::Ip]),
            named("all", &[LimitKey::Everyone]),
            named("who else", &[LimitKey::Subject]),
        ];
        let counted = |stage, limit| -> Vec<&str> {
            let that = LimitRule::that_counted(&rules, at(stage, limit));
            that.into_iter().map(|rule| &*rule.name).collect()
        };
        assert_eq!(counted(None, None), ["where", "all", "who", "who else"]);
        assert_eq!(counted(Some(Stage::Validate), None), ["where", "all", "who", "who else"]);
        assert_eq!(counted(Some(Stage::Limits), Some("where")), ["where"]);
        assert_eq!(counted(Some(Stage::Limits), Some("who")), ["where", "all", "who"]);
        assert_eq!(counted(Some(Stage::Authenticate), None), ["where", "all"]);
        assert_eq!(counted(Some(Stage::BlockList), None), ["where", "all"]);
        for (stage, limit) in [(Stage::Route, None), (Stage::Limits, None)] {
            assert!(counted(Some(stage), limit).is_empty());
        }
        let mut inside = LimitRule::clone(&subject);
        inside.except = vec!["192.0.2.0/24".parse().unwrap()];
        assert_eq!(inside.consumer(seen), None);
        let unknown = rule(&[LimitKey::Client], rate(5, None));
        assert!(!unknown.tells_apart());
        assert_eq!(unknown.consumer(seen), None);
    }
}
