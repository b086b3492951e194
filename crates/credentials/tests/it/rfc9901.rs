use portcullis_credentials::{Asked, CredentialError, Presentation};
use portcullis_jose::{Jwk, VerifyingKey};
use portcullis_types::Timestamp;
use serde_json::json;

/// The SD-JWT with a key binding of section 8.2, in its compact form.
fn example() -> String {
    let protected = "eyJhbGciOiAiRVMyNTYiLCAidHlwIjogImV4YW1wbGUrc2Qtand0In0";
    let payload = concat!(
        "eyJfc2QiOiBbIjRIQm42YUlZM1d0dUdHV1R4LXFVajZjZGs2V0JwWnlnbHRkRmF2UGE3TFkiLCAiOHNtMVFDZjAyMXBObkhBQ0k1",
        "c1A0bTRLWmd5Tk9PQVljVGo5SE5hQzF3WSIsICJjZ0ZkaHFQbzgzeFlObEpmYWNhQ2FhN3VQOVJDUjUwVkU1UjRMQVE5aXFVIiwg",
        "ImpNQ1hWei0tOWI4eDM3WWNvRGZYUWluencxd1pjY2NmRlJCQ0ZHcWRHMm8iXSwgImlzcyI6ICJodHRwczovL2lzc3Vlci5leGFt",
        "cGxlLmNvbSIsICJpYXQiOiAxNjgzMDAwMDAwLCAiZXhwIjogMTg4MzAwMDAwMCwgIl9zZF9hbGciOiAic2hhLTI1NiIsICJjbmYi",
        "OiB7Imp3ayI6IHsia3R5IjogIkVDIiwgImNydiI6ICJQLTI1NiIsICJ4IjogIlRDQUVSMTladnUzT0hGNGo0VzR2ZlNWb0hJUDFJ",
        "TGlsRGxzN3ZDZUdlbWMiLCAieSI6ICJaeGppV1diWk1RR0hWV0tWUTRoYlNJaXJzVmZ1ZWNDRTZ0NGpUOUYySFpRIn19fQ",
    );
    let signature =
        "tafypR458Veb7iGfxersENL-OX_w4jQBV37ZuD-8NtyfmsFf7cEnjeKxMbknWYytcjHMqBRrzhBT9-pWWzI7ig";
    let family = "WyI2SWo3dE0tYTVpVlBHYm9TNXRtdlZBIiwgImZhbWlseV9uYW1lIiwgIkRvZSJd";
    let given = "WyJlbHVWNU9nM2dTTklJOEVZbnN4QV9BIiwgImdpdmVuX25hbWUiLCAiSm9obiJd";
    let binding = concat!(
        "eyJhbGciOiAiRVMyNTYiLCAidHlwIjogImtiK2p3dCJ9.eyJub25jZSI6ICIxMjM0NTY3ODkwIiwgImF1ZCI6ICJodHRwczovL3Zl",
        "cmlmaWVyLmV4YW1wbGUub3JnIiwgImlhdCI6IDE3NDgzNjE5NDEsICJzZF9oYXNoIjogIldMNlVJVFQ4MXBMdDlWa2pWUFhFdXF4",
        "UXRBNXZKYnM4NEpTVzZ3RExVTlkifQ.ZfEccF_zaMG09mo_NQZQl-SezfbHPqLRJZc9C0s0pF0gkFC47hBxE33ugdJF776wa9PhIO",
        "KZjfXVhdfRMUvpSg",
    );
    format!("{protected}.{payload}.{signature}~{family}~{given}~{binding}")
}

/// The issuer's key of appendix A.5.
fn key() -> VerifyingKey {
    let key: Jwk = serde_json::from_value(json!({
        "kty": "EC", "crv": "P-256",
        "x": "b28d4MwZMjw8-00CG4xfnn9SLMVMM19SlqZpVb_uNtQ",
        "y": "Xv5zWwuoaTgdS6hV43yI6gBwTnjukmFQQnJ_kCxzqk8",
    }))
    .unwrap();
    key.verifying_key().unwrap()
}

fn asked(nonce: &str) -> Asked<'_> {
    let now = Timestamp::from_secs(1_748_361_950);
    Asked { audience: "https://verifier.example.org", nonce, now }
}

#[test]
fn the_example_holds_and_nothing_else() {
    let text = example();
    let verify = |text: &str, typ, nonce| {
        Presentation::parse(text).unwrap().verify_as(typ, &[key()][..], &asked(nonce))
    };
    let typ = "example+sd-jwt";
    let verified = verify(&text, typ, "1234567890").unwrap();
    assert_eq!(verified.issuer, "https://issuer.example.com");
    assert_eq!(verified.claims["given_name"], json!("John"));
    assert_eq!(verified.claims["family_name"], json!("Doe"));
    assert!(!verified.claims.contains_key("_sd") && !verified.claims.contains_key("birthdate"));
    assert_eq!(verify(&text, typ, "other").unwrap_err(), CredentialError::Request);
    assert_eq!(verify(&text, "dc+sd-jwt", "1234567890").unwrap_err(), CredentialError::Type);
    let forged = text.replacen("tafypR458", "tafypR459", 1);
    assert_eq!(verify(&forged, typ, "1234567890").unwrap_err(), CredentialError::Signature);
    // It says not what it is.
    let plain = Presentation::parse(&text).unwrap().verify(&[key()][..], &asked("1234567890"));
    assert_eq!(plain.unwrap_err(), CredentialError::Claims);
}
