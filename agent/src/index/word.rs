use std::fmt;

/// What the announcement annotation of an object says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Word {
    /// The annotation is absent or empty.
    #[default]
    Unset,
    /// `true`.
    True,
    /// `yes`, an alias of `true` that the user documentation has always named.
    Yes,
    /// `cluster`: announced by every speaker.
    Cluster,
    /// `local`: announced by the speaker on the pod's node.
    Local,
    /// `false`: not announced. On a pod this overrides the subnet.
    False,
    /// Something else: not announced, and diagnosed.
    Unknown(Box<str>),
}

impl Word {
    pub(super) fn read(annotation: Option<&str>) -> Self {
        match annotation {
            None | Some("") => Self::Unset,
            Some("true") => Self::True,
            Some("yes") => Self::Yes,
            Some("cluster") => Self::Cluster,
            Some("local") => Self::Local,
            Some("false") => Self::False,
            Some(other) => Self::Unknown(excerpt(other)),
        }
    }

    pub(super) fn is_set(&self) -> bool {
        *self != Self::Unset
    }

    /// Whether every speaker announces.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::True | Self::Yes | Self::Cluster)
    }

    pub(super) fn is_local(&self) -> bool {
        *self == Self::Local
    }

    /// Whether anything is asked to be announced, by whichever speaker.
    pub(super) fn announces(&self) -> bool {
        self.is_cluster() || self.is_local()
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unset => "",
            Self::True => "true",
            Self::Yes => "yes",
            Self::Cluster => "cluster",
            Self::Local => "local",
            Self::False => "false",
            Self::Unknown(word) => word,
        })
    }
}

/// A piece of what a user wrote, short enough for one log line.
pub(super) fn excerpt(text: &str) -> Box<str> {
    /// Longer than any address or policy word, shorter than a terminal line.
    const LIMIT: usize = 64;
    if text.chars().count() <= LIMIT {
        return text.into();
    }
    let mut short: String = text.chars().take(LIMIT).collect();
    short.push('…');
    short.into()
}
