//! What can go wrong, and for whom.

use std::time::Duration;

/// Something that a real API server cannot be asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Answers with this status: 401 for an expired token, 403 for a missing role, 404 for a kind that is not defined, 500.
    Status(u16),
    /// Answers with 429 and the seconds after which to try again.
    TooMany(u32),
    /// Takes the request and never answers. A watch that is open goes silent.
    BlackHole,
    /// Answers after this time.
    Slow(Duration),
    /// Breaks off in the middle of a list, or of a watch's next event, and closes the connection.
    Truncated,
    /// A list without items, as if it were true.
    EmptyList,
    /// A list with half of the items, as if it were true.
    HalfList,
    /// The version that the request continues from is too old: 410.
    Gone,
    /// Closes a watch when it has been open for this time.
    ShortWatch(Duration),
    /// Sends every event twice.
    Duplicates,
    /// Sends after every change once more what the object was before.
    Stale,
    /// Sends a bookmark instead of every event.
    BookmarksOnly,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// A collection.
    List,
    /// The changes of a collection.
    Watch,
    /// One object.
    Get,
    /// To change something.
    Write,
}

/// A fault, and the requests that meet it: all of them unless it is narrowed down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub(super) fault: Fault,
    kind: Option<String>,
    verb: Option<Verb>,
    times: Option<u32>,
}

/// The faults in force.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<Rule>);

impl Rule {
    /// Only requests for this kind.
    #[must_use]
    pub fn kind(mut self, kind: &str) -> Self {
        self.kind = Some(kind.to_owned());
        self
    }

    /// Only requests that ask for this.
    #[must_use]
    pub fn verb(mut self, verb: Verb) -> Self {
        self.verb = Some(verb);
        self
    }

    /// Only the next so many of these requests. What is open already is left alone.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    fn applies(&self, kind: &str, verb: Verb) -> bool {
        self.kind.as_ref().is_none_or(|only| only == kind) && self.verb.is_none_or(|only| only == verb)
    }
}

impl From<Fault> for Rule {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            kind: None,
            verb: None,
            times: None,
        }
    }
}

impl Rules {
    pub(super) fn add(&mut self, rule: Rule) {
        self.0.push(rule);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The faults that a new request meets; counts it.
    pub(super) fn meet(&mut self, kind: &str, verb: Verb) -> Vec<Fault> {
        let mut met = Vec::new();
        for rule in self.0.iter_mut().filter(|rule| rule.applies(kind, verb)) {
            met.push(rule.fault.clone());
            if let Some(times) = &mut rule.times {
                *times -= 1;
            }
        }
        self.0.retain(|rule| rule.times != Some(0));
        met
    }

    /// The faults that an open watch meets.
    pub(super) fn meet_open(&self, kind: &str) -> Vec<Fault> {
        let lasting = self.0.iter().filter(|rule| rule.times.is_none());
        lasting
            .filter(|rule| rule.applies(kind, Verb::Watch))
            .map(|rule| rule.fault.clone())
            .collect()
    }
}
