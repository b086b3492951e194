//! Hostile addresses and hostile servers, over real TLS.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use portcullis_egress::{Egress, EgressError, Resolve, Settings};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// A server for `app.example` on loopback that answers every connection with the same bytes.
async fn server(answer: &'static [u8], endless: bool) -> (SocketAddr, String, Arc<AtomicUsize>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["app.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, counter) = (acceptor.clone(), counter.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                counter.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(answer).await;
                while endless && stream.write_all(&[b'x'; 4096]).await.is_ok() {}
                let _ = stream.shutdown().await;
            });
        }
    });
    (addr, cert.pem(), seen)
}

/// Every name has these addresses.
fn resolver(addrs: Vec<SocketAddr>) -> Resolve {
    Arc::new(move |_, _| {
        let addrs = addrs.clone();
        Box::pin(async move { Ok(addrs) })
    })
}

fn egress(ca: Option<String>, allow: &[&str], addrs: Vec<SocketAddr>) -> Egress {
    let allow = allow.iter().map(|network| network.parse().unwrap()).collect();
    Egress::new(Settings { allow, ca_pem: ca }, resolver(addrs)).unwrap()
}

const GOOD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: 2\r\n\r\n{}";

#[tokio::test]
async fn r9_a_public_document_is_fetched_from_the_address_that_was_looked_at() {
    let (addr, ca, seen) = server(GOOD, false).await;
    let out = egress(Some(ca), &["127.0.0.0/8"], vec![addr]);
    let answer = out.get("https://app.example/keys?x=1").await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"{}"[..]));
    assert_eq!(answer.content_type.as_deref(), Some("application/json"));
    let answer = out.post_form("https://app.example/", "a=b".into()).await.unwrap();
    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn r9_private_addresses_are_not_called_however_they_are_written() {
    let (addr, ca, seen) = server(GOOD, false).await;
    let port = addr.port();
    let out = egress(Some(ca.clone()), &[], vec![addr]);
    for url in [
        format!("https://127.0.0.1:{port}/"),
        format!("https://2130706433:{port}/"),
        format!("https://0x7f.1:{port}/"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
        format!("https://[::1]:{port}/"),
        format!("https://app.example:{port}/"),
        "https://169.254.169.254/latest/meta-data/".into(),
    ] {
        let refused = out.get(&url).await;
        assert!(matches!(refused, Err(EgressError::Address)), "{url}: {refused:?}");
    }
    // A name with an address outside and one inside.
    let mixed = egress(Some(ca), &[], vec!["8.8.8.8:443".parse().unwrap(), addr]);
    assert!(matches!(mixed.get("https://app.example/").await, Err(EgressError::Address)));
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn r9_a_name_is_resolved_once_so_that_it_cannot_change_its_mind() {
    let (addr, ca, seen) = server(GOOD, false).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let rebinding: Resolve = Arc::new(move |_, _| {
        let first = counter.fetch_add(1, Ordering::SeqCst) == 0;
        let answer = if first { addr } else { "10.0.0.1:443".parse().unwrap() };
        Box::pin(async move { Ok(vec![answer]) })
    });
    let settings = Settings { allow: vec!["127.0.0.1/32".parse().unwrap()], ca_pem: Some(ca) };
    let out = Egress::new(settings, rebinding).unwrap();
    assert!(out.get("https://app.example/").await.is_ok());
    assert_eq!((asked.load(Ordering::SeqCst), seen.load(Ordering::SeqCst)), (1, 1));
    assert!(matches!(out.get("https://app.example/").await, Err(EgressError::Address)));
}

#[tokio::test]
async fn r9_other_schemes_and_hidden_hosts_are_refused() {
    let out = egress(None, &["0.0.0.0/0"], vec!["127.0.0.1:1".parse().unwrap()]);
    for url in [
        "http://app.example/",
        "ftp://app.example/",
        "file:///etc/passwd",
        "https://user@app.example/",
        "https://user:secret@app.example/",
        "https://app.example/#x",
        "gopher://app.example/",
        "//app.example/",
        "",
        "https://",
    ] {
        assert!(matches!(out.get(url).await, Err(EgressError::Url)), "{url}");
    }
    let long = format!("https://app.example/{}", "x".repeat(3000));
    assert!(matches!(out.get(&long).await, Err(EgressError::Url)));
}

#[tokio::test]
async fn r9_redirects_come_back_and_are_not_followed() {
    let away = b"HTTP/1.1 302 Found\r\nlocation: https://127.0.0.1/\r\ncontent-length: 0\r\n\r\n";
    let (addr, ca, seen) = server(away, false).await;
    let out = egress(Some(ca), &["127.0.0.0/8"], vec![addr]);
    assert_eq!(out.get("https://app.example/").await.unwrap().status.as_u16(), 302);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn r9_certificates_are_checked_against_the_name() {
    let (addr, ca, seen) = server(GOOD, false).await;
    let untrusting = egress(None, &["127.0.0.0/8"], vec![addr]);
    assert!(matches!(untrusting.get("https://app.example/").await, Err(EgressError::Connect(_))));
    let out = egress(Some(ca), &["127.0.0.0/8"], vec![addr]);
    assert!(matches!(out.get("https://other.example/").await, Err(EgressError::Connect(_))));
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn r9_endless_and_broken_answers_are_cut_off() {
    let endless = b"HTTP/1.1 200 OK\r\n\r\n";
    let (addr, ca, _) = server(endless, true).await;
    let out = egress(Some(ca), &["127.0.0.0/8"], vec![addr]);
    assert!(matches!(out.get("https://app.example/").await, Err(EgressError::Answer)));
    let (addr, ca, _) = server(b"SSH-2.0-hello\r\n", false).await;
    let out = egress(Some(ca), &["127.0.0.0/8"], vec![addr]);
    assert!(matches!(out.get("https://app.example/").await, Err(EgressError::Answer)));
}

#[tokio::test(start_paused = true)]
async fn r9_a_server_that_says_nothing_is_given_up() {
    // Nobody answers: the resolver itself never comes back.
    let silent: Resolve = Arc::new(|_, _| Box::pin(std::future::pending()));
    let out = Egress::new(Settings::default(), silent).unwrap();
    assert!(matches!(out.get("https://app.example/").await, Err(EgressError::Timeout)));
}
