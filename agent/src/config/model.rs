//! The file as it is written. docs/configuration.md is its reference.

use super::return_path::ReturnPathSettings;
use super::values::{
    Asn, BfdAuthType, BfdHoldTime, BfdInterval, Device, FilePath, HoldTime, Host, NodePattern, PlaneName,
    RestartTime, RouterId, Span, Switch, Text, TtlChoice, Whole,
};
use crate::index::Policy;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use wire::{Community, LargeCommunity};

/// The whole file. What it does not say comes from the flags and their defaults.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigFile {
    /// `twintor.io/v1alpha1`. Required.
    pub api_version: ApiVersion,
    /// `SpeakerConfig`. Required.
    pub kind: ConfigKind,
    /// AS number of this speaker, 1 to 4294967295; as `--cluster-as`.
    pub local_as: Option<Asn>,
    /// BGP identifier, an IPv4 address; as `--router-id`. Default: as that flag has it.
    pub router_id: Option<RouterId>,
    /// Next hops instead of the pod's own addresses, at most one of each family; as `--node-ips`. Default: none.
    pub node_ips: Option<Vec<Host>>,
    /// Where the switches may connect. Default: port 179 of all addresses.
    pub listen: Option<Listen>,
    /// The settings of all sessions that their plane does not set itself.
    #[serde(default)]
    pub defaults: SessionSettings,
    /// The planes, each with the switch at its end.
    #[serde(default)]
    pub planes: Vec<Plane>,
    /// What is different on some nodes. Every entry that matches is laid over the file, in their order.
    #[serde(default)]
    pub nodes: Vec<NodeEntry>,
    /// What is announced beyond the words of the annotations. Default: as the flags say.
    pub announce: Option<Policy>,
    /// The node's own routes back into the fabric. Default: none.
    pub return_path: Option<ReturnPathSettings>,
    /// Where the desired set is kept for a start without the API server. Read at the start only. Default: nowhere.
    pub state_file: Option<StateFileSettings>,
}

/// The version of the file's form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ApiVersion {
    /// The only one so far.
    #[default]
    #[serde(rename = "twintor.io/v1alpha1")]
    V1Alpha1,
}

/// What the file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ConfigKind {
    /// The configuration of one or many speakers.
    #[default]
    SpeakerConfig,
}

/// The section `listen:`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listen {
    /// TCP port, 1 to 65535; 0 for no listener; as `--listen-port`. Default: 179.
    pub port: Option<Whole<0, 65535>>,
    /// Addresses; as `--listen-address`. Default: all of the families that have a switch.
    pub addresses: Option<Vec<Text<std::net::IpAddr>>>,
}

/// The section `stateFile:`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StateFileSettings {
    /// Path of the file; as `--state-file`. A relative one begins in the directory of this file.
    pub path: Option<FilePath>,
    /// How old it may be to be believed, at least 1s; as `--state-file-max-age`. Default: 1h.
    pub max_age: Option<Span>,
    /// How long the first complete sync may take until the file stands in; as `--state-file-wait`. Default: 5s.
    pub wait: Option<Span>,
}

/// The settings of sessions: those of one plane, or under `defaults:` those of all. `None`: not said here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionSettings {
    /// `as`: AS number of the switch, 1 to 4294967295; as `--neighbor-as`. Equal to `localAs` it means iBGP.
    pub remote_as: Option<Asn>,
    /// `port`: TCP port of the switch, 1 to 65535. Default: 179.
    pub port: Option<Whole<1, 65535>>,
    /// `passwordFile`: file with the TCP MD5 password (RFC 2385), 1 to 80 octets; one newline at its end does not count.
    /// A relative path begins in the directory of this file; an empty one means no password.
    pub password_file: Option<FilePath>,
    /// `holdTime`: the hold time offered, 3s to 65535s, or 0s for none; as `--holdtime`. Default: 90s.
    pub hold_time: Option<HoldTime>,
    /// `source`: our address on the sessions, one or a list of at most one of each family. Default: the kernel's choice.
    pub source: Option<OneOrMore>,
    /// `device`: the interface of the sessions. Default: the kernel's choice.
    pub device: Option<Device>,
    /// `multihop`: TTL of eBGP sessions in hops, 1 to 255; as `--ebgp-multihop`. Default: 1, directly connected.
    pub multihop: Option<Whole<1, 255>>,
    /// `ttlSecurity`: GTSM (RFC 5082), how many links away the switch may be, 1 to 254; as `--ttl-security`.
    /// Default: off.
    pub ttl_security: Option<Whole<1, 254>>,
    /// `passive`: wait for the switch to connect; as `--passivemode`. Default: false.
    pub passive: Option<Switch>,
    /// `extendedNextHop`: every family on every session (RFC 8950); as `--extended-nexthop`. Default: false.
    pub extended_next_hop: Option<Switch>,
    /// `allowedSources`: source addresses that the route to the switch may select; as `--allowed-source-addresses` and
    /// `--allowed-source-ipv6-addresses`. Default: any.
    pub allowed_sources: Option<Vec<Host>>,
    /// `communities`: added to every announcement (RFC 1997), `65000:100` or a well-known name. Default: none.
    pub communities: Option<Vec<Text<Community>>>,
    /// `largeCommunities`: added to every announcement (RFC 8092), `4200000000:1:2`. Default: none.
    pub large_communities: Option<Vec<Text<LargeCommunity>>>,
    /// `med`: MULTI_EXIT_DISC of every announcement, 0 to 4294967295. Default: none.
    pub med: Option<Whole<0, { u32::MAX }>>,
    /// `prepend`: how often our AS number is added once more in front, 0 to 16; eBGP only. Default: 0.
    pub prepend: Option<Whole<0, 16>>,
    /// `localPref`: LOCAL_PREF of every announcement, 0 to 4294967295; iBGP only. Default: 100.
    pub local_pref: Option<Whole<0, { u32::MAX }>>,
    /// `bfd`: BFD with the switch. Default: off, or as `--enable-bfd` says.
    pub bfd: Option<BfdSettings>,
    /// `gracefulRestart`: graceful restart (RFC 4724) with the switch. Default: off, or as `--graceful-restart` says.
    pub graceful_restart: Option<GracefulRestartSettings>,
}

/// The section `gracefulRestart:`. Its presence switches it on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GracefulRestartSettings {
    /// Whether it is offered; `false` takes it from a plane. Default: true.
    pub enabled: Option<Switch>,
    /// How long the switch keeps our routes over a restart, 1s to 4095s; as `--graceful-restart-time`. Default: 90s.
    pub restart_time: Option<RestartTime>,
}

/// The section `bfd:`. Its presence switches BFD on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BfdSettings {
    /// Whether BFD runs; `false` takes it from a plane. Default: true.
    pub enabled: Option<Switch>,
    /// Shortest interval in which packets are sent, 1ms to 4294967ms; as `--bfd-min-tx`. Default: 1s.
    pub min_tx: Option<BfdInterval>,
    /// Shortest interval in which packets are taken, 1ms to 4294967ms; as `--bfd-min-rx`. Default: 1s.
    pub min_rx: Option<BfdInterval>,
    /// Packets that may be missed until the switch counts as down, 1 to 255; as `--bfd-detection-multiplier`. Default: 3.
    pub multiplier: Option<Whole<1, 255>>,
    /// Say nothing until the switch was heard (RFC 5880 section 6.1). Default: false.
    pub passive: Option<Switch>,
    /// The lowest TTL or hop limit that is taken over several hops, 1 to 255 (RFC 5883). Default: 256 less the hops of
    /// `multihop` or `ttlSecurity`.
    pub min_ttl: Option<Whole<1, 255>>,
    /// Hold BGP back until BFD is up (draft-ietf-idr-bgp-bfd-strict-mode). Default: false.
    pub strict: Option<Switch>,
    /// How long an accepted OPEN waits for BFD where the negotiated hold time is 0, 1s to 65535s. Default: 30s.
    pub strict_hold_time: Option<BfdHoldTime>,
    /// Authentication in both directions (RFC 5880 section 6.7). Default: none.
    pub auth: Option<BfdAuth>,
}

/// The section `bfd.auth:`. It is laid over as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BfdAuth {
    /// How packets are authenticated. Required.
    pub r#type: BfdAuthType,
    /// Key ID of the key that we send with, 0 to 255. Required, but with the type `none`.
    pub key_id: Option<Whole<0, 255>>,
    /// File with that key; as `passwordFile`, with 1 to 16 octets, for SHA1 1 to 20. Required, but with the type `none`.
    pub key_file: Option<FilePath>,
    /// Further keys that the switch may send with. Default: none.
    #[serde(default)]
    pub accept: Vec<BfdKey>,
}

/// An entry of `bfd.auth.accept:`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BfdKey {
    /// Key ID, 0 to 255; another one than that of any other key. Required.
    pub key_id: Whole<0, 255>,
    /// File with the key. Required.
    pub key_file: FilePath,
}

/// An entry of `planes:`.
#[derive(Clone, Debug, PartialEq)]
pub struct Plane {
    /// `name`: `a` to `z`. Required.
    pub name: PlaneName,
    /// `neighbors`: the addresses of the switch, at most one of each family; as `--neighbor-address` and
    /// `--neighbor-ipv6-address`.
    pub neighbors: Option<Vec<Host>>,
    /// What is different from `defaults:`, beside the name.
    pub settings: SessionSettings,
}

/// An entry of `nodes:`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeEntry {
    /// Which nodes. Required.
    pub r#match: NodeMatch,
    /// Instead of the file's.
    pub local_as: Option<Asn>,
    /// Instead of the file's.
    pub router_id: Option<RouterId>,
    /// Instead of the file's.
    pub node_ips: Option<Vec<Host>>,
    /// Laid over the file's, field by field.
    #[serde(default)]
    pub defaults: SessionSettings,
    /// Laid over the file's planes of these names, field by field; a plane of another name is added.
    #[serde(default)]
    pub planes: Vec<Plane>,
}

/// Which nodes an entry is for. Where both fields are given, both have to match.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeMatch {
    /// Names of nodes, or patterns with `*` and `?`; one of them has to match.
    pub names: Option<Vec<NodePattern>>,
    /// Labels that the Node object has to have, all of them.
    pub labels: Option<BTreeMap<String, String>>,
}

/// One address or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMore(pub Vec<Host>);

impl SessionSettings {
    /// The names of its fields in the file.
    pub const FIELDS: &[&str] = &[
        "as",
        "port",
        "passwordFile",
        "holdTime",
        "source",
        "device",
        "multihop",
        "ttlSecurity",
        "passive",
        "extendedNextHop",
        "allowedSources",
        "communities",
        "largeCommunities",
        "med",
        "prepend",
        "localPref",
        "bfd",
        "gracefulRestart",
    ];

    /// These settings where they say something, else the others.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        // The two TTL fields are one setting: the one that is said here replaces the other.
        let says_ttl = self.multihop.is_some() || self.ttl_security.is_some();
        let below = if says_ttl {
            Self {
                multihop: None,
                ttl_security: None,
                ..below
            }
        } else {
            below
        };
        let bfd = match (self.bfd, below.bfd) {
            (Some(above), Some(below)) => Some(above.over(below)),
            (above, below) => above.or(below),
        };
        let graceful_restart = match (self.graceful_restart, below.graceful_restart) {
            (Some(above), Some(below)) => Some(above.over(below)),
            (above, below) => above.or(below),
        };
        Self {
            remote_as: self.remote_as.or(below.remote_as),
            port: self.port.or(below.port),
            password_file: self.password_file.or(below.password_file),
            hold_time: self.hold_time.or(below.hold_time),
            source: self.source.or(below.source),
            device: self.device.or(below.device),
            multihop: self.multihop.or(below.multihop),
            ttl_security: self.ttl_security.or(below.ttl_security),
            passive: self.passive.or(below.passive),
            extended_next_hop: self.extended_next_hop.or(below.extended_next_hop),
            allowed_sources: self.allowed_sources.or(below.allowed_sources),
            communities: self.communities.or(below.communities),
            large_communities: self.large_communities.or(below.large_communities),
            med: self.med.or(below.med),
            prepend: self.prepend.or(below.prepend),
            local_pref: self.local_pref.or(below.local_pref),
            bfd,
            graceful_restart,
        }
    }

    /// `multihop` or `ttlSecurity`, whichever is set.
    pub fn ttl(&self) -> Option<TtlChoice> {
        let octet = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
        let security = self.ttl_security.map(|hops| TtlChoice::Security(octet(hops.0)));
        security.or_else(|| self.multihop.map(|hops| TtlChoice::Multihop(octet(hops.0))))
    }

    /// Reads the value of a field; `false` if there is no field of that name.
    fn take<'de, A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<bool, A::Error> {
        match field {
            "as" => self.remote_as = map.next_value()?,
            "port" => self.port = map.next_value()?,
            "passwordFile" => self.password_file = map.next_value()?,
            "holdTime" => self.hold_time = map.next_value()?,
            "source" => self.source = map.next_value()?,
            "device" => self.device = map.next_value()?,
            "multihop" => self.multihop = map.next_value()?,
            "ttlSecurity" => self.ttl_security = map.next_value()?,
            "passive" => self.passive = map.next_value()?,
            "extendedNextHop" => self.extended_next_hop = map.next_value()?,
            "allowedSources" => self.allowed_sources = map.next_value()?,
            "communities" => self.communities = map.next_value()?,
            "largeCommunities" => self.large_communities = map.next_value()?,
            "med" => self.med = map.next_value()?,
            "prepend" => self.prepend = map.next_value()?,
            "localPref" => self.local_pref = map.next_value()?,
            "bfd" => self.bfd = map.next_value()?,
            "gracefulRestart" => self.graceful_restart = map.next_value()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl GracefulRestartSettings {
    /// These settings where they say something, else the others.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            enabled: self.enabled.or(below.enabled),
            restart_time: self.restart_time.or(below.restart_time),
        }
    }

    /// Whether it is to be offered.
    pub fn is_on(&self) -> bool {
        self.enabled.is_none_or(|enabled| enabled.0)
    }
}

impl BfdSettings {
    /// These settings where they say something, else the others.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            enabled: self.enabled.or(below.enabled),
            min_tx: self.min_tx.or(below.min_tx),
            min_rx: self.min_rx.or(below.min_rx),
            multiplier: self.multiplier.or(below.multiplier),
            passive: self.passive.or(below.passive),
            min_ttl: self.min_ttl.or(below.min_ttl),
            strict: self.strict.or(below.strict),
            strict_hold_time: self.strict_hold_time.or(below.strict_hold_time),
            auth: self.auth.or(below.auth),
        }
    }

    /// Whether BFD is to run.
    pub fn is_on(&self) -> bool {
        self.enabled.is_none_or(|enabled| enabled.0)
    }
}

impl<'de> Deserialize<'de> for SessionSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SettingsVisitor)
    }
}

impl<'de> Deserialize<'de> for Plane {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PlaneVisitor)
    }
}

struct SettingsVisitor;

impl<'de> Visitor<'de> for SettingsVisitor {
    type Value = SessionSettings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping of settings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SessionSettings, A::Error> {
        let mut settings = SessionSettings::default();
        while let Some(field) = map.next_key::<String>()? {
            if !settings.take(&field, &mut map)? {
                return Err(A::Error::unknown_field(&field, SessionSettings::FIELDS));
            }
        }
        Ok(settings)
    }
}

struct PlaneVisitor;

impl<'de> Visitor<'de> for PlaneVisitor {
    type Value = Plane;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping with name, neighbors and settings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Plane, A::Error> {
        let mut name = None;
        let mut neighbors = None;
        let mut settings = SessionSettings::default();
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "name" => name = map.next_value()?,
                "neighbors" => neighbors = map.next_value()?,
                field if settings.take(field, &mut map)? => {}
                field => return Err(unknown_plane_field(field)),
            }
        }
        let name = name.ok_or_else(|| A::Error::missing_field("name"))?;
        Ok(Plane {
            name,
            neighbors,
            settings,
        })
    }
}

fn unknown_plane_field<E: Error>(field: &str) -> E {
    let known = SessionSettings::FIELDS.join(", ");
    E::custom(format_args!(
        "there is no field {field:?}; the fields are name, neighbors, {known}"
    ))
}

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMoreVisitor)
    }
}

struct OneOrMoreVisitor;

impl<'de> Visitor<'de> for OneOrMoreVisitor {
    type Value = OneOrMore;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an IP address or a list of them")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<OneOrMore, E> {
        let host = Host::deserialize(serde::de::value::StrDeserializer::new(text))?;
        Ok(OneOrMore(vec![host]))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMore, A::Error> {
        let mut hosts = Vec::new();
        while let Some(host) = list.next_element()? {
            hosts.push(host);
        }
        Ok(OneOrMore(hosts))
    }
}
