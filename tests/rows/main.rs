//! The rows of the behaviours that a drop-in crond must show, as far as they can be seen from outside, against a real crond.
//!
//! `CROND_UNDER_TEST` chooses it: ours unless it says `debian` (/usr/sbin/cron) or `busybox` (its crond). The others fail
//! where they differ; docs/compatibility.md holds the matrix, which `make rows` writes. A test's name begins with its
//! row's number. All rows live through the same two minutes: the tables of a life are written before its daemon starts, as
//! PID 1 of namespaces of its own, in a copy of the machine's files that ends with it; then the jobs' traces are judged.
#![expect(clippy::unwrap_used, reason = "a test fails where it must not go on")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test stands outside: it reads clocks and waits for the programs that it starts"
)]

/// Declares rows: a test for each, and the list of all, whose tables go into the lives before they begin.
macro_rules! rows {
    ($($(#[$doc:meta])* $name:ident: $row:expr;)*) => {
        /// The rows of this file.
        pub(crate) fn rows() -> Vec<(&'static str, $crate::scene::Row)> {
            vec![$((stringify!($name), $row)),*]
        }
        $(
            $(#[$doc])*
            #[test]
            fn $name() {
                $crate::judge::judge(stringify!($name));
            }
        )*
    };
}

mod command;
mod crond;
mod day;
mod field;
#[path = "../support/folder.rs"]
mod folder;
mod judge;
mod life;
mod line;
mod process;
mod scene;
mod source;
mod table;
