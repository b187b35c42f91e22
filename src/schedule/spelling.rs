//! The likeliest word that was meant.

/// The candidate that differs least from `word`, if one is near enough to be what was meant.
///
/// Near: at most a third of the word's letters, and at most three, inserted, left out, replaced or swapped;
/// case does not count.
#[must_use]
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(64).flat_map(char::to_lowercase).collect();
    let limit = (word.len() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other: Vec<char> = candidate.chars().flat_map(char::to_lowercase).collect();
            let far = word.len().abs_diff(other.len()) > limit;
            let distance = if far { usize::MAX } else { distance(&word, &other) };
            (distance <= limit).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits from one word to the other; a swap of neighbours is one.
fn distance(one: &[char], other: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for row in 0..one.len() {
        let mut here = vec![row + 1];
        for column in 0..other.len() {
            let replaced = above[column] + usize::from(one[row] != other[column]);
            let mut best = replaced.min(above[column + 1] + 1).min(here[column] + 1);
            let swapped = row > 0
                && column > 0
                && one[row] == other[column - 1]
                && one[row - 1] == other[column];
            if swapped {
                best = best.min(before[column - 1] + 1);
            }
            here.push(best);
        }
        before = std::mem::replace(&mut above, here);
    }
    above[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_finds_none() {
        let words = ["@daily", "@weekly", "@hourly"];
        assert_eq!(closest("@dayly", words), Some("@daily"));
        assert_eq!(closest("@DAILY", words), Some("@daily"));
        assert_eq!(closest("@weekl", words), Some("@weekly"));
        assert_eq!(closest("@shutdown", words), None);
        assert_eq!(closest("", words), None);
    }

    #[test]
    fn swapped_neighbours_are_one_slip() {
        let word = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(distance(&word("tiemout"), &word("timeout")), 1);
        assert_eq!(distance(&word("abc"), &word("")), 3);
        assert_eq!(distance(&word("kitten"), &word("sitting")), 3);
    }
}
