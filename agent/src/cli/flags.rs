//! Every flag of `twintor run`, once.

/// How a flag's value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// `--flag`, `--flag=true`; never `--flag true`.
    Bool,
    /// Addresses, comma separated; repeating the flag appends.
    Ips,
    /// One address, or empty.
    Ip,
    /// A whole number from 0 up to this one.
    Uint(u64),
    /// A whole number.
    Int,
    /// A Go duration.
    Duration,
    /// `address:port`.
    Socket,
    /// `text` or `json`.
    LogFormat,
    /// Any text.
    Text,
}

/// One flag.
#[derive(Debug)]
pub(super) struct Flag {
    pub(super) name: &'static str,
    pub(super) r#type: Type,
    /// As it would be written on the command line; empty for no value.
    pub(super) default: &'static str,
    pub(super) group: Group,
    pub(super) help: &'static str,
}

/// Under which heading a flag stands in the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Switches,
    Session,
    Objects,
    NextHop,
    Restart,
    Bfd,
    Apis,
    Logging,
}

impl Group {
    pub(super) const fn heading(self) -> &'static str {
        match self {
            Self::Switches => "Switches",
            Self::Session => "BGP sessions",
            Self::Objects => "What is announced",
            Self::NextHop => "Next hop and source address",
            Self::Restart => "Graceful restart",
            Self::Bfd => "BFD",
            Self::Apis => "Interfaces of this process",
            Self::Logging => "Logging",
        }
    }
}

/// Flags that are known but do nothing in this version. Setting one to anything but its default is warned about, so
/// that nobody relies on what is not there. Take a name out when its feature comes.
pub(super) const NOT_YET: &[&str] = &["grpc-host", "grpc-port"];

const U16: u64 = u16::MAX as u64;
const U32: u64 = u32::MAX as u64;

const fn flag(
    group: Group,
    name: &'static str,
    r#type: Type,
    default: &'static str,
    help: &'static str,
) -> Flag {
    Flag {
        name,
        r#type,
        default,
        group,
        help,
    }
}

#[rustfmt::skip]
/// All flags in the order of the help. Names, types and defaults of kube-ovn-speaker and klog v2, then ours.
pub(super) const FLAGS: &[Flag] = &[
    flag(Group::Switches, "neighbor-address", Type::Ips, "",
        "IPv4 addresses of the switches, plane a first"),
    flag(Group::Switches, "neighbor-ipv6-address", Type::Ips, "",
        "IPv6 addresses of the switches, plane a first"),
    flag(Group::Switches, "neighbor-as", Type::Uint(U32), "0",
        "AS number of the switches, 1 to 4294967295; required here or in --config"),
    flag(Group::Switches, "cluster-as", Type::Uint(U32), "0",
        "AS number of this speaker, 1 to 4294967295; required here or in --config"),
    flag(Group::Session, "router-id", Type::Ip, "",
        "BGP identifier, an IPv4 address [default: the IPv4 address in POD_IPS, else the source address of the first IPv4 session]"),
    flag(Group::Session, "auth-password", Type::Text, "",
        "TCP MD5 password (RFC 2385) of all sessions"),
    flag(Group::Session, "holdtime", Type::Duration, "90s",
        "Hold time offered to the switches, 3s to 65536s; keepalives follow at a third of it"),
    flag(Group::Session, "passivemode", Type::Bool, "false",
        "Wait for the switches to connect; never dial"),
    flag(Group::Session, "ttl-security", Type::Uint(254), "0",
        "GTSM (RFC 5082): accept only what has crossed at most this many links less one, 1 for a direct switch; 0: off; \
         the switch needs it too"),
    flag(Group::Session, "ebgp-multihop", Type::Uint(255), "1",
        "TTL of the sessions in hops, 1 to 255; 1 means directly connected"),
    flag(Group::Session, "listen-port", Type::Uint(U16), "179",
        "TCP port on which the switches may connect; 0 for no listener"),
    flag(Group::Session, "listen-address", Type::Ips, "",
        "Addresses on which the switches may connect [default: all]"),
    flag(Group::Objects, "manifests", Type::Text, "",
        "Directory of Kubernetes objects (*.yaml, *.yml, *.json) to announce from, instead of an API server; changes are followed"),
    flag(Group::Objects, "announce-cluster-ip", Type::Bool, "false",
        "Announce cluster addresses of annotated Services"),
    flag(Group::Objects, "node-name", Type::Text, "",
        "Name of this node, for the policy local [default: $NODE_NAME, else $KUBE_NODE_NAME]"),
    flag(Group::Objects, "nat-gw-mode", Type::Bool, "false",
        "Run in a VPC NAT gateway and announce its EIPs; $GATEWAY_NAME names the gateway"),
    flag(Group::Objects, "kubeconfig", Type::Text, "",
        "File with the access to the API server [default: the pod's own account]"),
    flag(Group::Objects, "config", Type::Text, "",
        "File with the structured configuration (docs/configuration.md); flags fill it, and its changes are followed"),
    flag(Group::NextHop, "extended-nexthop", Type::Bool, "false",
        "Announce every family to every switch (RFC 8950)"),
    flag(Group::NextHop, "node-ips", Type::Ips, "",
        "Next hops to announce instead of the pod's own addresses, where this runs outside the host network; the last of each family counts"),
    flag(Group::NextHop, "allowed-source-addresses", Type::Ips, "",
        "IPv4 source addresses that the route to a switch may select [default: any]"),
    flag(Group::NextHop, "allowed-source-ipv6-addresses", Type::Ips, "",
        "IPv6 source addresses that the route to a switch may select [default: any]"),
    flag(Group::Restart, "graceful-restart", Type::Bool, "false",
        "Offer graceful restart (RFC 4724): on SIGTERM the switches keep the routes of this speaker until it is back; \
         SIGINT leaves for good"),
    flag(Group::Restart, "graceful-restart-time", Type::Duration, "90s",
        "How long the switches keep routes over a restart, 1s to 4095s"),
    flag(Group::Restart, "graceful-restart-deferral-time", Type::Duration, "360s",
        "1s to 18h; without effect: this speaker only announces, so it has no End-of-RIB of a switch to wait for"),
    flag(Group::Restart, "state-file", Type::Text, "",
        "File in which the last complete set of prefixes is kept, and announced at a start without the API server; none without it"),
    flag(Group::Restart, "state-file-max-age", Type::Duration, "1h",
        "How long ago the state file may have been written to be believed, 1s or more"),
    flag(Group::Restart, "state-file-wait", Type::Duration, "5s",
        "How long the API server may take at the start until the state file stands in"),
    flag(Group::Bfd, "enable-bfd", Type::Bool, "false",
        "Run BFD with every switch"),
    flag(Group::Bfd, "bfd-min-tx", Type::Uint(U32), "1000",
        "Shortest interval in which BFD packets are sent, 1 to 4294967 ms"),
    flag(Group::Bfd, "bfd-min-rx", Type::Uint(U32), "1000",
        "Shortest interval in which BFD packets are taken, 1 to 4294967 ms"),
    flag(Group::Bfd, "bfd-detection-multiplier", Type::Uint(255), "3",
        "Packets that may be missed until a switch counts as down, 1 to 255"),
    flag(Group::Apis, "enable-metrics", Type::Bool, "true",
        "Serve metrics and health over HTTP"),
    flag(Group::Apis, "pprof-port", Type::Uint(U16), "10667",
        "TCP port of the HTTP server; the name is historic"),
    flag(Group::Apis, "http-address", Type::Socket, "",
        "Address and port of the HTTP server [default: 0.0.0.0 and --pprof-port]"),
    flag(Group::Apis, "grpc-host", Type::Ip, "127.0.0.1",
        "Address of the gRPC server that the gobgp CLI asks"),
    flag(Group::Apis, "grpc-port", Type::Uint(U16), "50051",
        "TCP port of the gRPC server"),
    flag(Group::Apis, "control-socket", Type::Text, "",
        "Unix socket (mode 0600) for twintor plan and commands that change something; none without it"),
    flag(Group::Logging, "v", Type::Int, "0",
        "Verbosity: 0 info; 1 and 2 decisions (debug of agent and fabric); 3 and 4 protocols too (debug of all); 5 and up every prefix and message (trace)"),
    flag(Group::Logging, "log-format", Type::LogFormat, "text",
        "Form of the log: text or json"),
    flag(Group::Logging, "log-perm", Type::Text, "640",
        "Mode of the log file, octal"),
    flag(Group::Logging, "logtostderr", Type::Bool, "true",
        "Log to stderr, and not to a file"),
    flag(Group::Logging, "alsologtostderr", Type::Bool, "false",
        "Log to stderr beside the log file"),
    flag(Group::Logging, "log_file", Type::Text, "",
        "Log file; needs --logtostderr=false"),
    flag(Group::Logging, "log_dir", Type::Text, "",
        "Directory of the log file twintor.log, where --log_file names none"),
    flag(Group::Logging, "log_file_max_size", Type::Uint(u64::MAX), "1800",
        "Size in MiB at which the log file is renamed to *.1 and begins anew; 0 for no limit"),
    flag(Group::Logging, "vmodule", Type::Text, "",
        "Verbosity of single files, name=N,…; without effect here"),
    flag(Group::Logging, "stderrthreshold", Type::Text, "ERROR",
        "Severity from which lines of the log file go to stderr too"),
    flag(Group::Logging, "alsologtostderrthreshold", Type::Text, "",
        "The same, with --alsologtostderr and without --legacy_stderr_threshold_behavior"),
    flag(Group::Logging, "legacy_stderr_threshold_behavior", Type::Bool, "true",
        "Whether --logtostderr and --alsologtostderr override the thresholds"),
    flag(Group::Logging, "one_output", Type::Bool, "false",
        "Write each line to the file of its own severity only; without effect here"),
    flag(Group::Logging, "skip_headers", Type::Bool, "false",
        "Leave out the head of each line"),
    flag(Group::Logging, "skip_log_headers", Type::Bool, "false",
        "Leave out the head of each log file; without effect here"),
    flag(Group::Logging, "add_dir_header", Type::Bool, "false",
        "Add the directory to the head of each line; without effect here"),
    flag(Group::Logging, "log_backtrace_at", Type::Text, "",
        "Log a stack trace at file:N; without effect here"),
];

/// The flag of that name.
pub(super) fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}
