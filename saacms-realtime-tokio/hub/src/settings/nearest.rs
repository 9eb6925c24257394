//! What a misspelt name was most likely meant to be.

/// The one of `known` that takes the fewest edits to make of `name`; empty where none is known.
pub(super) fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> &'static str {
    known
        .min_by_key(|known| edits(name, known))
        .unwrap_or_default()
}

/// How many characters have to be put in, taken out or changed to make `to` of `from`.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (above, have) in from.chars().enumerate() {
        let mut diagonal = above;
        row[0] = above + 1;
        for (left, want) in to.chars().enumerate() {
            let changed = diagonal + usize::from(have != want);
            diagonal = row[left + 1];
            row[left + 1] = changed.min(diagonal + 1).min(row[left] + 1);
        }
    }
    row[to.chars().count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (from, to, count) in [
            ("", "", 0),
            ("", "ab", 2),
            ("ab", "", 2),
            ("lagg", "max-lag", 5),
            ("max_lag", "max-lag", 1),
            ("é", "e", 1),
        ] {
            assert_eq!(edits(from, to), count, "{from} {to}");
        }
    }

    #[test]
    fn the_nearest_name_takes_the_fewest_edits() {
        let known = ["max-lag", "max-age", "heartbeat"];
        assert_eq!(nearest("heart-beat", known.into_iter()), "heartbeat");
        assert_eq!(nearest("max-agee", known.into_iter()), "max-age");
        assert_eq!(nearest("x", [].into_iter()), "");
    }
}
