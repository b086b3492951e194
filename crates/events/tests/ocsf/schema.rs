//! A validator of OCSF: everything the schema says of an event, and what its own server warns of.

use std::collections::BTreeMap;

use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
pub struct Schema {
    pub version: String,
    classes: BTreeMap<String, Class>,
    objects: BTreeMap<String, Shape>,
    types: BTreeMap<String, Type>,
    #[serde(skip)]
    patterns: BTreeMap<String, Regex>,
}
#[derive(Deserialize)]
struct Class {
    caption: String,
    category_uid: u64,
    profiles: Vec<String>,
    #[serde(flatten)]
    shape: Shape,
}
#[derive(Deserialize)]
struct Shape {
    attributes: BTreeMap<String, Attribute>,
    constraints: BTreeMap<String, Vec<String>>,
}
#[derive(Deserialize)]
struct Attribute {
    r#type: String,
    object_type: Option<String>,
    #[serde(default)]
    is_array: bool,
    requirement: String,
    sibling: Option<String>,
    #[serde(default)]
    profiles: Vec<String>,
    r#enum: Option<BTreeMap<String, String>>,
    deprecated: Option<Value>,
}
#[derive(Deserialize)]
struct Type {
    r#type: Option<String>,
    regex: Option<String>,
    max_len: Option<usize>,
    range: Option<[i64; 2]>,
}

impl Schema {
    pub fn read() -> Self {
        let mut schema: Self =
            serde_json::from_str(include_str!("../data/ocsf-1.8.0.json")).unwrap();
        for (name, one) in &schema.types {
            let pattern = one.regex.as_deref().map(|regex| Regex::new(regex).unwrap());
            schema.patterns.extend(pattern.map(|pattern| (name.clone(), pattern)));
        }
        schema
    }

    /// What is wrong with an event, in words; nothing if it is valid.
    pub fn check(&self, event: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        let uid = event["class_uid"].as_u64().unwrap_or_default();
        let Some(class) = self.classes.get(&uid.to_string()) else {
            return vec![format!("class {uid} is not known")];
        };
        let used: Vec<&str> = event["metadata"]["profiles"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for profile in &used {
            if !class.profiles.iter().any(|known| known == profile) {
                wrong.push(format!("{} has no profile {profile}", class.caption));
            }
        }
        let activity = event["activity_id"].as_u64().unwrap_or_default();
        for (name, should) in
            [("type_uid", uid * 100 + activity), ("category_uid", class.category_uid)]
        {
            if event[name] != should {
                wrong.push(format!("{name} is {}, not {should}", event[name]));
            }
        }
        if event["metadata"]["version"] != self.version.as_str() {
            wrong.push("it is of another version".to_owned());
        }
        self.object(&class.shape, event, &used, "", &mut wrong);
        wrong
    }

    fn object(
        &self,
        shape: &Shape,
        value: &Value,
        used: &[&str],
        at: &str,
        wrong: &mut Vec<String>,
    ) {
        let Some(members) = value.as_object() else {
            return wrong.push(format!("{at} is not an object"));
        };
        // An attribute of a profile is one only where the event says that it follows the profile.
        let there = |one: &Attribute| {
            one.profiles.is_empty() || one.profiles.iter().any(|own| used.contains(&own.as_str()))
        };
        for (name, one) in &shape.attributes {
            if one.requirement == "required" && there(one) && !members.contains_key(name) {
                wrong.push(format!("{at}.{name} is missing"));
            }
        }
        for (kind, names) in &shape.constraints {
            let count = names.iter().filter(|name| members.contains_key(*name)).count();
            if count == 0 || (kind == "just_one" && count > 1) {
                wrong.push(format!("{at}: {kind} of {names:?}, but {count}"));
            }
        }
        for (name, member) in members {
            let at = format!("{at}.{name}");
            match shape.attributes.get(name) {
                Some(one) if there(one) => self.attribute(one, member, members, used, &at, wrong),
                Some(_) => wrong.push(format!("{at} is of a profile the event does not have")),
                None => wrong.push(format!("{at} is no attribute")),
            }
        }
    }

    fn attribute(
        &self,
        one: &Attribute,
        value: &Value,
        among: &Map<String, Value>,
        used: &[&str],
        at: &str,
        wrong: &mut Vec<String>,
    ) {
        if one.deprecated.is_some() {
            wrong.push(format!("{at} is deprecated"));
        }
        if one.is_array != value.is_array() && one.r#type != "json_t" {
            return wrong.push(format!("{at} is a list or should be one"));
        }
        let items = match value {
            Value::Array(items) if one.is_array => items.iter().collect(),
            item => vec![item],
        };
        for item in items {
            match one.object_type.as_deref() {
                // What has no place in the schema.
                Some("object") => {}
                Some(object) => self.object(&self.objects[object], item, used, at, wrong),
                None => self.simple(&one.r#type, item, at, wrong),
            }
            let Some(known) = &one.r#enum else { continue };
            let text = item.as_str().map_or_else(|| item.to_string(), str::to_owned);
            let Some(caption) = known.get(&text) else {
                wrong.push(format!("{at} has the unknown value {item}"));
                continue;
            };
            let told = one.sibling.as_ref().and_then(|sibling| among.get(sibling));
            match (one.sibling.as_ref(), told, text.as_str()) {
                (Some(sibling), None, "99") => wrong.push(format!("{at} is 99 without {sibling}")),
                (Some(_), Some(told), "99") if told == caption.as_str() => {
                    wrong.push(format!("{at} is 99 and says no more than that"));
                }
                (_, Some(told), other) if other != "99" && told != caption.as_str() => {
                    wrong.push(format!("{at} is {caption}, beside it stands {told}"));
                }
                _ => {}
            }
        }
    }

    fn simple(&self, name: &str, value: &Value, at: &str, wrong: &mut Vec<String>) {
        let about = &self.types[name];
        let fits = match about.r#type.as_deref().unwrap_or(name) {
            "json_t" => true,
            "boolean_t" => value.is_boolean(),
            "integer_t" => value.as_i64().is_some_and(|value| i32::try_from(value).is_ok()),
            "long_t" => value.is_i64() || value.is_u64(),
            "float_t" => value.is_number(),
            "string_t" => value.is_string(),
            other => {
                return wrong.push(format!("{at} is of the type {other}, which nobody checks"));
            }
        };
        let text = value.as_str().unwrap_or_default();
        let long = about.max_len.is_some_and(|most| text.chars().count() > most);
        let odd = self.patterns.get(name).is_some_and(|pattern| !pattern.is_match(text));
        let out = about.range.is_some_and(|[least, most]| {
            value.as_i64().is_none_or(|value| value < least || value > most)
        });
        if !fits || long || odd || out {
            wrong.push(format!("{at} is no {name}: {value}"));
        }
    }
}
