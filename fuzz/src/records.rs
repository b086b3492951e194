//! Whatever somebody gets into an event, it comes out as one event: no line more, no field more, at no
//! receiver.

use std::sync::Arc;

use portcullis_events::{
    Actor, Event, Kind, LoginAttempt, Origin, Outcome, clean, leaf, search_fields,
};
use portcullis_export::{Entry, Format, Record, cef, frame, message, slack_text};
use portcullis_threat::{AddrList, Sigma, SigmaRules};
use portcullis_types::{ClientAddr, Id, Timestamp};
use serde_json::{Value, json};

use crate::Zeros;

pub const RECORDS: &[&[u8]] = &[
    b"ada\r\nCEF:0|x|y|1|z|z|1|suser=root\\=\\|",
    b"<!channel> <http://evil.example|here> & \xe2\x80\xa8\xe2\x80\xae\x1b[31m",
    b"\"}],\"metadata\":{\"event_code\":\"alert_x\"}\\u0000",
    b"a] [meta sequenceId=\"1\"] \xff\xfe",
];

pub const RULES: &[&[u8]] = &[
    include_bytes!("../../deploy/sigma/passwords.yml"),
    include_bytes!("../../deploy/sigma/administration.yml"),
    b"title: t\nlogsource: {}\ndetection:\n  a: {x|contains|windash: ' -a'}\n  b: [x, '*?\\']\n  condition: 1 of them and not b",
];

pub const LISTS: &[&[u8]] = &[
    b"# exits\nExitNode A\nExitAddress 192.0.2.7 2026-01-01\n198.51.100.0/25, x\n",
    b"2001:db8::/32\r\n::/0\n0.0.0.0/0\n255.255.255.255/32 ; last",
];

/// What a list has in a line alone is on it, whatever stands in the others.
pub fn lists(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(list) = AddrList::read(text) else { return };
    for ip in text.lines().filter_map(|line| line.trim().parse().ok()) {
        assert!(list.contains(ip), "{ip}");
    }
}

/// Rules that are read can look at any event, and those that are not are refused.
pub fn sigma(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let rules = SigmaRules::read(vec![("rules.yml".to_owned(), text.to_owned())]);
    let Ok(rules) = rules else { return };
    let mut sigma = Sigma::new(Arc::new(rules), &Zeros);
    let event = json!({
        "x": text.chars().rev().take(64).collect::<String>(), "n": [1, null, true, "-a \\*"],
        "user": { "uid": "usr_1" }, "src_endpoint": { "ip": "192.0.2.1" }, "time": 0,
        "metadata": { "event_code": "authn_login_fail" },
    });
    let mut found = Vec::new();
    for (class, at) in [(3002, 1), (3004, 2), (6003, 0)] {
        sigma.observe(class, &event, 1, Timestamp::from_secs(at), &mut found);
    }
    for one in found {
        assert!(one.rule.severity.is_some() && one.rule.id.len() <= 70);
    }
}

/// See above.
pub fn records(input: &[u8]) {
    let text = String::from_utf8_lossy(input).into_owned();
    from_the_inside(&text);
    // And as if an entry of the log had it unclean, in every place that leaves the house.
    let entry = json!({
        "class_uid": 3002, "severity_id": input.len() % 9, "status_id": 2, "time": 1_700_000_000_000_u64,
        "status_detail": text, "comment": text,
        "metadata": { "event_code": text, "uid": text, "correlation_uid": text },
        "user": { "uid": text, "name": text },
        "http_request": { "user_agent": text, "http_method": text, "url": { "path": text } },
        "src_endpoint": { "ip": text },
        "finding_info": { "title": text, "desc": text },
        "unmapped": { "addr": text, "answer": text },
    });
    let record = Record::read(&alone(input.len() as u64, entry.to_string().into_bytes()));
    let record = record.expect("an entry of ours is read");
    as_cef(&record);
    as_syslog(&record);
    let said = slack_text(&record);
    assert!(!said.contains(['<', '>']), "{said}");
    assert!(said.lines().count() <= 6 && !said.contains('\r'), "{said}");
}

fn from_the_inside(text: &str) {
    let addr = ClientAddr::new([192, 0, 2, 1].into());
    let origin = Origin::new(addr, "req_1".to_owned(), Some(clean(text)));
    let login = LoginAttempt { factor: "password", door: "login", ..LoginAttempt::default() };
    let actor = Actor::User { id: "usr_1".to_owned(), username: text.to_owned() };
    let event = Event::new(
        Id::from_bits(1),
        Timestamp::from_secs(1),
        Some(origin),
        actor,
        Outcome::Failure("wrong_password"),
        Kind::Login(login),
    );
    let entry = leaf(&event);
    assert!(!entry.iter().any(u8::is_ascii_control), "an entry is one line");
    let value: Value = serde_json::from_slice(&entry).expect("an entry is JSON");
    assert_eq!(value["metadata"]["event_code"], "authn_login_fail");
    assert_eq!(value["http_request"]["user_agent"], clean(text));
    let fields = search_fields(&entry).expect("an entry can be searched");
    assert_eq!(fields.code, "authn_login_fail");
    assert!(Record::read(&alone(0, entry)).is_some());
}

/// An entry of the only log there is.
fn alone(index: u64, bytes: Vec<u8>) -> Entry {
    Entry { position: index, index, origin: "log".into(), bytes }
}

/// A reader that knows only that a backslash takes the meaning of what follows.
fn as_cef(record: &Record) {
    let line = cef(record);
    assert!(!line.chars().any(char::is_control), "{line}");
    let (mut bars, mut equals, mut escaped) = (0, 0, false);
    for c in line.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '|' if bars < 7 => bars += 1,
            '=' if bars == 7 => equals += 1,
            _ => {}
        }
    }
    assert_eq!(bars, 7, "{line}");
    // Each key that there can be, once.
    assert!(!escaped && (3..=19).contains(&equals), "{equals}: {line}");
}

fn as_syslog(record: &Record) {
    for (format, most) in [(Format::Ocsf, 2_048), (Format::Cef, 2_048), (Format::Ocsf, 65_536)] {
        let sent = message(record, format, record.uid(), most);
        assert!(sent.len() <= most);
        let text = str::from_utf8(&sent).expect("a message is UTF-8");
        assert!(!text.chars().any(|c| c.is_ascii_control()), "{text}");
        let mut parts = text.splitn(7, ' ');
        let mut part = || parts.next().expect("a field of the head");
        assert!(part().ends_with(">1"));
        assert!(part().ends_with('Z'));
        assert!(part().bytes().all(|b| b.is_ascii_graphic()));
        assert_eq!((part(), part()), ("portcullis", "-"));
        assert!((1..=32).contains(&part().len()));
        assert!(part().starts_with("[meta sequenceId=\""));
        let mut framed = Vec::new();
        frame(&sent, &mut framed);
        let space = framed.iter().position(|b| *b == b' ').expect("a length and a space");
        let length = str::from_utf8(&framed[..space]).map(str::parse);
        assert_eq!(length, Ok(Ok(framed.len() - space - 1)));
    }
}
