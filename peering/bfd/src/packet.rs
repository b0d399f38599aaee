//! The BFD Control packet of RFC 5880 §4: decode and encode.

use std::num::{NonZeroU8, NonZeroU32};

use crate::Discard;

/// Octets of the mandatory section (RFC 5880 §4.1).
pub const MIN_PACKET_LEN: usize = 24;

/// Octets of the longest packet this crate sends: the mandatory section and a SHA1 authentication section.
pub const MAX_PACKET_LEN: usize = MIN_PACKET_LEN + SHA1_AUTH_LEN;

pub(crate) const MD5_AUTH_LEN: usize = 24;
pub(crate) const SHA1_AUTH_LEN: usize = 28;
/// Octets in front of the password in a Simple Password section: type, length, key ID.
pub(crate) const PASSWORD_OFFSET: usize = 3;
/// Octets in front of the digest in a keyed section: type, length, key ID, reserved, sequence number.
pub(crate) const DIGEST_OFFSET: usize = 8;
/// The longest password of RFC 5880 §4.2.
pub(crate) const MAX_PASSWORD_LEN: usize = 16;

const VERSION: u8 = 1;
const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const CONTROL_PLANE_INDEPENDENT: u8 = 0x08;
const AUTH_PRESENT: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// The state of a session (RFC 5880 §4.1, §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Held down by an administrator. Says nothing about the path.
    AdminDown,
    /// Down, or just created.
    Down,
    /// The remote system has been heard, but has not said that it hears us.
    Init,
    /// Both directions work.
    Up,
}

impl State {
    /// Every state, in the order of the wire values 0 to 3.
    pub const ALL: [Self; 4] = [Self::AdminDown, Self::Down, Self::Init, Self::Up];

    /// The two-bit value on the wire.
    #[must_use]
    pub fn to_bits(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }

    /// The state for the two low bits of `bits`; the others are ignored.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }

    /// The lower-case name, for a status page or a metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::AdminDown => "admin_down",
            Self::Down => "down",
            Self::Init => "init",
            Self::Up => "up",
        }
    }
}

/// Why a session last left the Up state (RFC 5880 §4.1, with value 9 of RFC 6428).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Diag {
    /// 0: no diagnostic.
    #[default]
    None,
    /// 1: nothing was received for a Detection Time.
    ControlDetectionTimeExpired,
    /// 2: the Echo function failed.
    EchoFunctionFailed,
    /// 3: the remote system said that its session went down.
    NeighborSignaledSessionDown,
    /// 4: the forwarding plane was reset.
    ForwardingPlaneReset,
    /// 5: something outside of BFD reported the path down.
    PathDown,
    /// 6: a path concatenated with this one is down.
    ConcatenatedPathDown,
    /// 7: an administrator took the session down.
    AdministrativelyDown,
    /// 8: the reverse direction of a concatenated path is down.
    ReverseConcatenatedPathDown,
    /// 9: mis-connectivity defect.
    MisConnectivityDefect,
    /// 10 to 31: not assigned. Values above 31 cannot be carried and are sent as their low five bits.
    Unassigned(u8),
}

impl Diag {
    /// The five-bit value on the wire.
    #[must_use]
    pub fn to_bits(self) -> u8 {
        match self {
            Self::None => 0,
            Self::ControlDetectionTimeExpired => 1,
            Self::EchoFunctionFailed => 2,
            Self::NeighborSignaledSessionDown => 3,
            Self::ForwardingPlaneReset => 4,
            Self::PathDown => 5,
            Self::ConcatenatedPathDown => 6,
            Self::AdministrativelyDown => 7,
            Self::ReverseConcatenatedPathDown => 8,
            Self::MisConnectivityDefect => 9,
            Self::Unassigned(value) => value & 0x1f,
        }
    }

    /// The diagnostic for the five low bits of `bits`; the others are ignored.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        match bits & 0x1f {
            0 => Self::None,
            1 => Self::ControlDetectionTimeExpired,
            2 => Self::EchoFunctionFailed,
            3 => Self::NeighborSignaledSessionDown,
            4 => Self::ForwardingPlaneReset,
            5 => Self::PathDown,
            6 => Self::ConcatenatedPathDown,
            7 => Self::AdministrativelyDown,
            8 => Self::ReverseConcatenatedPathDown,
            9 => Self::MisConnectivityDefect,
            value => Self::Unassigned(value),
        }
    }

    /// A short `snake_case` name, for a status page or a metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ControlDetectionTimeExpired => "control_detection_time_expired",
            Self::EchoFunctionFailed => "echo_function_failed",
            Self::NeighborSignaledSessionDown => "neighbor_signaled_session_down",
            Self::ForwardingPlaneReset => "forwarding_plane_reset",
            Self::PathDown => "path_down",
            Self::ConcatenatedPathDown => "concatenated_path_down",
            Self::AdministrativelyDown => "administratively_down",
            Self::ReverseConcatenatedPathDown => "reverse_concatenated_path_down",
            Self::MisConnectivityDefect => "mis_connectivity_defect",
            Self::Unassigned(_) => "unassigned",
        }
    }
}

/// The mandatory section of a Control packet (RFC 5880 §4.1).
///
/// What a receiver must discard (another version, a zero multiplier, the Multipoint bit, a zero My Discriminator)
/// cannot be expressed. Intervals are in microseconds, over the whole range of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlPacket {
    /// Why the sender's session last left Up.
    pub diag: Diag,
    /// The sender's session state.
    pub state: State,
    /// P: the sender asks for an answer with the Final bit.
    pub poll: bool,
    /// F: this is the answer to a packet with the Poll bit.
    pub is_final: bool,
    /// C: the sender's BFD survives a restart of its control plane.
    pub control_plane_independent: bool,
    /// D: the sender asks us to cease periodic packets.
    pub demand: bool,
    /// How many packets may be lost before the session is declared down.
    pub detect_mult: NonZeroU8,
    /// The sender's discriminator.
    pub my_discriminator: NonZeroU32,
    /// The discriminator that the sender received from us; `None` is zero on the wire.
    pub your_discriminator: Option<NonZeroU32>,
    /// The interval at which the sender would like to transmit, in microseconds.
    pub desired_min_tx: u32,
    /// The shortest interval at which the sender can receive, in microseconds; zero asks for no periodic packets.
    pub required_min_rx: u32,
    /// The shortest interval between Echo packets that the sender supports, in microseconds; zero is none.
    pub required_min_echo_rx: u32,
}

impl ControlPacket {
    /// Writes the packet, with `auth` if given, and returns its length in octets.
    ///
    /// `None` if a password is not 1 to 16 octets long (RFC 5880 §4.2); nothing useful is in `buf` then.
    #[must_use]
    pub fn encode(&self, auth: Option<AuthSection<'_>>, buf: &mut [u8; MAX_PACKET_LEN]) -> Option<usize> {
        let Some(auth) = auth else {
            return Some(self.encode_mandatory(0, buf));
        };
        let auth_len = auth.wire_len()?;
        let len = self.encode_mandatory(auth_len, buf);
        auth.write(buf.get_mut(MIN_PACKET_LEN..len)?)?;
        Some(len)
    }

    /// Writes the mandatory section of a packet whose authentication section has `auth_len` octets (0: none), and
    /// returns the length of the whole packet. `auth_len` is at most [`SHA1_AUTH_LEN`].
    pub(crate) fn encode_mandatory(&self, auth_len: usize, buf: &mut [u8; MAX_PACKET_LEN]) -> usize {
        let len = (MIN_PACKET_LEN + auth_len).min(MAX_PACKET_LEN);
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let [my0, my1, my2, my3] = self.my_discriminator.get().to_be_bytes();
        let [your0, your1, your2, your3] = self.your_discriminator.map_or(0, NonZeroU32::get).to_be_bytes();
        let [tx0, tx1, tx2, tx3] = self.desired_min_tx.to_be_bytes();
        let [rx0, rx1, rx2, rx3] = self.required_min_rx.to_be_bytes();
        let [echo0, echo1, echo2, echo3] = self.required_min_echo_rx.to_be_bytes();
        #[rustfmt::skip]
        let mandatory: [u8; MIN_PACKET_LEN] = [
            VERSION << 5 | self.diag.to_bits(),
            self.state.to_bits() << 6
                | flag(self.poll, POLL)
                | flag(self.is_final, FINAL)
                | flag(self.control_plane_independent, CONTROL_PLANE_INDEPENDENT)
                | flag(auth_len > 0, AUTH_PRESENT)
                | flag(self.demand, DEMAND),
            self.detect_mult.get(),
            u8::try_from(len).unwrap_or(u8::MAX),
            my0, my1, my2, my3,
            your0, your1, your2, your3,
            tx0, tx1, tx2, tx3,
            rx0, rx1, rx2, rx3,
            echo0, echo1, echo2, echo3,
        ];
        for (slot, octet) in buf.iter_mut().zip(mandatory) {
            *slot = octet;
        }
        len
    }
}

/// A received packet: the mandatory section, and the authentication section if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The mandatory section.
    pub control: ControlPacket,
    /// The authentication section, not looked at yet.
    pub auth: Option<RawAuth<'a>>,
    /// The octets that the Length field covers; what digests are computed over.
    pub bytes: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Decodes the payload of a UDP datagram.
    ///
    /// # Errors
    ///
    /// The first rule of RFC 5880 §6.8.6 that the packet breaks, out of those that need no session: [`Discard::Truncated`]
    /// to [`Discard::ZeroMyDiscriminator`], and [`Discard::ZeroYourDiscriminator`].
    pub fn decode(payload: &'a [u8]) -> Result<Self, Discard> {
        let Some(mandatory) = payload.first_chunk::<MIN_PACKET_LEN>() else {
            return Err(Discard::Truncated);
        };
        #[rustfmt::skip]
        let [
            vers_diag, flags, mult, length,
            my0, my1, my2, my3,
            your0, your1, your2, your3,
            tx0, tx1, tx2, tx3,
            rx0, rx1, rx2, rx3,
            echo0, echo1, echo2, echo3,
        ] = *mandatory;
        if vers_diag >> 5 != VERSION {
            return Err(Discard::Version);
        }
        let authenticated = flags & AUTH_PRESENT != 0;
        let length = usize::from(length);
        let minimum = if authenticated {
            MIN_PACKET_LEN + 2
        } else {
            MIN_PACKET_LEN
        };
        if length < minimum {
            return Err(Discard::LengthTooSmall);
        }
        // Octets after Length are no part of the packet: RFC 5880 §6.8.6 forbids only a Length that is too great.
        let Some(bytes) = payload.get(..length) else {
            return Err(Discard::LengthExceedsPayload);
        };
        let Some(detect_mult) = NonZeroU8::new(mult) else {
            return Err(Discard::ZeroDetectMult);
        };
        if flags & MULTIPOINT != 0 {
            return Err(Discard::Multipoint);
        }
        let Some(my_discriminator) = NonZeroU32::new(u32::from_be_bytes([my0, my1, my2, my3])) else {
            return Err(Discard::ZeroMyDiscriminator);
        };
        let state = State::from_bits(flags >> 6);
        let your_discriminator = NonZeroU32::new(u32::from_be_bytes([your0, your1, your2, your3]));
        if your_discriminator.is_none() && matches!(state, State::Init | State::Up) {
            return Err(Discard::ZeroYourDiscriminator);
        }
        let auth = match bytes.get(MIN_PACKET_LEN..) {
            Some(&[auth_type, auth_len, ref body @ ..]) if authenticated => Some(RawAuth {
                auth_type,
                auth_len,
                body,
            }),
            Some(_) | None => None,
        };
        Ok(Self {
            control: ControlPacket {
                diag: Diag::from_bits(vers_diag),
                state,
                poll: flags & POLL != 0,
                is_final: flags & FINAL != 0,
                control_plane_independent: flags & CONTROL_PLANE_INDEPENDENT != 0,
                demand: flags & DEMAND != 0,
                detect_mult,
                my_discriminator,
                your_discriminator,
                desired_min_tx: u32::from_be_bytes([tx0, tx1, tx2, tx3]),
                required_min_rx: u32::from_be_bytes([rx0, rx1, rx2, rx3]),
                required_min_echo_rx: u32::from_be_bytes([echo0, echo1, echo2, echo3]),
            },
            auth,
            bytes,
        })
    }
}

/// An authentication section as it came (RFC 5880 §4.1). Its content is only looked at when the session uses
/// authentication, so that a packet is counted under the first rule that it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawAuth<'a> {
    /// The Auth Type field.
    pub auth_type: u8,
    /// The Auth Len field: octets of the section, with the two of type and length.
    pub auth_len: u8,
    /// The octets after Auth Len, to the end of the packet.
    pub body: &'a [u8],
}

impl<'a> RawAuth<'a> {
    /// The Auth Key ID: the first octet of the body in every assigned type.
    #[must_use]
    pub fn key_id(&self) -> Option<u8> {
        self.body.first().copied()
    }

    /// Decodes the section.
    ///
    /// # Errors
    ///
    /// [`Discard::AuthType`] for a type that RFC 5880 does not define, [`Discard::AuthLength`] if Auth Len is not
    /// what the type demands (§6.7.2 to §6.7.4) or does not end with the packet.
    pub fn parse(&self) -> Result<AuthSection<'a>, Discard> {
        if usize::from(self.auth_len) != self.body.len() + 2 {
            return Err(Discard::AuthLength);
        }
        let section = match self.auth_type {
            1 => match self.body {
                [key_id, password @ ..] if (1..=MAX_PASSWORD_LEN).contains(&password.len()) => {
                    Some(AuthSection::Password {
                        key_id: *key_id,
                        password,
                    })
                }
                _ => None,
            },
            2 | 3 => keyed(self.body).map(|(key_id, sequence, digest)| AuthSection::Md5 {
                meticulous: self.auth_type == 3,
                key_id,
                sequence,
                digest,
            }),
            4 | 5 => keyed(self.body).map(|(key_id, sequence, digest)| AuthSection::Sha1 {
                meticulous: self.auth_type == 5,
                key_id,
                sequence,
                digest,
            }),
            _ => return Err(Discard::AuthType),
        };
        section.ok_or(Discard::AuthLength)
    }
}

/// A decoded authentication section (RFC 5880 §4.2 to §4.4).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AuthSection<'a> {
    /// Type 1.
    Password {
        /// Which password of several.
        key_id: u8,
        /// The password, 1 to 16 octets.
        password: &'a [u8],
    },
    /// Types 2 and 3.
    Md5 {
        /// Type 3: the sequence number grows with every packet.
        meticulous: bool,
        /// Which key of several.
        key_id: u8,
        /// The sequence number.
        sequence: u32,
        /// The digest.
        digest: [u8; 16],
    },
    /// Types 4 and 5.
    Sha1 {
        /// Type 5: the sequence number grows with every packet.
        meticulous: bool,
        /// Which key of several.
        key_id: u8,
        /// The sequence number.
        sequence: u32,
        /// The hash.
        digest: [u8; 20],
    },
}

impl AuthSection<'_> {
    fn wire_len(&self) -> Option<usize> {
        match self {
            Self::Password { password, .. } => (1..=MAX_PASSWORD_LEN)
                .contains(&password.len())
                .then_some(PASSWORD_OFFSET + password.len()),
            Self::Md5 { .. } => Some(MD5_AUTH_LEN),
            Self::Sha1 { .. } => Some(SHA1_AUTH_LEN),
        }
    }

    fn write(&self, out: &mut [u8]) -> Option<()> {
        match self {
            Self::Password { key_id, password } => write_section(out, 1, *key_id, &[], password),
            Self::Md5 {
                meticulous,
                key_id,
                sequence,
                digest,
            } => {
                let [s0, s1, s2, s3] = sequence.to_be_bytes();
                write_section(
                    out,
                    2 + u8::from(*meticulous),
                    *key_id,
                    &[0, s0, s1, s2, s3],
                    digest,
                )
            }
            Self::Sha1 {
                meticulous,
                key_id,
                sequence,
                digest,
            } => {
                let [s0, s1, s2, s3] = sequence.to_be_bytes();
                write_section(
                    out,
                    4 + u8::from(*meticulous),
                    *key_id,
                    &[0, s0, s1, s2, s3],
                    digest,
                )
            }
        }
    }
}

/// A password is a secret: only the shape of a section is ever shown.
impl std::fmt::Debug for AuthSection<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Password { key_id, .. } => f
                .debug_struct("Password")
                .field("key_id", key_id)
                .finish_non_exhaustive(),
            Self::Md5 {
                meticulous,
                key_id,
                sequence,
                ..
            } => f
                .debug_struct("Md5")
                .field("meticulous", meticulous)
                .field("key_id", key_id)
                .field("sequence", sequence)
                .finish_non_exhaustive(),
            Self::Sha1 {
                meticulous,
                key_id,
                sequence,
                ..
            } => f
                .debug_struct("Sha1")
                .field("meticulous", meticulous)
                .field("key_id", key_id)
                .field("sequence", sequence)
                .finish_non_exhaustive(),
        }
    }
}

fn write_section(out: &mut [u8], auth_type: u8, key_id: u8, middle: &[u8], tail: &[u8]) -> Option<()> {
    let auth_len = u8::try_from(out.len()).ok()?;
    let octets = [auth_type, auth_len, key_id].into_iter();
    let octets = octets.chain(middle.iter().copied()).chain(tail.iter().copied());
    for (slot, octet) in out.iter_mut().zip(octets) {
        *slot = octet;
    }
    Some(())
}

/// Key ID, sequence number and digest of a keyed section; the reserved octet is ignored (RFC 5880 §4.3, §4.4).
fn keyed<const N: usize>(body: &[u8]) -> Option<(u8, u32, [u8; N])> {
    let (&[key_id, _reserved, s0, s1, s2, s3], digest) = body.split_first_chunk::<6>()?;
    let digest = <[u8; N]>::try_from(digest).ok()?;
    Some((key_id, u32::from_be_bytes([s0, s1, s2, s3]), digest))
}

#[cfg(test)]
mod tests;
