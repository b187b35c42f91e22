use super::*;
use crate::crontab::{Dialect, Options, Source, parse};
use crate::schedule::Zone;

fn at(text: &str) -> Timestamp {
    let text = if text.contains('T') { text.to_owned() } else { format!("2026-01-01T{text}Z") };
    text.parse().unwrap()
}

/// The jobs of a crontab, first loaded at midnight.
fn table(text: &str) -> JobTable {
    let bytes = text.as_bytes().to_vec();
    let source = Source { name: "test".into(), bytes, dialect: Dialect::user("root") };
    let crontab = parse(&source);
    assert!(!crontab.has_errors(), "{:?}", crontab.faults);
    let (options, before) = (Options::default(), JobTable::default());
    JobTable::build(&[(&source, &crontab)], &Zone::utc(), &options, &before, at("00:00:00")).0
}

fn due(job: &Job, time: &str) -> Due {
    let at = at(time);
    Due { at, civil: job.zone().civil(at) }
}

/// A job that was first loaded at midnight and last handled at `mark`.
fn kept(job: &Job, mark: &str) -> JobState {
    let mark = Some(Mark::of(due(job, mark), 0));
    JobState { since: Some(at("00:00:00")), mark, ..JobState::default() }
}

fn owed(job: &Job, time: &str, trigger: Trigger) -> Owed {
    Owed { due: due(job, time), trigger }
}

/// What becomes of the past of the only job of a crontab at `now`, one line each.
fn judged(text: &str, now: &str, state: impl Fn(&Job) -> JobState) -> Vec<String> {
    let table = table(text);
    let job = &table.jobs()[0];
    let states = HashMap::from([(job.key, state(job))]);
    let now = at(now);
    told(&Past::new(&states, now, now).judge(&table))
}

fn told(verdict: &Verdict) -> Vec<String> {
    let clock = |due: &Due| due.civil.strftime("%H:%M:%S").to_string();
    let range = |what: &str, missed: &Missed| {
        format!("{what} {} {} {}", clock(&missed.first), clock(&missed.last), missed.count)
    };
    let mut lines = Vec::new();
    lines.extend(verdict.missed.iter().map(|(missed, _)| range("missed", missed)));
    lines.extend(verdict.skipped.iter().map(|(missed, _)| range("skipped", missed)));
    lines.extend(verdict.settled.iter().map(|(_, due)| format!("settled {}", clock(due))));
    lines.extend(verdict.fires.iter().map(|fire| format!("{} {}", fire.trigger, clock(&fire.due))));
    lines
}

#[test]
fn what_passed_within_the_grace_starts_now_each_instant_once() {
    let since_mark = |job: &Job| kept(job, "01:00:00");
    let each = judged("* * * * * a\n", "01:01:20", since_mark);
    assert_eq!(each, ["schedule 01:01:00"]);
    let text = "# cronkeep: grace=5m\n* * * * * a\n";
    let each = judged(text, "01:03:20", since_mark);
    assert_eq!(each, ["schedule 01:01:00", "schedule 01:02:00", "schedule 01:03:00"]);
}

#[test]
fn nothing_up_to_the_watermark_and_nothing_that_is_still_to_come_starts() {
    assert!(judged("* * * * * a\n", "01:00:59", |job| kept(job, "01:00:00")).is_empty());
    assert!(judged("0 5 * * * a\n", "03:00:00", |job| kept(job, "01:00:00")).is_empty());
}

#[test]
fn the_grace_reaches_to_the_second() {
    let daily = "0 3 * * * a\n";
    let before = |job: &Job| JobState { mark: None, ..kept(job, "00:00:00") };
    assert_eq!(judged(daily, "03:01:00", before), ["schedule 03:00:00"]);
    assert_eq!(judged(daily, "03:01:01", before), ["missed 03:00:00 03:00:00 1"]);
}

#[test]
fn older_instants_are_missed_caught_up_latest_or_all_within_window_and_maximum() {
    let hourly = |options: &str| {
        let text = format!("# cronkeep: {options}\n0 * * * * a\n");
        judged(&text, "06:30:00", |job| kept(job, "01:00:00"))
    };
    assert_eq!(hourly("catch-up=none"), ["missed 02:00:00 06:00:00 5"]);
    assert_eq!(hourly("catch-up=latest"), ["missed 02:00:00 05:00:00 4", "catch-up 06:00:00"]);
    let two = ["missed 02:00:00 04:00:00 3", "catch-up 05:00:00", "catch-up 06:00:00"];
    assert_eq!(hourly("catch-up=all catch-up-max=2"), two);
    assert_eq!(hourly("catch-up=all catch-up-window=2h"), two);
    assert_eq!(hourly("catch-up=latest catch-up-window=10m"), ["missed 02:00:00 06:00:00 5"]);
}

#[test]
fn what_is_within_the_grace_is_started_beside_what_is_caught_up() {
    let text = "# cronkeep: catch-up=all catch-up-max=1\n* * * * * a\n";
    let lines = judged(text, "01:04:20", |job| kept(job, "01:00:00"));
    assert_eq!(lines, ["missed 01:01:00 01:02:00 2", "catch-up 01:03:00", "schedule 01:04:00"]);
}

#[test]
fn nothing_earlier_than_the_first_load_starts() {
    let state = |job: &Job| JobState {
        since: Some(at("02:30:00")),
        mark: Some(Mark::of(due(job, "01:00:00"), 0)),
        ..JobState::default()
    };
    assert_eq!(judged("0 * * * * a\n", "04:30:00", state), ["missed 03:00:00 04:00:00 2"]);
    assert!(judged("0 * * * * a\n", "04:30:00", |_| JobState::default()).is_empty());
}

#[test]
fn a_date_that_was_started_is_done_and_one_that_passed_is_caught_up() {
    let text = "@at 2026-01-01T01:00:00Z once\n";
    assert!(judged(text, "03:00:00", |job| kept(job, "01:00:00")).is_empty());
    let before = |job: &Job| JobState { mark: None, ..kept(job, "00:00:00") };
    assert_eq!(judged(text, "03:00:00", before), ["catch-up 01:00:00"]);
}

#[test]
fn paused_instants_are_skipped_and_never_caught_up() {
    let text = "# cronkeep: catch-up=all\n0 * * * * a\n";
    let paused = |job: &Job| JobState {
        paused: true,
        owed: vec![owed(job, "00:30:00", Trigger::CatchUp), owed(job, "00:40:00", Trigger::Manual)],
        ..kept(job, "01:00:00")
    };
    assert_eq!(
        judged(text, "03:00:30", paused),
        [
            "missed 00:40:00 00:40:00 1",
            "skipped 00:30:00 00:30:00 1",
            "skipped 02:00:00 03:00:00 2",
            "settled 00:40:00",
            "settled 00:30:00",
        ]
    );
}

#[test]
fn what_is_owed_within_the_grace_goes_on_as_it_was() {
    let state = |job: &Job| JobState {
        owed: vec![
            owed(job, "00:59:30", Trigger::After),
            owed(job, "01:00:00", Trigger::Schedule),
            owed(job, "01:00:05", Trigger::Manual),
        ],
        ..kept(job, "01:00:00")
    };
    assert_eq!(
        judged("* * * * * a\n", "01:00:20", state),
        ["after 00:59:30", "schedule 01:00:00", "manual 01:00:05"]
    );
}

#[test]
fn what_is_owed_for_longer_follows_catch_up_together_with_what_passed() {
    let hourly = |options: &str| {
        let text = format!("# cronkeep: {options}\n0 * * * * a\n");
        judged(&text, "04:30:00", |job| JobState {
            owed: vec![
                owed(job, "01:00:00", Trigger::CatchUp),
                owed(job, "02:00:00", Trigger::Schedule),
            ],
            ..kept(job, "02:00:00")
        })
    };
    let settled = ["settled 01:00:00", "settled 02:00:00"];
    let mut lines = vec!["missed 01:00:00 02:00:00 2", "missed 03:00:00 04:00:00 2"];
    lines.extend(settled);
    assert_eq!(hourly("catch-up=none"), lines);
    let mut lines = vec!["missed 01:00:00 02:00:00 2", "missed 03:00:00 03:00:00 1"];
    lines.extend(settled);
    lines.push("catch-up 04:00:00");
    assert_eq!(hourly("catch-up=latest"), lines);
    assert_eq!(
        hourly("catch-up=all catch-up-max=3"),
        [
            "missed 01:00:00 01:00:00 1",
            "settled 01:00:00",
            "catch-up 02:00:00",
            "catch-up 03:00:00",
            "catch-up 04:00:00"
        ]
    );
}

#[test]
fn what_is_owed_and_not_passed_by_the_watermark_starts_once() {
    let state = |job: &Job| JobState {
        owed: vec![owed(job, "01:01:00", Trigger::Schedule)],
        ..kept(job, "01:00:00")
    };
    assert_eq!(
        judged("* * * * * a\n", "01:01:20", state),
        ["settled 01:01:00", "schedule 01:01:00"]
    );
    let text = "# cronkeep: catch-up=latest\n0 * * * * a\n";
    let state = |job: &Job| JobState {
        owed: vec![owed(job, "02:00:00", Trigger::Schedule)],
        ..kept(job, "01:00:00")
    };
    assert_eq!(judged(text, "02:30:00", state), ["settled 02:00:00", "catch-up 02:00:00"]);
}

#[test]
fn what_jitter_has_put_off_is_not_late_before_its_time() {
    let text = "# cronkeep: jitter=10h\n0 1 * * * a\n";
    let put_off = jitter::of(&table(text).jobs()[0]);
    assert!(put_off.as_secs() > 3_600, "{put_off:?}");
    let state = |job: &Job| JobState {
        owed: vec![owed(job, "01:00:00", Trigger::Schedule)],
        ..kept(job, "01:00:00")
    };
    assert_eq!(judged(text, "02:00:00", state), ["schedule 01:00:00"]);
}

#[test]
fn more_instants_within_a_grace_than_may_wait_follow_catch_up() {
    let text = "# cronkeep: grace=24h catch-up=none\n* * * * * * a\n";
    let table = table(text);
    let states = HashMap::from([(table.jobs()[0].key, kept(&table.jobs()[0], "00:00:00"))]);
    let now = at("05:00:00");
    let verdict = Past::new(&states, now, now).judge(&table);
    assert_eq!(verdict.fires.len(), COUNTED);
    assert_eq!(verdict.fires.last().unwrap().due.at, now);
    let (missed, _) = &verdict.missed[0];
    assert_eq!((missed.first.at, missed.count), (at("00:00:01"), 8_000));
    assert_eq!(missed.last.at, at("02:13:20"));
}

#[test]
fn fires_of_several_jobs_come_by_instant_then_in_file_order() {
    let table = table("# cronkeep: grace=10m\n* * * * * a\n# cronkeep: grace=10m\n*/2 * * * * b\n");
    let states = table.jobs().iter().map(|job| (job.key, kept(job, "01:00:00"))).collect();
    let now = at("01:02:10");
    let fires = Past::new(&states, now, now).judge(&table).fires;
    let fires: Vec<_> = fires
        .iter()
        .map(|fire| format!("{} {}", fire.job.action.command(), fire.due.civil.minute()))
        .collect();
    assert_eq!(fires, ["a 1", "a 2", "b 2"]);
}

/// The origin after watermarks of these generations and times, at 02:00:00, and how many were clamped.
fn origin(marks: [(u64, &str); 2]) -> (Origin, usize, JobTable) {
    let table = table("* * * * * a\n* * * * * b\n");
    let states = table.jobs().iter().zip(marks).map(|(job, (generation, time))| {
        let mark = Some(Mark::of(due(job, time), generation));
        (job.key, JobState { mark, ..kept(job, "00:00:00") })
    });
    let states = states.collect();
    let past = Past::new(&states, at("02:00:00"), at("02:00:00"));
    (past.origin().clone(), past.clamped, table)
}

#[test]
fn the_largest_generation_goes_on() {
    let (origin, clamped, _) = origin([(3, "01:59:00"), (7, "01:58:00")]);
    assert_eq!((origin.generation, clamped, origin.ahead.len()), (7, 0, 0));
}

#[test]
fn a_watermark_that_is_five_minutes_ahead_stands() {
    let (origin, clamped, table) = origin([(2, "02:05:00"), (2, "01:58:00")]);
    assert_eq!((origin.generation, clamped), (2, 0));
    let mut agenda = super::super::due::Agenda::default();
    agenda.go_on(&Arc::new(origin));
    let only_first = Arc::new(table.only(|job| job.line == 1));
    agenda.swap(only_first, at("02:00:00"), at("02:00:00"));
    assert_eq!(agenda.next(), Some(at("02:06:00")));
}

#[test]
fn a_watermark_further_ahead_is_clamped_and_opens_a_new_generation() {
    let (origin, clamped, table) = origin([(2, "02:05:01"), (2, "01:58:00")]);
    assert_eq!((origin.generation, clamped, origin.ahead.len()), (3, 1, 0));
    let mut agenda = super::super::due::Agenda::default();
    agenda.go_on(&Arc::new(origin));
    agenda.swap(Arc::new(table), at("02:00:00"), at("02:00:00"));
    assert_eq!((agenda.next(), agenda.generation()), (Some(at("02:01:00")), 3));
}

#[test]
fn a_watermark_of_a_generation_that_is_over_says_nothing_of_the_clock() {
    let (origin, clamped, _) = origin([(2, "12:00:00"), (3, "01:58:00")]);
    assert_eq!((origin.generation, clamped, origin.ahead.len()), (3, 0, 0));
}

#[test]
fn every_keeps_its_phase_and_loses_no_instant() {
    let table = table("# cronkeep: grace=1h\n@every 7m a\n");
    let job = &table.jobs()[0];
    let states = HashMap::from([(job.key, kept(job, "01:10:00"))]);
    let now = at("01:30:00");
    let past = Past::new(&states, now, now);
    assert_eq!(told(&past.judge(&table)), ["schedule 01:17:00", "schedule 01:24:00"]);
    let mut agenda = super::super::due::Agenda::default();
    agenda.go_on(&Arc::new(past.origin().clone()));
    agenda.swap(Arc::new(table), now, now);
    assert_eq!(agenda.next(), Some(at("01:31:00")));
}
