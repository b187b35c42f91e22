//! What `--shadow` tells: a file beside what the Python service caches of it, in lines of text.
use super::{Comparison, Row, compare, items};
use crate::crontab::{Crontab, Origin, Source};

/// The report on the first system or named file, which is the one that the service reads; the last line sums up.
///
/// `cache` is the value of the service's key, if there is one. Every line but the last is one finding: a cached row that is
/// refused, or a line of the file that the service runs otherwise, or not, with the reason.
#[must_use]
pub fn report(crontabs: &[(&Source, &Crontab)], cache: Option<&[u8]>) -> Vec<String> {
    let first = crontabs.iter().find(|(source, _)| source.dialect.origin != Origin::Spool);
    let Some(&(source, crontab)) = first else {
        return vec!["there is no system table and no named one to compare".to_owned()];
    };
    let mut lines = Vec::new();
    let mut cached: Vec<Row> = Vec::new();
    match cache.map(items) {
        None => lines.push("the Python service has cached nothing".to_owned()),
        Some(Err(unreadable)) => lines.push(unreadable.to_string()),
        Some(Ok(items)) => {
            for (place, item) in items.enumerate() {
                match item.map(|row| (row.clone().judged(), row)) {
                    Ok((Ok(_), row)) => cached.push(row),
                    Ok((Err(reason), row)) => {
                        lines.push(format!(
                            "cached row {}: not to be recovered: {reason}",
                            place + 1
                        ));
                        cached.push(row);
                    }
                    Err(reason) => {
                        lines.push(format!("cached row {}: refused: {reason}", place + 1));
                    }
                }
            }
        }
    }
    let Comparison { same, differences, meanings } = compare(source, crontab, &cached);
    let mut found: Vec<(u32, String)> = Vec::new();
    let name = &source.name;
    found.extend(differences.iter().map(|difference| {
        (difference.line().unwrap_or(u32::MAX), format!("{name}: {difference}"))
    }));
    found.extend(
        meanings.iter().map(|(line, meaning)| (*line, format!("{name}: line {line}: {meaning}"))),
    );
    found.sort_by_key(|(line, _)| *line);
    lines.extend(found.into_iter().map(|(_, text)| text));
    let jobs = if same == 1 { "job is" } else { "jobs are" };
    lines.push(format!(
        "{name}: {same} {jobs} the same, {} differ, {} run otherwise",
        differences.len(),
        meanings.len()
    ));
    lines
}

#[cfg(test)]
mod tests;
