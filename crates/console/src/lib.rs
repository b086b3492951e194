//! The console's page and its files, from inside the binary.
//!
//! The page is a client of the public API like any other. It carries a Content-Security-Policy that runs no script
//! but those with the nonce of this answer and what they load, no markup from strings (Trusted Types), and asks
//! nobody but its own origin.

mod files;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, header};
use portcullis_types::{SharedEntropy, random_token};

use files::{Files, Packed};

/// Where pages begin.
pub const PAGES: [&str; 3] = ["/console", "/console/", "/console/{*rest}"];
/// Where scripts, styles and fonts are; anybody may read them.
pub const ASSETS: &str = "/console/assets/{*file}";

/// What stands in the page where the nonce belongs.
const NONCE: &str = "NONCE-OF-THIS-ANSWER";
/// What stands where the provider's origin belongs.
const ISSUER: &str = "ISSUER-OF-THIS-INSTALLATION";
/// The names of these files change with what is in them.
const FOREVER: &str = "public, max-age=31536000, immutable";

#[derive(Clone)]
struct Console {
    files: Arc<Files>,
    issuer: Arc<str>,
    entropy: SharedEntropy,
}

/// Answers at [`PAGES`] and [`ASSETS`].
pub fn router(issuer: &str, entropy: SharedEntropy) -> Router {
    let console = Console { files: Arc::new(Files::built_in()), issuer: issuer.into(), entropy };
    let routes = Router::new().route(ASSETS, get(asset));
    let routes = PAGES.iter().fold(routes, |routes, path| routes.route(path, get(page)));
    routes.with_state(console)
}

/// Every address of the console is the same page, which reads where it is.
async fn page(State(console): State<Console>) -> Response {
    let Some(index) = console.files.page() else {
        let text = "This binary was built without its console. `cargo xtask up` builds it where Node 20 or newer \
                    is installed.\n";
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    let nonce = random_token(&*console.entropy);
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy(&nonce, &console.issuer)),
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        // Without it browsers hide from the gate that the form which ends the session is of this page.
        (header::REFERRER_POLICY, "same-origin".to_owned()),
    ];
    (headers, index.replace(NONCE, &nonce).replace(ISSUER, &console.issuer)).into_response()
}

/// The form that ends the session leads on to the provider, which may have another name. Trusted Types: the only policy is that of Svelte, which makes elements of the templates in the scripts.
fn policy(nonce: &str, issuer: &str) -> String {
    format!(
        "default-src 'none'; script-src 'nonce-{nonce}' 'strict-dynamic'; style-src 'self' 'nonce-{nonce}'; \
         img-src 'self' blob: data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self' {issuer}; \
         frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types svelte-trusted-html"
    )
}

async fn asset(
    State(console): State<Console>,
    Path(file): Path<String>,
    asked: HeaderMap,
) -> Response {
    let accepts = asked
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let Some(found) = console.files.asset(&file, accepts) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut headers = HeaderMap::new();
    let mut set = |name, value| drop(headers.insert(name, http::HeaderValue::from_static(value)));
    set(header::CONTENT_TYPE, found.kind);
    set(header::CACHE_CONTROL, FOREVER);
    set(header::VARY, "accept-encoding");
    // The script of the worker and of what the page loads may be shown by no other page.
    set(header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if found.packed == Packed::Brotli {
        set(header::CONTENT_ENCODING, "br");
    }
    (headers, found.bytes).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt;
    use portcullis_types::Entropy;
    use tower::ServiceExt;

    use super::*;

    #[derive(Debug)]
    struct Fixed(u8);
    impl Entropy for Fixed {
        fn fill(&self, out: &mut [u8]) {
            out.fill(self.0);
        }
    }

    fn with(files: Files, byte: u8) -> Router {
        let issuer = "https://id.example".into();
        let console = Console { files: Arc::new(files), issuer, entropy: Arc::new(Fixed(byte)) };
        Router::new().route(PAGES[0], get(page)).route(ASSETS, get(asset)).with_state(console)
    }

    async fn ask(router: Router, path: &str, encoding: &str) -> (StatusCode, HeaderMap, Vec<u8>) {
        let request = Request::get(path).header("accept-encoding", encoding).body(Body::empty());
        let (parts, body) = router.oneshot(request.unwrap()).await.unwrap().into_parts();
        (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
    }

    fn some() -> Files {
        Files::of(&[
            ("index.html", b"<script nonce=\"NONCE-OF-THIS-ANSWER\"></script>"),
            ("assets/a-1.js", b"let a;"),
            ("assets/a-1.js.br", b"packed"),
        ])
    }

    #[tokio::test]
    async fn each_page_has_a_nonce_of_its_own() {
        let mut seen = Vec::new();
        for byte in [1, 2] {
            let (status, headers, body) = ask(with(some(), byte), "/console", "").await;
            assert_eq!(status, StatusCode::OK);
            let nonce = random_token(&Fixed(byte));
            let policy = headers["content-security-policy"].to_str().unwrap();
            assert!(policy.contains(&format!("script-src 'nonce-{nonce}' 'strict-dynamic'")));
            assert!(policy.contains("form-action 'self' https://id.example;"));
            assert!(
                !policy.contains("unsafe") && policy.contains("require-trusted-types-for 'script'")
            );
            assert_eq!(
                String::from_utf8(body).unwrap(),
                format!("<script nonce=\"{nonce}\"></script>")
            );
            assert_eq!(headers["cache-control"], "no-store");
            seen.push(nonce);
        }
        assert_ne!(seen[0], seen[1]);
    }

    #[tokio::test]
    async fn files_are_packed_for_whoever_takes_that() {
        let (_, headers, body) = ask(with(some(), 1), "/console/assets/a-1.js", "gzip, br").await;
        assert_eq!((headers["content-encoding"].to_str().unwrap(), &*body), ("br", &b"packed"[..]));
        for plain in ["", "gzip", "br;q=0", "brotli"] {
            let (status, headers, body) =
                ask(with(some(), 1), "/console/assets/a-1.js", plain).await;
            assert!(
                status == StatusCode::OK && !headers.contains_key("content-encoding"),
                "{plain}"
            );
            assert_eq!(
                (headers["content-type"].to_str().unwrap(), &*body),
                ("text/javascript", &b"let a;"[..])
            );
        }
        for none in
            ["/console/assets/b.js", "/console/assets/a-1.js.br", "/console/assets/../index.html"]
        {
            assert_eq!(ask(with(some(), 1), none, "").await.0, StatusCode::NOT_FOUND, "{none}");
        }
    }

    #[tokio::test]
    async fn a_binary_without_console_says_so() {
        let (status, _, body) = ask(with(Files::of(&[]), 1), "/console", "").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(String::from_utf8(body).unwrap().contains("without its console"));
    }
}
