//! How a crontab comes back: what is to be done about a file, given what the store knows of it.
//!
//! Receives what was found at the crontabs' paths ([`Finding`]), the [`Snapshot`] and perhaps the rows of the Python
//! service; hands on one [`Decision`] for each: what to write, what is in force, what the snapshot and the marker beside
//! the file are to say, and what to tell. Pure: it reads no file and no clock, and does none of what it decides.
//!
//! `decide` holds the cases, `merge` the three-way merge, `seed` the Python service's rows, `table` all files at once,
//! `edit` what an accepted edit does to the snapshot while the daemon runs, `bound` how many crontabs it knows.

mod absence;
mod bound;
pub mod decide;
pub mod edit;
pub mod merge;
pub mod notice;
pub mod seed;
pub mod snapshot;
pub mod table;

pub use decide::{Case, Decision, Finding, Mode, Past, Standing, decide};
pub use edit::{Accepted, Edited, accept};
pub(crate) use merge::shown;
pub use merge::{Merged, Part, Warning, Warnings, merge};
pub use notice::Notice;
pub use seed::{Disabled, Doubt, Refusal, Row, Seeded, add_rows};
pub use snapshot::{
    Access, BadSnapshot, Columns, Content, FileSnapshot, Instance, Kinship, Marker, Snapshot,
};
pub use table::{Legacy, recover, snapshot_after};
