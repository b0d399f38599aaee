use std::fmt;

/// A NOTIFICATION message (RFC 4271 section 4.5): also the value of every error that resets a session.
#[derive(Clone, PartialEq, Eq)]
pub struct Notification {
    /// Error code, see [`code`].
    pub code: u8,
    /// Error subcode, see [`subcode`].
    pub subcode: u8,
    /// Error data.
    pub data: Vec<u8>,
}

/// Error codes (RFC 4271 section 4.5, RFC 7313, RFC 9687).
#[allow(missing_docs, reason = "the RFC's own names")]
pub mod code {
    pub const MESSAGE_HEADER: u8 = 1;
    pub const OPEN: u8 = 2;
    pub const UPDATE: u8 = 3;
    pub const HOLD_TIMER_EXPIRED: u8 = 4;
    pub const FSM: u8 = 5;
    pub const CEASE: u8 = 6;
    pub const ROUTE_REFRESH: u8 = 7;
    pub const SEND_HOLD_TIMER_EXPIRED: u8 = 8;
}

/// Error subcodes.
#[allow(missing_docs, reason = "the RFCs' own names")]
pub mod subcode {
    // Message header (RFC 4271 section 6.1)
    pub const NOT_SYNCHRONIZED: u8 = 1;
    pub const BAD_LENGTH: u8 = 2;
    pub const BAD_TYPE: u8 = 3;
    // OPEN (RFC 4271 section 6.2, RFC 5492, RFC 9234)
    pub const UNSUPPORTED_VERSION: u8 = 1;
    pub const BAD_PEER_AS: u8 = 2;
    pub const BAD_BGP_ID: u8 = 3;
    pub const UNSUPPORTED_OPTIONAL_PARAMETER: u8 = 4;
    pub const UNACCEPTABLE_HOLD_TIME: u8 = 6;
    pub const UNSUPPORTED_CAPABILITY: u8 = 7;
    // UPDATE (RFC 4271 section 6.3)
    pub const MALFORMED_ATTRIBUTE_LIST: u8 = 1;
    pub const UNRECOGNIZED_WELL_KNOWN: u8 = 2;
    pub const MISSING_WELL_KNOWN: u8 = 3;
    pub const ATTRIBUTE_FLAGS: u8 = 4;
    pub const ATTRIBUTE_LENGTH: u8 = 5;
    pub const INVALID_ORIGIN: u8 = 6;
    pub const INVALID_NEXT_HOP: u8 = 8;
    pub const OPTIONAL_ATTRIBUTE: u8 = 9;
    pub const INVALID_NETWORK_FIELD: u8 = 10;
    pub const MALFORMED_AS_PATH: u8 = 11;
    // FSM (RFC 6608)
    pub const UNEXPECTED_IN_OPEN_SENT: u8 = 1;
    pub const UNEXPECTED_IN_OPEN_CONFIRM: u8 = 2;
    pub const UNEXPECTED_IN_ESTABLISHED: u8 = 3;
    // Cease (RFC 4486, RFC 8538, RFC 9384)
    pub const MAX_PREFIXES: u8 = 1;
    pub const ADMIN_SHUTDOWN: u8 = 2;
    pub const PEER_DECONFIGURED: u8 = 3;
    pub const ADMIN_RESET: u8 = 4;
    pub const CONNECTION_REJECTED: u8 = 5;
    pub const OTHER_CONFIG_CHANGE: u8 = 6;
    pub const COLLISION: u8 = 7;
    pub const OUT_OF_RESOURCES: u8 = 8;
    pub const HARD_RESET: u8 = 9;
    pub const BFD_DOWN: u8 = 10;
    // ROUTE-REFRESH (RFC 7313)
    pub const INVALID_REFRESH_LENGTH: u8 = 1;
}

impl Notification {
    /// A notification without data.
    pub const fn new(code: u8, subcode: u8) -> Self {
        Self {
            code,
            subcode,
            data: Vec::new(),
        }
    }

    /// A notification with data.
    pub const fn with_data(code: u8, subcode: u8, data: Vec<u8>) -> Self {
        Self { code, subcode, data }
    }

    /// A Cease with a shutdown communication (RFC 9003 section 2): the text is cut at 255 octets, on a character
    /// boundary.
    pub fn cease(subcode: u8, text: &str) -> Self {
        let mut end = text.len().min(255);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut data = vec![end as u8];
        data.extend_from_slice(&text.as_bytes()[..end]);
        Self {
            code: code::CEASE,
            subcode,
            data,
        }
    }

    /// The Cease/Hard Reset that carries this notification (RFC 8538 section 3.1).
    pub fn into_hard_reset(self) -> Self {
        let mut data = vec![self.code, self.subcode];
        data.extend_from_slice(&self.data);
        Self {
            code: code::CEASE,
            subcode: subcode::HARD_RESET,
            data,
        }
    }

    /// The notification inside a Cease/Hard Reset, if there is one (RFC 8538 section 3.1).
    pub fn inside_hard_reset(&self) -> Option<Self> {
        let [code, subcode, data @ ..] = self.data.as_slice() else {
            return None;
        };
        let hard = self.code == code::CEASE && self.subcode == subcode::HARD_RESET;
        hard.then(|| Self::with_data(*code, *subcode, data.to_vec()))
    }

    /// The shutdown communication of a Cease/Administrative Shutdown or Reset, if there is a readable one
    /// (RFC 9003 section 2). Control characters are replaced: the text goes to logs.
    pub fn text(&self) -> Option<String> {
        if self.code != code::CEASE || !matches!(self.subcode, subcode::ADMIN_SHUTDOWN | subcode::ADMIN_RESET)
        {
            return None;
        }
        let (len, rest) = self.data.split_first()?;
        let text = std::str::from_utf8(rest.get(..usize::from(*len))?).ok()?;
        let clean: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        (!clean.is_empty()).then_some(clean)
    }

    /// The name of code and subcode, such as `Cease/BFD Down`.
    pub fn name(&self) -> String {
        let (code, sub) = names(self.code, self.subcode);
        match (code, sub) {
            (Some(code), Some(sub)) => format!("{code}/{sub}"),
            (Some(code), None) if self.subcode == 0 => code.to_owned(),
            (Some(code), None) => format!("{code}/{}", self.subcode),
            (None, _) => format!("code {} subcode {}", self.code, self.subcode),
        }
    }
}

fn names(code: u8, sub: u8) -> (Option<&'static str>, Option<&'static str>) {
    let pick = |list: &[&'static str]| {
        list.get(usize::from(sub))
            .copied()
            .filter(|name| !name.is_empty())
    };
    match code {
        1 => (
            Some("Message Header Error"),
            pick(&[
                "",
                "Connection Not Synchronized",
                "Bad Message Length",
                "Bad Message Type",
            ]),
        ),
        2 => (
            Some("OPEN Message Error"),
            pick(&[
                "",
                "Unsupported Version Number",
                "Bad Peer AS",
                "Bad BGP Identifier",
                "Unsupported Optional Parameter",
                "",
                "Unacceptable Hold Time",
                "Unsupported Capability",
            ]),
        ),
        3 => (
            Some("UPDATE Message Error"),
            pick(&[
                "",
                "Malformed Attribute List",
                "Unrecognized Well-known Attribute",
                "Missing Well-known Attribute",
                "Attribute Flags Error",
                "Attribute Length Error",
                "Invalid ORIGIN Attribute",
                "",
                "Invalid NEXT_HOP Attribute",
                "Optional Attribute Error",
                "Invalid Network Field",
                "Malformed AS_PATH",
            ]),
        ),
        4 => (Some("Hold Timer Expired"), None),
        5 => (
            Some("Finite State Machine Error"),
            pick(&[
                "",
                "Unexpected Message in OpenSent",
                "Unexpected Message in OpenConfirm",
                "Unexpected Message in Established",
            ]),
        ),
        6 => (
            Some("Cease"),
            pick(&[
                "",
                "Maximum Number of Prefixes Reached",
                "Administrative Shutdown",
                "Peer De-configured",
                "Administrative Reset",
                "Connection Rejected",
                "Other Configuration Change",
                "Connection Collision Resolution",
                "Out of Resources",
                "Hard Reset",
                "BFD Down",
            ]),
        ),
        7 => (
            Some("ROUTE-REFRESH Message Error"),
            pick(&["", "Invalid Message Length"]),
        ),
        8 => (Some("Send Hold Timer Expired"), None),
        _ => (None, None),
    }
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        if let Some(inside) = self.inside_hard_reset() {
            // One of a hostile peer may hold many more: one level is all that means anything.
            write!(f, ": {}", inside.name())?;
            if let Some(text) = inside.text() {
                write!(f, " ({text:?})")?;
            }
            return Ok(());
        }
        if let Some(text) = self.text() {
            write!(f, " ({text:?})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} {:02x?}", self.data)
    }
}

#[cfg(test)]
mod tests;
