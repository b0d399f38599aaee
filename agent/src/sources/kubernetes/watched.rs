use crate::index::{IndexConfig, Mode};
use crate::objects::{GATEWAY_LABEL, Kind};

/// How many objects a page of a list has at most. Ten thousand bytes an object make five megabytes.
pub(super) const PAGE: u32 = 500;

/// One kind to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The kind.
    pub kind: Kind,
    /// The `apiVersion` in which it is asked for.
    pub(super) api_version: &'static str,
    /// Only objects with this label: key and value.
    pub label: Option<(&'static str, String)>,
}

/// The kinds that this speaker has to know: in node mode pods and subnets, and services where their addresses are
/// announced, with their endpoints where these decide; in a gateway only its own EIPs.
pub fn watched(config: &IndexConfig) -> Vec<Watched> {
    match &config.mode {
        Mode::Node => {
            let mut kinds = vec![Watched::all(Kind::Subnet), Watched::all(Kind::Pod)];
            let services = &config.policy.services;
            if services.is_on() {
                kinds.push(Watched::all(Kind::Service));
            }
            if services.is_on() && services.require_ready_endpoints {
                kinds.push(Watched::all(Kind::EndpointSlice));
            }
            kinds
        }
        Mode::NatGateway { gateway_name } => vec![Watched {
            label: Some((GATEWAY_LABEL, gateway_name.clone())),
            ..Watched::all(Kind::IptablesEip)
        }],
    }
}

impl Watched {
    /// All objects of a kind.
    pub(super) fn all(kind: Kind) -> Self {
        Self {
            kind,
            api_version: kind.api_version(),
            label: None,
        }
    }

    /// The server does not know the kind in this version: whether it is to be asked in an older one at once. Where it
    /// knows none, the next question is in the newest again.
    pub(super) fn fall_back(&mut self) -> bool {
        match self.kind.older_version() {
            Some(older) if self.api_version != older => {
                self.api_version = older;
                true
            }
            Some(_) | None => {
                self.api_version = self.kind.api_version();
                false
            }
        }
    }

    /// The name in the path of a request and in a role.
    pub(super) fn plural(&self) -> &'static str {
        match self.kind {
            Kind::Pod => "pods",
            Kind::Subnet => "subnets",
            Kind::Service => "services",
            Kind::EndpointSlice => "endpointslices",
            Kind::IptablesEip => "iptables-eips",
            Kind::VpcNatGateway => "vpc-nat-gateways",
        }
    }

    /// The API group as a role names it; empty for the core group.
    pub(super) fn group(&self) -> &'static str {
        match self.api_version.split_once('/') {
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
        let version = self.api_version;
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
    fn endpoints_are_watched_where_they_decide() {
        let mut config = config(Mode::Node, true);
        config.policy.services.require_ready_endpoints = true;
        let kinds = |config: &IndexConfig| watched(config).into_iter().map(|watched| watched.kind);
        assert_eq!(kinds(&config).next_back(), Some(Kind::EndpointSlice));
        config.policy.services.cluster_ips = false;
        assert!(!kinds(&config).any(|kind| kind == Kind::EndpointSlice));
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
