//! The authority on SQLite and PostgreSQL alike.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

use std::{sync::Arc, time::Duration};

use portcullis_ca::{Ca, CaError, CaSettings, Grant, How, Phase, Which};
use portcullis_events::{Actor, Origin};
use portcullis_pki::{
    Issued, PeerCertificate, RequestError, SpiffeId, Subject, Trust, certificates, new_key,
    request_pem,
};
use portcullis_store::Sealer;
use portcullis_testkit::{FixedClock, SeededEntropy, TestDb, on_both};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
const ID: &str = "spiffe://shop.example/orders";

struct Place {
    ca: Arc<Ca>,
    clock: Arc<FixedClock>,
    db: TestDb,
}

async fn open(db: &TestDb, clock: &Arc<FixedClock>, seed: u64) -> Arc<Ca> {
    let settings = CaSettings {
        trust_domain: "shop.example".into(),
        url: "https://id.example".into(),
        lifetime: DAY,
        publish_root_first: DAY,
    };
    let sealer = Arc::new(Sealer::new(&[7; 32]).unwrap());
    let entropy = SeededEntropy::new(seed);
    Ca::open(db.db.clone(), sealer, clock.clone(), entropy, settings).await.unwrap()
}

async fn place(db: TestDb) -> Place {
    let clock = FixedClock::new();
    let ca = open(&db, &clock, 1).await;
    Place { ca, clock, db }
}

fn request() -> Vec<u8> {
    request_pem(&new_key().unwrap().0).unwrap().into_bytes()
}

fn id() -> SpiffeId {
    ID.parse().unwrap()
}

impl Place {
    async fn issue(&self) -> Issued {
        let grant = Grant {
            subject: self.ca.subject(&id(), &["orders.svc".into()]).unwrap(),
            how: How::Operator,
            actor: Actor::Operator,
            origin: None,
            lifetime: None,
        };
        self.ca.sign(&grant, &request()).await.unwrap()
    }

    fn shown(&self, issued: &Issued) -> PeerCertificate {
        self.peer(&issued.chain)
    }

    fn peer(&self, chain: &[CertificateDer<'_>]) -> PeerCertificate {
        use portcullis_types::Clock;
        let trust = self.ca.identities.trust();
        PeerCertificate::new(chain, Some(trust), self.clock.now()).unwrap()
    }

    fn is_trusted(&self, issued: &Issued) -> bool {
        self.shown(issued).workload().is_some()
    }

    fn phases(&self) -> Vec<(bool, Phase)> {
        self.ca.status().iter().map(|one| (one.root.is_none(), one.phase)).collect()
    }

    /// Serial numbers in the list of the authority that signed `issued`, and the list's number.
    fn listed(&self, issued: &Issued) -> (Vec<String>, String) {
        let (_, own) = X509Certificate::from_der(&issued.chain[0]).unwrap();
        let (_, signer) = X509Certificate::from_der(&issued.chain[1]).unwrap();
        let url = own.extensions().iter().find_map(|one| match one.parsed_extension() {
            x509_parser::extensions::ParsedExtension::CRLDistributionPoints(points) => {
                Some(format!("{:?}", points.points.first()?.distribution_point))
            }
            _ => None,
        });
        let authority =
            self.ca.status().into_iter().find(|one| url.as_ref().unwrap().contains(&one.id));
        let list = self.ca.revocation_list(&authority.unwrap().id).unwrap();
        let (_, list) = CertificateRevocationList::from_der(&list).unwrap();
        list.verify_signature(signer.public_key()).unwrap();
        let serials = list.iter_revoked_certificates();
        let serials = serials.map(|one| one.raw_serial_as_string().replace(':', ""));
        (serials.collect(), list.crl_number().unwrap().to_string())
    }
}

on_both!(a_token_is_good_for_one_certificate, |db: TestDb| {
    let place = place(db).await;
    let ca = &place.ca;
    let names = ["orders.svc".to_owned()];
    let token = ca.make_token(&id(), &names, HOUR, &Actor::Operator, None).await.unwrap();
    let text = token.text.expose();
    let bad = ca.enrol(text, b"nothing", Origin::default()).await;
    assert!(matches!(bad, Err(CaError::Request(RequestError::Malformed))), "{bad:?}");

    let mine = request();
    let issued = ca.enrol(text, &mine, Origin::default()).await.unwrap();
    let chain = certificates(&issued).unwrap();
    let (_, read) = X509Certificate::from_der(&chain[0]).unwrap();
    assert_eq!(place.peer(&chain).workload().map(SpiffeId::as_str), Some(ID));
    assert!(read.subject_alternative_name().unwrap().unwrap().value.general_names.len() == 2);
    assert_eq!(chain.len(), 2);
    let lost = ca.enrol(text, &mine, Origin::default()).await.unwrap();
    assert_eq!(lost, issued, "the answer was lost on the way");
    assert_eq!(ca.issued(Some(&id()), 10).await.unwrap().len(), 1);

    let again = ca.enrol(text, &request(), Origin::default()).await;
    assert!(matches!(again, Err(CaError::Token)), "{again:?}");
    let codes = place.db.recorded.events();
    let reuse = codes.iter().filter(|event| !event.outcome.is_success()).count();
    assert_eq!(reuse, 1, "somebody else has the token");
    place.clock.advance(Duration::from_secs(601));
    let again = ca.enrol(text, &mine, Origin::default()).await;
    assert!(matches!(again, Err(CaError::Token)), "{again:?}");

    let late = ca.make_token(&id(), &[], HOUR, &Actor::Operator, None).await.unwrap();
    place.clock.advance(HOUR);
    let late = ca.enrol(late.text.expose(), &request(), Origin::default()).await;
    assert!(matches!(late, Err(CaError::Token)));
    let told = place.db.recorded.events();
    let failures = told.iter().filter(|event| !event.outcome.is_success()).count();
    assert_eq!(failures, 2, "one that came too late was not stolen");
    for text in ["", "pce_", "pce_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &text.replace('_', "-")]
    {
        let guessed = ca.enrol(text, &request(), Origin::default()).await;
        assert!(matches!(guessed, Err(CaError::Token)));
    }
});

on_both!(many_hands_get_one_certificate_from_one_token, |db: TestDb| {
    let place = place(db).await;
    let token = place.ca.make_token(&id(), &[], HOUR, &Actor::Operator, None).await.unwrap();
    let text = Arc::new(token.text.expose().clone());
    let tries = (0..8).map(|_| {
        let (ca, text) = (place.ca.clone(), text.clone());
        tokio::spawn(async move { ca.enrol(&text, &request(), Origin::default()).await.is_ok() })
    });
    let mut won = 0;
    for one in tries.collect::<Vec<_>>() {
        won += usize::from(one.await.unwrap());
    }
    assert_eq!(won, 1);
    let told = place.db.recorded.events();
    assert_eq!(told.iter().filter(|event| !event.outcome.is_success()).count(), 7);
    let issued = place.ca.issued(Some(&id()), 10).await.unwrap();
    assert_eq!(issued.len(), 1, "what was not handed out was not recorded either");
});

on_both!(names_of_others_are_not_issued, |db: TestDb| {
    let place = place(db).await;
    let other: SpiffeId = "spiffe://other.example/orders".parse().unwrap();
    let wrong = place.ca.subject(&other, &[]);
    assert!(matches!(wrong, Err(CaError::TrustDomain(..))), "{wrong:?}");
    let gate = place.ca.subject(&id(), &["ID.example".into()]);
    assert!(matches!(gate, Err(CaError::OwnName(_))), "{gate:?}");
    for name in [
        "",
        "*.svc",
        "1.2.3",
        "999.999.999.999",
        "a b",
        "-a",
        "a..b",
        "a\n",
        &"a".repeat(64),
        "ö.example",
    ] {
        assert!(place.ca.subject(&id(), &[name.to_owned()]).is_err(), "{name}");
    }
    let many: Vec<String> = (0..17).map(|n| format!("n{n}")).collect();
    assert!(place.ca.subject(&id(), &many).is_err());
});

on_both!(certificates_renew_themselves_until_they_are_revoked, |db: TestDb| {
    let place = place(db).await;
    let ca = &place.ca;
    let first = place.issue().await;
    place.clock.advance(HOUR * 16);
    let second = ca.renew(&place.shown(&first), &request(), Origin::default()).await.unwrap();
    assert!(second.not_after > first.not_after);
    let (_, read) = X509Certificate::from_der(&second.chain[0]).unwrap();
    assert!(format!("{:?}", read.subject_alternative_name()).contains("orders.svc"));

    // The connection was opened before.
    let open = place.shown(&second);
    use portcullis_types::Clock;
    assert!(open.still_stands(place.clock.now()));
    let which = Which::Serial(second.serial.to_uppercase());
    assert_eq!(ca.revoke(&which, true, &Actor::Operator, None).await.unwrap(), 1);
    assert!(!open.still_stands(place.clock.now()));
    assert!(!place.is_trusted(&second));
    assert!(place.is_trusted(&first), "it was not meant");
    let refused = ca.renew(&open, &request(), Origin::default()).await;
    assert!(matches!(refused, Err(CaError::Renewal(_))), "{refused:?}");
    let (serials, number) = place.listed(&second);
    assert_eq!((serials, number.as_str()), (vec![second.serial.clone()], "2"));

    let token = ca.make_token(&id(), &[], HOUR, &Actor::Operator, None).await.unwrap();
    let all = Which::Workload(id());
    assert_eq!(ca.revoke(&all, false, &Actor::Operator, None).await.unwrap(), 1);
    assert!(!place.is_trusted(&first));
    let unused = ca.enrol(token.text.expose(), &request(), Origin::default()).await;
    assert!(matches!(unused, Err(CaError::Token)), "the token went with them");
    let nothing = ca.revoke(&all, false, &Actor::Operator, None).await;
    assert!(matches!(nothing, Err(CaError::Nothing)));
    place.clock.advance(HOUR * 9);
    assert!(place.is_trusted(&place.issue().await), "those that come later are not meant");
});

on_both!(no_renewal_slips_through_a_revocation, |db: TestDb| {
    let place = Arc::new(place(db).await);
    let mut known = Vec::new();
    for _ in 0..6 {
        known.push(place.issue().await);
    }
    let renewing = known.into_iter().map(|first| {
        let place = place.clone();
        tokio::spawn(async move {
            let mut newest = first;
            let mut count = 0;
            while count < 40 {
                let shown = place.shown(&newest);
                match place.ca.renew(&shown, &request(), Origin::default()).await {
                    Ok(renewed) => newest = renewed,
                    Err(CaError::Renewal(_)) => break,
                    Err(error) => panic!("{error}"),
                }
                count += 1;
            }
            newest
        })
    });
    let renewing: Vec<_> = renewing.collect();
    let mut revoked = 0;
    while revoked < 12 {
        revoked = place.ca.issued(Some(&id()), 1_000).await.unwrap().len();
    }
    let all = Which::Workload(id());
    place.ca.revoke(&all, true, &Actor::Operator, None).await.unwrap();
    for newest in renewing {
        let newest = newest.await.unwrap();
        assert!(!place.is_trusted(&newest), "a certificate outlived the revocation");
    }
    let left = place.ca.issued(Some(&id()), 1_000).await.unwrap();
    assert!(left.iter().all(|row| row.revoked_at.is_some()));
});

on_both!(a_certificate_is_renewed_a_few_times_and_in_the_way_it_came, |db: TestDb| {
    let place = place(db).await;
    let first = place.issue().await;
    for _ in 0..16 {
        place.ca.renew(&place.shown(&first), &request(), Origin::default()).await.unwrap();
    }
    let more = place.ca.renew(&place.shown(&first), &request(), Origin::default()).await;
    assert!(matches!(more, Err(CaError::Renewal(_))), "{more:?}");
    let subject = place.ca.subject(&id(), &[]).unwrap();
    let (how, actor) = (How::Token, Actor::Anonymous);
    let grant = Grant { subject, how, actor, origin: None, lifetime: None };
    let vouched = place.ca.sign(&grant, &request()).await.unwrap();
    let more = place.ca.renew(&place.shown(&vouched), &request(), Origin::default()).await;
    assert!(matches!(more, Err(CaError::Renewal(_))), "{more:?}");
});

on_both!(another_node_follows, |db: TestDb| {
    let place = place(db).await;
    let other = open(&place.db, &place.clock, 99).await;
    assert_eq!(place.ca.bundle_pem(), other.bundle_pem(), "the first one made it for both");
    let issued = place.issue().await;
    let trust = other.identities.trust();
    use portcullis_types::Clock;
    let now = place.clock.now();
    let open = PeerCertificate::new(&issued.chain, Some(trust), now).unwrap();
    assert!(open.workload().is_some());
    let which = Which::Serial(issued.serial.clone());
    place.ca.revoke(&which, false, &Actor::Operator, None).await.unwrap();
    other.follow().await.unwrap();
    assert!(!open.still_stands(now));
    let signer = &place.ca.status()[1].id;
    assert_eq!(place.ca.revocation_list(signer), other.revocation_list(signer));
    // A certificate of this node does not outlive what the other takes back.
    place.ca.rotate(false, true, &Actor::Operator).await.unwrap();
    other.follow().await.unwrap();
    assert_eq!(place.ca.status()[2].id, other.status()[2].id);
});

on_both!(a_new_root_is_known_before_it_signs_and_the_old_one_goes_last, |db: TestDb| {
    let place = place(db).await;
    let ca = &place.ca;
    let old = place.issue().await;
    let pem = |ca: &Ca| String::from_utf8(ca.bundle_pem().to_vec()).unwrap();
    let old_bundle = Trust::from_pem(&pem(ca)).unwrap();
    let sequence = |ca: &Ca| ca.bundle().unwrap()["spiffe_sequence"].as_u64().unwrap();
    assert_eq!(sequence(ca), 1);
    ca.rotate(true, false, &Actor::Operator).await.unwrap();
    use Phase::{Following, Published, Retired, Signing};
    let (root, issuing) = (true, false);
    let before = vec![(root, Signing), (issuing, Signing), (root, Published), (issuing, Published)];
    assert_eq!(place.phases(), before);
    assert_eq!(ca.bundle().unwrap()["keys"].as_array().unwrap().len(), 2);
    assert_eq!(sequence(ca), 2);
    use portcullis_types::Clock;
    let now = place.clock.now();
    let meanwhile = place.issue().await;
    assert!(old_bundle.vouches_for(&meanwhile.chain, now), "nobody has the new bundle yet");
    let own = ca.identities.get(&Subject { workload: None, names: vec!["a".into()] }).unwrap();
    let shown = || -> CertificateDer<'static> {
        use rustls::client::ResolvesClientCert;
        own.resolve(&[], &[]).unwrap().cert[1].clone()
    };
    let signer = shown();

    let new_bundle = Trust::from_pem(&pem(ca)).unwrap();
    place.clock.advance(DAY);
    ca.tend().await.unwrap();
    let during = vec![(root, Following), (issuing, Following), (root, Signing), (issuing, Signing)];
    assert_eq!(place.phases(), during);
    assert_ne!(shown(), signer, "the gate shows what the new root vouches for");
    let now = place.clock.now();
    let new = place.issue().await;
    assert!(new_bundle.vouches_for(&new.chain, now) && !old_bundle.vouches_for(&new.chain, now));
    place.clock.advance(HOUR);
    assert!(!place.is_trusted(&old), "its day is over");

    // Both kinds are over for longer than clocks differ.
    place.clock.advance(DAY * 3);
    ca.tend().await.unwrap();
    ca.tend().await.unwrap();
    let after = vec![(root, Retired), (issuing, Retired), (root, Signing), (issuing, Signing)];
    assert_eq!(place.phases(), after);
    assert_eq!(ca.bundle().unwrap()["keys"].as_array().unwrap().len(), 1);
    assert_eq!(sequence(ca), 3);
});

on_both!(what_is_in_other_hands_is_not_trusted_from_now_on, |db: TestDb| {
    let place = place(db).await;
    let ca = &place.ca;
    let old = place.issue().await;
    let open = place.shown(&old);
    use portcullis_types::Clock;
    let now = place.clock.now();
    ca.rotate(false, true, &Actor::Operator).await.unwrap();
    assert!(!place.is_trusted(&old) && !open.still_stands(now));
    let new = place.issue().await;
    assert!(place.is_trusted(&new));
    let root = &ca.status()[0].id;
    let list = ca.revocation_list(root).unwrap();
    let (_, list) = CertificateRevocationList::from_der(&list).unwrap();
    assert_eq!(list.iter_revoked_certificates().count(), 1, "the root says so");

    ca.rotate(true, true, &Actor::Operator).await.unwrap();
    assert!(!place.is_trusted(&new));
    assert!(place.is_trusted(&place.issue().await));
    assert_eq!(ca.bundle().unwrap()["keys"].as_array().unwrap().len(), 1);
});

on_both!(authorities_follow_each_other_by_themselves, |db: TestDb| {
    let place = place(db).await;
    let ca = &place.ca;
    ca.tend().await.unwrap();
    assert_eq!(ca.status().len(), 2, "nothing is due");
    place.clock.advance(DAY * 366);
    ca.tend().await.unwrap();
    assert_eq!(ca.status().len(), 3, "an intermediate");
    for _ in 0..30 {
        place.clock.advance(DAY * 120);
        ca.tend().await.unwrap();
        ca.tend().await.unwrap();
        let issued = place.issue().await;
        assert!(place.is_trusted(&issued));
    }
    let roots: Vec<Phase> =
        place.phases().into_iter().filter(|one| one.0).map(|one| one.1).collect();
    assert_eq!(roots, [Phase::Retired, Phase::Signing], "more than ten years have passed");
});

on_both!(the_gates_own_certificates_stay_fresh_and_are_recorded, |db: TestDb| {
    let place = place(db).await;
    let subject = Subject { workload: Some(id()), names: vec!["gate.svc".into()] };
    let own = place.ca.identities.get(&subject).unwrap();
    let same = place.ca.identities.get(&subject).unwrap();
    assert!(Arc::ptr_eq(&own, &same));
    let serial = || {
        use rustls::client::ResolvesClientCert;
        own.resolve(&[], &[]).unwrap().cert[0].clone()
    };
    let first = serial();
    place.ca.tend().await.unwrap();
    place.clock.advance(HOUR * 15);
    place.ca.tend().await.unwrap();
    assert_eq!(serial(), first, "two thirds are not over");
    place.clock.advance(HOUR + HOUR / 10);
    place.ca.tend().await.unwrap();
    assert_ne!(serial(), first);
    place.ca.tend().await.unwrap();
    let rows = place.ca.issued(Some(&id()), 10).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.how == "own").count(), 2);
});
