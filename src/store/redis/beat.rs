//! Claims, starts and beats: what the scripts are asked, and what they answer.

use std::time::Duration;

use redis::Pipeline;
use serde::{Deserialize, Serialize};

use super::{Bounds, Redis, form, job_word, replica_word, script};
use crate::job::JobKey;
use crate::store::claim::HOST_FIRST;
use crate::store::{
    Beat, Claim, Generation, Lease, Mark, Peers, Permission, Start, StoreError, Verdict,
};

/// Claims or starts of one script: a server does nothing else while it is busy with one. Of more, several are sent at once.
const BURST: usize = 2_000;
/// Marks that are asserted at once.
const MARKS: usize = 5_000;

/// Fencing, generation, others, paused jobs, orphans, records of lost runs, whether it is alone, what tells the data apart.
type Answer = (
    u64,
    u64,
    Vec<(String, String)>,
    Vec<String>,
    Vec<(String, String)>,
    Vec<Vec<u8>>,
    bool,
    String,
);

/// What other replicas are told of one.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct About {
    host: String,
    jobs_hash: String,
    jobs: u64,
    zone: String,
}

fn corrupt() -> StoreError {
    StoreError::Corrupt("a script's answer makes no sense".to_owned())
}

pub(super) fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).min(1 << 52)
}

fn verdict(word: &str) -> Option<Verdict> {
    let (word, rest) = word.split_once(' ').unwrap_or((word, ""));
    Some(match word {
        "granted" => Verdict::Granted,
        "taken" => Verdict::Taken,
        "belongs" => Verdict::Belongs(rest.to_owned()),
        "full" => Verdict::Full,
        "paused" => Verdict::Paused,
        "late" => Verdict::Late,
        "wait" => Verdict::Wait(Duration::from_millis(rest.parse().ok()?)),
        "fenced" => Verdict::Fenced,
        _ => return None,
    })
}

fn permission(word: &str) -> Option<Permission> {
    Some(match word {
        "granted" => Permission::Granted,
        "taken" => Permission::Taken,
        "fenced" => Permission::Fenced,
        _ => return None,
    })
}

impl Redis {
    pub(super) async fn claim_all(
        &self,
        lease: Lease,
        claims: Vec<Claim>,
    ) -> Result<Vec<Verdict>, StoreError> {
        let first = |call: &mut Pipeline| {
            call.arg(replica_word(&lease.replica)).arg(lease.fencing);
        };
        let each = |call: &mut Pipeline, claim: &Claim| {
            call.arg(job_word(claim.key)).arg(claim.mark.to_string());
            call.arg(claim.mark.at.as_millisecond()).arg(milliseconds(claim.grace));
            call.arg(claim.instances.map(|count| count.to_string()).unwrap_or_default());
            call.arg(self.pauses.word(claim.key).unwrap_or_default());
        };
        let words: Vec<Vec<String>> =
            self.call_each(&script::CLAIM, claims.chunks(BURST), first, each).await?;
        words.iter().flatten().map(|word| verdict(word).ok_or_else(corrupt)).collect()
    }

    pub(super) async fn start_all(
        &self,
        lease: Lease,
        starts: Vec<Start>,
    ) -> Result<Vec<Permission>, StoreError> {
        let first = |call: &mut Pipeline| {
            call.arg(replica_word(&lease.replica)).arg(lease.fencing);
            call.arg(u8::from(self.careless));
            let Bounds { runs, age, output, .. } = self.bounds;
            call.arg(runs).arg(milliseconds(age).max(1)).arg(output);
        };
        let each = |call: &mut Pipeline, start: &Start| {
            call.arg(job_word(start.key)).arg(start.mark.to_string());
            call.arg(u8::from(start.is_claimed())).arg(u8::from(start.is_due()));
            call.arg(format!("{} {:010}", start.run, start.attempt));
            call.arg(form::json(&form::of_start(start, &lease.replica)));
        };
        let words: Vec<Vec<String>> =
            self.call_each(&script::START, starts.chunks(BURST), first, each).await?;
        words.iter().flatten().map(|word| permission(word).ok_or_else(corrupt)).collect()
    }

    pub(super) async fn beat_once(&self, beat: Beat) -> Result<Peers, StoreError> {
        let host = replica_word(&beat.host);
        let about =
            About { host: beat.host, jobs_hash: beat.jobs_hash, jobs: beat.jobs, zone: beat.zone };
        let about = serde_json::to_string(&about).expect("text and numbers are JSON");
        let number = self.known.beat();
        let (fencing, generation, others, paused, orphans, lost, alone, origin): Answer = self
            .call(&self.soon, &script::BEAT, |call| {
                call.arg(replica_word(&beat.lease.replica)).arg(beat.lease.fencing);
                call.arg(milliseconds(beat.expiry));
                call.arg(u8::from(beat.alone)).arg(u8::from(beat.leaving));
                call.arg(&host).arg(&about).arg(HOST_FIRST);
            })
            .await?;
        let other = |(replica, about): (String, String)| {
            // What makes no sense is another replica's all the same.
            let about: About = serde_json::from_str(&about).unwrap_or_default();
            Beat {
                lease: Lease { replica, fencing: 0 },
                host: about.host,
                jobs_hash: about.jobs_hash,
                jobs: about.jobs,
                zone: about.zone,
                ..Beat::default()
            }
        };
        let orphan = |(job, mark): &(String, String)| {
            job.parse::<JobKey>().ok().zip(mark.parse::<Mark>().ok())
        };
        let peers = Peers {
            lease: Lease { replica: beat.lease.replica, fencing },
            others: others.into_iter().map(other).collect(),
            paused: self.paused(&paused),
            orphans: orphans.iter().filter_map(orphan).collect(),
            lost: lost.iter().filter_map(|json| form::record(json).ok()).collect(),
            generation,
            alone,
        };
        self.known.heard(number, origin, &peers);
        Ok(peers)
    }

    pub(super) async fn assert_all(&self, marks: Vec<(JobKey, Mark)>) -> Result<bool, StoreError> {
        let each = |call: &mut Pipeline, (key, mark): &(JobKey, Mark)| {
            call.arg(job_word(*key)).arg(mark.to_string());
        };
        let answers: Vec<bool> =
            self.call_each(&script::ASSERT, marks.chunks(MARKS), |_| {}, each).await?;
        Ok(answers.contains(&true))
    }

    pub(super) async fn step_back_from(
        &self,
        lease: Lease,
        from: u64,
    ) -> Result<Generation, StoreError> {
        let (word, generation): (String, u64) = self
            .call(&self.soon, &script::BACK, |call| {
                call.arg(replica_word(&lease.replica)).arg(from);
            })
            .await?;
        match word.as_str() {
            "opened" => Ok(Generation::Opened(generation)),
            "kept" => Ok(Generation::Kept(generation)),
            _ => Err(corrupt()),
        }
    }
}
