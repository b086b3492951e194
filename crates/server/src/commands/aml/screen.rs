//! One subject or many against all entities of the lists, found by their index: it leaves out nobody whom a
//! comparison with everybody would find.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, ensure};
use portcullis_screening::{
    Entity, Policy, Schema,
    index::{Found, Search},
};
use portcullis_verification::{ListHit, ScreeningList};
use serde_json::{Value, json};

use super::{Data, PolicyArguments, answers::each_line};
use crate::{commands::say, list_index::IndexedList, lists::Lists};

/// Hits of one subject that are told.
const HITS_MAX: usize = 1_000;

#[derive(clap::Args)]
pub struct ScreenArguments {
    /// A name; together with the options below it is the subject
    #[arg(long, value_name = "NAME", required_unless_present = "file")]
    name: Vec<String>,
    /// Person, Company, Organization, LegalEntity, Vessel, Airplane, CryptoWallet or Thing
    #[arg(long, value_name = "SCHEMA", default_value = "LegalEntity")]
    schema: String,
    /// A date of birth, 1975-05-03, 1975-05 or 1975
    #[arg(long, value_name = "DATE")]
    birth_date: Vec<String>,
    /// A country by code or name
    #[arg(long, value_name = "COUNTRY")]
    country: Vec<String>,
    /// Any property of FollowTheMoney: passportNumber=AB123456
    #[arg(long, value_name = "PROPERTY=VALUE")]
    property: Vec<String>,
    /// Many subjects instead: a file of JSON lines {"schema":…,"properties":{…}}; "-" reads standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "birth_date", "country", "property"])]
    file: Option<PathBuf>,
    /// Only these lists; all if none is named
    #[arg(long, value_name = "NAME")]
    list: Vec<String>,
    /// The most hits of one subject
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: usize,
    /// Add the reasons to each hit
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    policy: PolicyArguments,
    #[command(flatten)]
    data: Data,
}

/// The lists that are screened against.
struct Screened {
    lists: Vec<IndexedList>,
}

pub fn run(asked: &ScreenArguments) -> Result<ExitCode> {
    ensure!((1..=HITS_MAX).contains(&asked.limit), "--limit is from 1 to {HITS_MAX}");
    let policy = asked.policy.load()?;
    let screened = Screened::load(&asked.data.lists(), &asked.list)?;
    let answer = |subject: &Entity| {
        let hits = screened.hits(subject, &policy, asked.limit, asked.explain)?;
        anyhow::Ok(screened.answer(&policy, &hits))
    };
    match &asked.file {
        None => {
            say(&answer(&asked.subject()?)?.to_string());
            Ok(ExitCode::SUCCESS)
        }
        Some(file) => each_line(file, |line| {
            let value: Value = serde_json::from_str(line).context("the line is not JSON")?;
            answer(&Entity::from_json(&value)?)
        }),
    }
}

impl ScreenArguments {
    fn subject(&self) -> Result<Entity> {
        let schema = Schema::named(&self.schema);
        ensure!(
            schema.name() == self.schema,
            "`{}` is no schema that can be screened",
            self.schema
        );
        let mut subject = Entity::new(schema);
        self.name.iter().for_each(|name| subject.add("name", name));
        self.birth_date.iter().for_each(|date| subject.add("birthDate", date));
        self.country.iter().for_each(|country| subject.add("country", country));
        for property in &self.property {
            let (property, value) = property
                .split_once('=')
                .with_context(|| format!("`{property}` is not PROPERTY=VALUE"))?;
            subject.add(property, value);
        }
        Ok(subject)
    }
}

impl Screened {
    fn load(lists: &Lists, names: &[String]) -> Result<Self> {
        let names = if names.is_empty() { lists.names()? } else { names.to_vec() };
        ensure!(!names.is_empty(), "no list has been imported yet: portcullis aml import --help");
        let open = |name: String| {
            let info = lists.current(&name)?.with_context(|| format!("there is no list {name}"))?;
            IndexedList::open(lists, info)
        };
        Ok(Self { lists: names.into_iter().map(open).collect::<Result<_>>()? })
    }

    /// The hits of a subject, best first; among equals in the order of lists, and of entities in them.
    fn hits(
        &self,
        subject: &Entity,
        policy: &Policy,
        limit: usize,
        explain: bool,
    ) -> Result<Vec<Value>> {
        let search = Search { policy, cutoff: policy.threshold, limit };
        let mut found = Vec::new();
        for list in &self.lists {
            let hits = list.search(subject, search, &|_, _| true)?;
            found.extend(hits.into_iter().map(|hit| (&list.version().used.name, hit)));
        }
        // This keeps the order of equals.
        found.sort_by(|(_, a), (_, b)| b.found.verdict.score.total_cmp(&a.found.verdict.score));
        found.truncate(limit);
        let hit = |(list, ListHit { id, found }): &(&String, ListHit)| {
            let Found { listed, verdict, .. } = found;
            let mut hit = json!({
                "score": verdict.score,
                "list": list,
                "id": id,
                "schema": listed.schema,
                "name": listed.get("name").first(),
            });
            if explain {
                hit["reasons"] = verdict.to_json();
                hit["text"] = verdict.text(policy).into();
                hit["properties"] = json!(listed.properties);
            }
            hit
        };
        Ok(found.iter().map(hit).collect())
    }

    /// The answer, with the versions of the lists and the policy that it depends on.
    fn answer(&self, policy: &Policy, hits: &[Value]) -> Value {
        let lists: Vec<Value> = self
            .lists
            .iter()
            .map(|list| json!({"name": list.version().used.name, "version": list.version().used.version}))
            .collect();
        json!({"match": !hits.is_empty(), "hits": hits, "policy": policy.name, "threshold": policy.threshold, "lists": lists})
    }
}
