//! What an accepted edit does to the snapshot while the daemon runs.
use crate::crontab::Dialect;

use super::merge::{merge, merge_jobs};
use super::notice::Notice;
use super::snapshot::{Access, Content, FileSnapshot, Instance, Kinship};

/// What an edit leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// What the snapshot is to say, if nobody changes it meanwhile.
    pub snapshot: FileSnapshot,
    /// What the marker is to say.
    pub kinship: Kinship,
    /// What is to be told.
    pub notices: Vec<Notice>,
}

/// A crontab as an edit left it.
#[derive(Debug, Clone, Copy)]
pub struct Edited<'a> {
    /// Its text; none: it was removed from its directory.
    pub file: Option<&'a [u8]>,
    /// What its marker says.
    pub kinship: &'a Kinship,
    /// Owner and mode.
    pub access: Option<Access>,
    /// The rules by which it is read.
    pub dialect: &'a Dialect,
}

/// Takes an edit into the snapshot.
///
/// `stored` is what the snapshot says about this path now, `seen` the same with the text that the edited file is to be
/// compared with: what the file and the snapshot have both come from. Where these differ the snapshot has something that
/// the file has not, an edit of another instance or what could not be written here: both are merged. The file stays as it is
/// in any case: it does not equal the snapshot then, until it is recovered; but all that it says is part of that.
#[must_use]
pub fn accept(
    edited: &Edited<'_>,
    stored: Option<&FileSnapshot>,
    seen: Option<&FileSnapshot>,
) -> Accepted {
    let Edited { file, kinship, dialect, .. } = *edited;
    let text_of = |snapshot: Option<&FileSnapshot>| snapshot.and_then(|s| s.text.clone());
    let (now, before) = (text_of(stored), text_of(seen));
    let file: Option<Content> = file.map(Content::from);
    let mut notices = Vec::new();
    let text = if now == before {
        file.clone()
    } else {
        let bytes = |text: &Option<Content>| text.clone().unwrap_or_default().0;
        let (ours, ancestor) = (bytes(&file), bytes(&before));
        let merged = match &now {
            Some(theirs) => merge(&ours, &theirs.0, &ancestor, dialect),
            None => merge_jobs(&ours, b"", &ancestor, dialect),
        };
        notices = Notice::of_merge(&merged);
        Some(Content::from(merged.text)).filter(|text| file.is_some() || !text.0.is_empty())
    };
    let mut snapshot = stored.cloned().unwrap_or_else(|| FileSnapshot {
        text: None,
        base: kinship.first.clone(),
        instances: Vec::<Instance>::new(),
        undecided: Vec::new(),
        access: None,
        columns: dialect.format.into(),
        user: dialect.user.to_string(),
        named: None,
    });
    let mut kinship = kinship.clone();
    if snapshot.text != text {
        snapshot.instances.clear();
        snapshot.text = text;
    }
    if snapshot.text == file {
        snapshot.note(&kinship.instance);
    } else {
        snapshot.instances.retain(|instance| *instance != kinship.instance);
    }
    kinship.common = Some(file.unwrap_or_default());
    snapshot.access = edited.access.or(snapshot.access);
    Accepted { snapshot, kinship, notices }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::recovery::{Finding, Mode, Past, Standing, decide};

    const X: &str = "0 1 * * * root x\n";
    const Y: &str = "0 2 * * * root y\n";
    const Z: &str = "0 3 * * * root z\n";

    fn name(name: &str) -> Instance {
        Instance(name.to_owned())
    }

    fn snapshot(text: Option<&str>, instances: &[&str]) -> FileSnapshot {
        FileSnapshot {
            text: text.map(Content::from),
            base: X.into(),
            instances: instances.iter().copied().map(name).collect(),
            undecided: Vec::new(),
            access: None,
            columns: crate::crontab::Format::System.into(),
            user: "root".to_owned(),
            named: None,
        }
    }

    fn kinship(common: &str) -> Kinship {
        Kinship { instance: name("me"), first: X.into(), common: Some(common.into()) }
    }

    fn edit(
        file: Option<&str>,
        stored: Option<&FileSnapshot>,
        seen: Option<&FileSnapshot>,
    ) -> Accepted {
        let (kinship, dialect) = (kinship(X), Dialect::system());
        let file = file.map(str::as_bytes);
        accept(&Edited { file, kinship: &kinship, access: None, dialect: &dialect }, stored, seen)
    }

    #[test]
    fn an_edit_becomes_the_snapshot_and_the_others_do_not_equal_it_any_more() {
        let stored = snapshot(Some(X), &["other", "me"]);
        let text = format!("{X}{Y}");
        let accepted = edit(Some(&text), Some(&stored), Some(&stored));
        assert_eq!(accepted.snapshot, snapshot(Some(&text), &["me"]));
        assert_eq!(accepted.kinship, kinship(&text));
    }

    #[test]
    fn an_edit_that_changes_nothing_leaves_the_others_alone() {
        let stored = snapshot(Some(X), &["other", "me"]);
        assert_eq!(edit(Some(X), Some(&stored), Some(&stored)).snapshot, stored);
    }

    #[test]
    fn a_file_that_was_removed_is_recorded_as_gone() {
        let stored = snapshot(Some(X), &["other", "me"]);
        let accepted = edit(None, Some(&stored), Some(&stored));
        assert_eq!(accepted.snapshot, snapshot(None, &["me"]));
        assert_eq!(accepted.kinship, kinship(""));
    }

    #[test]
    fn the_edits_of_two_instances_are_merged_and_the_next_start_sees_both() {
        let seen = snapshot(Some(X), &["other", "me"]);
        let (ours, theirs) = (format!("{X}{Y}"), format!("{X}{Z}"));
        let stored = snapshot(Some(&theirs), &["other"]);
        let accepted = edit(Some(&ours), Some(&stored), Some(&seen));
        let both = format!("{X}{Y}{Z}");
        assert_eq!(accepted.snapshot, snapshot(Some(&both), &[]));
        assert_eq!(accepted.kinship, kinship(&ours), "the snapshot has all of it");

        let dialect = Dialect::system();
        let finding = Finding {
            path: "/etc/crontab",
            file: Some(ours.as_bytes()),
            standing: Standing::Named,
            fixed: false,
            cut: false,
            kinship: Some(&accepted.kinship),
            access: None,
            dialect: &dialect,
        };
        let past = Past::Snapshot(&accepted.snapshot);
        let decision = decide(&finding, past, Mode::Auto, &name("new"));
        assert_eq!(decision.text.as_deref(), Some(both.as_bytes()));
    }

    #[test]
    fn what_was_added_and_removed_again_after_a_merge_is_gone_and_the_others_edit_is_not() {
        let (seen, stored) = (snapshot(Some(X), &["me"]), snapshot(Some(&format!("{X}{Z}")), &[]));
        let first = edit(Some(&format!("{X}{Y}")), Some(&stored), Some(&seen));
        let common = FileSnapshot { text: first.kinship.common.clone(), ..first.snapshot.clone() };
        let second = edit(Some(X), Some(&first.snapshot), Some(&common));
        assert_eq!(second.snapshot.text, Some(format!("{X}{Z}").as_str().into()));
        assert_eq!(second.kinship, kinship(X));
    }

    #[test]
    fn an_edit_and_a_removal_elsewhere_are_merged() {
        let seen = snapshot(Some(X), &["other", "me"]);
        let gone = snapshot(None, &["other"]);
        let accepted = edit(Some(&format!("{X}{Y}")), Some(&gone), Some(&seen));
        assert_eq!(accepted.snapshot, snapshot(Some(&format!("# {X}\n{Y}")), &[]));
        let edited = snapshot(Some(&format!("{X}{Z}")), &["other"]);
        let accepted = edit(None, Some(&edited), Some(&seen));
        assert_eq!(accepted.snapshot, snapshot(Some(Z), &[]));
        let accepted = edit(None, Some(&gone), Some(&seen));
        assert_eq!(accepted.snapshot, snapshot(None, &["other", "me"]));
    }

    #[test]
    fn the_first_edit_of_a_path_that_the_snapshot_does_not_know() {
        let accepted = edit(Some(Y), None, None);
        assert_eq!(accepted.snapshot, snapshot(Some(Y), &["me"]));
    }
}
