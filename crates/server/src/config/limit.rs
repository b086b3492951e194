//! How much may pass.

use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use portcullis_cluster::{Period, Rate};
use portcullis_gateway::LimitKey;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::{optional_span, rate_schema, span_schema};

/// One limit: a rate, a quota, or how many at once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// What is counted by: `ip` (the address, or its IPv6 /64), `ip-56`, `ip-48`, `subject`,
    /// `client`, `api-key`, `tenant`, `header:NAME`, `route`, `everyone`; or several of them.
    #[serde(deserialize_with = "keys")]
    #[schemars(schema_with = "keys_schema")]
    pub key: Vec<LimitKey>,
    /// Routes that give their limits the same name share the counters; the route's own if left out.
    pub name: Option<String>,
    /// `5/min`: so many in such a time; 1 to 1000000 per s, min, h or d.
    #[serde(default, deserialize_with = "optional_rate")]
    #[schemars(schema_with = "rate_schema")]
    pub rate: Option<Rate>,
    /// How many of a rate may come at once; all of them if left out.
    pub burst: Option<u32>,
    /// How long whoever goes beyond it stays out; only until it is over if left out.
    #[serde(default, deserialize_with = "optional_span")]
    #[schemars(schema_with = "span_schema")]
    pub block: Option<Duration>,
    /// What a request counts for.
    #[serde(default = "one")]
    pub cost: u32,
    /// Whether all requests count, or only those that fail: a status of 400 or more.
    #[serde(default)]
    pub count: CountedRequests,
    /// `10000/day` or `100000/month`: so many in a calendar day or month (UTC). Kept across
    /// restarts and shared by nodes, to within a second.
    #[serde(default, deserialize_with = "quota")]
    #[schemars(schema_with = "quota_schema")]
    pub quota: Option<(u64, Period)>,
    /// So many at once.
    pub concurrency: Option<usize>,
    /// And so many more may wait.
    #[serde(default)]
    pub queue: usize,
    /// For so long.
    #[serde(default = "one_second", deserialize_with = "portcullis_types::span")]
    #[schemars(schema_with = "span_schema")]
    pub wait: Duration,
    /// Networks that it does not hold for.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub except: Vec<IpNet>,
}

/// Which requests count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CountedRequests {
    /// All.
    #[default]
    Requests,
    /// Those that were answered with a status of 400 or more.
    Failures,
}

impl Limit {
    /// What contradicts itself, if anything does.
    pub fn mistake(&self) -> Option<&'static str> {
        let kinds = [self.rate.is_some(), self.quota.is_some(), self.concurrency.is_some()];
        let failures = self.count == CountedRequests::Failures;
        if kinds.iter().filter(|given| **given).count() != 1 {
            return Some("a limit needs one of rate, quota and concurrency");
        }
        if self.rate.is_none() && (self.burst.is_some() || self.block.is_some() || failures) {
            return Some("burst, block and count belong to a rate");
        }
        if self.concurrency.is_none() && self.queue > 0 {
            return Some("queue belongs to concurrency");
        }
        if self.concurrency == Some(0) || self.cost == 0 || self.burst == Some(0) {
            return Some("0 would let nothing pass, or everything");
        }
        let most = self.burst.or(self.rate.map(|rate| rate.count));
        if most.is_some_and(|most| self.cost > most) {
            return Some("one request costs more than may come at once");
        }
        None
    }
}

fn one() -> u32 {
    1
}

fn one_second() -> Duration {
    Duration::from_secs(1)
}

fn key(text: &str) -> Option<LimitKey> {
    Some(match text {
        "ip" => LimitKey::Ip,
        "ip-56" => LimitKey::Ip56,
        "ip-48" => LimitKey::Ip48,
        "subject" => LimitKey::Subject,
        "client" => LimitKey::Client,
        "api-key" => LimitKey::ApiKey,
        "tenant" => LimitKey::Tenant,
        "route" => LimitKey::Route,
        "everyone" => LimitKey::Everyone,
        _ => {
            let name = text.strip_prefix("header:")?;
            LimitKey::Header(HeaderName::from_bytes(name.to_lowercase().as_bytes()).ok()?)
        }
    })
}

fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<LimitKey>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    let names = match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(name) => vec![name],
        OneOrMany::Many(names) => names,
    };
    let wrong = |name: &str| {
        de::Error::custom(format!(
            "{name:?} is none of ip, ip-56, ip-48, subject, client, api-key, tenant, header:NAME, \
             route, everyone"
        ))
    };
    let found: Result<Vec<_>, _> =
        names.iter().map(|name| key(name).ok_or_else(|| wrong(name))).collect();
    found.and_then(|found| if found.is_empty() { Err(wrong("")) } else { Ok(found) })
}

fn keys_schema(_: &mut SchemaGenerator) -> Schema {
    let one = json_schema!({
        "type": "string",
        "pattern": "^(ip|ip-56|ip-48|subject|client|api-key|tenant|route|everyone|header:[!-~]+)$",
    });
    json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
}

fn optional_rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Rate>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(de::Error::custom)
}

fn quota<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<(u64, Period)>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let read = || {
        let (count, period) = text.split_once('/')?;
        let period = match period {
            "day" => Period::Day,
            "month" => Period::Month,
            _ => return None,
        };
        let digits = count.bytes().all(|b| b.is_ascii_digit());
        let count = count.parse::<u64>().ok().filter(|count| digits && *count > 0)?;
        Some((count, period))
    };
    read()
        .map(Some)
        .ok_or_else(|| de::Error::custom("expected a quota such as 10000/day or 100000/month"))
}

fn quota_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9]+/(day|month)$", "examples": ["10000/day"] })
}
