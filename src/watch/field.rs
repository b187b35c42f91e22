//! All places together: what is asked of the file system, in steps that may be carried out beside.
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Edit;
use super::inotify::{Arms, Plan, Signal};
use super::mount::{mount_points, remote_file_system};
use super::notice::{Cause, Notice};
use super::path::Trail;
use super::site::{Found, Scan, Site, Suspect};

/// How often the trails are followed anew while they change under the arming.
const TRAILS: usize = 4;

/// What knows of its users; watched while one is missing.
const USERS: &str = "/etc/passwd";

/// Every place, and what is armed to hear of its changes.
pub(super) struct Field {
    sites: Vec<Site>,
    /// Where each of them leads.
    trails: Vec<Trail>,
    arms: Arms,
    /// Whether a name was heard to mean another file since the last arming.
    pub(super) moved: bool,
    /// Why inotify does not suffice, if it does not.
    shortfall: Option<Cause>,
    pub(super) notices: Vec<Notice>,
}

impl Field {
    pub(super) fn new(sites: Vec<Site>, signal: Arc<Signal>) -> Self {
        Field {
            sites,
            trails: Vec::new(),
            arms: Arms::new(signal),
            moved: false,
            shortfall: None,
            notices: Vec::new(),
        }
    }

    /// Whether inotify does not suffice.
    pub(super) fn falls_short(&self) -> bool {
        self.shortfall.is_some()
    }

    /// The next time at which an empty or missing file starts to count as such.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.sites.iter().filter_map(Site::deadline).min()
    }

    /// Whether anything may have changed, by the stamps.
    pub(super) fn is_stale(&mut self) -> bool {
        self.sites.iter_mut().any(Site::is_stale)
    }

    /// Arms every trail as it leads now; repeated where one changed between being followed and being armed.
    pub(super) fn arm(&mut self) {
        for _ in 0..TRAILS {
            let plan = self.plan();
            if !self.moved && self.arms.hold(&plan) {
                return;
            }
            self.moved = false;
            let remote = plan.paths().find_map(remote_file_system);
            let shortfall = match self.arms.arm(plan) {
                Ok(()) => remote.map(Cause::Remote),
                Err(reason) => Some(Cause::Unavailable(reason)),
            };
            let failed = matches!(shortfall, Some(Cause::Unavailable(_)));
            self.set_shortfall(shortfall);
            if failed {
                return;
            }
        }
        // It never held still; the next event or slow poll arms what it leads to then.
        self.moved = true;
    }

    fn plan(&mut self) -> Plan {
        self.sites.iter_mut().for_each(Site::take_shape);
        self.trails = self.sites.iter().map(|site| Trail::follow(&site.absolute)).collect();
        let mut plan = Plan::of(&self.trails);
        for (site, trail) in self.sites.iter().zip(&self.trails) {
            if let (true, Some(folder)) = (site.is_folder, &trail.file) {
                plan.take_folder(folder, site.names());
                plan.add(&site.links());
            }
        }
        if self.sites.iter().any(Site::has_orphan) {
            plan.add(&[Trail::follow(Path::new(USERS))]);
        }
        plan
    }

    fn set_shortfall(&mut self, shortfall: Option<Cause>) {
        match (&self.shortfall, &shortfall) {
            (Some(_), None) => self.notices.push(Notice::Announced),
            (before, Some(cause)) if before.as_ref() != Some(cause) => {
                self.notices.push(Notice::Polling(cause.clone()));
            }
            _ => {}
        }
        self.shortfall = shortfall;
    }

    /// Arms, then reads what may have changed for the first time.
    pub(super) fn scan(&mut self, scan: Scan) -> Vec<Vec<Suspect>> {
        self.arm();
        // What is written on another host has another host's times.
        let before = scan.before.filter(|_| !self.falls_short());
        let scan = Scan { before, ..scan };
        self.sites.iter_mut().map(|site| site.scan(scan, &mut self.notices)).collect()
    }

    /// Reads for the second time.
    pub(super) fn confirm(&self, suspects: Vec<Vec<Suspect>>) -> Vec<Found> {
        self.sites.iter().zip(suspects).map(|(site, suspects)| site.confirm(suspects)).collect()
    }

    /// Judges what two looks came to; gives what is to be handed on.
    pub(super) fn judge(&mut self, found: Vec<Found>, first: bool, now: Duration) -> Vec<Edit> {
        let sites = self.sites.iter().zip(&found);
        let new: Vec<_> = sites.flat_map(|(site, found)| site.appeared(found)).collect();
        let mut edits = Vec::new();
        for (site, found) in self.sites.iter_mut().zip(found) {
            edits.extend(site.judge(found, &new, first, now, &mut self.notices));
        }
        self.check_mounts();
        // Who waits for a user is told at once when there is one.
        if self.sites.iter().any(Site::has_orphan) {
            self.arm();
        }
        edits
    }

    /// Says of each file that is a mount of its own that it is one; once.
    fn check_mounts(&mut self) {
        let mut table: Option<HashSet<PathBuf>> = None;
        for (index, (site, trail)) in self.sites.iter_mut().zip(&self.trails).enumerate() {
            for (name, source) in &mut site.files {
                let identity = source.identity();
                if source.mount_told || identity == source.mount_checked {
                    continue;
                }
                source.mount_checked = identity;
                let Some(place) = &trail.file else { continue };
                let mounts = table.get_or_insert_with(|| {
                    mount_points(&fs::read("/proc/self/mountinfo").unwrap_or_default()).collect()
                });
                let is_mount = if name.is_empty() {
                    mounts.contains(place)
                } else {
                    mounts.contains(&place.join(name))
                };
                if is_mount {
                    source.mount_told = true;
                    let path = Arc::clone(&source.typed);
                    self.notices.push(Notice::FileMount { place: index, path });
                }
            }
        }
    }
}
