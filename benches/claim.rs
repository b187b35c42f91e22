//! How long a burst waits for its claims and for its starts, and how long its ends take, on a Redis of the bench's own.
//!
//! For people and for `benches/report.py`: one line of JSON. Run with `cargo bench --bench claim`.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up cannot go on")]
#![expect(unreachable_pub, dead_code, reason = "the server is that of the tests")]
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark reads clocks, and prints what it finds"
)]

#[path = "../tests/support/redis.rs"]
mod redis;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cronkeep::event::{RunId, Trigger};
use cronkeep::job::{JobId, JobKey};
use cronkeep::store::redis::Redis as Scripts;
use cronkeep::store::{Beat, Claim, Lease, Mark, Permission, Start, Store, Verdict};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Bursts of each size.
const ROUNDS: usize = 100;

fn main() {
    let Some(server) = redis::Redis::start() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (link, url) in [("tcp", server.url()), ("socket", server.unix_url())] {
        let store = Scripts::new(&url, link);
        for burst in [1, 100, 1_000] {
            let [claims, starts, ends] = runtime.block_on(measure(&store, burst));
            println!(
                "{{\"bench\":\"claim\",\"link\":\"{link}\",\"burst\":{burst},{},{},{}}}",
                numbers("claim", claims),
                numbers("start", starts),
                numbers("end", ends)
            );
        }
    }
}

/// Median, the 99th of a hundred, and the longest, in microseconds.
fn numbers(name: &str, mut spans: Vec<Duration>) -> String {
    spans.sort();
    let at = |part: usize| spans[(spans.len() * part / 100).min(spans.len() - 1)].as_micros();
    format!("\"{name}_us\":{{\"median\":{},\"p99\":{},\"max\":{}}}", at(50), at(99), at(100))
}

async fn measure(store: &Scripts, burst: u32) -> [Vec<Duration>; 3] {
    let lease = Lease { replica: format!("bench-{burst}"), fencing: 0 };
    let expiry = Duration::from_secs(3600);
    let beat = Beat { lease, expiry, alone: true, ..Beat::default() };
    let lease = store.beat(beat).await.unwrap().lease;
    let [mut claiming, mut starting, mut ending] = [const { Vec::new() }; 3];
    for round in 0..ROUNDS {
        let at = Timestamp::now() + Duration::from_secs(60 * round as u64);
        let mark = Mark { generation: 0, at, civil: TimeZone::UTC.to_datetime(at) };
        let job = |number: u32| {
            let name = [burst, number].map(u32::to_be_bytes).concat();
            JobKey { id: JobId::of_mark(&name), occurrence: 1 }
        };
        let grace = Duration::from_secs(60);
        let trigger = Trigger::Schedule;
        let claim =
            |number| Claim { key: job(number), mark, trigger, grace, instances: Some(3_000) };
        let claims: Vec<Claim> = (0..burst).map(claim).collect();
        let began = Instant::now();
        let verdicts = store.claim(lease.clone(), claims).await.unwrap();
        claiming.push(began.elapsed());
        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Granted), "{verdicts:?}");
        let start = |number: u32| Start {
            run: RunId::new(at, u128::from(number) << 32 | u128::from(burst)),
            attempt: 1,
            key: job(number),
            name: format!("job {number}"),
            mark,
            trigger,
            queued: at,
        };
        let starts: Vec<Start> = (0..burst).map(start).collect();
        let began = Instant::now();
        let permissions = store.start(lease.clone(), starts.clone()).await.unwrap();
        starting.push(began.elapsed());
        assert!(permissions.iter().all(|permission| *permission == Permission::Granted));
        // They end, so that lists stay as short as those of a daemon.
        let ends =
            starts.iter().map(|start| cronkeep::store::Write::Run(Arc::new(ended(start, &lease))));
        let ends = ends.collect();
        let began = Instant::now();
        store.write(ends).await.unwrap();
        ending.push(began.elapsed());
    }
    // The next burst is alone again.
    store.beat(Beat { lease, expiry, leaving: true, ..Beat::default() }).await.unwrap();
    [claiming, starting, ending]
}

fn ended(start: &Start, lease: &Lease) -> cronkeep::store::RunRecord {
    cronkeep::store::RunRecord {
        run: start.run,
        attempt: 1,
        key: start.key,
        name: start.name.clone(),
        due: start.mark.due(),
        range: None,
        trigger: start.trigger,
        queued: Some(start.queued),
        started: Some(start.queued),
        ended: Some(start.queued),
        outcome: Some(cronkeep::store::record::RecordedOutcome::Succeeded),
        exit: Some(0),
        signal: None,
        reason: None,
        user_cpu: Duration::ZERO,
        system_cpu: Duration::ZERO,
        max_rss_kib: None,
        replica: lease.replica.clone(),
        worker: None,
        output_bytes: 0,
        process: None,
    }
}
