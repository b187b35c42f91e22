//! What the Python service has cached while nobody of us was there: its user went back to it for a while.
//!
//! The rows that we put last are known by their hash; these are others, and hold them, too, as far as the service has taken
//! them over. Added, as where only rows are known, is what crontab and snapshot lack. What snapshot or base have and the crontab
//! does not was removed here: that stays away, and is told.

use crate::crontab::Dialect;

use super::decide::{Case, Decision, Finding, Mode};
use super::notice::Notice;
use super::seed::{Known, Refusal, Terms, add_rows_on};
use super::snapshot::{Columns, Content, Snapshot};
use super::table::Legacy;

/// The decision with the jobs that the service has cached since, or with a word about each that is not taken.
pub(super) fn catch_up(
    decision: Decision,
    finding: &Finding<'_>,
    legacy: &Legacy<'_>,
    (snapshot, others): (Option<&Snapshot>, &[Finding<'_>]),
    mode: Mode,
) -> Decision {
    let (mut gone, mut elsewhere) = (Known::default(), Known::default());
    for other in others {
        let stored = snapshot.and_then(|snapshot| snapshot.files.get(other.path));
        let is_own = other.path == finding.path;
        if let Some(stored) = stored {
            let dialect = match stored.columns {
                Columns::System => Dialect::system(),
                Columns::User => Dialect::user(&stored.user),
            };
            gone.note(&stored.base, &dialect);
            if let Some(text) = &stored.text {
                // What another crontab had is about to be there again, perhaps.
                if is_own { &mut gone } else { &mut elsewhere }.note(text, &dialect);
            }
        }
        if let Some(text) = other.file.filter(|_| !is_own) {
            elsewhere.note(text, other.dialect);
        }
    }
    let is_fixed =
        finding.fixed && mode == Mode::Auto && finding.file.is_some_and(|it| !it.is_empty());
    let bar = if !legacy.is_believed {
        Some(Refusal::Unsigned)
    } else if mode == Mode::Never {
        Some(Refusal::Never)
    } else {
        is_fixed.then_some(Refusal::Fixed)
    };
    let text = decision.text.as_deref().unwrap_or_default();
    let terms = Terms { is_user: legacy.is_user, gone: &gone, elsewhere: &elsewhere, bar };
    let seeded = add_rows_on(text, legacy.rows, finding.dialect, &terms);
    let notices = Notice::of_rows(&seeded, legacy.rows);
    let lines = seeded.disabled.iter().map(|row| row.line[..].into()).collect();
    let is_added = seeded.added > 0 || !seeded.disabled.is_empty();
    let added = is_added.then(|| (Content::from(seeded.text), lines));
    decision.with_rows(finding, added, notices)
}

impl Decision {
    /// The same with a text that rows were added to, and the lines among them that somebody has to decide about.
    fn with_rows(
        mut self,
        finding: &Finding<'_>,
        added: Option<(Content, Vec<Content>)>,
        notices: Vec<Notice>,
    ) -> Self {
        self.notices.extend(notices);
        let Some(snapshot) = &mut self.snapshot else { return self };
        let Some((text, lines)) = added else { return self };
        self.case = Case::Since;
        self.write = finding.file != Some(&text[..]);
        snapshot.undecided.extend(lines);
        snapshot.text = Some(text.clone());
        snapshot.instances.clear();
        snapshot.note(&self.kinship.instance);
        self.kinship.common = Some(text.clone());
        self.text = Some(text);
        self
    }
}
