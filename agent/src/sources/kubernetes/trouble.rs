use super::watched::Watched;
use crate::objects::Kind;
use kube::client::AuthError;
use std::error::Error;
use std::time::Duration;

/// Why a request to the API server was of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There is no answer.
    Unreachable(String),
    /// The credential cannot be had or is not accepted (401).
    Unauthorized(String),
    /// The account may not do that (403).
    Forbidden(String),
    /// The server does not know the resource (404).
    Unknown,
    /// The version or the continue token is too old (410).
    Expired,
    /// The server has too much to do (429) or is in trouble itself (5xx), and other refusals.
    Refused {
        /// The HTTP status.
        code: u16,
        /// What it says.
        message: String,
        /// How long it asks us to wait.
        wait: Option<Duration>,
    },
    /// The answer is none that an API server gives.
    Nonsense(String),
}

/// What was attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verb {
    List,
    Watch,
}

impl Trouble {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "whatever else a client may say, there was no answer"
    )]
    pub(super) fn from_error(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => {
                let details = status.details.as_ref();
                let wait = details.map(|details| Duration::from_secs(details.retry_after_seconds.into()));
                Self::from_code(status.code, &status.message, wait)
            }
            kube::Error::Auth(AuthError::ReadTokenFile(error, path)) => {
                Self::Unauthorized(format!("{}: {error}", path.display()))
            }
            // What a credential plugin wrote may hold the credential.
            kube::Error::Auth(_) => Self::no_credential(),
            kube::Error::Service(error) if error.is::<AuthError>() => Self::no_credential(),
            kube::Error::FromUtf8(_) => Self::Nonsense("not UTF-8".to_owned()),
            error => Self::Unreachable(with_causes(error)),
        }
    }

    pub(super) fn from_code(code: u16, message: &str, wait: Option<Duration>) -> Self {
        let message = shorten(message);
        match code {
            401 => Self::Unauthorized(message),
            403 => Self::Forbidden(message),
            404 => Self::Unknown,
            410 => Self::Expired,
            _ => Self::Refused { code, message, wait },
        }
    }

    fn no_credential() -> Self {
        Self::Unauthorized("there is no usable credential".to_owned())
    }

    pub(super) fn nonsense(error: &serde_json::Error) -> Self {
        Self::Nonsense(error.to_string())
    }

    /// How long the server asks us to wait.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Refused { wait, .. } => *wait,
            Self::Unreachable(_)
            | Self::Unauthorized(_)
            | Self::Forbidden(_)
            | Self::Unknown
            | Self::Expired
            | Self::Nonsense(_) => None,
        }
    }

    /// Whether the server will go on to refuse this kind until somebody changes something.
    pub(super) fn is_lasting(&self) -> bool {
        matches!(self, Self::Forbidden(_) | Self::Unknown)
    }

    /// Whether it is the same to an operator, in whatever words.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// What to tell an operator.
    pub(super) fn explain(&self, verb: Verb, watched: &Watched) -> String {
        let (plural, group) = (watched.plural(), watched.group());
        let verb = match verb {
            Verb::List => "list",
            Verb::Watch => "watch",
        };
        let why = match self {
            Self::Unreachable(reason) => format!("the API server cannot be reached: {reason}"),
            Self::Unauthorized(reason) => format!(
                "the API server does not accept this speaker (401): {reason}; see the token of its service account or \
                 the kubeconfig"
            ),
            Self::Forbidden(reason) => format!(
                "forbidden (403): {reason}; allow the verbs list and watch on {plural} in apiGroup {group:?} in the \
                 ClusterRole that is bound to the account of this speaker"
            ),
            Self::Unknown => format!(
                "the API server does not know {plural} in {} (404); {}",
                watched.kind.api_version(),
                if watched.kind == Kind::EndpointSlice {
                    "it needs Kubernetes 1.17, or turn off announce.services.requireReadyEndpoints"
                } else {
                    "install the CustomResourceDefinitions of Kube-OVN"
                }
            ),
            Self::Expired => "the version asked for is too old (410)".to_owned(),
            Self::Refused { code, message, .. } => format!("the API server answers {code}: {message}"),
            Self::Nonsense(reason) => format!("the answer cannot be read: {reason}"),
        };
        format!("cannot {verb} {plural}: {why}")
    }
}

/// The longest text of a foreign message that is repeated.
const LONGEST: usize = 400;

fn shorten(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.chars().take(LONGEST).collect()
}

/// An error with its causes; those that are repeated in it only once.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    shorten(&text)
}
