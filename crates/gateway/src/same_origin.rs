//! Whether a request that a cookie speaks for is that of a page of ours.

use http::{Method, Request, StatusCode};
use portcullis_events::Stage;

use crate::{answer::Refusal, guard::Head};

/// Whether a request that a cookie speaks for comes from a page of the same origin. Reading is left
/// to `SameSite` and to what services do on reading: nothing.
pub(crate) fn same_origin<B>(request: &Request<B>, head: &Head) -> Result<(), Refusal> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    from_here(request, head, reads)
}

/// The same where reading is no exception.
pub(crate) fn strictly_same_origin<B>(request: &Request<B>, head: &Head) -> Result<(), Refusal> {
    from_here(request, head, false)
}

fn from_here<B>(request: &Request<B>, head: &Head, safe: bool) -> Result<(), Refusal> {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let site = text("sec-fetch-site");
    let own = format!("https://{}", head.host);
    let origin = text("origin").map(|origin| origin == own);
    // A page elsewhere may send people here, and nothing else. WebSockets carry cookies from
    // anywhere, so they are like a change.
    let fine = match (safe && !head.upgrade, origin, site) {
        (true, _, _) => true,
        (false, Some(same), _) => same,
        (false, None, Some(site)) => site == "same-origin",
        (false, None, None) => false,
    };
    if fine {
        return Ok(());
    }
    let detail = "a page of another origin may not use this session";
    Err(Refusal::new(Stage::Authenticate, StatusCode::FORBIDDEN, "cross_origin", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_elsewhere_may_only_send_people_here() {
        let head = |upgrade| Head { path: "/x".into(), host: "a.example".into(), upgrade };
        let ask = |method: Method, fields: &[(&'static str, &str)], upgrade| {
            let mut request = Request::new(());
            *request.method_mut() = method;
            for (name, value) in fields {
                request.headers_mut().insert(*name, value.parse().unwrap());
            }
            same_origin(&request, &head(upgrade)).is_ok()
        };
        let (own, other) = (("origin", "https://a.example"), ("origin", "https://b.example"));
        assert!(ask(Method::GET, &[("sec-fetch-site", "cross-site")], false));
        assert!(ask(Method::POST, &[own], false));
        assert!(ask(Method::POST, &[("sec-fetch-site", "same-origin")], false));
        for fields in [
            &[][..],
            &[other],
            &[("origin", "null")],
            &[("sec-fetch-site", "same-site")],
            &[("origin", "http://a.example")],
        ] {
            assert!(!ask(Method::POST, fields, false), "{fields:?}");
        }
        let mut read = Request::new(());
        assert!(strictly_same_origin(&read, &head(false)).is_err());
        read.headers_mut().insert("sec-fetch-site", "same-site".parse().unwrap());
        assert!(strictly_same_origin(&read, &head(false)).is_err());
        read.headers_mut().insert("sec-fetch-site", "same-origin".parse().unwrap());
        assert!(strictly_same_origin(&read, &head(false)).is_ok());
        assert!(ask(Method::GET, &[own], true));
        assert!(!ask(Method::GET, &[other], true) && !ask(Method::GET, &[], true));
    }
}
