//! `CPython`'s list sort, as far as an inconsistent order shows how it works.

/// Below this length `CPython` sorts a list as one run; above it merges runs.
const ONE_RUN: usize = 64;

/// Sorts as `CPython` 3.11's `list.sort` does; none if a comparison fails, which there raises an error.
///
/// `less` need not be an order: python-crontab's is not, and the outcome then depends on which items are
/// compared. Up to 63 items every comparison is `CPython`'s. Longer lists come out equal wherever the
/// order is consistent, as it is for numbers alone and for ranges alone.
pub(super) fn sort<T: Copy>(items: &mut [T], less: impl Fn(T, T) -> Option<bool>) -> Option<()> {
    if items.len() < ONE_RUN {
        return sort_run(items, &less);
    }
    for run in items.chunks_mut(ONE_RUN / 2) {
        sort_run(run, &less)?;
    }
    let mut merged = items.to_vec();
    let mut width = ONE_RUN / 2;
    while width < items.len() {
        for (pair, into) in items.chunks(2 * width).zip(merged.chunks_mut(2 * width)) {
            let (left, right) = pair.split_at(width.min(pair.len()));
            merge(left, right, into, &less)?;
        }
        items.copy_from_slice(&merged);
        width *= 2;
    }
    Some(())
}

/// Counts the run at the start, turns it round if it descends, and inserts the other items into it.
fn sort_run<T: Copy>(items: &mut [T], less: &impl Fn(T, T) -> Option<bool>) -> Option<()> {
    let sorted = count_run(items, less)?;
    for next in sorted..items.len() {
        let pivot = items[next];
        let (mut left, mut right) = (0, next);
        while left < right {
            let middle = left + (right - left) / 2;
            if less(pivot, items[middle])? {
                right = middle;
            } else {
                left = middle + 1;
            }
        }
        items[left..=next].rotate_right(1);
    }
    Some(())
}

/// The length of the run at the start, which ascends afterwards.
fn count_run<T: Copy>(items: &mut [T], less: &impl Fn(T, T) -> Option<bool>) -> Option<usize> {
    if items.len() < 2 {
        return Some(items.len());
    }
    let descends = less(items[1], items[0])?;
    let mut length = 2;
    while length < items.len() && less(items[length], items[length - 1])? == descends {
        length += 1;
    }
    if descends {
        items[..length].reverse();
    }
    Some(length)
}

/// Merges two sorted runs; of equal items the left one comes first.
fn merge<'a, T: Copy>(
    mut left: &'a [T],
    mut right: &'a [T],
    into: &mut [T],
    less: &impl Fn(T, T) -> Option<bool>,
) -> Option<()> {
    for place in into {
        let from_right = match (left, right) {
            ([], _) => true,
            (_, []) => false,
            ([first, ..], [second, ..]) => less(*second, *first)?,
        };
        let source = if from_right { &mut right } else { &mut left };
        if let Some((item, rest)) = source.split_first() {
            *place = *item;
            *source = rest;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_descending_run_is_turned_round() {
        let mut items = [5, 4, 3, 9, 1];
        sort(&mut items, |a, b| Some(a < b)).unwrap();
        assert_eq!(items, [1, 3, 4, 5, 9]);
    }

    #[test]
    fn a_failing_comparison_fails_the_sort() {
        assert_eq!(sort(&mut [2, 1], |_, _| None), None);
        assert_eq!(sort(&mut [1], |_, _| None), Some(()));
    }

    #[test]
    fn an_inconsistent_order_swaps_two_items_each_time() {
        let mut items = [1, 2];
        let contrary = |a: i32, b: i32| Some(a != b);
        sort(&mut items, contrary).unwrap();
        assert_eq!(items, [2, 1]);
        sort(&mut items, contrary).unwrap();
        assert_eq!(items, [1, 2]);
    }

    proptest! {
        #[test]
        fn a_consistent_order_sorts_stably_at_any_length(
            keys in proptest::collection::vec(0..20u8, 0..300),
        ) {
            let mut items: Vec<(u8, usize)> = keys.into_iter().zip(0..).collect();
            let mut expected = items.clone();
            expected.sort_by_key(|item| item.0);
            sort(&mut items, |a, b| Some(a.0 < b.0)).unwrap();
            prop_assert_eq!(items, expected);
        }
    }
}
