use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression,
};
use portcullis_types::Timestamp;

use crate::used::Used;

/// What the context says.
const CONTEXT: [&str; 6] = ["method", "path", "host", "ip", "time", "mutual_tls"];
/// Methods that have an action of their own. Every other is `other`.
const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];
pub(crate) const SAMPLE_METHODS: [&str; 3] = ["GET", "DELETE", "PURGE"];

/// Who is asking.
#[derive(Debug, Clone)]
pub enum Principal<'a> {
    /// A person with an access token.
    User {
        /// Its `sub`.
        id: &'a str,
        /// The client it was issued to.
        client: &'a str,
        /// `portcullis`, or the name of the token issuer.
        issuer: &'a str,
        /// Its scopes.
        scopes: &'a [&'a str],
        /// The person's roles.
        roles: &'a [String],
        /// The person's groups.
        groups: &'a [String],
        /// How sure the login was.
        acr: Option<&'a str>,
        /// How long ago it was, in seconds.
        login_age: Option<i64>,
        /// The user name.
        username: Option<&'a str>,
        /// Who acts for the person.
        actor: Option<&'a str>,
    },
    /// A client with a token of its own.
    Client {
        /// Its id.
        id: &'a str,
        /// `portcullis`, or the name of the token issuer.
        issuer: &'a str,
        /// Its scopes.
        scopes: &'a [&'a str],
        /// Its roles.
        roles: &'a [String],
        /// Its groups.
        groups: &'a [String],
    },
    /// The holder of an API key.
    ApiKey {
        /// The id of the key.
        id: &'a str,
        /// Its scopes.
        scopes: &'a [&'a str],
    },
    /// A service with a certificate.
    Workload {
        /// Its SPIFFE id.
        id: &'a str,
        /// The trust domain of it.
        trust_domain: &'a str,
    },
    /// Nobody who showed a credential.
    Anonymous,
}

/// A request that wants to pass.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// Who is asking.
    pub principal: Principal<'a>,
    /// The method.
    pub method: &'a str,
    /// The name of the route.
    pub route: &'a str,
    /// The name of the upstream it leads to.
    pub upstream: &'a str,
    /// The canonical path.
    pub path: &'a str,
    /// The host, lower case, without a port.
    pub host: &'a str,
    /// The address of the client.
    pub ip: IpAddr,
    /// When.
    pub time: Timestamp,
    /// Whether the connection showed a certificate of the authority.
    pub mutual_tls: bool,
}

impl Principal<'_> {
    /// One of each kind, with everything that it can have.
    pub(crate) fn samples() -> [Self; 5] {
        [
            Self::User {
                id: "u",
                client: "c",
                issuer: "portcullis",
                scopes: &["s"],
                roles: &[],
                groups: &[],
                acr: Some("a"),
                login_age: Some(1),
                username: Some("n"),
                actor: Some("x"),
            },
            Self::Client { id: "c", issuer: "i", scopes: &["s"], roles: &[], groups: &[] },
            Self::ApiKey { id: "k", scopes: &["s"] },
            Self::Workload { id: "spiffe://a/b", trust_domain: "a" },
            Self::Anonymous,
        ]
    }
}

impl<'a> Question<'a> {
    pub(crate) fn sample(principal: Principal<'a>, method: &'a str) -> Self {
        Self {
            principal,
            method,
            route: "r",
            upstream: "u",
            path: "/",
            host: "h",
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            time: Timestamp::from_secs(0),
            mutual_tls: false,
        }
    }
}

/// Names that occur in every request, read once.
pub(crate) struct Names {
    user: EntityTypeName,
    client: EntityTypeName,
    api_key: EntityTypeName,
    workload: EntityTypeName,
    anonymous: EntityTypeName,
    route: EntityTypeName,
    role: EntityTypeName,
    group: EntityTypeName,
    actions: HashMap<&'static str, Entity>,
    other: Entity,
    sets: [Entity; 2],
    used: Used,
}

type Attributes = HashMap<String, RestrictedExpression>;

impl Names {
    pub fn new() -> Option<Self> {
        let named = |name: &str| EntityTypeName::from_str(name).ok();
        let action = named("Action")?;
        let uid =
            |name: &str| EntityUid::from_type_name_and_id(action.clone(), EntityId::new(name));
        let within = |name: &str| {
            let read = matches!(name, "GET" | "HEAD" | "OPTIONS");
            let set = HashSet::from([uid(if read { "read" } else { "write" })]);
            Entity::new_no_attrs(uid(name), set)
        };
        let alone = |name: &str| Entity::new_no_attrs(uid(name), HashSet::new());
        Some(Self {
            user: named("User")?,
            client: named("Client")?,
            api_key: named("ApiKey")?,
            workload: named("Workload")?,
            anonymous: named("Anonymous")?,
            route: named("Route")?,
            role: named("Role")?,
            group: named("Group")?,
            actions: METHODS.into_iter().map(|method| (method, within(method))).collect(),
            other: within("other"),
            sets: [alone("read"), alone("write")],
            used: Used::Everything,
        })
    }

    /// From now on only what `used` names is put into questions.
    pub fn only(&mut self, used: Used) {
        self.used = used;
        if !self.used.has("read") && !self.used.has("write") {
            // Then nobody asks what an action is a part of.
            let alone = |action: &Entity| Entity::new_no_attrs(action.uid(), HashSet::new());
            self.other = alone(&self.other);
            self.actions.values_mut().for_each(|action| *action = alone(action));
        }
    }

    /// The question as Cedar has it.
    pub fn put(&self, question: &Question<'_>) -> Option<(Request, Entities)> {
        let principal = self.principal(&question.principal)?;
        let action = self.actions.get(question.method).unwrap_or(&self.other);
        let route = uid(&self.route, question.route);
        let mut upstream = Attributes::new();
        if self.used.has("upstream") {
            upstream.insert("upstream".to_owned(), text(question.upstream));
        }
        let resource = Entity::new(route, upstream, HashSet::new()).ok()?;
        let context = self.context(question)?;
        let parts = (principal.uid(), action.uid(), resource.uid());
        let request = Request::new(parts.0, parts.1, parts.2, context, None).ok()?;
        let grouped = self.used.has("read") || self.used.has("write");
        let sets = self.sets.iter().filter(|_| grouped).cloned();
        let all = [principal, action.clone(), resource].into_iter().chain(sets);
        Some((request, Entities::from_entities(all, None).ok()?))
    }

    pub fn context(&self, question: &Question<'_>) -> Option<Context> {
        let value = |name: &str| match name {
            "method" => text(question.method),
            "path" => text(question.path),
            "host" => text(question.host),
            "ip" => RestrictedExpression::new_ip(question.ip.to_string()),
            "time" => RestrictedExpression::new_datetime(cedar_time(question.time)),
            _ => RestrictedExpression::new_bool(question.mutual_tls),
        };
        let used = CONTEXT.into_iter().filter(|name| self.used.has(name));
        Context::from_pairs(used.map(|name| (name.to_owned(), value(name)))).ok()
    }

    fn principal(&self, principal: &Principal<'_>) -> Option<Entity> {
        let mut attributes = Attributes::new();
        let mut set = |name: &str, value: &dyn Fn() -> RestrictedExpression| {
            if self.used.has(name) {
                attributes.insert(name.to_owned(), value());
            }
        };
        let (kind, id, parents) = match principal {
            Principal::User {
                id,
                client,
                issuer,
                scopes,
                roles,
                groups,
                acr,
                login_age,
                username,
                actor,
            } => {
                set("scopes", &|| texts(scopes));
                set("client", &|| text(client));
                set("issuer", &|| text(issuer));
                for (name, value) in [("acr", acr), ("username", username), ("actor", actor)] {
                    if let Some(value) = value {
                        set(name, &|| text(value));
                    }
                }
                if let Some(age) = login_age {
                    set("login_age", &|| RestrictedExpression::new_long(*age));
                }
                (&self.user, *id, self.parents(roles, groups))
            }
            Principal::Client { id, issuer, scopes, roles, groups } => {
                set("scopes", &|| texts(scopes));
                set("client", &|| text(id));
                set("issuer", &|| text(issuer));
                (&self.client, *id, self.parents(roles, groups))
            }
            Principal::ApiKey { id, scopes } => {
                set("scopes", &|| texts(scopes));
                (&self.api_key, *id, HashSet::new())
            }
            Principal::Workload { id, trust_domain } => {
                set("trust_domain", &|| text(trust_domain));
                (&self.workload, *id, HashSet::new())
            }
            Principal::Anonymous => (&self.anonymous, "anonymous", HashSet::new()),
        };
        Entity::new(uid(kind, id), attributes, parents).ok()
    }

    fn parents(&self, roles: &[String], groups: &[String]) -> HashSet<EntityUid> {
        let roles = roles.iter().filter(|_| self.used.has("Role"));
        let groups = groups.iter().filter(|_| self.used.has("Group"));
        let roles = roles.map(|name| uid(&self.role, name));
        roles.chain(groups.map(|name| uid(&self.group, name))).collect()
    }
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn texts(values: &[&str]) -> RestrictedExpression {
    RestrictedExpression::new_set(values.iter().map(|value| text(value)))
}

/// Cedar reads milliseconds as exactly three digits (RFC 80 of Cedar).
fn cedar_time(time: Timestamp) -> String {
    let whole = Timestamp::from_secs(time.secs()).to_rfc3339();
    let seconds = whole.get(..19).unwrap_or(&whole);
    format!("{seconds}.{:03}Z", time.millis().rem_euclid(1_000))
}
