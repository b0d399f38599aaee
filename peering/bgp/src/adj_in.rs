use wire::{Family, Prefix, PrefixMap};

/// The prefixes a peer has announced. Nothing of it is imported (RFC 8212); it is remembered to be counted and
/// shown, up to a limit, so that a switch cannot fill our memory.
#[derive(Debug)]
pub struct AdjRibIn {
    accepted: PrefixMap<()>,
    limit: usize,
    over_limit: u64,
    rejected: u64,
}

impl AdjRibIn {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            accepted: PrefixMap::new(),
            limit,
            over_limit: 0,
            rejected: 0,
        }
    }

    /// How many prefixes of the family are announced at present, at most the limit.
    pub fn len_of(&self, family: Family) -> usize {
        self.accepted.len_of(family)
    }

    /// How many announcements were turned away because the limit was reached, since the session came up.
    pub fn over_limit(&self) -> u64 {
        self.over_limit
    }

    /// How many announcements carried our own AS or did not begin with the peer's (RFC 4271 sections 6.3 and
    /// 9.1.2), since the session came up.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// The remembered prefixes.
    pub fn iter(&self) -> impl Iterator<Item = Prefix> {
        self.accepted.iter().map(|(prefix, ())| prefix)
    }

    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Returns whether this announcement was the first one beyond the limit.
    pub(crate) fn announce(&mut self, prefix: Prefix) -> bool {
        if self.accepted.len() >= self.limit && self.accepted.get(&prefix).is_none() {
            self.over_limit += 1;
            return self.over_limit == 1;
        }
        self.accepted.insert(prefix, ());
        false
    }

    pub(crate) fn reject(&mut self, prefix: &Prefix) {
        self.rejected += 1;
        self.accepted.remove(prefix);
    }

    pub(crate) fn withdraw(&mut self, prefix: &Prefix) {
        self.accepted.remove(prefix);
    }

    pub(crate) fn clear(&mut self) {
        self.accepted.clear();
        self.over_limit = 0;
        self.rejected = 0;
    }
}
