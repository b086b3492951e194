//! Times an index: `index_time LIST QUERIES [CHECKED]`. LIST has an entity in FollowTheMoney shape on each line
//! (`bench/million.py` makes one), QUERIES a subject on each. With CHECKED, so many of them are also compared
//! with everybody, and what the index misses is counted.
#![allow(
    missing_docs,
    clippy::allow_attributes,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "measures time and prints it"
)]

use std::{collections::HashMap, env, error::Error, fs, time::Instant};

use portcullis_screening::{
    Entity, Policy, Profile, Schema,
    index::{Builders, Index, Place, Search},
    score,
};

type Failure = Box<dyn Error>;

fn lines(path: Option<String>) -> Result<Vec<String>, Failure> {
    let text = fs::read_to_string(path.ok_or("a file of lines")?)?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn entity(line: &str) -> Result<Entity, Failure> {
    Ok(Entity::from_json(&serde_json::from_str(line)?)?)
}

fn memory(kind: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(kind));
    line.unwrap_or_default().trim_start_matches(':').trim().to_owned()
}

fn main() -> Result<(), Failure> {
    let mut arguments = env::args().skip(1);
    let (list, queries) = (lines(arguments.next())?, lines(arguments.next())?);
    let checked: usize = arguments.next().map_or(Ok(0), |count| count.parse())?;
    let file = env::temp_dir().join(format!("index-{}", std::process::id()));
    let start = Instant::now();
    let mut builders = Builders::new(std::thread::available_parallelism()?.get());
    for (offset, line) in (0..).zip(&list) {
        builders.add(entity(line)?, Place { offset, ..Place::default() })?;
    }
    let added = start.elapsed();
    let mut out = std::io::BufWriter::new(fs::File::create(&file)?);
    builders.finish().write([0; 32], &mut out)?;
    drop(out);
    println!("{} entities built in {:?}, read in {added:?}", list.len(), start.elapsed());
    portcullis_screening::tables();
    let start = Instant::now();
    let index = Index::open(fs::read(&file)?)?;
    let opened = start.elapsed();
    println!(
        "read and opened in {opened:?}, {} MiB, at most {}",
        index.bytes() >> 20,
        memory("VmHWM")
    );
    fs::remove_file(&file)?;

    let queries: Vec<Entity> = queries.iter().map(|line| entity(line)).collect::<Result<_, _>>()?;
    let policy = Policy::balanced();
    let search = Search { policy: &policy, cutoff: policy.threshold, limit: 50 };
    let load = |at: u32| {
        let place = index.place(at).ok_or("an entity of the index")?;
        entity(&list[usize::try_from(place.offset)?]).map(Some)
    };
    let mut times = Vec::new();
    let (mut hits, start) = (0, Instant::now());
    for query in &queries {
        let start = Instant::now();
        hits += index.search(query, search, load)?.len();
        times.push(start.elapsed());
    }
    let second = queries.len() as f64 / start.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    println!(
        "{} subjects, {hits} hits: {second:.0}/s, p50 {:?}, p90 {:?}, p99 {:?}, most {:?}",
        queries.len(),
        at(50),
        at(90),
        at(99),
        at(100)
    );
    if checked > 0 {
        check(&index, &list, &queries, checked, search)?;
    }
    Ok(())
}

/// Compares some subjects with everybody.
fn check(
    index: &Index,
    list: &[String],
    queries: &[Entity],
    checked: usize,
    search: Search<'_>,
) -> Result<(), Failure> {
    let entities: Vec<Entity> = list.iter().map(|line| entity(line)).collect::<Result<_, _>>()?;
    let mut beside: HashMap<Schema, Vec<Profile>> = HashMap::new();
    let (mut all, mut missed) = (0, 0);
    for sought in queries.iter().step_by((queries.len() / checked).max(1)) {
        let profiles = beside.entry(sought.schema).or_insert_with(|| {
            entities.iter().map(|entity| Profile::beside(entity, sought.schema)).collect()
        });
        let load = |at: u32| Ok::<_, Failure>(Some(entities[at as usize].clone()));
        let found = index.search(sought, Search { limit: usize::MAX, ..search }, load)?;
        let found: HashMap<u32, f64> =
            found.into_iter().map(|found| (found.entity, found.verdict.score)).collect();
        for (at, listed) in (0..).zip(profiles.iter()) {
            let verdict = score(&Profile::beside(sought, listed.schema), listed, search.policy);
            if verdict.schemas_fit && verdict.score >= search.cutoff {
                all += 1;
                missed += usize::from(found.get(&at) != Some(&verdict.score));
            }
        }
    }
    println!("compared with everybody: {all} hits, of which the index misses {missed}");
    Ok(())
}
