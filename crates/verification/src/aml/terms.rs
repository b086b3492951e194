use portcullis_screening::Policy;
use serde::{Deserialize, Serialize};

use super::{AmlError, service::Settings};

/// Names of lists or topics in the terms of one subject.
const TERMS_MAX: usize = 100;
/// The longest of them.
const TERM_MAX_BYTES: usize = 64;

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

impl Terms {
    /// Whether a list is one of those.
    pub(crate) fn wants(&self, list: &str) -> bool {
        self.lists.is_empty() || self.lists.iter().any(|name| name == list)
    }

    /// Whether an entity with these topics is one of those.
    pub(crate) fn covers(&self, topics: &[String]) -> bool {
        let below = |topic: &String, wanted: &String| {
            topic
                .strip_prefix(wanted.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.topics.is_empty()
            || topics.iter().any(|topic| self.topics.iter().any(|wanted| below(topic, wanted)))
    }

    /// The policy that they name, with their threshold.
    pub(crate) fn policy(&self, settings: &Settings) -> Result<Policy, AmlError> {
        let name = self.policy.as_deref().unwrap_or(&settings.policy);
        let mut policy = settings
            .policies
            .iter()
            .find(|policy| policy.name == name)
            .cloned()
            .ok_or_else(|| AmlError::Invalid("policy", "is none that is known here".into()))?;
        if let Some(threshold) = self.threshold {
            if !(0.0..=1.0).contains(&threshold) {
                return Err(AmlError::Invalid("threshold", "must be from 0 to 1".into()));
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
}
