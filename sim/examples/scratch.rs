//! scratch
use mpuser_sim::presets::*;
use std::sync::Mutex;
fn main() {
    let mut name = String::new();
    let mut seeds = 3u64;
    let mut threads = 2usize;
    let mut set = Vec::new();
    for a in std::env::args().skip(1) {
        if let Some(n) = a.strip_prefix("seeds=") {
            seeds = n.parse().unwrap();
            continue;
        }
        if let Some(n) = a.strip_prefix("threads=") {
            threads = n.parse().unwrap();
            continue;
        }
        if let Some((k, v)) = a.split_once('=') {
            set.push((k.to_owned(), v.to_owned()));
            continue;
        }
        name = a;
    }
    let c = Campaign::new(find(&name).unwrap(), &set, &(1..=seeds).collect::<Vec<_>>()).unwrap();
    let jobs = Mutex::new(c.jobs());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|s| {
        for _ in 0..threads {
            s.spawn(|| {
                loop {
                    let Some(job) = jobs.lock().unwrap().pop() else { break };
                    let r = c.run(job).unwrap();
                    if std::env::var("V").is_ok() {
                        eprintln!("{job:?} {r:?}");
                    }
                    done.lock().unwrap().push((job, r));
                }
            });
        }
    });
    let checks = c.judge(&done.into_inner().unwrap());
    println!(
        "## {} ({} seeds) {}",
        name,
        seeds,
        set.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
    );
    print!("{}", table(&checks).markdown());
}
