//! Every kind of store keeps the same promises: one suite runs against each of them.
//!
//! A kind plugs in with a [`harness::Place`] and one line of [`suite!`].
#![expect(clippy::unwrap_used, reason = "a test fails where it must not go on")]

#[path = "../support/redis.rs"]
#[expect(dead_code, unreachable_pub, reason = "not all of it is needed here, and none elsewhere")]
#[expect(clippy::disallowed_methods, reason = "a test waits for its server as any parent does")]
mod redis;

mod bound;
mod embedded;
mod file;
mod forget;
mod harness;
mod job;
mod key;
mod kill;
mod noted;
mod outbox;
mod pause;
mod refusal;
mod run;
mod server;
mod snapshot;
mod start;
mod strained;
mod way;
mod writer;

/// The suite for one kind of store, as a module of its own.
///
/// The place is an expression, evaluated for each test: `Option<impl Place>`; none: the kind cannot be tested here, and
/// the expression has printed why.
macro_rules! suite {
    ($kind:ident, $place:expr) => {
        mod $kind {
            suite! { @tests $place;
                job: nothing_is_kept_at_first,
                job: the_load_time_of_many_jobs_is_kept,
                job: a_watermark_moves_on_within_and_over_generations_and_never_back,
                job: what_is_owed_is_kept_by_instant_until_it_is_settled,
                job: a_pause_lasts_until_it_is_resumed,
                job: all_of_a_large_batch_is_kept,
                job: any_sequence_leaves_what_a_map_would_have,
                start: a_start_moves_the_watermark_and_leaves_an_open_run,
                start: a_start_on_demand_leaves_the_watermark,
                start: a_start_settles_what_was_owed,
                start: a_watermark_that_comes_late_does_not_lower_that_of_a_start,
                start: a_thousand_starts_are_permitted_in_their_order,
                run: every_field_reads_back,
                run: a_later_record_replaces_the_earlier_one_of_the_attempt,
                run: a_run_that_ended_is_not_opened_again,
                run: runs_without_an_end_are_loaded,
                run: pages_hold_each_run_once_newest_first,
                run: runs_are_found_by_job_outcome_time_and_end_of_id,
                run: what_was_not_started_is_found_by_its_instants,
                run: a_cursor_of_somebody_else_is_refused,
                run: output_reads_back_and_is_replaced,
                outbox: what_is_posted_waits_in_order_until_it_is_done,
                outbox: of_one_id_one_message_is_kept,
                outbox: what_was_confirmed_is_known_and_what_was_dropped_is_not,
                outbox: what_is_done_makes_room_for_what_comes_with_it,
                outbox: what_waits_is_bounded_in_number_and_bytes,
                outbox: what_somebody_else_keeps_is_not_given_up,
                outbox: what_the_dead_left_becomes_ours,
                outbox: messages_are_read_by_their_ids,
                outbox: what_waits_is_read_whosever_it_is,
                outbox: large_messages_are_read_a_few_at_a_time,
                outbox: a_thousand_messages_are_kept_at_once,
                outbox: an_expiry_of_any_year_is_kept,
                snapshot: a_snapshot_is_replaced_only_by_who_has_seen_it,
                snapshot: a_forgotten_snapshot_is_gone_and_its_version_does_not_come_again,
                snapshot: the_version_outlives_a_snapshot_and_goes_on_after_one_that_was_lost,
                snapshot: a_snapshot_of_a_mebibyte_reads_back,
            }
        }
    };
    (@tests $place:expr; $($room:ident: $test:ident,)*) => {
        $(
            #[test]
            fn $test() {
                crate::harness::run($place, crate::$room::$test);
            }
        )*
    };
}

suite!(sqlite_file, Some(crate::embedded::in_a_file()));
suite!(memory, Some(crate::embedded::in_memory()));
suite!(redis_server, crate::server::server());
