//! Valid messages in the form in which decoding returns them.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use wire::{
    AfiSafi, Aggregator, AsPath, AsSegment, Capability, Community, DecodeContext, EncodeContext, Family,
    FamilySet, GracefulRestart, GracefulRestartFamily, LargeCommunity, LongLivedFamily, MAX_EXTENDED_MESSAGE,
    NextHop, Open, Origin, PathAttributes, Prefix, RawAttribute, Update,
};

/// A session that carries everything the strategies make.
pub fn decode_context(four_octet_as: bool) -> DecodeContext {
    DecodeContext {
        four_octet_as,
        families: FamilySet::ALL,
        extended_next_hop: FamilySet::ALL,
        ebgp: false,
        max_message: MAX_EXTENDED_MESSAGE,
    }
}

/// The other side of [`decode_context`].
pub fn encode_context(four_octet_as: bool) -> EncodeContext {
    EncodeContext {
        four_octet_as,
        max_message: MAX_EXTENDED_MESSAGE,
    }
}

/// Unicast prefixes: one of the oracles refuses others.
pub fn prefix_v4() -> impl Strategy<Value = Prefix> {
    (0..0xe000_0000_u32, 0..=32_u8)
        .prop_map(|(bits, len)| Prefix::new(Ipv4Addr::from_bits(bits).into(), len).unwrap())
}

pub fn prefix_v6() -> impl Strategy<Value = Prefix> {
    (0..0xff_u128 << 120, 0..=128_u8)
        .prop_map(|(bits, len)| Prefix::new(Ipv6Addr::from_bits(bits).into(), len).unwrap())
}

fn asn() -> impl Strategy<Value = u32> {
    prop_oneof![1..=65535_u32, 1..=u32::MAX]
}

fn as_path() -> impl Strategy<Value = AsPath> {
    let segment = (any::<bool>(), vec(asn(), 1..5)).prop_map(|(set, asns)| {
        if set {
            AsSegment::Set(asns)
        } else {
            AsSegment::Sequence(asns)
        }
    });
    vec(segment, 0..4).prop_map(AsPath)
}

fn host_v4() -> impl Strategy<Value = Ipv4Addr> {
    (1..=223_u8, any::<[u8; 3]>())
        .prop_filter("not loopback", |(first, _)| *first != 127)
        .prop_map(|(first, [a, b, c])| Ipv4Addr::new(first, a, b, c))
}

fn next_hop_v4() -> impl Strategy<Value = NextHop> {
    host_v4().prop_map(NextHop::V4)
}

fn next_hop_v6() -> impl Strategy<Value = NextHop> {
    (any::<u128>(), option::of(any::<u64>())).prop_map(|(global, link_local)| NextHop::V6 {
        global: Ipv6Addr::from_bits(global >> 3 | 1 << 125),
        link_local: link_local.map(|bits| Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(bits))),
    })
}

/// Optional attributes that neither this crate nor a foreign one knows, one of each type, in order.
fn unknown() -> impl Strategy<Value = Vec<RawAttribute>> {
    let value = (any::<[bool; 2]>(), vec(any::<u8>(), 0..300));
    proptest::collection::btree_map(200..=250_u8, value, 0..3).prop_map(|attributes: BTreeMap<_, _>| {
        attributes
            .into_iter()
            .map(|(code, ([transitive, partial], value))| RawAttribute {
                // RFC 4271 section 4.3: Partial is zero in what is not transitive.
                flags: 0x80 | u8::from(transitive) << 6 | u8::from(transitive && partial) << 5,
                code,
                value,
            })
            .collect()
    })
}

fn aggregator() -> impl Strategy<Value = Aggregator> {
    (asn(), host_v4()).prop_map(|(asn, addr)| Aggregator { asn, addr })
}

fn large_communities() -> impl Strategy<Value = Vec<LargeCommunity>> {
    proptest::collection::btree_set(any::<[u32; 3]>(), 0..4).prop_map(|values: BTreeSet<_>| {
        values
            .into_iter()
            .map(|[global, local1, local2]| LargeCommunity {
                global,
                local1,
                local2,
            })
            .collect()
    })
}

/// All attributes but the next hop.
fn attributes() -> impl Strategy<Value = PathAttributes> {
    let origin = prop_oneof![Just(Origin::Igp), Just(Origin::Egp), Just(Origin::Incomplete)];
    let mandatory = (origin, as_path());
    let numbers = (any::<Option<u32>>(), any::<Option<u32>>(), any::<bool>());
    // Of type 0x80 and more every codec keeps extended communities as they are.
    let extended = any::<[u8; 7]>().prop_map(|[a, b, c, d, e, f, g]| [0x88, a, b, c, d, e, f, g]);
    let communities = (vec(any::<u32>(), 0..80), vec(extended, 0..4), large_communities());
    let reflection = (option::of(host_v4()), vec(host_v4(), 0..4));
    let rest = (option::of(aggregator()), unknown());
    (mandatory, numbers, communities, reflection, rest).prop_map(
        |(
            (origin, as_path),
            (med, local_pref, atomic_aggregate),
            (communities, extended_communities, large_communities),
            (originator_id, cluster_list),
            (aggregator, unknown),
        )| PathAttributes {
            origin: Some(origin),
            as_path: Some(as_path),
            next_hop: None,
            med,
            local_pref,
            atomic_aggregate,
            aggregator,
            communities: communities.into_iter().map(Community).collect(),
            extended_communities,
            large_communities,
            originator_id,
            cluster_list,
            unknown,
        },
    )
}

/// Attributes for announcing prefixes of one family, either with a next hop of it or an IPv6 one.
pub fn announcement() -> impl Strategy<Value = (Family, PathAttributes)> {
    let next_hop = prop_oneof![
        next_hop_v4().prop_map(|hop| (Family::Ipv4Unicast, hop)),
        next_hop_v6().prop_map(|hop| (Family::Ipv4Unicast, hop)),
        next_hop_v6().prop_map(|hop| (Family::Ipv6Unicast, hop)),
    ];
    (next_hop, attributes()).prop_map(|((family, hop), attributes)| {
        let next_hop = Some(hop);
        (
            family,
            PathAttributes {
                next_hop,
                ..attributes
            },
        )
    })
}

/// Announcements of one family, of both, withdrawals, and End-of-RIB.
pub fn update() -> impl Strategy<Value = Update> {
    let one_family = (announcement(), vec(prefix_v4(), 1..20), vec(prefix_v6(), 1..20));
    let one_family = one_family.prop_map(|((family, attributes), v4, v6)| Update {
        announced: match family {
            Family::Ipv4Unicast => v4,
            Family::Ipv6Unicast => v6,
        },
        attributes,
        ..Update::default()
    });
    let both_families = (
        attributes(),
        next_hop_v4(),
        next_hop_v6(),
        vec(prefix_v4(), 1..20),
        vec(prefix_v6(), 0..20),
    );
    let both_families = both_families.prop_map(|(attributes, classic, next_hop, v4, v6)| Update {
        announced: [v4, v6].concat(),
        attributes: PathAttributes {
            next_hop: Some(next_hop),
            ..attributes
        },
        classic_next_hop: Some(classic),
        ..Update::default()
    });
    let announcing = prop_oneof![4 => one_family, 1 => both_families];
    let with_withdrawn =
        (announcing, withdrawn()).prop_map(|(update, withdrawn)| Update { withdrawn, ..update });
    let withdrawing = withdrawn().prop_map(|withdrawn| Update {
        end_of_rib: withdrawn.is_empty().then_some(Family::Ipv4Unicast.afi_safi()),
        withdrawn,
        ..Update::default()
    });
    let end_of_rib = Just(Update {
        end_of_rib: Some(Family::Ipv6Unicast.afi_safi()),
        ..Update::default()
    });
    prop_oneof![8 => with_withdrawn, 2 => withdrawing, 1 => end_of_rib]
}

fn withdrawn() -> impl Strategy<Value = Vec<Prefix>> {
    (vec(prefix_v4(), 0..10), vec(prefix_v6(), 0..10)).prop_map(|(v4, v6)| [v4, v6].concat())
}

fn afi_safi() -> impl Strategy<Value = AfiSafi> {
    prop_oneof![
        Just(Family::Ipv4Unicast.afi_safi()),
        Just(Family::Ipv6Unicast.afi_safi()),
    ]
}

fn capability() -> impl Strategy<Value = Capability> {
    let restart_family = (afi_safi(), any::<bool>())
        .prop_map(|(family, forwarding)| GracefulRestartFamily { family, forwarding });
    let restart = (any::<[bool; 2]>(), 0..4096_u16, vec(restart_family, 0..3)).prop_map(
        |([restarting, notification], restart_time, families)| {
            Capability::GracefulRestart(GracefulRestart {
                restarting,
                notification,
                restart_time,
                families,
            })
        },
    );
    let long_lived =
        (afi_safi(), any::<bool>(), 0..1_u32 << 24).prop_map(|(family, forwarding, stale_time)| {
            LongLivedFamily {
                family,
                forwarding,
                stale_time,
            }
        });
    prop_oneof![
        afi_safi().prop_map(Capability::Multiprotocol),
        Just(Capability::RouteRefresh),
        Just(Capability::ExtendedNextHop(vec![(
            Family::Ipv4Unicast.afi_safi(),
            2
        )])),
        Just(Capability::ExtendedMessage),
        restart,
        Just(Capability::EnhancedRouteRefresh),
        vec(long_lived, 1..3).prop_map(Capability::LongLivedGracefulRestart),
        ("[a-z]{1,20}", "[a-z.]{0,20}").prop_map(|(host, domain)| Capability::Fqdn { host, domain }),
        Just(Capability::BfdStrictMode),
        (150..=180_u8, vec(any::<u8>(), 0..100))
            .prop_map(|(code, value)| Capability::Unknown { code, value }),
    ]
}

/// An OPEN, now and then with extended optional parameters.
pub fn open() -> impl Strategy<Value = Open> {
    let hold_time = prop_oneof![Just(0), 3..=u16::MAX];
    let asn = (asn(), any::<bool>());
    (asn, hold_time, 1..=u32::MAX, vec(capability(), 0..12)).prop_map(
        |((asn, four_octet), hold_time, id, mut capabilities)| {
            let asn = if four_octet {
                capabilities.push(Capability::FourOctetAs(asn));
                asn
            } else {
                (asn & 0xffff).max(1)
            };
            Open {
                asn,
                hold_time,
                bgp_id: Ipv4Addr::from_bits(id),
                capabilities,
            }
        },
    )
}
