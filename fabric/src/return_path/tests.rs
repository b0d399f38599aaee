use super::*;

const V4: Family = Family::Ipv4Unicast;
const GATES: [Gate; 3] = [Gate::Open, Gate::Warming, Gate::Closed];
const HEALTHS: [Health; 3] = [Health::Down, Health::Forwarding, Health::Established];

fn hop(plane: usize, if_index: u32) -> RouteHop {
    RouteHop {
        gateway: Ipv4Addr::new(10, 1, u8::try_from(plane).unwrap() + 1, 1).into(),
        if_index,
        weight: NonZeroU8::MIN,
        on_link: false,
    }
}

fn way(plane: usize, health: Health, gate: Gate) -> Way {
    Way {
        plane: PlaneId(plane),
        health,
        gate,
        hop: Some(hop(plane, 7)),
    }
}

fn up(plane: usize) -> Way {
    way(plane, Health::Established, Gate::Open)
}

fn down(plane: usize) -> Way {
    way(plane, Health::Down, Gate::Open)
}

fn path() -> ReturnPath {
    ReturnPath::new(ReturnPathConfig::default_routes())
}

/// The planes in use after these ways, one after the other.
fn after(steps: &[&[Way]]) -> Vec<usize> {
    let mut path = path();
    for ways in steps {
        path.update(V4, ways);
    }
    path.planes(V4).map(|plane| plane.0).collect()
}

/// Every state that one plane can be in, as seen from here.
fn states(plane: usize) -> Vec<Way> {
    let mut all = Vec::new();
    for health in HEALTHS {
        for gate in GATES {
            all.push(way(plane, health, gate));
        }
    }
    all.push(Way {
        hop: None,
        ..up(plane)
    });
    all
}

fn product(planes: usize) -> Vec<Vec<Way>> {
    (0..planes).fold(vec![Vec::new()], |all, plane| {
        all.iter()
            .flat_map(|ways| {
                states(plane).into_iter().map(move |way| {
                    let mut ways = ways.clone();
                    ways.push(way);
                    ways
                })
            })
            .collect()
    })
}

fn subsets(planes: usize) -> Vec<Choice> {
    (0..1_usize << planes)
        .map(|bits| {
            (0..planes)
                .filter(|plane| bits >> plane & 1 == 1)
                .map(|plane| (PlaneId(plane), hop(plane, 7)))
                .collect()
        })
        .collect()
}

/// Every choice that can be in use, against every state of one, two and three planes.
#[test]
fn the_rules_hold_in_every_state() {
    let mut transitions = 0;
    for planes in 1..=3 {
        for current in subsets(planes) {
            for ways in product(planes) {
                transitions += 1;
                let next = choose(&current, &ways).unwrap_or_else(|| current.clone());
                let used = |way: &Way| next.iter().any(|(plane, _)| *plane == way.plane);
                let was_used = |way: &Way| current.iter().any(|(plane, _)| *plane == way.plane);
                let can = |way: &&Way| way.hop.is_some() && way.health != Health::Down;
                let usable: Vec<&Way> = ways.iter().filter(can).collect();
                let established: Vec<&&Way> = usable
                    .iter()
                    .filter(|way| way.health == Health::Established)
                    .collect();
                let open: Vec<&&&Way> = established.iter().filter(|way| way.gate == Gate::Open).collect();

                assert!(!next.is_empty() || current.is_empty(), "a route never vanishes");
                if usable.is_empty() {
                    assert_eq!(next, current, "nothing forwards: the last choice stays");
                    continue;
                }
                if !current.is_empty() || !open.is_empty() {
                    assert!(!next.is_empty(), "{current:?} {ways:?}");
                }
                for way in &ways {
                    if used(way) && (!current.is_empty() || !next.is_empty()) {
                        assert!(can(&way), "a dead hop beside a live one: {current:?} {ways:?}");
                    }
                }
                if !open.is_empty() {
                    assert!(open.iter().all(|way| used(way)), "every open plane is used");
                    for way in usable.iter().filter(|way| used(way)) {
                        let stays = was_used(way) && way.gate == Gate::Warming;
                        assert!(way.health == Health::Established, "{current:?} {ways:?}");
                        assert!(
                            way.gate == Gate::Open || stays,
                            "only through the gate: {current:?} {ways:?}"
                        );
                    }
                }
                // The same news again changes nothing.
                assert_eq!(choose(&next, &ways).unwrap_or_else(|| next.clone()), next);
            }
        }
    }
    assert_eq!(transitions, 2 * 10 + 4 * 100 + 8 * 1000);
}

#[test]
fn a_lost_plane_leaves_and_returns_only_through_the_gate() {
    let warming = way(0, Health::Established, Gate::Warming);
    assert_eq!(after(&[&[up(0), up(1)]]), [0, 1]);
    assert_eq!(after(&[&[up(0), up(1)], &[down(0), up(1)]]), [1]);
    let back = [&[up(0), up(1)][..], &[down(0), up(1)], &[warming, up(1)]];
    assert_eq!(after(&back), [1], "up, but still warming");
    assert_eq!(after(&[back[0], back[1], back[2], &[up(0), up(1)]]), [0, 1]);
    // The other one dies while it warms: then there is nothing to wait for.
    assert_eq!(after(&[back[0], back[1], back[2], &[warming, down(1)]]), [0]);
}

#[test]
fn a_session_without_bgp_is_left_while_another_plane_is_good() {
    let forwarding = way(0, Health::Forwarding, Gate::Open);
    assert_eq!(after(&[&[up(0), up(1)], &[forwarding, up(1)]]), [1]);
    assert_eq!(
        after(&[&[up(0), up(1)], &[forwarding, down(1)]]),
        [0],
        "better than a dead one"
    );
    assert_eq!(
        after(&[&[forwarding, down(1)]]),
        [0; 0],
        "no reason to begin with it"
    );
}

#[test]
fn a_drained_plane_leaves_unless_it_is_the_last_one() {
    let drained = way(0, Health::Established, Gate::Closed);
    assert_eq!(after(&[&[up(0), up(1)], &[drained, up(1)]]), [1]);
    assert_eq!(
        after(&[&[up(0), up(1)], &[drained, up(1)], &[drained, down(1)]]),
        [0]
    );
    assert_eq!(after(&[&[up(0)], &[drained]]), [0]);
}

#[test]
fn with_every_plane_dead_the_last_choice_stays() {
    let mut path = path();
    assert!(path.update(V4, &[up(0), up(1)]).is_some());
    assert!(path.update(V4, &[down(0), up(1)]).is_some());
    assert_eq!(path.update(V4, &[down(0), down(1)]), None);
    assert_eq!(path.planes(V4).collect::<Vec<_>>(), [PlaneId(1)]);
}

#[test]
fn only_changes_are_told_and_each_prefix_is_a_route() {
    let mut config = ReturnPathConfig::default_routes();
    config.prefixes.push("10.0.0.0/8".parse().unwrap());
    let mut path = ReturnPath::new(config);

    let routes = path.update(V4, &[up(0), up(1)]).unwrap();

    let destinations: Vec<String> = routes.iter().map(|route| route.destination.to_string()).collect();
    assert_eq!(destinations, ["0.0.0.0/0", "10.0.0.0/8"], "no IPv6 route");
    assert!(routes.iter().all(|route| route.hops == [hop(0, 7), hop(1, 7)]));
    assert_eq!(path.update(V4, &[up(0), up(1)]), None);
    assert_eq!(
        path.planes(Family::Ipv6Unicast).count(),
        0,
        "the other family is another choice"
    );
}

/// The interface was made anew: the same switch, another index.
#[test]
fn a_hop_that_changes_is_told() {
    let mut path = path();
    path.update(V4, &[up(0)]);
    let anew = Way {
        hop: Some(hop(0, 9)),
        ..up(0)
    };
    let routes = path.update(V4, &[anew]).unwrap();
    assert_eq!(routes[0].hops, [hop(0, 9)]);
}

#[test]
fn the_gateway_is_the_switch_unless_configured() {
    let plane = PlaneId(0);
    let switch: IpAddr = "10.1.1.1".parse().unwrap();
    let mut config = ReturnPathConfig::default_routes();
    let hop = config.hop(plane, V4, Some(switch), Some(7)).unwrap();
    assert_eq!((hop.gateway, hop.if_index, hop.on_link), (switch, 7, false));
    assert_eq!(hop.weight, NonZeroU8::MIN);
    assert_eq!(
        config.hop(plane, V4, Some(switch), None),
        None,
        "routed to: not a next hop"
    );
    assert_eq!(
        config.hop(plane, V4, None, Some(7)),
        None,
        "no address of that family"
    );

    config.planes.insert(
        plane,
        ReturnHopConfig {
            gateway_v4: Some("fe80::1".parse().unwrap()),
            gateway_v6: Some("fe80::2".parse().unwrap()),
            weight: NonZeroU8::new(3).unwrap(),
            on_link: true,
        },
    );
    let hop = config.hop(plane, V4, Some(switch), None).unwrap();
    assert_eq!(hop.gateway.to_string(), "fe80::1");
    assert_eq!((hop.if_index, hop.weight.get(), hop.on_link), (0, 3, true));
    let hop = config
        .hop(plane, Family::Ipv6Unicast, Some(switch), Some(7))
        .unwrap();
    assert_eq!(hop.gateway.to_string(), "fe80::2");
}
