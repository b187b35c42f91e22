//! Answers that take their time: a run until its end, output as it comes.

use std::sync::Arc;

use axum::http::StatusCode;
use hyper::body::Bytes;
use serde_json::json;
use tokio::sync::mpsc;

use crate::control::shape::RunObject;
use crate::control::stream::Feed;
use crate::control::{Find, Refusal, find};
use crate::event::{Ended, Fire, Run, RunId, Started};
use crate::executor::Handle;
use crate::job::JobKey;
use crate::sink::recent::{Follower, News, Of, Output, Printed, Recent};
use crate::sink::record::escape;

/// Lines whose sender learns when nobody reads them any more.
type Lines = mpsc::Sender<Bytes>;

/// Runs a job now: a feed of the run's object, then, on request, of how it ended for good.
///
/// # Errors
/// The job's policy is against it, or the daemon is about to end.
pub(super) async fn run(executor: &Handle, fire: Fire, wait: bool) -> Result<Feed, Refusal> {
    let id = match executor.try_fire(fire.clone()).await {
        Some(Ok(id)) => id,
        Some(Err(skip)) => {
            let message = format!("{} is not run: {skip}", fire.job.label());
            return Err(Refusal::new(StatusCode::CONFLICT, "skipped", message));
        }
        None => return Err(Refusal::stopping()),
    };
    let (lines, feed) = Feed::channel();
    // There is room for the first line.
    let _ = lines.try_send(line(&RunObject::asked(id, &fire)));
    if wait {
        let executor = executor.clone();
        tokio::spawn(async move {
            tokio::select! {
                ended = executor.wait(id) => if let Some(ended) = ended {
                    let _ = send(&lines, line(&RunObject::ended(&ended))).await;
                },
                () = lines.closed() => {}
            }
        });
    }
    Ok(feed)
}

/// What a job or a run printed, and, on request, what it prints from now on.
///
/// # Errors
/// `what` is no job, as `of` says, and no run whose output is known either.
pub(super) fn logs(
    recent: &Recent,
    what: &str,
    of: Result<JobKey, Refusal>,
    running: &[Started],
    follow: bool,
) -> Result<Feed, Refusal> {
    let (of, alive) = match of {
        Ok(key) => (Of::Job(key), true),
        Err(refusal) => {
            let known = recent.look(Of::All);
            let ids = running.iter().map(|started| started.run.id);
            let mut ids: Vec<RunId> = ids.chain(known.iter().map(|output| output.run.id)).collect();
            ids.sort_unstable();
            ids.dedup();
            match find::run(&ids, what, |id| *id) {
                Find::One(id) => {
                    (Of::Run(*id), running.iter().any(|started| started.run.id == *id))
                }
                Find::Several => return Err(find::several_runs(what)),
                Find::None => return Err(refusal.help(find::RUNS_WITH_OUTPUT)),
            }
        }
    };
    let (lines, feed) = Feed::channel();
    let (known, follower) = if follow && alive {
        let (known, follower) = recent.follow(of);
        (known, Some(follower))
    } else {
        (recent.look(of), None)
    };
    tokio::spawn(async move {
        for output in &known {
            if tell_output(output, &lines).await.is_err() {
                return;
            }
        }
        if let Some(follower) = follower {
            tell_news(follower, of, &lines).await;
        }
    });
    Ok(feed)
}

/// Nobody reads.
struct Gone;

async fn tell_output(output: &Output, lines: &Lines) -> Result<(), Gone> {
    for printed in &output.head {
        send(lines, printed_line(&output.run, printed)).await?;
    }
    if output.left_out > 0 {
        let told = json!({
            "run": output.run.id.to_string(),
            "key": output.run.fire.job.key.to_string(),
            "name": output.run.fire.job.name().map(|name| &**name),
            "left_out": output.left_out,
        });
        send(lines, line(&told)).await?;
    }
    for printed in &output.tail {
        send(lines, printed_line(&output.run, printed)).await?;
    }
    match &output.ended {
        Some(ended) => send(lines, ended_line(ended)).await,
        None => Ok(()),
    }
}

/// Tells what comes, until the client has gone or the one run has ended.
async fn tell_news(mut follower: Follower, of: Of, lines: &Lines) {
    loop {
        let news = tokio::select! {
            news = follower.next() => news,
            () = lines.closed() => return,
        };
        let (text, over) = match news {
            None => return,
            Some(News::Started(_)) => continue,
            Some(News::Printed(run, printed)) => (printed_line(&run, &printed), false),
            Some(News::Ended(ended)) => (ended_line(&ended), matches!(of, Of::Run(_))),
            Some(News::LeftOut(count)) => (line(&json!({ "run": null, "left_out": count })), false),
        };
        if send(lines, text).await.is_err() || over {
            return;
        }
    }
}

fn printed_line(run: &Arc<Run>, printed: &Printed) -> Bytes {
    line(&json!({
        "run": run.id.to_string(),
        "key": run.fire.job.key.to_string(),
        "name": run.fire.job.name().map(|name| &**name),
        "stream": printed.stream.name(),
        "detached": printed.detached,
        "line": escape(&printed.bytes),
    }))
}

fn ended_line(ended: &Ended) -> Bytes {
    line(&json!({ "run": ended.run.id.to_string(), "ended": RunObject::ended(ended) }))
}

async fn send(lines: &Lines, line: Bytes) -> Result<(), Gone> {
    lines.send(line).await.map_err(|_| Gone)
}

/// An object and the end of its line.
fn line(object: &impl serde::Serialize) -> Bytes {
    // Every key is text, and writing to memory does not fail.
    let mut text = serde_json::to_vec(object).unwrap_or_default();
    text.push(b'\n');
    text.into()
}
