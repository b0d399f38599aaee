use super::Change;
use wire::{Prefix, PrefixMap};

/// How many claims there are for each prefix of the desired set. Who claims it is not stored here: that is asked
/// seldom, and the objects know.
#[derive(Debug, Default)]
pub(super) struct Claims {
    counts: PrefixMap<u32>,
}

impl Claims {
    /// Adds one claim; the change, if the prefix was not desired before.
    pub(super) fn add(&mut self, prefix: Prefix) -> Option<Change> {
        let count = self.counts.get_or_insert_with(&prefix, || 0);
        *count += 1;
        (*count == 1).then_some(Change {
            prefix,
            announced: true,
        })
    }

    /// Takes one claim back; the change, if it was the last one.
    pub(super) fn remove(&mut self, prefix: Prefix) -> Option<Change> {
        let count = self.counts.get_mut(&prefix)?;
        *count = count.saturating_sub(1);
        if *count > 0 {
            return None;
        }
        self.counts.remove(&prefix);
        Some(Change {
            prefix,
            announced: false,
        })
    }

    /// Replaces the claims `old` by `new`, both ordered. What is in both is not touched, and claims are added
    /// before others are taken back, so that no prefix is announced and withdrawn for one event.
    pub(super) fn replace(&mut self, old: &[Prefix], new: &[Prefix], changes: &mut Vec<Change>) {
        let (mut old_at, mut new_at) = (0, 0);
        let mut gone = Vec::new();
        loop {
            match (old.get(old_at), new.get(new_at)) {
                (None, None) => break,
                (Some(was), Some(is)) if was == is => {
                    old_at += 1;
                    new_at += 1;
                }
                (Some(was), is) if is.is_none_or(|is| was < is) => {
                    gone.push(*was);
                    old_at += 1;
                }
                (_, Some(is)) => {
                    changes.extend(self.add(*is));
                    new_at += 1;
                }
                (Some(_), None) => break,
            }
        }
        for prefix in gone {
            changes.extend(self.remove(prefix));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    pub(super) fn contains(&self, prefix: &Prefix) -> bool {
        self.counts.get(prefix).is_some()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Prefix> + '_ {
        self.counts.iter().map(|(prefix, _)| prefix)
    }
}
