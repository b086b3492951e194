//! ArcSight's Common Event Format, version 0.

use portcullis_events::clean;

use crate::record::Record;

/// A record in CEF, one line. Whatever is in its fields, it can end neither a field nor the line.
pub fn cef(record: &Record) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let name = record.text("/finding_info/title").unwrap_or_else(|| record.code());
    let mut line = format!(
        "CEF:0|Portcullis|Portcullis|{version}|{}|{}|{}|",
        header(record.code()),
        header(name),
        severity(record.severity())
    );
    let mut extension = Extension(&mut line, true);
    extension.put("rt", &record.millis().to_string());
    extension.put("externalId", record.uid());
    let outcome = record.success().map(|success| if success { "success" } else { "failure" });
    let first = |pointers: &[&str]| pointers.iter().find_map(|pointer| record.text(pointer));
    let text = [
        ("cat", record.event.get("class_uid").map(ToString::to_string)),
        ("outcome", outcome.map(str::to_owned)),
        ("reason", first(&["/status_detail"]).map(str::to_owned)),
        ("suid", first(&["/actor/user/uid", "/user/uid"]).map(str::to_owned)),
        ("suser", first(&["/actor/user/name", "/user/name"]).map(str::to_owned)),
        ("duid", first(&["/user/uid", "/entity/uid"]).map(str::to_owned)),
        ("duser", first(&["/user/name", "/entity/name"]).map(str::to_owned)),
        ("app", first(&["/service/name"]).map(str::to_owned)),
        ("requestMethod", first(&["/http_request/http_method"]).map(str::to_owned)),
        ("request", first(&["/http_request/url/path"]).map(str::to_owned)),
        ("requestClientApplication", first(&["/http_request/user_agent"]).map(str::to_owned)),
        ("msg", first(&["/finding_info/desc", "/comment"]).map(str::to_owned)),
    ];
    for (key, value) in text {
        extension.put(key, &value.unwrap_or_default());
    }
    match record.addr() {
        Some(addr) if addr.contains(':') => {
            extension.put("c6a2", addr);
            extension.put("c6a2Label", "Source IPv6 Address");
        }
        Some(addr) => extension.put("src", addr),
        None => {}
    }
    if let Some(id) = record.text("/metadata/correlation_uid") {
        extension.put("cs1", id);
        extension.put("cs1Label", "Request ID");
    }
    extension.put("cn1", &record.index.to_string());
    extension.put("cn1Label", "Log Index");
    line
}

struct Extension<'a>(&'a mut String, bool);

impl Extension<'_> {
    fn put(&mut self, key: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        if !std::mem::replace(&mut self.1, false) {
            self.0.push(' ');
        }
        self.0.push_str(key);
        self.0.push('=');
        for c in clean(value).chars() {
            if matches!(c, '\\' | '=') {
                self.0.push('\\');
            }
            self.0.push(c);
        }
    }
}

/// A field of the part before the last bar.
fn header(text: &str) -> String {
    let mut escaped = String::new();
    for c in clean(text).chars() {
        if matches!(c, '\\' | '|') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// From OCSF's 0 to 6 to CEF's words and 0 to 10.
fn severity(id: u8) -> &'static str {
    match id {
        1 => "1",
        2 => "3",
        3 => "5",
        4 => "8",
        5 => "9",
        6 => "10",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entry: &serde_json::Value) -> String {
        cef(&Record::of(7, entry.to_string().as_bytes()).unwrap())
    }

    #[test]
    fn an_event_has_its_fields() {
        let line = of(&serde_json::json!({
            "class_uid": 3002, "severity_id": 2, "status_id": 2, "time": 1_700_000_000_123_u64,
            "status_detail": "wrong_password",
            "metadata": { "event_code": "authn_login_fail", "uid": "evt_1", "correlation_uid": "r" },
            "user": { "uid": "usr_1", "name": "ada" },
            "src_endpoint": { "ip": "192.0.2.1" },
        }));
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            line,
            format!(
                "CEF:0|Portcullis|Portcullis|{version}|authn_login_fail|authn_login_fail|3|\
                 rt=1700000000123 externalId=evt_1 cat=3002 outcome=failure reason=wrong_password \
                 suid=usr_1 suser=ada duid=usr_1 duser=ada src=192.0.2.1 cs1=r \
                 cs1Label=Request ID cn1=7 cn1Label=Log Index"
            )
        );
    }

    #[test]
    fn nothing_in_a_field_ends_it() {
        let evil = "a=b\\|c\r\nCEF:0|x\u{2028}";
        let line = of(&serde_json::json!({
            "severity_id": 4,
            "metadata": { "event_code": evil, "uid": evil },
            "user": { "name": evil },
            "src_endpoint": { "ip": "2001:db8::1" },
        }));
        assert!(!line.contains(['\r', '\n', '\u{2028}']));
        assert!(line.contains("|a=b\\\\\\|c\u{fffd}\u{fffd}CEF:0\\|x\u{fffd}|"), "{line}");
        assert!(line.contains("suser=a\\=b\\\\|c"), "{line}");
        assert!(line.contains("c6a2=2001:db8::1 c6a2Label=Source IPv6 Address"), "{line}");
    }
}
