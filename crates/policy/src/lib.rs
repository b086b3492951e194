//! Who may do what, as Cedar policies say it: principal × action × resource → a decision with the
//! policies that made it.
//!
//! Policies are checked against a schema when they are loaded, strictly: one that could never apply,
//! or speaks of something that does not exist, is refused with its file and line. Nothing is allowed
//! that no policy permits, and a policy that cannot be evaluated permits nothing.

mod load;
mod question;
mod used;

pub use load::{PolicyError, SCHEMA, Source};
pub use question::{Principal, Question};

use cedar_policy::{Authorizer, Decision as Verdict, PolicySet, Schema};

use question::Names;

/// Policies that were checked.
pub struct Policies {
    set: PolicySet,
    schema: Schema,
    authorizer: Authorizer,
    names: Names,
    count: usize,
}

/// What the policies say about one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may pass.
    pub allowed: bool,
    /// The policies that made it so: those that permit it, or those that forbid it. None if nothing
    /// permits it.
    pub policies: Vec<String>,
    /// Policies that could not be evaluated, and why.
    pub errors: Vec<String>,
}

impl Policies {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none, which allows nothing.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Decides.
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        let Some((request, entities)) = self.names.put(question) else {
            let errors = vec!["the request cannot be put into words".to_owned()];
            return Decision { allowed: false, policies: Vec::new(), errors };
        };
        let response = self.authorizer.is_authorized(&request, &self.set, &entities);
        let diagnostics = response.diagnostics();
        let mut policies: Vec<String> = diagnostics.reason().map(ToString::to_string).collect();
        policies.sort();
        let errors: Vec<String> = diagnostics.errors().map(ToString::to_string).collect();
        // A policy that fails is passed over by Cedar. One that forbids would then forbid nothing.
        let allowed = response.decision() == Verdict::Allow && errors.is_empty();
        Decision { allowed, policies, errors }
    }
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Policies({})", self.count)
    }
}
