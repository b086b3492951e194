//! What a browser's session alone is not enough for: somebody must just have proved who they are.

use http::Method;

use crate::{Endpoint, Permission};

/// Changes by administrators that are made on the spot: they close a door, open one that was closed to an address
/// (whoever it hits by mistake waits), or write something down. Every other one opens doors or cannot be taken back.
const AT_ONCE: [(&str, &str); 14] = [
    ("POST", "/api/admin/v1/users/{id}/disable"),
    ("DELETE", "/api/admin/v1/users/{id}/flag"),
    ("PATCH", "/api/admin/v1/cases/{id}"),
    ("POST", "/api/admin/v1/clients/{id}/disable"),
    ("DELETE", "/api/admin/v1/invitations/{id}"),
    ("POST", "/api/admin/v1/blocks"),
    ("POST", "/api/admin/v1/blocks/preview"),
    ("DELETE", "/api/admin/v1/blocks/{id}"),
    ("POST", "/api/admin/v1/alerts/{id}/acknowledge"),
    ("POST", "/api/admin/v1/gateway/explain"),
    ("POST", "/api/admin/v1/configuration/check"),
    ("POST", "/api/admin/v1/sinks/{id}/test"),
    ("POST", "/api/admin/v1/subject-requests"),
    ("PATCH", "/api/admin/v1/subject-requests/{id}"),
];
/// What cannot be taken back in verification and screening, or sends what is known elsewhere, besides whatever removes.
/// Decisions about cases and hits are not here: they are made all day, by two people where it matters.
const OF_EVIDENCE: [(&str, &str); 11] = [
    ("POST", "/idv/v1/sessions/{id}/link"),
    ("POST", "/idv/v1/sessions/{id}/cancel"),
    ("POST", "/idv/v1/lists/{id}/entries"),
    ("POST", "/idv/v1/lists/{id}/faces"),
    ("POST", "/idv/v1/workflows/{id}/publish"),
    ("POST", "/idv/v1/workflows/{id}/rollback"),
    ("POST", "/idv/v1/webhooks"),
    ("PATCH", "/idv/v1/webhooks/{id}"),
    ("POST", "/idv/v1/webhooks/{id}/rotate"),
    ("POST", "/idv/v1/webhooks/{id}/replay"),
    ("POST", "/idv/v1/webhooks/{id}/deliveries/{message}/replay"),
];

impl Endpoint {
    /// Whether a browser's session must be fresh.
    pub fn is_dangerous(&self) -> bool {
        let own = (self.method.as_str(), self.path);
        match self.permission {
            // The console only reads of it.
            Permission::Account => false,
            Permission::Admin => self.method != Method::GET && !AT_ONCE.contains(&own),
            Permission::Aml | Permission::Idv => {
                self.method == Method::DELETE || OF_EVIDENCE.contains(&own)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints;

    #[test]
    fn every_line_is_an_endpoint_and_rights_are_dangerous() {
        let all = endpoints();
        for (method, path) in AT_ONCE.iter().chain(&OF_EVIDENCE) {
            assert!(
                all.iter().any(|one| one.method.as_str() == *method && one.path == *path),
                "{method} {path}"
            );
        }
        let dangerous = |method, path| {
            all.iter().find(|one| one.method == method && one.path == path).unwrap().is_dangerous()
        };
        assert!(dangerous(Method::PUT, "/api/admin/v1/users/{id}/roles"));
        assert!(dangerous(Method::POST, "/api/admin/v1/api-keys"));
        assert!(!dangerous(Method::GET, "/api/admin/v1/api-keys"));
    }
}
