//! Three daemons, one Redis, and everything that goes wrong at random: nothing is started twice, nothing is lost unseen.
//!
//! A minute of it here; `make soak` has ten of them. Between the harm that comes at random some is aimed: at a replica that has
//! claimed something and not started it, with nothing else in the way of those that are to take over. What has to be seen and
//! was not is tried for beyond the span, but not for ever. The last line that is printed is JSON.

use std::fs;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;

use crate::harm::{Blow, MANY, Service, has_clocks};
use crate::outcome::{Outcome, doubles, take_overs};
use crate::redis::Redis;

/// How long the daemons may take to join at first.
const JOINING: Duration = Duration::from_secs(40);
/// When the first harm is done: replicas that have joined claim after the time of a lease.
const PEACE: Duration = Duration::from_secs(8);
/// How often something goes wrong, in milliseconds, while it does so at random.
const PACE: (u64, u64) = (1_000, 3_500);
/// For how long that goes on before the next harm is aimed.
const RANDOM: Duration = Duration::from_secs(14);
/// How long a claim may be waited for that is not started yet: the time of a lease, should Redis just have returned, and more.
const AIMING: Duration = Duration::from_secs(15);
/// How long the others have after a kill: until a lease has ended, the next heartbeat, and a start.
const TAKING_OVER: Duration = Duration::from_secs(9);
/// The same from the end of a stop, by which the others have taken over.
const WAKING: Duration = Duration::from_secs(2);
/// For how long beyond its span the soak tries for what was not seen.
const OVERTIME: Duration = Duration::from_secs(120);
/// How long the end may take: a grace, two heartbeats, and what was due last.
const SETTLING: Duration = Duration::from_secs(25);
/// Seconds that are not judged at the beginning, when replicas join, and at the end, when clocks differ.
pub const MARGINS: (i64, i64) = (8, 6);

/// What is being done.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Whatever the dice say, until then; the next harm then.
    Random(Instant, Instant),
    /// This, when a replica has claimed something, if one does by then.
    Aiming(Blow, Instant),
    /// Nothing, until then.
    Quiet(Instant),
}

struct Soak {
    service: Service,
    phase: Phase,
    /// What is aimed next.
    next: Blow,
    /// Whether a replica was struck that had claimed what is due each minute.
    struck_burst: bool,
}

impl Soak {
    fn new(service: Service) -> Self {
        let phase = Phase::Quiet(Instant::now() + PEACE);
        Soak { service, phase, next: Blow::Stop, struck_burst: false }
    }

    /// Waits until all daemons have joined.
    fn join(&mut self) {
        let deadline = Instant::now() + JOINING;
        while !self.service.is_whole() {
            assert!(Instant::now() < deadline, "the daemons do not join");
            self.service.tend(Instant::now());
            pause();
        }
        self.phase = Phase::Quiet(Instant::now() + PEACE);
    }

    fn aim(&mut self, now: Instant) -> Phase {
        self.service.calm(now);
        let blow = self.next;
        self.next = if blow == Blow::Stop { Blow::Kill } else { Blow::Stop };
        Phase::Aiming(blow, now + AIMING)
    }

    /// What is done next; `over` says that the span has passed, and what was not seen is tried for.
    fn step(&mut self, now: Instant, over: bool) -> Phase {
        match self.phase {
            Phase::Quiet(until) if now < until => self.phase,
            Phase::Quiet(_) if over || self.service.left.is_empty() => self.aim(now),
            Phase::Quiet(_) => Phase::Random(now + RANDOM, now),
            Phase::Random(until, _) if now >= until || over => self.aim(now),
            Phase::Random(until, at) => {
                if !self.struck_burst && self.service.strike(Blow::Kill, MANY / 2, now) {
                    self.struck_burst = true;
                    return Phase::Quiet(now + TAKING_OVER);
                }
                if now < at {
                    return self.phase;
                }
                self.service.harm(now);
                Phase::Random(until, now + self.service.dice.milliseconds(PACE.0, PACE.1))
            }
            Phase::Aiming(blow, by) => {
                if self.service.strike(blow, 1, now) {
                    let struck = match blow {
                        Blow::Kill => now + TAKING_OVER,
                        Blow::Stop => now + Duration::from_secs(12) + WAKING,
                    };
                    return Phase::Quiet(struck);
                }
                if now < by { self.phase } else { Phase::Random(now + RANDOM, now) }
            }
        }
    }

    /// Does harm for a span, which is made longer by what it takes to have a full minute in it, and then until `seen`. Where
    /// that is `enough` it ends the harm earlier, too. From when to when.
    fn run(
        &mut self,
        span: Duration,
        enough: bool,
        seen: impl Fn(&Service) -> bool,
    ) -> (Timestamp, Timestamp) {
        self.join();
        let (begun, first) = (Instant::now(), Timestamp::now());
        let minute = (first.as_second() + MARGINS.0).div_euclid(60) * 60 + 60;
        let mut looked = begun;
        loop {
            let now = Instant::now();
            self.service.tend(now);
            let over = now >= begun + span && Timestamp::now().as_second() > minute + MARGINS.1;
            if (over || enough) && now >= looked + Duration::from_secs(1) {
                looked = now;
                if seen(&self.service) || now >= begun + span + OVERTIME {
                    return (first, Timestamp::now());
                }
            }
            self.phase = self.step(now, over);
            pause();
        }
    }

    /// Waits until what happens last has happened.
    fn settle(&mut self) {
        let settled = Instant::now() + SETTLING;
        self.service.calm(Instant::now());
        while Instant::now() < settled {
            self.service.tend(Instant::now());
            pause();
        }
    }
}

fn pause() {
    std::thread::park_timeout(Duration::from_millis(20));
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn prepare(faults: &'static str) -> Option<(Soak, u64)> {
    if !has_clocks() {
        return None;
    }
    let redis = Redis::setup().durable().start()?;
    let seed = number("CRONKEEP_TEST_SOAK_SEED", Timestamp::now().as_millisecond().unsigned_abs());
    println!("CRONKEEP_TEST_SOAK_SEED={seed}");
    Some((Soak::new(Service::new(redis, seed, faults)), seed))
}

/// Keeps what is left behind, for people to look at.
fn keep(soak: &Soak) {
    let kept = std::env::temp_dir().join(format!("soak-{}", std::process::id()));
    soak.service.redis.keep_history(soak.service.folder.path());
    if fs::rename(soak.service.folder.path(), &kept).is_ok() {
        println!("the logs are in {}", kept.display());
    }
}

fn tell(seed: u64, soak: &Soak, outcome: &Outcome) {
    let counts = soak.service.counts;
    println!(
        "{}",
        json!({
            "seed": seed, "due": outcome.due, "started": outcome.started, "twice": outcome.twice,
            "lost": outcome.lost, "missed": outcome.missed, "unlisted": outcome.unlisted.len(), "both": outcome.both.len(),
            "kills": counts.kills, "stops": counts.stops, "restarts": counts.restarts,
            "redis_restarts": counts.redis_restarts, "left": soak.service.left.len(),
            "take_overs": outcome.take_overs, "take_overs_told": outcome.told,
        })
    );
}

#[test]
fn whatever_goes_wrong_nothing_is_started_twice_or_lost_unseen() {
    let span = Duration::from_secs(number("CRONKEEP_TEST_SOAK_SECONDS", 60));
    let Some((mut soak, seed)) = prepare("replica-linger-500") else { return };
    let (first, last) = soak.run(span, false, |service| {
        let (taken, told) = take_overs(service);
        service.counts.kills > 0 && service.counts.stops > 0 && taken > 0 && told > 0
    });
    soak.settle();
    let outcome = Outcome::of(&soak.service, first, last);
    tell(seed, &soak, &outcome);
    if !outcome.unlisted.is_empty() || !outcome.both.is_empty() || outcome.twice > 0 {
        println!("unlisted: {:?}", outcome.unlisted.iter().take(20).collect::<Vec<_>>());
        println!("both: {:?}", outcome.both.iter().take(20).collect::<Vec<_>>());
        keep(&soak);
    }
    assert!(outcome.started > 0);
    // A job that nobody has ever heard of would be lost unseen.
    assert_eq!(outcome.jobs, MANY + 1, "jobs were heard of");
    assert!(outcome.due > MANY, "{} instants are judged, and no full minute", outcome.due);
    assert_eq!(outcome.twice, 0, "started twice");
    assert_eq!(outcome.unlisted, [], "neither started nor listed");
    assert_eq!(outcome.both, [], "started, and listed as missed");
    assert_eq!(outcome.started + outcome.lost + outcome.missed, outcome.due);
    let counts = soak.service.counts;
    assert!(counts.kills > 0 && counts.stops > 0, "{counts:?}");
    assert!(outcome.take_overs > 0, "nothing was taken over");
    assert!(outcome.told > 0, "no take-over was told");
}

#[test]
fn without_the_second_comparison_the_soak_finds_doubles() {
    let span = Duration::from_secs(number("CRONKEEP_TEST_SOAK_SECONDS", 60).min(180));
    let Some((mut soak, seed)) = prepare("replica-linger-900,careless-starts-1") else { return };
    soak.run(span, true, |service| doubles(service) > 0);
    let (twice, counts) = (doubles(&soak.service), soak.service.counts);
    println!(
        "{}",
        json!({ "seed": seed, "twice": twice, "kills": counts.kills, "stops": counts.stops })
    );
    if twice == 0 {
        keep(&soak);
    }
    assert!(twice > 0, "nothing was started twice, though it was not compared");
}
