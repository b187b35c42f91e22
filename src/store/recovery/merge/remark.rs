//! Comments and directives of the snapshot that belong to no job: what stands at its head, between its jobs, at its end.
use std::collections::HashSet;

use super::table::{Table, words};
use crate::crontab::LineKind;

/// Comments of the snapshot that stand directly above no job.
#[derive(Debug, Default)]
pub(super) struct Remarks<'a> {
    /// What stands above all settings and jobs.
    head: Vec<&'a [u8]>,
    /// The other blocks, in their order.
    others: Vec<Vec<&'a [u8]>>,
    /// What the lines of the ancestor say: whoever has that no more has removed it.
    before: HashSet<&'a [u8]>,
}

impl<'a> Remarks<'a> {
    /// What the snapshot has of them, and the ancestor perhaps, too.
    pub(super) fn of(stored: &'a Table, ancestor: &'a Table) -> Self {
        let mut remarks = Remarks::default();
        let lines = &ancestor.crontab.lines;
        remarks.before = (0..lines.len()).map(|place| words(ancestor.text(place))).collect();
        let mut jobs = stored.jobs.iter().peekable();
        let (mut is_head, mut block) = (true, Vec::new());
        for (place, line) in stored.crontab.lines.iter().enumerate() {
            if matches!(line.kind, LineKind::Comment | LineKind::Directive) {
                block.push(stored.text(place).trim_ascii());
                continue;
            }
            let block = std::mem::take(&mut block);
            // What stands directly above a job is that job's.
            if jobs.next_if(|job| job.place == place).is_none() {
                remarks.take(block, is_head);
            }
            is_head &= matches!(line.kind, LineKind::Blank);
        }
        remarks.take(block, is_head);
        remarks
    }

    fn take(&mut self, block: Vec<&'a [u8]>, is_head: bool) {
        if is_head {
            self.head.extend(block);
        } else if !block.is_empty() {
            self.others.push(block);
        }
    }

    /// Adds to a crontab what neither it nor the ancestor says: the head in front, the rest at the end, a blank line between
    /// it and what it must not be taken to be about.
    pub(super) fn add(&self, text: Vec<u8>, ending: &[u8]) -> Vec<u8> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let said: HashSet<&[u8]> = text.split(|&byte| byte == b'\n').map(words).collect();
        let is_new = |line: &&&[u8]| {
            let words = words(line);
            !said.contains(words) && !self.before.contains(words)
        };
        let lines = |block: &Vec<&[u8]>| -> Vec<u8> {
            block.iter().filter(is_new).flat_map(|line| [line, ending].concat()).collect()
        };
        let (head, others) = (lines(&self.head), self.others.iter().map(lines));
        let others: Vec<Vec<u8>> = others.filter(|block| !block.is_empty()).collect();
        if head.is_empty() && others.is_empty() {
            return text;
        }
        let (mark, body) = match text.strip_prefix(MARK) {
            Some(body) => (MARK, body),
            None => (&b""[..], &text[..]),
        };
        let mut added = mark.to_vec();
        added.extend_from_slice(&head);
        if !head.is_empty() && !matches!(body, [] | [b'\n' | b'\r', ..]) {
            added.extend_from_slice(ending);
        }
        added.extend_from_slice(body);
        for block in others {
            if !matches!(&added[mark.len()..], [] | [.., b'\n']) {
                added.extend_from_slice(ending);
            }
            if added.len() > mark.len() {
                added.extend_from_slice(ending);
            }
            added.extend_from_slice(&block);
        }
        added
    }
}
