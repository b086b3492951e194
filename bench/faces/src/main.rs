//! Searches for a face among those of a file, one byte for each of 512 numbers, on one core: as the service does it,
//! with its allocator. Arguments: the file, how many searches, from which cosine on.

use std::time::{Duration, Instant};

use portcullis_biometrics::{FaceIndex, Template};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DIMENSIONS: usize = 512;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let file = std::fs::read(arguments.next().unwrap()).unwrap();
    let rounds: usize = arguments.next().unwrap().parse().unwrap();
    let from: f64 = arguments.next().unwrap().parse().unwrap();
    let mut index = FaceIndex::new(DIMENSIONS);
    let started = Instant::now();
    for (id, bytes) in (0u128..).zip(file.chunks_exact(DIMENSIONS)) {
        assert!(index.insert(id, &Template::from_bytes(bytes).unwrap()));
    }
    let built = started.elapsed();
    let faces = index.len();
    let (mut times, mut found) = (Vec::new(), 0);
    for round in 0..rounds {
        // Somebody who is there, and whoever looks so.
        let at = round * (faces / rounds);
        let asked = Template::from_bytes(&file[at * DIMENSIONS..(at + 1) * DIMENSIONS]).unwrap();
        let started = Instant::now();
        let hits = index.search(&asked, from, 50);
        times.push(started.elapsed());
        assert!(hits.iter().any(|hit| hit.id == at as u128), "whoever is there is found");
        found += hits.len();
    }
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let remove = Instant::now();
    for id in 0..1_000 {
        assert!(index.remove(id));
    }
    println!(
        "{{\"faces\": {faces}, \"built_ms\": {:.0}, \"median_ms\": {:.2}, \"p99_ms\": {:.2}, \"found\": {found}, \
         \"remove_us\": {:.2}}}",
        ms(built),
        ms(times[rounds / 2]),
        ms(times[rounds * 99 / 100]),
        ms(remove.elapsed()),
    );
}
