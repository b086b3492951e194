//! Cookies of services (RFC 6265bis), on their way through the gate.

use http::{HeaderMap, HeaderValue, header};

/// Cookies of the gate's own services begin with this; no other service sees or sets them.
const OWN_PREFIX: &str = "__Host-portcullis";

/// What the gate does with the cookies that a service sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cookies {
    /// They stay as they are.
    Pass,
    /// They go over TLS only (`Secure`), and not with requests that other sites begin
    /// (`SameSite=Lax`) unless the service says what it wants.
    #[default]
    Secure,
    /// The same, and scripts cannot read them (`HttpOnly`), nor does any other host see them
    /// (no `Domain`).
    Strict,
}

/// HTTP/2 splits cookies into several fields (RFC 9113, section 8.2.3); HTTP/1.1 wants one. Our own
/// cookies stay here.
pub(crate) fn join(headers: &mut HeaderMap) {
    if !headers.contains_key(header::COOKIE) {
        return;
    }
    let cookies: Vec<String> = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .map(str::trim)
        .filter(|cookie| !cookie.is_empty() && !cookie.starts_with(OWN_PREFIX))
        .map(str::to_owned)
        .collect();
    headers.remove(header::COOKIE);
    if let (false, Ok(value)) = (cookies.is_empty(), HeaderValue::from_str(&cookies.join("; "))) {
        headers.insert(header::COOKIE, value);
    }
}

/// Hardens what a service sets, and drops what is in the name of the gate.
pub(crate) fn harden(headers: &mut HeaderMap, how: Cookies) {
    if !headers.contains_key(header::SET_COOKIE) {
        return;
    }
    let foreign = |value: &&HeaderValue| {
        let text = value.as_bytes().trim_ascii_start();
        let prefix = OWN_PREFIX.as_bytes();
        text.len() >= prefix.len() && text[..prefix.len()].eq_ignore_ascii_case(prefix)
    };
    let set = headers.get_all(header::SET_COOKIE).iter().filter(|value| !foreign(value));
    let kept: Vec<HeaderValue> = set.filter_map(|value| hardened(value, how)).collect();
    headers.remove(header::SET_COOKIE);
    for value in kept {
        headers.append(header::SET_COOKIE, value);
    }
}

/// One that cannot be read is not set: a browser might read it in another way than we do.
fn hardened(value: &HeaderValue, how: Cookies) -> Option<HeaderValue> {
    if how == Cookies::Pass {
        return Some(value.clone());
    }
    let text = value.to_str().ok()?;
    let mut parts = text.split(';').map(str::trim);
    let mut built = parts.next()?.to_owned();
    let (mut secure, mut same_site, mut http_only) = (false, false, false);
    for part in parts.filter(|part| !part.is_empty()) {
        let name = part.split('=').next().unwrap_or_default().trim();
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if how == Cookies::Strict && is("domain") {
            continue;
        }
        secure |= is("secure");
        same_site |= is("samesite");
        http_only |= is("httponly");
        built.push_str("; ");
        built.push_str(part);
    }
    if !secure {
        built.push_str("; Secure");
    }
    if !same_site {
        built.push_str("; SameSite=Lax");
    }
    if !http_only && how == Cookies::Strict {
        built.push_str("; HttpOnly");
    }
    HeaderValue::try_from(built).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(values: &[&str], how: Cookies) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(header::SET_COOKIE, value);
        }
        harden(&mut headers, how);
        let all = headers.get_all(header::SET_COOKIE).iter();
        all.map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_a_service_forgets_is_added() {
        let wanted = ["a=1; Path=/; Secure; SameSite=Lax", "b=2; Secure; SameSite=None"];
        assert_eq!(
            set(&["a=1;Path=/", "b=2; secure=; samesite=none"], Cookies::Secure)[0],
            wanted[0]
        );
        assert_eq!(
            set(&["b=2; SECURE;; SameSite=None"], Cookies::Secure),
            ["b=2; SECURE; SameSite=None"]
        );
        assert_eq!(
            set(&["a=1; Domain=example.org", "b=x=y;httponly"], Cookies::Strict),
            ["a=1; Secure; SameSite=Lax; HttpOnly", "b=x=y; httponly; Secure; SameSite=Lax"]
        );
        assert_eq!(set(&["a=1; Domain=example.org"], Cookies::Pass), ["a=1; Domain=example.org"]);
    }

    #[test]
    fn no_service_speaks_for_the_gate() {
        let ours = ["__Host-portcullis_session=x", " __HOST-Portcullis=x; Path=/", "c=1"];
        assert_eq!(set(&ours, Cookies::Secure), ["c=1; Secure; SameSite=Lax"]);
        assert_eq!(set(&ours, Cookies::Pass), ["c=1"]);
        assert!(set(&["a=\u{e9}"], Cookies::Secure).is_empty());
    }
}
