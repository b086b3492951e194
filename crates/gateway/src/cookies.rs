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
    // Wherever it stands: some read a cookie without a name, or several in one field.
    let foreign = |value: &&HeaderValue| {
        let prefix = OWN_PREFIX.as_bytes();
        value.as_bytes().windows(prefix.len()).any(|part| part.eq_ignore_ascii_case(prefix))
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
    let (name, _) = parts.clone().next()?.split_once('=')?;
    if name.trim().is_empty() {
        return None;
    }
    let mut built = parts.next()?.to_owned();
    let (mut same_site, mut http_only) = ("Lax", how == Cookies::Strict);
    for part in parts.filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let is = |known: &str| name.trim().eq_ignore_ascii_case(known);
        if is("samesite") {
            let known = ["Strict", "Lax", "None"];
            let said = known.into_iter().find(|known| value.trim().eq_ignore_ascii_case(known));
            same_site = said.unwrap_or("Lax");
        } else if is("httponly") {
            http_only = true;
        } else if is("secure") || (how == Cookies::Strict && is("domain")) {
            // The one is added in any case, the other is not wanted.
        } else {
            built.push_str("; ");
            built.push_str(part);
        }
    }
    // Written anew: a browser passes over an attribute that is too long, and we would not.
    built.push_str("; Secure; SameSite=");
    built.push_str(same_site);
    if http_only {
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
        let given = ["a=1;Path=/", "b=2; secure=x;; samesite=none"];
        assert_eq!(set(&given, Cookies::Secure), wanted);
        let long = format!("b=2; Secure={0}; SameSite={0}; Max-Age=5", "x".repeat(2_000));
        let wanted = ["b=2; Max-Age=5; Secure; SameSite=Lax"];
        assert_eq!(set(&[&long], Cookies::Secure), wanted);
        assert_eq!(
            set(&["a=1; Domain=example.org", "b=x=y;httponly=1"], Cookies::Strict),
            ["a=1; Secure; SameSite=Lax; HttpOnly", "b=x=y; Secure; SameSite=Lax; HttpOnly"]
        );
        assert_eq!(set(&["a=1; Domain=example.org"], Cookies::Pass), ["a=1; Domain=example.org"]);
    }

    #[test]
    fn no_service_speaks_for_the_gate() {
        let ours = [
            "__Host-portcullis_session=x",
            " __HOST-Portcullis=x; Path=/",
            "=__Host-portcullis_session=x",
            "a=1, __Host-portcullis_session=x",
            "c=1",
        ];
        assert_eq!(set(&ours, Cookies::Secure), ["c=1; Secure; SameSite=Lax"]);
        assert_eq!(set(&ours, Cookies::Pass), ["c=1"]);
        assert!(set(&["a=\u{e9}", "=a", "a", ""], Cookies::Secure).is_empty());
    }
}
