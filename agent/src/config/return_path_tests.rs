use super::super::tests::{RACK, ok, refused};
use super::*;

fn path(section: &str) -> Option<ReturnPathConfig> {
    ok(&format!("{RACK}returnPath: {section}\n"), &[]).return_path
}

fn prefixes(config: &ReturnPathConfig) -> Vec<String> {
    config.prefixes.iter().map(Prefix::to_string).collect()
}

#[test]
fn the_return_path_is_off_unless_asked_for() {
    assert_eq!(ok(RACK, &[]).return_path, None);
    assert_eq!(path("{enabled: false, metric: 7}"), None);
    assert_eq!(path(""), None, "an empty value is as if it were not there");
    assert!(path("{}").is_some());
}

#[test]
fn the_default_routes_of_the_families_that_the_switches_have() {
    let both = path("{enabled: true}").expect("on");
    assert_eq!(prefixes(&both), ["0.0.0.0/0", "::/0"]);
    assert_eq!(
        (both.table, both.metric.get(), both.leave_on_exit),
        (254, 50, false)
    );
    let v4_only = "localAs: 65000\ndefaults: {as: 65030}\nplanes: [{name: a, neighbors: [10.1.1.1]}]\n";
    let v4 = ok(&format!("{v4_only}returnPath: {{}}\n"), &[]).return_path;
    assert_eq!(prefixes(&v4.expect("on")), ["0.0.0.0/0"]);
}

#[test]
fn everything_can_be_said() {
    let config = path(
        "{prefixes: [10.0.0.0/8, \"2001:db8::/32\"], metric: 7, table: 100, leaveOnExit: true, planes: \
         [{name: a, gateway: [10.1.1.254, \"fe80::1\"], weight: 3, onLink: true}, {name: b, weight: 2}]}",
    )
    .expect("on");
    assert_eq!(prefixes(&config), ["10.0.0.0/8", "2001:db8::/32"]);
    assert_eq!(
        (config.table, config.metric.get(), config.leave_on_exit),
        (100, 7, true)
    );
    let a = &config.planes[&PlaneId(0)];
    assert_eq!(a.gateway_v4, Some("10.1.1.254".parse().expect("address")));
    assert_eq!(a.gateway_v6, Some("fe80::1".parse().expect("address")));
    assert_eq!((a.weight.get(), a.on_link), (3, true));
    let b = &config.planes[&PlaneId(1)];
    assert_eq!((b.gateway_v4, b.gateway_v6, b.weight.get()), (None, None, 2));
}

/// An unnumbered link: IPv4 over the switch's IPv6 address.
#[test]
fn an_ipv6_gateway_serves_ipv4_where_the_switch_has_no_ipv4_address() {
    let unnumbered = "localAs: 65000\nrouterId: 10.0.0.1\ndefaults: {as: 65030}\nplanes: [{name: a, neighbors: [\"fd00::1\"]}]\n";
    let text = format!("{unnumbered}returnPath: {{planes: [{{name: a, gateway: \"fd00::1\"}}]}}\n");
    let config = ok(&text, &[]).return_path.expect("on");
    assert_eq!(prefixes(&config), ["0.0.0.0/0", "::/0"]);
    let gateway = config.planes[&PlaneId(0)].gateway_v4;
    assert_eq!(gateway, Some("fd00::1".parse().expect("address")));
}

#[test]
fn mistakes_name_the_field_and_the_remedy() {
    for (section, expected) in [
        ("{metric: 0}", "returnPath.metric: \"0\""),
        ("{table: 0}", "returnPath.table: \"0\""),
        ("{table: main}", "returnPath.table: \"main\""),
        ("{prefixes: []}", "returnPath.prefixes: is empty; name a prefix"),
        ("{prefixes: [10.0.0.0/33]}", "returnPath.prefixes[0]"),
        (
            "{prefixes: [10.0.0.0/8, 10.1.2.3/8]}",
            "returnPath.prefixes[1]: 10.0.0.0/8 is there twice",
        ),
        (
            "{planes: [{name: c}]}",
            "returnPath.planes[0].name: there is no plane c",
        ),
        (
            "{planes: [{name: a}, {name: a}]}",
            "returnPath.planes[1].name: plane a is there twice",
        ),
        (
            "{planes: [{name: a, gateway: [10.1.1.1, 10.1.1.2]}]}",
            "returnPath.planes[0].gateway: has several addresses of one family",
        ),
        (
            "{planes: [{name: a, weight: 0}]}",
            "returnPath.planes[0].weight: \"0\"",
        ),
        (
            "{planes: [{name: a, weight: 256}]}",
            "returnPath.planes[0].weight: \"256\"",
        ),
        ("{planes: [{weight: 2}]}", "name"),
        ("{gateway: 10.1.1.1}", "gateway"),
        ("true", "returnPath"),
    ] {
        let error = refused(&format!("{RACK}returnPath: {section}\n"), &[]);
        assert!(error.contains(expected), "{section}: {error}");
    }
    let v4_only = "localAs: 65000\ndefaults: {as: 65030}\nplanes: [{name: a, neighbors: [10.1.1.1]}]\n";
    let error = refused(&format!("{v4_only}returnPath: {{prefixes: [\"::/0\"]}}\n"), &[]);
    assert!(
        error.contains("returnPath.prefixes[0]: there is no next hop for ::/0"),
        "{error}"
    );
}

#[test]
fn the_reference_has_every_field_of_the_section() {
    let page = include_str!("../../../docs/configuration.md");
    let section = page.split("## Return path").nth(1).expect("a section");
    for field in ReturnPathSettings::FIELDS {
        assert!(section.contains(&format!("| `{field}`")), "{field} has no row");
    }
}
