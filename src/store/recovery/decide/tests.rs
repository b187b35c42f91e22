//! The cases, one by one, and a container's life.
use proptest::prelude::*;

use super::*;
use crate::store::recovery::snapshot::Columns;

const IMAGE: &str = "# Managed\n0 1 * * * root x\n";
const EDITED: &str = "# Managed\n0 1 * * * root x\n0 2 * * * root y\n";
const OTHER: &str = "# Managed by v2\n0 1 * * * root x\n0 3 * * * root z\n";
const BOTH: &str = "# Managed by v2\n0 1 * * * root x\n0 3 * * * root z\n0 2 * * * root y\n";

fn name(name: &str) -> Instance {
    Instance(name.to_owned())
}

fn kinship(instance: &str, first: &str, common: Option<&str>) -> Kinship {
    Kinship { instance: name(instance), first: first.into(), common: common.map(Content::from) }
}

fn snapshot(text: Option<&str>, base: &str, instances: &[&str]) -> FileSnapshot {
    FileSnapshot {
        text: text.map(Content::from),
        base: base.into(),
        instances: instances.iter().copied().map(name).collect(),
        undecided: Vec::new(),
        access: None,
        columns: Columns::System,
        user: "root".to_owned(),
        named: None,
    }
}

/// What is found, with everything else as usual: a named file, no mount, mode auto, new name "new".
#[derive(Clone)]
struct Found<'a> {
    file: Option<&'a str>,
    kinship: Option<Kinship>,
    standing: Standing,
    fixed: bool,
    mode: Mode,
}

fn found(file: Option<&str>) -> Found<'_> {
    let standing = Standing::Named;
    Found { file, kinship: None, standing, fixed: false, mode: Mode::Auto }
}

impl Found<'_> {
    fn of(self, kinship: Kinship) -> Self {
        Found { kinship: Some(kinship), ..self }
    }

    fn member(self) -> Self {
        Found { standing: Standing::Member, ..self }
    }

    fn fixed(self) -> Self {
        Found { fixed: true, ..self }
    }

    fn mode(self, mode: Mode) -> Self {
        Found { mode, ..self }
    }

    fn with(&self, past: Past<'_>) -> Decision {
        let dialect = Dialect::system();
        let finding = Finding {
            path: "/etc/crontab",
            file: self.file.map(str::as_bytes),
            standing: self.standing,
            fixed: self.fixed,
            cut: false,
            kinship: self.kinship.as_ref(),
            access: None,
            dialect: &dialect,
        };
        decide(&finding, past, self.mode, &name("new"))
    }

    fn knowing(&self, stored: &FileSnapshot) -> Decision {
        self.with(Past::Snapshot(stored))
    }
}

/// What a decision says: the case, the file, whether it is written, S, B, the instances and the common text.
#[track_caller]
fn says(
    decision: &Decision,
    case: Case,
    write: Option<&str>,
    (text, base, instances): (Option<&str>, &str, &[&str]),
    common: Option<&str>,
) {
    assert_eq!(decision.case, case);
    assert_eq!(decision.write, write.is_some());
    if write.is_some() {
        assert_eq!(decision.text, write.map(Content::from));
    }
    assert_eq!(decision.snapshot, Some(snapshot(text, base, instances)));
    assert_eq!(decision.kinship.common, common.map(Content::from));
}

#[test]
fn case_0_without_a_snapshot_the_file_is_recorded_as_it_is() {
    let decision = found(Some(IMAGE)).with(Past::Nothing);
    says(&decision, Case::First, None, (Some(IMAGE), IMAGE, &["new"]), Some(IMAGE));
    assert_eq!(decision.kinship.first, IMAGE.into());
    // The store lost all: the base is still what the image brought.
    let old = kinship("me", IMAGE, Some(IMAGE));
    let decision = found(Some(EDITED)).of(old).with(Past::Nothing);
    says(&decision, Case::First, None, (Some(EDITED), IMAGE, &["me"]), Some(EDITED));
    let decision = found(None).with(Past::Nothing);
    assert_eq!((decision.snapshot, decision.text, decision.write), (None, None, false));
}

#[test]
fn case_1_a_named_file_that_is_missing_comes_back_whatever_the_marker_says() {
    let stored = snapshot(Some(EDITED), IMAGE, &["me"]);
    let decision = found(None).knowing(&stored);
    let after = (Some(EDITED), IMAGE, &["me", "new"][..]);
    says(&decision, Case::Restored, Some(EDITED), after, Some(EDITED));
    let decision = found(None).of(kinship("me", IMAGE, Some(EDITED))).fixed().knowing(&stored);
    says(&decision, Case::Restored, Some(EDITED), (Some(EDITED), IMAGE, &["me"]), Some(EDITED));
}

#[test]
fn case_1_an_empty_file_or_one_gone_from_a_directory_comes_back_unless_that_was_accepted_here() {
    let stored = snapshot(Some(EDITED), IMAGE, &["me"]);
    let after = (Some(EDITED), IMAGE, &["me", "new"][..]);
    for lost in [found(Some("")), found(Some("")).fixed(), found(None).member()] {
        let decision = lost.knowing(&stored);
        says(&decision, Case::Restored, Some(EDITED), after, Some(EDITED));
    }
    let me = kinship("me", IMAGE, Some(EDITED));
    let decision = found(Some("")).of(me.clone()).knowing(&stored);
    says(&decision, Case::Accepted, None, (Some(""), IMAGE, &["me"]), Some(""));
    let gone = found(None).member().of(me).knowing(&stored);
    says(&gone, Case::Accepted, None, (None, IMAGE, &["me"]), Some(""));
    assert_eq!(gone.text, None);
    // And it stays so.
    let again = found(None).member().of(gone.kinship.clone()).knowing(&gone.snapshot.unwrap());
    says(&again, Case::Unchanged, None, (None, IMAGE, &["me"]), Some(""));
}

#[test]
fn case_2_in_the_same_container_the_file_is_the_truth() {
    let stored = snapshot(Some(IMAGE), IMAGE, &["other", "me"]);
    let me = kinship("me", IMAGE, Some(IMAGE));
    let decision = found(Some(EDITED)).of(me.clone()).knowing(&stored);
    says(&decision, Case::Accepted, None, (Some(EDITED), IMAGE, &["me"]), Some(EDITED));
    let decision = found(Some(IMAGE)).of(me).knowing(&stored);
    says(&decision, Case::Unchanged, None, (Some(IMAGE), IMAGE, &["other", "me"]), Some(IMAGE));
}

#[test]
fn case_3_a_container_that_fell_behind_is_merged_from_the_text_last_in_common() {
    let stored = snapshot(Some(EDITED), IMAGE, &["other"]);
    let behind = kinship("me", IMAGE, Some(IMAGE));
    let decision = found(Some(OTHER)).of(behind.clone()).knowing(&stored);
    says(&decision, Case::Merged, Some(BOTH), (Some(BOTH), IMAGE, &["me"]), Some(BOTH));
    // Nothing was edited here: the other's text is taken over, and nobody else's file differs for it.
    let decision = found(Some(IMAGE)).of(behind).knowing(&stored);
    let after = (Some(EDITED), IMAGE, &["other", "me"][..]);
    says(&decision, Case::Merged, Some(EDITED), after, Some(EDITED));
}

#[test]
fn case_3_a_new_container_of_the_same_image_gets_the_snapshot() {
    let stored = snapshot(Some(EDITED), IMAGE, &["old"]);
    let decision = found(Some(IMAGE)).knowing(&stored);
    let after = (Some(EDITED), IMAGE, &["old", "new"][..]);
    says(&decision, Case::Restored, Some(EDITED), after, Some(EDITED));
    assert_eq!(decision.kinship.first, IMAGE.into());
}

#[test]
fn case_3_a_new_container_of_another_image_is_merged_and_its_text_is_the_base() {
    let stored = snapshot(Some(EDITED), IMAGE, &["old"]);
    let decision = found(Some(OTHER)).knowing(&stored);
    says(&decision, Case::Merged, Some(BOTH), (Some(BOTH), OTHER, &["new"]), Some(BOTH));
    // An image made of the edited container: nothing to do.
    let committed = found(Some(EDITED)).knowing(&stored);
    let after = (Some(EDITED), EDITED, &["old", "new"][..]);
    says(&committed, Case::Unchanged, None, after, Some(EDITED));
}

#[test]
fn case_4_a_mounted_or_read_only_file_is_the_truth() {
    let stored = snapshot(Some(EDITED), IMAGE, &["old"]);
    let decision = found(Some(OTHER)).fixed().knowing(&stored);
    says(&decision, Case::Accepted, None, (Some(OTHER), IMAGE, &["new"]), Some(OTHER));
    let rows = [["0", "2", "*", "*", "*", "root", "y"].map(str::to_owned)];
    let past = Past::Rows(&rows, &|_| true);
    let decision = found(Some(IMAGE)).fixed().with(past);
    says(&decision, Case::First, None, (Some(IMAGE), IMAGE, &["new"]), Some(IMAGE));
    let decision = found(Some("")).fixed().with(past);
    assert_eq!((decision.case, decision.write), (Case::Rows, true));
}

#[test]
fn case_5_the_python_services_rows_are_added_once() {
    let rows = [
        ["0", "2", "*", "*", "*", "root", "y"].map(str::to_owned),
        ["*", "*", "*", "*", "*", "root", "boot"].map(str::to_owned),
        ["x", "2", "*", "*", "*", "root", "y"].map(str::to_owned),
    ];
    let past = Past::Rows(&rows, &|_| true);
    let decision = found(Some(IMAGE)).with(past);
    let text = String::from_utf8(decision.text.clone().unwrap().to_vec()).unwrap();
    let y = "0 2 * * * root y # crond service crondServiceTask-3ee0add581e74196\n";
    assert!(
        text.starts_with(&format!("{IMAGE}{y}# * * * * * root boot # crond service ")),
        "{text}"
    );
    let stored = decision.snapshot.clone().unwrap();
    assert_eq!((stored.base.clone(), stored.text.clone()), (IMAGE.into(), Some((&*text).into())));
    assert_eq!(stored.undecided_in(text.as_bytes()).collect::<Vec<_>>(), [4]);
    assert_eq!(decision.notices.iter().filter(|notice| notice.degrades()).count(), 1);
    assert_eq!(decision.notices.len(), 2);
    // Killed between the file and the store: the rows are looked at again.
    let again = found(Some(&text)).of(decision.kinship.clone()).with(past);
    assert_eq!((again.write, again.text), (false, decision.text));
    // A file that is missing is made; without any row that will do, it is not.
    assert!(found(None).with(past).write);
    let bad = [["x"; 7].map(str::to_owned)];
    let decision = found(None).with(Past::Rows(&bad, &|_| true));
    assert_eq!((decision.write, decision.snapshot, decision.notices.len()), (false, None, 1));
}

#[test]
fn a_store_that_was_away_at_the_first_start_is_answered_as_by_a_new_container() {
    let stored = snapshot(Some(EDITED), IMAGE, &["old"]);
    // It started without the store, and was edited before that returned.
    let alone = kinship("me", IMAGE, None);
    let edited = "# Managed\n0 1 * * * root x\n0 4 * * * root w\n";
    let decision = found(Some(edited)).of(alone.clone()).knowing(&stored);
    let all = format!("{edited}0 2 * * * root y\n");
    says(&decision, Case::Merged, Some(&all), (Some(&all), IMAGE, &["me"]), Some(&all));
    let decision = found(Some(IMAGE)).of(alone).knowing(&stored);
    assert_eq!((decision.case, decision.write), (Case::Restored, true));
}

#[test]
fn a_file_that_was_removed_elsewhere_keeps_its_lines_and_loses_its_jobs() {
    let stored = snapshot(None, IMAGE, &["old"]);
    let commented = "# Managed\n# 0 1 * * * root x\n";
    let decision = found(Some(IMAGE)).member().knowing(&stored);
    let after = (Some(commented), IMAGE, &["new"][..]);
    says(&decision, Case::Merged, Some(commented), after, Some(commented));
    let other = "# Managed by v2\n# 0 1 * * * root x\n\n0 3 * * * root z\n";
    let decision = found(Some(OTHER)).member().knowing(&stored);
    says(&decision, Case::Merged, Some(other), (Some(other), OTHER, &["new"]), Some(other));
}

#[test]
fn a_file_that_cannot_be_written_runs_from_memory_and_does_not_equal_the_snapshot() {
    let stored = snapshot(Some(EDITED), IMAGE, &["old"]);
    let decision = found(Some(OTHER)).knowing(&stored).unwritten();
    assert_eq!(decision.text.as_deref(), Some(BOTH.as_bytes()));
    says(&decision, Case::Merged, None, (Some(BOTH), OTHER, &[]), Some(OTHER));
    assert_eq!(decision.notices, [Notice::FromMemory]);
    // The next start decides the same.
    let stored = decision.snapshot.unwrap();
    let again = found(Some(OTHER)).of(decision.kinship.clone()).knowing(&stored);
    says(&again, Case::Merged, Some(BOTH), (Some(BOTH), OTHER, &["new"]), Some(BOTH));
    // What was removed from the file meanwhile does not come back from the snapshot.
    let again = found(Some(IMAGE)).of(decision.kinship).knowing(&stored);
    assert_eq!(again.text.as_deref(), Some(EDITED.as_bytes()));
    let unneeded = found(Some(IMAGE)).with(Past::Nothing);
    assert_eq!(unneeded.clone().unwritten(), unneeded);
}

#[test]
fn recover_merge_merges_what_is_mounted_too() {
    let stored = snapshot(Some(EDITED), IMAGE, &["old"]);
    let decision = found(Some(OTHER)).fixed().mode(Mode::Merge).knowing(&stored);
    says(&decision, Case::Merged, Some(BOTH), (Some(BOTH), OTHER, &["new"]), Some(BOTH));
}

#[test]
fn recover_always_writes_the_snapshot() {
    let stored = snapshot(Some(EDITED), IMAGE, &["me"]);
    let me = kinship("me", IMAGE, Some(EDITED));
    for file in [Some(OTHER), Some(""), None] {
        let decision = found(file).member().fixed().of(me.clone()).mode(Mode::Always);
        let decision = decision.knowing(&stored);
        let after = (Some(EDITED), IMAGE, &["me"][..]);
        says(&decision, Case::Restored, Some(EDITED), after, Some(EDITED));
    }
    let decision = found(Some(OTHER)).mode(Mode::Always).knowing(&stored);
    let after = (Some(EDITED), OTHER, &["me", "new"][..]);
    says(&decision, Case::Restored, Some(EDITED), after, Some(EDITED));
}

#[test]
fn recover_never_writes_nothing_and_leaves_what_is_kept() {
    let stored = snapshot(Some(EDITED), IMAGE, &["old"]);
    let never = |file| found(file).mode(Mode::Never);
    for file in [Some(OTHER), Some(IMAGE), Some(""), None] {
        for decision in [never(file).knowing(&stored), never(file).member().knowing(&stored)] {
            says(&decision, Case::Left, None, (Some(EDITED), IMAGE, &["old"]), None);
            assert_eq!(decision.text.as_deref(), file.map(str::as_bytes));
        }
    }
    let decision = never(Some(EDITED)).knowing(&stored);
    let after = (Some(EDITED), IMAGE, &["old", "new"][..]);
    says(&decision, Case::Unchanged, None, after, Some(EDITED));
    let rows = [["0", "2", "*", "*", "*", "root", "y"].map(str::to_owned)];
    let decision = never(Some(IMAGE)).with(Past::Rows(&rows, &|_| true));
    says(&decision, Case::First, None, (Some(IMAGE), IMAGE, &["new"]), Some(IMAGE));
}

/// One path, in one container after the other.
struct World {
    file: Option<Vec<u8>>,
    kinship: Option<Kinship>,
    stored: Option<FileSnapshot>,
    standing: Standing,
    containers: u32,
}

impl World {
    fn start(&mut self) -> Decision {
        let dialect = Dialect::system();
        let finding = Finding {
            path: "/etc/crontab",
            file: self.file.as_deref(),
            standing: self.standing,
            fixed: false,
            cut: false,
            kinship: self.kinship.as_ref(),
            access: None,
            dialect: &dialect,
        };
        let past = self.stored.as_ref().map_or(Past::Nothing, Past::Snapshot);
        let fresh = name(&self.containers.to_string());
        let decision = decide(&finding, past, Mode::Auto, &fresh);
        if decision.write {
            self.file = decision.text.as_deref().map(<[u8]>::to_vec);
        }
        self.kinship = Some(decision.kinship.clone());
        if decision.snapshot.is_some() {
            self.stored.clone_from(&decision.snapshot);
        }
        decision
    }

    fn replace(&mut self, image: Option<&str>) {
        self.containers += 1;
        self.kinship = None;
        self.file = image.map(|text| text.as_bytes().to_vec());
    }
}

#[test]
fn an_edit_survives_its_container_and_three_restarts_change_nothing() {
    let mut world = World {
        file: Some(IMAGE.into()),
        kinship: None,
        stored: None,
        standing: Standing::Named,
        containers: 0,
    };
    world.start();
    world.file = Some(EDITED.into());
    world.start();
    world.replace(Some(IMAGE));
    world.start();
    assert_eq!(world.file.as_deref(), Some(EDITED.as_bytes()));
    world.replace(Some(OTHER));
    world.start();
    assert_eq!(world.file.as_deref(), Some(BOTH.as_bytes()));
    let settled = world.stored.clone();
    for _ in 0..3 {
        assert_eq!(world.start().case, Case::Unchanged);
        assert_eq!(world.file.as_deref(), Some(BOTH.as_bytes()));
        assert_eq!(world.stored, settled);
    }
    world.replace(Some(OTHER));
    world.start();
    assert_eq!(world.file.as_deref(), Some(BOTH.as_bytes()));
}

#[derive(Debug, Clone)]
enum Step {
    Edit(Option<usize>),
    Replace(Option<usize>),
    Forget,
    LoseMarker,
}

const TEXTS: [&str; 6] = ["", IMAGE, EDITED, OTHER, "0 1 * * * root x\n", "A=1\n0 2 * * * root y"];

fn step() -> impl Strategy<Value = Step> {
    let text = || proptest::option::weighted(0.9, 0..TEXTS.len());
    prop_oneof![
        4 => text().prop_map(Step::Edit),
        3 => text().prop_map(Step::Replace),
        1 => Just(Step::Forget),
        1 => Just(Step::LoseMarker),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn after_any_history_a_restart_changes_nothing(
        steps in proptest::collection::vec(step(), 1..8),
        is_member in any::<bool>(),
    ) {
        let standing = if is_member { Standing::Member } else { Standing::Named };
        let file = Some(IMAGE.into());
        let mut world = World { file, kinship: None, stored: None, standing, containers: 0 };
        world.start();
        for step in steps {
            match step {
                Step::Edit(text) => world.file = text.map(|at| TEXTS[at].into()),
                Step::Replace(text) => world.replace(text.map(|at| TEXTS[at])),
                Step::Forget => world.stored = None,
                Step::LoseMarker => {
                    world.containers += 1;
                    world.kinship = None;
                }
            }
            world.start();
            let (file, stored) = (world.file.clone(), world.stored.clone());
            let again = world.start();
            prop_assert_eq!(again.case, Case::Unchanged);
            prop_assert!(!again.write);
            prop_assert_eq!((&world.file, &world.stored), (&file, &stored));
        }
    }
}

#[test]
fn the_text_of_a_crontab_is_there_once_however_many_say_it() {
    let decision = found(Some(IMAGE)).with(Past::Nothing);
    let snapshot = decision.snapshot.unwrap();
    let all = [decision.text, snapshot.text, Some(snapshot.base), decision.kinship.common];
    for other in all.into_iter().map(Option::unwrap) {
        assert!(std::sync::Arc::ptr_eq(&other.0, &decision.kinship.first.0));
    }
}
