use super::flags::{FLAGS, NOT_YET, find};
use super::*;
use secrecy::ExposeSecret;
use std::collections::BTreeSet;
use std::time::Duration;

const REQUIRED: [&str; 5] = [
    "--neighbor-address=10.0.0.1,10.0.0.2",
    "--neighbor-as=65030",
    "--cluster-as=65000",
    "--node-name=Worker-1",
    "--manifests=/etc/twintor",
];

fn parse_with(args: &[&str], env: &[(&str, &str)]) -> Result<Settings, CliError> {
    let look_up = |name: &str| {
        let found = env.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let command = parse(args.iter().map(OsString::from), look_up)?;
    let Command::Run(settings) = command else {
        panic!("{args:?} is not twintor run");
    };
    Ok(*settings)
}

/// `twintor run` with what is required and these.
fn run(args: &[&str]) -> Result<Settings, CliError> {
    let all: Vec<_> = ["twintor", "run"]
        .iter()
        .chain(&REQUIRED)
        .chain(args)
        .copied()
        .collect();
    parse_with(&all, &[])
}

pub(super) fn ok(args: &[&str]) -> Settings {
    run(args).unwrap_or_else(|error| panic!("{args:?}: {error}"))
}

fn refused(args: &[&str]) -> (u8, String) {
    let error = run(args).expect_err("must be refused");
    let text = error.to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    (error.exit_code(), text)
}

pub(super) fn invalid(args: &[&str], expected: &str) {
    assert_eq!(
        refused(args),
        (1, format!("failed to parse config: {expected}")),
        "{args:?}"
    );
}

pub(super) fn syntax(args: &[&str], expected: &str) {
    assert_eq!(refused(args), (2, expected.to_owned()), "{args:?}");
}

#[test]
fn every_flag_of_the_incumbent_is_known() {
    let names = "neighbor-address neighbor-ipv6-address neighbor-as cluster-as router-id auth-password holdtime \
        passivemode ebgp-multihop extended-nexthop graceful-restart graceful-restart-time \
        graceful-restart-deferral-time announce-cluster-ip nat-gw-mode node-name node-ips \
        allowed-source-addresses allowed-source-ipv6-addresses enable-bfd bfd-min-tx bfd-min-rx \
        bfd-detection-multiplier grpc-host grpc-port enable-metrics pprof-port kubeconfig log-perm \
        logtostderr alsologtostderr log_file log_dir log_file_max_size v vmodule stderrthreshold \
        alsologtostderrthreshold legacy_stderr_threshold_behavior one_output skip_headers skip_log_headers \
        add_dir_header log_backtrace_at manifests config listen-port listen-address http-address control-socket";
    for name in names.split_whitespace() {
        assert!(find(name).is_some(), "{name}");
    }
    for name in NOT_YET {
        assert!(find(name).is_some(), "{name} is in NOT_YET but no flag");
    }
    let distinct: BTreeSet<_> = FLAGS.iter().map(|flag| flag.name).collect();
    assert_eq!(distinct.len(), FLAGS.len());
}

#[test]
fn defaults() {
    let settings = ok(&[]);
    assert_eq!(settings.hold_time, Duration::from_secs(90));
    assert_eq!(settings.ebgp_multihop, 1);
    assert_eq!(settings.listen_port, Some(179));
    assert_eq!(settings.grpc.address.to_string(), "127.0.0.1:50051");
    assert_eq!(
        settings.http.map(|http| http.to_string()).as_deref(),
        Some("0.0.0.0:10667")
    );
    assert_eq!(settings.node_name.as_deref(), Some("worker-1"));
    assert_eq!(settings.verbosity, 0);
    assert!(!settings.passive && !settings.announce.services.is_on() && !settings.extended_nexthop);
    assert!(
        settings.graceful_restart.is_none() && settings.bfd.is_none() && settings.auth_password.is_none()
    );
    assert!(settings.warnings.is_empty());
    assert_eq!(settings.router_id, None);
}

#[test]
fn verbosity_in_all_its_spellings() {
    for args in [
        &["-v5"][..],
        &["-v=5"],
        &["-v", "5"],
        &["--v=5"],
        &["--v", "5"],
        &["-v1", "-v5"],
    ] {
        assert_eq!(ok(args).verbosity, 5, "{args:?}");
    }
    syntax(&["--v5"], "unknown flag: --v5");
    syntax(
        &["-vx"],
        "invalid argument \"x\" for \"-v, --v\" flag: not a whole number",
    );
    syntax(&["-v"], "flag needs an argument: --v");
}

#[test]
fn booleans_take_no_separate_value() {
    for (arg, expected) in [
        ("--passivemode", true),
        ("--passivemode=true", true),
        ("--passivemode=1", true),
        ("--passivemode=t", true),
        ("--passivemode=T", true),
        ("--passivemode=TRUE", true),
        ("--passivemode=false", false),
        ("--passivemode=0", false),
        ("--passivemode=f", false),
    ] {
        assert_eq!(ok(&[arg]).passive, expected, "{arg}");
    }
    assert!(!ok(&["--passivemode", "--passivemode=false"]).passive);
    syntax(
        &["--passivemode=maybe"],
        "invalid argument \"maybe\" for \"--passivemode\" flag: not a boolean; use true or false",
    );
    syntax(
        &["--passivemode="],
        "invalid argument \"\" for \"--passivemode\" flag: not a boolean; use true or false",
    );

    let trap = ok(&["--passivemode", "false", "leftover"]);
    assert!(trap.passive);
    assert_eq!(
        trap.warnings,
        ["2 argument(s) that belong to no flag are ignored; write a boolean as --flag=false"]
    );
}

#[test]
fn lists_append_and_may_be_empty() {
    let addresses = |args: &[&str]| {
        let settings = ok(args);
        settings
            .neighbors_v6
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let flag = "--neighbor-ipv6-address";
    assert_eq!(
        addresses(&["--neighbor-ipv6-address=fd00::1,fd00::2"]),
        ["fd00::1", "fd00::2"]
    );
    assert_eq!(
        addresses(&[flag, "fd00::1", flag, "fd00::2"]),
        ["fd00::1", "fd00::2"]
    );
    assert_eq!(
        addresses(&["--neighbor-ipv6-address='fd00::1', \"fd00::2\""]),
        ["fd00::1", "fd00::2"]
    );
    assert!(addresses(&["--neighbor-ipv6-address="]).is_empty());
    assert!(addresses(&[flag, ""]).is_empty());
    syntax(
        &["--neighbor-ipv6-address=fd00::1,nonsense"],
        "invalid argument \"fd00::1,nonsense\" for \"--neighbor-ipv6-address\" flag: invalid string being converted to IP address: nonsense",
    );
}

#[test]
fn syntax_errors_exit_with_two_and_show_usage() {
    syntax(&["--no-such-flag"], "unknown flag: --no-such-flag");
    syntax(&["--auth-pasword=hunter2"], "unknown flag: --auth-pasword");
    syntax(
        &["-logtostderr"],
        "unknown shorthand flag: 'l' in -logtostderr; write --logtostderr",
    );
    syntax(&["--holdtime"], "flag needs an argument: --holdtime");
    syntax(
        &["--holdtime=90"],
        "invalid argument \"90\" for \"--holdtime\" flag: missing unit in duration \"90\"; write 90s for seconds",
    );
    syntax(
        &["--neighbor-as", "4294967296"],
        "invalid argument \"4294967296\" for \"--neighbor-as\" flag: not a whole number from 0 to 4294967295",
    );
    syntax(
        &["--ebgp-multihop=256"],
        "invalid argument \"256\" for \"--ebgp-multihop\" flag: not a whole number from 0 to 255",
    );
    syntax(
        &["--router-id=x"],
        "invalid argument \"x\" for \"--router-id\" flag: failed to parse IP: \"x\"",
    );
    syntax(
        &["--log-format=xml"],
        "invalid argument \"xml\" for \"--log-format\" flag: not a log format; use text or json",
    );
    let Err(CliError::Syntax { usage, .. }) = run(&["--nope"]) else {
        panic!("must be a syntax error");
    };
    assert!(usage.contains("Usage: twintor run"));
}

#[test]
fn a_later_value_wins() {
    assert_eq!(
        ok(&["--holdtime=9s", "--holdtime", "1m0s"]).hold_time,
        Duration::from_secs(60)
    );
    assert_eq!(
        ok(&["--router-id=1.1.1.1", "--router-id="]).router_id,
        Some([1, 1, 1, 1].into())
    );
}

#[test]
fn hold_time_bounds() {
    let seconds = |arg: &str| ok(&[arg]).hold_time.as_secs();
    assert_eq!(seconds("--holdtime=3s"), 3);
    assert_eq!(seconds("--holdtime=3.9s"), 3);
    assert_eq!(seconds("--holdtime=65535s"), 65535);
    let clamped = ok(&["--holdtime=65536s"]);
    assert_eq!(clamped.hold_time.as_secs(), 65535);
    assert_eq!(clamped.warnings.len(), 1);
    for arg in [
        "--holdtime=2.999999999s",
        "--holdtime=65536s1ns",
        "--holdtime=0",
        "--holdtime=-90s",
    ] {
        invalid(
            &[arg],
            "the bgp holdtime must be in the range 3s to 65536s; correct --holdtime",
        );
    }
}

#[test]
fn all_missing_flags_are_told_together() {
    let error = parse_with(&["twintor", "run"], &[]).expect_err("nothing given");
    assert_eq!(
        error.to_string(),
        "failed to parse config: missing required flags: at least one of --neighbor-address or \
         --neighbor-ipv6-address must be specified; --cluster-as must be specified (AS 0 is reserved); \
         --neighbor-as must be specified (AS 0 is reserved); --node-name must be specified (usually via \
         NODE_NAME env from downward API)"
    );
    assert_eq!(error.exit_code(), 1);

    let without_manifests: Vec<_> = ["twintor", "run"].iter().chain(&REQUIRED[..4]).copied().collect();
    let settings = parse_with(&without_manifests, &[]).expect("the API server is the source");
    assert_eq!(settings.manifests, None);
}

#[test]
fn neighbours_are_checked() {
    invalid(
        &["--neighbor-address=fd00::1"],
        "invalid neighbor-address format: [fd00::1] is not an IPv4 address; put it into --neighbor-ipv6-address",
    );
    invalid(
        &["--neighbor-ipv6-address=::ffff:10.0.0.9"],
        "invalid neighbor-ipv6-address format: [10.0.0.9] is not an IPv6 address; put it into --neighbor-address",
    );
    invalid(
        &["--neighbor-address=10.0.0.1"],
        "--neighbor-address has 10.0.0.1 twice; give each switch once",
    );
    invalid(
        &["--allowed-source-addresses=fd00::1"],
        "invalid allowed-source-addresses format: [fd00::1] is not an IPv4 address; put it into --allowed-source-ipv6-addresses",
    );
    invalid(
        &["--ttl-security=1", "--ebgp-multihop=2"],
        "--ttl-security and --ebgp-multihop exclude each other; leave one out",
    );
    invalid(
        &["--ebgp-multihop=0"],
        "the bgp MultihopTtl must be in the range 1 to 255; got --ebgp-multihop=0",
    );
    invalid(
        &["--listen-port=0", "--passivemode"],
        "--passivemode needs a listener; correct --listen-port=0",
    );
    assert_eq!(ok(&["--listen-port=0"]).listen_port, None);
}

#[test]
fn router_id() {
    invalid(
        &["--router-id=fd00::1"],
        "router-id must be an IPv4 address; got --router-id=fd00::1",
    );
    invalid(
        &["--router-id=0.0.0.0"],
        "--router-id=0.0.0.0 is no BGP identifier; give an IPv4 address that no other speaker uses",
    );
    let only_v6 = [
        "kube-ovn-speaker",
        "--neighbor-ipv6-address=fd00::1",
        "--neighbor-as=1",
        "--cluster-as=2",
        "--node-name=n",
        "--manifests=/m",
    ];
    let error = parse_with(&only_v6, &[]).expect_err("no router id");
    assert!(error.to_string().contains("set --router-id"), "{error}");
    let settings = parse_with(&only_v6, &[("POD_IPS", "fd00::2,10.1.1.1")]).expect("complete");
    assert_eq!(settings.router_id, Some([10, 1, 1, 1].into()));
    assert_eq!(settings.pod_ips.v6, "fd00::2".parse().ok());
    let with_flag: Vec<_> = only_v6.iter().copied().chain(["--router-id=9.9.9.9"]).collect();
    let settings = parse_with(&with_flag, &[("POD_IP", "10.1.1.1")]).expect("complete");
    assert_eq!(settings.router_id, Some([9, 9, 9, 9].into()));
}

#[test]
fn environment() {
    let args: Vec<_> = ["/kube-ovn/kube-ovn-speaker"]
        .iter()
        .chain(&REQUIRED[..3])
        .chain(&REQUIRED[4..])
        .copied()
        .collect();
    let node = |env: &[(&str, &str)]| parse_with(&args, env).map(|settings| settings.node_name);
    assert_eq!(
        node(&[("NODE_NAME", "A"), ("KUBE_NODE_NAME", "b")])
            .ok()
            .flatten()
            .as_deref(),
        Some("a")
    );
    assert_eq!(
        node(&[("KUBE_NODE_NAME", "B")]).ok().flatten().as_deref(),
        Some("b")
    );
    assert_eq!(
        node(&[("NODE_NAME", ""), ("KUBE_NODE_NAME", "b")])
            .ok()
            .flatten()
            .as_deref(),
        Some("b")
    );
    assert!(node(&[]).is_err());

    let ips = |list: &str| {
        let settings = parse_with(
            &args,
            &[("NODE_NAME", "a"), ("POD_IPS", list), ("POD_IP", "10.9.9.9")],
        );
        let settings = settings.expect("complete");
        (
            settings.pod_ips.v4.map(|ip| ip.to_string()),
            settings.warnings.len(),
        )
    };
    assert_eq!(ips("10.0.0.5,fd00::5"), (Some("10.0.0.5".to_owned()), 0));
    assert_eq!(ips("fd00::5, 10.0.0.5"), (Some("10.0.0.5".to_owned()), 0));
    assert_eq!(ips(""), (Some("10.9.9.9".to_owned()), 0));
    assert_eq!(ips("10.0.0.5,10.0.0.6"), (None, 1));
    assert_eq!(ips("10.0.0.5,x"), (None, 1));
}

#[test]
fn what_is_not_there_yet_is_told_when_asked_for() {
    assert_eq!(
        ok(&["--grpc-host=::1", "--grpc-port=2"]).warnings,
        ["--grpc-host, --grpc-port: accepted, but this version has nothing behind it yet; leave it out"]
    );
    for name in NOT_YET {
        let flag = find(name).expect("a flag");
        let default = format!("--{name}={}", flag.default);
        assert!(ok(&[&default]).warnings.is_empty(), "{default}");
    }
}

#[test]
fn bounds_of_bfd_and_graceful_restart_hold_before_that() {
    let bfd = |args: &[&str]| {
        let all: Vec<_> = ["--enable-bfd"].iter().chain(args).copied().collect();
        refused(&all).1
    };
    for arg in [
        "--bfd-min-tx=0",
        "--bfd-min-tx=4294968",
        "--bfd-min-rx=0",
        "--bfd-min-rx=4294968",
    ] {
        assert!(
            bfd(&[arg]).contains("must be in the range 1 to 4294967 milliseconds"),
            "{arg}"
        );
    }
    assert!(bfd(&["--bfd-detection-multiplier=0"]).contains("1 to 255"));
    let bfd = ok(&["--enable-bfd", "--bfd-min-tx=4294967"]).bfd.unwrap();
    assert_eq!(bfd.min_tx, Duration::from_millis(4_294_967));
    assert_eq!(bfd.multiplier.get(), 3);

    let restart = |arg: &str| refused(&["--graceful-restart", arg]).1;
    for arg in ["999999999ns", "4095.000000001s", "0s"] {
        let text = restart(&format!("--graceful-restart-time={arg}"));
        assert!(
            text.contains("graceful restart time must be in the range 1s to 4095s"),
            "{text}"
        );
    }
    for arg in ["999999999ns", "18h0.000000001s"] {
        let text = restart(&format!("--graceful-restart-deferral-time={arg}"));
        assert!(
            text.contains("deferral time must be in the range 1s to 18h"),
            "{text}"
        );
    }
    let longest = ok(&["--graceful-restart", "--graceful-restart-time=4095s"]);
    assert_eq!(
        longest.graceful_restart.map(|restart| restart.time.as_secs()),
        Some(4095)
    );
}

#[test]
fn bfd_that_will_surprise_is_remarked_on() {
    let remarks = |args: &[&str], word: &str| {
        let warnings = ok(args).warnings;
        warnings.iter().filter(|line| line.contains(word)).count()
    };
    assert_eq!(
        remarks(&["--enable-bfd", "--bfd-min-tx=9"], "raise --bfd-min-tx"),
        1
    );
    assert_eq!(
        remarks(&["--enable-bfd", "--bfd-min-rx=9"], "raise --bfd-min-tx"),
        1
    );
    assert_eq!(
        remarks(
            &["--enable-bfd", "--bfd-min-tx=10", "--bfd-min-rx=10"],
            "raise --bfd-min-tx"
        ),
        0
    );
    assert_eq!(remarks(&["--enable-bfd", "--graceful-restart"], "C bit"), 1);
    assert_eq!(remarks(&["--enable-bfd"], "C bit"), 0);
    assert_eq!(remarks(&["--graceful-restart"], "C bit"), 0);
}

#[test]
fn the_password_stays_secret() {
    let settings = ok(&["--auth-password=hunter2"]);
    let password = settings.auth_password.as_ref().expect("given");
    assert_eq!(password.expose_secret(), "hunter2");
    assert!(!format!("{settings:?}").contains("hunter2"));
    let text = refused(&["--auth-password=hunter2", "--holdtime=1s"]).1;
    assert!(!text.contains("hunter2"));
    let dashed = ok(&["--auth-password", "--holdtime"]);
    assert_eq!(
        dashed
            .auth_password
            .map(|p| p.expose_secret().to_owned())
            .as_deref(),
        Some("--holdtime")
    );
}

#[test]
fn help_names_the_flags_their_units_and_defaults() {
    let help = |args: &[&str]| match parse_with(args, &[]) {
        Err(CliError::Help { plain, .. }) => plain,
        other => panic!("{other:?}"),
    };
    let long = help(&["twintor", "run", "--help"]);
    for flag in FLAGS {
        assert!(long.contains(&format!("--{}", flag.name)), "{}", flag.name);
    }
    for heading in [
        "Switches:",
        "BGP sessions:",
        "What is announced:",
        "BFD:",
        "Logging:",
    ] {
        assert!(long.contains(heading), "{heading}");
    }
    assert!(long.contains("[default: 90s]"));
    let short = help(&["twintor", "run", "-h"]);
    assert!(!short.contains("--grpc-host") && short.contains("--neighbor-address"));
    let root = help(&["twintor", "--help"]);
    assert!(root.contains("run") && root.contains("plan") && !root.contains("drain"));
    assert!(help(&["twintor", "--version"]).starts_with("twintor "));
}

#[test]
fn commands() {
    let error = |args: &[&str]| {
        let error = parse_with(args, &[]).expect_err("must be refused");
        (error.exit_code(), error.to_string())
    };
    assert_eq!(
        error(&["twintor"]),
        (2, "no command given; write twintor run".to_owned())
    );
    assert_eq!(
        error(&["twintor", "rnu"]),
        (
            2,
            "unknown command \"rnu\" for \"twintor\"; write twintor run".to_owned()
        )
    );
    assert_eq!(
        error(&["twintor", "--neighbor-as=5"]),
        (
            2,
            "unknown command or flag \"--neighbor-as\" for \"twintor\"; write twintor run".to_owned()
        )
    );
    assert!(parse(Vec::<OsString>::new(), |_| None).is_err());
}

#[test]
fn arguments_that_are_no_text_do_not_panic() {
    use std::os::unix::ffi::OsStringExt;
    let bad = |prefix: &str| OsString::from_vec([prefix.as_bytes(), &[0xff, 0xfe]].concat());
    for arg in [
        bad(""),
        bad("--"),
        bad("-"),
        bad("--node-name="),
        bad("-v"),
        bad("--passivemode="),
    ] {
        let args = ["twintor".into(), "run".into(), arg];
        assert!(parse(args, |_| None).is_err());
    }
}

/// The arguments and environment that kube-ovn's controller gives the sidecar of a NAT gateway.
#[test]
fn the_sidecar_contract_parses() {
    let settings = parse_with(
        &[
            "/kube-ovn/kube-ovn-speaker",
            "--nat-gw-mode",
            "--router-id=1.1.1.1",
            "--auth-password=password123",
            "--graceful-restart",
            "--holdtime=1m0s",
            "--cluster-as=65500",
            "--neighbor-as=65000",
            "--neighbor-address=100.127.4.161",
            "--neighbor-ipv6-address=fd:01::1",
            "-v5",
        ],
        &[
            ("GATEWAY_NAME", "vpc-natgw"),
            ("POD_IP", "10.0.1.10"),
            ("POD_IPS", "10.0.1.10"),
        ],
    )
    .expect("the controller writes it so");
    assert_eq!(settings.gateway_name.as_deref(), Some("vpc-natgw"));
    assert_eq!(
        (settings.node_name, settings.manifests, settings.kubeconfig),
        (None, None, None)
    );
    assert_eq!(settings.hold_time, Duration::from_secs(60));
    assert_eq!(settings.verbosity, 5);
    let restart = settings.graceful_restart.expect("given");
    assert_eq!(restart.time, Duration::from_secs(90));
    assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
}

#[test]
fn the_stock_daemonset_parses() {
    let settings = parse_with(
        &[
            "/kube-ovn/kube-ovn-speaker",
            "--logtostderr=false",
            "--alsologtostderr=true",
            "--log_file=/var/log/kube-ovn/kube-ovn-speaker.log",
            "--log_file_max_size=200",
            "--neighbor-address=10.32.32.1",
            "--neighbor-as=65030",
            "--cluster-as=65000",
        ],
        &[
            ("NODE_NAME", "worker-1"),
            ("POD_IP", "10.0.0.7"),
            ("POD_IPS", "10.0.0.7"),
        ],
    )
    .expect("as it is shipped");
    let file = settings.log.file.expect("a log file");
    assert_eq!(file.path, Path::new("/var/log/kube-ovn/kube-ovn-speaker.log"));
    assert_eq!((file.mode, file.max_size), (0o640, Some(200 << 20)));
    assert_eq!(settings.log.stderr, tracing::level_filters::LevelFilter::TRACE);
    assert_eq!(settings.manifests, None);
    assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
}

#[test]
fn one_source_of_objects_only() {
    invalid(
        &["--kubeconfig=/k"],
        "--manifests and --kubeconfig name two sources of objects; leave one of them out",
    );
}
