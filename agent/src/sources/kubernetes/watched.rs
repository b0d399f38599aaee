use crate::index::{IndexConfig, Mode};
use crate::objects::{GATEWAY_LABEL, Kind};

/// How many objects a page of a list has at most. Ten thousand bytes an object make five megabytes.
pub(super) const PAGE: u32 = 500;

/// One kind to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The kind.
    pub kind: Kind,
    /// Only objects with this label: key and value.
    pub label: Option<(&'static str, String)>,
}

/// The kinds that this speaker has to know: in node mode pods and subnets, and services where their addresses are
/// announced; in a gateway only its own EIPs.
pub fn watched(config: &IndexConfig) -> Vec<Watched> {
    let all_of = |kind| Watched { kind, label: None };
    match &config.mode {
        Mode::Node => {
            let mut kinds = vec![all_of(Kind::Subnet), all_of(Kind::Pod)];
            if config.policy.services.is_on() {
                kinds.push(all_of(Kind::Service));
            }
            kinds
        }
        Mode::NatGateway { gateway_name } => vec![Watched {
            kind: Kind::IptablesEip,
            label: Some((GATEWAY_LABEL, gateway_name.clone())),
        }],
    }
}

impl Watched {
    /// The name in the path of a request and in a role.
    pub(super) fn plural(&self) -> &'static str {
        match self.kind {
            Kind::Pod => "pods",
            Kind::Subnet => "subnets",
            Kind::Service => "services",
            Kind::IptablesEip => "iptables-eips",
            Kind::VpcNatGateway => "vpc-nat-gateways",
        }
    }

    /// The API group as a role names it; empty for the core group.
    pub(super) fn group(&self) -> &'static str {
        match self.kind.api_version().split_once('/') {
            Some((group, _)) => group,
            None => "",
        }
    }

    /// Path and query of one page. `token` goes on from a former page; no limit asks for all in one page.
    pub(super) fn list_uri(&self, limit: Option<u32>, token: Option<&str>) -> String {
        let mut uri = self.path();
        let mut sign = '?';
        let limit = limit.map(|limit| limit.to_string());
        for (key, value) in [("limit", limit.as_deref()), ("continue", token)] {
            if let Some(value) = value {
                uri.push_str(&format!("{sign}{key}={}", escape(value)));
                sign = '&';
            }
        }
        self.add_label(&mut uri, sign);
        uri
    }

    /// Path and query of a watch from that version on, which the server ends after that many seconds.
    pub(super) fn watch_uri(&self, version: &str, seconds: u64) -> String {
        let mut uri = format!(
            "{}?watch=true&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={seconds}",
            self.path(),
            escape(version)
        );
        self.add_label(&mut uri, '&');
        uri
    }

    fn path(&self) -> String {
        let version = self.kind.api_version();
        let root = if self.group().is_empty() { "api" } else { "apis" };
        format!("/{root}/{version}/{}", self.plural())
    }

    fn add_label(&self, uri: &mut String, sign: char) {
        if let Some((key, value)) = &self.label {
            let selector = escape(&format!("{key}={value}"));
            uri.push_str(&format!("{sign}labelSelector={selector}"));
        }
    }
}

/// Percent-encoding of everything but the unreserved characters of RFC 3986 section 2.3.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Policy;
    use wire::FamilySet;

    fn config(mode: Mode, announce_cluster_ip: bool) -> IndexConfig {
        IndexConfig {
            node_name: None,
            families: FamilySet::ALL,
            policy: Policy::from_flag(announce_cluster_ip),
            mode,
            missing_status_is_ready: false,
        }
    }

    fn kinds(mode: Mode, announce_cluster_ip: bool) -> Vec<Kind> {
        let watched = watched(&config(mode, announce_cluster_ip));
        watched.into_iter().map(|watched| watched.kind).collect()
    }

    #[test]
    fn only_what_is_needed_is_watched() {
        let gateway = Mode::NatGateway {
            gateway_name: "gw".to_owned(),
        };
        assert_eq!(kinds(Mode::Node, false), [Kind::Subnet, Kind::Pod]);
        assert_eq!(kinds(Mode::Node, true), [Kind::Subnet, Kind::Pod, Kind::Service]);
        assert_eq!(kinds(gateway, true), [Kind::IptablesEip]);
    }

    #[test]
    fn requests_in_node_mode() {
        let pods = &watched(&config(Mode::Node, false))[1];
        assert_eq!(pods.list_uri(Some(500), None), "/api/v1/pods?limit=500");
        assert_eq!(
            pods.list_uri(Some(500), Some("a+/=")),
            "/api/v1/pods?limit=500&continue=a%2B%2F%3D"
        );
        assert_eq!(pods.list_uri(None, None), "/api/v1/pods");
        assert_eq!(
            pods.watch_uri("17", 45),
            "/api/v1/pods?watch=true&allowWatchBookmarks=true&resourceVersion=17&timeoutSeconds=45"
        );
    }

    #[test]
    fn requests_in_a_gateway_name_its_label() {
        let gateway_name = "gw".to_owned();
        let eips = &watched(&config(Mode::NatGateway { gateway_name }, false))[0];
        assert_eq!(
            eips.list_uri(Some(2), None),
            "/apis/kubeovn.io/v1/iptables-eips?limit=2&labelSelector=ovn.kubernetes.io%2Fvpc-nat-gw-name%3Dgw"
        );
        assert!(
            eips.watch_uri("1", 1)
                .ends_with("&labelSelector=ovn.kubernetes.io%2Fvpc-nat-gw-name%3Dgw")
        );
        assert_eq!((eips.group(), eips.plural()), ("kubeovn.io", "iptables-eips"));
    }
}
