use super::CliError;
use super::env::PodIps;
use super::log::{self, Log};
use super::parser::Given;
use crate::index::Policy;
use secrecy::SecretString;
use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Everything that the command line and the environment say, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// IPv4 addresses of the switches, plane `a` first; each once.
    pub neighbors_v4: Vec<Ipv4Addr>,
    /// IPv6 addresses of the switches, plane `a` first; each once.
    pub neighbors_v6: Vec<Ipv6Addr>,
    /// AS number of all switches; zero only where [`config`](Self::config) has to say it. Equal to [`cluster_as`](Self::cluster_as) it means iBGP.
    pub neighbor_as: u32,
    /// AS number of this speaker; zero only where [`config`](Self::config) has to say it.
    pub cluster_as: u32,
    /// BGP identifier, not `0.0.0.0`. `None` where neither `--router-id` nor an IPv4 address in `POD_IPS` is
    /// given: then the source address of the first IPv4 session is to be taken, and there is one (or
    /// [`config`](Self::config) has to say it).
    pub router_id: Option<Ipv4Addr>,
    /// TCP MD5 password of all sessions.
    pub auth_password: Option<SecretString>,
    /// Hold time in whole seconds, 3 s to 65535 s.
    pub hold_time: Duration,
    /// Never dial, only listen.
    pub passive: bool,
    /// TTL of eBGP sessions in hops, 1 to 255; 1 means directly connected.
    pub ebgp_multihop: u8,
    /// GTSM: how many links away a switch may be, 1 to 254; `None` where it is off.
    pub ttl_security: Option<u8>,
    /// TCP port of the BGP listener; `None` for no listener.
    pub listen_port: Option<u16>,
    /// Addresses of the BGP listener; empty for all.
    pub listen_addresses: Vec<IpAddr>,
    /// Announce every family to every switch (RFC 8950).
    pub extended_nexthop: bool,
    /// Next hops instead of the addresses in [`pod_ips`](Self::pod_ips), the last given of each family.
    pub node_ips: PodIps,
    /// Addresses of the pod this runs in.
    pub pod_ips: PodIps,
    /// IPv4 source addresses that the route to a switch may select; empty for any.
    pub allowed_sources_v4: Vec<Ipv4Addr>,
    /// IPv6 source addresses that the route to a switch may select; empty for any.
    pub allowed_sources_v6: Vec<Ipv6Addr>,
    /// Graceful restart; `None` where it is off.
    pub graceful_restart: Option<GracefulRestart>,
    /// The state file.
    pub state_file: StateFileFlags,
    /// BFD; `None` where it is off.
    pub bfd: Option<Bfd>,
    /// What is announced beyond the words of the annotations.
    pub announce: Policy,
    /// The NAT gateway whose EIPs are announced; `None` outside NAT gateway mode.
    pub gateway_name: Option<String>,
    /// The name of this node in lower case; only in NAT gateway mode it may be missing.
    pub node_name: Option<String>,
    /// The directory of Kubernetes objects; `None` to ask an API server.
    pub manifests: Option<PathBuf>,
    /// The file with the access to the API server; `None` for the pod's own account.
    pub kubeconfig: Option<PathBuf>,
    /// The file with the structured configuration.
    pub config: Option<PathBuf>,
    /// The address of the HTTP server; `None` where it is off.
    pub http: Option<SocketAddr>,
    /// The address of the gRPC server.
    pub grpc: Grpc,
    /// The path of the control socket.
    pub control_socket: Option<PathBuf>,
    /// klog's verbosity; see [`logging`](crate::logging).
    pub verbosity: i32,
    /// Where the log goes.
    pub log: Log,
    /// What was accepted but deserves a line in the log, once there is a log.
    pub warnings: Vec<String>,
    /// The names of the flags that stand on the command line; the others have their defaults.
    pub given: BTreeSet<&'static str>,
}

/// Graceful restart, RFC 4724.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GracefulRestart {
    /// How long the switches keep routes over a restart: 1 s to 4095 s, whole seconds.
    pub time: Duration,
    /// How long to wait for End-of-RIB: 1 s to 18 h, whole seconds. Checked, and then without effect.
    pub deferral_time: Duration,
}

/// Where the desired set is kept, and when it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFileFlags {
    /// The path; `None` where it is kept nowhere, as far as the flags say.
    pub path: Option<PathBuf>,
    /// How old it may be, at least 1 s.
    pub max_age: Duration,
    /// How long the first complete sync may take until it stands in.
    pub wait: Duration,
}

/// BFD parameters of all switches, RFC 5880.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bfd {
    /// Desired minimum transmit interval, 1 ms to 4294967 ms.
    pub min_tx: Duration,
    /// Required minimum receive interval, 1 ms to 4294967 ms.
    pub min_rx: Duration,
    /// Detection multiplier.
    pub multiplier: std::num::NonZeroU8,
}

/// Where the gRPC server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grpc {
    /// Address and port.
    pub address: SocketAddr,
}

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;

/// The largest number of milliseconds that fits BFD's 32-bit field of microseconds (RFC 5880 section 4.1).
const BFD_MAX_MS: u32 = u32::MAX / 1000;

/// Checks what was given, in the order of kube-ovn-speaker (all missing flags are told together).
pub(super) fn build(given: &Given, env: &dyn Fn(&str) -> Option<String>) -> Result<Settings, CliError> {
    let env = |name: &str| env(name).filter(|value| !value.is_empty());
    let mut warnings = Vec::new();
    if given.positionals > 0 {
        warnings.push(format!(
            "{} argument(s) that belong to no flag are ignored; write a boolean as --flag=false",
            given.positionals
        ));
    }
    let hold_time = hold_time(given, &mut warnings)?;
    let ebgp_multihop: u8 = given.uint("ebgp-multihop");
    if ebgp_multihop == 0 {
        return invalid("the bgp MultihopTtl must be in the range 1 to 255; got --ebgp-multihop=0");
    }
    let ttl_security: u8 = given.uint("ttl-security");
    if ttl_security > 0 && ebgp_multihop > 1 {
        return invalid("--ttl-security and --ebgp-multihop exclude each other; leave one out");
    }
    let pod_ips = pod_ips(&env, &mut warnings);
    let gateway = given.bool("nat-gw-mode").then(|| env("GATEWAY_NAME"));
    let node_name = node_name(given, &env);
    require(given, gateway.is_none(), node_name.as_deref())?;
    let neighbors_v4 = v4_only(given, "neighbor-address", "neighbor-ipv6-address")?;
    let neighbors_v6 = v6_only(given, "neighbor-ipv6-address", "neighbor-address")?;
    refuse_twice("neighbor-address", &neighbors_v4)?;
    refuse_twice("neighbor-ipv6-address", &neighbors_v6)?;
    let sources = ("allowed-source-addresses", "allowed-source-ipv6-addresses");
    let allowed_sources_v4 = v4_only(given, sources.0, sources.1)?;
    let allowed_sources_v6 = v6_only(given, sources.1, sources.0)?;
    let may_have_v4_peer = !neighbors_v4.is_empty() || has_file(given);
    let router_id = router_id(given, pod_ips, may_have_v4_peer)?;
    let gateway_name = match gateway {
        None => None,
        Some(Some(name)) => Some(name),
        Some(None) => return invalid("--nat-gw-mode needs the name of the gateway; set GATEWAY_NAME"),
    };
    let log = log::log(given, &mut warnings)?;
    let graceful_restart = graceful_restart(given)?;
    let state_file = state_file(given)?;
    let bfd = bfd(given)?;
    if let Some(bfd) = bfd {
        warnings.extend(bfd_remarks(bfd, graceful_restart.is_some()));
    }
    warnings.extend(not_yet(given));
    let settings = Settings {
        neighbors_v4,
        neighbors_v6,
        neighbor_as: given.uint("neighbor-as"),
        cluster_as: given.uint("cluster-as"),
        router_id,
        auth_password: given.text("auth-password").map(SecretString::from),
        hold_time,
        passive: given.bool("passivemode"),
        ebgp_multihop,
        ttl_security: (ttl_security > 0).then_some(ttl_security),
        listen_port: listen_port(given)?,
        listen_addresses: given.ips("listen-address").to_vec(),
        extended_nexthop: given.bool("extended-nexthop"),
        node_ips: node_ips(given),
        pod_ips,
        allowed_sources_v4,
        allowed_sources_v6,
        graceful_restart,
        state_file,
        bfd,
        announce: Policy::from_flag(given.bool("announce-cluster-ip")),
        gateway_name,
        node_name,
        manifests: given.text("manifests").map(PathBuf::from),
        kubeconfig: given.text("kubeconfig").map(PathBuf::from),
        config: given.text("config").map(PathBuf::from),
        http: http(given),
        grpc: grpc(given),
        control_socket: given.text("control-socket").map(PathBuf::from),
        verbosity: given.int("v"),
        log,
        warnings,
        given: given.explicit.clone(),
    };
    if settings.manifests.is_some() && settings.kubeconfig.is_some() {
        return invalid("--manifests and --kubeconfig name two sources of objects; leave one of them out");
    }
    Ok(settings)
}

fn invalid<T>(message: impl Into<String>) -> Result<T, CliError> {
    Err(CliError::Invalid(message.into()))
}

/// What was asked for and is not there yet. Somebody who replaces the image changes no flag, so it is no error.
fn not_yet(given: &Given) -> Option<String> {
    let flags: Vec<_> = given
        .not_yet()
        .into_iter()
        .map(|name| format!("--{name}"))
        .collect();
    let flags = flags.join(", ");
    (!flags.is_empty())
        .then(|| format!("{flags}: accepted, but this version has nothing behind it yet; leave it out"))
}

fn hold_time(given: &Given, warnings: &mut Vec<String>) -> Result<Duration, CliError> {
    let nanoseconds = given.nanoseconds("holdtime");
    if !(3 * SECOND..=65536 * SECOND).contains(&nanoseconds) {
        return invalid("the bgp holdtime must be in the range 3s to 65536s; correct --holdtime");
    }
    let seconds = nanoseconds / SECOND;
    let on_the_wire = seconds.min(i64::from(u16::MAX));
    if on_the_wire < seconds {
        warnings.push("--holdtime=65536s does not fit the BGP message; 65535s is used".to_owned());
    }
    Ok(Duration::from_secs(on_the_wire.unsigned_abs()))
}

fn pod_ips(env: &dyn Fn(&str) -> Option<String>, warnings: &mut Vec<String>) -> PodIps {
    let found = ["POD_IPS", "POD_IP"]
        .into_iter()
        .find_map(|name| Some((name, env(name)?)));
    let Some((name, list)) = found else {
        return PodIps::default();
    };
    let (ips, warning) = PodIps::read(name, &list);
    warnings.extend(warning);
    ips
}

fn node_name(given: &Given, env: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    // kube-ovn 1.13 and 1.14 set KUBE_NODE_NAME.
    let name = given.text("node-name").map(str::to_owned);
    let name = name
        .or_else(|| env("NODE_NAME"))
        .or_else(|| env("KUBE_NODE_NAME"));
    name.map(|name| name.to_lowercase())
}

/// Whether a file may say what flags do not.
fn has_file(given: &Given) -> bool {
    given.text("config").is_some()
}

fn require(given: &Given, needs_node_name: bool, node_name: Option<&str>) -> Result<(), CliError> {
    let neighbors = ["neighbor-address", "neighbor-ipv6-address"];
    let as_of = |name| given.uint::<u32>(name);
    let mut missing = Vec::new();
    let needed = !has_file(given);
    if needed && neighbors.iter().all(|name| given.ips(name).is_empty()) {
        missing.push("at least one of --neighbor-address or --neighbor-ipv6-address must be specified");
    }
    if needed && as_of("cluster-as") == 0 {
        missing.push("--cluster-as must be specified (AS 0 is reserved)");
    }
    if needed && as_of("neighbor-as") == 0 {
        missing.push("--neighbor-as must be specified (AS 0 is reserved)");
    }
    if needs_node_name && node_name.is_none() {
        missing.push("--node-name must be specified (usually via NODE_NAME env from downward API)");
    }
    if given.bool("enable-bfd") {
        let is_bad = |name| !(1..=BFD_MAX_MS).contains(&given.uint(name));
        if given.uint::<u8>("bfd-detection-multiplier") == 0 {
            missing.push("--bfd-detection-multiplier must be in the range 1 to 255");
        }
        if is_bad("bfd-min-tx") {
            missing.push("--bfd-min-tx must be in the range 1 to 4294967 milliseconds");
        }
        if is_bad("bfd-min-rx") {
            missing.push("--bfd-min-rx must be in the range 1 to 4294967 milliseconds");
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    invalid(format!("missing required flags: {}", missing.join("; ")))
}

fn v4_only(given: &Given, flag: &str, other: &str) -> Result<Vec<Ipv4Addr>, CliError> {
    let ips = given.ips(flag).iter().map(|ip| match ip {
        IpAddr::V4(ip) => Ok(*ip),
        IpAddr::V6(ip) => invalid(format!(
            "invalid {flag} format: [{ip}] is not an IPv4 address; put it into --{other}"
        )),
    });
    ips.collect()
}

fn v6_only(given: &Given, flag: &str, other: &str) -> Result<Vec<Ipv6Addr>, CliError> {
    let ips = given.ips(flag).iter().map(|ip| match ip {
        IpAddr::V6(ip) => Ok(*ip),
        IpAddr::V4(ip) => invalid(format!(
            "invalid {flag} format: [{ip}] is not an IPv6 address; put it into --{other}"
        )),
    });
    ips.collect()
}

fn refuse_twice<T: std::hash::Hash + Eq + std::fmt::Display>(flag: &str, ips: &[T]) -> Result<(), CliError> {
    let mut seen = HashSet::new();
    match ips.iter().find(|ip| !seen.insert(*ip)) {
        Some(ip) => invalid(format!("--{flag} has {ip} twice; give each switch once")),
        None => Ok(()),
    }
}

fn router_id(given: &Given, pod_ips: PodIps, has_v4_peer: bool) -> Result<Option<Ipv4Addr>, CliError> {
    match given.ip("router-id") {
        Some(IpAddr::V4(id)) if id.is_unspecified() => invalid(
            "--router-id=0.0.0.0 is no BGP identifier; give an IPv4 address that no other speaker uses",
        ),
        Some(IpAddr::V4(id)) => Ok(Some(id)),
        Some(IpAddr::V6(id)) => invalid(format!("router-id must be an IPv4 address; got --router-id={id}")),
        None if pod_ips.v4.is_some() || has_v4_peer => Ok(pod_ips.v4),
        None => invalid(
            "there is no IPv4 address to take as router id; set --router-id to one that no other speaker uses",
        ),
    }
}

fn listen_port(given: &Given) -> Result<Option<u16>, CliError> {
    let port = Some(given.uint::<u16>("listen-port")).filter(|port| *port != 0);
    if port.is_none() && given.bool("passivemode") {
        return invalid("--passivemode needs a listener; correct --listen-port=0");
    }
    Ok(port)
}

fn node_ips(given: &Given) -> PodIps {
    let mut ips = PodIps::default();
    for ip in given.ips("node-ips") {
        match ip {
            IpAddr::V4(ip) => ips.v4 = Some(*ip),
            IpAddr::V6(ip) => ips.v6 = Some(*ip),
        }
    }
    ips
}

fn graceful_restart(given: &Given) -> Result<Option<GracefulRestart>, CliError> {
    if !given.bool("graceful-restart") {
        return Ok(None);
    }
    let time = given.nanoseconds("graceful-restart-time");
    if !(SECOND..=4095 * SECOND).contains(&time) {
        return invalid(
            "the bgp graceful restart time must be in the range 1s to 4095s; correct --graceful-restart-time",
        );
    }
    let deferral = given.nanoseconds("graceful-restart-deferral-time");
    if !(SECOND..=18 * HOUR).contains(&deferral) {
        return invalid(
            "the bgp graceful restart deferral time must be in the range 1s to 18h; correct --graceful-restart-deferral-time",
        );
    }
    let whole_seconds = |nanoseconds: i64| Duration::from_secs((nanoseconds / SECOND).unsigned_abs());
    Ok(Some(GracefulRestart {
        time: whole_seconds(time),
        deferral_time: whole_seconds(deferral),
    }))
}

fn state_file(given: &Given) -> Result<StateFileFlags, CliError> {
    let span = |flag: &str| given.nanoseconds(flag);
    let (max_age, wait) = (span("state-file-max-age"), span("state-file-wait"));
    if max_age < SECOND {
        return invalid("--state-file-max-age must be 1s or more, or no file would ever be believed");
    }
    if wait < 0 {
        return invalid("--state-file-wait is negative; write 0s or more");
    }
    Ok(StateFileFlags {
        path: given.text("state-file").map(PathBuf::from),
        max_age: Duration::from_nanos(max_age.unsigned_abs()),
        wait: Duration::from_nanos(wait.unsigned_abs()),
    })
}

fn bfd(given: &Given) -> Result<Option<Bfd>, CliError> {
    if !given.bool("enable-bfd") {
        return Ok(None);
    }
    let Some(multiplier) = std::num::NonZeroU8::new(given.uint("bfd-detection-multiplier")) else {
        return invalid("--bfd-detection-multiplier must be in the range 1 to 255");
    };
    let interval = |name| Duration::from_millis(given.uint(name));
    Ok(Some(Bfd {
        min_tx: interval("bfd-min-tx"),
        min_rx: interval("bfd-min-rx"),
        multiplier,
    }))
}

/// Below this, a busy node's own wake-ups come too late for the interval.
const BFD_STEADY: Duration = Duration::from_millis(10);

/// What is legal, but will surprise.
fn bfd_remarks(bfd: Bfd, graceful_restart: bool) -> Vec<String> {
    let fields = "--bfd-min-tx and --bfd-min-rx";
    let mut remarks: Vec<_> = short_bfd_remark(bfd.min_tx.min(bfd.min_rx), fields)
        .into_iter()
        .collect();
    if graceful_restart {
        remarks.push(restart_bfd_remark("--enable-bfd"));
    }
    remarks
}

/// A word about an interval that is too short to be kept. `fields` is what to raise.
pub(crate) fn short_bfd_remark(shortest: Duration, fields: &str) -> Option<String> {
    (shortest < BFD_STEADY).then(|| {
        format!(
            "a BFD interval of {shortest:?} is shorter than this process can keep on a busy node ({BFD_STEADY:?}): \
             expect failures that are nobody's fault; raise {fields}"
        )
    })
}

/// A word about BFD beside graceful restart. `bfd` is what switches BFD on.
pub(crate) fn restart_bfd_remark(bfd: &str) -> String {
    format!(
        "with {bfd} a restart of this process takes BFD away with it, so it says that its BFD shares the fate of BGP (C \
         bit clear, RFC 5882 section 4.3.2): a switch that ignores the C bit ends the graceful restart when BFD fails; \
         leave out {bfd} or --graceful-restart there"
    )
}

fn http(given: &Given) -> Option<SocketAddr> {
    if !given.bool("enable-metrics") {
        return None;
    }
    let historic = SocketAddr::from(([0, 0, 0, 0], given.uint("pprof-port")));
    Some(given.socket("http-address").unwrap_or(historic))
}

fn grpc(given: &Given) -> Grpc {
    let host = given.ip("grpc-host").unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Grpc {
        address: SocketAddr::new(host, given.uint("grpc-port")),
    }
}
