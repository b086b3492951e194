//! From files to rules that can run.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use portcullis_types::HashKey;
use serde_json::Value;

use super::{
    condition::Detection,
    document::{Correlation, Document, LogSource},
    fields::{Field, number_of},
    window::{Bound, Counted, Group},
};
use crate::Severity;

/// Rules of all files together.
const MAX_RULES: usize = 1_000;
/// What correlations may remember, all together.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// And each of them.
const MOST_EACH: usize = 4 * 1024 * 1024;
/// The highest number that a condition counts to.
const MAX_COUNT: f64 = 1_000.0;
/// Numbers of a group that are summed up.
const MAX_NUMBERS: usize = 1_000;
/// Groups that a correlation can tell apart, at least.
const FEWEST_GROUPS: usize = 64;
const MAX_NAME: usize = 64;
/// A window is at most so long, in days.
const MAX_DAYS: i64 = 30;

/// A rule that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {rule}: {why}")]
pub struct SigmaError {
    /// The file it is in.
    pub file: String,
    /// Its title.
    pub rule: String,
    /// What is wrong, or not supported.
    pub why: String,
}

/// What people are told of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// `sigma_` and its name or title, in small letters.
    pub id: String,
    /// Its title.
    pub title: String,
    /// What it is about.
    pub description: String,
    /// How bad what it finds is. Nobody is told of what is informational.
    pub severity: Option<Severity>,
    /// The ATT&CK technique among its tags, such as `T1110.003`.
    pub technique: Option<String>,
}

/// Rules, checked.
#[derive(Debug, Default)]
pub struct SigmaRules {
    pub(super) rules: Vec<Rule>,
    /// What they were read from.
    files: Vec<(String, String)>,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub about: Arc<About>,
    pub looks: Looks,
    /// Whether what it finds is told of, or only counts for a correlation.
    pub tells: bool,
    /// Stands for all that makes it find something, to know it again.
    pub definition: u64,
}

#[derive(Debug)]
pub(super) enum Looks {
    /// At single events, of a class of OCSF or of all.
    Events(Option<u32>, Detection),
    /// At what other rules find.
    Rules(Correlated),
}

#[derive(Debug)]
pub(super) struct Correlated {
    pub counted: Counted,
    /// The rules it is about, by their place, with the fields that make a group for each.
    pub rules: Vec<(usize, Vec<Field>)>,
    /// What the fields are called.
    pub group: Vec<String>,
    /// In milliseconds.
    pub span: i64,
    pub bounds: Vec<(Bound, f64)>,
    /// The fields whose values are counted.
    pub fields: Vec<Field>,
    /// What of a group is remembered.
    pub most: usize,
    /// Groups that are.
    pub groups: usize,
}

impl SigmaRules {
    /// Reads the documents of files, given with their names.
    ///
    /// # Errors
    /// The first rule that cannot be used, by its title.
    pub fn read(files: Vec<(String, String)>) -> Result<Self, SigmaError> {
        let mut documents = Vec::new();
        for (file, text) in &files {
            let error = |why: String| SigmaError { file: file.clone(), rule: "-".into(), why };
            let read: Vec<Document> =
                serde_saphyr::from_multiple(text).map_err(|why| error(why.to_string()))?;
            documents.extend(read.into_iter().map(|document| (file, document)));
        }
        let mut known = HashMap::new();
        let mut ids = HashMap::new();
        let mut rules: Vec<Option<Rule>> = Vec::new();
        for (place, (file, document)) in documents.iter().enumerate() {
            let error = |why: &str| {
                let (file, rule) = ((*file).clone(), document.title.clone());
                SigmaError { file, rule, why: why.to_owned() }
            };
            if place >= MAX_RULES {
                return Err(error("there are too many rules"));
            }
            let about = document.about().map_err(|why| error(&why))?;
            if ids.insert(about.id.clone(), place).is_some() {
                return Err(error("another rule has the same name or title; give it another name"));
            }
            for name in document.id.iter().chain(&document.name) {
                if known.insert(name.clone(), place).is_some() {
                    return Err(error("another rule has the same id or name"));
                }
            }
            let looks = match (&document.detection, &document.correlation) {
                (Some(detection), None) => {
                    let class = document.class().map_err(|why| error(&why))?;
                    let detection = Detection::new(detection).map_err(|why| error(&why))?;
                    Some(Looks::Events(class, detection))
                }
                (None, Some(_)) => None,
                _ => return Err(error("it is neither a detection nor a correlation")),
            };
            let definition = fingerprint(document, &[]);
            rules.push(looks.map(|looks| Rule {
                about: Arc::new(about),
                looks,
                tells: true,
                definition,
            }));
        }
        let mut read = Self::default();
        // A rule's place is where it stands in the end: after those that it is about.
        let (mut places, mut silent) = (HashMap::new(), Vec::new());
        for (place, rule) in rules.iter_mut().enumerate() {
            if let Some(rule) = rule.take() {
                places.insert(place, read.rules.len());
                read.rules.push(rule);
            }
        }
        let mut left: Vec<usize> =
            (0..documents.len()).filter(|place| !places.contains_key(place)).collect();
        let count = left.len();
        while !left.is_empty() {
            let before = left.len();
            let mut later = Vec::new();
            for place in left {
                let (file, document) = &documents[place];
                let error = |why: String| SigmaError {
                    file: (*file).clone(),
                    rule: document.title.clone(),
                    why,
                };
                let Some(correlation) = &document.correlation else { continue };
                let mut about = Vec::new();
                for name in correlation.rules.all() {
                    let found = known.get(name);
                    let found = found.ok_or_else(|| error(format!("there is no rule {name:?}")))?;
                    about.push(places.get(found).map(|own| (*own, documents[*found].1.names())));
                }
                let Some(about) = about.into_iter().collect::<Option<Vec<_>>>() else {
                    later.push(place);
                    continue;
                };
                if !correlation.generate {
                    silent.extend(about.iter().map(|(place, _)| *place));
                }
                for name in correlation.rules.all() {
                    let inner = &documents[known[name]].1.correlation;
                    let aliases = inner.iter().flat_map(|inner| inner.aliases.keys());
                    let asked = |alias: &&String| {
                        correlation.group_by.all().contains(alias)
                            && !correlation.aliases.contains_key(*alias)
                    };
                    if let Some(alias) = aliases.into_iter().find(asked) {
                        let why = format!("{alias:?} is a name of {name:?} alone; use the field's");
                        return Err(error(why));
                    }
                }
                let correlated = correlated(correlation, &about, count).map_err(error)?;
                let about = Arc::new(document.about().map_err(error)?);
                places.insert(place, read.rules.len());
                let own = correlated.rules.iter().map(|(place, _)| read.rules[*place].definition);
                let definition = fingerprint(document, &own.collect::<Vec<_>>());
                let looks = Looks::Rules(correlated);
                read.rules.push(Rule { about, looks, tells: true, definition });
            }
            left = later;
            if left.len() == before {
                let (file, document) = &documents[left[0]];
                let why = "correlations are about each other".to_owned();
                return Err(SigmaError {
                    file: (*file).clone(),
                    rule: document.title.clone(),
                    why,
                });
            }
        }
        for place in silent {
            read.rules[place].tells = false;
        }
        for rule in &mut read.rules {
            // What is informational is for correlations alone.
            rule.tells &= rule.about.severity.is_some();
        }
        drop(documents);
        read.files = files;
        Ok(read)
    }

    /// Whether they were read from the same.
    pub fn is_made_of(&self, files: &[(String, String)]) -> bool {
        self.files == files
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What each is about.
    pub fn about(&self) -> impl Iterator<Item = &About> {
        self.rules.iter().map(|rule| &*rule.about)
    }
}

impl Document {
    /// What other rules may call it.
    fn names(&self) -> Vec<String> {
        self.name.iter().chain(&self.id).cloned().collect()
    }

    fn about(&self) -> Result<About, String> {
        if self.action.is_some() || self.filter.is_some() {
            return Err("filters and collections by \"action\" are not known".to_owned());
        }
        let title = Some(self.title.as_str()).filter(|title| title.is_ascii());
        let name = self.name.as_deref().or(title).or(self.id.as_deref()).unwrap_or(&self.title);
        let name = name.to_lowercase();
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let name: String = name.chars().map(plain).take(MAX_NAME).collect();
        if self.title.is_empty() || self.title.len() > 256 {
            return Err("a title has 1 to 256 characters".to_owned());
        }
        let severity = match self.level.as_deref() {
            Some("informational") => None,
            None | Some("low") => Some(Severity::Low),
            Some("medium") => Some(Severity::Medium),
            Some("high") => Some(Severity::High),
            Some("critical") => Some(Severity::Critical),
            Some(other) => return Err(format!("the level {other:?} is not known")),
        };
        let technique = self.tags.iter().find_map(|tag| {
            let technique = tag.strip_prefix("attack.t")?;
            let digits = technique.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            digits.then(|| format!("T{technique}"))
        });
        let description = self.description.clone().unwrap_or_else(|| self.title.clone());
        Ok(About {
            id: format!("sigma_{name}"),
            title: self.title.clone(),
            description: description.split_whitespace().collect::<Vec<_>>().join(" "),
            severity,
            technique,
        })
    }

    /// The class of OCSF that its log source stands for.
    fn class(&self) -> Result<Option<u32>, String> {
        let LogSource { product, category, service } =
            self.logsource.as_ref().ok_or("there is no logsource")?;
        if product.as_deref().is_some_and(|product| product != "portcullis") {
            return Err(format!(
                "it is for the product {}",
                product.as_deref().unwrap_or_default()
            ));
        }
        let class = |name: &str| match name {
            "authentication" => Ok(3002),
            "account_change" => Ok(3001),
            "entity_management" => Ok(3004),
            "api_activity" | "webserver" | "proxy" => Ok(6003),
            "application_lifecycle" => Ok(6002),
            "detection_finding" => Ok(2004),
            other => Err(format!("the log source {other:?} is not known")),
        };
        let service = service.as_deref().map(class).transpose()?;
        let category = category.as_deref().map(class).transpose()?;
        match (service, category) {
            (Some(a), Some(b)) if a != b => {
                Err("service and category are of different events".into())
            }
            (service, category) => Ok(service.or(category)),
        }
    }
}

/// Of a document, and of the rules that it is about. Whoever writes rules can make two of them alike,
/// and gains nothing by it.
fn fingerprint(document: &Document, about: &[u64]) -> u64 {
    HashKey::from_bytes([0; 16]).hash(about, format!("{document:?}").as_bytes())
}

fn correlated(
    own: &Correlation,
    about: &[(usize, Vec<String>)],
    count: usize,
) -> Result<Correlated, String> {
    let none = serde_json::Map::new();
    let condition = match &own.condition {
        None => &none,
        Some(Value::Object(map)) => map,
        Some(_) => return Err("a condition in words is not known".to_owned()),
    };
    let (mut bounds, mut fields, mut rank) = (Vec::new(), Vec::new(), None);
    for (key, value) in condition {
        let bound = match key.as_str() {
            "gt" => Bound::Greater,
            "gte" => Bound::GreaterOrEqual,
            "lt" => Bound::Less,
            "lte" => Bound::LessOrEqual,
            "eq" => Bound::Equal,
            "neq" => Bound::NotEqual,
            "field" => {
                let names = match value {
                    Value::Array(names) => names.as_slice(),
                    one => std::slice::from_ref(one),
                };
                fields.extend(names.iter().filter_map(Value::as_str).map(Field::new));
                continue;
            }
            "percentile" => {
                let given = number_of(value).filter(|rank| (0.0..=100.0).contains(rank));
                rank = Some(given.ok_or("a percentile is a number from 0 to 100")?);
                continue;
            }
            other => return Err(format!("the condition {other:?} is not known")),
        };
        bounds.push((bound, number_of(value).ok_or("a condition is a number")?));
    }
    let counted = match own.kind.as_str() {
        "event_count" => Counted::Events,
        "value_count" => Counted::Values,
        "temporal" => Counted::Rules,
        "temporal_ordered" => Counted::Ordered,
        "value_sum" => Counted::Sum,
        "value_avg" => Counted::Average,
        "value_percentile" => {
            Counted::Percentile(rank.ok_or("value_percentile needs a percentile")?)
        }
        other => return Err(format!("the correlation {other:?} is not known")),
    };
    if about.is_empty() {
        return Err("there are no rules in it".to_owned());
    }
    let places: BTreeSet<_> = about.iter().map(|(place, _)| place).collect();
    if places.len() < about.len() {
        return Err("a rule is in it twice".to_owned());
    }
    if rank.is_some() && !matches!(counted, Counted::Percentile(_)) {
        return Err("\"percentile\" belongs to value_percentile".to_owned());
    }
    let of_values = !matches!(counted, Counted::Events | Counted::Rules | Counted::Ordered);
    if of_values == fields.is_empty() {
        return Err("\"field\" belongs to correlations of values".to_owned());
    }
    if fields.len() > 1 && counted != Counted::Values {
        return Err("only value_count takes several fields".to_owned());
    }
    #[expect(clippy::cast_precision_loss, reason = "there are at most a thousand rules")]
    let whole = about.len() as f64;
    if bounds.is_empty() && matches!(counted, Counted::Rules | Counted::Ordered) {
        bounds.push((Bound::GreaterOrEqual, whole));
    }
    if counted == Counted::Ordered && bounds != [(Bound::GreaterOrEqual, whole)] {
        return Err("temporal_ordered asks for all of its rules".to_owned());
    }
    if bounds.is_empty() {
        return Err("there is no condition".to_owned());
    }
    let highest = bounds.iter().map(|(_, than)| *than).fold(0.0, f64::max);
    let most = match counted {
        Counted::Events | Counted::Values if highest > MAX_COUNT => {
            return Err(format!("it counts to {MAX_COUNT} at most"));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1,000")]
        Counted::Events | Counted::Values => highest.ceil() as usize + 1,
        Counted::Rules | Counted::Ordered => 1,
        _ => MAX_NUMBERS,
    };
    let group = own.group_by.all().to_vec();
    if let Some(other) = own.aliases.keys().find(|alias| !group.contains(alias)) {
        return Err(format!("the alias {other:?} is not in \"group-by\""));
    }
    let rules = about.iter().map(|(place, names)| {
        let field = |name: &String| {
            let alias = own.aliases.get(name).map(|of| {
                let named = names.iter().find_map(|name| of.get(name));
                named.ok_or_else(|| format!("the alias {name:?} leaves out a rule"))
            });
            Ok(Field::new(alias.transpose()?.unwrap_or(name)))
        };
        Ok((*place, group.iter().map(field).collect::<Result<_, String>>()?))
    });
    let rules = rules.collect::<Result<Vec<_>, String>>()?;
    let each = MOST_EACH.min(MAX_BYTES / count.max(1));
    let groups = each / Group::most_bytes(counted, rules.len(), most);
    if groups < FEWEST_GROUPS {
        return Err("there are too many correlations that count so far".to_owned());
    }
    let span = span(&own.timespan)?;
    Ok(Correlated { counted, rules, group, span, bounds, fields, most, groups })
}

/// `10s`, `5m`, `2h` or `1d`, in milliseconds.
fn span(text: &str) -> Result<i64, String> {
    let wrong = || format!("the timespan {text:?} is none; 90s, 5m, 2h and 1d are");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let count: i64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    let longest = MAX_DAYS * 86_400;
    match count.checked_mul(seconds).filter(|span| (1..=longest).contains(span)) {
        Some(span) => Ok(span * 1_000),
        None => Err(format!("a timespan is at most {MAX_DAYS}d")),
    }
}
