//! From where and with what people go through sessions.

use std::{net::IpAddr, time::Duration};

use portcullis_events::Origin;
use portcullis_store::idv::seen;
use portcullis_testkit::{TestDb, on_both};
use portcullis_types::{Clock, Id, tags};
use portcullis_verification::{Begin, BrowserFacts, Sessions, ToldDevice};
use serde_json::json;

use crate::{
    sessions::{no_way_out, node_with},
    world::{World, machine},
};

struct Place {
    world: World,
    sessions: Sessions,
    id: Id<tags::IdvSession>,
}

impl Place {
    async fn new(db: TestDb) -> Self {
        let world = World::new(db);
        let sessions = node_with(&world, (&world.aml, None), 80, no_way_out());
        let (by, origin) = (machine(), Origin::default());
        let graph = json!({
            "schema": "idv.workflow/1",
            "start": "zone",
            "nodes": {
                "zone": { "type": "check", "check": "mrz", "next": "with" },
                "with": { "type": "check", "check": "device", "next": "end" },
                "end": { "type": "decide", "rule": "fold" }
            }
        });
        let made = sessions.create_workflow("kyc", &graph, &by, &origin).await.unwrap();
        sessions.publish(made.id, 1, "first", (&by, &origin)).await.unwrap();
        let asked = Begin { workflow: "kyc".into(), ..Begin::default() };
        let id = sessions.begin(asked, &by, &origin).await.unwrap().open.row.id;
        Self { world, sessions, id }
    }

    async fn saw(&self, addr: &str, browser: &BrowserFacts) {
        let open = self.sessions.read(self.id).await.unwrap();
        let addr: IpAddr = addr.parse().unwrap();
        self.sessions.saw(&open, addr.into(), browser).await.unwrap();
    }

    async fn met(&self, time_zone: &str) {
        let open = self.sessions.read(self.id).await.unwrap();
        let told = ToldDevice { time_zone: time_zone.to_owned(), ..ToldDevice::default() };
        self.sessions.met(&open, &told, (BrowserFacts::default(), "secret")).await.unwrap();
    }

    async fn kept(&self, kind: &str) -> Vec<seen::SeenRow> {
        let rows = seen::of_session(&self.world.db.db, "main", self.id).await.unwrap();
        rows.into_iter().filter(|row| row.kind == kind).collect()
    }
}

on_both!(addresses_make_room_for_each_other_and_tellings_for_none, |db: TestDb| {
    let place = Place::new(db).await;
    let first = place.world.clock.now();
    place.saw("192.0.2.1", &BrowserFacts::default()).await;
    for number in 0..40 {
        place.world.clock.advance(Duration::from_secs(1));
        place.met(&format!("Etc/GMT+{number}")).await;
    }
    let told = place.kept("device").await;
    assert_eq!(told.len(), 32);
    // The first ones: whatever is said later pushes nothing away.
    assert!(told.iter().any(|row| row.seen_at == first));
    let addresses = place.kept("address").await;
    assert_eq!(addresses.iter().map(|row| row.seen_at).collect::<Vec<_>>(), [first]);
    for number in 0..100 {
        place.world.clock.advance(Duration::from_secs(1));
        place.saw(&format!("198.51.100.{number}"), &BrowserFacts::default()).await;
    }
    let addresses = place.kept("address").await;
    assert_eq!(addresses.len(), 64);
    // The first one stays, and of the others those that were seen last.
    assert!(addresses.iter().any(|row| row.seen_at == first));
});

on_both!(each_telling_is_kept_once_and_stays, |db: TestDb| {
    let place = Place::new(db).await;
    let with = |agent: &str, ja4: &str| BrowserFacts {
        user_agent: agent.to_owned(),
        ja4: Some(ja4.to_owned()),
        ..BrowserFacts::default()
    };
    let told = [
        with("one", "t13d1516h2_a_b"),
        with("one", "t13d1517h1_c_d"),
        with("two", "t13d1516h2_a_b"),
    ];
    for _ in 0..3 {
        for browser in &told {
            place.saw("192.0.2.1", browser).await;
        }
        place.world.clock.advance(Duration::from_secs(61));
    }
    assert_eq!(place.kept("device").await.len(), told.len());
});
