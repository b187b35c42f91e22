//! All crontabs at once.
use super::absence::catch_up;
use super::decide::{Case, Decision, Finding, Mode, Past, Standing, decide};
use super::seed::Row;
use super::snapshot::{Instance, Snapshot};
use crate::crontab::Format;

/// What the Python service left.
#[derive(Clone, Copy)]
pub struct Legacy<'a> {
    /// Its rows.
    pub rows: &'a [Row],
    /// Whether there is a user of a name.
    pub is_user: &'a dyn Fn(&str) -> bool,
    /// Whether they may be added: nobody has signed them.
    pub is_believed: bool,
}

/// Decides about every crontab, each by itself and in the order given.
///
/// A path of the snapshot that belongs to a watched directory and was not found has to be among the findings too
/// ([`Snapshot::members`]); a path that is not among them stays in the snapshot as it is. The rows count for the first
/// crontab that has a user column or was named: the service knew of one file. Beside a snapshot they are those that the
/// service has cached since ours were put. `fresh` makes a
/// new name for each file that has none.
#[must_use]
pub fn recover(
    findings: &[Finding<'_>],
    snapshot: Option<&Snapshot>,
    legacy: Option<Legacy<'_>>,
    mode: Mode,
    fresh: &mut dyn FnMut() -> Instance,
) -> Vec<Decision> {
    let mut legacy = legacy;
    let decide_one = |finding: &Finding<'_>| {
        let known = snapshot.and_then(|snapshot| snapshot.files.get(finding.path));
        let takes_rows =
            finding.dialect.format == Format::System || finding.standing == Standing::Named;
        let rows = if takes_rows { legacy.take() } else { None };
        let is_alone = snapshot.is_none();
        let past = match (known, rows) {
            (Some(known), _) => Past::Snapshot(known),
            (None, Some(legacy)) if is_alone && legacy.is_believed => {
                Past::Rows(legacy.rows, legacy.is_user)
            }
            (None, _) => Past::Nothing,
        };
        let is_added = matches!(past, Past::Rows(..));
        let decision = decide(finding, past, mode, &fresh());
        match rows
            .filter(|_| !is_added || decision.case != Case::Rows && decision.notices.is_empty())
        {
            Some(legacy) => catch_up(decision, finding, &legacy, (snapshot, findings), mode),
            None => decision,
        }
    };
    findings.iter().map(decide_one).collect()
}

/// The snapshot as decisions leave it, once it is known which of them could be written.
#[must_use]
pub fn snapshot_after(before: Option<&Snapshot>, decisions: &[Decision]) -> Snapshot {
    let mut snapshot = before.cloned().unwrap_or_default();
    for decision in decisions {
        if let Some(file) = &decision.snapshot {
            snapshot.files.insert(decision.path.clone(), file.clone());
        }
    }
    snapshot
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crontab::Dialect;

    const X: &str = "0 1 * * * root x\n";
    const Y: &str = "0 2 * * * root y\n";

    fn counter(container: &str) -> impl FnMut() -> Instance {
        let mut count = 0;
        move || {
            count += 1;
            Instance(format!("{container}{count}"))
        }
    }

    fn finding<'a>(
        path: &'a str,
        file: Option<&'a str>,
        standing: Standing,
        dialect: &'a Dialect,
    ) -> Finding<'a> {
        let file = file.map(str::as_bytes);
        Finding {
            path,
            file,
            standing,
            fixed: false,
            kinship: None,
            cut: false,
            access: None,
            dialect,
        }
    }

    #[test]
    fn each_file_is_decided_by_itself_and_the_others_stay_in_the_snapshot() {
        let dialect = Dialect::system();
        let old = [
            finding("/etc/crontab", Some(X), Standing::Named, &dialect),
            finding("/etc/cron.d/a", Some(X), Standing::Member, &dialect),
            finding("/elsewhere", Some(Y), Standing::Named, &dialect),
        ];
        let mode = Mode::Auto;
        let first = recover(&old, None, None, mode, &mut counter("a"));
        let snapshot = snapshot_after(None, &first);
        assert_eq!(snapshot.files.len(), 3);
        assert_eq!(first[1].kinship.instance, Instance("a2".to_owned()));

        // A new container, whose image has lost one file and has got another.
        let new = [
            finding("/etc/crontab", Some(X), Standing::Named, &dialect),
            finding("/etc/cron.d/a", None, Standing::Member, &dialect),
            finding("/etc/cron.d/b", Some(Y), Standing::Member, &dialect),
        ];
        let decisions = recover(&new, Some(&snapshot), None, mode, &mut counter("b"));
        let cases: Vec<Case> = decisions.iter().map(|decision| decision.case).collect();
        assert_eq!(cases, [Case::Unchanged, Case::Restored, Case::First]);
        let after = snapshot_after(Some(&snapshot), &decisions);
        assert_eq!(after.files.len(), 4);
        assert_eq!(after.files["/elsewhere"], snapshot.files["/elsewhere"]);
    }

    #[test]
    fn the_python_services_rows_go_into_one_file() {
        let (own, system) = (Dialect::spool("app"), Dialect::system());
        let findings = [
            finding("/var/spool/cron/app", Some("0 1 * * * x\n"), Standing::Member, &own),
            finding("/etc/crontab", Some(X), Standing::Named, &system),
            finding("/etc/cron.d/a", Some(X), Standing::Member, &system),
        ];
        let rows = [["0", "2", "*", "*", "*", "root", "y"].map(str::to_owned)];
        let legacy = Legacy { rows: &rows, is_user: &|_| true, is_believed: true };
        let cases = |snapshot: Option<&Snapshot>| {
            let decisions =
                recover(&findings, snapshot, Some(legacy), Mode::Auto, &mut counter("a"));
            decisions.iter().map(|decision| decision.case).collect::<Vec<_>>()
        };
        assert_eq!(cases(None), [Case::First, Case::Rows, Case::First]);
        let beside = cases(Some(&Snapshot::default()));
        assert_eq!(beside, [Case::First, Case::Since, Case::First]);
    }
}
