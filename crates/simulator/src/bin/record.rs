//! What the audit log does on this disk: events a second, the wait of whoever needs theirs durable,
//! what recording costs a request, and search.
#![expect(clippy::print_stdout, reason = "this is what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on must fail")]

use std::{path::Path, time::Duration, time::Instant};

use portcullis_audit::{Audit, Filter, LogReader, LogWriter};
use portcullis_events::Event;
use portcullis_simulator::{
    chance::Chance,
    script::{From, Script, Truth, person},
    world::{browser, v4},
};
use portcullis_tlog::NoteSigner;

/// Events in the log that is searched.
const ENTRIES: u64 = 1_000_000;
/// Events handed over at once where many callers wait.
const TOGETHER: usize = 64;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let dir = std::env::args().nth(1).unwrap_or_else(|| "portcullis-bench".to_owned());
    let dir = Path::new(&dir);
    std::fs::create_dir(dir).unwrap();
    let events = requests(ENTRIES);
    let bytes = portcullis_events::leaf(&events[0]).len();
    let writer = LogWriter::open(dir, NoteSigner::new("bench", &[7; 32]).unwrap()).unwrap();
    let audit = Audit::start(writer, None, None).unwrap();

    let begin = Instant::now();
    let mut waiting = tokio::task::JoinSet::new();
    for part in events.chunks(TOGETHER) {
        let (audit, part) = (audit.clone(), part.to_vec());
        waiting.spawn(async move { audit.append(part).await.unwrap() });
        while waiting.len() > 256 {
            waiting.join_next().await;
        }
    }
    while waiting.join_next().await.is_some() {}
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "durable and in the tree     {:>9.0} events/s of {bytes} bytes, {:.0} MB/s",
        ENTRIES as f64 / seconds,
        (ENTRIES as f64 * bytes as f64) / seconds / 1e6
    );

    let mut waits = Vec::new();
    let begin = Instant::now();
    let mut waiting = tokio::task::JoinSet::new();
    for (n, event) in events.iter().take(100_000).enumerate() {
        // 20,000 a second.
        let due = begin + Duration::from_micros(50 * n as u64);
        if Instant::now() < due {
            tokio::time::sleep_until(due.into()).await;
        }
        let (audit, event) = (audit.clone(), event.clone());
        waiting.spawn(async move {
            let begin = Instant::now();
            audit.append(vec![event]).await.unwrap();
            begin.elapsed()
        });
        while let Some(done) = waiting.try_join_next() {
            waits.push(done.unwrap());
        }
    }
    while let Some(done) = waiting.join_next().await {
        waits.push(done.unwrap());
    }
    let rate = waits.len() as f64 / begin.elapsed().as_secs_f64();
    waits.sort_unstable();
    let at = |per_cent: usize| waits[(waits.len() - 1) * per_cent / 100].as_secs_f64() * 1e3;
    println!("acknowledged at {rate:>6.0}/s     p50 {:.2} ms, p99 {:.2} ms", at(50), at(99));

    let handed: Vec<Event> = events.iter().take(10_000).cloned().collect();
    let begin = Instant::now();
    for event in handed {
        audit.record(event);
    }
    println!("recording one, not waiting  {:>9.2} us", begin.elapsed().as_secs_f64() * 1e6 / 1e4);

    audit.checkpoint().await.unwrap();
    let begin = Instant::now();
    audit.append(vec![events[0].clone()]).await.unwrap();
    audit.checkpoint().await.unwrap();
    let log = LogReader::open(dir).unwrap();
    let verifier = log.verifier().unwrap();
    log.prove(log.size() - 1, &verifier).unwrap();
    println!("proof, once it is its turn  {:>9.2} ms", begin.elapsed().as_secs_f64() * 1e3);
    audit.close().await;

    let log = LogReader::open(dir).unwrap();
    let size = std::fs::metadata(dir.join("entries")).unwrap().len() as f64;
    let searches = [
        ("nothing like it", Filter { text: Some("no such text".into()), ..Filter::default() }),
        ("one request", Filter { request_id: Some("req_777777".into()), ..Filter::default() }),
        ("one of 10,000 people", Filter { subjects: vec![id(77)], ..Filter::default() }),
        ("every hundredth", Filter { kind: Some("gate_denied".into()), ..Filter::default() }),
    ];
    for (name, filter) in searches {
        let filter = Filter { limit: 10_000, ..filter };
        let begin = Instant::now();
        let (mut found, mut from_index) = (0, 0);
        loop {
            let page = log.search_page(&Filter { from_index, ..filter.clone() }).unwrap();
            found += page.found.len();
            let Some(next) = page.next else { break };
            from_index = next;
        }
        let rate = size / begin.elapsed().as_secs_f64() / 1e9;
        println!("search: {name:<20} {rate:>8.2} GB/s, {found} found");
    }
    std::fs::remove_dir_all(dir).unwrap();
}

fn id(number: u64) -> String {
    match person(number) {
        portcullis_events::Actor::User { id, .. } => id,
        _ => String::new(),
    }
}

/// Requests of 10,000 people, every hundredth refused.
fn requests(count: u64) -> Vec<Event> {
    let chance = Chance::new(5);
    let mut script = Script::default();
    for n in 0..count {
        let from = From { ip: v4(chance.below(8), 3, chance.next()), agent: browser(n) };
        let asked = ("orders", format!("/orders/{}", chance.next()));
        let status = if n % 100 == 0 { 401 } else { 200 };
        let (who, session) = (person(n % 10_000), format!("grt_{}", n % 10_000));
        script.request(n, &from, who, Some(&session), asked, (status, 900), Truth::Good);
    }
    script.steps.into_iter().map(|step| step.event).collect()
}
