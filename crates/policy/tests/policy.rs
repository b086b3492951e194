//! Policies as people write them, right and wrong.

use std::net::IpAddr;

use portcullis_policy::{Policies, PolicyError, Principal, Question, Source};
use portcullis_types::Timestamp;

fn load(text: &str) -> Result<Policies, PolicyError> {
    Policies::load(&[Source { name: "a.cedar", text }], None)
}

fn editor<'a>(roles: &'a [String], scopes: &'a [&'a str]) -> Principal<'a> {
    Principal::User {
        id: "u1",
        client: "web",
        issuer: "portcullis",
        scopes,
        roles,
        groups: &[],
        acr: Some("urn:portcullis:acr:multi-factor"),
        login_age: Some(30),
        username: Some("ada"),
        actor: None,
    }
}

fn ask<'a>(principal: Principal<'a>, method: &'a str) -> Question<'a> {
    Question {
        principal,
        method,
        route: "documents",
        upstream: "docs",
        path: "/documents/7",
        host: "api.example.org",
        ip: IpAddr::from([10, 1, 2, 3]),
        time: Timestamp::from_secs(1_780_315_200),
        mutual_tls: false,
    }
}

const POLICIES: &str = r#"
@id("readers")
permit (principal is User, action in Action::"read", resource == Route::"documents")
when { principal.scopes.contains("docs") };

@id("editors")
permit (principal in Role::"editor", action in Action::"write", resource)
when { principal has login_age && principal.login_age < 3600 && context.ip.isInRange(ip("10.0.0.0/8")) };

@id("frozen")
forbid (principal, action in Action::"write", resource)
when { context.time > datetime("2030-01-01") };
"#;

#[test]
fn decisions_name_the_policies_that_made_them() {
    let policies = load(POLICIES).unwrap();
    assert_eq!(policies.len(), 3);
    let (editors, nobody) = (["editor".to_owned()], []);
    let said = policies.decide(&ask(editor(&nobody, &["docs"]), "GET"));
    assert!(said.allowed && said.policies == ["readers"], "{said:?}");
    let said = policies.decide(&ask(editor(&nobody, &[]), "GET"));
    assert!(!said.allowed && said.policies.is_empty(), "{said:?}");
    let said = policies.decide(&ask(editor(&editors, &[]), "PATCH"));
    assert!(said.allowed && said.policies == ["editors"], "{said:?}");
    let later = Question {
        time: Timestamp::from_secs(2_000_000_000),
        ..ask(editor(&editors, &[]), "PATCH")
    };
    let said = policies.decide(&later);
    assert!(!said.allowed && said.policies == ["frozen"], "{said:?}");
    let elsewhere =
        Question { ip: "2001:db8::1".parse().unwrap(), ..ask(editor(&editors, &[]), "PURGE") };
    assert!(!policies.decide(&elsewhere).allowed);
    for other in [Principal::Anonymous, Principal::ApiKey { id: "k", scopes: &["docs"] }] {
        assert!(!policies.decide(&ask(other, "GET")).allowed);
    }
}

#[test]
fn no_policy_allows_nothing_and_a_failing_one_closes() {
    let none = Policies::load(&[], None).unwrap();
    assert!(none.is_empty() && !none.decide(&ask(Principal::Anonymous, "GET")).allowed);
    // 2^63 - 1 + the age overflows, which is an error when it is evaluated.
    let text = "permit (principal, action, resource);\n\
        forbid (principal is User, action, resource)\n\
        when { principal has login_age && 9223372036854775807 + principal.login_age > 0 };";
    let failing = load(text).unwrap();
    let said = failing.decide(&ask(editor(&[], &[]), "GET"));
    assert!(!said.allowed && said.errors.len() == 1, "{said:?}");
    assert!(failing.decide(&ask(Principal::Anonymous, "GET")).allowed);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (text, line, word) in [
        ("permit (principal, action, resource)\n;;", 2, "unexpected"),
        ("\n\npermit (principal is Person, action, resource);", 3, "Person"),
        ("permit (principal, action, resource)\nwhen { principal.name == \"x\" };", 2, "name"),
        (
            "permit (principal is User, action, resource)\nwhen {\n principal.acr == \"x\" };",
            3,
            "acr",
        ),
        ("permit (principal, action == Action::\"FETCH\", resource);", 1, "FETCH"),
        (
            "permit (principal is User, action, resource)\nwhen { principal.scopes == 1 };",
            2,
            "type",
        ),
    ] {
        let error = load(text).unwrap_err();
        let PolicyError::At { file, line: at, reason } = &error else { panic!("{error}") };
        assert_eq!((file.as_str(), *at), ("a.cedar", line), "{error}");
        assert!(reason.contains(word), "{error}");
    }
    let twice = "@id(\"a\") permit (principal, action, resource); @id(\"a\") forbid (principal, action, resource);";
    assert!(load(twice).unwrap_err().to_string().contains("another policy called a"));
    assert!(load("permit (principal == ?principal, action, resource);").is_err());
    assert!(load(&"x".repeat(2_000_000)).unwrap_err().to_string().contains("too long"));
}

#[test]
fn another_schema_must_fit_what_the_gate_knows() {
    let own = Source { name: "own.cedarschema", text: portcullis_policy::SCHEMA };
    assert!(Policies::load(&[], Some(own)).is_ok());
    let lacking = portcullis_policy::SCHEMA.replace("ip: ipaddr,", "");
    let lacking = Source { name: "own.cedarschema", text: &lacking };
    assert!(
        Policies::load(&[], Some(lacking)).unwrap_err().to_string().contains("own.cedarschema")
    );
    let broken = Source { name: "own.cedarschema", text: "entity User\nentity" };
    let error = Policies::load(&[], Some(broken)).unwrap_err().to_string();
    assert!(error.starts_with("own.cedarschema:2:"), "{error}");
}
