use portcullis_screening::Policy;
use serde::{Deserialize, Serialize};

use super::{AmlError, service::Settings};

/// Names of lists or topics in the terms of one subject.
const TERMS_MAX: usize = 100;
/// The longest of them.
const TERM_MAX_BYTES: usize = 64;
/// With a lower threshold nearly everybody is a hit.
pub const THRESHOLD_MIN: f64 = 0.3;

/// On what terms a subject is screened.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// Only these lists; all if there is none.
    #[serde(default)]
    pub lists: Vec<String>,
    /// Only entities with one of these topics, or one below it: `role` covers `role.pep`. All if there is
    /// none.
    #[serde(default)]
    pub topics: Vec<String>,
    /// The policy; the usual one if there is none.
    #[serde(default)]
    pub policy: Option<String>,
    /// From which score on it is a match, instead of what the policy says.
    #[serde(default)]
    pub threshold: Option<f64>,
}

/// The terms that somebody names; what they leave out stays as it was.
#[derive(Debug, Clone, Default)]
pub struct AskedTerms {
    /// Only these lists; all if it is empty.
    pub lists: Option<Vec<String>>,
    /// Only entities with one of these topics; all if it is empty.
    pub topics: Option<Vec<String>>,
    /// The policy. Another one comes with its own threshold.
    pub policy: Option<String>,
    /// From which score on it is a match.
    pub threshold: Option<f64>,
    /// Whether nothing stays of what was named before.
    pub anew: bool,
}

impl From<Terms> for AskedTerms {
    fn from(terms: Terms) -> Self {
        let Terms { lists, topics, policy, threshold } = terms;
        Self { lists: Some(lists), topics: Some(topics), policy, threshold, anew: false }
    }
}

impl AskedTerms {
    /// Together with those of before.
    pub(crate) fn over(&self, before: Terms) -> Terms {
        let before = if self.anew { Terms::default() } else { before };
        let threshold = if self.policy.is_some() { None } else { before.threshold };
        Terms {
            lists: self.lists.clone().unwrap_or(before.lists),
            topics: self.topics.clone().unwrap_or(before.topics),
            policy: self.policy.clone().or(before.policy),
            threshold: self.threshold.or(threshold),
        }
    }
}

impl Terms {
    /// Whether a list is one of those.
    pub(crate) fn wants(&self, list: &str) -> bool {
        self.lists.is_empty() || self.lists.iter().any(|name| name == list)
    }

    /// Whether an entity with these topics is one of those.
    pub(crate) fn covers(&self, topics: &[String]) -> bool {
        let below = |topic: &String, wanted: &String| {
            let rest = topic.strip_prefix(wanted.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.topics.is_empty()
            || topics.iter().any(|topic| self.topics.iter().any(|wanted| below(topic, wanted)))
    }

    /// The policy that they name, with its own threshold.
    pub(crate) fn base(&self, settings: &Settings) -> Result<Policy, AmlError> {
        let name = self.policy.as_deref().unwrap_or(&settings.policy);
        let known = settings.policies.iter().find(|policy| policy.name == name).cloned();
        known.ok_or_else(|| AmlError::Invalid("policy", "is none that is known here".into()))
    }

    /// The policy that they name, with their threshold.
    pub(crate) fn policy(&self, settings: &Settings) -> Result<Policy, AmlError> {
        let mut policy = self.base(settings)?;
        if let Some(threshold) = self.threshold {
            if !(THRESHOLD_MIN..=1.0).contains(&threshold) {
                let must = format!("must be from {THRESHOLD_MIN} to 1");
                return Err(AmlError::Invalid("threshold", must));
            }
            policy.threshold = threshold;
        }
        Ok(policy)
    }

    pub(crate) fn check(&self) -> Result<(), AmlError> {
        for (field, names) in [("lists", &self.lists), ("topics", &self.topics)] {
            let bad = |name: &String| {
                name.is_empty() || name.len() > TERM_MAX_BYTES || name.chars().any(char::is_control)
            };
            if names.len() > TERMS_MAX || names.iter().any(bad) {
                let must =
                    format!("must be at most {TERMS_MAX} names of up to {TERM_MAX_BYTES} bytes");
                return Err(AmlError::Invalid(field, must));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_covers_those_below_it_and_no_other() {
        let terms = |topic: &str| Terms { topics: vec![topic.to_owned()], ..Terms::default() };
        let pep = ["role.pep".to_owned()];
        assert!(terms("role").covers(&pep) && terms("role.pep").covers(&pep));
        assert!(!terms("rol").covers(&pep) && !terms("role.pep.x").covers(&pep));
        assert!(!terms("role").covers(&[]) && Terms::default().covers(&[]));
    }

    #[test]
    fn what_is_left_out_stays_as_it_was() {
        let before = Terms {
            lists: vec!["un".into()],
            policy: Some("strict".into()),
            threshold: Some(0.4),
            ..Terms::default()
        };
        assert_eq!(AskedTerms::default().over(before.clone()), before);
        let other = AskedTerms { policy: Some("balanced".into()), ..AskedTerms::default() };
        assert_eq!(other.over(before.clone()).threshold, None);
        let all = AskedTerms { lists: Some(Vec::new()), ..AskedTerms::default() };
        assert_eq!(all.over(before.clone()), Terms { lists: Vec::new(), ..before });
    }
}
