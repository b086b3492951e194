//! What policies can ask for. To put everything that is known into words takes longer than to decide;
//! what no policy names cannot change what it decides.

use std::collections::HashSet;

use serde_json::Value;

/// What has to be in a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Used {
    /// Whatever there is.
    Everything,
    /// What has one of these names: every text that occurs in a policy, be it the name of an
    /// attribute, of a type, or anything else.
    Names(HashSet<String>),
}

impl Used {
    /// By policies in the JSON form of Cedar, in which escapes are read and names are apart.
    pub fn by<'a>(policies: impl Iterator<Item = &'a Value>) -> Self {
        let mut names = HashSet::new();
        for policy in policies {
            if !collect(policy, &mut names) {
                return Self::Everything;
            }
        }
        Self::Names(names)
    }

    /// Whether something of this name has to be there.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Names(names) => names.contains(name),
        }
    }
}

/// Collects every text. `false` if the context is used as a whole, in a comparison perhaps.
fn collect(value: &Value, names: &mut HashSet<String>) -> bool {
    match value {
        Value::String(text) => {
            names.extend(text.split("::").map(str::to_owned));
            names.insert(text.clone());
            true
        }
        Value::Array(items) => items.iter().all(|item| collect(item, names)),
        Value::Object(members) => {
            if members.get("Var").is_some_and(|name| name == "context") {
                return false;
            }
            members.iter().all(|(name, member)| {
                names.insert(name.clone());
                let of_context = (name == "." || name == "has") && is_context(&member["left"]);
                if of_context { collect(&member["attr"], names) } else { collect(member, names) }
            })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

fn is_context(value: &Value) -> bool {
    value.as_object().is_some_and(|own| own.len() == 1) && value["Var"] == "context"
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use cedar_policy::PolicySet;

    use super::*;

    fn used(text: &str) -> Used {
        let set = PolicySet::from_str(text).unwrap();
        let all: Vec<Value> = set.policies().map(|policy| policy.to_json().unwrap()).collect();
        Used::by(all.iter())
    }

    #[test]
    fn names_are_found_however_they_are_written() {
        let own = used(
            r#"permit(principal in Role::"editor", action, resource) when { context["\u{69}p"].isLoopback() };
               forbid(principal, action in Action::"write", resource) unless { principal has "acr" && context . path like "/a*" };"#,
        );
        for name in ["ip", "Role", "write", "acr", "path"] {
            assert!(own.has(name), "{name}");
        }
        for name in ["time", "scopes", "Group", "read", "host", "username"] {
            assert!(!own.has(name), "{name}");
        }
    }

    #[test]
    fn a_context_that_is_used_as_a_whole_has_everything() {
        for text in [
            r#"permit(principal, action, resource) when { context == {"a": 1} };"#,
            "permit(principal, action, resource) when { [context].contains(context) };",
            "permit(principal, action, resource) when { (if true then context else context).path == \"/\" };",
        ] {
            assert_eq!(used(text), Used::Everything, "{text}");
        }
        let only = used(
            "permit(principal, action, resource) when { context has ip && context.ip.isLoopback() };",
        );
        assert!(only.has("ip") && !only.has("path"));
    }
}
