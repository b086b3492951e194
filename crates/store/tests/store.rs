//! The database layer on SQLite and PostgreSQL alike.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::{sync::Arc, time::Duration};

use portcullis_events::{
    AccountChange, Actor, Event, Kind, Lifecycle, Origin, Outcome, Sealed, sealed_of, search_fields,
};
use portcullis_store::{
    CommitSink, Db, DbError, LogKeys, Query, Sealer, SinkFuture, Source, Tx, accounts,
    applications, cases, certificates, clients, compliance, consents, data_map, defence, device,
    factors, grants, invitations, mail_login, measures,
    outbox::{self, MessageKind},
    passkeys, pushed, quotas, recovery, retention, sql,
    subject_requests::{self, SubjectRequest},
    token_hash,
};
use portcullis_testkit::{FixedClock, START, SeededEntropy, TestDb, killed, on_both};
use portcullis_types::{Id, Month, Timestamp, tags};

const TENANT: &str = "main";

fn account(seed: u64, username: &str) -> accounts::Account {
    let id = Id::new(START, &*SeededEntropy::new(seed));
    accounts::Account {
        password_hash: "x".into(),
        roles: "admin auditor".into(),
        ..accounts::Account::new(id, username, &format!("{username}@example.org"), START)
    }
}

async fn add(db: &Db, account: &accounts::Account) -> Result<(), DbError> {
    db.write(|tx| async move { accounts::insert(&tx, TENANT, account).await }).await
}

fn event(seed: u64) -> Event {
    let change = AccountChange { change: "registered", user: Actor::System, provider: None };
    let id = Id::new(START, &*SeededEntropy::new(seed));
    Event::new(id, START, None, Actor::System, Outcome::Success, Kind::Account(change))
}

on_both!(accounts_are_found_and_unique, |db: TestDb| {
    let alice = account(1, "alice");
    add(&db.db, &alice).await.unwrap();
    let found = accounts::by_username(&db.db, TENANT, "alice").await.unwrap().unwrap();
    assert_eq!((found.id, found.has_role("admin"), found.has_role("aud")), (alice.id, true, false));
    assert!(accounts::by_username(&db.db, "other", "alice").await.unwrap().is_none());

    let same_name = accounts::Account { email: "b@x".into(), ..account(2, "alice") };
    let constraint = add(&db.db, &same_name).await.unwrap_err().constraint().unwrap();
    assert!(constraint.is("account_username", "account.username"), "{constraint:?}");
    let same_mail = accounts::Account { email: alice.email, ..account(3, "bob") };
    let constraint = add(&db.db, &same_mail).await.unwrap_err().constraint().unwrap();
    assert!(constraint.is("account_email", "account.email"), "{constraint:?}");
});

on_both!(quotas_add_up_and_end, |db: TestDb| {
    let more = |key: &str, used, days: u64| quotas::QuotaUse {
        key: key.into(),
        began: START.micros(),
        expires_at: START.plus(Duration::from_secs(days * 86_400)).micros(),
        used,
    };
    for (used, total) in [(3, 3), (4, 7)] {
        let more = &more("a", used, 1);
        let sum = db.db.write(|tx| async move { quotas::add(&tx, TENANT, more).await }).await;
        assert_eq!(sum.unwrap().unwrap().used, total);
    }
    let other = &more("b", 9, 30);
    db.db.write(|tx| async move { quotas::add(&tx, TENANT, other).await }).await.unwrap();
    let live = |now, limit| quotas::live(&db.db, TENANT, now, limit);
    let keys: Vec<String> = live(START, 10).await.unwrap().into_iter().map(|q| q.key).collect();
    assert_eq!(keys, ["b", "a"]);
    assert_eq!(live(START, 1).await.unwrap().len(), 1);
    assert!(quotas::live(&db.db, "other", START, 10).await.unwrap().is_empty());
    let later = START.plus(Duration::from_secs(2 * 86_400));
    assert_eq!(live(later, 10).await.unwrap().len(), 1);
    retention::run(&db.db, later).await.unwrap();
    assert_eq!(live(START, 10).await.unwrap().len(), 1);
});

on_both!(pages_follow_the_key, |db: TestDb| {
    for n in 0..25 {
        add(&db.db, &account(n, &format!("user{n}"))).await.unwrap();
    }
    let (mut seen, mut after) = (0, String::new());
    loop {
        let page = accounts::page(&db.db, TENANT, &after, 10).await.unwrap();
        seen += page.len();
        match page.last() {
            Some(last) => after = last.id.to_string(),
            None => break,
        }
    }
    assert_eq!(seen, 25);
});

on_both!(a_failed_write_leaves_nothing, |db: TestDb| {
    let alice = &account(1, "alice");
    let failed: Result<(), DbError> = db
        .db
        .write(|tx| async move {
            accounts::insert(&tx, TENANT, alice).await?;
            tx.emit(event(1)).await?;
            Err(DbError::Stored("test"))
        })
        .await;
    assert!(failed.is_err());
    assert!(!accounts::any(&db.db, TENANT).await.unwrap());
    assert!(db.recorded.codes().is_empty());
    assert!(outbox::stranded_events(&db.db).await.unwrap().is_empty());
});

on_both!(
    /// A caller that hangs up at any moment leaves no transaction open in which others would read what was.
    who_goes_away_leaves_no_transaction_open,
    |db: TestDb| {
        let all = || sql("SELECT COUNT(*) AS n FROM account");
        for polls in 1..40_u32 {
            let seed = u64::from(polls);
            let (gone, here) = (&account(seed, "gone"), account(100 + seed, &format!("a{polls}")));
            let write = db.db.write(|tx| async move {
                accounts::insert(&tx, TENANT, gone).await?;
                Err::<(), _>(DbError::Ended)
            });
            let ended = killed(polls, write).await;
            assert!(matches!(ended, None | Some(Err(DbError::Ended))), "{ended:?}");
            for _ in 0..6 {
                assert_eq!(count(&db.db, all()).await, i64::from(polls) - 1);
            }
            add(&db.db, &here).await.unwrap();
            for _ in 0..6 {
                assert_eq!(count(&db.db, all()).await, i64::from(polls), "after {polls}");
            }
        }
    }
);

on_both!(events_commit_with_the_change_and_leave_the_outbox_when_durable, |db: TestDb| {
    let write = || db.db.write(|tx| async move { tx.emit(event(1)).await });
    write().await.unwrap();
    assert_eq!(db.recorded.codes(), ["user_registered"]);
    assert!(outbox::stranded_events(&db.db).await.unwrap().is_empty(), "in flight, not stranded");
    outbox::clear_events(&db.db, &[]).await.unwrap();
    assert_eq!(count(&db.db, sql("SELECT COUNT(*) AS n FROM event_outbox")).await, 0);
});

on_both!(without_a_durable_event_there_is_no_success_but_nothing_is_lost, |db: TestDb| {
    db.recorded.refuse(true);
    let answer = db.db.write(|tx| async move { tx.emit(event(1)).await }).await;
    assert!(matches!(answer, Err(DbError::NotRecorded)));
    let stranded = outbox::stranded_events(&db.db).await.unwrap();
    assert_eq!(stranded.len(), 1);
    let again = Db::open(&db.url, db.recorded.clone()).await.unwrap();
    assert_eq!(outbox::stranded_events(&again).await.unwrap()[0].event_id, stranded[0].event_id);
});

#[derive(Clone, sqlx::FromRow)]
struct Count {
    n: i64,
}

on_both!(
    /// Whoever can write the database and has no key puts nothing into the log.
    an_event_that_waits_is_known_by_its_key,
    |db: TestDb| {
        db.recorded.refuse(true);
        let base = &db.db;
        let put = |seed| base.write(move |tx| async move { tx.emit(event(seed)).await });
        assert!(put(1).await.is_err());
        base.vouch_for_events(b"the key");
        for seed in 2..6 {
            assert!(put(seed).await.is_err());
        }
        let id = |seed: u64| event(seed).id.to_string();
        // What was changed since, or put under another id or time, is none of ours.
        for (seed, change) in [
            (2, "UPDATE event_outbox SET leaf = mac WHERE event_id = $1"),
            (3, "UPDATE event_outbox SET created_at = created_at + 1 WHERE event_id = $1"),
            (4, "UPDATE event_outbox SET mac = leaf WHERE event_id = $1"),
        ] {
            let id = &id(seed);
            let changed = base.write(|tx| async move { sql(change).bind(id).execute(&tx).await });
            assert_eq!(changed.await.unwrap(), 1);
        }
        let rows = outbox::stranded_events(base).await.unwrap();
        let ours = rows.iter().filter(|row| base.vouches_for(row));
        let ours: Vec<&str> = ours.map(|row| &row.event_id[..]).collect();
        assert_eq!((rows.len(), ours), (5, vec![&id(5)[..]]));
        // Nor is anything where there is no key.
        let other = Db::open(&db.url, db.recorded.clone()).await.unwrap();
        let rows = outbox::stranded_events(&other).await.unwrap();
        assert!(rows.len() == 5 && !rows.iter().any(|row| other.vouches_for(row)));
    }
);

on_both!(
    /// Whoever stops waiting for a change does not keep its event from the log.
    what_nobody_waits_for_is_left_to_the_outbox,
    |db: TestDb| {
        for polls in 1..40 {
            let seed = u64::from(polls);
            let write = db.db.write(|tx| async move { tx.emit(event(seed)).await });
            let ended = killed(polls, write).await;
            let id = event(seed).id.to_string();
            let waiting = outbox::stranded_events(&db.db).await.unwrap();
            let waits = waiting.iter().any(|row| row.event_id == id);
            let recorded = db.recorded.events().iter().any(|event| event.id.to_string() == id);
            // Recorded, or left to others, or it never was; a commit that is on its way may still become the second.
            assert!(ended.is_none() || (recorded && !waits), "{polls}");
            if let Some(ended) = ended {
                ended.unwrap();
                return;
            }
            let there = sql("SELECT COUNT(*) AS n FROM event_outbox WHERE event_id = $1").bind(&id);
            let (there, again) = (count(&db.db, there).await == 1, outbox::stranded_events(&db.db).await.unwrap());
            let left = again.iter().any(|row| row.event_id == id);
            assert!(!there || recorded || left, "{polls}");
        }
    }
);

/// A log that has an event and never says so.
#[derive(Default)]
struct Silent(tokio::sync::Notify);

impl CommitSink for Silent {
    fn committed<'a>(&'a self, _: &'a [Event]) -> SinkFuture<'a> {
        self.0.notify_one();
        Box::pin(std::future::pending())
    }
}

on_both!(
    /// Whoever hands an event over and goes away leaves it to the outbox, which looks whether the log has it.
    what_was_handed_over_and_never_heard_of_is_left_to_the_outbox,
    |db: TestDb| {
        let log = Arc::new(Silent::default());
        let here = Db::open(&db.url, log.clone()).await.unwrap();
        let id = event(1).id.to_string();
        let mut write = Box::pin(here.write(|tx| async move { tx.emit(event(1)).await }));
        tokio::select! {
            _ = &mut write => unreachable!(),
            () = log.0.notified() => {}
        }
        assert!(outbox::stranded_events(&here).await.unwrap().is_empty(), "somebody waits");
        drop(write);
        assert_eq!(outbox::stranded_events(&here).await.unwrap().len(), 1);
        outbox::clear_events(&here, std::slice::from_ref(&id)).await.unwrap();
        assert!(outbox::stranded_events(&here).await.unwrap().is_empty());
    }
);

async fn count(source: impl Source, query: Query) -> i64 {
    query.optional::<Count>(source).await.unwrap().unwrap().n
}

fn grant(seed: u64, account: Id<tags::User>) -> grants::Grant {
    grants::Grant {
        id: Id::new(START, &*SeededEntropy::new(seed)),
        client_id: "web".into(),
        acr: String::new(),
        methods: "pwd".into(),
        resources: None,
        account_id: account,
        session_id: "ses".into(),
        scope: "openid".into(),
        claims: None,
        auth_time: START,
        created_at: START,
        expires_at: START.plus(Duration::from_secs(60)),
        redeemed_at: None,
        status_epoch: 0,
        revoked_at: None,
    }
}

fn client() -> clients::Client {
    clients::Client {
        id: "web".into(),
        name: "Web".into(),
        auth_method: "none".into(),
        first_party: true,
        redirect_uris: "[]".into(),
        post_logout_redirect_uris: "[]".into(),
        grant_types: "[]".into(),
        scopes: String::new(),
        audiences: "[]".into(),
        jwks: None,
        token_alg: "EdDSA".into(),
        settings: "{}".into(),
        status_epoch: 0,
        created_at: 0,
        updated_at: 0,
        disabled_at: None,
    }
}

on_both!(
    /// Rule R4: of many redemptions at once exactly one succeeds, for every single-use artefact.
    r4_single_use_artefacts_are_consumed_once,
    |db: TestDb| {
        let alice = account(1, "alice");
        add(&db.db, &alice).await.unwrap();
        let later = START.plus(Duration::from_secs(60));
        let (alice, grant, client) = (&alice, &grant(9, alice.id), &client());
        db.db
            .write(|tx| async move {
                clients::insert(&tx, TENANT, client).await?;
                grants::insert(&tx, TENANT, grant).await?;
                let code = grants::Code {
                    grant_id: grant.id,
                    client_id: "web".into(),
                    redirect_uri: "https://x".into(),
                    code_challenge: "c".into(),
                    nonce: None,
                    dpop_jkt: None,
                    expires_at: later,
                    consumed_at: None,
                };
                grants::insert_code(&tx, TENANT, b"code", &code).await?;
                let refresh = grants::Refresh {
                    grant_id: grant.id,
                    dpop_jkt: None,
                    created_at: START,
                    expires_at: later,
                    consumed_at: None,
                };
                grants::insert_refresh(&tx, TENANT, b"refresh", &refresh).await?;
                let pushed = pushed::PushedRequest {
                    client_id: "web".into(),
                    params: "scope=openid".into(),
                    created_at: START,
                    expires_at: later,
                    begun_at: None,
                    consumed_at: None,
                };
                pushed::insert(&tx, TENANT, b"pushed", &pushed).await?;
                let asked = device::DeviceRequest {
                    device_hash: b"device".to_vec(),
                    user_hash: b"user".to_vec(),
                    client_id: "web".into(),
                    scope: "openid".into(),
                    created_at: START,
                    expires_at: later,
                    interval_secs: 5,
                    decided_at: None,
                    grant_id: None,
                    consumed_at: None,
                };
                device::insert(&tx, TENANT, &asked).await?;
                recovery::insert_reset(&tx, TENANT, b"reset", alice.id, START, later).await?;
                let change =
                    recovery::EmailChange { account_id: alice.id, email: "n@example.org".into() };
                recovery::insert_email_change(&tx, TENANT, b"mail", &change, START, later).await?;
                let pending = recovery::PendingRegistration {
                    username: "bob".into(),
                    email: "bob@example.org".into(),
                    password_hash: "x".into(),
                };
                recovery::insert_registration(&tx, TENANT, b"reg", &pending, START, later).await?;
                let waiting = factors::PendingLogin {
                    account_id: alice.id,
                    methods: "pwd".into(),
                    password_epoch: 0,
                };
                factors::insert_pending_login(&tx, TENANT, b"wait", &waiting, START, later).await?;
                factors::put_totp(&tx, TENANT, alice.id, b"sealed", START).await?;
                let codes = [b"recovery".to_vec()];
                factors::replace_recovery_codes(&tx, TENANT, alice.id, &codes, START).await?;
                let mailed = mail_login::MailLogin {
                    link_hash: b"link".to_vec(),
                    browser_hash: b"browser".to_vec(),
                    code_hash: b"digits".to_vec(),
                    account_id: Some(alice.id.to_string()),
                };
                mail_login::insert(&tx, TENANT, &mailed, START, later).await?;
                let invitation = invitations::Invitation {
                    id: Id::new(START, &*SeededEntropy::new(5)),
                    email: "guest@example.org".into(),
                    roles: String::new(),
                    group_ids: String::new(),
                    invited_by: "operator".into(),
                    created_at: START,
                    expires_at: later,
                    consumed_at: None,
                };
                invitations::insert(&tx, TENANT, b"invited", &invitation).await
            })
            .await
            .unwrap();

        let (grant_id, alice_id) = (grant.id, alice.id);
        for kind in
            [
                "code", "refresh", "begin", "pushed", "decide", "device", "reset", "mail", "reg",
                "assertion", "login", "totp", "recovery", "link", "challenge", "invited",
            ]
        {
            let tries: Vec<_> = (0..12)
                .map(|_| {
                    let db = db.db.clone();
                    tokio::spawn(async move {
                        db.write(|tx| async move {
                            match kind {
                                "code" => grants::consume_code(&tx, TENANT, b"code", START).await,
                                "refresh" => {
                                    grants::consume_refresh(&tx, TENANT, b"refresh", START).await
                                }
                                "begin" => {
                                    pushed::begin(&tx, TENANT, b"pushed", START, later).await
                                }
                                "decide" => {
                                    let grant = Some(grant_id);
                                    device::decide(&tx, TENANT, b"user", grant, START).await
                                }
                                "device" => device::consume(&tx, TENANT, b"device", START).await,
                                "pushed" => pushed::consume(&tx, TENANT, b"pushed", START).await,
                                "reset" => recovery::consume_reset(&tx, TENANT, b"reset", START).await,
                                "mail" => {
                                    recovery::consume_email_change(&tx, TENANT, b"mail", START).await
                                }
                                "reg" => {
                                    recovery::consume_registration(&tx, TENANT, b"reg", START).await
                                }
                                "login" => {
                                    factors::consume_pending_login(&tx, TENANT, b"wait", START).await
                                }
                                "totp" => {
                                    factors::use_totp_step(&tx, TENANT, alice_id, 7, START).await
                                }
                                "recovery" => {
                                    let code = b"recovery";
                                    factors::use_recovery_code(&tx, TENANT, alice_id, code, START)
                                        .await
                                }
                                "invited" => {
                                    invitations::consume(&tx, TENANT, b"invited", START).await
                                }
                                "link" => mail_login::consume(&tx, TENANT, b"link", START).await,
                                "challenge" => {
                                    passkeys::answer(&tx, TENANT, b"challenge", later).await
                                }
                                _ => clients::use_assertion(&tx, TENANT, "web", "jti", START).await,
                            }
                        })
                        .await
                        .unwrap()
                    })
                })
                .collect();
            let mut won = 0;
            for attempt in tries {
                won += usize::from(attempt.await.unwrap());
            }
            assert_eq!(won, 1, "{kind}");
        }
    }
);

on_both!(expired_artefacts_are_not_consumed, |db: TestDb| {
    let alice = account(1, "alice");
    add(&db.db, &alice).await.unwrap();
    let consumed = db
        .db
        .write(|tx| async move {
            recovery::insert_reset(&tx, TENANT, b"r", alice.id, START, START).await?;
            recovery::consume_reset(&tx, TENANT, b"r", START).await
        })
        .await
        .unwrap();
    assert!(!consumed);
});

on_both!(
    /// Whoever asks for codes and never redeems them leaves nothing that has to be ended one by one.
    a_grant_counts_from_its_first_redemption,
    |db: TestDb| {
        let alice = account(1, "alice");
        add(&db.db, &alice).await.unwrap();
        let (alice, client) = (alice.id, &client());
        let later = START.plus(Duration::from_secs(600));
        db.db
            .write(|tx| async move {
                clients::insert(&tx, TENANT, client).await?;
                for seed in 10..16 {
                    let granted = grant(seed, alice);
                    grants::insert(&tx, TENANT, &granted).await?;
                    if seed < 14 {
                        let id = granted.id.to_string();
                        assert!(grants::redeem(&tx, TENANT, &id, START, later).await?);
                        assert!(!grants::redeem(&tx, TENANT, &id, later, later).await?);
                    }
                }
                Ok::<_, DbError>(())
            })
            .await
            .unwrap();
        assert_eq!(grants::live_of_account(&db.db, TENANT, alice).await.unwrap().len(), 4);
        let beyond = grants::beyond(&db.db, TENANT, alice, "web", 3).await.unwrap();
        let oldest = (10..14).map(|seed| grant(seed, alice).id.to_string()).min();
        assert_eq!(beyond.iter().map(|grant| grant.id.to_string()).min(), oldest);
        assert_eq!(beyond.len(), 1);
        // What waits for one client ends alone.
        for client in ["else", "web"] {
            let of = grants::Of::Application(alice, client);
            let ended = db.db.write(|tx| async move {
                grants::revoke_unredeemed(&tx, TENANT, of, "ended", START).await
            });
            ended.await.unwrap();
            let waiting = grant(14, alice).id.to_string();
            let waiting = grants::by_id(&db.db, TENANT, &waiting).await.unwrap().unwrap();
            assert_eq!(waiting.revoked_at.is_some(), client == "web");
        }
        let added = db
            .db
            .write(|tx| async move { grants::insert(&tx, TENANT, &grant(16, alice)).await });
        added.await.unwrap();
        let of = grants::Of::Account(alice);
        db.db
            .write(|tx| async move {
                grants::revoke_unredeemed(&tx, TENANT, of, "logout", START).await
            })
            .await
            .unwrap();
        let waiting = grant(16, alice).id.to_string();
        let waiting = grants::by_id(&db.db, TENANT, &waiting).await.unwrap().unwrap();
        assert!(waiting.revoked_at.is_some() && waiting.redeemed_at.is_none());
        assert_eq!(grants::live_of_account(&db.db, TENANT, alice).await.unwrap().len(), 4);

        // What is in use is what the person is shown, with the consent beside it.
        assert_eq!(applications::in_use(&db.db, TENANT, alice, START).await.unwrap().len(), 4);
        assert!(applications::in_use(&db.db, TENANT, alice, later).await.unwrap().is_empty());
        let forgotten = db
            .db
            .write(|tx| async move {
                consents::consent(&tx, TENANT, alice, "web", "openid", START).await?;
                let shown = applications::consented(&tx, TENANT, alice).await?;
                assert_eq!((shown[0].name.as_str(), shown[0].at), ("Web", START));
                let first = applications::forget_consent(&tx, TENANT, alice, "web").await?;
                let second = applications::forget_consent(&tx, TENANT, alice, "web").await?;
                Ok::<_, DbError>((first, second))
            })
            .await
            .unwrap();
        assert_eq!(forgotten, (true, false));
    }
);

on_both!(a_case_takes_what_is_found_until_it_is_closed, |db: TestDb| {
    let person = &account(1, "alice");
    add(&db.db, person).await.unwrap();
    let id = |seed| Id::<tags::Case>::new(START, &*SeededEntropy::new(seed));
    let alert_id = |seed| Id::<tags::Alert>::new(START, &*SeededEntropy::new(seed));
    let found = |case, alert, severity| {
        let found =
            cases::Evidence { rule: "unusual_login", severity, alert: Some(alert_id(alert)) };
        db.db.write(move |tx| async move {
            cases::open_or_add(&tx, TENANT, person.id, id(case), found, START).await
        })
    };
    assert!(found(10, 20, 3).await.unwrap());
    assert!(!found(11, 21, 5).await.unwrap());
    assert!(!found(11, 21, 2).await.unwrap());
    let open = cases::of_account(&db.db, TENANT, person.id).await.unwrap().unwrap();
    assert_eq!((open.id, open.severity, open.version), (id(10), 5, 3));
    let alerts: Vec<String> = serde_json::from_str(&open.alerts).unwrap();
    assert_eq!(alerts, [20, 21].map(|seed| alert_id(seed).to_string()));
    assert_eq!(open.username, "alice");

    let closed = &cases::Case {
        state: "closed".into(),
        resolution: "confirmed".into(),
        closed_at: Some(START.micros()),
        ..open
    };
    let close = |version| {
        db.db.write(move |tx| async move { cases::update(&tx, TENANT, closed, version).await })
    };
    assert!(!close(2).await.unwrap(), "somebody was first");
    assert!(close(3).await.unwrap());
    assert!(cases::of_account(&db.db, TENANT, person.id).await.unwrap().is_none());
    assert!(found(12, 22, 3).await.unwrap());
    let page = |state| cases::page(&db.db, TENANT, state, "", 10);
    assert_eq!(page("closed").await.unwrap().len(), 1);
    assert_eq!(page("open").await.unwrap()[0].id, id(12));
    // A year after it was closed it goes; one that is open stays.
    let later = START.plus(Duration::from_secs(366 * 24 * 3600));
    retention::run(&db.db, later).await.unwrap();
    assert_eq!(page("closed").await.unwrap().len(), 0);
    assert_eq!(page("open").await.unwrap().len(), 1);
});

on_both!(blocks_are_listed_and_lifted_once, |db: TestDb| {
    let block = &defence::Block {
        id: Id::new(START, &*SeededEntropy::new(4)),
        addr: "192.0.2.1".into(),
        scope: "all".into(),
        reason: "spray".into(),
        created_by: "password_spray".into(),
        created_at: START,
        until_at: START.plus(Duration::from_secs(60)),
        lifted_at: None,
        lifted_by: None,
    };
    db.db.write(|tx| async move { defence::insert_block(&tx, TENANT, block).await }).await.unwrap();
    assert_eq!(defence::live_blocks(&db.db, TENANT, START).await.unwrap().len(), 1);
    let lift = || {
        db.db.write(
            |tx| async move { defence::lift_block(&tx, TENANT, block.id, "me", START).await },
        )
    };
    assert!(lift().await.unwrap());
    assert!(!lift().await.unwrap());
    assert!(defence::live_blocks(&db.db, TENANT, START).await.unwrap().is_empty());
});

on_both!(
    /// Rule R28: every table has a retention rule or a reason to have none.
    r28_every_table_has_a_retention_rule,
    |db: TestDb| {
        #[derive(sqlx::FromRow)]
        struct Table {
            name: String,
        }
        let tables: Vec<Table> = portcullis_store::per(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
            "SELECT table_name::text AS name FROM information_schema.tables \
             WHERE table_schema = current_schema()",
        )
        .all(&db.db)
        .await
        .unwrap();
        assert!(tables.len() > 15);
        let known = |table: &str| tables.iter().any(|one| one.name == table);
        let gone: Vec<_> = data_map::PERSONAL.iter().filter(|one| !known(one.table)).collect();
        assert!(gone.is_empty(), "{gone:?}");
        let kept: Vec<_> = retention::KEPT.iter().map(|(table, _)| *table).collect();
        for Table { name } in tables {
            let ruled = retention::covered().contains(&name.as_str());
            assert!(ruled != kept.contains(&name.as_str()), "{name} needs one rule or one reason");
            let mapped = data_map::PERSONAL.iter().filter(|one| one.table == name).count();
            let not = data_map::IMPERSONAL.iter().filter(|table| **table == name).count();
            assert_eq!(mapped + not, 1, "{name} needs a word about what it has of people");
        }
        let alice = account(1, "alice");
        add(&db.db, &alice).await.unwrap();
        db.db
            .write(|tx| async move {
                recovery::insert_reset(&tx, TENANT, b"r", alice.id, START, START).await
            })
            .await
            .unwrap();
        let gone = retention::run(&db.db, START.plus(Duration::from_secs(1))).await.unwrap();
        assert_eq!(gone, 1);
    }
);

on_both!(every_table_names_the_tenant, |db: TestDb| {
    let missing = portcullis_store::per(
        "SELECT COUNT(*) AS n FROM sqlite_schema s WHERE type = 'table' \
         AND name NOT IN ('schema_migration') AND name NOT LIKE 'sqlite_%' AND NOT EXISTS \
         (SELECT 1 FROM pragma_table_info(s.name) WHERE name = 'tenant')",
        "SELECT COUNT(*) AS n FROM information_schema.tables t WHERE table_schema = \
         current_schema() AND table_name <> 'schema_migration' AND NOT EXISTS \
         (SELECT 1 FROM information_schema.columns c WHERE c.table_schema = t.table_schema \
         AND c.table_name = t.table_name AND c.column_name = 'tenant')",
    );
    assert_eq!(count(&db.db, missing).await, 0);
});

on_both!(opening_again_keeps_the_data, |db: TestDb| {
    add(&db.db, &account(1, "alice")).await.unwrap();
    let again = Db::open(&db.url, db.recorded.clone()).await.unwrap();
    assert!(accounts::any(&again, TENANT).await.unwrap());
});

/// Several nodes may start at once on an empty database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simultaneous_starts_migrate_once() {
    for kind in [portcullis_testkit::Kind::Sqlite, portcullis_testkit::Kind::Postgres] {
        let (url, _dir) = portcullis_testkit::fresh_url(kind).await;
        let starts: Vec<_> = (0..6)
            .map(|_| {
                let url = url.clone();
                let sink = std::sync::Arc::new(portcullis_testkit::Recorded::default());
                tokio::spawn(async move { Db::open(&url, sink).await.map(drop) })
            })
            .collect();
        for start in starts {
            start.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn urls_of_unknown_databases_are_refused() {
    for url in ["", "mysql://x", "oracle", "sqlite", "postgres:/x"] {
        let refused = Db::open(url, std::sync::Arc::new(portcullis_testkit::Recorded::default()));
        assert!(matches!(refused.await, Err(DbError::Url)), "{url}");
    }
    assert_eq!(token_hash("a").len(), 32);
}

on_both!(a_device_that_asks_too_often_must_wait_longer, |db: TestDb| {
    let request = &device::DeviceRequest {
        device_hash: b"d".to_vec(),
        user_hash: b"u".to_vec(),
        client_id: "web".into(),
        scope: String::new(),
        created_at: START,
        expires_at: START.plus(Duration::from_secs(600)),
        interval_secs: 5,
        decided_at: None,
        grant_id: None,
        consumed_at: None,
    };
    let client = &client();
    db.db
        .write(|tx| async move {
            clients::insert(&tx, TENANT, client).await?;
            device::insert(&tx, TENANT, request).await
        })
        .await
        .unwrap();
    let poll = async |secs: u64| {
        let row = device::by_device(&db.db, TENANT, b"d").await.unwrap().unwrap();
        let (row, now) = (&row, START.plus(Duration::from_secs(secs)));
        db.db.write(|tx| async move { device::poll(&tx, TENANT, row, 5, now).await }).await.unwrap()
    };
    // The first question may come at once, the next after five seconds.
    assert!(poll(0).await && poll(5).await);
    assert!(!poll(9).await);
    // Ten seconds from the one that came too soon.
    assert!(!poll(18).await && poll(33).await);
});

/// Enough rows that a planner thinks before it reads a table from end to end.
const MANY: i64 = 20_000;

on_both!(hot_queries_stay_with_their_indices, |db: TestDb| {
    let fill = |tx: portcullis_store::Tx| async move {
        portcullis_store::per(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $2) \
             INSERT INTO account (tenant, id, username, email, display_name, password_hash, roles, \
             created_at, updated_at) SELECT $1, 'usr_' || i, 'user' || i, i || '@example.org', '', \
             '', '', 0, 0 FROM n",
            "INSERT INTO account (tenant, id, username, email, display_name, password_hash, roles, \
             created_at, updated_at) SELECT $1, 'usr_' || i, 'user' || i, i || '@example.org', '', \
             '', '', 0, 0 FROM generate_series(1, $2) AS n(i)",
        )
        .bind(TENANT)
        .bind(MANY)
        .execute(&tx)
        .await?;
        sql("INSERT INTO account_group (tenant, id, name, description, roles, created_at, \
             updated_at) VALUES ($1, $2, 'g', '', '', 0, 0)")
        .bind(TENANT)
        .bind(Id::<tags::Group>::from_bits(1))
        .execute(&tx)
        .await?;
        sql(
            "INSERT INTO account_group SELECT tenant, 'grp_' || id, id, '', '', 0, 0 FROM account \
             WHERE tenant = $1",
        )
        .bind(TENANT)
        .execute(&tx)
        .await?;
        sql("INSERT INTO group_member SELECT tenant, $2, id, 0 FROM account WHERE tenant = $1")
            .bind(TENANT)
            .bind(Id::<tags::Group>::from_bits(1))
            .execute(&tx)
            .await?;
        sql(
            "INSERT INTO upstream_identity SELECT tenant, 'acme', id, id, '', 0, NULL FROM account \
             WHERE tenant = $1",
        )
        .bind(TENANT)
        .execute(&tx)
        .await?;
        // Not of the whole database, which others use.
        for table in [
            "ANALYZE account",
            "ANALYZE account_group",
            "ANALYZE group_member",
            "ANALYZE upstream_identity",
        ] {
            sql(table).execute(&tx).await?;
        }
        Ok::<_, DbError>(())
    };
    db.db.write(fill).await.unwrap();
    for (name, query) in portcullis_store::plans::hot_queries() {
        let plan = query.plan(&db.db).await.unwrap();
        let walks = |step: &String| {
            let step = step.trim_start();
            // SQLite: SCAN; PostgreSQL: Seq Scan. A sort means that it reads more than a page.
            step.starts_with("SCAN ")
                || step.contains("Seq Scan on account ")
                || step.contains("Seq Scan on group_member")
                || (step.contains("Sort") && !name.starts_with("groups of"))
        };
        assert!(!plan.iter().any(walks), "{name}: {plan:#?}");
        let index = |step: &String| step.contains("INDEX") || step.contains("Index");
        assert!(plan.iter().any(index), "{name}: {plan:#?}");
    }
});

on_both!(accounts_are_found_by_how_they_begin, |db: TestDb| {
    for (n, name) in ["ann", "anna", "annika", "bert", "an_na"].into_iter().enumerate() {
        add(&db.db, &account(n as u64, name)).await.unwrap();
    }
    let names =
        |rows: Vec<accounts::Account>| rows.into_iter().map(|row| row.username).collect::<Vec<_>>();
    let page = accounts::by_username_prefix(&db.db, TENANT, "ann", "", 2).await.unwrap();
    assert_eq!(names(page), ["ann", "anna"]);
    let page = accounts::by_username_prefix(&db.db, TENANT, "ann", "anna", 2).await.unwrap();
    assert_eq!(names(page), ["annika"]);
    // What means something in a pattern means itself here.
    let page = accounts::by_username_prefix(&db.db, TENANT, "an_", "", 9).await.unwrap();
    assert_eq!(names(page), ["an_na"]);
    assert!(accounts::by_email_prefix(&db.db, TENANT, "%", "", 9).await.unwrap().is_empty());
    let page = accounts::by_email_prefix(&db.db, TENANT, "annika@", "", 9).await.unwrap();
    assert_eq!(names(page), ["annika"]);
});

fn log_keys(db: &TestDb) -> Arc<LogKeys> {
    let keys = fresh_log_keys();
    db.db.seal_events(keys.clone());
    keys
}

fn fresh_log_keys() -> Arc<LogKeys> {
    let sealer = Arc::new(Sealer::new(&[7; 32]).unwrap());
    let (clock, entropy) = (FixedClock::new(), SeededEntropy::new(99));
    Arc::new(LogKeys::new(TENANT, sealer, clock, entropy))
}

fn about(account: &accounts::Account, seed: u64) -> Event {
    let user = Actor::User { id: account.id.to_string(), username: account.username.clone() };
    let kind = Kind::Account(AccountChange {
        change: "profile_changed",
        user: user.clone(),
        provider: None,
    });
    let id = Id::new(START, &*SeededEntropy::new(seed));
    Event::new(id, START, Some(Origin::default()), user, Outcome::Success, kind)
}

async fn entries(db: &Db) -> Vec<Vec<u8>> {
    let rows = sql("SELECT leaf FROM event_outbox ORDER BY event_id").all::<Leaf>(db).await;
    rows.unwrap().into_iter().map(|row| row.leaf).collect()
}

#[derive(sqlx::FromRow)]
struct Leaf {
    leaf: Vec<u8>,
}

on_both!(
    /// What an entry says of somebody is readable as long as their account, and no longer.
    entries_are_sealed_under_a_key_that_goes_with_the_account,
    |db: TestDb| {
        let keys = log_keys(&db);
        let (alice, bob) = (&account(1, "alice"), &account(2, "bob"));
        add(&db.db, alice).await.unwrap();
        add(&db.db, bob).await.unwrap();
        for (account, seed) in [(alice, 31), (bob, 32)] {
            let event = &about(account, seed);
            db.db.write(|tx| async move { tx.emit(event.clone()).await }).await.unwrap();
        }
        let mut written = entries(&db.db).await;
        assert_eq!(written.len(), 2);
        written.sort_by_key(|entry| sealed_of(entry).unwrap().subject != alice.id.to_string());
        for (entry, account) in written.iter().zip([alice, bob]) {
            let text = String::from_utf8(entry.clone()).unwrap();
            assert!(!text.contains(&account.username) && !text.contains("0.0.0.0"), "{text}");
            let sealed = sealed_of(entry).unwrap();
            assert_eq!(sealed.subject, account.id.to_string());
            let opened = keys.open(&db.db, &sealed).await.unwrap();
            assert!(String::from_utf8(opened).unwrap().contains(&account.username));
            // The key of one opens nothing of another.
            let other = if account.id == alice.id { bob } else { alice };
            let stolen = Sealed { subject: other.id.to_string(), ..sealed };
            assert!(keys.open(&db.db, &stolen).await.is_none());
        }
        let id = alice.id;
        let gone = &about(alice, 33);
        db.db
            .write(|tx| async move {
                accounts::delete(&tx, TENANT, id).await?;
                tx.emit(gone.clone()).await
            })
            .await
            .unwrap();
        keys.forget(&id.to_string());
        assert!(keys.open(&db.db, &sealed_of(&written[0]).unwrap()).await.is_none());
        assert!(keys.open(&db.db, &sealed_of(&written[1]).unwrap()).await.is_some());
        // What is written of whoever is gone, nobody can read, and no key comes back.
        let event = &about(alice, 34);
        db.db.write(|tx| async move { tx.emit(event.clone()).await }).await.unwrap();
        for entry in entries(&db.db).await {
            assert!(!String::from_utf8(entry.clone()).unwrap().contains("alice"));
            if let Some(sealed) = sealed_of(&entry)
                && sealed.subject != bob.id.to_string()
            {
                assert!(keys.open(&db.db, &sealed).await.is_none());
            }
        }
        let left = count(&db.db, sql("SELECT COUNT(*) AS n FROM subject_key")).await;
        assert_eq!(left, 1);
    }
);

on_both!(
    /// Everybody who meets somebody new at once seals with the one key that stays.
    a_person_has_one_key_however_many_begin,
    |db: TestDb| {
        let keys = log_keys(&db);
        let alice = account(1, "alice");
        add(&db.db, &alice).await.unwrap();
        let writes = (40..52).map(|seed| {
            let (db, event) = (db.db.clone(), about(&alice, seed));
            tokio::spawn(async move {
                let event = &event;
                db.write(|tx| async move { tx.emit(event.clone()).await }).await.unwrap();
            })
        });
        for write in writes.collect::<Vec<_>>() {
            write.await.unwrap();
        }
        for entry in entries(&db.db).await {
            assert!(keys.open(&db.db, &sealed_of(&entry).unwrap()).await.is_some());
        }
    }
);

on_both!(
    /// A month whose key is destroyed is unreadable for good, whoever it is about.
    what_was_sealed_in_a_month_goes_with_the_key_of_the_month,
    |db: TestDb| {
        let keys = log_keys(&db);
        let alice = account(1, "alice");
        add(&db.db, &alice).await.unwrap();
        let at = |time: &str, seed| {
            let time = Timestamp::parse_rfc3339(time).unwrap();
            Event { time, ..about(&alice, seed) }
        };
        let write = async |event: Event| {
            let event = &event;
            db.db.write(|tx| async move { tx.emit(event.clone()).await }).await.unwrap();
        };
        for (time, seed) in [("2026-01-31T23:59:59Z", 51), ("2026-02-01T00:00:00Z", 52)] {
            write(at(time, seed)).await;
        }
        let mut written = entries(&db.db).await;
        written.sort_by_key(|entry| sealed_of(entry).unwrap().month);
        let sealed: Vec<_> = written.iter().map(|entry| sealed_of(entry).unwrap()).collect();
        for sealed in &sealed {
            assert!(keys.open(&db.db, sealed).await.is_some());
        }
        // The key of one month opens nothing of another.
        let moved = Sealed { month: sealed[1].month, ..sealed[0].clone() };
        assert!(keys.open(&db.db, &moved).await.is_none());

        let receipt = |month: &str| {
            let kind = Kind::Lifecycle(Lifecycle::MonthErased { month: month.to_owned() });
            Event { kind, actor: Actor::System, ..about(&alice, 60) }
        };
        let first = Month::parse("2026-02").unwrap();
        let destroyed = keys.destroy_months(&db.db, first, receipt).await.unwrap();
        assert_eq!(destroyed, ["2026-01"]);
        assert!(keys.destroy_months(&db.db, first, receipt).await.unwrap().is_empty());
        assert!(keys.open(&db.db, &sealed[0]).await.is_none());
        assert!(keys.open(&db.db, &sealed[1]).await.is_some());
        let logged = entries(&db.db).await;
        let codes = logged.iter().map(|entry| search_fields(entry).unwrap().code);
        assert_eq!(codes.filter(|code| code == "sys_month_erased").count(), 1);
        // Also what is written late of such a month has nothing personal, and no key comes back.
        write(at("2026-01-15T00:00:00Z", 53)).await;
        let logged = entries(&db.db).await;
        let late = logged.iter().filter(|entry| !written.contains(entry)).find(|entry| {
            search_fields(entry).unwrap().code == "user_profile_changed"
        });
        let late = String::from_utf8(late.unwrap().clone()).unwrap();
        assert!(!late.contains("alice") && !late.contains("sealed"), "{late}");
        assert!(keys.open(&db.db, &sealed[0]).await.is_none());
        // Nor has a node that begins now.
        assert!(fresh_log_keys().open(&db.db, &sealed[0]).await.is_none());
    }
);

on_both!(suspicion_begins_once_and_ends_by_itself_or_by_review, |db: TestDb| {
    let alice = account(1, "alice");
    add(&db.db, &alice).await.unwrap();
    let at = |minutes: u64| START.plus(Duration::from_secs(minutes * 60));
    let suspect = |from: u64, until: u64| {
        let span = (at(from), at(from), at(until));
        let (db, id) = (&db.db, alice.id);
        async move {
            db.write(|tx| async move { accounts::require_step_up(&tx, TENANT, id, span).await })
                .await
                .unwrap();
            let stored = accounts::by_id(db, TENANT, id).await.unwrap().unwrap();
            (stored.step_up_from, stored.step_up_until)
        }
    };
    let micros = |minutes: u64| Some(at(minutes).micros());
    assert_eq!(suspect(10, 70).await, (micros(10), micros(70)));
    assert_eq!(suspect(30, 90).await, (micros(10), micros(90)), "the earlier one stays");
    assert_eq!(suspect(200, 260).await, (micros(200), micros(260)), "it was over");
    let cleared = &accounts::Account { step_up_until: None, ..alice.clone() };
    db.db.write(|tx| async move { accounts::update(&tx, TENANT, cleared).await }).await.unwrap();
    let stored = accounts::by_id(&db.db, TENANT, alice.id).await.unwrap().unwrap();
    assert_eq!(stored.step_up_until, None);
});

on_both!(alerts_are_listed_newest_first_and_kept_for_a_year, |db: TestDb| {
    let alert = |seed: u64, days: u64| {
        let created_at = START.plus(Duration::from_secs(days * 86_400));
        defence::Alert {
            id: Id::new(created_at, &*SeededEntropy::new(seed)),
            rule: "password_spray".into(),
            title: "t".into(),
            description: "d".into(),
            addr: None,
            accounts: "[]".into(),
            evidence: "[]".into(),
            block_id: None,
            severity: 5,
            technique: "T1110.003".into(),
            answer: "observed".into(),
            created_at,
            acknowledged_at: None,
            acknowledged_by: None,
        }
    };
    for one in &[alert(1, 0), alert(2, 300)] {
        db.db
            .write(|tx| async move { defence::insert_alert(&tx, TENANT, one).await })
            .await
            .unwrap();
    }
    let listed =
        defence::alerts(&db.db, TENANT, defence::AlertFilter::default(), ("", 10)).await.unwrap();
    assert_eq!(listed.iter().map(|one| one.severity).collect::<Vec<_>>(), [5, 5]);
    assert!(listed[0].created_at > listed[1].created_at);
    assert_eq!((&*listed[0].technique, &*listed[0].answer), ("T1110.003", "observed"));
    retention::run(&db.db, START.plus(Duration::from_secs(366 * 86_400))).await.unwrap();
    let left =
        defence::alerts(&db.db, TENANT, defence::AlertFilter::default(), ("", 10)).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].id, alert(2, 300).id);
});

on_both!(places_of_credentials_fill_lists_and_say_how_they_stand, |db: TestDb| {
    use portcullis_store::{
        idv::identities::{self, IdentityOf},
        wallet::{self, IssuedRow},
    };
    let alice = account(1, "alice");
    add(&db.db, &alice).await.unwrap();
    let id = |seed| Id::new(START, &*SeededEntropy::new(seed));
    let session: Id<tags::IdvSession> = Id::new(START, &*SeededEntropy::new(9));
    let end = START.plus(Duration::from_secs(100));
    let row = |seed, place| IssuedRow {
        list: 1,
        place,
        id: id(seed),
        account_id: alice.id,
        session_id: session,
        client_id: "wallet".into(),
        grant_id: "grt".into(),
        issued_at: START,
        expires_at: end,
        revoked_at: None,
    };
    let take = |n| db.db.write(move |tx| async move { wallet::take_places(&tx, TENANT, n).await });
    assert_eq!(take(3).await.unwrap(), 1);
    assert_eq!(take(65_533).await.unwrap(), 1);
    assert_eq!(take(1).await.unwrap(), 2);
    for (seed, place, fits) in [(11, 5, true), (12, 5, false), (12, 6, true)] {
        let row = &row(seed, place);
        let added = db.db.write(|tx| async move { wallet::insert_issued(&tx, TENANT, row).await });
        assert_eq!(added.await.unwrap(), fits);
    }
    let open = &db.db;
    let standing = |now| async move {
        let all = wallet::standings(open, TENANT, 1, now).await.unwrap();
        all.into_iter()
            .map(|one| (one.place, one.revoked_at, one.trust_framework))
            .collect::<Vec<_>>()
    };
    // Nothing is known of whom they are about.
    assert_eq!(standing(START).await, [(5, None, None), (6, None, None)]);
    let (alice, of) = (
        alice.id,
        IdentityOf {
            account: alice.id,
            session,
            trust_framework: "eidas".into(),
            assurance_level: String::new(),
        },
    );
    seed_session(&db.db, session).await;
    let of = &of;
    let known = db.db.write(|tx| async move {
        identities::put(&tx, TENANT, of, START, &[1]).await?;
        assert!(wallet::revoke(&tx, TENANT, alice, id(11), START).await?);
        assert!(!wallet::revoke(&tx, TENANT, alice, id(11), START).await?);
        wallet::revoke(&tx, "other", alice, id(12), START).await
    });
    assert!(!known.await.unwrap());
    let eidas = || Some("eidas".to_owned());
    assert_eq!(standing(START).await, [(5, Some(START.micros()), eidas()), (6, None, eidas())]);
    assert_eq!(standing(end).await, []);
    let disabled = db.db.write(|tx| async move {
        sql("UPDATE account SET disabled_at = 1 WHERE tenant = $1").bind(TENANT).execute(&tx).await
    });
    disabled.await.unwrap();
    assert_eq!(standing(START).await[1], (6, None, None));
});

/// A session that something can be known from.
async fn seed_session(db: &Db, session: Id<tags::IdvSession>) {
    let seeded: Result<(), DbError> = db
        .write(|tx| async move {
            for text in [
                "INSERT INTO idv_workflow (tenant, id, name, draft, latest_version, revision, created_at, updated_at) \
                 SELECT $1, 'w' || $2, 'w', '', 1, 1, 0, 0",
                "INSERT INTO idv_workflow_version (tenant, workflow_id, version, graph, digest, note, \
                 published_by, published_at) SELECT $1, 'w' || $2, 1, '', '', '', '', 0",
                "INSERT INTO idv_session (tenant, id, workflow_id, workflow_version, reference, status, version, \
                 queue, given, created_at, updated_at) SELECT $1, CAST($2 AS TEXT), 'w' || $2, 1, '', 'approved', 1, '', '', 0, 0",
            ] {
                sql(text).bind(TENANT).bind(session).execute(&tx).await?;
            }
            Ok(())
        })
        .await;
    seeded.unwrap();
}

on_both!(
    /// Whoever takes a message has it alone, for a while; what was tried least goes first.
    a_message_is_taken_by_one_at_a_time,
    |db: TestDb| {
        let db = &db.db;
        let (now, second) = (START, Duration::from_secs(1));
        let put = async |id: &'static str, session: &'static str, kind| {
            let what = (kind, id, session);
            db.write(|tx| async move { outbox::put_message(&tx, TENANT, what, vec![1], now).await })
                .await
                .unwrap();
        };
        let take = async |kind, at: Timestamp, most| {
            let terms = (at, at.plus(10 * second), most);
            let taken =
                db.write(|tx| async move { outbox::take_messages(&tx, kind, terms).await }).await;
            taken.unwrap().into_iter().map(|one| one.id).collect::<Vec<_>>()
        };
        for (id, session) in [("a", ""), ("b", "ids_1"), ("c", "")] {
            put(id, session, MessageKind::Sms).await;
        }
        put("m", "", MessageKind::Mail).await;
        assert!(outbox::has_message(db, MessageKind::Sms, now).await.unwrap());
        assert_eq!(take(MessageKind::Sms, now, 2).await, ["a", "b"]);
        assert_eq!(take(MessageKind::Sms, now, 9).await, ["c"]);
        assert!(take(MessageKind::Sms, now, 9).await.is_empty());
        assert!(!outbox::has_message(db, MessageKind::Sms, now.plus(9 * second)).await.unwrap());
        assert_eq!(take(MessageKind::Mail, now, 9).await, ["m"]);
        // Whoever had them is gone.
        let later = now.plus(10 * second);
        let first = &outbox_rows(db, later).await[0];
        db.write(|tx| async move { outbox::retry_message(&tx, first, later).await }).await.unwrap();
        put("d", "", MessageKind::Sms).await;
        assert_eq!(take(MessageKind::Sms, later, 9).await, ["d", "a", "b", "c"]);
        // Whoever had it before changes nothing of it any more.
        db.write(|tx| async move { outbox::remove_message(&tx, first).await }).await.unwrap();
        let end = later.plus(10 * second);
        assert_eq!(take(MessageKind::Sms, end, 9).await.len(), 4);
    }
);

async fn outbox_rows(db: &Db, at: Timestamp) -> Vec<outbox::PendingMessage> {
    db.write(|tx| async move { outbox::take_messages(&tx, MessageKind::Sms, (at, at, 9)).await })
        .await
        .unwrap()
}

on_both!(measures_add_up_and_are_read_in_steps, |db: TestDb| {
    use measures::{Bucket, Counts, Measure};
    let mut counts = Counts::default();
    counts.count(Measure::Logins);
    counts.took(3_000);
    let start = measures::minute_of(START) / 5 * 5;
    for minute in [start, start, start + 4, start + 5] {
        let more = &Bucket { minute, counts };
        db.db.write(|tx| async move { measures::add(&tx, TENANT, more).await }).await.unwrap();
    }
    let within = (start, start + 10);
    let read = measures::read(&db.db, TENANT, within, 5).await.unwrap();
    let told: Vec<_> =
        read.iter().map(|one| (one.minute, one.counts.get(Measure::Logins))).collect();
    assert_eq!(told, [(start, 3), (start + 5, 1)]);
    assert_eq!(read[0].counts.latency().iter().sum::<i64>(), 3);
    assert_eq!(read[0].counts.get(Measure::Alerts), 0);
    assert!(measures::read(&db.db, "other", within, 5).await.unwrap().is_empty());
    assert_eq!(measures::first(&db.db, TENANT).await.unwrap(), Some(start));
    assert_eq!(measures::first(&db.db, "other").await.unwrap(), None);
    // They go when the charts reach no further.
    retention::run(&db.db, START.plus(Duration::from_secs(35 * 86_400))).await.unwrap();
    assert_eq!(measures::first(&db.db, TENANT).await.unwrap(), Some(start));
    retention::run(&db.db, START.plus(Duration::from_secs(37 * 86_400))).await.unwrap();
    assert_eq!(measures::first(&db.db, TENANT).await.unwrap(), None);
});

on_both!(rules_about_access_are_counted, |db: TestDb| {
    let facts = || async { compliance::facts(&db.db, TENANT, START).await.unwrap() };
    assert_eq!((facts().await.staff, facts().await.keys), (0, 0));
    add(&db.db, &account(1, "alice")).await.unwrap();
    let nobody = accounts::Account { roles: String::new(), ..account(2, "bob") };
    add(&db.db, &nobody).await.unwrap();
    let known = facts().await;
    assert_eq!((known.staff, known.admins, known.staff_with_factor), (1, 1, 0));
    // A role of another name is none of an administrator.
    let other = accounts::Account { roles: "administrator".into(), ..account(3, "carol") };
    add(&db.db, &other).await.unwrap();
    assert_eq!((facts().await.staff, facts().await.admins), (2, 1));
    assert_eq!(compliance::facts(&db.db, "other", START).await.unwrap().staff, 0);
});

on_both!(requests_of_data_subjects_come_by_deadline_and_outlive_the_account, |db: TestDb| {
    let person = &account(1, "alice");
    add(&db.db, person).await.unwrap();
    let day = Duration::from_secs(86_400);
    let row = |seed, due: u32, account: bool| SubjectRequest {
        id: Id::new(START, &*SeededEntropy::new(seed)),
        kind: "access".into(),
        account_id: account.then(|| person.id.to_string()),
        requester: "Alice <alice@example.org>".into(),
        note: "by post".into(),
        state: "open".into(),
        received_at: START,
        due_at: START.plus(day * due),
        extended_because: String::new(),
        outcome: String::new(),
        closed_at: None,
        closed_by: String::new(),
        created_by: "root".into(),
        version: 1,
    };
    let unnamed = SubjectRequest { requester: String::new(), ..row(1, 30, true) };
    let rows = [unnamed, row(2, 10, false), row(3, 10, false), row(4, 20, true)];
    let all = &rows;
    db.db
        .write(|tx| async move {
            for row in all {
                subject_requests::insert(&tx, TENANT, row).await?;
            }
            Ok::<_, DbError>(())
        })
        .await
        .unwrap();
    let mut seen = Vec::new();
    let mut after = (i64::MIN, String::new());
    loop {
        let place = (after.0, after.1.as_str());
        let page = subject_requests::page(&db.db, TENANT, "open", place, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = (last.due_at.micros(), last.id.to_string());
        seen.extend(page.into_iter().map(|row| (row.due_at, row.id)));
    }
    assert_eq!(seen.len(), 4);
    assert!(seen.is_sorted(), "{seen:?}");

    let closed = &SubjectRequest {
        state: "closed".into(),
        outcome: "fulfilled".into(),
        closed_at: Some(START.plus(day * 11).micros()),
        closed_by: "root".into(),
        ..rows[1].clone()
    };
    let close = |version| {
        db.db.write(move |tx| async move {
            subject_requests::update(&tx, TENANT, closed, version).await
        })
    };
    assert!(!close(2).await.unwrap(), "somebody was first");
    assert!(close(1).await.unwrap());
    let facts = compliance::facts(&db.db, TENANT, START.plus(day * 15)).await.unwrap();
    let told = (facts.requests, facts.requests_late, facts.requests_closed_late);
    assert_eq!(told, (3, 1, 1));

    // With the account goes who it was, and nothing else; what is open must still be answered.
    let own = subject_requests::of_account(&db.db, TENANT, person.id).await.unwrap();
    assert_eq!(own.len(), 2);
    let answered = &SubjectRequest { state: "closed".into(), ..rows[3].clone() };
    let answer =
        db.db.write(|tx| async move { subject_requests::update(&tx, TENANT, answered, 1).await });
    assert!(answer.await.unwrap());
    let gone = db.db.write(|tx| async move { accounts::delete(&tx, TENANT, person.id).await });
    assert!(gone.await.unwrap());
    let kept = subject_requests::by_id(&db.db, TENANT, rows[3].id).await.unwrap().unwrap();
    let told = (kept.account_id, &*kept.requester, &*kept.note, &*kept.kind, kept.version);
    assert_eq!(told, (None, "", "", "access", 3));
    let waits = subject_requests::by_id(&db.db, TENANT, rows[0].id).await.unwrap().unwrap();
    let told = (waits.account_id, &*waits.requester);
    assert_eq!(told, (None, "alice <alice@example.org>"), "somebody must be answered");

    let later = START.plus(day * (3 * 365 + 12));
    retention::run(&db.db, later).await.unwrap();
    assert!(subject_requests::by_id(&db.db, TENANT, closed.id).await.unwrap().is_none());
    let open = subject_requests::page(&db.db, TENANT, "open", (i64::MIN, ""), 10).await.unwrap();
    assert_eq!(open.len(), 2, "what is open stays");
});

on_both!(certificates_come_page_by_page_the_newest_first, |db: TestDb| {
    let row = |serial: &str, at: i64, id: Option<&str>, ends: i64| certificates::CertificateRow {
        serial: serial.into(),
        authority: "a".into(),
        spiffe_id: id.map(str::to_owned),
        names: String::new(),
        how: "enrolment".into(),
        created_at: START.micros() + at,
        expires_at: START.micros() + ends,
        revoked_at: None,
        compromised: false,
    };
    let all = &[
        row("01", 1, Some("spiffe://x/a"), 100),
        row("02", 2, Some("spiffe://x/b"), 100),
        row("03", 2, Some("spiffe://x/a"), 100),
        row("04", 3, None, 100),
        row("05", 4, Some("spiffe://x/a"), 5),
    ];
    db.db
        .write(|tx| async move {
            for row in all {
                certificates::insert(&tx, TENANT, row).await?;
            }
            Ok::<_, DbError>(())
        })
        .await
        .unwrap();
    let now = START.plus(Duration::from_micros(50));
    let read = async |id: Option<&str>| {
        let (mut seen, mut after) = (Vec::new(), (i64::MAX, String::new()));
        loop {
            let place = (after.0, after.1.as_str());
            let page = certificates::page(&db.db, TENANT, id, now, place, 2).await.unwrap();
            let Some(last) = page.last() else { return seen };
            after = (last.created_at, last.serial.clone());
            seen.extend(page.into_iter().map(|row| row.serial));
        }
    };
    assert_eq!(read(None).await, ["04", "03", "02", "01"]);
    assert_eq!(read(Some("spiffe://x/a")).await, ["03", "01"]);
});

async fn put_off(tx: &Tx, number: i64) -> Result<(), DbError> {
    sql("INSERT INTO event_outbox (tenant, event_id, leaf, created_at) VALUES ($1, $2, $3, $4)")
        .bind(TENANT)
        .bind(format!("e{number}"))
        .bind(Vec::new())
        .bind(number)
        .later(tx)
        .await
}

fn put_off_in_all() -> Query {
    sql("SELECT COUNT(*) AS n FROM event_outbox")
}

on_both!(what_is_put_off_is_done_before_anybody_looks_and_before_the_end, |db: TestDb| {
    let seen = db.db.write(|tx| async move {
        for number in 1..=40 {
            put_off(&tx, number).await?;
        }
        let seen = count(&tx, put_off_in_all()).await;
        sql("DELETE FROM event_outbox WHERE created_at = 40").execute(&tx).await?;
        put_off(&tx, 41).await?;
        Ok::<_, DbError>(seen)
    });
    assert_eq!(seen.await.unwrap(), 40);
    let sum = sql("SELECT CAST(SUM(created_at) AS BIGINT) AS n FROM event_outbox");
    assert_eq!(count(&db.db, sum).await, (1..=41).sum::<i64>() - 40);
});

on_both!(what_is_put_off_and_fails_leaves_nothing, |db: TestDb| {
    let twice = db.db.write(|tx| async move {
        for number in [1, 2, 1, 3] {
            put_off(&tx, number).await?;
        }
        Ok(())
    });
    let error: DbError = twice.await.unwrap_err();
    assert!(error.constraint().is_some(), "{error}");
    assert_eq!(count(&db.db, put_off_in_all()).await, 0);
    // The connection is as good as before.
    db.db.write(|tx| async move { put_off(&tx, 4).await }).await.unwrap();
    assert_eq!(count(&db.db, put_off_in_all()).await, 1);
});

on_both!(whoever_passes_over_a_failure_stores_nothing, |db: TestDb| {
    let passed_over = db.db.write(|tx| async move {
        for number in [1, 1, 2] {
            put_off(&tx, number).await?;
        }
        // It fails here, and nobody asks.
        let _ = sql("DELETE FROM event_outbox WHERE created_at = 9").execute(&tx).await;
        put_off(&tx, 3).await
    });
    let failed: Result<(), DbError> = passed_over.await;
    assert!(failed.is_err());
    assert_eq!(count(&db.db, put_off_in_all()).await, 0);
});

on_both!(what_is_read_once_is_not_read_again, |db: TestDb| {
    let counted = db.db.write(|tx| async move {
        let once = || sql("SELECT COUNT(*) AS n FROM event_outbox WHERE tenant = $1");
        let before: Vec<Count> = once().bind(TENANT).once(&tx).await?;
        sql("INSERT INTO event_outbox (tenant, event_id, leaf, created_at) VALUES ('main', 'e', '', 1)")
            .execute(&tx)
            .await?;
        let kept: Vec<Count> = once().bind(TENANT).once(&tx).await?;
        let other: Vec<Count> = once().bind("other").once(&tx).await?;
        Ok::<_, DbError>((before[0].n, kept[0].n, other[0].n, count(&tx, put_off_in_all()).await))
    });
    assert_eq!(counted.await.unwrap(), (0, 0, 0, 1));
});
