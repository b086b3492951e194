//! One subject or many against all entities of the lists. Every entity is compared: nothing is left out by a
//! search before.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, ensure};
use portcullis_screening::{Entity, Policy, Profile, Schema, import::Listed, score};
use serde_json::{Value, json};

use super::{Data, PolicyArguments, answers::each_line};
use crate::{
    commands::say,
    lists::{ListInfo, Lists},
};

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
    infos: Vec<ListInfo>,
    /// Each entity with its list, as itself and, if it may be a person or an organisation, as a person.
    entities: Vec<(usize, Listed, Profile, Option<Profile>)>,
}

pub fn run(asked: &ScreenArguments) -> Result<ExitCode> {
    ensure!((1..=HITS_MAX).contains(&asked.limit), "--limit is from 1 to {HITS_MAX}");
    let policy = asked.policy.load()?;
    let screened = Screened::load(&asked.data.lists(), &asked.list)?;
    let answer = |subject: &Entity| {
        let hits = screened.hits(subject, &policy, asked.limit, asked.explain);
        screened.answer(&policy, &hits)
    };
    match &asked.file {
        None => {
            say(&answer(&asked.subject()?).to_string());
            Ok(ExitCode::SUCCESS)
        }
        Some(file) => each_line(file, |line| {
            let value: Value = serde_json::from_str(line).context("the line is not JSON")?;
            Ok(answer(&Entity::from_json(&value)?))
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
        let mut screened = Self { infos: Vec::new(), entities: Vec::new() };
        for name in names {
            let info = lists.current(&name)?.with_context(|| format!("there is no list {name}"))?;
            let list = screened.infos.len();
            lists.read(&info, |_, listed| {
                let profile = Profile::new(&listed.entity);
                let either = matches!(listed.entity.schema, Schema::LegalEntity | Schema::Thing);
                let person = either.then(|| Profile::beside(&listed.entity, Schema::Person));
                screened.entities.push((list, listed, profile, person));
                Ok(())
            })?;
            screened.infos.push(info);
        }
        Ok(screened)
    }

    /// The hits of a subject, best first; among equals in the order of lists and identifiers.
    fn hits(&self, subject: &Entity, policy: &Policy, limit: usize, explain: bool) -> Vec<Value> {
        let profile = Profile::new(subject);
        let as_person = matches!(subject.schema, Schema::LegalEntity | Schema::Thing)
            .then(|| Profile::beside(subject, Schema::Person));
        let mut found = Vec::new();
        for (list, listed, entity, person) in &self.entities {
            let subject = if listed.entity.schema == Schema::Person {
                as_person.as_ref().unwrap_or(&profile)
            } else {
                &profile
            };
            let entity = if subject.schema == Schema::Person {
                person.as_ref().unwrap_or(entity)
            } else {
                entity
            };
            let verdict = score(subject, entity, policy);
            if verdict.is_match {
                found.push((*list, listed, verdict));
            }
        }
        found.sort_by(|a, b| {
            b.2.score.total_cmp(&a.2.score).then_with(|| (a.0, &a.1.id).cmp(&(b.0, &b.1.id)))
        });
        found.truncate(limit);
        let hit = |(list, listed, verdict): &(usize, &Listed, portcullis_screening::Verdict)| {
            let mut hit = json!({
                "score": verdict.score,
                "list": self.infos[*list].name,
                "id": listed.id,
                "schema": listed.entity.schema,
                "name": listed.entity.get("name").first(),
            });
            if explain {
                hit["reasons"] = verdict.to_json();
                hit["text"] = verdict.text(policy).into();
                hit["properties"] = json!(listed.entity.properties);
            }
            hit
        };
        found.iter().map(hit).collect()
    }

    /// The answer, with the versions of the lists and the policy that it depends on.
    fn answer(&self, policy: &Policy, hits: &[Value]) -> Value {
        let lists: Vec<Value> = self
            .infos
            .iter()
            .map(|info| json!({"name": info.name, "version": info.version}))
            .collect();
        json!({"match": !hits.is_empty(), "hits": hits, "policy": policy.name, "threshold": policy.threshold, "lists": lists})
    }
}
