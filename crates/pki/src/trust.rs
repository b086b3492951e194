//! Whom we trust and what we show, as handshakes find them: both change while connections are open.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use portcullis_types::{Secret, Timestamp};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
    client::{ResolvesClientCert, WebPkiServerVerifier, danger::HandshakeSignatureValid},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{
        ClientHello, ResolvesServerCert, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use crate::{Shown, TlsError, authority::serial_text, certificates, provider};

/// The roots that are trusted, and the certificates that are not trusted any more.
#[derive(Debug)]
pub struct Trust {
    now: ArcSwap<Trusted>,
    /// Grows with every change, after it.
    epoch: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct Trusted {
    pub roots: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
    pub servers: Arc<WebPkiServerVerifier>,
    revoked: HashSet<String>,
}

impl Trusted {
    fn new(roots: &[CertificateDer<'_>], revoked: HashSet<String>) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root.clone().into_owned())?;
        }
        let roots = Arc::new(store);
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider());
        let servers = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider());
        Ok(Self { roots, clients: clients.build()?, servers: servers.build()?, revoked })
    }

    /// None of these certificates is revoked. Those of authorities count as well: whoever took the
    /// key of one must show its certificate, for only roots are known beforehand.
    pub fn check_revoked(
        &self,
        own: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
    ) -> Result<(), Error> {
        let revoked = |der: &CertificateDer<'_>| match X509Certificate::from_der(der) {
            Ok((_, read)) => self.revoked.contains(&serial_text(read.raw_serial())),
            Err(_) => true,
        };
        let any = !self.revoked.is_empty() && (revoked(own) || rest.iter().any(revoked));
        if any { Err(CertificateError::Revoked.into()) } else { Ok(()) }
    }
}

impl Trust {
    /// Trusts the certificates of a PEM file.
    pub fn from_pem(pem: &str) -> Result<Arc<Self>, TlsError> {
        Self::new(&certificates(pem)?)
    }

    /// Trusts these roots.
    pub fn new(roots: &[CertificateDer<'_>]) -> Result<Arc<Self>, TlsError> {
        let trusted = Trusted::new(roots, HashSet::new())?;
        Ok(Arc::new(Self { now: ArcSwap::from_pointee(trusted), epoch: AtomicU64::new(0) }))
    }

    /// From now on these, and not what was revoked: serial numbers in hexadecimal.
    pub fn change(
        &self,
        roots: &[CertificateDer<'_>],
        revoked: HashSet<String>,
    ) -> Result<(), TlsError> {
        self.now.store(Arc::new(Trusted::new(roots, revoked)?));
        self.epoch.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    pub(crate) fn now(&self) -> Arc<Trusted> {
        self.now.load_full()
    }

    /// Another number after every change: what was found out before may not hold any more.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Whether a chain that TLS has taken leads to a root, and nothing in it is revoked.
    pub fn vouches_for(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> bool {
        let secs = u64::try_from(now.secs()).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(secs));
        let own = chain.split_first();
        own.is_some_and(|(own, rest)| self.verify_client_cert(own, rest, now).is_ok())
    }
}

impl ClientCertVerifier for Trust {
    /// None: what is trusted changes, and a hint would keep clients from showing what they have.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let trusted = self.now.load();
        let verified = trusted.clients.verify_client_cert(end_entity, intermediates, now)?;
        trusted.check_revoked(end_entity, intermediates)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.now.load().clients.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.now.load().clients.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.now.load().clients.supported_verify_schemes()
    }
}

/// A certificate that is shown, and its key. Handshakes take what is in it at that moment.
#[derive(Debug)]
pub struct Identity(ArcSwap<CertifiedKey>);

impl Identity {
    /// From PEM.
    pub fn from_pem(chain: &str, key: &str) -> Result<Arc<Self>, TlsError> {
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_| TlsError::Pem("the private key"))?;
        let certified = CertifiedKey::from_der(certificates(chain)?, key, &provider())?;
        Ok(Arc::new(Self(ArcSwap::from_pointee(certified))))
    }

    /// A certificate that was issued, with its key in PEM.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key_pem: &Secret<String>,
    ) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self(ArcSwap::from_pointee(certified(chain, key_pem)?))))
    }

    /// Signs with ES256 (RFC 7518, section 3.4) what `make` makes of the chain that is shown now, in DER; `None` if its
    /// key is on another curve. Tells what was signed, and the signature.
    pub fn sign_es256(&self, make: impl FnOnce(&[&[u8]]) -> String) -> Option<(String, Vec<u8>)> {
        let shown = self.0.load_full();
        let chain: Vec<&[u8]> = shown.cert.iter().map(AsRef::as_ref).collect();
        let signer = shown.key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256])?;
        let text = make(&chain);
        let signature = fixed(&signer.sign(text.as_bytes()).ok()?)?;
        Some((text, signature))
    }

    /// What is shown now says of itself.
    pub fn shown(&self) -> Option<Shown> {
        Shown::read(self.0.load().cert.first()?)
    }

    /// From now on this one.
    pub fn change(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key_pem: &Secret<String>,
    ) -> Result<(), TlsError> {
        self.0.store(Arc::new(certified(chain, key_pem)?));
        Ok(())
    }
}

/// An ECDSA signature on P-256 as JWS has it: both numbers, 32 bytes each.
fn fixed(der: &[u8]) -> Option<Vec<u8>> {
    let [0x30, length, rest @ ..] = der else { return None };
    if usize::from(*length) != rest.len() {
        return None;
    }
    let (r, rest) = number(rest)?;
    let (s, rest) = number(rest)?;
    rest.is_empty().then(|| [r, s].concat())
}

/// An INTEGER in DER as 32 bytes, and what comes after it.
fn number(der: &[u8]) -> Option<([u8; 32], &[u8])> {
    let [0x02, length, rest @ ..] = der else { return None };
    let (digits, rest) = rest.split_at_checked(usize::from(*length))?;
    let digits = digits.strip_prefix(&[0]).unwrap_or(digits);
    let mut number = [0; 32];
    number.get_mut(32_usize.checked_sub(digits.len())?..)?.copy_from_slice(digits);
    Some((number, rest))
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key_pem: &Secret<String>,
) -> Result<CertifiedKey, TlsError> {
    let key = PrivateKeyDer::from_pem_slice(key_pem.expose().as_bytes())
        .map_err(|_| TlsError::Pem("the private key"))?;
    Ok(CertifiedKey::from_der(chain, key, &provider())?)
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
