//! When all that was there at the start is known.

use crate::objects::Kind;
use crate::sources::Batch;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long a kind that the server refuses to list holds the start back.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How far a kind came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is no answer yet, or none that says anything.
    Waiting,
    /// The server refuses to list it, and will until somebody changes something.
    Refused,
    /// It was listed to the end.
    Listed,
}

/// What is known of each kind. Pure.
#[derive(Debug)]
pub(super) struct StartUp {
    kinds: Vec<(Kind, Standing, Instant)>,
}

impl StartUp {
    pub(super) fn new(kinds: impl Iterator<Item = Kind>) -> Self {
        let now = Instant::now();
        let kinds = kinds.map(|kind| (kind, Standing::Waiting, now));
        Self {
            kinds: kinds.collect(),
        }
    }

    /// Takes in how far a kind came. One that was listed stays listed.
    pub(super) fn note(&mut self, kind: Kind, standing: Standing, now: Instant) {
        let known = self.kinds.iter_mut().find(|(known, ..)| *known == kind);
        let Some((_, former, since)) = known else { return };
        if *former != Standing::Listed && *former != standing {
            *former = standing;
            *since = now;
        }
    }

    /// When to go on without the kinds that are refused; `None` as long as an answer is awaited. With nothing listed
    /// at all there is no point in going on: it would say that there is nothing to announce.
    pub(super) fn due(&self) -> Option<Instant> {
        let has = |standing| self.kinds.iter().any(|(_, known, _)| *known == standing);
        if has(Standing::Waiting) || !has(Standing::Listed) {
            return None;
        }
        let due = self.kinds.iter().map(|(_, standing, since)| match standing {
            Standing::Refused => *since + PATIENCE,
            Standing::Listed | Standing::Waiting => *since,
        });
        due.max()
    }

    /// The kinds that are refused.
    pub(super) fn refused(&self) -> impl Iterator<Item = Kind> + '_ {
        let refused = self
            .kinds
            .iter()
            .filter(|(_, standing, _)| *standing == Standing::Refused);
        refused.map(|(kind, ..)| *kind)
    }
}

/// Hears how far the kinds came, and sends the batch that says that everything is known.
pub(super) async fn run(
    mut start_up: StartUp,
    mut heard: mpsc::Receiver<(Kind, Standing)>,
    batches: mpsc::Sender<Batch>,
) {
    loop {
        let due = start_up.due();
        let sleep = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            said = heard.recv() => {
                let Some((kind, standing)) = said else { return };
                start_up.note(kind, standing, Instant::now());
            }
            () = sleep => break,
        }
    }
    for kind in start_up.refused() {
        tracing::warn!(
            %kind,
            seconds = PATIENCE.as_secs(),
            "the API server still refuses to list these; going on without them until it does"
        );
    }
    let complete = Batch {
        complete: true,
        ..Batch::default()
    };
    // Without a consumer there is nobody to tell.
    let _ = batches.send(complete).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start_up() -> (StartUp, Instant) {
        let kinds = [Kind::Pod, Kind::Subnet];
        (StartUp::new(kinds.into_iter()), Instant::now())
    }

    #[test]
    fn all_listed_is_due_at_once() {
        let (mut start_up, now) = start_up();
        assert_eq!(start_up.due(), None);
        start_up.note(Kind::Pod, Standing::Listed, now);
        assert_eq!(start_up.due(), None);
        start_up.note(Kind::Subnet, Standing::Listed, now);
        assert_eq!(start_up.due(), Some(now));
    }

    #[test]
    fn a_refused_kind_is_waited_for_but_not_for_ever() {
        let (mut start_up, now) = start_up();
        start_up.note(Kind::Pod, Standing::Listed, now);
        start_up.note(Kind::Subnet, Standing::Refused, now);
        start_up.note(Kind::Subnet, Standing::Refused, now + PATIENCE / 2);
        assert_eq!(start_up.due(), Some(now + PATIENCE));
        assert_eq!(start_up.refused().collect::<Vec<_>>(), [Kind::Subnet]);
    }

    #[test]
    fn an_outage_is_waited_for() {
        let (mut start_up, now) = start_up();
        start_up.note(Kind::Pod, Standing::Listed, now);
        start_up.note(Kind::Subnet, Standing::Refused, now);
        start_up.note(Kind::Subnet, Standing::Waiting, now);
        assert_eq!(start_up.due(), None);
        // What was listed is known, whatever comes later.
        start_up.note(Kind::Pod, Standing::Waiting, now);
        start_up.note(Kind::Subnet, Standing::Listed, now);
        assert!(start_up.due().is_some());
    }

    #[test]
    fn with_everything_refused_nothing_is_known() {
        let (mut start_up, now) = start_up();
        start_up.note(Kind::Pod, Standing::Refused, now);
        start_up.note(Kind::Subnet, Standing::Refused, now);
        assert_eq!(start_up.due(), None);
    }
}
